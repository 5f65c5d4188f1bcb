/* A guest's way to the machine's console: as it stands for one guest, line by line for several. */
#ifndef ARCH_X86_HOST_GUEST_CONSOLE_H
#define ARCH_X86_HOST_GUEST_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "devices/uart/uart.h"

#define GUEST_CONSOLE_LINE 256

struct guest_console {
    const char
        *name; /* goes before each line; NULL: the only guest, whose bytes pass as they are */
    size_t length;
    char line[GUEST_CONSOLE_LINE];
};

/* The sink for the guest's serial port. `console` is kept. */
struct uart_sink guest_console_sink(struct guest_console *console);

#endif
