/* A guest's memory and image for the tests of the boot kinds, and byte-wise access to both. */
#ifndef GUEST_TESTS_HOST_BOOT_GUEST_H
#define GUEST_TESTS_HOST_BOOT_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "arch/x86/guest/boot.h"
#include "arch/x86/guest/layout.h"
#include "guest-tests/host/judged_load.h"
#include "vmm/guest_memory.h"

#define MEGA      0x100000ULL
#define FILE_ROOM 0x4000U

struct boot_guest {
    struct guest_memory memory;
    uint8_t *low;
    uint64_t low_size;
    uint8_t file[FILE_ROOM]; /* the kernel's; a test makes it */
    uint8_t initrd[5000];
    uint8_t module[4096];
    struct boot_image image;
    struct vcpu_start start;
    struct boot_error error;
};

static inline void put(void *bytes, size_t offset, size_t size, uint64_t value)
{
    memcpy((uint8_t *)bytes + offset, &value, size);
}

static inline uint64_t get(const void *bytes, size_t offset, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, (const uint8_t *)bytes + offset, size);
    return value;
}

/* Memory that is not touched costs nothing, so guests may be large. */
static inline uint8_t *boot_guest_memory(uint64_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

/* With an initrd, one module and a command line; the kernel's file is full of noise. */
static inline struct boot_guest *boot_guest_make(uint64_t low_size, uint64_t high_size)
{
    static const uint8_t seed[BOOT_SEED_SIZE] = {1};
    struct boot_guest *guest = calloc(1, sizeof(*guest));

    assert_non_null(guest);
    guest->low_size = low_size;
    guest->low = boot_guest_memory(low_size);
    assert_true(guest_memory_add(&guest->memory, 0, low_size, guest->low));
    if (high_size > 0) {
        assert_true(guest_memory_add(&guest->memory, LAYOUT_HIGH_RAM_BASE, high_size,
                                     boot_guest_memory(high_size)));
    }
    for (size_t i = 0; i < sizeof(guest->file); i++) {
        guest->file[i] = (uint8_t)(i * 7 + 3);
    }
    memset(guest->initrd, 0x1d, sizeof(guest->initrd));
    memset(guest->module, 0x3d, sizeof(guest->module));
    guest->image = (struct boot_image){
        .kernel = {"\\boot\\kernel.elf", guest->file, sizeof(guest->file), "kernel"},
        .initrd = {"\\initrd", guest->initrd, sizeof(guest->initrd), "initrd"},
        .modules = {{"\\mod\\one", guest->module, sizeof(guest->module), "modules"}},
        .module_count = 1,
        .cmdline = "a=b  c",
        .rsdp_gpa = 0xe0040,
        .rng_seed = seed,
    };
    return guest;
}

static inline void boot_guest_destroy(struct boot_guest *guest)
{
    for (unsigned i = 0; i < guest->memory.count; i++) {
        assert_int_equal(munmap(guest->memory.regions[i].hva, guest->memory.regions[i].size), 0);
    }
    free(guest);
}

/* Loads from a copy of the file that ends where the heap's guard begins. */
static inline bool boot_guest_load(struct boot_guest *guest)
{
    struct boot_image image = guest->image;
    void *copy = malloc(image.kernel.size > 0 ? image.kernel.size : 1);

    assert_non_null(copy);
    memcpy(copy, image.kernel.data, image.kernel.size);
    image.kernel.data = copy;
    bool loaded = judged_load(&guest->memory, &image, &guest->start, &guest->error);

    free(copy);
    return loaded;
}

static inline void assert_boots(struct boot_guest *guest)
{
    if (!boot_guest_load(guest)) {
        fail_msg("refused: %s", guest->error.text);
    }
    assert_string_equal(guest->error.text, "");
}

static inline void assert_refuses(struct boot_guest *guest, const char *error)
{
    assert_false(boot_guest_load(guest));
    assert_string_equal(guest->error.text, error);
}

/* The guest's memory at a GPA below 3 GiB. */
static inline uint8_t *at(const struct boot_guest *guest, uint64_t gpa)
{
    assert_in_range(gpa, 0, guest->low_size - 1);
    return guest->low + gpa;
}

/* A 32-bit start as PVH and Multiboot want it. */
static inline void assert_starts_in_32_bits(const struct boot_guest *guest)
{
    const struct vcpu_start *start = &guest->start;
    const uint8_t *gdt = at(guest, start->gdt_base);

    assert_int_equal(start->mode, START_32_BIT);
    assert_int_equal(start->gdt_limit, 31);
    assert_int_equal(get(gdt, start->code_selector, 8), 0x00cf9b000000ffff);
    assert_int_equal(get(gdt, start->data_selector, 8), 0x00cf93000000ffff);
    assert_in_range(start->rsp, 0x2000, LAYOUT_LEGACY_HOLE);
    assert_int_equal(start->rsp % 16, 0);
    assert_int_equal(start->cr3, 0);
}

/*
 * An ELF file with two segments to load, of 0x800 bytes at 0x1000 (0x1000 in memory, to 2 MiB) and
 * of 0x400 bytes at 0x1800 (to 3 MiB), and one of notes at 0x1c00, of `note_size` bytes. Virtual
 * addresses lie 0x40000000 above.
 */
#define ELF_ENTRY_VIRTUAL  0x40200010ULL
#define ELF_ENTRY_PHYSICAL 0x200010ULL

static inline void make_elf(uint8_t *file, bool wide, uint64_t note_size)
{
    static const struct {
        uint32_t type;
        uint64_t offset, physical, file_size, memory_size;
    } segments[] = {{1, 0x1000, 0x200000, 0x800, 0x1000},
                    {4, 0x1c00, 0, 0, 0},
                    {1, 0x1800, 0x300000, 0x400, 0x400}};
    size_t word = wide ? 8 : 4;

    memset(file, 0, 0x200);
    memcpy(file, "\177ELF", 4);
    file[4] = wide ? 2 : 1;
    file[5] = 1;
    put(file, 18, 2, wide ? 62 : 3);
    put(file, 24, word, ELF_ENTRY_VIRTUAL);
    put(file, wide ? 32 : 28, word, 0x80);
    put(file, wide ? 54 : 42, 2, wide ? 56 : 32);
    put(file, wide ? 56 : 44, 2, 3);
    for (size_t i = 0; i < 3; i++) {
        uint8_t *header = file + 0x80 + i * (wide ? 56 : 32);
        size_t offset = wide ? 8 : 4;
        uint64_t file_size = segments[i].type == 4 ? note_size : segments[i].file_size;
        uint64_t memory_size = segments[i].type == 4 ? note_size : segments[i].memory_size;

        put(header, 0, 4, segments[i].type);
        put(header, offset, word, segments[i].offset);
        put(header, offset + word, word, segments[i].physical + 0x40000000);
        put(header, offset + 2 * word, word, segments[i].physical);
        put(header, offset + 3 * word, word, file_size);
        put(header, offset + 4 * word, word, memory_size);
    }
}

#endif
