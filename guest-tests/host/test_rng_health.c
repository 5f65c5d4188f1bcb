/* Tests of the health tests: cut-offs, and how soon each fault that was seen in the field shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/rng/entropy.h"
#include "guest-tests/host/scripted_source.h"

#define FOREVER UINT64_MAX

/* The least k with P(X > k) <= alpha for X ~ Binomial(511, p), summed from the far end. */
static unsigned critical(long double p, long double alpha)
{
    long double terms[512];
    long double tail = 0;
    unsigned k = 511;

    /* terms[i] = C(511, i) p^i (1 - p)^(511 - i), and (1 - p) is as good as 1 where p is tiny. */
    for (unsigned i = 0; i < 512; i++) {
        terms[i] = 1;
        for (unsigned j = 0; j < i; j++) {
            terms[i] *= p * (511 - j) / (j + 1);
        }
        for (unsigned j = i; j < 511; j++) {
            terms[i] *= 1 - p;
        }
    }
    while (k > 0 && tail + terms[k] <= alpha) {
        tail += terms[k--];
    }
    return k;
}

/* The cut-offs follow from alpha = 2^-60 and H by the formulas that the source states. */
static void test_cutoffs(void **state)
{
    (void)state;
    assert_int_equal(1 + (60 + 7) / 8, 9);
    assert_int_equal(1 + (60 + 63) / 64, 2);
    assert_int_equal(2 + critical(0x1p-8L, 0x1p-60L), 26);
    assert_int_equal(2 + critical(0x1p-64L, 0x1p-60L), 3);
}

static enum health_test check_one(struct health *health, uint64_t word)
{
    enum health_test hit;
    unsigned passed = health_check(health, &word, 1, &hit);

    assert_int_equal(passed, hit == HEALTH_PASSED);
    return hit;
}

/* Which word of a sequence fails, counted from 1, and by which test; 0: none. */
static unsigned first_failure(uint64_t (*word)(uint64_t n), unsigned count, enum health_test *test)
{
    struct health health = {0};

    for (unsigned i = 0; i < count; i++) {
        *test = check_one(&health, word(i));
        if (*test != HEALTH_PASSED) {
            return i + 1;
        }
    }
    return 0;
}

/* Words unlike each other, but for two that equal the window's first. */
static uint64_t thrice_in_a_window(uint64_t n)
{
    return script_word(n == 200 || n == 511 ? 0 : n);
}

static uint64_t thrice_across_windows(uint64_t n)
{
    return script_word(n == 200 || n == 512 ? 0 : n);
}

/* Each window has a first word of its own, and the second starts where the first ends. */
static uint64_t thrice_in_the_second(uint64_t n)
{
    return script_word(n == 600 || n == 1023 ? 512 : n);
}

static void test_word_proportion(void **state)
{
    enum health_test test;

    (void)state;
    assert_int_equal(first_failure(thrice_in_a_window, 2000, &test), 512);
    assert_int_equal(test, HEALTH_WORD_PROPORTION);
    assert_int_equal(first_failure(thrice_across_windows, 2000, &test), 0);
    assert_int_equal(first_failure(thrice_in_the_second, 2000, &test), 1024);
    assert_int_equal(test, HEALTH_WORD_PROPORTION);
}

/* Going round in 2 to 255 words is seen in the first window, whatever the bytes; in 256 it is not.
 */
static void test_cycles(void **state)
{
    (void)state;
    for (uint64_t period = 2; period <= 256; period++) {
        struct health health = {0};
        enum health_test test = HEALTH_PASSED;
        uint64_t n = 0;

        for (; n < 512 && test == HEALTH_PASSED; n++) {
            test = check_one(&health, script_word(n % period));
        }
        if (period == 256) {
            assert_int_equal(test, HEALTH_PASSED);
        } else if (test == HEALTH_WORD_PROPORTION) {
            assert_true(n == 2 * period + 1);
        } else {
            assert_true(test == HEALTH_BYTE_PROPORTION && n < 2 * period + 1);
        }
    }
}

/* The tests of SP 800-90B as they are written there, one sample after the other. */
struct reference_test {
    uint64_t repeated; /* 4.4.1: A */
    unsigned repeats;  /* B */
    uint64_t first;    /* 4.4.2: A */
    unsigned matches;  /* B */
    unsigned position; /* in the window; 0: the next sample is its first */
};

static bool repeats_too_often(struct reference_test *test, uint64_t sample, unsigned cutoff)
{
    if (test->repeats > 0 && sample == test->repeated) {
        test->repeats++;
        return test->repeats >= cutoff;
    }
    test->repeated = sample;
    test->repeats = 1;
    return false;
}

static bool matches_too_often(struct reference_test *test, uint64_t sample, unsigned cutoff)
{
    bool failed = false;

    if (test->position == 0) {
        test->first = sample;
        test->matches = 1;
    } else if (sample == test->first) {
        test->matches++;
        failed = test->matches >= cutoff;
    }
    test->position = (test->position + 1) % HEALTH_WINDOW;
    return failed;
}

struct reference {
    struct reference_test words;
    struct reference_test bytes;
};

static enum health_test reference_check(struct reference *reference, uint64_t word)
{
    bool repeats = repeats_too_often(&reference->words, word, 2);
    bool matches = matches_too_often(&reference->words, word, 3);

    if (repeats || matches) {
        return repeats ? HEALTH_WORD_REPETITION : HEALTH_WORD_PROPORTION;
    }
    for (unsigned i = 0; i < 8; i++) {
        uint8_t byte = (uint8_t)(word >> (8 * i));

        repeats = repeats_too_often(&reference->bytes, byte, 9);
        matches = matches_too_often(&reference->bytes, byte, 26);
        if (repeats || matches) {
            return repeats ? HEALTH_BYTE_REPETITION : HEALTH_BYTE_PROPORTION;
        }
    }
    return HEALTH_PASSED;
}

/* How often of 65,536 times a word, or a byte of it, is made to equal another. */
struct leaning {
    unsigned last_word;
    unsigned first_word;
    unsigned last_byte;
    unsigned first_byte;
    unsigned mask; /* of the bits that a byte has */
};

static const struct leaning leanings[] = {
    {0, 0, 0, 0, 0xff},          /* none: good words */
    {200, 0, 0, 0, 0xff},        /* a word comes again now and then */
    {0, 250, 0, 0, 0xff},        /* the windows' first word does */
    {0, 0, 30000, 0, 0xff},      /* rows of one byte, of all lengths */
    {0, 0, 8000, 0, 0xff},       /* short ones */
    {0, 0, 0, 2500, 0xff},       /* the windows' first byte, close to the cut-off */
    {0, 0, 0, 9000, 0xff},       /* far above it */
    {20, 100, 9000, 1500, 0xff}, /* all together */
    {0, 0, 6000, 0, 0x1f},       /* few values */
    {0, 0, 0, 0, 0x3f},
    {0, 0, 40000, 0, 0x01}, /* bytes that are 0 or 1: one less than the other */
    {0, 0, 65000, 0, 0xff},
};

static uint64_t dice;

static bool thrown(unsigned times)
{
    return (script_word(dice++) & 0xffff) < times;
}

static uint64_t leaning_word(const struct leaning *leaning, const struct reference *reference)
{
    uint64_t word = script_word(dice++) & leaning->mask * 0x0101010101010101ULL;
    uint8_t last = (uint8_t)reference->bytes.repeated;

    if (thrown(leaning->last_word)) {
        return reference->words.repeated;
    }
    if (thrown(leaning->first_word)) {
        return reference->words.first;
    }
    if (leaning->last_byte + leaning->first_byte == 0) {
        return word;
    }
    for (unsigned i = 0; i < 64; i += 8) {
        uint8_t byte = (uint8_t)(word >> i);

        byte = thrown(leaning->first_byte) ? (uint8_t)reference->bytes.first : byte;
        byte = thrown(leaning->last_byte) ? last : byte;
        word = (word & ~(0xffULL << i)) | (uint64_t)byte << i;
        last = byte;
    }
    return word;
}

/* One run of words, in pieces of any length, until something fails or they end. */
static enum health_test compare_with_reference(const struct leaning *leaning, unsigned count)
{
    struct health health = {0};
    struct reference reference = {0};
    enum health_test expected = HEALTH_PASSED;

    for (unsigned done = 0; done < count && expected == HEALTH_PASSED;) {
        uint64_t words[64];
        unsigned length = 1 + (unsigned)(script_word(dice++) % 64);
        unsigned good = 0;
        enum health_test hit;

        for (unsigned i = 0; i < length; i++) {
            words[i] = leaning_word(leaning, &reference);
            if (expected == HEALTH_PASSED) {
                expected = reference_check(&reference, words[i]);
                good += expected == HEALTH_PASSED ? 1 : 0;
            }
        }
        assert_int_equal(health_check(&health, words, length, &hit), good);
        assert_int_equal(hit, expected);
        done += length;
    }
    return expected;
}

/* Word by word the verdicts are those of the plain tests, for words of every kind. */
static void test_against_reference(void **state)
{
    unsigned hits[HEALTH_TESTS] = {0};

    (void)state;
    dice = 0;
    for (unsigned i = 0; i < sizeof(leanings) / sizeof(leanings[0]); i++) {
        for (unsigned run = 0; run < 200; run++) {
            hits[compare_with_reference(&leanings[i], 2048)]++;
        }
    }
    for (unsigned test = 0; test < HEALTH_TESTS; test++) {
        assert_true(hits[test] >= 100);
    }
    assert_int_equal(compare_with_reference(&leanings[0], 1 << 20), HEALTH_PASSED);
}

/* No words at all: nothing passes, nothing fails, nothing is forgotten. */
static void test_no_words(void **state)
{
    struct health health = {0};
    struct health before;
    enum health_test hit = HEALTH_BYTE_REPETITION;
    const uint64_t word = 0x0123456789abcdef;

    (void)state;
    assert_int_equal(check_one(&health, word), HEALTH_PASSED);
    before = health;
    assert_int_equal(health_check(&health, &word, 0, &hit), 0);
    assert_int_equal(hit, HEALTH_PASSED);
    assert_memory_equal(&health, &before, sizeof(health));
}

struct fault {
    const char *name;
    enum script_mode mode;
    enum health_test test; /* that sees it; HEALTH_PASSED: no word of it is taken, it is dry */
    uint64_t period;
    uint64_t least; /* tries from the first bad one to the one that shows it: */
    uint64_t most;  /* the bounds, over the phases of the tests' windows */
};

/*
 * Faults as they were seen, replayed after a good start. A word that is 0 or all ones is never
 * taken, so that such a source is dry: 65,536 tries, and no bad byte in the pool meanwhile.
 */
static const struct fault faults[] = {
    {"all zeros (Zen 5, short forms)", SCRIPT_ZERO, HEALTH_PASSED, 0, 65536, 65536},
    {"all ones (Cyan Skillfish, early Zen 2)", SCRIPT_ONES, HEALTH_PASSED, 0, 65536, 65536},
    {"always 4 (RDRAND after patched microcode)", SCRIPT_STUCK, HEALTH_WORD_REPETITION, 0, 2, 2},
    {"each value twice (a Zen 3)", SCRIPT_REPEAT, HEALTH_WORD_REPETITION, 0, 2, 3},
    {"low half 0 (a short form zero-extended)", SCRIPT_SHORT, HEALTH_BYTE_PROPORTION, 0, 7, 69},
    {"counting up", SCRIPT_COUNT, HEALTH_BYTE_PROPORTION, 0, 5, 256},
    {"round in 2 words", SCRIPT_CYCLE, HEALTH_BYTE_PROPORTION, 2, 5, 112},
    {"round in 16 words", SCRIPT_CYCLE, HEALTH_WORD_PROPORTION, 16, 33, 536},
    {"round in 100 words", SCRIPT_CYCLE, HEALTH_WORD_PROPORTION, 100, 201, 704},
    {"round in 255 words", SCRIPT_CYCLE, HEALTH_WORD_PROPORTION, 255, 511, 1014},
    {"one byte in ten the same", SCRIPT_BIASED, HEALTH_BYTE_PROPORTION, 0, 29, 2455},
    {"drift: 1 % more of a byte in 1,250 words", SCRIPT_DRIFT, HEALTH_BYTE_PROPORTION, 1000000,
     6791, 7288},
};

/* Tries until the fault shows, when it starts after so many words for the pool. */
static uint64_t delay_of(const struct fault *fault, unsigned phase, unsigned *hits)
{
    static struct entropy_core core;
    struct script script = {0};
    struct entropy_source source = script_source(&script);
    uint8_t sink[ENTROPY_POOL_SIZE];

    entropy_init(&core, &source);
    entropy_refill(&core, ENTROPY_STARTUP_WORDS + phase);
    assert_int_equal(entropy_state(&core), ENTROPY_READY);
    uint64_t good = script.asked;

    script.mode = fault->mode;
    script.period = fault->period;
    script.from = script.played;
    script.tries = FOREVER;
    while (entropy_state(&core) == ENTROPY_READY) {
        entropy_take(&core, sink, sizeof(sink));
        entropy_refill(&core, 1);
        assert_true(script.asked < good + 1000000);
    }
    struct entropy_counters counters = entropy_counters(&core);

    assert_int_equal(entropy_level(&core), 0);
    assert_true(counters.health_hits + counters.dry_faults == 1);
    assert_true(counters.dry_faults == 1 || counters.hits[HEALTH_PASSED] == 0);
    for (unsigned test = 0; test < HEALTH_TESTS; test++) {
        hits[test] += (unsigned)counters.hits[test];
    }
    hits[HEALTH_PASSED] += (unsigned)counters.dry_faults;
    return script.asked - good;
}

static void test_detection_delays(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        const struct fault *fault = &faults[i];
        uint64_t least = UINT64_MAX;
        uint64_t most = 0;
        unsigned hits[HEALTH_TESTS] = {0};

        /* 9 has no factor in common with either window, so that both are in every phase. */
        for (unsigned phase = 0; phase < 512; phase += 9) {
            uint64_t delay = delay_of(fault, phase, hits);

            least = delay < least ? delay : least;
            most = delay > most ? delay : most;
        }
        printf("%-42s %-30s %5lu to %5lu\n", fault->name,
               fault->test == HEALTH_PASSED ? "never taken" : health_test_name(fault->test),
               (unsigned long)least, (unsigned long)most);
        wrong += least != fault->least || most != fault->most || hits[fault->test] == 0;
        for (unsigned test = 0; test < HEALTH_TESTS; test++) {
            wrong += hits[test] > hits[fault->test];
        }
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cutoffs),  cmocka_unit_test(test_word_proportion),
        cmocka_unit_test(test_cycles),   cmocka_unit_test(test_against_reference),
        cmocka_unit_test(test_no_words), cmocka_unit_test(test_detection_delays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
