/* Tests of what is cleared between guests: by feature bits, and by AMD's families and models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/resident_abilities.h"

#define IBPB     (1U << 12)
#define IBPB_RET (1U << 30)
#define POINTERS (1U << 2)

/* The machine that host_cpuid() plays. */
static struct {
    struct cpuid_registers leaf_0, leaf_1, leaf_7;
    uint32_t ext_last, ext_1_edx, ext_8_ebx;
} host;

static struct cpuid_registers host_cpuid(uint32_t leaf, uint32_t subleaf)
{
    assert_int_equal(subleaf, 0);
    switch (leaf) {
    case 0:
        return host.leaf_0;
    case 1:
        return host.leaf_1;
    case 7:
        return host.leaf_7;
    case 0x80000000:
        return (struct cpuid_registers){.eax = host.ext_last};
    case 0x80000001:
        return (struct cpuid_registers){.edx = host.ext_1_edx};
    case 0x80000008:
        return (struct cpuid_registers){.ebx = host.ext_8_ebx};
    default:
        fail_msg("leaf 0x%x", leaf);
        return (struct cpuid_registers){0};
    }
}

static void play(const char *vendor, uint32_t signature)
{
    memset(&host, 0, sizeof(host));
    host.leaf_0.eax = 7;
    memcpy(&host.leaf_0.ebx, vendor, 4);
    memcpy(&host.leaf_0.edx, vendor + 4, 4);
    memcpy(&host.leaf_0.ecx, vendor + 8, 4);
    host.leaf_1.eax = signature;
    host.ext_last = 0x80000008;
}

static struct resident_abilities find(uint64_t arch_capabilities)
{
    struct resident_abilities abilities;

    resident_abilities_find(&abilities, host_cpuid, 7, arch_capabilities);
    assert_int_equal(abilities.xcr0, 7);
    return abilities;
}

static void test_nothing_is_offered(void **state)
{
    (void)state;
    const struct resident_abilities none = {.xcr0 = 7};
    struct resident_abilities found;

    play("GenuineIntel", 0x000306d4);
    found = find(0);
    assert_memory_equal(&found, &none, sizeof(none));
    /* Leaves beyond the last are not asked. */
    host.leaf_0.eax = 6;
    host.leaf_7.edx = UINT32_MAX;
    host.ext_last = 0x80000007;
    host.ext_8_ebx = UINT32_MAX;
    found = find(0);
    assert_memory_equal(&found, &none, sizeof(none));
}

static void test_feature_bits(void **state)
{
    (void)state;
    static const struct {
        uint32_t leaf_7_edx, ext_1_edx, ext_8_ebx;
        struct resident_abilities expected;
    } cases[] = {
        {1U << 10, 0, 0, {.xcr0 = 7, .clears_buffers = true}},
        {1U << 26, 0, 0, {.xcr0 = 7, .spec_ctrl = true, .prediction_barrier = true}},
        {1U << 27, 0, 0, {.xcr0 = 7, .spec_ctrl = true}},
        {1U << 28, 0, 0, {.xcr0 = 7, .flushes_cache = true}},
        {1U << 31, 0, 0, {.xcr0 = 7, .spec_ctrl = true}},
        {0, 1U << 27, 0, {.xcr0 = 7, .tsc_aux = true}},
        {0, 0, IBPB, {.xcr0 = 7, .prediction_barrier = true}},
        {0, 0, 1U << 14, {.xcr0 = 7, .spec_ctrl = true}},
        {0, 0, 1U << 15, {.xcr0 = 7, .spec_ctrl = true}},
        {0, 0, 1U << 24, {.xcr0 = 7, .spec_ctrl = true}},
        {~(7U << 26 | 1U << 10 | 1U << 31),
         ~(1U << 27),
         ~(IBPB | 1U << 14 | 1U << 15 | 1U << 24),
         {.xcr0 = 7}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct resident_abilities found;

        play("GenuineIntel", 0x000306d4);
        host.leaf_7.edx = cases[i].leaf_7_edx;
        host.ext_1_edx = cases[i].ext_1_edx;
        host.ext_8_ebx = cases[i].ext_8_ebx;
        found = find(0);
        assert_memory_equal(&found, &cases[i].expected, sizeof(found));
    }
}

static void test_the_cache_is_flushed_where_it_leaks(void **state)
{
    (void)state;
    play("GenuineIntel", 0x000306d4);
    host.leaf_7.edx = 1U << 28;
    assert_true(find(0).flushes_cache);
    assert_false(find(1U << 0).flushes_cache);
    assert_false(find(1U << 3).flushes_cache);
    assert_true(find(~(1ULL << 0 | 1ULL << 3)).flushes_cache);
}

/* Signatures of one processor of each core, and what CPUID does not say of it. */
static void test_amd(void **state)
{
    (void)state;
    static const struct {
        const char *vendor;
        uint32_t signature;
        bool amd, keeps_quotient, clears_buffers;
    } cases[] = {
        {"AuthenticAMD", 0x00630f81, true, false, false}, /* Kaveri, family 15h */
        {"AuthenticAMD", 0x00800f12, true, true, false},  /* Naples, Zen 1 */
        {"HygonGenuine", 0x00900f01, true, true, false},  /* Dhyana */
        {"AuthenticAMD", 0x00830f10, true, false, false}, /* Rome, Zen 2 */
        {"AuthenticAMD", 0x00a00f11, true, false, true},  /* Milan, Zen 3 */
        {"AuthenticAMD", 0x00a10f11, true, false, true},  /* Genoa, Zen 4 */
        {"AuthenticAMD", 0x00af0f00, true, false, true},  /* another of family 19h */
        {"AuthenticAMD", 0x00b40f40, true, false, false}, /* Granite Ridge, Zen 5 */
        {"GenuineIntel", 0x00a00f11, false, false, false},
        {"HygonGenuine", 0x00a00f11, true, false, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        play(cases[i].vendor, cases[i].signature);
        assert_int_equal(find(0).keeps_quotient, cases[i].keeps_quotient);
        assert_int_equal(find(0).clears_buffers, cases[i].clears_buffers);
        assert_int_equal(find(0).keeps_x87_pointers, cases[i].amd);
        assert_false(find(0).keeps_return_stack);
        host.ext_8_ebx = IBPB;
        assert_int_equal(find(0).keeps_return_stack, cases[i].amd);
        host.ext_8_ebx = IBPB | IBPB_RET;
        assert_false(find(0).keeps_return_stack);
        assert_int_equal(find(0).keeps_x87_pointers, cases[i].amd);
        host.ext_8_ebx = POINTERS;
        assert_false(find(0).keeps_x87_pointers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_offered),
        cmocka_unit_test(test_feature_bits),
        cmocka_unit_test(test_the_cache_is_flushed_where_it_leaks),
        cmocka_unit_test(test_amd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
