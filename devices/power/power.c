/* The power switch: every way of Linux to power off and reset but the triple fault. */
#include "devices/power/power.h"

/* Offsets of the ACPI registers. */
#define SLEEP_CONTROL 0
#define SLEEP_STATUS  1
#define RESET         2

/* Sleep control register (ACPI 6.5, table 4.24). */
#define SLEEP_TYPE(value) ((value) >> 2 & 7)
#define SLEEP_ENABLE      0x20

#define KEYBOARD_PULSE_RESET 0xfe
#define KEYBOARD_ABSENT      0xff
#define PCI_RESET_CPU        0x04

/*
 * The control register is written only and there is no sleep to wake from, so all read as 0: a set
 * WAK_STS would tell that a sleep is over.
 */
static uint64_t read_acpi(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0;
}

static void write_acpi(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct power *power = device;

    if (size != 1) {
        return; /* the registers are a byte each and ACPI accesses them so */
    }
    if (offset == SLEEP_CONTROL && (value & SLEEP_ENABLE) != 0 &&
        SLEEP_TYPE(value) == power->soft_off) {
        power->end(power->context, POWER_OFF);
    } else if (offset == RESET && value == power->reset_value) {
        power->end(power->context, POWER_RESET);
    }
}

static uint64_t read_keyboard(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return KEYBOARD_ABSENT;
}

static void write_keyboard(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct power *power = device;

    (void)offset;
    (void)size;
    if (value == KEYBOARD_PULSE_RESET) {
        power->end(power->context, POWER_RESET);
    }
}

static void write_pci(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct power *power = device;

    (void)offset;
    (void)size;
    if ((value & PCI_RESET_CPU) != 0) {
        power->end(power->context, POWER_RESET);
    }
}

const struct bus_operations power_acpi_operations = {read_acpi, write_acpi};
const struct bus_operations power_keyboard_operations = {read_keyboard, write_keyboard};
const struct bus_operations power_pci_operations = {read_acpi, write_pci};
