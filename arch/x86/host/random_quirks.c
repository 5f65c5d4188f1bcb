/* This machine's RDSEED and RDRAND, held against the table of known faults. */
#include "arch/x86/host/random_quirks.h"

#include <stddef.h>

#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/this_cpu.h"
#include "vmm/log.h"

#define CPUID_7_EDX_SRBDS_CTRL (1U << 9)
#define RNGDS_MITG_DIS         (1ULL << 0)

/* Present since the microcode that brought the mitigation. */
static bool has_mitigation(void)
{
    return cpuid(0, 0).eax >= 7 && (cpuid(7, 0).edx & CPUID_7_EDX_SRBDS_CTRL) != 0;
}

static struct cpu_quirk this_quirk(enum random_instruction instruction)
{
    struct cpu_model cpu = this_cpu_model();

    return cpu_quirk_find(&cpu, instruction);
}

static void log_srbds(const char *instruction)
{
    log_line("entropy: programs on other cores can see what %s returned (CVE-2020-0543): this "
             "microcode does not prevent it",
             instruction);
    log_line("  to mend it: update the firmware, which brings newer microcode");
}

void random_quirks_report(enum random_instruction instruction, requirement_report report,
                          void *context)
{
    static const char *const vendors[] = {
        [CPU_OTHER] = "other", [CPU_INTEL] = "Intel", [CPU_AMD] = "AMD", [CPU_HYGON] = "Hygon"};
    const char *name = instruction == INSTRUCTION_RDSEED ? "RDSEED" : "RDRAND";
    struct cpu_model cpu = this_cpu_model();
    struct cpu_quirk quirk = cpu_quirk_find(&cpu, instruction);

    log_line("entropy: %s of %s family 0x%x model 0x%x stepping %u, microcode 0x%x: %s", name,
             vendors[cpu.vendor], cpu.family, cpu.model, cpu.stepping, cpu.microcode,
             quirk.verdict == CPU_SOUND ? "nothing is known against it" : quirk.text);
    if (quirk.verdict == CPU_NOTED) {
        log_line("  to mend it: %s", quirk.remedy);
    }
    if (cpu_has_srbds(&cpu) && !has_mitigation()) {
        log_srbds(name);
    }
    report(context,
           instruction == INSTRUCTION_RDSEED ? "an RDSEED that works" : "an RDRAND that works",
           quirk.verdict != CPU_REFUSED, quirk.remedy != NULL ? quirk.remedy : "none is needed");
}

bool random_quirks_refused(enum random_instruction instruction)
{
    return this_quirk(instruction).verdict == CPU_REFUSED;
}

unsigned random_quirks_shown(void)
{
    return (this_quirk(INSTRUCTION_RDSEED).hidden ? 0 : GUEST_HAS_RDSEED) |
           (this_quirk(INSTRUCTION_RDRAND).hidden ? 0 : GUEST_HAS_RDRAND);
}

void random_quirks_mitigate(unsigned cpu)
{
    uint64_t control = has_mitigation() ? read_msr(MSR_MCU_OPT_CTRL) : 0;

    if ((control & RNGDS_MITG_DIS) != 0) {
        write_msr(MSR_MCU_OPT_CTRL, control & ~RNGDS_MITG_DIS);
        log_line("CPU %u: the mitigation of CVE-2020-0543 was off; it is on again", cpu);
    }
}
