/* Tests of the schedule: who is next, fair shares, wake-ups, deadlines; and of homes for vCPUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/arch.h"
#include "vmm/placement.h"
#include "vmm/schedule.h"

#define SLICE 1000ULL
#define VCPUS 4U

static struct vm vms[2]; /* the second one's are all vCPUs from 1 on */
static struct vcpu vcpus[VCPUS];
static struct schedule schedule;
static bool runnable[VCPUS];
static uint64_t deadlines[VCPUS];
static uint64_t advanced[VCPUS];

static size_t number_of(const struct vcpu *vcpu)
{
    return (size_t)(vcpu - vcpus);
}

void arch_vcpu_advance(struct vcpu *vcpu, uint64_t now)
{
    advanced[number_of(vcpu)] = now;
}

uint64_t arch_vcpu_wake_time(struct vcpu *vcpu)
{
    return deadlines[number_of(vcpu)];
}

bool arch_vcpu_runnable(const struct vcpu *vcpu)
{
    return runnable[number_of(vcpu)];
}

static int set_up(void **state)
{
    (void)state;
    memset(vms, 0, sizeof(vms));
    memset(vcpus, 0, sizeof(vcpus));
    memset(advanced, 0, sizeof(advanced));
    schedule_init(&schedule, SLICE);
    vms[0].state = VM_RUNNING;
    vms[1].state = VM_RUNNING;
    for (unsigned i = 0; i < VCPUS; i++) {
        vcpus[i].vm = &vms[i == 0 ? 0 : 1];
        runnable[i] = true;
        deadlines[i] = UINT64_MAX;
    }
    return 0;
}

static void add(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        schedule_add(&schedule, &vcpus[i]);
    }
}

/* Gives `turns` full turns; every one of them runs through its slice. */
static void spin(unsigned turns, uint64_t *now, uint64_t *taken)
{
    for (unsigned i = 0; i < turns; i++) {
        struct vcpu *next = schedule_pick(&schedule, *now);

        assert_non_null(next);
        schedule_charge(next, SLICE);
        next->turn_ticks = *now + SLICE;
        taken[number_of(next)] += SLICE;
        *now += SLICE;
    }
}

static void test_alone(void **state)
{
    (void)state;
    add(1);
    deadlines[0] = 50;
    assert_ptr_equal(schedule_pick(&schedule, 10), &vcpus[0]);
    assert_int_equal(advanced[0], 10);
    assert_int_equal(schedule.turn_end, UINT64_MAX);
    assert_int_equal(schedule.others_deadline, UINT64_MAX);
    assert_int_equal(schedule_deadline(&schedule, 50), 50);
    /* With other CPUs there are kicks, which may come late: a turn ends all the same. */
    schedule.company = true;
    assert_ptr_equal(schedule_pick(&schedule, 20), &vcpus[0]);
    assert_int_equal(schedule.turn_end, 20 + 10 * SLICE);
}

static void test_nobody(void **state)
{
    (void)state;
    add(2);
    runnable[0] = false;
    runnable[1] = false;
    deadlines[0] = 900;
    deadlines[1] = 700;
    assert_null(schedule_pick(&schedule, 10));
    assert_int_equal(schedule.others_deadline, 700); /* when the CPU must be awake again */
    vms[1].paused = true;
    assert_null(schedule_pick(&schedule, 20));
    assert_int_equal(advanced[1], 20); /* a pause stops no clock */
    assert_int_equal(schedule.others_deadline, 900);
    vms[0].state = VM_CRASHED;
    assert_null(schedule_pick(&schedule, 30));
    assert_int_equal(advanced[0], 20); /* but an end does */
    assert_int_equal(schedule.others_deadline, UINT64_MAX);
}

static void test_two_spinners_share_equally(void **state)
{
    (void)state;
    uint64_t taken[VCPUS] = {0};
    uint64_t now = 1;

    add(2);
    (void)schedule_pick(&schedule, now);
    assert_int_equal(schedule.turn_end, now + SLICE);
    assert_int_equal(schedule_deadline(&schedule, now + SLICE + 1), now + SLICE);
    spin(1000, &now, taken);
    assert_int_equal(taken[0], 500 * SLICE);
    assert_int_equal(taken[1], 500 * SLICE);
}

/* A guest's share of a CPU is that of one guest, however many vCPUs it brings. */
static void test_guests_share_not_vcpus(void **state)
{
    (void)state;
    uint64_t taken[VCPUS] = {0};
    uint64_t now = 1;

    add(VCPUS);
    spin(6000, &now, taken);
    assert_int_equal(taken[0], 3000 * SLICE);
    for (unsigned i = 1; i < VCPUS; i++) {
        assert_int_equal(taken[i], 1000 * SLICE);
    }
}

/* Timers of others do not end a turn before it has had its tenth of a slice. */
static void test_least_turn(void **state)
{
    (void)state;
    add(2);
    runnable[1] = false;
    deadlines[1] = 500;
    assert_ptr_equal(schedule_pick(&schedule, 10), &vcpus[0]);
    assert_int_equal(schedule.least_turn_end, 10 + SLICE / 10);
    assert_int_equal(schedule.others_deadline, 500);
    deadlines[1] = 10 + SLICE / 10 - 1;
    assert_ptr_equal(schedule_pick(&schedule, 10), &vcpus[0]);
    assert_int_equal(schedule.others_deadline, 10 + SLICE / 10);
    assert_int_equal(schedule_deadline(&schedule, 20), 20); /* its own ones do what they like */
    schedule_begin(&schedule, &vcpus[0], 70);
    assert_int_equal(vcpus[0].virtual_runtime, 70);
    assert_int_equal(schedule.least_turn_end, 10 + SLICE / 10 + 70);
    assert_int_equal(schedule.others_deadline, 10 + SLICE / 10 + 70);
    assert_int_equal(schedule.turn_end, 10 + 10 * SLICE + 70);
    schedule.others_deadline = UINT64_MAX;
    schedule.turn_end = UINT64_MAX;
    schedule_begin(&schedule, &vcpus[0], 7);
    assert_int_equal(schedule.others_deadline, UINT64_MAX);
    assert_int_equal(schedule.turn_end, UINT64_MAX);
}

/* One that others' timers wake for a moment, again and again, and whose switches count. */
static void test_timers_without_end(void **state)
{
    (void)state;
    uint64_t taken[VCPUS] = {0};
    uint64_t now = 1;

    add(2);
    while (taken[0] < 1000 * SLICE) {
        deadlines[1] = now;
        struct vcpu *next = schedule_pick(&schedule, now);
        uint64_t ticks =
            next == &vcpus[1] ? SLICE / 20 : schedule_deadline(&schedule, UINT64_MAX) - now;

        schedule_charge(next, ticks);
        taken[number_of(next)] += ticks;
        now += ticks;
        runnable[1] = next == &vcpus[0];
    }
    assert_in_range(taken[1], 490 * SLICE, 510 * SLICE); /* a twentieth after each tenth */
}

/* Sleep is not saved up: who wakes is next, but no more than a slice ahead. */
static void test_wake(void **state)
{
    (void)state;
    uint64_t taken[VCPUS] = {0};
    uint64_t now = 1;

    add(2);
    runnable[0] = false;
    spin(100, &now, taken);
    assert_int_equal(taken[1], 100 * SLICE);
    assert_ptr_equal(schedule_pick(&schedule, now), &vcpus[1]);
    assert_int_equal(schedule.turn_end, now + 10 * SLICE); /* though nobody else can run */
    runnable[0] = true;
    assert_ptr_equal(schedule_pick(&schedule, now), &vcpus[0]);
    assert_int_equal(vcpus[0].statistics.ticks_idle, now);
    memset(taken, 0, sizeof(taken));
    spin(10, &now, taken);
    assert_in_range(taken[0], 5 * SLICE, 6 * SLICE);
    assert_int_equal(taken[0] + taken[1], 10 * SLICE);
}

/* Who sleeps and wakes all the time gets no more than who spins. */
static void test_naps_win_nothing(void **state)
{
    (void)state;
    uint64_t taken[VCPUS] = {0};
    uint64_t now = 1;

    add(2);
    for (unsigned i = 0; i < 1000; i++) {
        runnable[0] = false;
        spin(1, &now, taken);
        runnable[0] = true;
        spin(3, &now, taken);
    }
    assert_in_range(taken[0], 1900 * SLICE, 2000 * SLICE);
}

/* Work on a VM that does not run counts while others want the CPU, and waits for its turn then. */
static void test_work(void **state)
{
    (void)state;
    add(2);
    runnable[0] = false;
    assert_ptr_equal(schedule_pick(&schedule, 1), &vcpus[1]);
    assert_false(schedule_work_waits(&schedule, &vcpus[0])); /* level with it */
    schedule_charge_work(&schedule, &vcpus[0], 2 * SLICE);
    assert_true(schedule_work_waits(&schedule, &vcpus[0]));
    for (unsigned i = 0; i < 2; i++) {
        assert_true(schedule_work_waits(&schedule, &vcpus[0]));
        schedule_charge(&vcpus[1], SLICE);
        (void)schedule_pick(&schedule, 2 + i);
    }
    assert_false(schedule_work_waits(&schedule, &vcpus[0]));
    runnable[1] = false;
    assert_null(schedule_pick(&schedule, 10));
    schedule_charge_work(&schedule, &vcpus[0], 100 * SLICE);
    assert_int_equal(vcpus[0].virtual_runtime, 2 * SLICE);
    assert_false(schedule_work_waits(&schedule, &vcpus[0]));
}

/* The counters go round after a few centuries, and nothing happens. */
static void test_wrap(void **state)
{
    (void)state;
    uint64_t taken[VCPUS] = {0};
    uint64_t now = 1;

    add(2);
    vcpus[0].virtual_runtime = UINT64_MAX - 2 * SLICE;
    vcpus[1].virtual_runtime = UINT64_MAX - 2 * SLICE;
    schedule.floor = UINT64_MAX - 2 * SLICE;
    spin(100, &now, taken);
    assert_int_equal(taken[0], 50 * SLICE);
}

static void test_placement(void **state)
{
    (void)state;
    static const struct {
        unsigned cpus;
        unsigned guests;
        struct placement_wish wishes[3];
        uint8_t homes[8];
    } cases[] = {
        {1, 2, {{1, 0}, {2, 0}}, {0, 0, 0}},
        {4, 2, {{2, 0}, {2, 0}}, {0, 1, 2, 3}},
        {2, 1, {{4, 0}}, {0, 1, 0, 1}},
        {2, 2, {{3, 0}, {1, 0}}, {0, 1, 0, 1}},
        {4, 3, {{2, 0}, {1, 1 << 0}, {1, 1 << 2}}, {1, 3, 0, 2}}, /* the pinned ones first */
        {4, 1, {{3, 1 << 1 | 1 << 3}}, {1, 3, 1}},
        {64, 1, {{2, 1ULL << 63 | 1}}, {0, 63}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t homes[8] = {0};

        placement_find(cases[i].wishes, cases[i].guests, cases[i].cpus, homes);
        assert_memory_equal(homes, cases[i].homes, sizeof(homes));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_alone, set_up),
        cmocka_unit_test_setup(test_nobody, set_up),
        cmocka_unit_test_setup(test_two_spinners_share_equally, set_up),
        cmocka_unit_test_setup(test_guests_share_not_vcpus, set_up),
        cmocka_unit_test_setup(test_least_turn, set_up),
        cmocka_unit_test_setup(test_timers_without_end, set_up),
        cmocka_unit_test_setup(test_wake, set_up),
        cmocka_unit_test_setup(test_naps_win_nothing, set_up),
        cmocka_unit_test_setup(test_work, set_up),
        cmocka_unit_test_setup(test_wrap, set_up),
        cmocka_unit_test(test_placement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
