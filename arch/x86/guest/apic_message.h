/* What travels between a guest's interrupt controllers: the APIC bus message. */
#ifndef ARCH_X86_GUEST_APIC_MESSAGE_H
#define ARCH_X86_GUEST_APIC_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

/* Delivery modes as encoded in the ICR, the LVT and redirection entries (SDM Vol. 3A, 11.6.1). */
enum apic_delivery {
    APIC_FIXED = 0,
    APIC_LOWEST_PRIORITY = 1,
    APIC_SMI = 2,
    APIC_NMI = 4,
    APIC_INIT = 5,
    APIC_START_UP = 6,
    APIC_EXTINT = 7,
};

/* Destination shorthands as encoded in the ICR (SDM Vol. 3A, 11.6.1). */
enum apic_shorthand {
    APIC_TO_DESTINATION = 0,
    APIC_TO_SELF = 1,
    APIC_TO_ALL = 2,
    APIC_TO_OTHERS = 3,
};

/* The physical destination that means every local APIC, whichever mode the sender is in. */
#define APIC_BROADCAST 0xffffffffU

struct apic_message {
    uint8_t vector;
    uint8_t delivery;     /* enum apic_delivery; guests can send the reserved values too */
    uint8_t shorthand;    /* enum apic_shorthand; not APIC_TO_DESTINATION: ignore the destination */
    bool logical;         /* the destination is a logical one (SDM Vol. 3A, 11.6.2.2) */
    bool level;           /* level-triggered: its EOI goes back to the I/O APIC */
    uint32_t destination; /* an APIC ID or logical destination; 8-bit ones are zero-extended */
};

#endif
