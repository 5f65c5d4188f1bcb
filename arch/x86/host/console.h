/* The machine's console: the switch in front of the serial port and, early on, the firmware's. */
#ifndef ARCH_X86_HOST_CONSOLE_H
#define ARCH_X86_HOST_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/console_switch.h"

/*
 * Finds the serial port. `firmware`, if not NULL, is also given every line until
 * console_leave_firmware(); `serial_too` says whether the serial port is to be written meanwhile
 * (not if the firmware's own console already goes there).
 */
void console_init(void (*firmware)(const char *text, size_t length), bool serial_too);

/* Boot services are left. `tsc_frequency` is in Hz. */
void console_leave_firmware(uint64_t tsc_frequency);

/* Whether there is a serial port: without it nothing is shown once the firmware has been left. */
bool console_has_port(void);

/* What the port is shared by; the machine's only one. */
struct console_switch *console_consoles(void);

/* A line of the hypervisor's own, of at most CONSOLE_LINE bytes with its CR and LF. Waits for the
 * port only if there is no room for it; once the end has begun it is lost then. */
void console_write(const char *line, size_t length);

/*
 * Moves what the port takes without waiting, for little more than `ticks`: for the run loop. True
 * if the port is at work, so that it is worth while to look again soon.
 */
bool console_work(uint64_t ticks);

/*
 * The machine's end has begun: from now on nobody is waited for for ever. A CPU that holds a lock
 * of the console for longer than a tenth of a second has stopped. May be called again, on any CPU.
 */
void console_end(void);

#ifdef SEEDVISOR_FAULTS
/* As if this CPU had been stopped in the midst of its work here. */
void console_hold_locks(void);
#endif

/*
 * Shows all own lines, with what guests on show wrote before them, and waits until the port has
 * sent it, or has taken nothing for some ten seconds. For the end of the run: guests' lines count
 * as finished.
 */
void console_flush(void);

/* One byte typed at the console, if there is one. */
bool console_read(uint8_t *byte);

#endif
