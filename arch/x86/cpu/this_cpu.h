/* What the CPU that runs this says of itself. */
#ifndef ARCH_X86_CPU_THIS_CPU_H
#define ARCH_X86_CPU_THIS_CPU_H

#include "arch/x86/cpu/errata.h"

/* Its model, with the revision of its microcode. */
struct cpu_model this_cpu_model(void);

/* Its model, and all else that its faults are judged by. */
struct cpu_facts this_cpu_facts(void);

#endif
