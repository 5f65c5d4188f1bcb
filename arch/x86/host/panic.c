/* The hypervisor's panic: everything needed to find the bug, then the end. */
#include "vmm/panic.h"

#include <stdarg.h>
#include <stdint.h>

#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/exception.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/machine_check.h"
#include "arch/x86/cpu/registers.h"
#include "arch/x86/host/console.h"
#include "arch/x86/host/power.h"
#include "vmm/format.h"
#include "vmm/log.h"
#include "vmm/vm.h"
#include "vmm/vm_trace.h"

/* Set by the build: the commit, and whether the tree had changes. */
#include "build_id.h"

extern const char ImageBase[]; /* linker script: subtract it from RIP to look an address up */

/* At most so many CPUs' reports are added to the first one's; this reporting may itself panic. */
#define REPORTS_BESIDE 64U

/* Filled with RDSEED before anything is called; see boot/main.c. */
extern uintptr_t __stack_chk_guard;
uintptr_t __stack_chk_guard;

_Noreturn void __stack_chk_fail(void);

static void print_frame(const struct exception_frame *frame)
{
    log_line("RIP %016lx RSP %016lx RFLAGS %016lx", frame->rip, frame->rsp, frame->rflags);
    log_line("RAX %016lx RBX %016lx RCX    %016lx", frame->rax, frame->rbx, frame->rcx);
    log_line("RDX %016lx RSI %016lx RDI    %016lx", frame->rdx, frame->rsi, frame->rdi);
    log_line("RBP %016lx R8  %016lx R9     %016lx", frame->rbp, frame->r8, frame->r9);
    log_line("R10 %016lx R11 %016lx R12    %016lx", frame->r10, frame->r11, frame->r12);
    log_line("R13 %016lx R14 %016lx R15    %016lx", frame->r13, frame->r14, frame->r15);
}

static void print_vcpu(struct vcpu *vcpu)
{
    log_line("guest \"%s\", vCPU %u:", vcpu->vm->name, vcpu->index);
    log_line("RAX %016lx RBX %016lx RCX %016lx", vcpu->general[GENERAL_RAX],
             vcpu->general[GENERAL_RBX], vcpu->general[GENERAL_RCX]);
    log_line("RDX %016lx RSI %016lx RDI %016lx", vcpu->general[GENERAL_RDX],
             vcpu->general[GENERAL_RSI], vcpu->general[GENERAL_RDI]);
    vcpu->vm->virtualization->dump(vcpu);
    trace_print(&vcpu->trace);
    vm_trace_dump(vcpu->vm);
}

/* GS holds our CPU only once descriptor tables of our own are loaded; NULL before. */
static const struct cpu *this_cpu(void)
{
    uint64_t gs_base = read_msr(MSR_GS_BASE);

    return gs_base != 0 && ((struct cpu *)gs_base)->self == (struct cpu *)gs_base ? current_cpu()
                                                                                  : NULL;
}

/*
 * The end is another CPU's. A machine check reaches all of them, and its cause may stand in the
 * banks of this one.
 */
static _Noreturn void panic_beside(const char *reason)
{
    static unsigned reports;

    if (__atomic_fetch_add(&reports, 1, __ATOMIC_RELAXED) < REPORTS_BESIDE) {
        const struct cpu *cpu = this_cpu();

        log_line("PANIC as well, on CPU %u: %s", cpu == NULL ? 0 : cpu->index, reason);
        machine_check_print(cpuid, read_msr);
    }
    halt_for_good();
}

static void report(const char *reason, uintptr_t caller, const struct exception_frame *frame)
{
    const struct cpu *cpu;

    console_flush(); /* room for all that follows */
    log_line("PANIC: %s", reason);
    log_line("build " BUILD_ID ", image at 0x%lx, called from 0x%lx", (uintptr_t)ImageBase, caller);
    log_line("CR0 %016lx CR2 %016lx CR3 %016lx CR4 %016lx", read_cr0(), read_cr2(), read_cr3(),
             read_cr4());
    if (frame != NULL) {
        print_frame(frame);
    }
    machine_check_print(cpuid, read_msr);
    cpu = this_cpu();
    if (cpu != NULL) {
        log_line("CPU %u, APIC ID %u, RSP %016lx, NMIs %lu", cpu->index, cpu->apic_id,
                 (uintptr_t)__builtin_frame_address(0), cpu->nmis);
        if (cpu->vcpu != NULL) {
            print_vcpu(cpu->vcpu);
        }
    }
}

static _Noreturn void end_with(const char *reason, uintptr_t caller,
                               const struct exception_frame *frame)
{
    static bool reporting;

    interrupts_off();
    if (!power_take()) {
        panic_beside(reason);
    }
    if (!reporting) { /* else it is a panic inside the panic */
        reporting = true;
        report(reason, caller, frame);
    }
    power_off(RESULT_NOT_RUN);
}

#ifdef SEEDVISOR_FAULTS
#define NEIGHBOUR_TICKS (1ULL << 32) /* it is waited for, as long as there is one */

/*
 * In a build for tests a panic has it as hard as can be: a machine check, on the neighbour too, and
 * while this CPU was writing to the console. All ones is the one error that QEMU lets be written.
 */
static void make_it_hard(void)
{
    static bool done;
    uint64_t begin = read_tsc();

    if (!__atomic_test_and_set(&done, __ATOMIC_SEQ_CST)) {
        console_hold_locks();
        write_msr(MSR_MC_STATUS(1), UINT64_MAX);
        write_msr(MSR_MC_ADDR(1), 0xbad000);
        apic_send(current_cpu()->apic_id ^ 1, VECTOR_MACHINE_CHECK);
        while (!__atomic_load_n(&console_consoles()->ending, __ATOMIC_ACQUIRE) &&
               read_tsc() - begin < NEIGHBOUR_TICKS) {
            pause();
        }
        __asm__ volatile("int %0" : : "i"(VECTOR_MACHINE_CHECK) : "memory");
    }
}
#endif

_Noreturn void panic(const char *reason, ...)
{
    char text[160];
    va_list arguments;

#ifdef SEEDVISOR_FAULTS
    make_it_hard();
#endif
    va_start(arguments, reason);
    format_list(text, sizeof(text), reason, arguments);
    va_end(arguments);
    end_with(text, (uintptr_t)__builtin_return_address(0), NULL);
}

_Noreturn void panic_exception(const struct exception_frame *frame)
{
    char text[160];

    format(text, sizeof(text),
           "exception %lu, error code 0x%lx, CR2 0x%lx, in the hypervisor at 0x%lx", frame->vector,
           frame->error_code, read_cr2(), frame->rip);
    end_with(text, frame->rip, frame);
}

_Noreturn void __stack_chk_fail(void)
{
    panic("a stack was overwritten");
}
