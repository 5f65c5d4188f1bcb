/* Status and features: what the device takes from a driver, in which order, and what it refuses. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/driver.h"
#include "guest-tests/bare/machine.h"

static void status_only_grows(void)
{
    register_write(REG_STATUS, 0);
    EXPECT_EQUAL(register_read(REG_STATUS), 0);
    register_write(REG_STATUS, STATUS_ACKNOWLEDGE);
    register_write(REG_STATUS, STATUS_DRIVER);
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    /* What is not defined, or not the driver's to set, does not stick. */
    register_write(REG_STATUS, 0xffffff00 | STATUS_NEEDS_RESET | 32 | STATUS_ACKNOWLEDGE);
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    register_write(REG_STATUS, STATUS_FAILED);
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FAILED);
    register_write(REG_STATUS, 0);
    EXPECT_EQUAL(register_read(REG_STATUS), 0);
}

static void status_in_order(void)
{
    register_write(REG_STATUS, 0);
    register_write(REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK);
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_ACKNOWLEDGE | STATUS_DRIVER);
}

static void features_by_word(void)
{
    uint64_t offered = device_features();

    EXPECT_EQUAL(offered >> 32 & 1, 1);
    for (uint32_t i = 2; i < 40; i++) {
        register_write(REG_DEVICE_FEATURES_SEL, i);
        EXPECT_EQUAL(register_read(REG_DEVICE_FEATURES), 0);
    }
    register_write(REG_DEVICE_FEATURES_SEL, UINT32_MAX);
    EXPECT_EQUAL(register_read(REG_DEVICE_FEATURES), 0);
    register_write(REG_DEVICE_FEATURES_SEL, 1);
    EXPECT_EQUAL(register_read(REG_DEVICE_FEATURES), offered >> 32);
}

/* Every subset of what is offered that has VERSION_1. */
static void features_taken(void)
{
    uint64_t optional = device_features() & ~F_VERSION_1;
    uint64_t subset = optional;

    for (;;) {
        EXPECT(negotiate(subset | F_VERSION_1));
        if (subset == 0) {
            return;
        }
        subset = (subset - 1) & optional;
    }
}

static void features_refused(void)
{
    uint64_t offered = device_features();

    EXPECT(!negotiate(offered & ~F_VERSION_1));
    for (unsigned bit = 0; bit < 64; bit++) {
        if ((offered >> bit & 1) == 0) {
            EXPECT(!negotiate(F_VERSION_1 | 1ULL << bit));
            EXPECT_EQUAL(register_read(REG_STATUS), STATUS_ACKNOWLEDGE | STATUS_DRIVER);
        }
    }
    /* A bit above 63. */
    register_write(REG_STATUS, 0);
    register_write(REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    register_write(REG_DRIVER_FEATURES_SEL, 1);
    register_write(REG_DRIVER_FEATURES, 1);
    register_write(REG_DRIVER_FEATURES_SEL, 2);
    register_write(REG_DRIVER_FEATURES, 1);
    register_write(REG_STATUS, STATUS_NEGOTIATED);
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    EXPECT(negotiate(F_VERSION_1));
}

/* After FEATURES_OK they are settled: INDIRECT, asked for too late, is not there. */
static void features_settled(void)
{
    EXPECT(negotiate(F_VERSION_1));
    register_write(REG_DRIVER_FEATURES_SEL, 0);
    register_write(REG_DRIVER_FEATURES, (uint32_t)F_INDIRECT);
    set_up_split(8);
    register_write(REG_STATUS, STATUS_RUNNING);
    EXPECT(split_request(64));
    describe(&tables[0], gpa_of(buffers[1]), 64, D_WRITE, 0);
    describe(&descriptors[1], gpa_of(tables), 16, D_INDIRECT, 0);
    make_available(1);
    kick();
    EXPECT(needs_reset());
}

static void kick_before_driver_ok(void)
{
    uint32_t id, length;

    EXPECT(negotiate(F_VERSION_1));
    set_up_split(8);
    prepare_buffer(0);
    describe(&descriptors[0], gpa_of(buffers[0]), 64, D_WRITE, 0);
    make_available(0);
    kick();
    EXPECT_EQUAL(split_used_idx(), 0);
    EXPECT(buffer_untouched(0));
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), 0);
    /* What was announced too early is found as soon as it may be. */
    register_write(REG_STATUS, STATUS_RUNNING);
    EXPECT(await_used(&id, &length));
    EXPECT(buffer_filled(0, length));
}

static void kick_after_failed(void)
{
    EXPECT(start_split(0, 8));
    register_write(REG_STATUS, STATUS_RUNNING | STATUS_FAILED);
    prepare_buffer(0);
    describe(&descriptors[0], gpa_of(buffers[0]), 64, D_WRITE, 0);
    make_available(0);
    kick();
    EXPECT_EQUAL(split_used_idx(), 0);
    EXPECT(buffer_untouched(0));
    EXPECT(device_recovers());
}

static void kick_without_queue(void)
{
    EXPECT(negotiate(F_VERSION_1));
    register_write(REG_STATUS, STATUS_RUNNING);
    kick();
    register_write(REG_NOTIFY, 1);
    register_write(REG_NOTIFY, UINT32_MAX);
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_RUNNING);
    EXPECT(device_recovers());
}

static void kick_for_nothing(void)
{
    EXPECT(start_split(0, 8));
    for (unsigned i = 0; i < 100; i++) {
        kick();
    }
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_RUNNING);
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), 0);
    EXPECT(split_request(64));
}

static void reset_forgets_all(void)
{
    EXPECT(start_split(device_features() & ~F_PACKED, 8));
    EXPECT(split_request(64));
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), EVENT_USED);
    EXPECT_EQUAL(register_read(REG_QUEUE_READY), 1);
    register_write(REG_STATUS, 0);
    EXPECT_EQUAL(register_read(REG_STATUS), 0);
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), 0);
    EXPECT_EQUAL(register_read(REG_QUEUE_READY), 0);
    /* Nothing happens in the old ring any more. */
    prepare_buffer(0);
    make_available(0);
    kick();
    EXPECT_EQUAL(split_used_idx(), 1);
    EXPECT(buffer_untouched(0));
    EXPECT(device_recovers());
}

/* What a ready queue has is not changed under it. */
static void queue_settled(void)
{
    EXPECT(start_split(0, 8));
    configure_queue(0, 1, 1, 1);
    EXPECT(split_request(64));
    EXPECT(split_request(64));
    /* Not ready, it may be: QueueReady counts only as 0 or 1. */
    register_write(REG_QUEUE_READY, 2);
    EXPECT_EQUAL(register_read(REG_QUEUE_READY), 1);
    register_write(REG_QUEUE_READY, 0);
    EXPECT_EQUAL(register_read(REG_QUEUE_READY), 0);
    kick();
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_RUNNING);
    set_up_split(16);
    EXPECT(split_request(64));
}

static void queue_reset(void)
{
    EXPECT(start_split(F_RING_RESET, 8));
    EXPECT(split_request(64));
    register_write(REG_QUEUE_RESET, 1);
    EXPECT_EQUAL(register_read(REG_QUEUE_RESET), 0);
    EXPECT_EQUAL(register_read(REG_QUEUE_READY), 0);
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_RUNNING);
    prepare_buffer(0);
    make_available(0);
    kick();
    EXPECT(buffer_untouched(0));
    set_up_split(32);
    EXPECT(split_request(64));
}

static void queue_reset_without_the_feature(void)
{
    EXPECT(start_split(0, 8));
    register_write(REG_QUEUE_RESET, 1);
    EXPECT_EQUAL(register_read(REG_QUEUE_READY), 1);
    EXPECT(split_request(64));
}

static void suspend_and_resume(void)
{
    uint32_t id, length;

    EXPECT(start_split(F_SUSPEND, 8));
    EXPECT(split_request(64));
    register_write(REG_STATUS, STATUS_RUNNING | STATUS_SUSPEND);
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_NEGOTIATED | STATUS_SUSPEND);
    prepare_buffer(1);
    describe(&descriptors[1], gpa_of(buffers[1]), 64, D_WRITE, 0);
    make_available(1);
    kick();
    EXPECT_EQUAL(split_used_idx(), 1);
    EXPECT(buffer_untouched(1));
    register_write(REG_STATUS, STATUS_RUNNING);
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_RUNNING);
    EXPECT(await_used(&id, &length));
    EXPECT_EQUAL(id, 1);
    EXPECT(buffer_filled(1, length));
}

static void suspend_without_the_feature(void)
{
    EXPECT(start_split(0, 8));
    register_write(REG_STATUS, STATUS_RUNNING | STATUS_SUSPEND);
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_RUNNING);
    EXPECT(split_request(64));
}

const struct bare_case feature_cases[] = {
    CASE(status_only_grows),
    CASE(status_in_order),
    CASE(features_by_word),
    CASE(features_taken),
    CASE(features_refused),
    CASE(features_settled),
    CASE(kick_before_driver_ok),
    CASE(kick_after_failed),
    CASE(kick_without_queue),
    CASE(kick_for_nothing),
    CASE(reset_forgets_all),
    CASE(queue_settled),
    CASE_WITH(queue_reset, F_RING_RESET),
    CASE(queue_reset_without_the_feature),
    CASE_WITH(suspend_and_resume, F_SUSPEND),
    CASE(suspend_without_the_feature),
    CASE_END,
};
