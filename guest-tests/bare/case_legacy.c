/* The legacy interface: version 1, a queue of one address, no FEATURES_OK. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/driver.h"
#include "guest-tests/bare/machine.h"

#define SIZE      16
#define ALIGNMENT 4096U

/* Descriptors and available ring in one page, the used ring in the next. */
static uint8_t queue[3 * 4096] __attribute__((aligned(4096)));
static uint16_t avail_idx;

void *memset(void *target, int value, size_t size);

static struct descriptor *descriptor_at(unsigned index)
{
    return (struct descriptor *)queue + index;
}

static volatile uint16_t *available(void)
{
    return (volatile uint16_t *)(queue + 16UL * SIZE);
}

static volatile uint16_t *used(void)
{
    return (volatile uint16_t *)(queue + ALIGNMENT);
}

static void start_legacy(uint32_t page_size, uint32_t alignment, uint32_t page, uint32_t size)
{
    register_write(REG_STATUS, 0);
    register_write(REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    register_write(REG_GUEST_PAGE_SIZE, page_size);
    register_write(REG_DRIVER_FEATURES_SEL, 0);
    register_write(REG_DRIVER_FEATURES, 0);
    memset(queue, 0, sizeof(queue));
    avail_idx = 0;
    register_write(REG_QUEUE_SEL, 0);
    register_write(REG_QUEUE_SIZE, size);
    register_write(REG_QUEUE_ALIGN, alignment);
    register_write(REG_QUEUE_PFN, page);
    register_write(REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK);
}

static bool request(void)
{
    uint64_t start = ticks();

    prepare_buffer(0);
    describe(descriptor_at(0), gpa_of(buffers[0]), 64, D_WRITE, 0);
    available()[2 + avail_idx % SIZE] = 0;
    avail_idx++;
    available()[1] = avail_idx;
    register_write(REG_NOTIFY, 0);
    while (used()[1] != avail_idx) {
        if (too_long_since(start)) {
            return false;
        }
    }
    return buffer_filled(0, used()[2 + 4 * ((avail_idx - 1U) % SIZE) + 2]);
}

static void start_well(void)
{
    start_legacy(4096, ALIGNMENT, (uint32_t)(gpa_of(queue) / 4096), SIZE);
}

static void legacy_registers(void)
{
    start_well();
    EXPECT_EQUAL(register_read(REG_MAGIC), 0x74726976);
    EXPECT_EQUAL(register_read(REG_DEVICE_ID), 4);
    EXPECT_EQUAL(register_read(REG_QUEUE_PFN), gpa_of(queue) / 4096);
    EXPECT_EQUAL(register_read(REG_QUEUE_READY), 0);
    EXPECT_EQUAL(register_read(REG_CONFIG_GENERATION), 0);
    EXPECT_EQUAL(device_features() >> 32, 0);
    register_write(REG_STATUS, STATUS_NEGOTIATED);
    EXPECT_EQUAL(register_read(REG_STATUS) & STATUS_FEATURES_OK, 0);
}

static void legacy_requests(void)
{
    start_well();
    for (unsigned i = 0; i < 40; i++) {
        EXPECT(request());
        EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), EVENT_USED);
        register_write(REG_INTERRUPT_ACK, EVENT_USED);
    }
}

static void legacy_queue_taken_away(void)
{
    start_well();
    EXPECT(request());
    register_write(REG_QUEUE_PFN, 0);
    EXPECT_EQUAL(register_read(REG_QUEUE_PFN), 0);
    prepare_buffer(0);
    available()[1] = 2;
    register_write(REG_NOTIFY, 0);
    EXPECT(buffer_untouched(0));
    start_well();
    EXPECT(request());
}

static void legacy_hostile_queues(void)
{
    static const struct {
        uint32_t page_size, alignment, page, size;
    } queues[] = {
        {4096, 4096, 0xd0000, SIZE},     {4096, 4096, UINT32_MAX, SIZE},
        {4096, 3, 0x200, SIZE},          {4096, 0, 0x200, SIZE},
        {0, 4096, 0x200, SIZE},          {0x80000000, 4096, UINT32_MAX, SIZE},
        {4096, 0x80000000, 0x200, SIZE}, {4096, 4096, 0x200, 0},
        {4096, 4096, 0x200, UINT32_MAX},
    };

    for (size_t i = 0; i < ARRAY_SIZE(queues); i++) {
        start_legacy(queues[i].page_size, queues[i].alignment, queues[i].page, queues[i].size);
        register_write(REG_NOTIFY, 0);
        EXPECT(needs_reset());
        start_well();
        EXPECT(request());
    }
}

static void legacy_hostile_chain(void)
{
    start_well();
    prepare_buffer(1);
    describe(descriptor_at(0), gpa_of(buffers[1]), 8, D_WRITE | D_NEXT, 0);
    available()[2] = 0;
    available()[1] = 1;
    register_write(REG_NOTIFY, 0);
    EXPECT(needs_reset());
    EXPECT(buffer_untouched(1));
    start_well();
    EXPECT(request());
}

const struct bare_case legacy_cases[] = {
    CASE_LEGACY(legacy_registers),        CASE_LEGACY(legacy_requests),
    CASE_LEGACY(legacy_queue_taken_away), CASE_LEGACY(legacy_hostile_queues),
    CASE_LEGACY(legacy_hostile_chain),    CASE_END,
};
