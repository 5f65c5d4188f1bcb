/* Events that a guest must meet as often, and where, as a processor would bring them about. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/machine.h"

#define APIC_ICR_LOW    (LOCAL_APIC + 0x300)
#define APIC_ICR_HIGH   (LOCAL_APIC + 0x310)
#define ICR_NMI         0x400U
#define VECTOR_DEBUG    1U
#define VECTOR_NMI      2U
#define RFLAGS_TF       (1UL << 8)
#define DR6_SINGLE_STEP (1UL << 14)
#define DR6_SETTLED     0xffff0ff0UL

static volatile unsigned nmis, depth, deepest;

/* To itself by its own ID: the shorthand for that knows fixed interrupts only. */
static void send_nmi(void)
{
    mmio_write(APIC_ICR_HIGH, 4, (uint32_t)mmio_read(LOCAL_APIC + 0x20, 4));
    mmio_write(APIC_ICR_LOW, 4, ICR_NMI);
}

/* The first sends another, and leaves the guest often enough for it to come too early. */
static bool take_nmi(struct exception *exception)
{
    if (exception->vector != VECTOR_NMI) {
        return false;
    }
    depth++;
    deepest = depth > deepest ? depth : deepest;
    nmis++;
    if (nmis == 1) {
        send_nmi();
        for (unsigned i = 0; i < 100; i++) {
            (void)cpuid(0, 0);
        }
    }
    depth--;
    return true;
}

static void event_nmi_during_nmi(void)
{
    uint64_t start = ticks();

    nmis = 0;
    depth = 0;
    deepest = 0;
    on_exception(take_nmi);
    send_nmi();
    while (nmis < 2 && !too_long_since(start)) {
    }
    for (unsigned i = 0; i < 100; i++) {
        (void)cpuid(0, 0);
    }
    on_exception(NULL);
    EXPECT_EQUAL(nmis, 2);
    EXPECT_EQUAL(deepest, 1);
}

#define STEPS 4U

static volatile unsigned steps;
static volatile uint64_t stepped_to[STEPS], reasons[STEPS];

static bool take_step(struct exception *exception)
{
    uint64_t dr6 = 0;

    if (exception->vector != VECTOR_DEBUG || steps == STEPS) {
        return false;
    }
    __asm__ volatile("movq %%dr6, %0" : "=r"(dr6));
    __asm__ volatile("movq %0, %%dr6" : : "r"(DR6_SETTLED));
    stepped_to[steps] = exception->rip;
    reasons[steps] = dr6;
    steps++;
    if (steps == STEPS) {
        exception->rflags &= ~RFLAGS_TF;
    }
    return true;
}

/* Single steps end behind each instruction, whether the guest did it or left for it. */
static void event_single_steps(void)
{
    uint64_t expected[STEPS] = {0};
    uint32_t a = 0;
    uint32_t c = 0;

    steps = 0;
    on_exception(take_step);
    __asm__ volatile("movq $1f, (%[expected])\n\t"
                     "movq $2f, 8(%[expected])\n\t"
                     "movq $3f, 16(%[expected])\n\t"
                     "movq $4f, 24(%[expected])\n\t"
                     "pushfq\n\t"
                     "orq %[tf], (%%rsp)\n\t"
                     "popfq\n\t"
                     "cpuid\n"
                     "1:\n\t"
                     "nop\n"
                     "2:\n\t"
                     "inb $0xe0, %%al\n"
                     "3:\n\t"
                     "nop\n"
                     "4:"
                     : "+a"(a), "+c"(c)
                     : [expected] "r"(expected), [tf] "i"(RFLAGS_TF)
                     : "rbx", "rdx", "memory", "cc");
    on_exception(NULL);
    EXPECT_EQUAL(steps, STEPS);
    for (unsigned i = 0; i < STEPS; i++) {
        EXPECT_EQUAL(stepped_to[i], expected[i]);
        EXPECT_EQUAL(reasons[i] & DR6_SINGLE_STEP, DR6_SINGLE_STEP);
    }
}

const struct bare_case event_cases[] = {
    CASE_ANYWHERE(event_nmi_during_nmi),
    CASE_ANYWHERE(event_single_steps),
    CASE_END,
};
