/* Wiping of secrets, in a way that the compiler cannot leave out. */
#ifndef VMM_WIPE_H
#define VMM_WIPE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Zeroes `length` bytes. Through volatile, since the compiler may drop stores to memory that nobody
 * reads again; eight bytes a store where alignment allows.
 */
static inline void wipe(void *buffer, size_t length)
{
    typedef uint64_t __attribute__((may_alias)) any_word;
    volatile uint8_t *bytes = buffer;

    while (length > 0) {
        if (((uintptr_t)bytes | length) % sizeof(any_word) == 0) {
            *(volatile any_word *)bytes = 0;
            bytes += sizeof(any_word);
            length -= sizeof(any_word);
        } else {
            *bytes++ = 0;
            length--;
        }
    }
}

#endif
