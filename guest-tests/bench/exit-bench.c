// Measures from inside the guest what instructions cost that may go to its hypervisor: ticks of one
// CPUID, one port access, one access to a device's register, one hypercall.
//
// Runs as root with iomem=relaxed on the kernel's command line, which lets /dev/mem reach registers
// that a driver has claimed. The same program serves for any virtual machine monitor: it finds the
// entropy device by its ACPI name (LNRO0005) and virtio device ID.
#define _GNU_SOURCE
#include <cpuid.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest-tests/bench/ticks.h"

#define REPEATS 300
// More than a page fault or a timer interrupt in the first rounds.
#define WARM_UP 20

#define UART_SCRATCH         0x3ff // COM1's scratch register: reading and writing it means nothing
#define IO_APIC              0xfec00000UL
#define PAGE                 4096UL
#define VIRTIO_DEVICE_ID     (0x008 / 4)
#define VIRTIO_INTERRUPT_ACK (0x064 / 4)
#define ENTROPY_DEVICE       4

static volatile uint32_t *io_apic;
static volatile uint32_t *entropy_device;
static bool amd;
static sigjmp_buf after_fault;
static volatile bool faulted;

static void do_cpuid(void)
{
    unsigned a;
    unsigned b;
    unsigned c;
    unsigned d;

    __cpuid(0, a, b, c, d);
}

static void do_port_read(void)
{
    (void)inb(UART_SCRATCH);
}

static void do_port_write(void)
{
    outb(0, UART_SCRATCH);
}

static void do_io_apic_read(void)
{
    (void)io_apic[0];
}

static void do_device_read(void)
{
    (void)entropy_device[VIRTIO_DEVICE_ID];
}

// Acknowledges no interrupt.
static void do_device_write(void)
{
    entropy_device[VIRTIO_INTERRUPT_ACK] = 0;
}

// A hypercall may be refused by #UD, which Linux turns into a signal; do_undefined() then tells
// how much of the time is Linux's.
static void do_hypercall(void)
{
    if (sigsetjmp(after_fault, 1) == 0) {
        // No hypervisor's number of anything.
        if (amd) {
            __asm__ volatile("vmmcall" : : "a"(0x5eed0000) : "memory");
        } else {
            __asm__ volatile("vmcall" : : "a"(0x5eed0000) : "memory");
        }
    }
}

static void do_undefined(void)
{
    if (sigsetjmp(after_fault, 1) == 0) {
        __asm__ volatile("ud2");
    }
}

static void on_fault(int number)
{
    (void)number;
    faulted = true;
    siglongjmp(after_fault, 1);
}

static volatile uint32_t *map(int memory, uint64_t address)
{
    uint64_t page = address & ~(PAGE - 1);
    char *mapped = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, (off_t)page);

    return mapped == MAP_FAILED ? NULL : (volatile uint32_t *)(mapped + (address - page));
}

// The entropy device's registers, or NULL.
static volatile uint32_t *find_entropy_device(int memory)
{
    volatile uint32_t *found = NULL;
    char line[256];
    FILE *list = fopen("/proc/iomem", "r");

    while (list != NULL && found == NULL && fgets(line, sizeof(line), list) != NULL) {
        if (strstr(line, "LNRO0005") != NULL) {
            volatile uint32_t *registers = map(memory, strtoull(line, NULL, 16));

            if (registers != NULL && registers[VIRTIO_DEVICE_ID] == ENTROPY_DEVICE) {
                found = registers;
            }
        }
    }
    if (list != NULL) {
        fclose(list);
    }
    return found;
}

// An instruction that is refused goes by a name of its own.
static void measure(const char *name, void (*instruction)(void))
{
    static uint64_t samples[REPEATS];

    faulted = false;

    for (unsigned i = 0; i < WARM_UP; i++) {
        instruction();
    }
    for (unsigned i = 0; i < REPEATS; i++) {
        uint64_t before = ticks();

        instruction();
        samples[i] = ticks() - before;
    }
    sort_samples(samples, REPEATS);
    printf("seedvisor-guest: exit-bench %s%s min %" PRIu64 " median %" PRIu64 " p99 %" PRIu64
           " ticks\n",
           name, faulted ? "-refused" : "", samples[0], percentile(samples, REPEATS, 50),
           percentile(samples, REPEATS, 99));
}

static void find_vendor(void)
{
    unsigned a;
    unsigned b;
    unsigned c;
    unsigned d;

    __cpuid(0, a, b, c, d);
    amd = b == signature_AMD_ebx;
}

static int refuse(const char *what)
{
    fprintf(stderr, "exit-bench: %s\n", what);
    return 1;
}

int main(void)
{
    int memory = open("/dev/mem", O_RDWR | O_SYNC);

    if (memory < 0 || ioperm(UART_SCRATCH, 1, 1) != 0) {
        return refuse("no access to /dev/mem or to ports: this is for root");
    }
    io_apic = map(memory, IO_APIC);
    entropy_device = find_entropy_device(memory);
    if (io_apic == NULL || entropy_device == NULL) {
        return refuse("no entropy device to be reached: is iomem=relaxed on the command line?");
    }
    find_vendor();
    signal(SIGILL, on_fault);
    measure("cpuid", do_cpuid);
    measure("port-read", do_port_read);
    measure("port-write", do_port_write);
    measure("io-apic-read", do_io_apic_read);
    measure("device-read", do_device_read);
    measure("device-write", do_device_write);
    measure("undefined", do_undefined);
    measure("hypercall", do_hypercall);
    return 0;
}
