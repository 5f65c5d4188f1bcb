/* ELF files: what is loaded where, notes, and every way in which a file can be broken. */
#include "guest-tests/host/boot_guest.h"

#include "arch/x86/guest/elf.h"

static struct boot_file file_of(const struct boot_guest *guest)
{
    return (struct boot_file){"\\k", guest->file, FILE_ROOM, "kernel"};
}

static bool opens(const uint8_t *bytes, size_t size)
{
    struct elf elf;
    uint8_t *copy = malloc(size > 0 ? size : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    bool good = elf_open(&elf, &(struct boot_file){"\\k", copy, size, "kernel"});

    free(copy);
    return good;
}

static bool loads(struct boot_guest *guest, uint64_t *end)
{
    const struct boot_file file = file_of(guest);
    struct boot boot = {&guest->memory, &guest->image, guest->low, false, &guest->error};
    struct elf elf;

    assert_true(elf_open(&elf, &file));
    return elf_load(&elf, &boot, end);
}

static void test_both_classes(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        struct boot_guest *guest = boot_guest_make(16 * MEGA, 0);
        const struct boot_file file = file_of(guest);
        struct elf elf;
        uint64_t end = 0;

        make_elf(guest->file, wide != 0, 0);
        memset(at(guest, 0x200800), 0xff, 0x800); /* where the segment's zeroes go */
        assert_true(elf_open(&elf, &file));
        assert_int_equal(elf.wide, wide);
        assert_int_equal(elf.entry, ELF_ENTRY_VIRTUAL);
        assert_int_equal(elf_entry(&elf), ELF_ENTRY_PHYSICAL);
        assert_true(loads(guest, &end));
        assert_int_equal(end, 0x300400);
        assert_memory_equal(at(guest, 0x200000), guest->file + 0x1000, 0x800);
        for (size_t i = 0x800; i < 0x1000; i++) {
            assert_int_equal(*at(guest, 0x200000 + i), 0);
        }
        assert_memory_equal(at(guest, 0x300000), guest->file + 0x1800, 0x400);
        boot_guest_destroy(guest);
    }
}

static void test_entry_outside_the_segments_is_physical(void **state)
{
    (void)state;
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 0);
    const struct boot_file file = file_of(guest);
    struct elf elf;

    make_elf(guest->file, false, 0);
    put(guest->file, 24, 4, 0x300020);
    assert_true(elf_open(&elf, &file));
    assert_int_equal(elf_entry(&elf), 0x300020);
    put(guest->file, 24, 4, 0x40201000); /* one byte behind */
    assert_true(elf_open(&elf, &file));
    assert_int_equal(elf_entry(&elf), 0x40201000);
    boot_guest_destroy(guest);
}

static void test_what_is_no_elf_file(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        size_t size;
        uint64_t value;
    } cases[] = {
        {0, 1, 0x7e},
        {3, 1, 'G'},
        {4, 1, 0},
        {4, 1, 3},
        {5, 1, 2},      /* big-endian */
        {18, 2, 40},    /* Arm */
        {44, 2, 0},     /* no program headers */
        {44, 2, 129},   /* too many */
        {42, 2, 31},    /* too small */
        {42, 2, 0xfff}, /* the table ends outside the file, */
        {28, 4, FILE_ROOM - 95},
        {28, 4, FILE_ROOM + 1}, /* begins there */
        {28, 4, 0xffffffff},
    };
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 0);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_elf(guest->file, false, 0);
        assert_true(opens(guest->file, FILE_ROOM));
        put(guest->file, cases[i].offset, cases[i].size, cases[i].value);
        if (cases[i].offset == 42 && cases[i].value == 0xfff) {
            put(guest->file, 44, 2, 128);
        }
        assert_false(opens(guest->file, FILE_ROOM));
    }
    /* A table that ends with the file is whole. */
    make_elf(guest->file, false, 0);
    put(guest->file, 28, 4, FILE_ROOM - 96);
    assert_true(opens(guest->file, FILE_ROOM));
    make_elf(guest->file, true, 0);
    put(guest->file, 32, 8, UINT64_MAX - 8);
    assert_false(opens(guest->file, FILE_ROOM));
    make_elf(guest->file, true, 0);
    for (size_t size = 0; size < 64; size++) {
        assert_false(opens(guest->file, size));
    }
    boot_guest_destroy(guest);
}

static void assert_not_loaded(struct boot_guest *guest, const char *error)
{
    uint64_t end;

    assert_false(loads(guest, &end));
    assert_string_equal(guest->error.text, error);
}

/* The first segment's header in a 64-bit file is at 0x80, the third's at 0xf0. */
static void test_segments_that_do_not_fit(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        uint64_t value;
        const char *error;
    } cases[] = {
        {0x88, FILE_ROOM - 0x7ff,
         "kernel = \\boot\\kernel.elf is cut off: it has 16384 bytes and a segment lies beyond "
         "them"},
        {0x88, UINT64_MAX,
         "kernel = \\boot\\kernel.elf is cut off: it has 16384 bytes and a segment lies beyond "
         "them"},
        {0xa0, UINT64_MAX,
         "kernel = \\boot\\kernel.elf is cut off: it has 16384 bytes and a segment lies beyond "
         "them"},
        {0xa8, 0x7ff,
         "kernel = \\boot\\kernel.elf is a broken ELF file: a segment has 2048 bytes and takes "
         "2047"},
        {0x98, 0xff000,
         "kernel = \\boot\\kernel.elf wants 4096 bytes at 0xff000: kernels go to RAM from 1 MiB "
         "up, of memory = 16M"},
        {0x98, 16 * MEGA - 0xfff,
         "kernel = \\boot\\kernel.elf wants 4096 bytes at 0xfff001: kernels go to RAM from 1 MiB "
         "up, of memory = 16M"},
        {0x98, UINT64_MAX - 0x7ff,
         "kernel = \\boot\\kernel.elf wants 4096 bytes at 0xfffffffffffff800: kernels go to RAM "
         "from 1 MiB "
         "up, of memory = 16M"},
        {0xa8, UINT64_MAX,
         "kernel = \\boot\\kernel.elf wants 18446744073709551615 bytes at 0x200000: kernels go to "
         "RAM from "
         "1 MiB up, of memory = 16M"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct boot_guest *guest = boot_guest_make(16 * MEGA, 0);

        make_elf(guest->file, true, 0);
        put(guest->file, cases[i].offset, 8, cases[i].value);
        assert_not_loaded(guest, cases[i].error);
        boot_guest_destroy(guest);
    }
}

static void test_segments_above_4_gib(void **state)
{
    (void)state;
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 16 * MEGA);
    uint64_t end = 0;

    make_elf(guest->file, true, 0);
    put(guest->file, 0xf0 + 24, 8, LAYOUT_HIGH_RAM_BASE + MEGA);
    assert_true(loads(guest, &end));
    assert_int_equal(end, 0x201000);
    assert_memory_equal(guest->memory.regions[1].hva + MEGA, guest->file + 0x1800, 0x400);
    put(guest->file, 0x80 + 24, 8, LAYOUT_HIGH_RAM_BASE);
    assert_not_loaded(guest, "kernel = \\boot\\kernel.elf has nothing that is loaded below 4 GiB");
    boot_guest_destroy(guest);
}

static void test_empty_segments_are_passed_over(void **state)
{
    (void)state;
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 0);
    uint64_t end = 0;

    make_elf(guest->file, true, 0);
    put(guest->file, 0xf0 + 24, 8, 0); /* nowhere, but nothing */
    put(guest->file, 0xf0 + 32, 8, 0);
    put(guest->file, 0xf0 + 40, 8, 0);
    assert_true(loads(guest, &end));
    assert_int_equal(end, 0x201000);
    boot_guest_destroy(guest);
}

static void put_note(uint8_t *note, uint32_t name_size, uint32_t size, uint32_t type,
                     const char *name)
{
    put(note, 0, 4, name_size);
    put(note, 4, 4, size);
    put(note, 8, 4, type);
    memcpy(note + 12, name, strlen(name) + 1);
}

static void test_notes(void **state)
{
    (void)state;
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 0);
    const struct boot_file file = file_of(guest);
    uint8_t *notes = guest->file + 0x1c00;
    struct elf elf;
    const uint8_t *contents;
    size_t size;

    make_elf(guest->file, true, 56);
    put_note(notes, 4, 5, 18, "GNU"); /* 12 + 4 + 8 */
    put_note(notes + 24, 4, 4, 17, "Xen");
    put_note(notes + 44, 0, 0, 18, "");
    assert_true(elf_open(&elf, &file));
    assert_false(elf_find_note(&elf, "Xen", 18, &contents, &size));
    assert_true(elf_find_note(&elf, "Xen", 17, &contents, &size));
    assert_ptr_equal(contents, notes + 40);
    assert_int_equal(size, 4);
    assert_true(elf_find_note(&elf, "GNU", 18, &contents, &size));
    assert_ptr_equal(contents, notes + 16);
    assert_int_equal(size, 5);
    /* The last one may lack its padding, and the search ends all the same. */
    make_elf(guest->file, true, 24 + 12 + 4 + 3);
    put_note(notes + 24, 4, 3, 17, "Xen");
    assert_true(elf_find_note(&elf, "Xen", 17, &contents, &size));
    assert_int_equal(size, 3);
    assert_false(elf_find_note(&elf, "Xen", 16, &contents, &size));
    boot_guest_destroy(guest);
}

static void test_broken_notes(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{4, 9},          {4, UINT32_MAX}, {UINT32_MAX, 0},
                                        {UINT32_MAX, 4}, {13, 0},         {0x80000000, 0x80000000}};
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 0);
    const struct boot_file file = file_of(guest);
    struct elf elf;
    const uint8_t *contents;
    size_t size;

    make_elf(guest->file, true, 24);
    put(guest->file, 0xb8 + 8, 8, FILE_ROOM - 24); /* the notes end with the file */
    assert_true(elf_open(&elf, &file));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        put_note(guest->file + FILE_ROOM - 24, sizes[i][0], sizes[i][1], 18, "Xen");
        assert_false(elf_find_note(&elf, "Xen", 18, &contents, &size));
    }
    put_note(guest->file + FILE_ROOM - 24, 4, 8, 18, "Xen");
    assert_true(elf_find_note(&elf, "Xen", 18, &contents, &size));
    put(guest->file, 0xb8 + 32, 8, 25); /* and now one byte behind it */
    assert_false(elf_find_note(&elf, "Xen", 18, &contents, &size));
    boot_guest_destroy(guest);
}

/* Headers full of noise: nothing outside the file is read and nothing outside memory written. */
static void test_noise(void **state)
{
    (void)state;
    struct boot_guest *guest = boot_guest_make(4 * MEGA, 0);
    uint32_t random = 1;
    unsigned loaded = 0;

    guest->image.kind = BOOT_PVH;
    for (unsigned i = 0; i < 4000; i++) {
        make_elf(guest->file, i % 2 != 0, 20);
        put_note(guest->file + 0x1c00, 4, 4, 18, "Xen");
        put(guest->file + 0x1c00, 16, 4, ELF_ENTRY_PHYSICAL);
        for (unsigned j = 0; j < 1 + i % 3; j++) {
            random = random * 1664525 + 1013904223;
            unsigned place = (random >> 8) % 0x140;

            guest->file[place < 0x130 ? place : 0x1c00 + place - 0x130] = (uint8_t)(random >> 24);
        }
        bool good = boot_guest_load(guest);

        assert_int_equal(good, guest->error.text[0] == '\0');
        loaded += good;
    }
    assert_in_range(loaded, 1, 3999);
    boot_guest_destroy(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_classes),
        cmocka_unit_test(test_entry_outside_the_segments_is_physical),
        cmocka_unit_test(test_what_is_no_elf_file),
        cmocka_unit_test(test_segments_that_do_not_fit),
        cmocka_unit_test(test_segments_above_4_gib),
        cmocka_unit_test(test_empty_segments_are_passed_over),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_broken_notes),
        cmocka_unit_test(test_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
