/* The CMOS clock: an MC146818 with battery-backed memory that tells each guest its own time. */
#ifndef DEVICES_RTC_RTC_H
#define DEVICES_RTC_RTC_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/bus.h"
#include "vmm/irq_line.h"

/*
 * Model: Motorola MC146818, with the century byte at 0x32 as PCs have it. Time goes by whole
 * seconds: what changes in between a guest cannot see, so "update in progress" is never set and the
 * periodic interrupt's flag never rises. Alarm and update-ended interrupts work. The day of the
 * week follows from the date. Setting the clock changes this guest's time only.
 *
 * Not locked: the caller serialises every function.
 */

#define RTC_PORTS       2 /* index, data */
#define RTC_MEMORY_SIZE 128

struct rtc_clock {
    uint64_t (*now_seconds)(void *context); /* Unix time; must not run backwards */
    void *context;                          /* not owned */
};

struct rtc {
    struct rtc_clock clock;
    struct irq_line line;
    int64_t offset;   /* seconds that this guest's time is ahead of the clock's */
    uint64_t updated; /* the clock's time that flags were last raised for */
    uint64_t alarm;   /* the clock's time of the next alarm; UINT64_MAX for never */
    uint8_t index;
    uint8_t memory[RTC_MEMORY_SIZE]; /* time registers: current only while the guest sets them */
};

/* Index at offset 0 (the NMI bit is ignored), data at offset 1. */
extern const struct bus_operations rtc_bus_operations;

/* Copies the clock and the line, whose controller must be ready. Starts in the reset state. */
void rtc_init(struct rtc *rtc, const struct rtc_clock *clock, const struct irq_line *line);

/* The state for a new guest: the clock's time, memory cleared, BCD, 24 hours. */
void rtc_reset(struct rtc *rtc);

/* Raises the alarm and update-ended interrupts that are due. */
void rtc_poll(struct rtc *rtc);

/* The clock's time at which rtc_poll() next has an interrupt to raise; UINT64_MAX for never. */
uint64_t rtc_deadline(const struct rtc *rtc);

#endif
