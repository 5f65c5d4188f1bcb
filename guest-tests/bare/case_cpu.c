/* The processor and the board around it: what a guest finds, and what it is refused. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/machine.h"

#define SERIAL_SCRATCH     0x3ff
#define NOTHING_THERE      0x1234
#define NOTHING_AT         0xe0000000UL
#define GENERAL_PROTECTION 13U
#define UNDEFINED          6U
#define MSR_APIC_BASE      0x1b
#define MSR_NONE           0x12345678
#define CR0_PE             1UL
#define CR0_NW             (1UL << 29)
#define CR0_CD             (1UL << 30)
#define CR0_PG             (1UL << 31)
#define CR4_PAE            (1UL << 5)
#define CR4_OSXSAVE        (1UL << 18)

static uint64_t read_cr0(void)
{
    uint64_t value;

    __asm__ volatile("movq %%cr0, %0" : "=r"(value));
    return value;
}

static uint64_t read_cr4(void)
{
    uint64_t value;

    __asm__ volatile("movq %%cr4, %0" : "=r"(value));
    return value;
}

static void cpu_string_output(void)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 0x5a};
    const uint8_t *source = bytes;
    size_t count = sizeof(bytes);

    __asm__ volatile("rep outsb" : "+S"(source), "+c"(count) : "d"(SERIAL_SCRATCH) : "memory");
    EXPECT_EQUAL(count, 0);
    EXPECT_EQUAL(source - bytes, sizeof(bytes));
    EXPECT_EQUAL(in8(SERIAL_SCRATCH), 0x5a);
}

static void cpu_string_input(void)
{
    static uint8_t bytes[3000];
    uint8_t *target = bytes;
    size_t count = sizeof(bytes) - 1;

    out8(SERIAL_SCRATCH, 0xc3);
    __asm__ volatile("rep insb" : "+D"(target), "+c"(count) : "d"(SERIAL_SCRATCH) : "memory");
    EXPECT_EQUAL(count, 0);
    EXPECT_EQUAL(target - bytes, sizeof(bytes) - 1);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        EXPECT_EQUAL(bytes[i], i < sizeof(bytes) - 1 ? 0xc3 : 0);
    }
    /* Backwards, two bytes at a time, from where nothing answers. */
    count = 4;
    target = bytes + 8;
    __asm__ volatile("std; rep insw; cld"
                     : "+D"(target), "+c"(count)
                     : "d"(NOTHING_THERE)
                     : "memory");
    EXPECT_EQUAL(target - bytes, 0);
    EXPECT_EQUAL(bytes[0], 0xc3);
    EXPECT_EQUAL(bytes[2] & bytes[9], 0xff);
    EXPECT_EQUAL(bytes[10], 0xc3);
}

static void cpu_unknown_ports(void)
{
    out8(NOTHING_THERE, 1);
    out16(NOTHING_THERE, 1);
    out32(NOTHING_THERE, 1);
    EXPECT_EQUAL(in8(NOTHING_THERE), 0xff);
    EXPECT_EQUAL(in16(NOTHING_THERE), 0xffff);
    EXPECT_EQUAL(in32(NOTHING_THERE), 0xffffffff);
    EXPECT_EQUAL(in16(0xffff), 0xffff);
}

static void cpu_unknown_memory(void)
{
    for (unsigned size = 1; size <= 8; size *= 2) {
        mmio_write(NOTHING_AT, size, 0);
        EXPECT_EQUAL(mmio_read(NOTHING_AT, size), UINT64_MAX >> (64 - 8 * size));
    }
}

static bool same(struct cpuid_leaf a, struct cpuid_leaf b)
{
    return a.eax == b.eax && a.ebx == b.ebx && a.ecx == b.ecx && a.edx == b.edx;
}

/* Asked twice, CPUID says the same; and what it says first is a hypervisor's bit and signature. */
static void cpu_identification(void)
{
    static const uint32_t firsts[] = {0, 0x40000000, 0x80000000};

    for (size_t i = 0; i < ARRAY_SIZE(firsts); i++) {
        uint32_t last = cpuid(firsts[i], 0).eax;

        EXPECT(last >= firsts[i] && last < firsts[i] + 0x100);
        for (uint32_t leaf = firsts[i]; leaf <= last; leaf++) {
            for (uint32_t subleaf = 0; subleaf < 3; subleaf++) {
                EXPECT(same(cpuid(leaf, subleaf), cpuid(leaf, subleaf)));
            }
        }
    }
    EXPECT_EQUAL(cpuid(1, 0).ecx >> 31, 1);
    EXPECT_EQUAL(cpuid(1, 0).ecx >> 5 & 1, 0);          /* VMX */
    EXPECT_EQUAL(cpuid(0x80000001, 0).ecx >> 2 & 1, 0); /* SVM */
    EXPECT_EQUAL(cpuid(0x40000000, 0).ebx, 0x4b4d564b);
    EXPECT_EQUAL(cpuid(0x40001234, 0).eax, 0);
}

static void cpu_unknown_msrs(void)
{
    uint64_t value = 0;

    EXPECT_EQUAL(try_read_msr(MSR_NONE, &value), GENERAL_PROTECTION);
    EXPECT_EQUAL(try_write_msr(MSR_NONE, 0), GENERAL_PROTECTION);
    EXPECT_EQUAL(try_read_msr(0xffffffff, &value), GENERAL_PROTECTION);
    EXPECT_EQUAL(try_read_msr(MSR_APIC_BASE, &value), NO_FAULT);
    EXPECT_EQUAL(value, 0xfee00900);
    EXPECT_EQUAL(try_write_msr(MSR_APIC_BASE, UINT64_MAX), GENERAL_PROTECTION);
}

static void cpu_virtualisation_msrs(void)
{
    static const uint32_t hidden[] = {0x480, 0x48b, 0xc0010114, 0xc0010117};
    uint64_t value = 0;

    for (size_t i = 0; i < ARRAY_SIZE(hidden); i++) {
        EXPECT_EQUAL(try_read_msr(hidden[i], &value), GENERAL_PROTECTION);
        EXPECT_EQUAL(try_write_msr(hidden[i], 1), GENERAL_PROTECTION);
    }
}

/* QEMU's TCG takes values of CR0 that processors refuse; a guest with them cannot go on. */
static bool processor_checks_cr0(void)
{
    return cpuid(0x80000002, 0).eax != 0x554d4551; /* "QEMU" */
}

static void cpu_control_registers(void)
{
    uint64_t cr0 = read_cr0();
    uint64_t cr4 = read_cr4();

    if (processor_checks_cr0()) {
        EXPECT_EQUAL(try_write_cr0(cr0 & ~CR0_PE), GENERAL_PROTECTION);
        EXPECT_EQUAL(try_write_cr0((cr0 & ~CR0_CD) | CR0_NW), GENERAL_PROTECTION);
        EXPECT_EQUAL(try_write_cr0(cr0 | 1ULL << 32), GENERAL_PROTECTION);
        EXPECT_EQUAL(try_write_cr0(cr0 & ~CR0_PG), GENERAL_PROTECTION); /* from 64-bit mode */
    }
    EXPECT_EQUAL(try_write_cr4(cr4 & ~CR4_PAE), GENERAL_PROTECTION);
    EXPECT_EQUAL(try_write_cr4(cr4 | 1ULL << 13), GENERAL_PROTECTION); /* VMXE */
    EXPECT_EQUAL(try_write_cr4(cr4 | 1ULL << 63), GENERAL_PROTECTION);
    EXPECT_EQUAL(try_write_cr0(cr0), NO_FAULT);
    EXPECT_EQUAL(try_write_cr4(cr4), NO_FAULT);
    EXPECT_EQUAL(read_cr0(), cr0);
    EXPECT_EQUAL(read_cr4(), cr4);
    /* A guest may switch its caches off, as far as it can see. */
    EXPECT_EQUAL(try_write_cr0(cr0 | CR0_CD | CR0_NW), NO_FAULT);
    EXPECT_EQUAL(read_cr0(), cr0 | CR0_CD | CR0_NW);
    EXPECT_EQUAL(try_write_cr0((cr0 | CR0_CD) & ~CR0_NW), NO_FAULT);
    EXPECT_EQUAL(read_cr0(), (cr0 | CR0_CD) & ~CR0_NW);
    EXPECT_EQUAL(try_write_cr0(cr0), NO_FAULT);
    EXPECT_EQUAL(read_cr0(), cr0);
}

static void cpu_extended_state(void)
{
    const uint32_t has_xsave = 1U << 26;

    if ((cpuid(1, 0).ecx & has_xsave) == 0) {
        EXPECT_EQUAL(try_write_cr4(read_cr4() | CR4_OSXSAVE), GENERAL_PROTECTION);
        return;
    }
    EXPECT_EQUAL(try_xsetbv(0, 1), UNDEFINED); /* before OSXSAVE */
    EXPECT_EQUAL(try_write_cr4(read_cr4() | CR4_OSXSAVE), NO_FAULT);
    EXPECT_EQUAL(cpuid(1, 0).ecx >> 27 & 1, 1);
    EXPECT_EQUAL(try_xsetbv(0, 3), NO_FAULT);
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    EXPECT_EQUAL(low, 3);
    EXPECT_EQUAL(high, 0);
    EXPECT_EQUAL(try_xsetbv(0, 0), GENERAL_PROTECTION); /* x87 must be on */
    EXPECT_EQUAL(try_xsetbv(0, 5), GENERAL_PROTECTION); /* AVX without SSE */
    EXPECT_EQUAL(try_xsetbv(0, 1ULL << 62 | 1), GENERAL_PROTECTION);
    EXPECT_EQUAL(try_xsetbv(1, 1), GENERAL_PROTECTION);
    EXPECT_EQUAL(try_xsetbv(0, 1), NO_FAULT);
    EXPECT_EQUAL(try_write_cr4(read_cr4() & ~CR4_OSXSAVE), NO_FAULT);
}

static void cpu_undefined_instruction(void)
{
    EXPECT_EQUAL(try_undefined(), UNDEFINED);
}

/* The instructions of virtualisation itself are not there. */
static void cpu_no_nested_virtualisation(void)
{
    EXPECT_EQUAL(try_vmxon(), UNDEFINED);
    EXPECT_EQUAL(try_vmrun(), UNDEFINED);
}

/* The local APIC's timer wakes a CPU that sleeps. */
static void cpu_timer_ends_halt(void)
{
    unsigned before = interrupts(TIMER_VECTOR);

    mmio_write(LOCAL_APIC + 0x3e0, 4, 0xb); /* divide by 1 */
    mmio_write(LOCAL_APIC + 0x320, 4, TIMER_VECTOR);
    __asm__ volatile("cli");
    mmio_write(LOCAL_APIC + 0x380, 4, 1000000);
    __asm__ volatile("sti; hlt");
    EXPECT_EQUAL(interrupts(TIMER_VECTOR), before + 1);
    mmio_write(LOCAL_APIC + 0x320, 4, 1U << 16);
}

static void cpu_interrupt_to_itself(void)
{
    unsigned before = interrupts(IPI_VECTOR);

    mmio_write(LOCAL_APIC + 0x300, 4, 1U << 18 | IPI_VECTOR);
    EXPECT(await_interrupts(IPI_VECTOR, before + 1));
    EXPECT_EQUAL(interrupts(IPI_VECTOR), before + 1);
}

/* Accesses to the interrupt controllers that no manual allows do no harm. */
static void cpu_odd_apic_accesses(void)
{
    for (uint64_t offset = 0x20; offset < 0x40; offset++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            (void)mmio_read(LOCAL_APIC + offset, size);
            (void)mmio_read(IO_APIC + offset - 0x20, size);
        }
    }
    EXPECT_EQUAL(mmio_read(LOCAL_APIC + 0x20, 4), 0);
    io_apic_write(0xff, 0xffffffff);
    EXPECT_EQUAL(io_apic_read(1) >> 16 & 0xff, 23);
}

const struct bare_case cpu_cases[] = {
    CASE_ANYWHERE(cpu_string_output),
    CASE_ANYWHERE(cpu_string_input),
    CASE_ANYWHERE(cpu_unknown_ports),
    CASE_ANYWHERE(cpu_unknown_memory),
    CASE_ANYWHERE(cpu_identification),
    CASE_ANYWHERE(cpu_unknown_msrs),
    CASE_ANYWHERE(cpu_virtualisation_msrs),
    CASE_ANYWHERE(cpu_control_registers),
    CASE_ANYWHERE(cpu_extended_state),
    CASE_ANYWHERE(cpu_undefined_instruction),
    CASE_ANYWHERE(cpu_no_nested_virtualisation),
    CASE_ANYWHERE(cpu_timer_ends_halt),
    CASE_ANYWHERE(cpu_interrupt_to_itself),
    CASE_ANYWHERE(cpu_odd_apic_accesses),
    CASE_END,
};
