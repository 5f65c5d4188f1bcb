/* The serial port: a 16550A whose output goes to a sink that may have no room. */
#ifndef DEVICES_UART_UART_H
#define DEVICES_UART_UART_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/bus.h"
#include "vmm/irq_line.h"

/*
 * Model: PC16550D (National Semiconductor, 1995) as a PC wires it: OUT2 gates the interrupt. A
 * character takes no time to send; it leaves the transmitter as soon as the sink has room. Until
 * then LSR shows a busy transmitter, so that a guest that floods its console waits for it and the
 * hypervisor never does. The modem lines show a connected cable (CTS, DSR, DCD). No errors occur
 * but overrun in loopback.
 *
 * Not locked: the caller serialises every function.
 */

#define UART_PORTS      8
#define UART_FIFO_DEPTH 16

struct uart_sink {
    bool (*ready)(void *context);                  /* room for one byte */
    void (*transmit)(void *context, uint8_t byte); /* only called when ready */
    void (*flush)(void *context);                  /* the sender is gone; NULL: nothing to do */
    void *context;                                 /* not owned */
};

struct uart_fifo {
    uint8_t bytes[UART_FIFO_DEPTH];
    uint8_t first;
    uint8_t count;
};

struct uart {
    struct uart_sink sink;
    struct irq_line line;
    struct uart_fifo transmitter;
    struct uart_fifo receiver;
    uint8_t interrupt_enable; /* IER */
    uint8_t fifo_control;     /* FCR: enable and trigger level */
    uint8_t line_control;     /* LCR */
    uint8_t modem_control;    /* MCR */
    uint8_t modem_status;     /* MSR */
    uint8_t scratch;          /* SCR */
    uint16_t divisor;         /* DLM:DLL */
    bool overrun;             /* LSR.OE */
    bool transmitter_emptied; /* the THRE interrupt waits: not seen in IIR yet */
    uint8_t causes;           /* the interrupt causes that the line announces now */
};

/* The registers, a byte at each of UART_PORTS addresses; wider accesses take consecutive ones. */
extern const struct bus_operations uart_bus_operations;

/*
 * Copies the sink and the line, which is edge-triggered and whose controller must be ready. Starts
 * in the reset state.
 */
void uart_init(struct uart *uart, const struct uart_sink *sink, const struct irq_line *line);

/* Master reset: bytes that were not sent or not read are gone. */
void uart_reset(struct uart *uart);

/*
 * A byte for the guest. False if it has no place for it now, or is in loopback: try again later.
 * Registers must have been read in between, so there is no use in trying more often than at exits.
 */
bool uart_receive(struct uart *uart, uint8_t byte);

/* Whether bytes wait for the sink: then uart_poll() is due when it has room. */
bool uart_waiting(const struct uart *uart);

/* Hands what waits to the sink, at most UART_FIFO_DEPTH bytes, and raises the interrupt it owes. */
void uart_poll(struct uart *uart);

#endif
