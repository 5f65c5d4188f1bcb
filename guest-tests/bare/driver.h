/*
 * A virtio-mmio driver with a split ring, from the driver's side of virtio 1.3 (2.7 and 4.2): what
 * the cases drive the entropy device with, and what they break its rules with.
 */
#ifndef GUEST_TESTS_BARE_DRIVER_H
#define GUEST_TESTS_BARE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-tests/bare/bare.h"

#define VIRTIO_BASE 0xd0000000UL

enum device_register {
    REG_MAGIC = 0x000,
    REG_VERSION = 0x004,
    REG_DEVICE_ID = 0x008,
    REG_VENDOR = 0x00c,
    REG_DEVICE_FEATURES = 0x010,
    REG_DEVICE_FEATURES_SEL = 0x014,
    REG_DRIVER_FEATURES = 0x020,
    REG_DRIVER_FEATURES_SEL = 0x024,
    REG_GUEST_PAGE_SIZE = 0x028,
    REG_QUEUE_SEL = 0x030,
    REG_QUEUE_SIZE_MAX = 0x034,
    REG_QUEUE_SIZE = 0x038,
    REG_QUEUE_ALIGN = 0x03c,
    REG_QUEUE_PFN = 0x040,
    REG_QUEUE_READY = 0x044,
    REG_NOTIFY = 0x050,
    REG_INTERRUPT_STATUS = 0x060,
    REG_INTERRUPT_ACK = 0x064,
    REG_STATUS = 0x070,
    REG_QUEUE_DESC = 0x080,
    REG_QUEUE_DRIVER = 0x090,
    REG_QUEUE_DEVICE = 0x0a0,
    REG_SHM_LENGTH = 0x0b0,
    REG_QUEUE_RESET = 0x0c0,
    REG_CONFIG_GENERATION = 0x0fc,
};

#define STATUS_ACKNOWLEDGE 1U
#define STATUS_DRIVER      2U
#define STATUS_DRIVER_OK   4U
#define STATUS_FEATURES_OK 8U
#define STATUS_SUSPEND     16U
#define STATUS_NEEDS_RESET 64U
#define STATUS_FAILED      128U
#define STATUS_NEGOTIATED  (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK)
#define STATUS_RUNNING     (STATUS_NEGOTIATED | STATUS_DRIVER_OK)

#define EVENT_USED   1U
#define EVENT_CONFIG 2U

#define F_INDIRECT     (1ULL << 28)
#define F_EVENT_IDX    (1ULL << 29)
#define F_VERSION_1    (1ULL << 32)
#define F_PACKED       (1ULL << 34)
#define F_IN_ORDER     (1ULL << 35)
#define F_NOTIFICATION (1ULL << 38)
#define F_RING_RESET   (1ULL << 40)
#define F_SUSPEND      (1ULL << 43)

#define D_NEXT     1
#define D_WRITE    2
#define D_INDIRECT 4

struct descriptor {
    uint64_t gpa;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

#define QUEUE_SIZE_MAX 64U
#define BUFFERS        64U
#define BUFFER_SIZE    0x4000U /* more than the device ever writes at a time, and a page between */

/* The queue's memory, a page each: every size of ring fits. The device area is the used ring. */
extern struct descriptor descriptors[256];
extern volatile uint16_t driver_area[2048];
extern volatile uint16_t device_area[2048];
extern struct descriptor tables[256]; /* for indirect tables */
extern uint8_t buffers[BUFFERS][BUFFER_SIZE];

/* Words of 32 bits, as the standard wants them accessed. */
uint32_t register_read(uint32_t offset);
void register_write(uint32_t offset, uint32_t value);

/* What the device offers. */
uint64_t device_features(void);

/* Whether the device asks for a reset. */
bool needs_reset(void);

/* Resets, and negotiates up to FEATURES_OK: whether the device took the features. */
bool negotiate(uint64_t features);

/* Writes the selected queue's size and addresses, without making it ready. */
void configure_queue(uint32_t size, uint64_t descriptor_gpa, uint64_t driver_gpa,
                     uint64_t device_gpa);

/* Negotiates, clears and sets up queue 0 as a split ring, up to DRIVER_OK. */
bool start_split(uint64_t features, uint16_t size);

/* The same up to the queue alone; of start_split()'s state. */
void set_up_split(uint16_t size);

/* A buffer's address, and a descriptor's contents. */
uint64_t gpa_of(const volatile void *pointer);
void describe(struct descriptor *descriptor, uint64_t gpa, uint32_t length, uint16_t flags,
              uint16_t next);

/* Into the available ring: the head, then idx. */
void make_available(uint16_t head);

/* Tells the device of it, as the negotiated features want. */
void kick(void);

uint16_t split_used_idx(void);
uint16_t split_avail_idx(void);

/* The next used element; false if none comes in time. */
bool await_used(uint32_t *id, uint32_t *length);

/* The event fields at the two rings' ends. */
void set_used_event(uint16_t event);
uint16_t avail_event(void);

/* Buffer `index`, all of it set to a byte that is then looked for. */
#define UNTOUCHED 0xa5
void prepare_buffer(unsigned index);

/* Whether only its first `length` bytes were changed, and they look random. */
bool buffer_filled(unsigned index, uint32_t length);
bool buffer_untouched(unsigned index);

/* One request of `length` bytes in descriptor 0 of a running split ring: is it served well? */
bool split_request(uint32_t length);

/* Resets the device and lets a new driver make a request. */
bool device_recovers(void);

#endif
