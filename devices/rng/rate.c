/* The rate limit of an entropy device: a window that slides over the deliveries. */
#include "devices/rng/rate.h"

#include <string.h>

/*
 * RATE_ENTRIES suffice: with RATE_EXACT or more of them alive, each new one is opened a step after
 * the one before it, and one lives for a period and a step at most. So of the entries beyond
 * RATE_EXACT no more than RATE_STEPS + 2 are alive.
 */
_Static_assert(RATE_EXACT + RATE_STEPS + 2 <= RATE_ENTRIES, "a place for each entry");

void rate_init(struct rate *rate, uint64_t bytes, uint64_t period)
{
    memset(rate, 0, sizeof(*rate));
    rate->bytes = bytes;
    rate->period = period;
}

static struct rate_entry *newest(struct rate *rate)
{
    return &rate->entries[(rate->first + rate->count - 1) % RATE_ENTRIES];
}

static uint64_t end_of_first(const struct rate *rate)
{
    return rate->entries[rate->first].last + rate->period;
}

uint64_t rate_allowance(struct rate *rate, uint64_t now)
{
    if (rate->bytes == 0) {
        return UINT64_MAX;
    }
    while (rate->count > 0 && now >= end_of_first(rate)) {
        rate->used -= rate->entries[rate->first].bytes;
        rate->first = (rate->first + 1) % RATE_ENTRIES;
        rate->count--;
    }
    return rate->bytes - rate->used;
}

/* Whether a delivery at `now` is part of the newest entry. */
static bool joins(struct rate *rate, uint64_t now)
{
    if (rate->count == 0) {
        return false;
    }
    uint64_t opened = newest(rate)->opened;

    return now <= opened || rate->count == RATE_ENTRIES ||
           (rate->count >= RATE_EXACT && now - opened < rate->period / RATE_STEPS);
}

void rate_spend(struct rate *rate, uint64_t now, uint64_t bytes)
{
    if (rate->bytes == 0) {
        return;
    }
    if (!joins(rate, now)) {
        rate->count++;
        *newest(rate) = (struct rate_entry){.opened = now, .last = now};
    }
    struct rate_entry *entry = newest(rate);

    /* Another CPU's clock may be a little behind. */
    entry->last = now > entry->last ? now : entry->last;
    entry->bytes += bytes;
    rate->used += bytes;
}

uint64_t rate_next(const struct rate *rate)
{
    return rate->count > 0 ? end_of_first(rate) : UINT64_MAX;
}
