/* Two CPUs on one device: memory that changes while it is read, and registers likewise. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/driver.h"
#include "guest-tests/bare/machine.h"
#include "guest-tests/bare/packed.h"

#define SIZE    16
#define ROUNDS  400
#define LONGEST 128 /* bytes of a descriptor that is served */

static volatile unsigned work_done;
static volatile uint32_t torn_value;
static volatile bool torn;

static uint32_t random_state = 12345;

static uint32_t random_number(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

/*
 * Changes the ring at every step. Addresses are of a buffer or of no RAM, also when half of one
 * stands with half of another; so are lengths small or too large.
 */
static void scramble_ring(void)
{
    static const uint16_t flags[] = {D_WRITE, D_WRITE | D_NEXT, D_INDIRECT, 0};

    while (second_cpu_wanted()) {
        struct descriptor *descriptor = &descriptors[random_number() % SIZE];
        uint32_t buffer = random_number() % BUFFERS;

        switch (random_number() % 8) {
        case 0:
            descriptor->gpa = gpa_of(buffers[buffer]);
            break;
        case 1:
            descriptor->gpa = 0xfffffffff0000000 | random_number();
            break;
        case 2:
            descriptor->length = random_number() % LONGEST;
            break;
        case 3:
            descriptor->length = 0xf0000000 | random_number();
            break;
        case 4:
            descriptor->flags = flags[random_number() % ARRAY_SIZE(flags)];
            break;
        case 5:
            descriptor->next = (uint16_t)(random_number() % (SIZE + 1));
            break;
        case 6:
            driver_area[2 + random_number() % SIZE] = (uint16_t)(random_number() % (SIZE + 1));
            break;
        default:
            driver_area[1] = (uint16_t)(driver_area[1] + random_number() % 3);
            break;
        }
        work_done++;
    }
}

static void prepare_all_buffers(void)
{
    for (unsigned i = 0; i < BUFFERS; i++) {
        prepare_buffer(i);
    }
}

/* Whatever a chain turned out to be, it had no other bytes than the first ones of buffers. */
static bool only_beginnings_changed(void)
{
    for (unsigned i = 0; i < BUFFERS; i++) {
        for (uint32_t at = LONGEST; at < BUFFER_SIZE; at++) {
            if (buffers[i][at] != UNTOUCHED) {
                return false;
            }
        }
    }
    return true;
}

static void smp_ring_changes_while_kicked(void)
{
    unsigned resets = 0;

    prepare_all_buffers();
    work_done = 0;
    EXPECT(start_split(device_features() & F_INDIRECT, SIZE));
    EXPECT(second_cpu_run(scramble_ring));
    /* Until a change was caught in the act: the CPUs of an emulator may take long turns. */
    for (unsigned i = 0; i < ROUNDS || (resets == 0 && i < 100 * ROUNDS); i++) {
        driver_area[1] = (uint16_t)(driver_area[1] + 1);
        register_write(REG_NOTIFY, 0);
        if (needs_reset()) {
            resets++;
            (void)start_split(device_features() & F_INDIRECT, SIZE);
        }
    }
    EXPECT(second_cpu_stop());
    EXPECT(work_done > 0);
    EXPECT(resets > 0);
    EXPECT(only_beginnings_changed());
    EXPECT(device_recovers());
}

static void scramble_packed_ring(void)
{
    while (second_cpu_wanted()) {
        struct descriptor *descriptor = &descriptors[random_number() % SIZE];

        switch (random_number() % 4) {
        case 0:
            descriptor->gpa = gpa_of(buffers[random_number() % BUFFERS]);
            break;
        case 1:
            descriptor->length = random_number() % LONGEST;
            break;
        case 2:
            descriptor->gpa = 0xfffffffff0000000 | random_number();
            break;
        default:
            descriptor->next = (uint16_t)((random_number() % 8) |
                                          (random_number() % 2 != 0 ? D_AVAILABLE : D_USED));
            break;
        }
        work_done++;
    }
}

static void smp_packed_ring_changes_while_kicked(void)
{
    uint64_t features = device_features() & F_INDIRECT;
    unsigned resets = 0;

    prepare_all_buffers();
    work_done = 0;
    EXPECT(start_packed(features, SIZE));
    EXPECT(second_cpu_run(scramble_packed_ring));
    for (unsigned i = 0; i < ROUNDS || (resets == 0 && i < 100 * ROUNDS); i++) {
        register_write(REG_NOTIFY, 0);
        if (needs_reset()) {
            resets++;
            (void)start_packed(features, SIZE);
        }
    }
    EXPECT(second_cpu_stop());
    EXPECT(work_done > 0);
    EXPECT(resets > 0);
    EXPECT(only_beginnings_changed());
    EXPECT(device_recovers());
}

/* The words that DeviceFeatures may show while the other CPU changes its selector. */
static uint32_t feature_words[2];

static void watch_registers(void)
{
    while (second_cpu_wanted()) {
        uint32_t features = register_read(REG_DEVICE_FEATURES);
        uint32_t status = register_read(REG_STATUS);
        uint32_t size = register_read(REG_QUEUE_SIZE_MAX);
        uint32_t event = register_read(REG_INTERRUPT_STATUS);

        if (features != feature_words[0] && features != feature_words[1]) {
            torn_value = features;
            torn = true;
        }
        if ((status & ~STATUS_RUNNING) != 0 || (size != 0 && size != QUEUE_SIZE_MAX) ||
            (event & ~EVENT_USED) != 0) {
            torn_value = status << 16 | size << 8 | event;
            torn = true;
        }
        work_done++;
    }
}

static void smp_registers_are_never_torn(void)
{
    uint64_t offered = device_features();

    feature_words[0] = (uint32_t)offered;
    feature_words[1] = (uint32_t)(offered >> 32);
    torn = false;
    work_done = 0;
    EXPECT(second_cpu_run(watch_registers));
    for (unsigned i = 0; i < ROUNDS / 10; i++) {
        register_write(REG_DEVICE_FEATURES_SEL, i % 2);
        register_write(REG_QUEUE_SEL, i % 2);
        EXPECT_EQUAL(register_read(REG_DEVICE_FEATURES), feature_words[i % 2]);
        EXPECT(start_split(0, 8));
        register_write(REG_DEVICE_FEATURES_SEL, 1);
        EXPECT(split_request(16));
        register_write(REG_INTERRUPT_ACK, EVENT_USED);
    }
    EXPECT(second_cpu_stop());
    EXPECT(work_done > 0);
    EXPECT_EQUAL(torn ? torn_value : 0, 0);
    EXPECT(!torn);
}

/* Both CPUs kick at once: no buffer is used twice, none is lost. */
static void kick_all_the_time(void)
{
    while (second_cpu_wanted()) {
        register_write(REG_NOTIFY, 0);
        work_done++;
    }
}

static void smp_both_kick(void)
{
    work_done = 0;
    EXPECT(start_split(0, SIZE));
    EXPECT(second_cpu_run(kick_all_the_time));
    for (unsigned i = 0; i < ROUNDS / 5; i++) {
        EXPECT(split_request(16));
        EXPECT_EQUAL(split_used_idx(), i + 1);
    }
    EXPECT(second_cpu_stop());
    EXPECT(work_done > 0);
    EXPECT(!needs_reset());
}

/* The device is reset under the other CPU's kicks. */
static void smp_reset_while_kicked(void)
{
    work_done = 0;
    EXPECT(second_cpu_run(kick_all_the_time));
    for (unsigned i = 0; i < ROUNDS / 20; i++) {
        EXPECT(device_recovers());
    }
    EXPECT(second_cpu_stop());
    EXPECT(device_recovers());
}

static void idle(void)
{
}

static void smp_fault_in_real_mode(void)
{
    EXPECT(second_cpu_run(idle));
    EXPECT(second_cpu_stop());
    EXPECT(second_cpu_faulted_well());
}

const struct bare_case smp_cases[] = {
    CASE_SMP(smp_fault_in_real_mode),
    CASE_SMP(smp_ring_changes_while_kicked),
    CASE_SMP_WITH(smp_packed_ring_changes_while_kicked, F_PACKED),
    CASE_SMP(smp_registers_are_never_torn),
    CASE_SMP(smp_both_kick),
    CASE_SMP(smp_reset_while_kicked),
    CASE_END,
};
