/* The rate limit of an entropy device: so many bytes in any period, counted as they are delivered.
 */
#ifndef DEVICES_RNG_RATE_H
#define DEVICES_RNG_RATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Deliveries of the last period that are told apart. Up to RATE_EXACT of them are kept each for
 * itself; then those within a RATE_STEPS-th of a period join the one before them, and as far as its
 * bytes are concerned were delivered when the last of them was.
 */
#define RATE_EXACT   64U
#define RATE_STEPS   60U
#define RATE_ENTRIES 128U

struct rate_entry {
    uint64_t opened; /* when its first bytes were delivered, in ticks, */
    uint64_t last;   /* and when its last */
    uint64_t bytes;
};

/*
 * A window that slides: bytes delivered at t count until t + period, and less than `bytes` of them
 * may count when more are delivered. So no period, wherever it begins, has more than `bytes`, and a
 * reader that takes what it can, as soon as it can, gets exactly `bytes` in each. Where deliveries
 * were joined it gets them later, by a RATE_STEPS-th of a period at most, and never sooner.
 */
struct rate {
    uint64_t bytes;  /* 0: no limit */
    uint64_t period; /* ticks */
    uint64_t used;   /* the sum of all entries' bytes */
    unsigned first;
    unsigned count;
    struct rate_entry entries[RATE_ENTRIES];
};

/* `bytes` in any `period` ticks; 0 bytes: no limit. */
void rate_init(struct rate *rate, uint64_t bytes, uint64_t period);

/* How many bytes may be delivered at the tick `now`; UINT64_MAX: any number. */
uint64_t rate_allowance(struct rate *rate, uint64_t now);

/* Takes note of a delivery of no more than was allowed at `now`. */
void rate_spend(struct rate *rate, uint64_t now, uint64_t bytes);

/* When more will be allowed than at the last call of rate_allowance(); UINT64_MAX: no change. */
uint64_t rate_next(const struct rate *rate);

#endif
