/* Tests of the bus: which device answers where, and that no access leaves its range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vmm/bus.h"

/* The last access a device saw. */
struct device {
    uint64_t offset;
    uint64_t value;
    unsigned size;
    unsigned reads;
    unsigned writes;
};

static uint64_t device_read(void *context, uint64_t offset, unsigned size)
{
    struct device *device = context;

    device->offset = offset;
    device->size = size;
    device->reads++;
    return 0x1122334455667788;
}

static void device_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct device *device = context;

    device->offset = offset;
    device->size = size;
    device->value = value;
    device->writes++;
}

static const struct bus_operations operations = {.read = device_read, .write = device_write};

static void test_add(void **state)
{
    struct bus bus = {0};
    struct device device = {0};

    (void)state;
    assert_false(bus_add(&bus, 0x1000, 0, &operations, &device));
    assert_false(bus_add(&bus, UINT64_MAX, 2, &operations, &device));
    assert_false(bus_add(&bus, 2, UINT64_MAX, &operations, &device));
    assert_true(bus_add(&bus, 0x1000, 0x200, &operations, &device));
    assert_false(bus_add(&bus, 0x1000, 0x200, &operations, &device));
    assert_false(bus_add(&bus, 0x11ff, 1, &operations, &device));
    assert_false(bus_add(&bus, 0xfff, 2, &operations, &device));
    assert_false(bus_add(&bus, 0, 0x10000, &operations, &device));
    assert_true(bus_add(&bus, 0x1200, 1, &operations, &device));
    assert_true(bus_add(&bus, 0xfff, 1, &operations, &device));
    assert_int_equal(bus.count, 3);
    for (uint64_t i = 3; i < BUS_RANGES; i++) {
        assert_true(bus_add(&bus, 0x10000 * i, 1, &operations, &device));
    }
    assert_false(bus_add(&bus, 0x1000000, 1, &operations, &device));
    assert_int_equal(bus.count, BUS_RANGES);
}

static void test_dispatch(void **state)
{
    struct bus bus = {0};
    struct device first = {0};
    struct device second = {0};
    uint64_t value = 0;

    (void)state;
    assert_true(bus_add(&bus, 0xd0000000, 0x200, &operations, &first));
    assert_true(bus_add(&bus, 0xd0000200, 0x200, &operations, &second));
    assert_true(bus_read(&bus, 0xd0000000, 4, &value));
    assert_true(value == 0x1122334455667788);
    assert_true(first.offset == 0);
    assert_int_equal(first.size, 4);
    assert_true(bus_read(&bus, 0xd00001ff, 1, &value));
    assert_true(first.offset == 0x1ff);
    assert_int_equal(second.reads, 0);
    assert_true(bus_write(&bus, 0xd0000200, 8, 0xaabbccddeeff0011));
    assert_true(second.offset == 0);
    assert_int_equal(second.size, 8);
    assert_true(second.value == 0xaabbccddeeff0011);
    assert_int_equal(first.reads, 2);
    assert_int_equal(first.writes, 0);
    assert_int_equal(second.writes, 1);
}

/* Nobody's addresses, and accesses that run over an edge, even into a neighbour. */
static void test_unclaimed(void **state)
{
    struct bus bus = {0};
    struct device first = {0};
    struct device second = {0};
    uint64_t value = 0x5a;
    const struct {
        uint64_t address;
        unsigned size;
    } unclaimed[] = {{0, 1},      {0xfff, 1},  {0xfff, 2},  {0x11fd, 4},     {0x11ff, 2},
                     {0x13ff, 2}, {0x1400, 1}, {0x13f9, 8}, {UINT64_MAX, 1}, {UINT64_MAX - 3, 8}};

    (void)state;
    assert_true(bus_add(&bus, 0x1000, 0x200, &operations, &first));
    assert_true(bus_add(&bus, 0x1200, 0x200, &operations, &second));
    for (unsigned i = 0; i < sizeof(unclaimed) / sizeof(unclaimed[0]); i++) {
        assert_false(bus_read(&bus, unclaimed[i].address, unclaimed[i].size, &value));
        assert_false(bus_write(&bus, unclaimed[i].address, unclaimed[i].size, 1));
    }
    assert_true(value == 0x5a);
    assert_int_equal(first.reads + first.writes + second.reads + second.writes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_dispatch),
        cmocka_unit_test(test_unclaimed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
