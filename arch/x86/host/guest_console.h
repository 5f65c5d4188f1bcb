/* A guest's way to the machine's console. */
#ifndef ARCH_X86_HOST_GUEST_CONSOLE_H
#define ARCH_X86_HOST_GUEST_CONSOLE_H

#include "devices/uart/uart.h"
#include "vmm/console_switch.h"

/* The sink for the guest's serial port. `channel` is kept. */
struct uart_sink guest_console_sink(struct console_channel *channel);

#endif
