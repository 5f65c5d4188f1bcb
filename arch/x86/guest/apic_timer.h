/* The local APIC's timer: one-shot, periodic and TSC-deadline modes (SDM Vol. 3A, 11.5.4). */
#ifndef ARCH_X86_GUEST_APIC_TIMER_H
#define ARCH_X86_GUEST_APIC_TIMER_H

#include <stdbool.h>
#include <stdint.h>

/* The LVT timer entry. With TSC-deadline set, the periodic bit has no meaning. */
#define APIC_LVT_MASKED       (1U << 16)
#define APIC_LVT_PERIODIC     (1U << 17)
#define APIC_LVT_TSC_DEADLINE (1U << 18)

#define APIC_TIMER_STOPPED UINT64_MAX

/*
 * A periodic timer with a period below this many ticks skips expiries, so that they are at least
 * this far apart: else a guest could ask for interrupts so fast that it never gets to execute.
 */
#define APIC_TIMER_SHORTEST_PERIOD 10000U

/* Time is in TSC ticks, which are also the timer's input clock before the divider. */
struct apic_timer {
    uint64_t deadline; /* TSC of the next expiry, or APIC_TIMER_STOPPED */
    uint32_t initial;  /* the count that a period starts from */
    uint32_t lvt;      /* the LVT entry in force */
    uint8_t shift;     /* log2 of the divisor in force */
};

void apic_timer_reset(struct apic_timer *timer);

/* A new LVT entry. Going to or from TSC-deadline mode stops the timer. */
void apic_timer_set_lvt(struct apic_timer *timer, uint32_t lvt);

/* A new divide configuration register; a running count goes on from where it is. */
void apic_timer_set_divide(struct apic_timer *timer, uint32_t divide, uint64_t now);

/* Writes the initial count: 0 stops, others start at `now`. Ignored in TSC-deadline mode. */
void apic_timer_start(struct apic_timer *timer, uint32_t initial, uint64_t now);

/* The current count. Call apic_timer_advance() for the same `now` first. */
uint32_t apic_timer_count(const struct apic_timer *timer, uint64_t now);

/* IA32_TSC_DEADLINE: reads 0 and ignores writes outside TSC-deadline mode; writing 0 disarms. */
uint64_t apic_timer_tsc_deadline(const struct apic_timer *timer);
void apic_timer_set_tsc_deadline(struct apic_timer *timer, uint64_t deadline);

/* When apic_timer_advance() next returns true; UINT64_MAX for never. */
uint64_t apic_timer_wake(const struct apic_timer *timer);

/* Expires if due. True if that is an interrupt: one, however many periods have passed. */
bool apic_timer_advance(struct apic_timer *timer, uint64_t now);

#endif
