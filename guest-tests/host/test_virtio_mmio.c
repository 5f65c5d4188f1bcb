/* Tests of the virtio-mmio transport: each register's behaviour and the device's life cycle. */
#include "guest-tests/host/virtio_driver.h"
#include "virtio/mmio.h"

#define F_RING_RESET (1ULL << 40)
#define F_SUSPEND    (1ULL << 43)
#define OFFERED      (F_VERSION_1 | F_INDIRECT | F_EVENT_IDX)
#define QUEUES       2

/* A device with two queues and eight bytes of configuration that remembers what it was told. */
struct probe {
    struct driver driver;
    struct virtio_mmio mmio;
    struct virtqueue queues[QUEUES];
    unsigned notified[QUEUES];
    unsigned stopped[QUEUES];
    unsigned resets;
    unsigned writes;
    uint8_t config[8];
    uint32_t *page;
};

static void probe_notified(void *device, unsigned index)
{
    struct probe *probe = device;

    probe->notified[index]++;
}

static void probe_stopped(void *device, unsigned index)
{
    struct probe *probe = device;

    probe->stopped[index]++;
}

static void probe_reset(void *device)
{
    struct probe *probe = device;

    probe->resets++;
    probe->config[7]++; /* which the register page must show */
}

static uint32_t probe_config_read(void *device, uint32_t offset)
{
    struct probe *probe = device;
    uint32_t value = 0;

    assert_int_equal(offset % 4, 0);
    assert_true(offset < 0x100);
    if (offset + 4 <= sizeof(probe->config)) {
        memcpy(&value, probe->config + offset, 4);
    }
    return value;
}

static void probe_config_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct probe *probe = device;

    probe->writes++;
    if (offset + size <= sizeof(probe->config)) {
        memcpy(probe->config + offset, &value, size);
    }
}

static const struct virtio_device_operations probe_operations = {
    .queue_notified = probe_notified,
    .queue_stopped = probe_stopped,
    .reset = probe_reset,
    .config_read = probe_config_read,
    .config_write = probe_config_write,
};

static const struct virtio_device_operations bare_operations = {
    .queue_notified = probe_notified,
    .queue_stopped = probe_stopped,
    .reset = probe_reset,
};

static int set_up(void **state)
{
    struct probe *probe = calloc(1, sizeof(*probe));

    driver_init(&probe->driver);
    probe->page = calloc(1, VIRTIO_MMIO_PAGE_SIZE);
    assert_non_null(probe->page);
    for (unsigned i = 0; i < QUEUES; i++) {
        virtqueue_init(&probe->queues[i], &probe->driver.memory, i == 0 ? 64 : 8);
    }
    const struct virtio_mmio_setup setup = {
        .device_id = 4,
        .features = OFFERED,
        .operations = &probe_operations,
        .device = probe,
        .queues = probe->queues,
        .queue_count = QUEUES,
        .irq = probe->driver.irq,
        .page = probe->page,
    };

    virtio_mmio_init(&probe->mmio, &setup);
    probe->driver.page = probe->page;
    assert_true(bus_add(&probe->driver.bus, REGISTERS, VIRTIO_MMIO_PAGE_SIZE,
                        &virtio_mmio_bus_operations, &probe->mmio));
    *state = probe;
    return 0;
}

static int tear_down(void **state)
{
    struct probe *probe = *state;

    driver_free(&probe->driver);
    free(probe->page);
    free(probe);
    return 0;
}

/* MM-1, MM-2, RB-3. */
static void test_identification(void **state)
{
    struct driver *driver = &((struct probe *)*state)->driver;

    assert_int_equal(reg(driver, 0x000), 0x74726976);
    assert_int_equal(reg(driver, 0x004), 2);
    assert_int_equal(reg(driver, 0x008), 4);
    assert_int_equal(reg(driver, 0x00c), 0x64656553);
    assert_int_equal(reg(driver, 0x070), 0);
    assert_int_equal(reg(driver, 0x060), 0);
}

/* RB-1, FB-1, FB-4, RF-1, RF-5, RB-13: exactly the three features, in words 0 and 1. */
static void test_device_features(void **state)
{
    struct driver *driver = &((struct probe *)*state)->driver;

    assert_int_equal(reg(driver, 0x010), 0x30000000);
    set_reg(driver, 0x014, 1);
    assert_int_equal(reg(driver, 0x010), 1);
    for (uint32_t sel = 2; sel < 8; sel++) {
        set_reg(driver, 0x014, sel);
        assert_int_equal(reg(driver, 0x010), 0);
    }
    set_reg(driver, 0x014, UINT32_MAX);
    assert_int_equal(reg(driver, 0x010), 0);
    set_reg(driver, 0x014, 0);
    assert_int_equal(reg(driver, 0x010), 0x30000000);
}

/* FB-2: every subset that holds VERSION_1. FB-5: again and again. */
static void test_valid_subsets(void **state)
{
    struct driver *driver = &((struct probe *)*state)->driver;
    const uint64_t subsets[] = {F_VERSION_1, F_VERSION_1 | F_INDIRECT, F_VERSION_1 | F_EVENT_IDX,
                                OFFERED};

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(negotiate(driver, subsets[i]), 11);
        }
    }
}

/* FB-3: an unoffered bit or no VERSION_1, and FEATURES_OK stays clear; DRIVER_OK has to as well. */
static void test_refused_features(void **state)
{
    struct driver *driver = &((struct probe *)*state)->driver;
    const uint64_t refused[] = {0,
                                F_INDIRECT,
                                F_VERSION_1 | 1,
                                F_VERSION_1 | 1ULL << 33,
                                F_VERSION_1 | 1ULL << 34,
                                F_VERSION_1 | 1ULL << 37,
                                F_VERSION_1 | 1ULL << 40,
                                F_VERSION_1 | 1ULL << 63};

    for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(negotiate(driver, refused[i]), 3);
        set_reg(driver, 0x070, 1 | 2 | 4 | 8);
        assert_int_equal(reg(driver, 0x070), 3);
    }
    assert_int_equal(negotiate(driver, OFFERED), 11);
}

/* RB-2: words from 2 on hold nothing we offer, so any bit there is refused, and zeros are fine. */
static void test_feature_words_beyond(void **state)
{
    struct driver *driver = &((struct probe *)*state)->driver;

    set_reg(driver, 0x070, 1 | 2);
    set_reg(driver, 0x024, 1);
    set_reg(driver, 0x020, 1);
    set_reg(driver, 0x024, 2);
    set_reg(driver, 0x020, 0);
    set_reg(driver, 0x070, 1 | 2 | 8);
    assert_int_equal(reg(driver, 0x070), 11);

    set_reg(driver, 0x070, 0);
    set_reg(driver, 0x070, 1 | 2);
    set_reg(driver, 0x024, 1);
    set_reg(driver, 0x020, 1);
    set_reg(driver, 0x024, UINT32_MAX);
    set_reg(driver, 0x020, 1);
    set_reg(driver, 0x070, 1 | 2 | 8);
    assert_int_equal(reg(driver, 0x070), 3);
}

/* A breach: features written after FEATURES_OK change nothing. */
static void test_features_frozen(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    assert_int_equal(negotiate(driver, F_VERSION_1), 11);
    set_reg(driver, 0x024, 0);
    set_reg(driver, 0x020, 0xffffffff);
    set_up_queue(driver, 8);
    set_reg(driver, 0x070, 15);
    assert_int_equal(reg(driver, 0x070), 15);
    assert_true(probe->queues[0].features == F_VERSION_1);
}

/* A queue made ready before FEATURES_OK works by the features that come after. */
static void test_queue_before_features(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    set_reg(driver, 0x070, 1 | 2);
    set_up_queue(driver, 8);
    assert_true(probe->queues[0].features == 0);
    set_reg(driver, 0x024, 1);
    set_reg(driver, 0x020, 1);
    set_reg(driver, 0x024, 0);
    set_reg(driver, 0x020, (uint32_t)F_EVENT_IDX);
    set_reg(driver, 0x070, 1 | 2 | 8);
    assert_true(probe->queues[0].features == (F_VERSION_1 | F_EVENT_IDX));
}

/* RB-9 and the breach "status bits cleared": bits add up, and only the driver's own ones. */
static void test_status_bits(void **state)
{
    struct driver *driver = &((struct probe *)*state)->driver;

    set_reg(driver, 0x070, 1);
    assert_int_equal(reg(driver, 0x070), 1);
    set_reg(driver, 0x070, 2);
    assert_int_equal(reg(driver, 0x070), 3);
    set_reg(driver, 0x070, 16 | 32 | 64 | 0xffffff00);
    assert_int_equal(reg(driver, 0x070), 3);
    set_reg(driver, 0x070, 128);
    assert_int_equal(reg(driver, 0x070), 131);
    set_reg(driver, 0x070, 0);
    assert_int_equal(reg(driver, 0x070), 0);
}

/* RB-4, and queues that do not exist: nothing to see, nothing to change. */
static void test_queue_selection(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    assert_int_equal(reg(driver, 0x034), 64);
    set_reg(driver, 0x030, 1);
    assert_int_equal(reg(driver, 0x034), 8);
    const uint32_t absent[] = {2, 3, 0x10000, UINT32_MAX};

    for (unsigned i = 0; i < 4; i++) {
        set_reg(driver, 0x030, absent[i]);
        assert_int_equal(reg(driver, 0x034), 0);
        set_reg(driver, 0x038, 8);
        set_queue_addresses(driver, DESC_AREA, AVAIL_AREA, USED_AREA);
        set_reg(driver, 0x044, 1);
        assert_int_equal(reg(driver, 0x044), 0);
    }
    assert_int_equal(reg(driver, 0x070), 0);
}

/* RB-10: halves in any order, and each half alone. */
static void test_queue_addresses(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    set_reg(driver, 0x0a4, 0x11111111);
    set_reg(driver, 0x094, 0x22222222);
    set_reg(driver, 0x084, 0x33333333);
    set_reg(driver, 0x0a0, 0x44444444);
    set_reg(driver, 0x090, 0x55555555);
    set_reg(driver, 0x080, 0x66666666);
    assert_true(probe->queues[0].device_area == 0x1111111144444444);
    assert_true(probe->queues[0].driver_area == 0x2222222255555555);
    assert_true(probe->queues[0].descriptor_area == 0x3333333366666666);
    set_reg(driver, 0x080, 0x10);
    assert_true(probe->queues[0].descriptor_area == 0x3333333300000010);
    assert_true(probe->queues[1].descriptor_area == 0);
}

/* RB-5 and 4.2.2.2: a ready queue's configuration is fixed until QueueReady goes to 0. */
static void test_queue_ready(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    assert_int_equal(negotiate(driver, F_VERSION_1), 11);
    set_up_queue(driver, 16);
    set_reg(driver, 0x038, 8);
    set_queue_addresses(driver, 0, 0, 0);
    assert_int_equal(probe->queues[0].size, 16);
    assert_true(probe->queues[0].descriptor_area == DESC_AREA);
    set_reg(driver, 0x044, 1);
    set_reg(driver, 0x044, 2);
    assert_int_equal(reg(driver, 0x044), 1);
    assert_int_equal(probe->stopped[0], 0);
    set_reg(driver, 0x044, 0);
    assert_int_equal(reg(driver, 0x044), 0);
    assert_int_equal(probe->stopped[0], 1);
    set_reg(driver, 0x044, 0);
    assert_int_equal(probe->stopped[0], 1);
    set_reg(driver, 0x038, 8);
    assert_int_equal(probe->queues[0].size, 8);
    assert_int_equal(probe->stopped[1], 0);
}

/* Reads of write-only registers, writes of read-only ones, and reserved offsets. */
static void test_direction(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;
    const uint32_t write_only[] = {0x014, 0x020, 0x024, 0x030, 0x038, 0x050, 0x064,
                                   0x080, 0x084, 0x090, 0x094, 0x0a0, 0x0a4, 0x0ac,
                                   0x028, 0x03c, 0x040, 0x0c0, 0x0fc, 0x018, 0x0f8};
    const uint32_t read_only[] = {0x000, 0x004, 0x008, 0x00c, 0x010, 0x034, 0x060,
                                  0x0b0, 0x0b4, 0x0b8, 0x0bc, 0x0c0, 0x0fc};

    for (unsigned i = 0; i < sizeof(write_only) / sizeof(write_only[0]); i++) {
        assert_int_equal(reg(driver, write_only[i]), 0);
    }
    for (unsigned i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++) {
        uint32_t before = reg(driver, read_only[i]);

        set_reg(driver, read_only[i], ~before);
        assert_int_equal(reg(driver, read_only[i]), before);
    }
    assert_int_equal(probe->resets, 0);
}

/* RB-11: no shared memory region, whichever is selected. */
static void test_no_shared_memory(void **state)
{
    struct driver *driver = &((struct probe *)*state)->driver;

    for (uint32_t sel = 0; sel < 3; sel++) {
        set_reg(driver, 0x0ac, sel);
        for (uint32_t offset = 0x0b0; offset <= 0x0bc; offset += 4) {
            assert_int_equal(reg(driver, offset), 0xffffffff);
        }
    }
}

/* RB-12: below 0x100 only aligned 32-bit writes do anything. */
static void test_write_widths(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;
    const unsigned sizes[] = {1, 2, 4, 8};

    for (unsigned i = 0; i < 4; i++) {
        for (uint32_t offset = 0; offset + sizes[i] <= 0x100; offset++) {
            if (sizes[i] != 4 || offset % 4 != 0) {
                assert_true(bus_write(&driver->bus, REGISTERS + offset, sizes[i], 1));
            }
        }
    }
    assert_int_equal(reg(driver, 0x070), 0);
    assert_int_equal(reg(driver, 0x044), 0);
    assert_int_equal(probe->resets, 0);
    assert_int_equal(probe->mmio.counters.notifies, 0);
}

/* A completion that the driver wants to hear of. */
static void complete_one(struct probe *probe, uint16_t head)
{
    struct virtqueue_chain chain;

    add_buffer(&probe->driver, head, BUFFER_AREA, 16);
    assert_true(virtqueue_take(&probe->queues[0], &chain));
    virtqueue_complete(&probe->queues[0], &chain, 16);
    virtio_mmio_queue_done(&probe->mmio, &probe->queues[0]);
}

/* A queue starts when QueueReady goes from 0 to 1, and at nothing else. */
static void test_queue_starts_once(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    assert_int_equal(negotiate(driver, F_VERSION_1), 11);
    set_reg(driver, 0x038, 1);
    assert_int_equal(reg(driver, 0x044), 0);
    set_reg(driver, 0x044, 2);
    assert_int_equal(reg(driver, 0x044), 0);
    set_up_queue(driver, 8);
    set_reg(driver, 0x070, 15);
    complete_one(probe, 0);
    set_reg(driver, 0x044, 1);
    set_reg(driver, 0x044, 2);
    assert_int_equal(reg(driver, 0x044), 1);
    complete_one(probe, 1);
    assert_int_equal(used_idx(driver), 2);
    assert_int_equal(probe->stopped[0], 0);
}

/* The bytes of a read that exits and those of the mapped page, for every width and offset. */
static void expect_page(struct driver *driver)
{
    const unsigned sizes[] = {1, 2, 4, 8};

    for (unsigned i = 0; i < 4; i++) {
        for (uint32_t offset = 0; offset + sizes[i] <= 0x1000; offset++) {
            uint64_t value = ~0ULL;
            uint64_t mapped = 0;

            assert_true(bus_read(&driver->bus, REGISTERS + offset, sizes[i], &value));
            memcpy(&mapped, (const uint8_t *)driver->page + offset, sizes[i]);
            assert_true(value == mapped);
        }
    }
}

/* Reads yield the same in both modes, at each step of a device's life. */
static void test_register_page(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;
    uint64_t value = 0;

    expect_page(driver);
    assert_true(bus_read(&driver->bus, REGISTERS + 0x001, 2, &value));
    assert_true(value == 0x7269);
    assert_true(bus_read(&driver->bus, REGISTERS + 0x006, 8, &value));
    assert_true(value == 0x6553000000040000);
    set_reg(driver, 0x014, 1);
    assert_int_equal(driver->page[0x010 / 4], 1);
    expect_page(driver);
    set_reg(driver, 0x030, 1);
    assert_int_equal(driver->page[0x034 / 4], 8);
    set_reg(driver, 0x030, 0);
    set_reg(driver, 0x064, UINT32_MAX);
    expect_page(driver);
    bring_up(driver, OFFERED, 8);
    assert_int_equal(driver->page[0x044 / 4], 1);
    assert_int_equal(driver->page[0x070 / 4], 15);
    expect_page(driver);
    complete_one(probe, 0);
    assert_int_equal(driver->page[0x060 / 4], 1);
    expect_page(driver);
    virtio_mmio_needs_reset(&probe->mmio);
    assert_int_equal(driver->page[0x060 / 4], 3);
    assert_int_equal(driver->page[0x070 / 4], 64 | 15);
    expect_page(driver);
    set_reg(driver, 0x064, 1);
    assert_int_equal(driver->page[0x060 / 4], 2);
    assert_true(bus_write(&driver->bus, REGISTERS + 0x102, 2, 0x9876));
    assert_int_equal(driver->page[0x100 / 4], 0x98760000);
    expect_page(driver);
    probe->config[4] = 0x5a;
    virtio_mmio_config_changed(&probe->mmio);
    assert_int_equal(driver->page[0x104 / 4] & 0xff, 0x5a);
    expect_page(driver);
    set_reg(driver, 0x070, 0);
    assert_int_equal(driver->page[0x044 / 4], 0);
    assert_int_equal(driver->page[0x070 / 4], 0);
    expect_page(driver);
}

/* An error before DRIVER_OK shows in the page as well, though no interrupt tells of it. */
static void test_register_page_without_interrupt(void **state)
{
    struct probe *probe = *state;

    assert_int_equal(negotiate(&probe->driver, F_VERSION_1), 11);
    virtio_mmio_needs_reset(&probe->mmio);
    assert_int_equal(probe->driver.page[0x070 / 4], 64 | 11);
    expect_page(&probe->driver);
}

/* A queue that breaks as it becomes ready: the interrupt that tells of it finds both in the page.
 */
static void test_register_page_at_interrupt(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    bring_up(driver, F_VERSION_1, 8);
    set_reg(driver, 0x044, 0);
    set_reg(driver, 0x038, 7);
    set_reg(driver, 0x044, 1); /* wire_set() looks at the page */
    assert_int_equal(driver->wire.edges, 1);
    assert_int_equal(driver->wire.status_at_edge, 2);
    assert_int_equal(driver->page[0x044 / 4], 1);
    assert_int_equal(driver->page[0x070 / 4], 64 | 15);
}

/* What a driver writes last counts, in both halves of a 64-bit value. */
static void test_halves_are_replaced(void **state)
{
    struct driver *driver = &((struct probe *)*state)->driver;

    for (uint32_t sel = 0; sel < 2; sel++) {
        set_reg(driver, 0x024, sel);
        set_reg(driver, 0x020, UINT32_MAX);
        set_reg(driver, 0x020, sel); /* VERSION_1 is bit 0 of the upper half */
    }
    set_reg(driver, 0x070, 11);
    assert_int_equal(reg(driver, 0x070), 11);
    set_queue_addresses(driver, UINT64_MAX, UINT64_MAX, UINT64_MAX);
    set_up_queue(driver, 8);
    set_reg(driver, 0x070, 15);
    assert_int_equal(reg(driver, 0x070), 15);
}

/* RB-12, CF-1: the configuration space is byte-accessible before FEATURES_OK. */
static void test_config_space(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;
    uint64_t value;

    for (uint8_t i = 0; i < 8; i++) {
        probe->config[i] = (uint8_t)(0x10 + i);
    }
    assert_true(bus_read(&driver->bus, REGISTERS + 0x103, 1, &value));
    assert_true(value == 0x13);
    assert_true(bus_read(&driver->bus, REGISTERS + 0x101, 2, &value));
    assert_true(value == 0x1211);
    assert_true(bus_read(&driver->bus, REGISTERS + 0x100, 8, &value));
    assert_true(value == 0x1716151413121110);
    assert_true(bus_write(&driver->bus, REGISTERS + 0x107, 1, 0xab));
    assert_int_equal(probe->config[7], 0xab);
    assert_true(bus_read(&driver->bus, REGISTERS + 0x1f8, 8, &value));
    assert_true(value == 0);
    assert_true(bus_read(&driver->bus, REGISTERS + 0xfc, 8, &value));
    assert_true(value == 0x1312111000000000);
    /* A write across the border writes neither; nor does one that runs out of the space. */
    assert_true(bus_write(&driver->bus, REGISTERS + 0xfc, 8, UINT64_MAX));
    assert_int_equal(probe->config[0], 0x10);
    assert_true(bus_write(&driver->bus, REGISTERS + 0x1fc, 8, UINT64_MAX));
    assert_int_equal(probe->writes, 1);
    assert_true(bus_write(&driver->bus, REGISTERS + 0x1f8, 8, UINT64_MAX));
    assert_int_equal(probe->writes, 2);
    assert_true(bus_write(&driver->bus, REGISTERS + 0x200, 4, UINT64_MAX));
    assert_true(bus_write(&driver->bus, REGISTERS + 0xffc, 4, UINT64_MAX));
    assert_int_equal(probe->writes, 2);

    probe->mmio.operations = &bare_operations;
    for (uint32_t offset = 0x100; offset < 0x1000; offset++) {
        value = 1;
        assert_true(bus_read(&driver->bus, REGISTERS + offset, 1, &value));
        assert_true(value == 0);
        assert_true(bus_write(&driver->bus, REGISTERS + offset, 1, 1));
    }
}

/* SU-2: a suspended device ignores what is written to its configuration space. */
static void test_config_space_while_suspended(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    probe->mmio.offered |= F_SUSPEND;
    bring_up(driver, F_VERSION_1 | F_SUSPEND, 8);
    set_reg(driver, 0x070, 15 | 16);
    assert_int_equal(reg(driver, 0x070), 11 | 16);
    assert_true(bus_write(&driver->bus, REGISTERS + 0x100, 4, 0x12345678));
    assert_int_equal(probe->writes, 0);
    set_reg(driver, 0x070, 15);
    assert_true(bus_write(&driver->bus, REGISTERS + 0x100, 4, 0x12345678));
    assert_int_equal(probe->writes, 1);
    assert_int_equal(reg(driver, 0x100), 0x12345678);
}

/* A second queue, of 8 entries, with areas of its own. */
#define SECOND_DESC  0x14000ULL
#define SECOND_AVAIL 0x15000ULL
#define SECOND_USED  0x16000ULL

static void post_second(struct driver *driver, uint16_t index)
{
    set_descriptor(driver, SECOND_DESC, index, BUFFER_AREA, 16, D_WRITE, 0);
    poke16(driver, SECOND_AVAIL + 4 + 2ULL * index, index);
    poke16(driver, SECOND_AVAIL + 2, index + 1);
}

/* SU-8: with each of its queues; one that is reset meanwhile waits as the others do. */
static void test_every_queue_suspends(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;
    struct virtqueue_chain first;
    struct virtqueue_chain second;

    probe->mmio.offered |= F_SUSPEND | F_RING_RESET;
    bring_up(driver, F_VERSION_1 | F_SUSPEND | F_RING_RESET, 8);
    set_reg(driver, 0x030, 1);
    set_reg(driver, 0x038, 8);
    set_queue_addresses(driver, SECOND_DESC, SECOND_AVAIL, SECOND_USED);
    set_reg(driver, 0x044, 1);
    post_second(driver, 0);
    assert_true(virtqueue_take(&probe->queues[1], &second));
    set_reg(driver, 0x070, 15 | 16);
    assert_int_equal(reg(driver, 0x070), 15);
    post_second(driver, 1);
    add_buffer(driver, 0, BUFFER_AREA, 16);
    assert_false(virtqueue_take(&probe->queues[0], &first));
    assert_false(virtqueue_take(&probe->queues[1], &first));
    set_reg(driver, 0x030, 0);
    set_reg(driver, 0x0c0, 1);
    assert_int_equal(probe->stopped[0], 1);
    set_up_queue(driver, 8);
    add_buffer(driver, 0, BUFFER_AREA, 16);
    assert_false(virtqueue_take(&probe->queues[0], &first));
    assert_int_equal(reg(driver, 0x070), 15);
    virtqueue_complete(&probe->queues[1], &second, 16);
    virtio_mmio_queue_done(&probe->mmio, &probe->queues[1]);
    assert_int_equal(reg(driver, 0x070), 11 | 16);
    set_reg(driver, 0x070, 15);
    assert_true(virtqueue_take(&probe->queues[0], &first));
    assert_true(virtqueue_take(&probe->queues[1], &second));
}

/* DS-1, AN-3, RB-6: kicks count only for ready queues that exist, from DRIVER_OK on. */
static void test_kicks(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    kick(driver);
    assert_int_equal(negotiate(driver, F_VERSION_1), 11);
    set_up_queue(driver, 8);
    kick(driver);
    assert_int_equal(probe->notified[0], 0);
    /* What a kick before DRIVER_OK announced is looked for at DRIVER_OK. */
    set_reg(driver, 0x070, 15);
    assert_int_equal(probe->notified[0], 1);
    assert_int_equal(probe->notified[1], 0);
    set_reg(driver, 0x070, 15);
    assert_int_equal(probe->notified[0], 1);
    kick(driver);
    assert_int_equal(probe->notified[0], 2);
    set_reg(driver, 0x050, 1); /* not ready */
    set_reg(driver, 0x050, 2);
    set_reg(driver, 0x050, 0x10000);
    set_reg(driver, 0x050, UINT32_MAX);
    assert_int_equal(probe->notified[0], 2);
    assert_int_equal(probe->notified[1], 0);
    assert_int_equal(probe->mmio.counters.notifies, 7);
    set_reg(driver, 0x044, 0);
    kick(driver);
    assert_int_equal(probe->notified[0], 2);
    set_reg(driver, 0x044, 1);
    kick(driver);
    assert_int_equal(probe->notified[0], 3);
    set_reg(driver, 0x070, 128);
    kick(driver);
    assert_int_equal(probe->notified[0], 3);
}

/* MM-3, MM-4, RB-7, RB-8, RB-14: one bit an event, visible before the edge, until acknowledged. */
static void test_interrupts(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    bring_up(driver, F_VERSION_1, 8);
    complete_one(probe, 0);
    assert_int_equal(reg(driver, 0x060), 1);
    assert_int_equal(reg(driver, 0x060), 1);
    assert_true(driver->wire.level);
    assert_int_equal(driver->wire.edges, 1);
    assert_int_equal(driver->wire.status_at_edge, 1);

    /* A second event while the first is not acknowledged: another edge. */
    complete_one(probe, 1);
    assert_int_equal(driver->wire.edges, 2);
    assert_true(driver->wire.level);

    virtio_mmio_needs_reset(&probe->mmio);
    assert_int_equal(reg(driver, 0x060), 3);
    assert_int_equal(driver->wire.edges, 3);
    assert_int_equal(driver->wire.status_at_edge, 3);
    virtio_mmio_needs_reset(&probe->mmio);
    assert_int_equal(driver->wire.edges, 3);

    set_reg(driver, 0x064, 4);
    assert_int_equal(reg(driver, 0x060), 3);
    set_reg(driver, 0x064, 1);
    assert_int_equal(reg(driver, 0x060), 2);
    assert_true(driver->wire.level);
    set_reg(driver, 0x064, 2);
    assert_int_equal(reg(driver, 0x060), 0);
    assert_false(driver->wire.level);
    set_reg(driver, 0x064, 3);
    assert_int_equal(driver->wire.edges, 3);
    assert_int_equal(probe->mmio.counters.interrupts, 3);
}

/* RS-1, RS-2, MM-5: a reset clears it all and stops the queues. */
static void test_reset(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    bring_up(driver, F_VERSION_1, 8);
    set_reg(driver, 0x014, 1);
    complete_one(probe, 0);
    virtio_mmio_needs_reset(&probe->mmio);
    assert_int_equal(reg(driver, 0x070), 64 | 15);
    assert_true(virtio_mmio_running(&probe->mmio));
    set_reg(driver, 0x070, 0);
    assert_int_equal(reg(driver, 0x070), 0);
    assert_int_equal(reg(driver, 0x060), 0);
    assert_int_equal(reg(driver, 0x044), 0);
    assert_int_equal(reg(driver, 0x010), 0x30000000);
    assert_false(driver->wire.level);
    assert_int_equal(probe->queues[0].size, 64);
    assert_true(probe->queues[0].descriptor_area == 0);
    assert_int_equal(probe->queues[0].next_available, 0);
    assert_int_equal(probe->resets, 2); /* bring_up's and this one */
    assert_int_equal(probe->mmio.counters.resets, 2);
    unsigned before = probe->notified[0];

    kick(driver);
    assert_int_equal(probe->notified[0], before);
    bring_up(driver, F_VERSION_1, 8);
    assert_true(virtio_mmio_running(&probe->mmio));
    complete_one(probe, 0);
    assert_int_equal(used_idx(driver), 1);
}

/* MM-5: all of the queues. */
static void test_reset_of_all_queues(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    bring_up(driver, F_VERSION_1, 8);
    set_reg(driver, 0x030, 1);
    set_reg(driver, 0x038, 8);
    set_queue_addresses(driver, BUFFER_AREA, BUFFER_AREA + 0x1000, BUFFER_AREA + 0x2000);
    set_reg(driver, 0x044, 1);
    assert_int_equal(reg(driver, 0x044), 1);
    set_reg(driver, 0x070, 0);
    for (uint32_t i = 0; i < QUEUES; i++) {
        set_reg(driver, 0x030, i);
        assert_int_equal(reg(driver, 0x044), 0);
    }
}

/* What holds for one queue holds for the others: made ready early, announced early. */
static void test_second_queue(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    set_reg(driver, 0x070, 1 | 2);
    set_reg(driver, 0x030, 1);
    set_reg(driver, 0x038, 8);
    set_queue_addresses(driver, BUFFER_AREA, BUFFER_AREA + 0x1000, BUFFER_AREA + 0x2000);
    set_reg(driver, 0x044, 1);
    set_reg(driver, 0x024, 1);
    set_reg(driver, 0x020, 1);
    set_reg(driver, 0x070, 1 | 2 | 8);
    assert_true(probe->queues[1].features == F_VERSION_1);
    set_up_queue(driver, 8);
    set_reg(driver, 0x070, 15);
    assert_int_equal(probe->notified[0], 1);
    assert_int_equal(probe->notified[1], 1);
    set_reg(driver, 0x050, 1);
    assert_int_equal(probe->notified[0], 1);
    assert_int_equal(probe->notified[1], 2);
}

/* A reset brings the selectors back and forgets features of words beyond. */
static void test_reset_of_selectors(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    set_reg(driver, 0x030, 1);
    set_reg(driver, 0x024, 2);
    set_reg(driver, 0x020, 1);
    set_reg(driver, 0x070, 0);
    assert_int_equal(reg(driver, 0x034), 64);
    /* DriverFeaturesSel is 0 again, and what word 2 was asked for is forgotten. */
    set_reg(driver, 0x020, (uint32_t)F_EVENT_IDX);
    set_reg(driver, 0x024, 1);
    set_reg(driver, 0x020, 1);
    set_reg(driver, 0x070, 1 | 2 | 8);
    assert_int_equal(reg(driver, 0x070), 11);
    assert_true(probe->mmio.driver_features == (F_VERSION_1 | F_EVENT_IDX));
    set_reg(driver, 0x070, 0);
    set_reg(driver, 0x024, 1);
    set_reg(driver, 0x020, 1);
    set_reg(driver, 0x070, 1 | 2 | 8);
    assert_true(probe->mmio.driver_features == F_VERSION_1);
}

/* A configuration change that waited for DRIVER_OK is forgotten with the reset. */
static void test_reset_forgets_news(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    assert_int_equal(negotiate(driver, F_VERSION_1), 11);
    virtio_mmio_config_changed(&probe->mmio);
    assert_int_equal(reg(driver, 0x060), 0);
    bring_up(driver, F_VERSION_1, 8);
    assert_int_equal(reg(driver, 0x060), 0);
    assert_int_equal(driver->wire.edges, 0);
}

/* L-8, FB-4: a device type's own bits are 0 to 23; of the reserved ones few are legacy. */
static void test_legacy_offer(void **state)
{
    struct probe *probe = *state;
    const struct virtio_mmio_setup setup = {
        .device_id = 4,
        .features = UINT64_MAX,
        .legacy = true,
        .operations = &probe_operations,
        .device = probe,
        .queues = probe->queues,
        .queue_count = QUEUES,
        .irq = probe->driver.irq,
        .page = probe->page,
    };

    virtio_mmio_init(&probe->mmio, &setup);
    assert_int_equal(reg(&probe->driver, 0x010), 0x38ffffff);
    set_reg(&probe->driver, 0x014, 1);
    assert_int_equal(reg(&probe->driver, 0x010), 0);
}

/* DS-2, DS-3: the bit, and the configuration change as soon as DRIVER_OK allows it. */
static void test_needs_reset_before_driver_ok(void **state)
{
    struct probe *probe = *state;
    struct driver *driver = &probe->driver;

    assert_int_equal(negotiate(driver, F_VERSION_1), 11);
    set_reg(driver, 0x038, 7);
    set_queue_addresses(driver, DESC_AREA, AVAIL_AREA, USED_AREA);
    set_reg(driver, 0x044, 1);
    assert_int_equal(reg(driver, 0x070), 64 | 11);
    assert_int_equal(reg(driver, 0x060), 0);
    assert_int_equal(driver->wire.edges, 0);
    set_reg(driver, 0x070, 15);
    assert_int_equal(reg(driver, 0x070), 64 | 15);
    assert_int_equal(reg(driver, 0x060), 2);
    assert_int_equal(driver->wire.edges, 1);
    kick(driver);
    assert_int_equal(probe->notified[0], 0);
    assert_int_equal(probe->mmio.counters.breaches, 1);
    bring_up(driver, F_VERSION_1, 8);
    assert_int_equal(reg(driver, 0x070), 15);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_identification),
        TEST(test_device_features),
        TEST(test_valid_subsets),
        TEST(test_refused_features),
        TEST(test_feature_words_beyond),
        TEST(test_features_frozen),
        TEST(test_queue_before_features),
        TEST(test_status_bits),
        TEST(test_queue_selection),
        TEST(test_queue_addresses),
        TEST(test_queue_ready),
        TEST(test_direction),
        TEST(test_no_shared_memory),
        TEST(test_write_widths),
        TEST(test_halves_are_replaced),
        TEST(test_queue_starts_once),
        TEST(test_register_page),
        TEST(test_register_page_without_interrupt),
        TEST(test_register_page_at_interrupt),
        TEST(test_config_space),
        TEST(test_config_space_while_suspended),
        TEST(test_every_queue_suspends),
        TEST(test_kicks),
        TEST(test_interrupts),
        TEST(test_reset),
        TEST(test_reset_of_all_queues),
        TEST(test_second_queue),
        TEST(test_reset_of_selectors),
        TEST(test_reset_forgets_news),
        TEST(test_legacy_offer),
        TEST(test_needs_reset_before_driver_ok),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
