/* The run loop: one vCPU in the CPU, from entry to exit to entry. */
#include "vmm/run.h"

#include "vmm/arch.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/panic.h"

/*
 * So many exits in a row may go by at once, without a look at what only others could have changed.
 * They interrupt a guest for that, but Bochs 2.7 holds the machine's interrupts back from a guest
 * that was entered with its own off.
 */
#define AT_ONCE_MOST 16U

/*
 * An exit that the hardware could not explain ends its guest, and the report says everything that
 * is known: it is either a guest state the processor refuses or a bug of ours.
 */
static enum exit_action crash(struct vcpu *vcpu, const struct vm_exit *exit)
{
    vm_end(vcpu->vm, VM_CRASHED, "%s, code 0x%lx, at RIP 0x%lx", exit_kind_name(exit->kind),
           exit->code, exit->rip);
    return ACTION_STOP;
}

static enum exit_action handle(struct vcpu *vcpu, struct vm_exit *exit)
{
    switch (exit->kind) {
    case EXIT_HOST_INTERRUPT:
        host_take_interrupts();
        return ACTION_RESUME;
    case EXIT_INTERRUPT_WINDOW:
        return ACTION_RESUME;
    case EXIT_HALT:
        return ACTION_WAIT;
    case EXIT_FLUSH:
        return ACTION_SKIP_AT_ONCE;
    case EXIT_SHUTDOWN:
        vm_end(vcpu->vm, VM_CRASHED, "triple fault at RIP 0x%lx", exit->rip);
        return ACTION_STOP;
    case EXIT_ENTRY_FAILED:
    case EXIT_UNEXPECTED:
    case EXIT_KINDS:
        return crash(vcpu, exit);
    default:
        return arch_handle_exit(vcpu, exit);
    }
}

/* One entry and exit; keeps the counters. What is returned stays until the trace comes round. */
static struct vm_exit *enter(struct vcpu *vcpu)
{
    struct trace_entry *entry = trace_next(&vcpu->trace);
    struct vm_exit *exit = &entry->exit;

    entry->entered = host_ticks();
    vcpu->statistics.ticks[vcpu->last_exit] += entry->entered - vcpu->last_exit_ticks;
    vcpu->vm->virtualization->run(vcpu, exit);
    entry->ticks = host_ticks();
    vcpu->last_exit_ticks = entry->ticks;
    vcpu->statistics.ticks_guest += entry->ticks - entry->entered;
    vcpu->last_exit = exit->kind;
    vcpu->statistics.exits[exit->kind]++;
    trace_record(&vcpu->trace);
    return exit;
}

/* What is looked at before an entry, but not between exits that change none of it. */
static void prepare(struct vcpu *vcpu, const struct schedule *schedule)
{
    uint64_t deadline = arch_vcpu_deadline(vcpu);

    if (vcpu->last_exit_ticks >= deadline) {
        arch_vcpu_advance(vcpu, vcpu->last_exit_ticks);
        deadline = arch_vcpu_deadline(vcpu);
    }
    arch_vcpu_deliver(vcpu);
    host_timer_arm(schedule_deadline(schedule, deadline));
}

/* Enters the guest until an exit after which there is something to be looked at. */
static enum exit_action run_until_change(struct vcpu *vcpu, uint64_t panic_after_exits)
{
    enum exit_action action = ACTION_SKIP_AT_ONCE;

    for (unsigned i = 0; i < AT_ONCE_MOST && action == ACTION_SKIP_AT_ONCE; i++) {
        struct vm_exit *exit = enter(vcpu);

        if (panic_after_exits != 0 && vcpu->trace.count >= panic_after_exits) {
            panic("provoked by the configuration: debug.panic_after_exits = %lu",
                  panic_after_exits);
        }
        action = handle(vcpu, exit);
        if (action != ACTION_RESUME && action != ACTION_STOP) {
            vcpu->vm->virtualization->skip(vcpu, exit->rip + exit->instruction_length);
        }
    }
    return action;
}

static void limit_turn(struct vcpu *vcpu, struct schedule *schedule)
{
    if (schedule->least_turn_end < schedule->turn_end) {
        schedule->turn_end = schedule->least_turn_end;
        vcpu->turn_end = schedule->turn_end;
    }
}

/*
 * After an interrupt of the machine the CPU looks around, as it may be for others, and after its
 * own kick. Not at the beginning of a turn: else those who call this CPU without end would leave
 * its guests no time. `owed`: a kick came before the turn began.
 */
static bool goes_on_after_exit(struct vcpu *vcpu, struct schedule *schedule, bool owed)
{
    if (vcpu->last_exit_ticks >= schedule->least_turn_end) {
        return vcpu->last_exit != EXIT_HOST_INTERRUPT && !owed && !host_kicked();
    }
    if (host_called() || host_kicked()) {
        limit_turn(vcpu, schedule);
    }
    return true;
}

/* What becomes of one that executed HLT. */
static void halt(struct vcpu *vcpu)
{
    if (!arch_vcpu_halt(vcpu)) { /* the guest's last instruction (Linux: "System halted") */
        vm_end(vcpu->vm, VM_CRASHED, "halted with interrupts off at RIP 0x%lx",
               vcpu_get(vcpu, REGISTER_RIP));
    }
}

/* Since it woke or had its last turn it has waited for this one. */
static void begin(struct vcpu *vcpu, uint64_t now)
{
    vcpu->statistics.ticks_waiting += now - vcpu->turn_ticks;
    vcpu->last_exit_ticks = now;
    vcpu->turn_ticks = now;
}

static void end(struct vcpu *vcpu)
{
    uint64_t now = host_ticks();

    vcpu->statistics.ticks[vcpu->last_exit] += now - vcpu->last_exit_ticks;
    schedule_charge(vcpu, now - vcpu->turn_ticks);
    vcpu->turn_ticks = now;
}

void vcpu_run(struct vcpu *vcpu, struct schedule *schedule, uint64_t panic_after_exits)
{
    struct vm *vm = vcpu->vm;
    bool goes_on = true;
    bool owed = host_kicked();

    vcpu->turn_end = schedule->turn_end;
    if (host_called()) { /* by an interrupt that was taken already, it may be */
        limit_turn(vcpu, schedule);
    }
    begin(vcpu, host_ticks());
    /* What became due while an exit was handled ends the next entry at once: the timer is late. */
    while (goes_on && vm_runnable(vm) && arch_vcpu_ready(vcpu) &&
           vcpu->last_exit_ticks < schedule->turn_end) {
        prepare(vcpu, schedule);
        if (run_until_change(vcpu, panic_after_exits) == ACTION_WAIT) {
            halt(vcpu);
            goes_on = false;
        } else {
            goes_on = goes_on_after_exit(vcpu, schedule, owed);
        }
        host_work();
    }
    end(vcpu);
}
