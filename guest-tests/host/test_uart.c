/* Tests of the 16550A: what drivers probe for, its FIFOs, a sink without room, and its interrupt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/uart/uart.h"

enum { DATA, IER, IIR, FCR = IIR, LCR, MCR, LSR, MSR, SCR };

static struct uart uart;
static char output[256];
static unsigned output_length;
static unsigned room;
static bool level;
static unsigned edges;

static bool sink_ready(void *context)
{
    assert_ptr_equal(context, output);
    return room != 0;
}

static void sink_transmit(void *context, uint8_t byte)
{
    assert_ptr_equal(context, output);
    assert_true(room != 0 && output_length < sizeof(output));
    output[output_length++] = (char)byte;
    room--;
}

static void set_line(void *controller, unsigned pin, bool asserted)
{
    assert_ptr_equal(controller, &edges);
    assert_int_equal(pin, 4);
    edges += asserted && !level;
    level = asserted;
}

static int set_up(void **state)
{
    const struct uart_sink sink = {
        .ready = sink_ready, .transmit = sink_transmit, .context = output};
    const struct irq_line line = {set_line, &edges, 4};

    (void)state;
    memset(&uart, 0x5a, sizeof(uart));
    uart_init(&uart, &sink, &line);
    output_length = 0;
    room = sizeof(output);
    level = false;
    edges = 0;
    return 0;
}

static uint8_t in(unsigned port)
{
    return (uint8_t)uart_bus_operations.read(&uart, port, 1);
}

static void out(unsigned port, uint8_t value)
{
    uart_bus_operations.write(&uart, port, 1, value);
}

/* As Linux's driver leaves it open for use: FIFOs, OUT2. */
static void open_port(uint8_t interrupts)
{
    out(FCR, 0x81);
    out(MCR, 0x0b);
    out(IER, interrupts);
}

static void test_reset_state(void **state)
{
    (void)state;
    assert_int_equal(in(IER), 0);
    assert_int_equal(in(IIR), 0x01);
    assert_int_equal(in(LCR), 0x03);
    assert_int_equal(in(MCR), 0);
    assert_int_equal(in(LSR), 0x60);
    assert_int_equal(in(MSR), 0xb0);
    assert_int_equal(in(SCR), 0);
    assert_int_equal(in(DATA), 0);
}

/* The order and the expectations of drivers/tty/serial/8250: autoconfig() and its helpers. */
static void test_linux_autoconfig(void **state)
{
    (void)state;
    uint8_t ier = in(IER);
    out(IER, 0);
    assert_int_equal(in(IER)&0x0f, 0);
    out(IER, 0x0f);
    assert_int_equal(in(IER)&0x0f, 0x0f);
    out(IER, ier);
    uint8_t mcr = in(MCR);
    uint8_t lcr = in(LCR);
    out(MCR, 0x10 | 0x0a);
    assert_int_equal(in(MSR)&0xf0, 0x90);
    out(MCR, mcr);
    out(LCR, 0xbf); /* a 16650 has its EFR here */
    out(IIR, 0);
    out(LCR, 0);
    out(FCR, 0x01);
    assert_int_equal(in(IIR) >> 6, 3);
    out(LCR, 0x80);
    assert_int_not_equal(in(IIR), 0);
    out(LCR, 0xbf);
    assert_int_not_equal(in(IIR), 0);
    out(LCR, 0xe0); /* a National superset chip would show MCR here */
    assert_int_equal((in(IIR) ^ 0) & 0x10, 0);
    out(LCR, 0);
    out(MCR, 0x10);
    out(LCR, 0xe0);
    assert_int_equal(in(IIR)&0x10, 0);
    out(LCR, 0);
    out(MCR, 0);
    for (unsigned i = 0; i < 2; i++) { /* a 16750 shows a 64-byte FIFO behind DLAB */
        out(LCR, i == 0 ? 0 : 0x80);
        out(FCR, 0x21);
        assert_int_equal(in(IIR) >> 5, 6);
    }
    out(LCR, 0);
    out(IER, 0x40); /* an XScale has this bit */
    assert_int_equal(in(IER), 0);
    out(LCR, lcr);
    assert_int_equal(edges, 0); /* OUT2 was never set outside loopback */
}

/* serial8250_do_startup() looks for two bugs of UARTs; found ones make the driver poll. */
static void test_linux_startup(void **state)
{
    (void)state;
    out(FCR, 0x01);
    out(FCR, 0x07);
    out(FCR, 0x00);
    in(LSR);
    in(DATA);
    in(IIR);
    in(MSR);
    out(MCR, 0x08);
    out(IER, 0x02);
    assert_int_equal(in(IIR)&0x01, 0); /* else "THRE re-enable" bug */
    out(IER, 0);
    out(IER, 0x02);
    assert_int_equal(in(IIR)&0x01, 0);
    out(IER, 0);
    assert_int_equal(in(IIR), 0x01);
    out(IER, 0x02);
    assert_int_equal(in(LSR)&0x40, 0x40);
    assert_int_equal(in(IIR)&0x01, 0); /* else "TXEN" bug */
    out(IER, 0);
}

static void test_registers(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        out(SCR, (uint8_t)value);
        assert_int_equal(in(SCR), value);
    }
    out(MCR, 0xff);
    assert_int_equal(in(MCR), 0x1f);
    out(MCR, 0);
    out(LCR, 0x80);
    out(DATA, 0x34);
    out(IER, 0x12);
    assert_int_equal(in(DATA), 0x34);
    assert_int_equal(in(IER), 0x12);
    out(LCR, 0x1b);
    assert_int_equal(in(LCR), 0x1b);
    assert_int_equal(in(IER), 0);
    assert_int_equal(output_length, 0);
    out(LSR, 0xff);
    out(MSR, 0xff);
    assert_int_equal(in(LSR), 0x60);
    assert_int_equal(in(MSR), 0xb4); /* RI was up in loopback, and its end is an event */
    assert_int_equal(in(MSR), 0xb0);
    /* Wide accesses take one register after the other. */
    uart_bus_operations.write(&uart, LCR, 2, 0x0b07);
    assert_int_equal(in(LCR), 0x07);
    assert_int_equal(in(MCR), 0x0b);
    assert_int_equal(uart_bus_operations.read(&uart, LCR, 4), 0xb0600b07);
    assert_int_equal(uart_bus_operations.read(&uart, 0, 8) >> 24, 0xffb0600b07);
}

static void test_output(void **state)
{
    (void)state;
    for (const char *text = "Hello, world\n"; *text != '\0'; text++) {
        assert_int_equal(in(LSR), 0x60);
        out(DATA, (uint8_t)*text);
    }
    assert_int_equal(output_length, 13);
    assert_memory_equal(output, "Hello, world\n", 13);
    assert_false(uart_waiting(&uart));
    assert_int_equal(edges, 0);
}

static void test_sink_without_room(void **state)
{
    (void)state;
    open_port(0x02);
    assert_int_equal(in(IIR), 0xc2);
    edges = 0;
    room = 0;
    for (unsigned c = 'a'; c < 'a' + 17; c++) { /* the 17th is lost */
        out(DATA, (uint8_t)c);
        assert_int_equal(in(LSR), 0x00);
    }
    assert_true(uart_waiting(&uart));
    uart_poll(&uart);
    assert_int_equal(output_length, 0);
    room = 3;
    uart_poll(&uart);
    assert_memory_equal(output, "abc", 3);
    assert_int_equal(in(LSR), 0x00);
    assert_int_equal(in(IIR), 0xc1);
    assert_int_equal(edges, 0);
    room = 100;
    uart_poll(&uart);
    assert_int_equal(output_length, 16);
    assert_memory_equal(output, "abcdefghijklmnop", 16);
    assert_int_equal(in(LSR), 0x60);
    assert_int_equal(edges, 1);
    assert_int_equal(in(IIR), 0xc2);
    assert_int_equal(in(IIR), 0xc1);
    assert_false(level);
    uart_poll(&uart);
    assert_int_equal(edges, 1);
}

static void test_output_without_fifos(void **state)
{
    (void)state;
    room = 0;
    out(DATA, 'x');
    assert_int_equal(in(LSR), 0x00);
    out(DATA, 'y');
    room = 5;
    uart_poll(&uart);
    assert_int_equal(output_length, 1);
    assert_int_equal(output[0], 'x');
}

static void test_transmitter_interrupt(void **state)
{
    (void)state;
    open_port(0x00);
    assert_int_equal(edges, 0);
    out(IER, 0x02); /* empty already: the driver's way of starting */
    assert_int_equal(edges, 1);
    assert_int_equal(in(IIR), 0xc2);
    assert_false(level);
    out(DATA, 'a'); /* sent at once, so that it is empty again */
    assert_int_equal(edges, 2);
    out(DATA, 'b');
    assert_int_equal(edges, 2);
    assert_true(level);
    out(IER, 0x00);
    assert_false(level);
    assert_int_equal(in(IIR), 0xc1);
    out(IER, 0x02);
    out(IER, 0x02); /* no change: no new cause */
    assert_int_equal(edges, 3);
}

static void test_receive(void **state)
{
    (void)state;
    open_port(0x05);
    assert_true(uart_receive(&uart, 'q'));
    assert_int_equal(edges, 1);
    assert_int_equal(in(IIR), 0xcc);
    assert_int_equal(in(LSR), 0x61);
    for (unsigned i = 1; i < 16; i++) {
        assert_int_equal(in(IIR), i < 8 ? 0xcc : 0xc4);
        assert_true(uart_receive(&uart, (uint8_t)('q' + i)));
    }
    assert_false(uart_receive(&uart, '!'));
    assert_int_equal(edges, 1);
    for (unsigned i = 0; i < 16; i++) {
        assert_true(level);
        assert_int_equal(in(DATA), 'q' + i);
    }
    assert_false(level);
    assert_int_equal(in(LSR), 0x60);
    assert_int_equal(in(IIR), 0xc1);
    assert_true(uart_receive(&uart, '!'));
    assert_int_equal(edges, 2);
    out(FCR, 0x83); /* clears the receiver */
    assert_false(level);
    assert_int_equal(in(LSR), 0x60);
}

static void test_receive_without_fifos(void **state)
{
    (void)state;
    out(MCR, 0x08);
    out(IER, 0x01);
    assert_true(uart_receive(&uart, 1));
    assert_false(uart_receive(&uart, 2));
    assert_int_equal(in(IIR), 0x04);
    assert_int_equal(in(DATA), 1);
    assert_int_equal(in(IIR), 0x01);
}

static void test_second_cause_makes_an_edge(void **state)
{
    (void)state;
    open_port(0x03);
    assert_int_equal(edges, 1); /* the transmitter's, not served yet */
    assert_true(uart_receive(&uart, 'x'));
    assert_int_equal(edges, 2);
    assert_true(level);
    assert_int_equal(in(IIR), 0xcc);
    assert_int_equal(in(DATA), 'x');
    assert_true(level); /* the first cause still waits */
    assert_int_equal(in(IIR), 0xc2);
    assert_false(level);
}

static void test_interrupt_gate(void **state)
{
    (void)state;
    out(FCR, 0x01);
    out(IER, 0x01);
    assert_true(uart_receive(&uart, 'x'));
    assert_int_equal(edges, 0);
    assert_int_equal(in(IIR), 0xc4);
    out(MCR, 0x08);
    assert_int_equal(edges, 1);
    out(MCR, 0x18);
    assert_false(level);
    out(MCR, 0x08);
    assert_int_equal(edges, 2);
}

static void test_loopback(void **state)
{
    (void)state;
    out(FCR, 0x01);
    out(IER, 0x0f);
    in(IIR);
    out(MCR, 0x10);
    in(MSR);
    assert_false(uart_receive(&uart, 'x'));
    for (unsigned i = 0; i < 17; i++) {
        out(DATA, (uint8_t)(0x80 + i));
    }
    assert_int_equal(output_length, 0);
    assert_int_equal(in(IIR), 0xc6);
    assert_int_equal(in(LSR), 0x63);
    assert_int_equal(in(IIR), 0xc4);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(in(DATA), 0x80 + i);
    }
    assert_int_equal(in(IIR), 0xc2);
    assert_int_equal(in(IIR), 0xc1);
    out(MCR, 0x17); /* DTR, RTS, OUT1 */
    assert_int_equal(in(IIR), 0xc0);
    assert_int_equal(in(MSR), 0x73); /* RI's beginning is no event */
    assert_int_equal(in(IIR), 0xc1);
    out(MCR, 0x10);
    assert_int_equal(in(MSR), 0x07);
}

static void test_fifo_control(void **state)
{
    (void)state;
    open_port(0x02);
    in(IIR);
    edges = 0;
    room = 0;
    out(DATA, 'x');
    out(FCR, 0x06); /* without the enable bit this switches FIFOs off, which clears them */
    assert_int_equal(in(IIR), 0x02);
    assert_false(uart_waiting(&uart));
    out(FCR, 0xc1);
    out(DATA, 'y');
    assert_true(uart_waiting(&uart));
    out(FCR, 0xc5);
    assert_false(uart_waiting(&uart));
    assert_int_equal(in(LSR), 0x60);
    for (unsigned i = 0; i < 14; i++) {
        out(IER, 0x01);
        uart_receive(&uart, 0);
        assert_int_equal(in(IIR), i < 13 ? 0xcc : 0xc4);
    }
}

static void test_reset(void **state)
{
    (void)state;
    open_port(0x03);
    room = 0;
    out(DATA, 'x');
    uart_receive(&uart, 'y');
    out(SCR, 0x77);
    assert_true(level);
    uart_reset(&uart);
    assert_false(level);
    assert_false(uart_waiting(&uart));
    test_reset_state(NULL);
    room = 1;
    out(DATA, 'z');
    assert_int_equal(output[0], 'z');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reset_state, set_up),
        cmocka_unit_test_setup(test_linux_autoconfig, set_up),
        cmocka_unit_test_setup(test_linux_startup, set_up),
        cmocka_unit_test_setup(test_registers, set_up),
        cmocka_unit_test_setup(test_output, set_up),
        cmocka_unit_test_setup(test_sink_without_room, set_up),
        cmocka_unit_test_setup(test_output_without_fifos, set_up),
        cmocka_unit_test_setup(test_transmitter_interrupt, set_up),
        cmocka_unit_test_setup(test_receive, set_up),
        cmocka_unit_test_setup(test_receive_without_fifos, set_up),
        cmocka_unit_test_setup(test_second_cause_makes_an_edge, set_up),
        cmocka_unit_test_setup(test_interrupt_gate, set_up),
        cmocka_unit_test_setup(test_loopback, set_up),
        cmocka_unit_test_setup(test_fifo_control, set_up),
        cmocka_unit_test_setup(test_reset, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
