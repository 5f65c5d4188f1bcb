/* Drivers that break the split ring's rules: the device asks for a reset, and a reset mends it. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/driver.h"
#include "guest-tests/bare/machine.h"

#define SIZE         16
#define BEHIND_RAM   0xb0000000UL /* no guest of these tests has so much */
#define UP_TO_4_GIB  0xfffff000UL
#define WRAPPING     0xfffffffffffff000UL
#define LOCAL_APIC_A 0xfee00000UL

static uint64_t ram_size(void)
{
    return fw_cfg(3, 8);
}

/* The device has had enough, says so, stays so whatever comes, and starts over when reset. */
static void expect_breach(void)
{
    EXPECT(needs_reset());
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS) & EVENT_CONFIG, EVENT_CONFIG);
    EXPECT(buffer_untouched(1));
    kick();
    EXPECT(needs_reset());
    EXPECT(buffer_untouched(1));
    EXPECT(device_recovers());
}

/* A running ring of SIZE entries, and buffer 1 ready for what should not happen. */
static bool start(void)
{
    prepare_buffer(1);
    return start_split(device_features() & (F_INDIRECT | F_EVENT_IDX), SIZE);
}

static void offer_and_expect_breach(uint16_t head)
{
    make_available(head);
    kick();
    expect_breach();
}

static void hostile_loop(void)
{
    EXPECT(start());
    describe(&descriptors[3], gpa_of(buffers[1]), 8, D_WRITE | D_NEXT, 4);
    describe(&descriptors[4], gpa_of(buffers[1]), 8, D_WRITE | D_NEXT, 3);
    offer_and_expect_breach(3);
}

static void hostile_loop_of_one(void)
{
    EXPECT(start());
    describe(&descriptors[3], gpa_of(buffers[1]), 8, D_WRITE | D_NEXT, 3);
    offer_and_expect_breach(3);
}

static void hostile_head_out_of_range(void)
{
    static const uint16_t heads[] = {SIZE, SIZE + 1, 255, 0x8000, 0xffff};

    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        EXPECT(start());
        offer_and_expect_breach(heads[i]);
    }
}

static void hostile_next_out_of_range(void)
{
    static const uint16_t nexts[] = {SIZE, 0x8000, 0xffff};

    for (size_t i = 0; i < ARRAY_SIZE(nexts); i++) {
        EXPECT(start());
        describe(&descriptors[0], gpa_of(buffers[1]), 8, D_WRITE | D_NEXT, nexts[i]);
        offer_and_expect_breach(0);
    }
}

static void hostile_idx_jumps(void)
{
    static const uint16_t jumps[] = {SIZE + 1, 0x7fff, 0x8000, 0xffff /* back by one */};

    for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
        EXPECT(start());
        EXPECT(split_request(8));
        driver_area[1] = (uint16_t)(1 + jumps[i]);
        kick();
        expect_breach();
    }
}

static void hostile_lengths(void)
{
    EXPECT(start());
    describe(&descriptors[0], gpa_of(buffers[1]), 0, D_WRITE, 0);
    offer_and_expect_breach(0);
    EXPECT(start());
    describe(&descriptors[0], gpa_of(buffers[1]), 8, D_WRITE | D_NEXT, 1);
    describe(&descriptors[1], gpa_of(buffers[1]), 0, D_WRITE, 0);
    offer_and_expect_breach(0);
    EXPECT(start());
    describe(&descriptors[0], gpa_of(buffers[1]), UINT32_MAX, D_WRITE, 0);
    offer_and_expect_breach(0);
}

/* Each within RAM, together more than 2^32 bytes. */
static void hostile_sum_of_lengths(void)
{
    uint32_t length = (uint32_t)(ram_size() - 0x100000);

    prepare_buffer(1);
    EXPECT(start_split(0, QUEUE_SIZE_MAX));
    EXPECT((uint64_t)length * QUEUE_SIZE_MAX > 1ULL << 32);
    for (uint16_t i = 0; i < QUEUE_SIZE_MAX; i++) {
        describe(&descriptors[i], 0x100000, length,
                 (uint16_t)(D_WRITE | (i + 1U < QUEUE_SIZE_MAX ? D_NEXT : 0)), (uint16_t)(i + 1));
    }
    offer_and_expect_breach(0);
}

static void hostile_buffer_addresses(void)
{
    const uint64_t addresses[] = {
        VIRTIO_BASE, VIRTIO_BASE + 0x70, LOCAL_APIC_A,   IO_APIC,    BEHIND_RAM,
        UP_TO_4_GIB, ram_size() - 4,     ram_size(),     1ULL << 32, 1ULL << 52,
        1ULL << 63,  WRAPPING,           UINT64_MAX - 3, UINT64_MAX, VIRTIO_BASE - 0x4,
    };

    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        EXPECT(start());
        describe(&descriptors[0], addresses[i], 8, D_WRITE, 0);
        offer_and_expect_breach(0);
    }
    EXPECT_EQUAL(register_read(REG_MAGIC), 0x74726976);
}

static void hostile_readable_buffers(void)
{
    EXPECT(start());
    describe(&descriptors[0], gpa_of(buffers[1]), 8, 0, 0);
    offer_and_expect_breach(0);
    EXPECT(start());
    describe(&descriptors[0], gpa_of(buffers[1]), 8, D_WRITE | D_NEXT, 1);
    describe(&descriptors[1], gpa_of(buffers[1]), 8, 0, 0);
    offer_and_expect_breach(0);
}

static void hostile_tables(void)
{
    static const uint32_t lengths[] = {0, 1, 15, 17, 0xfffffff0, UINT32_MAX};
    static const uint64_t addresses[] = {VIRTIO_BASE, BEHIND_RAM, WRAPPING, UINT64_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        EXPECT(start());
        describe(&descriptors[0], gpa_of(tables), lengths[i], D_INDIRECT, 0);
        offer_and_expect_breach(0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        EXPECT(start());
        describe(&descriptors[0], addresses[i], 16, D_INDIRECT, 0);
        offer_and_expect_breach(0);
    }
}

static void hostile_table_contents(void)
{
    /* A table in a table. */
    EXPECT(start());
    describe(&descriptors[0], gpa_of(tables), 16, D_INDIRECT, 0);
    describe(&tables[0], gpa_of(tables + 1), 16, D_INDIRECT, 0);
    offer_and_expect_breach(0);
    /* A table in itself. */
    EXPECT(start());
    describe(&descriptors[0], gpa_of(tables), 16, D_INDIRECT, 0);
    describe(&tables[0], gpa_of(tables), 16, D_INDIRECT, 0);
    offer_and_expect_breach(0);
    /* A table with a next one. */
    EXPECT(start());
    describe(&descriptors[0], gpa_of(tables), 16, D_INDIRECT | D_NEXT, 1);
    describe(&tables[0], gpa_of(buffers[1]), 8, D_WRITE, 0);
    offer_and_expect_breach(0);
    /* Its entries' next beyond it, and in a loop. */
    EXPECT(start());
    describe(&descriptors[0], gpa_of(tables), 32, D_INDIRECT, 0);
    describe(&tables[0], gpa_of(buffers[1]), 8, D_WRITE | D_NEXT, 2);
    offer_and_expect_breach(0);
    EXPECT(start());
    describe(&descriptors[0], gpa_of(tables), 32, D_INDIRECT, 0);
    describe(&tables[0], gpa_of(buffers[1]), 8, D_WRITE | D_NEXT, 1);
    describe(&tables[1], gpa_of(buffers[1]), 8, D_WRITE | D_NEXT, 0);
    offer_and_expect_breach(0);
}

/* More entries than the queue: allowed to no chain, wherever its descriptors are. */
static void hostile_long_table(void)
{
    EXPECT(start());
    for (uint16_t i = 0; i < SIZE + 1; i++) {
        describe(&tables[i], gpa_of(buffers[1]), 1, (uint16_t)(D_WRITE | (i < SIZE ? D_NEXT : 0)),
                 (uint16_t)(i + 1));
    }
    describe(&descriptors[0], gpa_of(tables), (SIZE + 1) * 16, D_INDIRECT, 0);
    offer_and_expect_breach(0);
}

static void hostile_table_without_the_feature(void)
{
    prepare_buffer(1);
    EXPECT(start_split(0, SIZE));
    describe(&descriptors[0], gpa_of(tables), 16, D_INDIRECT, 0);
    describe(&tables[0], gpa_of(buffers[1]), 8, D_WRITE, 0);
    offer_and_expect_breach(0);
}

/* A queue that is set up so is broken as soon as it is ready, or once it is told to run. */
static void expect_bad_queue(uint32_t size, uint64_t descriptor, uint64_t driver, uint64_t device)
{
    prepare_buffer(1);
    EXPECT(negotiate(F_VERSION_1));
    configure_queue(size, descriptor, driver, device);
    register_write(REG_QUEUE_READY, 1);
    register_write(REG_STATUS, STATUS_RUNNING);
    expect_breach();
}

static void hostile_queue_sizes(void)
{
    static const uint32_t sizes[] = {
        0, 3, 6, 7, 65, QUEUE_SIZE_MAX * 2, 96, 0x8000, 0x10000008, 0x1000000, UINT32_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        expect_bad_queue(sizes[i], gpa_of(descriptors), gpa_of(driver_area), gpa_of(device_area));
    }
}

static void hostile_ring_alignment(void)
{
    expect_bad_queue(SIZE, gpa_of(descriptors) + 8, gpa_of(driver_area), gpa_of(device_area));
    expect_bad_queue(SIZE, gpa_of(descriptors), gpa_of(driver_area) + 1, gpa_of(device_area));
    expect_bad_queue(SIZE, gpa_of(descriptors), gpa_of(driver_area), gpa_of(device_area) + 2);
}

static void hostile_ring_addresses(void)
{
    const uint64_t addresses[] = {VIRTIO_BASE, LOCAL_APIC_A,     IO_APIC,    BEHIND_RAM,
                                  UP_TO_4_GIB, ram_size() - 16,  ram_size(), 1ULL << 32,
                                  1ULL << 60,  WRAPPING + 0xff0, WRAPPING};

    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        expect_bad_queue(SIZE, addresses[i], gpa_of(driver_area), gpa_of(device_area));
        expect_bad_queue(SIZE, gpa_of(descriptors), addresses[i], gpa_of(device_area));
        expect_bad_queue(SIZE, gpa_of(descriptors), gpa_of(driver_area), addresses[i]);
    }
    EXPECT_EQUAL(register_read(REG_MAGIC), 0x74726976);
}

static void hostile_overlapping_rings(void)
{
    uint64_t place = gpa_of(descriptors);

    expect_bad_queue(SIZE, place, place, gpa_of(device_area));
    expect_bad_queue(SIZE, place, gpa_of(driver_area), place + 16UL * SIZE - 4);
    expect_bad_queue(SIZE, place, gpa_of(driver_area), gpa_of(driver_area) + 4);
}

/* A buffer over the rings is the driver's own loss: the device goes on, and a reset mends all. */
static void hostile_buffer_over_the_rings(void)
{
    EXPECT(start_split(0, SIZE));
    describe(&descriptors[0], gpa_of(descriptors), 16 * SIZE, D_WRITE, 0);
    make_available(0);
    kick();
    EXPECT(start_split(0, SIZE));
    describe(&descriptors[0], gpa_of(driver_area), 64, D_WRITE, 0);
    make_available(0);
    kick();
    EXPECT(start_split(0, SIZE));
    describe(&descriptors[0], gpa_of(device_area), 64, D_WRITE, 0);
    make_available(0);
    kick();
    EXPECT(device_recovers());
}

static void hostile_register_noise(void)
{
    uint32_t random = 1;

    for (unsigned i = 0; i < 3000; i++) {
        random = random * 1664525 + 1013904223;
        unsigned size = 1U << (random >> 28 & 3);
        uint32_t offset = (random >> 8 & 0x1ff) & ~(size - 1);

        mmio_write(VIRTIO_BASE + offset, size, random >> (random >> 24 & 7));
    }
    EXPECT(device_recovers());
    EXPECT_EQUAL(register_read(REG_MAGIC), 0x74726976);
}

const struct bare_case hostile_cases[] = {
    CASE(hostile_loop),
    CASE(hostile_loop_of_one),
    CASE(hostile_head_out_of_range),
    CASE(hostile_next_out_of_range),
    CASE(hostile_idx_jumps),
    CASE(hostile_lengths),
    CASE(hostile_sum_of_lengths),
    CASE(hostile_buffer_addresses),
    CASE(hostile_readable_buffers),
    CASE_WITH(hostile_tables, F_INDIRECT),
    CASE_WITH(hostile_table_contents, F_INDIRECT),
    CASE_WITH(hostile_long_table, F_INDIRECT),
    CASE(hostile_table_without_the_feature),
    CASE(hostile_queue_sizes),
    CASE(hostile_ring_alignment),
    CASE(hostile_ring_addresses),
    CASE(hostile_overlapping_rings),
    CASE(hostile_buffer_over_the_rings),
    CASE(hostile_register_noise),
    CASE_END,
};
