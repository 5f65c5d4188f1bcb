/* ELF executables: System V ABI, chapters 4 and 5. */
#include "arch/x86/guest/elf.h"

#include "arch/x86/guest/boot_memory.h"
#include "arch/x86/guest/layout.h"

#define IDENT_CLASS   4
#define IDENT_DATA    5
#define CLASS_32      1
#define CLASS_64      2
#define LITTLE_ENDIAN 1

#define MACHINE_386    3
#define MACHINE_X86_64 62

#define SEGMENT_LOAD 1
#define SEGMENT_NOTE 4

/* Where the two classes have their fields. */
struct elf_class {
    size_t word; /* bytes of an address */
    size_t header_size;
    size_t table_offset;
    size_t entry_size;
    size_t entry_count;
    size_t segment_size;
    struct {
        size_t offset;
        size_t virtual;
        size_t physical;
        size_t file_size;
        size_t memory_size;
    } segment;
};

static const struct elf_class class_32 = {4, 52, 28, 42, 44, 32, {4, 8, 12, 16, 20}};
static const struct elf_class class_64 = {8, 64, 32, 54, 56, 56, {8, 16, 24, 32, 40}};

#define HEADER_MACHINE 18
#define HEADER_ENTRY   24

/* A program header, its range in the file checked. */
struct segment_header {
    uint64_t type;
    const uint8_t *contents;
    uint64_t virtual;
    uint64_t physical;
    uint64_t file_size;
    uint64_t memory_size;
};

static const struct elf_class *class_of(const struct elf *elf)
{
    return elf->wide ? &class_64 : &class_32;
}

bool elf_open(struct elf *elf, const struct boot_file *file)
{
    const uint8_t *bytes = file->data;

    if (file->size < class_32.header_size || memcmp(bytes, "\177ELF", 4) != 0 ||
        (bytes[IDENT_CLASS] != CLASS_32 && bytes[IDENT_CLASS] != CLASS_64) ||
        bytes[IDENT_DATA] != LITTLE_ENDIAN) {
        return false;
    }
    *elf = (struct elf){.file = bytes, .size = file->size, .wide = bytes[IDENT_CLASS] == CLASS_64};
    const struct elf_class *class = class_of(elf);
    uint64_t machine = boot_get(bytes, HEADER_MACHINE, 2);

    if (file->size < class->header_size || (machine != MACHINE_386 && machine != MACHINE_X86_64)) {
        return false;
    }
    uint64_t table = boot_get(bytes, class->table_offset, class->word);

    elf->entry = boot_get(bytes, HEADER_ENTRY, class->word);
    elf->entry_size = boot_get(bytes, class->entry_size, 2);
    elf->count = (unsigned)boot_get(bytes, class->entry_count, 2);
    if (elf->count == 0 || elf->count > ELF_SEGMENTS || elf->entry_size < class->segment_size ||
        table > file->size || elf->count * elf->entry_size > file->size - table) {
        return false;
    }
    elf->table = bytes + table;
    return true;
}

/* False if the segment's contents are not in the file. */
static bool read_segment(const struct elf *elf, unsigned index, struct segment_header *segment)
{
    const struct elf_class *class = class_of(elf);
    const uint8_t *entry = elf->table + index * elf->entry_size;
    uint64_t offset = boot_get(entry, class->segment.offset, class->word);

    *segment = (struct segment_header){
        .type = boot_get(entry, 0, 4),
        .virtual = boot_get(entry, class->segment.virtual, class->word),
        .physical = boot_get(entry, class->segment.physical, class->word),
        .file_size = boot_get(entry, class->segment.file_size, class->word),
        .memory_size = boot_get(entry, class->segment.memory_size, class->word),
    };
    if (offset > elf->size || segment->file_size > elf->size - offset) {
        return false;
    }
    segment->contents = elf->file + offset;
    return true;
}

static uint64_t round_up_4(uint64_t value)
{
    return (value + 3) & ~3ULL;
}

/* In one segment of notes: name size, contents size, type, then both, each padded to 4 bytes. */
static bool search_notes(const struct segment_header *segment, const char *owner, uint32_t type,
                         const uint8_t **contents, size_t *size)
{
    const uint64_t header_size = 12;
    size_t owner_size = strlen(owner) + 1;
    uint64_t position = 0;

    while (segment->file_size - position >= header_size) {
        const uint8_t *note = segment->contents + position;
        uint64_t name_size = boot_get(note, 0, 4);
        uint64_t contents_size = boot_get(note, 4, 4);
        uint64_t start = header_size + round_up_4(name_size);
        uint64_t left = segment->file_size - position;

        if (start > left || contents_size > left - start) {
            return false;
        }
        if (boot_get(note, 8, 4) == type && name_size == owner_size &&
            memcmp(note + header_size, owner, owner_size) == 0) {
            *contents = note + start;
            *size = contents_size;
            return true;
        }
        uint64_t step = start + round_up_4(contents_size);

        position += step < left ? step : left;
    }
    return false;
}

bool elf_find_note(const struct elf *elf, const char *owner, uint32_t type,
                   const uint8_t **contents, size_t *size)
{
    for (unsigned i = 0; i < elf->count; i++) {
        struct segment_header segment;

        if (read_segment(elf, i, &segment) && segment.type == SEGMENT_NOTE &&
            search_notes(&segment, owner, type, contents, size)) {
            return true;
        }
    }
    return false;
}

static bool load_segment(struct boot *boot, const struct segment_header *segment)
{
    const char *name = boot->image->kernel.name;
    uint64_t size = segment->memory_size;

    if (segment->file_size > size) {
        return boot_fail(boot, BOOT_MEND_FILE,
                         "kernel = %s is a broken ELF file: a segment has %lu bytes and takes %lu",
                         name, segment->file_size, size);
    }
    if (segment->physical < LAYOUT_ONE_MEGABYTE ||
        !boot_copy(boot, segment->physical, segment->contents, segment->file_size, size)) {
        return boot_fail(boot, BOOT_MEND_PLACE,
                         "kernel = %s wants %lu bytes at 0x%lx: kernels go to RAM from 1 MiB up, "
                         "of memory = %luM",
                         name, size, segment->physical, boot_memory_mebibytes(boot));
    }
    return true;
}

bool elf_load(const struct elf *elf, struct boot *boot, uint64_t *end)
{
    *end = 0;
    for (unsigned i = 0; i < elf->count; i++) {
        struct segment_header segment;

        if (!read_segment(elf, i, &segment)) {
            return boot_fail(
                boot, BOOT_MEND_FILE,
                "kernel = %s is cut off: it has %zu bytes and a segment lies beyond them",
                boot->image->kernel.name, elf->size);
        }
        if (segment.type != SEGMENT_LOAD || segment.memory_size == 0) {
            continue;
        }
        if (!load_segment(boot, &segment)) {
            return false;
        }
        uint64_t last = segment.physical + segment.memory_size;

        if (last <= LAYOUT_LOW_RAM_LIMIT && last > *end) {
            *end = last;
        }
    }
    if (*end == 0) {
        return boot_fail(boot, BOOT_MEND_KERNEL,
                         "kernel = %s has nothing that is loaded below 4 GiB",
                         boot->image->kernel.name);
    }
    return true;
}

uint64_t elf_entry(const struct elf *elf)
{
    for (unsigned i = 0; i < elf->count; i++) {
        struct segment_header segment;

        if (read_segment(elf, i, &segment) && segment.type == SEGMENT_LOAD &&
            elf->entry >= segment.virtual && elf->entry - segment.virtual < segment.memory_size) {
            return elf->entry - segment.virtual + segment.physical;
        }
    }
    return elf->entry;
}
