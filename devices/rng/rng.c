/* The virtio entropy device: fills the driver's buffers from the entropy core (virtio 1.3, 5.4). */
#include "devices/rng/rng.h"

#include <stddef.h>

/* What one kick or poll may still ask of the source. */
struct budget {
    uint32_t words;
};

/* Sees to it that `wanted` bytes are in the pool, as far as the budget reaches. */
static void prepare(struct rng *rng, uint32_t wanted, struct budget *budget)
{
    uint32_t level = entropy_level(rng->entropy);

    if (level >= wanted) {
        return;
    }
    uint32_t words = (wanted - level + 7) / 8;

    if (words > budget->words) {
        words = budget->words;
    }
    budget->words -= words;
    entropy_refill(rng->entropy, words);
}

/* Fills the buffer in hand from its start. Returns the bytes written, as many as the pool had. */
static uint32_t fill(struct rng *rng, struct budget *budget)
{
    uint32_t wanted = RNG_CHAIN_BYTES_MAX;
    uint32_t filled = 0;

    if (rng->chain.writable_length < wanted) {
        wanted = (uint32_t)rng->chain.writable_length;
    }
    prepare(rng, wanted, budget);
    while (filled < wanted) {
        uint32_t room = 0;
        void *buffer = virtqueue_writable(&rng->chain, filled, &room);

        if (buffer == NULL) {
            break;
        }
        if (room > wanted - filled) {
            room = wanted - filled;
        }
        uint32_t taken = (uint32_t)entropy_take(rng->entropy, buffer, room);

        filled += taken;
        if (taken < room) {
            break;
        }
    }
    return filled;
}

/* Takes the next buffer in hand. False if there is none. */
static bool next_chain(struct rng *rng)
{
    if (rng->holding) {
        return true;
    }
    if (!virtqueue_take(&rng->queue, &rng->chain)) {
        return false;
    }
    /* 5.4.6: no device-readable buffers; and one that holds nothing could only complete with 0. */
    if (rng->chain.readable > 0 || rng->chain.writable_length == 0) {
        virtqueue_break(&rng->queue, "device-readable buffer in the entropy device's queue");
        return false;
    }
    rng->holding = true;
    rng->parked = false;
    return true;
}

/* Completes the buffer in hand if there is a byte for it. False: it stays in hand. */
static bool serve_chain(struct rng *rng, struct budget *budget)
{
    uint32_t filled = fill(rng, budget);

    if (filled == 0) {
        rng->counters.parked += rng->parked ? 0 : 1;
        rng->parked = true;
        if (entropy_state(rng->entropy) == ENTROPY_FAULT) {
            virtio_mmio_needs_reset(&rng->transport);
        }
        return false;
    }
    virtqueue_complete(&rng->queue, &rng->chain, filled);
    rng->holding = false;
    rng->counters.requests++;
    rng->counters.bytes += filled;
    rng->counters.short_fills += filled < rng->chain.writable_length ? 1 : 0;
    return true;
}

static void serve(struct rng *rng)
{
    struct budget budget = {.words = RNG_WORDS_PER_CALL};
    unsigned served = 0;

    rng->more = false;
    while (served < RNG_CHAINS_PER_CALL && next_chain(rng) && serve_chain(rng, &budget)) {
        served++;
    }
    rng->more = served == RNG_CHAINS_PER_CALL;
    virtio_mmio_queue_done(&rng->transport, &rng->queue);
}

static void forget(struct rng *rng)
{
    rng->holding = false;
    rng->parked = false;
    rng->more = false;
}

static void rng_queue_notified(void *device, unsigned index)
{
    (void)index;
    serve(device);
}

static void rng_queue_stopped(void *device, unsigned index)
{
    (void)index;
    forget(device);
}

/* The driver starts over: a source that was given up gets its chance to do so as well. */
static void rng_reset(void *device)
{
    struct rng *rng = device;

    forget(rng);
    entropy_retry(rng->entropy);
}

static const struct virtio_device_operations rng_operations = {
    .queue_notified = rng_queue_notified,
    .queue_stopped = rng_queue_stopped,
    .reset = rng_reset,
};

void rng_init(struct rng *rng, const struct rng_setup *setup)
{
    const struct virtio_mmio_setup transport = {
        .device_id = VIRTIO_DEVICE_ENTROPY,
        .features = setup->features & RNG_FEATURES,
        .legacy = setup->legacy,
        .operations = &rng_operations,
        .device = rng,
        .queues = &rng->queue,
        .queue_count = 1,
        .irq = setup->irq,
        .page = setup->page,
    };

    *rng = (struct rng){.entropy = setup->entropy};
    virtqueue_init(&rng->queue, setup->memory, RNG_QUEUE_SIZE);
    virtio_mmio_init(&rng->transport, &transport);
}

bool rng_has_work(const struct rng *rng)
{
    return virtio_mmio_running(&rng->transport) && rng->queue.ready && rng->queue.breach == NULL &&
           (rng->holding || rng->more);
}

void rng_poll(struct rng *rng)
{
    if (rng_has_work(rng)) {
        serve(rng);
    }
}
