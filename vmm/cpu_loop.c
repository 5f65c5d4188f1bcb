/* One CPU: turns for its vCPUs, steps for its VMs, sleep. */
#include "vmm/cpu_loop.h"

#include "vmm/arch.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/run.h"

bool run_failed(const struct run *run)
{
    for (unsigned i = 0; i < run->vm_count; i++) {
        if (run->vms[i]->lifecycle.failed) {
            return true;
        }
    }
    return false;
}

/* The CPU looks around: whatever it is kicked for from here on it looks for once more. */
static bool goes_on(const struct run *run)
{
    host_look_around();
    return !__atomic_load_n(&run->over, __ATOMIC_ACQUIRE);
}

void run_end(struct run *run)
{
    __atomic_store_n(&run->over, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < run->vm_count; i++) {
        vm_kick(run->vms[i]);
    }
}

static bool all_down(const struct run *run)
{
    for (unsigned i = 0; i < run->vm_count; i++) {
        if (!lifecycle_over(run->vms[i])) {
            return false;
        }
    }
    return true;
}

static void switch_to(struct schedule *schedule, struct vcpu *vcpu)
{
    struct vcpu *from = schedule->current;

    if (from == vcpu) {
        return;
    }
    uint64_t begin = host_ticks();

    if (from != NULL) {
        from->vm->virtualization->unload(from);
    }
    host_switch(from, vcpu);
    if (vcpu != NULL) {
        vcpu->vm->virtualization->load(vcpu);
    }
    schedule->current = vcpu;
    schedule->switches++;
    schedule->switch_ticks += host_ticks() - begin;
}

/*
 * What is known of a crashed guest's vCPU, before its state is used for anything else. False if
 * that must wait: for other reports, or for room in the log.
 */
static bool report_crash(struct schedule *schedule, struct vcpu *vcpu)
{
    if (!vm_report_begin(vcpu->vm)) {
        return false;
    }
    bool behind = host_log_behind();

    if (!behind) {
        switch_to(schedule, vcpu);
        log_line("guest \"%s\" crashed: %s; vCPU %u was at:", vcpu->vm->name, vcpu->vm->end_reason,
                 vcpu->index);
        vcpu->vm->virtualization->dump(vcpu);
        trace_print(&vcpu->trace);
    }
    vm_report_end(vcpu->vm);
    return !behind;
}

/* The vCPUs of VMs that have started are as new. */
static void adopt(struct schedule *schedule)
{
    for (struct vcpu *vcpu = schedule->vcpus; vcpu != NULL; vcpu = vcpu->next_on_cpu) {
        if (!vm_running(vcpu->vm)) {
            continue;
        }
        unsigned life = __atomic_load_n(&vcpu->vm->life, __ATOMIC_RELAXED);

        if (vcpu->life != life) {
            vcpu->life = life;
            vcpu->fresh = true;
            vcpu->rests = true;
            vcpu->turn_ticks = host_ticks();
            vcpu->statistics = (struct vcpu_statistics){0};
        }
    }
}

/*
 * The vCPUs of VMs that have ended leave this CPU: the last one to do so lets the VM's life go on.
 * True if one has yet to.
 */
static bool park(struct schedule *schedule)
{
    bool waits = false;

    for (struct vcpu *vcpu = schedule->vcpus; vcpu != NULL; vcpu = vcpu->next_on_cpu) {
        struct vm *vm = vcpu->vm;
        enum vm_state state = vm_state(vm);
        unsigned ended = __atomic_load_n(&vm->ended_life, __ATOMIC_RELAXED);

        if (state == VM_RUNNING || vcpu->parked_life == ended) {
            continue;
        }
        if (state == VM_CRASHED && vcpu->life == ended && !vcpu->fresh &&
            !report_crash(schedule, vcpu)) {
            waits = true;
            continue;
        }
        vcpu->parked_life = ended;
        if (__atomic_sub_fetch(&vm->live, 1, __ATOMIC_ACQ_REL) == 0) {
            host_kick(vm->vcpus[0].cpu);
        }
    }
    return waits;
}

/*
 * True if some VM's next step is due already. What a step takes is the VM's own time: one that ends
 * and starts again without end has no more of the CPU than one that runs.
 */
static bool step(struct schedule *schedule)
{
    bool busy = false;

    for (struct vcpu *vcpu = schedule->vcpus; vcpu != NULL; vcpu = vcpu->next_on_cpu) {
        if (vcpu->index != 0) {
            continue;
        }
        uint64_t begin = host_ticks();

        if (!vm_running(vcpu->vm) && schedule_work_waits(schedule, vcpu)) {
            busy = true;
        } else if (lifecycle_step(vcpu->vm, begin)) {
            schedule_charge_work(schedule, vcpu, host_ticks() - begin);
            busy = true;
        }
    }
    return busy;
}

static uint64_t next_step(const struct schedule *schedule)
{
    uint64_t earliest = UINT64_MAX;

    for (const struct vcpu *vcpu = schedule->vcpus; vcpu != NULL; vcpu = vcpu->next_on_cpu) {
        if (vcpu->index == 0) {
            uint64_t deadline = lifecycle_deadline(vcpu->vm);

            earliest = deadline < earliest ? deadline : earliest;
        }
    }
    return earliest;
}

/* Of the vCPU that was chosen at TSC `chosen`. */
static void take_turn(struct schedule *schedule, struct vcpu *vcpu, const struct run *run,
                      uint64_t chosen)
{
    switch_to(schedule, vcpu);
    if (vcpu->fresh) {
        vcpu->fresh = false;
        host_reset_vcpu(vcpu);
        arch_vcpu_reset(vcpu);
    }
    schedule_begin(schedule, vcpu, host_ticks() - chosen);
    vcpu_run(vcpu, schedule, run->panic_after_exits);
}

void cpu_loop(struct schedule *schedule, struct run *run, unsigned cpu)
{
    bool waits = false; /* a vCPU that has not been parked */

    while (goes_on(run)) {
        bool busy = step(schedule) || waits;

        adopt(schedule);
        uint64_t now = host_ticks();
        struct vcpu *next = schedule_pick(schedule, now);
        uint64_t due = next_step(schedule);

        if (next != NULL) {
            /* A step that is due is taken after one slice, or at its time. */
            uint64_t latest = busy ? now + schedule->slice : due;

            schedule->turn_end = latest < schedule->turn_end ? latest : schedule->turn_end;
            take_turn(schedule, next, run, now);
        } else if (busy) {
            host_work(); /* a step may wait for the console */
        } else if (!host_kicked()) {
            host_work();
            host_timer_arm(schedule_deadline(schedule, due));
            host_idle();
        }
        waits = park(schedule);
        if (cpu == 0 && !run->waits_when_idle && all_down(run)) {
            run_end(run);
        }
    }
    switch_to(schedule, NULL);
}
