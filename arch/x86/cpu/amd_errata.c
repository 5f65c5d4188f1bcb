/* The table of AMD's and Hygon's processors that need bits set in their configuration MSRs. */
#include "arch/x86/cpu/amd_errata.h"

#include <stddef.h>

#define CORE(name) (1U << AMD_CORE_##name)

#define MSR_FP_CFG  0xc0011028U
#define MSR_DE_CFG  0xc0011029U
#define MSR_BP_CFG  0xc001102eU
#define MSR_DE_CFG2 0xc00110e3U

/*
 * Linux has the models (bsp_init_amd). Xen tells Zen 1 from Zen 2 by STIBP and Zen 3 from Zen 4 by
 * AutoIBRS instead, with the same result; but a bit of CPUID may depend on microcode.
 */
static const struct {
    uint32_t family;
    uint32_t first_model;
    uint32_t last_model;
    enum amd_core core;
} models[] = {
    {0x17, 0x00, 0x2f, AMD_CORE_ZEN_1}, {0x17, 0x50, 0x5f, AMD_CORE_ZEN_1},
    {0x17, 0x30, 0x4f, AMD_CORE_ZEN_2}, {0x17, 0x60, 0x7f, AMD_CORE_ZEN_2},
    {0x17, 0x90, 0x91, AMD_CORE_ZEN_2}, {0x17, 0xa0, 0xaf, AMD_CORE_ZEN_2},
    {0x19, 0x00, 0x0f, AMD_CORE_ZEN_3}, {0x19, 0x20, 0x5f, AMD_CORE_ZEN_3},
    {0x19, 0x10, 0x1f, AMD_CORE_ZEN_4}, {0x19, 0x60, 0xaf, AMD_CORE_ZEN_4},
};

/* Each as both Linux (init_amd_zen1, _zen2, _zen4) and Xen (amd_init_*, amd_check_bp_cfg) do it. */
static const struct amd_setting settings[] = {
    /*
     * Families 0Fh and 11h lack the MSR and need none, and from Zen 3 on it is always so. Guests
     * are told that it is (cpu_policy.c).
     */
    {CORE(EARLY) | CORE(ZEN_1) | CORE(HYGON) | CORE(ZEN_2), MSR_DE_CFG, 1ULL << 1,
     "LFENCE serialises (AMD, Software Techniques for Managing Speculation)"},
    {CORE(ZEN_1), MSR_FP_CFG, 1ULL << 9, "no divider state is left behind (AMD-SB-7053)"},
    /* Newer microcode does without it; that it is set then costs a little speed. */
    {CORE(ZEN_2), MSR_DE_CFG, 1ULL << 9, "no Zenbleed (CVE-2023-20593, AMD-SB-7008)"},
    {CORE(ZEN_2), MSR_BP_CFG, 1ULL << 33, "no corrupt operation cache (AMD-SB-7052)"},
    {CORE(ZEN_2), MSR_DE_CFG2, 1ULL << 1,
     "no branch is predicted where none is (AMD, Mitigating Branch Type Confusion)"},
    {CORE(ZEN_4), MSR_BP_CFG, 1ULL << 5, "no wrong instruction bytes (erratum 1485)"},
};

enum amd_core amd_core_find(const struct cpu_model *cpu)
{
    if (cpu->vendor == CPU_HYGON) {
        return cpu->family == 0x18 ? AMD_CORE_HYGON : AMD_CORE_OTHER;
    }
    if (cpu->vendor != CPU_AMD) {
        return AMD_CORE_OTHER;
    }
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        if (models[i].family == cpu->family && models[i].first_model <= cpu->model &&
            cpu->model <= models[i].last_model) {
            return models[i].core;
        }
    }
    return cpu->family >= 0x10 && cpu->family <= 0x17 && cpu->family != 0x11 ? AMD_CORE_EARLY
                                                                             : AMD_CORE_OTHER;
}

const struct amd_setting *amd_setting_get(enum amd_core core, unsigned n)
{
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if ((settings[i].cores >> core & 1) != 0 && n-- == 0) {
            return &settings[i];
        }
    }
    return NULL;
}
