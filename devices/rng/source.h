/* A source of raw entropy: an instruction, an outside daemon, several at once, or a test's script.
 */
#ifndef DEVICES_RNG_SOURCE_H
#define DEVICES_RNG_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

struct entropy_source {
    const char *name;
    /*
     * One try for 64 bits. False if the source has none just now: a normal event that the caller
     * counts and retries within its own bound. Never blocks. Any CPU may call it at any time.
     */
    bool (*read)(void *context, uint64_t *word);
    void *context; /* not owned */
    /*
     * It is slow by nature, or reached by a line that may be down. Trying again at once is then of
     * no use, and being dry, however long, is no fault.
     */
    bool slow;
};

#endif
