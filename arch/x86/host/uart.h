/* The machine's first serial port, COM1. */
#ifndef ARCH_X86_HOST_UART_H
#define ARCH_X86_HOST_UART_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes the transmitter takes at once when it is empty. */
#define HOST_UART_FIFO 16

/* 115200 baud, 8N1, FIFOs on. False if no UART answers. */
bool host_uart_init(void);

/* Whether HOST_UART_FIFO bytes can be written now. */
bool host_uart_ready(void);
void host_uart_write(uint8_t byte);

/* One received byte, if there is one. */
bool host_uart_read(uint8_t *byte);

/* Waits until the last bit has left, but no longer than a bounded number of polls. */
void host_uart_drain(void);

#endif
