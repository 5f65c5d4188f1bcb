/* The virtio entropy device: fills the driver's buffers from the entropy core (virtio 1.3, 5.4). */
#include "devices/rng/rng.h"

#include <stddef.h>

#include "devices/rng/fault_source.h"

/* What one kick or poll may still ask of the source. */
struct budget {
    uint32_t words;
};

static uint64_t ticks(const struct rng *rng)
{
    return rng->ticks == NULL ? 0 : rng->ticks();
}

/* Takes `length` bytes, with what the budget allows from the source behind what is in the pool. */
static uint32_t take(struct rng *rng, uint8_t *buffer, uint32_t length, struct budget *budget)
{
    uint32_t taken = (uint32_t)entropy_take_share(rng->entropy, &rng->share, buffer, length);

    if (taken < length && budget->words > 0) {
        uint32_t words = entropy_words_short(rng->entropy, &rng->share, length - taken);

        words = words < budget->words ? words : budget->words;
        budget->words -= words;
        entropy_refill(rng->entropy, words);
        taken +=
            (uint32_t)entropy_take_share(rng->entropy, &rng->share, buffer + taken, length - taken);
    }
    return taken;
}

/* Cuts `wanted` down to the bytes that are due: 0 if it is not time yet. */
static uint32_t due(struct rng *rng, uint32_t wanted, uint64_t now)
{
    uint64_t allowance = rate_allowance(&rng->rate, now);

    rng->deadline = allowance == 0 ? rate_next(&rng->rate) : 0;
    if (allowance == 0) {
        rng->counters.throttled += rng->throttled ? 0 : 1;
        rng->throttled = true;
    }
    return allowance < wanted ? (uint32_t)allowance : wanted;
}

/* Goes on filling the buffer in hand, to `wanted` bytes. Returns those it added: what there were.
 */
static uint32_t fill(struct rng *rng, uint32_t wanted, struct budget *budget)
{
    uint32_t before = rng->filled;

    while (rng->filled < wanted) {
        uint32_t room = 0;
        void *buffer = virtqueue_writable(&rng->chain, rng->filled, &room);

        if (buffer == NULL) {
            break;
        }
        if (room > wanted - rng->filled) {
            room = wanted - rng->filled;
        }
        uint32_t taken = take(rng, buffer, room, budget);

        rng->filled += taken;
        if (taken < room) {
            break;
        }
    }
    return rng->filled - before;
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
    rng->filled = 0;
    rng->parked = false;
    rng->throttled = false;
    return true;
}

/* There are not enough bytes for the buffer in hand. */
static void park(struct rng *rng)
{
    if (!rng->parked) {
        rng->parked = true;
        rng->counters.parked++;
        device_trace_record(rng->transport.trace, DEVICE_PARKED, (uint32_t)rng->counters.parked);
    }
    if (entropy_state(rng->entropy) == ENTROPY_FAULT) {
        virtio_mmio_needs_reset(&rng->transport);
    }
}

/*
 * Completes the buffer in hand if there are bytes enough for it. False: it stays in hand, with
 * those it got. Enough is one by 5.4.6, but Linux's driver in 6.1.192 counts wrong once it has
 * taken a completion of fewer than the 64 bytes it asks for in two goes, and waits for ever then.
 */
static bool serve_chain(struct rng *rng, struct budget *budget)
{
    uint64_t length = rng->chain.writable_length;
    uint32_t most = length < RNG_CHAIN_BYTES_MAX ? (uint32_t)length : RNG_CHAIN_BYTES_MAX;
    uint32_t least = most < RNG_CHAIN_BYTES_MIN ? most : RNG_CHAIN_BYTES_MIN;
    bool limited = rng->rate.bytes != 0;
    uint64_t now = limited ? ticks(rng) : 0;
    uint32_t missing = most - rng->filled;
    uint32_t wanted = rng->filled + (limited ? due(rng, missing, now) : missing);
    uint32_t added = fill(rng, wanted, budget);

    if (limited && added > 0) {
        rate_spend(&rng->rate, now, added);
    }
    rng->counters.bytes += added;
    if (rng->filled < least) {
        if (rng->filled < wanted) {
            park(rng);
        } else {
            (void)due(rng, 1, now); /* for its time */
        }
        return false;
    }
    uint32_t told = fault_completes_empty() ? 0 : rng->filled;

    virtqueue_complete(&rng->queue, &rng->chain, told);
    device_trace_record(rng->transport.trace, DEVICE_COMPLETION, told);
    rng->holding = false;
    rng->counters.requests++;
    rng->counters.short_fills += rng->filled < length ? 1 : 0;
    return true;
}

static void serve_ring(struct rng *rng)
{
    struct budget budget = {.words = RNG_WORDS_PER_CALL};
    unsigned served = 0;

    rng->more = false;
    while (served < RNG_CHAINS_PER_CALL && next_chain(rng) && serve_chain(rng, &budget)) {
        served++;
    }
    rng->more = served == RNG_CHAINS_PER_CALL;
    virtio_mmio_queue_done(&rng->transport, &rng->queue);
    if (served > 0 && budget.words < RNG_WORDS_PER_CALL) {
        /* The pool was short: some for the next kicks too, most of which then need not ask. */
        entropy_refill(rng->entropy,
                       budget.words < RNG_WORDS_AHEAD ? budget.words : RNG_WORDS_AHEAD);
    }
}

static void serve(struct rng *rng)
{
    bool timed = rng->calls++ % RNG_TIMED_EVERY == 0 && rng->ticks != NULL;
    uint64_t begin = timed ? ticks(rng) : 0;

    serve_ring(rng);
    if (timed) {
        rng->counters.ticks += ticks(rng) - begin;
        rng->counters.timed++;
    }
}

/* But for what was delivered lately: a driver that starts over does not get round its limit. */
static void forget(struct rng *rng)
{
    rng->holding = false;
    rng->deadline = 0;
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
        .trace = setup->trace,
    };

    *rng = (struct rng){.entropy = setup->entropy, .ticks = setup->ticks};
    rate_init(&rng->rate, setup->ticks == NULL ? 0 : setup->rate_bytes, setup->rate_period);
    virtqueue_init(&rng->queue, setup->memory, RNG_QUEUE_SIZE);
    virtio_mmio_init(&rng->transport, &transport);
}

bool rng_has_work(const struct rng *rng)
{
    return (rng->holding || rng->more) && virtio_mmio_running(&rng->transport) &&
           rng->queue.ready && rng->queue.breach == NULL;
}

uint64_t rng_deadline(const struct rng *rng)
{
    return rng->holding ? rng->deadline : 0;
}

void rng_poll(struct rng *rng)
{
    if (rng_has_work(rng)) {
        serve(rng);
    }
}
