/*
 * A source that fails by a script, around a good one. For builds that test what guests see of such
 * failures (make FAULTS=1); the product does not contain it.
 */
#ifndef DEVICES_RNG_FAULT_SOURCE_H
#define DEVICES_RNG_FAULT_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/rng/source.h"

#define FAULT_PHASES 24U

enum fault_kind {
    FAULT_GOOD,   /* what the source says */
    FAULT_DRY,    /* no word */
    FAULT_STUCK,  /* one word again and again */
    FAULT_REPEAT, /* each word twice */
    FAULT_ZERO,   /* 0 as success */
    FAULT_ONES,   /* all ones as success */
    FAULT_FAIL,   /* each tenth try fails */
    FAULT_BIAS,   /* each tenth byte or so is 0x42 */
    FAULT_EMPTY,  /* the source is good, but the device completes its buffers with length 0 */
    FAULT_KINDS
};

enum fault_length {
    FAULT_FOR_EVER,
    FAULT_TRIES,        /* of the source; of FAULT_EMPTY: completions */
    FAULT_MILLISECONDS, /* from the phase's first try on */
};

struct fault_phase {
    enum fault_kind kind;
    enum fault_length unit;
    uint64_t length;
};

/* One script and how far it has been played. For a single CPU: nothing guards it. */
struct fault_source {
    struct entropy_source source; /* the good one */
    struct fault_phase phases[FAULT_PHASES];
    unsigned count;
    uint64_t frequency; /* of host_ticks(), Hz */

    unsigned current; /* phase; `count` after the last one: good */
    bool begun;       /* it has had its first try */
    uint64_t begin;   /* host_ticks() at that */
    uint64_t tries;   /* in it */
    uint64_t word;    /* the last good one */
};

/*
 * Parses a script: phases with commas between, each a kind (good, dry, stuck, repeat, zero, ones,
 * fail, bias, empty) and a length, a number of tries or of milliseconds (3000ms); without a length
 * it lasts for ever. After the last phase the source is good. False, with what is wrong in `error`,
 * if it is no such script.
 */
bool fault_source_parse(struct fault_source *faults, const char *script, char *error,
                        size_t error_size);

/* The source that plays the script around `source`, from its beginning. */
struct entropy_source fault_source_start(struct fault_source *faults,
                                         const struct entropy_source *source, uint64_t frequency);

/* Whether the device is to complete its next buffer with length 0; counts as one completion. */
bool fault_source_completes_empty(struct fault_source *faults);

/* For the device, which knows of no script: the above for the script of this machine. */
#ifdef SEEDVISOR_FAULTS
bool fault_completes_empty(void);
#else
static inline bool fault_completes_empty(void)
{
    return false;
}
#endif

#endif
