/* Multiboot: sections are the specification's. */
#include "arch/x86/guest/multiboot.h"

#include "arch/x86/guest/boot_memory.h"
#include "arch/x86/guest/elf.h"
#include "arch/x86/guest/layout.h"

/* 3.1.1 and 3.1.2: the header, in the file's first bytes. */
#define HEADER_SEARCH    8192U
#define HEADER_ALIGNMENT 4U
#define HEADER_MAGIC     0x1badb002U
#define HEADER_SIZE      12U
#define FLAG_ADDRESSES   (1U << 16)
#define FLAGS_REQUIRED   0xffffU
#define FLAGS_KNOWN      3U /* modules on pages, memory information: both always hold */

/* 3.1.3: where a kernel that is no ELF file goes. */
#define HEADER_ADDRESS_SIZE 32U
#define HEADER_HEADER_ADDR  12
#define HEADER_LOAD_ADDR    16
#define HEADER_LOAD_END     20
#define HEADER_BSS_END      24
#define HEADER_ENTRY        28

/* 3.3: what the kernel is told. */
#define BOOTED_MAGIC         0x2badb002U
#define INFO_FLAGS           0
#define INFO_MEM_LOWER       4
#define INFO_MEM_UPPER       8
#define INFO_CMDLINE         16
#define INFO_MODS_COUNT      20
#define INFO_MODS_ADDR       24
#define INFO_MMAP_LENGTH     44
#define INFO_MMAP_ADDR       48
#define INFO_BOOT_LOADER     64
#define INFO_SIZE            120
#define INFO_HAS_MEMORY      (1U << 0)
#define INFO_HAS_CMDLINE     (1U << 2)
#define INFO_HAS_MODULES     (1U << 3)
#define INFO_HAS_MMAP        (1U << 6)
#define INFO_HAS_BOOT_LOADER (1U << 9)

#define MMAP_ENTRY_SIZE   24U
#define MODULE_ENTRY_SIZE 16U

/* The pieces of the page at BOOT_GPA_INFO. */
#define OFFSET_MMAP   0x100U
#define OFFSET_MODS   0x400U
#define OFFSET_LOADER 0x800U

/* The header's offset in the file; false if there is none. */
static bool find_header(const struct boot_file *file, size_t *offset)
{
    size_t limit = file->size < HEADER_SEARCH ? file->size : HEADER_SEARCH;

    for (size_t i = 0; i + HEADER_SIZE <= limit; i += HEADER_ALIGNMENT) {
        const uint8_t *header = (const uint8_t *)file->data + i;
        uint64_t sum = boot_get(header, 0, 4) + boot_get(header, 4, 4) + boot_get(header, 8, 4);

        if (boot_get(header, 0, 4) == HEADER_MAGIC && (uint32_t)sum == 0) {
            *offset = i;
            return true;
        }
    }
    return false;
}

bool multiboot_recognises(const struct boot_file *kernel)
{
    size_t offset;

    return find_header(kernel, &offset);
}

/* 3.1.3: addresses in the header, which counts from its own to the file's first byte. */
static bool load_by_addresses(struct boot *boot, size_t offset, uint64_t *entry, uint64_t *end)
{
    const struct boot_file *kernel = &boot->image->kernel;
    const uint8_t *file = kernel->data;

    if (kernel->size - offset < HEADER_ADDRESS_SIZE) {
        return boot_fail(boot, BOOT_MEND_FILE, "kernel = %s is cut off within its Multiboot header",
                         kernel->name);
    }
    const uint8_t *header = file + offset;
    uint64_t load = boot_get(header, HEADER_LOAD_ADDR, 4);
    uint64_t load_end = boot_get(header, HEADER_LOAD_END, 4);
    uint64_t bss_end = boot_get(header, HEADER_BSS_END, 4);
    uint64_t before = boot_get(header, HEADER_HEADER_ADDR, 4) - load; /* of the header, loaded */

    if (before > offset) {
        return boot_fail(boot, BOOT_MEND_FILE,
                         "kernel = %s has a broken Multiboot header: it is not at its header_addr",
                         kernel->name);
    }
    size_t first = offset - before;
    uint64_t size = load_end == 0 ? kernel->size - first : load_end - load;

    if (size > kernel->size - first) {
        return boot_fail(boot, BOOT_MEND_FILE,
                         "kernel = %s is cut off, or has a broken Multiboot header: load_end_addr",
                         kernel->name);
    }
    *end = load + size;
    *end = bss_end > *end ? bss_end : *end;
    if (load < LAYOUT_ONE_MEGABYTE || !boot_copy(boot, load, file + first, size, *end - load)) {
        return boot_fail(boot, BOOT_MEND_PLACE,
                         "kernel = %s wants to be loaded from 0x%lx to 0x%lx, where no memory is, "
                         "of memory = %luM",
                         kernel->name, load, *end, boot_memory_mebibytes(boot));
    }
    *entry = boot_get(header, HEADER_ENTRY, 4);
    return true;
}

static bool load_kernel(struct boot *boot, uint64_t *entry, uint64_t *end)
{
    const struct boot_file *kernel = &boot->image->kernel;
    struct elf elf;
    size_t offset;

    if (!find_header(kernel, &offset)) {
        return boot_fail(boot, BOOT_MEND_KIND,
                         "kernel = %s has no Multiboot header in its first 8 KiB", kernel->name);
    }
    uint32_t flags = (uint32_t)boot_get(kernel->data, offset + 4, 4);

    if ((flags & FLAGS_REQUIRED & ~FLAGS_KNOWN) != 0) {
        return boot_fail(boot, BOOT_MEND_KERNEL,
                         "kernel = %s wants what there is not here: Multiboot flags 0x%x",
                         kernel->name, flags);
    }
    if ((flags & FLAG_ADDRESSES) != 0) {
        return load_by_addresses(boot, offset, entry, end);
    }
    if (!elf_open(&elf, kernel)) {
        return boot_fail(boot, BOOT_MEND_FILE,
                         "kernel = %s has a Multiboot header without addresses and is no ELF file",
                         kernel->name);
    }
    *entry = elf_entry(&elf);
    return elf_load(&elf, boot, end);
}

static void describe_memory(struct boot *boot, uint8_t *info)
{
    struct boot_range ranges[BOOT_RANGES];
    unsigned count = boot_memory_map(boot->memory, ranges);

    boot_put(info, INFO_MEM_LOWER, 4, LAYOUT_LEGACY_HOLE >> 10);
    boot_put(info, INFO_MEM_UPPER, 4, (boot_low_memory(boot->memory) - LAYOUT_ONE_MEGABYTE) >> 10);
    boot_put(info, INFO_MMAP_ADDR, 4, BOOT_GPA_INFO + OFFSET_MMAP);
    boot_put(info, INFO_MMAP_LENGTH, 4, (uint64_t)count * MMAP_ENTRY_SIZE);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *entry = info + OFFSET_MMAP + (size_t)i * MMAP_ENTRY_SIZE;

        boot_put(entry, 0, 4, MMAP_ENTRY_SIZE - 4); /* the size does not count itself */
        boot_put(entry, 4, 8, ranges[i].start);
        boot_put(entry, 12, 8, ranges[i].size);
        boot_put(entry, 20, 4, ranges[i].type);
    }
}

bool multiboot_load(struct boot *boot, struct vcpu_start *start)
{
    static const char loader[] = "Seedvisor";
    const uint32_t flags = INFO_HAS_MEMORY | INFO_HAS_CMDLINE | INFO_HAS_MODULES | INFO_HAS_MMAP |
                           INFO_HAS_BOOT_LOADER;
    uint8_t *info = boot->low + BOOT_GPA_INFO;
    struct boot_module modules[BOOT_MODULES + 1];
    unsigned count = 0;
    uint64_t entry = 0;
    uint64_t end = 0;

    if (!load_kernel(boot, &entry, &end) || !boot_check_entry(boot, entry, end) ||
        !boot_load_modules(boot, end, modules, &count) || !boot_write_cmdline(boot, true)) {
        return false;
    }
    memset(info, 0, INFO_SIZE);
    boot_put(info, INFO_FLAGS, 4, flags);
    boot_put(info, INFO_CMDLINE, 4, BOOT_GPA_CMDLINE);
    boot_put(info, INFO_BOOT_LOADER, 4, BOOT_GPA_INFO + OFFSET_LOADER);
    memcpy(info + OFFSET_LOADER, loader, sizeof(loader));
    describe_memory(boot, info);
    boot_put(info, INFO_MODS_COUNT, 4, count);
    boot_put(info, INFO_MODS_ADDR, 4, BOOT_GPA_INFO + OFFSET_MODS);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *module = info + OFFSET_MODS + (size_t)i * MODULE_ENTRY_SIZE;

        boot_put(module, 0, 4, modules[i].start);
        boot_put(module, 4, 4, modules[i].start + modules[i].size);
        boot_put(module, 8, 4, modules[i].name);
        boot_put(module, 12, 4, 0);
    }
    boot_write_start(boot, START_32_BIT, start);
    start->rip = entry;
    start->rax = BOOTED_MAGIC;
    start->rbx = BOOT_GPA_INFO;
    return true;
}
