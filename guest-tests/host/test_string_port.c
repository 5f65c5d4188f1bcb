/* Tests of INS and OUTS: sizes, modes, prefixes, repetition in bounded steps, and faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/layout.h"
#include "arch/x86/guest/string_port.h"
#include "guest-tests/host/scripted_machine.h"

#define PORT     0x1000U
#define DATA     0xffff888000000000ULL /* three pages of data, not in order in RAM */
#define DATA_GPA 0x80000U
#define MMIO     (DATA + 0x100000)
#define ACCESSES 256U

/* A device that records writes and answers reads with a different value each. */
static struct {
    uint64_t values[ACCESSES];
    unsigned sizes[ACCESSES];
    unsigned writes;
    unsigned reads;
} device;

static uint64_t read_device(void *context, uint64_t offset, unsigned size)
{
    assert_ptr_equal(context, &device);
    assert_int_equal(offset, 2);
    assert_in_range(size, 1, 4);
    return 0xaabbccdd00000000 + 0x01020304ULL * ++device.reads;
}

static void write_device(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    assert_ptr_equal(context, &device);
    assert_int_equal(offset, 2);
    assert_in_range(device.writes, 0, ACCESSES - 1);
    device.sizes[device.writes] = size;
    device.values[device.writes++] = value;
}

static const struct bus_operations device_operations = {read_device, write_device};
static struct vcpu *vcpu;
static struct backend_vcpu *hardware;

static int set_up(void **state)
{
    (void)state;
    memset(&device, 0, sizeof(device));
    assert_true(scripted_machine_create());
    assert_true(bus_add(&machine.vm.ports, PORT, 16, &device_operations, &device));
    vcpu = &machine.vm.vcpus[0];
    hardware = &machine.hardware[0];
    scripted_map_page(DATA, DATA_GPA + 0x2000);
    scripted_map_page(DATA + 0x1000, DATA_GPA);
    scripted_map_page(DATA + 0x2000, DATA_GPA + 0x1000);
    scripted_map_page(MMIO, LAYOUT_IO_APIC_BASE);
    for (size_t i = 0; i < 0x3000; i++) {
        machine.ram[DATA_GPA + i] = (uint8_t)(i * 7 + i / 256 + 1);
    }
    return 0;
}

/* Where the byte at `linear` is in RAM. */
static uint8_t *data(uint64_t linear)
{
    static const uint32_t gpa[] = {DATA_GPA + 0x2000, DATA_GPA, DATA_GPA + 0x1000};

    return &machine.ram[gpa[(linear - DATA) / 0x1000] + linear % 0x1000];
}

static uint64_t data_value(uint64_t linear, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)*data(linear + i) << 8 * i;
    }
    return value;
}

static enum exit_action run(const void *bytes, size_t length, struct exit_port port)
{
    port.string = true;
    port.port = port.port != 0 ? port.port : PORT + 2;
    scripted_code(bytes, length);
    return string_port(vcpu, &port);
}

#define RUN(port, ...) run((const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}), port)

static const struct exit_port outsb = {.size = 1, .write = true};
static const struct exit_port outsw = {.size = 2, .write = true};
static const struct exit_port outsd = {.size = 4, .write = true};
static const struct exit_port rep_outsb = {.size = 1, .write = true, .repeat = true};
static const struct exit_port rep_outsd = {.size = 4, .write = true, .repeat = true};
static const struct exit_port insb = {.size = 1};
static const struct exit_port insw = {.size = 2};
static const struct exit_port insd = {.size = 4};
static const struct exit_port rep_insb = {.size = 1, .repeat = true};
static const struct exit_port rep_insd = {.size = 4, .repeat = true};

static void assert_faulted(void)
{
    assert_int_equal(hardware->exceptions, 1);
    assert_int_equal(hardware->vector, VECTOR_GENERAL_PROTECTION);
    assert_true(hardware->has_error_code);
    assert_int_equal(hardware->error_code, 0);
    hardware->exceptions = 0;
}

static void test_outs_sizes(void **state)
{
    (void)state;
    vcpu->general[GENERAL_RSI] = DATA + 0x10;
    vcpu->general[GENERAL_RCX] = 9;
    assert_int_equal(RUN(outsb, 0x6e), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RSI], DATA + 0x11);
    assert_int_equal(RUN(outsw, 0x66, 0x6f), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RSI], DATA + 0x13);
    assert_int_equal(RUN(outsd, 0x4d, 0x6f), ACTION_SKIP); /* REX.W does not widen it */
    assert_int_equal(vcpu->general[GENERAL_RSI], DATA + 0x17);
    assert_int_equal(vcpu->general[GENERAL_RCX], 9);
    assert_int_equal(device.writes, 3);
    assert_int_equal(device.values[0], data_value(DATA + 0x10, 1));
    assert_int_equal(device.values[1], data_value(DATA + 0x11, 2));
    assert_int_equal(device.values[2], data_value(DATA + 0x13, 4));
    assert_int_equal(device.sizes[0], 1);
    assert_int_equal(device.sizes[1], 2);
    assert_int_equal(device.sizes[2], 4);
    assert_int_equal(hardware->skips, 0); /* the run loop's to do */
}

static void test_ins_sizes(void **state)
{
    (void)state;
    uint8_t before = *data(DATA + 0x17);

    vcpu->general[GENERAL_RDI] = DATA + 0x10;
    vcpu->general[GENERAL_RAX] = 0x1122334455667788;
    assert_int_equal(RUN(insb, 0x6c), ACTION_SKIP);
    assert_int_equal(RUN(insw, 0x66, 0x6d), ACTION_SKIP);
    assert_int_equal(RUN(insd, 0x6d), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RDI], DATA + 0x17);
    assert_int_equal(data_value(DATA + 0x10, 1), 0x04);
    assert_int_equal(data_value(DATA + 0x11, 2), 0x0608);
    assert_int_equal(data_value(DATA + 0x13, 4), 0x0306090c);
    assert_int_equal(*data(DATA + 0x17), before);
    assert_int_equal(vcpu->general[GENERAL_RAX], 0x1122334455667788);
    assert_int_equal(device.reads, 3);
}

static void test_repeat(void **state)
{
    (void)state;
    vcpu->general[GENERAL_RSI] = DATA + 0x20;
    vcpu->general[GENERAL_RCX] = 3;
    assert_int_equal(RUN(rep_outsd, 0xf3, 0x6f), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RSI], DATA + 0x2c);
    assert_int_equal(vcpu->general[GENERAL_RCX], 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(device.values[i], data_value(DATA + 0x20 + 4ULL * i, 4));
    }
    assert_int_equal(RUN(rep_outsd, 0xf2, 0x6f), ACTION_SKIP); /* nothing to do any more */
    assert_int_equal(device.writes, 3);
    assert_int_equal(vcpu->general[GENERAL_RSI], DATA + 0x2c);
    assert_int_equal(vcpu->general[GENERAL_RCX], 0);
}

/* One exit does no more than its bound, and the registers say where the next goes on. */
static void test_bound(void **state)
{
    (void)state;
    vcpu->general[GENERAL_RDI] = DATA;
    vcpu->general[GENERAL_RCX] = 2 * STRING_PORT_ELEMENTS + 1;
    assert_int_equal(RUN(rep_insb, 0xf3, 0x6c), ACTION_RESUME);
    assert_int_equal(device.reads, STRING_PORT_ELEMENTS);
    assert_int_equal(vcpu->general[GENERAL_RCX], STRING_PORT_ELEMENTS + 1);
    assert_int_equal(vcpu->general[GENERAL_RDI], DATA + STRING_PORT_ELEMENTS);
    assert_int_equal(RUN(rep_insb, 0xf3, 0x6c), ACTION_RESUME);
    assert_int_equal(vcpu->general[GENERAL_RCX], 1);
    assert_int_equal(RUN(rep_insb, 0xf3, 0x6c), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RCX], 0);
    assert_int_equal(device.reads, 2 * STRING_PORT_ELEMENTS + 1);
    for (unsigned i = 0; i < device.reads; i++) {
        assert_int_equal(*data(DATA + i), (uint8_t)(4 * (i + 1)));
    }
    vcpu->general[GENERAL_RCX] = STRING_PORT_ELEMENTS;
    assert_int_equal(RUN(rep_insb, 0xf3, 0x6c), ACTION_SKIP);
    vcpu->general[GENERAL_RDI] = DATA;
    vcpu->general[GENERAL_RCX] = UINT64_MAX;
    assert_int_equal(RUN(rep_insb, 0xf3, 0x6c), ACTION_RESUME);
    assert_int_equal(vcpu->general[GENERAL_RCX], UINT64_MAX - STRING_PORT_ELEMENTS);
    assert_int_equal(hardware->exceptions, 0);
}

static void test_backwards(void **state)
{
    (void)state;
    hardware->registers[REGISTER_RFLAGS] |= RFLAGS_DF;
    vcpu->general[GENERAL_RSI] = DATA + 0x24;
    vcpu->general[GENERAL_RCX] = 3;
    assert_int_equal(RUN(rep_outsd, 0xf3, 0x6f), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RSI], DATA + 0x18);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(device.values[i], data_value(DATA + 0x24 - 4ULL * i, 4));
    }
}

/* An element in two pages that are not neighbours in RAM. */
static void test_straddles_pages(void **state)
{
    (void)state;
    vcpu->general[GENERAL_RSI] = DATA + 0xffe;
    assert_int_equal(RUN(outsd, 0x6f), ACTION_SKIP);
    assert_int_equal(device.values[0], data_value(DATA + 0xffe, 4));
    vcpu->general[GENERAL_RDI] = DATA + 0x1fff;
    assert_int_equal(RUN(insd, 0x6d), ACTION_SKIP);
    assert_int_equal(data_value(DATA + 0x1fff, 4), 0x01020304);
    vcpu->general[GENERAL_RDI] = DATA + 0xff0;
    vcpu->general[GENERAL_RCX] = 8;
    assert_int_equal(RUN(rep_insd, 0xf3, 0x6d), ACTION_SKIP);
    assert_int_equal(data_value(DATA + 0x1004, 4), 0x01020304 * 7);
    /* The last byte of RAM, and in compatibility mode. */
    scripted_map_page(DATA, MACHINE_RAM - 0x1000);
    vcpu->general[GENERAL_RSI] = DATA + 0xfff;
    machine.ram[MACHINE_RAM - 1] = 0x99;
    assert_int_equal(RUN(outsb, 0x6e), ACTION_SKIP);
    assert_int_equal(device.values[1], 0x99);
    hardware->segments[SEGMENT_CS].attributes = SEGMENT_CODE_32;
    scripted_map_page(0x7000, DATA_GPA);
    scripted_map_page(0x8000, DATA_GPA + 0x2000);
    scripted_map_page(MACHINE_CODE & UINT32_MAX, MACHINE_CODE_GPA);
    vcpu->general[GENERAL_RSI] = 0x7ffe;
    assert_int_equal(RUN(outsd, 0x6f), ACTION_SKIP);
    assert_int_equal(device.values[2] & 0xffff, data_value(DATA + 0x1ffe, 2));
    assert_int_equal(device.values[2] >> 16, *(uint16_t *)(void *)&machine.ram[DATA_GPA + 0x2000]);
}

/* 67h in 64-bit mode: 32-bit addresses and count, whose registers lose their upper halves. */
static void test_address_size_in_64_bit_mode(void **state)
{
    (void)state;
    scripted_map_page(0x7000, DATA_GPA);
    vcpu->general[GENERAL_RSI] = 0xffffffff00007010;
    vcpu->general[GENERAL_RCX] = 0xffffffff00000002;
    assert_int_equal(RUN(rep_outsb, 0x67, 0xf3, 0x6e), ACTION_SKIP);
    assert_int_equal(device.writes, 2);
    assert_int_equal(device.values[1], machine.ram[DATA_GPA + 0x11]);
    assert_int_equal(vcpu->general[GENERAL_RSI], 0x7012);
    assert_int_equal(vcpu->general[GENERAL_RCX], 0);
    /* It wraps within 32 bits. */
    scripted_map_page(0xfffff000, DATA_GPA);
    hardware->segments[SEGMENT_FS].base = DATA - 0xfffff000;
    vcpu->general[GENERAL_RSI] = 0xfffffffe;
    assert_int_equal(RUN(outsw, 0x67, 0x64, 0x66, 0x6f), ACTION_SKIP);
    assert_int_equal(device.values[2], data_value(DATA + 0xffe, 2));
    assert_int_equal(vcpu->general[GENERAL_RSI], 0);
}

/* In 64-bit mode only FS and GS have bases, and INS always writes to ES. */
static void test_overrides_in_64_bit_mode(void **state)
{
    (void)state;
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_DS; i++) {
        hardware->segments[i].base = 0x123456000;
    }
    hardware->segments[SEGMENT_FS].base = 0x100;
    hardware->segments[SEGMENT_GS].base = 0x200;
    vcpu->general[GENERAL_RSI] = DATA;
    assert_int_equal(RUN(outsb, 0x6e), ACTION_SKIP);
    assert_int_equal(RUN(outsb, 0x26, 0x6e), ACTION_SKIP);
    assert_int_equal(RUN(outsb, 0x2e, 0x6e), ACTION_SKIP);
    assert_int_equal(RUN(outsb, 0x36, 0x6e), ACTION_SKIP);
    assert_int_equal(RUN(outsb, 0x3e, 0x6e), ACTION_SKIP);
    assert_int_equal(RUN(outsb, 0x64, 0x6e), ACTION_SKIP);
    assert_int_equal(RUN(outsb, 0x65, 0x6e), ACTION_SKIP);
    assert_int_equal(RUN(outsb, 0x64, 0x2e, 0x6e), ACTION_SKIP); /* 2Eh is no override here */
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(device.values[i], *data(DATA + i));
    }
    assert_int_equal(device.values[5], *data(DATA + 5 + 0x100));
    assert_int_equal(device.values[6], *data(DATA + 6 + 0x200));
    assert_int_equal(device.values[7], *data(DATA + 7 + 0x100));
    vcpu->general[GENERAL_RDI] = DATA;
    assert_int_equal(RUN(insb, 0x64, 0x6c), ACTION_SKIP);
    assert_int_equal(*data(DATA), 4);
}

/* 32-bit protected mode without paging, flat code at 0x40000. */
static void enter_protected_mode(uint16_t code)
{
    hardware->registers[REGISTER_CR0] = CR0_PE | CR0_ET;
    hardware->registers[REGISTER_EFER] = 0;
    hardware->segments[SEGMENT_CS].base = MACHINE_CODE_GPA - (MACHINE_CODE & UINT32_MAX);
    hardware->segments[SEGMENT_CS].attributes = code;
}

static void test_protected_mode(void **state)
{
    (void)state;
    enter_protected_mode(SEGMENT_CODE_32);
    hardware->segments[SEGMENT_DS].base = DATA_GPA;
    hardware->segments[SEGMENT_ES].base = DATA_GPA + 0x1000;
    vcpu->general[GENERAL_RSI] = 0xdead00000010; /* the upper half means nothing */
    assert_int_equal(RUN(outsd, 0x6f), ACTION_SKIP);
    assert_int_equal(device.values[0], *(uint32_t *)(void *)&machine.ram[DATA_GPA + 0x10]);
    assert_int_equal(vcpu->general[GENERAL_RSI], 0x14);
    vcpu->general[GENERAL_RDI] = 0x20;
    assert_int_equal(RUN(insb, 0x3e, 0x6c), ACTION_SKIP);
    assert_int_equal(machine.ram[DATA_GPA + 0x1020], 4);
    /* Base plus offset wraps at 4 GiB. */
    vcpu->general[GENERAL_RSI] = 0xfffffff0;
    assert_int_equal(RUN(outsb, 0x6e), ACTION_SKIP);
    assert_int_equal(device.values[1], machine.ram[DATA_GPA - 0x10]);
    assert_int_equal(RUN(outsb, 0x48, 0x6e), ACTION_RESUME); /* DEC EAX: no REX here */
    assert_faulted();
}

static void test_overrides_in_protected_mode(void **state)
{
    (void)state;
    static const struct {
        uint8_t prefix;
        uint8_t segment;
    } cases[] = {{0x26, SEGMENT_ES}, {0x2e, SEGMENT_CS}, {0x36, SEGMENT_SS},
                 {0x3e, SEGMENT_DS}, {0x64, SEGMENT_FS}, {0x65, SEGMENT_GS}};

    enter_protected_mode(SEGMENT_CODE_32);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].segment != SEGMENT_CS) {
            hardware->segments[cases[i].segment].base = DATA_GPA + 0x100 * cases[i].segment;
        }
    }
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t base = (uint32_t)hardware->segments[cases[i].segment].base;

        vcpu->general[GENERAL_RSI] = cases[i].segment == SEGMENT_CS ? DATA_GPA + 0x777 - base : 7;
        assert_int_equal(RUN(outsb, cases[i].prefix, 0x6e), ACTION_SKIP);
        assert_int_equal(
            device.values[i],
            machine.ram[cases[i].segment == SEGMENT_CS ? DATA_GPA + 0x777
                                                       : DATA_GPA + 0x100 * cases[i].segment + 7]);
    }
}

static void test_16_bit_addresses(void **state)
{
    (void)state;
    enter_protected_mode(SEGMENT_CODE_32);
    hardware->segments[SEGMENT_DS].base = DATA_GPA;
    vcpu->general[GENERAL_RSI] = 0x1234ffff;
    vcpu->general[GENERAL_RCX] = 0x56780002;
    assert_int_equal(RUN(rep_outsb, 0x67, 0xf3, 0x6e), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RSI], 0x12340001);
    assert_int_equal(vcpu->general[GENERAL_RCX], 0x56780000);
    assert_int_equal(device.values[0], machine.ram[DATA_GPA + 0xffff]);
    assert_int_equal(device.values[1], machine.ram[DATA_GPA]);
    enter_protected_mode(SEGMENT_CODE_16);
    assert_int_equal(RUN(outsb, 0x6e), ACTION_SKIP);
    assert_int_equal(vcpu->general[GENERAL_RSI], 0x12340002);
    vcpu->general[GENERAL_RSI] = 0x10010;
    assert_int_equal(RUN(outsb, 0x67, 0x6e), ACTION_SKIP);
    assert_int_equal(device.values[3], machine.ram[DATA_GPA + 0x10010]);
    assert_int_equal(vcpu->general[GENERAL_RSI], 0x10011);
}

/* Real mode: whatever the selector's low bits, it is privileged. */
static void test_real_mode(void **state)
{
    (void)state;
    hardware->registers[REGISTER_CR0] = CR0_ET;
    hardware->registers[REGISTER_EFER] = 0;
    hardware->segments[SEGMENT_CS] = (struct segment){0x3fff0, 0xffff, 0x3fff, SEGMENT_CODE_16};
    hardware->segments[SEGMENT_DS] = (struct segment){DATA_GPA, 0xffff, 0x8000, 0x93};
    scripted_code((const uint8_t[]){0x6f}, 1);
    hardware->registers[REGISTER_RIP] = 0x10;
    vcpu->general[GENERAL_RSI] = 0xfffe;
    const struct exit_port port = {.port = PORT + 2, .size = 2, .write = true, .string = true};

    assert_int_equal(string_port(vcpu, &port), ACTION_SKIP);
    assert_int_equal(device.values[0], *(uint16_t *)(void *)&machine.ram[DATA_GPA + 0xfffe]);
    assert_int_equal(vcpu->general[GENERAL_RSI], 0);
    vcpu->general[GENERAL_RSI] = 0xffff; /* the second byte is beyond the limit */
    assert_int_equal(string_port(vcpu, &port), ACTION_RESUME);
    assert_faulted();
    assert_int_equal(device.writes, 1);
    assert_int_equal(vcpu->general[GENERAL_RSI], 0xffff);
}

static void test_limits(void **state)
{
    (void)state;
    static const struct {
        uint32_t limit;
        uint32_t attributes;
        uint32_t offset;
        uint32_t allowed;
    } cases[] = {
        {0x13, SEGMENT_DATA, 0x10, true},
        {0x12, SEGMENT_DATA, 0x10, false},
        {0, SEGMENT_DATA, 0xfffffffc, false},
        {0x13, SEGMENT_CODE_32 | 4, 0x10, true}, /* conforming code does not grow downwards */
        {0x0f, 0xc097, 0x10, true},              /* data that does: above the limit */
        {0x10, 0xc097, 0x10, false},
        {0x0f, 0x8097, 0xfffc, true}, /* up to 64 KiB without the B flag */
        {0x0f, 0x8097, 0xfffd, false},
        {0x0f, 0xc097, 0xfffd, true},
    };

    enter_protected_mode(SEGMENT_CODE_32);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hardware->segments[SEGMENT_DS] =
            (struct segment){DATA_GPA, cases[i].limit, 0x18, (uint16_t)cases[i].attributes};
        vcpu->general[GENERAL_RSI] = cases[i].offset;
        assert_int_equal(RUN(outsd, 0x6f), cases[i].allowed ? ACTION_SKIP : ACTION_RESUME);
        assert_int_equal(hardware->exceptions, !cases[i].allowed);
        hardware->exceptions = 0;
    }
}

/* What was done before the fault stays done, and the port is not touched by what faults. */
static void test_fault_in_the_middle(void **state)
{
    (void)state;
    vcpu->general[GENERAL_RDI] = DATA + 0x2ff8;
    vcpu->general[GENERAL_RCX] = 10;
    assert_int_equal(RUN(rep_insd, 0xf3, 0x6d), ACTION_RESUME);
    assert_faulted();
    assert_int_equal(device.reads, 2);
    assert_int_equal(vcpu->general[GENERAL_RCX], 8);
    assert_int_equal(vcpu->general[GENERAL_RDI], DATA + 0x3000);
    assert_int_equal(data_value(DATA + 0x2ffc, 4), 0x02040608);
    /* Only a part of the element is mapped: nothing of it is written. */
    vcpu->general[GENERAL_RDI] = DATA + 0x2ffe;
    assert_int_equal(RUN(insd, 0x6d), ACTION_RESUME);
    assert_faulted();
    assert_int_equal(device.reads, 2);
    assert_int_equal(data_value(DATA + 0x2ffc, 4), 0x02040608);
    assert_int_equal(vcpu->general[GENERAL_RDI], DATA + 0x2ffe);
}

static void test_no_memory(void **state)
{
    (void)state;
    static const uint64_t addresses[] = {MMIO, MMIO - 2, 0, 0x0000800000000000, UINT64_MAX};

    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        vcpu->general[GENERAL_RSI] = addresses[i];
        vcpu->general[GENERAL_RDI] = addresses[i];
        assert_int_equal(RUN(outsd, 0x6f), ACTION_RESUME);
        assert_faulted();
        assert_int_equal(RUN(insd, 0x6d), ACTION_RESUME);
        assert_faulted();
        assert_int_equal(vcpu->general[GENERAL_RSI], addresses[i]);
        assert_int_equal(vcpu->general[GENERAL_RDI], addresses[i]);
    }
    assert_int_equal(device.writes + device.reads, 0);
}

/* Rights of pages are not checked, so who might lack them is not served. */
static void test_privilege(void **state)
{
    (void)state;
    vcpu->general[GENERAL_RSI] = DATA;
    for (uint16_t level = 1; level <= 3; level++) {
        hardware->segments[SEGMENT_CS].selector = 0x30 | level;
        assert_int_equal(RUN(outsb, 0x6e), ACTION_RESUME);
        assert_faulted();
    }
    enter_protected_mode(SEGMENT_CODE_16);
    hardware->segments[SEGMENT_CS].selector = 0x4000;
    hardware->registers[REGISTER_RFLAGS] |= RFLAGS_VM;
    assert_int_equal(RUN(outsb, 0x6e), ACTION_RESUME);
    assert_faulted();
    assert_int_equal(device.writes, 0);
}

/* Another vCPU may have changed the code since the exit. */
static void test_other_code(void **state)
{
    (void)state;
    const uint8_t prefixes[15] = {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                                  0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66};

    scripted_map_page(0, DATA_GPA);
    vcpu->general[GENERAL_RSI] = DATA;
    assert_int_equal(RUN(outsb, 0x90, 0x6e), ACTION_RESUME);
    assert_faulted();
    assert_int_equal(RUN(outsb, 0x6c), ACTION_RESUME);
    assert_faulted();
    assert_int_equal(RUN(outsb, 0x6f), ACTION_RESUME);
    assert_faulted();
    assert_int_equal(run(prefixes, 15, outsb), ACTION_RESUME);
    assert_faulted();
    scripted_code((const uint8_t[]){0x6e}, 1);
    hardware->registers[REGISTER_RIP] = MMIO;
    assert_int_equal(string_port(vcpu, &outsb), ACTION_RESUME);
    assert_faulted();
    assert_int_equal(device.writes, 0);
    /* Fourteen prefixes are allowed, and the last byte of a page is enough for the rest. */
    uint8_t longest[15];

    memcpy(longest, prefixes, 14);
    longest[14] = 0x6f;
    assert_int_equal(run(longest, 15, outsw), ACTION_SKIP);
    machine.ram[MACHINE_CODE_GPA + 0xfff] = 0x6e;
    hardware->registers[REGISTER_RIP] = MACHINE_CODE + 0xfff;
    const struct exit_port port = {.port = PORT + 2, .size = 1, .write = true, .string = true};

    assert_int_equal(string_port(vcpu, &port), ACTION_SKIP);
    assert_int_equal(device.writes, 2);
}

static void test_unknown_port(void **state)
{
    (void)state;
    struct exit_port port = rep_insb;

    port.port = 0x5555;
    vcpu->general[GENERAL_RDI] = DATA;
    vcpu->general[GENERAL_RCX] = 2;
    assert_int_equal(RUN(port, 0xf3, 0x6c), ACTION_SKIP);
    assert_int_equal(data_value(DATA, 2), 0xffff);
    assert_int_equal(machine.vm.arch->unknown_ports.rows[0].number, 0x5555);
    assert_int_equal(machine.vm.arch->unknown_ports.rows[0].count, 2);
}

/* The write that ends the VM is the last. */
static void test_ends_the_vm(void **state)
{
    (void)state;
    struct exit_port port = rep_outsb;

    port.port = LAYOUT_RESET_PORT;
    memcpy(data(DATA), "\x00\x01\x01", 3);
    vcpu->general[GENERAL_RSI] = DATA;
    vcpu->general[GENERAL_RCX] = 3;
    assert_int_equal(RUN(port, 0xf3, 0x6e), ACTION_STOP);
    assert_int_equal(machine.vm.state, VM_RESET);
    assert_int_equal(vcpu->general[GENERAL_RCX], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_outs_sizes, set_up),
        cmocka_unit_test_setup(test_ins_sizes, set_up),
        cmocka_unit_test_setup(test_repeat, set_up),
        cmocka_unit_test_setup(test_bound, set_up),
        cmocka_unit_test_setup(test_backwards, set_up),
        cmocka_unit_test_setup(test_straddles_pages, set_up),
        cmocka_unit_test_setup(test_address_size_in_64_bit_mode, set_up),
        cmocka_unit_test_setup(test_overrides_in_64_bit_mode, set_up),
        cmocka_unit_test_setup(test_protected_mode, set_up),
        cmocka_unit_test_setup(test_overrides_in_protected_mode, set_up),
        cmocka_unit_test_setup(test_16_bit_addresses, set_up),
        cmocka_unit_test_setup(test_real_mode, set_up),
        cmocka_unit_test_setup(test_limits, set_up),
        cmocka_unit_test_setup(test_fault_in_the_middle, set_up),
        cmocka_unit_test_setup(test_no_memory, set_up),
        cmocka_unit_test_setup(test_privilege, set_up),
        cmocka_unit_test_setup(test_other_code, set_up),
        cmocka_unit_test_setup(test_unknown_port, set_up),
        cmocka_unit_test_setup(test_ends_the_vm, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
