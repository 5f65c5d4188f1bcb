/* Tests of putting up a guest's machine and starting it: memory, vCPUs, interrupts, statistics. */
#define _GNU_SOURCE /* memmem() */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/layout.h"
#include "guest-tests/host/scripted_machine.h"
#include "vmm/arch.h"
#include "vmm/vm_trace.h"

#define BIG_RAM     0x4000000U
#define KERNEL_SIZE 0x2000U

static int set_up(void **state)
{
    (void)state;
    scripted_machine_reset();
    return 0;
}

static bool create(unsigned vcpus)
{
    const struct machine_setup setup = scripted_setup(vcpus);

    return machine_create(&machine.vm, &setup, &machine.arena);
}

static void test_create(void **state)
{
    (void)state;
    assert_true(create(2));
    assert_string_equal(machine.vm.name, "tested");
    assert_int_equal(machine.vm.state, VM_NOT_RUNNING);
    assert_int_equal(machine.vm.vcpu_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct vcpu *vcpu = &machine.vm.vcpus[i];

        assert_ptr_equal(vcpu->vm, &machine.vm);
        assert_int_equal(vcpu->index, i);
        assert_int_equal(vcpu->arch->address_space, 7 + i);
        assert_int_equal(vcpu->arch->apic.id, i);
        assert_int_equal((uintptr_t)vcpu->arch->apic.page % 4096, 0);
        assert_int_equal(vcpu->arch->apic.base, 0xfee00800 | (i == 0 ? APIC_BASE_BSP : 0));
        assert_int_equal(vcpu->arch->waiting, i != 0);
        assert_ptr_equal(machine.vm.arch->apics[i], &vcpu->arch->apic);
    }
    assert_ptr_not_equal(machine.vm.vcpus[0].arch->apic.page, machine.vm.vcpus[1].arch->apic.page);
    assert_int_equal(machine.mapping_count, 1);
    assert_int_equal(machine.mappings[0].gpa, 0);
    assert_int_equal(machine.mappings[0].size, MACHINE_RAM);
    assert_ptr_equal(machine.mappings[0].hva, machine.ram);
    assert_int_equal(machine.mappings[0].rights, MAP_READ | MAP_WRITE);
    assert_true(machine.vm.arch->has_rng);
}

static void test_create_with_two_regions_and_registers(void **state)
{
    (void)state;
    struct machine_setup setup = scripted_setup(1);

    setup.map_registers = true;
    machine.vm.memory = (struct guest_memory){0};
    assert_true(guest_memory_add(&machine.vm.memory, 0, 0x100000, machine.ram));
    assert_true(guest_memory_add(&machine.vm.memory, LAYOUT_HIGH_RAM_BASE, 0x100000,
                                 machine.ram + 0x100000));
    assert_true(machine_create(&machine.vm, &setup, &machine.arena));
    assert_int_equal(machine.mapping_count, 3);
    assert_int_equal(machine.mappings[1].gpa, LAYOUT_HIGH_RAM_BASE);
    assert_int_equal(machine.mappings[1].rights, MAP_READ | MAP_WRITE);
    /* The device's registers: the guest may read them, and no more. */
    assert_int_equal(machine.mappings[2].gpa, LAYOUT_VIRTIO_BASE);
    assert_int_equal(machine.mappings[2].size, 4096);
    assert_int_equal(machine.mappings[2].rights, MAP_READ);
    assert_int_equal(*(const uint32_t *)machine.mappings[2].hva, 0x74726976);
}

static void test_create_without_entropy(void **state)
{
    (void)state;
    struct machine_setup setup = scripted_setup(1);
    uint64_t value;

    setup.entropy = NULL;
    assert_true(machine_create(&machine.vm, &setup, &machine.arena));
    assert_false(machine.vm.arch->has_rng);
    assert_false(bus_read(&machine.vm.mmio, LAYOUT_VIRTIO_BASE, 4, &value));
    assert_int_equal(machine.mapping_count, 1);
}

/* Ports that are there only on demand: a suite's questions, and its result. */
static void test_create_for_test_suites(void **state)
{
    (void)state;
    struct machine_setup setup = scripted_setup(2);
    uint64_t value;

    assert_true(machine_create(&machine.vm, &setup, &machine.arena));
    assert_false(bus_read(&machine.vm.ports, LAYOUT_FW_CFG_PORT + 1, 1, &value));
    assert_false(bus_write(&machine.vm.ports, 0xf4, 4, 0));
    set_up(NULL);
    setup.fw_cfg = true;
    setup.debug_exit_port = 0xf4;
    assert_true(machine_create(&machine.vm, &setup, &machine.arena));
    assert_true(bus_write(&machine.vm.ports, LAYOUT_FW_CFG_PORT, 2, 5));
    assert_true(bus_read(&machine.vm.ports, LAYOUT_FW_CFG_PORT + 1, 1, &value));
    assert_int_equal(value, 2);
    assert_true(bus_write(&machine.vm.ports, LAYOUT_FW_CFG_PORT, 2, 3));
    assert_true(bus_read(&machine.vm.ports, LAYOUT_FW_CFG_PORT + 1, 1, &value));
    assert_true(bus_read(&machine.vm.ports, LAYOUT_FW_CFG_PORT + 1, 1, &value));
    assert_true(bus_read(&machine.vm.ports, LAYOUT_FW_CFG_PORT + 1, 1, &value));
    assert_int_equal(value, MACHINE_RAM >> 16 & 0xff);
    assert_true(bus_write(&machine.vm.ports, 0xf4, 4, 0));
    assert_int_equal(machine.vm.state, VM_POWERED_OFF);
    assert_string_equal(machine.vm.end_reason, "debug exit 0x0");
    set_up(NULL);
    assert_true(machine_create(&machine.vm, &setup, &machine.arena));
    assert_true(bus_write(&machine.vm.ports, 0xf6, 1, 0x21));
    assert_int_equal(machine.vm.state, VM_CRASHED);
    assert_string_equal(machine.vm.end_reason, "debug exit 0x21");

    set_up(NULL);
    setup.debug_exit_port = LAYOUT_UART_PORT - 3;
    assert_false(machine_create(&machine.vm, &setup, &machine.arena));
    assert_string_equal(scripted_host.log, "guest \"tested\": debug_exit = 0x3f5: the guest has "
                                           "another device there\n");
}

/* A trace is recorded where it is asked for, and only there. */
static void test_trace(void **state)
{
    (void)state;
    static _Alignas(4096) uint8_t memory[0x100000];
    struct machine_setup setup = scripted_setup(2);

    setup.trace = true;
    arena_init(&machine.arena, memory, sizeof(memory));
    assert_true(machine_create(&machine.vm, &setup, &machine.arena));
    assert_non_null(machine.vm.device_trace);
    assert_int_equal(machine.vm.device_trace->frequency, setup.clock->frequency);
    assert_ptr_equal(machine.vm.arch->rng.transport.trace, machine.vm.device_trace);
    assert_non_null(machine.vm.vcpus[0].trace.history);
    assert_non_null(machine.vm.vcpus[1].trace.history);
    assert_ptr_not_equal(machine.vm.vcpus[0].trace.history, machine.vm.vcpus[1].trace.history);
    /* The driver's reset, through the bus. */
    assert_true(bus_write(&machine.vm.mmio, LAYOUT_VIRTIO_BASE + 0x70, 4, 0));
    assert_int_equal(machine.vm.device_trace->count, 1);

    scripted_machine_reset();
    assert_true(create(2));
    assert_null(machine.vm.device_trace);
    assert_null(machine.vm.arch->rng.transport.trace);
    assert_null(machine.vm.vcpus[0].trace.history);
}

static void test_trace_in_too_small_an_arena(void **state)
{
    (void)state;
    struct machine_setup setup = scripted_setup(2);

    setup.trace = true;
    assert_true(vm_trace_size(2) > sizeof(machine.arena_memory));
    assert_false(machine_create(&machine.vm, &setup, &machine.arena));
    assert_string_equal(scripted_host.log,
                        "guest \"tested\": the hypervisor's memory is too small for it\n");
}

static void test_too_few_or_many_vcpus(void **state)
{
    (void)state;
    assert_false(create(0));
    assert_non_null(strstr(scripted_host.log, "no room for a machine with 0 vCPUs\n"));
    set_up(NULL);
    assert_false(create(MACHINE_VCPUS + 1));
    assert_non_null(strstr(scripted_host.log, "no room for a machine with 65 vCPUs\n"));
}

/* However little memory the hypervisor has, it says so and does not fall over. */
static void test_exhausted_arena(void **state)
{
    (void)state;
    size_t size = 0;

    do {
        size += 512;
        set_up(NULL);
        arena_init(&machine.arena, machine.arena_memory, size);
        scripted_host.log[0] = '\0';
        if (create(2)) {
            break;
        }
        assert_memory_equal(scripted_host.log, "guest \"tested\": ", 16);
    } while (size < sizeof(machine.arena_memory));
    assert_in_range(size, 16384, sizeof(machine.arena_memory) - 1);
}

static void put(uint8_t *bytes, size_t offset, size_t size, uint64_t value)
{
    memcpy(bytes + offset, &value, size);
}

static uint8_t kernel[KERNEL_SIZE];
static uint8_t *ram;

/* The least that counts as a bzImage of protocol 2.15 with 64-bit entry, in 64 MiB of RAM. */
static int set_up_start(void **state)
{
    (void)state;
    memset(kernel, 0, sizeof(kernel));
    put(kernel, 0x1f1, 1, 3);
    put(kernel, 0x1f4, 4, (KERNEL_SIZE - 2048) / 16);
    put(kernel, 0x1fe, 2, 0xaa55);
    put(kernel, 0x200, 2, 0x6aeb);
    put(kernel, 0x202, 4, 0x53726448);
    put(kernel, 0x206, 2, 0x020f);
    put(kernel, 0x211, 1, 1);
    put(kernel, 0x22c, 4, 0x7fffffff);
    put(kernel, 0x230, 4, 0x200000);
    put(kernel, 0x234, 1, 1);
    put(kernel, 0x236, 2, 0x7f);
    put(kernel, 0x238, 4, 2047);
    put(kernel, 0x258, 8, 0x1000000);
    put(kernel, 0x260, 4, 0x800000);
    ram = aligned_alloc(4096, BIG_RAM);
    assert_non_null(ram);
    memset(ram, 0, BIG_RAM);
    scripted_machine_reset();
    machine.image =
        (struct boot_image){.kernel = {"/vmlinuz", kernel, sizeof(kernel)}, .cmdline = "quiet"};
    machine.vm.memory = (struct guest_memory){0};
    assert_true(guest_memory_add(&machine.vm.memory, 0, BIG_RAM, ram));
    assert_true(create(2));
    return 0;
}

static int tear_down_start(void **state)
{
    (void)state;
    free(ram);
    return 0;
}

static const uint8_t *find_in_ram(const void *bytes, size_t length)
{
    return memmem(ram, BIG_RAM, bytes, length);
}

static void test_start(void **state)
{
    (void)state;
    uint8_t seed[BOOT_SEED_SIZE];

    /* The seed is the 32 bytes that the core would hand out next; nobody gets them again. */
    while (entropy_refill(&machine.entropy, 64) > 0) {
    }
    uint32_t level = entropy_level(&machine.entropy);

    memcpy(seed, machine.entropy.pool + level - sizeof(seed), sizeof(seed));
    assert_true(arch_vm_load(&machine.vm));
    assert_int_equal(entropy_level(&machine.entropy), level - sizeof(seed));
    assert_non_null(find_in_ram(seed, sizeof(seed)));
    assert_null(machine.image.rng_seed);
    assert_int_equal(machine.hardware[0].starts, 0); /* its CPU's part: arch_vcpu_reset() */
    assert_int_equal(machine.vm.arch->start.rip, 0x1000200);
    assert_in_range(machine.vm.arch->start.rsi, 1, BIG_RAM - 1);
    assert_in_range(machine.image.rsdp_gpa, LAYOUT_ACPI_BASE,
                    LAYOUT_ACPI_BASE + LAYOUT_ACPI_SIZE - 1);
    assert_memory_equal(ram + machine.image.rsdp_gpa, "RSD PTR ", 8);
    assert_non_null(find_in_ram("LNRO0005", 8));
    assert_string_equal(scripted_host.log, "");
}

static void test_start_of_no_kernel(void **state)
{
    (void)state;
    put(kernel, 0x202, 4, 0);
    assert_false(arch_vm_load(&machine.vm));
    assert_memory_equal(scripted_host.log, "guest \"tested\": ", 16);
    assert_non_null(strstr(scripted_host.log, "/vmlinuz"));
    assert_null(machine.image.rng_seed);
    assert_int_equal(machine.vm.arch->start.rip, 0);
}

/* A second start is like the first: nothing of the guest's stays in its devices and vCPUs. */
static void test_load_again(void **state)
{
    (void)state;
    struct arch_vm *arch = machine.vm.arch;

    assert_true(arch_vm_load(&machine.vm));
    local_apic_write(arch->apics[1], APIC_SVR, 4, 0x1ff, 0);
    arch->apics[0]->nmi = 1;
    machine.vm.vcpus[1].arch->waiting = false;
    machine.vm.vcpus[0].arch->halted = true;
    machine.vm.vcpus[0].arch->pvclock.system_time_gpa = 0x1001;
    io_apic_bus_operations.write(&arch->io_apic, 0, 4, 0x10);
    io_apic_bus_operations.write(&arch->io_apic, 0x10, 4, 0x31);
    bus_write(&machine.vm.mmio, LAYOUT_VIRTIO_BASE + 0x70, 4, 3);
    bus_write(&machine.vm.ports, LAYOUT_UART_PORT + 7, 1, 0x55);
    machine_count_unknown(&arch->unknown_ports, 0x80);
    (void)guest_memory_wipe(&machine.vm.memory, 0, UINT64_MAX);
    assert_true(arch_vm_load(&machine.vm));
    assert_int_equal(local_apic_read(arch->apics[1], APIC_SVR, 4, 0), 0xff);
    assert_false(local_apic_nmi_pending(arch->apics[0]));
    assert_true(machine.vm.vcpus[1].arch->waiting);
    assert_false(machine.vm.vcpus[0].arch->waiting);
    assert_false(machine.vm.vcpus[0].arch->halted);
    assert_int_equal(machine.vm.vcpus[0].arch->pvclock.system_time_gpa, 0);
    io_apic_bus_operations.write(&arch->io_apic, 0, 4, 0x10);
    assert_int_equal(io_apic_bus_operations.read(&arch->io_apic, 0x10, 4) & 0x10000, 0x10000);
    uint64_t value = 1;

    assert_true(bus_read(&machine.vm.mmio, LAYOUT_VIRTIO_BASE + 0x70, 4, &value));
    assert_int_equal(value, 0);
    assert_true(bus_read(&machine.vm.ports, LAYOUT_UART_PORT + 7, 1, &value));
    assert_int_equal(value, 0);
    assert_int_equal(arch->unknown_ports.rows[0].count, 0);
    assert_memory_equal(ram + machine.image.rsdp_gpa, "RSD PTR ", 8);
}

static void test_start_without_a_seed(void **state)
{
    (void)state;
    machine.vm.arch->setup.seed = NULL;
    assert_true(arch_vm_load(&machine.vm));
    assert_int_equal(machine.script.asked, 0);
    assert_null(machine.image.rng_seed);
    assert_int_equal(machine.vm.arch->start.rip, 0x1000200);
}

/* Without entropy there is no seed, and without a seed no guest: no endless wait either. */
static void test_start_without_entropy(void **state)
{
    (void)state;
    machine.script.mode = SCRIPT_DRY;
    machine.script.tries = UINT64_MAX;
    assert_false(arch_vm_load(&machine.vm));
    assert_non_null(strstr(scripted_host.log, "no entropy for its seed"));
    assert_int_equal(machine.vm.arch->start.rip, 0);
}

/* Interrupts. */

static uint32_t pending(unsigned index)
{
    return (uint32_t)local_apic_highest_irr(machine.vm.arch->apics[index]);
}

static int set_up_machine(void **state)
{
    (void)state;
    assert_true(scripted_machine_create());
    for (unsigned i = 0; i < MACHINE_VCPUS_MADE; i++) {
        machine.vm.vcpus[i].cpu = 10 + i;
        local_apic_write(machine.vm.arch->apics[i], APIC_SVR, 4, 0x1ff, 0);
    }
    return 0;
}

/* From a device's line to the vCPU that the I/O APIC's entry names, whose CPU is kicked. */
static void test_lines(void **state)
{
    (void)state;
    struct io_apic *io_apic = &machine.vm.arch->io_apic;
    const struct irq_line *line = &machine.vm.arch->uart.line;

    io_apic_bus_operations.write(io_apic, 0, 4, 0x11 + 2 * LAYOUT_UART_GSI);
    io_apic_bus_operations.write(io_apic, 0x10, 4, 1U << 24);
    io_apic_bus_operations.write(io_apic, 0, 4, 0x10 + 2 * LAYOUT_UART_GSI);
    io_apic_bus_operations.write(io_apic, 0x10, 4, 0x31);
    irq_line_pulse(line);
    assert_int_equal(pending(0), UINT32_MAX);
    assert_int_equal(pending(1), 0x31);
    assert_int_equal(scripted_host.kicks[10], 0);
    assert_int_equal(scripted_host.kicks[11], 1);
}

static void test_interprocessor_interrupts(void **state)
{
    (void)state;
    struct local_apic *first = machine.vm.arch->apics[0];

    local_apic_write(first, APIC_ICR_HIGH, 4, 1U << 24, 0);
    local_apic_write(first, APIC_ICR, 4, 0x40fb, 0);
    assert_int_equal(pending(1), 0xfb);
    assert_int_equal(scripted_host.kicks[11], 1);
    local_apic_write(first, APIC_ICR, 4, 0xc40fc, 0); /* all but itself */
    assert_int_equal(pending(0), UINT32_MAX);
    assert_int_equal(pending(1), 0xfc);
    local_apic_write(machine.vm.arch->apics[1], APIC_ICR, 4, 0x840fd, 0); /* all */
    assert_int_equal(pending(0), 0xfd);
    assert_int_equal(scripted_host.kicks[10], 1);
    assert_int_equal(scripted_host.kicks[11], 3);
}

/* Whoever is asleep is to see that the VM has ended. */
static void test_end_kicks_all(void **state)
{
    (void)state;
    bus_write(&machine.vm.ports, LAYOUT_RESET_PORT, 1, LAYOUT_RESET_VALUE);
    assert_int_equal(machine.vm.state, VM_RESET);
    assert_int_equal(scripted_host.kicks[10], 1);
    assert_int_equal(scripted_host.kicks[11], 1);
}

/* Counters. */

static void test_unknown_accesses(void **state)
{
    (void)state;
    struct unknown_accesses accesses = {0};

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned number = 0; number < MACHINE_UNKNOWN + 2; number++) {
            machine_count_unknown(&accesses, number * 0x10ULL);
        }
    }
    for (unsigned i = 0; i < MACHINE_UNKNOWN; i++) {
        assert_int_equal(accesses.rows[i].number, i * 0x10);
        assert_int_equal(accesses.rows[i].count, 3);
    }
    assert_int_equal(accesses.others, 6);
}

static void write_register(uint32_t offset, uint32_t value)
{
    assert_true(bus_write(&machine.vm.mmio, LAYOUT_VIRTIO_BASE + offset, 4, value));
}

/* The entropy device as a driver has it running (virtio 1.3, 4.2.3), with a queue of 8. */
static void start_driver(uint32_t queue)
{
    static const struct {
        uint32_t offset, value;
    } steps[] = {{0x070, 0}, {0x070, 1}, {0x070, 3},  {0x024, 1}, {0x020, 1},
                 {0x024, 0}, {0x020, 0}, {0x070, 11}, {0x030, 0}, {0x038, 8}};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        write_register(steps[i].offset, steps[i].value);
    }
    write_register(0x080, queue);
    write_register(0x090, queue + 0x100);
    write_register(0x0a0, queue + 0x200);
    write_register(0x044, 1);
    write_register(0x070, 15);
}

/* A request that is ahead of its rate is looked at when its time has come: not before, not later.
 */
static void test_throttled_request_has_its_time(void **state)
{
    const uint32_t queue = 0x80000;
    struct machine_setup setup = scripted_setup(1);
    uint8_t *descriptor = machine.ram + queue;
    uint8_t *available = machine.ram + queue + 0x100;
    const uint8_t *used = machine.ram + queue + 0x200;

    (void)state;
    setup.rate_bytes = 16;
    setup.rate_period = 1000000;
    assert_true(machine_create(&machine.vm, &setup, &machine.arena));
    while (entropy_level(&machine.entropy) < ENTROPY_POOL_SIZE) {
        entropy_refill(&machine.entropy, 64);
    }
    scripted_host.ticks = 5000;
    scripted_host.step = 0;
    machine_lock(&machine.vm);
    start_driver(queue);
    /* Two buffers of 16 writable bytes, in the ring's first two places. */
    for (unsigned i = 0; i < 2; i++) {
        memcpy(descriptor + 16 * (size_t)i, (uint32_t[]){0x90000, 0, 16, 2}, 16);
        available[4 + 2 * (size_t)i] = (uint8_t)i;
    }
    available[2] = 2;
    write_register(0x050, 0);
    assert_false(machine_unlock(&machine.vm)); /* a poll is due earlier */
    machine_lock(&machine.vm);
    assert_true(machine_unlock(&machine.vm));
    assert_int_equal(used[2], 1);
    assert_true(machine_poll_time(&machine.vm) == 1005000);
    scripted_host.ticks = 1004999;
    machine_poll(&machine.vm);
    assert_int_equal(used[2], 1);
    assert_true(machine_poll_time(&machine.vm) == 1005000);
    scripted_host.ticks = 1005000;
    machine_poll(&machine.vm);
    assert_int_equal(used[2], 2);
    assert_true(machine_poll_time(&machine.vm) == UINT64_MAX);
}

/* Whether somebody has to look at what happened under the lock. */
static void test_unlock_tells_of_interrupts(void **state)
{
    (void)state;
    struct arch_vm *arch = machine.vm.arch;
    struct vcpu *vcpu = &machine.vm.vcpus[1];

    local_apic_write(&vcpu->arch->apic, APIC_SVR, 4, 0x1ff, 0);
    machine_lock(&machine.vm);
    io_apic_set(&arch->io_apic, 5, true); /* its pin is masked */
    io_apic_set(&arch->io_apic, 5, false);
    assert_true(machine_unlock(&machine.vm));
    machine_lock(&machine.vm);
    assert_true(bus_write(&machine.vm.mmio, LAYOUT_IO_APIC_BASE, 4, 0x10 + 2 * 5 + 1));
    assert_true(bus_write(&machine.vm.mmio, LAYOUT_IO_APIC_BASE + 0x10, 4, 1U << 24));
    assert_true(bus_write(&machine.vm.mmio, LAYOUT_IO_APIC_BASE, 4, 0x10 + 2 * 5));
    assert_true(bus_write(&machine.vm.mmio, LAYOUT_IO_APIC_BASE + 0x10, 4, 0x41));
    assert_false(machine_unlock(&machine.vm)); /* the edge was kept */
    machine_lock(&machine.vm);
    assert_true(machine_unlock(&machine.vm));
    assert_int_equal(local_apic_pending_vector(&vcpu->arch->apic), 0x41);
    local_apic_accept(&vcpu->arch->apic, 0x41);
    machine_lock(&machine.vm);
    io_apic_set(&arch->io_apic, 5, false);
    io_apic_set(&arch->io_apic, 5, true);
    assert_false(machine_unlock(&machine.vm));
    machine_lock(&machine.vm);
    io_apic_set(&arch->io_apic, 5, false);
    io_apic_set(&arch->io_apic, 5, true); /* one that waits already is no news */
    assert_true(machine_unlock(&machine.vm));
}

static void test_statistics(void **state)
{
    (void)state;
    struct vcpu_statistics *statistics = &machine.vm.vcpus[0].statistics;
    struct arch_vm *arch = machine.vm.arch;

    statistics->exits[EXIT_CPUID] = 4;
    statistics->exits[EXIT_HALT] = 2;
    statistics->ticks[EXIT_CPUID] = 4010;
    statistics->ticks[EXIT_HALT] = 100;
    statistics->ticks_guest = 99999;
    statistics->ticks_idle = 5;
    statistics->ticks_waiting = 6;
    for (unsigned i = 0; i < MACHINE_UNKNOWN + 1; i++) {
        machine_count_unknown(&arch->unknown_ports, 0x80 + i);
    }
    machine_count_unknown(&arch->unknown_msrs, 0xc0011020);
    machine_count_unknown(&arch->unknown_memory, 0xfed00000);
    arch->rng.counters.requests = 12;
    arch->rng.transport.counters.notifies = 13;
    for (unsigned part = 0; machine_print_statistics(&machine.vm, part); part++) {
    }
    static const char *const lines[] = {
        "guest \"tested\" statistics:\n",
        "  vCPU 0: exits 6, ticks guest 99999, hypervisor 4110, idle 5, waiting 6\n",
        "    cpuid                    4, hypervisor ticks each 1002\n",
        "    halt                     2, hypervisor ticks each 50\n",
        "  vCPU 1: exits 0, ticks guest 0, hypervisor 0, idle 0, waiting 0\n",
        "  rng: requests 12, bytes 0,",
        "  virtio: kicks 13,",
        "  unknown port 0x80: 1\n",
        "  unknown port 0x8f: 1\n",
        "  unknown ports beyond these: 1\n",
        "  unknown MSR 0xc0011020: 1\n",
        "  unknown GPA 0xfed00000: 1\n",
    };
    const char *from = scripted_host.log;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        from = strstr(from, lines[i]);
        assert_non_null(from);
    }
    assert_null(strstr(scripted_host.log, "port 0x90"));
    assert_null(strstr(scripted_host.log, "msr-read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_create, set_up),
        cmocka_unit_test_setup(test_create_with_two_regions_and_registers, set_up),
        cmocka_unit_test_setup(test_create_without_entropy, set_up),
        cmocka_unit_test_setup(test_create_for_test_suites, set_up),
        cmocka_unit_test_setup(test_trace, set_up),
        cmocka_unit_test_setup(test_trace_in_too_small_an_arena, set_up),
        cmocka_unit_test_setup(test_too_few_or_many_vcpus, set_up),
        cmocka_unit_test_setup(test_exhausted_arena, set_up),
        cmocka_unit_test_setup_teardown(test_start, set_up_start, tear_down_start),
        cmocka_unit_test_setup_teardown(test_start_of_no_kernel, set_up_start, tear_down_start),
        cmocka_unit_test_setup_teardown(test_start_without_a_seed, set_up_start, tear_down_start),
        cmocka_unit_test_setup_teardown(test_start_without_entropy, set_up_start, tear_down_start),
        cmocka_unit_test_setup_teardown(test_load_again, set_up_start, tear_down_start),
        cmocka_unit_test_setup(test_lines, set_up_machine),
        cmocka_unit_test_setup(test_interprocessor_interrupts, set_up_machine),
        cmocka_unit_test_setup(test_end_kicks_all, set_up_machine),
        cmocka_unit_test(test_unknown_accesses),
        cmocka_unit_test_setup(test_throttled_request_has_its_time, set_up),
        cmocka_unit_test_setup(test_unlock_tells_of_interrupts, set_up_machine),
        cmocka_unit_test_setup(test_statistics, set_up_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
