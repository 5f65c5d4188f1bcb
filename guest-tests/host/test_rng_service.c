/* Tests of what the core does besides testing: tests on demand, notices, stirring, conditioning,
 * and fairness between devices.
 */
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

static struct script script;
static struct entropy_core core;
static struct entropy_notice notices[1000];
static unsigned notice_count;

static void record(const struct entropy_core *from, const struct entropy_notice *notice)
{
    assert_ptr_equal(from, &core);
    assert_false(core.lock.held);
    notices[notice_count++] = *notice;
}

static int set_up(void **state)
{
    const struct entropy_source source = script_source(&script);

    (void)state;
    script = (struct script){0};
    notice_count = 0;
    entropy_init(&core, &source);
    core.notify = record;
    return 0;
}

static void start(void)
{
    assert_int_equal(entropy_refill(&core, ENTROPY_STARTUP_WORDS), ENTROPY_STARTUP_WORDS);
    assert_int_equal(entropy_state(&core), ENTROPY_READY);
}

static void fail_from_now(enum script_mode mode, uint64_t tries)
{
    script.mode = mode;
    script.from = script.played;
    script.tries = tries;
}

/* On demand: the next 1,024 words are tested and dropped, the pool is delivered meanwhile. */
static void test_self_test(void **state)
{
    uint64_t words[POOL_WORDS];

    (void)state;
    assert_true(entropy_testing(&core));
    start();
    assert_false(entropy_testing(&core));
    assert_int_equal(entropy_refill(&core, POOL_WORDS), POOL_WORDS);
    entropy_self_test(&core);
    assert_true(entropy_testing(&core));
    assert_int_equal(entropy_state(&core), ENTROPY_READY);
    assert_int_equal(entropy_refill(&core, 24), 24);
    assert_int_equal(entropy_take(&core, words, 800), 800);
    assert_true(words[0] == script_word(ENTROPY_STARTUP_WORDS + POOL_WORDS - 100));
    assert_int_equal(entropy_take(&core, words, sizeof(words)), ENTROPY_POOL_SIZE - 800);
    entropy_self_test(&core); /* asked again: the same test goes on */
    assert_int_equal(entropy_refill(&core, 999), 999);
    assert_int_equal(entropy_take(&core, words, 8), 0);
    assert_true(entropy_counters(&core).tests_passed == 1);
    assert_int_equal(entropy_refill(&core, 3), 3);
    assert_false(entropy_testing(&core));
    assert_true(entropy_counters(&core).tests_passed == 2);
    assert_int_equal(entropy_take(&core, words, sizeof(words)), 16);
    assert_true(words[1] == script_word(script.played - 1));
    assert_int_equal(notice_count, 2);
    assert_int_equal(notices[1].state, ENTROPY_READY);
    assert_int_equal(notices[1].hit, HEALTH_PASSED);
    assert_false(notices[1].dry);
}

/* Its failure is a fault like any other. */
static void test_self_test_fails(void **state)
{
    uint8_t byte;

    (void)state;
    start();
    entropy_refill(&core, 10);
    entropy_self_test(&core);
    entropy_refill(&core, 500);
    fail_from_now(SCRIPT_STUCK, 2);
    entropy_refill(&core, 8);
    assert_int_equal(entropy_state(&core), ENTROPY_STARTING);
    assert_int_equal(entropy_take(&core, &byte, 1), 0);
    assert_int_equal(notices[notice_count - 1].hit, HEALTH_WORD_REPETITION);
    assert_int_equal(notices[notice_count - 1].faults, 1);
    /* Afterwards it is the start-up test that goes on: nothing is left of the other. */
    while (entropy_state(&core) != ENTROPY_READY) {
        entropy_refill(&core, 8);
    }
    assert_true(script.played == ENTROPY_STARTUP_WORDS + 10 + 500 + 8 + ENTROPY_STARTUP_WORDS);
    assert_int_equal(entropy_refill(&core, 8), 8);
    assert_int_equal(entropy_level(&core), 64);
}

/* While a start-up test is due anyway nothing changes; for a given-up source it is due at once. */
static void test_self_test_in_other_states(void **state)
{
    (void)state;
    entropy_refill(&core, 1000);
    entropy_self_test(&core);
    entropy_refill(&core, 24);
    assert_int_equal(entropy_state(&core), ENTROPY_READY);
    fail_from_now(SCRIPT_STUCK, FOREVER);
    while (entropy_state(&core) != ENTROPY_FAULT) {
        entropy_refill(&core, 64);
    }
    script.tries = 0;
    entropy_self_test(&core);
    assert_int_equal(entropy_state(&core), ENTROPY_STARTING);
    assert_int_equal(entropy_refill(&core, ENTROPY_STARTUP_WORDS), ENTROPY_STARTUP_WORDS);
    assert_int_equal(entropy_state(&core), ENTROPY_READY);
}

/* Every fault is told while there are few, and then ever fewer of them: no flood on the console. */
static void test_notices(void **state)
{
    (void)state;
    start();
    assert_int_equal(notice_count, 1);
    fail_from_now(SCRIPT_STUCK, FOREVER);
    for (unsigned i = 0; i < 400000; i++) {
        entropy_refill(&core, 64);
    }
    uint64_t faults = entropy_counters(&core).health_hits;

    assert_true(faults > 1000);
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(notices[i].hit, HEALTH_WORD_REPETITION);
        assert_int_equal(notices[i].faults, i);
        assert_int_equal(notices[i].state, ENTROPY_STARTING);
    }
    assert_int_equal(notices[4].state, ENTROPY_FAULT);
    assert_true(notices[15].number == 16);
    assert_true(notices[16].number == 32);
    assert_true(notices[17].number == 64);
    assert_true(notice_count < 16 + 10);
}

/* However many faults went untold: who was told of one is told that it is over, and once. */
static void test_notice_of_recovery(void **state)
{
    (void)state;
    start();
    fail_from_now(SCRIPT_STUCK, FOREVER);
    while (core.notices < 20) {
        entropy_refill(&core, 64);
    }
    script.mode = SCRIPT_GOOD;
    unsigned told = notice_count;

    while (entropy_state(&core) != ENTROPY_READY) {
        entropy_refill(&core, 64);
    }
    assert_int_equal(notice_count, told + 1);
    assert_true(notices[told].number == 21);
    assert_int_equal(notices[told].hit, HEALTH_PASSED);
    assert_int_equal(notices[told].state, ENTROPY_READY);
    entropy_self_test(&core);
    while (entropy_testing(&core)) {
        entropy_refill(&core, 64);
    }
    assert_int_equal(notice_count, told + 1);
}

static void test_dry_notice(void **state)
{
    (void)state;
    start();
    fail_from_now(SCRIPT_DRY, FOREVER);
    for (unsigned i = 0; i < ENTROPY_DRY_LIMIT / ENTROPY_TRIES; i++) {
        assert_int_equal(notice_count, 1);
        entropy_refill(&core, 8);
    }
    assert_int_equal(notice_count, 2);
    assert_true(notices[1].dry);
    assert_int_equal(notices[1].hit, HEALTH_PASSED);
    assert_true(entropy_counters(&core).dry_faults == 1);
}

/* Stirred in: XORed into the next words, once, and then gone. */
static void test_stir(void **state)
{
    uint64_t extra[40];
    uint64_t words[40];

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        extra[i] = script_word(5000 + i);
    }
    entropy_stir(&core, extra, 31);
    start();
    entropy_refill(&core, 4);
    entropy_take(&core, words, 32);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(words[i] == (script_word(ENTROPY_STARTUP_WORDS + i) ^ extra[2 - i]));
    }
    assert_true(words[3] == script_word(ENTROPY_STARTUP_WORDS + 3));
    /* More than fits is cut off, and twice the same is XORed too. */
    entropy_stir(&core, extra, sizeof(extra));
    entropy_stir(&core, extra, 8);
    entropy_refill(&core, 33);
    entropy_take(&core, words, 264);
    for (unsigned i = 0; i < 31; i++) {
        assert_true(words[i] == (script_word(ENTROPY_STARTUP_WORDS + 4 + i) ^ extra[31 - i]));
    }
    assert_true(words[31] == script_word(ENTROPY_STARTUP_WORDS + 4 + 31));
    assert_true(words[32] == script_word(ENTROPY_STARTUP_WORDS + 4 + 32));
    for (unsigned i = 0; i < ENTROPY_STIR_SIZE / 8; i++) {
        assert_true(core.stir[i] == 0);
    }
}

/* A conditioner whose working can be checked: the first and the second half, XORed. */
static void fold(const uint8_t in[ENTROPY_CONDITIONER_IN], uint8_t out[ENTROPY_CONDITIONER_OUT])
{
    for (unsigned i = 0; i < ENTROPY_CONDITIONER_OUT; i++) {
        out[i] = in[i] ^ in[i + ENTROPY_CONDITIONER_OUT];
    }
}

static void test_conditioner(void **state)
{
    uint64_t words[POOL_WORDS];

    (void)state;
    core.condition = fold;
    assert_int_equal(entropy_words_short(&core, NULL, 1), 8);
    assert_int_equal(entropy_words_short(&core, NULL, 32), 8);
    assert_int_equal(entropy_words_short(&core, NULL, 33), 16);
    start();
    assert_int_equal(entropy_refill(&core, 7), 7);
    assert_int_equal(entropy_level(&core), 0);
    assert_int_equal(entropy_refill(&core, 1), 1);
    assert_int_equal(entropy_level(&core), 32);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(core.block[i] == 0);
    }
    assert_int_equal(entropy_refill(&core, 100000), 2 * POOL_WORDS - 8);
    assert_int_equal(entropy_level(&core), ENTROPY_POOL_SIZE);
    assert_int_equal(entropy_take(&core, words, sizeof(words)), sizeof(words));
    for (unsigned i = 0; i < POOL_WORDS; i++) {
        uint64_t n = ENTROPY_STARTUP_WORDS + i / 4 * 8 + i % 4;

        assert_true(words[i] == (script_word(n) ^ script_word(n + 4)));
    }
    /* Room for less than a block's outcome is no room. */
    assert_int_equal(entropy_refill(&core, 100000), 2 * POOL_WORDS);
    entropy_take(&core, words, 31);
    assert_int_equal(entropy_refill(&core, 100), 0);
    entropy_take(&core, words, 1);
    assert_int_equal(entropy_refill(&core, 100), 8);
    /* What was gathered when a test failed is not used. */
    entropy_take(&core, words, 100);
    entropy_refill(&core, 5);
    fail_from_now(SCRIPT_STUCK, 2);
    entropy_refill(&core, 2);
    assert_int_equal(core.block_words, 0);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(core.block[i] == 0);
    }
}

static uint64_t time_now;

static uint64_t tick(void)
{
    return time_now += 10;
}

/* The clock is looked at around reads of the source only. */
static void test_ticks(void **state)
{
    uint8_t sink[64];

    (void)state;
    core.ticks = tick;
    time_now = 0;
    entropy_refill(&core, ENTROPY_STARTUP_WORDS);
    assert_true(entropy_counters(&core).ticks == 10 * ENTROPY_STARTUP_WORDS / 32);
    assert_true(entropy_counters(&core).words == ENTROPY_STARTUP_WORDS);
    entropy_refill(&core, POOL_WORDS);
    uint64_t before = time_now;

    entropy_refill(&core, POOL_WORDS);
    entropy_take(&core, sink, sizeof(sink));
    assert_true(time_now == before);
}

/*
 * One device asks without end and is never refused what is left over, while another, which asks now
 * and then, finds its bytes in the pool each time.
 */
static void test_share(void **state)
{
    struct entropy_share greedy = {0};
    struct entropy_share modest = {0};
    uint8_t buffer[64];
    uint64_t greedy_bytes = 0;

    (void)state;
    core.devices = 2;
    start();
    entropy_refill(&core, POOL_WORDS);
    for (unsigned round = 0; round < 10000; round++) {
        entropy_refill(&core, 8);
        for (unsigned i = 0; i < 100; i++) {
            greedy_bytes += entropy_take_share(&core, &greedy, buffer, sizeof(buffer));
        }
        if (round % 100 == 99) {
            assert_int_equal(entropy_take_share(&core, &modest, buffer, sizeof(buffer)), 64);
        }
    }
    /* All that was made went out, but for what lies ready. */
    assert_true(entropy_counters(&core).bytes_delivered == greedy_bytes + 6400);
    assert_true(greedy_bytes + 6400 + entropy_level(&core) == ENTROPY_POOL_SIZE + 639936);
    assert_in_range(entropy_level(&core), ENTROPY_RESERVE - ENTROPY_SHARE - 64, ENTROPY_RESERVE);
}

/* Alone, a device may have it all; with others, all but the reserve once it had its share. */
static void test_reserve(void **state)
{
    struct entropy_share share = {0};
    struct entropy_share other = {0};
    uint8_t buffer[ENTROPY_POOL_SIZE];

    (void)state;
    core.devices = 1;
    start();
    entropy_refill(&core, POOL_WORDS);
    assert_int_equal(entropy_take_share(&core, &share, buffer, 1000), 1000);
    assert_int_equal(entropy_take_share(&core, &share, buffer, sizeof(buffer)), 3096);
    core.devices = 2;
    entropy_refill(&core, POOL_WORDS);
    assert_int_equal(entropy_take_share(&core, &share, buffer, ENTROPY_SHARE), ENTROPY_SHARE);
    assert_int_equal(entropy_take_share(&core, &share, buffer, sizeof(buffer)),
                     ENTROPY_POOL_SIZE - ENTROPY_SHARE - ENTROPY_RESERVE);
    assert_int_equal(entropy_take_share(&core, &share, buffer, 1), 0);
    /* Beyond its share it waits for nothing less than the reserve and its bytes. */
    assert_int_equal(entropy_words_short(&core, &share, 64), 8);
    assert_int_equal(entropy_words_short(&core, &other, 64), 0);
    assert_int_equal(entropy_take_share(&core, &other, buffer, sizeof(buffer)), ENTROPY_SHARE);
    assert_int_equal(entropy_take_share(&core, &other, buffer, 1), 0);
    assert_int_equal(entropy_words_short(&core, &other, 64), (ENTROPY_SHARE + 64) / 8);
    /* The hypervisor itself takes what there is. */
    assert_int_equal(entropy_take(&core, buffer, sizeof(buffer)), ENTROPY_RESERVE - ENTROPY_SHARE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_self_test, set_up),
        cmocka_unit_test_setup(test_self_test_fails, set_up),
        cmocka_unit_test_setup(test_self_test_in_other_states, set_up),
        cmocka_unit_test_setup(test_notices, set_up),
        cmocka_unit_test_setup(test_notice_of_recovery, set_up),
        cmocka_unit_test_setup(test_dry_notice, set_up),
        cmocka_unit_test_setup(test_stir, set_up),
        cmocka_unit_test_setup(test_conditioner, set_up),
        cmocka_unit_test_setup(test_ticks, set_up),
        cmocka_unit_test_setup(test_share, set_up),
        cmocka_unit_test_setup(test_reserve, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
