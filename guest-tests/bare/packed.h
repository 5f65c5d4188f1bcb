/* The driver's side of a packed ring (virtio 1.3, 2.8), in the split ring's memory. */
#ifndef GUEST_TESTS_BARE_PACKED_H
#define GUEST_TESTS_BARE_PACKED_H

#include <stdbool.h>
#include <stdint.h>

#include "guest-tests/bare/driver.h"

/* A descriptor's flags stand where a split one has next, and its ID before them. */
#define D_AVAILABLE 0x80
#define D_USED      0x8000

/* The event suppression structures' flags. */
#define EVENT_ENABLE   0
#define EVENT_DISABLE  1
#define EVENT_POSITION 2

/* One element of a list. */
struct element {
    uint64_t gpa;
    uint32_t length;
    uint16_t flags;
};

/* Negotiates with `features`, and sets up queue 0 as a packed ring up to DRIVER_OK. */
bool start_packed(uint64_t features, uint16_t size);

/* Makes a list of elements available as one buffer. */
void packed_add(uint16_t id, const struct element *elements, uint16_t count);

/* Writes the next descriptor as it stands, available, and goes on to the one behind it. */
void packed_put(uint64_t gpa, uint32_t length, uint16_t id, uint16_t flags);

/* As kick(), with the packed ring's notification data. */
void packed_kick(void);

/* The next used buffer, of `slots` descriptors; false if none comes in time. */
bool packed_await(uint16_t slots, uint16_t *id, uint32_t *length);

/* Whether there is one now. */
bool packed_has_used(void);

/* The driver's wish: an interrupt always, never, or at a position of the ring. */
void packed_wish(uint16_t flags, uint16_t offset, bool wrap);

/* Where the device wants a kick: its event structure. */
uint16_t packed_device_wish(uint16_t *flags);

/* The next descriptor's position that the driver fills, and its wrap counter at bit 15. */
uint16_t packed_position(void);

/* One request of `length` bytes: is it served well? */
bool packed_request(uint32_t length);

#endif
