/*
 * The driver's side of a packed virtqueue (virtio 1.3, 2.8) for tests: written from the driver's
 * part of the text, with an explicit offset and wrap counter for each side.
 */
#ifndef GUEST_TESTS_HOST_VIRTIO_PACKED_DRIVER_H
#define GUEST_TESTS_HOST_VIRTIO_PACKED_DRIVER_H

#include "guest-tests/host/virtio_driver.h"

#define F_PACKED (1ULL << 34)

#define D_AVAIL 0x80
#define D_USED  0x8000

#define EVENT_ENABLE  0
#define EVENT_DISABLE 1
#define EVENT_DESC    2

/* One queue of it, in the areas that the split ring has otherwise. */
struct packed {
    struct driver *driver;
    uint16_t size;
    uint16_t avail;
    bool avail_wrap;
    uint16_t used;
    bool used_wrap;
    uint16_t lengths[65536]; /* descriptors of the list that has this buffer ID */
};

/* An element of a buffer. */
struct element {
    uint64_t gpa;
    uint32_t length;
    uint16_t flags;
};

static inline void packed_init(struct packed *packed, struct driver *driver, uint16_t size)
{
    memset(packed, 0, sizeof(*packed));
    packed->driver = driver;
    packed->size = size;
    packed->avail_wrap = true;
    packed->used_wrap = true;
    memset(ram(driver, DESC_AREA), 0, 0x3000);
}

static inline void packed_write(struct packed *packed, uint16_t slot, const struct element *element,
                                uint16_t id)
{
    uint8_t *descriptor = ram(packed->driver, DESC_AREA + 16ULL * slot);

    memcpy(descriptor, &element->gpa, 8);
    memcpy(descriptor + 8, &element->length, 4);
    memcpy(descriptor + 12, &id, 2);
}

static inline void packed_flags(struct packed *packed, uint16_t slot, uint16_t flags)
{
    __atomic_store_n((uint16_t *)(void *)ram(packed->driver, DESC_AREA + 16ULL * slot + 14), flags,
                     __ATOMIC_RELEASE);
}

/* 2.8.17.1: a list of elements; the first descriptor's flags last, the ID in the last descriptor.
 */
static inline void packed_add(struct packed *packed, uint16_t id, const struct element *elements,
                              uint16_t count)
{
    uint16_t first = packed->avail;
    uint16_t first_flags = 0;

    for (uint16_t i = 0; i < count; i++) {
        uint16_t flags = elements[i].flags;

        flags |= packed->avail_wrap ? D_AVAIL : D_USED;
        flags |= i + 1 < count ? D_NEXT : 0;
        /* The IDs before the last mean nothing: a device that believes them shall stumble. */
        packed_write(packed, packed->avail, &elements[i], i + 1 < count ? (uint16_t)~id : id);
        if (i == 0) {
            first_flags = flags;
        } else {
            packed_flags(packed, packed->avail, flags);
        }
        packed->avail++;
        if (packed->avail == packed->size) {
            packed->avail = 0;
            packed->avail_wrap = !packed->avail_wrap;
        }
    }
    packed->lengths[id] = count;
    packed_flags(packed, first, first_flags);
}

/* One writable buffer of one descriptor. */
static inline void packed_add_buffer(struct packed *packed, uint16_t id, uint64_t gpa,
                                     uint32_t length)
{
    const struct element element = {gpa, length, D_WRITE};

    packed_add(packed, id, &element, 1);
}

/* The next used descriptor; false if there is none. */
static inline bool packed_get_used(struct packed *packed, uint16_t *id, uint32_t *length,
                                   bool *written)
{
    uint64_t descriptor = DESC_AREA + 16ULL * packed->used;
    uint16_t flags =
        __atomic_load_n((uint16_t *)(void *)ram(packed->driver, descriptor + 14), __ATOMIC_ACQUIRE);

    if (((flags & D_AVAIL) != 0) != packed->used_wrap ||
        ((flags & D_USED) != 0) != packed->used_wrap) {
        return false;
    }
    *id = peek16(packed->driver, descriptor + 12);
    *length = peek32(packed->driver, descriptor + 8);
    *written = (flags & D_WRITE) != 0;
    packed->used += packed->lengths[*id];
    if (packed->used >= packed->size) {
        packed->used -= packed->size;
        packed->used_wrap = !packed->used_wrap;
    }
    return true;
}

/* The driver's event suppression: what it wants to hear of. */
static inline void packed_wish(struct packed *packed, uint16_t flags, uint16_t offset, bool wrap)
{
    poke16(packed->driver, AVAIL_AREA, (uint16_t)(offset | (wrap ? 0x8000 : 0)));
    poke16(packed->driver, AVAIL_AREA + 2, flags);
}

#endif
