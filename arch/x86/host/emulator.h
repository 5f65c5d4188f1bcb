/* The debug port that emulators offer, and the ways to end an emulation with a result. */
#ifndef ARCH_X86_HOST_EMULATOR_H
#define ARCH_X86_HOST_EMULATOR_H

#include <stdbool.h>

/*
 * Whether port 0xE9 reads as 0xE9: Bochs's debug port, and QEMU's. No real machine does so; only
 * then are the emulators' other ports touched.
 */
bool emulator_present(void);

/* Writes text to the debug port; nothing if there is none. */
void emulator_write(const char *text);

/* Ends the emulation, if this is one. `result` is what the run amounts to: see host/power.h. */
void emulator_end(unsigned result);

#endif
