/*
 * Tests of the transport's optional features, end to end with the entropy device: ring reset,
 * suspension, notification data, order, and every pair of features with an independent driver.
 */
#include "devices/rng/rng.h"
#include "guest-tests/host/scripted_source.h"
#include "guest-tests/host/virtio_packed_driver.h"

#define F_IN_ORDER          (1ULL << 35)
#define F_NOTIFICATION_DATA (1ULL << 38)
#define F_RING_RESET        (1ULL << 40)
#define F_SUSPEND           (1ULL << 43)

#define OPTIONAL                                                                                   \
    (F_INDIRECT | F_EVENT_IDX | F_PACKED | F_IN_ORDER | F_NOTIFICATION_DATA | F_RING_RESET |       \
     F_SUSPEND)
#define FOREVER UINT64_MAX

struct machine {
    struct driver driver;
    struct packed packed;
    struct script script;
    struct entropy_core core;
    struct rng rng;
    uint32_t *page;
};

/* Puts the device up anew, as if the guest had been configured so. */
static void configure(struct machine *machine, uint64_t features, bool legacy)
{
    const struct rng_setup setup = {.entropy = &machine->core,
                                    .memory = &machine->driver.memory,
                                    .irq = machine->driver.irq,
                                    .page = machine->page,
                                    .features = features,
                                    .legacy = legacy};

    memset(machine->page, 0, VIRTIO_MMIO_PAGE_SIZE);
    rng_init(&machine->rng, &setup);
}

static int set_up(void **state)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    struct entropy_source source = script_source(&machine->script);

    driver_init(&machine->driver);
    machine->page = calloc(1, VIRTIO_MMIO_PAGE_SIZE);
    assert_non_null(machine->page);
    machine->driver.page = machine->page;
    entropy_init(&machine->core, &source);
    entropy_refill(&machine->core, ENTROPY_STARTUP_WORDS);
    configure(machine, OPTIONAL, false);
    assert_true(bus_add(&machine->driver.bus, REGISTERS, VIRTIO_MMIO_PAGE_SIZE,
                        &virtio_mmio_bus_operations, &machine->rng.transport));
    *state = machine;
    return 0;
}

static int tear_down(void **state)
{
    struct machine *machine = *state;

    driver_free(&machine->driver);
    free(machine->page);
    free(machine);
    return 0;
}

static void source_is(struct machine *machine, enum script_mode mode, uint64_t tries)
{
    machine->script.mode = mode;
    machine->script.from = machine->script.played;
    machine->script.tries = tries;
}

static void expect_used(struct driver *driver, uint32_t id, uint32_t length)
{
    uint32_t used_id = 0;
    uint32_t used_length = 0;

    assert_true(get_used(driver, &used_id, &used_length));
    assert_int_equal(used_id, id);
    assert_int_equal(used_length, length);
}

static uint64_t offered(struct driver *driver)
{
    set_reg(driver, 0x014, 1);
    uint64_t high = reg(driver, 0x010);

    set_reg(driver, 0x014, 0);
    return high << 32 | reg(driver, 0x010);
}

/* FB-1, FB-4, RF-1: each subset of the optional features is what is offered, with VERSION_1. */
static void test_offers_what_is_configured(void **state)
{
    struct machine *machine = *state;
    const uint64_t bits[] = {F_INDIRECT,          F_EVENT_IDX,  F_PACKED, F_IN_ORDER,
                             F_NOTIFICATION_DATA, F_RING_RESET, F_SUSPEND};

    for (unsigned set = 0; set < 128; set++) {
        uint64_t features = 0;

        for (unsigned i = 0; i < 7; i++) {
            features |= (set >> i & 1) != 0 ? bits[i] : 0;
        }
        configure(machine, features, false);
        assert_true(offered(&machine->driver) == (features | F_VERSION_1));
        assert_int_equal(negotiate(&machine->driver, features | F_VERSION_1), 11);
        for (unsigned i = 0; i < 7; i++) {
            uint32_t status = (features & bits[i]) != 0 ? 11 : 3;

            assert_int_equal(negotiate(&machine->driver, bits[i] | F_VERSION_1), status);
        }
    }
    configure(machine, UINT64_MAX, false);
    assert_true(offered(&machine->driver) == (OPTIONAL | F_VERSION_1));
}

/* RB-6: the index is the lower half then; what the rest says is not needed, right or wrong. */
static void test_notification_data(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;
    const uint32_t data[] = {0, 0x10000, 0x7fff0000, 0x80000000, 0xffff0000};

    bring_up(driver, F_VERSION_1 | F_NOTIFICATION_DATA, 8);
    for (uint16_t i = 0; i < 5; i++) {
        add_buffer(driver, i, BUFFER_AREA, 8);
        set_reg(driver, 0x050, data[i] | 1);
        assert_int_equal(used_idx(driver), i);
        set_reg(driver, 0x050, data[i]);
        expect_used(driver, i, 8);
    }
    /* Not negotiated, it is the index of a queue that does not exist. */
    bring_up(driver, F_VERSION_1, 8);
    add_buffer(driver, 0, BUFFER_AREA, 8);
    set_reg(driver, 0x050, 0x10000);
    assert_int_equal(used_idx(driver), 0);
    set_reg(driver, 0x050, 0);
    expect_used(driver, 0, 8);
}

/* QR-1, QR-2, MM-8, MM-10, MM-11, MM-12: gone with all it held, and no word of it. */
static void test_ring_reset(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1 | F_RING_RESET, 8);
    assert_int_equal(reg(driver, 0x0c0), 0);
    add_buffer(driver, 0, BUFFER_AREA, 8);
    kick(driver);
    expect_used(driver, 0, 8);
    source_is(machine, SCRIPT_DRY, FOREVER);
    while (entropy_level(&machine->core) > 0) {
        uint8_t byte;

        (void)entropy_take(&machine->core, &byte, 1);
    }
    add_buffer(driver, 1, BUFFER_AREA, 8);
    kick(driver);
    assert_true(rng_has_work(&machine->rng));
    unsigned edges = driver->wire.edges;

    set_reg(driver, 0x0c0, 0);
    set_reg(driver, 0x0c0, 2);
    assert_int_equal(reg(driver, 0x044), 1);
    set_reg(driver, 0x0c0, 1);
    assert_int_equal(reg(driver, 0x0c0), 0);
    assert_int_equal(reg(driver, 0x044), 0);
    assert_int_equal(machine->rng.queue.size, 64);
    assert_true(machine->rng.queue.descriptor_area == 0);
    assert_true(machine->rng.queue.next_available == 0);
    assert_true(machine->rng.queue.next_used == 0);
    assert_false(rng_has_work(&machine->rng));
    source_is(machine, SCRIPT_GOOD, 0);
    rng_poll(&machine->rng);
    kick(driver);
    assert_int_equal(used_idx(driver), 1);
    assert_int_equal(driver->wire.edges, edges);
    assert_int_equal(reg(driver, 0x070), 15);
}

/* QR-3, MM-9: enabled again as something else. */
static void test_ring_reenable(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1 | F_RING_RESET, 8);
    add_buffer(driver, 0, BUFFER_AREA, 8);
    kick(driver);
    expect_used(driver, 0, 8);
    set_reg(driver, 0x0c0, 1);
    set_up_queue(driver, 32);
    assert_int_equal(reg(driver, 0x0c0), 0);
    for (uint16_t i = 0; i < 32; i++) {
        add_buffer(driver, i, BUFFER_AREA, 8);
    }
    kick(driver);
    rng_poll(&machine->rng);
    for (uint16_t i = 0; i < 32; i++) {
        expect_used(driver, i, 8);
    }
    assert_int_equal(reg(driver, 0x070), 15);
}

/* Without the feature the register does nothing. */
static void test_no_ring_reset(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1, 8);
    set_reg(driver, 0x0c0, 1);
    assert_int_equal(reg(driver, 0x044), 1);
    add_buffer(driver, 0, BUFFER_AREA, 8);
    kick(driver);
    expect_used(driver, 0, 8);
}

/* QR-1: a buffer of before the reset is not filled after it, though the queue works again. */
static void test_ring_reset_forgets_a_held_buffer(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1 | F_RING_RESET, 8);
    source_is(machine, SCRIPT_DRY, FOREVER);
    add_buffer(driver, 0, BUFFER_AREA, 8);
    kick(driver);
    assert_true(rng_has_work(&machine->rng));
    set_reg(driver, 0x0c0, 1);
    set_up_queue(driver, 8);
    source_is(machine, SCRIPT_GOOD, 0);
    assert_false(rng_has_work(&machine->rng));
    rng_poll(&machine->rng);
    kick(driver);
    assert_int_equal(used_idx(driver), 0);
    add_buffer(driver, 1, BUFFER_AREA, 8);
    kick(driver);
    expect_used(driver, 1, 8);
    assert_int_equal(used_idx(driver), 1);
}

/* SU-3, SU-6, SU-7: suspended, the device touches and tells nothing; resumed, it goes on. */
static void test_suspend_and_resume(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1 | F_SUSPEND | F_RING_RESET, 8);
    for (uint16_t round = 0; round < 3; round++) {
        set_reg(driver, 0x070, 15 | 16);
        assert_int_equal(reg(driver, 0x070), 11 | 16);
        assert_false(virtio_mmio_running(&machine->rng.transport));
        unsigned edges = driver->wire.edges;

        add_buffer(driver, round, BUFFER_AREA, 8);
        kick(driver);
        rng_poll(&machine->rng);
        set_reg(driver, 0x044, 0);
        set_reg(driver, 0x0c0, 1);
        set_reg(driver, 0x038, 16);
        assert_int_equal(reg(driver, 0x044), 1);
        assert_int_equal(used_idx(driver), round);
        assert_int_equal(driver->wire.edges, edges);
        /* Writing SUSPEND again changes nothing. */
        set_reg(driver, 0x070, 11 | 16);
        assert_int_equal(reg(driver, 0x070), 11 | 16);
        /* What came meanwhile is looked for on resumption. */
        set_reg(driver, 0x070, round == 0 ? 15 | 16 : 15);
        assert_int_equal(reg(driver, 0x070), 15);
        expect_used(driver, round, 8);
        assert_int_equal(driver->wire.edges, edges + 1);
        set_reg(driver, 0x064, 1);
        /* Any other write of the status does not suspend. */
        set_reg(driver, 0x070, 15);
        assert_int_equal(reg(driver, 0x070), 15);
    }
    set_reg(driver, 0x070, 15 | 16);
    set_reg(driver, 0x070, 0);
    assert_int_equal(reg(driver, 0x070), 0);
    bring_up(driver, F_VERSION_1, 8);
    add_buffer(driver, 0, BUFFER_AREA, 8);
    kick(driver);
    expect_used(driver, 0, 8);
}

/* SU-1: before the device is up, or without the feature, the bit is nothing. */
static void test_suspend_ignored(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    set_reg(driver, 0x070, 16);
    assert_int_equal(reg(driver, 0x070), 0);
    assert_int_equal(negotiate(driver, F_VERSION_1 | F_SUSPEND), 11);
    set_reg(driver, 0x070, 11 | 16);
    assert_int_equal(reg(driver, 0x070), 11);
    set_up_queue(driver, 8);
    set_reg(driver, 0x070, 15 | 16);
    assert_int_equal(reg(driver, 0x070), 15);
    bring_up(driver, F_VERSION_1, 8);
    set_reg(driver, 0x070, 15 | 16);
    assert_int_equal(reg(driver, 0x070), 15);
    /* A device that needs a reset cannot be suspended, and says so: SU-6. */
    bring_up(driver, F_VERSION_1 | F_SUSPEND, 8);
    make_available(driver, 99);
    kick(driver);
    set_reg(driver, 0x070, 15 | 16);
    assert_int_equal(reg(driver, 0x070), 15 | 64);
}

/* SU-8: a buffer that waits for its first byte is used before the device shows itself suspended. */
static void test_suspend_finishes_what_is_in_flight(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1 | F_SUSPEND, 8);
    source_is(machine, SCRIPT_DRY, FOREVER);
    add_buffer(driver, 0, BUFFER_AREA, 8);
    add_buffer(driver, 1, BUFFER_AREA, 8);
    kick(driver);
    assert_int_equal(used_idx(driver), 0);
    set_reg(driver, 0x070, 15 | 16);
    assert_int_equal(reg(driver, 0x070), 15);
    assert_true(rng_has_work(&machine->rng));
    rng_poll(&machine->rng);
    assert_int_equal(reg(driver, 0x070), 15);
    source_is(machine, SCRIPT_GOOD, 0);
    rng_poll(&machine->rng);
    assert_int_equal(reg(driver, 0x070), 11 | 16);
    assert_int_equal(driver->wire.edges, 1);
    expect_used(driver, 0, 8);
    assert_int_equal(used_idx(driver), 1);
    set_reg(driver, 0x070, 15);
    expect_used(driver, 1, 8);
    assert_int_equal(driver->wire.edges, 2);
}

/* A driver that takes the queue away while the device waits to be suspended. */
static void test_suspend_without_the_queue(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1 | F_SUSPEND, 8);
    source_is(machine, SCRIPT_DRY, FOREVER);
    add_buffer(driver, 0, BUFFER_AREA, 8);
    kick(driver);
    set_reg(driver, 0x070, 15 | 16);
    assert_int_equal(reg(driver, 0x070), 15);
    set_reg(driver, 0x044, 0);
    assert_int_equal(reg(driver, 0x070), 11 | 16);
    assert_false(rng_has_work(&machine->rng));
}

/* A driver that resets the device while that waits to be suspended. */
static void test_reset_before_suspended(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1 | F_SUSPEND, 8);
    source_is(machine, SCRIPT_DRY, FOREVER);
    add_buffer(driver, 0, BUFFER_AREA, 8);
    kick(driver);
    set_reg(driver, 0x070, 15 | 16);
    assert_int_equal(reg(driver, 0x070), 15);
    set_reg(driver, 0x070, 0);
    assert_int_equal(reg(driver, 0x070), 0);
    set_reg(driver, 0x070, 1);
    assert_int_equal(reg(driver, 0x070), 1);
}

/* SU-4, SU-5, MM-6: news of the configuration wait for the resumption, and its version counts. */
static void test_config_change_while_suspended(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;
    uint32_t generation = reg(driver, 0x0fc);

    bring_up(driver, F_VERSION_1 | F_SUSPEND, 8);
    virtio_mmio_config_changed(&machine->rng.transport);
    assert_int_equal(reg(driver, 0x0fc), generation + 1);
    assert_int_equal(reg(driver, 0x060), 2);
    set_reg(driver, 0x064, 2);
    set_reg(driver, 0x070, 15 | 16);
    virtio_mmio_config_changed(&machine->rng.transport);
    assert_int_equal(reg(driver, 0x0fc), generation + 2);
    assert_int_equal(reg(driver, 0x060), 0);
    assert_int_equal(driver->wire.edges, 1);
    set_reg(driver, 0x070, 15);
    assert_int_equal(reg(driver, 0x060), 2);
    assert_int_equal(driver->wire.edges, 2);
    set_reg(driver, 0x064, 2);
    set_reg(driver, 0x070, 15 | 16);
    set_reg(driver, 0x070, 15);
    assert_int_equal(reg(driver, 0x060), 0);
    /* SU-7: an error met meanwhile shows as well. */
    set_reg(driver, 0x070, 15 | 16);
    virtio_mmio_needs_reset(&machine->rng.transport);
    assert_int_equal(reg(driver, 0x060), 0);
    set_reg(driver, 0x070, 15);
    assert_int_equal(reg(driver, 0x070), 15 | 64);
    assert_int_equal(reg(driver, 0x060), 2);
}

/* What the matrix asks of either ring. */
struct model {
    struct machine *machine;
    uint64_t features;
    uint16_t size;
    uint16_t free[64]; /* split: descriptors, as a stack */
    uint16_t free_count;
    uint16_t order[64]; /* IDs in the order of their being made available */
    uint16_t in_flight;
    uint16_t wanted[64]; /* lengths by ID */
    uint16_t heads[64];  /* descriptors by ID */
};

static bool has(const struct model *model, uint64_t feature)
{
    return (model->features & feature) != 0;
}

/* A writable buffer of `count` pieces, as a table if the driver may. */
static void model_add(struct model *model, uint16_t id, uint16_t count, uint16_t length)
{
    struct driver *driver = &model->machine->driver;
    uint64_t table = TABLE_AREA + 256ULL * id;
    bool indirect = has(model, F_INDIRECT) && count > 1;
    struct element elements[4];

    for (uint16_t i = 0; i < count; i++) {
        elements[i] = (struct element){BUFFER_AREA + 1024ULL * id + 256ULL * i, length, D_WRITE};
    }
    model->wanted[id] = (uint16_t)(count * length);
    model->heads[id] = indirect ? 1 : count;
    model->order[model->in_flight++] = id;
    if (has(model, F_PACKED)) {
        for (uint16_t i = 0; indirect && i < count; i++) {
            set_descriptor(driver, table, i, elements[i].gpa, length, 0, D_WRITE);
        }
        const struct element pointer = {table, count * 16U, D_INDIRECT};

        packed_add(&model->machine->packed, id, indirect ? &pointer : elements,
                   indirect ? 1 : count);
        return;
    }
    for (uint16_t i = 0; i < count; i++) {
        uint16_t flags = D_WRITE | (i + 1 < count ? D_NEXT : 0);
        uint16_t following = i + 1;

        if (!indirect) {
            following = (uint16_t)(id * 4 + i + 1);
        }
        set_descriptor(driver, indirect ? table : DESC_AREA, indirect ? i : id * 4U + i,
                       elements[i].gpa, length, flags, following);
    }
    if (indirect) {
        describe(driver, id * 4U, table, count * 16U, D_INDIRECT, 0);
    }
    make_available(driver, (uint16_t)(id * 4));
}

static void model_kick(struct model *model)
{
    struct driver *driver = &model->machine->driver;
    struct packed *packed = &model->machine->packed;
    uint32_t value = 0;

    if (has(model, F_NOTIFICATION_DATA)) {
        value = has(model, F_PACKED)
                    ? (uint32_t)packed->avail << 16 | (packed->avail_wrap ? 1U << 31 : 0)
                    : (uint32_t)driver->avail_idx << 16;
    }
    set_reg(driver, 0x050, value);
}

/* The next used buffer: which, and how much of it. */
static bool model_used(struct model *model, uint16_t *id, uint32_t *length)
{
    uint32_t head;
    bool written;

    if (has(model, F_PACKED)) {
        return packed_get_used(&model->machine->packed, id, length, &written);
    }
    if (!get_used(&model->machine->driver, &head, length)) {
        return false;
    }
    assert_int_equal(head % 4, 0);
    *id = (uint16_t)(head / 4);
    return true;
}

static void model_wish(struct model *model)
{
    struct packed *packed = &model->machine->packed;
    struct driver *driver = &model->machine->driver;

    if (has(model, F_PACKED)) {
        packed_wish(packed, has(model, F_EVENT_IDX) ? EVENT_DESC : EVENT_ENABLE, packed->used,
                    packed->used_wrap);
    } else if (has(model, F_EVENT_IDX)) {
        set_used_event(driver, driver->last_used);
    }
}

static void model_start(struct model *model)
{
    struct driver *driver = &model->machine->driver;

    assert_int_equal(negotiate(driver, model->features), 11);
    packed_init(&model->machine->packed, driver, model->size);
    set_up_queue(driver, model->size);
    set_reg(driver, 0x070, 15);
}

/* Adds one to three buffers of one to four pieces, kicks once, and sees each come back full. */
static void model_exchange(struct model *model, unsigned round)
{
    struct driver *driver = &model->machine->driver;
    uint16_t count = (uint16_t)(1 + round % 3);
    unsigned edges = driver->wire.edges;

    model->in_flight = 0;
    model_wish(model);
    for (uint16_t id = 0; id < count; id++) {
        memset(ram(driver, BUFFER_AREA + 1024ULL * id), 0, 1024);
        model_add(model, id, (uint16_t)(1 + (round + id) % 4), (uint16_t)(8 + round % 25));
    }
    model_kick(model);
    for (uint16_t i = 0; i < count; i++) {
        uint16_t id = 0;
        uint32_t length = 0;

        assert_true(model_used(model, &id, &length));
        assert_int_equal(id, model->order[i]);
        assert_int_equal(length, model->wanted[id]);
        assert_memory_not_equal(ram(driver, BUFFER_AREA + 1024ULL * id), "\0\0\0\0\0\0\0\0", 8);
    }
    uint16_t id;
    uint32_t length;

    assert_false(model_used(model, &id, &length));
    assert_int_equal(driver->wire.edges, edges + 1);
    assert_int_equal(driver->wire.status_at_edge, 1);
    set_reg(driver, 0x064, 1);
    assert_false(driver->wire.level);
    assert_int_equal(reg(driver, 0x070), 15);
}

/* Each combination of the features, hence each pair: works, resets its ring, suspends, works on. */
static void test_feature_matrix(void **state)
{
    struct machine *machine = *state;
    const uint64_t bits[] = {F_INDIRECT,          F_EVENT_IDX,  F_PACKED, F_IN_ORDER,
                             F_NOTIFICATION_DATA, F_RING_RESET, F_SUSPEND};
    struct driver *driver = &machine->driver;

    for (unsigned set = 0; set < 128; set++) {
        struct model model = {.machine = machine, .features = F_VERSION_1};

        for (unsigned i = 0; i < 7; i++) {
            model.features |= (set >> i & 1) != 0 ? bits[i] : 0;
        }
        model.size = has(&model, F_PACKED) ? 13 : 16;
        model_start(&model);
        for (unsigned round = 0; round < 40; round++) {
            model_exchange(&model, round);
        }
        if (has(&model, F_RING_RESET)) {
            set_reg(driver, 0x0c0, 1);
            model.size = has(&model, F_PACKED) ? 12 : 32;
            packed_init(&machine->packed, driver, model.size);
            set_up_queue(driver, model.size);
        }
        model_exchange(&model, 5);
        if (has(&model, F_SUSPEND)) {
            set_reg(driver, 0x070, 15 | 16);
            assert_int_equal(reg(driver, 0x070), 11 | 16);
            set_reg(driver, 0x070, 15);
        }
        for (unsigned round = 0; round < 40; round++) {
            model_exchange(&model, round);
        }
    }
    assert_int_equal(machine->rng.transport.counters.breaches, 0);
}

/* The legacy interface. */

#define PAGE 4096ULL

/* The layout that a legacy driver and device agree on: virtio 1.3, 2.7.2. */
static void legacy_areas(uint64_t base, uint16_t size, uint64_t align, uint64_t areas[3])
{
    areas[0] = base;
    areas[1] = base + 16ULL * size;
    areas[2] = (areas[1] + 2ULL * (3 + size) + align - 1) / align * align;
}

static void legacy_set_up(struct driver *driver, uint16_t size, uint64_t page_size)
{
    /* As Linux does it: the page size first of all. */
    set_reg(driver, 0x028, (uint32_t)page_size);
    set_reg(driver, 0x070, 0);
    set_reg(driver, 0x070, 1);
    set_reg(driver, 0x070, 3);
    set_reg(driver, 0x030, 0);
    assert_int_equal(reg(driver, 0x040), 0);
    assert_int_equal(reg(driver, 0x034), 64);
    memset(ram(driver, LOW_RAM), 0, 0x3000);
    set_reg(driver, 0x038, size);
    set_reg(driver, 0x03c, (uint32_t)page_size);
    set_reg(driver, 0x040, (uint32_t)(LOW_RAM / page_size));
    assert_int_equal(reg(driver, 0x040), LOW_RAM / page_size);
}

/* A 16-byte request over the legacy layout; `serial` counts them from 0. */
static void legacy_request(struct driver *driver, const uint64_t areas[3], uint16_t size,
                           uint16_t serial)
{
    uint64_t element = areas[2] + 4 + 8ULL * (serial % size);

    set_descriptor(driver, areas[0], size - 1U, BUFFER_AREA, 16, D_WRITE, 0);
    poke16(driver, areas[1] + 4 + 2ULL * (serial % size), size - 1);
    poke16(driver, areas[1] + 2, serial + 1);
    kick(driver);
    assert_int_equal(peek16(driver, areas[2] + 2), serial + 1);
    assert_int_equal(peek32(driver, element), size - 1);
    assert_int_equal(peek32(driver, element + 4), 16);
}

/* L-1 to L-4, L-8, L-9, L-11: version 1, its registers and its layout, of every size. */
static void test_legacy(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    configure(machine, OPTIONAL, true);
    assert_int_equal(reg(driver, 0x000), 0x74726976);
    assert_int_equal(reg(driver, 0x004), 1);
    assert_int_equal(reg(driver, 0x008), 4);
    assert_true(offered(driver) == (F_INDIRECT | F_EVENT_IDX | 1ULL << 27));
    for (uint16_t size = 1; size <= 64; size *= 2) {
        uint64_t areas[3];

        legacy_areas(LOW_RAM, size, PAGE, areas);
        legacy_set_up(driver, size, PAGE);
        /* There is no FEATURES_OK; DRIVER_OK does without. */
        set_reg(driver, 0x070, 15);
        assert_int_equal(reg(driver, 0x070), 7);
        for (uint16_t i = 0; i < 5; i++) {
            legacy_request(driver, areas, size, i);
        }
        assert_int_equal(reg(driver, 0x060), 1);
        set_reg(driver, 0x064, 1);
        set_reg(driver, 0x040, 0);
        assert_int_equal(reg(driver, 0x040), 0);
        kick(driver);
        assert_int_equal(peek16(driver, areas[2] + 2), 5);
    }
    /* L-12. */
    legacy_set_up(driver, 8, PAGE);
    set_reg(driver, 0x070, 0);
    assert_int_equal(reg(driver, 0x040), 0);
    assert_int_equal(machine->rng.transport.counters.breaches, 0);
}

/* L-4: the used ring begins at the next multiple of QueueAlign, however small that is. */
static void test_legacy_alignment(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    configure(machine, OPTIONAL, true);
    for (uint32_t align = 1; align <= 1024; align *= 2) {
        for (uint16_t size = 1; size <= 64; size *= 2) {
            uint64_t areas[3];

            legacy_areas(LOW_RAM, size, align, areas);
            if (areas[2] % 4 != 0) {
                continue; /* a place that no used ring may have */
            }
            set_reg(driver, 0x028, PAGE);
            set_reg(driver, 0x070, 0);
            memset(ram(driver, LOW_RAM), 0, 0x3000);
            set_reg(driver, 0x038, size);
            set_reg(driver, 0x03c, align);
            set_reg(driver, 0x040, LOW_RAM / PAGE);
            legacy_request(driver, areas, size, 0);
            legacy_request(driver, areas, size, 1);
        }
    }
}

/* L-7: a legacy driver may use its queue before DRIVER_OK. */
static void test_legacy_before_driver_ok(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;
    uint64_t areas[3];

    configure(machine, OPTIONAL, true);
    legacy_areas(LOW_RAM, 8, PAGE, areas);
    legacy_set_up(driver, 8, PAGE);
    legacy_request(driver, areas, 8, 0);
    assert_int_equal(driver->wire.edges, 1);
    set_reg(driver, 0x070, 128 | 3);
    poke16(driver, areas[1] + 2, 2);
    kick(driver);
    assert_int_equal(peek16(driver, areas[2] + 2), 1);
}

/* Features count without a FEATURES_OK, but for those that were never offered. */
static void test_legacy_features(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    configure(machine, OPTIONAL, true);
    set_reg(driver, 0x070, 0);
    set_reg(driver, 0x020, UINT32_MAX);
    set_reg(driver, 0x024, 1);
    set_reg(driver, 0x020, UINT32_MAX);
    set_reg(driver, 0x028, PAGE);
    set_reg(driver, 0x03c, PAGE);
    set_reg(driver, 0x038, 8);
    set_reg(driver, 0x040, LOW_RAM / PAGE);
    assert_true(machine->rng.queue.features == (F_INDIRECT | F_EVENT_IDX | 1ULL << 27));
    set_reg(driver, 0x070, 7);
    set_reg(driver, 0x070, 7 | 16);
    assert_int_equal(reg(driver, 0x070), 7);
}

/* Neither layout answers to the other's registers. */
static void test_layouts_apart(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;
    const uint32_t modern[] = {0x044, 0x0b0, 0x0b4, 0x0b8, 0x0bc, 0x0c0, 0x0fc};

    configure(machine, OPTIONAL, true);
    virtio_mmio_config_changed(&machine->rng.transport);
    for (unsigned i = 0; i < sizeof(modern) / sizeof(modern[0]); i++) {
        assert_int_equal(reg(driver, modern[i]), 0);
    }
    set_queue_addresses(driver, DESC_AREA, AVAIL_AREA, USED_AREA);
    set_reg(driver, 0x044, 1);
    assert_false(machine->rng.queue.ready);
    assert_true(machine->rng.queue.descriptor_area == 0);
    legacy_set_up(driver, 8, PAGE);
    set_reg(driver, 0x038, 16);
    set_reg(driver, 0x03c, 64);
    set_reg(driver, 0x040, 99);
    set_reg(driver, 0x044, 0);
    set_reg(driver, 0x0c0, 1);
    assert_int_equal(machine->rng.queue.size, 8);
    assert_int_equal(reg(driver, 0x040), LOW_RAM / PAGE);
    for (unsigned i = 0; i < sizeof(modern) / sizeof(modern[0]); i++) {
        assert_int_equal(reg(driver, modern[i]), 0);
    }
    set_reg(driver, 0x030, 1);
    assert_int_equal(reg(driver, 0x040), 0);
    set_reg(driver, 0x030, 0);

    configure(machine, OPTIONAL, false);
    set_reg(driver, 0x028, PAGE);
    set_reg(driver, 0x03c, PAGE);
    set_reg(driver, 0x040, LOW_RAM / PAGE);
    assert_int_equal(reg(driver, 0x040), 0);
    assert_false(machine->rng.queue.ready);
}

/* Page sizes and alignments that make no sense, and places that are no RAM. */
static void test_legacy_breaches(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;
    const struct {
        uint32_t page_size, alignment, page;
        const char *breach;
    } cases[] = {
        {0, PAGE, 16, "queue alignment or page size no power of two"},
        {3000, PAGE, 16, "queue alignment or page size no power of two"},
        {PAGE, 0, 16, "queue alignment or page size no power of two"},
        {PAGE, 3, 16, "queue alignment or page size no power of two"},
        {PAGE, 1, 16, "misaligned ring address"},
        {PAGE, 0x80000000, 16, "ring outside guest memory"},
        {PAGE, PAGE, UINT32_MAX, "ring outside guest memory"},
        {0x80000000, PAGE, UINT32_MAX, "ring outside guest memory"},
        {8, 8, 0x10000001, "misaligned ring address"},
    };

    configure(machine, OPTIONAL, true);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_reg(driver, 0x070, 0);
        set_reg(driver, 0x070, 7);
        set_reg(driver, 0x028, cases[i].page_size);
        set_reg(driver, 0x038, 4);
        set_reg(driver, 0x03c, cases[i].alignment);
        set_reg(driver, 0x040, cases[i].page);
        assert_int_equal(reg(driver, 0x070), 64 | 7);
        assert_non_null(machine->rng.transport.breach);
        assert_string_equal(machine->rng.transport.breach, cases[i].breach);
        kick(driver);
        assert_int_equal(machine->rng.transport.counters.breaches, i + 1);
    }
    uint64_t areas[3];

    legacy_areas(LOW_RAM, 8, PAGE, areas);
    legacy_set_up(driver, 8, PAGE);
    legacy_request(driver, areas, 8, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_offers_what_is_configured),
        TEST(test_notification_data),
        TEST(test_ring_reset),
        TEST(test_ring_reenable),
        TEST(test_no_ring_reset),
        TEST(test_ring_reset_forgets_a_held_buffer),
        TEST(test_suspend_and_resume),
        TEST(test_suspend_ignored),
        TEST(test_suspend_finishes_what_is_in_flight),
        TEST(test_suspend_without_the_queue),
        TEST(test_reset_before_suspended),
        TEST(test_config_change_while_suspended),
        TEST(test_feature_matrix),
        TEST(test_legacy),
        TEST(test_legacy_alignment),
        TEST(test_legacy_before_driver_ok),
        TEST(test_legacy_features),
        TEST(test_layouts_apart),
        TEST(test_legacy_breaches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
