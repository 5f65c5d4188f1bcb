/* The last exits of a vCPU: a few for crash reports, and many where the configuration asks. */
#ifndef VMM_TRACE_H
#define VMM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/exit.h"

#define TRACE_LENGTH  16
#define TRACE_HISTORY 4096

struct trace_entry {
    uint64_t entered; /* TSC at the entry that this exit ended */
    uint64_t ticks;   /* TSC at the exit */
    struct vm_exit exit;
};

/* Two rings, written by the CPU that runs the vCPU only. */
struct trace {
    struct trace_entry entries[TRACE_LENGTH];
    struct trace_entry *history; /* TRACE_HISTORY of them, not owned; NULL: not asked for */
    uint64_t count;              /* exits ever recorded; atomic */
};

/*
 * The place of the next exit, which was the oldest one's: to be filled, and then recorded. What is
 * there stays until TRACE_LENGTH more are recorded.
 */
struct trace_entry *trace_next(struct trace *trace);

/* Counts the exit in the next place. */
void trace_record(struct trace *trace);

/*
 * Logs the last recorded exits, oldest first. On another CPU than the one that runs the vCPU, later
 * exits may show in the oldest ones' places, or one that is being recorded half.
 */
void trace_print(const struct trace *trace);

/*
 * Reads exit `number`, of those counted so far, from the history, which there is. From any CPU.
 * False if it is there no more.
 */
bool trace_read(const struct trace *trace, uint64_t number, struct trace_entry *entry);

#endif
