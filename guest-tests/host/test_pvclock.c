/* Tests of the paravirtual clock: its two structures, its MSRs, and how exact its scale is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/pvclock.h"

#define RAM_BASE    0x1000U
#define RAM_SIZE    0x1000U
#define NANOSECONDS 1000000000U

static uint8_t ram[RAM_SIZE];
static struct guest_memory memory;
static struct pvclock pvclock;
static const struct wall_clock clock_2026 = {
    .unix_seconds = 1795219200, .ticks = 0x123456789abcdef0, .frequency = 2500000000};

static int set_up(void **state)
{
    (void)state;
    memset(ram, 0xa5, sizeof(ram));
    memory = (struct guest_memory){0};
    pvclock = (struct pvclock){0};
    return guest_memory_add(&memory, RAM_BASE, RAM_SIZE, ram) ? 0 : -1;
}

static uint64_t get(size_t offset, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, ram + offset, size);
    return value;
}

static bool put_msr(uint32_t index, uint64_t value)
{
    return pvclock_write_msr(&pvclock, &memory, &clock_2026, index, value);
}

static void assert_msr(uint32_t index, uint64_t expected)
{
    uint64_t value = 0x5a5a;

    assert_true(pvclock_read_msr(&pvclock, index, &value));
    assert_int_equal(value, expected);
}

/* Linux, Documentation/virt/kvm/x86/msr.rst: version, seconds, nanoseconds of 32 bits each. */
static void test_wall_clock(void **state)
{
    (void)state;
    assert_msr(PVCLOCK_MSR_WALL_CLOCK, 0);
    assert_true(put_msr(PVCLOCK_MSR_WALL_CLOCK, RAM_BASE + 0x100));
    assert_msr(PVCLOCK_MSR_WALL_CLOCK, RAM_BASE + 0x100);
    assert_int_equal(get(0x100, 4), 2);
    assert_int_equal(get(0x104, 4), 1795219200);
    assert_int_equal(get(0x108, 4), 0);
    assert_int_equal(get(0xfc, 4), 0xa5a5a5a5);
    assert_int_equal(get(0x10c, 4), 0xa5a5a5a5);
}

/* The same: version, padding, TSC, system time, multiplier, shift, flags, padding. */
static void test_system_time(void **state)
{
    (void)state;
    assert_true(put_msr(PVCLOCK_MSR_SYSTEM_TIME, RAM_BASE + 0x201));
    assert_msr(PVCLOCK_MSR_SYSTEM_TIME, RAM_BASE + 0x201);
    assert_int_equal(get(0x200, 4), 2);
    assert_int_equal(get(0x204, 4), 0);
    assert_int_equal(get(0x208, 8), 0x123456789abcdef0);
    assert_int_equal(get(0x210, 8), 0);
    assert_int_equal(get(0x218, 4), 0xcccccccc); /* 2^32 / 1.25, for half of 2.5 GHz */
    assert_int_equal((int8_t)ram[0x21c], -1);
    assert_int_equal(ram[0x21d], 1); /* TSC stable */
    assert_int_equal(get(0x21e, 2), 0);
    assert_int_equal(get(0x1fc, 4), 0xa5a5a5a5);
    assert_int_equal(get(0x220, 4), 0xa5a5a5a5);
}

/* Without the enable bit nothing is written, not even where there is no RAM. */
static void test_switched_off(void **state)
{
    (void)state;
    assert_true(put_msr(PVCLOCK_MSR_SYSTEM_TIME, RAM_BASE + 0x201));
    memset(ram, 0x5a, sizeof(ram));
    assert_true(put_msr(PVCLOCK_MSR_SYSTEM_TIME, RAM_BASE + 0x200));
    assert_msr(PVCLOCK_MSR_SYSTEM_TIME, RAM_BASE + 0x200);
    assert_true(put_msr(PVCLOCK_MSR_SYSTEM_TIME, 0));
    assert_msr(PVCLOCK_MSR_SYSTEM_TIME, 0);
    for (size_t i = 0; i < RAM_SIZE; i++) {
        assert_int_equal(ram[i], 0x5a);
    }
}

static void test_outside_ram(void **state)
{
    (void)state;
    const uint64_t last_wall_clock = RAM_BASE + RAM_SIZE - 12;
    const uint64_t last_system_time = RAM_BASE + RAM_SIZE - 32;

    assert_true(put_msr(PVCLOCK_MSR_WALL_CLOCK, last_wall_clock));
    assert_true(put_msr(PVCLOCK_MSR_SYSTEM_TIME, last_system_time + 1));
    memset(ram, 0xa5, sizeof(ram));
    assert_false(put_msr(PVCLOCK_MSR_WALL_CLOCK, last_wall_clock + 4));
    assert_false(put_msr(PVCLOCK_MSR_WALL_CLOCK, 0));
    assert_false(put_msr(PVCLOCK_MSR_WALL_CLOCK, UINT64_MAX - 3));
    assert_false(put_msr(PVCLOCK_MSR_SYSTEM_TIME, last_system_time + 5));
    assert_false(put_msr(PVCLOCK_MSR_SYSTEM_TIME, 1));
    assert_false(put_msr(PVCLOCK_MSR_SYSTEM_TIME, UINT64_MAX));
    assert_msr(PVCLOCK_MSR_WALL_CLOCK, last_wall_clock);
    assert_msr(PVCLOCK_MSR_SYSTEM_TIME, last_system_time + 1);
    for (size_t i = 0; i < RAM_SIZE; i++) {
        assert_int_equal(ram[i], 0xa5);
    }
}

static void test_other_msrs(void **state)
{
    (void)state;
    uint64_t value = 0x5a5a;

    assert_false(put_msr(PVCLOCK_MSR_WALL_CLOCK - 1, RAM_BASE));
    assert_false(put_msr(PVCLOCK_MSR_SYSTEM_TIME + 1, RAM_BASE | 1));
    assert_false(put_msr(0x11, RAM_BASE)); /* the old numbers, which are not announced */
    assert_false(pvclock_read_msr(&pvclock, PVCLOCK_MSR_SYSTEM_TIME + 1, &value));
    assert_false(pvclock_read_msr(&pvclock, 0x12, &value));
    assert_int_equal(value, 0x5a5a);
}

/* Nanoseconds as a guest computes them from what is in its memory (msr.rst). */
static uint64_t guest_nanoseconds(uint64_t ticks)
{
    int8_t shift = (int8_t)ram[0x1c];
    unsigned __int128 shifted = shift < 0 ? ticks >> -shift : (unsigned __int128)ticks << shift;

    return (uint64_t)(shifted * (uint32_t)get(0x18, 4) >> 32);
}

/*
 * After a day the guest's time is off by no more than 2 parts in 10^9: 1 for the bits of the
 * frequency that are shifted out, half of one for the multiplier's 32 bits.
 */
static void assert_exact(uint64_t frequency)
{
    const struct wall_clock clock = {.frequency = frequency};
    const uint64_t day = 86400ULL * NANOSECONDS;
    const uint64_t bound = day / 1000000000 * 2;

    assert_true(
        pvclock_write_msr(&pvclock, &memory, &clock, PVCLOCK_MSR_SYSTEM_TIME, RAM_BASE | 1));
    uint64_t found = guest_nanoseconds(86400 * frequency);

    assert_in_range(found, day - bound, day + bound);
    assert_true((uint32_t)get(0x18, 4) >= 0x80000000); /* all 32 bits are used */
}

static void test_scale(void **state)
{
    (void)state;
    static const uint64_t special[] = {
        1,          32768,      1000000,    19200000,    24000000,    100000000,
        999999999,  1000000000, 1000000001, 1999999999,  2000000000,  2000000001,
        2112000000, 2593906000, 3999999999, 4000000000,  4000000001,  4294967295,
        4294967296, 5700000000, 7999999999, 17179869183, 99999999999, 1000000000000,
    };
    uint64_t random = 1;

    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        assert_exact(special[i]);
    }
    for (unsigned i = 0; i < 20000; i++) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        assert_exact(1 + (random >> (24 + i % 20)));
    }
}

/* A guest reads the same time whenever it asks, and time does not run backwards. */
static void test_monotonic(void **state)
{
    (void)state;
    const struct wall_clock clock = {.frequency = 2893202000};
    uint64_t last = 0;

    assert_true(
        pvclock_write_msr(&pvclock, &memory, &clock, PVCLOCK_MSR_SYSTEM_TIME, RAM_BASE | 1));
    for (uint64_t ticks = 0; ticks < 100000; ticks++) {
        uint64_t now = guest_nanoseconds(ticks);

        assert_in_range(now, last, ticks * NANOSECONDS / 2893202000U);
        last = now;
    }
}

/* The counter of another CPU may be a little behind the one that the clock was set by. */
static void test_wall_clock_seconds(void **state)
{
    (void)state;
    const struct wall_clock clock = {.unix_seconds = 50, .ticks = 1000, .frequency = 10};

    assert_int_equal(wall_clock_seconds(&clock, 1000), 50);
    assert_int_equal(wall_clock_seconds(&clock, 1009), 50);
    assert_int_equal(wall_clock_seconds(&clock, 1010), 51);
    assert_int_equal(wall_clock_seconds(&clock, 999), 50);
    assert_int_equal(wall_clock_seconds(&clock, 0), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_wall_clock, set_up),
        cmocka_unit_test_setup(test_system_time, set_up),
        cmocka_unit_test_setup(test_switched_off, set_up),
        cmocka_unit_test_setup(test_outside_ram, set_up),
        cmocka_unit_test_setup(test_other_msrs, set_up),
        cmocka_unit_test_setup(test_scale, set_up),
        cmocka_unit_test_setup(test_monotonic, set_up),
        cmocka_unit_test_setup(test_wall_clock_seconds, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
