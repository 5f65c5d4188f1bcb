/* Reads ELF executables for x86, 32 and 64 bits. Nothing in the file is trusted. */
#ifndef ARCH_X86_GUEST_ELF_H
#define ARCH_X86_GUEST_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/x86/guest/boot_image.h"

/* More program headers than this are no kernel's, and are not looked at. */
#define ELF_SEGMENTS 128

/* An ELF file whose header and table of program headers are whole. Points into the file. */
struct elf {
    const uint8_t *file;
    size_t size;
    const uint8_t *table;
    size_t entry_size; /* of the table's */
    unsigned count;
    bool wide; /* 64 bits */
    uint64_t entry;
};

/* Opens a file. False if it is no x86 executable or its tables lie outside it. */
bool elf_open(struct elf *elf, const struct boot_file *file);

/*
 * The contents of the note with that owner and type: *size bytes at *contents, within the file.
 * False if there is none.
 */
bool elf_find_note(const struct elf *elf, const char *owner, uint32_t type,
                   const uint8_t **contents, size_t *size);

/*
 * Loads all segments at their physical addresses, which must be RAM at 1 MiB or above, and says in
 * *end where the last byte below 4 GiB ends. False, with the error, if one does not fit.
 */
bool elf_load(const struct elf *elf, struct boot *boot, uint64_t *end);

/*
 * The physical address of the entry point: many kernels give the virtual one, which a segment's two
 * addresses translate.
 */
uint64_t elf_entry(const struct elf *elf);

#endif
