/* Loads a kernel by the Multiboot specification, version 0.6.96. */
#ifndef ARCH_X86_GUEST_MULTIBOOT_H
#define ARCH_X86_GUEST_MULTIBOOT_H

#include <stdbool.h>

#include "arch/x86/guest/boot_image.h"
#include "vmm/virtualization.h"

/* Whether there is a Multiboot header in the file. */
bool multiboot_recognises(const struct boot_file *kernel);

/*
 * One of boot.c's kinds: the kernel, an ELF file or one whose header says where it goes, is entered
 * in 32-bit protected mode. The initrd, if any, is its first module. The command line starts with
 * the kernel's path, and a module's string is its path, as other loaders have it.
 */
bool multiboot_load(struct boot *boot, struct vcpu_start *start);

#endif
