/* The last events of a guest's devices, kept in a ring. */
#include "vmm/device_trace.h"

#include "vmm/host.h"

void device_trace_add(struct device_trace *trace, enum device_event_kind kind, uint32_t value)
{
    uint64_t number = trace->count;

    trace->events[number % DEVICE_TRACE_LENGTH] =
        (struct device_event){.ticks = host_ticks(), .kind = kind, .value = value};
    /* Another CPU that reads the ring must find the event there once it is counted. */
    __atomic_store_n(&trace->count, number + 1, __ATOMIC_RELEASE);
}

bool device_trace_read(const struct device_trace *trace, uint64_t number,
                       struct device_event *event)
{
    *event = trace->events[number % DEVICE_TRACE_LENGTH];
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    /* The place is written again while the count is still what it is to be written for. */
    return __atomic_load_n(&trace->count, __ATOMIC_RELAXED) - number < DEVICE_TRACE_LENGTH;
}

const char *device_event_name(enum device_event_kind kind)
{
    static const char *const names[DEVICE_EVENT_KINDS] = {
        [DEVICE_KICK] = "kick",     [DEVICE_COMPLETION] = "completion",
        [DEVICE_PARKED] = "parked", [DEVICE_INTERRUPT] = "interrupt",
        [DEVICE_RESET] = "reset",   [DEVICE_NEEDS_RESET] = "needs-reset",
    };

    return kind < DEVICE_EVENT_KINDS ? names[kind] : "unknown";
}
