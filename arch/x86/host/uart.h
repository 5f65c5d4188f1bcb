/* The machine's serial ports, polled: 16550As at the PC's addresses. */
#ifndef ARCH_X86_HOST_UART_H
#define ARCH_X86_HOST_UART_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/byte_port.h"

/* Bytes the transmitter takes at once when it is empty, and the receiver holds. */
#define HOST_UART_FIFO BYTE_PORT_FIFO

struct host_uart {
    uint16_t base; /* the first of its eight I/O ports */
};

extern const struct host_uart host_uart_com1; /* the console's */
extern const struct host_uart host_uart_com2; /* an outside noise source's, or a laboratory's */

/* 115200 baud, 8N1, FIFOs on. False if no UART answers. */
bool host_uart_init(const struct host_uart *uart);

/* Whether HOST_UART_FIFO bytes can be written now. */
bool host_uart_ready(const struct host_uart *uart);
void host_uart_write(const struct host_uart *uart, uint8_t byte);

/* One received byte, if there is one. */
bool host_uart_read(const struct host_uart *uart, uint8_t *byte);

/* The same as a line: ready, write and read. `uart` is kept. */
struct byte_port host_uart_port(const struct host_uart *uart);

/* Waits until the last bit has left, but no longer than a bounded number of polls. */
void host_uart_drain(const struct host_uart *uart);

#endif
