/* Tests of what exits do to a guest's machine: each kind, in each outcome, on played hardware. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/layout.h"
#include "guest-tests/host/scripted_machine.h"
#include "vmm/arch.h"

#define PORT        0x1000U
#define DEVICE_GPA  0xe0000000ULL
#define DEVICE      0xffffc90000000000ULL /* its linear address; the pages behind it follow */
#define NOTHING     (DEVICE + 0x1000)
#define NOTHING_GPA 0xe1234000ULL
#define APIC        (DEVICE + 0x2000)
#define IO_APIC     (DEVICE + 0x3000)
#define VIRTIO      (DEVICE + 0x4000)
#define LENGTH      3U

/* A device on both buses: records each access; reads answer with a fixed value. */
static struct {
    uint64_t offset;
    uint64_t value;
    uint64_t answer;
    unsigned size;
    unsigned reads;
    unsigned writes;
} device;

static uint64_t read_device(void *context, uint64_t offset, unsigned size)
{
    assert_ptr_equal(context, &device);
    assert_true(machine.vm.arch->lock.held);
    device.reads++;
    device.offset = offset;
    device.size = size;
    return device.answer;
}

static void write_device(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    assert_ptr_equal(context, &device);
    assert_true(machine.vm.arch->lock.held);
    device.writes++;
    device.offset = offset;
    device.size = size;
    device.value = value;
}

static const struct bus_operations device_operations = {read_device, write_device};
static struct vcpu *vcpu;
static struct backend_vcpu *hardware;
static struct arch_vm *arch;

static int set_up(void **state)
{
    (void)state;
    memset(&device, 0, sizeof(device));
    device.answer = 0x8877665544332210;
    assert_true(scripted_machine_create());
    assert_true(bus_add(&machine.vm.ports, PORT, 16, &device_operations, &device));
    assert_true(bus_add(&machine.vm.mmio, DEVICE_GPA, 0x1000, &device_operations, &device));
    scripted_map_page(DEVICE, DEVICE_GPA);
    scripted_map_page(NOTHING, NOTHING_GPA);
    scripted_map_page(APIC, LAYOUT_LOCAL_APIC_BASE);
    scripted_map_page(IO_APIC, LAYOUT_IO_APIC_BASE);
    scripted_map_page(VIRTIO, LAYOUT_VIRTIO_BASE);
    vcpu = &machine.vm.vcpus[0];
    hardware = &machine.hardware[0];
    arch = machine.vm.arch;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_false(arch->lock.held);
    return 0;
}

static enum exit_action handle(struct vm_exit exit)
{
    exit.rip = hardware->registers[REGISTER_RIP];
    exit.instruction_length = LENGTH;
    return arch_handle_exit(vcpu, &exit);
}

static void assert_fault(unsigned vector, bool has_error_code)
{
    assert_int_equal(hardware->exceptions, 1);
    assert_int_equal(hardware->vector, vector);
    assert_int_equal(hardware->has_error_code, has_error_code);
    assert_int_equal(hardware->error_code, 0);
    assert_int_equal(hardware->skips, 0);
    hardware->exceptions = 0;
}

/* Ports. */

static enum exit_action port(bool write, uint16_t number, uint8_t size)
{
    return handle((struct vm_exit){.kind = EXIT_PORT,
                                   .port = {.port = number, .size = size, .write = write}});
}

static void test_port_in(void **state)
{
    (void)state;
    static const struct {
        uint8_t size;
        uint64_t rax;
    } cases[] = {{1, 0xffeeddccbbaa9910}, {2, 0xffeeddccbbaa2210}, {4, 0x0000000044332210}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        vcpu->general[GENERAL_RAX] = 0xffeeddccbbaa9988;
        assert_int_equal(port(false, PORT + 4, cases[i].size), ACTION_SKIP);
        assert_int_equal(vcpu->general[GENERAL_RAX], cases[i].rax);
        assert_int_equal(device.offset, 4);
        assert_int_equal(device.size, cases[i].size);
    }
    assert_int_equal(device.reads, 3);
    assert_int_equal(arch->unknown_ports.rows[0].count, 0);
}

static void test_port_out(void **state)
{
    (void)state;
    static const struct {
        uint8_t size;
        uint64_t value;
    } cases[] = {{1, 0x88}, {2, 0x9988}, {4, 0xbbaa9988}};

    vcpu->general[GENERAL_RAX] = 0xffeeddccbbaa9988;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(port(true, PORT, cases[i].size), ACTION_SKIP);
        assert_int_equal(device.value, cases[i].value);
        assert_int_equal(device.size, cases[i].size);
    }
    assert_int_equal(device.writes, 3);
    assert_int_equal(vcpu->general[GENERAL_RAX], 0xffeeddccbbaa9988);
}

/* Where nothing is, reads are all ones and writes are lost; both are counted by number. */
static void test_unknown_ports(void **state)
{
    (void)state;
    vcpu->general[GENERAL_RAX] = 0x1122334455667788;
    assert_int_equal(port(false, 0x5555, 1), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RAX], 0x11223344556677ff);
    assert_int_equal(port(false, 0x5555, 2), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RAX], 0x112233445566ffff);
    assert_int_equal(port(false, 0x5555, 4), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RAX], 0xffffffff);
    assert_int_equal(port(true, 0x80, 1), ACTION_SKIP);
    assert_int_equal(port(false, 0xffff, 4), ACTION_SKIP);
    assert_int_equal(port(true, PORT + 14, 4), ACTION_SKIP); /* half of it beyond the device */
    assert_int_equal(device.writes, 0);
    assert_int_equal(arch->unknown_ports.rows[0].number, 0x5555);
    assert_int_equal(arch->unknown_ports.rows[0].count, 3);
    assert_int_equal(arch->unknown_ports.rows[1].number, 0x80);
    assert_int_equal(arch->unknown_ports.rows[1].count, 1);
    assert_int_equal(arch->unknown_ports.rows[2].number, 0xffff);
    assert_int_equal(arch->unknown_ports.rows[3].number, PORT + 14);
}

static void test_string_port_is_carried_out(void **state)
{
    (void)state;
    scripted_code((const uint8_t[]){0x6e}, 1);
    vcpu->general[GENERAL_RSI] = MACHINE_CODE;
    assert_int_equal(
        handle((struct vm_exit){.kind = EXIT_PORT,
                                .port = {.port = PORT, .size = 1, .write = true, .string = true}}),
        ACTION_SKIP);
    assert_int_equal(device.value, 0x6e);
    assert_int_equal(vcpu->general[GENERAL_RSI], MACHINE_CODE + 1);
}

static void test_ports_that_end_the_vm(void **state)
{
    (void)state;
    static const struct {
        uint16_t port;
        uint8_t value;
        enum vm_state end;
    } cases[] = {
        {LAYOUT_POWER_PORT, 0x34, VM_POWERED_OFF},
        {LAYOUT_RESET_PORT, LAYOUT_RESET_VALUE, VM_RESET},
        {LAYOUT_KEYBOARD_PORT, 0xfe, VM_RESET},
        {LAYOUT_PCI_RESET_PORT, 0x06, VM_RESET},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up(NULL);
        vcpu->general[GENERAL_RAX] = 0;
        assert_int_equal(port(true, cases[i].port, 1), ACTION_SKIP);
        assert_int_equal(machine.vm.state, VM_RUNNING);
        vcpu->general[GENERAL_RAX] = cases[i].value;
        assert_int_equal(port(true, cases[i].port, 1), ACTION_STOP);
        assert_int_equal(machine.vm.state, cases[i].end);
        assert_string_equal(machine.vm.end_reason,
                            cases[i].end == VM_RESET ? "reset" : "powered off");
        assert_int_equal(arch->unknown_ports.rows[0].count, 0);
    }
}

static void test_console(void **state)
{
    (void)state;
    for (const char *text = "Linux"; *text != '\0'; text++) {
        vcpu->general[GENERAL_RAX] = (uint8_t)*text;
        assert_int_equal(port(true, LAYOUT_UART_PORT, 1), ACTION_SKIP);
    }
    assert_string_equal(machine.console, "Linux");
}

/* Memory. */

/* Moves past the instruction as the run loop does: its length is what was found out. */
static enum exit_action memory(struct exit_memory memory)
{
    struct vm_exit exit = {
        .kind = EXIT_MEMORY, .rip = hardware->registers[REGISTER_RIP], .memory = memory};
    enum exit_action action = arch_handle_exit(vcpu, &exit);

    if (action == ACTION_SKIP || action == ACTION_SKIP_AT_ONCE) {
        scripted_skip(vcpu, exit.rip + exit.instruction_length);
    }
    return action;
}

#define CODE(...)                                                                                  \
    scripted_code((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void assert_skipped(unsigned length)
{
    assert_int_equal(hardware->skips, 1);
    assert_int_equal(hardware->skipped, length);
    hardware->skips = 0;
    hardware->skipped = 0;
}

static void test_memory_reads(void **state)
{
    (void)state;
    vcpu->general[GENERAL_RCX] = UINT64_MAX;
    CODE(0x8b, 0x4b, 0x10); /* mov ecx, [rbx + 10h] */
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA + 0x10}), ACTION_SKIP_AT_ONCE);
    assert_skipped(3);
    assert_int_equal(vcpu->general[GENERAL_RCX], 0x44332210);
    assert_int_equal(device.offset, 0x10);
    assert_int_equal(device.size, 4);
    CODE(0x48, 0x8b, 0x0b); /* mov rcx, [rbx] */
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA + 8}), ACTION_SKIP_AT_ONCE);
    assert_skipped(3);
    assert_int_equal(vcpu->general[GENERAL_RCX], 0x8877665544332210);
    assert_int_equal(device.size, 8);
    CODE(0x8a, 0x2b); /* mov ch, [rbx] */
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA}), ACTION_SKIP_AT_ONCE);
    assert_skipped(2);
    assert_int_equal(vcpu->general[GENERAL_RCX], 0x8877665544331010);
    assert_int_equal(device.size, 1);
    device.answer = 0x80;
    CODE(0x48, 0x0f, 0xbe, 0x0b); /* movsx rcx, byte [rbx] */
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA}), ACTION_SKIP_AT_ONCE);
    assert_skipped(4);
    assert_int_equal(vcpu->general[GENERAL_RCX], 0xffffffffffffff80);
    CODE(0x48, 0x8b, 0x23); /* mov rsp, [rbx]: the one register that the hardware keeps */
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA}), ACTION_SKIP_AT_ONCE);
    assert_int_equal(hardware->registers[REGISTER_RSP], 0x80);
    assert_int_equal(device.reads, 5);
}

static void test_memory_writes(void **state)
{
    (void)state;
    vcpu->general[GENERAL_RAX] = 0x1122334455667788;
    hardware->registers[REGISTER_RSP] = 0x99aabbcc;
    CODE(0x89, 0x03); /* mov [rbx], eax */
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA + 4, .write = true}),
                     ACTION_SKIP_AT_ONCE);
    assert_skipped(2);
    assert_int_equal(device.value, 0x55667788);
    assert_int_equal(device.offset, 4);
    CODE(0x66, 0xc7, 0x03, 0x34, 0x12); /* mov word [rbx], 1234h */
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA, .write = true}),
                     ACTION_SKIP_AT_ONCE);
    assert_skipped(5);
    assert_int_equal(device.value, 0x1234);
    assert_int_equal(device.size, 2);
    CODE(0x48, 0x89, 0x23); /* mov [rbx], rsp */
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA, .write = true}),
                     ACTION_SKIP_AT_ONCE);
    assert_int_equal(device.value, 0x99aabbcc);
    assert_int_equal(device.size, 8);
    assert_int_equal(device.writes, 3);
    assert_int_equal(vcpu->general[GENERAL_RAX], 0x1122334455667788);
}

/* The mode decides what the same bytes mean. */
static void test_memory_in_other_modes(void **state)
{
    (void)state;
    hardware->registers[REGISTER_CR0] = CR0_PE | CR0_ET;
    hardware->registers[REGISTER_EFER] = 0;
    hardware->segments[SEGMENT_CS].base = MACHINE_CODE_GPA;
    hardware->segments[SEGMENT_CS].attributes = SEGMENT_CODE_32;
    vcpu->general[GENERAL_RAX] = UINT64_MAX;
    CODE(0xa1, 0x00, 0x00, 0x00, 0xe0); /* mov eax, [e0000000h] */
    hardware->registers[REGISTER_RIP] = 0;
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA}), ACTION_SKIP_AT_ONCE);
    assert_skipped(5);
    assert_int_equal(vcpu->general[GENERAL_RAX], 0x44332210);
    hardware->segments[SEGMENT_CS].attributes = SEGMENT_CODE_16;
    hardware->segments[SEGMENT_CS].base = 0xfffffff0; /* wraps at 4 GiB */
    hardware->registers[REGISTER_RIP] = MACHINE_CODE_GPA + 0x10;
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA}), ACTION_SKIP_AT_ONCE);
    assert_skipped(3);
    assert_int_equal(device.size, 2);
    /* Compatibility mode: the base counts, though EFER.LMA is set. */
    scripted_enter_long_mode();
    hardware->segments[SEGMENT_CS] = (struct segment){0x1000, UINT32_MAX, 0x10, SEGMENT_CODE_32};
    scripted_map_page(0x5000, MACHINE_CODE_GPA);
    hardware->registers[REGISTER_RIP] = 0x4000;
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA}), ACTION_SKIP_AT_ONCE);
    assert_skipped(5);
}

static void test_unknown_memory(void **state)
{
    (void)state;
    vcpu->general[GENERAL_RAX] = 0;
    CODE(0x8b, 0x03);
    assert_int_equal(memory((struct exit_memory){.gpa = NOTHING_GPA + 0x10}), ACTION_SKIP_AT_ONCE);
    assert_int_equal(vcpu->general[GENERAL_RAX], 0xffffffff);
    CODE(0x89, 0x03);
    assert_int_equal(memory((struct exit_memory){.gpa = NOTHING_GPA + 0x20, .write = true}),
                     ACTION_SKIP_AT_ONCE);
    assert_int_equal(hardware->skipped, 4);
    assert_int_equal(arch->unknown_memory.rows[0].number, NOTHING_GPA);
    assert_int_equal(arch->unknown_memory.rows[0].count, 2);
    assert_int_equal(arch->unknown_memory.rows[1].count, 0);
    assert_int_equal(machine.vm.state, VM_RUNNING);
}

/* The devices that a machine comes with, through their registers. */
static void test_devices_in_memory(void **state)
{
    (void)state;
    static const struct {
        uint64_t gpa;
        uint32_t mask;
        uint32_t value;
        enum exit_action action;
    } cases[] = {
        {LAYOUT_VIRTIO_BASE, UINT32_MAX, 0x74726976, ACTION_SKIP_AT_ONCE}, /* "virt" */
        {LAYOUT_VIRTIO_BASE + 8, UINT32_MAX, 4, ACTION_SKIP_AT_ONCE},      /* an entropy source */
        {LAYOUT_IO_APIC_BASE + 0x10, UINT32_MAX, 0x00170020, ACTION_SKIP_AT_ONCE},
        {LAYOUT_LOCAL_APIC_BASE + APIC_VERSION, 0xff, 0x14, ACTION_SKIP},
    };

    CODE(0xc7, 0x03, 0x01, 0x00, 0x00, 0x00); /* mov dword [rbx], 1: the version register */
    assert_int_equal(memory((struct exit_memory){.gpa = LAYOUT_IO_APIC_BASE, .write = true}),
                     ACTION_SKIP_AT_ONCE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CODE(0x8b, 0x03);
        assert_int_equal(memory((struct exit_memory){.gpa = cases[i].gpa}), cases[i].action);
        assert_int_equal(vcpu->general[GENERAL_RAX] & cases[i].mask, cases[i].value);
    }
    assert_int_equal(arch->unknown_memory.rows[0].count, 0);
}

/* The page of the local APIC is each vCPU's own, and only there in xAPIC mode. */
static void test_local_apic_page(void **state)
{
    (void)state;
    CODE(0x8b, 0x03);
    vcpu = &machine.vm.vcpus[1];
    machine.hardware[1] = machine.hardware[0];
    assert_int_equal(memory((struct exit_memory){.gpa = LAYOUT_LOCAL_APIC_BASE + APIC_ID}),
                     ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RAX], 1U << 24);
    vcpu = &machine.vm.vcpus[0];
    CODE(0xc7, 0x03, 0x20, 0x00, 0x00, 0x00);
    assert_int_equal(
        memory((struct exit_memory){.gpa = LAYOUT_LOCAL_APIC_BASE + APIC_TPR, .write = true}),
        ACTION_SKIP);
    assert_int_equal(local_apic_read(&vcpu->arch->apic, APIC_TPR, 4, 0), 0x20);
    CODE(0x8b, 0x03);
    assert_int_equal(memory((struct exit_memory){.gpa = LAYOUT_LOCAL_APIC_BASE + 0x1000}),
                     ACTION_SKIP_AT_ONCE);
    assert_int_equal(arch->unknown_memory.rows[0].number, LAYOUT_LOCAL_APIC_BASE + 0x1000);
    CODE(0x8b, 0x03);
    vcpu->general[GENERAL_RCX] = MSR_APIC_BASE;
    assert_int_equal(handle((struct vm_exit){.kind = EXIT_MSR_WRITE,
                                             .msr = {.index = MSR_APIC_BASE, .value = 0xfee00d00}}),
                     ACTION_SKIP);
    assert_int_equal(memory((struct exit_memory){.gpa = LAYOUT_LOCAL_APIC_BASE + APIC_ID}),
                     ACTION_SKIP_AT_ONCE);
    assert_int_equal(vcpu->general[GENERAL_RAX], 0xffffffff);
    assert_int_equal(arch->unknown_memory.rows[1].number, LAYOUT_LOCAL_APIC_BASE);
}

/* What cannot be carried out ends the guest, with words that say what it did. */
static void test_memory_that_ends_the_vm(void **state)
{
    (void)state;
    static const struct {
        uint8_t code[4];
        struct exit_memory memory;
        const char *reason;
    } cases[] = {
        {{0x8b, 0x03},
         {.gpa = NOTHING_GPA, .fetch = true},
         "executes at GPA 0xe1234000, which is no memory, at RIP 0xffffffff81000000"},
        {{0x8b, 0x03},
         {.gpa = NOTHING_GPA, .walk = true},
         "has a page table at GPA 0xe1234000, which is no memory, at RIP 0xffffffff81000000"},
        {{0x8b, 0x03},
         {.gpa = DEVICE_GPA, .delivering = true},
         "accesses GPA 0xe0000000, which is no memory, at RIP 0xffffffff81000000"},
        {{0x01, 0x03}, /* add [rbx], eax */
         {.gpa = DEVICE_GPA, .write = true},
         "accesses GPA 0xe0000000, which is no memory, at RIP 0xffffffff81000000"},
        {{0x8b, 0x03}, /* a read, but the processor wrote */
         {.gpa = DEVICE_GPA, .write = true},
         "accesses GPA 0xe0000000, which is no memory, at RIP 0xffffffff81000000"},
        {{0x89, 0x03},
         {.gpa = DEVICE_GPA},
         "accesses GPA 0xe0000000, which is no memory, at RIP 0xffffffff81000000"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up(NULL);
        scripted_code(cases[i].code, 4);
        assert_int_equal(memory(cases[i].memory), ACTION_STOP);
        assert_int_equal(machine.vm.state, VM_CRASHED);
        assert_string_equal(machine.vm.end_reason, cases[i].reason);
        assert_int_equal(device.reads + device.writes, 0);
        assert_int_equal(hardware->skips, 0);
    }
    set_up(NULL);
    hardware->registers[REGISTER_RIP] = DEVICE; /* code that cannot be fetched */
    assert_int_equal(memory((struct exit_memory){.gpa = DEVICE_GPA}), ACTION_STOP);
    assert_int_equal(machine.vm.state, VM_CRASHED);
}

/* CPUID and MSRs. */

static void test_cpuid(void **state)
{
    (void)state;
    vcpu->general[GENERAL_RAX] = 0xffffffff00000001;
    vcpu->general[GENERAL_RCX] = 0xffffffff00000000;
    hardware->registers[REGISTER_CR4] |= CR4_OSXSAVE;
    assert_int_equal(handle((struct vm_exit){.kind = EXIT_CPUID}), ACTION_SKIP_AT_ONCE);
    assert_int_equal(vcpu->general[GENERAL_RAX], 0x306d4);
    assert_int_equal(vcpu->general[GENERAL_RBX], 0x0002ff00);
    assert_int_equal(vcpu->general[GENERAL_RCX] >> 27, 0x1f); /* OSXSAVE among them */
    vcpu->general[GENERAL_RAX] = 0xb;
    vcpu->general[GENERAL_RCX] = 1;
    vcpu = &machine.vm.vcpus[1];
    vcpu->general[GENERAL_RAX] = 0xb;
    vcpu->general[GENERAL_RCX] = 1;
    assert_int_equal(handle((struct vm_exit){.kind = EXIT_CPUID}), ACTION_SKIP_AT_ONCE);
    assert_int_equal(vcpu->general[GENERAL_RAX], 1);
    assert_int_equal(vcpu->general[GENERAL_RBX], 2);
    assert_int_equal(vcpu->general[GENERAL_RCX], 0x201);
    assert_int_equal(vcpu->general[GENERAL_RDX], 1);
}

static enum exit_action read_msr(uint32_t index)
{
    vcpu->general[GENERAL_RAX] = 0x1111111111111111;
    vcpu->general[GENERAL_RDX] = 0x2222222222222222;
    return handle((struct vm_exit){.kind = EXIT_MSR_READ, .msr = {.index = index}});
}

static enum exit_action write_msr(uint32_t index, uint64_t value)
{
    return handle(
        (struct vm_exit){.kind = EXIT_MSR_WRITE, .msr = {.index = index, .value = value}});
}

static void assert_msr(uint32_t index, uint64_t value)
{
    assert_int_equal(read_msr(index), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RAX], (uint32_t)value);
    assert_int_equal(vcpu->general[GENERAL_RDX], value >> 32);
}

static void test_known_msrs(void **state)
{
    (void)state;
    assert_msr(MSR_EFER, EFER_LME | EFER_LMA);
    assert_msr(MSR_MICROCODE_REVISION, UINT64_MAX);
    assert_msr(MSR_APIC_BASE, 0xfee00900);
    assert_msr(MSR_TSC_DEADLINE, 0);
    assert_msr(PVCLOCK_MSR_SYSTEM_TIME, 0);
    assert_int_equal(write_msr(PVCLOCK_MSR_SYSTEM_TIME, 0x80001), ACTION_SKIP);
    assert_msr(PVCLOCK_MSR_SYSTEM_TIME, 0x80001);
    assert_int_equal(machine.ram[0x80000], 2);
    assert_int_equal(write_msr(MSR_MISC_ENABLE, 0x850089), ACTION_SKIP);
    assert_msr(MSR_MISC_ENABLE, 1);
    assert_int_equal(hardware->exceptions, 0);
    assert_int_equal(arch->unknown_msrs.rows[0].count, 0);
}

static void test_unknown_msrs(void **state)
{
    (void)state;
    assert_int_equal(read_msr(0x611), ACTION_RESUME);
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(vcpu->general[GENERAL_RAX], 0x1111111111111111);
    assert_int_equal(vcpu->general[GENERAL_RDX], 0x2222222222222222);
    assert_int_equal(write_msr(0x611, 5), ACTION_RESUME);
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(write_msr(MSR_TSC, 0), ACTION_RESUME);
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(write_msr(PVCLOCK_MSR_WALL_CLOCK, 0xe0000000), ACTION_RESUME);
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(arch->unknown_msrs.rows[0].number, 0x611);
    assert_int_equal(arch->unknown_msrs.rows[0].count, 2);
    assert_int_equal(arch->unknown_msrs.rows[1].number, MSR_TSC);
    assert_int_equal(arch->unknown_msrs.rows[1].count, 1);
}

/* SDM Vol. 3A, 2.2.1: LME stays while paging is on, LMA is the processor's, the rest is 0. */
static void test_efer(void **state)
{
    (void)state;
    assert_int_equal(write_msr(MSR_EFER, EFER_LME | EFER_NXE | EFER_SCE), ACTION_SKIP);
    assert_int_equal(hardware->registers[REGISTER_EFER], EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE);
    assert_int_equal(write_msr(MSR_EFER, EFER_LMA | EFER_NXE), ACTION_RESUME); /* LME goes off */
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(write_msr(MSR_EFER, EFER_LME | EFER_SVME), ACTION_RESUME);
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(hardware->registers[REGISTER_EFER], EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE);
    hardware->registers[REGISTER_CR0] = CR0_PE;
    hardware->registers[REGISTER_EFER] = 0;
    assert_int_equal(write_msr(MSR_EFER, EFER_LME | EFER_LMA), ACTION_SKIP);
    assert_int_equal(hardware->registers[REGISTER_EFER], EFER_LME);
    assert_int_equal(write_msr(MSR_EFER, 0), ACTION_SKIP);
    assert_int_equal(hardware->registers[REGISTER_EFER], 0);
}

static void test_apic_modes(void **state)
{
    (void)state;
    struct local_apic *apic = &vcpu->arch->apic;

    assert_int_equal(read_msr(0x802), ACTION_RESUME); /* not in xAPIC mode */
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    local_apic_write(apic, APIC_SVR, 4, 0x1ff, 0);
    (void)local_apic_post(apic, 0x45, false);
    local_apic_accept(apic, 0x45);
    assert_int_equal(write_msr(MSR_APIC_BASE, 0xfee00d00), ACTION_SKIP);
    assert_int_equal(hardware->x2apic_changes, 1);
    assert_true(hardware->x2apic);
    assert_int_equal(hardware->in_service, 0x45);
    assert_msr(0x802, 0);
    assert_msr(0x803, 0x00050014);
    assert_int_equal(write_msr(MSR_APIC_BASE, 0xfee00900), ACTION_RESUME); /* no way back so */
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(hardware->x2apic_changes, 1);
    assert_int_equal(write_msr(0x8ff, 0), ACTION_RESUME);
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(write_msr(0x80b, 0), ACTION_SKIP); /* EOI */
    assert_int_equal(local_apic_highest_isr(apic), -1);
    assert_int_equal(hardware->x2apic_changes, 1);
}

/* Control registers. */

static enum exit_action write_control(uint8_t number, uint64_t value)
{
    return handle((struct vm_exit){.kind = EXIT_CONTROL_REGISTER,
                                   .control_register = {.number = number, .value = value}});
}

/* SDM Vol. 2B, MOV to control registers: each case from the state that set_up() leaves. */
static void test_cr0(void **state)
{
    (void)state;
    const uint64_t now = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    static const struct {
        uint64_t cr0; /* before; 0: as it is */
        uint64_t cr4;
        uint64_t efer;
        uint64_t attributes;
        uint64_t value;
        uint64_t allowed;
    } cases[] = {
        {0, CR4_PAE, EFER_LME | EFER_LMA, SEGMENT_CODE_64, CR0_PE | CR0_PG, true},
        {0, CR4_PAE, EFER_LME | EFER_LMA, SEGMENT_CODE_64, CR0_PG, false},
        {0, CR4_PAE, EFER_LME | EFER_LMA, SEGMENT_CODE_64, CR0_PE | CR0_PG | CR0_NW, false},
        {0, CR4_PAE, EFER_LME | EFER_LMA, SEGMENT_CODE_64, 1ULL << 32 | CR0_PE | CR0_PG, false},
        /* Out of long mode: only from a 32-bit segment, and without PCIDs. */
        {0, CR4_PAE, EFER_LME | EFER_LMA, SEGMENT_CODE_64, CR0_PE, false},
        {0, CR4_PAE, EFER_LME | EFER_LMA, SEGMENT_CODE_32, CR0_PE, true},
        {0, CR4_PAE | CR4_PCIDE, EFER_LME | EFER_LMA, SEGMENT_CODE_32, CR0_PE, false},
        {0, CR4_PAE, 0, SEGMENT_CODE_32, CR0_PE, true},
        {0, CR4_PAE, 0, SEGMENT_CODE_64, CR0_PE, true}, /* where L has no meaning */
        /* Into it: with PAE. L has a meaning before LMA is set: it must not be there yet. */
        {CR0_PE, CR4_PAE, EFER_LME, SEGMENT_CODE_32, CR0_PE | CR0_PG, true},
        {CR0_PE, CR4_PAE, EFER_LME, SEGMENT_CODE_64, CR0_PE | CR0_PG, false},
        {CR0_PE, 0, EFER_LME, SEGMENT_CODE_32, CR0_PE | CR0_PG, false},
        {CR0_PE, 0, 0, SEGMENT_CODE_32, CR0_PE | CR0_PG, true},
        {CR0_ET, CR4_PAE, 0, SEGMENT_CODE_16, CR0_PE | CR0_PG, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint64_t before = cases[i].cr0 != 0 ? cases[i].cr0 : now;

        hardware->registers[REGISTER_CR0] = before;
        hardware->registers[REGISTER_CR4] = cases[i].cr4;
        hardware->registers[REGISTER_EFER] = cases[i].efer;
        hardware->segments[SEGMENT_CS].attributes = (uint16_t)cases[i].attributes;
        if (cases[i].allowed) {
            assert_int_equal(write_control(0, cases[i].value), ACTION_SKIP);
            assert_int_equal(hardware->registers[REGISTER_CR0], cases[i].value);
        } else {
            assert_int_equal(write_control(0, cases[i].value), ACTION_RESUME);
            assert_fault(VECTOR_GENERAL_PROTECTION, true);
            assert_int_equal(hardware->registers[REGISTER_CR0], before);
        }
    }
}

static void test_cr4(void **state)
{
    (void)state;
    static const struct {
        uint64_t cr4;
        uint64_t cr3;
        uint64_t efer;
        uint64_t value;
        uint64_t allowed;
    } cases[] = {
        {CR4_PAE, MACHINE_TABLES, EFER_LMA, CR4_PAE | CR4_PGE | CR4_OSXSAVE, true},
        {CR4_PAE, MACHINE_TABLES, EFER_LMA, CR4_PAE | CR4_VMXE, false},
        {CR4_PAE, MACHINE_TABLES, EFER_LMA, CR4_PAE | CR4_LA57, false},
        {CR4_PAE, MACHINE_TABLES, EFER_LMA, CR4_PAE | 1ULL << 40, false},
        {CR4_PAE, MACHINE_TABLES, EFER_LMA, CR4_PGE, false}, /* PAE is long mode's */
        {CR4_PAE, MACHINE_TABLES, 0, CR4_PGE, true},
        {CR4_PAE, MACHINE_TABLES, EFER_LMA, CR4_PAE | CR4_PCIDE, true},
        {CR4_PAE, MACHINE_TABLES | 5, EFER_LMA, CR4_PAE | CR4_PCIDE, false},
        {CR4_PAE | CR4_PCIDE, MACHINE_TABLES | 5, EFER_LMA, CR4_PAE | CR4_PCIDE | CR4_PGE, true},
        {CR4_PAE, MACHINE_TABLES, 0, CR4_PAE | CR4_PCIDE, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hardware->registers[REGISTER_CR3] = cases[i].cr3;
        hardware->registers[REGISTER_CR4] = cases[i].cr4;
        hardware->registers[REGISTER_EFER] = cases[i].efer;
        if (cases[i].allowed) {
            assert_int_equal(write_control(4, cases[i].value), ACTION_SKIP);
            assert_int_equal(hardware->registers[REGISTER_CR4], cases[i].value);
        } else {
            assert_int_equal(write_control(4, cases[i].value), ACTION_RESUME);
            assert_fault(VECTOR_GENERAL_PROTECTION, true);
            assert_int_equal(hardware->registers[REGISTER_CR4], cases[i].cr4);
        }
    }
}

static void test_other_control_registers(void **state)
{
    (void)state;
    assert_int_equal(write_control(8, 0), ACTION_RESUME);
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(write_control(3, 0), ACTION_RESUME);
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(hardware->registers[REGISTER_CR3], MACHINE_TABLES);
}

static enum exit_action xsetbv(uint32_t index, uint64_t value)
{
    return handle((struct vm_exit){.kind = EXIT_XSETBV, .msr = {.index = index, .value = value}});
}

static void test_xsetbv(void **state)
{
    (void)state;
    assert_int_equal(xsetbv(0, 7), ACTION_SKIP);
    assert_int_equal(scripted_host.xcr0, 7);
    assert_int_equal(xsetbv(0, 6), ACTION_RESUME);
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(xsetbv(1, 3), ACTION_RESUME);
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(scripted_host.xcr0, 7);
    assert_int_equal(xsetbv(0, 1), ACTION_SKIP);
    assert_int_equal(scripted_host.xcr0, 1);
    hardware->segments[SEGMENT_CS].selector |= 3; /* AMD's exits before it has looked at that */
    hardware->skips = 0;
    assert_int_equal(xsetbv(0, 3), ACTION_RESUME);
    assert_fault(VECTOR_GENERAL_PROTECTION, true);
    assert_int_equal(scripted_host.xcr0, 1);
}

/* Exceptions and the rest. */

static enum exit_action exception(uint8_t vector, bool has_error_code, uint32_t error_code)
{
    return handle((struct vm_exit){.kind = EXIT_EXCEPTION,
                                   .exception = {vector, has_error_code, error_code}});
}

static void test_exceptions(void **state)
{
    (void)state;
    assert_int_equal(exception(VECTOR_DEBUG, false, 0), ACTION_RESUME);
    assert_fault(VECTOR_DEBUG, false);
    assert_int_equal(exception(17, true, 0x1234), ACTION_RESUME);
    assert_int_equal(hardware->vector, 17);
    assert_true(hardware->has_error_code);
    assert_int_equal(hardware->error_code, 0x1234);
    assert_int_equal(hardware->skips, 0);
}

/* It is the machine's fault: the guest could not even be told which of its memory is lost. */
static void test_machine_check(void **state)
{
    (void)state;
    scripted_host.lands = true;
    if (setjmp(scripted_host.landing) == 0) {
        (void)exception(VECTOR_MACHINE_CHECK, false, 0);
        fail();
    }
    assert_string_equal(scripted_host.panic_reason,
                        "machine check while guest \"tested\" ran, at its RIP 0xffffffff81000000");
    assert_int_equal(hardware->exceptions, 0);
}

static void test_instructions_that_are_not_there(void **state)
{
    (void)state;
    assert_int_equal(handle((struct vm_exit){.kind = EXIT_INSTRUCTION}), ACTION_RESUME);
    assert_fault(VECTOR_INVALID_OPCODE, false);
}

/* A level-triggered line that is still up after the EOI interrupts again. */
static void test_eoi_reaches_the_io_apic(void **state)
{
    (void)state;
    struct local_apic *apic = &vcpu->arch->apic;

    local_apic_write(apic, APIC_SVR, 4, 0x1ff, 0);
    io_apic_bus_operations.write(&arch->io_apic, 0, 4, 0x10 + 2 * 5);
    io_apic_bus_operations.write(&arch->io_apic, 0x10, 4, 0x8041); /* level, vector 41h */
    io_apic_set(&arch->io_apic, 5, true);
    assert_int_equal(local_apic_pending_vector(apic), 0x41);
    assert_int_equal(scripted_host.kicks[0], 1);
    local_apic_accept(apic, 0x41);
    local_apic_eoi(apic);
    assert_int_equal(local_apic_pending_vector(apic), 0x41);
    assert_int_equal(scripted_host.kicks[0], 2);
    /* The hardware's EOI, of which only the exit tells. */
    local_apic_accept(apic, 0x41);
    apic->page[(APIC_ISR + 0x20) / 4] = 0;
    assert_int_equal(handle((struct vm_exit){.kind = EXIT_EOI, .vector = 0x41}), ACTION_RESUME);
    assert_int_equal(local_apic_highest_irr(apic), 0x41);
    assert_int_equal(scripted_host.kicks[0], 3);
    io_apic_set(&arch->io_apic, 5, false);
    local_apic_accept(apic, 0x41);
    assert_int_equal(handle((struct vm_exit){.kind = EXIT_EOI, .vector = 0x41}), ACTION_RESUME);
    assert_int_equal(local_apic_highest_irr(apic), -1);
}

/* Interrupts on their way into a vCPU. */

static struct local_apic *enabled_apic(struct vcpu *of)
{
    local_apic_write(&of->arch->apic, APIC_SVR, 4, 0x1ff, 0);
    return &of->arch->apic;
}

static void test_deliver_nothing(void **state)
{
    (void)state;
    hardware->takes_interrupts = true;
    hardware->takes_nmis = true;
    hardware->requested = 0x7777;
    arch_vcpu_deliver(vcpu);
    assert_int_equal(hardware->interrupts + hardware->nmis, 0);
    assert_int_equal(hardware->cancelled_windows, 0); /* nobody has asked for one */
    assert_int_equal(hardware->requested, 0x7777);
}

/* A request that is gone, as its APIC was reset, is taken back once. */
static void test_deliver_what_is_gone(void **state)
{
    (void)state;
    struct local_apic *apic = enabled_apic(vcpu);

    (void)local_apic_post(apic, 0x31, false);
    arch_vcpu_deliver(vcpu);
    assert_int_equal(hardware->requested, 0x31);
    local_apic_reset_by_init(apic);
    for (unsigned i = 0; i < 3; i++) {
        arch_vcpu_deliver(vcpu);
        assert_int_equal(hardware->requested, -1);
        assert_int_equal(hardware->cancelled_windows, 1);
    }
}

static void test_deliver_interrupt(void **state)
{
    (void)state;
    struct local_apic *apic = enabled_apic(vcpu);

    (void)local_apic_post(apic, 0x31, false);
    (void)local_apic_post(apic, 0x52, false);
    arch_vcpu_deliver(vcpu); /* not now: a window was asked for, nothing is lost */
    assert_int_equal(hardware->interrupts, 0);
    assert_int_equal(hardware->cancelled_windows, 0);
    assert_int_equal(local_apic_highest_isr(apic), -1);
    hardware->takes_interrupts = true;
    arch_vcpu_deliver(vcpu);
    assert_int_equal(hardware->interrupts, 1);
    assert_int_equal(hardware->interrupt, 0x52);
    assert_int_equal(local_apic_highest_isr(apic), 0x52);
    arch_vcpu_deliver(vcpu); /* 31h has to wait for the EOI */
    assert_int_equal(hardware->interrupts, 1);
    assert_int_equal(hardware->cancelled_windows, 1);
    local_apic_eoi(apic);
    arch_vcpu_deliver(vcpu);
    assert_int_equal(hardware->interrupt, 0x31);
}

/* Hardware that delivers from the APIC page is told the highest vector, and does the rest. */
static void test_deliver_by_hardware(void **state)
{
    (void)state;
    struct local_apic *apic = enabled_apic(vcpu);

    hardware->takes_interrupts = true;
    hardware->delivers = true;
    (void)local_apic_post(apic, 0x31, false);
    arch_vcpu_deliver(vcpu);
    assert_int_equal(hardware->requested, 0x31);
    assert_int_equal(hardware->interrupts + hardware->cancelled_windows, 0);
    assert_int_equal(local_apic_highest_irr(apic), 0x31);
}

static void test_deliver_nmi(void **state)
{
    (void)state;
    const struct apic_message nmi = {.delivery = APIC_NMI, .shorthand = APIC_TO_SELF};
    struct local_apic *apic = enabled_apic(vcpu);

    (void)local_apic_deliver(apic, &nmi);
    arch_vcpu_deliver(vcpu);
    assert_true(local_apic_nmi_pending(apic));
    hardware->takes_nmis = true;
    hardware->delivers = true; /* NMIs take the other way all the same */
    arch_vcpu_deliver(vcpu);
    assert_int_equal(hardware->nmis, 1);
    assert_false(local_apic_nmi_pending(apic));
    arch_vcpu_deliver(vcpu);
    assert_int_equal(hardware->nmis, 1);
}

/* Halts with interrupts on or off. */
static bool halt(uint64_t interrupt_flag)
{
    hardware->registers[REGISTER_RFLAGS] = RFLAGS_FIXED | interrupt_flag;
    assert_true(arch_vcpu_ready(vcpu));
    assert_true(arch_vcpu_runnable(vcpu));
    return arch_vcpu_halt(vcpu);
}

static void test_what_ends_a_halt(void **state)
{
    (void)state;
    const struct apic_message nmi = {.delivery = APIC_NMI, .shorthand = APIC_TO_SELF};
    struct local_apic *apic = enabled_apic(vcpu);

    assert_true(halt(RFLAGS_IF));
    hardware->registers[REGISTER_RFLAGS] = 0; /* of whichever vCPU is in the CPU by then */
    assert_false(arch_vcpu_runnable(vcpu));
    (void)local_apic_post(apic, 0x31, false);
    assert_true(arch_vcpu_runnable(vcpu));
    assert_true(halt(0)); /* HLT with interrupts off sleeps on */
    hardware->registers[REGISTER_RFLAGS] = RFLAGS_IF;
    assert_false(arch_vcpu_runnable(vcpu));
    (void)local_apic_deliver(apic, &nmi);
    assert_true(arch_vcpu_runnable(vcpu));
    assert_true(local_apic_take_nmi(apic));
    assert_true(halt(RFLAGS_IF));
    local_apic_write(apic, APIC_TPR, 4, 0x40, 0); /* below the task priority */
    assert_false(arch_vcpu_runnable(vcpu));
}

static void test_what_can_end_a_halt(void **state)
{
    (void)state;
    const struct apic_message nmi = {.delivery = APIC_NMI, .shorthand = APIC_TO_SELF};

    assert_true(halt(0)); /* the other vCPU may send an NMI or INIT */
    machine.vm.vcpu_count = 1;
    assert_false(halt(0));
    assert_true(halt(RFLAGS_IF));
    (void)local_apic_deliver(enabled_apic(vcpu), &nmi);
    assert_true(halt(0));
}

/* What a vCPU's hardware is told when its VM starts, again or for the first time. */
static void test_reset(void **state)
{
    (void)state;
    machine.vm.arch->start = (struct vcpu_start){.rip = 0x1000200, .rsi = 0x9000};
    hardware->x2apic = true;
    arch_vcpu_reset(vcpu);
    assert_int_equal(hardware->x2apic_changes, 1);
    assert_false(hardware->x2apic);
    assert_int_equal(hardware->in_service, -1);
    assert_int_equal(hardware->starts, 1);
    assert_int_equal(hardware->start.rip, 0x1000200);
    assert_int_equal(hardware->start.rsi, 0x9000);
    arch_vcpu_reset(&machine.vm.vcpus[1]);
    assert_int_equal(machine.hardware[1].x2apic_changes, 1);
    assert_int_equal(machine.hardware[1].starts, 0);
}

/* Start-up of the second vCPU by interprocessor interrupts, as any x86 kernel does it. */
static void test_start_up(void **state)
{
    (void)state;
    struct vcpu *second = &machine.vm.vcpus[1];

    assert_true(arch_vcpu_ready(vcpu));
    assert_false(arch_vcpu_ready(second));
    assert_false(arch_vcpu_runnable(second));
    local_apic_write(enabled_apic(vcpu), APIC_ICR_HIGH, 4, 1U << 24, 0);
    local_apic_write(&vcpu->arch->apic, APIC_ICR, 4, 0x4500, 0); /* INIT */
    assert_int_equal(scripted_host.kicks[1], 1);
    assert_true(arch_vcpu_runnable(second));
    (void)enabled_apic(second);
    assert_false(arch_vcpu_ready(second));
    assert_int_equal(local_apic_read(&second->arch->apic, APIC_SVR, 4, 0), 0xff); /* it was reset */
    local_apic_write(&vcpu->arch->apic, APIC_ICR, 4, 0x469a, 0); /* start-up at 9a000h */
    assert_int_equal(scripted_host.kicks[1], 2);
    assert_true(arch_vcpu_runnable(second));
    assert_true(arch_vcpu_ready(second));
    assert_int_equal(machine.hardware[1].start_ups, 1);
    assert_int_equal(machine.hardware[1].start_up_vector, 0x9a);
    assert_int_equal(second->general[GENERAL_RDX], 0x306d4);
    assert_false(arch_vcpu_halt(second) && arch_vcpu_runnable(second));
    local_apic_write(&vcpu->arch->apic, APIC_ICR, 4, 0x469b, 0); /* the second one of two */
    assert_false(arch_vcpu_runnable(second));                    /* does not end a HLT */
    assert_true(arch_vcpu_ready(second));
    assert_int_equal(machine.hardware[1].start_ups, 1);
    assert_int_equal(scripted_host.kicks[0], 0);
    second->arch->pv_eoi = (struct pv_eoi){.msr = 0x1001, .offered = true};
    local_apic_write(&vcpu->arch->apic, APIC_ICR, 4, 0x4500, 0); /* off again */
    assert_false(arch_vcpu_ready(second));
    assert_int_equal(second->arch->pv_eoi.msr, 0);
    assert_false(second->arch->pv_eoi.offered);
    local_apic_write(&vcpu->arch->apic, APIC_ICR, 4, 0x4600, 0); /* and on, at 0 */
    assert_true(arch_vcpu_ready(second));
    assert_int_equal(machine.hardware[1].start_ups, 2);
    assert_int_equal(machine.hardware[1].start_up_vector, 0);
    assert_int_equal(machine.vm.state, VM_RUNNING);
}

static void test_init_of_the_boot_cpu(void **state)
{
    (void)state;
    const struct apic_message init = {.delivery = APIC_INIT, .shorthand = APIC_TO_SELF};

    (void)local_apic_deliver(&vcpu->arch->apic, &init);
    assert_false(arch_vcpu_ready(vcpu));
    assert_int_equal(machine.vm.state, VM_RESET);
    assert_string_equal(machine.vm.end_reason, "reset by INIT");
}

/* Time. */

static void test_timer(void **state)
{
    (void)state;
    struct local_apic *apic = enabled_apic(vcpu);

    scripted_host.ticks = 1000;
    assert_int_equal(arch_vcpu_deadline(vcpu), UINT64_MAX);
    local_apic_write(apic, APIC_LVT_TIMER, 4, 0x40031, 1000);
    assert_int_equal(write_msr(MSR_TSC_DEADLINE, 5000), ACTION_SKIP);
    assert_int_equal(arch_vcpu_deadline(vcpu), 5000);
    arch_vcpu_advance(vcpu, 4999);
    assert_int_equal(local_apic_pending_vector(apic), -1);
    arch_vcpu_advance(vcpu, 5000);
    assert_int_equal(local_apic_pending_vector(apic), 0x31);
    assert_int_equal(arch_vcpu_deadline(vcpu), UINT64_MAX);
}

/* A timer that would not end the HLT is no reason to look at the vCPU. */
static void test_wake_time(void **state)
{
    (void)state;
    struct local_apic *apic = enabled_apic(vcpu);

    local_apic_write(apic, APIC_LVT_TIMER, 4, 0x40031, 0);
    assert_int_equal(write_msr(MSR_TSC_DEADLINE, 5000), ACTION_SKIP);
    assert_true(arch_vcpu_ready(vcpu)); /* waits for the CPU, and will have it anyway */
    assert_int_equal(arch_vcpu_wake_time(vcpu), UINT64_MAX);
    assert_true(halt(RFLAGS_IF));
    assert_int_equal(arch_vcpu_wake_time(vcpu), 5000);
    local_apic_write(apic, APIC_TPR, 4, 0x30, 0); /* not above the task priority */
    assert_int_equal(arch_vcpu_wake_time(vcpu), UINT64_MAX);
    local_apic_write(apic, APIC_TPR, 4, 0x2f, 0);
    assert_int_equal(arch_vcpu_wake_time(vcpu), 5000);
    local_apic_write(apic, APIC_LVT_TIMER, 4, 0x50031, 0);
    assert_int_equal(arch_vcpu_wake_time(vcpu), UINT64_MAX);
    local_apic_write(apic, APIC_LVT_TIMER, 4, 0x40031, 0);
    assert_true(halt(0));
    assert_int_equal(arch_vcpu_wake_time(vcpu), UINT64_MAX);
    assert_int_equal(arch_vcpu_deadline(vcpu), 5000);
    /* The machine's devices are served all the same, by the first vCPU. */
    machine.vm.arch->poll_time = 7000;
    assert_int_equal(arch_vcpu_wake_time(vcpu), 7000);
    assert_int_equal(arch_vcpu_wake_time(&machine.vm.vcpus[1]), UINT64_MAX);
    assert_true(halt(RFLAGS_IF));
    assert_int_equal(arch_vcpu_wake_time(vcpu), 5000);
}

/* A console that has no room is looked at a thousand times a second, by vCPU 0. */
static void test_console_is_polled(void **state)
{
    (void)state;
    const uint64_t poll = 70 + MACHINE_FREQUENCY / 1000;

    scripted_host.ticks = 70;
    machine.console_full = true;
    vcpu->general[GENERAL_RAX] = 'x';
    assert_int_equal(port(true, LAYOUT_UART_PORT, 1), ACTION_SKIP);
    assert_int_equal(arch_vcpu_deadline(vcpu), poll);
    assert_int_equal(arch_vcpu_deadline(&machine.vm.vcpus[1]), UINT64_MAX);
    machine.console_full = false;
    scripted_host.ticks = poll;
    arch_vcpu_advance(&machine.vm.vcpus[1], poll);
    assert_string_equal(machine.console, "");
    arch_vcpu_advance(vcpu, poll);
    assert_string_equal(machine.console, "x");
    assert_int_equal(arch_vcpu_deadline(vcpu), UINT64_MAX);
}

static void write_rtc(uint8_t index, uint8_t value)
{
    vcpu->general[GENERAL_RAX] = index;
    assert_int_equal(port(true, LAYOUT_RTC_PORT, 1), ACTION_SKIP);
    vcpu->general[GENERAL_RAX] = value;
    assert_int_equal(port(true, LAYOUT_RTC_PORT + 1, 1), ACTION_SKIP);
}

/* Midnight when the TSC was 0: an alarm at 00:00:05 is due at 5 s, whenever one asks. */
static void test_alarm(void **state)
{
    (void)state;
    scripted_host.ticks = MACHINE_FREQUENCY / 2;
    write_rtc(1, 0x05);
    write_rtc(3, 0x00);
    write_rtc(5, 0x00);
    write_rtc(0xb, 0x22);
    assert_int_equal(arch_vcpu_deadline(vcpu), 5ULL * MACHINE_FREQUENCY);
    assert_int_equal(arch_vcpu_deadline(&machine.vm.vcpus[1]), UINT64_MAX);
    assert_int_equal(write_msr(MSR_TSC_DEADLINE, 3), ACTION_SKIP); /* ignored: not in that mode */
    scripted_host.ticks = 5ULL * MACHINE_FREQUENCY;
    arch_vcpu_advance(vcpu, scripted_host.ticks);
    assert_int_equal(arch_vcpu_deadline(vcpu), UINT64_MAX); /* until the flag is read */
    write_rtc(0xb, 0x12);                                   /* each second */
    vcpu->general[GENERAL_RAX] = 0xc;
    assert_int_equal(port(true, LAYOUT_RTC_PORT, 1), ACTION_SKIP);
    assert_int_equal(port(false, LAYOUT_RTC_PORT + 1, 1), ACTION_SKIP);
    scripted_host.ticks += 7;
    assert_int_equal(arch_vcpu_deadline(vcpu), 6ULL * MACHINE_FREQUENCY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_port_in),
        TEST(test_port_out),
        TEST(test_unknown_ports),
        TEST(test_string_port_is_carried_out),
        TEST(test_ports_that_end_the_vm),
        TEST(test_console),
        TEST(test_memory_reads),
        TEST(test_memory_writes),
        TEST(test_memory_in_other_modes),
        TEST(test_unknown_memory),
        TEST(test_devices_in_memory),
        TEST(test_local_apic_page),
        TEST(test_memory_that_ends_the_vm),
        TEST(test_cpuid),
        TEST(test_known_msrs),
        TEST(test_unknown_msrs),
        TEST(test_efer),
        TEST(test_apic_modes),
        TEST(test_cr0),
        TEST(test_cr4),
        TEST(test_other_control_registers),
        TEST(test_xsetbv),
        TEST(test_exceptions),
        TEST(test_machine_check),
        TEST(test_instructions_that_are_not_there),
        TEST(test_eoi_reaches_the_io_apic),
        TEST(test_deliver_nothing),
        TEST(test_deliver_what_is_gone),
        TEST(test_deliver_interrupt),
        TEST(test_deliver_by_hardware),
        TEST(test_deliver_nmi),
        TEST(test_what_ends_a_halt),
        TEST(test_what_can_end_a_halt),
        TEST(test_reset),
        TEST(test_start_up),
        TEST(test_init_of_the_boot_cpu),
        TEST(test_timer),
        TEST(test_wake_time),
        TEST(test_console_is_polled),
        TEST(test_alarm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
