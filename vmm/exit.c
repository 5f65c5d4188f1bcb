/* Exits as text. */
#include "vmm/exit.h"

#include "vmm/format.h"

const char *exit_kind_name(enum exit_kind kind)
{
    static const char *const names[EXIT_KINDS] = {
        [EXIT_PORT] = "port",
        [EXIT_MEMORY] = "memory",
        [EXIT_CPUID] = "cpuid",
        [EXIT_MSR_READ] = "msr-read",
        [EXIT_MSR_WRITE] = "msr-write",
        [EXIT_CONTROL_REGISTER] = "control-register",
        [EXIT_XSETBV] = "xsetbv",
        [EXIT_HALT] = "halt",
        [EXIT_HOST_INTERRUPT] = "host-interrupt",
        [EXIT_INTERRUPT_WINDOW] = "interrupt-window",
        [EXIT_EOI] = "eoi",
        [EXIT_RANDOM] = "random",
        [EXIT_EXCEPTION] = "exception",
        [EXIT_INSTRUCTION] = "instruction",
        [EXIT_FLUSH] = "flush",
        [EXIT_SHUTDOWN] = "shutdown",
        [EXIT_ENTRY_FAILED] = "entry-failed",
        [EXIT_UNEXPECTED] = "unexpected",
    };

    return kind < EXIT_KINDS ? names[kind] : "unknown";
}

void exit_describe(const struct vm_exit *exit, char *text, size_t size)
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
    case EXIT_RANDOM:
        format(text, size, "register %u, %u bytes", exit->random.reg, exit->random.size);
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
