/* The machine's first serial port, polled: a 16550A at 0x3f8. */
#include "arch/x86/host/uart.h"

#include "arch/x86/cpu/instructions.h"

#define UART_BASE         0x3f8
#define UART_DATA         (UART_BASE + 0)
#define UART_INTERRUPT    (UART_BASE + 1)
#define UART_FIFO_CONTROL (UART_BASE + 2)
#define UART_LINE_CONTROL (UART_BASE + 3)
#define UART_MODEM        (UART_BASE + 4)
#define UART_LINE_STATUS  (UART_BASE + 5)
#define UART_SCRATCH      (UART_BASE + 7)

#define LINE_STATUS_RECEIVED 0x01
#define LINE_STATUS_EMPTY    0x20 /* transmit FIFO */
#define LINE_STATUS_IDLE     0x40 /* and shift register */

/* 16 bytes take 1.4 ms; a poll of a port takes about a microsecond on real hardware. */
#define DRAIN_POLLS 1000000U

bool host_uart_init(void)
{
    port_write8(UART_SCRATCH, 0x5a);
    if (port_read8(UART_SCRATCH) != 0x5a) {
        return false;
    }
    port_write8(UART_INTERRUPT, 0);
    port_write8(UART_LINE_CONTROL, 0x80); /* divisor latch */
    port_write8(UART_DATA, 1);            /* 115200 baud */
    port_write8(UART_INTERRUPT, 0);
    port_write8(UART_LINE_CONTROL, 0x03); /* 8N1 */
    port_write8(UART_FIFO_CONTROL, 0x01); /* FIFOs on; what is in them stays */
    port_write8(UART_MODEM, 0x03);        /* DTR, RTS */
    return true;
}

bool host_uart_ready(void)
{
    return (port_read8(UART_LINE_STATUS) & LINE_STATUS_EMPTY) != 0;
}

void host_uart_write(uint8_t byte)
{
    port_write8(UART_DATA, byte);
}

bool host_uart_read(uint8_t *byte)
{
    if ((port_read8(UART_LINE_STATUS) & LINE_STATUS_RECEIVED) == 0) {
        return false;
    }
    *byte = port_read8(UART_DATA);
    return true;
}

void host_uart_drain(void)
{
    for (unsigned i = 0; i < DRAIN_POLLS; i++) {
        if ((port_read8(UART_LINE_STATUS) & LINE_STATUS_IDLE) != 0) {
            return;
        }
        pause();
    }
}
