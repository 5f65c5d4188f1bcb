/* Linux 64-bit boot protocol. Offsets are those of boot.rst and zero-page.rst in Linux. */
#include "arch/x86/guest/linux_boot.h"

#include "arch/x86/cpu/page_table.h"
#include "arch/x86/guest/boot_memory.h"
#include "arch/x86/guest/layout.h"

#define MEGA 0x100000UL

/* Setup header, at the same offsets in the bzImage and in the zero page. */
#define HDR_SETUP_SECTS      0x1f1 /* where the header starts */
#define HDR_SYSSIZE          0x1f4
#define HDR_BOOT_FLAG        0x1fe
#define HDR_JUMP_LENGTH      0x201 /* the header ends that far behind 0x202 */
#define HDR_MAGIC            0x202
#define HDR_VERSION          0x206
#define HDR_TYPE_OF_LOADER   0x210
#define HDR_LOADFLAGS        0x211
#define HDR_CODE32_START     0x214
#define HDR_RAMDISK_IMAGE    0x218
#define HDR_RAMDISK_SIZE     0x21c
#define HDR_CMD_LINE_PTR     0x228
#define HDR_INITRD_ADDR_MAX  0x22c
#define HDR_KERNEL_ALIGNMENT 0x230
#define HDR_RELOCATABLE      0x234
#define HDR_XLOADFLAGS       0x236
#define HDR_CMDLINE_SIZE     0x238
#define HDR_SETUP_DATA       0x250
#define HDR_PREF_ADDRESS     0x258
#define HDR_INIT_SIZE        0x260
#define HDR_END_2_12         0x268 /* what version 2.12 has at least */
#define HDR_ROOM             0x290 /* where the zero page has something else */

/* The rest of the zero page. */
#define ZP_ACPI_RSDP    0x070
#define ZP_E820_ENTRIES 0x1e8
#define ZP_E820_TABLE   0x2d0

#define BOOT_FLAG                0xaa55
#define VERSION_2_12             0x020c
#define LOADFLAGS_LOADED_HIGH    (1U << 0)
#define XLOADFLAGS_KERNEL_64     (1U << 0)
#define TYPE_OF_LOADER_UNDEFINED 0xff
#define SECTOR_SIZE              512U
#define ENTRY_64_OFFSET          0x200

#define SETUP_RNG_SEED 9

#define E820_ENTRY_SIZE 20U

/* The setup header's facts, checked. */
struct kernel {
    const uint8_t *file;
    size_t setup_size;   /* of the real-mode part, in front */
    uint64_t body_size;  /* of the part that is loaded */
    uint64_t load;       /* GPA, where it also unpacks itself */
    uint64_t end;        /* of what it needs around itself */
    uint64_t initrd_max; /* last byte an initrd may have */
    uint32_t cmdline_size;
};

bool linux_boot_recognises(const struct boot_file *kernel)
{
    return kernel->size >= HDR_MAGIC + 4 &&
           memcmp((const uint8_t *)kernel->data + HDR_MAGIC, "HdrS", 4) == 0;
}

/* Whether it is a kernel for this protocol at all. */
static bool check_header(const struct boot *boot)
{
    const char *name = boot->image->kernel.name;
    const uint8_t *file = boot->image->kernel.data;
    size_t size = boot->image->kernel.size;

    if (size < HDR_ROOM) {
        return boot_fail(boot, BOOT_MEND_FILE, "kernel = %s is no bzImage: it has only %zu bytes",
                         name, size);
    }
    if (boot_get(file, HDR_BOOT_FLAG, 2) != BOOT_FLAG) {
        return boot_fail(boot, BOOT_MEND_KIND,
                         "kernel = %s is no bzImage: no boot flag 0xaa55 at 0x1fe", name);
    }
    if (memcmp(file + HDR_MAGIC, "HdrS", 4) != 0) {
        return boot_fail(boot, BOOT_MEND_KIND, "kernel = %s is no bzImage: no HdrS at 0x202", name);
    }
    if (boot_get(file, HDR_VERSION, 2) < VERSION_2_12) {
        return boot_fail(boot, BOOT_MEND_KERNEL,
                         "kernel = %s has boot protocol %u.%02u: 2.12 or newer is needed", name,
                         file[HDR_VERSION + 1], file[HDR_VERSION]);
    }
    if (HDR_MAGIC + file[HDR_JUMP_LENGTH] < HDR_END_2_12) {
        return boot_fail(boot, BOOT_MEND_FILE,
                         "kernel = %s has a broken setup header: it ends at 0x%x", name,
                         HDR_MAGIC + file[HDR_JUMP_LENGTH]);
    }
    if ((file[HDR_LOADFLAGS] & LOADFLAGS_LOADED_HIGH) == 0) {
        return boot_fail(boot, BOOT_MEND_KERNEL,
                         "kernel = %s is a zImage, which loads low: a bzImage is needed", name);
    }
    if ((boot_get(file, HDR_XLOADFLAGS, 2) & XLOADFLAGS_KERNEL_64) == 0) {
        return boot_fail(boot, BOOT_MEND_KERNEL,
                         "kernel = %s has no 64-bit entry point: an x86-64 kernel is needed", name);
    }
    return true;
}

/* boot.rst, "init_size": the address that the kernel moves to, so that it need not move. */
static bool choose_address(const struct boot *boot, struct kernel *kernel)
{
    uint64_t alignment = boot_get(kernel->file, HDR_KERNEL_ALIGNMENT, 4);
    uint64_t preferred = boot_get(kernel->file, HDR_PREF_ADDRESS, 8);

    if (preferred < LAYOUT_ONE_MEGABYTE || preferred >= LAYOUT_LOW_RAM_LIMIT) {
        return boot_fail(boot, BOOT_MEND_KERNEL,
                         "kernel = %s wants to be loaded at 0x%lx, where no memory can be",
                         boot->image->kernel.name, preferred);
    }
    kernel->load = preferred;
    if (kernel->file[HDR_RELOCATABLE] != 0) {
        if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
            return boot_fail(boot, BOOT_MEND_FILE,
                             "kernel = %s has a broken setup header: kernel_alignment is 0x%lx",
                             boot->image->kernel.name, alignment);
        }
        kernel->load = (preferred + alignment - 1) & ~(alignment - 1);
    }
    return true;
}

static bool parse_kernel(const struct boot *boot, struct kernel *kernel)
{
    const struct boot_file *image = &boot->image->kernel;
    const uint8_t *file = image->data;

    if (!check_header(boot)) {
        return false;
    }
    /* boot.rst: 0 stands for 4, and the boot sector comes on top. */
    unsigned sectors = file[HDR_SETUP_SECTS] != 0 ? file[HDR_SETUP_SECTS] : 4;

    *kernel = (struct kernel){
        .file = file,
        .setup_size = (size_t)(sectors + 1) * SECTOR_SIZE,
        .body_size = boot_get(file, HDR_SYSSIZE, 4) * 16,
        .initrd_max = boot_get(file, HDR_INITRD_ADDR_MAX, 4),
        .cmdline_size = (uint32_t)boot_get(file, HDR_CMDLINE_SIZE, 4),
    };
    if (kernel->setup_size + kernel->body_size > image->size) {
        return boot_fail(boot, BOOT_MEND_FILE,
                         "kernel = %s is cut off: it has %zu bytes and its header says %lu",
                         image->name, image->size, kernel->setup_size + kernel->body_size);
    }
    uint64_t init_size = boot_get(file, HDR_INIT_SIZE, 4);

    if (kernel->body_size <= ENTRY_64_OFFSET || init_size < kernel->body_size) {
        return boot_fail(boot, BOOT_MEND_FILE,
                         "kernel = %s has a broken setup header: syssize 0x%lx, init_size 0x%lx",
                         image->name, kernel->body_size / 16, init_size);
    }
    if (!choose_address(boot, kernel)) {
        return false;
    }
    kernel->end = kernel->load + init_size;
    return true;
}

/* What is handed from step to step. */
struct linux_boot {
    struct boot *boot;
    struct kernel kernel;
    uint8_t *zero_page;
};

static bool load_kernel(const struct linux_boot *loading)
{
    const struct kernel *kernel = &loading->kernel;
    const struct boot *boot = loading->boot;

    if (kernel->end > boot_low_memory(boot->memory)) {
        return boot_fail(boot, BOOT_MEND_MEMORY,
                         "kernel = %s needs %lu MiB of memory to start, and memory = %luM",
                         boot->image->kernel.name, boot_mebibytes(kernel->end),
                         boot_memory_mebibytes(boot));
    }
    return boot_copy(boot, kernel->load, kernel->file + kernel->setup_size, kernel->body_size,
                     kernel->body_size);
}

/* Zeroes all but the kernel's own setup header, as boot.rst asks, and fills in what is ours. */
static void init_zero_page(const struct linux_boot *loading)
{
    const struct kernel *kernel = &loading->kernel;
    uint8_t *page = loading->zero_page;
    size_t end = HDR_MAGIC + kernel->file[HDR_JUMP_LENGTH];

    if (end > HDR_ROOM) {
        end = HDR_ROOM;
    }
    memset(page, 0, PAGE_SIZE);
    memcpy(page + HDR_SETUP_SECTS, kernel->file + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
    boot_put(page, HDR_TYPE_OF_LOADER, 1, TYPE_OF_LOADER_UNDEFINED);
    boot_put(page, HDR_CODE32_START, 4, kernel->load);
    boot_put(page, HDR_RAMDISK_IMAGE, 4, 0);
    boot_put(page, HDR_RAMDISK_SIZE, 4, 0);
    boot_put(page, ZP_ACPI_RSDP, 8, loading->boot->image->rsdp_gpa);
}

static void describe_memory(const struct linux_boot *loading)
{
    struct boot_range ranges[BOOT_RANGES];
    unsigned count = boot_memory_map(loading->boot->memory, ranges);

    loading->zero_page[ZP_E820_ENTRIES] = (uint8_t)count;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *entry = loading->zero_page + ZP_E820_TABLE + (size_t)i * E820_ENTRY_SIZE;

        boot_put(entry, 0, 8, ranges[i].start);
        boot_put(entry, 8, 8, ranges[i].size);
        boot_put(entry, 16, 4, ranges[i].type);
    }
}

/* As high as allowed, so that the kernel keeps room to place itself at random. */
static bool load_initrd(const struct linux_boot *loading)
{
    const struct boot_file *initrd = &loading->boot->image->initrd;
    const struct kernel *kernel = &loading->kernel;
    uint64_t limit = boot_low_memory(loading->boot->memory);

    if (initrd->size == 0) {
        return true;
    }
    if (limit > kernel->initrd_max + 1) {
        limit = kernel->initrd_max + 1;
    }
    uint64_t room = limit > kernel->end ? limit - kernel->end : 0;
    uint64_t start = (limit - initrd->size) & ~(PAGE_SIZE - 1);

    if (initrd->size > room || start < kernel->end) {
        return boot_fail(
            loading->boot, BOOT_MEND_MEMORY,
            "initrd = %s needs %lu MiB of memory, and of memory = %luM the kernel leaves %lu MiB",
            initrd->name, boot_mebibytes(initrd->size), boot_memory_mebibytes(loading->boot),
            room / MEGA);
    }
    boot_put(loading->zero_page, HDR_RAMDISK_IMAGE, 4, start);
    boot_put(loading->zero_page, HDR_RAMDISK_SIZE, 4, initrd->size);
    return boot_copy(loading->boot, start, initrd->data, initrd->size, initrd->size);
}

static bool write_cmdline(const struct linux_boot *loading)
{
    size_t length = strlen(loading->boot->image->cmdline);

    if (length > loading->kernel.cmdline_size) {
        return boot_fail(loading->boot, BOOT_MEND_CMDLINE,
                         "cmdline = has %zu characters, and kernel = %s takes %u", length,
                         loading->boot->image->kernel.name, loading->kernel.cmdline_size);
    }
    boot_put(loading->zero_page, HDR_CMD_LINE_PTR, 4, BOOT_GPA_CMDLINE);
    return boot_write_cmdline(loading->boot, false);
}

/* A list of one: struct setup_data is next, type, length, data. */
static void write_setup_data(const struct linux_boot *loading)
{
    uint8_t *data = loading->boot->low + BOOT_GPA_SETUP_DATA;

    if (loading->boot->image->rng_seed == NULL) {
        boot_put(loading->zero_page, HDR_SETUP_DATA, 8, 0); /* whatever the file has there */
        return;
    }
    boot_put(data, 0, 8, 0);
    boot_put(data, 8, 4, SETUP_RNG_SEED);
    boot_put(data, 12, 4, BOOT_SEED_SIZE);
    memcpy(data + 16, loading->boot->image->rng_seed, BOOT_SEED_SIZE);
    boot_put(loading->zero_page, HDR_SETUP_DATA, 8, BOOT_GPA_SETUP_DATA);
}

bool linux_boot_load(struct boot *boot, struct vcpu_start *start)
{
    struct linux_boot loading = {.boot = boot, .zero_page = boot->low + BOOT_GPA_INFO};

    if (boot->image->module_count > 0) {
        return boot_fail(boot, BOOT_MEND_MODULES,
                         "kernel = %s is booted by Linux's own protocol, which has no modules",
                         boot->image->kernel.name);
    }
    if (!parse_kernel(boot, &loading.kernel) || !load_kernel(&loading)) {
        return false;
    }
    init_zero_page(&loading);
    describe_memory(&loading);
    if (!load_initrd(&loading) || !write_cmdline(&loading)) {
        return false;
    }
    write_setup_data(&loading);
    boot_write_start(boot, START_64_BIT, start);
    start->rip = loading.kernel.load + ENTRY_64_OFFSET;
    start->rsi = BOOT_GPA_INFO;
    return true;
}
