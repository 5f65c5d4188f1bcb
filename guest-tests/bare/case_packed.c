/* The packed ring in operation. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/driver.h"
#include "guest-tests/bare/machine.h"
#include "guest-tests/bare/packed.h"

static void packed_one_request(void)
{
    static const uint32_t lengths[] = {1, 2, 7, 64, 255, 1000};

    EXPECT(start_packed(0, 8));
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        EXPECT(packed_request(lengths[i]));
    }
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_RUNNING);
}

/* Any size goes, and the wrap counters change with each lap. */
static void packed_every_size(void)
{
    for (uint16_t size = 1; size <= QUEUE_SIZE_MAX; size = (uint16_t)(size + 1 + size / 8)) {
        EXPECT(start_packed(0, size));
        for (unsigned i = 0; i < 2U * size + 1; i++) {
            EXPECT(packed_request(16));
        }
    }
}

static void packed_list(void)
{
    const struct element elements[] = {{gpa_of(buffers[0]), 8, D_WRITE},
                                       {gpa_of(buffers[1]), 1, D_WRITE},
                                       {gpa_of(buffers[2]), 100, D_WRITE}};
    uint16_t id = 0;
    uint32_t length = 0;

    /* Seven entries: lists of three pass the ring's end at every place. */
    EXPECT(start_packed(0, 7));
    for (uint16_t turn = 0; turn < 8; turn++) {
        for (unsigned i = 0; i < 3; i++) {
            prepare_buffer(i);
        }
        packed_add(turn, elements, 3);
        packed_kick();
        EXPECT(packed_await(3, &id, &length));
        EXPECT_EQUAL(id, turn);
        EXPECT(length > 9 && length <= 109);
        EXPECT(buffer_filled(0, 8));
        EXPECT(buffer_filled(1, 1));
        EXPECT(buffer_filled(2, length - 9));
    }
}

static void packed_many_at_once(void)
{
    EXPECT(start_packed(0, QUEUE_SIZE_MAX));
    for (uint16_t i = 0; i < QUEUE_SIZE_MAX; i++) {
        prepare_buffer(i);
        packed_put(gpa_of(buffers[i]), 32, i, D_WRITE);
    }
    packed_kick();
    for (uint16_t i = 0; i < QUEUE_SIZE_MAX; i++) {
        uint16_t id;
        uint32_t length;

        EXPECT(packed_await(1, &id, &length));
        EXPECT(id < QUEUE_SIZE_MAX);
        EXPECT(buffer_filled(id, length));
    }
}

static void packed_indirect(void)
{
    uint16_t id = 0;
    uint32_t length = 0;

    EXPECT(start_packed(F_INDIRECT, 8));
    for (unsigned i = 0; i < 2; i++) {
        prepare_buffer(i);
    }
    tables[0] = (struct descriptor){gpa_of(buffers[0]), 8, 0xffff, D_WRITE};
    tables[1] = (struct descriptor){gpa_of(buffers[1]), 20, 0xffff, D_WRITE};
    packed_put(gpa_of(tables), 2 * 16, 77, D_INDIRECT);
    packed_kick();
    EXPECT(packed_await(1, &id, &length));
    EXPECT_EQUAL(id, 77);
    EXPECT_EQUAL(length, 28);
    EXPECT(buffer_filled(0, 8));
    EXPECT(buffer_filled(1, 20));
}

static void packed_in_order(void)
{
    EXPECT(start_packed(F_IN_ORDER, 16));
    for (uint16_t i = 0; i < 16; i++) {
        packed_put(gpa_of(buffers[i]), 8, (uint16_t)(1000 - i), D_WRITE);
    }
    packed_kick();
    for (uint16_t i = 0; i < 16; i++) {
        uint16_t id;
        uint32_t length;

        EXPECT(packed_await(1, &id, &length));
        EXPECT_EQUAL(id, 1000 - i);
    }
}

static void packed_notification_data(void)
{
    EXPECT(start_packed(F_NOTIFICATION, 8));
    for (unsigned i = 0; i < 20; i++) {
        EXPECT(packed_request(32));
    }
}

static void packed_events_on_and_off(void)
{
    EXPECT(start_packed(0, 8));
    packed_wish(EVENT_DISABLE, 0, false);
    EXPECT(packed_request(32));
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), 0);
    packed_wish(EVENT_ENABLE, 0, false);
    EXPECT(packed_request(32));
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), EVENT_USED);
}

static void packed_event_at_a_position(void)
{
    EXPECT(start_packed(F_EVENT_IDX, 8));
    for (unsigned i = 0; i < 40; i++) {
        unsigned wanted = i / 5 * 5 + 4; /* of each five the last */

        packed_wish(EVENT_POSITION, (uint16_t)(wanted % 8), wanted / 8 % 2 == 0);
        EXPECT(packed_request(32));
        EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), i == wanted ? EVENT_USED : 0);
        register_write(REG_INTERRUPT_ACK, EVENT_USED);
    }
}

/* The device asks for a kick at the descriptor that it waits for. */
static void packed_device_event(void)
{
    uint16_t flags = 0;

    EXPECT(start_packed(F_EVENT_IDX, 8));
    for (unsigned i = 0; i < 20; i++) {
        EXPECT(packed_request(32));
        EXPECT_EQUAL(packed_device_wish(&flags), packed_position());
        EXPECT_EQUAL(flags, EVENT_POSITION);
    }
}

static void packed_reset_and_suspend(void)
{
    uint16_t id;
    uint32_t length;

    EXPECT(start_packed(F_RING_RESET | F_SUSPEND, 8));
    EXPECT(packed_request(32));
    register_write(REG_STATUS, STATUS_RUNNING | STATUS_SUSPEND);
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_NEGOTIATED | STATUS_SUSPEND);
    packed_put(gpa_of(buffers[0]), 32, 5, D_WRITE);
    packed_kick();
    EXPECT(!packed_has_used());
    register_write(REG_STATUS, STATUS_RUNNING);
    EXPECT(packed_await(1, &id, &length));
    EXPECT_EQUAL(id, 5);
    register_write(REG_QUEUE_RESET, 1);
    EXPECT_EQUAL(register_read(REG_QUEUE_READY), 0);
    packed_put(gpa_of(buffers[0]), 32, 5, D_WRITE);
    packed_kick();
    EXPECT(!packed_has_used());
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_RUNNING);
}

const struct bare_case packed_cases[] = {
    CASE_WITH(packed_one_request, F_PACKED),
    CASE_WITH(packed_every_size, F_PACKED),
    CASE_WITH(packed_list, F_PACKED),
    CASE_WITH(packed_many_at_once, F_PACKED),
    CASE_WITH(packed_indirect, F_PACKED | F_INDIRECT),
    CASE_WITH(packed_in_order, F_PACKED | F_IN_ORDER),
    CASE_WITH(packed_notification_data, F_PACKED | F_NOTIFICATION),
    CASE_WITH(packed_events_on_and_off, F_PACKED),
    CASE_WITH(packed_event_at_a_position, F_PACKED | F_EVENT_IDX),
    CASE_WITH(packed_device_event, F_PACKED | F_EVENT_IDX),
    CASE_WITH(packed_reset_and_suspend, F_PACKED | F_RING_RESET | F_SUSPEND),
    CASE_END,
};
