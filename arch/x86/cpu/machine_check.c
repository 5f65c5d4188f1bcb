/* What the processor says of a machine check (SDM Vol. 3B, 16.3; APM Vol. 2, 9.3). */
#include "arch/x86/cpu/machine_check.h"

#include "vmm/format.h"
#include "vmm/log.h"

#define CPUID_1_EDX_MCE (1U << 7)
#define CPUID_1_EDX_MCA (1U << 14)

#define MCG_CAPABILITIES_COUNT 0xffU

#define STATUS_VALID      (1ULL << 63)
#define STATUS_MISC_VALID (1ULL << 59)
#define STATUS_ADDR_VALID (1ULL << 58)

void machine_check_print(struct cpuid_registers (*cpuid)(uint32_t leaf, uint32_t subleaf),
                         uint64_t (*read_msr)(uint32_t index))
{
    const uint32_t both = CPUID_1_EDX_MCE | CPUID_1_EDX_MCA;

    if ((cpuid(1, 0).edx & both) != both) {
        return;
    }
    uint64_t count = read_msr(MSR_MCG_CAPABILITIES) & MCG_CAPABILITIES_COUNT;

    log_line("MCG_STATUS 0x%lx, machine check banks: %lu", read_msr(MSR_MCG_STATUS), count);
    for (unsigned i = 0; i < count && i < MACHINE_CHECK_BANKS; i++) {
        uint64_t status = read_msr(MSR_MC_STATUS(i));
        char address[40] = "";
        char misc[40] = "";

        if ((status & STATUS_VALID) == 0) {
            continue;
        }
        /* Without its flag a register need not exist: reading it may fault (16.3.2.3, 16.3.2.4). */
        if ((status & STATUS_ADDR_VALID) != 0) {
            format(address, sizeof(address), ", ADDR 0x%lx", read_msr(MSR_MC_ADDR(i)));
        }
        if ((status & STATUS_MISC_VALID) != 0) {
            format(misc, sizeof(misc), ", MISC 0x%lx", read_msr(MSR_MC_MISC(i)));
        }
        log_line("bank %u: STATUS 0x%016lx%s%s", i, status, address, misc);
    }
}
