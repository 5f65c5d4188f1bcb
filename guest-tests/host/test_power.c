/* Tests of the power switch: each way to power off or reset, and what must do neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "devices/power/power.h"

static unsigned ends[2];

static void record(void *context, enum power_event event)
{
    assert_ptr_equal(context, ends);
    ends[event]++;
}

static struct power power = {.soft_off = 5, .reset_value = 0x01, .end = record, .context = ends};

static int set_up(void **state)
{
    (void)state;
    ends[POWER_OFF] = 0;
    ends[POWER_RESET] = 0;
    return 0;
}

static void assert_ends(unsigned off, unsigned reset)
{
    assert_int_equal(ends[POWER_OFF], off);
    assert_int_equal(ends[POWER_RESET], reset);
}

static void test_sleep_control(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        power_acpi_operations.write(&power, 0, 1, value);
    }
    /* SLP_TYP 5 with SLP_EN: 0x34, whatever the two reserved bits above and below it are. */
    assert_ends(16, 0);
    set_up(NULL);
    power_acpi_operations.write(&power, 0, 1, 0x14);
    power_acpi_operations.write(&power, 0, 1, 0x30);
    power_acpi_operations.write(&power, 0, 2, 0x34);
    power_acpi_operations.write(&power, 1, 1, 0x34);
    assert_ends(0, 0);
    power_acpi_operations.write(&power, 0, 1, 0x34);
    assert_ends(1, 0);
    assert_int_equal(power_acpi_operations.read(&power, 0, 1), 0);
    assert_int_equal(power_acpi_operations.read(&power, 1, 1), 0);
}

static void test_reset_register(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        power_acpi_operations.write(&power, 2, 1, value);
    }
    assert_ends(0, 1);
    power_acpi_operations.write(&power, 1, 1, 0x01);
    assert_ends(0, 1);
}

static void test_keyboard_controller(void **state)
{
    (void)state;
    assert_int_equal(power_keyboard_operations.read(&power, 0, 1), 0xff);
    for (unsigned value = 0; value < 256; value++) {
        power_keyboard_operations.write(&power, 0, 1, value);
    }
    assert_ends(0, 1);
}

static void test_pci_reset(void **state)
{
    (void)state;
    assert_int_equal(power_pci_operations.read(&power, 0, 1), 0);
    power_pci_operations.write(&power, 0, 1, 0x02); /* Linux asks for a hard reset, */
    assert_ends(0, 0);
    power_pci_operations.write(&power, 0, 1, 0x06); /* and then for it to happen */
    assert_ends(0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sleep_control, set_up),
        cmocka_unit_test_setup(test_reset_register, set_up),
        cmocka_unit_test_setup(test_keyboard_controller, set_up),
        cmocka_unit_test_setup(test_pci_reset, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
