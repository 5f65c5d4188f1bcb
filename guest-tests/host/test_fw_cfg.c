/* What test suites are told by the firmware configuration device, and the debug-exit port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "devices/debug_exit/debug_exit.h"
#include "devices/fw_cfg/fw_cfg.h"

static struct fw_cfg fw_cfg;

static int set_up(void **state)
{
    (void)state;
    fw_cfg = (struct fw_cfg){.selector = 5, .position = 3};
    fw_cfg_init(&fw_cfg, 0x1234567890ULL, 0x0203);
    return 0;
}

static uint64_t next(void)
{
    return fw_cfg_operations.read(&fw_cfg, 1, 1);
}

/* The item's first 12 bytes are these 8, and zeroes. */
static void assert_item(uint16_t selector, uint64_t expected)
{
    fw_cfg_operations.write(&fw_cfg, 0, 2, selector);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(next(), expected >> 8 * i & 0xff);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(next(), 0);
    }
}

static void test_items(void **state)
{
    (void)state;
    /* After power-on the signature is selected. */
    assert_int_equal(next(), 'Q');
    assert_item(0x00, 0x554d4551);
    assert_item(0x01, 1);
    assert_item(0x03, 0x1234567890);
    assert_item(0x05, 0x0203);
    assert_item(0x0f, 0x0203);
    assert_item(0x19, 0);
}

static void test_all_else_is_zero(void **state)
{
    (void)state;
    for (unsigned selector = 0; selector <= 0xffff; selector++) {
        if (selector != 0 && selector != 1 && selector != 3 && selector != 5 && selector != 0xf) {
            assert_item((uint16_t)selector, 0);
        }
    }
}

static void test_selecting_starts_anew(void **state)
{
    (void)state;
    fw_cfg_operations.write(&fw_cfg, 0, 2, 3);
    assert_int_equal(next(), 0x90);
    assert_int_equal(next(), 0x78);
    fw_cfg_operations.write(&fw_cfg, 0, 2, 3);
    assert_int_equal(next(), 0x90);
}

/* Only the selector of 2 bytes and the data of 1 exist. */
static void test_other_accesses_change_nothing(void **state)
{
    (void)state;
    fw_cfg_operations.write(&fw_cfg, 0, 2, 3);
    fw_cfg_operations.write(&fw_cfg, 0, 1, 5);
    fw_cfg_operations.write(&fw_cfg, 1, 1, 5);
    assert_int_equal(fw_cfg_operations.read(&fw_cfg, 0, 1), 0);
    assert_int_equal(fw_cfg_operations.read(&fw_cfg, 0, 2), 0);
    assert_int_equal(next(), 0x90);
}

/* Reading for ever neither wraps nor reaches anything. */
static void test_long_reads(void **state)
{
    (void)state;
    fw_cfg_operations.write(&fw_cfg, 0, 2, 0);
    for (unsigned i = 0; i < 1000000; i++) {
        assert_int_equal(next(), i < 4 ? (uint8_t) "QEMU"[i] : 0);
    }
}

static unsigned ends;
static uint32_t last_value;

static void record(void *context, uint32_t value)
{
    assert_ptr_equal(context, &ends);
    ends++;
    last_value = value;
}

static void test_debug_exit(void **state)
{
    (void)state;
    struct debug_exit debug_exit = {record, &ends};

    assert_int_equal(debug_exit_operations.read(&debug_exit, 0, 4), 0);
    assert_int_equal(ends, 0);
    debug_exit_operations.write(&debug_exit, 0, 4, 0x89abcdef);
    assert_int_equal(last_value, 0x89abcdef);
    debug_exit_operations.write(&debug_exit, 3, 1, 0);
    assert_int_equal(last_value, 0);
    assert_int_equal(ends, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_items, set_up),
        cmocka_unit_test_setup(test_all_else_is_zero, set_up),
        cmocka_unit_test_setup(test_selecting_starts_anew, set_up),
        cmocka_unit_test_setup(test_other_accesses_change_nothing, set_up),
        cmocka_unit_test_setup(test_long_reads, set_up),
        cmocka_unit_test(test_debug_exit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
