/* Tests of a CPU's loop and of the lives of its VMs: starts, ends, restarts, requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest-tests/host/scripted_host.h"
#include "vmm/arch.h"
#include "vmm/cpu_loop.h"
#include "vmm/vm.h"

#define VMS        2U
#define RAM        (5U << 20) /* zeroed in three steps */
#define TURN_TICKS 100U
#define SLICE      1000U
#define PARTS      3U /* of a report, which go one after the other */

static struct vm vms[VMS];
static struct vm *const all_vms[VMS] = {&vms[0], &vms[1]};
static struct spin_lock reports;
static struct vcpu vcpus[VMS];
static uint8_t *ram[VMS];
static struct schedule schedule;
static struct run run;
static char calls[512];
static bool loads;
static uint64_t load_ticks; /* what a load takes */
static struct vcpu *loaded;
static unsigned loads_of[VMS];
static uint64_t switch_ticks; /* what each of them takes */
static unsigned dumps;
static unsigned parts_told;

/* What vCPUs do when they run, turn by turn; 0 behind the end: power off. */
static const char *plans[VMS];

static void note(char letter, const struct vcpu *vcpu)
{
    size_t used = strlen(calls);

    if (used < sizeof(calls) - 2) {
        calls[used] = letter;
        calls[used + 1] = (char)('a' + (vcpu - vcpus));
    }
}

void arch_vcpu_advance(struct vcpu *vcpu, uint64_t now)
{
    (void)vcpu;
    (void)now;
}

uint64_t arch_vcpu_deadline(struct vcpu *vcpu)
{
    (void)vcpu;
    return UINT64_MAX;
}

uint64_t arch_vcpu_wake_time(struct vcpu *vcpu)
{
    (void)vcpu;
    return UINT64_MAX;
}

bool arch_vcpu_ready(struct vcpu *vcpu)
{
    assert_ptr_equal(vcpu, loaded);
    return true;
}

bool arch_vcpu_runnable(const struct vcpu *vcpu)
{
    (void)vcpu;
    return true;
}

bool arch_vcpu_halt(struct vcpu *vcpu)
{
    (void)vcpu;
    return true;
}

void arch_vcpu_deliver(struct vcpu *vcpu)
{
    (void)vcpu;
}

void arch_vcpu_reset(struct vcpu *vcpu)
{
    assert_ptr_equal(vcpu, loaded);
    note('0', vcpu);
}

enum exit_action arch_handle_exit(struct vcpu *vcpu, struct vm_exit *exit)
{
    assert_int_equal(exit->kind, EXIT_PORT);
    switch (exit->port.size) {
    case 'o':
        vm_end(vcpu->vm, VM_POWERED_OFF, "powered off");
        return ACTION_STOP;
    case 'r':
        vm_end(vcpu->vm, VM_RESET, "reset");
        return ACTION_STOP;
    default:
        return ACTION_RESUME;
    }
}

bool arch_vm_load(struct vm *vm)
{
    note('L', vm->vcpus);
    scripted_host.ticks += load_ticks;
    for (unsigned i = 0; i < RAM; i += 4096) {
        assert_int_equal(ram[vm - vms][i], 0); /* nothing of its last life is left */
    }
    memset(ram[vm - vms], 0xab, RAM);
    return loads;
}

bool arch_vm_report(struct vm *vm, unsigned part)
{
    assert_true(reports.held);
    assert_int_equal(part, parts_told);
    parts_told = part < PARTS - 1 ? part + 1 : 0;
    if (part == 0) {
        note('E', vm->vcpus);
    }
    return parts_told > 0;
}

/* One entry, which is a whole turn: the machine's interrupt ends it. */
static void run_guest(struct vcpu *vcpu, struct vm_exit *exit)
{
    const char **plan = &plans[vcpu - vcpus];
    const char last[] = "o";
    char step = *(**plan == '\0' ? last : (*plan)++);

    assert_ptr_equal(vcpu, loaded);
    assert_int_equal(ram[vcpu - vcpus][RAM - 1], 0xab);
    note('R', vcpu);
    scripted_host.ticks += TURN_TICKS;
    switch (step) {
    case '.':
        *exit = (struct vm_exit){.kind = EXIT_HOST_INTERRUPT};
        return;
    case 'x':
        *exit = (struct vm_exit){.kind = EXIT_SHUTDOWN, .rip = 0x1000};
        return;
    case 'k': /* somebody restarts, pauses, resumes or stops the guest */
        vm_request(vcpu->vm, VM_REQUEST_RESTART);
        break;
    case 'p':
        vm_request(vcpu->vm, VM_REQUEST_PAUSE);
        break;
    case 's':
        vm_request(vcpu->vm, VM_REQUEST_STOP);
        break;
    case 't': /* somebody stops the first guest */
        vm_request(&vms[0], VM_REQUEST_STOP);
        break;
    case 'q':
        run_end(&run);
        break;
    case 'l': /* a report of another CPU's guest comes to its end */
        spin_lock_release(&reports);
        break;
    default:
        break;
    }
    *exit = (struct vm_exit){.kind = EXIT_PORT, .port = {.size = (uint8_t)step}};
    scripted_host.kicked = true;
}

static uint64_t get(struct vcpu *vcpu, enum vcpu_register name)
{
    (void)vcpu;
    (void)name;
    return 0x1000;
}

static void load(struct vcpu *vcpu)
{
    assert_null(loaded);
    assert_ptr_equal(scripted_host.to, vcpu);
    loaded = vcpu;
    loads_of[vcpu - vcpus]++;
    scripted_host.ticks += switch_ticks;
}

static void unload(struct vcpu *vcpu)
{
    assert_ptr_equal(loaded, vcpu);
    loaded = NULL;
}

static void dump(struct vcpu *vcpu)
{
    assert_ptr_equal(loaded, vcpu);
    dumps++;
}

static const struct virtualization virtualization = {
    .run = run_guest, .get = get, .load = load, .unload = unload, .dump = dump};

static const struct vm_policy usual = {
    .follow_up = {VM_FOLLOW_STOP, VM_FOLLOW_STOP, VM_FOLLOW_FAIL},
    .restart_limit = 3,
    .start = true,
};

static int set_up(void **state)
{
    (void)state;
    scripted_host_reset();
    memset(vms, 0, sizeof(vms));
    memset(vcpus, 0, sizeof(vcpus));
    memset(calls, 0, sizeof(calls));
    schedule_init(&schedule, SLICE);
    for (unsigned i = 0; i < VMS; i++) {
        ram[i] = aligned_alloc(4096, RAM);
        assert_non_null(ram[i]);
        memset(ram[i], 0xab, RAM);
        assert_true(guest_memory_add(&vms[i].memory, 0, RAM, ram[i]));
        vms[i].name = i == 0 ? "a" : "b";
        vms[i].reports = &reports;
        vms[i].virtualization = &virtualization;
        vms[i].vcpus = &vcpus[i];
        vms[i].vcpu_count = 1;
        vcpus[i].vm = &vms[i];
        plans[i] = "";
        schedule_add(&schedule, &vcpus[i]);
        lifecycle_init(&vms[i], &usual, 0);
    }
    run = (struct run){.vms = all_vms, .vm_count = VMS};
    scripted_host.step = 1;
    loads = true;
    load_ticks = 0;
    loaded = NULL;
    memset(loads_of, 0, sizeof(loads_of));
    switch_ticks = 0;
    dumps = 0;
    parts_told = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VMS; i++) {
        free(ram[i]);
    }
    return 0;
}

/* Runs to the end, and sees that memory is zero and no vCPU's state is left in the CPU. */
static void go(void)
{
    cpu_loop(&schedule, &run, 0);
    assert_null(schedule.current);
    assert_null(loaded);
    assert_null(scripted_host.to);
    for (unsigned i = 0; i < VMS; i++) {
        if (vms[i].lifecycle.phase == LIFECYCLE_DOWN) {
            assert_int_equal(ram[i][0] | ram[i][RAM / 2] | ram[i][RAM - 1], 0);
        }
    }
}

static unsigned times(const char *call)
{
    unsigned found = 0;

    for (const char *at = calls; (at = strstr(at, call)) != NULL; at += 2) {
        found++;
    }
    return found;
}

static bool log_has(const char *text)
{
    return strstr(scripted_host.log, text) != NULL;
}

/* What it takes to come into the CPU is a vCPU's own time, nobody else's and not nobody's. */
static void test_a_switch_is_charged(void **state)
{
    (void)state;
    const unsigned turns[VMS] = {5, 8};

    plans[0] = "....";
    plans[1] = ".......";
    switch_ticks = SLICE;
    go();
    for (unsigned i = 0; i < VMS; i++) {
        uint64_t least = (uint64_t)loads_of[i] * SLICE + (uint64_t)turns[i] * TURN_TICKS;

        assert_in_range(loads_of[i], 2, turns[i]);
        assert_in_range(vcpus[i].virtual_runtime, least, least + SLICE / 10);
    }
}

static void test_two_guests_to_their_ends(void **state)
{
    (void)state;
    plans[0] = "....";
    plans[1] = "..";
    go();
    assert_int_equal(times("Ra"), 5);
    assert_int_equal(times("Rb"), 3);
    assert_memory_equal(calls, "0aRa0bRb", 8); /* in turn */
    assert_int_equal(times("Ea"), 1);
    assert_int_equal(times("Eb"), 1);
    assert_false(run_failed(&run));
    assert_int_equal(scripted_host.resets, 2);
    assert_int_equal(schedule.switches, scripted_host.switches);
    assert_int_equal(schedule.switch_ticks, schedule.switches); /* a tick each */
    assert_string_equal(vm_state_name(&vms[0]), "down");
}

static void test_crash_fails_the_run(void **state)
{
    (void)state;
    plans[0] = ".x";
    go();
    assert_true(run_failed(&run));
    assert_int_equal(dumps, 1);
    assert_true(log_has("guest \"a\" crashed: triple fault at RIP 0x1000; vCPU 0 was at:"));
    assert_int_equal(vms[1].state, VM_POWERED_OFF);
}

static void test_crash_that_is_expected(void **state)
{
    (void)state;
    vms[0].lifecycle.policy.follow_up[VM_ENDING_CRASH] = VM_FOLLOW_STOP;
    vms[1].lifecycle.policy.follow_up[VM_ENDING_POWER_OFF] = VM_FOLLOW_FAIL;
    plans[0] = "x";
    go();
    assert_true(run_failed(&run)); /* for the other one's sake */
    assert_false(vms[0].lifecycle.failed);
    assert_true(vms[1].lifecycle.failed);
}

/* A restarted guest has zeroed memory, a loaded image and reset vCPUs; the limit holds. */
static void test_restarts(void **state)
{
    (void)state;
    vms[0].lifecycle.policy.follow_up[VM_ENDING_RESET] = VM_FOLLOW_RESTART;
    vms[0].lifecycle.policy.restart_limit = 2;
    plans[0] = "r.r..r";
    go();
    assert_int_equal(times("La"), 2);
    assert_int_equal(times("0a"), 3);
    assert_int_equal(times("Ea"), 3);
    assert_int_equal(times("Lb"), 0);
    assert_int_equal(vms[0].lifecycle.restarts, 2);
    assert_false(run_failed(&run)); /* a reset too many is no crash */
    assert_true(log_has("guest \"a\": restart 2 of at most 2"));
    assert_true(log_has("guest \"a\": stays down after 2 restarts"));
    assert_int_equal(vcpus[0].statistics.exits[EXIT_PORT], 1); /* of its last life */
}

/* Whoever is loaded again and again takes turns with who runs: the load is time of its own. */
static void test_restarts_are_charged(void **state)
{
    (void)state;
    vms[0].lifecycle.policy.follow_up[VM_ENDING_RESET] = VM_FOLLOW_RESTART;
    load_ticks = 10ULL * TURN_TICKS;
    plans[0] = "rr";
    plans[1] = ".............................";
    go();
    const char *first = strstr(calls, "La");
    const char *second = first == NULL ? NULL : strstr(first + 1, "La");
    unsigned turns = 0;

    assert_non_null(second);
    for (const char *at = first; at < second; at += 2) {
        turns += memcmp(at, "Rb", 2) == 0;
    }
    assert_in_range(turns, 10, 13);
}

static void start_the_first_again(void)
{
    scripted_host.ticks += 1000;
    if (scripted_host.idled == 2) {
        vm_request(&vms[0], VM_REQUEST_START);
    } else if (scripted_host.idled == 4) {
        run_end(&run);
    }
}

/* While the log is behind, a guest that ended is not told of, and others go on, a slice at a time.
 */
static void test_end_waits_for_the_log(void **state)
{
    (void)state;
    scripted_host.log_behind = 4;
    plans[0] = "r";
    plans[1] = ".......";
    go();
    const char *end = strstr(calls, "Ea");
    unsigned turns = 0;

    assert_non_null(end);
    for (const char *at = calls; at < end; at += 2) {
        turns += memcmp(at, "Rb", 2) == 0;
    }
    assert_in_range(turns, 4, 6);
    assert_int_equal(times("Rb"), 8);
}

/* Nor is what a crashed guest's vCPU was at; and nobody waits for another report's end either. */
static void test_crash_waits_for_other_reports(void **state)
{
    (void)state;
    assert_true(spin_lock_try(&reports));
    assert_false(vm_report_begin(&vms[1]));
    plans[0] = "x";
    plans[1] = "..l.......";
    scripted_host.log_behind = 4;
    go();
    const char *end = strstr(calls, "Ea");
    unsigned turns = 0;

    assert_non_null(end);
    for (const char *at = calls; at < end; at += 2) {
        turns += memcmp(at, "Rb", 2) == 0;
    }
    assert_in_range(turns, 3 + 4, 3 + 4 + 3);
    assert_int_equal(dumps, 1);
    assert_int_equal(times("Rb"), 11);
    assert_false(reports.held);
}

/* A stop that comes when the guest has ended and nothing followed yet is not lost. */
static void test_stop_before_the_restart(void **state)
{
    (void)state;
    vms[0].lifecycle.policy.follow_up[VM_ENDING_RESET] = VM_FOLLOW_RESTART;
    scripted_host.log_behind = 4;
    plans[0] = "r";
    plans[1] = ".t.....";
    go();
    assert_int_equal(times("La"), 0);
    assert_int_equal(vms[0].state, VM_RESET);
    assert_true(log_has("guest \"a\": stays down by request"));
    assert_false(run_failed(&run));
}

/* One that was stopped and started again by request restarts as its configuration says. */
static void test_restart_after_a_stop(void **state)
{
    (void)state;
    vms[0].lifecycle.policy.follow_up[VM_ENDING_RESET] = VM_FOLLOW_RESTART;
    plans[0] = "skr";
    plans[1] = ".........o";
    run.waits_when_idle = true;
    scripted_host.idle = start_the_first_again;
    cpu_loop(&schedule, &run, 0);
    assert_int_equal(times("La"), 3);
    assert_int_equal(vms[0].lifecycle.restarts, 1);
}

/* With nobody else to run the CPU moves the log itself, without sleep. */
static void test_end_waits_for_the_log_alone(void **state)
{
    (void)state;
    vms[1].lifecycle.start_time = UINT64_MAX;
    scripted_host.log_behind = 5;
    go();
    assert_int_equal(times("Ea"), 1);
    assert_true(scripted_host.worked >= 5);
    assert_int_equal(scripted_host.idled, 0);
}

static void test_restarts_of_a_crasher_fail(void **state)
{
    (void)state;
    vms[0].lifecycle.policy.follow_up[VM_ENDING_CRASH] = VM_FOLLOW_RESTART;
    vms[0].lifecycle.policy.restart_limit = 1;
    plans[0] = "xx";
    go();
    assert_int_equal(times("La"), 1);
    assert_true(run_failed(&run));
}

static void test_image_that_does_not_load_again(void **state)
{
    (void)state;
    vms[0].lifecycle.policy.follow_up[VM_ENDING_RESET] = VM_FOLLOW_RESTART;
    loads = false;
    plans[0] = "r";
    cpu_loop(&schedule, &run, 0);
    assert_int_equal(times("La"), 1);
    assert_int_equal(times("Ra"), 1);
    assert_true(run_failed(&run));
    assert_true(log_has("guest \"a\" cannot be started again"));
}

static void test_requests(void **state)
{
    (void)state;
    plans[0] = ".k.s..";
    plans[1] = "...............";
    go();
    assert_int_equal(times("La"), 1);
    assert_int_equal(times("Ra"), 4);
    assert_int_equal(vms[0].lifecycle.restarts, 0); /* only those by itself count */
    assert_int_equal(vms[0].state, VM_STOPPED);
    assert_string_equal(vms[0].end_reason, "stopped by request");
    assert_false(run_failed(&run));
}

/* What the CPU sleeps for, with nobody to run. */
static void resume(void)
{
    scripted_host.ticks += 1000;
    if (scripted_host.idled == 3) {
        assert_string_equal(vm_state_name(&vms[0]), "paused");
        vm_request(&vms[0], VM_REQUEST_RESUME);
    }
}

static void test_pause(void **state)
{
    (void)state;
    scripted_host.idle = resume;
    plans[0] = "p.";
    go();
    assert_int_equal(scripted_host.idled, 3);
    assert_int_equal(times("Ra"), 3);
    assert_int_equal(vms[0].state, VM_POWERED_OFF);
}

static void stop(void)
{
    scripted_host.ticks += 1000;
    vm_request(&vms[0], VM_REQUEST_STOP);
}

static void test_stop_of_a_paused_guest(void **state)
{
    (void)state;
    scripted_host.idle = stop;
    plans[0] = "p.";
    go();
    assert_int_equal(scripted_host.idled, 1);
    assert_int_equal(times("Ra"), 1);
    assert_int_equal(vms[0].state, VM_STOPPED);
}

static void test_stop_of_a_guest_not_started(void **state)
{
    (void)state;
    vm_request(&vms[0], VM_REQUEST_STOP);
    go();
    assert_int_equal(vms[0].state, VM_NOT_RUNNING);
    assert_true(lifecycle_over(&vms[0]));
    assert_int_equal(times("Ra"), 0);
}

static void wake_later(void)
{
    scripted_host.ticks = scripted_host.deadline;
}

static void test_start_delay(void **state)
{
    (void)state;
    struct vm_policy policy = usual;

    policy.start_delay = 5000;
    lifecycle_init(&vms[0], &policy, 100000);
    policy.start_delay = 7000;
    lifecycle_init(&vms[1], &policy, 100000);
    scripted_host.ticks = 100000;
    scripted_host.idle = wake_later;
    assert_string_equal(vm_state_name(&vms[0]), "ready");
    go();
    assert_memory_equal(calls, "0aRaEa0bRbEb", 12);
    assert_in_range(scripted_host.ticks, 107000, 107300);
}

/* A guest that only somebody starts does not keep the machine on. */
static void test_guest_that_is_not_started(void **state)
{
    (void)state;
    struct vm_policy policy = usual;

    policy.start = false;
    lifecycle_init(&vms[1], &policy, 0);
    go();
    assert_int_equal(times("Rb"), 0);
    assert_int_equal(times("Ra"), 1);
}

static void start_them_again(void)
{
    scripted_host.ticks += 1000;
    if (scripted_host.idled == 2) {
        vm_request(&vms[1], VM_REQUEST_START);
        plans[1] = "q";
    }
}

static void test_machine_that_waits(void **state)
{
    (void)state;
    run.waits_when_idle = true;
    scripted_host.idle = start_them_again;
    cpu_loop(&schedule, &run, 0);
    assert_int_equal(scripted_host.idled, 2);
    assert_int_equal(times("Lb"), 1);
    assert_int_equal(times("Rb"), 2);
    assert_int_equal(vms[1].lifecycle.phase, LIFECYCLE_RUNNING); /* run_end() came first */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_guests_to_their_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_switch_is_charged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crash_fails_the_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crash_that_is_expected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restarts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restarts_are_charged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_waits_for_the_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_waits_for_the_log_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crash_waits_for_other_reports, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_before_the_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restart_after_a_stop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restarts_of_a_crasher_fail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_image_that_does_not_load_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pause, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_of_a_paused_guest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_of_a_guest_not_started, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_start_delay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_guest_that_is_not_started, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_machine_that_waits, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
