/* The end of the run: the result is told, and the machine switched off. */
#ifndef ARCH_X86_HOST_POWER_H
#define ARCH_X86_HOST_POWER_H

#include <stdbool.h>
#include <stdint.h>

/* What a run amounts to; tools/launch makes it the exit status. */
enum run_result {
    RESULT_GOOD = 0,         /* every guest ended well */
    RESULT_GUEST_FAILED = 1, /* some guest crashed */
    RESULT_NOT_RUN = 2,      /* refused to start, or panicked */
};

/*
 * What is needed to call the firmware again at the end: its page tables and its service. Given
 * once, before boot services are left.
 */
struct firmware_power {
    uint64_t cr3;
    void (*shut_down)(void *context); /* calls ResetSystem; returns only if that failed */
    void *context;
};

void power_init(const struct firmware_power *firmware);

/*
 * Begins the machine's end on this CPU, whose it is from now on: two CPUs must not be in the
 * firmware at once. False if another CPU's it is; true if it has been this one's before.
 */
bool power_take(void);

/* Stops this CPU for good if the end has begun on another one. With no lock held. */
void power_stand_aside(void);

/* Flushes the console, tells an emulator the result, and switches the machine off; on the CPU whose
 * the end is, others stop for good. */
_Noreturn void power_off(enum run_result result);

#endif
