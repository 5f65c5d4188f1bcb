/* Drivers that break the packed ring's rules. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/driver.h"
#include "guest-tests/bare/machine.h"
#include "guest-tests/bare/packed.h"

#define SIZE       7
#define BEHIND_RAM 0xb0000000UL

static bool start(void)
{
    prepare_buffer(1);
    return start_packed(device_features() & (F_INDIRECT | F_EVENT_IDX), SIZE);
}

static void expect_breach(void)
{
    packed_kick();
    EXPECT(needs_reset());
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS) & EVENT_CONFIG, EVENT_CONFIG);
    EXPECT(buffer_untouched(1));
    packed_kick();
    EXPECT(buffer_untouched(1));
    EXPECT(device_recovers());
}

/* A list that says it goes on at every descriptor of the ring. */
static void hostile_packed_endless_list(void)
{
    EXPECT(start());
    for (uint16_t i = 0; i < SIZE; i++) {
        packed_put(gpa_of(buffers[1]), 1, i, D_WRITE | D_NEXT);
    }
    expect_breach();
}

static void hostile_packed_list_cut_off(void)
{
    EXPECT(start());
    packed_put(gpa_of(buffers[1]), 1, 1, D_WRITE | D_NEXT);
    packed_put(gpa_of(buffers[1]), 1, 1, D_WRITE | D_NEXT);
    expect_breach();
}

static void hostile_packed_addresses(void)
{
    const uint64_t addresses[] = {VIRTIO_BASE, BEHIND_RAM,     fw_cfg(3, 8) - 4,
                                  1ULL << 32,  UINT64_MAX - 3, UINT64_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        EXPECT(start());
        packed_put(addresses[i], 8, 1, D_WRITE);
        expect_breach();
    }
}

static void hostile_packed_lengths(void)
{
    EXPECT(start());
    packed_put(gpa_of(buffers[1]), 0, 1, D_WRITE);
    expect_breach();
    EXPECT(start());
    packed_put(gpa_of(buffers[1]), UINT32_MAX, 1, D_WRITE);
    expect_breach();
}

static void hostile_packed_readable_buffers(void)
{
    const struct element mixed[] = {{gpa_of(buffers[1]), 8, D_WRITE}, {gpa_of(buffers[1]), 8, 0}};

    EXPECT(start());
    packed_put(gpa_of(buffers[1]), 8, 1, 0);
    expect_breach();
    EXPECT(start());
    packed_add(1, mixed, 2);
    expect_breach();
}

static void hostile_packed_tables(void)
{
    static const uint32_t lengths[] = {0, 8, 17, 0xfffffff0};

    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        EXPECT(start());
        packed_put(gpa_of(tables), lengths[i], 1, D_INDIRECT);
        expect_breach();
    }
    EXPECT(start());
    packed_put(VIRTIO_BASE, 16, 1, D_INDIRECT);
    expect_breach();
    /* In a list, and longer than the queue. */
    const struct element list[] = {{gpa_of(buffers[1]), 8, D_WRITE},
                                   {gpa_of(tables), 16, D_INDIRECT}};

    EXPECT(start());
    packed_add(1, list, 2);
    expect_breach();
    EXPECT(start());
    for (uint16_t i = 0; i < SIZE + 1; i++) {
        tables[i] = (struct descriptor){gpa_of(buffers[1]), 1, 0, D_WRITE};
    }
    packed_put(gpa_of(tables), (SIZE + 1) * 16, 1, D_INDIRECT);
    expect_breach();
}

static void expect_bad_queue(uint32_t size, uint64_t descriptor, uint64_t driver, uint64_t device)
{
    prepare_buffer(1);
    EXPECT(negotiate(F_VERSION_1 | F_PACKED));
    configure_queue(size, descriptor, driver, device);
    register_write(REG_QUEUE_READY, 1);
    register_write(REG_STATUS, STATUS_RUNNING);
    EXPECT(needs_reset());
    EXPECT(device_recovers());
}

static void hostile_packed_queues(void)
{
    uint64_t ring = gpa_of(descriptors);
    uint64_t driver = gpa_of(driver_area);
    uint64_t device = gpa_of(device_area);

    expect_bad_queue(0, ring, driver, device);
    expect_bad_queue(QUEUE_SIZE_MAX + 1, ring, driver, device);
    expect_bad_queue(UINT32_MAX, ring, driver, device);
    expect_bad_queue(SIZE, ring + 8, driver, device);
    expect_bad_queue(SIZE, ring, driver + 2, device);
    expect_bad_queue(SIZE, ring, driver, device + 2);
    expect_bad_queue(SIZE, VIRTIO_BASE, driver, device);
    expect_bad_queue(SIZE, ring, VIRTIO_BASE, device);
    expect_bad_queue(SIZE, ring, driver, VIRTIO_BASE);
    expect_bad_queue(SIZE, ring, ring, device);
    expect_bad_queue(SIZE, ring, driver, driver);
    expect_bad_queue(SIZE, UINT64_MAX - 15, driver, device);
}

/* Values that are not defined in the driver's wish: the driver hears rather too much. */
static void hostile_packed_wishes(void)
{
    EXPECT(start_packed(F_EVENT_IDX, SIZE));
    packed_wish(3, 0, false);
    EXPECT(packed_request(16));
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), EVENT_USED);
    register_write(REG_INTERRUPT_ACK, EVENT_USED);
    packed_wish(EVENT_POSITION, SIZE, true);
    EXPECT(packed_request(16));
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), EVENT_USED);
    EXPECT(device_recovers());
}

const struct bare_case hostile_packed_cases[] = {
    CASE_WITH(hostile_packed_endless_list, F_PACKED),
    CASE_WITH(hostile_packed_list_cut_off, F_PACKED),
    CASE_WITH(hostile_packed_addresses, F_PACKED),
    CASE_WITH(hostile_packed_lengths, F_PACKED),
    CASE_WITH(hostile_packed_readable_buffers, F_PACKED),
    CASE_WITH(hostile_packed_tables, F_PACKED | F_INDIRECT),
    CASE_WITH(hostile_packed_queues, F_PACKED),
    CASE_WITH(hostile_packed_wishes, F_PACKED | F_EVENT_IDX),
    CASE_END,
};
