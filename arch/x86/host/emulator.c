/* The debug port that emulators offer, and the ways to end an emulation. */
#include "arch/x86/host/emulator.h"

#include "arch/x86/cpu/instructions.h"

#define DEBUG_PORT          0xe9   /* Bochs: port_e9_hack; QEMU: isa-debugcon */
#define QEMU_EXIT_PORT      0xf4   /* isa-debug-exit: QEMU ends with 2 * value + 1 */
#define BOCHS_SHUTDOWN_PORT 0x8900 /* ends when the word has been written to it */

bool emulator_present(void)
{
    return port_read8(DEBUG_PORT) == DEBUG_PORT;
}

void emulator_write(const char *text)
{
    if (emulator_present()) {
        for (; *text != '\0'; text++) {
            port_write8(DEBUG_PORT, (uint8_t)*text);
        }
    }
}

/* LCOV_EXCL_START: executed after the counters were told */
void emulator_end(unsigned result)
{
    if (emulator_present()) {
        port_write32(QEMU_EXIT_PORT, result);
        for (const char *word = "Shutdown"; *word != '\0'; word++) {
            port_write8(BOCHS_SHUTDOWN_PORT, (uint8_t)*word);
        }
    }
}
/* LCOV_EXCL_STOP */
