/* Fair turns by virtual runtime. */
#include "vmm/schedule.h"

#include "vmm/arch.h"

/*
 * Slices after which a CPU looks around although only one vCPU can run here, and a kick would end
 * its turn: where there are several, and where other CPUs may kick. Bochs 2.7 holds a kick back
 * from a guest that was entered with interrupts off, and that guest may be waiting for the very
 * vCPU that the kick is to wake, or its VM may have ended.
 */
#define LOOK_AROUND 10U

/*
 * This part of a slice belongs to who was chosen, whatever is due or comes for the others: what
 * they ask for, timers that go off without end for one, is no reason to switch without end.
 */
#define LEAST_TURN 10U

void schedule_init(struct schedule *schedule, uint64_t slice)
{
    *schedule = (struct schedule){.slice = slice, .turn_end = UINT64_MAX};
}

void schedule_add(struct schedule *schedule, struct vcpu *vcpu)
{
    struct vcpu **end = &schedule->vcpus;
    uint64_t siblings = 1;

    for (; *end != NULL; end = &(*end)->next_on_cpu) {
        if ((*end)->vm == vcpu->vm) {
            siblings = ++(*end)->weight;
        }
    }
    *end = vcpu;
    vcpu->next_on_cpu = NULL;
    vcpu->weight = siblings;
    vcpu->rests = true;
    schedule->count++;
}

/* Whether `a` has had less than `b`; the counters may wrap. */
static bool is_behind(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

static void wake(const struct schedule *schedule, struct vcpu *vcpu, uint64_t now)
{
    uint64_t least = schedule->floor - schedule->slice;

    if (is_behind(vcpu->virtual_runtime, least)) {
        vcpu->virtual_runtime = least;
    }
    vcpu->rests = false;
    vcpu->statistics.ticks_idle += now - vcpu->turn_ticks;
    vcpu->turn_ticks = now;
}

static uint64_t earliest_of_others(const struct schedule *schedule, const struct vcpu *chosen)
{
    uint64_t earliest = UINT64_MAX;

    for (struct vcpu *vcpu = schedule->vcpus; vcpu != NULL; vcpu = vcpu->next_on_cpu) {
        if (vcpu != chosen && vm_runnable(vcpu->vm)) {
            uint64_t deadline = arch_vcpu_wake_time(vcpu);

            earliest = deadline < earliest ? deadline : earliest;
        }
    }
    return earliest;
}

struct vcpu *schedule_pick(struct schedule *schedule, uint64_t now)
{
    struct vcpu *next = NULL;
    unsigned runnable = 0;

    for (struct vcpu *vcpu = schedule->vcpus; vcpu != NULL; vcpu = vcpu->next_on_cpu) {
        if (vm_running(vcpu->vm)) {
            arch_vcpu_advance(vcpu, now);
        }
        if (!vm_runnable(vcpu->vm) || !arch_vcpu_runnable(vcpu)) {
            vcpu->rests = true;
            continue;
        }
        if (vcpu->rests) {
            wake(schedule, vcpu, now);
        }
        runnable++;
        if (next == NULL || is_behind(vcpu->virtual_runtime, next->virtual_runtime)) {
            next = vcpu;
        }
    }
    schedule->runnable = runnable;
    schedule->least_turn_end = now + schedule->slice / LEAST_TURN;
    schedule->others_deadline = earliest_of_others(schedule, next);
    if (next != NULL && schedule->others_deadline < schedule->least_turn_end) {
        schedule->others_deadline = schedule->least_turn_end;
    }
    schedule->turn_end = runnable > 1 ? now + schedule->slice
                         : schedule->count > 1 || schedule->company
                             ? now + LOOK_AROUND * schedule->slice
                             : UINT64_MAX;
    if (next != NULL && is_behind(schedule->floor, next->virtual_runtime)) {
        schedule->floor = next->virtual_runtime;
    }
    return next;
}

void schedule_charge(struct vcpu *vcpu, uint64_t ticks)
{
    vcpu->virtual_runtime += ticks * vcpu->weight;
}

void schedule_begin(struct schedule *schedule, struct vcpu *vcpu, uint64_t late)
{
    schedule_charge(vcpu, late);
    schedule->least_turn_end += late;
    if (schedule->turn_end != UINT64_MAX) {
        schedule->turn_end += late;
    }
    if (schedule->others_deadline < schedule->least_turn_end) {
        schedule->others_deadline = schedule->least_turn_end;
    }
}

void schedule_charge_work(const struct schedule *schedule, struct vcpu *vcpu, uint64_t ticks)
{
    if (schedule->runnable > 0) {
        schedule_charge(vcpu, ticks);
    }
}

bool schedule_work_waits(const struct schedule *schedule, const struct vcpu *vcpu)
{
    return schedule->runnable > 0 && is_behind(schedule->floor, vcpu->virtual_runtime);
}
