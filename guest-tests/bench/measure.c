/*
 * A guest without an operating system that measures what single instructions cost in ring 0.
 *
 * It shares start and machine with the bare test guest, and prints its figures as exit-bench does.
 * HLT is measured with an interrupt pending that ends it at once: nobody sleeps. The same without
 * HLT is what the interrupt costs.
 */
#include "guest-tests/bare/machine.h"

#define REPEATS 300
#define WARM_UP 20

#define UART_SCRATCH  0x3ff
#define MSR_APIC_BASE 0x1b
#define APIC_ICR_LOW  0x300
#define ICR_SELF      0x40000U

/* What start.asm calls. */
void bare_main(uint32_t magic, uint64_t information);

static void nothing(void)
{
}

static void do_cpuid(void)
{
    (void)cpuid(0, 0);
}

static void do_port_read(void)
{
    (void)in8(UART_SCRATCH);
}

static void do_msr_read(void)
{
    uint64_t value;

    (void)try_read_msr(MSR_APIC_BASE, &value);
}

/* An interrupt that is taken as soon as `sti` lets it. */
static void make_pending(void)
{
    __asm__ volatile("cli");
    mmio_write(LOCAL_APIC + APIC_ICR_LOW, 4, ICR_SELF | IPI_VECTOR);
}

static void do_interrupt(void)
{
    __asm__ volatile("sti\n\tnop" : : : "memory");
}

static void do_halt(void)
{
    __asm__ volatile("sti\n\thlt" : : : "memory");
}

struct measurement {
    const char *name;
    void (*prepare)(void);
    void (*run)(void);
};

static void sort(uint64_t *samples)
{
    for (unsigned i = 1; i < REPEATS; i++) {
        uint64_t sample = samples[i];
        unsigned place = i;

        for (; place > 0 && samples[place - 1] > sample; place--) {
            samples[place] = samples[place - 1];
        }
        samples[place] = sample;
    }
}

static void measure(const struct measurement *measurement)
{
    static uint64_t samples[REPEATS];

    for (unsigned i = 0; i < WARM_UP + REPEATS; i++) {
        measurement->prepare();

        uint64_t before = ticks();

        measurement->run();
        samples[i < WARM_UP ? 0 : i - WARM_UP] = ticks() - before;
    }
    sort(samples);
    print("seedvisor-guest: exit-bench ");
    print(measurement->name);
    print(" min ");
    print_number(samples[0]);
    print(" median ");
    print_number(samples[REPEATS / 2]);
    print(" p99 ");
    print_number(samples[REPEATS * 99 / 100]);
    print(" ticks\n");
}

void bare_main(uint32_t magic, uint64_t information)
{
    static const struct measurement measurements[] = {
        {"bare-cpuid", nothing, do_cpuid},       {"bare-port-read", nothing, do_port_read},
        {"bare-msr-read", nothing, do_msr_read}, {"bare-interrupt", make_pending, do_interrupt},
        {"bare-halt", make_pending, do_halt},
    };

    (void)magic;
    (void)information;
    machine_start();
    for (unsigned i = 0; i < sizeof(measurements) / sizeof(measurements[0]); i++) {
        measure(&measurements[i]);
    }
    print("seedvisor-guest: bench done\n");
    debug_exit(0);
}
