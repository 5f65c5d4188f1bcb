/* The instructions that C has no words for, one function each. */
#ifndef ARCH_X86_CPU_INSTRUCTIONS_H
#define ARCH_X86_CPU_INSTRUCTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu/registers.h"

static inline struct cpuid_registers cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_registers r;

    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

static inline uint64_t read_msr(uint32_t index)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}

static inline void write_msr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

static inline uint64_t read_tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

/* All before it is done, loads and stores too; on AMD MFENCE waits for more than LFENCE does. */
static inline void fence(void)
{
    __asm__ volatile("mfence; lfence" : : : "memory");
}

/* The counter when all before it is done: RDTSC waits for nothing (SDM Vol. 2B, RDTSC). */
static inline uint64_t read_tsc_in_order(void)
{
    fence();
    return read_tsc();
}

static inline void pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

/* No instruction after it is executed, in speculation either, before all older ones are done. */
static inline void load_fence(void)
{
    __asm__ volatile("lfence" : : : "memory");
}

static inline void interrupts_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}

/* An NMI ends a HLT. */
static inline _Noreturn void halt_for_good(void)
{
    for (;;) {
        __asm__ volatile("cli; hlt" : : : "memory");
    }
}

/* STI holds interrupts off for one more instruction, so nothing slips between it and HLT. */
static inline void interrupts_on_and_halt(void)
{
    __asm__ volatile("sti; hlt" : : : "memory");
}

/* Takes whatever interrupt waits; the NOP is the one instruction that STI still protects. */
static inline void interrupts_on_briefly(void)
{
    __asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

static inline void write_xcr0(uint64_t value)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static inline uint64_t read_xcr0(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static inline uint8_t port_read8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %w1, %b0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void port_write8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %b0, %w1" : : "a"(value), "Nd"(port));
}

static inline void port_write32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %w1" : : "a"(value), "Nd"(port));
}

#define DEFINE_CONTROL_REGISTER(name)                                                              \
    static inline uint64_t read_##name(void)                                                       \
    {                                                                                              \
        uint64_t value;                                                                            \
                                                                                                   \
        __asm__ volatile("mov %%" #name ", %0" : "=r"(value));                                     \
        return value;                                                                              \
    }                                                                                              \
    static inline void write_##name(uint64_t value)                                                \
    {                                                                                              \
        __asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory");                            \
    }

DEFINE_CONTROL_REGISTER(cr0)
DEFINE_CONTROL_REGISTER(cr2)
DEFINE_CONTROL_REGISTER(cr3)
DEFINE_CONTROL_REGISTER(cr4)
DEFINE_CONTROL_REGISTER(dr0)
DEFINE_CONTROL_REGISTER(dr1)
DEFINE_CONTROL_REGISTER(dr2)
DEFINE_CONTROL_REGISTER(dr3)
DEFINE_CONTROL_REGISTER(dr6)

/* The memory operand of LGDT, LIDT, SGDT and SIDT. */
struct descriptor_table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static inline void load_gdt(const struct descriptor_table *table)
{
    __asm__ volatile("lgdt %0" : : "m"(*table));
}

static inline void load_idt(const struct descriptor_table *table)
{
    __asm__ volatile("lidt %0" : : "m"(*table));
}

static inline void store_gdt(struct descriptor_table *table)
{
    __asm__ volatile("sgdt %0" : "=m"(*table));
}

static inline void store_idt(struct descriptor_table *table)
{
    __asm__ volatile("sidt %0" : "=m"(*table));
}

static inline void load_task_register(uint16_t selector)
{
    __asm__ volatile("ltr %w0" : : "r"(selector));
}

#endif
