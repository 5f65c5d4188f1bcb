/* Tests of the table of CPUs with a bad RDSEED or RDRAND: each row, and what lies beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/cpu_quirks.h"

static struct cpuid_registers vendor_leaf(const char *name)
{
    struct cpuid_registers leaf = {.eax = 0x20};

    memcpy(&leaf.ebx, name, 4);
    memcpy(&leaf.edx, name + 4, 4);
    memcpy(&leaf.ecx, name + 8, 4);
    return leaf;
}

static struct cpu_model find(const char *vendor, uint32_t signature, uint32_t microcode)
{
    const struct cpuid_registers leaf_0 = vendor_leaf(vendor);
    const struct cpuid_registers leaf_1 = {.eax = signature};

    return cpu_model_find(&leaf_0, &leaf_1, microcode);
}

/* Signatures as CPUID.1:EAX has them. */
static void test_models(void **state)
{
    (void)state;
    static const struct {
        const char *vendor;
        uint32_t signature;
        struct cpu_model expected;
    } cases[] = {
        {"GenuineIntel", 0x000306d4, {CPU_INTEL, 6, 0x3d, 4, 7}},   /* Broadwell */
        {"GenuineIntel", 0x000906ed, {CPU_INTEL, 6, 0x9e, 0xd, 7}}, /* Coffee Lake */
        {"GenuineIntel", 0x00000f4a, {CPU_INTEL, 0xf, 4, 0xa, 7}},  /* Pentium 4 */
        {"GenuineIntel", 0x00010633, {CPU_INTEL, 6, 0x13, 3, 7}},   /* one extended bit */
        {"AuthenticAMD", 0x00870f10, {CPU_AMD, 0x17, 0x71, 0, 7}},  /* Matisse */
        {"AuthenticAMD", 0x00b40f40, {CPU_AMD, 0x1a, 0x44, 0, 7}},  /* Granite Ridge */
        {"AuthenticAMD", 0x00060fb1, {CPU_AMD, 0xf, 0x6b, 1, 7}},   /* QEMU's max */
        {"AuthenticAMD", 0x00010543, {CPU_AMD, 5, 4, 3, 7}},        /* no extension to take */
        {"HygonGenuine", 0x00900f01, {CPU_HYGON, 0x18, 0, 1, 7}},
        {"GenuineIotel", 0x000306d4, {CPU_OTHER, 6, 0x3d, 4, 7}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cpu_model cpu = find(cases[i].vendor, cases[i].signature, 7);

        assert_int_equal(cpu.vendor, cases[i].expected.vendor);
        assert_int_equal(cpu.family, cases[i].expected.family);
        assert_int_equal(cpu.model, cases[i].expected.model);
        assert_int_equal(cpu.stepping, cases[i].expected.stepping);
        assert_int_equal(cpu.microcode, cases[i].expected.microcode);
    }
}

static enum cpu_verdict verdict(enum cpu_vendor vendor, uint32_t family, uint32_t model,
                                uint32_t stepping, uint32_t microcode,
                                enum random_instruction instruction)
{
    const struct cpu_model cpu = {vendor, family, model, stepping, microcode};
    struct cpu_quirk quirk = cpu_quirk_find(&cpu, instruction);

    if (quirk.verdict == CPU_SOUND) {
        assert_null(quirk.text);
        assert_null(quirk.remedy);
        assert_false(quirk.hidden);
    } else {
        assert_true(strlen(quirk.text) > 20);
        assert_true(strlen(quirk.remedy) > 10);
    }
    return quirk.verdict;
}

/* AMD-SB-7055: sound from a revision on, which differs by model and stepping. */
static void test_zen5_floors(void **state)
{
    (void)state;
    static const struct {
        uint32_t model;
        uint32_t stepping;
        uint32_t floor;
    } cases[] = {
        {0x02, 1, 0x0b00215a}, {0x08, 1, 0x0b008121}, {0x11, 0, 0x0b101054},
        {0x24, 0, 0x0b204037}, {0x44, 0, 0x0b404035}, {0x44, 1, 0x0b404108},
        {0x60, 0, 0x0b600037}, {0x68, 0, 0x0b608038}, {0x70, 0, 0x0b700037},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint32_t model = cases[i].model;
        const uint32_t stepping = cases[i].stepping;
        const uint32_t floor = cases[i].floor;

        assert_int_equal(verdict(CPU_AMD, 0x1a, model, stepping, floor - 1, INSTRUCTION_RDSEED),
                         CPU_NOTED);
        assert_int_equal(verdict(CPU_AMD, 0x1a, model, stepping, floor, INSTRUCTION_RDSEED),
                         CPU_SOUND);
        assert_int_equal(verdict(CPU_AMD, 0x1a, model, stepping, UINT32_MAX, INSTRUCTION_RDSEED),
                         CPU_SOUND);
        assert_int_equal(verdict(CPU_AMD, 0x1a, model, stepping, 0, INSTRUCTION_RDRAND), CPU_SOUND);
        assert_int_equal(verdict(CPU_INTEL, 0x1a, model, stepping, 0, INSTRUCTION_RDSEED),
                         CPU_SOUND);
        /* The next stepping has no revision that anybody knows to be good. */
        assert_int_equal(
            verdict(CPU_AMD, 0x1a, model, stepping + 2, UINT32_MAX, INSTRUCTION_RDSEED), CPU_NOTED);
    }
}

static void test_zen5_hides_the_instruction_from_guests(void **state)
{
    (void)state;
    const struct cpu_model cpu = {CPU_AMD, 0x1a, 0x44, 0, 0x0b404034};

    assert_true(cpu_quirk_find(&cpu, INSTRUCTION_RDSEED).hidden);
    assert_false(cpu_quirk_find(&cpu, INSTRUCTION_RDRAND).hidden);
}

/* Which models of family 1Ah are Zen 5 at all. */
static void test_zen5_models(void **state)
{
    (void)state;
    for (uint32_t model = 0; model < 0x100; model++) {
        bool zen5 =
            model < 0x30 || (model >= 0x40 && model < 0x50) || (model >= 0x60 && model < 0x80);

        assert_int_equal(verdict(CPU_AMD, 0x1a, model, 7, 0, INSTRUCTION_RDSEED),
                         zen5 ? CPU_NOTED : CPU_SOUND);
    }
}

static void test_cyan_skillfish(void **state)
{
    (void)state;
    const struct cpu_model cpu = {CPU_AMD, 0x17, 0x47, 0, UINT32_MAX};

    assert_int_equal(cpu_quirk_find(&cpu, INSTRUCTION_RDSEED).verdict, CPU_REFUSED);
    assert_true(cpu_quirk_find(&cpu, INSTRUCTION_RDSEED).hidden);
    assert_int_equal(verdict(CPU_AMD, 0x17, 0x47, 0, 0, INSTRUCTION_RDRAND), CPU_SOUND);
    assert_int_equal(verdict(CPU_AMD, 0x17, 0x47, 1, 0, INSTRUCTION_RDSEED), CPU_SOUND);
    assert_int_equal(verdict(CPU_AMD, 0x17, 0x46, 0, 0, INSTRUCTION_RDSEED), CPU_SOUND);
    assert_int_equal(verdict(CPU_AMD, 0x17, 0x48, 0, 0, INSTRUCTION_RDSEED), CPU_SOUND);
}

static void test_noted_instructions(void **state)
{
    (void)state;
    assert_int_equal(verdict(CPU_AMD, 0x17, 0x71, 0, UINT32_MAX, INSTRUCTION_RDSEED), CPU_NOTED);
    assert_int_equal(verdict(CPU_AMD, 0x17, 0x71, 3, 0, INSTRUCTION_RDRAND), CPU_NOTED);
    assert_int_equal(verdict(CPU_AMD, 0x17, 0x70, 0, 0, INSTRUCTION_RDSEED), CPU_SOUND);
    assert_int_equal(verdict(CPU_AMD, 0x15, 0x60, 1, 0, INSTRUCTION_RDRAND), CPU_NOTED);
    assert_int_equal(verdict(CPU_AMD, 0x16, 0x30, 1, 0, INSTRUCTION_RDRAND), CPU_NOTED);
    assert_int_equal(verdict(CPU_AMD, 0x17, 0x01, 1, 0, INSTRUCTION_RDRAND), CPU_SOUND);
    assert_int_equal(verdict(CPU_AMD, 0x15, 0x60, 1, 0, INSTRUCTION_RDSEED), CPU_SOUND);
    assert_int_equal(verdict(CPU_INTEL, 0x15, 0x60, 1, 0, INSTRUCTION_RDRAND), CPU_SOUND);
}

static void test_srbds(void **state)
{
    (void)state;
    static const uint8_t all_steppings[] = {0x3a, 0x3c, 0x45, 0x46, 0x47, 0x3d, 0x4e, 0x5e};

    for (uint32_t model = 0; model < 0x100; model++) {
        for (uint32_t stepping = 0; stepping < 16; stepping++) {
            const struct cpu_model cpu = {CPU_INTEL, 6, model, stepping, 0};
            bool expected = memchr(all_steppings, (int)model, sizeof(all_steppings)) != NULL ||
                            (model == 0x8e && stepping <= 0xc) ||
                            (model == 0x9e && stepping <= 0xd);

            assert_int_equal(cpu_has_srbds(&cpu), expected);
        }
    }
    assert_false(cpu_has_srbds(&(struct cpu_model){CPU_AMD, 6, 0x3d, 4, 0}));
    assert_false(cpu_has_srbds(&(struct cpu_model){CPU_INTEL, 0xf, 0x3d, 4, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_zen5_floors),
        cmocka_unit_test(test_zen5_hides_the_instruction_from_guests),
        cmocka_unit_test(test_zen5_models),
        cmocka_unit_test(test_cyan_skillfish),
        cmocka_unit_test(test_noted_instructions),
        cmocka_unit_test(test_srbds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
