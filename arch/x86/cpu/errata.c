/* Which faults a CPU has, by its model and by what it says of itself. */
#include "arch/x86/cpu/errata.h"

#include <stddef.h>

/* IA32_ARCH_CAPABILITIES (SDM Vol. 4, 2.1). */
#define PSCHANGE_MC_NO (1ULL << 6)

/* Of family 6: what does not have the fault and is older than the bit that says so (INTEL-SA-00210;
 * Linux goes by the same list). */
static const uint8_t without_multihit[] = {
    0x37, 0x4a, 0x4c, 0x4d, 0x5a, 0x75, /* Silvermont, Airmont */
    0x57, 0x85,                         /* Xeon Phi */
    0x5c, 0x5f, 0x7a, 0x86,             /* Goldmont, Goldmont Plus, Tremont D */
};

/*
 * Whether the machine is virtual does not count: a hypervisor below that is safe says so by the
 * same bit (KVM does), and one that does not say so may put our large pages into its own tables.
 */
bool errata_itlb_multihit(const struct cpu_facts *facts)
{
    if (facts->model.vendor != CPU_INTEL || (facts->arch_capabilities & PSCHANGE_MC_NO) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(without_multihit) / sizeof(without_multihit[0]); i++) {
        if (facts->model.family == 6 && facts->model.model == without_multihit[i]) {
            return false;
        }
    }
    return true;
}
