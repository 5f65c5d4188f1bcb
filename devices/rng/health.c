/* The continuous health tests: repetition count and adaptive proportion, on words and on bytes. */
#include "devices/rng/health.h"

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

/* All of a word's bytes are looked at or it failed, so the bytes' windows begin where words do. */
#define BYTE_WINDOW_WORDS (HEALTH_WINDOW / (uint32_t)sizeof(uint64_t))

#define EACH_BYTE 0x0101010101010101ULL
#define TOP_BITS  (EACH_BYTE << 7)

/* Not 0 if any byte of the word is zero. */
static uint64_t has_zero_byte(uint64_t word)
{
    return (word - EACH_BYTE) & ~word & TOP_BITS;
}

/* The top bit of each byte that is zero, and nothing else. */
static uint64_t zero_bytes(uint64_t word)
{
    return ~(((word & ~TOP_BITS) + ~TOP_BITS) | word) & TOP_BITS;
}

/* A word's bytes, the lowest first, each in its predecessor's place. */
static uint64_t predecessors(uint64_t word, uint64_t last)
{
    return word << 8 | last >> 56;
}

/* Looks at those bytes only that have something to count. */
static enum health_test check_bytes(struct health *health, uint64_t word, uint64_t last)
{
    const uint64_t repeated = zero_bytes(word ^ predecessors(word, last));
    const uint64_t matching = zero_bytes(word ^ EACH_BYTE * health->first_byte);
    unsigned next = 7; /* the top bit of the byte that goes on with the row, if it repeats */

    for (uint64_t left = repeated | matching; left != 0; left &= left - 1) {
        unsigned top = (unsigned)__builtin_ctzll(left);

        if ((repeated >> top & 1) != 0) {
            health->byte_repeats = top == next ? health->byte_repeats + 1 : 2;
            next = top + 8;
            if (health->byte_repeats >= BYTE_REPETITION_CUTOFF) {
                return HEALTH_BYTE_REPETITION;
            }
        }
        health->byte_matches += (matching >> top & 1) != 0 ? 1 : 0;
        if (health->byte_matches >= BYTE_PROPORTION_CUTOFF) {
            return HEALTH_BYTE_PROPORTION;
        }
    }
    health->byte_repeats = next == 64 + 7 ? health->byte_repeats : 1;
    return HEALTH_PASSED;
}

static enum health_test check_word(struct health *health, uint64_t word)
{
    uint64_t last = health->last_word;

    if (health->words % HEALTH_WINDOW == 0) {
        health->first_word = word;
        health->word_matches = 0;
    }
    if (health->words % BYTE_WINDOW_WORDS == 0) {
        health->first_byte = (uint8_t)word;
        health->byte_matches = 0;
    }
    health->words++;
    health->last_word = word;
    health->word_repeats = word == last ? health->word_repeats + 1 : 1;
    health->word_matches += word == health->first_word ? 1 : 0;
    if (health->word_repeats >= WORD_REPETITION_CUTOFF) {
        return HEALTH_WORD_REPETITION;
    }
    if (health->word_matches >= WORD_PROPORTION_CUTOFF) {
        return HEALTH_WORD_PROPORTION;
    }
    return check_bytes(health, word, last);
}

/*
 * Takes note of the words up to the first that needs a closer look, and returns how many they are.
 * They and their bytes differ from their predecessors and from the windows' first, and no window
 * begins with them, so that no test has anything to count. That holds for 12 of 13 good words.
 */
static unsigned pass_unremarkable(struct health *health, const uint64_t *words, unsigned count)
{
    const unsigned to_window = -health->words % BYTE_WINDOW_WORDS;
    const unsigned most = count < to_window ? count : to_window;
    const uint64_t first_word = health->first_word;
    const uint64_t first_bytes = EACH_BYTE * health->first_byte;
    uint64_t last = health->last_word;
    unsigned passed = 0;

    for (; passed < most; passed++) {
        uint64_t word = words[passed];

        if (word == last || word == first_word ||
            (has_zero_byte(word ^ predecessors(word, last)) | has_zero_byte(word ^ first_bytes)) !=
                0) {
            break;
        }
        last = word;
    }
    if (passed > 0) {
        health->words += passed;
        health->last_word = last;
        health->word_repeats = 1;
        health->byte_repeats = 1;
    }
    return passed;
}

unsigned health_check(struct health *health, const uint64_t *words, unsigned count,
                      enum health_test *hit)
{
    unsigned passed = 0;

    *hit = HEALTH_PASSED;
    for (;;) {
        passed += pass_unremarkable(health, words + passed, count - passed);
        if (passed == count) {
            break;
        }
        *hit = check_word(health, words[passed]);
        if (*hit != HEALTH_PASSED) {
            break;
        }
        passed++;
    }
    return passed;
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
