/* The hypervisor's memory: handed out before the guests start, never after and never back. */
#ifndef VMM_ARENA_H
#define VMM_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
    uint8_t *base; /* owned by whoever made the arena */
    size_t size;
    size_t used;
    bool sealed;
};

/* Makes `size` bytes at `base` available. The memory need not be zero. */
void arena_init(struct arena *arena, void *base, size_t size);

/*
 * `size` zeroed bytes aligned to `alignment` (a power of two), or NULL if the arena is exhausted
 * or sealed.
 */
void *arena_allocate(struct arena *arena, size_t size, size_t alignment);

/* Ends allocation for good: called before the first guest instruction runs. */
void arena_seal(struct arena *arena);

#endif
