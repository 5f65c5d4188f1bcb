/* The entropy core: bounded reads of the source, faults and recovery, the pool and its wiping. */
#include "devices/rng/entropy.h"

#include <string.h>

#include "vmm/wipe.h"

/*
 * Words read between two turns of the lock. The worst case inside it is the tests of this many, and
 * a fault, which wipes the pool.
 */
#define BATCH_WORDS 32U

/* The longest back-off, as a power of two of entropy_refill() calls: the core has no clock. */
#define BACKOFF_SHIFT_MAX 8U

/* So many notices are all given; of later ones, those whose number is a power of two. */
#define NOTICES_IN_FULL 16U

/*
 * What was read in one go. The first failed try ends it: it is repeated until there is one more
 * word, or until the source counts as dry.
 */
struct reading {
    unsigned count;    /* of all good words */
    unsigned before;   /* of these, those read before the failures */
    uint32_t failures; /* tries, in a row */
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

/* Start-up words are discarded. Returns how many the test took, of those that passed. */
static unsigned advance_test(struct entropy_core *core, unsigned count,
                             struct entropy_notice *notice)
{
    uint32_t left = ENTROPY_STARTUP_WORDS - core->startup_words;

    if (count < left) {
        core->startup_words += count;
        return count;
    }
    core->startup_words = 0;
    core->self_testing = false;
    core->state = ENTROPY_READY;
    core->counters.tests_passed++;
    notice->number = ++core->notices;
    return left;
}

/* Another CPU may have filled the pool since there was room. */
static uint32_t room_for(const struct entropy_core *core, uint32_t length)
{
    return (ENTROPY_POOL_SIZE - core->level) / length;
}

static void put(struct entropy_core *core, const uint64_t *words, unsigned count)
{
    uint32_t room = room_for(core, sizeof(*words));
    uint32_t length = (count < room ? count : room) * (uint32_t)sizeof(*words);

    memcpy(core->pool + core->level, words, length);
    core->level += length;
}

static void put_conditioned(struct entropy_core *core)
{
    if (room_for(core, ENTROPY_CONDITIONER_OUT) > 0) {
        core->condition((const uint8_t *)core->block, core->pool + core->level);
        core->level += ENTROPY_CONDITIONER_OUT;
    }
    core->block_words = 0;
    wipe(core->block, sizeof(core->block));
}

static void stir_in(struct entropy_core *core, uint64_t *words, unsigned count)
{
    for (unsigned i = 0; i < count && core->stir_words > 0; i++) {
        uint64_t *extra = &core->stir[--core->stir_words];

        words[i] ^= *extra;
        wipe(extra, sizeof(*extra));
    }
}

/* Good words of a core that is ready, on their way to the pool. */
static void keep(struct entropy_core *core, uint64_t *words, unsigned count)
{
    core->good_words += count;
    if (core->good_words > ENTROPY_PROVEN_WORDS) {
        core->good_words = ENTROPY_PROVEN_WORDS;
        core->faults = 0;
    }
    stir_in(core, words, count);
    if (core->condition == NULL) {
        put(core, words, count);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        core->block[core->block_words++] = words[i];
        if (core->block_words == ENTROPY_CONDITIONER_IN / sizeof(*words)) {
            put_conditioned(core);
        }
    }
}

static bool is_testing(const struct entropy_core *core)
{
    return core->state != ENTROPY_READY || core->self_testing;
}

/* Counts, tests and keeps words. False if that ended in a fault. */
static bool absorb_words(struct entropy_core *core, uint64_t *words, unsigned count,
                         struct entropy_notice *notice)
{
    enum health_test hit;
    unsigned passed = health_check(&core->health, words, count, &hit);
    unsigned tested = is_testing(core) ? advance_test(core, passed, notice) : 0;

    if (tested < passed) {
        keep(core, words + tested, passed - tested);
    }
    core->failure_run = 0;
    core->counters.words += passed;
    core->counters.tries += passed;
    if (hit != HEALTH_PASSED) {
        core->counters.tries++;
        health_hit(core, hit, notice);
        return false;
    }
    return true;
}

/* Counts failed tries in a row. False if that ended in a fault. */
static bool absorb_failures(struct entropy_core *core, uint32_t failures,
                            struct entropy_notice *notice)
{
    core->counters.tries += failures;
    core->counters.failures += failures;
    core->failure_run += failures;
    if (core->failure_run > core->counters.longest_failure_run) {
        core->counters.longest_failure_run = core->failure_run;
    }
    if (core->failure_run >= ENTROPY_DRY_LIMIT && !core->source.slow) {
        core->counters.dry_faults++;
        notice->dry = true;
        fault(core, notice);
        return false;
    }
    return true;
}

/* In the order in which it was read. False if that ended in a fault, or the source is dry. */
static bool absorb(struct entropy_core *core, uint64_t *words, struct reading reading,
                   struct entropy_notice *notice)
{
    unsigned after = reading.count - reading.before;

    if (reading.failures == 0) {
        return absorb_words(core, words, reading.count, notice);
    }
    return (reading.before == 0 || absorb_words(core, words, reading.before, notice)) &&
           absorb_failures(core, reading.failures, notice) && after > 0 &&
           absorb_words(core, words + reading.before, after, notice);
}

/* 0 and all ones are what broken parts return as success; losing them costs a good one nothing. */
static bool read_word(const struct entropy_source *source, uint64_t *word)
{
    return source->read(source->context, word) && *word != 0 && *word != UINT64_MAX;
}

static struct reading read_words(const struct entropy_source *source, uint64_t *words,
                                 unsigned count)
{
    struct reading reading = {0};

    while (reading.before < count && read_word(source, &words[reading.before])) {
        reading.before++;
    }
    reading.count = reading.before;
    if (reading.before < count) {
        const uint32_t tries = source->slow ? 1 : ENTROPY_TRIES;
        bool good = false;

        for (reading.failures = 1; reading.failures < tries && !good;) {
            good = read_word(source, &words[reading.before]);
            reading.failures += good ? 0 : 1;
        }
        reading.count += good ? 1 : 0;
    }
    return reading;
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
    const uint32_t word = sizeof(uint64_t);

    if (core->condition == NULL) {
        return room_for(core, word);
    }
    return room_for(core, ENTROPY_CONDITIONER_OUT) == 0
               ? 0
               : ENTROPY_CONDITIONER_IN / word - core->block_words;
}

/* How many of so many words the core can use now; counts down the back-off. */
static unsigned wanted(struct entropy_core *core, unsigned words)
{
    if (words == 0) {
        return 0;
    }
    if (core->backoff > 0) {
        core->backoff--;
        return 0;
    }
    uint32_t room =
        is_testing(core) ? ENTROPY_STARTUP_WORDS - core->startup_words : room_for_words(core);

    room = room < BATCH_WORDS ? room : BATCH_WORDS;
    return words < room ? words : room;
}

static uint64_t ticks(const struct entropy_core *core)
{
    return core->ticks == NULL ? 0 : core->ticks();
}

/*
 * Completes a notice. A source that fails without end is told of less and less often; but whoever
 * was told of a fault is told of its end.
 */
static bool worth_telling(struct entropy_core *core, struct entropy_notice *notice)
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
    notice->state = core->state;
    notice->faults = core->faults;
    return true;
}

struct turn {
    unsigned good; /* words of use */
    unsigned next; /* words that the core can use after that */
};

/* Reads, tests and keeps so many words, of at most `most` that are asked for. */
static struct turn refill(struct entropy_core *core, unsigned count, unsigned most)
{
    uint64_t words[BATCH_WORDS];
    struct entropy_notice notice = {0};
    struct turn turn;
    uint64_t begin = ticks(core);
    struct reading reading = read_words(&core->source, words, count);
    uint64_t end = ticks(core);

    spin_lock_acquire(&core->lock);
    uint64_t before = core->counters.words;
    bool more = absorb(core, words, reading, &notice);

    core->counters.ticks += end - begin;
    turn.good = (unsigned)(core->counters.words - before);
    turn.next = more ? wanted(core, most - turn.good) : 0;
    bool told = worth_telling(core, &notice);

    spin_lock_release(&core->lock);
    wipe(words, count * sizeof(words[0]));
    if (told) { /* not under the lock: who is told may be slow */
        core->notify(core, &notice);
    }
    return turn;
}

unsigned entropy_refill(struct entropy_core *core, unsigned max_words)
{
    unsigned total = 0;

    spin_lock_acquire(&core->lock);
    unsigned count = wanted(core, max_words);

    spin_lock_release(&core->lock);
    while (count > 0) {
        struct turn turn = refill(core, count, max_words - total);

        total += turn.good;
        count = turn.next;
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
    uint32_t free = core->state == ENTROPY_READY ? free_for(core, share) : 0;
    uint32_t count = length < free ? (uint32_t)length : free;

    if (count > 0) {
        uint8_t *bytes = core->pool + core->level - count;

        memcpy(buffer, bytes, count);
        wipe(bytes, count);
        core->level -= count;
        core->counters.bytes_delivered += count;
        if (core->level < core->counters.pool_low_water) {
            core->counters.pool_low_water = core->level;
        }
        if (share != NULL) {
            share->drawn += count;
        }
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
    bool testing = is_testing(core);

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
    if (!is_testing(core)) {
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
