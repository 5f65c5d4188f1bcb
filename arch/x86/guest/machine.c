/* The guest's machine: what is on which bus, which line goes where, and how a guest is loaded. */
#include "arch/x86/guest/machine.h"

#include <string.h>

#include "arch/x86/guest/acpi.h"
#include "arch/x86/guest/boot.h"
#include "arch/x86/guest/layout.h"
#include "vmm/arch.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/vm_trace.h"
#include "vmm/wipe.h"

/* How soon a device that waits for the machine is looked at again. */
#define POLL_PER_SECOND 1000U

void machine_lock(struct vm *vm)
{
    spin_lock_acquire(&vm->arch->lock);
    vm->arch->settled = true;
}

/* The TSC at which the CMOS clock's alarm is due. */
static uint64_t alarm_time(const struct arch_vm *arch)
{
    const struct wall_clock *clock = arch->clock;
    uint64_t alarm = rtc_deadline(&arch->rtc);

    if (alarm == UINT64_MAX) {
        return UINT64_MAX;
    }
    return clock->ticks +
           (alarm > clock->unix_seconds ? alarm - clock->unix_seconds : 0) * clock->frequency;
}

bool machine_unlock(struct vm *vm)
{
    struct arch_vm *arch = vm->arch;
    uint64_t poll = alarm_time(arch);

    bool rng_works = arch->has_rng && rng_has_work(&arch->rng);
    uint64_t due = rng_works ? rng_deadline(&arch->rng) : UINT64_MAX;

    poll = due != 0 && due < poll ? due : poll;
    if (uart_waiting(&arch->uart) || due == 0) {
        uint64_t soon = host_ticks() + arch->clock->frequency / POLL_PER_SECOND;
        /* A poll that is due earlier stays so: accesses in quick succession must not put it off. */
        uint64_t planned = arch->poll_time;

        soon = planned < soon ? planned : soon;
        poll = soon < poll ? soon : poll;
    }
    bool earlier = poll < arch->poll_time;
    bool settled = arch->settled && !earlier;

    __atomic_store_n(&arch->poll_time, poll, __ATOMIC_RELAXED);
    spin_lock_release(&arch->lock);
    if (earlier) {
        host_kick_vcpu(&vm->vcpus[0]); /* which polls, and may be asleep until later */
    }
    return settled;
}

uint64_t machine_poll_time(const struct vm *vm)
{
    return __atomic_load_n(&vm->arch->poll_time, __ATOMIC_RELAXED);
}

void machine_poll(struct vm *vm)
{
    struct arch_vm *arch = vm->arch;

    machine_lock(vm);
    arch->poll_time = UINT64_MAX;
    uart_poll(&arch->uart);
    rtc_poll(&arch->rtc);
    if (arch->has_rng) {
        rng_poll(&arch->rng);
    }
    (void)machine_unlock(vm);
}

static void kick(struct vm *vm, uint64_t vcpus)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if ((vcpus >> i & 1) != 0) {
            host_kick_vcpu(&vm->vcpus[i]);
        }
    }
}

/* From the I/O APIC: the machine's lock is held, and the local APICs need none. */
static void deliver_message(void *context, const struct apic_message *message)
{
    struct vm *vm = context;
    uint64_t interrupted = local_apic_dispatch(vm->arch->apics, vm->vcpu_count, NULL, message);

    vm->arch->settled &= interrupted == 0;
    kick(vm, interrupted);
}

static void send_ipi(void *context, const struct apic_message *message)
{
    struct vcpu *vcpu = context;
    struct vm *vm = vcpu->vm;

    kick(vm, local_apic_dispatch(vm->arch->apics, vm->vcpu_count, &vcpu->arch->apic, message));
}

static void end_of_interrupt(void *context, uint8_t vector)
{
    struct vm *vm = ((struct vcpu *)context)->vm;

    machine_lock(vm);
    io_apic_eoi(&vm->arch->io_apic, vector);
    (void)machine_unlock(vm);
}

static uint64_t clock_seconds(void *context)
{
    return wall_clock_seconds(context, host_ticks());
}

static void power_event(void *context, enum power_event event)
{
    if (event == POWER_OFF) {
        vm_end(context, VM_POWERED_OFF, "powered off");
    } else {
        vm_end(context, VM_RESET, "reset");
    }
}

/* Test suites write 0 when all is well. */
static void debug_exit(void *context, uint32_t value)
{
    vm_end(context, value == 0 ? VM_POWERED_OFF : VM_CRASHED, "debug exit 0x%x", value);
}

/* What only a guest has whose configuration asks for it. */
static bool add_test_devices(struct vm *vm)
{
    struct arch_vm *arch = vm->arch;
    uint16_t port = arch->setup.debug_exit_port;

    if (arch->setup.fw_cfg &&
        !bus_add(&vm->ports, LAYOUT_FW_CFG_PORT, FW_CFG_PORTS, &fw_cfg_operations, &arch->fw_cfg)) {
        return false;
    }
    if (port != 0 &&
        !bus_add(&vm->ports, port, DEBUG_EXIT_PORTS, &debug_exit_operations, &arch->debug_exit)) {
        log_line("guest \"%s\": debug_exit = 0x%x: the guest has another device there", vm->name,
                 port);
        return false;
    }
    return true;
}

/* The devices as they are when the machine is switched on. */
static void reset_devices(struct vm *vm)
{
    static const struct io_apic_operations io_apic_operations = {.deliver = deliver_message};
    struct arch_vm *arch = vm->arch;
    const struct irq_line uart_line = {io_apic_set, &arch->io_apic, LAYOUT_UART_GSI};
    const struct irq_line rtc_line = {io_apic_set, &arch->io_apic, LAYOUT_RTC_GSI};
    const struct rtc_clock clock = {clock_seconds, (void *)arch->setup.clock};

    io_apic_init(&arch->io_apic, &io_apic_operations, vm);
    uart_init(&arch->uart, &arch->setup.console, &uart_line);
    rtc_init(&arch->rtc, &clock, &rtc_line);
    arch->power = (struct power){.soft_off = LAYOUT_S5_SLEEP_TYPE,
                                 .reset_value = LAYOUT_RESET_VALUE,
                                 .end = power_event,
                                 .context = vm};
    arch->debug_exit = (struct debug_exit){.end = debug_exit, .context = vm};
    fw_cfg_init(&arch->fw_cfg, guest_memory_size(&vm->memory), (uint16_t)vm->vcpu_count);
    if (arch->has_rng) {
        const struct rng_setup rng = {
            .entropy = arch->setup.entropy,
            .memory = &vm->memory,
            .irq = {io_apic_set, &arch->io_apic, LAYOUT_VIRTIO_GSI},
            .features = arch->setup.virtio_features,
            .legacy = arch->setup.virtio_legacy,
            .page = arch->rng_page,
            .trace = vm->device_trace,
            .ticks = host_ticks,
            .rate_bytes = arch->setup.rate_bytes,
            .rate_period = arch->setup.rate_period,
        };

        rng_init(&arch->rng, &rng);
    }
}

static bool add_rng(struct vm *vm, struct arena *arena)
{
    struct arch_vm *arch = vm->arch;

    arch->has_rng = arch->setup.entropy != NULL;
    if (arch->has_rng && arch->setup.map_registers) {
        arch->rng_page = arena_allocate(arena, VIRTIO_MMIO_PAGE_SIZE, VIRTIO_MMIO_PAGE_SIZE);
        if (arch->rng_page == NULL) {
            return false;
        }
    }
    return !arch->has_rng || bus_add(&vm->mmio, LAYOUT_VIRTIO_BASE, VIRTIO_MMIO_PAGE_SIZE,
                                     &virtio_mmio_bus_operations, &arch->rng.transport);
}

static bool add_devices(struct vm *vm, struct arena *arena)
{
    struct arch_vm *arch = vm->arch;

    /* The entropy device first: it is what a guest accesses most. */
    return add_rng(vm, arena) &&
           bus_add(&vm->mmio, LAYOUT_IO_APIC_BASE, LAYOUT_APIC_SIZE, &io_apic_bus_operations,
                   &arch->io_apic) &&
           bus_add(&vm->ports, LAYOUT_UART_PORT, UART_PORTS, &uart_bus_operations, &arch->uart) &&
           bus_add(&vm->ports, LAYOUT_RTC_PORT, RTC_PORTS, &rtc_bus_operations, &arch->rtc) &&
           bus_add(&vm->ports, LAYOUT_POWER_PORT, POWER_ACPI_PORTS, &power_acpi_operations,
                   &arch->power) &&
           bus_add(&vm->ports, LAYOUT_KEYBOARD_PORT, 1, &power_keyboard_operations, &arch->power) &&
           bus_add(&vm->ports, LAYOUT_PCI_RESET_PORT, 1, &power_pci_operations, &arch->power);
}

static void reset_vcpu(struct vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;

    local_apic_reset(&arch->apic, vcpu->index == 0);
    arch->pvclock = (struct pvclock){0};
    arch->pv_eoi = (struct pv_eoi){0};
    arch->waiting = vcpu->index != 0; /* all but the first (SDM Vol. 3A, 9.4.2) */
    arch->halted = false;
    arch->fetched = (struct fetch_rows){0};
}

static bool add_vcpus(struct vm *vm, struct arena *arena)
{
    static const struct local_apic_operations operations = {.send_ipi = send_ipi,
                                                            .eoi = end_of_interrupt};
    const struct machine_setup *setup = &vm->arch->setup;

    vm->vcpus = arena_allocate(arena, setup->vcpus * sizeof(*vm->vcpus), 64);
    if (vm->vcpus == NULL) {
        return false;
    }
    vm->vcpu_count = setup->vcpus;
    for (unsigned i = 0; i < setup->vcpus; i++) {
        struct vcpu *vcpu = &vm->vcpus[i];
        void *page = arena_allocate(arena, 4096, 4096);

        vcpu->arch = arena_allocate(arena, sizeof(*vcpu->arch), 64);
        if (page == NULL || vcpu->arch == NULL) {
            return false;
        }
        vcpu->vm = vm;
        vcpu->index = i;
        vcpu->arch->address_space = (uint16_t)(setup->first_address_space + i);
        local_apic_init(&vcpu->arch->apic, page, i, i == 0, &operations, vcpu);
        vm->arch->apics[i] = &vcpu->arch->apic;
    }
    return true;
}

static bool map_memory(struct vm *vm, struct arena *arena)
{
    for (unsigned i = 0; i < vm->memory.count; i++) {
        const struct guest_memory_region *region = &vm->memory.regions[i];

        if (!vm->virtualization->map(vm, region->gpa, region->hva, region->size,
                                     MAP_READ | MAP_WRITE, arena)) {
            return false;
        }
    }
    /* Without the right to write: reads do not exit any more, and writes do as before. */
    const void *registers = vm->arch->rng_page;

    return registers == NULL || vm->virtualization->map(vm, LAYOUT_VIRTIO_BASE, registers,
                                                        VIRTIO_MMIO_PAGE_SIZE, MAP_READ, arena);
}

/* All but memory, as it is when the machine is switched on. */
static void reset_machine(struct vm *vm)
{
    struct arch_vm *arch = vm->arch;

    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        reset_vcpu(&vm->vcpus[i]);
    }
    machine_lock(vm); /* the console may have input for it at any time */
    reset_devices(vm);
    arch->poll_time = UINT64_MAX;
    memset(&arch->unknown_ports, 0, sizeof(arch->unknown_ports));
    memset(&arch->unknown_msrs, 0, sizeof(arch->unknown_msrs));
    memset(&arch->unknown_memory, 0, sizeof(arch->unknown_memory));
    (void)machine_unlock(vm);
}

bool machine_create(struct vm *vm, const struct machine_setup *setup, struct arena *arena)
{
    vm->name = setup->name;
    vm->virtualization = setup->virtualization;
    vm->arch = arena_allocate(arena, sizeof(*vm->arch), 64);
    if (setup->vcpus == 0 || setup->vcpus > MACHINE_VCPUS || vm->arch == NULL) {
        log_line("guest \"%s\": no room for a machine with %u vCPUs", setup->name, setup->vcpus);
        return false;
    }
    vm->arch->setup = *setup;
    vm->arch->poll_time = UINT64_MAX;
    vm->arch->policy = setup->policy;
    vm->arch->clock = setup->clock;
    if (!add_vcpus(vm, arena) ||
        (setup->trace && !vm_trace_enable(vm, setup->clock->frequency, arena)) ||
        !add_devices(vm, arena) || !vm->virtualization->vm_create(vm, arena) ||
        !map_memory(vm, arena)) {
        log_line("guest \"%s\": the hypervisor's memory is too small for it", setup->name);
        return false;
    }
    if (!add_test_devices(vm)) {
        return false;
    }
    reset_machine(vm);
    return true;
}

/* Fresh bytes for the image; false, with a line in the log, if there are none to be had. */
static bool take_seed(const struct vm *vm, uint8_t *seed)
{
    struct entropy_core *entropy = vm->arch->setup.seed;

    while (entropy_take(entropy, seed, BOOT_SEED_SIZE) < BOOT_SEED_SIZE) {
        if (entropy_refill(entropy, 64) == 0 && entropy_state(entropy) == ENTROPY_FAULT) {
            wipe(seed, BOOT_SEED_SIZE); /* of what there was */
            log_line("guest \"%s\": no entropy for its seed", vm->name);
            return false;
        }
    }
    return true;
}

static bool load_image(struct vm *vm)
{
    const struct acpi_configuration acpi = {.vcpus = vm->vcpu_count, .rng = vm->arch->has_rng};
    struct boot_image *image = vm->arch->setup.image;
    uint8_t seed[BOOT_SEED_SIZE];
    struct boot_error error;

    if (!acpi_build(&vm->memory, &acpi, &image->rsdp_gpa)) {
        log_line("guest \"%s\": the ACPI tables do not fit", vm->name);
        return false;
    }
    if (vm->arch->setup.seed != NULL) {
        if (!take_seed(vm, seed)) {
            return false;
        }
        image->rng_seed = seed;
    }
    bool loaded = boot_load(&vm->memory, image, &vm->arch->start, &error);

    wipe(seed, sizeof(seed));
    image->rng_seed = NULL;
    if (!loaded) {
        log_line("guest \"%s\": %s", vm->name, error.text);
    }
    return loaded;
}

bool arch_vm_load(struct vm *vm)
{
    reset_machine(vm);
    return load_image(vm);
}

bool arch_vm_report(struct vm *vm, unsigned part)
{
    const struct uart_sink *console = &vm->arch->setup.console;

    if (part > 0 && machine_print_statistics(vm, part - 1)) {
        return true;
    }
    if (part > 0) {
        vm_trace_dump(vm);
        return false;
    }
    if (console->flush != NULL) {
        console->flush(console->context);
    }
    log_line("guest \"%s\" ended: %s", vm->name, vm->end_reason);
    return true;
}

void machine_count_unknown(struct unknown_accesses *accesses, uint64_t number)
{
    for (unsigned i = 0; i < MACHINE_UNKNOWN; i++) {
        if (accesses->rows[i].count == 0 || accesses->rows[i].number == number) {
            accesses->rows[i].number = number;
            accesses->rows[i].count++;
            return;
        }
    }
    accesses->others++;
}

static void print_unknown(const char *what, const struct unknown_accesses *accesses)
{
    for (unsigned i = 0; i < MACHINE_UNKNOWN && accesses->rows[i].count > 0; i++) {
        log_line("  unknown %s 0x%lx: %lu", what, accesses->rows[i].number,
                 accesses->rows[i].count);
    }
    if (accesses->others > 0) {
        log_line("  unknown %ss beyond these: %lu", what, accesses->others);
    }
}

static void print_vcpu_statistics(const struct vcpu *vcpu)
{
    const struct vcpu_statistics *statistics = &vcpu->statistics;
    uint64_t exits = 0;
    uint64_t ticks = 0;

    for (unsigned kind = 0; kind < EXIT_KINDS; kind++) {
        exits += statistics->exits[kind];
        ticks += statistics->ticks[kind];
    }
    log_line("  vCPU %u: exits %lu, ticks guest %lu, hypervisor %lu, idle %lu, waiting %lu",
             vcpu->index, exits, statistics->ticks_guest, ticks, statistics->ticks_idle,
             statistics->ticks_waiting);
    if (vcpu->vm->arch->setup.random != NULL) {
        log_line("    RDRAND and RDSEED answered %lu, without a word %lu",
                 vcpu->arch->random.answered, vcpu->arch->random.dry);
    }
    for (unsigned kind = 0; kind < EXIT_KINDS; kind++) {
        if (statistics->exits[kind] > 0) {
            log_line("    %-16s %9lu, hypervisor ticks each %lu",
                     exit_kind_name((enum exit_kind)kind), statistics->exits[kind],
                     statistics->ticks[kind] / statistics->exits[kind]);
        }
    }
}

static void print_device_statistics(const struct arch_vm *arch)
{
    if (arch->has_rng) {
        const struct rng_counters *rng = &arch->rng.counters;
        const struct virtio_mmio_counters *transport = &arch->rng.transport.counters;

        log_line("  rng: requests %lu, bytes %lu, short fills %lu, parked %lu", rng->requests,
                 rng->bytes, rng->short_fills, rng->parked);
        log_line("  rng: throttled %lu, %s; a kick or poll %lu ticks (of %lu)", rng->throttled,
                 rng_has_work(&arch->rng) ? "one waits" : "none waits",
                 rng->timed > 0 ? rng->ticks / rng->timed : 0, rng->timed);
        log_line("  virtio: kicks %lu, interrupts %lu, resets %lu, breaches %lu",
                 transport->notifies, transport->interrupts, transport->resets,
                 transport->breaches);
    }
    print_unknown("port", &arch->unknown_ports);
    print_unknown("MSR", &arch->unknown_msrs);
    print_unknown("GPA", &arch->unknown_memory);
}

bool machine_print_statistics(const struct vm *vm, unsigned part)
{
    if (part == 0) {
        log_line("guest \"%s\" statistics:", vm->name);
    }
    if (part < vm->vcpu_count) {
        print_vcpu_statistics(&vm->vcpus[part]);
    } else if (part == vm->vcpu_count) {
        print_device_statistics(vm->arch);
    }
    return part <= vm->vcpu_count;
}
