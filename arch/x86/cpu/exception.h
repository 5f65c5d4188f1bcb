/* Exceptions and interrupts taken by the hypervisor itself. */
#ifndef ARCH_X86_CPU_EXCEPTION_H
#define ARCH_X86_CPU_EXCEPTION_H

#include <stdbool.h>
#include <stdint.h>

#define EXCEPTION_STUB_SIZE 16

/* Vectors of the interrupts we use; all above the exceptions and below the spurious vector. */
#define VECTOR_HOST_TIMER 0x40
#define VECTOR_HOST_KICK  0x41
#define VECTOR_SPURIOUS   0xff

/* What the stubs in exceptions.asm leave on the stack. */
struct exception_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector;
    uint64_t error_code; /* 0 where the processor gives none */
    uint64_t rip, cs, rflags, rsp, ss;
};

/* 256 entry points of EXCEPTION_STUB_SIZE bytes each (exceptions.asm). */
extern const uint8_t exception_stubs[];

/* Reloads CS and the data segment registers after LGDT (exceptions.asm). */
void load_segments(uint64_t code, uint64_t data);

/* Sets bits of an MSR that may be absent; false if it is, or refuses them (exceptions.asm). */
bool msr_set_bits(uint32_t msr, uint64_t bits);

/*
 * Called by every stub: counts NMIs, acknowledges interrupts, and panics on an exception that
 * msr_set_bits() does not expect.
 */
void exception_handle(struct exception_frame *frame);

/* vmm/panic.h's panic() for an exception, whose registers it prints. */
_Noreturn void panic_exception(const struct exception_frame *frame);

#endif
