/* Tests of the packed virtqueue: what a driver may do, and each thing it must not do. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>

#include "guest-tests/host/virtio_packed_driver.h"
#include "virtio/packed.h"

#define SIZE     7ULL /* no power of two */
#define FEATURES (F_VERSION_1 | F_PACKED)

struct ring {
    struct driver driver;
    struct packed packed;
    struct virtqueue queue;
    struct virtqueue_chain chain;
};

static int set_up(void **state)
{
    struct ring *ring = calloc(1, sizeof(*ring));

    driver_init(&ring->driver);
    virtqueue_init(&ring->queue, &ring->driver.memory, VIRTQUEUE_SIZE_MAX);
    *state = ring;
    return 0;
}

static int tear_down(void **state)
{
    struct ring *ring = *state;

    driver_free(&ring->driver);
    free(ring);
    return 0;
}

static void configure(struct ring *ring, uint32_t size, uint64_t desc, uint64_t driver,
                      uint64_t device)
{
    ring->queue.size = size;
    ring->queue.descriptor_area = desc;
    ring->queue.driver_area = driver;
    ring->queue.device_area = device;
}

static void start_sized(struct ring *ring, uint64_t features, uint16_t size)
{
    packed_init(&ring->packed, &ring->driver, size);
    configure(ring, size, DESC_AREA, AVAIL_AREA, USED_AREA);
    virtqueue_start(&ring->queue, &virtqueue_packed, features);
    assert_null(ring->queue.breach);
}

static void start(struct ring *ring, uint64_t features)
{
    start_sized(ring, features, SIZE);
}

static bool take(struct ring *ring)
{
    return virtqueue_take(&ring->queue, &ring->chain);
}

static bool nothing_to_take(struct ring *ring)
{
    struct virtqueue_chain chain;

    return !virtqueue_take(&ring->queue, &chain);
}

static void complete(struct ring *ring, uint32_t length)
{
    virtqueue_complete(&ring->queue, &ring->chain, length);
}

static void expect_used(struct ring *ring, uint16_t id, uint32_t length)
{
    uint16_t used_id = 0;
    uint32_t used_length = 0;
    bool written = false;

    assert_true(packed_get_used(&ring->packed, &used_id, &used_length, &written));
    assert_int_equal(used_id, id);
    assert_int_equal(used_length, length);
    assert_int_equal(written, length > 0);
}

static void expect_nothing_used(struct ring *ring)
{
    uint16_t id;
    uint32_t length;
    bool written;

    assert_false(packed_get_used(&ring->packed, &id, &length, &written));
}

/* A take that must end as this breach, for good. */
static void expect_breach(struct ring *ring, const char *breach)
{
    assert_true(nothing_to_take(ring));
    assert_non_null(ring->queue.breach);
    assert_string_equal(ring->queue.breach, breach);
    assert_true(nothing_to_take(ring));
    complete(ring, 1);
    expect_nothing_used(ring);
    assert_false(virtqueue_must_notify(&ring->queue));
}

static void test_one_buffer(void **state)
{
    struct ring *ring = *state;

    start(ring, FEATURES);
    assert_true(nothing_to_take(ring));
    packed_add_buffer(&ring->packed, 0xbeef, BUFFER_AREA, 64);
    assert_true(take(ring));
    assert_int_equal(ring->chain.id, 0xbeef);
    assert_int_equal(ring->chain.count, 1);
    assert_int_equal(ring->chain.slots, 1);
    assert_int_equal(ring->chain.readable, 0);
    assert_true(ring->chain.writable_length == 64);
    assert_ptr_equal(ring->chain.segments[0].hva, ram(&ring->driver, BUFFER_AREA));
    assert_int_equal(ring->chain.segments[0].length, 64);
    assert_true(nothing_to_take(ring));
    expect_nothing_used(ring);
    assert_true(virtqueue_in_flight(&ring->queue));
    complete(ring, 37);
    assert_false(virtqueue_in_flight(&ring->queue));
    expect_used(ring, 0xbeef, 37);
    expect_nothing_used(ring);
    assert_null(ring->queue.breach);
}

/* The write flag of a used descriptor: set if and only if data was written (2.8.3). */
static void test_write_flag(void **state)
{
    struct ring *ring = *state;
    const struct element readable = {BUFFER_AREA, 8, 0};

    start(ring, FEATURES);
    packed_add(&ring->packed, 1, &readable, 1);
    assert_true(take(ring));
    assert_int_equal(ring->chain.readable, 1);
    complete(ring, 0);
    assert_int_equal(peek16(&ring->driver, DESC_AREA + 14), D_AVAIL | D_USED);
    expect_used(ring, 1, 0);
    packed_add_buffer(&ring->packed, 2, BUFFER_AREA, 8);
    assert_true(take(ring));
    complete(ring, 1);
    assert_int_equal(peek16(&ring->driver, DESC_AREA + 30), D_AVAIL | D_USED | D_WRITE);
    expect_used(ring, 2, 1);
    for (uint16_t i = 2; i < SIZE; i++) {
        packed_add_buffer(&ring->packed, i, BUFFER_AREA, 8);
        assert_true(take(ring));
        complete(ring, 8);
        expect_used(ring, i, 8);
    }
    /* And on the next lap, with the other wrap counter: no other flag either. */
    packed_add(&ring->packed, 1, &readable, 1);
    assert_true(take(ring));
    complete(ring, 0);
    assert_int_equal(peek16(&ring->driver, DESC_AREA + 14), 0);
    expect_used(ring, 1, 0);
}

/* MF-1, PS-1: elements in the order of the list; one used descriptor for it; the ID is the last's.
 */
static void test_list(void **state)
{
    struct ring *ring = *state;
    const struct element elements[] = {{BUFFER_AREA, 16, 0},
                                       {HIGH_RAM, 32, 0},
                                       {HIGH_RAM + HIGH_SIZE - 1, 1, D_WRITE},
                                       {BUFFER_AREA + 64, 100, D_WRITE}};
    uint32_t length = 0;

    start(ring, FEATURES);
    /* Four descriptors in seven: most lists run over the end of the ring. */
    for (uint16_t i = 0; i < 50; i++) {
        packed_add(&ring->packed, i, elements, 4);
        packed_add_buffer(&ring->packed, 1000, BUFFER_AREA, 5);
        assert_true(take(ring));
        assert_int_equal(ring->chain.id, i);
        assert_int_equal(ring->chain.slots, 4);
        assert_int_equal(ring->chain.readable, 2);
        assert_int_equal(ring->chain.count, 4);
        assert_true(ring->chain.readable_length == 48);
        assert_true(ring->chain.writable_length == 101);
        for (unsigned j = 0; j < 4; j++) {
            assert_ptr_equal(ring->chain.segments[j].hva, ram(&ring->driver, elements[j].gpa));
            assert_int_equal(ring->chain.segments[j].length, elements[j].length);
        }
        assert_ptr_equal(virtqueue_writable(&ring->chain, 1, &length),
                         ram(&ring->driver, BUFFER_AREA + 64));
        complete(ring, 101);
        expect_used(ring, i, 101);
        assert_true(take(ring));
        assert_int_equal(ring->chain.id, 1000);
        complete(ring, 5);
        expect_used(ring, 1000, 5);
    }
}

/* Every size up to the maximum, each a few laps: wrap counters, full rings, whole-ring lists. */
static void test_every_size(void **state)
{
    struct ring *ring = *state;

    for (uint16_t size = 1; size <= VIRTQUEUE_SIZE_MAX; size++) {
        struct element elements[VIRTQUEUE_SIZE_MAX];

        start_sized(ring, FEATURES, size);
        for (uint16_t i = 0; i < size; i++) {
            elements[i] = (struct element){BUFFER_AREA + 16ULL * i, 1 + i, D_WRITE};
        }
        for (unsigned lap = 0; lap < 5; lap++) {
            for (uint16_t i = 0; i < size; i++) {
                packed_add(&ring->packed, i, &elements[i], 1);
            }
            for (uint16_t i = 0; i < size; i++) {
                assert_true(take(ring));
                assert_int_equal(ring->chain.id, i);
                complete(ring, i);
                expect_used(ring, i, i);
            }
            assert_true(nothing_to_take(ring));
            packed_add(&ring->packed, 77, elements, size);
            assert_true(take(ring));
            assert_int_equal(ring->chain.count, size);
            assert_int_equal(ring->chain.slots, size);
            assert_true(nothing_to_take(ring));
            complete(ring, 3);
            expect_used(ring, 77, 3);
            /* And one to be out of step with the ring's start. */
            packed_add_buffer(&ring->packed, 5, BUFFER_AREA, 8);
            assert_true(take(ring));
            complete(ring, 8);
            expect_used(ring, 5, 8);
        }
        assert_null(ring->queue.breach);
    }
}

/* PQ-1, PQ-2: taken in ring order, and used descriptors in the order of completion. */
static void test_out_of_order_completion(void **state)
{
    struct ring *ring = *state;
    struct virtqueue_chain first;
    const struct element list[] = {{BUFFER_AREA, 8, D_WRITE}, {BUFFER_AREA, 8, D_WRITE}};

    start(ring, FEATURES);
    for (unsigned i = 0; i < 20; i++) {
        packed_add(&ring->packed, 2, list, 2);
        packed_add_buffer(&ring->packed, 4, BUFFER_AREA, 8);
        assert_true(virtqueue_take(&ring->queue, &first));
        assert_int_equal(first.id, 2);
        assert_true(take(ring));
        assert_int_equal(ring->chain.id, 4);
        complete(ring, 8);
        virtqueue_complete(&ring->queue, &first, 7);
        expect_used(ring, 4, 8);
        expect_used(ring, 2, 7);
    }
}

/* PD-1, PD-4: a device that takes and completes writes one descriptor and its event word. */
static void test_writes_only_what_it_may(void **state)
{
    struct ring *ring = *state;
    const struct element elements[] = {{BUFFER_AREA, 16, 0}, {BUFFER_AREA + 16, 16, D_WRITE}};
    uint8_t *before = malloc(LOW_SIZE);

    assert_non_null(before);
    start(ring, FEATURES | F_EVENT_IDX);
    memset(ram(&ring->driver, BUFFER_AREA), 0xa5, 0x1000);
    packed_add(&ring->packed, 3, elements, 2);
    memcpy(before, ring->driver.low, LOW_SIZE);
    assert_true(take(ring));
    complete(ring, 16);
    assert_true(nothing_to_take(ring));
    (void)virtqueue_must_notify(&ring->queue);
    for (uint64_t gpa = LOW_RAM; gpa < LOW_RAM + LOW_SIZE; gpa++) {
        bool used = gpa >= DESC_AREA + 8 && gpa < DESC_AREA + 16;

        if (!used && (gpa < USED_AREA || gpa >= USED_AREA + 4)) {
            assert_int_equal(*ram(&ring->driver, gpa), before[gpa - LOW_RAM]);
        }
    }
    free(before);
}

/* PD-3: only a flag that changed makes a descriptor available; equal or stale bits do not. */
static void test_not_available(void **state)
{
    struct ring *ring = *state;
    const struct element element = {BUFFER_AREA, 8, D_WRITE};
    const uint16_t first_lap[] = {0, D_USED, D_AVAIL | D_USED};
    const uint16_t second_lap[] = {0, D_AVAIL, D_AVAIL | D_USED};

    start(ring, FEATURES);
    packed_write(&ring->packed, 0, &element, 9);
    for (unsigned i = 0; i < 3; i++) {
        packed_flags(&ring->packed, 0, first_lap[i] | D_WRITE);
        assert_true(nothing_to_take(ring));
    }
    for (uint16_t i = 0; i < SIZE; i++) {
        packed_add_buffer(&ring->packed, i, BUFFER_AREA, 8);
        assert_true(take(ring));
        complete(ring, 8);
        expect_used(ring, i, 8);
    }
    packed_write(&ring->packed, 0, &element, 9);
    for (unsigned i = 0; i < 3; i++) {
        packed_flags(&ring->packed, 0, second_lap[i] | D_WRITE);
        assert_true(nothing_to_take(ring));
    }
    packed_flags(&ring->packed, 0, D_USED | D_WRITE);
    assert_true(take(ring));
    assert_int_equal(ring->chain.id, 9);
    assert_null(ring->queue.breach);
}

/* 2.8.7: entries in sequence, of whose flags only the write flag counts, and whose IDs do not. */
static void test_indirect(void **state)
{
    struct ring *ring = *state;
    const struct element pointer = {TABLE_AREA + 8, 4 * 16, D_INDIRECT | D_WRITE};

    start(ring, FEATURES | F_INDIRECT);
    for (unsigned i = 0; i < 4; i++) {
        uint16_t noise = (uint16_t)(D_NEXT | D_INDIRECT | (i % 2 == 0 ? D_AVAIL : D_USED));

        /* The split layout's `next` is where this one has its flags, and its flags are the ID. */
        set_descriptor(&ring->driver, TABLE_AREA + 8, i, BUFFER_AREA + 16ULL * i, 4 + i, 0x1234,
                       (uint16_t)((i >= 1 ? D_WRITE : 0) | noise));
    }
    packed_add(&ring->packed, 11, &pointer, 1);
    assert_true(take(ring));
    assert_int_equal(ring->chain.id, 11);
    assert_int_equal(ring->chain.slots, 1);
    assert_int_equal(ring->chain.readable, 1);
    assert_int_equal(ring->chain.count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_ptr_equal(ring->chain.segments[i].hva, ram(&ring->driver, BUFFER_AREA + 16ULL * i));
        assert_int_equal(ring->chain.segments[i].length, 4 + i);
    }
    complete(ring, 18);
    expect_used(ring, 11, 18);

    /* As many entries as the queue is long, and not one more. */
    for (unsigned i = 0; i <= SIZE; i++) {
        set_descriptor(&ring->driver, TABLE_AREA, i, BUFFER_AREA, 1, 0, D_WRITE);
    }
    const struct element full = {TABLE_AREA, SIZE * 16, D_INDIRECT};
    const struct element longer = {TABLE_AREA, (SIZE + 1) * 16, D_INDIRECT};

    packed_add(&ring->packed, 12, &full, 1);
    assert_true(take(ring));
    assert_int_equal(ring->chain.count, SIZE);
    complete(ring, SIZE);
    expect_used(ring, 12, SIZE);
    assert_true(virtqueue_must_notify(&ring->queue));
    packed_add(&ring->packed, 13, &longer, 1);
    expect_breach(ring, "chain longer than the queue");
}

static uint32_t device_event(struct ring *ring)
{
    return peek32(&ring->driver, USED_AREA);
}

/* Completes one buffer and tells whether the driver is to be notified. */
static bool notifies(struct ring *ring)
{
    packed_add_buffer(&ring->packed, 1, BUFFER_AREA, 8);
    assert_true(take(ring));
    complete(ring, 8);
    expect_used(ring, 1, 8);
    return virtqueue_must_notify(&ring->queue);
}

/* 2.8.10 without EVENT_IDX: on or off; the other values are not valid and mean on. */
static void test_event_flags(void **state)
{
    struct ring *ring = *state;

    start(ring, FEATURES);
    memset(ram(&ring->driver, USED_AREA), 0xff, 4);
    virtqueue_start(&ring->queue, &virtqueue_packed, FEATURES);
    assert_int_equal(device_event(ring), 0);
    assert_false(virtqueue_must_notify(&ring->queue));
    assert_true(notifies(ring));
    assert_false(virtqueue_must_notify(&ring->queue));
    packed_wish(&ring->packed, EVENT_DISABLE, 1, true);
    assert_false(notifies(ring));
    packed_wish(&ring->packed, EVENT_DESC, 0, false);
    assert_true(notifies(ring));
    packed_wish(&ring->packed, 3, 0, false);
    assert_true(notifies(ring));
    packed_wish(&ring->packed, 0xfffc | EVENT_DISABLE, 0, false);
    assert_false(notifies(ring));
    packed_wish(&ring->packed, 0xfffc, 0, false);
    assert_true(notifies(ring));
    assert_true(nothing_to_take(ring));
    assert_int_equal(device_event(ring), 0);
}

/* With EVENT_IDX: exactly the descriptor named, with its wrap counter, whatever the size. */
static void test_event_position(void **state)
{
    struct ring *ring = *state;

    for (uint16_t size = 1; size <= 9; size++) {
        start_sized(ring, FEATURES | F_EVENT_IDX, size);
        for (unsigned i = 0; i < 8U * size; i++) {
            uint16_t next = ring->packed.used;
            bool wrap = ring->packed.used_wrap;

            packed_wish(&ring->packed, EVENT_DESC, next, i % 3 == 0 ? wrap : !wrap);
            assert_int_equal(notifies(ring), i % 3 == 0);
            if (size > 1) {
                packed_wish(&ring->packed, EVENT_DESC, (uint16_t)((ring->packed.used + 1) % size),
                            ring->packed.used + 1 < size ? ring->packed.used_wrap
                                                         : !ring->packed.used_wrap);
                assert_false(notifies(ring));
            }
        }
        packed_wish(&ring->packed, EVENT_DISABLE, 0, false);
        assert_false(notifies(ring));
        packed_wish(&ring->packed, EVENT_ENABLE, 0, false);
        assert_true(notifies(ring));
        packed_wish(&ring->packed, 3, 0, false);
        assert_true(notifies(ring));
        /* A place beyond the ring is none: the driver must not be left waiting for it. */
        packed_wish(&ring->packed, EVENT_DESC, size, true);
        assert_true(notifies(ring));
        packed_wish(&ring->packed, EVENT_DESC, 0x7fff, false);
        assert_true(notifies(ring));
    }
}

/* In a batch any of the positions passed counts, those within a list included. */
static void test_event_position_in_batches(void **state)
{
    struct ring *ring = *state;
    const struct element list[] = {{BUFFER_AREA, 8, D_WRITE}, {BUFFER_AREA, 8, D_WRITE}};

    start(ring, FEATURES | F_EVENT_IDX);
    for (unsigned round = 0; round < 2U * SIZE * SIZE; round++) {
        unsigned ahead = round % SIZE; /* of the first position of this batch of five */
        unsigned offset = ring->packed.used + ahead;
        bool wrap = offset < SIZE ? ring->packed.used_wrap : !ring->packed.used_wrap;

        packed_wish(&ring->packed, EVENT_DESC, (uint16_t)(offset % SIZE), wrap);
        packed_add(&ring->packed, 1, list, 2);
        packed_add_buffer(&ring->packed, 2, BUFFER_AREA, 8);
        packed_add(&ring->packed, 3, list, 2);
        for (uint16_t id = 1; id <= 3; id++) {
            assert_true(take(ring));
            complete(ring, 8);
            expect_used(ring, id, 8);
        }
        assert_int_equal(virtqueue_must_notify(&ring->queue), ahead < 5);
    }
}

/* More than two laps between two looks: the position was passed for sure. */
static void test_event_position_after_laps(void **state)
{
    struct ring *ring = *state;

    start_sized(ring, FEATURES | F_EVENT_IDX, 1);
    packed_wish(&ring->packed, EVENT_DESC, 0, true);
    for (unsigned i = 0; i < 2; i++) {
        packed_add_buffer(&ring->packed, 1, BUFFER_AREA, 8);
        assert_true(take(ring));
        complete(ring, 8);
        expect_used(ring, 1, 8);
    }
    assert_true(virtqueue_must_notify(&ring->queue));
}

/* An empty ring asks for a kick at the next descriptor; a ring with work left does not. */
static void test_device_event(void **state)
{
    struct ring *ring = *state;

    start(ring, FEATURES | F_EVENT_IDX);
    assert_int_equal(device_event(ring), 0);
    assert_true(nothing_to_take(ring));
    assert_int_equal(device_event(ring), 0x28000);
    for (uint16_t i = 0; i < SIZE; i++) {
        packed_add_buffer(&ring->packed, i, BUFFER_AREA, 8);
        assert_true(take(ring));
        complete(ring, 8);
        expect_used(ring, i, 8);
        assert_int_equal(device_event(ring), i < 3 ? 0x28000 : 0x28003);
        if (i == 2) {
            assert_true(nothing_to_take(ring));
            assert_int_equal(device_event(ring), 0x28003);
        }
    }
    assert_true(nothing_to_take(ring));
    assert_int_equal(device_event(ring), 0x20000);
}

/*
 * The driver makes a descriptor available after the device found none, but before the device's
 * wish is there, so that it does not kick: the device must look once more.
 */
static struct ring *racing;

static void add_while_rearming(int number)
{
    (void)number;
    mprotect(ram(&racing->driver, USED_AREA), 0x1000, PROT_READ | PROT_WRITE);
    packed_add_buffer(&racing->packed, 0, BUFFER_AREA, 8);
}

static void test_buffer_added_while_rearming(void **state)
{
    struct ring *ring = *state;
    struct sigaction action = {.sa_handler = add_while_rearming};
    struct sigaction before;
    uint8_t *pages =
        mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *heap = ring->driver.low;

    assert_ptr_not_equal(pages, MAP_FAILED);
    ring->driver.low = pages;
    ring->driver.memory.regions[0].hva = pages;
    start(ring, FEATURES | F_EVENT_IDX);
    racing = ring;
    assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
    assert_int_equal(mprotect(ram(&ring->driver, USED_AREA), 0x1000, PROT_READ), 0);
    bool taken = take(ring);

    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    assert_int_equal(ring->packed.avail, 1);
    assert_true(taken);
    ring->driver.low = heap;
    munmap(pages, LOW_SIZE);
}

/* With IN_ORDER a device that completes in another order breaks the queue, not the promise: RF-3.
 */
static void test_in_order(void **state)
{
    struct ring *ring = *state;
    struct virtqueue_chain first;
    const struct element list[] = {{BUFFER_AREA, 8, D_WRITE}, {BUFFER_AREA, 8, D_WRITE}};

    start(ring, FEATURES | 1ULL << 35);
    packed_add(&ring->packed, 2, list, 2);
    packed_add_buffer(&ring->packed, 4, BUFFER_AREA, 8);
    packed_add_buffer(&ring->packed, 5, BUFFER_AREA, 8);
    assert_true(virtqueue_take(&ring->queue, &first));
    assert_true(take(ring));
    virtqueue_complete(&ring->queue, &first, 8);
    complete(ring, 8);
    expect_used(ring, 2, 8);
    expect_used(ring, 4, 8);
    packed_add_buffer(&ring->packed, 6, BUFFER_AREA, 8);
    assert_true(virtqueue_take(&ring->queue, &first));
    assert_true(take(ring));
    complete(ring, 8);
    expect_nothing_used(ring);
    assert_string_equal(ring->queue.breach, "buffer completed out of order by the device");
}

static void test_bad_sizes(void **state)
{
    struct ring *ring = *state;
    const uint32_t sizes[] = {0, 65, 128, 0x8000, 0x10001, 0x80000000, UINT32_MAX};

    packed_init(&ring->packed, &ring->driver, SIZE);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        virtqueue_reset(&ring->queue);
        configure(ring, sizes[i], DESC_AREA, AVAIL_AREA, USED_AREA);
        virtqueue_start(&ring->queue, &virtqueue_packed, FEATURES);
        expect_breach(ring, "queue size not from 1 to the maximum");
    }
}

static void test_bad_addresses(void **state)
{
    struct ring *ring = *state;
    static const char misaligned[] = "misaligned ring address";
    static const char outside[] = "ring outside guest memory";
    static const char overlap[] = "overlapping rings";
    const struct {
        uint64_t desc, driver, device;
        const char *breach;
    } cases[] = {
        {DESC_AREA + 8, AVAIL_AREA, USED_AREA, misaligned},
        {DESC_AREA, AVAIL_AREA + 2, USED_AREA, misaligned},
        {DESC_AREA, AVAIL_AREA, USED_AREA + 2, misaligned},
        {0, AVAIL_AREA, USED_AREA, outside},
        {DESC_AREA, 0, USED_AREA, outside},
        {DESC_AREA, AVAIL_AREA, 0, outside},
        {DESC_AREA, AVAIL_AREA, REGISTERS, outside},
        {UINT64_MAX - 15, AVAIL_AREA, USED_AREA, outside},
        {DESC_AREA, UINT64_MAX - 3, USED_AREA, outside},
        {LOW_RAM + LOW_SIZE - 16 * SIZE + 16, AVAIL_AREA, USED_AREA, outside},
        {DESC_AREA, LOW_RAM + LOW_SIZE, USED_AREA, outside},
        {DESC_AREA, AVAIL_AREA, LOW_RAM - 4, outside},
        {DESC_AREA, DESC_AREA + 16 * SIZE - 4, USED_AREA, overlap},
        {DESC_AREA, AVAIL_AREA, DESC_AREA, overlap},
        {DESC_AREA, AVAIL_AREA, AVAIL_AREA, overlap},
    };

    packed_init(&ring->packed, &ring->driver, SIZE);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        virtqueue_reset(&ring->queue);
        configure(ring, SIZE, cases[i].desc, cases[i].driver, cases[i].device);
        virtqueue_start(&ring->queue, &virtqueue_packed, FEATURES);
        expect_breach(ring, cases[i].breach);
    }
    virtqueue_reset(&ring->queue);
    configure(ring, SIZE, LOW_RAM + LOW_SIZE - 16 * SIZE, LOW_RAM + LOW_SIZE - 16 * SIZE - 4,
              LOW_RAM + LOW_SIZE - 16 * SIZE - 8);
    virtqueue_start(&ring->queue, &virtqueue_packed, FEATURES | F_EVENT_IDX);
    assert_true(nothing_to_take(ring));
    assert_null(ring->queue.breach);
}

/* One hostile list: up to three descriptors from the start of the ring, and the breach it is. */
struct hostile {
    const char *breach;
    struct element elements[3];
};

static const char outside_ram[] = "buffer outside guest memory";
static const char zero[] = "descriptor of length 0";
static const char order[] = "device-readable descriptor after a device-writable one";
static const char in_list[] = "indirect descriptor in a list";
static const char bad_length[] = "indirect table of a length that is no multiple of 16";
static const char bad_table[] = "indirect table outside guest memory";
static const char incomplete[] = "list made available before it was complete";

#define A D_AVAIL
#define B BUFFER_AREA
#define T TABLE_AREA
#define I (A | D_INDIRECT)
#define W (A | D_WRITE)

static const struct hostile cases[] = {
    {zero, {{B, 0, W}}},
    {zero, {{B, 8, W | D_NEXT}, {B, 0, W}}},
    {order, {{B, 8, W | D_NEXT}, {B, 8, A}}},
    {order, {{B, 8, A | D_NEXT}, {B, 8, W | D_NEXT}, {B, 8, A}}},
    {outside_ram, {{0, 8, W}}},
    {outside_ram, {{LOW_RAM + LOW_SIZE - 7, 8, W}}},
    {outside_ram, {{REGISTERS, 64, W}}},
    {outside_ram, {{UINT64_MAX - 3, 0xffffffff, W}}},
    {outside_ram, {{B, 8, W | D_NEXT}, {UINT64_MAX, 1, W}}},
    {incomplete, {{B, 8, W | D_NEXT}}},
    {incomplete, {{B, 8, W | D_NEXT}, {B, 8, D_WRITE}}},
    {incomplete, {{B, 8, W | D_NEXT}, {B, 8, W | D_USED}}},
    {incomplete, {{B, 8, W | D_NEXT}, {B, 8, D_USED | D_WRITE}}},
    {in_list, {{T, 16, I | D_NEXT}, {B, 8, W}}},
    {in_list, {{B, 8, W | D_NEXT}, {T, 16, I}}},
    {in_list, {{B, 8, A | D_NEXT}, {T, 16, I | D_NEXT}, {B, 8, W}}},
    {bad_length, {{T, 0, I}}},
    {bad_length, {{T, 17, I}}},
    {bad_length, {{T, 0xffffffff, I}}},
    {bad_table, {{0, 16, I}}},
    {bad_table, {{LOW_RAM + LOW_SIZE - 8, 16, I}}},
    {bad_table, {{UINT64_MAX - 7, 16, I}}},
    {bad_table, {{T, 0xfffffff0, I}}},
    {zero, {{T, 16, I}}}, /* the table is all zeros */
};

static void test_hostile_lists(void **state)
{
    struct ring *ring = *state;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start(ring, FEATURES | F_INDIRECT);
        for (uint16_t j = 0; j < 3; j++) {
            packed_write(&ring->packed, j, &cases[i].elements[j], j);
            packed_flags(&ring->packed, j, cases[i].elements[j].flags);
        }
        expect_breach(ring, cases[i].breach);
        /* A reset mends it. */
        virtqueue_reset(&ring->queue);
        start(ring, FEATURES | F_INDIRECT);
        packed_add_buffer(&ring->packed, 1, B, 8);
        assert_true(take(ring));
    }
    const struct element pointer = {T, 16, D_INDIRECT};

    start(ring, FEATURES);
    packed_add(&ring->packed, 1, &pointer, 1);
    expect_breach(ring, "indirect descriptor without the feature");
}

/* A list that never ends: all descriptors with NEXT. */
static void test_endless_list(void **state)
{
    struct ring *ring = *state;
    const struct element element = {B, 8, W};

    for (uint16_t size = 1; size <= VIRTQUEUE_SIZE_MAX; size++) {
        start_sized(ring, FEATURES, size);
        for (uint16_t i = 0; i < size; i++) {
            packed_write(&ring->packed, i, &element, i);
            packed_flags(&ring->packed, i, W | D_NEXT);
        }
        expect_breach(ring, incomplete);
    }
}

/* A descriptor made available for the next lap while the device still has the buffer: 2.8.15. */
static void test_overtaking_driver(void **state)
{
    struct ring *ring = *state;

    start(ring, FEATURES);
    for (uint16_t i = 0; i <= SIZE; i++) {
        packed_add_buffer(&ring->packed, i, B, 8);
        if (i < SIZE) {
            assert_true(take(ring));
        }
    }
    expect_breach(ring, "descriptor made available before it was used");
}

/* More than 2^32 bytes by adding one big buffer up; this needs RAM that is only claimed. */
static void test_list_of_4_gib(void **state)
{
    struct ring *ring = *state;
    struct guest_memory memory = {0};
    const uint64_t big = 0x200000000;
    const uint32_t size = 0x80000000;
    const struct element list[] = {
        {big, size, D_WRITE}, {big, size, D_WRITE}, {BUFFER_AREA, 1, D_WRITE}};

    assert_true(guest_memory_add(&memory, LOW_RAM, LOW_SIZE, ring->driver.low));
    /* Never touched, so the smaller block behind it does not matter. */
    assert_true(guest_memory_add(&memory, big, size, ring->driver.high));
    ring->queue.memory = &memory;
    start(ring, FEATURES);
    packed_add(&ring->packed, 1, list, 2);
    assert_true(take(ring));
    assert_true(ring->chain.writable_length == 0x100000000);
    packed_add(&ring->packed, 1, list, 3);
    expect_breach(ring, "chain of more than 2^32 bytes");
}

/* Two threads and EVENT_IDX on both sides: whoever sleeps is woken. */
#define EXCHANGES 20000

struct exchange {
    struct ring *ring;
    sem_t kick;
    sem_t interrupt;
};

static void wait_for(sem_t *semaphore)
{
    struct timespec limit;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 20;
    if (sem_timedwait(semaphore, &limit) != 0) {
        abort();
    }
}

static void *device_thread(void *argument)
{
    struct exchange *exchange = argument;
    struct ring *ring = exchange->ring;
    unsigned done = 0;

    for (;;) {
        while (take(ring)) {
            complete(ring, 8);
            done++;
            if (virtqueue_must_notify(&ring->queue)) {
                sem_post(&exchange->interrupt);
            }
        }
        if (done == EXCHANGES) {
            return NULL;
        }
        wait_for(&exchange->kick);
    }
}

/* 2.8.10: whether a kick is wanted for the `count` descriptors before the next one. */
static bool kick_wanted(struct packed *packed, unsigned count)
{
    uint32_t event =
        __atomic_load_n((uint32_t *)(void *)ram(packed->driver, USED_AREA), __ATOMIC_ACQUIRE);
    unsigned place = packed->avail + (packed->avail_wrap ? 0U : packed->size);

    if (event >> 16 != EVENT_DESC) {
        return event >> 16 != EVENT_DISABLE;
    }
    for (unsigned i = 1; i <= count; i++) {
        unsigned before = (place + 2U * packed->size - i) % (2U * packed->size);
        bool wrap = before < packed->size;

        if ((event & 0x7fff) == before % packed->size && ((event >> 15 & 1) != 0) == wrap) {
            return true;
        }
    }
    return false;
}

static void set_wish(struct packed *packed)
{
    uint32_t word = packed->used | (packed->used_wrap ? 0x8000U : 0) | EVENT_DESC << 16;

    __atomic_store_n((uint32_t *)(void *)ram(packed->driver, AVAIL_AREA), word, __ATOMIC_RELEASE);
}

static void test_no_lost_notification(void **state)
{
    struct ring *ring = *state;
    struct packed *packed = &ring->packed;
    struct exchange exchange = {.ring = ring};
    pthread_t thread;
    unsigned added = 0;
    unsigned seen = 0;

    sem_init(&exchange.kick, 0, 0);
    sem_init(&exchange.interrupt, 0, 0);
    start(ring, FEATURES | F_EVENT_IDX);
    assert_int_equal(pthread_create(&thread, NULL, device_thread, &exchange), 0);
    while (seen < EXCHANGES) {
        unsigned count = 0;
        uint16_t id;
        uint32_t length;
        bool written;

        while (added < EXCHANGES && added - seen < SIZE) {
            packed_add_buffer(packed, (uint16_t)(added % SIZE), BUFFER_AREA, 8);
            added++;
            count++;
        }
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (count > 0 && kick_wanted(packed, count)) {
            sem_post(&exchange.kick);
        }
        set_wish(packed);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        unsigned before = seen;

        while (packed_get_used(packed, &id, &length, &written)) {
            assert_int_equal(id, seen % SIZE);
            seen++;
        }
        if (seen == before) {
            wait_for(&exchange.interrupt);
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(added, EXCHANGES);
    sem_destroy(&exchange.kick);
    sem_destroy(&exchange.interrupt);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_one_buffer),
        TEST(test_write_flag),
        TEST(test_list),
        TEST(test_every_size),
        TEST(test_out_of_order_completion),
        TEST(test_writes_only_what_it_may),
        TEST(test_not_available),
        TEST(test_indirect),
        TEST(test_event_flags),
        TEST(test_event_position),
        TEST(test_event_position_in_batches),
        TEST(test_event_position_after_laps),
        TEST(test_device_event),
        TEST(test_buffer_added_while_rearming),
        TEST(test_in_order),
        TEST(test_bad_sizes),
        TEST(test_bad_addresses),
        TEST(test_hostile_lists),
        TEST(test_endless_list),
        TEST(test_overtaking_driver),
        TEST(test_list_of_4_gib),
        TEST(test_no_lost_notification),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
