/* This CPU's settings against AMD's errata. */
#ifndef ARCH_X86_HOST_AMD_ERRATA_APPLY_H
#define ARCH_X86_HOST_AMD_ERRATA_APPLY_H

/*
 * Makes the settings that the table (amd_errata.h) has for this CPU, unless a hypervisor runs
 * below. To be called on each CPU, with its number: CPU 0 logs what was set.
 */
void amd_errata_apply(unsigned cpu);

#endif
