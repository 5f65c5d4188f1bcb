/* Tests of the guest memory accessor: every border, overflow and straddling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/guest_memory.h"

#define LOW       0x1000ULL
#define LOW_SIZE  0x2000ULL
#define HIGH      0x100000000ULL
#define HIGH_SIZE 0x1000ULL

struct fixture {
    struct guest_memory memory;
    uint8_t *low;
    uint8_t *high;
};

/* Heap blocks of the exact sizes: the address sanitizer sees a byte too far. */
static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    fixture->low = calloc(1, LOW_SIZE);
    fixture->high = calloc(1, HIGH_SIZE);
    assert_true(guest_memory_add(&fixture->memory, LOW, LOW_SIZE, fixture->low));
    assert_true(guest_memory_add(&fixture->memory, HIGH, HIGH_SIZE, fixture->high));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    free(fixture->low);
    free(fixture->high);
    free(fixture);
    return 0;
}

static void test_add(void **state)
{
    struct fixture *fixture = *state;
    struct guest_memory memory = {0};
    uint8_t *hva = fixture->low;

    assert_true(guest_memory_size(&memory) == 0);
    assert_false(guest_memory_add(&memory, 0, 0, hva));
    assert_false(guest_memory_add(&memory, UINT64_MAX - 7, 16, hva));
    assert_false(guest_memory_add(&memory, 8, UINT64_MAX, hva));
    assert_false(guest_memory_add(&memory, 0, 0x1000, hva + 1));
    assert_false(guest_memory_add(&memory, 4, 0x1000, hva));
    assert_true(guest_memory_add(&memory, 0x1000, 0x1000, hva));
    assert_false(guest_memory_add(&memory, 0x1000, 0x1000, hva));
    assert_false(guest_memory_add(&memory, 0x1ff8, 0x10, hva));
    assert_false(guest_memory_add(&memory, 0x0ff8, 0x10, hva));
    assert_false(guest_memory_add(&memory, 0, 0x10000, hva));
    assert_false(guest_memory_add(&memory, 0x1800, 8, hva));
    assert_true(guest_memory_size(&memory) == 0x1000);
    assert_true(guest_memory_add(&memory, 0x2000, 0x1000, hva + 0x1000));
    assert_true(guest_memory_size(&memory) == 0x2000);
    assert_false(guest_memory_add(&memory, 0x4000, 0x1000, hva));
}

static void test_range(void **state)
{
    struct fixture *fixture = *state;
    const struct guest_memory *memory = &fixture->memory;

    assert_ptr_equal(guest_memory_range(memory, LOW, LOW_SIZE), fixture->low);
    assert_ptr_equal(guest_memory_range(memory, LOW + 5, 1), fixture->low + 5);
    assert_ptr_equal(guest_memory_range(memory, LOW + LOW_SIZE - 1, 1),
                     fixture->low + LOW_SIZE - 1);
    assert_ptr_equal(guest_memory_range(memory, HIGH, HIGH_SIZE), fixture->high);
    const struct {
        uint64_t gpa, length;
    } bad[] = {
        {0, 1},
        {LOW - 1, 1},
        {LOW - 1, 2},
        {LOW, LOW_SIZE + 1},
        {LOW + LOW_SIZE - 1, 2},
        {LOW + LOW_SIZE, 1},
        {LOW + LOW_SIZE, 0},
        {LOW, UINT64_MAX},
        {LOW + 1, UINT64_MAX},
        {LOW + 1, UINT64_MAX - LOW},
        {LOW, HIGH + HIGH_SIZE - LOW},
        {HIGH - 1, 2},
        {HIGH + HIGH_SIZE, 1},
        {UINT64_MAX, 1},
        {UINT64_MAX, 2},
        {UINT64_MAX, UINT64_MAX},
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(guest_memory_range(memory, bad[i].gpa, bad[i].length));
    }
}

/* Neighbouring regions need not be neighbours for the hypervisor, so nothing spans two. */
static void test_no_straddling(void **state)
{
    struct fixture *fixture = *state;
    struct guest_memory memory = {0};
    uint8_t buffer[2] = {1, 2};

    assert_true(guest_memory_add(&memory, 0x1000, 0x1000, fixture->low));
    assert_true(guest_memory_add(&memory, 0x2000, 0x1000, fixture->high));
    assert_null(guest_memory_range(&memory, 0x1fff, 2));
    assert_false(guest_memory_write(&memory, 0x1fff, buffer, 2));
    assert_int_equal(fixture->low[0xfff], 0);
    assert_int_equal(fixture->high[0], 0);
}

static void test_copies(void **state)
{
    struct fixture *fixture = *state;
    const struct guest_memory *memory = &fixture->memory;
    uint8_t buffer[16];

    for (uint8_t i = 0; i < 16; i++) {
        buffer[i] = i + 1;
    }
    assert_true(guest_memory_write(memory, LOW + LOW_SIZE - 16, buffer, 16));
    assert_memory_equal(fixture->low + LOW_SIZE - 16, buffer, 16);
    assert_false(guest_memory_write(memory, LOW + LOW_SIZE - 15, buffer, 16));
    assert_int_equal(fixture->low[LOW_SIZE - 15], 2);
    memset(buffer, 0xee, sizeof(buffer));
    assert_false(guest_memory_read(memory, LOW + LOW_SIZE - 15, buffer, 16));
    assert_int_equal(buffer[0], 0xee);
    assert_true(guest_memory_read(memory, LOW + LOW_SIZE - 4, buffer, 3));
    assert_int_equal(buffer[0], 13);
    assert_int_equal(buffer[2], 15);
    assert_int_equal(buffer[3], 0xee);
}

static void test_fields(void **state)
{
    struct fixture *fixture = *state;
    const struct guest_memory *memory = &fixture->memory;
    uint32_t value32 = 0;
    uint64_t value64 = 0;

    for (uint8_t i = 0; i < 8; i++) {
        fixture->high[i] = 0x10 + i;
    }
    assert_true(guest_memory_load32(memory, HIGH + 4, &value32));
    assert_int_equal(value32, 0x17161514);
    assert_true(guest_memory_load64(memory, HIGH, &value64));
    assert_true(value64 == 0x1716151413121110);
}

/* What a range was given out for is then accessed without another check, and nothing beside it. */
static void test_fields_of_a_range(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *field = fixture->low + LOW_SIZE - 24;
    uint64_t pair[2] = {0};

    for (uint8_t i = 0; i < 24; i++) {
        field[i] = 0x10 + i;
    }
    assert_int_equal(guest_load16(field + 2), 0x1312);
    assert_int_equal(guest_load32(field + 4), 0x17161514);
    assert_true(guest_load64(field) == 0x1716151413121110);
    guest_load_pair(field + 3, pair);
    assert_true(pair[0] == 0x1a19181716151413);
    assert_true(pair[1] == 0x2221201f1e1d1c1b);
    guest_store16(field + 22, 0xaabb);
    assert_memory_equal(field + 20, "\x24\x25\xbb\xaa", 4);
    guest_store32(field + 16, 0x01020304);
    assert_memory_equal(field + 15, "\x1f\4\3\2\1\x24", 6);
}

static void test_field_errors(void **state)
{
    struct fixture *fixture = *state;
    const struct guest_memory *memory = &fixture->memory;
    const uint64_t outside[] = {0,        LOW - 8,          LOW + LOW_SIZE,
                                HIGH - 8, HIGH + HIGH_SIZE, UINT64_MAX - 7};
    uint32_t value32 = 32;
    uint64_t value64 = 64;

    for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        assert_false(guest_memory_load32(memory, outside[i], &value32));
        assert_false(guest_memory_load64(memory, outside[i], &value64));
    }
    assert_int_equal(value32, 32);
    for (uint64_t offset = 1; offset < 8; offset++) {
        assert_int_equal(guest_memory_load32(memory, LOW + offset, &value32), offset % 4 == 0);
        assert_false(guest_memory_load64(memory, LOW + offset, &value64));
    }
    assert_true(value64 == 64);
}

static void test_wipe(void **state)
{
    struct fixture *fixture = *state;
    const struct guest_memory *memory = &fixture->memory;

    memset(fixture->low, 0xff, LOW_SIZE);
    memset(fixture->high, 0xff, HIGH_SIZE);
    /* A piece across the two regions: all of it, and nothing beside it. */
    assert_int_equal(guest_memory_wipe(memory, LOW_SIZE - 3, 5), 5);
    assert_int_equal(fixture->low[LOW_SIZE - 4], 0xff);
    assert_int_equal(fixture->low[LOW_SIZE - 3] | fixture->high[1], 0);
    assert_int_equal(fixture->high[2], 0xff);
    assert_int_equal(guest_memory_wipe(memory, LOW_SIZE + HIGH_SIZE, 1), 0);
    assert_int_equal(guest_memory_wipe(memory, LOW_SIZE + HIGH_SIZE - 1, 7), 1);
    assert_int_equal(guest_memory_wipe(memory, 0, UINT64_MAX), guest_memory_size(memory));
    for (unsigned i = 0; i < LOW_SIZE; i++) {
        assert_int_equal(fixture->low[i], 0);
    }
    for (unsigned i = 0; i < HIGH_SIZE; i++) {
        assert_int_equal(fixture->high[i], 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_add),          TEST(test_range),  TEST(test_no_straddling),
        TEST(test_copies),       TEST(test_fields), TEST(test_fields_of_a_range),
        TEST(test_field_errors), TEST(test_wipe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
