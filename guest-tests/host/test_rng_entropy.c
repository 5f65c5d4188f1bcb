/* Tests of the entropy core: health tests, faults and recovery, the pool, delivery once only. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/rng/entropy.h"
#include "guest-tests/host/scripted_source.h"

#define POOL_WORDS (ENTROPY_POOL_SIZE / 8)
#define FOREVER    UINT64_MAX

struct fixture {
    struct script script;
    struct entropy_core core;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct entropy_source source = script_source(&fixture->script);

    entropy_init(&fixture->core, &source);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void start(struct fixture *fixture)
{
    assert_int_equal(entropy_refill(&fixture->core, ENTROPY_STARTUP_WORDS), ENTROPY_STARTUP_WORDS);
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_READY);
    assert_int_equal(entropy_level(&fixture->core), 0);
}

static void fail_from_now(struct fixture *fixture, enum script_mode mode, uint64_t tries)
{
    fixture->script.mode = mode;
    fixture->script.from = fixture->script.played;
    fixture->script.tries = tries;
}

/* The start-up test takes its whole length, gives nothing meanwhile, and its words are discarded.
 */
static void test_startup(void **state)
{
    struct fixture *fixture = *state;
    uint8_t buffer[8] = {0};
    uint64_t word;

    assert_int_equal(entropy_state(&fixture->core), ENTROPY_STARTING);
    assert_int_equal(entropy_refill(&fixture->core, ENTROPY_STARTUP_WORDS - 1),
                     ENTROPY_STARTUP_WORDS - 1);
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_STARTING);
    assert_int_equal(entropy_take(&fixture->core, buffer, sizeof(buffer)), 0);
    assert_int_equal(entropy_refill(&fixture->core, 1), 1);
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_READY);
    assert_int_equal(entropy_take(&fixture->core, buffer, sizeof(buffer)), 0);
    assert_int_equal(entropy_refill(&fixture->core, 1), 1);
    assert_int_equal(entropy_take(&fixture->core, &word, sizeof(word)), 8);
    assert_true(word == script_word(ENTROPY_STARTUP_WORDS));
}

static void test_pool_fills_and_stops(void **state)
{
    struct fixture *fixture = *state;

    start(fixture);
    assert_int_equal(entropy_refill(&fixture->core, 0), 0);
    assert_int_equal(entropy_refill(&fixture->core, 3), 3);
    assert_int_equal(entropy_level(&fixture->core), 24);
    assert_int_equal(entropy_refill(&fixture->core, 100000), POOL_WORDS - 3);
    assert_int_equal(entropy_level(&fixture->core), ENTROPY_POOL_SIZE);
    uint64_t asked = fixture->script.asked;

    assert_int_equal(entropy_refill(&fixture->core, 100000), 0);
    assert_true(fixture->script.asked == asked);
    /* Less than a word of room is no room. */
    uint8_t buffer[9];

    assert_int_equal(entropy_take(&fixture->core, buffer, 7), 7);
    assert_int_equal(entropy_refill(&fixture->core, 8), 0);
    assert_int_equal(entropy_take(&fixture->core, buffer, 9), 9);
    assert_int_equal(entropy_refill(&fixture->core, 8), 2);
    assert_int_equal(entropy_level(&fixture->core), ENTROPY_POOL_SIZE);
}

/*
 * Whatever the sizes of the takes: each byte leaves once, and what left is zero in the pool. The
 * source counts up in every byte position, so that each of its words can be recognised.
 */
static void test_each_byte_once_and_wiped(void **state)
{
    struct fixture *fixture = *state;
    struct entropy_core *core = &fixture->core;
    unsigned seen[256] = {0};
    unsigned expected[256] = {0};
    uint64_t delivered = 0;

    start(fixture);
    for (size_t size = 1; size < 200; size++) {
        uint8_t buffer[200];

        entropy_refill(core, 26);
        memset(buffer, 0, sizeof(buffer));
        size_t taken = entropy_take(core, buffer, size);

        assert_int_equal(taken, size);
        delivered += taken;
        for (size_t i = 0; i < taken; i++) {
            seen[buffer[i]]++;
        }
        for (size_t i = core->level; i < ENTROPY_POOL_SIZE; i++) {
            assert_int_equal(core->pool[i], 0);
        }
    }
    assert_true(entropy_counters(core).bytes_delivered == delivered);
    for (size_t i = 0; i < core->level; i++) {
        seen[core->pool[i]]++;
    }
    for (uint64_t n = ENTROPY_STARTUP_WORDS; n < fixture->script.played; n++) {
        uint64_t word = script_word(n);

        for (unsigned i = 0; i < 8; i++) {
            expected[word >> (8 * i) & 0xff]++;
        }
    }
    assert_memory_equal(seen, expected, sizeof(seen));
}

static void test_take_more_than_there_is(void **state)
{
    struct fixture *fixture = *state;
    uint8_t buffer[64];

    start(fixture);
    memset(buffer, 0xee, sizeof(buffer));
    entropy_refill(&fixture->core, 2);
    assert_int_equal(entropy_take(&fixture->core, buffer, sizeof(buffer)), 16);
    for (unsigned i = 16; i < sizeof(buffer); i++) {
        assert_int_equal(buffer[i], 0xee);
    }
    assert_int_equal(entropy_take(&fixture->core, buffer, sizeof(buffer)), 0);
    assert_int_equal(entropy_take(&fixture->core, buffer, 0), 0);
}

static void test_low_water(void **state)
{
    struct fixture *fixture = *state;
    uint8_t buffer[1024];

    assert_true(entropy_counters(&fixture->core).pool_low_water == ENTROPY_POOL_SIZE);
    start(fixture);
    entropy_refill(&fixture->core, POOL_WORDS);
    assert_true(entropy_counters(&fixture->core).pool_low_water == ENTROPY_POOL_SIZE);
    entropy_take(&fixture->core, buffer, 1000);
    assert_true(entropy_counters(&fixture->core).pool_low_water == 3096);
    entropy_refill(&fixture->core, POOL_WORDS);
    entropy_take(&fixture->core, buffer, 10);
    assert_true(entropy_counters(&fixture->core).pool_low_water == 3096);
    while (entropy_take(&fixture->core, buffer, sizeof(buffer)) > 0) {
    }
    assert_true(entropy_counters(&fixture->core).pool_low_water == 0);
}

/*
 * Dry, or returning 0 or all ones as success, at any position and for any length: a delay, counted,
 * and no trace in what is delivered.
 */
static void test_dry_at_each_position(void **state)
{
    struct fixture *fixture = *state;
    const enum script_mode modes[] = {SCRIPT_DRY, SCRIPT_ZERO, SCRIPT_ONES};
    const uint64_t lengths[] = {1, ENTROPY_TRIES - 1, ENTROPY_TRIES, ENTROPY_TRIES + 1,
                                3ULL * ENTROPY_TRIES};

    for (uint64_t position = 0; position < 40; position++) {
        for (unsigned variant = 0; variant < 15; variant++) {
            struct entropy_source source = script_source(&fixture->script);
            const uint64_t length = lengths[variant / 3];
            uint64_t words[40];
            unsigned total = 0;
            unsigned calls = 0;

            fixture->script = (struct script){0};
            entropy_init(&fixture->core, &source);
            start(fixture);
            fixture->script.mode = modes[variant % 3];
            fixture->script.from = ENTROPY_STARTUP_WORDS + position;
            fixture->script.tries = length;
            while (total < 40) {
                total += entropy_refill(&fixture->core, 40 - total);
                calls++;
                assert_true(calls <= 5);
            }
            assert_int_equal(calls, 1 + length / ENTROPY_TRIES);
            assert_int_equal(entropy_take(&fixture->core, words, sizeof(words)), sizeof(words));
            for (unsigned i = 0; i < 40; i++) {
                assert_true(words[i] == script_word(ENTROPY_STARTUP_WORDS + i));
            }
            struct entropy_counters counters = entropy_counters(&fixture->core);

            assert_true(counters.tries == ENTROPY_STARTUP_WORDS + 40 + length);
            assert_true(counters.tries == fixture->script.asked);
            assert_true(counters.failures == length);
            assert_true(counters.longest_failure_run == length);
            assert_true(counters.health_hits == 0);
            assert_int_equal(entropy_state(&fixture->core), ENTROPY_READY);
        }
    }
}

/* A call's tries are bounded, whatever the source does. */
static void test_bounded_tries(void **state)
{
    struct fixture *fixture = *state;

    fail_from_now(fixture, SCRIPT_DRY, FOREVER);
    assert_int_equal(entropy_refill(&fixture->core, 64), 0);
    assert_true(fixture->script.asked == ENTROPY_TRIES);
}

/* Plays `count` words after the start-up test. Returns whether the core took them as healthy. */
static bool healthy(struct fixture *fixture, const uint64_t *words, unsigned count)
{
    struct entropy_source source = script_source(&fixture->script);

    fixture->script = (struct script){0};
    entropy_init(&fixture->core, &source);
    start(fixture);
    fixture->script.words = words;
    fixture->script.word_count = count;
    fixture->script.from = ENTROPY_STARTUP_WORDS;
    unsigned good = entropy_refill(&fixture->core, count);
    bool ready = entropy_state(&fixture->core) == ENTROPY_READY;

    assert_int_equal(entropy_counters(&fixture->core).health_hits, ready ? 0 : 1);
    assert_int_equal(entropy_level(&fixture->core), ready ? count * 8 : 0);
    assert_int_equal(good == count, ready);
    return ready;
}

static void test_word_repetition(void **state)
{
    const uint64_t apart[] = {0x0123456789abcdef, 1, 0x0123456789abcdef};
    const uint64_t twice[] = {0x0123456789abcdef, 0x0123456789abcdef};

    assert_true(healthy(*state, apart, 3));
    assert_false(healthy(*state, twice, 2));
    assert_true(healthy(*state, twice, 1));
}

/* Eight equal bytes in a row pass and nine do not, also across words. */
static void test_byte_repetition(void **state)
{
    const uint64_t eight[] = {0x5555555544332211, 0x9988776655555555};
    const uint64_t nine[] = {0x5555555544332211, 0x9988775555555555};
    const uint64_t zeros[] = {0x0000000044332211, 0x9988770000000000};

    assert_true(healthy(*state, eight, 2));
    assert_false(healthy(*state, nine, 2));
    assert_false(healthy(*state, zeros, 2));
}

/* A window whose first byte occurs `matches` times in all, and the others twice each or so. */
static void make_window(uint8_t *bytes, unsigned matches)
{
    unsigned count = 1;

    for (unsigned i = 0; i < 512; i++) {
        bytes[i] = (uint8_t)(1 + i % 250);
    }
    bytes[250] = 0xfe;
    bytes[500] = 0xfe;
    for (unsigned i = 511; count < matches; i -= 7) {
        bytes[i] = bytes[0];
        count++;
    }
}

static void test_proportion(void **state)
{
    uint64_t windows[128];
    uint8_t *bytes = (uint8_t *)windows;

    make_window(bytes, 25);
    assert_true(healthy(*state, windows, 64));
    make_window(bytes, 26);
    assert_false(healthy(*state, windows, 64));
    /* One short of the window's end it is not over the line yet. */
    assert_true(healthy(*state, windows, 63));
    /* Each window counts for itself. */
    make_window(bytes, 25);
    make_window(bytes + 512, 25);
    assert_true(healthy(*state, windows, 128));
    make_window(bytes + 512, 26);
    assert_false(healthy(*state, windows, 128));
}

/* A hit throws away the pool, tested or not, and stops delivery. */
static void test_fault_discards_the_pool(void **state)
{
    struct fixture *fixture = *state;
    uint8_t buffer[8];

    start(fixture);
    entropy_refill(&fixture->core, 100);
    fail_from_now(fixture, SCRIPT_STUCK, FOREVER);
    assert_int_equal(entropy_refill(&fixture->core, 100), 1);
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_STARTING);
    assert_int_equal(entropy_level(&fixture->core), 0);
    assert_int_equal(entropy_take(&fixture->core, buffer, sizeof(buffer)), 0);
    for (unsigned i = 0; i < ENTROPY_POOL_SIZE; i++) {
        assert_int_equal(fixture->core.pool[i], 0);
    }
    assert_true(entropy_counters(&fixture->core).health_hits == 1);
}

/* The back-off doubles; the start-up test then starts from its beginning. */
static void test_backoff_and_recovery(void **state)
{
    struct fixture *fixture = *state;
    uint64_t word;

    start(fixture);
    fail_from_now(fixture, SCRIPT_STUCK, 2);
    assert_int_equal(entropy_refill(&fixture->core, 8), 1);
    uint64_t asked = fixture->script.asked;

    assert_int_equal(entropy_refill(&fixture->core, 8), 0);
    assert_int_equal(entropy_refill(&fixture->core, 8), 0);
    assert_true(fixture->script.asked == asked);
    assert_int_equal(entropy_refill(&fixture->core, 2000), ENTROPY_STARTUP_WORDS + POOL_WORDS);
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_READY);
    assert_int_equal(entropy_take(&fixture->core, &word, 8), 8);
    assert_true(word == script_word(fixture->script.played - 1));
}

/* Refills and drains until something happens; returns the calls that took. */
static unsigned refill_until(struct fixture *fixture, enum entropy_state wanted, unsigned limit)
{
    unsigned calls = 0;

    while (entropy_state(&fixture->core) != wanted) {
        uint8_t buffer[512];

        entropy_refill(&fixture->core, 64);
        entropy_take(&fixture->core, buffer, sizeof(buffer));
        calls++;
        assert_true(calls <= limit);
    }
    return calls;
}

/* Four faults with nothing good between them are permanent, until the source passes again. */
static void test_permanent_fault(void **state)
{
    struct fixture *fixture = *state;
    const enum script_mode modes[] = {SCRIPT_STUCK, SCRIPT_REPEAT, SCRIPT_BIASED};

    for (unsigned i = 0; i < 3; i++) {
        start(fixture);
        fail_from_now(fixture, modes[i], FOREVER);
        refill_until(fixture, ENTROPY_FAULT, 500);
        assert_true(entropy_counters(&fixture->core).health_hits == ENTROPY_FAULT_LIMIT);
        /* A bias of one byte in ten gets through one start-up test in five. */
        for (unsigned j = 0; modes[i] != SCRIPT_BIASED && j < 1000; j++) {
            uint8_t byte;

            entropy_refill(&fixture->core, 64);
            assert_int_equal(entropy_state(&fixture->core), ENTROPY_FAULT);
            assert_int_equal(entropy_take(&fixture->core, &byte, 1), 0);
        }
        /* Good again: one whole start-up test later it delivers. */
        fixture->script.tries = 0;
        refill_until(fixture, ENTROPY_READY, 300);
        tear_down(state);
        set_up(state);
        fixture = *state;
    }
}

/* A source that recovers is on probation: the next hit is permanent at once, later ones are not. */
static void test_probation(void **state)
{
    struct fixture *fixture = *state;
    uint8_t buffer[512];

    start(fixture);
    fail_from_now(fixture, SCRIPT_STUCK, FOREVER);
    refill_until(fixture, ENTROPY_FAULT, 100);
    fixture->script.tries = 0;
    refill_until(fixture, ENTROPY_READY, 300);
    fail_from_now(fixture, SCRIPT_STUCK, 2);
    entropy_refill(&fixture->core, 8);
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_FAULT);
    refill_until(fixture, ENTROPY_READY, 300);
    uint64_t since = fixture->script.played;

    while (fixture->script.played < since + ENTROPY_PROVEN_WORDS + 64) {
        entropy_refill(&fixture->core, 64);
        entropy_take(&fixture->core, buffer, sizeof(buffer));
    }
    fail_from_now(fixture, SCRIPT_STUCK, 2);
    entropy_refill(&fixture->core, 8);
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_STARTING);
}

/* Dry for far too long is a fault too, in the end a permanent one. */
static void test_dry_for_good(void **state)
{
    struct fixture *fixture = *state;

    start(fixture);
    entropy_refill(&fixture->core, 16);
    fail_from_now(fixture, SCRIPT_DRY, FOREVER);
    for (unsigned i = 0; i < ENTROPY_DRY_LIMIT / ENTROPY_TRIES - 1; i++) {
        entropy_refill(&fixture->core, 8);
    }
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_READY);
    assert_int_equal(entropy_level(&fixture->core), 128);
    entropy_refill(&fixture->core, 8);
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_STARTING);
    assert_int_equal(entropy_level(&fixture->core), 0);
    refill_until(fixture, ENTROPY_FAULT, 4 * ENTROPY_DRY_LIMIT / ENTROPY_TRIES);
    assert_true(entropy_counters(&fixture->core).health_hits == 0);
    assert_true(entropy_counters(&fixture->core).longest_failure_run == ENTROPY_DRY_LIMIT);
    fixture->script.tries = 0;
    refill_until(fixture, ENTROPY_READY, 300);
}

/* A stuck source fails the very first start-up test. */
static void test_stuck_from_the_start(void **state)
{
    struct fixture *fixture = *state;

    fail_from_now(fixture, SCRIPT_STUCK, FOREVER);
    refill_until(fixture, ENTROPY_FAULT, 100);
    assert_int_equal(entropy_level(&fixture->core), 0);
}

/* A slow bias, one byte in ten the same, shows within some windows. */
static void test_slow_bias(void **state)
{
    struct fixture *fixture = *state;
    uint8_t buffer[512];

    start(fixture);
    fail_from_now(fixture, SCRIPT_BIASED, FOREVER);
    uint64_t before = fixture->script.played;

    while (entropy_state(&fixture->core) == ENTROPY_READY) {
        entropy_refill(&fixture->core, 64);
        entropy_take(&fixture->core, buffer, sizeof(buffer));
        assert_true(fixture->script.played - before < 12800);
    }
    assert_true(entropy_counters(&fixture->core).health_hits == 1);
}

/* A good source is never suspected: 64 MiB of it. */
static void test_no_false_alarm(void **state)
{
    struct fixture *fixture = *state;
    uint8_t buffer[ENTROPY_POOL_SIZE];

    start(fixture);
    for (unsigned i = 0; i < 16384; i++) {
        assert_int_equal(entropy_refill(&fixture->core, POOL_WORDS), POOL_WORDS);
        assert_int_equal(entropy_take(&fixture->core, buffer, sizeof(buffer)), sizeof(buffer));
    }
    assert_true(entropy_counters(&fixture->core).health_hits == 0);
}

/* Another chance: one start-up test, and its failure is permanent again. */
static void test_retry(void **state)
{
    struct fixture *fixture = *state;

    entropy_retry(&fixture->core);
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_STARTING);
    start(fixture);
    entropy_retry(&fixture->core);
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_READY);
    fail_from_now(fixture, SCRIPT_STUCK, FOREVER);
    refill_until(fixture, ENTROPY_FAULT, 100);
    entropy_retry(&fixture->core);
    assert_int_equal(entropy_state(&fixture->core), ENTROPY_STARTING);
    assert_int_equal(refill_until(fixture, ENTROPY_FAULT, 100), 1);
    entropy_retry(&fixture->core);
    fixture->script.tries = 0;
    assert_int_equal(refill_until(fixture, ENTROPY_READY, 100), ENTROPY_STARTUP_WORDS / 64);
}

/* Several CPUs at one core: nothing is delivered twice or lost. */
#define CPUS        3U
#define TAKES_A_CPU 100000U

static bool counting_read(void *context, uint64_t *word)
{
    *word = script_word(__atomic_fetch_add((uint64_t *)context, 1, __ATOMIC_RELAXED));
    return true;
}

struct cpu {
    struct entropy_core *core;
    pthread_barrier_t *together;
    uint64_t words[TAKES_A_CPU];
};

static void *cpu_thread(void *argument)
{
    struct cpu *cpu = argument;

    pthread_barrier_wait(cpu->together);
    for (unsigned count = 0; count < TAKES_A_CPU;) {
        entropy_refill(cpu->core, 1 + count % 13);
        count += entropy_take(cpu->core, &cpu->words[count], 8) == 8;
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;

    return (first > second) - (first < second);
}

static void test_shared_between_cpus(void **state)
{
    struct fixture *fixture = *state;
    struct cpu *cpus = calloc(CPUS, sizeof(*cpus));
    uint64_t *all = calloc((size_t)CPUS * TAKES_A_CPU, sizeof(*all));
    uint64_t next = 0;
    const struct entropy_source source = {.read = counting_read, .context = &next};
    pthread_t threads[CPUS];
    pthread_barrier_t together;

    assert_int_equal(pthread_barrier_init(&together, NULL, CPUS), 0);
    assert_non_null(cpus);
    assert_non_null(all);
    entropy_init(&fixture->core, &source);
    for (unsigned i = 0; i < CPUS; i++) {
        cpus[i].core = &fixture->core;
        cpus[i].together = &together;
        assert_int_equal(pthread_create(&threads[i], NULL, cpu_thread, &cpus[i]), 0);
    }
    for (unsigned i = 0; i < CPUS; i++) {
        pthread_join(threads[i], NULL);
        memcpy(all + (size_t)i * TAKES_A_CPU, cpus[i].words, sizeof(cpus[i].words));
    }
    qsort(all, (size_t)CPUS * TAKES_A_CPU, sizeof(*all), compare);
    for (unsigned i = 1; i < CPUS * TAKES_A_CPU; i++) {
        assert_true(all[i] != all[i - 1]);
    }
    struct entropy_counters counters = entropy_counters(&fixture->core);

    assert_true(counters.bytes_delivered == 8ULL * CPUS * TAKES_A_CPU);
    assert_true(counters.tries == next);
    assert_true(counters.health_hits == 0);
    pthread_barrier_destroy(&together);
    free(all);
    free(cpus);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_startup),
        TEST(test_pool_fills_and_stops),
        TEST(test_each_byte_once_and_wiped),
        TEST(test_take_more_than_there_is),
        TEST(test_low_water),
        TEST(test_dry_at_each_position),
        TEST(test_bounded_tries),
        TEST(test_word_repetition),
        TEST(test_byte_repetition),
        TEST(test_proportion),
        TEST(test_fault_discards_the_pool),
        TEST(test_backoff_and_recovery),
        TEST(test_permanent_fault),
        TEST(test_probation),
        TEST(test_dry_for_good),
        TEST(test_stuck_from_the_start),
        TEST(test_slow_bias),
        TEST(test_no_false_alarm),
        TEST(test_retry),
        TEST(test_shared_between_cpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
