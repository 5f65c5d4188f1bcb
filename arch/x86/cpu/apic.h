/* The machine's own local APICs: the timer, and interrupts between CPUs. */
#ifndef ARCH_X86_CPU_APIC_H
#define ARCH_X86_CPU_APIC_H

#include <stdbool.h>
#include <stdint.h>

/* Physical address of the register page that must be mapped uncached; 0 in x2APIC mode. */
uint64_t apic_register_page(void);

/* This CPU's APIC ID, before or after apic_enable(). */
uint32_t apic_id(void);

/*
 * Switches this CPU's APIC on (in x2APIC mode where there is one), with every local interrupt
 * masked but the timer's. The 8259s are masked by apic_mask_legacy().
 */
void apic_enable(void);
void apic_mask_legacy(void);

/*
 * Finds how fast the timer counts, for CPUs whose timer knows no TSC deadline. Once, on the first
 * CPU, after apic_enable(). `tsc_frequency` is in Hz.
 */
void apic_calibrate(uint64_t tsc_frequency);

/* One timer interrupt at TSC `deadline` or, if that is too far for the timer, earlier. */
void apic_timer_arm(uint64_t deadline);
void apic_timer_disarm(void);

void apic_end_of_interrupt(void);

/* Sends an interrupt command (SDM Vol. 3A, 11.6.1) to the CPU with this APIC ID. */
void apic_send(uint32_t destination, uint32_t command);

#define APIC_COMMAND_INIT    0x4500U /* INIT, assert */
#define APIC_COMMAND_STARTUP 0x4600U /* start-up; the page number goes into bits 0-7 */

#endif
