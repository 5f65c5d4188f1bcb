/* The continuous health tests: repetition count and adaptive proportion, on words and on bytes. */
#include "devices/rng/health.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The tests are those of NIST SP 800-90B, 4.4, run on the output of the source. RDSEED's output is
 * conditioned and the CPU tests its own noise source before that, so these tests supplement the
 * CPU's: they catch sources that are stuck, repeat themselves, go round in a circle or lean towards
 * some bytes, as parts in the field have done. They are no claim of compliance.
 *
 * False-alarm probability per test: alpha = 2^-60, so that at 2^24 bytes a second a good source is
 * suspected once in some thousand years, and a hit means something. Entropy assumed: H = 8 bits per
 * byte and 64 bits per word, which is what RDSEED promises.
 *
 * Repetition count, 4.4.1: C = 1 + ceil(-log2(alpha) / H).
 *   bytes: 1 + ceil(60 / 8)  = 9
 *   words: 1 + ceil(60 / 64) = 2
 * Adaptive proportion, 4.4.2: window W = 512. The first sample of a window always counts, the other
 * 511 match it with p = 2^-H each, so C = 2 + critbinom(511, 2^-H, 1 - alpha), where
 * critbinom(n, p, q) is the least k with P(Binomial(n, p) <= k) >= q:
 *   bytes: critbinom(511, 2^-8, 1 - 2^-60)  = 24, so C = 26
 *   words: critbinom(511, 2^-64, 1 - 2^-60) = 1, so C = 3
 * The test on words is for sources that go round in few words: good bytes, each word unlike the one
 * before it, and nothing new after the first round. It sees every period of up to 255 words.
 */
#define BYTE_REPETITION_CUTOFF 9U
#define WORD_REPETITION_CUTOFF 2U
#define BYTE_PROPORTION_CUTOFF 26U
#define WORD_PROPORTION_CUTOFF 3U

static enum health_test check_byte(struct health *health, uint8_t byte)
{
    health->byte_repeats = byte == health->last_byte ? health->byte_repeats + 1 : 1;
    health->last_byte = byte;
    if (health->window_used == HEALTH_WINDOW) {
        health->window_used = 0;
    }
    if (health->window_used == 0) {
        health->window_first = byte;
        health->window_matches = 0;
    }
    health->window_used++;
    health->window_matches += byte == health->window_first ? 1 : 0;
    if (health->byte_repeats >= BYTE_REPETITION_CUTOFF) {
        return HEALTH_BYTE_REPETITION;
    }
    return health->window_matches >= BYTE_PROPORTION_CUTOFF ? HEALTH_BYTE_PROPORTION
                                                            : HEALTH_PASSED;
}

#define EACH_BYTE 0x0101010101010101ULL

/* Not 0 if any byte of the word is zero. */
static uint64_t zero_bytes(uint64_t word)
{
    return (word - EACH_BYTE) & ~word & (EACH_BYTE << 7);
}

/*
 * Whether no byte of the word equals its predecessor or the window's first byte, and the window
 * goes on behind it: then the byte tests have nothing to count, as for 31 of 32 good words.
 */
static bool is_unremarkable(const struct health *health, uint64_t word)
{
    return health->window_used - 1U < HEALTH_WINDOW - sizeof(word) &&
           (zero_bytes(word ^ (word << 8 | health->last_byte)) |
            zero_bytes(word ^ EACH_BYTE * health->window_first)) == 0;
}

static enum health_test check_bytes(struct health *health, uint64_t word)
{
    enum health_test result = HEALTH_PASSED;

    for (unsigned i = 0; i < sizeof(word) && result == HEALTH_PASSED; i++) {
        result = check_byte(health, (uint8_t)(word >> (8 * i)));
    }
    return result;
}

static enum health_test check_word(struct health *health, uint64_t word)
{
    bool repeated = health->word_repeats > 0 && word == health->last_word;

    health->word_repeats = repeated ? health->word_repeats + 1 : 1;
    health->last_word = word;
    if (health->words_used == HEALTH_WINDOW) {
        health->words_used = 0;
    }
    if (health->words_used == 0) {
        health->first_word = word;
        health->word_matches = 0;
    }
    health->words_used++;
    health->word_matches += word == health->first_word ? 1 : 0;
    if (health->word_repeats >= WORD_REPETITION_CUTOFF) {
        return HEALTH_WORD_REPETITION;
    }
    return health->word_matches >= WORD_PROPORTION_CUTOFF ? HEALTH_WORD_PROPORTION : HEALTH_PASSED;
}

/* The same for the tests on words: almost always neither has anything to count either. */
static bool is_new(const struct health *health, uint64_t word)
{
    return health->word_repeats > 0 && health->words_used - 1U < HEALTH_WINDOW - 1U &&
           word != health->last_word && word != health->first_word;
}

enum health_test health_check(struct health *health, uint64_t word)
{
    if (is_new(health, word) && is_unremarkable(health, word)) {
        health->word_repeats = 1;
        health->last_word = word;
        health->words_used++;
        health->byte_repeats = 1;
        health->last_byte = (uint8_t)(word >> 56);
        health->window_used += (uint32_t)sizeof(word);
        return HEALTH_PASSED;
    }
    enum health_test result = check_word(health, word);

    return result == HEALTH_PASSED ? check_bytes(health, word) : result;
}

const char *health_test_name(enum health_test test)
{
    static const char *const names[HEALTH_TESTS] = {
        [HEALTH_PASSED] = "none",
        [HEALTH_WORD_REPETITION] = "repetition count on words",
        [HEALTH_BYTE_REPETITION] = "repetition count on bytes",
        [HEALTH_WORD_PROPORTION] = "adaptive proportion on words",
        [HEALTH_BYTE_PROPORTION] = "adaptive proportion on bytes",
    };

    return test < HEALTH_TESTS ? names[test] : "unknown";
}
