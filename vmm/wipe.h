/* Wiping of secrets, in a way that the compiler cannot leave out. */
#ifndef VMM_WIPE_H
#define VMM_WIPE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Zeroes `length` bytes. Through volatile, since the compiler may drop stores to memory that nobody
 * reads again; eight bytes a store from an aligned start on.
 */
static inline void wipe(void *buffer, size_t length)
{
    typedef uint64_t __attribute__((may_alias)) any_word;
    volatile uint8_t *bytes = buffer;

    if ((uintptr_t)bytes % sizeof(any_word) == 0) {
        volatile any_word *words = buffer;

        for (; length >= 4 * sizeof(any_word); length -= 4 * sizeof(any_word), words += 4) {
            words[0] = 0;
            words[1] = 0;
            words[2] = 0;
            words[3] = 0;
        }
        for (; length >= sizeof(any_word); length -= sizeof(any_word)) {
            *words++ = 0;
        }
        bytes = (volatile uint8_t *)words;
    }
    for (; length > 0; length--) {
        *bytes++ = 0;
    }
}

#endif
