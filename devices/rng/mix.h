/* Several entropy sources as one: each word is the XOR of a word of each. */
#ifndef DEVICES_RNG_MIX_H
#define DEVICES_RNG_MIX_H

#include <stdbool.h>

#include "devices/rng/source.h"

#define MIX_SOURCES 4U

/*
 * What it gives: the XOR of words is at least as hard to predict as the best of them, provided that
 * no member knows another's words. It is no better than the best one for sure, and the members are
 * not tested one by one: one that is stuck goes unnoticed as long as another is good, which is what
 * mixing is for. One without a word, 0 and all-ones included, leaves the mix without one: the
 * promise is kept, or nothing is delivered. It is slow if a member is.
 */
struct mix {
    struct entropy_source members[MIX_SOURCES]; /* the slow ones first */
    unsigned count;
    bool slow;
};

/* Adds a member, before mix_source(); `source` is copied. False if there are too many. */
bool mix_add(struct mix *mix, const struct entropy_source *source);

/* The source, whose context is `mix`. */
struct entropy_source mix_source(struct mix *mix);

#endif
