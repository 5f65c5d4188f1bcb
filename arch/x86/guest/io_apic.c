/* The guest's I/O APIC (82093AA data sheet, Intel 290566-001, with version 0x20's EOI register). */
#include "arch/x86/guest/io_apic.h"

#include <stddef.h>

#include "vmm/access_size.h"

/* Offsets in the page. */
#define IOREGSEL 0x00
#define IOWIN    0x10
#define IOEOI    0x40

/* What IOREGSEL selects. */
#define SELECT_ID          0x00
#define SELECT_VERSION     0x01
#define SELECT_ARBITRATION 0x02
#define SELECT_REDIRECTION 0x10 /* two registers a pin, the low half first */

#define VERSION 0x20
#define ID_MASK 0x0f000000U

/* A redirection entry. */
#define ENTRY_VECTOR(entry)      ((uint8_t)(entry))
#define ENTRY_DELIVERY(entry)    ((uint8_t)((entry) >> 8 & 7))
#define ENTRY_LOGICAL            (1ULL << 11)
#define ENTRY_REMOTE_IRR         (1ULL << 14)
#define ENTRY_LEVEL              (1ULL << 15)
#define ENTRY_MASKED             (1ULL << 16)
#define ENTRY_DESTINATION(entry) ((uint32_t)((entry) >> 56))
/* All but the reserved bits, the delivery status (always idle here) and the remote IRR. */
#define ENTRY_WRITABLE 0xff0000000001afffULL

static bool masked(uint64_t entry)
{
    return (entry & ENTRY_MASKED) != 0;
}

/* NMI and INIT are edge-triggered whatever the trigger mode says (data sheet, 3.2.4). */
static bool level_triggered(uint64_t entry)
{
    return (entry & ENTRY_LEVEL) != 0 && ENTRY_DELIVERY(entry) <= APIC_LOWEST_PRIORITY;
}

static bool deliverable(uint64_t entry)
{
    const uint8_t modes =
        1U << APIC_FIXED | 1U << APIC_LOWEST_PRIORITY | 1U << APIC_NMI | 1U << APIC_INIT;

    return (modes >> ENTRY_DELIVERY(entry) & 1) != 0;
}

static void send(const struct io_apic *io_apic, uint64_t entry)
{
    struct apic_message message = {
        .vector = ENTRY_VECTOR(entry),
        .delivery = ENTRY_DELIVERY(entry),
        .shorthand = APIC_TO_DESTINATION,
        .logical = (entry & ENTRY_LOGICAL) != 0,
        .level = level_triggered(entry),
        .destination = ENTRY_DESTINATION(entry),
    };

    if (!message.logical && message.destination == 0xff) {
        message.destination = APIC_BROADCAST;
    }
    if (deliverable(entry)) {
        io_apic->operations->deliver(io_apic->context, &message);
    }
}

/* Sends what the pin has to say, if it may. */
static void evaluate(struct io_apic *io_apic, unsigned pin)
{
    uint64_t *entry = &io_apic->redirection[pin];
    uint32_t bit = 1U << pin;

    if (masked(*entry)) {
        return;
    }
    if (level_triggered(*entry)) {
        io_apic->edges &= ~bit;
        if ((io_apic->asserted & bit) != 0 && (*entry & ENTRY_REMOTE_IRR) == 0) {
            *entry |= ENTRY_REMOTE_IRR;
            send(io_apic, *entry);
        }
    } else if ((io_apic->edges & bit) != 0) {
        io_apic->edges &= ~bit;
        send(io_apic, *entry);
    }
}

void io_apic_set(void *io_apic, unsigned pin, bool asserted)
{
    struct io_apic *self = io_apic;

    if (pin >= IO_APIC_PINS) {
        return;
    }
    uint32_t bit = 1U << pin;

    if (!asserted) {
        self->asserted &= ~bit;
        return;
    }
    if ((self->asserted & bit) == 0) {
        self->asserted |= bit;
        self->edges |= bit;
        evaluate(self, pin);
    }
}

void io_apic_eoi(struct io_apic *io_apic, uint8_t vector)
{
    for (unsigned pin = 0; pin < IO_APIC_PINS; pin++) {
        uint64_t *entry = &io_apic->redirection[pin];

        if (ENTRY_VECTOR(*entry) == vector && (*entry & ENTRY_REMOTE_IRR) != 0) {
            *entry &= ~ENTRY_REMOTE_IRR;
            evaluate(io_apic, pin);
        }
    }
}

static void write_redirection(struct io_apic *io_apic, unsigned index, uint32_t value)
{
    unsigned pin = index / 2;
    unsigned shift = index % 2 * 32;

    if (pin >= IO_APIC_PINS) {
        return;
    }
    uint64_t *entry = &io_apic->redirection[pin];
    uint64_t half = (uint64_t)UINT32_MAX << shift & ENTRY_WRITABLE;

    *entry = (*entry & ~half) | ((uint64_t)value << shift & half);
    if (!level_triggered(*entry)) {
        *entry &= ~ENTRY_REMOTE_IRR; /* it has no meaning for edges (data sheet, 3.2.4) */
    }
    evaluate(io_apic, pin);
}

static uint32_t read_redirection(const struct io_apic *io_apic, unsigned index)
{
    unsigned pin = index / 2;

    return pin < IO_APIC_PINS ? (uint32_t)(io_apic->redirection[pin] >> (index % 2 * 32)) : 0;
}

static uint32_t read_window(const struct io_apic *io_apic)
{
    switch (io_apic->select) {
    case SELECT_ID:
    case SELECT_ARBITRATION: /* loaded whenever the ID is written */
        return io_apic->id;
    case SELECT_VERSION:
        return VERSION | (IO_APIC_PINS - 1) << 16;
    default:
        return io_apic->select < SELECT_REDIRECTION
                   ? 0
                   : read_redirection(io_apic, io_apic->select - SELECT_REDIRECTION);
    }
}

static void write_window(struct io_apic *io_apic, uint32_t value)
{
    if (io_apic->select == SELECT_ID) {
        io_apic->id = value & ID_MASK;
    } else if (io_apic->select >= SELECT_REDIRECTION) {
        write_redirection(io_apic, io_apic->select - SELECT_REDIRECTION, value);
    }
}

static uint64_t io_apic_read(void *device, uint64_t offset, unsigned size)
{
    const struct io_apic *io_apic = device;

    switch (offset) {
    case IOREGSEL:
        return io_apic->select;
    case IOWIN:
        return read_window(io_apic) & access_mask(size);
    default:
        return 0;
    }
}

static void io_apic_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct io_apic *io_apic = device;

    if (offset == IOREGSEL) {
        io_apic->select = (uint8_t)value;
    } else if (offset == IOWIN && size >= 4) { /* registers are accessed whole (3.1.2) */
        write_window(io_apic, (uint32_t)value);
    } else if (offset == IOEOI) {
        io_apic_eoi(io_apic, (uint8_t)value);
    }
}

const struct bus_operations io_apic_bus_operations = {io_apic_read, io_apic_write};

void io_apic_reset(struct io_apic *io_apic)
{
    for (unsigned pin = 0; pin < IO_APIC_PINS; pin++) {
        io_apic->redirection[pin] = ENTRY_MASKED;
    }
    io_apic->edges = 0;
    io_apic->id = 0;
    io_apic->select = 0;
}

void io_apic_init(struct io_apic *io_apic, const struct io_apic_operations *operations,
                  void *context)
{
    *io_apic = (struct io_apic){.operations = operations, .context = context};
    io_apic_reset(io_apic);
}
