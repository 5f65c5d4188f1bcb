/* Tests of the guest's I/O APIC: registers, edges that must not be lost, levels and their EOI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86/guest/io_apic.h"
#include "vmm/irq_line.h"

static struct io_apic io_apic;
static struct apic_message last;
static unsigned delivered;

static void record(void *context, const struct apic_message *message)
{
    assert_ptr_equal(context, &delivered);
    last = *message;
    delivered++;
}

static const struct io_apic_operations operations = {record};

static int set_up(void **state)
{
    (void)state;
    delivered = 0;
    io_apic_init(&io_apic, &operations, &delivered);
    return 0;
}

static uint32_t get(uint8_t index)
{
    io_apic_bus_operations.write(&io_apic, 0x00, 4, index);
    return (uint32_t)io_apic_bus_operations.read(&io_apic, 0x10, 4);
}

static void put(uint8_t index, uint32_t value)
{
    io_apic_bus_operations.write(&io_apic, 0x00, 4, index);
    io_apic_bus_operations.write(&io_apic, 0x10, 4, value);
}

static void put_entry(unsigned pin, uint64_t entry)
{
    put((uint8_t)(0x11 + 2 * pin), (uint32_t)(entry >> 32));
    put((uint8_t)(0x10 + 2 * pin), (uint32_t)entry);
}

static void test_registers(void **state)
{
    (void)state;
    assert_int_equal(get(0x01), 0x00170020);
    assert_int_equal(get(0x00), 0);
    put(0x00, 0xffffffff);
    assert_int_equal(get(0x00), 0x0f000000);
    assert_int_equal(get(0x02), 0x0f000000);
    put(0x01, 0);
    assert_int_equal(get(0x01), 0x00170020);
    for (unsigned pin = 0; pin < IO_APIC_PINS; pin++) {
        assert_int_equal(get((uint8_t)(0x10 + 2 * pin)), 0x10000);
        assert_int_equal(get((uint8_t)(0x11 + 2 * pin)), 0);
    }
    put(0x12, 0xffffffff);
    put(0x13, 0xffffffff);
    assert_int_equal(get(0x12), 0x1afff);
    assert_int_equal(get(0x13), 0xff000000);
    assert_int_equal(io_apic_bus_operations.read(&io_apic, 0x00, 4), 0x13);
    assert_int_equal(io_apic_bus_operations.read(&io_apic, 0x20, 4), 0);
    /* Beyond the last pin there is nothing. */
    put(0x3f, 0x01000000);
    assert_int_equal(get(0x3f), 0x01000000);
    put(0x40, 0x31);
    assert_int_equal(get(0x40), 0);
    put(0xff, 0x31);
    assert_int_equal(get(0xff), 0);
    /* The window takes whole registers only, and reads also parts. */
    put(0x14, 0x31);
    io_apic_bus_operations.write(&io_apic, 0x10, 1, 0x77);
    assert_int_equal(get(0x14), 0x31);
    assert_int_equal(get(0x01), 0x00170020);
    assert_int_equal(io_apic_bus_operations.read(&io_apic, 0x10, 1), 0x20);
    assert_int_equal(io_apic_bus_operations.read(&io_apic, 0x10, 8), 0x00170020);
}

static void test_edge(void **state)
{
    const struct irq_line line = {io_apic_set, &io_apic, 16};

    (void)state;
    put_entry(16, 0x0200000000000000ULL | 0x31);
    irq_line_set(&line, true);
    assert_int_equal(delivered, 1);
    assert_int_equal(last.vector, 0x31);
    assert_int_equal(last.delivery, APIC_FIXED);
    assert_int_equal(last.shorthand, APIC_TO_DESTINATION);
    assert_false(last.logical);
    assert_false(last.level);
    assert_int_equal(last.destination, 2);
    irq_line_set(&line, true); /* no edge */
    assert_int_equal(delivered, 1);
    irq_line_set(&line, false);
    irq_line_pulse(&line);
    assert_int_equal(delivered, 2);
    put_entry(16, 0x0200000000000000ULL | 0x32); /* no edge either */
    assert_int_equal(delivered, 2);
    io_apic_eoi(&io_apic, 0x32);
    assert_int_equal(delivered, 2);
    assert_int_equal(get(0x30), 0x32);
}

static void test_masked_edge_is_remembered_once(void **state)
{
    const struct irq_line line = {io_apic_set, &io_apic, 23};

    (void)state;
    put_entry(23, 0x10045);
    irq_line_pulse(&line);
    irq_line_pulse(&line);
    assert_int_equal(delivered, 0);
    put_entry(23, 0x45);
    assert_int_equal(delivered, 1);
    assert_int_equal(last.vector, 0x45);
    put_entry(23, 0x10045);
    put_entry(23, 0x45);
    assert_int_equal(delivered, 1);
}

static void test_level(void **state)
{
    const struct irq_line line = {io_apic_set, &io_apic, 5};

    (void)state;
    put_entry(5, 0x8050);
    irq_line_set(&line, true);
    assert_int_equal(delivered, 1);
    assert_true(last.level);
    assert_int_equal(get(0x1a), 0xc050);
    put_entry(5, 0x8050); /* still in service: remote IRR is read-only and holds it back */
    assert_int_equal(delivered, 1);
    io_apic_eoi(&io_apic, 0x51);
    assert_int_equal(delivered, 1);
    io_apic_eoi(&io_apic, 0x50); /* the line is still up */
    assert_int_equal(delivered, 2);
    irq_line_set(&line, false);
    io_apic_eoi(&io_apic, 0x50);
    assert_int_equal(delivered, 2);
    assert_int_equal(get(0x1a), 0x8050);
    io_apic_eoi(&io_apic, 0x50);
    assert_int_equal(delivered, 2);
    /* A level that comes and goes while masked leaves nothing; one that stays interrupts. */
    put_entry(5, 0x18050);
    irq_line_pulse(&line);
    put_entry(5, 0x8050);
    assert_int_equal(delivered, 2);
    put_entry(5, 0x18050);
    irq_line_set(&line, true);
    put_entry(5, 0x8050);
    assert_int_equal(delivered, 3);
}

static void test_eoi_register_and_change_to_edge(void **state)
{
    (void)state;
    put_entry(5, 0x8050);
    io_apic_set(&io_apic, 5, true);
    assert_int_equal(delivered, 1);
    io_apic_bus_operations.write(&io_apic, 0x40, 4, 0x50);
    assert_int_equal(delivered, 2);
    put(0x1a, 0x10050); /* how Linux clears the remote IRR of older versions */
    assert_int_equal(get(0x1a), 0x10050);
    put(0x1a, 0x18050);
    assert_int_equal(get(0x1a), 0x18050);
}

static void test_delivery_modes(void **state)
{
    unsigned expected = 0;

    (void)state;
    for (unsigned mode = 0; mode < 8; mode++) {
        put_entry(mode, 0x8060 | mode << 8);
        io_apic_set(&io_apic, mode, true);
        bool sends = mode == APIC_FIXED || mode == APIC_LOWEST_PRIORITY || mode == APIC_NMI ||
                     mode == APIC_INIT;
        expected += sends;
        assert_int_equal(delivered, expected);
        if (sends) {
            assert_int_equal(last.delivery, mode);
            assert_int_equal(last.level, mode <= APIC_LOWEST_PRIORITY);
        }
    }
    assert_int_equal(get(0x18), 0x8460); /* NMI: no remote IRR */
}

static void test_destinations(void **state)
{
    (void)state;
    put_entry(0, 0xff00000000000041ULL);
    io_apic_set(&io_apic, 0, true);
    assert_int_equal(last.destination, APIC_BROADCAST);
    put_entry(1, 0xff00000000000842ULL);
    io_apic_set(&io_apic, 1, true);
    assert_int_equal(last.destination, 0xff);
    assert_true(last.logical);
}

static void test_pins_beyond_the_last_and_reset(void **state)
{
    (void)state;
    io_apic_set(&io_apic, 24, true);
    io_apic_set(&io_apic, 0xffffffff, true);
    put_entry(3, 0x10033);
    io_apic_set(&io_apic, 3, true);
    io_apic_reset(&io_apic);
    assert_int_equal(get(0x16), 0x10000);
    put_entry(3, 0x33);
    assert_int_equal(delivered, 0); /* the edge belonged to the guest before */
    io_apic_set(&io_apic, 3, true);
    assert_int_equal(delivered, 0); /* the line was up all the time */
    put_entry(3, 0x8033);
    assert_int_equal(delivered, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_registers, set_up),
        cmocka_unit_test_setup(test_edge, set_up),
        cmocka_unit_test_setup(test_masked_edge_is_remembered_once, set_up),
        cmocka_unit_test_setup(test_level, set_up),
        cmocka_unit_test_setup(test_eoi_register_and_change_to_edge, set_up),
        cmocka_unit_test_setup(test_delivery_modes, set_up),
        cmocka_unit_test_setup(test_destinations, set_up),
        cmocka_unit_test_setup(test_pins_beyond_the_last_and_reset, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
