/* Intel VMX behind the neutral table. */
#ifndef ARCH_X86_VMX_VMX_H
#define ARCH_X86_VMX_VMX_H

#include "vmm/virtualization.h"

extern const struct virtualization vmx_virtualization;

#endif
