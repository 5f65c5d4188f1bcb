/* What the cases need of the machine: ports, memory-mapped registers, interrupts, a second CPU. */
#ifndef GUEST_TESTS_BARE_MACHINE_H
#define GUEST_TESTS_BARE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEBUG_EXIT_PORT 0xf4
#define FW_CFG_PORT     0x510
#define LOCAL_APIC      0xfee00000UL
#define IO_APIC         0xfec00000UL
#define VIRTIO_PIN      16
#define VIRTIO_VECTOR   0x50
#define TIMER_VECTOR    0x60
#define IPI_VECTOR      0x70

#define PAGE_SIZE 4096UL

/* Interrupt table, local APIC on, interrupts enabled. */
void machine_start(void);

/* For the message about an exception that nobody expects. */
void machine_case_begins(const char *name);

/* On the serial port. */
void print(const char *text);
void print_number(uint64_t value);
void print_hex(uint64_t value);

/* Ends the guest. */
_Noreturn void debug_exit(uint32_t value);

/* Of the machine, at least 1: asked of the firmware configuration device. */
unsigned cpu_count(void);
uint64_t fw_cfg(uint16_t selector, unsigned bytes);

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint16_t in16(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* Plain MOVs of 1, 2, 4 or 8 bytes, at any address. */
uint64_t mmio_read(uint64_t address, unsigned size);
void mmio_write(uint64_t address, unsigned size, uint64_t value);

struct cpuid_leaf {
    uint32_t eax, ebx, ecx, edx;
};

struct cpuid_leaf cpuid(uint32_t leaf, uint32_t subleaf);

/* What an instruction that may fault does: the vector, or NO_FAULT. */
#define NO_FAULT 256U
unsigned try_read_msr(uint32_t index, uint64_t *value);
unsigned try_write_msr(uint32_t index, uint64_t value);
unsigned try_xsetbv(uint32_t index, uint64_t value);
unsigned try_write_cr0(uint64_t value);
unsigned try_write_cr4(uint64_t value);
unsigned try_undefined(void);
unsigned try_vmxon(void);
unsigned try_vmrun(void);

/* What a processor pushes for an exception, behind the vector. */
struct exception {
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/*
 * Has exceptions, NMIs too, told to a case that expects them more than once, or NULL for none; it
 * says whether it knew what to do: then the guest goes on where the exception says.
 */
void on_exception(bool (*handler)(struct exception *exception));

/* How often a vector's interrupt came, on any CPU. */
unsigned interrupts(unsigned vector);

/* Waits until it has come `count` times; false if that takes too long. */
bool await_interrupts(unsigned vector, unsigned count);

/* How long a case waits for what must come. */
bool too_long_since(uint64_t start);

void io_apic_write(uint32_t index, uint32_t value);
uint32_t io_apic_read(uint32_t index);

/* The entropy device's interrupt on this CPU, edge-triggered, or masked. */
void virtio_interrupt(bool on);

/* Runs `work` on the second CPU, which is started when it is needed first; false if it is dead. */
bool second_cpu_run(void (*work)(void));

/*
 * Whether the fault that it caused in real mode, right after it was started, came to its handler as
 * real mode has it: without an error code.
 */
bool second_cpu_faulted_well(void);

/* Tells the work to end and waits for it; false if it does not. */
bool second_cpu_stop(void);

/* For the work: whether to go on. */
bool second_cpu_wanted(void);

#endif
