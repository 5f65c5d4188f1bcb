/* Tests of the hypervisor's allocator: alignment, zeroing, its end, and its seal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/arena.h"

#define SIZE 8192U

static _Alignas(4096) uint8_t memory[SIZE];
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    memset(memory, 0xa5, sizeof(memory));
    arena = (struct arena){.used = 77, .sealed = true};
    arena_init(&arena, memory, sizeof(memory));
    return 0;
}

static void test_in_order_and_aligned(void **state)
{
    (void)state;
    assert_ptr_equal(arena_allocate(&arena, 3, 1), memory);
    assert_ptr_equal(arena_allocate(&arena, 1, 1), memory + 3);
    assert_ptr_equal(arena_allocate(&arena, 8, 8), memory + 8);
    assert_ptr_equal(arena_allocate(&arena, 1, 4096), memory + 4096);
    assert_int_equal(arena.used, 4097);
}

static void test_alignment_of_an_odd_base(void **state)
{
    (void)state;
    arena_init(&arena, memory + 1, SIZE - 1);
    assert_ptr_equal(arena_allocate(&arena, 16, 64), memory + 64);
    assert_int_equal(arena.used, 79);
}

/* Zeroed are the bytes asked for, and no others. */
static void test_zeroed(void **state)
{
    (void)state;
    assert_ptr_equal(arena_allocate(&arena, 1, 1), memory);
    assert_ptr_equal(arena_allocate(&arena, 64, 16), memory + 16);
    for (size_t i = 1; i < 16; i++) {
        assert_int_equal(memory[i], 0xa5);
    }
    for (size_t i = 16; i < 80; i++) {
        assert_int_equal(memory[i], 0);
    }
    assert_int_equal(memory[80], 0xa5);
}

static void test_exhausted(void **state)
{
    (void)state;
    assert_null(arena_allocate(&arena, SIZE + 1, 1));
    assert_null(arena_allocate(&arena, SIZE_MAX, 1));
    assert_null(arena_allocate(&arena, SIZE_MAX - 7, 4096));
    assert_ptr_equal(arena_allocate(&arena, SIZE - 1, 1), memory);
    assert_null(arena_allocate(&arena, 1, 2)); /* the padding alone takes the last byte */
    assert_int_equal(arena.used, SIZE - 1);
    assert_ptr_equal(arena_allocate(&arena, 1, 1), memory + SIZE - 1);
    assert_null(arena_allocate(&arena, 1, 1));
}

/* A failed allocation takes nothing away from the ones after it. */
static void test_failure_changes_nothing(void **state)
{
    (void)state;
    assert_non_null(arena_allocate(&arena, 4097, 1));
    assert_null(arena_allocate(&arena, 1, 4096));
    assert_ptr_equal(arena_allocate(&arena, 4095, 1), memory + 4097);
}

static void test_sealed(void **state)
{
    (void)state;
    assert_non_null(arena_allocate(&arena, 1, 1));
    arena_seal(&arena);
    assert_null(arena_allocate(&arena, 1, 1));
    assert_int_equal(arena.used, 1);
    assert_int_equal(memory[1], 0xa5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_in_order_and_aligned, set_up),
        cmocka_unit_test_setup(test_alignment_of_an_odd_base, set_up),
        cmocka_unit_test_setup(test_zeroed, set_up),
        cmocka_unit_test_setup(test_exhausted, set_up),
        cmocka_unit_test_setup(test_failure_changes_nothing, set_up),
        cmocka_unit_test_setup(test_sealed, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
