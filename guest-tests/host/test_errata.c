/* Tests of what a CPU's faults are judged by: each fault's models and bits, and what lies beside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86/cpu/errata.h"

#define PSCHANGE_MC_NO (1ULL << 6)

static struct cpu_facts facts_of(enum cpu_vendor vendor, uint32_t family, uint32_t model)
{
    return (struct cpu_facts){.model = {.vendor = vendor, .family = family, .model = model}};
}

static bool multihit(enum cpu_vendor vendor, uint32_t family, uint32_t model, uint64_t capabilities)
{
    struct cpu_facts facts = facts_of(vendor, family, model);

    facts.arch_capabilities = capabilities;
    return errata_itlb_multihit(&facts);
}

static void test_itlb_multihit(void **state)
{
    (void)state;
    static const uint32_t affected[] = {0x2a, 0x3d, 0x45, 0x4e, 0x55, 0x5e, 0x66, 0x8e, 0x9e};

    for (size_t i = 0; i < sizeof(affected) / sizeof(affected[0]); i++) {
        assert_true(multihit(CPU_INTEL, 6, affected[i], 0));
        assert_true(multihit(CPU_INTEL, 6, affected[i], ~PSCHANGE_MC_NO));
        assert_false(multihit(CPU_INTEL, 6, affected[i], PSCHANGE_MC_NO));
    }
    assert_false(multihit(CPU_AMD, 0x17, 0x31, 0));
    assert_false(multihit(CPU_AMD, 6, 0x3d, 0));
    assert_false(multihit(CPU_OTHER, 6, 0x3d, 0));
}

static void test_itlb_multihit_atoms(void **state)
{
    (void)state;
    static const uint32_t sound[] = {0x37, 0x4a, 0x4c, 0x4d, 0x57, 0x5a,
                                     0x5c, 0x5f, 0x75, 0x7a, 0x85, 0x86};
    unsigned found = 0;

    for (uint32_t model = 0; model < 0x100; model++) {
        found += multihit(CPU_INTEL, 6, model, 0) ? 0 : 1;
    }
    assert_int_equal(found, sizeof(sound) / sizeof(sound[0]));
    for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++) {
        assert_false(multihit(CPU_INTEL, 6, sound[i], 0));
        assert_true(multihit(CPU_INTEL, 0xf, sound[i], 0)); /* the numbers mean family 6 */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_itlb_multihit),
        cmocka_unit_test(test_itlb_multihit_atoms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
