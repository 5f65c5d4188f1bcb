/* Whether all CPUs count the same time; guests read the counter of whichever CPU they are on. */
#ifndef ARCH_X86_BOOT_TSC_SYNC_H
#define ARCH_X86_BOOT_TSC_SYNC_H

#include <stdbool.h>
#include <stdint.h>

/* On the first CPU, before the others are started. */
void tsc_sync_begin(void);

/* On the first CPU, again and again as long as another joins. False if there is nothing to do. */
bool tsc_sync_serve(void);

/*
 * On the other, CPU `cpu`: compares its counter with the first CPU's, which must serve meanwhile,
 * and gives it the first one's adjustment if they are not in step. False, with a line in the log,
 * if they still are not. Takes little more than a fifth of a second; `frequency` is the counter's.
 */
bool tsc_sync_join(unsigned cpu, uint64_t frequency);

#endif
