/* The machine's serial ports, polled: 16550As at the PC's addresses. */
#include "arch/x86/host/uart.h"

#include "arch/x86/cpu/instructions.h"

/* The ports of one, from its base on. */
#define UART_DATA         0
#define UART_INTERRUPT    1
#define UART_FIFO_CONTROL 2
#define UART_LINE_CONTROL 3
#define UART_MODEM        4
#define UART_LINE_STATUS  5
#define UART_SCRATCH      7

#define LINE_STATUS_RECEIVED 0x01
#define LINE_STATUS_EMPTY    0x20 /* transmit FIFO */
#define LINE_STATUS_IDLE     0x40 /* and shift register */

/* 16 bytes take 1.4 ms; a poll of a port takes about a microsecond on real hardware. */
#define DRAIN_POLLS 1000000U

const struct host_uart host_uart_com1 = {.base = 0x3f8};
const struct host_uart host_uart_com2 = {.base = 0x2f8};

static uint8_t get(const struct host_uart *uart, uint16_t port)
{
    return port_read8((uint16_t)(uart->base + port));
}

static void set(const struct host_uart *uart, uint16_t port, uint8_t value)
{
    port_write8((uint16_t)(uart->base + port), value);
}

bool host_uart_init(const struct host_uart *uart)
{
    set(uart, UART_SCRATCH, 0x5a);
    if (get(uart, UART_SCRATCH) != 0x5a) {
        return false;
    }
    set(uart, UART_INTERRUPT, 0);
    set(uart, UART_LINE_CONTROL, 0x80); /* divisor latch */
    set(uart, UART_DATA, 1);            /* 115200 baud */
    set(uart, UART_INTERRUPT, 0);
    set(uart, UART_LINE_CONTROL, 0x03); /* 8N1 */
    /*
     * FIFOs on; what is in them stays. The level for reporting received bytes is 14: it matters to
     * Bochs only, whose receiver stops after one byte at the level of 1.
     */
    set(uart, UART_FIFO_CONTROL, 0xc1);
    set(uart, UART_MODEM, 0x03); /* DTR, RTS */
    return true;
}

bool host_uart_ready(const struct host_uart *uart)
{
    return (get(uart, UART_LINE_STATUS) & LINE_STATUS_EMPTY) != 0;
}

void host_uart_write(const struct host_uart *uart, uint8_t byte)
{
    set(uart, UART_DATA, byte);
}

bool host_uart_read(const struct host_uart *uart, uint8_t *byte)
{
    if ((get(uart, UART_LINE_STATUS) & LINE_STATUS_RECEIVED) == 0) {
        return false;
    }
    *byte = get(uart, UART_DATA);
    return true;
}

static bool port_ready(void *context)
{
    return host_uart_ready(context);
}

static void port_write(void *context, uint8_t byte)
{
    host_uart_write(context, byte);
}

static bool port_read(void *context, uint8_t *byte)
{
    return host_uart_read(context, byte);
}

struct byte_port host_uart_port(const struct host_uart *uart)
{
    return (struct byte_port){
        .ready = port_ready, .write = port_write, .read = port_read, .context = (void *)uart};
}

void host_uart_drain(const struct host_uart *uart)
{
    for (unsigned i = 0; i < DRAIN_POLLS; i++) {
        if ((get(uart, UART_LINE_STATUS) & LINE_STATUS_IDLE) != 0) {
            return;
        }
        pause();
    }
}
