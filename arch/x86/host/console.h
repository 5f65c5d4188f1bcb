/* The machine's console: a buffer in front of the serial port and, early on, the firmware's. */
#ifndef ARCH_X86_HOST_CONSOLE_H
#define ARCH_X86_HOST_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Finds the serial port. `firmware`, if not NULL, is also given every byte until
 * console_leave_firmware(); `serial_too` says whether the serial port is to be written meanwhile
 * (not if the firmware's own console already goes there).
 */
void console_init(void (*firmware)(const char *text, size_t length), bool serial_too);
void console_leave_firmware(void);

/* Puts bytes into the buffer; waits for the port only if the buffer is full. */
void console_write(const char *text, size_t length);

/* Room in the buffer for a guest's bytes; the hypervisor's own lines have some in reserve. */
bool console_has_room(void);

/* Moves what the port takes without waiting: bounded, for the run loop. */
void console_work(void);

/* Empties the buffer and waits until the port has sent everything. */
void console_flush(void);

/* One byte typed at the console, if there is one. */
bool console_read(uint8_t *byte);

#endif
