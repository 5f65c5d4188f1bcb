/* The last events of a guest's devices, where the configuration asks for a trace. */
#ifndef VMM_DEVICE_TRACE_H
#define VMM_DEVICE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_TRACE_LENGTH 4096

enum device_event_kind {
    DEVICE_KICK,        /* the driver notified the device; value: what it wrote */
    DEVICE_COMPLETION,  /* a buffer was given back; value: bytes written to it */
    DEVICE_PARKED,      /* a buffer has to wait; value: how many have had to */
    DEVICE_INTERRUPT,   /* the device signalled; value: InterruptStatus */
    DEVICE_RESET,       /* the driver reset the device; value: its status before */
    DEVICE_NEEDS_RESET, /* the device set DEVICE_NEEDS_RESET; value: its status */
    DEVICE_EVENT_KINDS
};

struct device_event {
    uint64_t ticks; /* TSC */
    uint32_t kind;  /* enum device_event_kind */
    uint32_t value;
};

/* A ring of all devices of one guest. Written under the lock that is around its devices. */
struct device_trace {
    struct device_event events[DEVICE_TRACE_LENGTH];
    uint64_t count;     /* events ever recorded; atomic */
    uint64_t frequency; /* of the TSC, in Hz: for whoever shows the trace */
};

/* Records an event of now. */
void device_trace_add(struct device_trace *trace, enum device_event_kind kind, uint32_t value);

/* The same, or nothing if `trace` is NULL: what devices call. */
static inline void device_trace_record(struct device_trace *trace, enum device_event_kind kind,
                                       uint32_t value)
{
    if (__builtin_expect(trace != NULL, 0)) {
        device_trace_add(trace, kind, value);
    }
}

/* Reads event `number`, of those counted so far. From any CPU. False if it is there no more. */
bool device_trace_read(const struct device_trace *trace, uint64_t number,
                       struct device_event *event);

/* A word for the kind, as shown in traces. */
const char *device_event_name(enum device_event_kind kind);

#endif
