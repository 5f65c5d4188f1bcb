/* Tests of the comparison of two CPUs' time stamp counters: whose turn it is, and what a warp is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86/cpu/tsc_exchange.h"

static uint64_t counter;

static uint64_t read_counter(void)
{
    return counter;
}

/* A turn that must be this side's, with the counter at `now`. */
static void take(struct tsc_exchange *exchange, enum tsc_side side, uint64_t now)
{
    counter = now;
    assert_true(tsc_exchange_mine(exchange, side));
    assert_true(tsc_exchange_take(exchange, side, read_counter));
    assert_false(tsc_exchange_mine(exchange, side));
    assert_false(tsc_exchange_take(exchange, side, read_counter));
}

static void test_turns(void **state)
{
    struct tsc_exchange exchange = {0};

    (void)state;
    counter = 5;
    assert_false(tsc_exchange_mine(&exchange, TSC_OTHER));
    assert_false(tsc_exchange_take(&exchange, TSC_OTHER, read_counter));
    assert_int_equal(exchange.last, 0);
    take(&exchange, TSC_FIRST, 100);
    assert_int_equal(exchange.last, 100);
    take(&exchange, TSC_OTHER, 200);
    take(&exchange, TSC_FIRST, 300);
    assert_int_equal(exchange.turns, 3);
    assert_int_equal(exchange.last, 300);
    assert_int_equal(exchange.warp, 0);
}

/* Counters that stand still between turns, as an emulator's may, are in step. */
static void test_equal_is_no_warp(void **state)
{
    struct tsc_exchange exchange = {0};

    (void)state;
    take(&exchange, TSC_FIRST, UINT64_MAX);
    take(&exchange, TSC_OTHER, UINT64_MAX);
    take(&exchange, TSC_FIRST, UINT64_MAX);
    assert_int_equal(exchange.warp, 0);
}

static void test_other_is_behind(void **state)
{
    struct tsc_exchange exchange = {0};

    (void)state;
    take(&exchange, TSC_FIRST, 1000);
    take(&exchange, TSC_OTHER, 999);
    assert_int_equal(exchange.warp, 1);
    take(&exchange, TSC_FIRST, 1100);
    assert_int_equal(exchange.warp, 1);
}

static void test_first_is_behind(void **state)
{
    struct tsc_exchange exchange = {0};

    (void)state;
    take(&exchange, TSC_FIRST, 1000);
    take(&exchange, TSC_OTHER, 5000);
    assert_int_equal(exchange.warp, 0);
    take(&exchange, TSC_FIRST, 1040);
    assert_int_equal(exchange.warp, 3960);
}

/* A slow turn hides a part of the warp: the worst of all is what counts. */
static void test_worst_warp_is_kept(void **state)
{
    struct tsc_exchange exchange = {0};

    (void)state;
    take(&exchange, TSC_FIRST, 1000);
    take(&exchange, TSC_OTHER, 900);
    take(&exchange, TSC_FIRST, 1100);
    take(&exchange, TSC_OTHER, 950);
    assert_int_equal(exchange.warp, 150);
    take(&exchange, TSC_FIRST, 1200);
    take(&exchange, TSC_OTHER, 1101);
    assert_int_equal(exchange.warp, 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_equal_is_no_warp),
        cmocka_unit_test(test_other_is_behind),
        cmocka_unit_test(test_first_is_behind),
        cmocka_unit_test(test_worst_warp_is_kept),
    };

    return cmocka_run_group_tests_name("tsc_exchange", tests, NULL, NULL);
}
