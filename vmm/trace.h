/* The last exits of a vCPU: what a panic or a guest's crash report shows. */
#ifndef VMM_TRACE_H
#define VMM_TRACE_H

#include <stdint.h>

#include "vmm/exit.h"

#define TRACE_LENGTH 16

struct trace_entry {
    uint64_t ticks; /* TSC at the exit */
    uint64_t rip;   /* guest instruction that exited */
    struct vm_exit exit;
};

/* A ring, written and read by the vCPU's own CPU only. */
struct trace {
    struct trace_entry entries[TRACE_LENGTH];
    uint64_t count; /* exits ever recorded */
};

void trace_record(struct trace *trace, uint64_t ticks, uint64_t rip, const struct vm_exit *exit);

/* Logs the recorded exits, oldest first. */
void trace_print(const struct trace *trace);

#endif
