/* The serial port (PC16550D data sheet): registers, FIFOs, interrupt causes. */
#include "devices/uart/uart.h"

/* Registers by offset; 0 and 1 are the divisor while LCR.DLAB is set. */
enum uart_register {
    DATA, /* RBR when read, THR when written */
    IER,
    IIR, /* FCR when written */
    LCR,
    MCR,
    LSR,
    MSR,
    SCR,
};

/* IER enables causes; in `causes` they have the same bits. */
#define CAUSE_RECEIVED    0x01
#define CAUSE_TRANSMITTER 0x02
#define CAUSE_LINE_STATUS 0x04
#define CAUSE_MODEM       0x08

#define IIR_NONE          0x01
#define IIR_MODEM         0x00
#define IIR_TRANSMITTER   0x02
#define IIR_RECEIVED      0x04
#define IIR_LINE_STATUS   0x06
#define IIR_TIMEOUT       0x0c
#define IIR_FIFOS_ENABLED 0xc0

#define FCR_ENABLE            0x01
#define FCR_CLEAR_RECEIVER    0x02
#define FCR_CLEAR_TRANSMITTER 0x04
#define FCR_TRIGGER           0xc0

#define LCR_DLAB 0x80

#define MCR_DTR      0x01
#define MCR_RTS      0x02
#define MCR_OUT1     0x04
#define MCR_OUT2     0x08
#define MCR_LOOPBACK 0x10
#define MCR_WRITABLE 0x1f

#define LSR_DATA_READY        0x01
#define LSR_OVERRUN           0x02
#define LSR_TRANSMITTER_EMPTY 0x60 /* THRE and TEMT: there is no shift register to tell apart */

#define MSR_CTS   0x10
#define MSR_DSR   0x20
#define MSR_RI    0x40
#define MSR_DCD   0x80
#define MSR_LINES 0xf0
#define MSR_DELTA 0x0f

/* 8 data bits, no parity, 1 stop bit, 9600 baud: what software that sets nothing expects to see. */
#define LCR_AT_RESET     0x03
#define DIVISOR_AT_RESET 12

static bool fifos_enabled(const struct uart *uart)
{
    return (uart->fifo_control & FCR_ENABLE) != 0;
}

static bool in_loopback(const struct uart *uart)
{
    return (uart->modem_control & MCR_LOOPBACK) != 0;
}

static bool fifo_put(const struct uart *uart, struct uart_fifo *fifo, uint8_t byte)
{
    /* Without FIFOs each direction has one holding register. */
    if (fifo->count >= (fifos_enabled(uart) ? UART_FIFO_DEPTH : 1)) {
        return false;
    }
    fifo->bytes[(fifo->first + fifo->count) % UART_FIFO_DEPTH] = byte;
    fifo->count++;
    return true;
}

/* The caller knows that it is not empty. */
static uint8_t fifo_take(struct uart_fifo *fifo)
{
    uint8_t byte = fifo->bytes[fifo->first];

    fifo->first = (uint8_t)((fifo->first + 1) % UART_FIFO_DEPTH);
    fifo->count--;
    return byte;
}

/* Interrupts. */

static unsigned trigger_level(const struct uart *uart)
{
    static const uint8_t levels[] = {1, 4, 8, 14};

    return fifos_enabled(uart) ? levels[uart->fifo_control >> 6] : 1;
}

static uint8_t pending_causes(const struct uart *uart)
{
    uint8_t causes = 0;

    if (uart->overrun) {
        causes |= CAUSE_LINE_STATUS;
    }
    if (uart->receiver.count != 0) {
        causes |= CAUSE_RECEIVED;
    }
    if (uart->transmitter_emptied) {
        causes |= CAUSE_TRANSMITTER;
    }
    if ((uart->modem_status & MSR_DELTA) != 0) {
        causes |= CAUSE_MODEM;
    }
    return causes & uart->interrupt_enable;
}

/*
 * The input at the other end sees edges only. A cause that appears while another holds the line up
 * would make none, so the line goes down first: a driver that handles one cause per interrupt, or
 * looks at IIR a moment too early, still gets its next interrupt.
 */
static void update_line(struct uart *uart)
{
    /* In loopback OUT2's pin, which gates the interrupt, is inactive (8.6.7). */
    bool gate = (uart->modem_control & (MCR_OUT2 | MCR_LOOPBACK)) == MCR_OUT2;
    uint8_t causes = gate ? pending_causes(uart) : 0;
    uint8_t before = uart->causes;

    uart->causes = causes;
    if (before != 0 && (causes == 0 || (causes & ~before) != 0)) {
        irq_line_set(&uart->line, false);
    }
    if ((causes & ~before) != 0) {
        irq_line_set(&uart->line, true);
    }
}

/* The most urgent cause (table III). Seeing the transmitter's here is what ends it. */
static uint8_t read_iir(struct uart *uart)
{
    uint8_t causes = pending_causes(uart);
    uint8_t fifos = fifos_enabled(uart) ? IIR_FIFOS_ENABLED : 0;

    if ((causes & CAUSE_LINE_STATUS) != 0) {
        return fifos | IIR_LINE_STATUS;
    }
    if ((causes & CAUSE_RECEIVED) != 0) {
        /* Fewer than the trigger level: as if they had been waiting for four characters' time. */
        bool full = uart->receiver.count >= trigger_level(uart);

        return fifos | (full ? IIR_RECEIVED : IIR_TIMEOUT);
    }
    if ((causes & CAUSE_TRANSMITTER) != 0) {
        uart->transmitter_emptied = false;
        return fifos | IIR_TRANSMITTER;
    }
    return fifos | ((causes & CAUSE_MODEM) != 0 ? IIR_MODEM : IIR_NONE);
}

/* Sending and receiving. */

static void flush(struct uart *uart)
{
    while (uart->transmitter.count != 0 && uart->sink.ready(uart->sink.context)) {
        uart->sink.transmit(uart->sink.context, fifo_take(&uart->transmitter));
        uart->transmitter_emptied = uart->transmitter.count == 0;
    }
}

static void write_data(struct uart *uart, uint8_t byte)
{
    uart->transmitter_emptied = false;
    if (in_loopback(uart)) {
        uart->overrun |= !fifo_put(uart, &uart->receiver, byte);
        uart->transmitter_emptied = uart->transmitter.count == 0;
        return;
    }
    /* A byte too many is lost, as on the chip: LSR said that there was no room. */
    (void)fifo_put(uart, &uart->transmitter, byte);
    flush(uart);
}

static uint8_t read_data(struct uart *uart)
{
    return uart->receiver.count == 0 ? 0 : fifo_take(&uart->receiver);
}

/* The other registers. */

static uint8_t read_lsr(struct uart *uart)
{
    uint8_t status = 0;

    if (uart->transmitter.count == 0) {
        status |= LSR_TRANSMITTER_EMPTY;
    }
    if (uart->receiver.count != 0) {
        status |= LSR_DATA_READY;
    }
    if (uart->overrun) {
        status |= LSR_OVERRUN;
    }
    uart->overrun = false;
    return status;
}

static uint8_t read_msr(struct uart *uart)
{
    uint8_t status = uart->modem_status;

    uart->modem_status &= MSR_LINES;
    return status;
}

static uint8_t modem_lines(const struct uart *uart)
{
    static const struct {
        uint8_t output;
        uint8_t input;
    } loop[] = {{MCR_RTS, MSR_CTS}, {MCR_DTR, MSR_DSR}, {MCR_OUT1, MSR_RI}, {MCR_OUT2, MSR_DCD}};
    uint8_t lines = 0;

    if (!in_loopback(uart)) {
        return MSR_CTS | MSR_DSR | MSR_DCD;
    }
    for (unsigned i = 0; i < sizeof(loop) / sizeof(loop[0]); i++) {
        if ((uart->modem_control & loop[i].output) != 0) {
            lines |= loop[i].input;
        }
    }
    return lines;
}

static void write_mcr(struct uart *uart, uint8_t value)
{
    uint8_t before = uart->modem_status & MSR_LINES;

    uart->modem_control = value & MCR_WRITABLE;
    uint8_t lines = modem_lines(uart);
    uint8_t changed = (uint8_t)(before ^ lines);

    if ((lines & MSR_RI) != 0) {
        changed &= (uint8_t)~MSR_RI; /* TERI: only the end of a ring counts (8.6.8) */
    }
    uart->modem_status = (uint8_t)((uart->modem_status & MSR_DELTA) | lines | changed >> 4);
}

static void write_ier(struct uart *uart, uint8_t value)
{
    uint8_t before = uart->interrupt_enable;

    uart->interrupt_enable = value & 0x0f;
    /* Enabling the transmitter's interrupt while it is empty raises it: drivers start that way. */
    if ((uart->interrupt_enable & ~before & CAUSE_TRANSMITTER) != 0) {
        uart->transmitter_emptied = uart->transmitter.count == 0;
    }
}

static void write_fcr(struct uart *uart, uint8_t value)
{
    bool switched = ((value ^ uart->fifo_control) & FCR_ENABLE) != 0;
    bool enable = (value & FCR_ENABLE) != 0;

    /* Switching clears both FIFOs; the other bits count only with the enable bit (8.6.4). */
    if (switched || (enable && (value & FCR_CLEAR_RECEIVER) != 0)) {
        uart->receiver = (struct uart_fifo){0};
    }
    if (switched || (enable && (value & FCR_CLEAR_TRANSMITTER) != 0)) {
        uart->transmitter_emptied |= uart->transmitter.count != 0;
        uart->transmitter = (struct uart_fifo){0};
    }
    uart->fifo_control = enable ? value & (FCR_ENABLE | FCR_TRIGGER) : 0;
}

static uint8_t read_register(struct uart *uart, uint64_t offset)
{
    bool divisor = (uart->line_control & LCR_DLAB) != 0;

    switch (offset) {
    case DATA:
        return divisor ? (uint8_t)uart->divisor : read_data(uart);
    case IER:
        return divisor ? (uint8_t)(uart->divisor >> 8) : uart->interrupt_enable;
    case IIR:
        return read_iir(uart);
    case LCR:
        return uart->line_control;
    case MCR:
        return uart->modem_control;
    case LSR:
        return read_lsr(uart);
    case MSR:
        return read_msr(uart);
    default: /* SCR, the last of the eight */
        return uart->scratch;
    }
}

static void write_divisor(struct uart *uart, uint64_t offset, uint8_t value)
{
    unsigned shift = offset == DATA ? 0 : 8;

    uart->divisor = (uint16_t)((uart->divisor & ~(0xff << shift)) | value << shift);
}

static void write_register(struct uart *uart, uint64_t offset, uint8_t value)
{
    if (offset <= IER && (uart->line_control & LCR_DLAB) != 0) {
        write_divisor(uart, offset, value);
        return;
    }
    switch (offset) {
    case DATA:
        write_data(uart, value);
        break;
    case IER:
        write_ier(uart, value);
        break;
    case IIR:
        write_fcr(uart, value);
        break;
    case LCR:
        uart->line_control = value;
        break;
    case MCR:
        write_mcr(uart, value);
        break;
    case SCR:
        uart->scratch = value;
        break;
    default: /* LSR and MSR are read-only */
        break;
    }
}

static uint64_t uart_read(void *device, uint64_t offset, unsigned size)
{
    struct uart *uart = device;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)read_register(uart, offset + i) << (8 * i);
    }
    update_line(uart);
    return value;
}

static void uart_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct uart *uart = device;

    for (unsigned i = 0; i < size; i++) {
        write_register(uart, offset + i, (uint8_t)(value >> (8 * i)));
    }
    update_line(uart);
}

const struct bus_operations uart_bus_operations = {uart_read, uart_write};

bool uart_receive(struct uart *uart, uint8_t byte)
{
    if (in_loopback(uart) || !fifo_put(uart, &uart->receiver, byte)) {
        return false;
    }
    update_line(uart);
    return true;
}

bool uart_waiting(const struct uart *uart)
{
    return uart->transmitter.count != 0;
}

void uart_poll(struct uart *uart)
{
    if (uart_waiting(uart)) {
        flush(uart);
        update_line(uart);
    }
}

void uart_reset(struct uart *uart)
{
    struct uart_sink sink = uart->sink;
    struct irq_line line = uart->line;

    irq_line_set(&line, false);
    *uart = (struct uart){
        .sink = sink,
        .line = line,
        .line_control = LCR_AT_RESET,
        .divisor = DIVISOR_AT_RESET,
        .modem_status = MSR_CTS | MSR_DSR | MSR_DCD,
    };
}

void uart_init(struct uart *uart, const struct uart_sink *sink, const struct irq_line *line)
{
    uart->sink = *sink;
    uart->line = *line;
    uart_reset(uart);
}
