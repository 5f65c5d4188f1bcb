/* Names of the exit kinds. */
#include "vmm/exit.h"

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
        [EXIT_EXCEPTION] = "exception",
        [EXIT_INSTRUCTION] = "instruction",
        [EXIT_FLUSH] = "flush",
        [EXIT_SHUTDOWN] = "shutdown",
        [EXIT_ENTRY_FAILED] = "entry-failed",
        [EXIT_UNEXPECTED] = "unexpected",
    };

    return kind < EXIT_KINDS ? names[kind] : "unknown";
}
