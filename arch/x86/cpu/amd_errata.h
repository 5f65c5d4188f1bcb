/* AMD's and Hygon's processors by core, and the settings by which each is made sound. */
#ifndef ARCH_X86_CPU_AMD_ERRATA_H
#define ARCH_X86_CPU_AMD_ERRATA_H

#include <stdint.h>

#include "arch/x86/cpu/cpu_quirks.h"

enum amd_core {
    AMD_CORE_OTHER, /* another vendor's, or one that needs none of this */
    AMD_CORE_EARLY, /* families 10h to 17h as far as they are not below */
    AMD_CORE_ZEN_1,
    AMD_CORE_HYGON, /* family 18h: Zen 1 under another name */
    AMD_CORE_ZEN_2,
    AMD_CORE_ZEN_3,
    AMD_CORE_ZEN_4,
};

enum amd_core amd_core_find(const struct cpu_model *cpu);

/* Bits of an MSR that are to be 1. */
struct amd_setting {
    uint32_t cores; /* 1 << enum amd_core, for each that needs it */
    uint32_t msr;
    uint64_t bits;
    const char *text; /* what for, and by which document */
};

/* The settings that `core` needs, one by one: number `n` from 0, or NULL after the last. */
const struct amd_setting *amd_setting_get(enum amd_core core, unsigned n);

#endif
