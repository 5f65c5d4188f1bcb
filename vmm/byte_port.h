/* A line that bytes come and go by, such as a serial port, without saying which. */
#ifndef VMM_BYTE_PORT_H
#define VMM_BYTE_PORT_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes that a line which is ready takes without waiting: a 16550A's FIFO. */
#define BYTE_PORT_FIFO 16U

/* Nothing here blocks. */
struct byte_port {
    bool (*ready)(void *context); /* for BYTE_PORT_FIFO bytes */
    void (*write)(void *context, uint8_t byte);
    bool (*read)(void *context, uint8_t *byte); /* false: nothing has come in */
    void *context;                              /* not owned */
};

#endif
