/* A source of raw entropy: RDSEED in the product, scripts in tests. */
#ifndef DEVICES_RNG_SOURCE_H
#define DEVICES_RNG_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

struct entropy_source {
    const char *name;
    /*
     * One try for 64 bits. False if the source has none just now: a normal event that the caller
     * counts and retries within its own bound. Never blocks.
     */
    bool (*read)(void *context, uint64_t *word);
    void *context; /* not owned */
};

#endif
