/* The machine that support.c plays for the pure sources under test: what it was asked, and when. */
#ifndef GUEST_TESTS_HOST_SCRIPTED_HOST_H
#define GUEST_TESTS_HOST_SCRIPTED_HOST_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/trace.h"

struct scripted_host {
    uint64_t ticks;             /* what host_ticks() returns next */
    uint64_t step;              /* how much later the call after it finds the clock */
    uint64_t deadline;          /* what the timer was armed with last */
    uint64_t xcr0;              /* what host_set_xcr0() was given last */
    unsigned taken;             /* calls of host_take_interrupts() */
    unsigned idled;             /* calls of host_idle() */
    unsigned worked;            /* calls of host_work() */
    unsigned kicks[64];         /* host_kick(), by CPU */
    unsigned log_behind;        /* how often host_log_behind() says so */
    bool kicked;                /* what host_kicked() returns once */
    bool called;                /* what host_called() returns until the CPU looks around */
    const struct vcpu *current; /* whom host_kick_vcpu() need not kick */
    struct vcpu *from;          /* of the last host_switch() */
    struct vcpu *to;
    unsigned switches;                     /* calls of host_switch() */
    unsigned resets;                       /* calls of host_reset_vcpu() */
    void (*debug_write)(const char *text); /* what takes the debug port's text; NULL: nothing */
    void (*idle)(void);                    /* what happens while the CPU sleeps; NULL: nothing */
    jmp_buf landing; /* where panic() goes if `lands` is set, instead of ending the test */
    bool lands;
    char panic_reason[256];
    char log[16384]; /* every log_line(), with newlines */
};

extern struct scripted_host scripted_host;

/* Forgets everything: for a test's set-up. */
void scripted_host_reset(void);

/* Records an exit that never was. */
void record_exit(struct trace *trace, const struct trace_entry *entry);

#endif
