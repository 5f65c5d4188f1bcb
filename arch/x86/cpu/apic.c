/* The machine's own local APICs (SDM Vol. 3A, chapter 11). */
#include "arch/x86/cpu/apic.h"

#include "arch/x86/cpu/exception.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"

/* Register offsets in the page; an x2APIC's MSR is 0x800 + offset / 16 (SDM 3A, table 11-6). */
#define APIC_ID                0x020U
#define APIC_TASK_PRIORITY     0x080U
#define APIC_EOI               0x0b0U
#define APIC_SPURIOUS          0x0f0U
#define APIC_COMMAND_LOW       0x300U
#define APIC_COMMAND_HIGH      0x310U
#define APIC_LVT_CMCI          0x2f0U
#define APIC_LVT_TIMER         0x320U
#define APIC_LVT_THERMAL       0x330U
#define APIC_LVT_PERFORMANCE   0x340U
#define APIC_LVT_LINT0         0x350U
#define APIC_LVT_LINT1         0x360U
#define APIC_LVT_ERROR         0x370U
#define APIC_TIMER_INITIAL     0x380U
#define APIC_TIMER_CURRENT     0x390U
#define APIC_TIMER_DIVIDE      0x3e0U
#define APIC_VERSION           0x030U
#define LVT_MASKED             (1U << 16)
#define LVT_DEADLINE           (2U << 17)
#define SPURIOUS_ENABLE        (1U << 8)
#define COMMAND_PENDING        (1U << 12)
#define TIMER_DIVIDE_BY_1      0xbU
#define CPUID_X2APIC           (1U << 21)
#define CPUID_TSC_DEADLINE     (1U << 24)
#define CALIBRATION_PER_SECOND 500U /* 2 ms: long enough for 0.1 %, short at boot */

/* Properties of the machine, the same for all CPUs; set once at start. */
static bool x2apic;
static bool deadline_timer;
static uint64_t counts_per_2_32_ticks; /* timer counts in 2^32 TSC ticks */

static uint32_t read_register(uint32_t offset)
{
    if (x2apic) {
        return (uint32_t)read_msr(MSR_X2APIC_FIRST + offset / 16);
    }
    uintptr_t page = read_msr(MSR_APIC_BASE) & APIC_BASE_ADDRESS;

    return *(volatile uint32_t *)(page + offset);
}

static void write_register(uint32_t offset, uint32_t value)
{
    if (x2apic) {
        write_msr(MSR_X2APIC_FIRST + offset / 16, value);
        return;
    }
    uintptr_t page = read_msr(MSR_APIC_BASE) & APIC_BASE_ADDRESS;

    *(volatile uint32_t *)(page + offset) = value;
}

uint64_t apic_register_page(void)
{
    return x2apic ? 0 : read_msr(MSR_APIC_BASE) & APIC_BASE_ADDRESS;
}

uint32_t apic_id(void)
{
    return x2apic ? read_register(APIC_ID) : cpuid(1, 0).ebx >> 24;
}

static void mask_local_interrupts(void)
{
    static const struct {
        uint16_t offset;
        uint8_t index; /* LVT number, for APICs that have fewer */
    } locals[] = {{APIC_LVT_LINT0, 1},   {APIC_LVT_LINT1, 2},       {APIC_LVT_ERROR, 3},
                  {APIC_LVT_THERMAL, 5}, {APIC_LVT_PERFORMANCE, 4}, {APIC_LVT_CMCI, 6}};
    unsigned last = read_register(APIC_VERSION) >> 16 & 0xff;

    for (unsigned i = 0; i < sizeof(locals) / sizeof(locals[0]); i++) {
        if (locals[i].index <= last) {
            write_register(locals[i].offset, LVT_MASKED);
        }
    }
}

void apic_enable(void)
{
    uint32_t features = cpuid(1, 0).ecx;

    if ((features & CPUID_X2APIC) != 0) {
        write_msr(MSR_APIC_BASE, read_msr(MSR_APIC_BASE) | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
        x2apic = true;
    }
    deadline_timer = (features & CPUID_TSC_DEADLINE) != 0;
    write_register(APIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
    mask_local_interrupts();
    write_register(APIC_TASK_PRIORITY, 0);
    write_register(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
    write_register(APIC_LVT_TIMER, VECTOR_HOST_TIMER | (deadline_timer ? LVT_DEADLINE : 0));
    if (deadline_timer) {
        /* The mode must be set before the first deadline (SDM Vol. 3A, 11.5.4.1). */
        __asm__ volatile("mfence" : : : "memory");
    }
}

void apic_mask_legacy(void)
{
    port_write8(0xa1, 0xff);
    port_write8(0x21, 0xff);
}

void apic_calibrate(uint64_t tsc_frequency)
{
    if (deadline_timer) {
        return;
    }
    uint64_t start = read_tsc();
    uint64_t ticks = tsc_frequency / CALIBRATION_PER_SECOND;

    write_register(APIC_LVT_TIMER, VECTOR_HOST_TIMER | LVT_MASKED);
    write_register(APIC_TIMER_INITIAL, UINT32_MAX);
    while (read_tsc() - start < ticks) {
        pause();
    }
    uint64_t counts = UINT32_MAX - read_register(APIC_TIMER_CURRENT);

    write_register(APIC_TIMER_INITIAL, 0);
    write_register(APIC_LVT_TIMER, VECTOR_HOST_TIMER);
    counts_per_2_32_ticks = (counts << 32) / (ticks + 1);
}

void apic_timer_arm(uint64_t deadline)
{
    if (deadline_timer) {
        write_msr(MSR_TSC_DEADLINE, deadline);
        return;
    }
    uint64_t now = read_tsc();
    uint64_t ticks = deadline > now ? deadline - now : 0;

    if (ticks > UINT32_MAX) {
        ticks = UINT32_MAX;
    }
    uint64_t counts = ticks * counts_per_2_32_ticks >> 32;

    if (counts > UINT32_MAX) {
        counts = UINT32_MAX;
    }
    /* A count of 0 would stop the timer instead of firing at once. */
    write_register(APIC_TIMER_INITIAL, (uint32_t)counts + (counts < UINT32_MAX ? 1 : 0));
}

void apic_timer_disarm(void)
{
    if (deadline_timer) {
        write_msr(MSR_TSC_DEADLINE, 0);
    } else {
        write_register(APIC_TIMER_INITIAL, 0);
    }
}

void apic_end_of_interrupt(void)
{
    write_register(APIC_EOI, 0);
}

void apic_send(uint32_t destination, uint32_t command)
{
    if (x2apic) {
        /* What the interrupt tells of may else be seen after it (SDM Vol. 3A, 11.12.3). */
        fence();
        write_msr(MSR_X2APIC_FIRST + APIC_COMMAND_LOW / 16, (uint64_t)destination << 32 | command);
        return;
    }
    while ((read_register(APIC_COMMAND_LOW) & COMMAND_PENDING) != 0) {
        pause();
    }
    write_register(APIC_COMMAND_HIGH, destination << 24);
    write_register(APIC_COMMAND_LOW, command);
}
