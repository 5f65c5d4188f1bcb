/* The guest's machine on one page: where memory, devices and interrupts are. */
#ifndef ARCH_X86_GUEST_LAYOUT_H
#define ARCH_X86_GUEST_LAYOUT_H

/* RAM: [0, at most 3 GiB) and, beyond that, from 4 GiB up. What lies between is for devices. */
#define LAYOUT_LOW_RAM_LIMIT 0xc0000000ULL
#define LAYOUT_HIGH_RAM_BASE 0x100000000ULL

/* The legacy hole that a PC's firmware reserves; our ACPI tables live in its upper part. */
#define LAYOUT_LEGACY_HOLE  0x0009f000ULL
#define LAYOUT_ACPI_BASE    0x000e0000ULL
#define LAYOUT_ACPI_SIZE    0x00010000ULL
#define LAYOUT_RESET_VECTOR 0x000ffff0ULL /* F000:FFF0, where software restarts a PC's BIOS */
#define LAYOUT_ONE_MEGABYTE 0x00100000ULL

/* Each virtio-mmio device has a page of its own, so that a page can be mapped for one device. */
#define LAYOUT_VIRTIO_BASE 0xd0000000ULL
#define LAYOUT_VIRTIO_SIZE 0x200ULL

#define LAYOUT_IO_APIC_BASE    0xfec00000ULL
#define LAYOUT_LOCAL_APIC_BASE 0xfee00000ULL
#define LAYOUT_APIC_SIZE       0x1000ULL

/* Ports. */
#define LAYOUT_UART_PORT      0x3f8 /* 8 ports: COM1 */
#define LAYOUT_RTC_PORT       0x70  /* index and data */
#define LAYOUT_KEYBOARD_PORT  0x64  /* only its reset command */
#define LAYOUT_PCI_RESET_PORT 0xcf9 /* only reset */
#define LAYOUT_FW_CFG_PORT    0x510 /* on demand: QEMU's firmware configuration */
#define LAYOUT_POWER_PORT     0x600 /* ACPI sleep control, sleep status, reset */
#define LAYOUT_RESET_PORT     (LAYOUT_POWER_PORT + 2)

/* What the guest writes there: SLP_TYP of soft-off (\_S5 in dsdt.asl), the FADT's RESET_VALUE. */
#define LAYOUT_S5_SLEEP_TYPE 5
#define LAYOUT_RESET_VALUE   0x01

/* Global system interrupts = inputs of the one I/O APIC; all edge-triggered, active high. */
#define LAYOUT_UART_GSI   4
#define LAYOUT_RTC_GSI    8
#define LAYOUT_VIRTIO_GSI 16 /* of the first virtio device; the next ones follow */

#endif
