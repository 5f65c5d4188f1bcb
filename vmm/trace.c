/* The last exits of a vCPU, kept in a ring. */
#include "vmm/trace.h"

#include "vmm/format.h"
#include "vmm/log.h"

void trace_record(struct trace *trace, uint64_t ticks, uint64_t rip, const struct vm_exit *exit)
{
    trace->entries[trace->count % TRACE_LENGTH] =
        (struct trace_entry){.ticks = ticks, .rip = rip, .exit = *exit};
    trace->count++;
}

static void describe(const struct vm_exit *exit, char *text, size_t size)
{
    switch (exit->kind) {
    case EXIT_PORT:
        format(text, size, "%s 0x%x, %u bytes", exit->port.write ? "out" : "in", exit->port.port,
               exit->port.size);
        return;
    case EXIT_MEMORY:
        format(text, size, "%s GPA 0x%lx%s",
               exit->memory.fetch ? "fetch from" : (exit->memory.write ? "write to" : "read from"),
               exit->memory.gpa, exit->memory.walk ? " (page walk)" : "");
        return;
    case EXIT_MSR_READ:
        format(text, size, "MSR 0x%x", exit->msr.index);
        return;
    case EXIT_MSR_WRITE:
    case EXIT_XSETBV:
        format(text, size, "0x%x = 0x%lx", exit->msr.index, exit->msr.value);
        return;
    case EXIT_CONTROL_REGISTER:
        format(text, size, "CR%u = 0x%lx", exit->control_register.number,
               exit->control_register.value);
        return;
    case EXIT_EXCEPTION:
        format(text, size, "vector %u, error code 0x%x", exit->exception.vector,
               exit->exception.error_code);
        return;
    case EXIT_EOI:
        format(text, size, "vector %u", exit->vector);
        return;
    case EXIT_ENTRY_FAILED:
    case EXIT_UNEXPECTED:
        format(text, size, "code 0x%lx", exit->code);
        return;
    default:
        text[0] = '\0';
        return;
    }
}

void trace_print(const struct trace *trace)
{
    uint64_t first = trace->count > TRACE_LENGTH ? trace->count - TRACE_LENGTH : 0;

    log_line("last exits (%lu in all):", trace->count);
    for (uint64_t i = first; i < trace->count; i++) {
        const struct trace_entry *entry = &trace->entries[i % TRACE_LENGTH];
        char text[64];

        describe(&entry->exit, text, sizeof(text));
        log_line("  %lu: tsc %lu rip 0x%lx %s %s", i, entry->ticks, entry->rip,
                 exit_kind_name(entry->exit.kind), text);
    }
}
