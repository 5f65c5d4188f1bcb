/* The split ring in operation: every shape of request, and who is told of what. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/driver.h"
#include "guest-tests/bare/machine.h"

#define NO_INTERRUPT 1

static void split_one_request(void)
{
    static const uint32_t lengths[] = {1, 2, 7, 64, 255, 1000};

    EXPECT(start_split(0, 8));
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        EXPECT(split_request(lengths[i]));
    }
    EXPECT_EQUAL(split_used_idx(), ARRAY_SIZE(lengths));
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_RUNNING);
}

static void split_bytes_differ(void)
{
    uint8_t first[64];
    unsigned same = 0;

    EXPECT(start_split(0, 8));
    EXPECT(split_request(64));
    for (size_t i = 0; i < sizeof(first); i++) {
        first[i] = buffers[0][i];
    }
    EXPECT(split_request(64));
    for (size_t i = 0; i < sizeof(first); i++) {
        same += first[i] == buffers[0][i];
    }
    EXPECT(same < 8);
}

/* idx passes 65,535 only after a long time; the ring's end is passed often. */
static void split_every_size(void)
{
    for (uint16_t size = 1; size <= QUEUE_SIZE_MAX; size = (uint16_t)(size * 2)) {
        EXPECT(start_split(0, size));
        for (unsigned i = 0; i < 2U * size + 1; i++) {
            EXPECT(split_request(16));
        }
    }
}

/* A chain over three buffers, filled in order and in whole or in part. */
static void split_chain(void)
{
    uint32_t id = 0;
    uint32_t length = 0;

    EXPECT(start_split(0, 8));
    for (unsigned i = 0; i < 3; i++) {
        prepare_buffer(i);
    }
    describe(&descriptors[5], gpa_of(buffers[0]), 8, D_WRITE | D_NEXT, 2);
    describe(&descriptors[2], gpa_of(buffers[1]), 1, D_WRITE | D_NEXT, 7);
    describe(&descriptors[7], gpa_of(buffers[2]), 100, D_WRITE, 3);
    make_available(5);
    kick();
    EXPECT(await_used(&id, &length));
    EXPECT_EQUAL(id, 5);
    EXPECT(length > 9 && length <= 109);
    EXPECT(buffer_filled(0, 8));
    EXPECT(buffer_filled(1, 1));
    EXPECT(buffer_filled(2, length - 9));
}

static void split_longest_chain(void)
{
    uint32_t id = 0;
    uint32_t length = 0;

    EXPECT(start_split(0, QUEUE_SIZE_MAX));
    for (uint16_t i = 0; i < QUEUE_SIZE_MAX; i++) {
        describe(&descriptors[i], gpa_of(buffers[i]), 1,
                 (uint16_t)(D_WRITE | (i + 1U < QUEUE_SIZE_MAX ? D_NEXT : 0)), (uint16_t)(i + 1));
    }
    make_available(0);
    kick();
    EXPECT(await_used(&id, &length));
    EXPECT_EQUAL(length, QUEUE_SIZE_MAX);
}

static void split_many_at_once(void)
{
    uint64_t seen = 0;

    EXPECT(start_split(0, QUEUE_SIZE_MAX));
    for (uint16_t i = 0; i < QUEUE_SIZE_MAX; i++) {
        prepare_buffer(i);
        describe(&descriptors[i], gpa_of(buffers[i]), 32, D_WRITE, 0);
        make_available(i);
    }
    kick();
    for (unsigned i = 0; i < QUEUE_SIZE_MAX; i++) {
        uint32_t id, length;

        EXPECT(await_used(&id, &length));
        EXPECT(id < QUEUE_SIZE_MAX && (seen >> id & 1) == 0);
        EXPECT(buffer_filled(id, length));
        seen |= 1ULL << id;
    }
}

static void split_indirect(void)
{
    uint32_t id, length;

    EXPECT(start_split(F_INDIRECT, 8));
    for (unsigned i = 0; i < 3; i++) {
        prepare_buffer(i);
    }
    /* One direct descriptor first, then a table; the pointer's write flag means nothing. */
    describe(&descriptors[1], gpa_of(buffers[0]), 4, D_WRITE | D_NEXT, 2);
    describe(&descriptors[2], gpa_of(tables), 3 * 16, D_INDIRECT, 0);
    describe(&tables[0], gpa_of(buffers[1]), 8, D_WRITE | D_NEXT, 2);
    describe(&tables[1], 0, 0, 0, 0); /* not part of it */
    describe(&tables[2], gpa_of(buffers[2]), 20, D_WRITE, 0);
    make_available(1);
    kick();
    EXPECT(await_used(&id, &length));
    EXPECT_EQUAL(id, 1);
    EXPECT_EQUAL(length, 32);
    EXPECT(buffer_filled(0, 4));
    EXPECT(buffer_filled(1, 8));
    EXPECT(buffer_filled(2, 20));
    describe(&descriptors[1], gpa_of(tables), 3 * 16, D_INDIRECT | D_WRITE, 0);
    make_available(1);
    kick();
    EXPECT(await_used(&id, &length));
    EXPECT_EQUAL(length, 28);
}

static void split_in_order(void)
{
    EXPECT(start_split(F_IN_ORDER, 16));
    for (uint16_t i = 0; i < 16; i++) {
        describe(&descriptors[i], gpa_of(buffers[i]), 8, D_WRITE, 0);
        make_available(i);
    }
    kick();
    for (uint16_t i = 0; i < 16; i++) {
        uint32_t id, length;

        EXPECT(await_used(&id, &length));
        EXPECT_EQUAL(id, i);
    }
}

/* The kick's upper half says how far the ring is filled; the device must not take it for a queue.
 */
static void split_notification_data(void)
{
    EXPECT(start_split(F_NOTIFICATION, 8));
    for (unsigned i = 0; i < 20; i++) {
        EXPECT(split_request(32));
    }
    /* Without the feature the same word names a queue that is not there. */
    EXPECT(start_split(0, 8));
    prepare_buffer(0);
    describe(&descriptors[0], gpa_of(buffers[0]), 8, D_WRITE, 0);
    make_available(0);
    register_write(REG_NOTIFY, 1U << 16);
    EXPECT(buffer_untouched(0));
    kick();
    uint32_t id, length;

    EXPECT(await_used(&id, &length));
}

static void split_no_interrupt_flag(void)
{
    EXPECT(start_split(0, 8));
    driver_area[0] = NO_INTERRUPT;
    EXPECT(split_request(32));
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), 0);
    driver_area[0] = 0;
    EXPECT(split_request(32));
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), EVENT_USED);
    EXPECT_EQUAL(device_area[0], 0);
}

static void split_used_event(void)
{
    EXPECT(start_split(F_EVENT_IDX, 8));
    driver_area[0] = NO_INTERRUPT; /* means nothing with this feature */
    for (uint16_t i = 0; i < 20; i++) {
        set_used_event((uint16_t)(i / 5 * 5 + 4)); /* of each five the last */
        EXPECT(split_request(32));
        EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), i % 5 == 4 ? EVENT_USED : 0);
        register_write(REG_INTERRUPT_ACK, EVENT_USED);
    }
    EXPECT_EQUAL(device_area[0], 0);
}

/* The device asks for a kick at the buffer that it waits for. */
static void split_avail_event(void)
{
    EXPECT(start_split(F_EVENT_IDX, 8));
    for (uint16_t i = 0; i < 20; i++) {
        EXPECT(split_request(32));
        EXPECT_EQUAL(avail_event(), split_avail_idx());
    }
}

static void split_interrupt_acknowledged(void)
{
    EXPECT(start_split(0, 8));
    EXPECT(split_request(32));
    register_write(REG_INTERRUPT_ACK, 0);
    register_write(REG_INTERRUPT_ACK, EVENT_CONFIG);
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), EVENT_USED);
    register_write(REG_INTERRUPT_ACK, EVENT_USED);
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), 0);
}

const struct bare_case split_cases[] = {
    CASE(split_one_request),
    CASE(split_bytes_differ),
    CASE(split_every_size),
    CASE(split_chain),
    CASE(split_longest_chain),
    CASE(split_many_at_once),
    CASE_WITH(split_indirect, F_INDIRECT),
    CASE_WITH(split_in_order, F_IN_ORDER),
    CASE_WITH(split_notification_data, F_NOTIFICATION),
    CASE(split_no_interrupt_flag),
    CASE_WITH(split_used_event, F_EVENT_IDX),
    CASE_WITH(split_avail_event, F_EVENT_IDX),
    CASE(split_interrupt_acknowledged),
    CASE_END,
};
