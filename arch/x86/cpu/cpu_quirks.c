/* The table of CPUs whose RDSEED or RDRAND is known to be bad. */
#include "arch/x86/cpu/cpu_quirks.h"

#define ANY      UINT32_MAX
#define NO_FLOOR UINT32_MAX /* no microcode mends it, or none is known to */

/* The vendors' names, as EBX, EDX and ECX of leaf 0 have them. */
static const struct {
    uint32_t ebx, edx, ecx;
    enum cpu_vendor vendor;
} vendors[] = {
    {0x756e6547, 0x49656e69, 0x6c65746e, CPU_INTEL}, /* "GenuineIntel" */
    {0x68747541, 0x69746e65, 0x444d4163, CPU_AMD},   /* "AuthenticAMD" */
    {0x6f677948, 0x6e65476e, 0x656e6975, CPU_HYGON}, /* "HygonGenuine" */
};

struct row {
    enum cpu_vendor vendor;
    uint32_t family;
    uint32_t first_model;
    uint32_t last_model;
    uint32_t first_stepping;
    uint32_t last_stepping;
    uint32_t floor; /* the first microcode revision that mends it */
    enum random_instruction instruction;
    struct cpu_quirk quirk;
};

static const char zen5_text[] =
    "its 16-bit and 32-bit forms return 0 as success too often (AMD-SB-7055, CVE-2025-62626); "
    "only the 64-bit form is used, under health tests, and guests are not shown RDSEED";
static const char zen5_remedy[] = "update the firmware, which brings newer microcode";

#define ZEN5(model, step, revision)                                                                \
    {                                                                                              \
        CPU_AMD, 0x1a, model, model, step, step, revision, INSTRUCTION_RDSEED,                     \
        {                                                                                          \
            CPU_NOTED, true, zen5_text, zen5_remedy                                                \
        }                                                                                          \
    }
/* Models and steppings for which no revision has been published. */
#define ZEN5_OTHERS(first, last)                                                                   \
    {                                                                                              \
        CPU_AMD, 0x1a, first, last, 0, ANY, NO_FLOOR, INSTRUCTION_RDSEED,                          \
        {                                                                                          \
            CPU_NOTED, true, zen5_text, zen5_remedy                                                \
        }                                                                                          \
    }
#define RESUME(family)                                                                             \
    {                                                                                              \
        CPU_AMD, family, 0, ANY, 0, ANY, NO_FLOOR, INSTRUCTION_RDRAND,                             \
        {                                                                                          \
            CPU_NOTED, false,                                                                      \
                "it may return one value for ever after the machine was suspended to memory",      \
                "start from power-off, not from suspension"                                        \
        }                                                                                          \
    }
#define EARLY_FIRMWARE(instruction)                                                                \
    {                                                                                              \
        CPU_AMD, 0x17, 0x71, 0x71, 0, ANY, NO_FLOOR, instruction,                                  \
        {                                                                                          \
            CPU_NOTED, false, "with the firmware of 2019 it returns all ones as success",          \
                "update the firmware if the start-up test fails"                                   \
        }                                                                                          \
    }

/* The first row that fits counts. */
static const struct row table[] = {
    /* AMD-SB-7055; the revisions are those that Linux goes by (commit 607b9fb2ce24 and later). */
    ZEN5(0x02, 1, 0x0b00215a),
    ZEN5(0x08, 1, 0x0b008121),
    ZEN5(0x11, 0, 0x0b101054),
    ZEN5(0x24, 0, 0x0b204037),
    ZEN5(0x44, 0, 0x0b404035),
    ZEN5(0x44, 1, 0x0b404108),
    ZEN5(0x60, 0, 0x0b600037),
    ZEN5(0x68, 0, 0x0b608038),
    ZEN5(0x70, 0, 0x0b700037),
    ZEN5_OTHERS(0x00, 0x2f),
    ZEN5_OTHERS(0x40, 0x4f),
    ZEN5_OTHERS(0x60, 0x7f),
    /* Cyan Skillfish (Linux commit 5b937a1ed64e): RDRAND is sound. */
    {CPU_AMD,
     0x17,
     0x47,
     0x47,
     0,
     0,
     NO_FLOOR,
     INSTRUCTION_RDSEED,
     {CPU_REFUSED, true, "it always returns all ones as success", "set rng = rdrand, egd or none"}},
    EARLY_FIRMWARE(INSTRUCTION_RDSEED),
    EARLY_FIRMWARE(INSTRUCTION_RDRAND),
    RESUME(0x15),
    RESUME(0x16),
};

/* Intel's list of those that have RDSEED or RDRAND, all of family 6 (CVE-2020-0543). */
static const struct {
    uint32_t model;
    uint32_t last_stepping;
} srbds[] = {
    {0x3a, ANY}, {0x3c, ANY}, {0x45, ANY}, {0x46, ANY}, {0x47, ANY},
    {0x3d, ANY}, {0x4e, ANY}, {0x5e, ANY}, {0x8e, 0xc}, {0x9e, 0xd},
};

struct cpu_model cpu_model_find(const struct cpuid_registers *leaf_0,
                                const struct cpuid_registers *leaf_1, uint32_t microcode)
{
    uint32_t signature = leaf_1->eax;
    struct cpu_model cpu = {
        .family = signature >> 8 & 0xf,
        .model = signature >> 4 & 0xf,
        .stepping = signature & 0xf,
        .microcode = microcode,
    };

    for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
        if (leaf_0->ebx == vendors[i].ebx && leaf_0->edx == vendors[i].edx &&
            leaf_0->ecx == vendors[i].ecx) {
            cpu.vendor = vendors[i].vendor;
        }
    }
    if (cpu.family == 0xf || cpu.family == 6) {
        cpu.model |= signature >> 12 & 0xf0;
    }
    if (cpu.family == 0xf) {
        cpu.family += signature >> 20 & 0xff;
    }
    return cpu;
}

static bool fits(const struct row *row, const struct cpu_model *cpu)
{
    return row->vendor == cpu->vendor && row->family == cpu->family &&
           row->first_model <= cpu->model && cpu->model <= row->last_model &&
           row->first_stepping <= cpu->stepping && cpu->stepping <= row->last_stepping;
}

struct cpu_quirk cpu_quirk_find(const struct cpu_model *cpu, enum random_instruction instruction)
{
    const struct cpu_quirk sound = {CPU_SOUND, false, NULL, NULL};

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].instruction == instruction && fits(&table[i], cpu)) {
            bool mended = table[i].floor != NO_FLOOR && cpu->microcode >= table[i].floor;

            return mended ? sound : table[i].quirk;
        }
    }
    return sound;
}

bool cpu_has_srbds(const struct cpu_model *cpu)
{
    for (size_t i = 0; i < sizeof(srbds) / sizeof(srbds[0]); i++) {
        if (cpu->vendor == CPU_INTEL && cpu->family == 6 && cpu->model == srbds[i].model &&
            cpu->stepping <= srbds[i].last_stepping) {
            return true;
        }
    }
    return false;
}
