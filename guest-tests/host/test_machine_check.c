/* Tests of the report of a machine check: played MSRs in, lines out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/machine_check.h"
#include "guest-tests/host/scripted_host.h"

#define FIRST_BANK  0x400U
#define MCE_AND_MCA 0x4080U

/* SDM Vol. 3B, figure 16-6: VAL, MISCV, ADDRV. */
#define VAL   0x8000000000000000U
#define MISCV 0x0800000000000000U
#define ADDRV 0x0400000000000000U

static uint32_t features;
static uint64_t capabilities;
static uint64_t banks[4 * 256];
static unsigned highest; /* bank that was read */

static struct cpuid_registers played_cpuid(uint32_t leaf, uint32_t subleaf)
{
    assert_int_equal(leaf, 1);
    assert_int_equal(subleaf, 0);
    return (struct cpuid_registers){.edx = features};
}

static uint64_t played_msr(uint32_t index)
{
    if (index == 0x179) {
        return capabilities;
    }
    if (index == 0x17a) {
        return 5;
    }
    assert_in_range(index, FIRST_BANK, FIRST_BANK + 4 * 256 - 1);
    uint64_t status = banks[(index - FIRST_BANK) / 4 * 4 + 1];

    /* CTL never; ADDR and MISC only if STATUS says that they are there. */
    assert_int_not_equal(index % 4, 0);
    assert_true(index % 4 != 2 || (status & ADDRV) != 0);
    assert_true(index % 4 != 3 || (status & MISCV) != 0);
    highest = (index - FIRST_BANK) / 4;
    return banks[index - FIRST_BANK];
}

static void set_bank(unsigned bank, uint64_t status, uint64_t address, uint64_t misc)
{
    banks[4 * bank + 1] = status;
    banks[4 * bank + 2] = address;
    banks[4 * bank + 3] = misc;
}

static int set_up(void **state)
{
    (void)state;
    scripted_host_reset();
    memset(banks, 0, sizeof(banks));
    features = MCE_AND_MCA;
    capabilities = 0xf000c00 | 10;
    highest = 0;
    return 0;
}

static const char *printed(void)
{
    machine_check_print(played_cpuid, played_msr);
    return scripted_host.log;
}

static void test_nothing_announced(void **state)
{
    (void)state;
    features = 0x4000;
    assert_string_equal(printed(), "");
    features = 0x80;
    assert_string_equal(printed(), "");
}

static void test_no_error(void **state)
{
    (void)state;
    set_bank(3, ~VAL, 1, 2);
    assert_string_equal(printed(), "MCG_STATUS 0x5, machine check banks: 10\n");
    assert_int_equal(highest, 9);
}

static void test_banks(void **state)
{
    (void)state;
    set_bank(0, VAL | 0x136, 0x1111, 0x2222);
    set_bank(4, VAL | ADDRV | 0x151, 0xfee01000, 0x3333);
    set_bank(7, VAL | MISCV, 0x4444, 0x86);
    set_bank(9, UINT64_MAX, UINT64_MAX, 0);
    set_bank(10, VAL, 0, 0); /* there is none */
    assert_string_equal(printed(),
                        "MCG_STATUS 0x5, machine check banks: 10\n"
                        "bank 0: STATUS 0x8000000000000136\n"
                        "bank 4: STATUS 0x8400000000000151, ADDR 0xfee01000\n"
                        "bank 7: STATUS 0x8800000000000000, MISC 0x86\n"
                        "bank 9: STATUS 0xffffffffffffffff, ADDR 0xffffffffffffffff, MISC 0x0\n");
}

static void test_many_banks(void **state)
{
    (void)state;
    capabilities = 255;
    set_bank(31, VAL, 0, 0);
    set_bank(32, VAL, 0, 0);
    assert_string_equal(printed(), "MCG_STATUS 0x5, machine check banks: 255\n"
                                   "bank 31: STATUS 0x8000000000000000\n");
    assert_int_equal(highest, 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_announced, set_up),
        cmocka_unit_test_setup(test_no_error, set_up),
        cmocka_unit_test_setup(test_banks, set_up),
        cmocka_unit_test_setup(test_many_banks, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
