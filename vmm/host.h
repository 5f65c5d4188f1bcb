/* What the run loop needs of the machine; arch/x86/host/ supplies it, and the harness in tests. */
#ifndef VMM_HOST_H
#define VMM_HOST_H

#include <stdint.h>

/* The time stamp counter. */
uint64_t host_ticks(void);

/* Asks for an interrupt on this CPU at TSC `deadline` (UINT64_MAX: none). It may come earlier. */
void host_timer_arm(uint64_t deadline);

/* Takes the interrupts that wait on this CPU: after an EXIT_HOST_INTERRUPT. */
void host_take_interrupts(void);

/* Sleeps until the next interrupt of this CPU and takes it. */
void host_idle(void);

/* Interrupts a CPU, so that it looks at its vCPU's interrupts again; nothing if it is this one. */
void host_kick(unsigned cpu);

/* Sets this CPU's XCR0, which belongs to the guest that runs here; the value was checked. */
void host_set_xcr0(uint64_t value);

/* Small bounded work for the machine: console output and input, filling the entropy pool. */
void host_work(void);

#endif
