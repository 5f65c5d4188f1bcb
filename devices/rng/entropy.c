/* The entropy core: bounded reads of the source, faults and recovery, the pool and its wiping. */
#include "devices/rng/entropy.h"

#include <string.h>

#include "vmm/wipe.h"

/* Words read between two turns of the lock; the worst case inside it is this many words' tests. */
#define BATCH_WORDS 8U

/* The longest back-off, as a power of two of entropy_refill() calls: the core has no clock. */
#define BACKOFF_SHIFT_MAX 8U

/* So many notices are all given; of later ones, those whose number is a power of two. */
#define NOTICES_IN_FULL 16U

struct sample {
    uint64_t word;
    uint32_t failures; /* tries that failed before it */
    bool good;         /* false: all tries failed */
};

void entropy_init(struct entropy_core *core, const struct entropy_source *source)
{
    memset(core, 0, sizeof(*core));
    core->source = *source;
    core->counters.pool_low_water = ENTROPY_POOL_SIZE;
}

void entropy_stir(struct entropy_core *core, const void *bytes, size_t length)
{
    const uint8_t *from = bytes;
    uint32_t words = (uint32_t)(length < ENTROPY_STIR_SIZE ? length : ENTROPY_STIR_SIZE) / 8;

    spin_lock_acquire(&core->lock);
    for (uint32_t i = 0; i < words; i++) {
        uint64_t word;

        memcpy(&word, from + i * sizeof(word), sizeof(word));
        core->stir[i] ^= word;
        wipe(&word, sizeof(word));
    }
    core->stir_words = words > core->stir_words ? words : core->stir_words;
    spin_lock_release(&core->lock);
}

/* No byte that was in the pool when the source failed is delivered: it may be bad already. */
static void fault(struct entropy_core *core, struct entropy_notice *notice)
{
    wipe(core->pool, core->level);
    wipe(core->block, sizeof(core->block));
    wipe(&core->health, sizeof(core->health));
    core->level = 0;
    core->block_words = 0;
    core->startup_words = 0;
    core->self_testing = false;
    core->good_words = 0;
    core->failure_run = 0;
    if (core->faults < BACKOFF_SHIFT_MAX) {
        core->faults++;
    }
    core->backoff = 1U << core->faults;
    core->state = core->faults >= ENTROPY_FAULT_LIMIT ? ENTROPY_FAULT : ENTROPY_STARTING;
    notice->number = ++core->notices;
}

static void health_hit(struct entropy_core *core, enum health_test hit,
                       struct entropy_notice *notice)
{
    core->counters.health_hits++;
    core->counters.hits[hit]++;
    notice->hit = hit;
    fault(core, notice);
}

/* Start-up words are discarded. */
static void advance_test(struct entropy_core *core, struct entropy_notice *notice)
{
    core->startup_words++;
    if (core->startup_words == ENTROPY_STARTUP_WORDS) {
        core->startup_words = 0;
        core->self_testing = false;
        core->state = ENTROPY_READY;
        core->counters.tests_passed++;
        notice->number = ++core->notices;
    }
}

/* Another CPU may have filled the pool since there was room. */
static void put(struct entropy_core *core, const void *bytes, uint32_t length)
{
    if (ENTROPY_POOL_SIZE - core->level >= length) {
        memcpy(core->pool + core->level, bytes, length);
        core->level += length;
    }
}

static void put_conditioned(struct entropy_core *core)
{
    uint8_t in[ENTROPY_CONDITIONER_IN];
    uint8_t out[ENTROPY_CONDITIONER_OUT];

    memcpy(in, core->block, sizeof(in));
    core->condition(in, out);
    put(core, out, sizeof(out));
    core->block_words = 0;
    wipe(core->block, sizeof(core->block));
    wipe(in, sizeof(in));
    wipe(out, sizeof(out));
}

/* A good word of a core that is ready, on its way to the pool. */
static void keep(struct entropy_core *core, uint64_t word)
{
    if (core->good_words < ENTROPY_PROVEN_WORDS) {
        core->good_words++;
    } else {
        core->faults = 0;
    }
    if (core->stir_words > 0) {
        uint64_t *extra = &core->stir[--core->stir_words];

        word ^= *extra;
        wipe(extra, sizeof(*extra));
    }
    if (core->condition == NULL) {
        put(core, &word, sizeof(word));
        return;
    }
    core->block[core->block_words++] = word;
    if (core->block_words == ENTROPY_CONDITIONER_IN / sizeof(word)) {
        put_conditioned(core);
    }
}

/* Counts, tests and keeps one sample. False if that ended in a fault. */
static bool absorb(struct entropy_core *core, const struct sample *sample,
                   struct entropy_notice *notice)
{
    core->counters.tries += sample->failures + (sample->good ? 1 : 0);
    core->counters.failures += sample->failures;
    core->failure_run += sample->failures;
    if (core->failure_run > core->counters.longest_failure_run) {
        core->counters.longest_failure_run = core->failure_run;
    }
    if (core->failure_run >= ENTROPY_DRY_LIMIT && !core->source.slow) {
        core->counters.dry_faults++;
        notice->dry = true;
        fault(core, notice);
        return false;
    }
    if (!sample->good) {
        return true;
    }
    enum health_test hit = health_check(&core->health, sample->word);

    core->failure_run = 0;
    if (hit != HEALTH_PASSED) {
        health_hit(core, hit, notice);
        return false;
    }
    core->counters.words++;
    if (core->state == ENTROPY_READY && !core->self_testing) {
        keep(core, sample->word);
    } else {
        advance_test(core, notice);
    }
    return true;
}

/* 0 and all ones are what broken parts return as success; losing them costs a good one nothing. */
static void read_sample(const struct entropy_source *source, struct sample *sample)
{
    uint32_t tries = source->slow ? 1 : ENTROPY_TRIES;

    sample->failures = 0;
    do {
        sample->good = source->read(source->context, &sample->word) && sample->word != 0 &&
                       sample->word != UINT64_MAX;
        sample->failures += sample->good ? 0 : 1;
    } while (!sample->good && sample->failures < tries);
}

/* The words of the source that make so many bytes. */
static uint32_t words_for(const struct entropy_core *core, uint32_t bytes)
{
    const uint32_t word = sizeof(uint64_t);

    if (core->condition == NULL) {
        return (bytes + word - 1) / word;
    }
    return (bytes + ENTROPY_CONDITIONER_OUT - 1) / ENTROPY_CONDITIONER_OUT *
           (ENTROPY_CONDITIONER_IN / word);
}

/* Words that still fit: whole ones, or what the conditioner makes whole blocks of. */
static uint32_t room_for_words(const struct entropy_core *core)
{
    uint32_t room = ENTROPY_POOL_SIZE - core->level;

    if (core->condition == NULL) {
        return room / (uint32_t)sizeof(uint64_t);
    }
    return room < ENTROPY_CONDITIONER_OUT
               ? 0
               : ENTROPY_CONDITIONER_IN / (uint32_t)sizeof(uint64_t) - core->block_words;
}

/* How many words the core can use now; counts down the back-off. */
static unsigned wanted(struct entropy_core *core)
{
    unsigned words = BATCH_WORDS;

    spin_lock_acquire(&core->lock);
    if (core->backoff > 0) {
        core->backoff--;
        words = 0;
    } else if (core->state == ENTROPY_READY && !core->self_testing) {
        uint32_t room = room_for_words(core);

        words = room < BATCH_WORDS ? room : BATCH_WORDS;
    }
    spin_lock_release(&core->lock);
    return words;
}

static uint64_t ticks(const struct entropy_core *core)
{
    return core->ticks == NULL ? 0 : core->ticks();
}

/*
 * A source that fails without end is told of less and less often; but whoever was told of a fault
 * is told of its end.
 */
static bool worth_telling(struct entropy_core *core, const struct entropy_notice *notice)
{
    uint64_t number = notice->number;
    bool passed = notice->hit == HEALTH_PASSED && !notice->dry;

    if (number == 0 || core->notify == NULL) {
        return false;
    }
    if (number > NOTICES_IN_FULL && (number & (number - 1)) != 0 && !(passed && core->fault_told)) {
        return false;
    }
    core->fault_told = !passed;
    return true;
}

/* Reads and absorbs up to `count` words. Returns how many were good and tested well. */
static unsigned refill_batch(struct entropy_core *core, unsigned count)
{
    struct sample samples[BATCH_WORDS];
    struct entropy_notice notice = {0};
    unsigned read = 0;
    unsigned good = 0;
    bool dry = false;
    uint64_t begin = ticks(core);

    for (; read < count && !dry; read++) {
        read_sample(&core->source, &samples[read]);
        dry = !samples[read].good;
    }
    uint64_t end = ticks(core);

    spin_lock_acquire(&core->lock);
    core->counters.ticks += end - begin;
    for (unsigned i = 0; i < read && absorb(core, &samples[i], &notice); i++) {
        good += samples[i].good ? 1 : 0;
    }
    notice.state = core->state;
    notice.faults = core->faults;
    bool told = worth_telling(core, &notice);

    spin_lock_release(&core->lock);
    wipe(samples, read * sizeof(samples[0]));
    if (told) { /* not under the lock: who is told may be slow */
        core->notify(core, &notice);
    }
    return good;
}

unsigned entropy_refill(struct entropy_core *core, unsigned max_words)
{
    unsigned total = 0;

    while (total < max_words) {
        unsigned words = wanted(core);
        unsigned count = words < max_words - total ? words : max_words - total;
        unsigned good = count > 0 ? refill_batch(core, count) : 0;

        total += good;
        if (count == 0 || good < count) {
            break;
        }
    }
    return total;
}

/* What is left to a device of its share of the pool. */
static uint32_t left_of(const struct entropy_core *core, struct entropy_share *share)
{
    uint64_t round = core->counters.bytes_delivered / ENTROPY_POOL_SIZE;

    if (share->round != round) {
        share->round = round;
        share->drawn = 0;
    }
    return share->drawn < ENTROPY_SHARE ? ENTROPY_SHARE - share->drawn : 0;
}

static bool is_shared(const struct entropy_core *core, const struct entropy_share *share)
{
    return share != NULL && core->devices >= 2;
}

/* How much of the pool a device may have: all but the reserve, or what is left of its share. */
static uint32_t free_for(const struct entropy_core *core, struct entropy_share *share)
{
    if (!is_shared(core, share)) {
        return core->level;
    }
    uint32_t left = left_of(core, share);
    uint32_t above = core->level > ENTROPY_RESERVE ? core->level - ENTROPY_RESERVE : 0;

    left = left < core->level ? left : core->level;
    return above > left ? above : left;
}

uint32_t entropy_words_short(struct entropy_core *core, struct entropy_share *share,
                             uint32_t length)
{
    spin_lock_acquire(&core->lock);
    bool within = !is_shared(core, share) || length <= left_of(core, share);
    uint32_t level = length + (within ? 0 : ENTROPY_RESERVE);
    uint32_t words = level > core->level ? words_for(core, level - core->level) : 0;

    spin_lock_release(&core->lock);
    return words;
}

size_t entropy_take_share(struct entropy_core *core, struct entropy_share *share, void *buffer,
                          size_t length)
{
    spin_lock_acquire(&core->lock);
    uint32_t free = free_for(core, share);
    size_t count = length < free ? length : free;
    uint8_t *bytes = core->pool + core->level - count;

    if (core->state != ENTROPY_READY) {
        count = 0;
    }
    memcpy(buffer, bytes, count);
    wipe(bytes, count);
    core->level -= (uint32_t)count;
    core->counters.bytes_delivered += count;
    if (share != NULL) {
        share->drawn += (uint32_t)count;
    }
    if (count > 0 && core->level < core->counters.pool_low_water) {
        core->counters.pool_low_water = core->level;
    }
    spin_lock_release(&core->lock);
    return count;
}

size_t entropy_take(struct entropy_core *core, void *buffer, size_t length)
{
    return entropy_take_share(core, NULL, buffer, length);
}

uint32_t entropy_level(struct entropy_core *core)
{
    spin_lock_acquire(&core->lock);
    uint32_t level = core->level;

    spin_lock_release(&core->lock);
    return level;
}

enum entropy_state entropy_state(struct entropy_core *core)
{
    spin_lock_acquire(&core->lock);
    enum entropy_state state = core->state;

    spin_lock_release(&core->lock);
    return state;
}

bool entropy_testing(struct entropy_core *core)
{
    spin_lock_acquire(&core->lock);
    bool testing = core->state != ENTROPY_READY || core->self_testing;

    spin_lock_release(&core->lock);
    return testing;
}

/* Called with the lock held. */
static void retry(struct entropy_core *core)
{
    if (core->state == ENTROPY_FAULT) {
        core->state = ENTROPY_STARTING;
        core->faults = ENTROPY_FAULT_LIMIT - 1;
        core->backoff = 0;
    }
}

void entropy_self_test(struct entropy_core *core)
{
    spin_lock_acquire(&core->lock);
    if (core->state == ENTROPY_READY && !core->self_testing) {
        core->self_testing = true;
        core->startup_words = 0;
    }
    retry(core);
    spin_lock_release(&core->lock);
}

void entropy_retry(struct entropy_core *core)
{
    spin_lock_acquire(&core->lock);
    retry(core);
    spin_lock_release(&core->lock);
}

struct entropy_counters entropy_counters(struct entropy_core *core)
{
    spin_lock_acquire(&core->lock);
    struct entropy_counters counters = core->counters;

    spin_lock_release(&core->lock);
    return counters;
}
