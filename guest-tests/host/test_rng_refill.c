/* Tests of refilling the pool: what happens in the middle of words that are read in one go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/rng/entropy.h"
#include "guest-tests/host/scripted_source.h"

#define POOL_WORDS (ENTROPY_POOL_SIZE / 8)

/*
 * The script, and what another CPU does while this one reads: the lock is free then, so that it can
 * be done from within a read. The places that words were read to are on the reader's stack.
 */
static struct script script;
static struct entropy_core core;
static void (*meanwhile)(void); /* before word `when` */
static uint64_t when;
static const uint64_t *first_tries; /* before the script goes on; 0: one that fails */
static unsigned try_count;
static const uint64_t *places[ENTROPY_STARTUP_WORDS];
static unsigned place_count;
static unsigned notice_count;

static bool read_with_others(void *context, uint64_t *word)
{
    void (*others)(void) = meanwhile;

    (void)context;
    if (others != NULL && script.played == when) {
        meanwhile = NULL;
        others();
    }
    places[place_count++ % ENTROPY_STARTUP_WORDS] = word;
    if (try_count > 0) {
        try_count--;
        *word = *first_tries++;
        return true;
    }
    return script_read(&script, word);
}

static int set_up(void **state)
{
    const struct entropy_source source = {.name = "script", .read = read_with_others};

    (void)state;
    script = (struct script){0};
    meanwhile = NULL;
    try_count = 0;
    place_count = 0;
    notice_count = 0;
    entropy_init(&core, &source);
    assert_int_equal(entropy_refill(&core, ENTROPY_STARTUP_WORDS), ENTROPY_STARTUP_WORDS);
    return 0;
}

static void set_meanwhile(void (*others)(void), unsigned words)
{
    meanwhile = others;
    when = script.played + words;
}

static void fail_after(enum script_mode mode, unsigned words, uint64_t length)
{
    script.mode = mode;
    script.from = script.played + words;
    script.tries = length;
}

/* Wherever it is: what was good before it goes with the rest, what was read behind it is nothing.
 */
static void test_hit_at_each_position(void **state)
{
    for (unsigned position = 0; position < 70; position++) {
        set_up(state);
        assert_int_equal(entropy_refill(&core, 100), 100);
        fail_after(SCRIPT_STUCK, position, 2);
        assert_int_equal(entropy_refill(&core, 72), position + 1);
        struct entropy_counters counters = entropy_counters(&core);

        assert_true(counters.words == ENTROPY_STARTUP_WORDS + 100 + position + 1);
        assert_true(counters.tries == counters.words + 1);
        assert_true(counters.hits[HEALTH_WORD_REPETITION] == 1 && counters.health_hits == 1);
        assert_int_equal(entropy_state(&core), ENTROPY_STARTING);
        assert_int_equal(entropy_level(&core), 0);
        for (unsigned i = 0; i < ENTROPY_POOL_SIZE; i++) {
            assert_int_equal(core.pool[i], 0);
        }
        /* The back-off of two calls, and a start-up test from its beginning. */
        assert_int_equal(entropy_refill(&core, 1), 0);
        assert_int_equal(entropy_refill(&core, 1), 0);
        assert_int_equal(entropy_refill(&core, 2000), ENTROPY_STARTUP_WORDS + POOL_WORDS);
    }
}

static struct entropy_counters after_tries(const uint64_t *words, unsigned count, unsigned good)
{
    set_up(NULL);
    first_tries = words;
    try_count = count;
    assert_int_equal(entropy_refill(&core, 20), good);
    return entropy_counters(&core);
}

/* A hit behind failed tries, which count, and before some, which do not any more. */
static void test_hit_and_failures(void **state)
{
    const uint64_t behind[] = {0x4142434445464748, 0, 0, UINT64_MAX, 0x4142434445464748};
    const uint64_t before[] = {0x4142434445464748, 0x4142434445464748, 0, 0, 0x1112131415161718};
    const uint64_t between[] = {1, 0, 0x4142434445464748, 0, 0, 0x4142434445464748, 2};
    struct entropy_counters counters = after_tries(behind, 5, 1);

    (void)state;
    assert_true(counters.health_hits == 1);
    assert_true(counters.tries == ENTROPY_STARTUP_WORDS + 5);
    assert_true(counters.failures == 3 && counters.longest_failure_run == 3);
    counters = after_tries(before, 5, 1);
    assert_true(counters.health_hits == 1);
    assert_true(counters.tries == ENTROPY_STARTUP_WORDS + 2);
    assert_true(counters.failures == 0 && counters.longest_failure_run == 0);
    counters = after_tries(between, 7, 2);
    assert_true(counters.health_hits == 1);
    assert_true(counters.words == ENTROPY_STARTUP_WORDS + 2);
    assert_true(counters.tries == ENTROPY_STARTUP_WORDS + 6);
    assert_true(counters.failures == 3 && counters.longest_failure_run == 2);
    assert_int_equal(core.failure_run, 0);
}

/* A fault is forgotten with the word after the long good stretch, whatever is read with it. */
static void test_proven_inside(void **state)
{
    uint8_t sink[ENTROPY_POOL_SIZE];

    (void)state;
    fail_after(SCRIPT_STUCK, 0, 2);
    assert_int_equal(entropy_refill(&core, 2), 1);
    /* Asked for nothing it does not come nearer to the end of its back-off. */
    assert_int_equal(entropy_refill(&core, 0), 0);
    assert_int_equal(core.backoff, 2);
    entropy_refill(&core, 1);
    entropy_refill(&core, 1);
    assert_int_equal(entropy_refill(&core, ENTROPY_STARTUP_WORDS), ENTROPY_STARTUP_WORDS);
    for (unsigned i = 0; i < ENTROPY_PROVEN_WORDS; i += 256) {
        assert_int_equal(entropy_refill(&core, 256), 256);
        entropy_take(&core, sink, sizeof(sink));
    }
    assert_int_equal(core.good_words, ENTROPY_PROVEN_WORDS);
    assert_int_equal(core.faults, 1);
    assert_int_equal(entropy_refill(&core, 20), 20);
    assert_int_equal(core.good_words, ENTROPY_PROVEN_WORDS);
    assert_int_equal(core.faults, 0);
}

/* With the pool full, a test on demand asks for its own words and no more. */
static void test_test_of_a_full_pool(void **state)
{
    (void)state;
    assert_int_equal(entropy_refill(&core, 10000), POOL_WORDS);
    entropy_self_test(&core);
    assert_int_equal(entropy_refill(&core, 10), 10);
    assert_int_equal(entropy_refill(&core, 10000), ENTROPY_STARTUP_WORDS - 10);
    assert_true(script.asked == 2 * ENTROPY_STARTUP_WORDS + POOL_WORDS);
    assert_false(entropy_testing(&core));
}

/* Each number of words in one call: all of them arrive in order, none twice. */
static void test_each_number_of_words(void **state)
{
    uint64_t words[POOL_WORDS];

    for (unsigned count = 1; count < 140; count++) {
        set_up(state);
        assert_int_equal(entropy_refill(&core, count), count);
        assert_true(script.asked == ENTROPY_STARTUP_WORDS + count);
        assert_int_equal(entropy_take(&core, words, sizeof(words)), 8 * count);
        for (unsigned i = 0; i < count; i++) {
            assert_true(words[i] == script_word(ENTROPY_STARTUP_WORDS + i));
        }
    }
}

static void fill_all_but_five(void)
{
    uint8_t sink[36];

    assert_false(core.lock.held);
    assert_int_equal(entropy_refill(&core, 1000), POOL_WORDS);
    assert_int_equal(entropy_take(&core, sink, sizeof(sink)), sizeof(sink));
}

/* Another CPU filled the pool: of this one's words as many are kept as whole ones fit. */
static void test_pool_filled_meanwhile(void **state)
{
    uint64_t words[POOL_WORDS];
    uint64_t next;

    (void)state;
    set_meanwhile(fill_all_but_five, 3);
    assert_int_equal(entropy_refill(&core, 8), 8);
    assert_int_equal(entropy_level(&core), ENTROPY_POOL_SIZE - 4);
    assert_true(entropy_counters(&core).words == ENTROPY_STARTUP_WORDS + POOL_WORDS + 8);
    assert_int_equal(entropy_take(&core, words, 32), 32);
    /* The first three were read before the others', the fourth behind them. */
    for (unsigned i = 0; i < 4; i++) {
        next = ENTROPY_STARTUP_WORDS + i + (i < 3 ? 0 : POOL_WORDS);
        assert_true(words[i] == script_word(next));
    }
    assert_int_equal(entropy_take(&core, words, sizeof(words)), ENTROPY_POOL_SIZE - 36);
}

static void fail_the_source(void)
{
    fail_after(SCRIPT_STUCK, 0, 2);
    assert_int_equal(entropy_refill(&core, 2), 1);
    assert_int_equal(entropy_state(&core), ENTROPY_STARTING);
}

/* Another CPU saw a fault: this one's words are the first of the start-up test, then it backs off.
 */
static void test_fault_meanwhile(void **state)
{
    (void)state;
    set_meanwhile(fail_the_source, 3);
    assert_int_equal(entropy_refill(&core, 100), 32);
    assert_int_equal(core.startup_words, 32);
    assert_int_equal(core.backoff, 1);
    assert_int_equal(entropy_level(&core), 0);
}

static void test_on_demand(void)
{
    entropy_self_test(&core);
    assert_int_equal(entropy_refill(&core, ENTROPY_STARTUP_WORDS - 10), ENTROPY_STARTUP_WORDS - 10);
}

/* Another CPU is nearly done with a test: ten of this one's words end it, the others are kept. */
static void test_test_ends_inside(void **state)
{
    uint64_t words[6];

    (void)state;
    set_meanwhile(test_on_demand, 0);
    assert_int_equal(entropy_refill(&core, 16), 16);
    assert_false(entropy_testing(&core));
    assert_true(entropy_counters(&core).tests_passed == 2);
    assert_int_equal(entropy_take(&core, words, sizeof(words)), sizeof(words));
    assert_int_equal(entropy_level(&core), 0);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(words[i] == script_word(2 * ENTROPY_STARTUP_WORDS + i));
    }
}

static void fold(const uint8_t in[ENTROPY_CONDITIONER_IN], uint8_t out[ENTROPY_CONDITIONER_OUT])
{
    for (unsigned i = 0; i < ENTROPY_CONDITIONER_OUT; i++) {
        out[i] = in[i] ^ in[i + ENTROPY_CONDITIONER_OUT];
    }
}

static void fill_up(void)
{
    assert_int_equal(entropy_refill(&core, 10000), 2 * POOL_WORDS);
}

/* With a conditioner: words beyond a block start the next, and a block without room is dropped. */
static void test_conditioned_meanwhile(void **state)
{
    (void)state;
    core.condition = fold;
    set_meanwhile(test_on_demand, 0);
    assert_int_equal(entropy_refill(&core, 8), 8);
    assert_int_equal(entropy_refill(&core, 2), 2);
    assert_int_equal(entropy_refill(&core, 30), 30);
    assert_int_equal(core.block_words, 6);
    assert_int_equal(entropy_level(&core), 3 * ENTROPY_CONDITIONER_OUT);
    set_up(state);
    core.condition = fold;
    set_meanwhile(fill_up, 5);
    assert_int_equal(entropy_refill(&core, 8), 8);
    assert_int_equal(core.block_words, 0);
    assert_int_equal(entropy_level(&core), ENTROPY_POOL_SIZE);
    for (unsigned i = 0; i < ENTROPY_CONDITIONER_IN / 8; i++) {
        assert_true(core.block[i] == 0);
    }
}

/* Whoever is told of something finds nothing left of the words that were read just before. */
static void look_for_words(const struct entropy_core *from, const struct entropy_notice *notice)
{
    (void)from;
    (void)notice;
    assert_in_range(place_count, 1, 32);
    for (unsigned i = 0; i < place_count; i++) {
        assert_true(*places[i] == 0);
    }
    notice_count++;
}

static void test_words_are_wiped(void **state)
{
    (void)state;
    core.notify = look_for_words;
    /* A test passes, and a hit in the middle. */
    entropy_self_test(&core);
    assert_int_equal(entropy_refill(&core, ENTROPY_STARTUP_WORDS - 20), ENTROPY_STARTUP_WORDS - 20);
    place_count = 0;
    assert_int_equal(entropy_refill(&core, 20), 20);
    assert_int_equal(notice_count, 1);
    place_count = 0;
    fail_after(SCRIPT_STUCK, 10, 2);
    assert_int_equal(entropy_refill(&core, 20), 11);
    assert_int_equal(notice_count, 2);
    /* Dry for too long; what a failed try left behind is wiped as well. */
    set_up(state);
    core.notify = look_for_words;
    core.failure_run = ENTROPY_DRY_LIMIT - ENTROPY_TRIES;
    place_count = 0;
    fail_after(SCRIPT_ONES, 0, ENTROPY_TRIES);
    assert_int_equal(entropy_refill(&core, 20), 0);
    assert_int_equal(notice_count, 1);
    assert_true(entropy_counters(&core).dry_faults == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_hit_at_each_position, set_up),
        cmocka_unit_test_setup(test_hit_and_failures, set_up),
        cmocka_unit_test_setup(test_proven_inside, set_up),
        cmocka_unit_test_setup(test_test_of_a_full_pool, set_up),
        cmocka_unit_test_setup(test_each_number_of_words, set_up),
        cmocka_unit_test_setup(test_pool_filled_meanwhile, set_up),
        cmocka_unit_test_setup(test_fault_meanwhile, set_up),
        cmocka_unit_test_setup(test_test_ends_inside, set_up),
        cmocka_unit_test_setup(test_conditioned_meanwhile, set_up),
        cmocka_unit_test_setup(test_words_are_wiped, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
