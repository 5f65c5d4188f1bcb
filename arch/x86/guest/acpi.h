/* The guest's ACPI tables: how a stock kernel finds its processors, devices and power switch. */
#ifndef ARCH_X86_GUEST_ACPI_H
#define ARCH_X86_GUEST_ACPI_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/guest_memory.h"

struct acpi_configuration {
    unsigned vcpus; /* at least 1; a vCPU's APIC id and ACPI processor UID are its index */
    bool rng;       /* the entropy device is present */
};

/*
 * Builds RSDP, XSDT, FADT, MADT and DSDT in guest RAM from LAYOUT_ACPI_BASE on, at most
 * LAYOUT_ACPI_SIZE bytes, before the guest first runs. On success *rsdp_gpa is where the RSDP is.
 * False, with an unspecified part of that range written, if there are no vCPUs, the range is not
 * RAM or the tables do not fit.
 *
 * The machine is a hardware-reduced one (ACPI 6.5, 4.1): no SCI, PM timer or FACS; power-off and
 * reset go through the registers at LAYOUT_POWER_PORT.
 */
bool acpi_build(const struct guest_memory *memory, const struct acpi_configuration *configuration,
                uint64_t *rsdp_gpa);

#endif
