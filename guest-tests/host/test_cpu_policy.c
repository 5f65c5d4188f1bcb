/* Tests of what a guest is told of its CPU: each leaf, what follows from features, and MSRs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/cpu_policy.h"
#include "vmm/virtualization.h"

#define SOUND            (GUEST_HAS_RDRAND | GUEST_HAS_RDSEED)
#define ALL_INSTRUCTIONS (GUEST_HAS_RDTSCP | GUEST_HAS_INVPCID | SOUND)
#define LAST_BASIC       0x20U
#define LAST_EXTENDED    0x80000021U

/* The machine that is played: what it answers for a leaf that no row names. */
struct played_leaf {
    uint32_t leaf;
    uint32_t subleaf;
    struct cpuid_registers answer;
};

static struct played_leaf played[16];
static unsigned played_count;
static uint32_t played_default;
static uint32_t last_basic;
static uint32_t last_extended;
static struct cpu_policy policy;

static struct cpuid_registers play(uint32_t leaf, uint32_t subleaf)
{
    const struct cpuid_registers standard = {played_default, played_default, played_default,
                                             played_default};

    for (unsigned i = 0; i < played_count; i++) {
        if (played[i].leaf == leaf && played[i].subleaf == subleaf) {
            return played[i].answer;
        }
    }
    if (leaf == 0) {
        return (struct cpuid_registers){last_basic, 0x756e6547, 0x6c65746e, 0x49656e69};
    }
    if (leaf == 0x80000000) {
        return (struct cpuid_registers){last_extended, 0x11, 0x22, 0x33};
    }
    return standard;
}

static int set_up(void **state)
{
    (void)state;
    played_count = 0;
    played_default = UINT32_MAX;
    last_basic = LAST_BASIC;
    last_extended = LAST_EXTENDED;
    policy = (struct cpu_policy){.host = play, .instructions = ALL_INSTRUCTIONS};
    return 0;
}

static void play_leaf(uint32_t leaf, uint32_t subleaf, struct cpuid_registers answer)
{
    assert_in_range(played_count, 0, 15);
    played[played_count++] = (struct played_leaf){leaf, subleaf, answer};
}

static struct cpuid_registers ask(uint32_t leaf, uint32_t subleaf)
{
    const struct cpuid_context context = {.apic_id = 3, .vcpu_count = 4};

    return cpu_policy_cpuid(&policy, &context, leaf, subleaf);
}

static void assert_leaf(uint32_t leaf, uint32_t subleaf, struct cpuid_registers expected)
{
    struct cpuid_registers answer = ask(leaf, subleaf);

    assert_int_equal(answer.eax, expected.eax);
    assert_int_equal(answer.ebx, expected.ebx);
    assert_int_equal(answer.ecx, expected.ecx);
    assert_int_equal(answer.edx, expected.edx);
}

/* A machine that has everything shows what has a row, and nothing else. */
static void test_everything(void **state)
{
    (void)state;
    cpu_policy_init(&policy);
    assert_leaf(1, 0, (struct cpuid_registers){UINT32_MAX, 0x0304ff00, 0xf7fa3203, 0x178bab7f});
    assert_leaf(6, 0, (struct cpuid_registers){4, 0, 0, 0});
    assert_leaf(7, 0, (struct cpuid_registers){0, 0x219c07a9, 0x400704, 0xac000400});
    assert_leaf(7, 1, (struct cpuid_registers){0});
    assert_int_equal(ask(0xd, 1).eax, 7);
    assert_leaf(0x80000001, 0, (struct cpuid_registers){0, 0, 0x1f1, 0x2c500800});
    assert_leaf(0x80000007, 0, (struct cpuid_registers){0, 0, 0, 0x100});
    assert_leaf(0x80000008, 0, (struct cpuid_registers){0xffff, 0x0100d000, 3, 0});
    assert_int_equal(policy.cr4_allowed, 0x370fff);
    assert_int_equal(policy.xcr0_allowed, 7);
}

/* A machine that has nothing shows what is ours to give. */
static void test_nothing(void **state)
{
    (void)state;
    played_default = 0;
    cpu_policy_init(&policy);
    assert_leaf(1, 0, (struct cpuid_registers){0, 0x03040000, 0x81200000, 0x10000200});
    assert_leaf(6, 0, (struct cpuid_registers){4, 0, 0, 0});
    assert_leaf(7, 0, (struct cpuid_registers){0});
    for (uint32_t subleaf = 0; subleaf < 66; subleaf++) {
        assert_leaf(0xd, subleaf, (struct cpuid_registers){0});
    }
    assert_leaf(0x80000001, 0, (struct cpuid_registers){0});
    assert_leaf(0x80000007, 0, (struct cpuid_registers){0, 0, 0, 0x100});
    assert_leaf(0x80000008, 0, (struct cpuid_registers){0, 0, 3, 0});
    assert_int_equal(policy.cr4_allowed, CR4_MCE | CR4_PCE);
    assert_int_equal(policy.xcr0_allowed, 0);
}

/* Beyond its last leaf an Intel CPU answers with another leaf's data: not to be believed. */
static void test_old_machine(void **state)
{
    (void)state;
    last_basic = 5;
    last_extended = 0x80000001;
    cpu_policy_init(&policy);
    assert_leaf(7, 0, (struct cpuid_registers){0});
    assert_leaf(6, 0, (struct cpuid_registers){4, 0, 0, 0});
    assert_leaf(0x80000007, 0, (struct cpuid_registers){0, 0, 0, 0x100});
    assert_leaf(0x80000008, 0, (struct cpuid_registers){0, 0, 3, 0});
    assert_leaf(0x80000002, 0, (struct cpuid_registers){0});
    last_basic = 3;
    assert_leaf(4, 0, (struct cpuid_registers){0});
}

/* An initialised policy is made anew, whatever it held. */
static void test_init_starts_afresh(void **state)
{
    (void)state;
    cpu_policy_init(&policy);
    played_default = 0;
    cpu_policy_init(&policy);
    assert_int_equal(policy.cr4_allowed, CR4_MCE | CR4_PCE);
    assert_int_equal(policy.xcr0_allowed, 0);
    assert_leaf(7, 0, (struct cpuid_registers){0});
}

/* Instructions that the hardware would not execute for a guest are not shown. */
static void test_missing_instructions(void **state)
{
    (void)state;
    policy.instructions = SOUND;
    cpu_policy_init(&policy);
    assert_leaf(7, 0, (struct cpuid_registers){0, 0x219c03a9, 0x704, 0xac000400});
    assert_leaf(0x80000001, 0, (struct cpuid_registers){0, 0, 0x1f1, 0x24500800});
    policy.instructions = GUEST_HAS_RDTSCP | SOUND;
    cpu_policy_init(&policy);
    assert_leaf(7, 0, (struct cpuid_registers){0, 0x219c03a9, 0x400704, 0xac000400});
    assert_leaf(0x80000001, 0, (struct cpuid_registers){0, 0, 0x1f1, 0x2c500800});
    policy.instructions = GUEST_HAS_INVPCID | SOUND;
    cpu_policy_init(&policy);
    assert_leaf(7, 0, (struct cpuid_registers){0, 0x219c07a9, 0x704, 0xac000400});
    assert_leaf(0x80000001, 0, (struct cpuid_registers){0, 0, 0x1f1, 0x24500800});
}

/* Nor are those that are unsound here. */
static void test_unsound_instructions(void **state)
{
    (void)state;
    policy.instructions = ALL_INSTRUCTIONS & ~GUEST_HAS_RDSEED;
    cpu_policy_init(&policy);
    assert_int_equal(ask(7, 0).ebx & 1U << 18, 0);
    assert_int_not_equal(ask(1, 0).ecx & 1U << 30, 0);
    policy.instructions = ALL_INSTRUCTIONS & ~GUEST_HAS_RDRAND;
    cpu_policy_init(&policy);
    assert_int_not_equal(ask(7, 0).ebx & 1U << 18, 0);
    assert_int_equal(ask(1, 0).ecx & 1U << 30, 0);
}

/* A machine with one feature: the CR4 bits that go with it, and no others. */
static void test_control_register_bits(void **state)
{
    (void)state;
    static const struct {
        uint32_t leaf;
        struct cpuid_registers host;
        uint64_t cr4;
    } cases[] = {
        {1, {.ecx = 1U << 17}, CR4_PCIDE},
        {1, {.ecx = 1U << 26}, CR4_OSXSAVE},
        {1, {.ecx = 1U << 5}, 0}, /* VMX */
        {1, {.ecx = 1U << 6}, 0}, /* SMX */
        {1, {.edx = 1U << 1}, CR4_VME | CR4_PVI},
        {1, {.edx = 1U << 2}, CR4_DE},
        {1, {.edx = 1U << 3}, CR4_PSE},
        {1, {.edx = 1U << 4}, CR4_TSD},
        {1, {.edx = 1U << 6}, CR4_PAE},
        {1, {.edx = 1U << 13}, CR4_PGE},
        {1, {.edx = 1U << 24}, CR4_OSFXSR},
        {1, {.edx = 1U << 25}, CR4_OSXMMEXCPT},
        {7, {.ebx = 1U << 0}, CR4_FSGSBASE},
        {7, {.ebx = 1U << 7}, CR4_SMEP},
        {7, {.ebx = 1U << 20}, CR4_SMAP},
        {7, {.ecx = 1U << 2}, CR4_UMIP},
        {7, {.ecx = 1U << 3}, 0},  /* PKU */
        {7, {.ecx = 1U << 7}, 0},  /* CET */
        {7, {.ecx = 1U << 16}, 0}, /* LA57 */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint64_t expected = CR4_MCE | CR4_PCE | cases[i].cr4;

        played_default = 0;
        played_count = 0;
        play_leaf(cases[i].leaf, 0, cases[i].host);
        cpu_policy_init(&policy);
        assert_int_equal(policy.cr4_allowed, expected);
        for (unsigned bit = 0; bit < 64; bit++) {
            assert_int_equal(cpu_policy_cr4_valid(&policy, 1ULL << bit), expected >> bit & 1);
        }
        assert_true(cpu_policy_cr4_valid(&policy, expected));
        assert_true(cpu_policy_cr4_valid(&policy, 0));
    }
}

static void test_vendor_leaves(void **state)
{
    (void)state;
    cpu_policy_init(&policy);
    assert_leaf(0, 0, (struct cpuid_registers){0x15, 0x756e6547, 0x6c65746e, 0x49656e69});
    assert_leaf(0x80000000, 0, (struct cpuid_registers){0x80000008, 0x11, 0x22, 0x33});
}

/* The machine's own for caches' descriptors and the brand string; nothing for what has no rule. */
static void test_passed_and_hidden_leaves(void **state)
{
    (void)state;
    static const uint32_t passed[] = {2,          0x80000002, 0x80000003,
                                      0x80000004, 0x80000005, 0x80000006};
    static const uint32_t hidden[] = {3,          5,          8,          9,          0xa,
                                      0xc,        0xe,        0xf,        0x10,       0x12,
                                      0x14,       0x16,       0x1f,       0x20,       0x3fffffff,
                                      0x40000002, 0x40000100, 0x80000009, 0x8000000a, 0x8000001f,
                                      0x80860000, 0xc0000000, UINT32_MAX};

    cpu_policy_init(&policy);
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        played_count = 0;
        play_leaf(passed[i], 0, (struct cpuid_registers){1, 2, 3, passed[i]});
        assert_leaf(passed[i], 9, (struct cpuid_registers){1, 2, 3, passed[i]});
    }
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        assert_leaf(hidden[i], 0, (struct cpuid_registers){0});
    }
}

/* Each vCPU has its caches for itself. */
static void test_caches(void **state)
{
    (void)state;
    play_leaf(4, 0, (struct cpuid_registers){0xfc3fc121, 0x01c0003f, 0x3f, 1});
    play_leaf(4, 4, (struct cpuid_registers){0, 0, 0, 0});
    cpu_policy_init(&policy);
    assert_leaf(4, 0, (struct cpuid_registers){0x121, 0x01c0003f, 0x3f, 1});
    assert_leaf(4, 4, (struct cpuid_registers){0});
}

static void test_hypervisor_leaves(void **state)
{
    (void)state;
    char signature[13] = "";

    cpu_policy_init(&policy);
    struct cpuid_registers answer = ask(0x40000000, 0);

    assert_int_equal(answer.eax, 0x40000001);
    memcpy(signature, &answer.ebx, 4);
    memcpy(signature + 4, &answer.ecx, 4);
    memcpy(signature + 8, &answer.edx, 4);
    assert_string_equal(signature, "KVMKVMKVM");
    assert_leaf(0x40000001, 0, (struct cpuid_registers){0x0100004a, 0, 0, 0});
}

static void test_tsc_leaf(void **state)
{
    (void)state;
    cpu_policy_init(&policy);
    policy.tsc_frequency = 2593906000;
    assert_leaf(0x15, 0, (struct cpuid_registers){1, 1, 2593906000, 0});
    policy.tsc_frequency = UINT32_MAX;
    assert_leaf(0x15, 0, (struct cpuid_registers){1, 1, UINT32_MAX, 0});
    policy.tsc_frequency = 1ULL << 32; /* does not fit: not enumerated */
    assert_leaf(0x15, 0, (struct cpuid_registers){0});
}

/* CPUID.1:ECX.OSXSAVE mirrors the asking vCPU's CR4. */
static void test_osxsave(void **state)
{
    (void)state;
    struct cpuid_context context = {.vcpu_count = 1};

    cpu_policy_init(&policy);
    assert_int_equal(cpu_policy_cpuid(&policy, &context, 1, 0).ecx >> 27 & 1, 0);
    context.cr4 = ~CR4_OSXSAVE;
    assert_int_equal(cpu_policy_cpuid(&policy, &context, 1, 0).ecx >> 27 & 1, 0);
    context.cr4 = CR4_OSXSAVE;
    assert_int_equal(cpu_policy_cpuid(&policy, &context, 1, 0).ecx >> 27 & 1, 1);
}

/* One package, a core for each vCPU, one thread each: as a guest works it out (SDM 3A, 9.9). */
static void test_topology(void **state)
{
    (void)state;
    cpu_policy_init(&policy);
    for (uint32_t count = 1; count <= 64; count++) {
        for (uint32_t id = 0; id < count; id++) {
            const struct cpuid_context context = {.apic_id = id, .vcpu_count = count};
            struct cpuid_registers basic = cpu_policy_cpuid(&policy, &context, 1, 0);
            struct cpuid_registers thread = cpu_policy_cpuid(&policy, &context, 0xb, 0);
            struct cpuid_registers core = cpu_policy_cpuid(&policy, &context, 0xb, 1);
            struct cpuid_registers end = cpu_policy_cpuid(&policy, &context, 0xb, 2);

            assert_int_equal(basic.ebx, id << 24 | count << 16 | 0xff00);
            assert_int_equal(basic.edx >> 28 & 1, count > 1);
            assert_int_equal(thread.eax, 0);
            assert_int_equal(thread.ebx, 1);
            assert_int_equal(thread.ecx, 0x100);
            assert_int_equal(thread.edx, id);
            assert_int_equal(id >> core.eax, 0);
            assert_true(1U << core.eax < 2 * count);
            assert_int_equal(core.ebx, count);
            assert_int_equal(core.ecx, 0x201);
            assert_int_equal(core.edx, id);
            assert_int_equal(end.eax | end.ebx, 0);
            assert_int_equal(end.ecx, 2); /* no level */
            assert_int_equal(end.edx, id);
            assert_int_equal(cpu_policy_cpuid(&policy, &context, 0x80000008, 0).ecx, count - 1);
        }
    }
    assert_int_equal(ask(0xb, 0x12345678).ecx, 0x78);
}

/* What says on AMD's that several logical processors are cores, and not threads. */
static void test_cmp_legacy(void **state)
{
    (void)state;
    static const struct {
        struct cpuid_registers vendor;
        bool amd;
    } vendors[] = {
        {{0xd, 0x68747541, 0x444d4163, 0x69746e65}, true},
        {{0xd, 0x6f677948, 0x656e6975, 0x6e65476e}, true},
        {{0xd, 0x756e6547, 0x6c65746e, 0x49656e69}, false},
    };

    for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
        set_up(NULL);
        play_leaf(0, 0, vendors[i].vendor);
        cpu_policy_init(&policy);
        for (uint32_t count = 1; count <= 3; count++) {
            const struct cpuid_context context = {.vcpu_count = count};
            uint32_t ecx = cpu_policy_cpuid(&policy, &context, 0x80000001, 0).ecx;

            assert_int_equal(ecx & 2, vendors[i].amd && count > 1 ? 2 : 0);
        }
    }
}

/* A machine with AVX-512 and more: what is not shown takes no room. */
static void test_xsave_sizes(void **state)
{
    (void)state;
    play_leaf(0xd, 0, (struct cpuid_registers){0x2e7, 832, 2696, 1});
    play_leaf(0xd, 1, (struct cpuid_registers){0xf, 832, 0x100, 0});
    play_leaf(0xd, 2, (struct cpuid_registers){256, 576, 0, 0});
    cpu_policy_init(&policy);
    assert_int_equal(policy.xcr0_allowed, 7);
    assert_leaf(0xd, 0, (struct cpuid_registers){7, 832, 832, 0});
    assert_leaf(0xd, 1, (struct cpuid_registers){7, 832, 0, 0});
    assert_leaf(0xd, 2, (struct cpuid_registers){256, 576, 0, 0});
    for (uint32_t subleaf = 3; subleaf < 70; subleaf++) {
        assert_leaf(0xd, subleaf, (struct cpuid_registers){0});
    }
    assert_leaf(0xd, UINT32_MAX, (struct cpuid_registers){0});
}

static void test_xsave_without_avx(void **state)
{
    (void)state;
    play_leaf(1, 0, (struct cpuid_registers){.ecx = 1U << 26});
    play_leaf(0xd, 0, (struct cpuid_registers){3, 576, 576, 0});
    play_leaf(0xd, 1, (struct cpuid_registers){.eax = 1});
    cpu_policy_init(&policy);
    assert_int_equal(policy.xcr0_allowed, 3);
    assert_leaf(0xd, 0, (struct cpuid_registers){3, 576, 576, 0});
    assert_leaf(0xd, 1, (struct cpuid_registers){1, 0, 0, 0});
    assert_leaf(0xd, 2, (struct cpuid_registers){0});
}

static void test_xcr0(void **state)
{
    (void)state;
    static const bool valid[16] = {[1] = true, [3] = true, [7] = true};

    cpu_policy_init(&policy);
    for (uint64_t value = 0; value < 16; value++) {
        assert_int_equal(cpu_policy_xcr0_valid(&policy, value), valid[value]);
    }
    assert_false(cpu_policy_xcr0_valid(&policy, 1ULL << 63 | 1));
    assert_false(cpu_policy_xcr0_valid(&policy, 0xe7));
    policy.xcr0_allowed = 3;
    assert_true(cpu_policy_xcr0_valid(&policy, 3));
    assert_false(cpu_policy_xcr0_valid(&policy, 7));
    policy.xcr0_allowed = 0;
    assert_false(cpu_policy_xcr0_valid(&policy, 1));
}

static void test_cr0(void **state)
{
    (void)state;
    assert_true(cpu_policy_cr0_valid(CR0_ET));
    assert_true(cpu_policy_cr0_valid(CR0_PE | CR0_PG | CR0_WP | CR0_NE));
    assert_true(cpu_policy_cr0_valid(CR0_CD));
    assert_true(cpu_policy_cr0_valid(CR0_CD | CR0_NW));
    assert_false(cpu_policy_cr0_valid(CR0_NW));
    assert_false(cpu_policy_cr0_valid(CR0_PG));
    assert_false(cpu_policy_cr0_valid(1ULL << 32));
    assert_false(cpu_policy_cr0_valid(1ULL << 63 | CR0_PE));
}

static void test_efer(void **state)
{
    (void)state;
    const uint64_t all = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

    cpu_policy_init(&policy);
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_int_equal(cpu_policy_efer_valid(&policy, 1ULL << bit), all >> bit & 1);
    }
    assert_true(cpu_policy_efer_valid(&policy, all));
    assert_true(cpu_policy_efer_valid(&policy, 0));
    assert_false(cpu_policy_efer_valid(&policy, EFER_SVME | EFER_NXE));
    play_leaf(0x80000001, 0, (struct cpuid_registers){.edx = 1U << 20});
    cpu_policy_init(&policy);
    assert_true(cpu_policy_efer_valid(&policy, EFER_NXE));
    assert_false(cpu_policy_efer_valid(&policy, EFER_SCE));
    assert_false(cpu_policy_efer_valid(&policy, EFER_LME));
}

/* Rights by MSR, as the maps get them. */
static struct {
    uint32_t index;
    unsigned rights;
} passes[32];
static unsigned pass_count;

static void record_pass(void *context, uint32_t index, unsigned rights)
{
    assert_ptr_equal(context, passes);
    assert_in_range(pass_count, 0, 31);
    passes[pass_count].index = index;
    passes[pass_count++].rights = rights;
}

static unsigned rights_of(uint32_t index)
{
    unsigned rights = 0;

    for (unsigned i = 0; i < pass_count; i++) {
        rights |= passes[i].index == index ? passes[i].rights : 0;
    }
    return rights;
}

static void collect_passes(void)
{
    cpu_policy_init(&policy);
    pass_count = 0;
    cpu_policy_passed_msrs(&policy, record_pass, passes);
}

static void test_passed_always(void **state)
{
    (void)state;
    static const uint32_t always[] = {MSR_SYSENTER_CS, MSR_SYSENTER_ESP,  MSR_SYSENTER_EIP,
                                      MSR_PAT,         MSR_STAR,          MSR_LSTAR,
                                      MSR_CSTAR,       MSR_SYSCALL_MASK,  MSR_FS_BASE,
                                      MSR_GS_BASE,     MSR_KERNEL_GS_BASE};
    const unsigned count = sizeof(always) / sizeof(always[0]);

    played_default = 0;
    collect_passes();
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(rights_of(always[i]), MSR_PASS_READ | MSR_PASS_WRITE);
    }
    assert_int_equal(rights_of(MSR_TSC), MSR_PASS_READ);
    assert_int_equal(pass_count, count + 1);
}

/* An MSR reaches the hardware if a feature that is shown says that it exists (SDM Vol. 4, 2.1). */
static void test_passed_with_features(void **state)
{
    (void)state;
    const unsigned all = MSR_PASS_READ | MSR_PASS_WRITE;
    static const struct {
        uint32_t leaf;
        struct cpuid_registers host;
        unsigned control;
        unsigned command;
        unsigned tsc_aux;
    } cases[] = {
        {7, {.edx = 1U << 26}, 3, MSR_PASS_WRITE, 0},
        {7, {.edx = 1U << 27}, 3, 0, 0},
        {7, {.edx = 1U << 31}, 3, 0, 0},
        {7, {.edx = 1U << 29}, 0, 0, 0},
        {0x80000001, {.edx = 1U << 27}, 0, 0, 3},
        {0x80000008, {.ebx = 1U << 12}, 0, MSR_PASS_WRITE, 0},
        {0x80000008, {.ebx = 1U << 14}, 3, 0, 0},
        {0x80000008, {.ebx = 1U << 15}, 3, 0, 0},
        {0x80000008, {.ebx = 1U << 24}, 3, 0, 0},
    };

    assert_int_equal(all, 3);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        played_default = 0;
        played_count = 0;
        play_leaf(cases[i].leaf, 0, cases[i].host);
        collect_passes();
        assert_int_equal(rights_of(MSR_SPEC_CTRL), cases[i].control);
        assert_int_equal(rights_of(MSR_PRED_CMD), cases[i].command);
        assert_int_equal(rights_of(MSR_TSC_AUX), cases[i].tsc_aux);
        assert_int_equal(rights_of(MSR_TSC), MSR_PASS_READ);
    }
    /* The machine has it, but the guest is not shown it. */
    set_up(NULL);
    policy.instructions = 0;
    collect_passes();
    assert_int_equal(rights_of(MSR_TSC_AUX), 0);
    assert_int_equal(rights_of(MSR_SPEC_CTRL), all);
}

/* Nothing that matters to the machine, nor that we answer ourselves, is ever passed. */
static void test_never_passed(void **state)
{
    (void)state;
    static const uint32_t never[] = {MSR_APIC_BASE,
                                     MSR_FEATURE_CONTROL,
                                     MSR_MICROCODE_REVISION,
                                     MSR_ARCH_CAPABILITIES,
                                     MSR_MISC_ENABLE,
                                     MSR_TSC_DEADLINE,
                                     MSR_EFER,
                                     MSR_VM_CR,
                                     MSR_VM_HSAVE_PA,
                                     MSR_VMX_BASIC,
                                     0x79,
                                     0x1d9,
                                     0x2ff,
                                     0xda0,
                                     0x830};

    collect_passes();
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        assert_int_equal(rights_of(never[i]), 0);
    }
    assert_int_equal(rights_of(MSR_TSC), MSR_PASS_READ);
}

static void test_constant_msrs(void **state)
{
    (void)state;
    static const struct {
        uint32_t index;
        uint64_t value;
    } rows[] = {{0x17, 0},
                {0x34, 0},
                {0x3a, 1},
                {0x8b, UINT64_MAX},
                {0xce, 0},
                {0x140, 0},
                {0x179, 0},
                {0x1a0, 1},
                {0x1d9, 0},
                {0xc0010000, 0},
                {0xc0010007, 0},
                {0xc0010010, 0},
                {0xc0010015, 1U << 24},
                {0xc001001f, 0},
                {0xc0011029, 2}};

    cpu_policy_init(&policy);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t value = 0x5a5a;

        assert_true(cpu_policy_msr_read(&policy, rows[i].index, &value));
        assert_int_equal(value, rows[i].value);
        assert_true(cpu_policy_msr_write(&policy, rows[i].index));
    }
}

static void test_unknown_msrs(void **state)
{
    (void)state;
    static const uint32_t unknown[] = {0,     1,          0x1b,       0x3b,       0xfe,      0x10b,
                                       0x122, 0x123,      0x2ff,      0x480,      0x611,     0xda0,
                                       0x800, 0xc0000080, 0xc0010114, 0xc0010117, 0x40000000};

    cpu_policy_init(&policy);
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        uint64_t value = 0x5a5a;

        assert_false(cpu_policy_msr_read(&policy, unknown[i], &value));
        assert_int_equal(value, 0x5a5a);
        assert_false(cpu_policy_msr_write(&policy, unknown[i]));
    }
}

/*
 * IA32_ARCH_CAPABILITIES tells of the machine's immunities, but of no MSR that the guest does not
 * have (SDM Vol. 4, table 2-2): TSX_CTRL, MCU_CONTROL, MISC_PACKAGE_CTLS, ENERGY_FILTERING, DOITM,
 * MCU enumeration, FB_CLEAR_CTRL, XAPIC_DISABLE, OVERCLOCKING, GDS_CTRL.
 */
static void test_arch_capabilities(void **state)
{
    (void)state;
    static const uint8_t shown[] = {0,  1,  2,  3,  4,  5,  6,  8,  13, 14,
                                    15, 17, 19, 20, 24, 26, 27, 28, 62};
    uint64_t expected = 0;
    uint64_t value = 0x5a5a;

    for (size_t i = 0; i < sizeof(shown); i++) {
        expected |= 1ULL << shown[i];
    }
    cpu_policy_init(&policy);
    policy.arch_capabilities = UINT64_MAX;
    assert_true(cpu_policy_msr_read(&policy, MSR_ARCH_CAPABILITIES, &value));
    assert_int_equal(value, expected);
    policy.arch_capabilities = 0x2b;
    assert_true(cpu_policy_msr_read(&policy, MSR_ARCH_CAPABILITIES, &value));
    assert_int_equal(value, 0x2b);
    assert_false(cpu_policy_msr_write(&policy, MSR_ARCH_CAPABILITIES));
    play_leaf(7, 0, (struct cpuid_registers){.edx = ~(1U << 29)});
    cpu_policy_init(&policy);
    assert_false(cpu_policy_msr_read(&policy, MSR_ARCH_CAPABILITIES, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_everything, set_up),
        cmocka_unit_test_setup(test_nothing, set_up),
        cmocka_unit_test_setup(test_old_machine, set_up),
        cmocka_unit_test_setup(test_init_starts_afresh, set_up),
        cmocka_unit_test_setup(test_missing_instructions, set_up),
        cmocka_unit_test_setup(test_unsound_instructions, set_up),
        cmocka_unit_test_setup(test_control_register_bits, set_up),
        cmocka_unit_test_setup(test_vendor_leaves, set_up),
        cmocka_unit_test_setup(test_passed_and_hidden_leaves, set_up),
        cmocka_unit_test_setup(test_caches, set_up),
        cmocka_unit_test_setup(test_hypervisor_leaves, set_up),
        cmocka_unit_test_setup(test_tsc_leaf, set_up),
        cmocka_unit_test_setup(test_osxsave, set_up),
        cmocka_unit_test_setup(test_topology, set_up),
        cmocka_unit_test_setup(test_cmp_legacy, set_up),
        cmocka_unit_test_setup(test_xsave_sizes, set_up),
        cmocka_unit_test_setup(test_xsave_without_avx, set_up),
        cmocka_unit_test_setup(test_xcr0, set_up),
        cmocka_unit_test_setup(test_cr0, set_up),
        cmocka_unit_test_setup(test_efer, set_up),
        cmocka_unit_test_setup(test_passed_always, set_up),
        cmocka_unit_test_setup(test_passed_with_features, set_up),
        cmocka_unit_test_setup(test_never_passed, set_up),
        cmocka_unit_test_setup(test_constant_msrs, set_up),
        cmocka_unit_test_setup(test_unknown_msrs, set_up),
        cmocka_unit_test_setup(test_arch_capabilities, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
