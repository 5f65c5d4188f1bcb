/* Tests of the run loop: order of calls, counters, and each way for a turn to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest-tests/host/scripted_host.h"
#include "vmm/arch.h"
#include "vmm/run.h"

#define LENGTH      3U
#define GUEST_TICKS 100U /* each run of the guest takes so long */
#define ARCH_TICKS  10U  /* each arch_handle_exit() */
#define WORK_TICKS  1U   /* each arch_vcpu_deliver() */
#define SLICE       1000U
#define SCRIPT      20U

/* What the guest does: one exit after another, and what handling it returns. */
static struct {
    struct vm_exit exits[SCRIPT];
    enum exit_action actions[SCRIPT];
    unsigned count;
    unsigned played;
    unsigned handled;
} script;

static struct vm vm;
static struct vcpu tested;
static uint64_t rip;
static char calls[256]; /* a letter for each call, in order */
static bool ready;
static struct schedule schedule;
static bool can_wake;
static uint64_t deadline;     /* what the timer must be set to; 0: the vCPU's own */
static uint64_t own_deadline; /* at which something is due for the vCPU */
static unsigned skips;
static unsigned skipped;
static struct vm_exit handled[SCRIPT];
static bool *calls_in_exit; /* what the next arch_handle_exit() sets; NULL: nothing */

static void note(char letter)
{
    size_t used = strlen(calls);

    if (used < sizeof(calls) - 1) {
        calls[used] = letter;
    }
}

bool arch_vcpu_ready(struct vcpu *vcpu)
{
    assert_ptr_equal(vcpu, &tested);
    note('r');
    return ready;
}

void arch_vcpu_advance(struct vcpu *vcpu, uint64_t now)
{
    assert_ptr_equal(vcpu, &tested);
    assert_int_equal(now, tested.last_exit_ticks);
    assert_true(now >= own_deadline);
    own_deadline = now + 777;
    note('a');
}

uint64_t arch_vcpu_deadline(struct vcpu *vcpu)
{
    assert_ptr_equal(vcpu, &tested);
    note('t');
    return own_deadline;
}

/* Whoever calls the run loop has asked these two already. */
bool arch_vcpu_runnable(const struct vcpu *vcpu)
{
    (void)vcpu;
    fail();
    return false;
}

uint64_t arch_vcpu_wake_time(struct vcpu *vcpu)
{
    (void)vcpu;
    fail();
    return 0;
}

bool arch_vcpu_halt(struct vcpu *vcpu)
{
    assert_ptr_equal(vcpu, &tested);
    note('w');
    return can_wake;
}

void arch_vcpu_deliver(struct vcpu *vcpu)
{
    assert_ptr_equal(vcpu, &tested);
    scripted_host.ticks += WORK_TICKS;
    note('d');
}

enum exit_action arch_handle_exit(struct vcpu *vcpu, struct vm_exit *exit)
{
    assert_ptr_equal(vcpu, &tested);
    note('h');
    scripted_host.ticks += ARCH_TICKS;
    handled[script.handled++] = *exit;
    if (calls_in_exit != NULL) {
        *calls_in_exit = true;
        calls_in_exit = NULL;
    }
    if (script.actions[script.played - 1] == ACTION_STOP) {
        vm_end(&vm, VM_POWERED_OFF, "powered off");
    }
    return script.actions[script.played - 1];
}

static void run_guest(struct vcpu *vcpu, struct vm_exit *exit)
{
    assert_ptr_equal(vcpu, &tested);
    assert_in_range(script.played, 0, script.count - 1);
    assert_int_equal(scripted_host.deadline, deadline != 0 ? deadline : own_deadline);
    note('G');
    scripted_host.ticks += GUEST_TICKS;
    rip += 0x10;
    *exit = script.exits[script.played++];
    exit->rip = rip;
    exit->instruction_length = LENGTH;
}

static uint64_t get(struct vcpu *vcpu, enum vcpu_register name)
{
    assert_ptr_equal(vcpu, &tested);
    assert_int_equal(name, REGISTER_RIP);
    return rip;
}

static void skip_instruction(struct vcpu *vcpu, uint64_t next)
{
    assert_ptr_equal(vcpu, &tested);
    note('s');
    skips++;
    skipped += (unsigned)(next - rip);
    rip = next;
}

static const struct virtualization virtualization = {
    .run = run_guest, .get = get, .skip = skip_instruction};

static int set_up(void **state)
{
    (void)state;
    scripted_host_reset();
    memset(&script, 0, sizeof(script));
    memset(&vm, 0, sizeof(vm));
    memset(&tested, 0, sizeof(tested));
    memset(calls, 0, sizeof(calls));
    vm.virtualization = &virtualization;
    vm.vcpus = &tested;
    vm.vcpu_count = 1;
    tested.vm = &vm;
    scripted_host.ticks = 1000000;
    tested.turn_ticks = 1000000 - 50;
    rip = 0x1000;
    ready = true;
    vm.state = VM_RUNNING;
    schedule_init(&schedule, SLICE);
    schedule_add(&schedule, &tested);
    schedule.others_deadline = UINT64_MAX;
    can_wake = true;
    deadline = 0;
    own_deadline = 2000000;
    skips = 0;
    skipped = 0;
    return 0;
}

static void guest_does(struct vm_exit exit, enum exit_action action)
{
    assert_in_range(script.count, 0, SCRIPT - 1);
    script.exits[script.count] = exit;
    script.actions[script.count++] = action;
}

static void guest_ends(void)
{
    guest_does((struct vm_exit){.kind = EXIT_PORT}, ACTION_STOP);
}

static void run(void)
{
    vcpu_run(&tested, &schedule, 0);
    assert_int_equal(script.played, script.count);
}

static void test_order(void **state)
{
    (void)state;
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    guest_ends();
    run();
    assert_string_equal(calls, "rtdGhsrtdGh");
    assert_int_equal(scripted_host.worked, 2);
    assert_int_equal(vm.state, VM_POWERED_OFF);
    assert_string_equal(vm.end_reason, "powered off");
}

/* An exit that changes nothing leads straight back, but not without end. */
static void test_at_once(void **state)
{
    (void)state;
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP_AT_ONCE);
    guest_does((struct vm_exit){.kind = EXIT_FLUSH}, ACTION_STOP);
    guest_does((struct vm_exit){.kind = EXIT_MEMORY}, ACTION_SKIP);
    guest_ends();
    run();
    assert_string_equal(calls, "rtdGhsGsGhsrtdGh");
    assert_int_equal(skipped, 3 * LENGTH);
    assert_int_equal(scripted_host.worked, 2);
    assert_int_equal(tested.statistics.exits[EXIT_CPUID], 1);
    assert_int_equal(tested.statistics.ticks[EXIT_CPUID], ARCH_TICKS);
    assert_int_equal(tested.trace.count, 4);
}

static void test_at_once_is_bounded(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 17; i++) {
        guest_does((struct vm_exit){.kind = EXIT_FLUSH}, ACTION_STOP);
    }
    guest_ends();
    run();
    assert_string_equal(calls, "rtdGsGsGsGsGsGsGsGsGsGsGsGsGsGsGsGsrtdGsGh");
    assert_int_equal(scripted_host.worked, 2);
}

/* What has become of the VM, or of the machine, in the meantime is seen by the exit it causes. */
static void test_interrupt_after_at_once(void **state)
{
    (void)state;
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP_AT_ONCE);
    guest_does((struct vm_exit){.kind = EXIT_HOST_INTERRUPT}, ACTION_STOP);
    run();
    assert_string_equal(calls, "rtdGhsG");
    assert_int_equal(scripted_host.taken, 1);
}

/* What is due for the vCPU itself is done before it is entered, and the timer set for what follows.
 */
static void test_due(void **state)
{
    (void)state;
    own_deadline = 1000000 + GUEST_TICKS + WORK_TICKS;
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    guest_ends();
    run();
    assert_string_equal(calls, "rtdGhsrtatdGhsrtdGh");
    assert_int_equal(own_deadline, 1000000 + GUEST_TICKS + WORK_TICKS + 777);
}

/* A VM that has ended before, or is paused, runs nothing. */
static void test_ended_before(void **state)
{
    (void)state;
    vm.paused = true;
    run();
    assert_string_equal(calls, "");
    vm.paused = false;
    vm_end(&vm, VM_RESET, "reset by %s", "somebody");
    run();
    assert_string_equal(calls, "");
    assert_int_equal(scripted_host.kicks[0], 1); /* whoever sleeps is to see it */
    vm_end(&vm, VM_CRASHED, "later");            /* the first reason stands */
    assert_int_equal(vm.state, VM_RESET);
    assert_string_equal(vm.end_reason, "reset by somebody");
}

/* What is the architecture's reaches it as it is; what it answers is done. */
static void test_actions(void **state)
{
    (void)state;
    static const enum exit_kind kinds[] = {EXIT_PORT,       EXIT_MEMORY,    EXIT_CPUID,
                                           EXIT_MSR_READ,   EXIT_MSR_WRITE, EXIT_CONTROL_REGISTER,
                                           EXIT_XSETBV,     EXIT_EOI,       EXIT_EXCEPTION,
                                           EXIT_INSTRUCTION};
    const unsigned count = sizeof(kinds) / sizeof(kinds[0]);

    for (unsigned i = 0; i < count; i++) {
        guest_does((struct vm_exit){.kind = kinds[i], .msr = {.index = i, .value = 7}},
                   i % 2 == 0 ? ACTION_RESUME : ACTION_SKIP);
    }
    guest_ends();
    run();
    assert_int_equal(script.handled, count + 1);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(handled[i].kind, kinds[i]);
        assert_int_equal(handled[i].msr.index, i);
        assert_int_equal(handled[i].msr.value, 7);
    }
    assert_int_equal(skips, count / 2);
    assert_int_equal(skipped, count / 2 * LENGTH);
    assert_int_equal(scripted_host.idled, 0);
}

/* What needs no architecture is done here. */
static void test_neutral_exits(void **state)
{
    (void)state;
    guest_does((struct vm_exit){.kind = EXIT_INTERRUPT_WINDOW}, ACTION_STOP);
    guest_does((struct vm_exit){.kind = EXIT_FLUSH}, ACTION_STOP);
    guest_ends();
    run();
    assert_string_equal(calls, "rtdGrtdGsGh");
    assert_int_equal(script.handled, 1);
}

/* The machine's interrupts may be for others: the CPU looks around after each. */
static void test_host_interrupt_ends_the_turn(void **state)
{
    (void)state;
    guest_does((struct vm_exit){.kind = EXIT_HOST_INTERRUPT}, ACTION_STOP);
    run();
    assert_string_equal(calls, "rtdG");
    assert_int_equal(scripted_host.taken, 1);
    assert_int_equal(scripted_host.worked, 1);
    assert_int_equal(vm.state, VM_RUNNING);
}

/* Its own may have come while the vCPU was switched to. */
static void test_own_kick_ends_the_turn(void **state)
{
    (void)state;
    scripted_host.kicked = true;
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    run();
    assert_string_equal(calls, "rtdGhs");
    assert_false(scripted_host.kicked);
}

/* Who calls at the beginning of a turn is heard a little later, and those who call for nothing not
 * at all. */
static void test_calls_wait_for_the_least_turn(void **state)
{
    (void)state;
    schedule.least_turn_end = 1000000 + 2 * GUEST_TICKS + 3 * WORK_TICKS;
    schedule.turn_end = 1000000 + SLICE;
    deadline = schedule.turn_end;
    guest_does((struct vm_exit){.kind = EXIT_HOST_INTERRUPT}, ACTION_STOP); /* its own timer, say */
    guest_does((struct vm_exit){.kind = EXIT_HOST_INTERRUPT}, ACTION_STOP);
    guest_does((struct vm_exit){.kind = EXIT_HOST_INTERRUPT}, ACTION_STOP);
    run();
    assert_string_equal(calls, "rtdGrtdGrtdG");
    assert_int_equal(scripted_host.taken, 3);
    assert_int_equal(schedule.turn_end, 1000000 + SLICE);
}

/* So does one whose interrupt was taken before the turn began. */
static void test_call_before_the_turn(void **state)
{
    (void)state;
    schedule.least_turn_end = 1000000 + GUEST_TICKS + WORK_TICKS;
    deadline = schedule.least_turn_end;
    scripted_host.called = true;
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    run();
    assert_int_equal(schedule.turn_end, schedule.least_turn_end);
    assert_int_equal(tested.turn_end, schedule.least_turn_end);
}

static void test_call_ends_the_least_turn(void **state)
{
    (void)state;
    for (unsigned own = 0; own < 2; own++) {
        uint64_t now = scripted_host.ticks;

        script.count = 0;
        script.played = 0;
        memset(calls, 0, sizeof(calls));
        schedule.least_turn_end = now + GUEST_TICKS + ARCH_TICKS + WORK_TICKS + 5;
        schedule.turn_end = now + SLICE;
        deadline = 0;
        own_deadline = schedule.least_turn_end; /* what the timer is to be set to, then at least */
        scripted_host.kicked = false;
        scripted_host.called = false;
        guest_does((struct vm_exit){.kind = EXIT_MEMORY}, ACTION_SKIP);
        calls_in_exit = own == 0 ? &scripted_host.called : &scripted_host.kicked;
        guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
        run();
        assert_string_equal(calls, "rtdGhsrtdGhsr");
        assert_int_equal(schedule.turn_end, schedule.least_turn_end);
        assert_int_equal(tested.turn_end, schedule.least_turn_end);
        assert_int_equal(vm.state, VM_RUNNING);
    }
}

/* The timer is set to whatever comes first; at the turn's end the guest is not entered again. */
static void test_slice_ends_the_turn(void **state)
{
    (void)state;
    schedule.turn_end = 1000000 + GUEST_TICKS + WORK_TICKS; /* what comes after an exit is late */
    deadline = schedule.turn_end;
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    run();
    assert_string_equal(calls, "rtdGhsr");
    assert_int_equal(tested.virtual_runtime, GUEST_TICKS + ARCH_TICKS + WORK_TICKS);
    assert_int_equal(tested.statistics.ticks_waiting, 50);

    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    guest_ends();
    schedule.turn_end = UINT64_MAX;
    schedule.others_deadline = scripted_host.ticks + 500;
    deadline = schedule.others_deadline;
    run();
    assert_int_equal(vm.state, VM_POWERED_OFF);
}

static void test_counters(void **state)
{
    (void)state;
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    guest_does((struct vm_exit){.kind = EXIT_INTERRUPT_WINDOW}, ACTION_RESUME);
    guest_ends();
    run();
    const struct vcpu_statistics *statistics = &tested.statistics;

    assert_int_equal(statistics->exits[EXIT_CPUID], 2);
    assert_int_equal(statistics->exits[EXIT_INTERRUPT_WINDOW], 1);
    assert_int_equal(statistics->exits[EXIT_PORT], 1);
    assert_int_equal(statistics->ticks_guest, 4 * GUEST_TICKS);
    /* From an exit to the next entry, the delivery before that included. */
    assert_int_equal(statistics->ticks[EXIT_CPUID], 2 * (ARCH_TICKS + WORK_TICKS));
    assert_int_equal(statistics->ticks[EXIT_INTERRUPT_WINDOW], WORK_TICKS);
    /* Before the first entry, and after the last exit. */
    assert_int_equal(statistics->ticks[EXIT_PORT], WORK_TICKS + ARCH_TICKS);
    assert_int_equal(statistics->ticks_waiting, 50);
    assert_int_equal(tested.virtual_runtime, 4 * GUEST_TICKS + 3 * ARCH_TICKS + 4 * WORK_TICKS);
    assert_int_equal(statistics->ticks_idle, 0);
    uint64_t exits = 0;

    for (unsigned i = 0; i < EXIT_KINDS; i++) {
        exits += statistics->exits[i];
    }
    assert_int_equal(exits, 4);
}

static void test_trace(void **state)
{
    (void)state;
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    guest_does((struct vm_exit){.kind = EXIT_EOI, .vector = 0x31}, ACTION_RESUME);
    guest_ends();
    run();
    assert_int_equal(tested.trace.count, 3);
    assert_int_equal(tested.trace.entries[0].exit.rip, 0x1010);
    assert_int_equal(tested.trace.entries[0].entered, 1000000 + WORK_TICKS);
    assert_int_equal(tested.trace.entries[0].ticks, 1000000 + WORK_TICKS + GUEST_TICKS);
    assert_int_equal(tested.trace.entries[0].exit.kind, EXIT_CPUID);
    assert_int_equal(tested.trace.entries[1].exit.rip, 0x1020 + LENGTH);
    assert_int_equal(tested.trace.entries[1].exit.vector, 0x31);
    assert_int_equal(tested.last_exit, EXIT_PORT);
}

static void test_halt_ends_the_turn(void **state)
{
    (void)state;
    guest_does((struct vm_exit){.kind = EXIT_HALT}, ACTION_STOP);
    run();
    assert_string_equal(calls, "rtdGsw"); /* it has halted behind the HLT */
    assert_int_equal(skipped, LENGTH);
    assert_int_equal(scripted_host.worked, 1);
    assert_int_equal(vm.state, VM_RUNNING);
}

static void test_halted_for_good(void **state)
{
    (void)state;
    can_wake = false;
    guest_does((struct vm_exit){.kind = EXIT_HALT}, ACTION_STOP);
    run();
    assert_int_equal(vm.state, VM_CRASHED);
    assert_string_equal(vm.end_reason, "halted with interrupts off at RIP 0x1013");
}

/* A vCPU that waits for its start-up interrupt is not entered. */
static void test_not_ready(void **state)
{
    (void)state;
    ready = false;
    run();
    assert_string_equal(calls, "r");
    assert_int_equal(tested.statistics.ticks_guest, 0);
}

static void test_triple_fault(void **state)
{
    (void)state;
    guest_does((struct vm_exit){.kind = EXIT_SHUTDOWN}, ACTION_RESUME);
    run();
    assert_int_equal(vm.state, VM_CRASHED);
    assert_string_equal(vm.end_reason, "triple fault at RIP 0x1010");
    assert_int_equal(script.handled, 0);
    assert_int_equal(tested.statistics.exits[EXIT_SHUTDOWN], 1);
}

static void test_unexplained_exits(void **state)
{
    (void)state;
    static const struct {
        struct vm_exit exit;
        const char *reason;
    } cases[] = {
        {{.kind = EXIT_ENTRY_FAILED, .code = 0x80000021},
         "entry-failed, code 0x80000021, at RIP 0x1010"},
        {{.kind = EXIT_UNEXPECTED, .code = 9}, "unexpected, code 0x9, at RIP 0x1010"},
        {{.kind = EXIT_UNEXPECTED}, "unexpected, code 0x0, at RIP 0x1010"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up(NULL);
        guest_does(cases[i].exit, ACTION_RESUME);
        run();
        assert_int_equal(vm.state, VM_CRASHED);
        assert_string_equal(vm.end_reason, cases[i].reason);
        assert_int_equal(script.handled, 0);
    }
}

static void test_provoked_panic(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    }
    guest_ends();
    scripted_host.lands = true;
    if (setjmp(scripted_host.landing) == 0) {
        vcpu_run(&tested, &schedule, 4);
        fail();
    }
    assert_string_equal(scripted_host.panic_reason,
                        "provoked by the configuration: debug.panic_after_exits = 4");
    assert_int_equal(tested.trace.count, 4); /* the last exits are what the panic shows */
    assert_int_equal(script.handled, 3);
    assert_int_equal(vm.state, VM_RUNNING);
}

static void test_panic_that_is_not_reached(void **state)
{
    (void)state;
    guest_does((struct vm_exit){.kind = EXIT_CPUID}, ACTION_SKIP);
    guest_ends();
    vcpu_run(&tested, &schedule, 3);
    assert_int_equal(vm.state, VM_POWERED_OFF);
    assert_string_equal(scripted_host.panic_reason, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_order, set_up),
        cmocka_unit_test_setup(test_at_once, set_up),
        cmocka_unit_test_setup(test_at_once_is_bounded, set_up),
        cmocka_unit_test_setup(test_interrupt_after_at_once, set_up),
        cmocka_unit_test_setup(test_due, set_up),
        cmocka_unit_test_setup(test_ended_before, set_up),
        cmocka_unit_test_setup(test_actions, set_up),
        cmocka_unit_test_setup(test_neutral_exits, set_up),
        cmocka_unit_test_setup(test_counters, set_up),
        cmocka_unit_test_setup(test_trace, set_up),
        cmocka_unit_test_setup(test_host_interrupt_ends_the_turn, set_up),
        cmocka_unit_test_setup(test_own_kick_ends_the_turn, set_up),
        cmocka_unit_test_setup(test_calls_wait_for_the_least_turn, set_up),
        cmocka_unit_test_setup(test_call_before_the_turn, set_up),
        cmocka_unit_test_setup(test_call_ends_the_least_turn, set_up),
        cmocka_unit_test_setup(test_slice_ends_the_turn, set_up),
        cmocka_unit_test_setup(test_halt_ends_the_turn, set_up),
        cmocka_unit_test_setup(test_halted_for_good, set_up),
        cmocka_unit_test_setup(test_not_ready, set_up),
        cmocka_unit_test_setup(test_triple_fault, set_up),
        cmocka_unit_test_setup(test_unexplained_exits, set_up),
        cmocka_unit_test_setup(test_provoked_panic, set_up),
        cmocka_unit_test_setup(test_panic_that_is_not_reached, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
