/* Linux 64-bit boot protocol. Offsets are those of boot.rst and zero-page.rst in Linux. */
#include "arch/x86/guest/linux_boot.h"

#include <stdarg.h>
#include <string.h>

#include "arch/x86/cpu/page_table.h"
#include "arch/x86/guest/layout.h"
#include "vmm/format.h"

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

#define E820_RAM      1
#define E820_RESERVED 2

#define SETUP_RNG_SEED 9

/*
 * Where things go in low memory: clear of page 0, which Linux takes for the BIOS's, and of the top
 * of the RAM below 640 KiB, where its decompressor puts a trampoline.
 */
#define GPA_ZERO_PAGE   0x10000ULL
#define GPA_CMDLINE     0x11000ULL
#define CMDLINE_ROOM    0x1000ULL
#define GPA_SETUP_DATA  0x12000ULL
#define GPA_GDT         0x13000ULL
#define GPA_STACK_TOP   0x18000ULL
#define GPA_PAGE_TABLES 0x20000ULL

#define ENTRIES_PER_TABLE 512U
#define IDENTITY_GIBS     4U /* everything that the kernel looks at before it has its own tables */
#define ENTRY_TABLE       0x3ULL  /* present, writable */
#define ENTRY_LARGE_PAGE  0x83ULL /* and a 2 MiB page */

/* boot.rst, 64-bit boot protocol: __BOOT_CS is 0x10, __BOOT_DS 0x18. */
#define BOOT_CS     0x10
#define BOOT_DS     0x18
#define GDT_ENTRIES 4
#define GDT_CODE_64 0x00af9b000000ffffULL /* long mode, execute and read */
#define GDT_DATA    0x00cf93000000ffffULL /* 4 GiB, read and write */

struct e820_entry {
    uint64_t start;
    uint64_t size;
    uint32_t type;
} __attribute__((packed));

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

__attribute__((format(printf, 2, 3))) static bool fail(char *error, const char *text, ...)
{
    va_list arguments;

    va_start(arguments, text);
    format_list(error, LINUX_BOOT_ERROR_SIZE, text, arguments);
    va_end(arguments);
    return false;
}

/* A little-endian field. */
static uint64_t get(const uint8_t *bytes, size_t offset, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, bytes + offset, size);
    return value;
}

static void put(uint8_t *bytes, size_t offset, size_t size, uint64_t value)
{
    memcpy(bytes + offset, &value, size);
}

static uint64_t mebibytes(uint64_t size)
{
    return (size + MEGA - 1) / MEGA;
}

/* Whether it is a kernel for this protocol at all. */
static bool check_header(const struct linux_boot_image *image, char *error)
{
    const char *name = image->kernel_name;
    const uint8_t *file = image->kernel;

    if (image->kernel_size < HDR_ROOM) {
        return fail(error, "%s is no bzImage: it has only %zu bytes", name, image->kernel_size);
    }
    if (get(file, HDR_BOOT_FLAG, 2) != BOOT_FLAG) {
        return fail(error, "%s is no bzImage: no boot flag 0xaa55 at 0x1fe", name);
    }
    if (memcmp(file + HDR_MAGIC, "HdrS", 4) != 0) {
        return fail(error, "%s is no bzImage: no HdrS at 0x202", name);
    }
    if (get(file, HDR_VERSION, 2) < VERSION_2_12) {
        return fail(error, "%s has boot protocol %u.%02u: 2.12 or newer is needed", name,
                    file[HDR_VERSION + 1], file[HDR_VERSION]);
    }
    if (HDR_MAGIC + file[HDR_JUMP_LENGTH] < HDR_END_2_12) {
        return fail(error, "%s has a broken setup header: it ends at 0x%x", name,
                    HDR_MAGIC + file[HDR_JUMP_LENGTH]);
    }
    if ((file[HDR_LOADFLAGS] & LOADFLAGS_LOADED_HIGH) == 0) {
        return fail(error, "%s is a zImage, which loads low: a bzImage is needed", name);
    }
    if ((get(file, HDR_XLOADFLAGS, 2) & XLOADFLAGS_KERNEL_64) == 0) {
        return fail(error, "%s has no 64-bit entry point: an x86-64 kernel is needed", name);
    }
    return true;
}

/* boot.rst, "init_size": the address that the kernel moves to, so that it need not move. */
static bool choose_address(const struct linux_boot_image *image, struct kernel *kernel, char *error)
{
    uint64_t alignment = get(kernel->file, HDR_KERNEL_ALIGNMENT, 4);
    uint64_t preferred = get(kernel->file, HDR_PREF_ADDRESS, 8);

    if (preferred < LAYOUT_ONE_MEGABYTE || preferred >= LAYOUT_LOW_RAM_LIMIT) {
        return fail(error, "%s wants to be loaded at 0x%lx, where no memory can be",
                    image->kernel_name, preferred);
    }
    kernel->load = preferred;
    if (kernel->file[HDR_RELOCATABLE] != 0) {
        if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
            return fail(error, "%s has a broken setup header: kernel_alignment is 0x%lx",
                        image->kernel_name, alignment);
        }
        kernel->load = (preferred + alignment - 1) & ~(alignment - 1);
    }
    return true;
}

static bool parse_kernel(const struct linux_boot_image *image, struct kernel *kernel, char *error)
{
    const uint8_t *file = image->kernel;

    if (!check_header(image, error)) {
        return false;
    }
    /* boot.rst: 0 stands for 4, and the boot sector comes on top. */
    unsigned sectors = file[HDR_SETUP_SECTS] != 0 ? file[HDR_SETUP_SECTS] : 4;

    *kernel = (struct kernel){
        .file = file,
        .setup_size = (size_t)(sectors + 1) * SECTOR_SIZE,
        .body_size = get(file, HDR_SYSSIZE, 4) * 16,
        .initrd_max = get(file, HDR_INITRD_ADDR_MAX, 4),
        .cmdline_size = (uint32_t)get(file, HDR_CMDLINE_SIZE, 4),
    };
    if (kernel->setup_size + kernel->body_size > image->kernel_size) {
        return fail(error, "%s is cut off: it has %zu bytes and its header says %lu",
                    image->kernel_name, image->kernel_size, kernel->setup_size + kernel->body_size);
    }
    uint64_t init_size = get(file, HDR_INIT_SIZE, 4);

    if (kernel->body_size <= ENTRY_64_OFFSET || init_size < kernel->body_size) {
        return fail(error, "%s has a broken setup header: syssize 0x%lx, init_size 0x%lx",
                    image->kernel_name, kernel->body_size / 16, init_size);
    }
    if (!choose_address(image, kernel, error)) {
        return false;
    }
    kernel->end = kernel->load + init_size;
    return true;
}

/* RAM from 0 on without a gap, which holds all that the boot needs. */
static uint64_t low_memory_end(const struct guest_memory *memory)
{
    for (unsigned i = 0; i < memory->count; i++) {
        if (memory->regions[i].gpa == 0) {
            return memory->regions[i].size;
        }
    }
    return 0;
}

/* One boot under way. `low` is the guest's first mebibyte, where all but the big things go. */
struct boot {
    const struct guest_memory *memory;
    const struct linux_boot_image *image;
    struct kernel kernel;
    uint8_t *low;
    uint8_t *zero_page;
    char *error;
};

/* That the kernel fits also says that there is a first mebibyte: it loads above that. */
static bool load_kernel(struct boot *boot)
{
    const struct kernel *kernel = &boot->kernel;

    boot->low = guest_memory_range(boot->memory, 0, LAYOUT_ONE_MEGABYTE);
    if (boot->low == NULL || kernel->end > low_memory_end(boot->memory)) {
        fail(boot->error, "%s needs %lu MiB of memory to start, and the guest has %lu MiB",
             boot->image->kernel_name, mebibytes(kernel->end),
             guest_memory_size(boot->memory) / MEGA);
        return false;
    }
    boot->zero_page = boot->low + GPA_ZERO_PAGE;
    return guest_memory_write(boot->memory, kernel->load, kernel->file + kernel->setup_size,
                              kernel->body_size);
}

/* Zeroes all but the kernel's own setup header, as boot.rst asks, and fills in what is ours. */
static void init_zero_page(struct boot *boot)
{
    const struct kernel *kernel = &boot->kernel;
    uint8_t *page = boot->zero_page;
    size_t end = HDR_MAGIC + kernel->file[HDR_JUMP_LENGTH];

    if (end > HDR_ROOM) {
        end = HDR_ROOM;
    }
    memset(page, 0, PAGE_SIZE);
    memcpy(page + HDR_SETUP_SECTS, kernel->file + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
    put(page, HDR_TYPE_OF_LOADER, 1, TYPE_OF_LOADER_UNDEFINED);
    put(page, HDR_CODE32_START, 4, kernel->load);
    put(page, HDR_RAMDISK_IMAGE, 4, 0);
    put(page, HDR_RAMDISK_SIZE, 4, 0);
    put(page, ZP_ACPI_RSDP, 8, boot->image->rsdp_gpa);
}

static void add_range(uint8_t *zero_page, uint64_t start, uint64_t end, uint32_t type)
{
    const struct e820_entry entry = {start, end - start, type};
    size_t index = zero_page[ZP_E820_ENTRIES]++;

    memcpy(zero_page + ZP_E820_TABLE + index * sizeof(entry), &entry, sizeof(entry));
}

static void describe_memory(struct boot *boot)
{
    add_range(boot->zero_page, 0, LAYOUT_LEGACY_HOLE, E820_RAM);
    add_range(boot->zero_page, LAYOUT_LEGACY_HOLE, LAYOUT_ONE_MEGABYTE, E820_RESERVED);
    for (unsigned i = 0; i < boot->memory->count; i++) {
        const struct guest_memory_region *region = &boot->memory->regions[i];
        uint64_t start = region->gpa == 0 ? LAYOUT_ONE_MEGABYTE : region->gpa;

        add_range(boot->zero_page, start, region->gpa + region->size, E820_RAM);
    }
}

/* As high as allowed, so that the kernel keeps room to place itself at random. */
static bool load_initrd(struct boot *boot)
{
    const struct linux_boot_image *image = boot->image;
    uint64_t kernel_end = boot->kernel.end;
    uint64_t limit = low_memory_end(boot->memory);

    if (image->initrd_size == 0) {
        return true;
    }
    if (limit > boot->kernel.initrd_max + 1) {
        limit = boot->kernel.initrd_max + 1;
    }
    uint64_t room = limit > kernel_end ? limit - kernel_end : 0;
    uint64_t start = (limit - image->initrd_size) & ~(PAGE_SIZE - 1);

    if (image->initrd_size > room || start < kernel_end) {
        return fail(boot->error, "%s needs %lu MiB of memory, and the kernel leaves %lu MiB",
                    image->initrd_name, mebibytes(image->initrd_size), room / MEGA);
    }
    put(boot->zero_page, HDR_RAMDISK_IMAGE, 4, start);
    put(boot->zero_page, HDR_RAMDISK_SIZE, 4, image->initrd_size);
    return guest_memory_write(boot->memory, start, image->initrd, image->initrd_size);
}

static bool write_cmdline(struct boot *boot)
{
    const char *cmdline = boot->image->cmdline;
    size_t length = strlen(cmdline);
    size_t most = boot->kernel.cmdline_size;

    if (most > CMDLINE_ROOM - 1) {
        most = CMDLINE_ROOM - 1;
    }
    if (length > most) {
        return fail(boot->error, "the command line has %zu characters, and %s takes %zu", length,
                    boot->image->kernel_name, most);
    }
    put(boot->zero_page, HDR_CMD_LINE_PTR, 4, GPA_CMDLINE);
    memcpy(boot->low + GPA_CMDLINE, cmdline, length + 1);
    return true;
}

/* A list of one: struct setup_data is next, type, length, data. */
static void write_setup_data(struct boot *boot)
{
    uint8_t *data = boot->low + GPA_SETUP_DATA;

    put(data, 0, 8, 0);
    put(data, 8, 4, SETUP_RNG_SEED);
    put(data, 12, 4, LINUX_BOOT_SEED_SIZE);
    memcpy(data + 16, boot->image->rng_seed, LINUX_BOOT_SEED_SIZE);
    put(boot->zero_page, HDR_SETUP_DATA, 8, GPA_SETUP_DATA);
}

/* One table of pointers, one of pointers to IDENTITY_GIBS tables of 2 MiB pages, and those. */
static void write_page_tables(struct boot *boot)
{
    uint8_t *tables = boot->low + GPA_PAGE_TABLES;
    uint8_t *directory_pointers = tables + PAGE_SIZE;
    uint8_t *directories = tables + 2 * PAGE_SIZE;

    memset(tables, 0, 2 * PAGE_SIZE);
    put(tables, 0, 8, (GPA_PAGE_TABLES + PAGE_SIZE) | ENTRY_TABLE);
    for (size_t i = 0; i < IDENTITY_GIBS; i++) {
        put(directory_pointers, 8 * i, 8, (GPA_PAGE_TABLES + (2 + i) * PAGE_SIZE) | ENTRY_TABLE);
    }
    for (size_t i = 0; i < (size_t)IDENTITY_GIBS * ENTRIES_PER_TABLE; i++) {
        put(directories, 8 * i, 8, i * PAGE_SIZE_2M | ENTRY_LARGE_PAGE);
    }
}

static void write_gdt(struct boot *boot)
{
    static const uint64_t gdt[GDT_ENTRIES] = {
        [BOOT_CS / 8] = GDT_CODE_64,
        [BOOT_DS / 8] = GDT_DATA,
    };

    memcpy(boot->low + GPA_GDT, gdt, sizeof(gdt));
}

/*
 * A hardware-reduced machine is rebooted through EFI, thinks Linux, and without EFI through the
 * BIOS: in real mode it jumps to the reset vector (arch/x86/kernel/reboot.c). So there is one,
 * which writes the reset register.
 */
static void write_reset_vector(struct boot *boot)
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

bool linux_boot_load(const struct guest_memory *memory, const struct linux_boot_image *image,
                     struct vcpu_start *start, char *error)
{
    struct boot boot = {.memory = memory, .image = image, .error = error};

    error[0] = '\0';
    if (!parse_kernel(image, &boot.kernel, error) || !load_kernel(&boot)) {
        return false;
    }
    init_zero_page(&boot);
    describe_memory(&boot);
    if (!load_initrd(&boot) || !write_cmdline(&boot)) {
        return false;
    }
    write_setup_data(&boot);
    write_page_tables(&boot);
    write_gdt(&boot);
    write_reset_vector(&boot);
    *start = (struct vcpu_start){
        .rip = boot.kernel.load + ENTRY_64_OFFSET,
        .rsp = GPA_STACK_TOP,
        .rsi = GPA_ZERO_PAGE,
        .cr3 = GPA_PAGE_TABLES,
        .gdt_base = GPA_GDT,
        .gdt_limit = GDT_ENTRIES * 8 - 1,
        .code_selector = BOOT_CS,
        .data_selector = BOOT_DS,
    };
    return true;
}
