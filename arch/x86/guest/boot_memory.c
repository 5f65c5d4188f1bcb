/* What all kinds of boot put into a guest's memory: its map, start-up tables, files. */
#include "arch/x86/guest/boot_memory.h"

#include <stdarg.h>

#include "arch/x86/cpu/page_table.h"
#include "arch/x86/guest/layout.h"
#include "vmm/format.h"

#define MEGA 0x100000UL

#define ENTRIES_PER_TABLE 512U
#define IDENTITY_GIBS     4U /* everything that a kernel looks at before it has its own tables */
#define ENTRY_TABLE       0x3ULL  /* present, writable */
#define ENTRY_LARGE_PAGE  0x83ULL /* and a 2 MiB page */

/* Linux's boot.rst, 64-bit boot protocol: __BOOT_CS is 0x10, __BOOT_DS 0x18. */
#define BOOT_CS     0x10
#define BOOT_DS     0x18
#define GDT_ENTRIES 4
#define GDT_CODE_64 0x00af9b000000ffffULL /* long mode, execute and read */
#define GDT_CODE_32 0x00cf9b000000ffffULL /* 4 GiB, execute and read */
#define GDT_DATA    0x00cf93000000ffffULL /* 4 GiB, read and write */

bool boot_fail(const struct boot *boot, const char *remedy, const char *text, ...)
{
    va_list arguments;

    va_start(arguments, text);
    format_list(boot->error->text, BOOT_ERROR_SIZE, text, arguments);
    va_end(arguments);
    boot->error->remedy = remedy;
    return false;
}

bool boot_copy(const struct boot *boot, uint64_t gpa, const void *bytes, uint64_t size,
               uint64_t room)
{
    uint8_t *target = guest_memory_range(boot->memory, gpa, room);

    if (target == NULL) {
        return false;
    }
    if (!boot->plan) {
        memcpy(target, bytes, size);
        memset(target + size, 0, room - size);
    }
    return true;
}

uint64_t boot_memory_mebibytes(const struct boot *boot)
{
    return guest_memory_size(boot->memory) / MEGA;
}

uint64_t boot_mebibytes(uint64_t size)
{
    return size / MEGA + (size % MEGA != 0);
}

uint64_t boot_low_memory(const struct guest_memory *memory)
{
    for (unsigned i = 0; i < memory->count; i++) {
        if (memory->regions[i].gpa == 0) {
            return memory->regions[i].size;
        }
    }
    return 0;
}

unsigned boot_memory_map(const struct guest_memory *memory, struct boot_range *ranges)
{
    unsigned count = 0;

    ranges[count++] = (struct boot_range){0, LAYOUT_LEGACY_HOLE, BOOT_RANGE_RAM};
    ranges[count++] = (struct boot_range){
        LAYOUT_LEGACY_HOLE, LAYOUT_ONE_MEGABYTE - LAYOUT_LEGACY_HOLE, BOOT_RANGE_RESERVED};
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_memory_region *region = &memory->regions[i];
        uint64_t start = region->gpa == 0 ? LAYOUT_ONE_MEGABYTE : region->gpa;

        ranges[count++] =
            (struct boot_range){start, region->gpa + region->size - start, BOOT_RANGE_RAM};
    }
    return count;
}

bool boot_load_file(struct boot *boot, const struct boot_file *file, uint64_t end, uint64_t *start)
{
    uint64_t limit = boot_low_memory(boot->memory);
    uint64_t first = (end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    uint64_t room = limit > first ? limit - first : 0;

    if (file->size > room) {
        return boot_fail(boot, BOOT_MEND_MEMORY,
                         "%s = %s needs %lu MiB of memory, and of memory = %luM %lu MiB are left",
                         file->key, file->name, boot_mebibytes(file->size),
                         boot_memory_mebibytes(boot), room / MEGA);
    }
    *start = first;
    return boot_copy(boot, first, file->data, file->size, file->size);
}

/* A path as configured, with the backslashes of UEFI, as other systems write it. */
static size_t write_path(uint8_t *room, size_t size, const char *path)
{
    size_t length = 0;

    while (length + 1 < size && path[length] != '\0') {
        room[length] = (uint8_t)(path[length] == '\\' ? '/' : path[length]);
        length++;
    }
    room[length] = '\0';
    return length;
}

bool boot_write_cmdline(struct boot *boot, bool with_path)
{
    uint8_t *room = boot->low + BOOT_GPA_CMDLINE;
    size_t length = strlen(boot->image->cmdline);
    size_t used = 0;

    if (with_path) {
        used = write_path(room, BOOT_CMDLINE_ROOM / 4, boot->image->kernel.name);
        room[used++] = ' ';
    }
    if (length > BOOT_CMDLINE_ROOM - 1 - used) {
        return boot_fail(boot, BOOT_MEND_CMDLINE,
                         "cmdline = has %zu characters, and there is room for %zu", length,
                         BOOT_CMDLINE_ROOM - 1 - used);
    }
    memcpy(room + used, boot->image->cmdline, length + 1);
    return true;
}

static bool load_module(struct boot *boot, const struct boot_file *file, uint64_t *end,
                        struct boot_module *modules, unsigned *count)
{
    struct boot_module *module = &modules[*count];

    module->name = BOOT_GPA_MODULE_NAMES + *count * BOOT_NAME_ROOM;
    module->size = file->size;
    write_path(boot->low + module->name, BOOT_NAME_ROOM, file->name);
    if (!boot_load_file(boot, file, *end, &module->start)) {
        return false;
    }
    *end = module->start + module->size;
    ++*count;
    return true;
}

bool boot_load_modules(struct boot *boot, uint64_t end, struct boot_module *modules,
                       unsigned *count)
{
    const struct boot_image *image = boot->image;

    *count = 0;
    if (image->initrd.size > 0 && !load_module(boot, &image->initrd, &end, modules, count)) {
        return false;
    }
    for (unsigned i = 0; i < image->module_count; i++) {
        if (!load_module(boot, &image->modules[i], &end, modules, count)) {
            return false;
        }
    }
    return true;
}

bool boot_check_entry(const struct boot *boot, uint64_t entry, uint64_t end)
{
    if (entry < LAYOUT_ONE_MEGABYTE || entry >= end) {
        return boot_fail(boot, BOOT_MEND_KERNEL,
                         "kernel = %s has its entry point at 0x%lx, where nothing of it is loaded",
                         boot->image->kernel.name, entry);
    }
    return true;
}

/* One table of pointers, one of pointers to IDENTITY_GIBS tables of 2 MiB pages, and those. */
static void write_page_tables(struct boot *boot)
{
    uint8_t *tables = boot->low + BOOT_GPA_PAGE_TABLES;
    uint8_t *directory_pointers = tables + PAGE_SIZE;
    uint8_t *directories = tables + 2 * PAGE_SIZE;

    memset(tables, 0, 2 * PAGE_SIZE);
    boot_put(tables, 0, 8, (BOOT_GPA_PAGE_TABLES + PAGE_SIZE) | ENTRY_TABLE);
    for (size_t i = 0; i < IDENTITY_GIBS; i++) {
        boot_put(directory_pointers, 8 * i, 8,
                 (BOOT_GPA_PAGE_TABLES + (2 + i) * PAGE_SIZE) | ENTRY_TABLE);
    }
    for (size_t i = 0; i < (size_t)IDENTITY_GIBS * ENTRIES_PER_TABLE; i++) {
        boot_put(directories, 8 * i, 8, i * PAGE_SIZE_2M | ENTRY_LARGE_PAGE);
    }
}

void boot_write_start(struct boot *boot, enum vcpu_start_mode mode, struct vcpu_start *start)
{
    const uint64_t gdt[GDT_ENTRIES] = {
        [BOOT_CS / 8] = mode == START_64_BIT ? GDT_CODE_64 : GDT_CODE_32,
        [BOOT_DS / 8] = GDT_DATA,
    };

    memcpy(boot->low + BOOT_GPA_GDT, gdt, sizeof(gdt));
    *start = (struct vcpu_start){
        .mode = mode,
        .rsp = BOOT_GPA_STACK_TOP,
        .gdt_base = BOOT_GPA_GDT,
        .gdt_limit = sizeof(gdt) - 1,
        .code_selector = BOOT_CS,
        .data_selector = BOOT_DS,
    };
    if (mode == START_64_BIT) {
        write_page_tables(boot);
        start->cr3 = BOOT_GPA_PAGE_TABLES;
    }
}

void boot_write_reset_vector(struct boot *boot)
{
    static const uint8_t code[] = {
        0xba,
        LAYOUT_RESET_PORT & 0xff,
        LAYOUT_RESET_PORT >> 8, /* mov dx, LAYOUT_RESET_PORT */
        0xb0,
        LAYOUT_RESET_VALUE, /* mov al, LAYOUT_RESET_VALUE */
        0xee,               /* out dx, al */
        0xfa,
        0xf4, /* cli; hlt */
    };

    memcpy(boot->low + LAYOUT_RESET_VECTOR, code, sizeof(code));
}
