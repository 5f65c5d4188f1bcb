/* How fast the time stamp counter runs. */
#ifndef ARCH_X86_BOOT_TSC_H
#define ARCH_X86_BOOT_TSC_H

#include <stdint.h>

/*
 * The TSC's frequency in Hz: as the CPU states it (SDM Vol. 3B, 18.7.3), else measured against the
 * firmware's clock. 0 if neither works. Needs boot services.
 */
uint64_t tsc_find_frequency(void);

#endif
