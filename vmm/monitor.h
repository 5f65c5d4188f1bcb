/* The monitor: what the keyboard of the machine's console commands, behind Ctrl-A. */
#ifndef VMM_MONITOR_H
#define VMM_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/console_switch.h"
#include "vmm/vm.h"
#include "vmm/vm_trace.h"

#define MONITOR_ESCAPE 0x01 /* Ctrl-A */

/* What the monitor must ask of the machine. `context` is struct monitor's. */
struct monitor_operations {
    /* Logs part `part` of what a guest did. False, and nothing logged, if there is no such part. */
    bool (*print_statistics)(const struct vm *vm, unsigned part);
    /* Part 0 begins a test of the entropy sources; later ones may log nothing; the last one tells
     * how they are, and returns false. */
    bool (*print_entropy)(void *context, unsigned part);
    /* Ends all guests and the run. */
    void (*power_off)(void *context);
};

enum monitor_state {
    MONITOR_TYPING,  /* characters go to the guest in view */
    MONITOR_COMMAND, /* after Ctrl-A: the next one is a command */
    MONITOR_CONFIRM, /* and this one a yes or no to switching off */
};

/*
 * Everything it prints are log lines. It belongs to the CPU that serves the console. Of guests it
 * reads counters that other CPUs write, without a lock: each is one aligned word, so a listing may
 * be a moment out of date and its sums need not agree, but reading it waits for nobody. Of the last
 * exits an entry may be seen half written, which shows as an odd line.
 */
struct monitor {
    struct console_switch *consoles; /* one channel for each of `vms`, in the same order */
    struct vm *vms[CONSOLE_GUESTS];
    unsigned vm_count;
    uint64_t tsc_frequency; /* Hz */
    const struct monitor_operations *operations;
    void *context;

    enum monitor_state state;
    bool (*listing)(struct monitor *monitor, unsigned part); /* under way; NULL: none */
    unsigned part;                                           /* its next */
    struct vm_trace_writer trace;
};

/* A typed character: for the guest in view, or a command. */
void monitor_input(struct monitor *monitor, uint8_t byte);

/* The next part of a listing, if the console has room for it: bounded work, for the run loop. */
void monitor_work(struct monitor *monitor);

#endif
