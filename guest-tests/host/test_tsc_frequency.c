/* Tests of the time stamp counter's frequency: the leaves that state it, and the choice of samples.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/tsc_frequency.h"

/* A machine's CPUID, as far as it is asked. */
static struct {
    uint32_t highest; /* leaf */
    struct cpuid_registers tsc;
    bool below; /* a hypervisor is */
    uint32_t below_highest;
    char name[12];
    uint32_t kilohertz;
} machine;

static struct cpuid_registers ask(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_registers answer = {0};

    assert_int_equal(subleaf, 0);
    switch (leaf) {
    case 0:
        answer.eax = machine.highest;
        break;
    case 1:
        answer.ecx = machine.below ? 0x80000000U : 0x7fffffffU;
        break;
    case 0x15:
        assert_in_range(machine.highest, 0x15, UINT32_MAX);
        answer = machine.tsc;
        break;
    case 0x40000000:
        assert_true(machine.below);
        answer.eax = machine.below_highest;
        memcpy(&answer.ebx, machine.name, 4);
        memcpy(&answer.ecx, machine.name + 4, 4);
        memcpy(&answer.edx, machine.name + 8, 4);
        break;
    case 0x40000010:
        assert_in_range(machine.below_highest, 0x40000010, UINT32_MAX);
        answer.eax = machine.kilohertz;
        answer.ebx = 1000000; /* of the APIC's timer */
        break;
    default:
        fail_msg("leaf 0x%x", leaf);
    }
    return answer;
}

static uint64_t stated(uint32_t highest, uint32_t denominator, uint32_t numerator, uint32_t crystal)
{
    machine.highest = highest;
    machine.tsc = (struct cpuid_registers){denominator, numerator, crystal, 0};
    return tsc_frequency_stated(ask);
}

/* SDM Vol. 2A, CPUID, leaf 15H: crystal * EBX / EAX, and what is 0 is not enumerated. */
static void test_stated_by_the_cpu(void **state)
{
    (void)state;
    assert_int_equal(stated(0x16, 2, 188, 24000000), 2256000000);
    assert_int_equal(stated(0x15, 3, 250, 38400000), 3200000000);
    assert_int_equal(stated(0x15, 1, 500, 4000000000), 2000000000000); /* more than 32 bits */
    assert_int_equal(stated(0x14, 2, 188, 24000000), 0);
    assert_int_equal(stated(0x16, 0, 188, 24000000), 0);
    assert_int_equal(stated(0x16, 2, 0, 24000000), 0);
    assert_int_equal(stated(0x16, 2, 188, 0), 0);
}

static uint64_t below(bool present, const char *name, uint32_t highest, uint32_t kilohertz)
{
    machine.below = present;
    memset(machine.name, 0, sizeof(machine.name));
    memcpy(machine.name, name, strlen(name));
    machine.below_highest = highest;
    machine.kilohertz = kilohertz;
    return tsc_frequency_below(ask);
}

static void test_stated_by_kvm(void **state)
{
    (void)state;
    assert_int_equal(below(true, "KVMKVMKVM", 0x40000010, 2893202), 2893202000);
    assert_int_equal(below(true, "KVMKVMKVM", 0x40000011, 4294967295), 4294967295000);
    assert_int_equal(below(true, "KVMKVMKVM", 0x40000010, 0), 0);
    assert_int_equal(below(true, "KVMKVMKVM", 0x40000001, 2893202), 0);
    assert_int_equal(below(false, "KVMKVMKVM", 0x40000010, 2893202), 0);
}

/* Each of the three words of the name counts: others have other things in that leaf. */
static void test_stated_by_another_hypervisor(void **state)
{
    (void)state;
    assert_int_equal(below(true, "Microsoft Hv", 0x40000010, 2893202), 0);
    assert_int_equal(below(true, "KVMxKVMKVM", 0x40000010, 2893202), 0);
    assert_int_equal(below(true, "KVMKVMKxM", 0x40000010, 2893202), 0);
    assert_int_equal(below(true, "KVMKVMKVMM", 0x40000010, 2893202), 0);
    assert_int_equal(below(true, "TCGTCGTCGTCG", 0x40000010, 2893202), 0);
}

/* Adds samples until they are enough; how many were taken, and the least. */
static void assert_samples(const uint64_t *ticks, size_t length, unsigned count, uint64_t least)
{
    struct tsc_samples samples = {0};
    size_t i = 0;

    do {
        assert_in_range(i, 0, length - 1);
    } while (!tsc_samples_add(&samples, ticks[i++]));
    assert_int_equal(i, count);
    assert_int_equal(samples.count, count);
    assert_int_equal(samples.least, least);
}

#define ASSERT_SAMPLES(count, least, ...)                                                          \
    do {                                                                                           \
        const uint64_t ticks[] = {__VA_ARGS__};                                                    \
                                                                                                   \
        assert_samples(ticks, sizeof(ticks) / sizeof(ticks[0]), count, least);                     \
    } while (0)

/* 100 ppm of 1,000,000 are 100: the two lowest need not come one after the other. */
static void test_samples_that_agree(void **state)
{
    (void)state;
    ASSERT_SAMPLES(2, 1000000, 1000000, 1000000, 7);
    ASSERT_SAMPLES(2, 1000000, 1000000, 1000100, 7);
    ASSERT_SAMPLES(2, 1000000, 1000100, 1000000, 7);
    ASSERT_SAMPLES(3, 1000000, 1000000, 1000101, 1000100, 7);
    ASSERT_SAMPLES(3, 1000000, 1000101, 1000000, 1000000, 7);
    ASSERT_SAMPLES(4, 1000000, 1000000, 1020000, 1830000, 1000050, 7);
    ASSERT_SAMPLES(4, 1000000, 1830000, 1020000, 1000000, 1000050, 7);
    ASSERT_SAMPLES(4, 990000, 1020000, 990000, 1830000, 990099, 7);
}

static void test_samples_that_never_agree(void **state)
{
    (void)state;
    ASSERT_SAMPLES(10, 1001000, 1009000, 1008000, 1007000, 1006000, 1005000, 1004000, 1003000,
                   1002000, 1010000, 1001000, 7);
    ASSERT_SAMPLES(10, 1000000, 1000000, 1001000, 1002000, 1003000, 1004000, 1005000, 1006000,
                   1007000, 1008000, 1009000, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stated_by_the_cpu),
        cmocka_unit_test(test_stated_by_kvm),
        cmocka_unit_test(test_stated_by_another_hypervisor),
        cmocka_unit_test(test_samples_that_agree),
        cmocka_unit_test(test_samples_that_never_agree),
    };

    return cmocka_run_group_tests_name("tsc_frequency", tests, NULL, NULL);
}
