/* The last exits of a vCPU, kept in rings. */
#include "vmm/trace.h"

#include "vmm/log.h"

struct trace_entry *trace_next(struct trace *trace)
{
    return &trace->entries[trace->count % TRACE_LENGTH];
}

void trace_record(struct trace *trace)
{
    uint64_t number = trace->count;

    if (trace->history != NULL) {
        trace->history[number % TRACE_HISTORY] = trace->entries[number % TRACE_LENGTH];
    }
    /* Another CPU that reads the history must find the entry there once it is counted. */
    __atomic_store_n(&trace->count, number + 1, __ATOMIC_RELEASE);
}

bool trace_read(const struct trace *trace, uint64_t number, struct trace_entry *entry)
{
    *entry = trace->history[number % TRACE_HISTORY];
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    /* The place is written again while the count is still what it is to be written for. */
    return __atomic_load_n(&trace->count, __ATOMIC_RELAXED) - number < TRACE_HISTORY;
}

void trace_print(const struct trace *trace)
{
    uint64_t count = __atomic_load_n(&trace->count, __ATOMIC_RELAXED);

    log_line("last exits (%lu in all):", count);
    for (uint64_t i = count > TRACE_LENGTH ? count - TRACE_LENGTH : 0; i < count; i++) {
        const struct trace_entry *entry = &trace->entries[i % TRACE_LENGTH];
        char text[EXIT_TEXT_SIZE];

        exit_describe(&entry->exit, text, sizeof(text));
        log_line("  %lu: tsc %lu rip 0x%lx %s %s", i, entry->ticks, entry->exit.rip,
                 exit_kind_name(entry->exit.kind), text);
    }
}
