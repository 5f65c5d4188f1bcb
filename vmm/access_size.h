/* What an access of 1, 2, 4 or 8 bytes reaches of a 64-bit value. */
#ifndef VMM_ACCESS_SIZE_H
#define VMM_ACCESS_SIZE_H

#include <stdint.h>

/* The `size` low bytes set; `size` is 1, 2, 4 or 8. */
static inline uint64_t access_mask(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

#endif
