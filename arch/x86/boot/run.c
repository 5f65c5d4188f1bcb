/* With the firmware gone: CPUs started, guests made, run, and brought to their end. */
#include "vmm/run.h"
#include "arch/x86/boot/address_space.h"
#include "arch/x86/boot/attendance.h"
#include "arch/x86/boot/cpus.h"
#include "arch/x86/boot/seedvisor.h"
#include "arch/x86/boot/tsc_sync.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/host/amd_errata_apply.h"
#include "arch/x86/host/power.h"
#include "arch/x86/host/random_quirks.h"
#include "virtio/virtio.h"
#include "vmm/arch.h"
#include "vmm/format.h"
#include "vmm/host.h"
#include "vmm/log.h"

/* Preparing a CPU may include loading a guest of many GiB. */
#define PREPARE_SECONDS 60U
/* How long a source that is in trouble at the start is waited for. */
#define ENTROPY_SECONDS 30U

/* A turn of a vCPU when others wait for the CPU: 1 ms. */
#define SLICES_PER_SECOND 1000U

/* The linker script's marks. */
extern const char ImageBase[], image_end[];

/* Of the only run there is: what a CPU that starts finds its way by. */
static struct seedvisor *the_run;

static enum cpu_stage stage_of(struct seedvisor *seedvisor, unsigned cpu)
{
    return (enum cpu_stage)__atomic_load_n(&seedvisor->stages[cpu], __ATOMIC_ACQUIRE);
}

static void set_stage(struct seedvisor *seedvisor, unsigned cpu, enum cpu_stage stage)
{
    __atomic_store_n(&seedvisor->stages[cpu], stage, __ATOMIC_RELEASE);
}

static bool prepare_vcpu(struct seedvisor *seedvisor, struct vcpu *vcpu)
{
    vcpu->host = arena_allocate(&seedvisor->arena, sizeof(*vcpu->host), 64);
    if (vcpu->host == NULL || !seedvisor->virtualization->vcpu_create(vcpu, &seedvisor->arena)) {
        log_line("guest \"%s\": the hypervisor's memory is too small for it", vcpu->vm->name);
        return false;
    }
    resident_reset(&vcpu->host->resident);
    return true;
}

/* This CPU's part: virtualisation on, and the vCPUs made that are at home here. */
static bool prepare_cpu(struct seedvisor *seedvisor, struct cpu *cpu)
{
    struct schedule *schedule = &seedvisor->schedules[cpu->index];

    if (!seedvisor->virtualization->enable(&seedvisor->arena)) {
        log_line("CPU %u: %s cannot be enabled", cpu->index, seedvisor->virtualization->name);
        return false;
    }
    for (struct vcpu *vcpu = schedule->vcpus; vcpu != NULL; vcpu = vcpu->next_on_cpu) {
        if (!prepare_vcpu(seedvisor, vcpu)) {
            return false;
        }
    }
    return true;
}

static void enable_cpu(struct seedvisor *seedvisor, struct cpu *cpu)
{
    cpu_load(cpu);
    address_space_load(&seedvisor->page_table);
    apic_enable();
    random_quirks_mitigate(cpu->index);
    amd_errata_apply(cpu->index);
    cpu->armed_deadline = UINT64_MAX;
}

static void run_cpu(struct seedvisor *seedvisor, struct cpu *cpu)
{
    cpu_loop(&seedvisor->schedules[cpu->index], &seedvisor->run, cpu->index);
    host_timer_arm(UINT64_MAX);
    seedvisor->virtualization->disable();
    set_stage(seedvisor, cpu->index, CPU_FINISHED);
    host_kick(0); /* which waits for it */
}

_Noreturn void seedvisor_enter_cpu(struct cpu *cpu)
{
    struct seedvisor *seedvisor = the_run;

    enable_cpu(seedvisor, cpu);
    bool prepared =
        tsc_sync_join(cpu->index, seedvisor->host.tsc_frequency) && prepare_cpu(seedvisor, cpu);

    set_stage(seedvisor, cpu->index, prepared ? CPU_PREPARED : CPU_FAILED);
    while (!__atomic_load_n(&seedvisor->go, __ATOMIC_ACQUIRE)) {
        pause();
    }
    run_cpu(seedvisor, cpu);
    for (;;) {
        interrupts_on_and_halt();
    }
}

static bool start_other_cpus(struct seedvisor *seedvisor)
{
    struct host *host = &seedvisor->host;

    tsc_sync_begin();
    for (unsigned i = 1; i < host->cpu_count; i++) {
        uint64_t limit = read_tsc() + PREPARE_SECONDS * host->tsc_frequency;

        cpus_start(&host->cpus[i], host->tsc_frequency);
        while (stage_of(seedvisor, i) == CPU_STOPPED && read_tsc() < limit) {
            if (!tsc_sync_serve()) {
                pause();
            }
        }
        if (stage_of(seedvisor, i) != CPU_PREPARED) {
            log_line("CPU %u (APIC ID %u) %s", i, host->cpus[i].apic_id,
                     stage_of(seedvisor, i) == CPU_FAILED ? "cannot run guests"
                                                          : "does not answer");
            return false;
        }
    }
    return true;
}

/* The feature bits for the words of the configuration. */
static uint64_t virtio_features(const struct config_guest *config)
{
    static const uint64_t masks[CONFIG_VIRTIO_FEATURES] = {
        [CONFIG_VIRTIO_INDIRECT] = VIRTIO_FEATURE_INDIRECT_DESC,
        [CONFIG_VIRTIO_EVENT_IDX] = VIRTIO_FEATURE_EVENT_IDX,
        [CONFIG_VIRTIO_PACKED] = VIRTIO_FEATURE_RING_PACKED,
        [CONFIG_VIRTIO_IN_ORDER] = VIRTIO_FEATURE_IN_ORDER,
        [CONFIG_VIRTIO_NOTIFICATION_DATA] = VIRTIO_FEATURE_NOTIFICATION_DATA,
        [CONFIG_VIRTIO_RING_RESET] = VIRTIO_FEATURE_RING_RESET,
        [CONFIG_VIRTIO_SUSPEND] = VIRTIO_FEATURE_SUSPEND,
    };
    uint64_t features = 0;

    for (unsigned i = 0; i < CONFIG_VIRTIO_FEATURES; i++) {
        if ((config->virtio_features >> i & 1) != 0) {
            features |= masks[i];
        }
    }
    return features;
}

/* Homes for the vCPUs, as they were found; the first vCPU's number on the machine is `first`. */
static void give_homes(struct seedvisor *seedvisor, struct vm *vm, unsigned first)
{
    char list[MACHINE_VCPUS * 3 + 1];
    size_t used = 0;

    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        vm->vcpus[i].cpu = seedvisor->homes[first + i];
        schedule_add(&seedvisor->schedules[vm->vcpus[i].cpu], &vm->vcpus[i]);
        used += format(list + used, sizeof(list) - used, " %u", vm->vcpus[i].cpu);
    }
    log_line("guest \"%s\": on CPU%s%s", vm->name, vm->vcpu_count == 1 ? "" : "s", list);
}

static struct vm_policy guest_policy(const struct config_guest *config, uint64_t frequency)
{
    return (struct vm_policy){
        .follow_up = {[VM_ENDING_POWER_OFF] = (enum vm_follow_up)config->on_poweroff,
                      [VM_ENDING_RESET] = (enum vm_follow_up)config->on_reboot,
                      [VM_ENDING_CRASH] = (enum vm_follow_up)config->on_crash},
        .restart_limit = (unsigned)config->restart_limit,
        .start = config->start == CONFIG_ON,
        .start_delay = config->start_delay * (frequency / 1000),
    };
}

static bool create_guest(struct seedvisor *seedvisor, struct guest *guest, unsigned first_vcpu)
{
    guest->console = attendance_add(guest->config->name, &seedvisor->arena);
    if (guest->console == NULL) {
        return false;
    }
    const struct machine_setup setup = {
        .name = guest->config->name,
        .virtualization = seedvisor->virtualization,
        .policy = &seedvisor->policy,
        .clock = &seedvisor->clock,
        .image = &guest->image,
        .seed = guest->config->rng_seed == CONFIG_ON
                    ? sources_seed(&seedvisor->sources, guest->config->rng)
                    : NULL,
        .entropy = sources_core(&seedvisor->sources, guest->config->rng),
        .random = guest->config->rng_trap == CONFIG_ON
                      ? sources_seed(&seedvisor->sources, guest->config->rng)
                      : NULL,
        .map_registers = guest->config->rng_page == CONFIG_RNG_MAPPED,
        .virtio_legacy = guest->config->virtio == CONFIG_VIRTIO_LEGACY,
        .virtio_features = virtio_features(guest->config),
        .rate_bytes = guest->config->rng_rate.bytes,
        .rate_period =
            (guest->config->rng_rate.period * seedvisor->host.tsc_frequency + 999) / 1000,
        .console = guest_console_sink(guest->console),
        .vcpus = (unsigned)guest->config->vcpus,
        .debug_exit_port = (uint16_t)guest->config->debug_exit,
        .fw_cfg = guest->config->fw_cfg == CONFIG_ON,
        .trace = seedvisor->config.host.trace == CONFIG_ON,
        .first_address_space = (uint16_t)(first_vcpu + 1), /* 0 is the hypervisor's */
    };

    log_line("guest \"%s\": %lu MiB of memory, %lu vCPU%s", guest->config->name,
             guest->config->memory >> 20, guest->config->vcpus,
             guest->config->vcpus == 1 ? "" : "s");
    (void)guest_memory_wipe(&guest->vm.memory, 0, UINT64_MAX);
    if (!machine_create(&guest->vm, &setup, &seedvisor->arena) || !arch_vm_load(&guest->vm)) {
        return false;
    }
    give_homes(seedvisor, &guest->vm, first_vcpu);
    return true;
}

static bool create_guests(struct seedvisor *seedvisor)
{
    unsigned vcpu = 0;

    for (unsigned i = 0; i < seedvisor->host.cpu_count; i++) {
        schedule_init(&seedvisor->schedules[i], seedvisor->host.tsc_frequency / SLICES_PER_SECOND);
        seedvisor->schedules[i].company = seedvisor->host.cpu_count > 1;
    }
    for (unsigned i = 0; i < seedvisor->config.guest_count; i++) {
        seedvisor->vms[i] = &seedvisor->guests[i].vm;
        seedvisor->vms[i]->reports = &seedvisor->reports;
        if (!create_guest(seedvisor, &seedvisor->guests[i], vcpu)) {
            return false;
        }
        vcpu += seedvisor->vms[i]->vcpu_count;
    }
    seedvisor->run = (struct run){
        .vms = seedvisor->vms,
        .vm_count = seedvisor->config.guest_count,
        .waits_when_idle = seedvisor->config.host.on_idle == CONFIG_IDLE_WAIT,
        .panic_after_exits = seedvisor->config.host.panic_after_exits,
    };
    return true;
}

static bool all_finished(struct seedvisor *seedvisor)
{
    for (unsigned i = 0; i < seedvisor->host.cpu_count; i++) {
        if (stage_of(seedvisor, i) != CPU_FINISHED) {
            return false;
        }
    }
    return true;
}

/* A run that is ended from outside ends guests that still run: nothing of them stays either. */
static void finish_guest(struct vm *vm)
{
    if (vm->lifecycle.phase == LIFECYCLE_RUNNING) {
        vm_end(vm, VM_STOPPED, "switched off with the machine");
        for (unsigned part = vm->lifecycle.reported; arch_vm_report(vm, part); part++) {
        }
    }
    if (vm->lifecycle.phase != LIFECYCLE_DOWN) {
        (void)guest_memory_wipe(&vm->memory, 0, UINT64_MAX);
    }
}

static void print_switches(const struct seedvisor *seedvisor)
{
    for (unsigned i = 0; i < seedvisor->host.cpu_count; i++) {
        const struct schedule *schedule = &seedvisor->schedules[i];

        if (schedule->count > 1 && schedule->switches > 0) {
            log_line("CPU %u: %u vCPUs, switches %lu, ticks each %lu", i, schedule->count,
                     schedule->switches, schedule->switch_ticks / schedule->switches);
        }
    }
}

static enum run_result finish(struct seedvisor *seedvisor)
{
    for (unsigned i = 0; i < seedvisor->config.guest_count; i++) {
        finish_guest(seedvisor->vms[i]);
    }
    print_switches(seedvisor);
    sources_print(&seedvisor->sources);
    log_line("all guests have ended: switching off");
    return run_failed(&seedvisor->run) ? RESULT_GUEST_FAILED : RESULT_GOOD;
}

static void init_lives(struct seedvisor *seedvisor)
{
    uint64_t now = read_tsc();

    for (unsigned i = 0; i < seedvisor->config.guest_count; i++) {
        struct vm_policy policy =
            guest_policy(&seedvisor->config.guests[i], seedvisor->host.tsc_frequency);

        lifecycle_init(seedvisor->vms[i], &policy, now);
    }
}

/*
 * Until a source has passed its start-up test, or as long as one may be in trouble for a while.
 * Nobody else waits yet; later no seed is worth the time of others. Slow sources give none.
 */
static void await_source(struct entropy_core *entropy, uint64_t limit)
{
    while (entropy_state(entropy) != ENTROPY_READY && read_tsc() < limit) {
        if (entropy_refill(entropy, 64) == 0 && entropy_state(entropy) == ENTROPY_FAULT) {
            entropy_retry(entropy);
        }
    }
}

static void await_entropy(const struct host *host)
{
    uint64_t limit = read_tsc() + ENTROPY_SECONDS * host->tsc_frequency;

    for (unsigned i = 0; i < host->entropy_count; i++) {
        if (!host->entropy[i]->source.slow) {
            await_source(host->entropy[i], limit);
        }
    }
}

_Noreturn void seedvisor_run(struct seedvisor *seedvisor)
{
    struct host *host = &seedvisor->host;

    the_run = seedvisor;
    enable_cpu(seedvisor, &host->cpus[0]);
    apic_mask_legacy();
    apic_calibrate(host->tsc_frequency);
    host_init(host);
    await_entropy(host);
    if (!create_guests(seedvisor) || !prepare_cpu(seedvisor, &host->cpus[0]) ||
        !start_other_cpus(seedvisor)) {
        power_off(RESULT_NOT_RUN);
    }
    log_line("hypervisor memory: %lu KiB, image %lu KiB; CPUs: %u", seedvisor->arena.used >> 10,
             (uint64_t)(image_end - ImageBase) >> 10, host->cpu_count);
    arena_seal(&seedvisor->arena);
    init_lives(seedvisor);
    attendance_begin(seedvisor);
    log_line("entering the guests at tsc %lu", read_tsc());
    __atomic_store_n(&seedvisor->go, true, __ATOMIC_RELEASE);
    run_cpu(seedvisor, &host->cpus[0]);
    while (!all_finished(seedvisor)) {
        host_work();
        host_idle();
    }
    attendance_end(seedvisor);
    power_off(finish(seedvisor));
}
