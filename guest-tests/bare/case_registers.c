/* The entropy device's registers: every offset at every width, read and written. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/driver.h"
#include "guest-tests/bare/machine.h"

#define REGISTERS   0x200U /* bytes; the rest of the page is empty */
#define PAGE        0x1000U
#define CONFIG      0x100U
#define WORDS       (REGISTERS / 4)
#define NO_REGION   0xffffffffU
#define VENDOR_SEED 0x64656553U

static void read_words(uint32_t *words)
{
    for (uint32_t i = 0; i < WORDS; i++) {
        words[i] = register_read(4 * i);
    }
}

static uint8_t byte_of(const uint32_t *words, uint32_t offset)
{
    return (uint8_t)(words[offset / 4] >> 8 * (offset % 4));
}

/* Every access, whatever its width and alignment, sees the bytes that the words are made of. */
static void expect_all_reads_agree(void)
{
    uint32_t words[WORDS];

    read_words(words);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (uint32_t offset = 0; offset + size <= REGISTERS; offset++) {
            uint64_t expected = 0;

            for (unsigned i = 0; i < size; i++) {
                expected |= (uint64_t)byte_of(words, offset + i) << 8 * i;
            }
            EXPECT_EQUAL(mmio_read(VIRTIO_BASE + offset, size), expected);
        }
    }
}

static void registers_after_reset(void)
{
    register_write(REG_STATUS, 0);
    for (uint32_t offset = 0; offset < REGISTERS; offset += 4) {
        uint32_t value = register_read(offset);

        switch (offset) {
        case REG_MAGIC:
            EXPECT_EQUAL(value, 0x74726976);
            break;
        case REG_VERSION:
            EXPECT_EQUAL(value, 2);
            break;
        case REG_DEVICE_ID:
            EXPECT_EQUAL(value, 4);
            break;
        case REG_VENDOR:
            EXPECT_EQUAL(value, VENDOR_SEED);
            break;
        case REG_DEVICE_FEATURES:
            EXPECT_EQUAL(value & ~(F_INDIRECT | F_EVENT_IDX), 0);
            break;
        case REG_QUEUE_SIZE_MAX:
            EXPECT_EQUAL(value, QUEUE_SIZE_MAX);
            break;
        case REG_SHM_LENGTH:
        case REG_SHM_LENGTH + 4:
        case REG_SHM_LENGTH + 8:
        case REG_SHM_LENGTH + 12:
            EXPECT_EQUAL(value, NO_REGION);
            break;
        case REG_CONFIG_GENERATION:
            break;
        default:
            EXPECT_EQUAL(value, 0);
            break;
        }
    }
}

static void registers_read_at_every_width(void)
{
    register_write(REG_STATUS, 0);
    expect_all_reads_agree();
    /* And while much in them is not 0. */
    EXPECT(start_split(0, 8));
    EXPECT(split_request(16));
    register_write(REG_DEVICE_FEATURES_SEL, 1);
    EXPECT_EQUAL(register_read(REG_INTERRUPT_STATUS), EVENT_USED);
    expect_all_reads_agree();
}

static void registers_end_with_the_page(void)
{
    for (uint32_t offset = REGISTERS; offset < PAGE; offset += 8) {
        EXPECT_EQUAL(mmio_read(VIRTIO_BASE + offset, 8), 0);
    }
    for (unsigned size = 1; size <= 8; size *= 2) {
        EXPECT_EQUAL(mmio_read(VIRTIO_BASE + PAGE - size, size), 0);
        mmio_write(VIRTIO_BASE + PAGE - size, size, UINT64_MAX);
        EXPECT_EQUAL(mmio_read(VIRTIO_BASE + PAGE - size, size), 0);
    }
    EXPECT_EQUAL(mmio_read(VIRTIO_BASE + PAGE, 4), UINT32_MAX);
}

static void expect_words(const uint32_t *before)
{
    for (uint32_t i = 0; i < WORDS; i++) {
        EXPECT_EQUAL(register_read(4 * i), before[i]);
    }
}

/* 4.2.2.2: aligned words only. Anything else changes nothing, not even a selector. */
static void registers_written_at_other_widths(void)
{
    uint32_t before[WORDS];

    EXPECT(start_split(0, 8));
    register_write(REG_DEVICE_FEATURES_SEL, 1);
    read_words(before);
    for (uint32_t offset = 0; offset < CONFIG; offset++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            if (size != 4 || offset % 4 != 0) {
                mmio_write(VIRTIO_BASE + offset, size, offset % 3 == 0 ? 0 : UINT64_MAX);
            }
        }
        if (offset % 16 == 15) {
            expect_words(before);
        }
    }
    EXPECT(split_request(64));
}

/* Read-only and reserved registers, and the configuration space that this device has not. */
static void registers_that_cannot_be_written(void)
{
    uint32_t before[WORDS];

    EXPECT(start_split(0, 8));
    read_words(before);
    for (uint32_t offset = 0; offset < REGISTERS; offset += 4) {
        bool writable = (offset >= REG_DEVICE_FEATURES_SEL && offset <= REG_QUEUE_SEL &&
                         offset != REG_GUEST_PAGE_SIZE) ||
                        offset == REG_NOTIFY || offset == REG_INTERRUPT_ACK ||
                        offset == REG_STATUS || offset == REG_QUEUE_READY ||
                        offset == REG_QUEUE_RESET;

        if (!writable) {
            register_write(offset, 0);
            register_write(offset, UINT32_MAX);
        }
    }
    for (unsigned size = 1; size <= 8; size *= 2) {
        mmio_write(VIRTIO_BASE + CONFIG, size, UINT64_MAX);
    }
    expect_words(before);
    EXPECT(split_request(64));
}

static void registers_that_cannot_be_read(void)
{
    static const uint32_t write_only[] = {
        REG_DEVICE_FEATURES_SEL, REG_DRIVER_FEATURES, REG_DRIVER_FEATURES_SEL, REG_QUEUE_SEL,
        REG_QUEUE_SIZE,          REG_NOTIFY,          REG_INTERRUPT_ACK,       REG_QUEUE_DESC,
        REG_QUEUE_DESC + 4,      REG_QUEUE_DRIVER,    REG_QUEUE_DRIVER + 4,    REG_QUEUE_DEVICE,
        REG_QUEUE_DEVICE + 4,    REG_QUEUE_PFN,       REG_QUEUE_ALIGN,         REG_GUEST_PAGE_SIZE,
    };

    register_write(REG_STATUS, 0);
    for (size_t i = 0; i < ARRAY_SIZE(write_only); i++) {
        register_write(write_only[i], 0xffff);
        EXPECT_EQUAL(register_read(write_only[i]), 0);
    }
}

/* MOV has forms that leave parts of a register alone or extend what they read. */
static void registers_read_by_other_instructions(void)
{
    uint64_t value = UINT64_MAX;

    __asm__ volatile("movb (%1), %%ah" : "+a"(value) : "r"(VIRTIO_BASE + REG_MAGIC) : "memory");
    EXPECT_EQUAL(value, 0xffffffffffff76ff);
    __asm__ volatile("movzbl (%1), %k0" : "=r"(value) : "r"(VIRTIO_BASE + 1));
    EXPECT_EQUAL(value, 0x69);
    __asm__ volatile("movzwl (%1), %k0" : "=r"(value) : "r"(VIRTIO_BASE + 2));
    EXPECT_EQUAL(value, 0x7472);
    __asm__ volatile("movsbq (%1), %0" : "=r"(value) : "r"(VIRTIO_BASE + REG_SHM_LENGTH));
    EXPECT_EQUAL(value, UINT64_MAX);
    __asm__ volatile("movswl (%1), %k0" : "=r"(value) : "r"(VIRTIO_BASE + REG_SHM_LENGTH));
    EXPECT_EQUAL(value, UINT32_MAX);
    __asm__ volatile("movslq (%1), %0" : "=r"(value) : "r"(VIRTIO_BASE + REG_SHM_LENGTH));
    EXPECT_EQUAL(value, UINT64_MAX);
    __asm__ volatile("movl $1, (%0)" : : "r"(VIRTIO_BASE + REG_STATUS) : "memory");
    EXPECT_EQUAL(register_read(REG_STATUS), STATUS_ACKNOWLEDGE);
}

static void registers_of_other_queues(void)
{
    register_write(REG_STATUS, 0);
    for (uint32_t bit = 0; bit < 32; bit++) {
        register_write(REG_QUEUE_SEL, 1U << bit);
        EXPECT_EQUAL(register_read(REG_QUEUE_SIZE_MAX), 0);
        register_write(REG_QUEUE_SIZE, 8);
        register_write(REG_QUEUE_READY, 1);
        EXPECT_EQUAL(register_read(REG_QUEUE_READY), 0);
        register_write(REG_NOTIFY, 1U << bit);
    }
    register_write(REG_QUEUE_SEL, 0);
    EXPECT_EQUAL(register_read(REG_QUEUE_SIZE_MAX), QUEUE_SIZE_MAX);
    EXPECT_EQUAL(register_read(REG_STATUS), 0);
}

const struct bare_case register_cases[] = {
    CASE(registers_after_reset),
    CASE(registers_read_at_every_width),
    CASE(registers_end_with_the_page),
    CASE(registers_written_at_other_widths),
    CASE(registers_that_cannot_be_written),
    CASE(registers_that_cannot_be_read),
    CASE(registers_read_by_other_instructions),
    CASE(registers_of_other_queues),
    CASE_END,
};
