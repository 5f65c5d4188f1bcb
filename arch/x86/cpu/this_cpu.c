/* CPUID and the MSRs, asked for what a CPU's faults are judged by. */
#include "arch/x86/cpu/this_cpu.h"

#include "arch/x86/cpu/instructions.h"

#define CPUID_7_EDX_ARCH_CAPABILITIES (1U << 29)

/* Intel's revision is loaded by CPUID, and is in the upper half (SDM Vol. 3A, 10.11.7.1). */
static uint32_t microcode_revision(enum cpu_vendor vendor)
{
    if (vendor == CPU_INTEL) {
        write_msr(MSR_MICROCODE_REVISION, 0);
        (void)cpuid(1, 0);
        return (uint32_t)(read_msr(MSR_MICROCODE_REVISION) >> 32);
    }
    return vendor == CPU_AMD ? (uint32_t)read_msr(MSR_MICROCODE_REVISION) : 0;
}

struct cpu_model this_cpu_model(void)
{
    struct cpuid_registers leaf_0 = cpuid(0, 0);
    struct cpuid_registers leaf_1 = cpuid(1, 0);
    struct cpu_model cpu = cpu_model_find(&leaf_0, &leaf_1, 0);

    cpu.microcode = microcode_revision(cpu.vendor);
    return cpu;
}

struct cpu_facts this_cpu_facts(void)
{
    struct cpu_facts facts = {.model = this_cpu_model()};

    if (cpuid(0, 0).eax >= 7) {
        facts.leaf_7_ebx = cpuid(7, 0).ebx;
        facts.leaf_7_edx = cpuid(7, 0).edx;
        facts.leaf_7_2_edx = cpuid(7, 0).eax >= 2 ? cpuid(7, 2).edx : 0;
    }
    uint32_t last = cpuid(0x80000000, 0).eax;

    facts.ext_1_ecx = cpuid(0x80000001, 0).ecx;
    facts.ext_8_ebx = last >= 0x80000008 ? cpuid(0x80000008, 0).ebx : 0;
    facts.ext_21_eax = last >= 0x80000021 ? cpuid(0x80000021, 0).eax : 0;
    if ((facts.leaf_7_edx & CPUID_7_EDX_ARCH_CAPABILITIES) != 0) {
        facts.arch_capabilities = read_msr(MSR_ARCH_CAPABILITIES);
    }
    return facts;
}
