/* The power switch: the ports through which a guest switches its machine off or resets it. */
#ifndef DEVICES_POWER_POWER_H
#define DEVICES_POWER_POWER_H

#include <stdint.h>

#include "vmm/bus.h"

enum power_event { POWER_OFF, POWER_RESET };

struct power {
    uint8_t soft_off;    /* SLP_TYP of S5, as \_S5 in the DSDT has it */
    uint8_t reset_value; /* what resets at the reset register, as the FADT has it */
    void (*end)(void *context, enum power_event event);
    void *context; /* for end(); not owned */
};

/*
 * The devices keep no state of their own: there is nothing to reset for a new guest. end() may be
 * called any number of times; each access calls it at most once.
 */

/* ACPI 6.5, 4.8.3.7 and 4.8.3.6: sleep control, sleep status and reset, a byte each. */
#define POWER_ACPI_PORTS 3
extern const struct bus_operations power_acpi_operations;

/* One byte: the keyboard controller's command port, of which only "pulse the reset line" exists. */
extern const struct bus_operations power_keyboard_operations;

/* One byte: the reset control register of PCI chipsets. */
extern const struct bus_operations power_pci_operations;

#endif
