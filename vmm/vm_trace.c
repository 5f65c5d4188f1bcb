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

/* One line each; false if what it is about is there no more. */
static bool write_exit(const struct vcpu *vcpu, uint64_t number)
{
    char text[EXIT_TEXT_SIZE];
    char line[LINE_SIZE];
    struct trace_entry entry;

    if (!trace_read(&vcpu->trace, number, &entry)) {
        return false;
    }
    exit_describe(&entry.exit, text, sizeof(text));
    format(line, sizeof(line), "x %u %lu %lu %lu %lx %s%s%s\n", vcpu->index, number, entry.entered,
           entry.ticks, entry.exit.rip, exit_kind_name(entry.exit.kind), text[0] == '\0' ? "" : " ",
           text);
    host_debug_write(line);
    return true;
}

static bool write_event(const struct device_trace *trace, uint64_t number)
{
    char line[LINE_SIZE];
    struct device_event event;

    if (!device_trace_read(trace, number, &event)) {
        return false;
    }
    format(line, sizeof(line), "d %lu %lu %s %u\n", number, event.ticks,
           device_event_name((enum device_event_kind)event.kind), event.value);
    host_debug_write(line);
    return true;
}

/* Takes up a ring of `length`, as far as it was written when this is called. */
static void begin_ring(struct vm_trace_writer *writer, const uint64_t *count, uint64_t length)
{
    writer->end = __atomic_load_n(count, __ATOMIC_ACQUIRE);
    writer->next = writer->end > length ? writer->end - length : 0;
}

static void begin_source(struct vm_trace_writer *writer)
{
    const struct vm *vm = writer->vm;

    if (writer->source == vm->vcpu_count) {
        begin_ring(writer, &vm->device_trace->count, DEVICE_TRACE_LENGTH);
    } else {
        begin_ring(writer, &vm->vcpus[writer->source].trace.count, TRACE_HISTORY);
    }
}

bool vm_trace_begin(struct vm_trace_writer *writer, const struct vm *vm)
{
    char line[LINE_SIZE];

    *writer = (struct vm_trace_writer){.vm = vm};
    if (vm->device_trace == NULL) {
        return false;
    }
    format(line, sizeof(line), "seedvisor-trace: begin %lu %u %s\n", vm->device_trace->frequency,
           vm->vcpu_count, vm->name);
    host_debug_write(line);
    begin_source(writer);
    return true;
}

bool vm_trace_go_on(struct vm_trace_writer *writer)
{
    const struct vm *vm = writer->vm;

    for (unsigned i = 0; i < VM_TRACE_STEP; i++) {
        if (writer->next < writer->end) {
            uint64_t number = writer->next++;
            bool written = writer->source == vm->vcpu_count
                               ? write_event(vm->device_trace, number)
                               : write_exit(&vm->vcpus[writer->source], number);

            writer->lines += written ? 1 : 0;
        } else if (writer->source == vm->vcpu_count) {
            char line[LINE_SIZE];

            format(line, sizeof(line), "seedvisor-trace: end %lu\n", writer->lines);
            host_debug_write(line);
            return false;
        } else {
            writer->source++;
            begin_source(writer);
        }
    }
    return true;
}

void vm_trace_dump(const struct vm *vm)
{
    struct vm_trace_writer writer;

    if (vm_trace_begin(&writer, vm)) {
        while (vm_trace_go_on(&writer)) {
        }
    }
}
