/* The hypervisor's memory: a bump allocator that can be closed. */
#include "vmm/arena.h"

#include <string.h>

void arena_init(struct arena *arena, void *base, size_t size)
{
    *arena = (struct arena){.base = base, .size = size};
}

void *arena_allocate(struct arena *arena, size_t size, size_t alignment)
{
    uintptr_t start = (uintptr_t)arena->base + arena->used;
    size_t padding = (size_t)(-start & (alignment - 1));

    if (arena->sealed || padding > arena->size - arena->used ||
        size > arena->size - arena->used - padding) {
        return NULL;
    }
    void *memory = arena->base + arena->used + padding;

    arena->used += padding + size;
    memset(memory, 0, size);
    return memory;
}

void arena_seal(struct arena *arena)
{
    arena->sealed = true;
}
