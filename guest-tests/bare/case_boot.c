/* What each way to boot promises: memory map, command line, modules, tables. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/machine.h"

#define CMDLINE "one two=3  four"
#define MODULE  "a module\n"

extern const uint8_t start_of_image[];

static uint64_t field(const uint8_t *bytes, size_t offset, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)bytes[offset + i] << 8 * i;
    }
    return value;
}

static const uint8_t *pointer(uint64_t gpa)
{
    return (const uint8_t *)gpa;
}

bool ends_with(const char *text, const char *end)
{
    size_t length = 0;
    size_t end_length = 0;

    while (text[length] != '\0') {
        length++;
    }
    while (end[end_length] != '\0') {
        end_length++;
    }
    for (size_t i = 0; i < end_length; i++) {
        if (length < end_length || text[length - end_length + i] != end[i]) {
            return false;
        }
    }
    return true;
}

static void boot_magic_numbers(void)
{
    if (boot_magic == BOOT_MULTIBOOT) {
        EXPECT_EQUAL(field(boot_information, 0, 4) & 0x4d, 0x4d);
    } else {
        EXPECT(boot_magic == BOOT_FLAT || boot_magic == BOOT_PVH);
        EXPECT_EQUAL(field(boot_information, 0, 4), 0x336ec578);
        EXPECT_EQUAL(field(boot_information, 4, 4), 1);
    }
}

const char *command_line(void)
{
    return (const char *)pointer(boot_magic == BOOT_MULTIBOOT ? field(boot_information, 16, 4)
                                                              : field(boot_information, 24, 8));
}

static void boot_command_line(void)
{
    const char *line = command_line();

    EXPECT(ends_with(line, CMDLINE));
    EXPECT_EQUAL(line[0], boot_magic == BOOT_MULTIBOOT ? '/' : CMDLINE[0]);
}

/* A range of the memory map. */
struct range {
    uint64_t start, size, type;
};

static unsigned read_map(struct range *ranges, unsigned most)
{
    bool multiboot = boot_magic == BOOT_MULTIBOOT;
    const uint8_t *entry =
        pointer(multiboot ? field(boot_information, 48, 4) : field(boot_information, 40, 8));
    uint64_t count =
        multiboot ? field(boot_information, 44, 4) / 24 : field(boot_information, 48, 4);
    size_t shift = multiboot ? 4 : 0;
    unsigned i;

    for (i = 0; i < count && i < most; i++, entry += 24) {
        ranges[i] = (struct range){field(entry, shift, 8), field(entry, shift + 8, 8),
                                   field(entry, shift + 16, 4)};
    }
    return i;
}

/* The firmware configuration device says how much memory there is: the map must hold it. */
static void boot_memory_map(void)
{
    struct range ranges[8];
    unsigned count = read_map(ranges, ARRAY_SIZE(ranges));
    uint64_t size = fw_cfg(3, 8);

    EXPECT_EQUAL(count, 3);
    EXPECT_EQUAL(ranges[0].start, 0);
    EXPECT_EQUAL(ranges[0].size, 0x9f000);
    EXPECT_EQUAL(ranges[0].type, 1);
    EXPECT_EQUAL(ranges[1].size, 0x61000);
    EXPECT_EQUAL(ranges[1].type, 2);
    EXPECT_EQUAL(ranges[2].start, 0x100000);
    EXPECT_EQUAL(ranges[2].size, size - 0x100000);
    EXPECT_EQUAL(ranges[2].type, 1);
    if (boot_magic == BOOT_MULTIBOOT) {
        EXPECT_EQUAL(field(boot_information, 4, 4), 0x9f000 / 1024);
        EXPECT_EQUAL(field(boot_information, 8, 4), size / 1024 - 1024);
    }
    /* The last byte is there; there is nothing behind it. */
    mmio_write(size - 8, 8, 0x1122334455667788);
    EXPECT_EQUAL(mmio_read(size - 8, 8), 0x1122334455667788);
    EXPECT_EQUAL(mmio_read(size, 8), UINT64_MAX);
}

static void boot_module(void)
{
    bool multiboot = boot_magic == BOOT_MULTIBOOT;
    const uint8_t *module =
        pointer(multiboot ? field(boot_information, 24, 4) : field(boot_information, 16, 8));

    EXPECT_EQUAL(multiboot ? field(boot_information, 20, 4) : field(boot_information, 12, 4), 1);
    uint64_t start = multiboot ? field(module, 0, 4) : field(module, 0, 8);
    uint64_t size = multiboot ? field(module, 4, 4) - start : field(module, 8, 8);
    uint64_t name = multiboot ? field(module, 8, 4) : field(module, 16, 8);

    EXPECT_EQUAL(size, sizeof(MODULE) - 1);
    EXPECT_EQUAL(start % PAGE_SIZE, 0);
    for (size_t i = 0; i < size; i++) {
        EXPECT_EQUAL(pointer(start)[i], MODULE[i]);
    }
    EXPECT(ends_with((const char *)pointer(name), "/module.txt"));
}

/* PVH hands on the address; others search the BIOS's area for it (ACPI 6.5, 5.2.5.1). */
static void boot_acpi_tables(void)
{
    uint64_t rsdp = 0xe0000;

    while (rsdp < 0x100000 && field(pointer(rsdp), 0, 8) != 0x2052545020445352) {
        rsdp += 16;
    }
    EXPECT(rsdp < 0x100000);
    uint8_t sum = 0;

    for (size_t i = 0; i < 36; i++) {
        sum = (uint8_t)(sum + pointer(rsdp)[i]);
    }
    EXPECT_EQUAL(sum, 0);
    if (boot_magic != BOOT_MULTIBOOT) {
        EXPECT_EQUAL(field(boot_information, 32, 8), rsdp);
    }
}

static void boot_image_place(void)
{
    EXPECT_EQUAL(start_of_image, 0x100000);
}

const struct bare_case boot_cases[] = {
    CASE_ANYWHERE(boot_magic_numbers),
    CASE_ANYWHERE(boot_command_line),
    CASE_ANYWHERE(boot_memory_map),
    CASE_ANYWHERE(boot_module),
    CASE_ANYWHERE(boot_acpi_tables),
    CASE_ANYWHERE(boot_image_place),
    CASE_END,
};
