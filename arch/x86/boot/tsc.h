/* How fast the time stamp counter runs. */
#ifndef ARCH_X86_BOOT_TSC_H
#define ARCH_X86_BOOT_TSC_H

#include <stdint.h>

/*
 * The TSC's frequency in Hz: as the hypervisor below or the CPU states it, else measured against
 * the firmware's clock, which takes 20 to 100 ms. 0 if nothing works. Needs boot services.
 */
uint64_t tsc_find_frequency(void);

#endif
