/* Tests of the table of AMD's errata: which processor is which core, and what each is set to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/amd_errata.h"

static enum amd_core core(enum cpu_vendor vendor, uint32_t family, uint32_t model)
{
    return amd_core_find(&(struct cpu_model){vendor, family, model, 0, 0});
}

/* One letter for each sixteen models of a family, from model 0 on. */
static void assert_cores(uint32_t family, const char *letters)
{
    static const char names[] = {
        [AMD_CORE_OTHER] = '.', [AMD_CORE_EARLY] = 'e', [AMD_CORE_ZEN_1] = '1',
        [AMD_CORE_HYGON] = 'h', [AMD_CORE_ZEN_2] = '2', [AMD_CORE_ZEN_3] = '3',
        [AMD_CORE_ZEN_4] = '4',
    };

    for (uint32_t model = 0; model < 0x100; model++) {
        char expected = letters[model >> 4];

        if (family == 0x17 && model >= 0x92 && model <= 0x9f) {
            expected = 'e'; /* of the row only Van Gogh is known */
        }
        assert_int_equal(names[core(CPU_AMD, family, model)], expected);
        assert_int_equal(core(CPU_INTEL, family, model), AMD_CORE_OTHER);
        assert_int_equal(core(CPU_OTHER, family, model), AMD_CORE_OTHER);
    }
}

static void test_cores(void **state)
{
    (void)state;
    assert_cores(0x0f, "................"); /* has no DE_CFG */
    assert_cores(0x10, "eeeeeeeeeeeeeeee");
    assert_cores(0x11, "................"); /* nor has this */
    assert_cores(0x12, "eeeeeeeeeeeeeeee");
    assert_cores(0x15, "eeeeeeeeeeeeeeee");
    assert_cores(0x16, "eeeeeeeeeeeeeeee");
    assert_cores(0x17, "11122122e22eeeee");
    assert_cores(0x18, "................");
    assert_cores(0x19, "34333344444.....");
    assert_cores(0x1a, "................");
    assert_int_equal(core(CPU_HYGON, 0x18, 0), AMD_CORE_HYGON);
    assert_int_equal(core(CPU_HYGON, 0x18, 0xff), AMD_CORE_HYGON);
    assert_int_equal(core(CPU_HYGON, 0x17, 0), AMD_CORE_OTHER);
}

struct expected {
    uint32_t msr;
    uint64_t bits;
    const char *document;
};

static void assert_settings(enum amd_core which, const struct expected *expected, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        const struct amd_setting *setting = amd_setting_get(which, n);

        assert_non_null(setting);
        assert_int_equal(setting->msr, expected[n].msr);
        assert_int_equal(setting->bits, expected[n].bits);
        assert_non_null(strstr(setting->text, expected[n].document));
    }
    assert_null(amd_setting_get(which, count));
    assert_null(amd_setting_get(which, count + 1));
}

static void test_settings(void **state)
{
    (void)state;
    static const struct expected lfence = {0xc0011029, 0x2, "Managing Speculation"};
    const struct expected zen_1[] = {lfence, {0xc0011028, 0x200, "AMD-SB-7053"}};
    const struct expected zen_2[] = {
        lfence,
        {0xc0011029, 0x200, "CVE-2023-20593"},
        {0xc001102e, 0x200000000, "AMD-SB-7052"},
        {0xc00110e3, 0x2, "Branch Type Confusion"},
    };
    const struct expected zen_4[] = {{0xc001102e, 0x20, "erratum 1485"}};

    assert_settings(AMD_CORE_OTHER, NULL, 0);
    assert_settings(AMD_CORE_EARLY, &lfence, 1);
    assert_settings(AMD_CORE_ZEN_1, zen_1, 2);
    assert_settings(AMD_CORE_HYGON, &lfence, 1);
    assert_settings(AMD_CORE_ZEN_2, zen_2, 4);
    assert_settings(AMD_CORE_ZEN_3, NULL, 0);
    assert_settings(AMD_CORE_ZEN_4, zen_4, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cores),
        cmocka_unit_test(test_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
