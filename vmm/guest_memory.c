/* Guest memory: every access is checked here for start, length, overflow and straddling. */
#include "vmm/guest_memory.h"

/*@ requires \valid_read(region) && region_sound(region) && gpa + size <= UINT64_MAX;
    assigns \nothing;
    ensures \result <==> gpa < region->gpa + region->size && region->gpa < gpa + size;
*/
static bool overlaps(const struct guest_memory_region *region, uint64_t gpa, uint64_t size)
{
    return gpa < region->gpa + region->size && region->gpa < gpa + size;
}

bool guest_memory_add(struct guest_memory *memory, uint64_t gpa, uint64_t size, uint8_t *hva)
{
    if (memory->count == GUEST_MEMORY_REGIONS || size == 0 || size > UINT64_MAX - gpa) {
        return false;
    }
    /* An aligned field stays aligned for the hypervisor, or its accesses could tear. */
    if ((gpa ^ (uintptr_t)hva) % sizeof(uint64_t) != 0) {
        return false;
    }
    /*@ loop invariant 0 <= i <= memory->count;
        loop invariant \forall integer j; 0 <= j < i ==>
          memory->regions[j].gpa + memory->regions[j].size <= gpa ||
          gpa + size <= memory->regions[j].gpa;
        loop assigns i;
        loop variant memory->count - i; */
    for (unsigned i = 0; i < memory->count; i++) {
        if (overlaps(&memory->regions[i], gpa, size)) {
            return false;
        }
    }
    memory->regions[memory->count] =
        (struct guest_memory_region){.gpa = gpa, .size = size, .hva = hva};
    memory->count++;
    return true;
}

uint64_t guest_memory_size(const struct guest_memory *memory)
{
    uint64_t size = 0;

    /*@ loop invariant 0 <= i <= memory->count;
        loop assigns i, size;
        loop variant memory->count - i; */
    for (unsigned i = 0; i < memory->count; i++) {
        size += memory->regions[i].size;
    }
    return size;
}

uint8_t *guest_memory_range(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
    /*@ loop invariant 0 <= i <= memory->count;
        loop invariant \forall integer j; 0 <= j < i ==>
          !region_holds(&memory->regions[j], gpa, length);
        loop assigns i;
        loop variant memory->count - i; */
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_memory_region *region = &memory->regions[i];

        if (gpa < region->gpa || gpa - region->gpa >= region->size) {
            continue;
        }
        uint64_t offset = gpa - region->gpa;

        return length <= region->size - offset ? region->hva + offset : NULL;
    }
    return NULL;
}

bool guest_memory_read(const struct guest_memory *memory, uint64_t gpa, uint8_t *buffer,
                       size_t length)
{
    const uint8_t *source = guest_memory_range(memory, gpa, length);

    if (source == NULL) {
        return false;
    }
    memcpy(buffer, source, length);
    /* The copy is what is looked at from here on: the compiler must not go back to the source. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return true;
}

bool guest_memory_write(const struct guest_memory *memory, uint64_t gpa, const uint8_t *buffer,
                        size_t length)
{
    uint8_t *target = guest_memory_range(memory, gpa, length);

    if (target == NULL) {
        return false;
    }
    memcpy(target, buffer, length);
    return true;
}

/* The address of one aligned field; NULL if it is misaligned or outside RAM. */
/*@ requires \valid_read(memory) && guest_memory_sound(memory) && 0 < size <= 8;
    assigns \nothing;
    ensures \result != \null ==> \valid(\result + (0 .. size - 1)) && gpa % size == 0;
*/
static uint8_t *field(const struct guest_memory *memory, uint64_t gpa, size_t size)
{
    return gpa % size == 0 ? guest_memory_range(memory, gpa, size) : NULL;
}

bool guest_memory_load32(const struct guest_memory *memory, uint64_t gpa, uint32_t *value)
{
    const uint8_t *source = field(memory, gpa, sizeof(*value));

    if (source == NULL) {
        return false;
    }
    *value = guest_load32(source);
    return true;
}

bool guest_memory_load64(const struct guest_memory *memory, uint64_t gpa, uint64_t *value)
{
    const uint8_t *source = field(memory, gpa, sizeof(*value));

    if (source == NULL) {
        return false;
    }
    *value = guest_load64(source);
    return true;
}

uint64_t guest_memory_wipe(const struct guest_memory *memory, uint64_t from, uint64_t length)
{
    uint64_t wiped = 0;

    /*@ loop invariant 0 <= i <= memory->count && wiped <= length;
        loop assigns i, wiped, from, memory->regions[0].hva[0 .. memory->regions[0].size - 1],
                     memory->regions[1].hva[0 .. memory->regions[1].size - 1];
        loop variant memory->count - i; */
    for (unsigned i = 0; i < memory->count && wiped < length; i++) {
        const struct guest_memory_region *region = &memory->regions[i];

        if (from < region->size) {
            uint64_t left = region->size - from;
            uint64_t piece = left < length - wiped ? left : length - wiped;

            memset(region->hva + from, 0, piece);
            __atomic_signal_fence(__ATOMIC_SEQ_CST); /* whether or not anybody reads it again */
            wiped += piece;
            from = 0;
        } else {
            from -= region->size;
        }
    }
    return wiped;
}
