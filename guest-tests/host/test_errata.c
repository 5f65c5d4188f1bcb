/* Tests of what a CPU's faults are judged by: each fault's models and bits, and what lies beside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86/cpu/errata.h"

/* CPUID.7.2, 80000001H, 80000008H and 80000021H. */
#define BHI_CTRL       (1U << 4)
#define SVM            (1U << 2)
#define IBPB           (1U << 12)
#define AUTOMATIC_IBRS (1U << 8)
#define SRSO_NO        (1U << 29)
/* CPUID.7.0:EBX and EDX, and IA32_ARCH_CAPABILITIES. */
#define RTM                (1U << 11)
#define MD_CLEAR           (1U << 10)
#define IBRS               (1U << 26)
#define FLUSH_L1D          (1U << 28)
#define RDCL_NO            (1ULL << 0)
#define SKIP_L1DFL_VMENTRY (1ULL << 3)
#define MDS_NO             (1ULL << 5)
#define PSCHANGE_MC_NO     (1ULL << 6)
#define TSX_CTRL           (1ULL << 7)
#define TAA_NO             (1ULL << 8)
#define RFDS_NO            (1ULL << 27)
#define RFDS_CLEAR         (1ULL << 28)

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

static unsigned defences(uint32_t leaf_7_ebx, uint32_t leaf_7_edx, uint64_t capabilities)
{
    struct cpu_facts facts = facts_of(CPU_INTEL, 6, 0x55);

    facts.leaf_7_ebx = leaf_7_ebx;
    facts.leaf_7_edx = leaf_7_edx;
    facts.arch_capabilities = capabilities;
    return errata_defences(&facts);
}

static void test_buffers(void **state)
{
    (void)state;
    static const struct {
        uint32_t leaf_7_ebx;
        uint32_t leaf_7_edx;
        uint64_t capabilities;
        unsigned expected;
    } cases[] = {
        {0, 0, 0, 0},        /* an emulator; or microcode whose VERW clears nothing */
        {0, MD_CLEAR, 0, 1}, /* Broadwell, Skylake */
        {RTM, MD_CLEAR, 0, 1},
        {0, MD_CLEAR, MDS_NO, 0},   /* Ice Lake */
        {RTM, MD_CLEAR, MDS_NO, 1}, /* Cascade Lake: TAA */
        {RTM, MD_CLEAR, MDS_NO | TAA_NO, 0},
        {0, MD_CLEAR, MDS_NO | TSX_CTRL, 1}, /* TSX off, but there */
        {0, MD_CLEAR, MDS_NO | TSX_CTRL | TAA_NO, 0},
        {0, MD_CLEAR, TAA_NO, 1},
        {RTM, 0, 0, 0},
        {0, MD_CLEAR, MDS_NO | RFDS_CLEAR, 1}, /* Alder Lake */
        {0, 0, MDS_NO | RFDS_CLEAR, 1},
        {0, MD_CLEAR, MDS_NO | RFDS_CLEAR | RFDS_NO, 0},
        {0, MD_CLEAR, MDS_NO | RFDS_NO, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(defences(cases[i].leaf_7_ebx, cases[i].leaf_7_edx, cases[i].capabilities),
                         cases[i].expected);
    }
}

/* TSA: by family, for no bit of CPUID tells. */
static void test_buffers_of_amd(void **state)
{
    (void)state;
    const struct cpu_facts zen_2 = facts_of(CPU_AMD, 0x17, 0x31);
    const struct cpu_facts zen_3 = facts_of(CPU_AMD, 0x19, 0x01);
    const struct cpu_facts zen_4 = facts_of(CPU_AMD, 0x19, 0x11);
    const struct cpu_facts zen_5 = facts_of(CPU_AMD, 0x1a, 0x44);
    const struct cpu_facts other = facts_of(CPU_INTEL, 0x19, 0x11);

    assert_int_equal(errata_defences(&zen_2), 0);
    assert_int_equal(errata_defences(&zen_3), DEFENCE_CLEAR_BUFFERS);
    assert_int_equal(errata_defences(&zen_4), DEFENCE_CLEAR_BUFFERS);
    assert_int_equal(errata_defences(&zen_5), 0);
    assert_int_equal(errata_defences(&other), 0);
}

static void test_cache(void **state)
{
    (void)state;
    assert_int_equal(defences(0, FLUSH_L1D, 0), DEFENCE_FLUSH_CACHE);
    assert_int_equal(defences(0, FLUSH_L1D | MD_CLEAR, 0),
                     DEFENCE_FLUSH_CACHE | DEFENCE_CLEAR_BUFFERS);
    assert_int_equal(defences(0, FLUSH_L1D, RDCL_NO), 0);
    assert_int_equal(defences(0, FLUSH_L1D, SKIP_L1DFL_VMENTRY), 0);
    assert_int_equal(defences(0, FLUSH_L1D, ~(RDCL_NO | SKIP_L1DFL_VMENTRY | RFDS_CLEAR)),
                     DEFENCE_FLUSH_CACHE);

    struct cpu_facts amd = facts_of(CPU_AMD, 0x1a, 0x44);

    amd.leaf_7_edx = FLUSH_L1D;
    assert_int_equal(errata_defences(&amd), 0);
}

#define RESTRICTED (DEFENCE_FILL_RETURNS | DEFENCE_RESTRICT)
#define BARRIER    (DEFENCE_FILL_RETURNS | DEFENCE_BARRIER)

static void test_predictors(void **state)
{
    (void)state;
    static const struct {
        struct cpu_facts facts;
        unsigned expected;
    } cases[] = {
        {{.ext_1_ecx = ~SVM, .leaf_7_edx = ~(IBRS | FLUSH_L1D | MD_CLEAR)}, 0},
        {{.leaf_7_edx = IBRS}, RESTRICTED},
        {{.leaf_7_edx = IBRS, .ext_8_ebx = IBPB}, RESTRICTED},
        {{.ext_1_ecx = SVM}, 0},
        {{.ext_1_ecx = SVM, .ext_8_ebx = ~IBPB}, 0},
        {{.ext_1_ecx = SVM, .ext_8_ebx = IBPB}, BARRIER},
        {{.ext_1_ecx = SVM, .ext_8_ebx = IBPB, .leaf_7_edx = IBRS}, BARRIER}, /* KVM shows both */
        {{.ext_1_ecx = SVM, .ext_8_ebx = IBPB, .ext_21_eax = AUTOMATIC_IBRS}, BARRIER}, /* Zen 4 */
        {{.ext_1_ecx = SVM, .ext_8_ebx = IBPB, .ext_21_eax = SRSO_NO}, BARRIER},
        {{.ext_1_ecx = SVM, .ext_8_ebx = IBPB, .ext_21_eax = AUTOMATIC_IBRS | SRSO_NO},
         DEFENCE_FILL_RETURNS}, /* Zen 5 */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(errata_defences(&cases[i].facts), cases[i].expected);
    }
}

static void test_hypervisors_own_restriction(void **state)
{
    (void)state;
    const struct cpu_facts none = {.leaf_7_2_edx = ~BHI_CTRL, .ext_21_eax = ~AUTOMATIC_IBRS};
    const struct cpu_facts both = {.leaf_7_2_edx = BHI_CTRL, .ext_21_eax = AUTOMATIC_IBRS};

    assert_int_equal(errata_host_spec_ctrl(&none), 1);
    assert_int_equal(errata_host_spec_ctrl(&both), 0x401);
    assert_false(errata_automatic_ibrs(&none));
    assert_true(errata_automatic_ibrs(&both));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_itlb_multihit),
        cmocka_unit_test(test_itlb_multihit_atoms),
        cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_buffers_of_amd),
        cmocka_unit_test(test_predictors),
        cmocka_unit_test(test_hypervisors_own_restriction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
