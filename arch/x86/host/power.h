/* The end of the run: the result is told, and the machine switched off. */
#ifndef ARCH_X86_HOST_POWER_H
#define ARCH_X86_HOST_POWER_H

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

/* Flushes the console, tells an emulator the result, and switches the machine off. */
_Noreturn void power_off(enum run_result result);

#endif
