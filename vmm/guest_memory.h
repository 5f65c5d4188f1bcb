/* Guest memory: the one bounds-checked way into what a guest owns. */
#ifndef VMM_GUEST_MEMORY_H
#define VMM_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Below and above the MMIO hole; more only if a guest kind ever needs it. */
#define GUEST_MEMORY_REGIONS 2

/* One piece of a guest's RAM, contiguous for the guest and for the hypervisor. */
struct guest_memory_region {
    uint64_t gpa;  /* first guest-physical address */
    uint64_t size; /* bytes */
    uint8_t *hva;  /* where the hypervisor sees it; owned by the guest for good */
};

struct guest_memory {
    struct guest_memory_region regions[GUEST_MEMORY_REGIONS];
    unsigned count;
};

/*@
  predicate region_sound(struct guest_memory_region *r) =
    0 < r->size && r->gpa + r->size <= UINT64_MAX && \valid(r->hva + (0 .. r->size - 1));

  // What guest_memory_add() keeps up: regions that may be written, and none over another.
  predicate guest_memory_sound(struct guest_memory *m) =
    m->count <= GUEST_MEMORY_REGIONS &&
    (0 < m->count ==> region_sound(&m->regions[0])) &&
    (1 < m->count ==> region_sound(&m->regions[1])) &&
    (1 < m->count ==> m->regions[0].gpa + m->regions[0].size <= m->regions[1].gpa ||
                      m->regions[1].gpa + m->regions[1].size <= m->regions[0].gpa);

  predicate region_holds(struct guest_memory_region *r, integer gpa, integer length) =
    r->gpa <= gpa < r->gpa + r->size && gpa + length <= r->gpa + r->size;

  // The `length` bytes from `hva` on are the guest's RAM from `gpa` on.
  predicate region_ram(struct guest_memory_region *r, integer gpa, integer length, uint8_t *hva) =
    region_holds(r, gpa, length) && hva == r->hva + (gpa - r->gpa);
  predicate guest_ram(struct guest_memory *m, integer gpa, integer length, uint8_t *hva) =
    (0 < m->count && region_ram(&m->regions[0], gpa, length, hva)) ||
    (1 < m->count && region_ram(&m->regions[1], gpa, length, hva));
*/

/* For the proofs: how often what another vCPU may be changing was loaded; the last stored word. */
//@ ghost unsigned long guest_loads;
//@ ghost unsigned guest_stored;

/*
 * Adds a region. False if the table is full, the size is 0, the range wraps, it overlaps another
 * region or gpa and hva differ in their lowest three bits.
 */
/*@ requires \valid(memory) && guest_memory_sound(memory);
    requires size > 0 ==> \valid(hva + (0 .. size - 1));
    assigns *memory;
    ensures sound: guest_memory_sound(memory);
    ensures added: \result ==> guest_ram(memory, gpa, size, hva);
    ensures refused: !\result ==> *memory == \old(*memory);
*/
bool guest_memory_add(struct guest_memory *memory, uint64_t gpa, uint64_t size, uint8_t *hva);

/* Total bytes of RAM. */
/*@ requires \valid_read(memory) && memory->count <= GUEST_MEMORY_REGIONS;
    assigns \nothing;
*/
uint64_t guest_memory_size(const struct guest_memory *memory);

/*
 * The hypervisor's view of [gpa, gpa + length), or NULL unless the whole range lies in one region.
 * It stays good, as a guest's RAM never moves. What another vCPU may be changing meanwhile is read
 * through the functions below, once.
 */
/*@ requires \valid_read(memory) && guest_memory_sound(memory);
    assigns \nothing;
    ensures inside: \result != \null ==>
      guest_ram(memory, gpa, length, \result) && \valid(\result + (0 .. length - 1));
    ensures complete: \result == \null ==>
      \forall integer i; 0 <= i < memory->count ==>
        !region_holds(&memory->regions[i], gpa, length);
*/
uint8_t *guest_memory_range(const struct guest_memory *memory, uint64_t gpa, uint64_t length);

/* Copies between guest memory and `buffer`. False, with nothing copied, if any byte is outside. */
/*@ requires \valid_read(memory) && guest_memory_sound(memory);
    requires \valid(buffer + (0 .. length - 1));
    requires \forall integer i; 0 <= i < memory->count ==>
      \separated(buffer + (0 .. length - 1),
                 memory->regions[i].hva + (0 .. memory->regions[i].size - 1));
    assigns buffer[0 .. length - 1];
    ensures \forall integer i; 0 <= i < length && !\result ==> buffer[i] == \old(buffer[i]);
*/
bool guest_memory_read(const struct guest_memory *memory, uint64_t gpa, uint8_t *buffer,
                       size_t length);
/*@ requires \valid_read(memory) && guest_memory_sound(memory);
    requires \valid_read(buffer + (0 .. length - 1));
    requires \forall integer i; 0 <= i < memory->count ==>
      \separated(buffer + (0 .. length - 1),
                 memory->regions[i].hva + (0 .. memory->regions[i].size - 1));
    assigns memory->regions[0].hva[0 .. memory->regions[0].size - 1],
            memory->regions[1].hva[0 .. memory->regions[1].size - 1];
*/
bool guest_memory_write(const struct guest_memory *memory, uint64_t gpa, const uint8_t *buffer,
                        size_t length);

/*
 * Single, untorn loads of a naturally aligned little-endian field that another vCPU may be
 * changing, with acquire order. False if outside RAM or misaligned.
 */
/*@ requires \valid_read(memory) && guest_memory_sound(memory) && \valid(value);
    assigns *value, guest_loads;
    ensures guest_loads == \old(guest_loads) + (\result ? 1 : 0);
    ensures !\result ==> *value == \old(*value);
*/
bool guest_memory_load32(const struct guest_memory *memory, uint64_t gpa, uint32_t *value);
/*@ requires \valid_read(memory) && guest_memory_sound(memory) && \valid(value);
    assigns *value, guest_loads;
    ensures guest_loads == \old(guest_loads) + (\result ? 1 : 0);
    ensures !\result ==> *value == \old(*value);
*/
bool guest_memory_load64(const struct guest_memory *memory, uint64_t gpa, uint64_t *value);

/*
 * The same for a naturally aligned field within what guest_memory_range() has given out, so without
 * another check; stores have release order.
 */
/*@ requires \valid_read(field + (0 .. 1));
    assigns guest_loads;
    ensures guest_loads == \old(guest_loads) + 1; */
static inline uint16_t guest_load16(const uint8_t *field)
{
    return __atomic_load_n((const uint16_t *)field, __ATOMIC_ACQUIRE);
}

/*@ requires \valid_read(field + (0 .. 3));
    assigns guest_loads;
    ensures guest_loads == \old(guest_loads) + 1; */
static inline uint32_t guest_load32(const uint8_t *field)
{
    return __atomic_load_n((const uint32_t *)field, __ATOMIC_ACQUIRE);
}

/*@ requires \valid_read(field + (0 .. 7));
    assigns guest_loads;
    ensures guest_loads == \old(guest_loads) + 1; */
static inline uint64_t guest_load64(const uint8_t *field)
{
    return __atomic_load_n((const uint64_t *)field, __ATOMIC_ACQUIRE);
}

/*@ requires \valid(field + (0 .. 1));
    assigns field[0 .. 1], guest_stored;
    ensures guest_stored == value; */
static inline void guest_store16(uint8_t *field, uint16_t value)
{
    __atomic_store_n((uint16_t *)field, value, __ATOMIC_RELEASE);
}

/*@ requires \valid(field + (0 .. 3));
    assigns field[0 .. 3], guest_stored;
    ensures guest_stored == value; */
static inline void guest_store32(uint8_t *field, uint32_t value)
{
    __atomic_store_n((uint32_t *)field, value, __ATOMIC_RELEASE);
}

/*
 * 16 bytes of any alignment as two little-endian words: not untorn, but read once, as the fence
 * keeps the compiler from going back to the source for what it has in the copy.
 */
/*@ requires \valid_read(source + (0 .. 15)) && \valid(pair + (0 .. 1));
    assigns pair[0 .. 1], guest_loads;
    ensures guest_loads == \old(guest_loads) + 1; */
static inline void guest_load_pair(const uint8_t *source, uint64_t pair[2])
{
    memcpy(pair, source, 2 * sizeof(pair[0]));
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/*
 * Zeroes up to `length` bytes of RAM from the byte on that has `from` others before it, so that
 * nothing of a guest outlives it and nothing reaches the next. Returns how many; 0 behind the end.
 */
/*@ requires \valid_read(memory) && guest_memory_sound(memory);
    assigns memory->regions[0].hva[0 .. memory->regions[0].size - 1],
            memory->regions[1].hva[0 .. memory->regions[1].size - 1];
    ensures \result <= length; */
uint64_t guest_memory_wipe(const struct guest_memory *memory, uint64_t from, uint64_t length);

#endif
