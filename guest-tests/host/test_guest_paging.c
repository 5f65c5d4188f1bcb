/* The walk of the guest's page tables: each paging mode, each page size, and hostile entries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/guest_paging.h"
#include "vmm/guest_memory.h"

#define RAM_SIZE 0x20000U

struct fixture {
    struct guest_memory memory;
    struct guest_paging paging;
    uint8_t *ram;
};

static struct fixture make(uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer)
{
    struct fixture fixture = {.paging = {cr0, cr3, cr4, efer}, .ram = calloc(1, RAM_SIZE)};

    assert_non_null(fixture.ram);
    assert_true(guest_memory_add(&fixture.memory, 0, RAM_SIZE, fixture.ram));
    return fixture;
}

static void put64(struct fixture *fixture, uint64_t table, size_t index, uint64_t entry)
{
    memcpy(fixture->ram + table + 8 * index, &entry, sizeof(entry));
}

static void put32(struct fixture *fixture, uint64_t table, size_t index, uint32_t entry)
{
    memcpy(fixture->ram + table + 4 * index, &entry, sizeof(entry));
}

static void assert_maps(const struct fixture *fixture, uint64_t linear, uint64_t expected)
{
    uint64_t gpa = 0;

    assert_true(guest_translate(&fixture->memory, &fixture->paging, linear, &gpa));
    assert_int_equal(gpa, expected);
}

static void assert_faults(const struct fixture *fixture, uint64_t linear)
{
    uint64_t gpa = 0x1234;

    assert_false(guest_translate(&fixture->memory, &fixture->paging, linear, &gpa));
    assert_int_equal(gpa, 0x1234);
}

static void test_no_paging(void **state)
{
    (void)state;
    struct fixture fixture = make(CR0_PE, 0x1000, CR4_PAE, 0);

    assert_maps(&fixture, 0xfffffff0, 0xfffffff0);
    assert_maps(&fixture, 0x123456789, 0x23456789);
    free(fixture.ram);
}

/* 0xffff800040201abc: indices 256, 1, 1, 1. */
static struct fixture make_four_level(void)
{
    struct fixture fixture = make(CR0_PE | CR0_PG, 0x1018, CR4_PAE, EFER_LME | EFER_LMA);

    put64(&fixture, 0x1000, 256, 0x8000000000002007);
    put64(&fixture, 0x2000, 1, 0x3007);
    put64(&fixture, 0x3000, 1, 0x4007);
    put64(&fixture, 0x4000, 1, 0x8000000000005067);
    return fixture;
}

static void test_four_level(void **state)
{
    (void)state;
    struct fixture fixture = make_four_level();

    assert_maps(&fixture, 0xffff800040201abc, 0x5abc);
    assert_faults(&fixture, 0xffff800040202abc);
    assert_faults(&fixture, 0x0000800040201abc); /* not canonical */
    assert_faults(&fixture, 0x40201abc);
    put64(&fixture, 0x4000, 1, 0x5066);
    assert_faults(&fixture, 0xffff800040201abc);
    put64(&fixture, 0x4000, 1, 0x50e7); /* bit 7 is PAT here, not a page size */
    assert_maps(&fixture, 0xffff800040201abc, 0x5abc);
    put64(&fixture, 0x4000, 1, 0x000ffffffffff001); /* beyond RAM: an MMIO page, perhaps */
    assert_maps(&fixture, 0xffff800040201abc, 0x000ffffffffffabc);
    fixture.paging.cr4 |= CR4_LA57;
    assert_faults(&fixture, 0xffff800040201abc);
    free(fixture.ram);
}

static void test_four_level_large_pages(void **state)
{
    (void)state;
    struct fixture fixture = make_four_level();

    put64(&fixture, 0x3000, 1, 0x12c010e7); /* bit 12 is PAT in a large page */
    assert_maps(&fixture, 0xffff800040201abc, 0x12c01abc);
    put64(&fixture, 0x2000, 1, 0x8000000080000087);
    assert_maps(&fixture, 0xffff800040201abc, 0x80201abc);
    put64(&fixture, 0x1000, 256, 0x2087); /* no 512 GiB pages: still a table */
    assert_maps(&fixture, 0xffff800040201abc, 0x80201abc);
    free(fixture.ram);
}

static void test_pae(void **state)
{
    (void)state;
    struct fixture fixture = make(CR0_PE | CR0_PG, 0xabcd00001020, CR4_PAE, 0);

    put64(&fixture, 0x1020, 3, 0x2081); /* bit 7 is reserved here, no page size */
    put64(&fixture, 0x2000, 511, 0x3001);
    put64(&fixture, 0x3000, 511, 0x123456000 | 1);
    assert_maps(&fixture, 0xfffffffc, 0x123456ffc);
    assert_maps(&fixture, 0x5fffffffc, 0x123456ffc);
    put64(&fixture, 0x2000, 511, 0x200000081);
    assert_maps(&fixture, 0xfffffffc, 0x2001ffffc);
    assert_faults(&fixture, 0x7ffffffc);
    free(fixture.ram);
}

static void test_32_bit(void **state)
{
    (void)state;
    struct fixture fixture = make(CR0_PE | CR0_PG, 0x1fff, 0, 0);

    put32(&fixture, 0x1000, 0x3ff, 0x2081); /* bit 7 is ignored without CR4.PSE */
    put32(&fixture, 0x2000, 0x3fe, 0xfedcb003);
    assert_maps(&fixture, 0xffffe123, 0xfedcb123);
    assert_faults(&fixture, 0xffffd123);
    fixture.paging.cr4 = CR4_PSE;
    put32(&fixture, 0x1000, 0x3ff, 0x12400083);
    assert_maps(&fixture, 0xffffe123, 0x127fe123);
    put32(&fixture, 0x1000, 0x3ff, 0x12400083 | 0x15 << 13);
    assert_maps(&fixture, 0xffffe123, 0x15127fe123);
    free(fixture.ram);
}

static void test_tables_outside_ram(void **state)
{
    (void)state;
    struct fixture fixture = make_four_level();

    put64(&fixture, 0x3000, 1, RAM_SIZE | 1);
    assert_faults(&fixture, 0xffff800040201abc);
    put64(&fixture, 0x3000, 1, 0x000ffffffffff001);
    assert_faults(&fixture, 0xffff800040201abc);
    fixture.paging.cr3 = UINT64_MAX;
    assert_faults(&fixture, 0xffff800040201abc);
    free(fixture.ram);
}

/* An entry that points back to its own table ends after the levels there are. */
static void test_self_map_is_bounded(void **state)
{
    (void)state;
    struct fixture fixture = make_four_level();

    put64(&fixture, 0x1000, 511, 0x1007);
    assert_maps(&fixture, 0xfffffffffffffabc, 0x1abc);
    free(fixture.ram);
}

static void test_fetch_within_and_across_pages(void **state)
{
    (void)state;
    struct fixture fixture = make_four_level();
    uint8_t bytes[16] = {0};

    put64(&fixture, 0x4000, 2, 0x9001);
    memcpy(fixture.ram + 0x5ff8, "abcdefgh", 8);
    memcpy(fixture.ram + 0x9000, "ijklmnop", 8);
    assert_int_equal(guest_fetch(&fixture.memory, &fixture.paging, 0xffff800040201ff8, bytes, 15),
                     15);
    assert_memory_equal(bytes, "abcdefghijklmno\0", 16);
    assert_int_equal(guest_fetch(&fixture.memory, &fixture.paging, 0xffff800040201ff8, bytes, 4),
                     4);
    put64(&fixture, 0x4000, 2, 0);
    assert_int_equal(guest_fetch(&fixture.memory, &fixture.paging, 0xffff800040201ff8, bytes, 15),
                     8);
    put64(&fixture, 0x4000, 2, RAM_SIZE | 1);
    assert_int_equal(guest_fetch(&fixture.memory, &fixture.paging, 0xffff800040201ff8, bytes, 15),
                     8);
    assert_int_equal(guest_fetch(&fixture.memory, &fixture.paging, 0xffff800040203000, bytes, 15),
                     0);
    free(fixture.ram);
}

static void test_fetch_wraps_at_4_gib_outside_long_mode(void **state)
{
    (void)state;
    struct fixture fixture = make(CR0_PE | CR0_PG, 0x1000, 0, 0);
    uint8_t bytes[15];

    put32(&fixture, 0x1000, 0x3ff, 0x2001);
    put32(&fixture, 0x2000, 0x3ff, 0x3001);
    put32(&fixture, 0x1000, 0, 0x4001);
    put32(&fixture, 0x4000, 0, 0x5001);
    memcpy(fixture.ram + 0x3ffe, "xy", 2);
    memcpy(fixture.ram + 0x5000, "z", 1);
    assert_int_equal(guest_fetch(&fixture.memory, &fixture.paging, 0xfffffffe, bytes, 3), 3);
    assert_memory_equal(bytes, "xyz", 3);
    free(fixture.ram);
}

/* A walk that was noted holds until one of the entries it read is another. */
static void test_noted_walk(void **state)
{
    (void)state;
    static const struct {
        uint64_t table;
        size_t index;
    } levels[] = {{0x1000, 256}, {0x2000, 1}, {0x3000, 1}, {0x4000, 1}};
    const uint64_t linear = 0xffff800040201010;
    struct fixture fixture = make_four_level();
    struct guest_walk walk;
    uint64_t gpa;

    assert_true(guest_translate_noted(&fixture.memory, &fixture.paging, linear, &gpa, &walk));
    assert_int_equal(gpa, 0x5010);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t entry;

        memcpy(&entry, fixture.ram + levels[i].table + 8 * levels[i].index, sizeof(entry));
        assert_true(guest_walk_holds(&walk));
        assert_int_equal(walk.values[i], entry);
        put64(&fixture, levels[i].table, levels[i].index, entry ^ 1ULL << 63);
        assert_false(guest_walk_holds(&walk));
        put64(&fixture, levels[i].table, levels[i].index, entry);
    }
    put64(&fixture, 0x4000, 1, 0);
    assert_false(guest_translate_noted(&fixture.memory, &fixture.paging, linear, &gpa, &walk));
    free(fixture.ram);
}

/* Of a large page there are fewer entries, and the others stand for the last of them. */
static void test_noted_walk_of_a_large_page(void **state)
{
    (void)state;
    const uint64_t linear = 0xffff800040201010;
    struct fixture fixture = make_four_level();
    struct guest_walk walk;
    uint64_t gpa;

    put64(&fixture, 0x3000, 1, 0x83);
    assert_true(guest_translate_noted(&fixture.memory, &fixture.paging, linear, &gpa, &walk));
    assert_int_equal(gpa, 0x1010);
    assert_ptr_equal(walk.entries[3], fixture.ram + 0x3008);
    assert_true(guest_walk_holds(&walk));
    put64(&fixture, 0x4000, 1, 0); /* not on the way any more */
    assert_true(guest_walk_holds(&walk));
    put64(&fixture, 0x3000, 1, 0x200083);
    assert_false(guest_walk_holds(&walk));
    free(fixture.ram);
}

/* What has no entries of 64 bits cannot be looked at again. */
static void test_walks_that_are_not_noted(void **state)
{
    (void)state;
    struct fixture fixture = make(CR0_PE, 0x1000, CR4_PAE, 0);
    struct guest_walk walk;
    uint64_t gpa;

    assert_false(guest_translate_noted(&fixture.memory, &fixture.paging, 0x5000, &gpa, &walk));
    fixture.paging = (struct guest_paging){CR0_PE | CR0_PG, 0x1000, CR4_PSE, 0};
    put32(&fixture, 0x1000, 0, 0x83);
    assert_maps(&fixture, 0x5000, 0x5000);
    assert_false(guest_translate_noted(&fixture.memory, &fixture.paging, 0x5000, &gpa, &walk));
    free(fixture.ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_paging),
        cmocka_unit_test(test_four_level),
        cmocka_unit_test(test_four_level_large_pages),
        cmocka_unit_test(test_pae),
        cmocka_unit_test(test_32_bit),
        cmocka_unit_test(test_tables_outside_ram),
        cmocka_unit_test(test_self_map_is_bounded),
        cmocka_unit_test(test_fetch_within_and_across_pages),
        cmocka_unit_test(test_fetch_wraps_at_4_gib_outside_long_mode),
        cmocka_unit_test(test_noted_walk),
        cmocka_unit_test(test_noted_walk_of_a_large_page),
        cmocka_unit_test(test_walks_that_are_not_noted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
