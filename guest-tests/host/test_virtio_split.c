/* Tests of the split virtqueue: what a driver may do, and each thing it must not do. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>

#include "guest-tests/host/virtio_driver.h"
#include "virtio/split.h"

#define SIZE 8ULL

struct ring {
    struct driver driver;
    struct virtqueue queue;
    struct virtqueue_chain chain;
};

static int set_up(void **state)
{
    struct ring *ring = calloc(1, sizeof(*ring));

    driver_init(&ring->driver);
    ring->driver.size = SIZE;
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

static void configure(struct ring *ring, uint32_t size, uint64_t desc, uint64_t avail,
                      uint64_t used)
{
    ring->queue.size = size;
    ring->queue.descriptor_area = desc;
    ring->queue.driver_area = avail;
    ring->queue.device_area = used;
}

static void start(struct ring *ring, uint64_t features)
{
    configure(ring, SIZE, DESC_AREA, AVAIL_AREA, USED_AREA);
    virtqueue_start(&ring->queue, &virtqueue_split, features);
    assert_null(ring->queue.breach);
}

static bool take(struct ring *ring)
{
    return virtqueue_take(&ring->queue, &ring->chain);
}

static void complete(struct ring *ring, uint32_t length)
{
    virtqueue_complete(&ring->queue, &ring->chain, length);
}

/* A take that must end as this breach, for good. */
static void expect_breach(struct ring *ring, const char *breach)
{
    uint16_t used = used_idx(&ring->driver);

    assert_false(take(ring));
    assert_non_null(ring->queue.breach);
    assert_string_equal(ring->queue.breach, breach);
    assert_false(take(ring));
    complete(ring, 1);
    assert_int_equal(used_idx(&ring->driver), used);
    assert_false(virtqueue_must_notify(&ring->queue));
}

static void test_one_buffer(void **state)
{
    struct ring *ring = *state;
    uint32_t id = 0;
    uint32_t length = 0;

    start(ring, F_VERSION_1);
    assert_false(take(ring));
    add_buffer(&ring->driver, 5, BUFFER_AREA, 64);
    assert_true(take(ring));
    assert_int_equal(ring->chain.id, 5);
    assert_int_equal(ring->chain.count, 1);
    assert_int_equal(ring->chain.readable, 0);
    assert_true(ring->chain.readable_length == 0);
    assert_true(ring->chain.writable_length == 64);
    assert_ptr_equal(ring->chain.segments[0].hva, ram(&ring->driver, BUFFER_AREA));
    assert_int_equal(ring->chain.segments[0].length, 64);
    assert_false(take(ring));
    assert_false(get_used(&ring->driver, &id, &length));
    complete(ring, 37);
    assert_true(get_used(&ring->driver, &id, &length));
    assert_int_equal(id, 5);
    assert_int_equal(length, 37);
    assert_false(get_used(&ring->driver, &id, &length));
    assert_null(ring->queue.breach);
}

/* MF-1 and 2.7.4: readable segments first, in the order of the chain, wherever they lie. */
static void test_scattered_chain(void **state)
{
    struct ring *ring = *state;
    uint32_t length = 0;

    start(ring, F_VERSION_1);
    describe(&ring->driver, 6, BUFFER_AREA, 16, D_NEXT, 1);
    describe(&ring->driver, 1, HIGH_RAM, 32, D_NEXT, 7);
    describe(&ring->driver, 7, HIGH_RAM + HIGH_SIZE - 1, 1, D_NEXT | D_WRITE, 0);
    describe(&ring->driver, 0, BUFFER_AREA + 64, 100, D_WRITE, 6);
    make_available(&ring->driver, 6);
    assert_true(take(ring));
    assert_int_equal(ring->chain.id, 6);
    assert_int_equal(ring->chain.readable, 2);
    assert_int_equal(ring->chain.count, 4);
    assert_true(ring->chain.readable_length == 48);
    assert_true(ring->chain.writable_length == 101);

    assert_ptr_equal(virtqueue_writable(&ring->chain, 0, &length),
                     ring->driver.high + HIGH_SIZE - 1);
    assert_int_equal(length, 1);
    assert_ptr_equal(virtqueue_writable(&ring->chain, 1, &length),
                     ram(&ring->driver, BUFFER_AREA + 64));
    assert_int_equal(length, 100);
    assert_ptr_equal(virtqueue_writable(&ring->chain, 100, &length),
                     ram(&ring->driver, BUFFER_AREA + 163));
    assert_int_equal(length, 1);
    assert_null(virtqueue_writable(&ring->chain, 101, &length));
    assert_null(virtqueue_writable(&ring->chain, UINT64_MAX, &length));
}

/* What an earlier chain left behind is no part of a shorter one. */
static void test_writable_ends_with_the_chain(void **state)
{
    struct ring *ring = *state;
    uint32_t length = 0;

    start(ring, F_VERSION_1);
    describe(&ring->driver, 0, BUFFER_AREA, 10, D_WRITE | D_NEXT, 1);
    describe(&ring->driver, 1, BUFFER_AREA + 100, 20, D_WRITE, 0);
    make_available(&ring->driver, 0);
    make_available(&ring->driver, 1);
    assert_true(take(ring));
    assert_int_equal(ring->chain.count, 2);
    assert_true(take(ring));
    assert_int_equal(ring->chain.count, 1);
    assert_non_null(virtqueue_writable(&ring->chain, 19, &length));
    assert_null(virtqueue_writable(&ring->chain, 20, &length));
}

/* The whole of a chain as long as the queue, and idx far past 2^16 in steps of the queue's size. */
static void test_full_queue_and_wrap(void **state)
{
    struct ring *ring = *state;
    uint32_t id = 0;
    uint32_t length = 0;

    start(ring, F_VERSION_1);
    for (uint16_t i = 0; i < SIZE; i++) {
        describe(&ring->driver, i, BUFFER_AREA + 16ULL * i, 16,
                 D_WRITE | (i < SIZE - 1 ? D_NEXT : 0), i + 1);
    }
    make_available(&ring->driver, 0);
    assert_true(take(ring));
    assert_int_equal(ring->chain.count, SIZE);
    complete(ring, 128);
    assert_true(get_used(&ring->driver, &id, &length));

    for (unsigned round = 0; round < 9000; round++) {
        for (uint16_t i = 0; i < SIZE; i++) {
            add_buffer(&ring->driver, i, BUFFER_AREA + 16ULL * i, 1 + i);
        }
        for (uint16_t i = 0; i < SIZE; i++) {
            assert_true(take(ring));
            assert_int_equal(ring->chain.id, i);
            complete(ring, i);
            assert_true(get_used(&ring->driver, &id, &length));
            assert_int_equal(id, i);
            assert_int_equal(length, i);
        }
        assert_false(take(ring));
    }
    assert_int_equal(used_idx(&ring->driver), (uint16_t)(9000 * SIZE + 1));
}

/* Buffers may come back in another order than they went. */
static void test_out_of_order_completion(void **state)
{
    struct ring *ring = *state;
    struct virtqueue_chain first;
    uint32_t id = 0;
    uint32_t length = 0;

    start(ring, F_VERSION_1);
    add_buffer(&ring->driver, 2, BUFFER_AREA, 8);
    add_buffer(&ring->driver, 4, BUFFER_AREA, 8);
    assert_true(virtqueue_take(&ring->queue, &first));
    assert_true(take(ring));
    complete(ring, 8);
    virtqueue_complete(&ring->queue, &first, 7);
    assert_true(get_used(&ring->driver, &id, &length));
    assert_int_equal(id, 4);
    assert_int_equal(length, 8);
    assert_true(get_used(&ring->driver, &id, &length));
    assert_int_equal(id, 2);
    assert_int_equal(length, 7);
}

/* DT-1, DT-3: a device that only takes and completes writes to the used ring alone. */
static void test_writes_only_the_used_ring(void **state)
{
    struct ring *ring = *state;
    uint8_t *before = malloc(LOW_SIZE);

    assert_non_null(before);
    start(ring, F_VERSION_1 | F_EVENT_IDX);
    memset(ram(&ring->driver, BUFFER_AREA), 0xa5, 0x1000);
    describe(&ring->driver, 0, BUFFER_AREA, 16, D_NEXT, 1);
    describe(&ring->driver, 1, BUFFER_AREA + 16, 16, D_WRITE, 0);
    make_available(&ring->driver, 0);
    memcpy(before, ring->driver.low, LOW_SIZE);
    assert_true(take(ring));
    complete(ring, 16);
    assert_false(take(ring));
    (void)virtqueue_must_notify(&ring->queue);
    for (uint64_t gpa = LOW_RAM; gpa < LOW_RAM + LOW_SIZE; gpa++) {
        if (gpa < USED_AREA || gpa >= USED_AREA + 6 + 8 * SIZE) {
            assert_int_equal(*ram(&ring->driver, gpa), before[gpa - LOW_RAM]);
        }
    }
    free(before);
}

/* ID-1, ID-2: direct descriptors, then one indirect table, whose own write flag means nothing. */
static void test_indirect(void **state)
{
    struct ring *ring = *state;

    start(ring, F_VERSION_1 | F_INDIRECT);
    describe(&ring->driver, 3, BUFFER_AREA, 8, D_NEXT, 4);
    describe(&ring->driver, 4, TABLE_AREA + 8, 3 * 16, D_INDIRECT | D_WRITE, 0);
    set_descriptor(&ring->driver, TABLE_AREA + 8, 0, BUFFER_AREA + 8, 4, D_NEXT, 2);
    set_descriptor(&ring->driver, TABLE_AREA + 8, 2, BUFFER_AREA + 16, 5, D_WRITE | D_NEXT, 1);
    set_descriptor(&ring->driver, TABLE_AREA + 8, 1, BUFFER_AREA + 32, 6, D_WRITE, 0);
    make_available(&ring->driver, 3);
    assert_true(take(ring));
    assert_int_equal(ring->chain.id, 3);
    assert_int_equal(ring->chain.readable, 2);
    assert_int_equal(ring->chain.count, 4);
    assert_ptr_equal(ring->chain.segments[1].hva, ram(&ring->driver, BUFFER_AREA + 8));
    assert_ptr_equal(ring->chain.segments[2].hva, ram(&ring->driver, BUFFER_AREA + 16));
    assert_ptr_equal(ring->chain.segments[3].hva, ram(&ring->driver, BUFFER_AREA + 32));
    assert_true(ring->chain.readable_length == 12);
    assert_true(ring->chain.writable_length == 11);

    /* As many segments as the queue is long are allowed, the pointer to the table apart. */
    describe(&ring->driver, 0, TABLE_AREA, SIZE * 16, D_INDIRECT, 0);
    for (uint16_t i = 0; i < SIZE; i++) {
        set_descriptor(&ring->driver, TABLE_AREA, i, BUFFER_AREA, 1,
                       D_WRITE | (i < SIZE - 1 ? D_NEXT : 0), i + 1);
    }
    make_available(&ring->driver, 0);
    assert_true(take(ring));
    assert_int_equal(ring->chain.count, SIZE);

    /* And not one more. */
    describe(&ring->driver, 0, TABLE_AREA, (SIZE + 1) * 16, D_INDIRECT, 0);
    set_descriptor(&ring->driver, TABLE_AREA, SIZE - 1, BUFFER_AREA, 1, D_WRITE | D_NEXT, SIZE);
    set_descriptor(&ring->driver, TABLE_AREA, SIZE, BUFFER_AREA, 1, D_WRITE, 0);
    make_available(&ring->driver, 0);
    expect_breach(ring, "chain longer than the queue");
}

/* UN-1, UN-2, UN-3, AN-1: without EVENT_IDX only the flag decides, and ours stays 0. */
static void test_notification_flags(void **state)
{
    struct ring *ring = *state;

    poke16(&ring->driver, USED_AREA, 0xffff);
    start(ring, F_VERSION_1);
    assert_int_equal(peek16(&ring->driver, USED_AREA), 0);
    assert_false(virtqueue_must_notify(&ring->queue));
    set_used_event(&ring->driver, 0x7777);
    add_buffer(&ring->driver, 0, BUFFER_AREA, 8);
    assert_true(take(ring));
    complete(ring, 8);
    assert_true(virtqueue_must_notify(&ring->queue));
    assert_false(virtqueue_must_notify(&ring->queue));

    set_no_interrupt(&ring->driver, 1);
    add_buffer(&ring->driver, 0, BUFFER_AREA, 8);
    assert_true(take(ring));
    complete(ring, 8);
    assert_false(virtqueue_must_notify(&ring->queue));

    /* The other bits of flags are reserved. */
    set_no_interrupt(&ring->driver, 0xfffe);
    add_buffer(&ring->driver, 0, BUFFER_AREA, 8);
    assert_true(take(ring));
    complete(ring, 8);
    assert_true(virtqueue_must_notify(&ring->queue));
    assert_false(take(ring));
    assert_int_equal(peek16(&ring->driver, USED_AREA), 0);
    assert_int_equal(avail_event(&ring->driver), 0);
}

/* UN-4, UN-5, UN-6, AN-2: with EVENT_IDX only used_event decides. */
static void test_event_idx(void **state)
{
    struct ring *ring = *state;

    start(ring, F_VERSION_1 | F_EVENT_IDX);
    set_no_interrupt(&ring->driver, 1);
    for (uint16_t i = 0; i < 300; i++) {
        /* Ask for the completion of this very buffer, of the one after, and of the one before. */
        uint16_t event = (uint16_t)(i % 3 == 0 ? i : i % 3 == 1 ? i + 1 : i - 1);

        set_used_event(&ring->driver, event);
        add_buffer(&ring->driver, i % SIZE, BUFFER_AREA, 8);
        assert_true(take(ring));
        complete(ring, 8);
        assert_int_equal(virtqueue_must_notify(&ring->queue), i % 3 == 0);
        assert_int_equal(peek16(&ring->driver, USED_AREA), 0);
    }
}

/* UN-5 for a batch: any of the indices written counts, around 2^16 as well. */
static void test_event_idx_batches(void **state)
{
    struct ring *ring = *state;

    start(ring, F_VERSION_1 | F_EVENT_IDX);
    for (unsigned round = 0; round < 16500; round++) {
        uint16_t before = used_idx(&ring->driver);
        uint16_t event = (uint16_t)(before - 2 + round % 8);

        set_used_event(&ring->driver, event);
        for (uint16_t i = 0; i < 4; i++) {
            add_buffer(&ring->driver, i, BUFFER_AREA, 8);
        }
        while (take(ring)) {
            complete(ring, 8);
        }
        bool within = round % 8 >= 2 && round % 8 < 6;

        assert_int_equal(virtqueue_must_notify(&ring->queue), within);
    }
}

/* 2.7.10: an empty ring asks for a kick at the next buffer; a ring with work left does not. */
static void test_avail_event(void **state)
{
    struct ring *ring = *state;

    start(ring, F_VERSION_1 | F_EVENT_IDX);
    assert_false(take(ring));
    assert_int_equal(avail_event(&ring->driver), 0);
    for (uint16_t i = 0; i < 3; i++) {
        add_buffer(&ring->driver, i, BUFFER_AREA, 8);
    }
    assert_true(take(ring));
    assert_true(take(ring));
    assert_true(take(ring));
    assert_int_equal(avail_event(&ring->driver), 0);
    assert_false(take(ring));
    assert_int_equal(avail_event(&ring->driver), 3);
}

/*
 * The driver adds a buffer after the device found the ring empty, but before avail_event is there,
 * so that it does not kick: the device must look once more. The used ring's page is read-only, and
 * the driver acts when the device's store to it traps.
 */
static struct ring *racing;

static void add_while_rearming(int number)
{
    (void)number;
    mprotect(ram(&racing->driver, USED_AREA), 0x1000, PROT_READ | PROT_WRITE);
    add_buffer(&racing->driver, 0, BUFFER_AREA, 8);
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
    start(ring, F_VERSION_1 | F_EVENT_IDX);
    racing = ring;
    assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
    assert_int_equal(mprotect(ram(&ring->driver, USED_AREA), 0x1000, PROT_READ), 0);
    bool taken = take(ring);

    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    assert_int_equal(ring->driver.avail_idx, 1);
    assert_true(taken);
    ring->driver.low = heap;
    munmap(pages, LOW_SIZE);
}

/*
 * UR-1, UR-2: the bytes and the element are there before idx says so. idx ends a page that is
 * read-only, the elements begin the next, and the driver looks when the store to idx traps.
 */
static bool idx_came_last;

static void look_at_idx(int number)
{
    struct driver *driver = &racing->driver;

    (void)number;
    idx_came_last = peek32(driver, USED_AREA + 0x1000) == 3 &&
                    peek32(driver, USED_AREA + 0x1004) == 16 &&
                    *ram(driver, BUFFER_AREA + 15) == 0x77;
    mprotect(ram(driver, USED_AREA), 0x1000, PROT_READ | PROT_WRITE);
}

static void test_used_idx_moves_last(void **state)
{
    struct ring *ring = *state;
    struct sigaction action = {.sa_handler = look_at_idx};
    struct sigaction before;
    uint8_t *pages =
        mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *heap = ring->driver.low;
    uint32_t room = 0;

    assert_ptr_not_equal(pages, MAP_FAILED);
    ring->driver.low = pages;
    ring->driver.memory.regions[0].hva = pages;
    configure(ring, SIZE, DESC_AREA, AVAIL_AREA, USED_AREA + 0xffc);
    virtqueue_start(&ring->queue, &virtqueue_split, F_VERSION_1);
    add_buffer(&ring->driver, 3, BUFFER_AREA, 16);
    assert_true(take(ring));
    racing = ring;
    idx_came_last = false;
    assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
    assert_int_equal(mprotect(ram(&ring->driver, USED_AREA), 0x1000, PROT_READ), 0);
    memset(virtqueue_writable(&ring->chain, 0, &room), 0x77, 16);
    complete(ring, 16);
    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    assert_true(idx_came_last);
    assert_int_equal(peek16(&ring->driver, USED_AREA + 0xffe), 1);
    ring->driver.low = heap;
    munmap(pages, LOW_SIZE);
}

/* RF-3: with IN_ORDER a device that completes in another order breaks the queue instead. */
static void test_in_order(void **state)
{
    struct ring *ring = *state;
    struct virtqueue_chain first;
    uint32_t id = 0;
    uint32_t length = 0;

    start(ring, F_VERSION_1 | 1ULL << 35);
    for (uint16_t i = 0; i < 4; i++) {
        add_buffer(&ring->driver, i, BUFFER_AREA, 8);
    }
    assert_true(virtqueue_take(&ring->queue, &first));
    assert_true(take(ring));
    virtqueue_complete(&ring->queue, &first, 8);
    complete(ring, 8);
    assert_true(get_used(&ring->driver, &id, &length));
    assert_int_equal(id, 0);
    assert_true(get_used(&ring->driver, &id, &length));
    assert_int_equal(id, 1);
    assert_true(virtqueue_take(&ring->queue, &first));
    assert_true(take(ring));
    complete(ring, 8);
    assert_false(get_used(&ring->driver, &id, &length));
    assert_string_equal(ring->queue.breach, "buffer completed out of order by the device");
}

static void test_bad_sizes(void **state)
{
    struct ring *ring = *state;
    const uint32_t sizes[] = {0, 3, 7, 65, 128, 0x8000, 0x10000, 0x10008, 0x80000000, UINT32_MAX};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        virtqueue_reset(&ring->queue);
        configure(ring, sizes[i], DESC_AREA, AVAIL_AREA, USED_AREA);
        virtqueue_start(&ring->queue, &virtqueue_split, F_VERSION_1);
        expect_breach(ring, "queue size not a power of two up to the maximum");
    }
    for (uint32_t size = 1; size <= 64; size *= 2) {
        virtqueue_reset(&ring->queue);
        configure(ring, size, DESC_AREA, AVAIL_AREA, USED_AREA);
        virtqueue_start(&ring->queue, &virtqueue_split, F_VERSION_1);
        assert_null(ring->queue.breach);
    }
}

static void test_bad_addresses(void **state)
{
    struct ring *ring = *state;
    static const char misaligned[] = "misaligned ring address";
    static const char outside[] = "ring outside guest memory";
    static const char overlap[] = "overlapping rings";
    const struct {
        uint64_t desc, avail, used;
        const char *breach;
    } cases[] = {
        {DESC_AREA + 8, AVAIL_AREA, USED_AREA, misaligned},
        {DESC_AREA, AVAIL_AREA + 1, USED_AREA, misaligned},
        {DESC_AREA, AVAIL_AREA, USED_AREA + 2, misaligned},
        {0, AVAIL_AREA, USED_AREA, outside},
        {DESC_AREA, 0, USED_AREA, outside},
        {DESC_AREA, AVAIL_AREA, 0, outside},
        {DESC_AREA, AVAIL_AREA, REGISTERS, outside},
        {UINT64_MAX - 15, AVAIL_AREA, USED_AREA, outside},
        {DESC_AREA, UINT64_MAX - 1, USED_AREA, outside},
        {DESC_AREA, AVAIL_AREA, UINT64_MAX - 3, outside},
        {LOW_RAM + LOW_SIZE - 16 * SIZE + 16, AVAIL_AREA, USED_AREA, outside},
        {DESC_AREA, LOW_RAM + LOW_SIZE - 4 - 2 * SIZE, USED_AREA, outside},
        {DESC_AREA, AVAIL_AREA, LOW_RAM + LOW_SIZE - 4 - 8 * SIZE, outside},
        {LOW_RAM - 16, AVAIL_AREA, USED_AREA, outside},
        {DESC_AREA, DESC_AREA, USED_AREA, overlap},
        {DESC_AREA, AVAIL_AREA, DESC_AREA + 16 * SIZE - 4, overlap},
        {DESC_AREA, AVAIL_AREA, AVAIL_AREA + 4 + 2 * SIZE, overlap},
        {DESC_AREA, USED_AREA + 4 + 8 * SIZE, USED_AREA, overlap},
        {DESC_AREA, AVAIL_AREA, AVAIL_AREA, overlap},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        virtqueue_reset(&ring->queue);
        configure(ring, SIZE, cases[i].desc, cases[i].avail, cases[i].used);
        virtqueue_start(&ring->queue, &virtqueue_split, F_VERSION_1);
        expect_breach(ring, cases[i].breach);
    }
}

/* The areas may touch each other and the end of RAM. */
static void test_tight_addresses(void **state)
{
    struct ring *ring = *state;
    uint64_t avail = LOW_RAM + LOW_SIZE - (6 + 2 * SIZE);
    uint64_t used = (avail - (6 + 8 * SIZE)) & ~3ULL;
    uint64_t desc = (used - 16 * SIZE) & ~15ULL;

    configure(ring, SIZE, desc, avail, used);
    virtqueue_start(&ring->queue, &virtqueue_split, F_VERSION_1 | F_EVENT_IDX);
    assert_null(ring->queue.breach);
    assert_false(take(ring));
    assert_null(ring->queue.breach);
}

static void test_bad_available_idx(void **state)
{
    struct ring *ring = *state;
    const uint16_t bad[] = {SIZE + 1, 0x7fff, 0x8000, 0xffff};

    for (unsigned i = 0; i < 4; i++) {
        start(ring, i % 2 == 0 ? F_VERSION_1 : F_VERSION_1 | F_EVENT_IDX);
        poke16(&ring->driver, AVAIL_AREA + 2, bad[i]);
        expect_breach(ring, "available idx moved by more than the queue size");
    }
    /* Decremented after some buffers. */
    poke16(&ring->driver, AVAIL_AREA + 2, 0);
    start(ring, F_VERSION_1);
    describe(&ring->driver, 0, BUFFER_AREA, 8, D_WRITE, 0);
    make_available(&ring->driver, 0);
    make_available(&ring->driver, 0);
    assert_true(take(ring));
    assert_true(take(ring));
    poke16(&ring->driver, AVAIL_AREA + 2, 1);
    expect_breach(ring, "available idx moved by more than the queue size");
}

/* One hostile chain: up to three descriptors from 0 on, and the breach it is. */
struct hostile {
    const char *breach;
    uint16_t head;
    struct {
        uint64_t gpa;
        uint32_t length;
        uint16_t flags;
        uint16_t next;
    } descriptors[3];
};

static const char beyond[] = "descriptor index beyond its table";
static const char too_long[] = "chain longer than the queue";
static const char outside[] = "buffer outside guest memory";
static const char zero[] = "descriptor of length 0";
static const char order[] = "device-readable descriptor after a device-writable one";
static const char nested[] = "indirect descriptor inside an indirect table";
static const char with_next[] = "indirect descriptor with a next one";
static const char bad_length[] = "indirect table of a length that is no multiple of 16";
static const char bad_table[] = "indirect table outside guest memory";

#define B BUFFER_AREA
#define T TABLE_AREA

static const struct hostile direct_cases[] = {
    {beyond, SIZE, {{B, 8, D_WRITE, 0}}},
    {beyond, 0xffff, {{B, 8, D_WRITE, 0}}},
    {beyond, 0, {{B, 8, D_WRITE | D_NEXT, SIZE}}},
    {beyond, 0, {{B, 8, D_WRITE | D_NEXT, 0xffff}}},
    {too_long, 0, {{B, 8, D_WRITE | D_NEXT, 0}}},
    {too_long, 0, {{B, 8, D_NEXT, 1}, {B, 8, D_NEXT, 2}, {B, 8, D_NEXT, 0}}},
    {too_long, 1, {{B, 8, 0, 0}, {B, 8, D_NEXT, 2}, {B, 8, D_NEXT, 1}}},
    {zero, 0, {{B, 0, D_WRITE, 0}}},
    {zero, 0, {{B, 8, D_WRITE | D_NEXT, 1}, {B, 0, D_WRITE, 0}}},
    {zero, 0, {{B, 0, D_NEXT, 1}, {B, 8, D_WRITE, 0}}},
    {order, 0, {{B, 8, D_WRITE | D_NEXT, 1}, {B, 8, 0, 0}}},
    {order, 0, {{B, 8, D_NEXT, 1}, {B, 8, D_WRITE | D_NEXT, 2}, {B, 8, 0, 0}}},
    {outside, 0, {{0, 8, D_WRITE, 0}}},
    {outside, 0, {{LOW_RAM - 1, 2, D_WRITE, 0}}},
    {outside, 0, {{LOW_RAM + LOW_SIZE - 7, 8, D_WRITE, 0}}},
    {outside, 0, {{LOW_RAM + LOW_SIZE, 1, D_WRITE, 0}}},
    {outside, 0, {{REGISTERS, 64, D_WRITE, 0}}},
    {outside, 0, {{LOW_RAM, 0xffffffff, D_WRITE, 0}}},
    {outside, 0, {{HIGH_RAM + HIGH_SIZE - 1, 2, D_WRITE, 0}}},
    {outside, 0, {{UINT64_MAX, 1, D_WRITE, 0}}},
    {outside, 0, {{UINT64_MAX - 3, 8, D_WRITE, 0}}},
    {outside, 0, {{UINT64_MAX - 3, 0xffffffff, D_WRITE, 0}}},
    {"indirect descriptor without the feature", 0, {{T, 16, D_INDIRECT, 0}}},
};

static const struct hostile indirect_cases[] = {
    {with_next, 0, {{T, 16, D_INDIRECT | D_NEXT, 1}, {B, 8, D_WRITE, 0}}},
    {bad_length, 0, {{T, 0, D_INDIRECT, 0}}},
    {bad_length, 0, {{T, 8, D_INDIRECT, 0}}},
    {bad_length, 0, {{T, 17, D_INDIRECT, 0}}},
    {bad_length, 0, {{T, 0xffffffff, D_INDIRECT, 0}}},
    {bad_table, 0, {{0, 16, D_INDIRECT, 0}}},
    {bad_table, 0, {{LOW_RAM + LOW_SIZE - 8, 16, D_INDIRECT, 0}}},
    {bad_table, 0, {{UINT64_MAX - 7, 16, D_INDIRECT, 0}}},
    {bad_table, 0, {{T, 0xfffffff0, D_INDIRECT, 0}}},
};

/* The same within an indirect table of three entries. */
static const struct hostile table_cases[] = {
    {nested, 0, {{T, 16, D_INDIRECT, 0}}},
    {nested, 0, {{B, 8, D_WRITE | D_NEXT, 1}, {T, 48, D_INDIRECT, 0}}},
    {beyond, 0, {{B, 8, D_WRITE | D_NEXT, 3}}},
    {beyond, 0, {{B, 8, D_WRITE | D_NEXT, 0xffff}}},
    {too_long, 0, {{B, 8, D_WRITE | D_NEXT, 0}}},
    {too_long, 0, {{B, 8, D_NEXT, 1}, {B, 8, D_NEXT, 2}, {B, 8, D_NEXT, 1}}},
    {zero, 0, {{B, 0, D_WRITE, 0}}},
    {order, 0, {{B, 8, D_WRITE | D_NEXT, 1}, {B, 8, 0, 0}}},
    {outside, 0, {{UINT64_MAX, 2, D_WRITE, 0}}},
};

static void run_hostile(struct ring *ring, const struct hostile *hostile, uint64_t table,
                        uint64_t features)
{
    struct driver *driver = &ring->driver;

    memset(ram(driver, DESC_AREA), 0, 0x4000);
    driver->avail_idx = 0;
    start(ring, features);
    for (unsigned i = 0; i < 3; i++) {
        set_descriptor(driver, table, i, hostile->descriptors[i].gpa,
                       hostile->descriptors[i].length, hostile->descriptors[i].flags,
                       hostile->descriptors[i].next);
    }
    if (table != DESC_AREA) {
        describe(driver, 0, table, 48, D_INDIRECT, 0);
    }
    make_available(driver, hostile->head);
    expect_breach(ring, hostile->breach);
    /* A reset mends it. */
    virtqueue_reset(&ring->queue);
    memset(ram(driver, DESC_AREA), 0, 0x4000);
    driver->avail_idx = 0;
    start(ring, features);
    add_buffer(driver, 1, BUFFER_AREA, 8);
    assert_true(take(ring));
}

static void test_hostile_chains(void **state)
{
    struct ring *ring = *state;

    for (unsigned i = 0; i < sizeof(direct_cases) / sizeof(direct_cases[0]); i++) {
        run_hostile(ring, &direct_cases[i], DESC_AREA, F_VERSION_1);
    }
    for (unsigned i = 0; i < sizeof(indirect_cases) / sizeof(indirect_cases[0]); i++) {
        run_hostile(ring, &indirect_cases[i], DESC_AREA, F_VERSION_1 | F_INDIRECT);
    }
    for (unsigned i = 0; i < sizeof(table_cases) / sizeof(table_cases[0]); i++) {
        run_hostile(ring, &table_cases[i], TABLE_AREA, F_VERSION_1 | F_INDIRECT);
    }
}

/* More than 2^32 bytes by adding one big buffer up; this needs RAM that is only claimed. */
static void test_chain_of_4_gib(void **state)
{
    struct ring *ring = *state;
    struct guest_memory memory = {0};
    const uint64_t big = 0x200000000;
    const uint64_t size = 0x80000000;

    assert_true(guest_memory_add(&memory, LOW_RAM, LOW_SIZE, ring->driver.low));
    /* Never touched, so the smaller block behind it does not matter. */
    assert_true(guest_memory_add(&memory, big, size, ring->driver.high));
    ring->queue.memory = &memory;
    start(ring, F_VERSION_1);
    describe(&ring->driver, 0, big, (uint32_t)size, D_WRITE | D_NEXT, 1);
    describe(&ring->driver, 1, big, (uint32_t)size, D_WRITE, 2);
    describe(&ring->driver, 2, BUFFER_AREA, 1, D_WRITE, 0);
    make_available(&ring->driver, 0);
    assert_true(take(ring));
    assert_true(ring->chain.writable_length == 0x100000000);
    describe(&ring->driver, 1, big, (uint32_t)size, D_WRITE | D_NEXT, 2);
    make_available(&ring->driver, 0);
    expect_breach(ring, "chain of more than 2^32 bytes");
}

/* A completion before a breach still gets its notification. */
static void test_notification_despite_breach(void **state)
{
    struct ring *ring = *state;

    start(ring, F_VERSION_1);
    add_buffer(&ring->driver, 0, BUFFER_AREA, 8);
    make_available(&ring->driver, SIZE);
    assert_true(take(ring));
    complete(ring, 8);
    assert_false(take(ring));
    assert_string_equal(ring->queue.breach, beyond);
    assert_true(virtqueue_must_notify(&ring->queue));
    /* The first breach is the one that is kept. */
    virtqueue_break(&ring->queue, zero);
    assert_string_equal(ring->queue.breach, beyond);
}

/* A queue that is started again owes no notification of its former life. */
static void test_restart(void **state)
{
    struct ring *ring = *state;

    start(ring, F_VERSION_1 | F_EVENT_IDX);
    for (uint16_t i = 0; i < 3; i++) {
        add_buffer(&ring->driver, i, BUFFER_AREA, 8);
        assert_true(take(ring));
        complete(ring, 8);
    }
    assert_true(virtqueue_must_notify(&ring->queue));
    memset(ram(&ring->driver, DESC_AREA), 0, 0x3000);
    ring->driver.avail_idx = 0;
    start(ring, F_VERSION_1 | F_EVENT_IDX);
    assert_false(virtqueue_must_notify(&ring->queue));
    set_used_event(&ring->driver, 5);
    add_buffer(&ring->driver, 0, BUFFER_AREA, 8);
    assert_true(take(ring));
    complete(ring, 8);
    assert_false(virtqueue_must_notify(&ring->queue));
}

static void test_not_ready(void **state)
{
    struct ring *ring = *state;

    start(ring, F_VERSION_1);
    add_buffer(&ring->driver, 0, BUFFER_AREA, 8);
    ring->queue.ready = false;
    assert_false(take(ring));
    complete(ring, 8);
    assert_int_equal(used_idx(&ring->driver), 0);
    assert_false(virtqueue_must_notify(&ring->queue));
    assert_null(ring->queue.breach);
}

/* Two threads and EVENT_IDX on both sides: whoever sleeps is woken. */
#define EXCHANGES 20000

struct exchange {
    struct ring *ring;
    sem_t kick;
    sem_t interrupt;
};

static uint16_t shared16(struct driver *driver, uint64_t gpa)
{
    return __atomic_load_n((uint16_t *)(void *)ram(driver, gpa), __ATOMIC_ACQUIRE);
}

static void set_shared16(struct driver *driver, uint64_t gpa, uint16_t value)
{
    __atomic_store_n((uint16_t *)(void *)ram(driver, gpa), value, __ATOMIC_RELEASE);
}

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

static void test_no_lost_notification(void **state)
{
    struct ring *ring = *state;
    struct driver *driver = &ring->driver;
    struct exchange exchange = {.ring = ring};
    pthread_t thread;
    uint16_t added = 0;
    uint16_t seen = 0;
    unsigned left = EXCHANGES;

    sem_init(&exchange.kick, 0, 0);
    sem_init(&exchange.interrupt, 0, 0);
    for (uint16_t i = 0; i < SIZE; i++) {
        describe(driver, i, BUFFER_AREA, 8, D_WRITE, 0);
    }
    start(ring, F_VERSION_1 | F_EVENT_IDX);
    assert_int_equal(pthread_create(&thread, NULL, device_thread, &exchange), 0);
    while (left > 0 || seen != added) {
        uint16_t before = added;

        while (left > 0 && (uint16_t)(added - seen) < SIZE) {
            poke16(driver, AVAIL_AREA + 4 + 2ULL * (added % SIZE), added % SIZE);
            added++;
            left--;
        }
        set_shared16(driver, AVAIL_AREA + 2, added);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        uint16_t event = shared16(driver, USED_AREA + 4 + 8ULL * SIZE);

        if ((uint16_t)(added - event - 1) < (uint16_t)(added - before)) {
            sem_post(&exchange.kick);
        }
        set_shared16(driver, AVAIL_AREA + 4 + 2ULL * SIZE, seen);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (shared16(driver, USED_AREA + 2) == seen) {
            wait_for(&exchange.interrupt);
        }
        seen = shared16(driver, USED_AREA + 2);
    }
    pthread_join(thread, NULL);
    assert_int_equal(seen, (uint16_t)EXCHANGES);
    sem_destroy(&exchange.kick);
    sem_destroy(&exchange.interrupt);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_one_buffer),
        TEST(test_scattered_chain),
        TEST(test_writable_ends_with_the_chain),
        TEST(test_full_queue_and_wrap),
        TEST(test_out_of_order_completion),
        TEST(test_writes_only_the_used_ring),
        TEST(test_indirect),
        TEST(test_notification_flags),
        TEST(test_event_idx),
        TEST(test_event_idx_batches),
        TEST(test_avail_event),
        TEST(test_buffer_added_while_rearming),
        TEST(test_used_idx_moves_last),
        TEST(test_in_order),
        TEST(test_bad_sizes),
        TEST(test_bad_addresses),
        TEST(test_tight_addresses),
        TEST(test_bad_available_idx),
        TEST(test_hostile_chains),
        TEST(test_chain_of_4_gib),
        TEST(test_notification_despite_breach),
        TEST(test_restart),
        TEST(test_not_ready),
        TEST(test_no_lost_notification),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
