/* An entropy source that plays a script: good words, with faults where a test wants them. */
#ifndef GUEST_TESTS_HOST_SCRIPTED_SOURCE_H
#define GUEST_TESTS_HOST_SCRIPTED_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/rng/source.h"

enum script_mode {
    SCRIPT_GOOD,
    SCRIPT_DRY,    /* no word */
    SCRIPT_ZERO,   /* 0 as success: Zen 5's short forms */
    SCRIPT_ONES,   /* all ones as success: Cyan Skillfish, early Zen 2 */
    SCRIPT_STUCK,  /* one value for ever */
    SCRIPT_REPEAT, /* each word twice */
    SCRIPT_BIASED, /* every tenth byte or so the same value */
    SCRIPT_CYCLE,  /* goes round in `period` words */
    SCRIPT_COUNT,  /* counts up */
    SCRIPT_SHORT,  /* the low 32 bits are 0: a short form zero-extended */
    SCRIPT_DRIFT,  /* a bias that grows: of byte k, k of `period` bytes have one value */
};

struct script {
    enum script_mode mode; /* from word `from` on, for `tries` tries */
    uint64_t from;
    uint64_t tries;
    uint64_t period;
    const uint64_t *words; /* good words to use first, from word `from` on; NULL: none */
    uint64_t word_count;
    uint64_t played; /* words handed out */
    uint64_t asked;  /* tries */
};

/* The n-th good word: distinct for each n, and without any pattern (splitmix64). */
static inline uint64_t script_word(uint64_t n)
{
    uint64_t z = (n + 1) * 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* A word whose bytes are one value as often as `numerator` of `denominator` times. */
static inline uint64_t script_leaning(uint64_t n, uint64_t numerator, uint64_t denominator)
{
    uint64_t word = script_word(n);

    for (unsigned i = 0; i < 8; i++) {
        if (script_word(n * 8 + i + 0x100000000) % denominator < numerator) {
            word = (word & ~(0xffULL << (8 * i))) | 0x42ULL << (8 * i);
        }
    }
    return word;
}

static inline bool script_read(void *context, uint64_t *word)
{
    struct script *script = context;
    uint64_t n = script->played;

    script->asked++;
    *word = script_word(n);
    if (n >= script->from && n - script->from < script->word_count) {
        *word = script->words[n - script->from];
    } else if (n >= script->from && script->tries > 0) {
        script->tries--;
        switch (script->mode) {
        case SCRIPT_GOOD:
            break;
        case SCRIPT_DRY:
            *word = 0;
            return false;
        case SCRIPT_ZERO:
            *word = 0;
            return true;
        case SCRIPT_ONES:
            *word = UINT64_MAX;
            return true;
        case SCRIPT_STUCK:
            *word = 4;
            break;
        case SCRIPT_REPEAT:
            *word = script_word(n / 2);
            break;
        case SCRIPT_BIASED:
            *word = script_leaning(n, 1, 10);
            break;
        case SCRIPT_CYCLE:
            *word = script_word(n % script->period);
            break;
        case SCRIPT_COUNT:
            *word = n;
            break;
        case SCRIPT_SHORT:
            *word = script_word(n) << 32;
            break;
        case SCRIPT_DRIFT:
            *word = script_leaning(n, (n - script->from) * 8, script->period);
            break;
        }
    }
    script->played++;
    return true;
}

static inline struct entropy_source script_source(struct script *script)
{
    return (struct entropy_source){.name = "script", .read = script_read, .context = script};
}

#endif
