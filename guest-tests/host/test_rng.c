/* Tests of the virtio entropy device, end to end: driver, transport, ring, core, scripted source.
 */
#include "devices/rng/rng.h"
#include "guest-tests/host/scripted_source.h"
#include "guest-tests/host/virtio_driver.h"

#define OFFERED (F_VERSION_1 | F_INDIRECT | F_EVENT_IDX)
#define FOREVER UINT64_MAX

struct machine {
    struct driver driver;
    struct script script;
    struct entropy_core core;
    struct rng rng;
    uint32_t *page;
};

static int set_up(void **state)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    struct entropy_source source = script_source(&machine->script);

    driver_init(&machine->driver);
    entropy_init(&machine->core, &source);
    machine->page = aligned_alloc(VIRTIO_MMIO_PAGE_SIZE, VIRTIO_MMIO_PAGE_SIZE);
    assert_non_null(machine->page);
    memset(machine->page, 0, VIRTIO_MMIO_PAGE_SIZE);
    const struct rng_setup setup = {.entropy = &machine->core,
                                    .memory = &machine->driver.memory,
                                    .irq = machine->driver.irq,
                                    .page = machine->page,
                                    .features = OFFERED};

    rng_init(&machine->rng, &setup);
    machine->driver.page = machine->page;
    assert_true(bus_add(&machine->driver.bus, REGISTERS, VIRTIO_MMIO_PAGE_SIZE,
                        &virtio_mmio_bus_operations, &machine->rng.transport));
    entropy_refill(&machine->core, ENTROPY_STARTUP_WORDS);
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

static void fail_from_now(struct machine *machine, enum script_mode mode, uint64_t tries)
{
    machine->script.mode = mode;
    machine->script.from = machine->script.played;
    machine->script.tries = tries;
}

/* Of what a kick asked for ahead. */
static void empty_pool(struct machine *machine)
{
    uint8_t bytes[ENTROPY_POOL_SIZE];

    (void)entropy_take(&machine->core, bytes, sizeof(bytes));
    assert_int_equal(entropy_level(&machine->core), 0);
}

static void fill_pool(struct machine *machine)
{
    entropy_refill(&machine->core, ENTROPY_POOL_SIZE / 8);
    assert_int_equal(entropy_level(&machine->core), ENTROPY_POOL_SIZE);
}

static void expect_used(struct driver *driver, uint32_t id, uint32_t length)
{
    uint32_t used_id = 0;
    uint32_t used_length = 0;

    assert_true(get_used(driver, &used_id, &used_length));
    assert_int_equal(used_id, id);
    assert_int_equal(used_length, length);
}

/* Whether [gpa, gpa + length) is untouched since it was filled with this value. */
static bool untouched(struct driver *driver, uint64_t gpa, uint64_t length, uint8_t value)
{
    for (uint64_t i = 0; i < length; i++) {
        if (*ram(driver, gpa + i) != value) {
            return false;
        }
    }
    return true;
}

/* RB-3, RB-4, RF-1: what a driver sees of it. */
static void test_identity(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    assert_int_equal(reg(driver, 0x008), 4);
    assert_int_equal(reg(driver, 0x010), 0x30000000);
    set_reg(driver, 0x014, 1);
    assert_int_equal(reg(driver, 0x010), 1);
    assert_int_equal(reg(driver, 0x034), 64);
    set_reg(driver, 0x030, 1);
    assert_int_equal(reg(driver, 0x034), 0);
    for (uint32_t offset = 0x100; offset < 0x200; offset += 4) {
        assert_int_equal(reg(driver, offset), 0);
        set_reg(driver, offset, 1);
    }
}

/* As Linux does it: 64 bytes, one buffer, answered within the kick. */
static void test_request(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    fill_pool(machine);
    bring_up(driver, OFFERED, 64);
    uint8_t expected[64];

    memcpy(expected, machine->core.pool + ENTROPY_POOL_SIZE - 64, 64);
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    expect_used(driver, 0, 64);
    assert_memory_equal(ram(driver, BUFFER_AREA), expected, 64);
    assert_true(untouched(driver, BUFFER_AREA + 64, 4096, 0));
    assert_true(untouched(driver, BUFFER_AREA - 4096, 4096, 0));
    assert_int_equal(driver->wire.edges, 1);
    assert_int_equal(driver->wire.status_at_edge, 1);
    set_reg(driver, 0x064, 1);
    assert_false(driver->wire.level);
    assert_false(rng_has_work(&machine->rng));
    assert_true(machine->rng.counters.requests == 1);
    assert_true(machine->rng.counters.bytes == 64);
    assert_true(machine->rng.counters.short_fills == 0);
    assert_true(machine->rng.counters.parked == 0);
    /* Spurious kicks: AN-3. */
    kick(driver);
    kick(driver);
    assert_int_equal(used_idx(driver), 1);
    assert_int_equal(driver->wire.edges, 1);
}

/* An empty pool is no reason for a short fill: what a request of this size needs is fetched. */
static void test_request_from_empty_pool(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, OFFERED, 64);
    for (uint16_t i = 0; i < 300; i++) {
        add_buffer(driver, i % 64, BUFFER_AREA, 64);
        set_used_event(driver, i);
        kick(driver);
        expect_used(driver, i % 64, 64);
    }
    assert_true(machine->rng.counters.bytes == 300ULL * 64);
    assert_int_equal(driver->wire.edges, 300);
    assert_int_equal(entropy_level(&machine->core), 0);
}

/* DS-1: nothing happens before DRIVER_OK, and what waited is served then. */
static void test_before_driver_ok(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    fill_pool(machine);
    assert_int_equal(negotiate(driver, F_VERSION_1), 11);
    set_up_queue(driver, 8);
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    rng_poll(&machine->rng);
    assert_int_equal(used_idx(driver), 0);
    assert_int_equal(driver->wire.edges, 0);
    set_reg(driver, 0x070, 15);
    expect_used(driver, 0, 64);
}

/* Writable lengths from one byte up, over one to three segments: never more, never less here. */
static void test_lengths(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1, 8);
    for (uint32_t length = 3; length < 400; length++) {
        uint32_t first = length / 3;
        uint32_t second = (length - first) / 2;

        memset(ram(driver, BUFFER_AREA), 0, 0x3000);
        describe(driver, 0, BUFFER_AREA, first, D_WRITE | D_NEXT, 1);
        describe(driver, 1, BUFFER_AREA + 0x1000, second, D_WRITE | D_NEXT, 2);
        describe(driver, 2, BUFFER_AREA + 0x2000, length - first - second, D_WRITE, 0);
        make_available(driver, 0);
        kick(driver);
        expect_used(driver, 0, length);
        assert_true(untouched(driver, BUFFER_AREA + first, 0x1000 - first, 0));
        assert_true(untouched(driver, BUFFER_AREA + 0x1000 + second, 0x1000 - second, 0));
        assert_true(untouched(driver, BUFFER_AREA + 0x2000 + length - first - second, 512, 0));
    }
    add_buffer(driver, 0, BUFFER_AREA, 1);
    kick(driver);
    expect_used(driver, 0, 1);
    assert_true(machine->rng.counters.short_fills == 0);
}

/* EN-1, UR-2: a big buffer is filled from its start with what there is, and not beyond. */
static void test_short_fill(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    fill_pool(machine);
    bring_up(driver, F_VERSION_1, 8);
    uint64_t asked = machine->script.asked;

    memset(ram(driver, BUFFER_AREA), 0, 0x20000);
    add_buffer(driver, 0, BUFFER_AREA, 0x20000);
    kick(driver);
    /* The pool was full, so the source could not add to it first. */
    expect_used(driver, 0, ENTROPY_POOL_SIZE);
    assert_true(machine->script.asked == asked);
    assert_false(untouched(driver, BUFFER_AREA, 16, 0));
    assert_false(untouched(driver, BUFFER_AREA + ENTROPY_POOL_SIZE - 16, 16, 0));
    assert_true(untouched(driver, BUFFER_AREA + ENTROPY_POOL_SIZE, 0x1000, 0));
    add_buffer(driver, 1, BUFFER_AREA, 0x20000);
    kick(driver);
    expect_used(driver, 1, RNG_WORDS_PER_CALL * 8);
    assert_true(machine->script.asked == asked + RNG_WORDS_PER_CALL);
    assert_true(machine->rng.counters.short_fills == 2);
    assert_true(machine->rng.counters.requests == 2);
}

/*
 * A source that dries up within a buffer: the buffer has those bytes already, and is completed with
 * the rest of them, not before and not a byte twice.
 */
static void test_dry_within_a_buffer(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1, 8);
    for (unsigned words = 1; words < 8; words++) {
        uint64_t first = machine->script.played;

        empty_pool(machine);
        fail_from_now(machine, SCRIPT_DRY, ENTROPY_TRIES);
        machine->script.from += words;
        add_buffer(driver, 0, BUFFER_AREA, 64);
        kick(driver);
        assert_int_equal(used_idx(driver), driver->last_used);
        assert_true(rng_has_work(&machine->rng));
        rng_poll(&machine->rng);
        expect_used(driver, 0, 64);
        assert_false(rng_has_work(&machine->rng));
        for (unsigned i = 0; i < 8; i++) {
            uint64_t word = script_word(first + i);

            assert_memory_equal(ram(driver, BUFFER_AREA + 8ULL * i), &word, 8);
        }
    }
    assert_true(machine->rng.counters.short_fills == 0);
    assert_true(machine->rng.counters.parked == 7);
    assert_true(machine->rng.counters.bytes == 7ULL * 64);
}

/* Three requests in four find in the pool what the one before them asked for. */
static void test_words_ahead(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1, 8);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t asked = machine->script.asked;

        add_buffer(driver, 0, BUFFER_AREA, 64);
        kick(driver);
        expect_used(driver, 0, 64);
        assert_int_equal(machine->script.asked - asked, i % 4 == 0 ? 8 + RNG_WORDS_AHEAD : 0);
    }
    assert_int_equal(entropy_level(&machine->core), 0);
}

/* What a buffer got goes with it when its driver starts over: nothing is left in the next one's. */
static void test_reset_within_a_buffer(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1, 8);
    fail_from_now(machine, SCRIPT_DRY, ENTROPY_TRIES);
    machine->script.from += 5;
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    assert_true(rng_has_work(&machine->rng));
    bring_up(driver, F_VERSION_1, 8);
    assert_false(rng_has_work(&machine->rng));
    memset(ram(driver, BUFFER_AREA), 0, 128);
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    expect_used(driver, 0, 64);
    assert_false(untouched(driver, BUFFER_AREA, 8, 0));
    assert_false(untouched(driver, BUFFER_AREA + 56, 8, 0));
    assert_true(untouched(driver, BUFFER_AREA + 64, 64, 0));
}

/* No byte at all: the buffers wait, in order, and are completed without another kick. */
static void test_parking(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;
    const enum script_mode modes[] = {SCRIPT_DRY, SCRIPT_ZERO, SCRIPT_ONES};

    bring_up(driver, OFFERED, 8);
    for (unsigned i = 0; i < 3; i++) {
        unsigned edges = driver->wire.edges;

        set_used_event(driver, used_idx(driver));
        empty_pool(machine);
        fail_from_now(machine, modes[i], 5ULL * ENTROPY_TRIES);
        add_buffer(driver, 3, BUFFER_AREA, 64);
        add_buffer(driver, 1, BUFFER_AREA + 64, 64);
        kick(driver);
        for (unsigned poll = 1; poll < 5; poll++) {
            assert_true(rng_has_work(&machine->rng));
            assert_int_equal(used_idx(driver), driver->last_used);
            rng_poll(&machine->rng);
        }
        /* Kicks meanwhile are tries like any other. */
        assert_int_equal(driver->wire.edges, edges);
        kick(driver);
        expect_used(driver, 3, 64);
        expect_used(driver, 1, 64);
        assert_int_equal(driver->wire.edges, edges + 1);
        assert_false(rng_has_work(&machine->rng));
        assert_true(machine->rng.counters.parked == i + 1);
        set_reg(driver, 0x064, 1);
    }
    assert_true(machine->rng.counters.short_fills == 0);
}

/* A full ring is served in bounded spells that need no further kick. */
static void test_bounded_spells(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, OFFERED, 64);
    set_used_event(driver, 63);
    fill_pool(machine);
    for (uint16_t i = 0; i < 64; i++) {
        add_buffer(driver, i, BUFFER_AREA + 64ULL * i, 64);
    }
    kick(driver);
    assert_int_equal(used_idx(driver), RNG_CHAINS_PER_CALL);
    assert_int_equal(driver->wire.edges, 0);
    for (unsigned spell = 2; spell <= 4; spell++) {
        assert_true(rng_has_work(&machine->rng));
        rng_poll(&machine->rng);
        assert_int_equal(used_idx(driver), spell * RNG_CHAINS_PER_CALL);
    }
    assert_int_equal(driver->wire.edges, 1);
    /* The ring is empty, which the last look finds out and asks for a kick. */
    rng_poll(&machine->rng);
    assert_false(rng_has_work(&machine->rng));
    assert_int_equal(avail_event(driver), 64);
    for (uint16_t i = 0; i < 64; i++) {
        expect_used(driver, i, 64);
    }
}

/* A spell asks the source for a bounded number of words, however many buffers wait. */
static void test_bounded_source_work(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1, 64);
    for (uint16_t i = 0; i < 64; i++) {
        add_buffer(driver, i, BUFFER_AREA, 256);
    }
    uint64_t asked = machine->script.asked;

    kick(driver);
    assert_true(machine->script.asked == asked + RNG_WORDS_PER_CALL);
    assert_int_equal(used_idx(driver), 2);
    while (rng_has_work(&machine->rng)) {
        asked = machine->script.asked;
        rng_poll(&machine->rng);
        assert_true(machine->script.asked <= asked + RNG_WORDS_PER_CALL);
    }
    assert_int_equal(used_idx(driver), 64);
    assert_true(machine->rng.counters.bytes == 64ULL * 256);
}

/* 5.4: a driver that offers readable buffers, or nothing writable, has broken the rules. */
static void test_readable_buffers(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    for (unsigned i = 0; i < 2; i++) {
        bring_up(driver, F_VERSION_1, 8);
        fill_pool(machine);
        driver->wire.edges = 0;
        describe(driver, 0, BUFFER_AREA, 8, i == 0 ? 0 : D_NEXT, 1);
        describe(driver, 1, BUFFER_AREA, 8, D_WRITE, 0);
        make_available(driver, 0);
        kick(driver);
        assert_int_equal(used_idx(driver), 0);
        assert_int_equal(reg(driver, 0x070), 64 | 15);
        assert_int_equal(reg(driver, 0x060), 2);
        assert_int_equal(driver->wire.edges, 1);
        assert_string_equal(machine->rng.transport.breach,
                            "device-readable buffer in the entropy device's queue");
    }
    assert_true(machine->rng.transport.counters.breaches == 2);
}

/* A breach in the ring: what came before is completed, the device wants a reset, a reset mends. */
static void test_breach_and_recovery(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    fill_pool(machine);
    for (unsigned round = 1; round <= 3; round++) {
        bring_up(driver, OFFERED, 8);
        add_buffer(driver, 0, BUFFER_AREA, 16);
        describe(driver, 1, BUFFER_AREA, 16, D_WRITE | D_NEXT, 1);
        make_available(driver, 1);
        add_buffer(driver, 2, BUFFER_AREA, 16);
        kick(driver);
        expect_used(driver, 0, 16);
        assert_int_equal(used_idx(driver), 1);
        assert_int_equal(reg(driver, 0x070), 64 | 15);
        assert_int_equal(reg(driver, 0x060), 3);
        assert_false(rng_has_work(&machine->rng));
        kick(driver);
        rng_poll(&machine->rng);
        assert_int_equal(used_idx(driver), 1);
        assert_true(machine->rng.transport.counters.breaches == round);
    }
    bring_up(driver, OFFERED, 8);
    assert_int_equal(reg(driver, 0x060), 0);
    assert_false(driver->wire.level);
    add_buffer(driver, 0, BUFFER_AREA, 16);
    kick(driver);
    expect_used(driver, 0, 16);
}

static void poll_while_working(struct machine *machine, unsigned limit)
{
    for (unsigned i = 0; rng_has_work(&machine->rng); i++) {
        assert_true(i < limit);
        rng_poll(&machine->rng);
    }
}

static void poll_often(struct machine *machine, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        rng_poll(&machine->rng);
    }
}

/* A source that fails for good: no completion, DEVICE_NEEDS_RESET; a reset works once it is good.
 */
static void test_permanent_fault(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1, 8);
    fail_from_now(machine, SCRIPT_STUCK, FOREVER);
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    assert_int_equal(reg(driver, 0x070), 15);
    poll_often(machine, 100);
    assert_int_equal(reg(driver, 0x070), 64 | 15);
    assert_int_equal(reg(driver, 0x060), 2);
    assert_int_equal(used_idx(driver), 0);
    assert_true(machine->rng.transport.counters.breaches == 0);

    /* Reset with the source still bad: the same again, after another start-up test. */
    bring_up(driver, F_VERSION_1, 8);
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    poll_often(machine, 100);
    assert_int_equal(reg(driver, 0x070), 64 | 15);
    assert_int_equal(used_idx(driver), 0);

    /* With the source good again the buffer waits for the start-up test alone. */
    machine->script.tries = 0;
    bring_up(driver, F_VERSION_1, 8);
    add_buffer(driver, 5, BUFFER_AREA, 64);
    kick(driver);
    poll_while_working(machine, 1000);
    assert_int_equal(reg(driver, 0x070), 15);
    expect_used(driver, 5, 64);
    assert_true(machine->rng.counters.requests == 1);
}

/*
 * A driver that takes no notice of DEVICE_NEEDS_RESET, as Linux's, has its buffer filled and its
 * kicks answered once the source is good again.
 */
static void test_fault_outlasted(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1, 8);
    fail_from_now(machine, SCRIPT_STUCK, FOREVER);
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    poll_often(machine, 100);
    assert_int_equal(reg(driver, 0x070), 64 | 15);
    assert_int_equal(used_idx(driver), 0);
    assert_true(rng_has_work(&machine->rng));

    machine->script.tries = 0;
    poll_while_working(machine, 1000);
    expect_used(driver, 0, 64);
    add_buffer(driver, 1, BUFFER_AREA, 64);
    kick(driver);
    expect_used(driver, 1, 64);
    assert_int_equal(reg(driver, 0x070), 64 | 15);
}

/* A passing fault is a delay: the buffer waits through the back-off and the start-up test. */
static void test_passing_fault(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1, 8);
    fail_from_now(machine, SCRIPT_STUCK, 2);
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    assert_int_equal(used_idx(driver), 0);
    poll_while_working(machine, 1000);
    expect_used(driver, 0, 64);
    assert_true(machine->rng.counters.parked == 1);
    assert_int_equal(reg(driver, 0x070), 15);
}

/* RS-2: a buffer in hand is forgotten at a reset and at QueueReady 0, and never written again. */
static void test_reset_with_a_parked_buffer(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    for (unsigned i = 0; i < 2; i++) {
        bring_up(driver, F_VERSION_1, 8);
        empty_pool(machine);
        fail_from_now(machine, SCRIPT_DRY, ENTROPY_TRIES);
        memset(ram(driver, BUFFER_AREA), 0, 64);
        add_buffer(driver, 6, BUFFER_AREA, 64);
        kick(driver);
        assert_true(rng_has_work(&machine->rng));
        if (i == 0) {
            set_reg(driver, 0x070, 0);
        } else {
            set_reg(driver, 0x044, 0);
        }
        assert_false(rng_has_work(&machine->rng));
        rng_poll(&machine->rng);
        kick(driver);
        assert_true(untouched(driver, BUFFER_AREA, 64, 0));
        assert_int_equal(used_idx(driver), 0);
        if (i == 0) {
            bring_up(driver, F_VERSION_1, 8);
        } else {
            set_up_queue(driver, 8);
        }
        assert_false(rng_has_work(&machine->rng));
        add_buffer(driver, 2, BUFFER_AREA + 128, 64);
        kick(driver);
        expect_used(driver, 2, 64);
        assert_int_equal(used_idx(driver), 1);
        assert_true(untouched(driver, BUFFER_AREA, 64, 0));
    }
}

/* Another guest's device at the machine's core; driver_free() ends its driver. */
static void add_neighbour(struct machine *machine, struct driver *other, struct rng *rng)
{
    driver_init(other);
    const struct rng_setup setup = {.entropy = &machine->core,
                                    .memory = &other->memory,
                                    .irq = other->irq,
                                    .features = OFFERED};

    rng_init(rng, &setup);
    assert_true(bus_add(&other->bus, REGISTERS, VIRTIO_MMIO_PAGE_SIZE, &virtio_mmio_bus_operations,
                        &rng->transport));
}

/* Two devices of two guests at one core: neither gets a byte of the other's. */
static void test_two_guests(void **state)
{
    struct machine *machine = *state;
    struct driver other;
    struct rng rng;

    add_neighbour(machine, &other, &rng);
    fill_pool(machine);
    bring_up(&machine->driver, OFFERED, 8);
    bring_up(&other, OFFERED, 8);
    for (uint16_t i = 0; i < 500; i++) {
        add_buffer(&machine->driver, 0, BUFFER_AREA, 8);
        kick(&machine->driver);
        add_buffer(&other, 0, BUFFER_AREA, 8);
        kick(&other);
        expect_used(&machine->driver, 0, 8);
        expect_used(&other, 0, 8);
        assert_memory_not_equal(ram(&machine->driver, BUFFER_AREA), ram(&other, BUFFER_AREA), 8);
    }
    assert_true(entropy_counters(&machine->core).bytes_delivered == 8000);
    /* One guest's breach is its own. */
    make_available(&other, 0xffff);
    kick(&other);
    assert_int_equal(reg(&other, 0x070), 64 | 15);
    assert_int_equal(reg(&machine->driver, 0x070), 15);
    driver_free(&other);
}

static uint64_t clock_now;

static uint64_t test_ticks(void)
{
    return clock_now;
}

/* The same device again, with a limit: as when its machine starts over. */
static void limit_device(struct machine *machine, uint64_t bytes, uint64_t period)
{
    const struct rng_setup setup = {.entropy = &machine->core,
                                    .memory = &machine->driver.memory,
                                    .irq = machine->driver.irq,
                                    .page = machine->page,
                                    .features = OFFERED,
                                    .ticks = test_ticks,
                                    .rate_bytes = bytes,
                                    .rate_period = period};

    clock_now = 1000000;
    rng_init(&machine->rng, &setup);
    bring_up(&machine->driver, F_VERSION_1, 8);
    fill_pool(machine);
}

/* What is due is delivered at once, what is not waits for its tick, and then needs no kick. */
static void test_rate_limit(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    limit_device(machine, 100, 5000);
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    expect_used(driver, 0, 64);
    clock_now += 10;
    add_buffer(driver, 1, BUFFER_AREA + 128, 64);
    kick(driver);
    assert_int_equal(used_idx(driver), 1);
    assert_true(machine->rng.counters.bytes == 100); /* 36 of them in the buffer in hand */
    assert_true(untouched(driver, BUFFER_AREA + 128 + 36, 28, 0));
    assert_true(rng_has_work(&machine->rng));
    assert_true(rng_deadline(&machine->rng) == 1005000);
    clock_now = 1004999;
    rng_poll(&machine->rng);
    kick(driver);
    assert_int_equal(used_idx(driver), 1);
    assert_true(machine->rng.counters.throttled == 1);
    clock_now = 1005000;
    rng_poll(&machine->rng);
    expect_used(driver, 1, 64);
    assert_false(rng_has_work(&machine->rng));
    assert_true(machine->rng.counters.bytes == 128);
    assert_true(machine->rng.counters.parked == 0);
    assert_true(machine->rng.counters.short_fills == 0);
}

/* A limit below a request's size makes it take several periods. */
static void test_rate_limit_below_a_request(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    limit_device(machine, 10, 5000);
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    for (unsigned period = 1; period <= 6; period++) {
        assert_int_equal(used_idx(driver), 0);
        assert_true(machine->rng.counters.bytes == 10ULL * period);
        assert_true(rng_deadline(&machine->rng) == 1000000 + 5000ULL * period);
        clock_now = rng_deadline(&machine->rng);
        rng_poll(&machine->rng);
    }
    expect_used(driver, 0, 64);
    assert_true(machine->rng.counters.throttled == 1);
}

/* A driver that resets its device again and again gets no more for it. */
static void test_rate_limit_outlives_a_reset(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    limit_device(machine, 64, 5000);
    for (unsigned i = 0; i < 10; i++) {
        add_buffer(driver, 0, BUFFER_AREA, 64);
        kick(driver);
        assert_int_equal(used_idx(driver), i == 0 ? 1 : 0);
        bring_up(driver, F_VERSION_1, 8);
        assert_false(rng_has_work(&machine->rng));
    }
    clock_now += 5000;
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    expect_used(driver, 0, 64);
}

/* Due, but the source is dry: such a buffer waits for bytes, and these still count when delivered.
 */
static void test_rate_limit_and_a_dry_source(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    limit_device(machine, 5000, 5000);
    add_buffer(driver, 0, BUFFER_AREA, 4096);
    kick(driver);
    expect_used(driver, 0, 4096);
    fail_from_now(machine, SCRIPT_DRY, 3ULL * ENTROPY_TRIES);
    add_buffer(driver, 1, BUFFER_AREA, 4096);
    kick(driver);
    assert_true(machine->rng.counters.parked == 1);
    assert_true(rng_has_work(&machine->rng) && rng_deadline(&machine->rng) == 0);
    rng_poll(&machine->rng);
    rng_poll(&machine->rng);
    clock_now += 4999;
    rng_poll(&machine->rng);
    expect_used(driver, 1, 64 * 8);
    add_buffer(driver, 2, BUFFER_AREA, 4096);
    kick(driver);
    expect_used(driver, 2, 5000 - 4096 - 512);
}

/* One call in RNG_TIMED_EVERY looks at the clock; without a limit no other does. */
static void test_timed_calls(void **state)
{
    struct machine *machine = *state;

    limit_device(machine, 0, 0);
    for (unsigned i = 0; i < 10 * RNG_TIMED_EVERY; i++) {
        kick(&machine->driver);
    }
    /* DRIVER_OK has the queue looked at as well. */
    assert_true(machine->rng.counters.timed == 11);
    assert_true(machine->rng.counters.ticks == 0);
}

/* A device that drains the pool all the time keeps no other from finding its bytes there. */
static void test_greedy_neighbour(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;
    struct driver other;
    struct rng rng;

    add_neighbour(machine, &other, &rng);
    machine->core.devices = 2;
    fill_pool(machine);
    bring_up(driver, F_VERSION_1, 64);
    bring_up(&other, F_VERSION_1, 8);
    for (unsigned round = 0; round < 200; round++) {
        for (uint16_t i = 0; i < 16; i++) {
            add_buffer(driver, i, BUFFER_AREA, 4096);
        }
        for (unsigned i = 0; i < 16; i++) {
            kick(driver);
        }
        while (driver->last_used != used_idx(driver)) {
            driver->last_used++;
        }
        uint64_t asked = machine->script.asked;

        add_buffer(&other, 0, BUFFER_AREA, 64);
        kick(&other);
        expect_used(&other, 0, 64);
        assert_true(machine->script.asked == asked);
        poll_while_working(machine, 1000);
        while (driver->last_used != used_idx(driver)) {
            driver->last_used++;
        }
    }
    assert_true(rng.counters.short_fills == 0);
    assert_true(machine->rng.counters.bytes > 200ULL * 4096);
    driver_free(&other);
}

/* Two that ask without end, with nobody to fill the pool but themselves: neither ever waits. */
static void test_two_that_ask_without_end(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;
    struct driver other;
    struct rng rng;

    add_neighbour(machine, &other, &rng);
    machine->core.devices = 2;
    fill_pool(machine);
    bring_up(driver, F_VERSION_1, 8);
    bring_up(&other, F_VERSION_1, 8);
    for (unsigned round = 0; round < 3000; round++) {
        add_buffer(driver, 0, BUFFER_AREA, 64);
        kick(driver);
        expect_used(driver, 0, 64);
        if (round % 3 != 0) { /* the other's turn comes less often */
            add_buffer(&other, 0, BUFFER_AREA, 64);
            kick(&other);
            expect_used(&other, 0, 64);
        }
    }
    assert_true(machine->rng.counters.parked == 0);
    assert_true(rng.counters.parked == 0);
    assert_in_range(entropy_level(&machine->core), ENTROPY_RESERVE - 2 * ENTROPY_SHARE,
                    ENTROPY_POOL_SIZE);
    driver_free(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_identity),
        TEST(test_request),
        TEST(test_request_from_empty_pool),
        TEST(test_before_driver_ok),
        TEST(test_lengths),
        TEST(test_short_fill),
        TEST(test_dry_within_a_buffer),
        TEST(test_words_ahead),
        TEST(test_reset_within_a_buffer),
        TEST(test_parking),
        TEST(test_bounded_spells),
        TEST(test_bounded_source_work),
        TEST(test_readable_buffers),
        TEST(test_breach_and_recovery),
        TEST(test_permanent_fault),
        TEST(test_fault_outlasted),
        TEST(test_passing_fault),
        TEST(test_reset_with_a_parked_buffer),
        TEST(test_two_guests),
        TEST(test_rate_limit),
        TEST(test_rate_limit_below_a_request),
        TEST(test_rate_limit_outlives_a_reset),
        TEST(test_rate_limit_and_a_dry_source),
        TEST(test_timed_calls),
        TEST(test_greedy_neighbour),
        TEST(test_two_that_ask_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
