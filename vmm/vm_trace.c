/* The trace of a VM: switching it on, and writing it as text for tools/trace. */
#include "vmm/vm_trace.h"

#include "vmm/format.h"
#include "vmm/host.h"

#define LINE_SIZE 192

uint64_t vm_trace_size(unsigned vcpus)
{
    return vcpus * (TRACE_HISTORY * sizeof(struct trace_entry)) + sizeof(struct device_trace);
}

bool vm_trace_enable(struct vm *vm, uint64_t frequency, struct arena *arena)
{
    vm->device_trace = arena_allocate(arena, sizeof(*vm->device_trace), 8);
    if (vm->device_trace == NULL) {
        return false;
    }
    vm->device_trace->frequency = frequency;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        struct trace *trace = &vm->vcpus[i].trace;

        trace->history = arena_allocate(arena, TRACE_HISTORY * sizeof(*trace->history), 8);
        if (trace->history == NULL) {
            return false;
        }
    }
    return true;
}

/* The oldest number that a ring of `length` may still hold. */
static uint64_t oldest(uint64_t count, uint64_t length)
{
    return count > length ? count - length : 0;
}

static uint64_t dump_exits(const struct vcpu *vcpu)
{
    uint64_t count = __atomic_load_n(&vcpu->trace.count, __ATOMIC_ACQUIRE);
    uint64_t lines = 0;

    for (uint64_t i = oldest(count, TRACE_HISTORY); i < count; i++) {
        char text[EXIT_TEXT_SIZE];
        char line[LINE_SIZE];
        struct trace_entry entry;

        if (!trace_read(&vcpu->trace, i, &entry)) {
            continue;
        }
        exit_describe(&entry.exit, text, sizeof(text));
        format(line, sizeof(line), "x %u %lu %lu %lu %lx %s%s%s\n", vcpu->index, i, entry.entered,
               entry.ticks, entry.rip, exit_kind_name(entry.exit.kind), text[0] == '\0' ? "" : " ",
               text);
        host_debug_write(line);
        lines++;
    }
    return lines;
}

static uint64_t dump_events(const struct device_trace *trace)
{
    uint64_t count = __atomic_load_n(&trace->count, __ATOMIC_ACQUIRE);
    uint64_t lines = 0;

    for (uint64_t i = oldest(count, DEVICE_TRACE_LENGTH); i < count; i++) {
        char line[LINE_SIZE];
        struct device_event event;

        if (device_trace_read(trace, i, &event)) {
            format(line, sizeof(line), "d %lu %lu %s %u\n", i, event.ticks,
                   device_event_name((enum device_event_kind)event.kind), event.value);
            host_debug_write(line);
            lines++;
        }
    }
    return lines;
}

void vm_trace_dump(const struct vm *vm)
{
    char line[LINE_SIZE];
    uint64_t lines = 0;

    if (vm->device_trace == NULL) {
        return;
    }
    format(line, sizeof(line), "seedvisor-trace: begin %lu %u %s\n", vm->device_trace->frequency,
           vm->vcpu_count, vm->name);
    host_debug_write(line);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        lines += dump_exits(&vm->vcpus[i]);
    }
    lines += dump_events(vm->device_trace);
    format(line, sizeof(line), "seedvisor-trace: end %lu\n", lines);
    host_debug_write(line);
}
