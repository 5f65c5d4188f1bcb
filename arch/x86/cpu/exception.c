/* Exceptions and interrupts taken by the hypervisor itself. */
#include "arch/x86/cpu/exception.h"

#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"

#define EXCEPTION_VECTORS 32

/* The instructions of msr_set_bits(), and where it goes on when one of them faults. */
extern const uint8_t msr_set_bits_try[], msr_set_bits_fail[];

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
        panic_exception(frame);
    }
    /* A spurious interrupt is not in service: no EOI (SDM Vol. 3A, 11.9). */
    if (frame->vector != VECTOR_SPURIOUS) {
        apic_end_of_interrupt();
    }
    if (frame->vector == VECTOR_HOST_TIMER) {
        current_cpu()->armed_deadline = UINT64_MAX;
    }
}
