/* Loads a kernel by the PVH protocol (Xen, docs/misc/pvh.pandoc), as Linux's vmlinux has it. */
#ifndef ARCH_X86_GUEST_PVH_H
#define ARCH_X86_GUEST_PVH_H

#include <stdbool.h>

#include "arch/x86/guest/boot_image.h"
#include "vmm/virtualization.h"

/* Whether it is an ELF file with the note that gives the entry point. */
bool pvh_recognises(const struct boot_file *kernel);

/*
 * One of boot.c's kinds: entered in 32-bit protected mode. The initrd, if any, is the first module.
 */
bool pvh_load(struct boot *boot, struct vcpu_start *start);

/*
 * Writes a struct hvm_start_info to BOOT_GPA_INFO with the memory map, the command line, the RSDP,
 * and the initrd and modules, which are loaded behind `end`. False, with the error, if one does not
 * fit.
 */
bool pvh_write_start_info(struct boot *boot, uint64_t end);

#endif
