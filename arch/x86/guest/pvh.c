/* PVH: structures are those of Xen's public header arch-x86/hvm/start_info.h. */
#include "arch/x86/guest/pvh.h"

#include "arch/x86/guest/boot_memory.h"
#include "arch/x86/guest/elf.h"

#define NOTE_PHYS32_ENTRY 18U

/* struct hvm_start_info, version 1. */
#define INFO_MAGIC          0
#define INFO_VERSION        4
#define INFO_FLAGS          8
#define INFO_NR_MODULES     12
#define INFO_MODLIST        16
#define INFO_CMDLINE        24
#define INFO_RSDP           32
#define INFO_MEMMAP         40
#define INFO_MEMMAP_ENTRIES 48
#define INFO_SIZE           56
#define START_INFO_MAGIC    0x336ec578U

#define MEMMAP_ENTRY_SIZE 24U
#define MODULE_ENTRY_SIZE 32U

/* The pieces of the page at BOOT_GPA_INFO. */
#define OFFSET_MEMMAP  0x100U
#define OFFSET_MODLIST 0x400U

/* The entry point is an address of 32 bits, in a field of 4 or 8 bytes. */
static bool find_entry(const struct elf *elf, uint64_t *entry)
{
    const uint8_t *contents;
    size_t size;

    if (!elf_find_note(elf, "Xen", NOTE_PHYS32_ENTRY, &contents, &size) || size < 4) {
        return false;
    }
    *entry = boot_get(contents, 0, 4);
    return true;
}

bool pvh_recognises(const struct boot_file *kernel)
{
    struct elf elf;
    uint64_t entry = 0;

    return elf_open(&elf, kernel) && find_entry(&elf, &entry);
}

bool pvh_write_start_info(struct boot *boot, uint64_t end)
{
    uint8_t *info = boot->low + BOOT_GPA_INFO;
    struct boot_range ranges[BOOT_RANGES];
    unsigned range_count = boot_memory_map(boot->memory, ranges);
    struct boot_module modules[BOOT_MODULES + 1];
    unsigned count = 0;

    if (!boot_load_modules(boot, end, modules, &count) || !boot_write_cmdline(boot, false)) {
        return false;
    }
    memset(info, 0, INFO_SIZE);
    boot_put(info, INFO_MAGIC, 4, START_INFO_MAGIC);
    boot_put(info, INFO_VERSION, 4, 1);
    boot_put(info, INFO_NR_MODULES, 4, count);
    boot_put(info, INFO_MODLIST, 8, count > 0 ? BOOT_GPA_INFO + OFFSET_MODLIST : 0);
    boot_put(info, INFO_CMDLINE, 8, BOOT_GPA_CMDLINE);
    boot_put(info, INFO_RSDP, 8, boot->image->rsdp_gpa);
    boot_put(info, INFO_MEMMAP, 8, BOOT_GPA_INFO + OFFSET_MEMMAP);
    boot_put(info, INFO_MEMMAP_ENTRIES, 4, range_count);
    for (unsigned i = 0; i < range_count; i++) {
        uint8_t *entry = info + OFFSET_MEMMAP + (size_t)i * MEMMAP_ENTRY_SIZE;

        boot_put(entry, 0, 8, ranges[i].start);
        boot_put(entry, 8, 8, ranges[i].size);
        boot_put(entry, 16, 8, ranges[i].type);
    }
    for (unsigned i = 0; i < count; i++) {
        uint8_t *entry = info + OFFSET_MODLIST + (size_t)i * MODULE_ENTRY_SIZE;

        boot_put(entry, 0, 8, modules[i].start);
        boot_put(entry, 8, 8, modules[i].size);
        boot_put(entry, 16, 8, modules[i].name);
        boot_put(entry, 24, 8, 0);
    }
    return true;
}

bool pvh_load(struct boot *boot, struct vcpu_start *start)
{
    const struct boot_file *kernel = &boot->image->kernel;
    struct elf elf;
    uint64_t entry = 0;
    uint64_t end = 0;

    if (!elf_open(&elf, kernel) || !find_entry(&elf, &entry)) {
        return boot_fail(boot, BOOT_MEND_KIND,
                         "kernel = %s is no ELF file with a PVH entry (Xen's note 18)",
                         kernel->name);
    }
    if (!elf_load(&elf, boot, &end) || !boot_check_entry(boot, entry, end) ||
        !pvh_write_start_info(boot, end)) {
        return false;
    }
    boot_write_start(boot, START_32_BIT, start);
    start->rip = entry;
    start->rbx = BOOT_GPA_INFO;
    return true;
}
