/* This CPU's settings against AMD's errata. */
#include "arch/x86/host/amd_errata_apply.h"

#include <stddef.h>

#include "arch/x86/cpu/amd_errata.h"
#include "arch/x86/cpu/exception.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/this_cpu.h"
#include "vmm/log.h"

#define CPUID_1_ECX_HYPERVISOR (1U << 31)

void amd_errata_apply(unsigned cpu)
{
    if ((cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR) != 0) {
        return; /* it sees to them, and would not let us */
    }
    struct cpu_model model = this_cpu_model();
    enum amd_core core = amd_core_find(&model);
    const struct amd_setting *setting;

    for (unsigned n = 0; (setting = amd_setting_get(core, n)) != NULL; n++) {
        bool done = msr_set_bits(setting->msr, setting->bits);

        if (cpu == 0) {
            log_line("processor: MSR 0x%x bits 0x%lx %s: %s", setting->msr, setting->bits,
                     done ? "are set" : "CANNOT BE SET", setting->text);
        }
    }
}
