/* A VM's life, step by step. */
#include "vmm/lifecycle.h"

#include <stddef.h>

#include "vmm/arch.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/vm.h"

/* Zeroing takes so many bytes at a time: other guests have the CPU in between. */
#define WIPE_STEP (2ULL << 20)

void lifecycle_init(struct vm *vm, const struct vm_policy *policy, uint64_t now)
{
    vm->lifecycle = (struct lifecycle){
        .policy = *policy,
        .phase = LIFECYCLE_READY,
        .start_time = policy->start ? now + policy->start_delay : UINT64_MAX,
    };
    vm->state = VM_NOT_RUNNING;
}

void vm_request(struct vm *vm, enum vm_request request)
{
    __atomic_store_n(&vm->lifecycle.request, request, __ATOMIC_RELEASE);
    host_kick(vm->vcpus[0].cpu);
}

static void set_phase(struct vm *vm, enum lifecycle_phase phase)
{
    __atomic_store_n(&vm->lifecycle.phase, phase, __ATOMIC_RELEASE);
    host_kick(0); /* which watches for the last guest's end */
}

/* The home CPUs take it from here, each for its vCPUs: see cpu_loop.c. */
static void start(struct vm *vm, uint64_t now)
{
    log_line("guest \"%s\" starts at tsc %lu", vm->name, now);
    __atomic_store_n(&vm->live, vm->vcpu_count, __ATOMIC_RELAXED);
    __atomic_store_n(&vm->paused, false, __ATOMIC_RELAXED);
    vm->end_reason[0] = '\0';
    vm->lifecycle.stopped = false;
    __atomic_store_n(&vm->ending, false, __ATOMIC_RELAXED);
    set_phase(vm, LIFECYCLE_RUNNING);
    __atomic_add_fetch(&vm->life, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&vm->state, VM_RUNNING, __ATOMIC_RELEASE);
    vm_kick(vm);
}

static void pause(struct vm *vm, bool paused)
{
    if (vm->lifecycle.phase == LIFECYCLE_RUNNING) {
        __atomic_store_n(&vm->paused, paused, __ATOMIC_RELAXED);
        vm_kick(vm);
    }
}

/* CPU 0 looks at it too, for the end of the run. */
static void set_start_time(struct lifecycle *life, uint64_t time)
{
    __atomic_store_n(&life->start_time, time, __ATOMIC_RELAXED);
}

static void carry_out(struct vm *vm, enum vm_request request, uint64_t now)
{
    struct lifecycle *life = &vm->lifecycle;
    bool runs = life->phase == LIFECYCLE_RUNNING;

    switch (request) {
    case VM_REQUEST_NONE:
        return;
    case VM_REQUEST_STOP:
        life->starts_again = false;
        life->stopped = true;
        set_start_time(life, UINT64_MAX);
        if (runs) {
            vm_end(vm, VM_STOPPED, "stopped by request");
        }
        return;
    case VM_REQUEST_RESTART:
        if (runs) {
            life->starts_again = true;
            vm_end(vm, VM_STOPPED, "restarted by request");
            return;
        }
        __attribute__((fallthrough));
    case VM_REQUEST_START:
        if (life->phase == LIFECYCLE_READY) {
            set_start_time(life, now);
        } else if (!runs) {
            life->starts_again = true;
            set_phase(vm, LIFECYCLE_WIPING); /* of which nothing may be left to do */
        }
        return;
    case VM_REQUEST_PAUSE:
    case VM_REQUEST_RESUME:
        pause(vm, request == VM_REQUEST_PAUSE);
        return;
    }
}

/* Which ending a state of a VM that does not run any more is; VM_ENDINGS: one by request. */
static enum vm_ending ending_of(enum vm_state state)
{
    switch (state) {
    case VM_POWERED_OFF:
        return VM_ENDING_POWER_OFF;
    case VM_RESET:
        return VM_ENDING_RESET;
    case VM_CRASHED:
        return VM_ENDING_CRASH;
    default:
        return VM_ENDINGS;
    }
}

/*
 * The next part of what there is to say of the VM's end. It waits for the port itself, not all
 * guests of this CPU, nor those of others for the end of the report. True if there is no more.
 */
static bool report(struct vm *vm)
{
    struct lifecycle *life = &vm->lifecycle;

    if (host_log_behind() || (life->reported == 0 && !vm_report_begin(vm))) {
        return false;
    }
    if (arch_vm_report(vm, life->reported)) {
        life->reported++;
        return false;
    }
    life->reported = 0;
    vm_report_end(vm);
    return true;
}

static void follow_up(struct vm *vm)
{
    struct lifecycle *life = &vm->lifecycle;
    enum vm_ending ending = ending_of(vm_state(vm));

    life->wiped = 0;
    set_phase(vm, LIFECYCLE_WIPING);
    if (ending == VM_ENDINGS) {
        return; /* the request said what follows */
    }
    enum vm_follow_up wanted = life->policy.follow_up[ending];

    if (wanted == VM_FOLLOW_FAIL) {
        life->failed = true;
    } else if (wanted == VM_FOLLOW_RESTART && life->stopped) {
        log_line("guest \"%s\": stays down by request", vm->name);
    } else if (wanted == VM_FOLLOW_RESTART && life->restarts < life->policy.restart_limit) {
        life->restarts++;
        life->starts_again = true;
        log_line("guest \"%s\": restart %u of at most %u", vm->name, life->restarts,
                 life->policy.restart_limit);
    } else if (wanted == VM_FOLLOW_RESTART) {
        life->failed |= ending == VM_ENDING_CRASH;
        log_line("guest \"%s\": stays down after %u restarts", vm->name, life->restarts);
    }
}

static void load_and_start(struct vm *vm, uint64_t now)
{
    vm->lifecycle.starts_again = false;
    if (arch_vm_load(vm)) {
        start(vm, now);
        return;
    }
    log_line("guest \"%s\" cannot be started again", vm->name);
    vm->lifecycle.failed = true;
    set_phase(vm, LIFECYCLE_DOWN);
}

static void wipe(struct vm *vm, uint64_t now)
{
    struct lifecycle *life = &vm->lifecycle;
    uint64_t size = guest_memory_size(&vm->memory);

    if (life->wiped < size) {
        life->wiped += guest_memory_wipe(&vm->memory, life->wiped, WIPE_STEP);
    } else if (life->starts_again) {
        load_and_start(vm, now);
    } else {
        set_phase(vm, LIFECYCLE_DOWN);
    }
}

bool lifecycle_step(struct vm *vm, uint64_t now)
{
    struct lifecycle *life = &vm->lifecycle;

    /* Almost always nobody wants anything: one load then. */
    if (__atomic_load_n(&life->request, __ATOMIC_RELAXED) != VM_REQUEST_NONE) {
        carry_out(vm, __atomic_exchange_n(&life->request, VM_REQUEST_NONE, __ATOMIC_ACQUIRE), now);
    }
    switch (life->phase) {
    case LIFECYCLE_READY:
        if (now >= life->start_time) {
            start(vm, now);
        }
        return false;
    case LIFECYCLE_RUNNING:
        if (vm_running(vm) || __atomic_load_n(&vm->live, __ATOMIC_ACQUIRE) > 0) {
            return false;
        }
        if (report(vm)) {
            follow_up(vm);
        }
        return true;
    case LIFECYCLE_WIPING:
        wipe(vm, now);
        return true;
    case LIFECYCLE_DOWN:
        break;
    }
    return false;
}

uint64_t lifecycle_deadline(const struct vm *vm)
{
    return vm->lifecycle.phase == LIFECYCLE_READY ? vm->lifecycle.start_time : UINT64_MAX;
}

bool lifecycle_over(const struct vm *vm)
{
    enum lifecycle_phase phase = __atomic_load_n(&vm->lifecycle.phase, __ATOMIC_ACQUIRE);

    return phase == LIFECYCLE_DOWN ||
           (phase == LIFECYCLE_READY &&
            __atomic_load_n(&vm->lifecycle.start_time, __ATOMIC_RELAXED) == UINT64_MAX);
}

const char *vm_state_name(const struct vm *vm)
{
    switch (__atomic_load_n(&vm->lifecycle.phase, __ATOMIC_RELAXED)) {
    case LIFECYCLE_READY:
        return "ready";
    case LIFECYCLE_RUNNING:
        if (!vm_running(vm)) {
            return "ending";
        }
        return vm_runnable(vm) ? "running" : "paused";
    case LIFECYCLE_WIPING:
        return "ending";
    case LIFECYCLE_DOWN:
        break;
    }
    return "down";
}
