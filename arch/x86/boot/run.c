/* With the firmware gone: CPUs started, guests made, run, and brought to their end. */
#include "vmm/run.h"
#include "arch/x86/boot/address_space.h"
#include "arch/x86/boot/cpus.h"
#include "arch/x86/boot/seedvisor.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/host/power.h"
#include "arch/x86/host/rdseed.h"
#include "virtio/virtio.h"
#include "vmm/host.h"
#include "vmm/log.h"

/* Preparing a CPU may include loading a guest of many GiB. */
#define PREPARE_SECONDS 60U

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

/* The guest whose vCPU has this home CPU. */
static struct guest *guest_on(struct seedvisor *seedvisor, const struct cpu *cpu)
{
    for (unsigned i = 0; i < seedvisor->config.guest_count; i++) {
        if (cpu->vcpu->vm == &seedvisor->guests[i].vm) {
            return &seedvisor->guests[i];
        }
    }
    return NULL;
}

/* This CPU's part: virtualisation on, and its vCPU made; the first vCPU loads its guest as well. */
static bool prepare_cpu(struct seedvisor *seedvisor, struct cpu *cpu)
{
    struct vcpu *vcpu = cpu->vcpu;
    struct guest *guest = guest_on(seedvisor, cpu);

    if (!seedvisor->virtualization->enable(&seedvisor->arena)) {
        log_line("CPU %u: %s cannot be enabled", cpu->index, seedvisor->virtualization->name);
        return false;
    }
    if (!seedvisor->virtualization->vcpu_create(vcpu, &seedvisor->arena)) {
        log_line("guest \"%s\": the hypervisor's memory is too small for it", vcpu->vm->name);
        return false;
    }
    return vcpu->index != 0 || machine_start(&guest->vm, &guest->image, &seedvisor->entropy);
}

static void enable_cpu(struct seedvisor *seedvisor, struct cpu *cpu)
{
    cpu_load(cpu);
    address_space_load(&seedvisor->page_table);
    apic_enable();
    cpu->armed_deadline = UINT64_MAX;
}

/* What is known of a crashed guest's vCPU; its own CPU must ask, before it forgets. */
static void report_crash(struct vcpu *vcpu)
{
    log_line("guest \"%s\" crashed: %s; vCPU %u was at:", vcpu->vm->name, vcpu->vm->end_reason,
             vcpu->index);
    vcpu->vm->virtualization->dump(vcpu);
    trace_print(&vcpu->trace);
}

static void run_cpu(struct seedvisor *seedvisor, struct cpu *cpu)
{
    vcpu_run(cpu->vcpu, seedvisor->config.host.panic_after_exits);
    host_timer_arm(UINT64_MAX);
    if (cpu->vcpu->vm->state == VM_CRASHED) {
        report_crash(cpu->vcpu);
    }
    seedvisor->virtualization->disable();
    set_stage(seedvisor, cpu->index, CPU_FINISHED);
}

_Noreturn void seedvisor_enter_cpu(struct cpu *cpu)
{
    struct seedvisor *seedvisor = the_run;

    enable_cpu(seedvisor, cpu);
    bool prepared = prepare_cpu(seedvisor, cpu);

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

    for (unsigned i = 1; i < host->cpu_count; i++) {
        uint64_t limit = read_tsc() + PREPARE_SECONDS * host->tsc_frequency;

        cpus_start(&host->cpus[i], host->tsc_frequency);
        while (stage_of(seedvisor, i) == CPU_STOPPED && read_tsc() < limit) {
            pause();
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

static bool create_guest(struct seedvisor *seedvisor, struct guest *guest, unsigned first_cpu)
{
    const struct machine_setup setup = {
        .name = guest->config->name,
        .virtualization = seedvisor->virtualization,
        .policy = &seedvisor->policy,
        .clock = &seedvisor->clock,
        .entropy = guest->config->rng == CONFIG_RNG_NONE ? NULL : &seedvisor->entropy,
        .map_registers = guest->config->rng_page == CONFIG_RNG_MAPPED,
        .virtio_legacy = guest->config->virtio == CONFIG_VIRTIO_LEGACY,
        .virtio_features = virtio_features(guest->config),
        .console = guest_console_sink(&guest->console),
        .vcpus = (unsigned)guest->config->vcpus,
        .debug_exit_port = (uint16_t)guest->config->debug_exit,
        .fw_cfg = guest->config->fw_cfg == CONFIG_ON,
        .first_address_space = (uint16_t)(first_cpu + 1), /* 0 is the hypervisor's */
    };

    guest->console.name = seedvisor->config.guest_count > 1 ? guest->config->name : NULL;
    log_line("guest \"%s\": %lu MiB of memory, %lu vCPU%s", guest->config->name,
             guest->config->memory >> 20, guest->config->vcpus,
             guest->config->vcpus == 1 ? "" : "s");
    guest_memory_wipe(&guest->vm.memory);
    if (!machine_create(&guest->vm, &setup, &seedvisor->arena)) {
        return false;
    }
    /* A CPU for each vCPU, for good: no guest ever shares one with another. */
    for (unsigned i = 0; i < guest->vm.vcpu_count; i++) {
        struct vcpu *vcpu = &guest->vm.vcpus[i];

        vcpu->cpu = first_cpu + i;
        seedvisor->host.cpus[vcpu->cpu].vcpu = vcpu;
    }
    return true;
}

static bool create_guests(struct seedvisor *seedvisor)
{
    unsigned next_cpu = 0;

    for (unsigned i = 0; i < seedvisor->config.guest_count; i++) {
        if (!create_guest(seedvisor, &seedvisor->guests[i], next_cpu)) {
            return false;
        }
        next_cpu += seedvisor->guests[i].vm.vcpu_count;
    }
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

static enum run_result finish_guest(struct guest *guest)
{
    enum vm_state state = guest->vm.state;

    guest_console_flush(&guest->console);
    log_line("guest \"%s\" ended: %s", guest->config->name, guest->vm.end_reason);
    machine_print_statistics(&guest->vm);
    guest_memory_wipe(&guest->vm.memory);
    return state == VM_CRASHED ? RESULT_GUEST_FAILED : RESULT_GOOD;
}

static void print_entropy(struct entropy_core *entropy)
{
    struct entropy_counters counters = entropy_counters(entropy);

    log_line("entropy: %s tries %lu, failures %lu, longest failure run %lu, health test hits %lu",
             entropy->source.name, counters.tries, counters.failures, counters.longest_failure_run,
             counters.health_hits);
    log_line("entropy: bytes delivered %lu, pool low-water %lu", counters.bytes_delivered,
             counters.pool_low_water);
}

static enum run_result finish(struct seedvisor *seedvisor)
{
    enum run_result result = RESULT_GOOD;

    for (unsigned i = 0; i < seedvisor->config.guest_count; i++) {
        if (finish_guest(&seedvisor->guests[i]) != RESULT_GOOD) {
            result = RESULT_GUEST_FAILED;
        }
    }
    print_entropy(&seedvisor->entropy);
    log_line("all guests have ended: switching off");
    return result;
}

_Noreturn void seedvisor_run(struct seedvisor *seedvisor)
{
    struct host *host = &seedvisor->host;

    the_run = seedvisor;
    enable_cpu(seedvisor, &host->cpus[0]);
    apic_mask_legacy();
    apic_calibrate(host->tsc_frequency);
    host_init(host);
    entropy_init(&seedvisor->entropy, &rdseed_source);
    if (!create_guests(seedvisor) || !prepare_cpu(seedvisor, &host->cpus[0]) ||
        !start_other_cpus(seedvisor)) {
        power_off(RESULT_NOT_RUN);
    }
    log_line("hypervisor memory: %lu KiB, image %lu KiB; CPUs: %u", seedvisor->arena.used >> 10,
             (uint64_t)(image_end - ImageBase) >> 10, host->cpu_count);
    arena_seal(&seedvisor->arena);
    host->console_vm = &seedvisor->guests[0].vm;
    log_line("entering the guests at tsc %lu", read_tsc());
    __atomic_store_n(&seedvisor->go, true, __ATOMIC_RELEASE);
    run_cpu(seedvisor, &host->cpus[0]);
    while (!all_finished(seedvisor)) {
        host_work(); /* the console and the pool serve the other CPUs' guests */
        host_idle();
    }
    host->console_vm = NULL;
    power_off(finish(seedvisor));
}
