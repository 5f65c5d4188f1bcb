/* The continuous health tests: what an entropy source must not do, word by word. */
#ifndef DEVICES_RNG_HEALTH_H
#define DEVICES_RNG_HEALTH_H

#include <stdint.h>

/* Bytes, and words, that the adaptive proportion tests look at in one go. */
#define HEALTH_WINDOW 512U

/* What failed, if anything. */
enum health_test {
    HEALTH_PASSED,
    HEALTH_WORD_REPETITION,
    HEALTH_BYTE_REPETITION,
    HEALTH_WORD_PROPORTION,
    HEALTH_BYTE_PROPORTION,
    HEALTH_TESTS,
};

/* The state of the tests; all zero to start with, and again after a failure. */
struct health {
    uint64_t last_word;
    uint64_t first_word;   /* of the words' window */
    uint32_t words;        /* so far, modulo 2^32: windows begin at multiples of their length */
    uint32_t word_repeats; /* how often last_word came in a row */
    uint32_t word_matches; /* with the window's first word, which counts itself */
    uint32_t byte_repeats; /* the same for bytes */
    uint32_t byte_matches;
    uint8_t first_byte;
};

/*
 * Looks at the next words of the source, up to the first that fails a test. Returns how many passed
 * before that; `hit` is the first test that the next one failed, HEALTH_PASSED if all passed.
 */
unsigned health_check(struct health *health, const uint64_t *words, unsigned count,
                      enum health_test *hit);

/* The test's name, for people. */
const char *health_test_name(enum health_test test);

#endif
