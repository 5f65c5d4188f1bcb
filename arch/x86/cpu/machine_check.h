/* What the processor says of a machine check: its banks of error registers, as text. */
#ifndef ARCH_X86_CPU_MACHINE_CHECK_H
#define ARCH_X86_CPU_MACHINE_CHECK_H

#include <stdint.h>

#include "arch/x86/cpu/registers.h"

/* The banks that are looked at, should a processor count more. */
#define MACHINE_CHECK_BANKS 32U

/*
 * Logs this CPU's MCG_STATUS and every bank that holds an error; nothing where CPUID announces no
 * machine check architecture. CPUID and RDMSR are passed in, so that tests can play them.
 */
void machine_check_print(struct cpuid_registers (*cpuid)(uint32_t leaf, uint32_t subleaf),
                         uint64_t (*read_msr)(uint32_t index));

#endif
