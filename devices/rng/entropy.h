/* The entropy core: takes words from a source, tests them all the time, keeps a pool of good bytes.
 */
#ifndef DEVICES_RNG_ENTROPY_H
#define DEVICES_RNG_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/rng/source.h"

#define ENTROPY_POOL_SIZE 4096U /* bytes; 64 requests of a Linux guest */

/* Tries for one 64-bit word before the source counts as dry for now. */
#define ENTROPY_TRIES 16U

/* Failed tries in a row after which the source counts as faulty: none should ever be dry as long.
 */
#define ENTROPY_DRY_LIMIT 65536U

/* 64-bit words the start-up test looks at and discards (SP 800-90B, 4.3: at least 1,024 samples).
 */
#define ENTROPY_STARTUP_WORDS 1024U

/* After this many faults without a long good stretch in between the fault counts as permanent. */
#define ENTROPY_FAULT_LIMIT 4U

/* The good stretch after which past faults are forgotten, in words. */
#define ENTROPY_PROVEN_WORDS 16384U

enum entropy_state {
    ENTROPY_STARTING, /* the start-up test is under way or waits for its next turn */
    ENTROPY_READY,    /* the last start-up test passed, and nothing failed since */
    ENTROPY_FAULT,    /* faulty for good, as far as one can tell; tests go on all the same */
};

/* The state of the continuous tests; see entropy.c for what they do and do not claim. */
struct entropy_health {
    uint64_t last_word;
    uint32_t word_repeats; /* how often last_word came in a row; 0: no word yet */
    uint32_t byte_repeats;
    uint32_t window_used; /* bytes seen of the adaptive proportion test's window */
    uint32_t window_matches;
    uint8_t last_byte;
    uint8_t window_first;
};

struct entropy_counters {
    uint64_t tries;               /* of the source */
    uint64_t failures;            /* tries without a word, 0 and all-ones included */
    uint64_t longest_failure_run; /* failed tries in a row */
    uint64_t health_hits;         /* failed health tests */
    uint64_t bytes_delivered;
    uint64_t pool_low_water; /* fewest bytes the pool held after a delivery; its size before any */
};

/*
 * One core serves the whole machine, under a spin lock of its own. A core per CPU would need no
 * lock, but would fill and test a pool on each CPU, idle ones included, and a guest that drains its
 * CPU's pool could not have what the next CPU has to spare. The lock is held for a bounded number
 * of memory operations only: the source, which may be slow, is read outside of it.
 */
struct entropy_core {
    struct entropy_source source;
    uint32_t lock;
    enum entropy_state state;
    uint32_t startup_words; /* passed so far by the start-up test */
    uint32_t faults;        /* since the last good stretch */
    uint32_t good_words;    /* since the last fault */
    uint32_t backoff;       /* calls of entropy_refill() to sit out */
    uint64_t failure_run;
    struct entropy_health health;
    struct entropy_counters counters;
    uint32_t level; /* bytes in the pool: [0, level), taken from the end */
    uint8_t pool[ENTROPY_POOL_SIZE];
};

/* Starts with an empty pool and the start-up test ahead. `source` is copied. */
void entropy_init(struct entropy_core *core, const struct entropy_source *source);

/*
 * Reads at most `max_words` good words from the source, a bounded number of tries each, for the
 * start-up test or the pool. Returns how many words were of use: 0 if the pool is full, the source
 * is dry, a test failed at once or the core sits out a back-off. To be called whenever a CPU has
 * nothing better to do, until it returns 0.
 */
unsigned entropy_refill(struct entropy_core *core, unsigned max_words);

/*
 * Moves up to `length` bytes to `buffer` and wipes them from the pool. Returns how many: 0 unless
 * the core is ready. No byte is ever handed out twice.
 */
size_t entropy_take(struct entropy_core *core, void *buffer, size_t length);

/* Bytes that entropy_take() could deliver now. */
uint32_t entropy_level(struct entropy_core *core);

enum entropy_state entropy_state(struct entropy_core *core);

/*
 * Gives a source in permanent fault another chance at once: one start-up test, whose failure makes
 * the fault permanent again. Nothing happens in the other states.
 */
void entropy_retry(struct entropy_core *core);

/* A consistent copy of the counters. */
struct entropy_counters entropy_counters(struct entropy_core *core);

#endif
