/* The hypervisor's panic: everything needed to find the bug, then the end. */
#include "vmm/panic.h"

#include <stdarg.h>
#include <stdint.h>

#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/machine_check.h"
#include "arch/x86/cpu/registers.h"
#include "arch/x86/host/power.h"
#include "vmm/format.h"
#include "vmm/log.h"
#include "vmm/vm.h"
#include "vmm/vm_trace.h"

/* Set by the build: the commit, and whether the tree had changes. */
#include "build_id.h"

extern const char ImageBase[]; /* linker script: subtract it from RIP to look an address up */

/* Filled with RDSEED before anything is called; see boot/main.c. */
extern uintptr_t __stack_chk_guard;
uintptr_t __stack_chk_guard;

_Noreturn void __stack_chk_fail(void);

static bool panicking;

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

_Noreturn void panic(const char *reason, ...)
{
    char text[160];
    va_list arguments;

    interrupts_off();
    if (__atomic_test_and_set(&panicking, __ATOMIC_SEQ_CST)) {
        power_off(RESULT_NOT_RUN); /* a panic inside the panic, or on another CPU */
    }
    va_start(arguments, reason);
    format_list(text, sizeof(text), reason, arguments);
    va_end(arguments);
    log_line("PANIC: %s", text);
    log_line("build " BUILD_ID ", image at 0x%lx, called from 0x%lx", (uintptr_t)ImageBase,
             (uintptr_t)__builtin_return_address(0));
    log_line("CR0 %016lx CR2 %016lx CR3 %016lx CR4 %016lx", read_cr0(), read_cr2(), read_cr3(),
             read_cr4());

    machine_check_print(cpuid, read_msr);

    /* GS holds our CPU only once descriptor tables of our own are loaded. */
    uint64_t gs_base = read_msr(MSR_GS_BASE);

    if (gs_base != 0 && ((struct cpu *)gs_base)->self == (struct cpu *)gs_base) {
        const struct cpu *cpu = current_cpu();

        log_line("CPU %u, APIC ID %u, RSP %016lx, NMIs %lu", cpu->index, cpu->apic_id,
                 (uintptr_t)__builtin_frame_address(0), cpu->nmis);
        if (cpu->vcpu != NULL) {
            print_vcpu(cpu->vcpu);
        }
    }
    power_off(RESULT_NOT_RUN);
}

_Noreturn void __stack_chk_fail(void)
{
    panic("a stack was overwritten");
}
