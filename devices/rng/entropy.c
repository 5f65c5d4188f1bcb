/* The entropy core: bounded reads of the source, health tests, the pool and its wiping. */
#include "devices/rng/entropy.h"

#include <string.h>

#include "vmm/wipe.h"

/*
 * The tests are those of NIST SP 800-90B, 4.4, run on the output of the source. RDSEED's output is
 * conditioned and the CPU tests its own noise source before that, so these tests supplement the
 * CPU's: they catch sources that are stuck, repeat themselves or lean towards some bytes, as parts
 * in the field have done. They are no claim of compliance.
 *
 * False-alarm probability per test: alpha = 2^-60, so that at 2^24 bytes a second a good source is
 * suspected once in some thousand years, and a hit means something. Entropy assumed: H = 8 bits per
 * byte and 64 bits per word, which is what RDSEED promises.
 *
 * Repetition count, 4.4.1: C = 1 + ceil(-log2(alpha) / H).
 *   bytes: 1 + ceil(60 / 8)  = 9
 *   words: 1 + ceil(60 / 64) = 2
 * Adaptive proportion, 4.4.2, on bytes: window W = 512. The first byte of a window always counts,
 * the other 511 match it with p = 2^-8 each, so C = 2 + critbinom(511, 2^-8, 1 - alpha), where
 * critbinom(n, p, q) is the least k with P(Binomial(n, p) <= k) >= q:
 *   critbinom(511, 2^-8, 1 - 2^-60) = 24, so C = 26
 */
#define BYTE_REPETITION_CUTOFF 9U
#define WORD_REPETITION_CUTOFF 2U
#define PROPORTION_WINDOW      512U
#define PROPORTION_CUTOFF      26U

/* Words read between two turns of the lock; the worst case inside it is this many words' tests. */
#define BATCH_WORDS 8U

/* The longest back-off, as a power of two of entropy_refill() calls: the core has no clock. */
#define BACKOFF_SHIFT_MAX 8U

struct sample {
    uint64_t word;
    uint32_t failures; /* tries that failed before it */
    bool good;         /* false: all tries failed */
};

static void lock(struct entropy_core *core)
{
    while (__atomic_exchange_n(&core->lock, 1, __ATOMIC_ACQUIRE) != 0) {
        while (__atomic_load_n(&core->lock, __ATOMIC_RELAXED) != 0) {
        }
    }
}

static void unlock(struct entropy_core *core)
{
    __atomic_store_n(&core->lock, 0, __ATOMIC_RELEASE);
}

void entropy_init(struct entropy_core *core, const struct entropy_source *source)
{
    memset(core, 0, sizeof(*core));
    core->source = *source;
    core->counters.pool_low_water = ENTROPY_POOL_SIZE;
}

static bool byte_is_healthy(struct entropy_health *health, uint8_t byte)
{
    health->byte_repeats = byte == health->last_byte ? health->byte_repeats + 1 : 1;
    health->last_byte = byte;
    if (health->window_used == PROPORTION_WINDOW) {
        health->window_used = 0;
    }
    if (health->window_used == 0) {
        health->window_first = byte;
        health->window_matches = 0;
    }
    health->window_used++;
    health->window_matches += byte == health->window_first ? 1 : 0;
    return health->byte_repeats < BYTE_REPETITION_CUTOFF &&
           health->window_matches < PROPORTION_CUTOFF;
}

/* Whether any byte of the word is zero. */
static bool has_zero_byte(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101ULL;

    return ((word - ones) & ~word & (ones << 7)) != 0;
}

/*
 * Whether no byte of the word equals its predecessor or the window's first byte, and the window
 * goes on behind it: then the byte tests have nothing to count, as for 31 of 32 good words.
 */
static bool is_unremarkable(const struct entropy_health *health, uint64_t word)
{
    const uint64_t ones = 0x0101010101010101ULL;

    return health->window_used != 0 && health->window_used <= PROPORTION_WINDOW - sizeof(word) &&
           !has_zero_byte(word ^ (word << 8 | health->last_byte)) &&
           !has_zero_byte(word ^ ones * health->window_first);
}

static bool bytes_are_healthy(struct entropy_health *health, uint64_t word)
{
    bool healthy = true;

    if (is_unremarkable(health, word)) {
        health->byte_repeats = 1;
        health->last_byte = (uint8_t)(word >> 56);
        health->window_used += (uint32_t)sizeof(word);
        return true;
    }
    for (unsigned i = 0; i < sizeof(word); i++) {
        healthy &= byte_is_healthy(health, (uint8_t)(word >> (8 * i)));
    }
    return healthy;
}

static bool word_is_healthy(struct entropy_health *health, uint64_t word)
{
    bool repeated = health->word_repeats > 0 && word == health->last_word;
    bool healthy;

    health->word_repeats = repeated ? health->word_repeats + 1 : 1;
    health->last_word = word;
    healthy = health->word_repeats < WORD_REPETITION_CUTOFF;
    return bytes_are_healthy(health, word) && healthy;
}

/* No byte that was in the pool when the source failed is delivered: it may be bad already. */
static void fault(struct entropy_core *core)
{
    wipe(core->pool, core->level);
    wipe(&core->health, sizeof(core->health));
    core->level = 0;
    core->startup_words = 0;
    core->good_words = 0;
    core->failure_run = 0;
    if (core->faults < BACKOFF_SHIFT_MAX) {
        core->faults++;
    }
    core->backoff = 1U << core->faults;
    core->state = core->faults >= ENTROPY_FAULT_LIMIT ? ENTROPY_FAULT : ENTROPY_STARTING;
}

/* Start-up words are discarded; a good word of a core that is ready goes to the pool. */
static void accept(struct entropy_core *core, uint64_t word)
{
    if (core->state != ENTROPY_READY) {
        core->startup_words++;
        if (core->startup_words == ENTROPY_STARTUP_WORDS) {
            core->state = ENTROPY_READY;
        }
        return;
    }
    if (core->good_words < ENTROPY_PROVEN_WORDS) {
        core->good_words++;
    } else {
        core->faults = 0;
    }
    /* Another CPU may have filled it since there was room. */
    if (ENTROPY_POOL_SIZE - core->level >= sizeof(word)) {
        memcpy(core->pool + core->level, &word, sizeof(word));
        core->level += (uint32_t)sizeof(word);
    }
}

/* Counts, tests and keeps one sample. False if that ended in a fault. */
static bool absorb(struct entropy_core *core, const struct sample *sample)
{
    core->counters.tries += sample->failures + (sample->good ? 1 : 0);
    core->counters.failures += sample->failures;
    core->failure_run += sample->failures;
    if (core->failure_run > core->counters.longest_failure_run) {
        core->counters.longest_failure_run = core->failure_run;
    }
    if (core->failure_run >= ENTROPY_DRY_LIMIT) {
        fault(core);
        return false;
    }
    if (!sample->good) {
        return true;
    }
    core->failure_run = 0;
    if (!word_is_healthy(&core->health, sample->word)) {
        core->counters.health_hits++;
        fault(core);
        return false;
    }
    accept(core, sample->word);
    return true;
}

/* 0 and all ones are what broken parts return as success; losing them costs a good one nothing. */
static void read_sample(const struct entropy_source *source, struct sample *sample)
{
    *sample = (struct sample){0};
    while (!sample->good && sample->failures < ENTROPY_TRIES) {
        sample->good = source->read(source->context, &sample->word) && sample->word != 0 &&
                       sample->word != UINT64_MAX;
        sample->failures += sample->good ? 0 : 1;
    }
}

/* How many words the core can use now; counts down the back-off. */
static unsigned wanted(struct entropy_core *core)
{
    unsigned words = BATCH_WORDS;

    lock(core);
    if (core->backoff > 0) {
        core->backoff--;
        words = 0;
    } else if (core->state == ENTROPY_READY) {
        uint32_t room = (ENTROPY_POOL_SIZE - core->level) / (uint32_t)sizeof(uint64_t);

        words = room < BATCH_WORDS ? room : BATCH_WORDS;
    }
    unlock(core);
    return words;
}

/* Reads and absorbs up to `count` words. Returns how many were good and tested well. */
static unsigned refill_batch(struct entropy_core *core, unsigned count)
{
    struct sample samples[BATCH_WORDS];
    unsigned read = 0;
    unsigned good = 0;
    bool dry = false;

    for (; read < count && !dry; read++) {
        read_sample(&core->source, &samples[read]);
        dry = !samples[read].good;
    }
    lock(core);
    for (unsigned i = 0; i < read && absorb(core, &samples[i]); i++) {
        good += samples[i].good ? 1 : 0;
    }
    unlock(core);
    wipe(samples, read * sizeof(samples[0]));
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

size_t entropy_take(struct entropy_core *core, void *buffer, size_t length)
{
    lock(core);
    size_t count = length < core->level ? length : core->level;
    uint8_t *bytes = core->pool + core->level - count;

    if (core->state != ENTROPY_READY) {
        count = 0;
    }
    memcpy(buffer, bytes, count);
    wipe(bytes, count);
    core->level -= (uint32_t)count;
    core->counters.bytes_delivered += count;
    if (count > 0 && core->level < core->counters.pool_low_water) {
        core->counters.pool_low_water = core->level;
    }
    unlock(core);
    return count;
}

uint32_t entropy_level(struct entropy_core *core)
{
    lock(core);
    uint32_t level = core->level;

    unlock(core);
    return level;
}

enum entropy_state entropy_state(struct entropy_core *core)
{
    lock(core);
    enum entropy_state state = core->state;

    unlock(core);
    return state;
}

void entropy_retry(struct entropy_core *core)
{
    lock(core);
    if (core->state == ENTROPY_FAULT) {
        core->state = ENTROPY_STARTING;
        core->faults = ENTROPY_FAULT_LIMIT - 1;
        core->backoff = 0;
    }
    unlock(core);
}

struct entropy_counters entropy_counters(struct entropy_core *core)
{
    lock(core);
    struct entropy_counters counters = core->counters;

    unlock(core);
    return counters;
}
