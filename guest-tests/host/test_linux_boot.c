/* The Linux boot protocol: a made-up bzImage byte by byte, each refusal, and a real kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/guest_paging.h"
#include "arch/x86/guest/layout.h"
#include "guest-tests/host/judged_load.h"
#include "vmm/guest_memory.h"

#define MEGA 0x100000ULL

#define SETUP_SECTS 3
#define SETUP_SIZE  ((SETUP_SECTS + 1) * (size_t)512)
#define BODY_SIZE   ((size_t)0x3000)
#define KERNEL_SIZE (SETUP_SIZE + BODY_SIZE)
#define PREFERRED   0x1000000ULL
#define INIT_SIZE   0x800000ULL
#define HEADER_END  0x26c

struct fixture {
    struct guest_memory memory;
    uint8_t *low;
    uint64_t low_size;
    uint8_t *high;
    uint8_t kernel[KERNEL_SIZE + 100];
    uint8_t initrd[5000];
    uint8_t seed[32];
    struct boot_image image;
    struct vcpu_start start;
    struct boot_error error;
};

static void put(uint8_t *bytes, size_t offset, size_t size, uint64_t value)
{
    memcpy(bytes + offset, &value, size);
}

static uint64_t get(const uint8_t *bytes, size_t offset, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, bytes + offset, size);
    return value;
}

/* Memory that is not touched costs nothing, so guests may be large. */
static uint8_t *make_memory(uint64_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

/* A bzImage as small as may be; what surrounds the fields is noise. */
static void make_kernel(uint8_t *kernel, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        kernel[i] = (uint8_t)(i * 7 + 3);
    }
    put(kernel, 0x1f1, 1, SETUP_SECTS);
    put(kernel, 0x1f4, 4, BODY_SIZE / 16);
    put(kernel, 0x1fe, 2, 0xaa55);
    put(kernel, 0x200, 2, (uint64_t)(HEADER_END - 0x202) << 8 | 0xeb);
    put(kernel, 0x202, 4, 0x53726448); /* "HdrS" */
    put(kernel, 0x206, 2, 0x020f);
    put(kernel, 0x211, 1, 0x01);
    put(kernel, 0x22c, 4, 0x7fffffff);
    put(kernel, 0x230, 4, 0x200000);
    put(kernel, 0x234, 1, 1);
    put(kernel, 0x236, 2, 0x7f);
    put(kernel, 0x238, 4, 2047);
    put(kernel, 0x258, 8, PREFERRED);
    put(kernel, 0x260, 4, INIT_SIZE);
}

static struct fixture *make(uint64_t low_size, uint64_t high_size)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    fixture->low_size = low_size;
    fixture->low = make_memory(low_size);
    assert_true(guest_memory_add(&fixture->memory, 0, low_size, fixture->low));
    if (high_size > 0) {
        fixture->high = make_memory(high_size);
        assert_true(
            guest_memory_add(&fixture->memory, LAYOUT_HIGH_RAM_BASE, high_size, fixture->high));
    }
    make_kernel(fixture->kernel, sizeof(fixture->kernel));
    for (size_t i = 0; i < sizeof(fixture->initrd); i++) {
        fixture->initrd[i] = (uint8_t)(i * 11 + 1);
    }
    for (size_t i = 0; i < sizeof(fixture->seed); i++) {
        fixture->seed[i] = (uint8_t)(0xc0 + i);
    }
    fixture->image = (struct boot_image){
        .kind = BOOT_LINUX,
        .kernel = {"\\vmlinuz", fixture->kernel, sizeof(fixture->kernel), "kernel"},
        .initrd = {"\\initrd.img", fixture->initrd, sizeof(fixture->initrd), "initrd"},
        .cmdline = "console=ttyS0 quiet",
        .rsdp_gpa = LAYOUT_ACPI_BASE,
        .rng_seed = fixture->seed,
    };
    return fixture;
}

static void destroy(struct fixture *fixture)
{
    for (unsigned i = 0; i < fixture->memory.count; i++) {
        assert_int_equal(munmap(fixture->memory.regions[i].hva, fixture->memory.regions[i].size),
                         0);
    }
    free(fixture);
}

static bool load(struct fixture *fixture)
{
    return judged_load(&fixture->memory, &fixture->image, &fixture->start, &fixture->error);
}

static void assert_loads(struct fixture *fixture)
{
    if (!load(fixture)) {
        fail_msg("refused: %s", fixture->error.text);
    }
    assert_string_equal(fixture->error.text, "");
}

/* The guest's memory at a GPA below 3 GiB. */
static uint8_t *at(const struct fixture *fixture, uint64_t gpa)
{
    assert_in_range(gpa, 0, fixture->low_size - 1);
    return fixture->low + gpa;
}

static void test_entry_state(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);

    assert_loads(fixture);
    assert_int_equal(fixture->start.rip, PREFERRED + 0x200);
    assert_int_equal(fixture->start.code_selector, 0x10);
    assert_int_equal(fixture->start.data_selector, 0x18);
    assert_int_equal(fixture->start.rsp % 16, 0);
    assert_in_range(fixture->start.rsp, 0x2000, LAYOUT_LEGACY_HOLE);

    const uint8_t *gdt = at(fixture, fixture->start.gdt_base);

    assert_int_equal(fixture->start.gdt_limit, 31);
    assert_int_equal(get(gdt, 0, 8), 0);
    assert_int_equal(get(gdt, 8, 8), 0);
    assert_int_equal(get(gdt, 0x10, 8), 0x00af9b000000ffff);
    assert_int_equal(get(gdt, 0x18, 8), 0x00cf93000000ffff);
    destroy(fixture);
}

/* The kernel's pages, as the processor will find them. */
static void test_page_tables_map_four_gibibytes_to_themselves(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);

    assert_loads(fixture);
    const struct guest_paging paging = {CR0_PE | CR0_PG, fixture->start.cr3, CR4_PAE,
                                        EFER_LME | EFER_LMA};
    uint64_t gpa = 0;

    for (uint64_t address = 0; address < 1ULL << 32; address += 0x1ff000) {
        assert_true(guest_translate(&fixture->memory, &paging, address | 0x123, &gpa));
        assert_int_equal(gpa, address | 0x123);
    }
    assert_false(guest_translate(&fixture->memory, &paging, 1ULL << 32, &gpa));
    assert_false(guest_translate(&fixture->memory, &paging, 1ULL << 39, &gpa));
    destroy(fixture);
}

static void test_kernel_is_placed_where_it_prefers(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);

    assert_loads(fixture);
    assert_memory_equal(at(fixture, PREFERRED), fixture->kernel + SETUP_SIZE, BODY_SIZE);
    /* What trails the image, a signature for instance, is not loaded. */
    assert_int_equal(at(fixture, PREFERRED + BODY_SIZE)[0], 0);

    put(fixture->kernel, 0x258, 8, PREFERRED + 1);
    assert_loads(fixture);
    assert_int_equal(fixture->start.rip, PREFERRED + 0x200000 + 0x200);
    put(fixture->kernel, 0x234, 1, 0);
    put(fixture->kernel, 0x258, 8, PREFERRED + 0x1000);
    assert_loads(fixture);
    assert_int_equal(fixture->start.rip, PREFERRED + 0x1000 + 0x200);
    destroy(fixture);
}

static void test_setup_sects_of_zero_are_four(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);

    put(fixture->kernel, 0x1f1, 1, 0);
    put(fixture->kernel, 0x1f4, 4, (BODY_SIZE - 512) / 16);
    assert_loads(fixture);
    assert_memory_equal(at(fixture, PREFERRED), fixture->kernel + (size_t)5 * 512, BODY_SIZE - 512);
    destroy(fixture);
}

static void test_zero_page(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);
    uint8_t expected[0x1000] = {0};

    memset(at(fixture, 0x10000), 0xff, 0x1000);
    assert_loads(fixture);
    const uint8_t *zero_page = at(fixture, fixture->start.rsi);
    uint64_t initrd = (64 * MEGA - sizeof(fixture->initrd)) & ~0xfffULL;

    memcpy(expected + 0x1f1, fixture->kernel + 0x1f1, HEADER_END - 0x1f1);
    put(expected, 0x070, 8, LAYOUT_ACPI_BASE);
    put(expected, 0x1e8, 1, 3);
    put(expected, 0x210, 1, 0xff);
    put(expected, 0x214, 4, PREFERRED);
    put(expected, 0x218, 4, initrd);
    put(expected, 0x21c, 4, sizeof(fixture->initrd));
    put(expected, 0x228, 4, get(zero_page, 0x228, 4));
    put(expected, 0x250, 8, get(zero_page, 0x250, 8));
    memcpy(expected + 0x2d0, zero_page + 0x2d0, 60);
    assert_memory_equal(zero_page, expected, 0x1000);
    assert_memory_equal(at(fixture, initrd), fixture->initrd, sizeof(fixture->initrd));
    assert_string_equal((char *)at(fixture, get(zero_page, 0x228, 4)), "console=ttyS0 quiet");

    /* A longer header than the zero page has room for is cut there. */
    put(fixture->kernel, 0x201, 1, 0xff);
    assert_loads(fixture);
    assert_memory_equal(zero_page + 0x268, fixture->kernel + 0x268, 0x290 - 0x268);
    assert_int_equal(get(zero_page, 0x290, 8), 0);
    destroy(fixture);
}

static void assert_range(const uint8_t *zero_page, unsigned index, uint64_t start, uint64_t end,
                         uint32_t type)
{
    const uint8_t *entry = zero_page + 0x2d0 + (size_t)20 * index;

    assert_int_equal(get(entry, 0, 8), start);
    assert_int_equal(get(entry, 8, 8), end - start);
    assert_int_equal(get(entry, 16, 4), type);
}

static void test_memory_map(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);

    assert_loads(fixture);
    const uint8_t *zero_page = at(fixture, fixture->start.rsi);

    assert_int_equal(zero_page[0x1e8], 3);
    assert_range(zero_page, 0, 0, 0x9f000, 1);
    assert_range(zero_page, 1, 0x9f000, 0x100000, 2);
    assert_range(zero_page, 2, 0x100000, 64 * MEGA, 1);
    destroy(fixture);

    fixture = make(LAYOUT_LOW_RAM_LIMIT, 1024 * MEGA);
    assert_loads(fixture);
    zero_page = at(fixture, fixture->start.rsi);
    assert_int_equal(zero_page[0x1e8], 4);
    assert_range(zero_page, 2, 0x100000, LAYOUT_LOW_RAM_LIMIT, 1);
    assert_range(zero_page, 3, LAYOUT_HIGH_RAM_BASE, LAYOUT_HIGH_RAM_BASE + 1024 * MEGA, 1);
    /* An initrd stays below the kernel's limit even where there is memory above it. */
    assert_int_equal(get(zero_page, 0x218, 4), (0x80000000 - sizeof(fixture->initrd)) & ~0xfffULL);
    destroy(fixture);
}

static void test_seed(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);

    assert_loads(fixture);
    const uint8_t *data = at(fixture, get(at(fixture, fixture->start.rsi), 0x250, 8));

    assert_int_equal(get(data, 0, 8), 0);
    assert_int_equal(get(data, 8, 4), 9);
    assert_int_equal(get(data, 12, 4), 32);
    assert_memory_equal(data + 16, fixture->seed, 32);

    /* One copy, not two: the kernel can wipe only what it was told of. */
    unsigned copies = 0;

    for (uint64_t i = 0; i + 32 <= fixture->low_size; i += 1) {
        copies += fixture->low[i] == 0xc0 && memcmp(fixture->low + i, fixture->seed, 32) == 0;
    }
    assert_int_equal(copies, 1);
    destroy(fixture);
}

static void test_no_seed(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);

    fixture->image.rng_seed = NULL;
    assert_loads(fixture);
    assert_int_equal(get(at(fixture, fixture->start.rsi), 0x250, 8), 0);
    destroy(fixture);
}

/* Linux's last way but one to reboot: real-mode code at F000:FFF0 that writes the reset register.
 */
static void test_reset_vector(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);

    assert_loads(fixture);
    assert_memory_equal(at(fixture, 0xffff0), "\xba\x02\x06\xb0\x01\xee\xfa\xf4", 8);
    destroy(fixture);
}

static void test_without_initrd(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);

    fixture->image.initrd.data = NULL;
    fixture->image.initrd.size = 0;
    fixture->image.cmdline = "";
    assert_loads(fixture);
    const uint8_t *zero_page = at(fixture, fixture->start.rsi);

    assert_int_equal(get(zero_page, 0x218, 8), 0);
    assert_int_equal(at(fixture, get(zero_page, 0x228, 4))[0], 0);
    destroy(fixture);
}

/* What the loader writes does not overlap, and all is in memory that the map calls RAM. */
static void test_pieces_are_apart(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);
    char cmdline[2048];

    memset(cmdline, 'c', sizeof(cmdline) - 1);
    cmdline[sizeof(cmdline) - 1] = '\0';
    fixture->image.cmdline = cmdline;
    assert_loads(fixture);
    const uint8_t *zero_page = at(fixture, fixture->start.rsi);
    const struct {
        uint64_t start;
        uint64_t size;
    } pieces[] = {
        {0, 0x1000},
        {fixture->start.rsi, 0x1000},
        {get(zero_page, 0x228, 4), sizeof(cmdline)},
        {get(zero_page, 0x250, 8), 48},
        {fixture->start.gdt_base, 32},
        {fixture->start.rsp - 0x1000, 0x1000},
        {fixture->start.cr3, 6 * 0x1000ULL},
        {0x9d000, 0x2000}, /* the decompressor's trampoline */
        {LAYOUT_LEGACY_HOLE, LAYOUT_ONE_MEGABYTE - LAYOUT_LEGACY_HOLE},
        {PREFERRED, INIT_SIZE},
        {get(zero_page, 0x218, 4), sizeof(fixture->initrd)},
    };

    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        assert_true(pieces[i].start + pieces[i].size <= 64 * MEGA);
        for (size_t j = 0; j < i; j++) {
            assert_true(pieces[i].start + pieces[i].size <= pieces[j].start ||
                        pieces[j].start + pieces[j].size <= pieces[i].start);
        }
    }
    destroy(fixture);
}

static void test_refused_headers(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        size_t size;
        uint64_t value;
        const char *error;
    } cases[] = {
        {0x1fe, 2, 0xaa54, "kernel = \\vmlinuz is no bzImage: no boot flag 0xaa55 at 0x1fe"},
        {0x205, 1, 's', "kernel = \\vmlinuz is no bzImage: no HdrS at 0x202"},
        {0x206, 2, 0x020b, "kernel = \\vmlinuz has boot protocol 2.11: 2.12 or newer is needed"},
        {0x206, 2, 0x0100, "kernel = \\vmlinuz has boot protocol 1.00: 2.12 or newer is needed"},
        {0x201, 1, 0x65, "kernel = \\vmlinuz has a broken setup header: it ends at 0x267"},
        {0x211, 1, 0xfe, "kernel = \\vmlinuz is a zImage, which loads low: a bzImage is needed"},
        {0x236, 2, 0xfffe,
         "kernel = \\vmlinuz has no 64-bit entry point: an x86-64 kernel is needed"},
        {0x1f4, 4, BODY_SIZE / 16 + 7,
         "kernel = \\vmlinuz is cut off: it has 14436 bytes and its header says 14448"},
        {0x1f4, 4, 0xffffffff,
         "kernel = \\vmlinuz is cut off: it has 14436 bytes and its header says 68719478768"},
        {0x1f1, 1, 255,
         "kernel = \\vmlinuz is cut off: it has 14436 bytes and its header says 143360"},
        {0x1f4, 4, 0x20,
         "kernel = \\vmlinuz has a broken setup header: syssize 0x20, init_size 0x800000"},
        {0x260, 4, BODY_SIZE - 1,
         "kernel = \\vmlinuz has a broken setup header: syssize 0x300, init_size 0x2fff"},
        {0x230, 4, 0, "kernel = \\vmlinuz has a broken setup header: kernel_alignment is 0x0"},
        {0x230, 4, 0x300000,
         "kernel = \\vmlinuz has a broken setup header: kernel_alignment is 0x300000"},
        {0x258, 8, 0xff000,
         "kernel = \\vmlinuz wants to be loaded at 0xff000, where no memory can be"},
        {0x258, 8, LAYOUT_LOW_RAM_LIMIT,
         "kernel = \\vmlinuz wants to be loaded at 0xc0000000, where no memory can be"},
        {0x258, 8, UINT64_MAX,
         "kernel = \\vmlinuz wants to be loaded at 0xffffffffffffffff, where no memory can be"},
        {0x230, 4, 0x80000000,
         "kernel = \\vmlinuz needs 2056 MiB of memory to start, and memory = 64M"},
        {0x260, 4, 0xffffffff,
         "kernel = \\vmlinuz needs 4112 MiB of memory to start, and memory = 64M"},
        {0x22c, 4, 0,
         "initrd = \\initrd.img needs 1 MiB of memory, and of memory = 64M the kernel leaves 0 "
         "MiB"},
        {0x22c, 4, PREFERRED + INIT_SIZE + 4998,
         "initrd = \\initrd.img needs 1 MiB of memory, and of memory = 64M the kernel leaves 0 "
         "MiB"},
        {0x238, 4, 18, "cmdline = has 19 characters, and kernel = \\vmlinuz takes 18"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *fixture = make(64 * MEGA, 0);

        put(fixture->kernel, cases[i].offset, cases[i].size, cases[i].value);
        assert_false(load(fixture));
        assert_string_equal(fixture->error.text, cases[i].error);
        destroy(fixture);
    }
}

static void test_refused_sizes(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);
    char cmdline[5000];

    fixture->image.kernel.size = 0;
    assert_false(load(fixture));
    assert_string_equal(fixture->error.text,
                        "kernel = \\vmlinuz is no bzImage: it has only 0 bytes");
    fixture->image.kernel.size = 0x28f;
    assert_false(load(fixture));
    assert_string_equal(fixture->error.text,
                        "kernel = \\vmlinuz is no bzImage: it has only 655 bytes");
    fixture->image.kernel.size = KERNEL_SIZE - 1;
    assert_false(load(fixture));
    assert_string_equal(
        fixture->error.text,
        "kernel = \\vmlinuz is cut off: it has 14335 bytes and its header says 14336");
    fixture->image.kernel.size = KERNEL_SIZE;
    assert_loads(fixture);

    /* The kernel ends at 24 MiB: 40 MiB are left for an initrd. Its bytes are not looked at. */
    fixture->image.initrd.size = 40 * MEGA + 1;
    assert_false(load(fixture));
    assert_string_equal(fixture->error.text, "initrd = \\initrd.img needs 41 MiB of memory, and of "
                                             "memory = 64M the kernel leaves 40 MiB");
    fixture->image.initrd.size = SIZE_MAX;
    assert_false(load(fixture));
    /* Enough bytes, but not once the start is on a page. */
    put(fixture->kernel, 0x260, 4, INIT_SIZE + 0x800);
    fixture->image.initrd.size = 40 * MEGA - 0x800;
    assert_false(load(fixture));
    assert_string_equal(fixture->error.text, "initrd = \\initrd.img needs 40 MiB of memory, and of "
                                             "memory = 64M the kernel leaves 39 MiB");
    put(fixture->kernel, 0x260, 4, INIT_SIZE);
    fixture->image.initrd.size = 0;

    /* A kernel that takes any length does not get more than there is room for. */
    put(fixture->kernel, 0x238, 4, 0xffffffff);
    memset(cmdline, 'c', sizeof(cmdline));
    cmdline[4096] = '\0';
    fixture->image.cmdline = cmdline;
    assert_false(load(fixture));
    assert_string_equal(fixture->error.text,
                        "cmdline = has 4096 characters, and there is room for 4095");
    cmdline[4095] = '\0';
    assert_loads(fixture);
    destroy(fixture);
}

static void test_refused_memory(void **state)
{
    (void)state;
    struct fixture *fixture = make(24 * MEGA - 0x1000, 64 * MEGA);

    fixture->image.module_count = 1;
    assert_false(load(fixture));
    assert_string_equal(
        fixture->error.text,
        "kernel = \\vmlinuz is booted by Linux's own protocol, which has no modules");
    fixture->image.module_count = 0;
    assert_false(load(fixture));
    assert_string_equal(fixture->error.text,
                        "kernel = \\vmlinuz needs 24 MiB of memory to start, and memory = 87M");
    fixture->memory.regions[0].gpa = 0x1000;
    assert_false(load(fixture));
    assert_string_equal(fixture->error.text, "the guest has no memory from 0 to 1 MiB");
    fixture->memory.regions[0].gpa = 0;
    destroy(fixture);
}

/* Headers full of noise never make the loader write outside the guest's memory. */
static void test_noise(void **state)
{
    (void)state;
    struct fixture *fixture = make(64 * MEGA, 0);
    uint32_t random = 1;
    unsigned loaded = 0;

    for (unsigned i = 0; i < 20000; i++) {
        make_kernel(fixture->kernel, 0x300);
        for (unsigned j = 0; j < 1 + i % 3; j++) {
            random = random * 1664525 + 1013904223;
            fixture->kernel[0x1f1 + (random >> 8) % 0x80] = (uint8_t)(random >> 24);
        }
        bool good = load(fixture);

        assert_int_equal(good, fixture->error.text[0] == '\0');
        loaded += good;
    }
    assert_in_range(loaded, 1, 19999);
    destroy(fixture);
}

static uint8_t *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(64 * MEGA);

    assert_non_null(file);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 64 * MEGA, file);
    assert_int_equal(fclose(file), 0);
    return bytes;
}

/* SEEDVISOR_TEST_KERNEL names a distribution's bzImage; without it there is nothing to test. */
static void test_real_kernel(void **state)
{
    (void)state;
    const char *path = getenv("SEEDVISOR_TEST_KERNEL");

    if (path == NULL || path[0] == '\0') {
        skip();
    }
    struct fixture *fixture = make(256 * MEGA, 0);
    size_t size = 0;
    uint8_t *kernel = read_whole(path, &size);

    fixture->image.kernel.data = kernel;
    fixture->image.kernel.size = size;
    assert_loads(fixture);
    size_t setup = ((size_t)kernel[0x1f1] + 1) * 512;
    uint64_t body = get(kernel, 0x1f4, 4) * 16;

    assert_memory_equal(at(fixture, fixture->start.rip - 0x200), kernel + setup, body);
    assert_memory_equal(at(fixture, fixture->start.rsi) + 0x202, "HdrS", 4);
    free(kernel);
    destroy(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entry_state),
        cmocka_unit_test(test_page_tables_map_four_gibibytes_to_themselves),
        cmocka_unit_test(test_kernel_is_placed_where_it_prefers),
        cmocka_unit_test(test_setup_sects_of_zero_are_four),
        cmocka_unit_test(test_zero_page),
        cmocka_unit_test(test_memory_map),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_no_seed),
        cmocka_unit_test(test_reset_vector),
        cmocka_unit_test(test_without_initrd),
        cmocka_unit_test(test_pieces_are_apart),
        cmocka_unit_test(test_refused_headers),
        cmocka_unit_test(test_refused_sizes),
        cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_real_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
