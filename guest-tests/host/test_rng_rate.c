/* Tests of the rate limit: never more in any period, and exactly as much for who takes what it can.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/rng/rate.h"
#include "guest-tests/host/scripted_source.h"

#define PERIOD     1000000ULL
#define DELIVERIES 100000U

static struct rate rate;

/* Everything that was delivered, to be looked at from outside. */
static struct {
    uint64_t time;
    uint64_t bytes;
} delivered[DELIVERIES];
static unsigned deliveries;

static void deliver(uint64_t now, uint64_t bytes)
{
    rate_spend(&rate, now, bytes);
    assert_true(deliveries < DELIVERIES);
    delivered[deliveries].time = now;
    delivered[deliveries++].bytes = bytes;
}

/* The most bytes in any half-open period: one that matters begins with a delivery. */
static uint64_t most_in_a_period(void)
{
    uint64_t most = 0;
    uint64_t sum = 0;
    unsigned end = 0;

    for (unsigned begin = 0; begin < deliveries; begin++) {
        while (end < deliveries && delivered[end].time < delivered[begin].time + PERIOD) {
            sum += delivered[end++].bytes;
        }
        most = sum > most ? sum : most;
        sum -= delivered[begin].bytes;
    }
    return most;
}

static uint64_t delivered_before(uint64_t time)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < deliveries && delivered[i].time < time; i++) {
        sum += delivered[i].bytes;
    }
    return sum;
}

static int set_up(void **state)
{
    (void)state;
    deliveries = 0;
    return 0;
}

static void test_without_limit(void **state)
{
    (void)state;
    rate_init(&rate, 0, 0);
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(rate_allowance(&rate, i) == UINT64_MAX);
        rate_spend(&rate, i, 1 << 30);
    }
    assert_true(rate_next(&rate) == UINT64_MAX);
}

/* To the tick: not before the period is over, and then at once. */
static void test_boundary(void **state)
{
    (void)state;
    rate_init(&rate, 100, PERIOD);
    assert_true(rate_next(&rate) == UINT64_MAX);
    assert_true(rate_allowance(&rate, 7) == 100);
    deliver(7, 60);
    assert_true(rate_allowance(&rate, 8) == 40);
    deliver(9, 40);
    assert_true(rate_allowance(&rate, 10) == 0);
    assert_true(rate_next(&rate) == 7 + PERIOD);
    assert_true(rate_allowance(&rate, 6 + PERIOD) == 0);
    assert_true(rate_allowance(&rate, 7 + PERIOD) == 60);
    assert_true(rate_next(&rate) == 9 + PERIOD);
    assert_true(rate_allowance(&rate, 9 + PERIOD) == 100);
    assert_true(rate_next(&rate) == UINT64_MAX);
}

/* A reader of requests of `size` bytes that asks again `pause` ticks after each is filled. */
static void read_greedily(uint64_t bytes, uint64_t size, uint64_t pause, uint64_t until)
{
    uint64_t now = 12345;

    rate_init(&rate, bytes, PERIOD);
    deliveries = 0;
    while (now < until + 12345) {
        uint64_t allowance = rate_allowance(&rate, now);

        if (allowance == 0) {
            assert_true(rate_next(&rate) > now);
            now = rate_next(&rate);
            continue;
        }
        deliver(now, allowance < size ? allowance : size);
        now += pause;
    }
}

/* The error over 1, 10 and 100 periods is 0 while RATE_EXACT deliveries make up a period's bytes.
 */
static void test_exact(void **state)
{
    static const struct {
        uint64_t bytes, size, pause;
    } cases[] = {
        {4096, 64, 40}, {4096, 64, 15000}, {1000, 64, 10},   {1, 64, 5},
        {16, 64, 1},    {100, 2, 1000},    {1000000, 64, 0},
    };
    static const unsigned periods[] = {1, 10, 100};

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned most = cases[i].pause == 0 ? 2 : 3; /* that one makes a great many deliveries */

        for (unsigned j = 0; j < most; j++) {
            uint64_t end = periods[j] * PERIOD;

            if (cases[i].pause == 0 && j > 0) {
                end = 5 * PERIOD;
            }
            read_greedily(cases[i].bytes, cases[i].size, cases[i].pause, end);
            assert_true(delivered_before(end + 12345) == end / PERIOD * cases[i].bytes);
            assert_true(most_in_a_period() == cases[i].bytes);
        }
    }
}

/* With more deliveries the limit is never exceeded, and undercut by a step in a period at most. */
static void test_joined(void **state)
{
    static const uint64_t pauses[] = {1, 10, 50, 60};
    static const unsigned periods[] = {1, 5, 20};
    const uint64_t bytes = 64000;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 3; j++) {
            read_greedily(bytes, 64, pauses[i] * 15, periods[j] * PERIOD);
            uint64_t due = periods[j] * bytes;
            uint64_t got = delivered_before(periods[j] * PERIOD + 12345);

            assert_true(most_in_a_period() == bytes);
            assert_true(got <= due && (due - got) * RATE_STEPS <= due);
            printf("%lu bytes by 64, one every %lu ppm of a period: %lu of %lu in %u periods\n",
                   (unsigned long)bytes, (unsigned long)pauses[i] * 15, (unsigned long)got,
                   (unsigned long)due, periods[j]);
        }
    }
}

/* Whatever is asked for and whenever: no period has more, and no entry is ever without a place. */
static void test_any_reader(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 300; round++) {
        uint64_t bytes = 1 + script_word(round) % (1ULL << (1 + round % 24));
        uint64_t step = 1ULL << (round % 21);
        uint64_t now = round;

        rate_init(&rate, bytes, PERIOD);
        deliveries = 0;
        for (uint64_t i = 0; i < 3000; i++) {
            uint64_t dice = script_word(round * 3000 + i + 77777);
            uint64_t allowance = rate_allowance(&rate, now);

            assert_true(allowance <= bytes);
            if (allowance > 0) {
                uint64_t size = 1 + dice % 300;

                deliver(now, size < allowance ? size : allowance);
            } else if ((dice >> 20) % 3 == 0) {
                now = rate_next(&rate);
            }
            now += (dice >> 32) % step;
            assert_true(rate.count < RATE_ENTRIES);
        }
        assert_true(most_in_a_period() <= bytes);
    }
}

/* Clocks of two CPUs that are a little apart, one after the other. */
static void test_clock_that_goes_back(void **state)
{
    (void)state;
    rate_init(&rate, 100, PERIOD);
    deliver(5000, 30);
    assert_true(rate_allowance(&rate, 4990) == 70);
    rate_spend(&rate, 4990, 30);
    assert_true(rate_allowance(&rate, 4990 + PERIOD) == 40);
    assert_true(rate_allowance(&rate, 5000 + PERIOD) == 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_without_limit, set_up),
        cmocka_unit_test_setup(test_boundary, set_up),
        cmocka_unit_test_setup(test_exact, set_up),
        cmocka_unit_test_setup(test_joined, set_up),
        cmocka_unit_test_setup(test_any_reader, set_up),
        cmocka_unit_test_setup(test_clock_that_goes_back, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
