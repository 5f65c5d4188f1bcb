/* The guest's I/O APIC: turns interrupt lines into messages to local APICs. */
#ifndef ARCH_X86_GUEST_IO_APIC_H
#define ARCH_X86_GUEST_IO_APIC_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/guest/apic_message.h"
#include "vmm/bus.h"

/*
 * Model: the 82093AA (Intel 290566-001) with the EOI register of its successors, which version 0x20
 * announces: with it Linux ends a stuck level interrupt in one write instead of switching the pin
 * to edge and back. Messages are fixed, lowest priority, NMI or INIT; a pin set to SMI or ExtINT
 * sends nothing. The polarity bit is kept but has no effect: lines say "asserted", not "high".
 *
 * An edge that arrives while its pin is masked is remembered and delivered when it is unmasked. The
 * 82093AA forgets it, but a virtio device sends one edge per batch of used buffers and waits for
 * the driver: a lost one would stop both for good, and one too many does no harm.
 *
 * Not locked: the caller serialises every function, pins included.
 */

#define IO_APIC_PINS 24

struct io_apic_operations {
    /* A message for the local APICs: pass it to local_apic_dispatch(). */
    void (*deliver)(void *context, const struct apic_message *message);
};

struct io_apic {
    const struct io_apic_operations *operations;
    void *context; /* for the operations; not owned */
    uint64_t redirection[IO_APIC_PINS];
    uint32_t asserted; /* pins whose line is up */
    uint32_t edges;    /* pins with an edge not delivered yet */
    uint32_t id;       /* the ID register: software's to use, it has no effect */
    uint8_t select;    /* IOREGSEL */
};

/* The registers: a window at offset 0x10 into those that offset 0 selects, and EOI at 0x40. */
extern const struct bus_operations io_apic_bus_operations;

void io_apic_init(struct io_apic *io_apic, const struct io_apic_operations *operations,
                  void *context);

/* Power-up state: every pin masked, no edge remembered. Lines stay as their devices drive them. */
void io_apic_reset(struct io_apic *io_apic);

/* Drives input `pin`; fits struct irq_line, whose controller is the struct io_apic. */
void io_apic_set(void *io_apic, unsigned pin, bool asserted);

/*
 * A local APIC's EOI of a level-triggered vector: pins that use it may interrupt again, and do so
 * at once if their line is still up.
 */
void io_apic_eoi(struct io_apic *io_apic, uint8_t vector);

#endif
