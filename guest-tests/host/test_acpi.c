/* The guest's ACPI tables: each field where the specification puts it, and iasl reads them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "arch/x86/guest/acpi.h"
#include "arch/x86/guest/layout.h"
#include "vmm/guest_memory.h"

#define RAM_SIZE (2 * LAYOUT_ONE_MEGABYTE)

struct guest {
    struct guest_memory memory;
    uint8_t *ram;
};

static struct guest make_guest(void)
{
    struct guest guest = {.ram = malloc(RAM_SIZE)};

    assert_non_null(guest.ram);
    memset(guest.ram, 0xa5, RAM_SIZE);
    assert_true(guest_memory_add(&guest.memory, 0, RAM_SIZE, guest.ram));
    return guest;
}

static uint64_t field(const uint8_t *table, size_t offset, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, table + offset, size);
    return value;
}

static unsigned sum(const uint8_t *bytes, size_t size)
{
    unsigned total = 0;

    for (size_t i = 0; i < size; i++) {
        total += bytes[i];
    }
    return total & 0xff;
}

/* A table at `gpa`, whose header is checked. */
static const uint8_t *table_at(const struct guest *guest, uint64_t gpa, const char *signature,
                               uint8_t revision)
{
    assert_in_range(gpa, LAYOUT_ACPI_BASE, LAYOUT_ACPI_BASE + LAYOUT_ACPI_SIZE - 36);
    const uint8_t *table = guest->ram + gpa;
    uint64_t length = field(table, 4, 4);

    assert_in_range(length, 36, LAYOUT_ACPI_BASE + LAYOUT_ACPI_SIZE - gpa);
    assert_memory_equal(table, signature, 4);
    assert_int_equal(table[8], revision);
    assert_int_equal(sum(table, length), 0);
    return table;
}

struct tables {
    const uint8_t *rsdp;
    const uint8_t *xsdt;
    const uint8_t *fadt;
    const uint8_t *madt;
    const uint8_t *dsdt;
};

/* Walks as a guest does: from the RSDP on. */
static struct tables find_tables(const struct guest *guest, uint64_t rsdp_gpa)
{
    struct tables tables = {.rsdp = guest->ram + rsdp_gpa};

    assert_memory_equal(tables.rsdp, "RSD PTR ", 8);
    assert_int_equal(sum(tables.rsdp, 20), 0);
    assert_int_equal(sum(tables.rsdp, 36), 0);
    assert_int_equal(tables.rsdp[15], 2);
    assert_int_equal(field(tables.rsdp, 16, 4), 0);
    assert_int_equal(field(tables.rsdp, 20, 4), 36);
    tables.xsdt = table_at(guest, field(tables.rsdp, 24, 8), "XSDT", 1);
    assert_int_equal(field(tables.xsdt, 4, 4), 36 + 2 * 8);
    tables.fadt = table_at(guest, field(tables.xsdt, 36, 8), "FACP", 6);
    tables.madt = table_at(guest, field(tables.xsdt, 44, 8), "APIC", 5);
    tables.dsdt = table_at(guest, field(tables.fadt, 140, 8), "DSDT", 2);
    assert_int_equal(field(tables.fadt, 40, 4), field(tables.fadt, 140, 8));
    return tables;
}

static struct tables build(const struct guest *guest, unsigned vcpus, bool rng)
{
    const struct acpi_configuration configuration = {.vcpus = vcpus, .rng = rng};
    uint64_t rsdp = 0;

    assert_true(acpi_build(&guest->memory, &configuration, &rsdp));
    assert_int_equal(rsdp % 16, 0);
    return find_tables(guest, rsdp);
}

static void test_rsdp_is_where_a_scan_finds_it(void **state)
{
    (void)state;
    struct guest guest = make_guest();
    struct tables tables = build(&guest, 1, true);

    assert_ptr_equal(tables.rsdp, guest.ram + LAYOUT_ACPI_BASE);
    assert_memory_equal(tables.rsdp + 9, "SEEDV ", 6);
    assert_memory_equal(tables.xsdt + 10, "SEEDV SEEDVSOR", 14);
    free(guest.ram);
}

static void test_nothing_outside_the_range_is_written(void **state)
{
    (void)state;
    struct guest guest = make_guest();

    build(&guest, 64, true);
    for (size_t i = 0; i < RAM_SIZE; i++) {
        if (i < LAYOUT_ACPI_BASE || i >= LAYOUT_ACPI_BASE + LAYOUT_ACPI_SIZE) {
            assert_int_equal(guest.ram[i], 0xa5);
        }
    }
    free(guest.ram);
}

/* A generic address structure: one byte of I/O space. */
static void assert_port(const uint8_t *address, uint16_t port)
{
    assert_int_equal(address[0], 1);
    assert_int_equal(address[1], 8);
    assert_int_equal(address[2], 0);
    assert_int_equal(address[3], 1);
    assert_int_equal(field(address, 4, 8), port);
}

static void test_fadt(void **state)
{
    (void)state;
    struct guest guest = make_guest();
    const uint8_t *fadt = build(&guest, 1, true).fadt;

    assert_int_equal(field(fadt, 4, 4), 276);
    assert_int_equal(fadt[131], 5);
    assert_int_equal(field(fadt, 36, 4), 0);
    for (size_t i = 44; i < 109; i++) {
        assert_int_equal(fadt[i], 0);
    }
    assert_int_equal(field(fadt, 109, 2), 1 << 2 | 1 << 3);
    assert_int_equal(field(fadt, 112, 4), 1 << 0 | 7 << 4 | 1 << 10 | 1 << 20);
    assert_port(fadt + 116, LAYOUT_POWER_PORT + 2);
    assert_int_equal(fadt[128], LAYOUT_RESET_VALUE);
    for (size_t i = 132; i < 140; i++) {
        assert_int_equal(fadt[i], 0);
    }
    for (size_t i = 148; i < 244; i++) {
        assert_int_equal(fadt[i], 0);
    }
    assert_port(fadt + 244, LAYOUT_POWER_PORT + 0);
    assert_port(fadt + 256, LAYOUT_POWER_PORT + 1);
    assert_memory_equal(fadt + 268, "SEEDVSOR", 8);
    free(guest.ram);
}

static const uint8_t *assert_io_apic(const uint8_t *madt)
{
    const uint8_t *entry = madt + 44;

    assert_int_equal(field(madt, 36, 4), LAYOUT_LOCAL_APIC_BASE);
    assert_int_equal(field(madt, 40, 4), 0);
    assert_int_equal(entry[0], 1);
    assert_int_equal(entry[1], 12);
    assert_int_equal(entry[2], 0);
    assert_int_equal(field(entry, 4, 4), LAYOUT_IO_APIC_BASE);
    assert_int_equal(field(entry, 8, 4), 0);
    return entry + 12;
}

static void test_madt_names_each_vcpu(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 2, 64, 254, 255, 256, 300};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct guest guest = make_guest();
        const uint8_t *madt = build(&guest, counts[i], true).madt;
        const uint8_t *entry = assert_io_apic(madt);

        for (unsigned id = 0; id < counts[i]; id++) {
            if (id < 255) {
                assert_int_equal(entry[0], 0);
                assert_int_equal(entry[1], 8);
                assert_int_equal(entry[2], id);
                assert_int_equal(entry[3], id);
                assert_int_equal(field(entry, 4, 4), 1);
            } else {
                assert_int_equal(entry[0], 9);
                assert_int_equal(entry[1], 16);
                assert_int_equal(field(entry, 4, 4), id);
                assert_int_equal(field(entry, 8, 4), 1);
                assert_int_equal(field(entry, 12, 4), id);
            }
            entry += entry[1];
        }
        assert_ptr_equal(entry, madt + field(madt, 4, 4));
        free(guest.ram);
    }
}

static void test_only_the_status_byte_tells_a_guest_without_rng(void **state)
{
    (void)state;
    struct guest with = make_guest();
    struct guest without = make_guest();
    const uint8_t *present = build(&with, 1, true).dsdt;
    const uint8_t *absent = build(&without, 1, false).dsdt;
    unsigned differences = 0;

    assert_int_equal(field(present, 4, 4), field(absent, 4, 4));
    for (size_t i = 36; i < field(present, 4, 4); i++) {
        if (present[i] != absent[i]) {
            assert_memory_equal(present + i - 6, "\x08RNGS\x0a", 6);
            assert_int_equal(present[i], 0x0f);
            assert_int_equal(absent[i], 0);
            differences++;
        }
    }
    assert_int_equal(differences, 1);
    free(with.ram);
    free(without.ram);
}

static void test_refusals(void **state)
{
    (void)state;
    struct guest guest = make_guest();
    struct acpi_configuration configuration = {.vcpus = 0};
    struct guest_memory small = {0};
    uint64_t rsdp = 0x1234;

    assert_false(acpi_build(&guest.memory, &configuration, &rsdp));
    configuration.vcpus = 1;
    assert_true(guest_memory_add(&small, 0, LAYOUT_ACPI_BASE + LAYOUT_ACPI_SIZE - 1, guest.ram));
    assert_false(acpi_build(&small, &configuration, &rsdp));
    assert_false(acpi_build(&(struct guest_memory){0}, &configuration, &rsdp));
    configuration.vcpus = 5000;
    assert_false(acpi_build(&guest.memory, &configuration, &rsdp));
    configuration.vcpus = UINT32_MAX;
    assert_false(acpi_build(&guest.memory, &configuration, &rsdp));
    assert_int_equal(rsdp, 0x1234);
    free(guest.ram);
}

/* Scratch files for iasl. */
static char folder[64];

static char *read_file(const char *name, size_t *size)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    char *content = calloc(1, 1 << 20);

    assert_non_null(content);
    *size = fread(content, 1, (1 << 20) - 1, file);
    assert_int_equal(fclose(file), 0);
    return content;
}

static void run_iasl(const char *arguments)
{
    char command[256];
    size_t size = 0;

    (void)snprintf(command, sizeof(command), "cd %s && iasl %s >log 2>&1", folder, arguments);
    int status = system(command); // NOLINT(bugprone-command-processor,cert-env33-c)
    char *log = read_file("log", &size);

    if (status != 0 || strstr(log, "Warning ") != NULL || strstr(log, "Error ") != NULL ||
        strstr(log, "ncorrect checksum") != NULL || strstr(log, "nvalid") != NULL) {
        fail_msg("iasl %s: status %d\n%s", arguments, status, log);
    }
    free(log);
}

/* The table as source text, by iasl; compiled again it must be the same but for iasl's own marks.
 */
static char *disassemble(const uint8_t *table)
{
    char path[128];
    size_t length = field(table, 4, 4);
    size_t size = 0;

    (void)snprintf(path, sizeof(path), "%s/table.dat", folder);
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(table, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    run_iasl("-d table.dat");
    run_iasl("-oa -p again table.dsl");

    uint8_t *again = (uint8_t *)read_file("again.aml", &size);

    assert_int_equal(size, length);
    assert_memory_equal(again + 10, table + 10, 18);
    assert_memory_equal(again + 36, table + 36, length - 36);
    free(again);
    return read_file("table.dsl", &size);
}

/* Spaces and comments squeezed out, for iasl aligns and comments as it likes. */
static void squeeze(char *text)
{
    char *end = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (strncmp(from, "//", 2) == 0) {
            from += strcspn(from, "\n");
        } else if (strncmp(from, "/*", 2) == 0) {
            from = strstr(from, "*/") + 2;
        }
        if (strchr(" \t\r\n", *from) == NULL) {
            *end++ = *from;
        }
    }
    *end = '\0';
}

static void assert_says(const char *text, const char *what)
{
    if (strstr(text, what) == NULL) {
        fail_msg("not found: %s\nin: %s", what, text);
    }
}

static void assert_interrupt(const char *text, unsigned gsi)
{
    char expected[128];

    (void)snprintf(expected, sizeof(expected),
                   "Interrupt(ResourceConsumer,Edge,ActiveHigh,Exclusive,,,){0x%08X,}", gsi);
    assert_says(text, expected);
}

static void test_iasl_reads_the_dsdt_as_the_layout_says(void **state)
{
    (void)state;
    struct guest guest = make_guest();
    char *text = disassemble(build(&guest, 1, true).dsdt);
    char expected[128];

    squeeze(text);
    (void)snprintf(expected, sizeof(expected), "Name(_S5,Package(0x04){0x%02X,0x%02X,Zero,Zero})",
                   LAYOUT_S5_SLEEP_TYPE, LAYOUT_S5_SLEEP_TYPE);
    assert_says(text, expected);
    assert_says(text, "Name(RNGS,0x0F)");
    assert_says(text, "EisaId(\"PNP0501\")");
    (void)snprintf(expected, sizeof(expected), "IO(Decode16,0x%04X,0x%04X,0x01,0x08,)",
                   LAYOUT_UART_PORT, LAYOUT_UART_PORT);
    assert_says(text, expected);
    assert_interrupt(text, LAYOUT_UART_GSI);
    assert_says(text, "EisaId(\"PNP0B00\")");
    (void)snprintf(expected, sizeof(expected), "IO(Decode16,0x%04X,0x%04X,0x01,0x02,)",
                   LAYOUT_RTC_PORT, LAYOUT_RTC_PORT);
    assert_says(text, expected);
    assert_interrupt(text, LAYOUT_RTC_GSI);
    assert_says(text, "Name(_HID,\"LNRO0005\")");
    (void)snprintf(expected, sizeof(expected), "Memory32Fixed(ReadWrite,0x%08llX,0x%08llX,)",
                   LAYOUT_VIRTIO_BASE, LAYOUT_VIRTIO_SIZE);
    assert_says(text, expected);
    assert_interrupt(text, LAYOUT_VIRTIO_GSI);
    assert_says(text, "Method(_STA,0,NotSerialized){Return(RNGS)}");
    free(text);

    text = disassemble(build(&guest, 1, false).dsdt);
    squeeze(text);
    assert_says(text, "Name(RNGS,0x00)");
    free(text);
    free(guest.ram);
}

static void test_iasl_reads_the_other_tables(void **state)
{
    (void)state;
    struct guest guest = make_guest();
    struct tables tables = build(&guest, 257, true);
    char *text = disassemble(tables.fadt);

    squeeze(text);
    assert_says(text, "HardwareReduced(V5):1");
    assert_says(text, "ResetRegisterSupported(V2):1");
    assert_says(text, "8042Presenton");
    free(text);
    text = disassemble(tables.madt);
    squeeze(text);
    assert_says(text, "Processorx2ApicID:00000100");
    assert_says(text, "PC-ATCompatibility:0");
    free(text);
    free(disassemble(tables.xsdt));
    free(guest.ram);
}

static int make_folder(void **state)
{
    (void)state;
    const char *parent = getenv("TMPDIR");

    (void)snprintf(folder, sizeof(folder), "%.40s/acpi-XXXXXX", parent ? parent : "/tmp");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"table.dat", "table.dsl", "again.aml", "log"};
    char path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rsdp_is_where_a_scan_finds_it),
        cmocka_unit_test(test_nothing_outside_the_range_is_written),
        cmocka_unit_test(test_fadt),
        cmocka_unit_test(test_madt_names_each_vcpu),
        cmocka_unit_test(test_only_the_status_byte_tells_a_guest_without_rng),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_iasl_reads_the_dsdt_as_the_layout_says),
        cmocka_unit_test(test_iasl_reads_the_other_tables),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
