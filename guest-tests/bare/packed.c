/* The driver's side of a packed ring. */
#include "guest-tests/bare/packed.h"

#include "guest-tests/bare/machine.h"

static struct {
    uint16_t size;
    uint16_t next;
    bool wrap;
    uint16_t used;
    bool used_wrap;
    uint64_t features;
} ring;

void *memset(void *target, int value, size_t size);

bool start_packed(uint64_t features, uint16_t size)
{
    features |= F_VERSION_1 | F_PACKED;
    if (!negotiate(features)) {
        return false;
    }
    memset(descriptors, 0, sizeof(descriptors));
    memset((void *)driver_area, 0, sizeof(driver_area));
    memset((void *)device_area, 0, sizeof(device_area));
    ring.size = size;
    ring.next = 0;
    ring.wrap = true;
    ring.used = 0;
    ring.used_wrap = true;
    ring.features = features;
    configure_queue(size, gpa_of(descriptors), gpa_of(driver_area), gpa_of(device_area));
    register_write(REG_QUEUE_READY, 1);
    register_write(REG_STATUS, STATUS_RUNNING);
    return register_read(REG_STATUS) == STATUS_RUNNING;
}

static uint16_t next_flags(uint16_t flags)
{
    return (uint16_t)(flags | (ring.wrap ? D_AVAILABLE : D_USED));
}

static void advance(void)
{
    ring.next++;
    if (ring.next == ring.size) {
        ring.next = 0;
        ring.wrap = !ring.wrap;
    }
}

/* The flags last, since they make it available. */
static void put_at(uint16_t slot, uint64_t gpa, uint32_t length, uint16_t id, uint16_t flags)
{
    struct descriptor *descriptor = &descriptors[slot];

    descriptor->gpa = gpa;
    descriptor->length = length;
    descriptor->flags = id;
    __atomic_store_n(&descriptor->next, flags, __ATOMIC_RELEASE);
}

void packed_put(uint64_t gpa, uint32_t length, uint16_t id, uint16_t flags)
{
    put_at(ring.next, gpa, length, id, next_flags(flags));
    advance();
}

void packed_add(uint16_t id, const struct element *elements, uint16_t count)
{
    uint16_t first = ring.next;
    uint16_t first_flags = 0;

    for (uint16_t i = 0; i < count; i++) {
        bool last = i + 1 == count;
        uint16_t flags = next_flags((uint16_t)(elements[i].flags | (last ? 0 : D_NEXT)));

        /* Only the last one's ID means anything. */
        put_at(ring.next, elements[i].gpa, elements[i].length, last ? id : (uint16_t)~id,
               i == 0 ? (uint16_t)(flags ^ D_AVAILABLE ^ D_USED) : flags);
        if (i == 0) {
            first_flags = flags;
        }
        advance();
    }
    __atomic_store_n(&descriptors[first].next, first_flags, __ATOMIC_RELEASE);
}

uint16_t packed_position(void)
{
    return (uint16_t)(ring.next | (ring.wrap ? 0x8000 : 0));
}

void packed_kick(void)
{
    register_write(REG_NOTIFY,
                   (ring.features & F_NOTIFICATION) != 0 ? (uint32_t)packed_position() << 16 : 0);
}

bool packed_has_used(void)
{
    uint16_t flags = __atomic_load_n(&descriptors[ring.used].next, __ATOMIC_ACQUIRE);

    return ((flags & D_AVAILABLE) != 0) == ring.used_wrap &&
           ((flags & D_USED) != 0) == ring.used_wrap;
}

bool packed_await(uint16_t slots, uint16_t *id, uint32_t *length)
{
    uint64_t start = ticks();

    while (!packed_has_used()) {
        if (too_long_since(start)) {
            return false;
        }
    }
    *id = descriptors[ring.used].flags;
    *length = descriptors[ring.used].length;
    bool written = (descriptors[ring.used].next & D_WRITE) != 0;

    ring.used = (uint16_t)(ring.used + slots);
    if (ring.used >= ring.size) {
        ring.used = (uint16_t)(ring.used - ring.size);
        ring.used_wrap = !ring.used_wrap;
    }
    return written;
}

void packed_wish(uint16_t flags, uint16_t offset, bool wrap)
{
    driver_area[0] = (uint16_t)(offset | (wrap ? 0x8000 : 0));
    driver_area[1] = flags;
}

uint16_t packed_device_wish(uint16_t *flags)
{
    *flags = device_area[1];
    return device_area[0];
}

bool packed_request(uint32_t length)
{
    uint16_t id = 0;
    uint32_t filled = 0;

    prepare_buffer(0);
    packed_put(gpa_of(buffers[0]), length, 0x1234, D_WRITE);
    packed_kick();
    return packed_await(1, &id, &filled) && id == 0x1234 && filled > 0 && filled <= length &&
           buffer_filled(0, filled);
}
