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

/* The state of the tests; all zero to start with. */
struct health {
    uint64_t last_word;
    uint64_t first_word;   /* of the words' window */
    uint32_t word_repeats; /* how often last_word came in a row; 0: no word yet */
    uint32_t words_used;   /* of the window */
    uint32_t word_matches; /* with its first word, which counts itself */
    uint32_t byte_repeats; /* the same for bytes */
    uint32_t window_used;
    uint32_t window_matches;
    uint8_t last_byte;
    uint8_t window_first;
};

/* Looks at the next word of the source. Returns the first test that it failed. */
enum health_test health_check(struct health *health, uint64_t word);

/* The test's name, for people. */
const char *health_test_name(enum health_test test);

#endif
