/* The rings of the reference model, for its registers: virtio 1.4, 2.7 and 2.8. */
#ifndef GUEST_TESTS_FUZZ_MODEL_RING_H
#define GUEST_TESTS_FUZZ_MODEL_RING_H

#include "guest-tests/fuzz/model.h"

/* Feature bits that the model knows. */
enum {
    F_INDIRECT = 28,
    F_EVENT_IDX = 29,
    F_VERSION_1 = 32,
    F_PACKED = 34,
    F_IN_ORDER = 35,
    F_NOTIFICATION_DATA = 38,
    F_RING_RESET = 40,
    F_SUSPEND = 43
};

/* Whether the queue was started with a feature. */
bool model_has(const struct model *model, unsigned bit);

/* Whether the queue is ready and no rule was broken. */
bool model_working(const struct model *model);

/* Back to a ring's initial state; false if size, addresses or alignment are wrong. */
bool model_ring_start(struct model *model);

/*
 * The next buffer, whose pieces are the caller's to free. False if there is none, or if the driver
 * broke a rule: then the queue is broken, which is to be told after what was used before.
 */
bool model_ring_take(struct model *model, struct model_chain *chain);

/* Tells the driver that a buffer was used, with `length` bytes written. */
void model_ring_give_back(struct model *model, const struct model_chain *chain, uint32_t length);

/* Whether the driver wants a notification of what was used since it was last considered. */
bool model_ring_must_notify(const struct model *model);

#endif
