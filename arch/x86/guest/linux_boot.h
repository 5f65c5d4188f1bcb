/* Loads a Linux kernel by the 64-bit boot protocol (Linux, Documentation/x86/boot.rst). */
#ifndef ARCH_X86_GUEST_LINUX_BOOT_H
#define ARCH_X86_GUEST_LINUX_BOOT_H

#include <stdbool.h>

#include "arch/x86/guest/boot_image.h"
#include "vmm/virtualization.h"

/* Whether it is a bzImage, of whatever version. */
bool linux_boot_recognises(const struct boot_file *kernel);

/*
 * One of boot.c's kinds: entered in 64-bit mode, with the seed in its setup_data. It has no place
 * for modules and does not get them.
 */
bool linux_boot_load(struct boot *boot, struct vcpu_start *start);

#endif
