/* Why a guest stopped running: one neutral form for what VMX and SVM report. */
#ifndef VMM_EXIT_H
#define VMM_EXIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum exit_kind {
    EXIT_PORT,             /* port access: .port */
    EXIT_MEMORY,           /* access to a GPA that is not mapped, or not so: .memory */
    EXIT_CPUID,            /* CPUID; leaf and subleaf are in the registers */
    EXIT_MSR_READ,         /* RDMSR: .msr.index */
    EXIT_MSR_WRITE,        /* WRMSR: .msr */
    EXIT_CONTROL_REGISTER, /* a write to CR0 or CR4 that touches bits we own: .control_register */
    EXIT_XSETBV,           /* XSETBV: .msr.index is the XCR, .msr.value what is written */
    EXIT_HALT,             /* HLT */
    EXIT_HOST_INTERRUPT,   /* an interrupt of the machine: no doing of the guest's */
    EXIT_INTERRUPT_WINDOW, /* the guest can take an interrupt now */
    EXIT_EOI,              /* the hardware performed an EOI of a level-triggered vector: .vector */
    EXIT_RANDOM,           /* RDRAND or RDSEED of a guest for whom they are answered: .random */
    EXIT_EXCEPTION,        /* an exception we watch for, to be given back: .exception */
    EXIT_INSTRUCTION,      /* an instruction this machine does not have for a guest: #UD */
    EXIT_FLUSH,            /* INVD or WBINVD: nothing to do, for memory is coherent */
    EXIT_SHUTDOWN,         /* triple fault */
    EXIT_ENTRY_FAILED,     /* the hardware refused the guest's state: .code */
    EXIT_UNEXPECTED,       /* a reason we never asked for: .code */
    EXIT_KINDS
};

struct exit_port {
    uint16_t port;
    uint8_t size; /* bytes: 1, 2 or 4 */
    bool write;
    bool string; /* INS or OUTS */
    bool repeat; /* with a REP prefix */
};

struct exit_memory {
    uint64_t gpa;
    bool write;
    bool fetch;
    bool walk;       /* the access was the processor's own, to a guest page table */
    bool delivering; /* it was the processor's own, while it delivered an event */
};

struct exit_msr {
    uint32_t index;
    uint64_t value;
};

struct exit_control_register {
    uint8_t number;
    uint64_t value;
};

struct exit_random {
    uint8_t reg;  /* enum general_register: where the bytes go */
    uint8_t size; /* bytes: 2, 4 or 8 */
};

struct exit_exception {
    uint8_t vector;
    bool has_error_code;
    uint32_t error_code;
};

struct vm_exit {
    enum exit_kind kind;
    uint64_t rip; /* of the instruction that exited, or of the next one */
    /* Bytes of the instruction that exited; 0 where the hardware does not say. */
    uint8_t instruction_length;
    union {
        struct exit_port port;
        struct exit_memory memory;
        struct exit_msr msr;
        struct exit_control_register control_register;
        struct exit_random random;
        struct exit_exception exception;
        uint8_t vector;
        uint64_t code;
    };
};

/* What is to happen after an exit was handled. */
enum exit_action {
    ACTION_RESUME,       /* run the guest on where it stopped */
    ACTION_SKIP,         /* the instruction is done: go on behind it */
    ACTION_SKIP_AT_ONCE, /* likewise, and no timer, interrupt or state of the VM has changed */
    ACTION_WAIT,         /* behind the instruction, once an interrupt is pending */
    ACTION_STOP,         /* this guest has ended */
};

/* A word for the kind, as shown in counters and traces. */
const char *exit_kind_name(enum exit_kind kind);

#define EXIT_TEXT_SIZE 64

/* Puts into `text` what the exit was about, such as its port or address; empty if there is nothing
 * to say. EXIT_TEXT_SIZE bytes suffice. */
void exit_describe(const struct vm_exit *exit, char *text, size_t size);

#endif
