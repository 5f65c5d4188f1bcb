/* The device's interrupt, from the event to the handler: through the I/O APIC to the local APIC. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/driver.h"
#include "guest-tests/bare/machine.h"

/* Long enough for an interrupt that should not be there to come. */
static void linger(void)
{
    for (unsigned i = 0; i < 10000; i++) {
        __asm__ volatile("pause");
    }
}

/*
 * How often it has come when the pin is open and the device is new. Our I/O APIC remembers an edge
 * that came while the pin was masked, so one may come first.
 */
static unsigned open_pin(void)
{
    virtio_interrupt(true);
    linger();
    return interrupts(VIRTIO_VECTOR);
}

static void interrupt_for_a_request(void)
{
    EXPECT(start_split(0, 8));
    unsigned before = open_pin();

    for (unsigned i = 1; i <= 10; i++) {
        EXPECT(split_request(32));
        EXPECT(await_interrupts(VIRTIO_VECTOR, before + i));
        EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), EVENT_USED);
        register_write(REG_INTERRUPT_ACK, EVENT_USED);
    }
    linger();
    EXPECT_EQUAL(interrupts(VIRTIO_VECTOR), before + 10);
    virtio_interrupt(false);
}

/* An edge for each event, even if the driver acknowledges late. */
static void interrupt_without_acknowledgement(void)
{
    EXPECT(start_split(0, 8));
    unsigned before = open_pin();

    for (unsigned i = 1; i <= 5; i++) {
        EXPECT(split_request(32));
        EXPECT(await_interrupts(VIRTIO_VECTOR, before + i));
    }
    virtio_interrupt(false);
}

static void interrupt_suppressed(void)
{
    EXPECT(start_split(0, 8));
    unsigned before = open_pin();

    driver_area[0] = 1;
    EXPECT(split_request(32));
    EXPECT(split_request(32));
    linger();
    EXPECT_EQUAL(interrupts(VIRTIO_VECTOR), before);
    virtio_interrupt(false);
}

static void interrupt_masked(void)
{
    EXPECT(start_split(0, 8));
    unsigned before = open_pin();

    virtio_interrupt(false);
    EXPECT(split_request(32));
    EXPECT(split_request(32));
    linger();
    EXPECT_EQUAL(interrupts(VIRTIO_VECTOR), before);
    virtio_interrupt(true);
    EXPECT(await_interrupts(VIRTIO_VECTOR, before + 1));
    linger();
    EXPECT_EQUAL(interrupts(VIRTIO_VECTOR), before + 1);
    virtio_interrupt(false);
}

/* With interrupts off it waits in the local APIC, and comes once. */
static void interrupt_held_back(void)
{
    EXPECT(start_split(0, 8));
    unsigned before = open_pin();

    __asm__ volatile("cli");
    EXPECT(split_request(32));
    register_write(REG_INTERRUPT_ACK, EVENT_USED);
    EXPECT(split_request(32));
    unsigned during = interrupts(VIRTIO_VECTOR);

    __asm__ volatile("sti");
    EXPECT_EQUAL(during, before);
    EXPECT(await_interrupts(VIRTIO_VECTOR, before + 1));
    linger();
    EXPECT_EQUAL(interrupts(VIRTIO_VECTOR), before + 1);
    virtio_interrupt(false);
}

/* The request that breaks the ring makes the device ask for a reset, and say so. */
static void interrupt_for_a_breach(void)
{
    EXPECT(start_split(0, 8));
    unsigned before = open_pin();

    make_available(9);
    kick();
    EXPECT(await_interrupts(VIRTIO_VECTOR, before + 1));
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), EVENT_CONFIG);
    EXPECT(needs_reset());
    virtio_interrupt(false);
    EXPECT(device_recovers());
}

/* HLT with interrupts on, and the request's interrupt already on its way. */
static void interrupt_ends_halt(void)
{
    EXPECT(start_split(0, 8));
    unsigned before = open_pin();

    for (unsigned i = 1; i <= 10; i++) {
        __asm__ volatile("cli");
        describe(&descriptors[0], gpa_of(buffers[0]), 32, D_WRITE, 0);
        make_available(0);
        kick();
        __asm__ volatile("sti; hlt");
        EXPECT_EQUAL(interrupts(VIRTIO_VECTOR), before + i);
        register_write(REG_INTERRUPT_ACK, EVENT_USED);
    }
    virtio_interrupt(false);
}

const struct bare_case interrupt_cases[] = {
    CASE(interrupt_for_a_request), CASE(interrupt_without_acknowledgement),
    CASE(interrupt_suppressed),    CASE(interrupt_masked),
    CASE(interrupt_held_back),     CASE(interrupt_for_a_breach),
    CASE(interrupt_ends_halt),     CASE_END,
};
