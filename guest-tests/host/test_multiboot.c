/* Multiboot: the header, both ways to say where the kernel goes, and what the kernel is told. */
#include "guest-tests/host/boot_guest.h"

#define MAGIC 0x1badb002U

static void put_header(uint8_t *header, uint32_t flags)
{
    put(header, 0, 4, MAGIC);
    put(header, 4, 4, flags);
    put(header, 8, 4, 0U - MAGIC - flags);
}

/* An ELF kernel with its header at the start of its first segment. */
static struct boot_guest *make_elf_kernel(bool wide)
{
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 32 * MEGA);

    make_elf(guest->file, wide, 0);
    put_header(guest->file + 0x1000, 3);
    return guest;
}

/* One whose header says that the file from 0x100 on goes to 2 MiB. */
static struct boot_guest *make_kernel_with_addresses(void)
{
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 0);
    uint8_t *header = guest->file + 0x204;

    put_header(header, 0x10000);
    put(header, 12, 4, 0x200104); /* header_addr */
    put(header, 16, 4, 0x200000); /* load_addr */
    put(header, 20, 4, 0x202000); /* load_end_addr */
    put(header, 24, 4, 0x203000); /* bss_end_addr */
    put(header, 28, 4, 0x200030); /* entry_addr */
    return guest;
}

static void test_elf_kernel(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        struct boot_guest *guest = make_elf_kernel(wide != 0);

        assert_boots(guest);
        assert_starts_in_32_bits(guest);
        assert_int_equal(guest->start.rip, ELF_ENTRY_PHYSICAL);
        assert_int_equal(guest->start.rax, 0x2badb002);
        assert_int_equal(guest->start.rsi, 0);
        assert_int_equal(guest->start.rdi, 0);
        assert_memory_equal(at(guest, 0x200000), guest->file + 0x1000, 0x800);
        /* As with every kind, real-mode software may restart the machine. */
        assert_memory_equal(at(guest, 0xffff0), "\xba\x02\x06\xb0\x01\xee\xfa\xf4", 8);
        boot_guest_destroy(guest);
    }
}

static void test_information(void **state)
{
    (void)state;
    struct boot_guest *guest = make_elf_kernel(false);

    memset(at(guest, 0x10000), 0xff, 0x1000);
    assert_boots(guest);
    const uint8_t *info = at(guest, guest->start.rbx);

    assert_int_equal(get(info, 0, 4), 0x24d);
    assert_int_equal(get(info, 4, 4), 0x9f000 / 1024);
    assert_int_equal(get(info, 8, 4), 15 * 1024);
    assert_int_equal(get(info, 12, 4), 0);
    assert_string_equal((char *)at(guest, get(info, 16, 4)), "/boot/kernel.elf a=b  c");
    assert_string_equal((char *)at(guest, get(info, 64, 4)), "Seedvisor");
    for (size_t i = 28; i < 120; i += 4) {
        if (i != 44 && i != 48 && i != 64) {
            assert_int_equal(get(info, i, 4), 0);
        }
    }
    boot_guest_destroy(guest);
}

static void test_memory_map(void **state)
{
    (void)state;
    static const uint64_t ranges[][3] = {{0, 0x9f000, 1},
                                         {0x9f000, 0x61000, 2},
                                         {MEGA, 15 * MEGA, 1},
                                         {LAYOUT_HIGH_RAM_BASE, 32 * MEGA, 1}};
    struct boot_guest *guest = make_elf_kernel(false);

    assert_boots(guest);
    const uint8_t *info = at(guest, guest->start.rbx);
    const uint8_t *entry = at(guest, get(info, 48, 4));

    assert_int_equal(get(info, 44, 4), 4 * 24);
    for (size_t i = 0; i < 4; i++, entry += 24) {
        assert_int_equal(get(entry, 0, 4), 20);
        assert_int_equal(get(entry, 4, 8), ranges[i][0]);
        assert_int_equal(get(entry, 12, 8), ranges[i][1]);
        assert_int_equal(get(entry, 20, 4), ranges[i][2]);
    }
    boot_guest_destroy(guest);
}

static void test_modules(void **state)
{
    (void)state;
    struct boot_guest *guest = make_elf_kernel(false);

    assert_boots(guest);
    const uint8_t *info = at(guest, guest->start.rbx);
    const uint8_t *module = at(guest, get(info, 24, 4));

    assert_int_equal(get(info, 20, 4), 2);
    /* Each on a page of its own, behind the kernel. */
    assert_int_equal(get(module, 0, 4), 0x301000);
    assert_int_equal(get(module, 4, 4), 0x301000 + sizeof(guest->initrd));
    assert_string_equal((char *)at(guest, get(module, 8, 4)), "/initrd");
    assert_int_equal(get(module, 12, 4), 0);
    assert_memory_equal(at(guest, 0x301000), guest->initrd, sizeof(guest->initrd));
    assert_int_equal(get(module, 16, 4), 0x303000);
    assert_int_equal(get(module, 20, 4), 0x303000 + sizeof(guest->module));
    assert_string_equal((char *)at(guest, get(module, 24, 4)), "/mod/one");
    assert_memory_equal(at(guest, 0x303000), guest->module, sizeof(guest->module));

    guest->image.initrd.size = 0;
    for (unsigned i = 1; i < BOOT_MODULES; i++) {
        guest->image.modules[i] = guest->image.modules[0];
    }
    guest->image.module_count = BOOT_MODULES;
    assert_boots(guest);
    assert_int_equal(get(info, 20, 4), BOOT_MODULES);
    assert_int_equal(get(module, (BOOT_MODULES - 1) * (size_t)16, 4),
                     0x301000 + (BOOT_MODULES - 1) * 0x1000);

    guest->image.module_count = 0;
    assert_boots(guest);
    assert_int_equal(get(info, 20, 4), 0);
    assert_int_equal(get(info, 0, 4), 0x24d);
    boot_guest_destroy(guest);
}

static void test_long_paths_are_cut(void **state)
{
    (void)state;
    struct boot_guest *guest = make_elf_kernel(false);
    char path[2000];

    memset(path, 'p', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    guest->image.kernel.name = path;
    guest->image.initrd.name = path;
    assert_boots(guest);
    const uint8_t *info = at(guest, guest->start.rbx);

    assert_string_equal((char *)at(guest, get(info, 16, 4)) + 1023, " a=b  c");
    assert_int_equal(strlen((char *)at(guest, get(at(guest, get(info, 24, 4)), 8, 4))), 511);
    boot_guest_destroy(guest);
}

static void test_kernel_with_addresses(void **state)
{
    (void)state;
    struct boot_guest *guest = make_kernel_with_addresses();
    uint8_t *header = guest->file + 0x204;

    memset(at(guest, 0x202000), 0xff, 0x1000);
    assert_boots(guest);
    assert_starts_in_32_bits(guest);
    assert_int_equal(guest->start.rip, 0x200030);
    assert_memory_equal(at(guest, 0x200000), guest->file + 0x100, 0x2000);
    for (uint64_t gpa = 0x202000; gpa < 0x203000; gpa++) {
        assert_int_equal(*at(guest, gpa), 0);
    }
    assert_int_equal(get(at(guest, get(at(guest, guest->start.rbx), 24, 4)), 0, 4), 0x203000);

    /* Zeroes for the ends: all of the file, and nothing behind it. */
    put(header, 20, 4, 0);
    put(header, 24, 4, 0);
    assert_boots(guest);
    assert_memory_equal(at(guest, 0x200000), guest->file + 0x100, FILE_ROOM - 0x100);
    assert_int_equal(get(at(guest, get(at(guest, guest->start.rbx), 24, 4)), 0, 4), 0x204000);
    /* These addresses hold even where the file is ELF. */
    make_elf(guest->file, false, 0);
    assert_boots(guest);
    assert_int_equal(guest->start.rip, 0x200030);
    boot_guest_destroy(guest);
}

static void test_refused_addresses(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        uint64_t value;
        const char *error;
    } cases[] = {
        {12, 0x200205,
         "kernel = \\boot\\kernel.elf has a broken Multiboot header: it is not at its "
         "header_addr"},
        {12, 0xfffff,
         "kernel = \\boot\\kernel.elf has a broken Multiboot header: it is not at its "
         "header_addr"},
        {20, 0x203f01,
         "kernel = \\boot\\kernel.elf is cut off, or has a broken Multiboot header: "
         "load_end_addr"},
        {20, 0xfffff,
         "kernel = \\boot\\kernel.elf is cut off, or has a broken Multiboot header: "
         "load_end_addr"},
        {24, 16 * MEGA + 1,
         "kernel = \\boot\\kernel.elf wants to be loaded from 0x200000 to 0x1000001, "
         "where no memory is, of memory = 16M"},
        {28, 0xfffff,
         "kernel = \\boot\\kernel.elf has its entry point at 0xfffff, where nothing of it "
         "is loaded"},
        {28, 0x203000,
         "kernel = \\boot\\kernel.elf has its entry point at 0x203000, where nothing of it "
         "is loaded"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct boot_guest *guest = make_kernel_with_addresses();

        put(guest->file + 0x204, cases[i].offset, 4, cases[i].value);
        assert_refuses(guest, cases[i].error);
        boot_guest_destroy(guest);
    }
    struct boot_guest *guest = make_kernel_with_addresses();

    put(guest->file + 0x204, 12, 4, 0xff104);
    put(guest->file + 0x204, 16, 4, 0xff000);
    put(guest->file + 0x204, 20, 4, 0x101000);
    assert_refuses(guest, "kernel = \\boot\\kernel.elf wants to be loaded from 0xff000 to "
                          "0x203000, where no memory is, of memory = 16M");
    boot_guest_destroy(guest);
}

static void test_refused_headers(void **state)
{
    (void)state;
    struct boot_guest *guest = make_elf_kernel(false);

    /* Video, or a requirement that is not known. */
    put_header(guest->file + 0x1000, 7);
    assert_refuses(guest,
                   "kernel = \\boot\\kernel.elf wants what there is not here: Multiboot flags 0x7");
    put_header(guest->file + 0x1000, 0x8000);
    assert_refuses(
        guest, "kernel = \\boot\\kernel.elf wants what there is not here: Multiboot flags 0x8000");
    /* An optional one does no harm. */
    put_header(guest->file + 0x1000, 0x20000);
    assert_boots(guest);
    put(guest->file, 0, 1, 0);
    assert_refuses(guest,
                   "kernel = \\boot\\kernel.elf has a Multiboot header without addresses and is no "
                   "ELF file");
    /* A sum that is not 0 makes it no header. */
    guest->image.kind = BOOT_MULTIBOOT;
    guest->file[0x1008] ^= 1;
    assert_refuses(guest, "kernel = \\boot\\kernel.elf has no Multiboot header in its first 8 KiB");
    boot_guest_destroy(guest);
}

static void test_where_the_header_is_looked_for(void **state)
{
    (void)state;
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 0);

    make_elf(guest->file, false, 0);
    put_header(guest->file + 0x1001, 0);
    assert_false(boot_guest_load(guest));
    memset(guest->file + 0x1000, 0, 0x1000);
    put_header(guest->file + 8192 - 12, 0);
    assert_boots(guest);
    memset(guest->file + 0x1000, 0, 0x1000);
    put_header(guest->file + 8192 - 8, 0);
    assert_false(boot_guest_load(guest));
    boot_guest_destroy(guest);
}

/* Files that end within the header. */
static void test_short_files(void **state)
{
    (void)state;
    struct boot_guest *guest = make_kernel_with_addresses();

    for (size_t size = 0; size < 0x204 + 12; size++) {
        guest->image.kernel.size = size;
        assert_false(boot_guest_load(guest));
        assert_non_null(strstr(guest->error.text, "no Multiboot header"));
    }
    for (size_t size = 0x204 + 12; size < 0x204 + 32; size++) {
        guest->image.kernel.size = size;
        assert_refuses(guest, "kernel = \\boot\\kernel.elf is cut off within its Multiboot header");
    }
    boot_guest_destroy(guest);
}

static void test_what_does_not_fit(void **state)
{
    (void)state;
    struct boot_guest *guest = make_elf_kernel(false);
    char cmdline[5000];

    memset(cmdline, 'c', sizeof(cmdline));
    cmdline[4079] = '\0';
    guest->image.cmdline = cmdline;
    assert_refuses(guest, "cmdline = has 4079 characters, and there is room for 4078");
    cmdline[4078] = '\0';
    assert_boots(guest);

    guest->image.initrd.size = 13 * MEGA;
    assert_refuses(guest,
                   "initrd = \\initrd needs 13 MiB of memory, and of memory = 48M 12 MiB are left");
    guest->image.initrd.size = 0;
    guest->image.modules[0].size = SIZE_MAX;
    assert_refuses(guest, "modules = \\mod\\one needs 17592186044416 MiB of memory, and of memory "
                          "= 48M 12 MiB are left");
    boot_guest_destroy(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elf_kernel),
        cmocka_unit_test(test_information),
        cmocka_unit_test(test_memory_map),
        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_long_paths_are_cut),
        cmocka_unit_test(test_kernel_with_addresses),
        cmocka_unit_test(test_refused_addresses),
        cmocka_unit_test(test_refused_headers),
        cmocka_unit_test(test_where_the_header_is_looked_for),
        cmocka_unit_test(test_short_files),
        cmocka_unit_test(test_what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
