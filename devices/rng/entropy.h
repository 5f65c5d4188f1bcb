/* The entropy core: takes words from a source, tests them all the time, keeps a pool of good bytes.
 */
#ifndef DEVICES_RNG_ENTROPY_H
#define DEVICES_RNG_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/rng/health.h"
#include "devices/rng/source.h"
#include "vmm/spin_lock.h"

#define ENTROPY_POOL_SIZE 4096U /* bytes; 64 requests of a Linux guest */

/* Tries for one 64-bit word before the source counts as dry for now. A slow source has one. */
#define ENTROPY_TRIES 16U

/*
 * Failed tries in a row after which the source counts as faulty: none that is not slow should ever
 * be dry as long.
 */
#define ENTROPY_DRY_LIMIT 65536U

/* 64-bit words the start-up test looks at and discards (SP 800-90B, 4.3: at least 1,024 samples).
 */
#define ENTROPY_STARTUP_WORDS 1024U

/* After this many faults without a long good stretch in between the fault counts as permanent. */
#define ENTROPY_FAULT_LIMIT 4U

/* The good stretch after which past faults are forgotten, in words. */
#define ENTROPY_PROVEN_WORDS 16384U

/* What a conditioner makes of how much, in bytes. */
#define ENTROPY_CONDITIONER_IN  64U
#define ENTROPY_CONDITIONER_OUT 32U

/* The most that entropy_stir() remembers, in bytes. */
#define ENTROPY_STIR_SIZE 256U

/*
 * Fairness between devices at one core. The last ENTROPY_RESERVE bytes of the pool are for devices
 * that ask now and then: of each ENTROPY_POOL_SIZE bytes that leave the pool, a device gets from
 * the reserve what is left of ENTROPY_SHARE. Who asks without end finds no more than that there,
 * and has to wait until the reserve is full again; the others' requests of 64 bytes, of at least 12
 * guests in a row, find their bytes ready. Where there is but one device there is no reserve.
 */
#define ENTROPY_SHARE   256U
#define ENTROPY_RESERVE 1024U

enum entropy_state {
    ENTROPY_STARTING, /* the start-up test is under way or waits for its next turn */
    ENTROPY_READY,    /* the last start-up test passed, and nothing failed since */
    ENTROPY_FAULT,    /* faulty for good, as far as one can tell; tests go on all the same */
};

struct entropy_counters {
    uint64_t tries;               /* of the source */
    uint64_t failures;            /* tries without a word, 0 and all-ones included */
    uint64_t longest_failure_run; /* failed tries in a row */
    uint64_t health_hits;         /* failed health tests */
    uint64_t hits[HEALTH_TESTS];  /* the same, by test */
    uint64_t dry_faults;          /* faults for being dry too long */
    uint64_t tests_passed;        /* start-up tests, those on demand included */
    uint64_t words;               /* good words taken from the source, for tests or the pool */
    uint64_t ticks;               /* spent on reading the source */
    uint64_t bytes_delivered;
    uint64_t pool_low_water; /* fewest bytes the pool held after a delivery; its size before any */
};

/* What the core has to tell, after it happened. */
struct entropy_notice {
    enum entropy_state state; /* that the core is in now */
    enum health_test hit;     /* the test that failed; HEALTH_PASSED: none */
    bool dry;                 /* the source was dry too long; without this or a hit: all is well */
    uint32_t faults;          /* since the last good stretch */
    uint64_t number;          /* of notices up to this one */
};

/* What one device had of the pool lately; for entropy_take_share(). All zero to start with. */
struct entropy_share {
    uint64_t round; /* the pool's worth of bytes that `drawn` counts in */
    uint32_t drawn; /* bytes */
};

/*
 * One core serves the whole machine, or all guests with the same source, under a spin lock of its
 * own. A core per CPU would need no lock, but would fill and test a pool on each CPU, idle ones
 * included, and a guest that drains its CPU's pool could not have what the next CPU has to spare.
 * The lock is held for a bounded number of memory operations only, and with a conditioner for one
 * call of it, or a few where a test ended meanwhile: the source, which may be slow, is read outside
 * of it.
 */
struct entropy_core {
    struct entropy_source source;

    /* May be set between entropy_init() and the first other call; NULL: none. */
    void (*condition)(const uint8_t in[ENTROPY_CONDITIONER_IN],
                      uint8_t out[ENTROPY_CONDITIONER_OUT]);
    uint64_t (*ticks)(void); /* the clock of the counter of that name */
    void (*notify)(const struct entropy_core *core, const struct entropy_notice *notice);

    struct spin_lock lock;
    enum entropy_state state;
    bool self_testing;      /* ready, and a test on demand goes on */
    uint32_t startup_words; /* passed so far by the start-up test, or the one on demand */
    uint32_t faults;        /* since the last good stretch */
    uint32_t good_words;    /* since the last fault */
    uint32_t backoff;       /* calls of entropy_refill() to sit out */
    uint32_t devices;       /* that share the pool; a guest's trapped instructions are one */
    uint64_t failure_run;
    uint64_t notices;
    bool fault_told; /* and no test passed since */
    struct health health;
    struct entropy_counters counters;
    uint32_t stir_words;                        /* left in stir[] */
    uint32_t block_words;                       /* gathered in block[] */
    uint64_t stir[ENTROPY_STIR_SIZE / 8];       /* for the next words, the last first */
    uint64_t block[ENTROPY_CONDITIONER_IN / 8]; /* for the conditioner */
    uint32_t level; /* bytes in the pool: [0, level), taken from the end */
    _Alignas(uint64_t) uint8_t pool[ENTROPY_POOL_SIZE]; /* so that wiping it goes by words */
};

/* Starts with an empty pool and the start-up test ahead. `source` is copied. */
void entropy_init(struct entropy_core *core, const struct entropy_source *source);

/*
 * Mixes bytes of another origin into the next words for the pool, by XOR: at most ENTROPY_STIR_SIZE
 * of them, in whole words. No credit is given for them, and no test looks at them: at worst they do
 * nothing.
 */
void entropy_stir(struct entropy_core *core, const void *bytes, size_t length);

/*
 * Reads at most `max_words` good words from the source, a bounded number of tries each, for the
 * start-up test or the pool. Returns how many words were of use: 0 if the pool is full, the source
 * is dry, a test failed at once or the core sits out a back-off. To be called whenever a CPU has
 * nothing better to do, until it returns 0. `notify` is called from in here, without the lock.
 */
unsigned entropy_refill(struct entropy_core *core, unsigned max_words);

/*
 * Moves up to `length` bytes to `buffer` and wipes them from the pool. Returns how many: 0 unless
 * the core is ready. No byte is ever handed out twice.
 */
size_t entropy_take(struct entropy_core *core, void *buffer, size_t length);

/* The same for a device with others beside it, which has its share and leaves them theirs. */
size_t entropy_take_share(struct entropy_core *core, struct entropy_share *share, void *buffer,
                          size_t length);

/*
 * The words of the source after which that device finds `length` bytes, at most a pool's worth; 0
 * if it does now. Where its share is used up, the reserve is filled before.
 */
uint32_t entropy_words_short(struct entropy_core *core, struct entropy_share *share,
                             uint32_t length);

/* Bytes that entropy_take() could deliver now. */
uint32_t entropy_level(struct entropy_core *core);

enum entropy_state entropy_state(struct entropy_core *core);

/*
 * Tests the source on demand, as at start-up: the next ENTROPY_STARTUP_WORDS words that
 * entropy_refill() reads are looked at and discarded. Meanwhile what the pool holds, which passed
 * its tests, is delivered, and nothing is added to it; who finds it empty waits. A failure is a
 * fault like any other; a pass counts in tests_passed. A source in permanent fault gets its next
 * start-up test at once. Nothing changes if a start-up test is due anyway.
 */
void entropy_self_test(struct entropy_core *core);

/* Whether a test on demand, or the start-up test, has not come to its end yet. */
bool entropy_testing(struct entropy_core *core);

/*
 * Gives a source in permanent fault another chance at once: one start-up test, whose failure makes
 * the fault permanent again. Nothing happens in the other states.
 */
void entropy_retry(struct entropy_core *core);

/* A consistent copy of the counters. */
struct entropy_counters entropy_counters(struct entropy_core *core);

#endif
