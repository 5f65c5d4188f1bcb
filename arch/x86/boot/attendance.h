/* The consoles of the guests, and the monitor that attends to the machine's keyboard. */
#ifndef ARCH_X86_BOOT_ATTENDANCE_H
#define ARCH_X86_BOOT_ATTENDANCE_H

#include "arch/x86/boot/seedvisor.h"

/* A guest's place at the machine's console. NULL, with a line in the log, if there is no room. */
struct console_channel *attendance_add(const char *name, struct arena *arena);

/* Lets the monitor attend to the keyboard, in the console mode that the configuration asks for. */
void attendance_begin(struct seedvisor *seedvisor);

/* Nobody attends any more. */
void attendance_end(struct seedvisor *seedvisor);

#endif
