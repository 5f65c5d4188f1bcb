/* Tests of the page table builder: page sizes, what it refuses, and what the walk finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/page_table.h"

#define PAGES 32U

/* Spelt like EPT: present if any of three bits, tables with all three. */
static const struct page_table_format with_1g = {
    .present = 7, .table = 7, .largest_page = PAGE_SIZE_1G};
static const struct page_table_format without_1g = {
    .present = 7, .table = 7, .largest_page = PAGE_SIZE_2M};
static const struct page_table_format small_only = {
    .present = 7, .table = 7, .largest_page = PAGE_SIZE};
/* Spelt like the host's own: bit 0, and tables writable. */
static const struct page_table_format host_format = {
    .present = 1, .table = 3, .largest_page = PAGE_SIZE_1G};

static _Alignas(4096) uint8_t memory[PAGES * 4096];
static struct arena arena;
static struct page_table table;

static void make(const struct page_table_format *format, unsigned pages)
{
    memset(memory, 0xa5, sizeof(memory));
    arena_init(&arena, memory, pages * PAGE_SIZE);
    assert_true(page_table_init(&table, format, &arena));
}

static void assert_maps(uint64_t address, uint64_t entry, uint64_t size)
{
    uint64_t found_size = 0;

    assert_int_equal(page_table_lookup(&table, address, &found_size), entry);
    assert_int_equal(found_size, size);
}

static void assert_unmapped(uint64_t address)
{
    uint64_t size = 0x77;

    assert_int_equal(page_table_lookup(&table, address, &size), 0);
    assert_int_equal(size, 0x77);
}

static bool map(uint64_t from, uint64_t to, uint64_t size)
{
    return page_table_map(&table, from, to, size, 3, &arena);
}

static void test_empty(void **state)
{
    (void)state;
    make(&with_1g, PAGES);
    assert_unmapped(0);
    assert_unmapped(0x123456789000);
    assert_true(map(0x1000, 0x2000, 0));
    assert_unmapped(0x1000);
    assert_int_equal(arena.used, PAGE_SIZE);
}

static void test_small_page(void **state)
{
    (void)state;
    make(&with_1g, PAGES);
    assert_true(map(0x7fffffffe000, 0x5000, 0x1000));
    assert_maps(0x7fffffffe000, 0x5003, PAGE_SIZE);
    assert_maps(0x7fffffffefff, 0x5003, PAGE_SIZE);
    assert_unmapped(0x7fffffffd000);
    assert_unmapped(0x7ffffffff000);
    assert_int_equal(arena.used, 4 * PAGE_SIZE);
    /* Root entry 255, and its table: the format's flags and the table's address. */
    assert_int_equal(table.root[255], (uintptr_t)memory + PAGE_SIZE + 7);
}

/* [2 MiB - 4 KiB, 2 GiB + 2 MiB + 8 KiB): each size where it first fits. */
static void test_mixed_sizes(void **state)
{
    (void)state;
    make(&with_1g, PAGES);
    assert_true(map(0x1ff000, 0x401ff000, 0x80003000));
    assert_maps(0x1ff000, 0x401ff003, PAGE_SIZE);
    assert_maps(0x200000, 0x40200083, PAGE_SIZE_2M);
    assert_maps(0x3fe00000, 0x7fe00083, PAGE_SIZE_2M);
    assert_maps(0x40000000, 0x80000083, PAGE_SIZE_1G);
    assert_maps(0x7fffffff, 0x80000083, PAGE_SIZE_1G);
    assert_maps(0x80000000, 0xc0000083, PAGE_SIZE_2M);
    assert_maps(0x80201000, 0xc0201003, PAGE_SIZE);
    assert_unmapped(0x80202000);
    assert_unmapped(0x1fe000);
}

static void test_without_gigabyte_pages(void **state)
{
    (void)state;
    make(&without_1g, PAGES);
    assert_true(map(0, 0, PAGE_SIZE_1G));
    assert_maps(0, 0x83, PAGE_SIZE_2M);
    assert_maps(0x3fffffff, 0x3fe00083, PAGE_SIZE_2M);
    assert_unmapped(PAGE_SIZE_1G);
    assert_int_equal(arena.used, 3 * PAGE_SIZE);
}

/* Nothing but 4 KiB, each page in its place, and one table for each 2 MiB. */
static void test_small_pages_only(void **state)
{
    (void)state;
    make(&small_only, PAGES);
    assert_true(map(0x40000000, 0x80000000, 4 * PAGE_SIZE_2M + 2 * PAGE_SIZE));
    for (uint64_t at = 0; at < 4 * PAGE_SIZE_2M + 2 * PAGE_SIZE; at += PAGE_SIZE) {
        assert_maps(0x40000000 + at, (0x80000000 + at) | 3, PAGE_SIZE);
    }
    assert_unmapped(0x3ffff000);
    assert_unmapped(0x40802000);
    assert_int_equal(arena.used, (3 + 5) * PAGE_SIZE);
}

/* A mapping ends where it should in the middle of a table, and leaves the rest alone. */
static void test_within_a_table(void **state)
{
    (void)state;
    make(&with_1g, PAGES);
    assert_true(map(0x3000, 0x1000, 0x2000));
    assert_true(map(0x40400000, 0x200000, 2 * PAGE_SIZE_2M));
    assert_unmapped(0x2000);
    assert_maps(0x3000, 0x1003, PAGE_SIZE);
    assert_maps(0x4000, 0x2003, PAGE_SIZE);
    assert_unmapped(0x5000);
    assert_unmapped(0x40200000);
    assert_maps(0x40400000, 0x200083, PAGE_SIZE_2M);
    assert_maps(0x40600000, 0x400083, PAGE_SIZE_2M);
    assert_unmapped(0x40800000);
    /* The last entry of a table, and the first of the next. */
    assert_true(map(0x1ff000, 0x9000, 0x2000));
    assert_maps(0x1ff000, 0x9003, PAGE_SIZE);
    assert_maps(0x200000, 0xa003, PAGE_SIZE);
    assert_unmapped(0x201000);
}

/* Large pages need both addresses aligned. */
static void test_target_alignment(void **state)
{
    (void)state;
    make(&with_1g, PAGES);
    assert_true(map(PAGE_SIZE_1G, 0x200000, PAGE_SIZE_1G));
    assert_maps(PAGE_SIZE_1G, 0x200083, PAGE_SIZE_2M);
    assert_true(map(0x200000, 0x1000, PAGE_SIZE_2M));
    assert_maps(0x200000, 0x1003, PAGE_SIZE);
    assert_maps(0x3ff000, 0x200003, PAGE_SIZE);
}

static void test_remap(void **state)
{
    (void)state;
    make(&with_1g, PAGES);
    assert_true(map(0, 0, 0x400000));
    assert_true(map(0x200000, 0x600000, PAGE_SIZE_2M));
    assert_maps(0, 0x83, PAGE_SIZE_2M);
    assert_maps(0x200000, 0x600083, PAGE_SIZE_2M);
    assert_true(map(0x40001000, 0x1000, 0x1000));
    assert_true(page_table_map(&table, 0x40001000, 0x9000, 0x1000, 1, &arena));
    assert_maps(0x40001000, 0x9001, PAGE_SIZE);
}

/* A part of a large page is refused, and the page stays whole. */
static void test_refuses_to_split(void **state)
{
    (void)state;
    make(&with_1g, PAGES);
    assert_true(map(0, 0, PAGE_SIZE_1G));
    assert_true(map(PAGE_SIZE_1G, 0, PAGE_SIZE_2M));
    assert_false(map(0x1000, 0x8000, 0x1000));
    assert_false(map(0x200000, 0, PAGE_SIZE_2M));
    assert_false(map(PAGE_SIZE_1G + 0x1000, 0x8000, 0x1000));
    assert_maps(0x1000, 0x83, PAGE_SIZE_1G);
    assert_maps(0x200000, 0x83, PAGE_SIZE_1G);
    assert_maps(PAGE_SIZE_1G + 0x1000, 0x83, PAGE_SIZE_2M);
}

/* A large range over a place that is mapped finely already: filled in, nothing is lost. */
static void test_fills_finer_tables(void **state)
{
    (void)state;
    make(&with_1g, PAGES);
    assert_true(map(0x201000, 0x201000, 0x1000));
    assert_true(page_table_map(&table, 0, 0x80000000, PAGE_SIZE_1G, 1, &arena));
    assert_maps(0, 0x80000081, PAGE_SIZE_2M);
    assert_maps(0x200000, 0x80200001, PAGE_SIZE);
    assert_maps(0x201000, 0x80201001, PAGE_SIZE);
    assert_maps(0x3ff000, 0x803ff001, PAGE_SIZE);
    assert_maps(0x400000, 0x80400081, PAGE_SIZE_2M);
    assert_maps(0x3fe00000, 0xbfe00081, PAGE_SIZE_2M);
    assert_int_equal(arena.used, 4 * PAGE_SIZE);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    make(&with_1g, PAGES);
    assert_false(map(0x800, 0, 0x1000));
    assert_false(map(0, 0x800, 0x1000));
    assert_false(map(0, 0, 0x800));
    assert_false(map(PAGE_TABLE_SPAN, 0, 0x1000));
    assert_false(map(PAGE_TABLE_SPAN - 0x1000, 0, 0x2000));
    assert_false(map(0x1000, 0, UINT64_MAX & ~0xfffULL));
    assert_false(map(UINT64_MAX & ~0xfffULL, 0, 0x1000));
    assert_int_equal(arena.used, PAGE_SIZE);
    assert_true(map(PAGE_TABLE_SPAN - 0x1000, 0, 0x1000));
    assert_maps(PAGE_TABLE_SPAN - 1, 3, PAGE_SIZE);
}

/* Four levels know 48 bits: an address above them is no alias of one below. */
static void test_lookup_beyond_the_span(void **state)
{
    (void)state;
    make(&with_1g, PAGES);
    assert_true(map(0x1000, 0x1000, 0x1000));
    assert_maps(0x1000, 0x1003, PAGE_SIZE);
    assert_unmapped(PAGE_TABLE_SPAN + 0x1000);
    assert_unmapped(0xffff000000001000);
}

static void test_exhausted(void **state)
{
    (void)state;
    arena_init(&arena, memory, PAGE_SIZE - 1);
    assert_false(page_table_init(&table, &with_1g, &arena));
    for (unsigned pages = 1; pages < 4; pages++) {
        make(&with_1g, pages);
        assert_false(map(0x1000, 0x1000, 0x1000));
        assert_unmapped(0x1000);
    }
    make(&with_1g, 4);
    assert_true(map(0x1000, 0x1000, 0x1000));
    /* Its tables are there already, those of the next 2 MiB are not. */
    assert_true(map(0x2000, 0x2000, 0x1000));
    assert_false(map(0x201000, 0x201000, 0x1000));
    arena_init(&arena, memory, PAGES * PAGE_SIZE);
    arena_seal(&arena);
    assert_false(page_table_init(&table, &with_1g, &arena));
}

/* What "present" is belongs to the format: an entry with other bits only is absent. */
static void test_formats(void **state)
{
    (void)state;
    make(&with_1g, PAGES);
    assert_true(page_table_map(&table, 0x1000, 0x5000, 0x1000, 4, &arena)); /* execute only */
    assert_maps(0x1000, 0x5004, PAGE_SIZE);
    assert_true(page_table_map(&table, 0x1000, 0x5000, 0x1000, 0x30, &arena));
    assert_unmapped(0x1000);
    make(&host_format, PAGES);
    assert_true(page_table_map(&table, 0x1000, 0x5000, 0x1000, 1ULL << 63 | 3, &arena));
    assert_maps(0x1000, 0x8000000000005003, PAGE_SIZE);
    assert_true(page_table_map(&table, 0x1000, 0x5000, 0x1000, 2, &arena));
    assert_unmapped(0x1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_small_page),
        cmocka_unit_test(test_mixed_sizes),
        cmocka_unit_test(test_without_gigabyte_pages),
        cmocka_unit_test(test_small_pages_only),
        cmocka_unit_test(test_within_a_table),
        cmocka_unit_test(test_target_alignment),
        cmocka_unit_test(test_remap),
        cmocka_unit_test(test_refuses_to_split),
        cmocka_unit_test(test_fills_finer_tables),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_lookup_beyond_the_span),
        cmocka_unit_test(test_exhausted),
        cmocka_unit_test(test_formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
