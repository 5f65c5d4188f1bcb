/* Exceptions and interrupts taken by the hypervisor itself. */
#include "arch/x86/cpu/exception.h"

#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"
#include "vmm/log.h"
#include "vmm/panic.h"

#define EXCEPTION_VECTORS 32

/* The instructions of msr_set_bits(), and where it goes on when one of them faults. */
extern const uint8_t msr_set_bits_try[], msr_set_bits_fail[];

static void print_frame(const struct exception_frame *frame)
{
    log_line("RIP %016lx RSP %016lx RFLAGS %016lx", frame->rip, frame->rsp, frame->rflags);
    log_line("RAX %016lx RBX %016lx RCX    %016lx", frame->rax, frame->rbx, frame->rcx);
    log_line("RDX %016lx RSI %016lx RDI    %016lx", frame->rdx, frame->rsi, frame->rdi);
    log_line("RBP %016lx R8  %016lx R9     %016lx", frame->rbp, frame->r8, frame->r9);
    log_line("R10 %016lx R11 %016lx R12    %016lx", frame->r10, frame->r11, frame->r12);
    log_line("R13 %016lx R14 %016lx R15    %016lx", frame->r13, frame->r14, frame->r15);
}

void exception_handle(struct exception_frame *frame)
{
    if (frame->vector == VECTOR_NMI) {
        /* Nothing here asks for NMIs: they are a watchdog's or the chipset's. Count and go on. */
        current_cpu()->nmis++;
        return;
    }
    if (frame->vector == VECTOR_GENERAL_PROTECTION && frame->rip >= (uintptr_t)msr_set_bits_try &&
        frame->rip < (uintptr_t)msr_set_bits_fail) {
        frame->rip = (uintptr_t)msr_set_bits_fail;
        return;
    }
    if (frame->vector < EXCEPTION_VECTORS) {
        print_frame(frame);
        panic("exception %lu, error code 0x%lx, CR2 0x%lx, in the hypervisor", frame->vector,
              frame->error_code, read_cr2());
    }
    /* A spurious interrupt is not in service: no EOI (SDM Vol. 3A, 11.9). */
    if (frame->vector != VECTOR_SPURIOUS) {
        apic_end_of_interrupt();
    }
    if (frame->vector == VECTOR_HOST_TIMER) {
        current_cpu()->armed_deadline = UINT64_MAX;
    }
}
