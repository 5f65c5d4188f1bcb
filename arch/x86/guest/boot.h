/* Boots a guest: finds out what kind of kernel it has and loads it as that kind wants. */
#ifndef ARCH_X86_GUEST_BOOT_H
#define ARCH_X86_GUEST_BOOT_H

#include <stdbool.h>

#include "arch/x86/guest/boot_image.h"
#include "vmm/virtualization.h"

/*
 * Puts the kernel, its files and what it is told into guest memory, which has not run yet, and says
 * in *start how the boot vCPU is to enter. May be called again for a guest that starts anew, with
 * its memory wiped.
 *
 * False, with *error, if the kernel is of no kind that can be booted, or something does not fit;
 * guest memory may then be partly written. What boot_check() has passed is loaded.
 */
bool boot_load(const struct guest_memory *memory, const struct boot_image *image,
               struct vcpu_start *start, struct boot_error *error);

/*
 * The same without loading: whether the image boots in a guest whose memory has the regions of
 * `memory`. They are only measured, but for the first mebibyte at 0, which must be there and is
 * overwritten.
 */
bool boot_check(const struct guest_memory *memory, const struct boot_image *image,
                struct boot_error *error);

#endif
