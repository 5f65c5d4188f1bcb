/* The local APIC's timer, kept as the TSC value at which it expires next. */
#include "arch/x86/guest/apic_timer.h"

void apic_timer_reset(struct apic_timer *timer)
{
    *timer = (struct apic_timer){.deadline = APIC_TIMER_STOPPED, .lvt = APIC_LVT_MASKED};
    apic_timer_set_divide(timer, 0, 0);
}

static bool in_tsc_deadline_mode(const struct apic_timer *timer)
{
    return (timer->lvt & APIC_LVT_TSC_DEADLINE) != 0;
}

void apic_timer_set_lvt(struct apic_timer *timer, uint32_t lvt)
{
    /* SDM 11.5.4.1. */
    if (((timer->lvt ^ lvt) & APIC_LVT_TSC_DEADLINE) != 0) {
        timer->deadline = APIC_TIMER_STOPPED;
    }
    timer->lvt = lvt;
}

void apic_timer_set_divide(struct apic_timer *timer, uint32_t divide, uint64_t now)
{
    /* SDM figure 11-10: bits 3, 1 and 0 count 2, 4, ... 128, and then 1. */
    uint32_t encoded = ((divide & 8) >> 1) | (divide & 3);
    uint32_t count = apic_timer_count(timer, now);

    timer->shift = (encoded + 1) & 7;
    if (count != 0) {
        timer->deadline = now + ((uint64_t)count << timer->shift);
    }
}

void apic_timer_start(struct apic_timer *timer, uint32_t initial, uint64_t now)
{
    if (in_tsc_deadline_mode(timer)) {
        return;
    }
    timer->initial = initial;
    timer->deadline = initial == 0 ? APIC_TIMER_STOPPED : now + ((uint64_t)initial << timer->shift);
}

uint32_t apic_timer_count(const struct apic_timer *timer, uint64_t now)
{
    if (timer->deadline == APIC_TIMER_STOPPED || in_tsc_deadline_mode(timer)) {
        return 0;
    }
    /* A divided tick that has begun still counts whole. */
    uint64_t divisor = 1ULL << timer->shift;
    uint64_t left = (timer->deadline - now + divisor - 1) / divisor;

    /* Where a short period's expiries are skipped, the count still goes round. */
    return left == 0 ? 0 : (uint32_t)((left - 1) % timer->initial + 1);
}

uint64_t apic_timer_tsc_deadline(const struct apic_timer *timer)
{
    bool armed = in_tsc_deadline_mode(timer) && timer->deadline != APIC_TIMER_STOPPED;

    return armed ? timer->deadline : 0;
}

void apic_timer_set_tsc_deadline(struct apic_timer *timer, uint64_t deadline)
{
    if (in_tsc_deadline_mode(timer)) {
        timer->deadline = deadline == 0 ? APIC_TIMER_STOPPED : deadline;
    }
}

uint64_t apic_timer_wake(const struct apic_timer *timer)
{
    return (timer->lvt & APIC_LVT_MASKED) != 0 ? APIC_TIMER_STOPPED : timer->deadline;
}

bool apic_timer_advance(struct apic_timer *timer, uint64_t now)
{
    if (timer->deadline == APIC_TIMER_STOPPED || now < timer->deadline) {
        return false;
    }
    if (!in_tsc_deadline_mode(timer) && (timer->lvt & APIC_LVT_PERIODIC) != 0) {
        /* Not 0: a timer that counts down from 0 is never started. */
        uint64_t period = (uint64_t)timer->initial << timer->shift;
        uint64_t pause = period < APIC_TIMER_SHORTEST_PERIOD ? APIC_TIMER_SHORTEST_PERIOD : 0;

        timer->deadline += ((now - timer->deadline + pause) / period + 1) * period;
    } else {
        timer->deadline = APIC_TIMER_STOPPED;
    }
    return (timer->lvt & APIC_LVT_MASKED) == 0;
}
