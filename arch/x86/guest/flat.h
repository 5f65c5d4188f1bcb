/* Loads a file of bare machine code, for test guests that need no more. */
#ifndef ARCH_X86_GUEST_FLAT_H
#define ARCH_X86_GUEST_FLAT_H

#include <stdbool.h>

#include "arch/x86/guest/boot_image.h"
#include "vmm/virtualization.h"

/*
 * One of boot.c's kinds: the whole file goes to 1 MiB and is entered at its first byte in 64-bit
 * mode, with the lowest 4 GiB mapped to themselves, a stack, interrupts off, and RDI (a C
 * function's first argument) pointing to a struct hvm_start_info of the PVH protocol.
 */
bool flat_load(struct boot *boot, struct vcpu_start *start);

#endif
