/* This machine's RDSEED and RDRAND: what is known against them, and what keeps them confidential.
 */
#ifndef ARCH_X86_HOST_RANDOM_QUIRKS_H
#define ARCH_X86_HOST_RANDOM_QUIRKS_H

#include <stdbool.h>

#include "arch/x86/cpu/cpu_quirks.h"
#include "vmm/virtualization.h"

/* Logs what is known of an instruction of this CPU, and reports whether it can be used. */
void random_quirks_report(enum random_instruction instruction, requirement_report report,
                          void *context);

/* Whether it must not be used. */
bool random_quirks_refused(enum random_instruction instruction);

/* The GUEST_HAS_ bits of the random instructions that guests may be shown. */
unsigned random_quirks_shown(void);

/*
 * Switches this CPU's mitigation of CVE-2020-0543 on if somebody has opted out of it. To be called
 * on each CPU, with its number for the log.
 */
void random_quirks_mitigate(unsigned cpu);

#endif
