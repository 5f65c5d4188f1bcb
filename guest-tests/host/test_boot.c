/* The kinds of boot: which one a file is taken for, PVH's structures, and the flat kind. */
#include "guest-tests/host/boot_guest.h"

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/guest_paging.h"

/* An ELF kernel with Xen's note of its 32-bit entry point, in a field of `size` bytes. */
static struct boot_guest *make_pvh(bool wide, uint32_t size)
{
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 32 * MEGA);
    uint8_t *note = guest->file + 0x1c00;

    make_elf(guest->file, wide, 16 + size);
    put(note, 0, 4, 4);
    put(note, 4, 4, size);
    put(note, 8, 4, 18);
    memcpy(note + 12, "Xen", 4);
    put(note, 16, size, 0x300040);
    return guest;
}

static void put_multiboot_header(uint8_t *header)
{
    put(header, 0, 4, 0x1badb002);
    put(header, 4, 4, 0);
    put(header, 8, 4, 0xe4524ffe);
}

static void test_pvh_entry(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        struct boot_guest *guest = make_pvh(wide != 0, wide != 0 ? 8 : 4);

        assert_boots(guest);
        assert_starts_in_32_bits(guest);
        assert_int_equal(guest->start.rip, 0x300040);
        assert_int_equal(guest->start.rax, 0);
        assert_memory_equal(at(guest, 0x200000), guest->file + 0x1000, 0x800);
        assert_memory_equal(at(guest, 0xffff0), "\xba\x02\x06\xb0\x01\xee\xfa\xf4", 8);
        boot_guest_destroy(guest);
    }
}

static void test_start_info(void **state)
{
    (void)state;
    static const uint64_t ranges[][3] = {{0, 0x9f000, 1},
                                         {0x9f000, 0x61000, 2},
                                         {MEGA, 15 * MEGA, 1},
                                         {LAYOUT_HIGH_RAM_BASE, 32 * MEGA, 1}};
    struct boot_guest *guest = make_pvh(true, 4);

    memset(at(guest, 0x10000), 0xff, 0x1000);
    assert_boots(guest);
    const uint8_t *info = at(guest, guest->start.rbx);

    assert_int_equal(get(info, 0, 4), 0x336ec578);
    assert_int_equal(get(info, 4, 4), 1);
    assert_int_equal(get(info, 8, 4), 0);
    assert_int_equal(get(info, 12, 4), 2);
    assert_string_equal((char *)at(guest, get(info, 24, 8)), "a=b  c");
    assert_int_equal(get(info, 32, 8), 0xe0040);
    assert_int_equal(get(info, 48, 8), 4);
    const uint8_t *entry = at(guest, get(info, 40, 8));

    for (size_t i = 0; i < 4; i++, entry += 24) {
        assert_int_equal(get(entry, 0, 8), ranges[i][0]);
        assert_int_equal(get(entry, 8, 8), ranges[i][1]);
        assert_int_equal(get(entry, 16, 8), ranges[i][2]);
    }
    const uint8_t *module = at(guest, get(info, 16, 8));

    assert_int_equal(get(module, 0, 8), 0x301000);
    assert_int_equal(get(module, 8, 8), sizeof(guest->initrd));
    assert_string_equal((char *)at(guest, get(module, 16, 8)), "/initrd");
    assert_int_equal(get(module, 24, 8), 0);
    assert_memory_equal(at(guest, 0x301000), guest->initrd, sizeof(guest->initrd));
    assert_int_equal(get(module, 32, 8), 0x303000);
    assert_int_equal(get(module, 40, 8), sizeof(guest->module));

    guest->image.initrd.size = 0;
    guest->image.module_count = 0;
    assert_boots(guest);
    assert_int_equal(get(info, 12, 4), 0);
    assert_int_equal(get(info, 16, 8), 0);
    boot_guest_destroy(guest);
}

static void test_refused_pvh(void **state)
{
    (void)state;
    struct boot_guest *guest = make_pvh(true, 4);

    guest->image.kind = BOOT_PVH;
    put(guest->file, 0x1c10, 4, 0x300400);
    assert_refuses(
        guest, "kernel = \\boot\\kernel.elf has its entry point at 0x300400, where nothing of it "
               "is loaded");
    put(guest->file, 0x1c10, 4, 0xfffff);
    assert_refuses(
        guest, "kernel = \\boot\\kernel.elf has its entry point at 0xfffff, where nothing of it "
               "is loaded");
    put(guest->file, 0x1c10, 4, 0x300040);
    guest->image.initrd.size = 13 * MEGA;
    assert_refuses(guest,
                   "initrd = \\initrd needs 13 MiB of memory, and of memory = 48M 12 MiB are left");
    put(guest->file, 0x80 + 24, 8, 0); /* of the first segment */
    assert_refuses(guest, "kernel = \\boot\\kernel.elf wants 4096 bytes at 0x0: kernels go to RAM "
                          "from 1 MiB up, of memory = 48M");
    put(guest->file, 0x1c04, 4, 3);
    assert_refuses(guest,
                   "kernel = \\boot\\kernel.elf is no ELF file with a PVH entry (Xen's note 18)");
    boot_guest_destroy(guest);
}

static void test_flat(void **state)
{
    (void)state;
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 0);
    uint64_t gpa = 0;

    guest->image.kind = BOOT_FLAT;
    assert_boots(guest);
    const struct guest_paging paging = {CR0_PE | CR0_PG, guest->start.cr3, CR4_PAE,
                                        EFER_LME | EFER_LMA};
    const uint8_t *gdt = at(guest, guest->start.gdt_base);

    assert_int_equal(guest->start.mode, START_64_BIT);
    assert_int_equal(guest->start.rip, MEGA);
    assert_int_equal(get(gdt, guest->start.code_selector, 8), 0x00af9b000000ffff);
    assert_true(guest_translate(&guest->memory, &paging, 0xfee00123, &gpa));
    assert_int_equal(gpa, 0xfee00123);
    assert_memory_equal(at(guest, MEGA), guest->file, FILE_ROOM);
    assert_int_equal(get(at(guest, guest->start.rdi), 0, 4), 0x336ec578);
    assert_int_equal(get(at(guest, get(at(guest, guest->start.rdi), 16, 8)), 0, 8), 0x104000);
    guest->image.initrd.size = SIZE_MAX;
    assert_refuses(guest, "initrd = \\initrd needs 17592186044416 MiB of memory, and of memory = "
                          "16M 14 MiB are left");
    boot_guest_destroy(guest);

    guest = boot_guest_make(MEGA, 0);
    guest->image.kind = BOOT_FLAT;
    assert_refuses(
        guest,
        "kernel = \\boot\\kernel.elf needs 1 MiB of memory, and of memory = 1M 0 MiB are left");
    boot_guest_destroy(guest);
}

static void test_choice(void **state)
{
    (void)state;
    struct boot_guest *guest = make_pvh(true, 4);

    /* Multiboot and PVH: the former, unless the latter is asked for. */
    put_multiboot_header(guest->file + 0x1000);
    assert_boots(guest);
    assert_int_equal(guest->start.rax, 0x2badb002);
    assert_int_equal(guest->start.rip, ELF_ENTRY_PHYSICAL);
    guest->image.kind = BOOT_PVH;
    assert_boots(guest);
    assert_int_equal(guest->start.rax, 0);
    assert_int_equal(guest->start.rip, 0x300040);
    guest->image.kind = BOOT_FLAT;
    assert_boots(guest);
    assert_int_equal(guest->start.rip, MEGA);
    guest->image.kind = BOOT_LINUX;
    guest->image.module_count = 0;
    assert_refuses(guest,
                   "kernel = \\boot\\kernel.elf is no bzImage: no boot flag 0xaa55 at 0x1fe");
    /* A bzImage goes before all others. */
    guest->image.kind = BOOT_AUTO;
    memcpy(guest->file + 0x202, "HdrS", 4);
    assert_refuses(guest,
                   "kernel = \\boot\\kernel.elf is no bzImage: no boot flag 0xaa55 at 0x1fe");
    boot_guest_destroy(guest);
}

static void test_unknown_files(void **state)
{
    (void)state;
    struct boot_guest *guest = boot_guest_make(16 * MEGA, 0);
    static const char error[] = "kernel = \\boot\\kernel.elf is no kernel of a known kind: no "
                                "bzImage, no Multiboot header, no ELF "
                                "file with a PVH entry (boot = flat runs any file)";

    assert_refuses(guest, error);
    make_elf(guest->file, true, 0);
    assert_refuses(guest, error);
    guest->image.kernel.size = 0;
    assert_refuses(guest, error);
    boot_guest_destroy(guest);
}

/* A remedy for what was found, and none without a finding. */
static void test_remedies(void **state)
{
    (void)state;
    struct boot_guest *guest = make_pvh(true, 4);

    assert_boots(guest);
    assert_null(guest->error.remedy);
    guest->image.initrd.size = 13 * MEGA;
    assert_false(boot_guest_load(guest));
    assert_string_equal(guest->error.remedy,
                        "raise memory = of this guest, or give it a smaller file");
    put(guest->file, 0x80 + 24, 8, 16 * MEGA); /* of the first segment */
    assert_false(boot_guest_load(guest));
    assert_string_equal(guest->error.remedy,
                        "raise memory = of this guest, or give kernel = one that loads elsewhere");
    guest->image.kind = BOOT_LINUX;
    assert_false(boot_guest_load(guest));
    assert_string_equal(guest->error.remedy,
                        "leave modules = out, or put the files into the initrd");
    guest->image.module_count = 0;
    assert_false(boot_guest_load(guest));
    assert_string_equal(guest->error.remedy, "leave boot = out: then what the file is decides; or "
                                             "give kernel = a file of that kind");
    guest->image.kernel.size = 600;
    assert_false(boot_guest_load(guest));
    assert_string_equal(guest->error.remedy, "give kernel = the whole file of a kernel, not "
                                             "compressed: of Linux, vmlinuz as it is");
    boot_guest_destroy(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remedies),      cmocka_unit_test(test_pvh_entry),
        cmocka_unit_test(test_start_info),    cmocka_unit_test(test_refused_pvh),
        cmocka_unit_test(test_flat),          cmocka_unit_test(test_choice),
        cmocka_unit_test(test_unknown_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
