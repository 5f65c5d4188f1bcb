/* SVM exits in neutral form (APM Vol. 2, 15.9 to 15.12 and appendix C). */
#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/fetch.h"
#include "arch/x86/svm/state.h"
#include "vmm/vm.h"

#define EXIT_CODE_INVALID  UINT32_MAX /* the low half of -1 */
#define EXIT_EXCEPTIONS    0x40U
#define DR7_GENERAL_DETECT (1ULL << 13)

/*
 * Every exit there is but the nested page fault: the intercepts follow from it. For an instruction
 * that may be skipped it has the length behind the prefixes and the first byte there; the exit code
 * has told the rest, or nearly so (TCG of QEMU 7.2 gives INVD that of WBINVD).
 */
struct row {
    uint8_t kind; /* + 1; 0: never asked for */
    uint8_t length;
    uint8_t opcode;
    bool at_times; /* somebody asks for it, and ceases to */
};

#define KIND(kind) ((kind) + 1)

static const struct row rows[SVM_EXIT_CODES] = {
    [SVM_EXIT_CR4_WRITE] = {KIND(EXIT_CONTROL_REGISTER), 3, 0x0f},
    [SVM_EXIT_CR8_WRITE] = {KIND(EXIT_CONTROL_REGISTER), 3, 0x0f, .at_times = true},
    /* #DB and #AC can recur without end while they are delivered (CVE-2015-8104, -5307). */
    [EXIT_EXCEPTIONS + VECTOR_DEBUG] = {KIND(EXIT_EXCEPTION)},
    [EXIT_EXCEPTIONS + VECTOR_ALIGNMENT_CHECK] = {KIND(EXIT_EXCEPTION)},
    /* The machine's, not the guest's. */
    [EXIT_EXCEPTIONS + VECTOR_MACHINE_CHECK] = {KIND(EXIT_EXCEPTION)},
    [0x60] = {KIND(EXIT_HOST_INTERRUPT)}, /* INTR */
    [0x61] = {KIND(EXIT_HOST_INTERRUPT)}, /* NMI: the machine's, which takes it at STGI */
    [0x63] = {KIND(EXIT_UNEXPECTED)},     /* INIT */
    [SVM_EXIT_VINTR] = {KIND(EXIT_INTERRUPT_WINDOW), .at_times = true},
    [0x6f] = {KIND(EXIT_INSTRUCTION)}, /* RDPMC */
    [SVM_EXIT_CPUID] = {KIND(EXIT_CPUID), 2, 0x0f},
    [0x73] = {KIND(EXIT_INSTRUCTION)}, /* RSM */
    [SVM_EXIT_IRET] = {KIND(EXIT_INTERRUPT_WINDOW), .at_times = true},
    [0x76] = {KIND(EXIT_FLUSH), 2, 0x0f}, /* INVD */
    [0x78] = {KIND(EXIT_HALT), 1, 0xf4},
    [0x7a] = {KIND(EXIT_INSTRUCTION)}, /* INVLPGA */
    [SVM_EXIT_IOIO] = {KIND(EXIT_PORT)},
    [SVM_EXIT_MSR] = {KIND(EXIT_MSR_READ), 2, 0x0f},
    [0x7f] = {KIND(EXIT_SHUTDOWN)},
    [0x80] = {KIND(EXIT_INSTRUCTION)}, /* VMRUN: not optional (15.5.1); then VMMCALL to SKINIT */
    [0x81] = {KIND(EXIT_INSTRUCTION)},
    [0x82] = {KIND(EXIT_INSTRUCTION)},
    [0x83] = {KIND(EXIT_INSTRUCTION)},
    [0x84] = {KIND(EXIT_INSTRUCTION)},
    [0x85] = {KIND(EXIT_INSTRUCTION)},
    [0x86] = {KIND(EXIT_INSTRUCTION)},
    [0x89] = {KIND(EXIT_FLUSH), 2, 0x0f}, /* WBINVD */
    [0x8a] = {KIND(EXIT_INSTRUCTION)},    /* MONITOR */
    [0x8b] = {KIND(EXIT_INSTRUCTION)},    /* MWAIT */
    [SVM_EXIT_XSETBV] = {KIND(EXIT_XSETBV), 3, 0x0f},
    [0x8e] = {KIND(EXIT_INSTRUCTION)}, /* RDPRU */
};

static const struct row *find_row(uint32_t code)
{
    static const struct row memory = {.kind = KIND(EXIT_MEMORY)};
    static const struct row unexpected = {.kind = KIND(EXIT_UNEXPECTED)};

    if (code == SVM_EXIT_NPF) {
        return &memory;
    }
    return code < SVM_EXIT_CODES && rows[code].kind != 0 ? &rows[code] : &unexpected;
}

bool svm_always_exits(uint32_t code)
{
    return rows[code].kind != 0 && !rows[code].at_times;
}

/* The instruction at RIP, as far as it matters here. */
struct instruction {
    uint8_t length;
    uint8_t rex;
    uint8_t last; /* byte: ModRM of MOV to a control register */
};

static bool in_64_bit_mode(const struct vmcb_state *state)
{
    return (state->efer & EFER_LMA) != 0 &&
           (state->segments[SEGMENT_CS].attributes & VMCB_SEGMENT_LONG) != 0;
}

static bool is_legacy_prefix(uint8_t byte)
{
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                       0x66, 0x67, 0xf0, 0xf2, 0xf3};

    for (size_t i = 0; i < sizeof(prefixes); i++) {
        if (prefixes[i] == byte) {
            return true;
        }
    }
    return false;
}

/*
 * Reads the instruction that exited, with the prefixes that may stand before it. False if it cannot
 * be read or is another one by now, which takes a guest that changes its code while it runs.
 */
static bool decode(struct vcpu *vcpu, const struct row *row, struct instruction *instruction)
{
    const struct fetched_instruction *fetched =
        fetch_instruction(vcpu, vcpu->backend->vmcb->state.rip);
    const uint8_t *bytes = fetched->bytes;
    size_t at = 0;
    uint8_t rex = 0;

    for (; at < fetched->available && bytes[at] != row->opcode; at++) {
        bool is_rex = fetched->code == CODE_64_BIT && (bytes[at] & 0xf0) == 0x40;

        if (!is_rex && !is_legacy_prefix(bytes[at])) {
            break;
        }
        rex = is_rex ? bytes[at] : 0; /* one that is not right before the opcode has no effect */
    }
    if (at == fetched->available || fetched->available - at < row->length ||
        bytes[at] != row->opcode) {
        return false;
    }
    *instruction = (struct instruction){
        .length = (uint8_t)(at + row->length),
        .rex = rex,
        .last = bytes[at + row->length - 1],
    };
    return true;
}

/* Without its bytes an instruction counts as one without prefixes. */
static uint8_t instruction_length(struct vcpu *vcpu, const struct row *row)
{
    const struct backend_vcpu *backend = vcpu->backend;
    uint64_t to_next = backend->vmcb->next_rip - backend->vmcb->state.rip;
    struct instruction instruction;

    if (row->length == 0) {
        return 0;
    }
    if (backend->abilities->next_rip && to_next >= 1 && to_next <= INSTRUCTION_MAX_LENGTH) {
        return (uint8_t)to_next;
    }
    return decode(vcpu, row, &instruction) ? instruction.length : row->length;
}

/* 15.8.1: with decode assists bit 63 says MOV and bits 0-3 name its register. */
static void translate_control_register(struct vcpu *vcpu, struct vm_exit *exit, uint32_t code)
{
    const struct vmcb *vmcb = vcpu->backend->vmcb;
    struct instruction instruction;
    unsigned source;

    if (vcpu->backend->abilities->decode_assists && vmcb->exit_info1 >> 63 != 0) {
        source = vmcb->exit_info1 & 0xf;
    } else if (decode(vcpu, &rows[code], &instruction)) {
        source = (instruction.last & 7U) | (instruction.rex & 1U) << 3;
    } else {
        /* The guest has changed its code meanwhile: it gets what an impossible write gets. */
        exit->kind = EXIT_EXCEPTION;
        exit->exception = (struct exit_exception){VECTOR_GENERAL_PROTECTION, true, 0};
        return;
    }
    uint64_t value = vcpu_general_register(vcpu, (enum general_register)source);

    exit->control_register.number = (uint8_t)(code - SVM_EXIT_CR_WRITE);
    exit->control_register.value = in_64_bit_mode(&vmcb->state) ? value : (uint32_t)value;
}

static void translate_exception(struct vmcb *vmcb, struct vm_exit *exit, uint32_t code)
{
    exit->exception = (struct exit_exception){.vector = (uint8_t)(code - EXIT_EXCEPTIONS)};
    if (exit->exception.vector == VECTOR_ALIGNMENT_CHECK) {
        exit->exception.has_error_code = true;
        exit->exception.error_code = (uint32_t)vmcb->exit_info1;
    } else if (exit->exception.vector == VECTOR_DEBUG) {
        /* DR6 is the guest's already (15.12.2); delivery, which is ours now, also does this. */
        vmcb->state.dr7 &= ~DR7_GENERAL_DETECT;
        vmcb->clean &= ~CLEAN_DEBUG_REGISTERS;
    }
}

/* 15.10.2 */
static void translate_port(const struct vmcb *vmcb, struct vm_exit *exit)
{
    uint64_t information = vmcb->exit_info1;

    exit->instruction_length = (uint8_t)(vmcb->exit_info2 - vmcb->state.rip);
    exit->port = (struct exit_port){
        .port = (uint16_t)(information >> 16),
        .size = information >> 4 & 7,
        .write = (information & 1) == 0,
        .string = (information & 4) != 0,
        .repeat = (information & 8) != 0,
    };
}

/* 15.25.6 */
static void translate_memory(const struct vmcb *vmcb, struct vm_exit *exit)
{
    exit->memory = (struct exit_memory){
        .gpa = vmcb->exit_info2,
        .write = (vmcb->exit_info1 & 2) != 0,
        .fetch = (vmcb->exit_info1 & 16) != 0,
        .walk = (vmcb->exit_info1 & 1ULL << 33) != 0,
        .delivering = (vmcb->exit_event & EVENT_VALID) != 0,
    };
}

static void translate_msr(const struct vcpu *vcpu, struct vm_exit *exit)
{
    if (exit->kind == EXIT_MSR_READ && (vcpu->backend->vmcb->exit_info1 & 1) != 0) {
        exit->kind = EXIT_MSR_WRITE;
    }
    exit->msr.index = (uint32_t)vcpu->general[GENERAL_RCX];
    exit->msr.value = vcpu->general[GENERAL_RDX] << 32 | (uint32_t)vcpu->general[GENERAL_RAX];
}

static void translate_details(struct vcpu *vcpu, struct vm_exit *exit, uint32_t code)
{
    struct vmcb *vmcb = vcpu->backend->vmcb;

    switch (exit->kind) {
    case EXIT_CONTROL_REGISTER:
        translate_control_register(vcpu, exit, code);
        return;
    case EXIT_EXCEPTION:
        translate_exception(vmcb, exit, code);
        return;
    case EXIT_PORT:
        translate_port(vmcb, exit);
        return;
    case EXIT_MSR_READ:
    case EXIT_XSETBV:
        translate_msr(vcpu, exit);
        return;
    case EXIT_MEMORY:
        translate_memory(vmcb, exit);
        return;
    default:
        exit->code = code; /* which only the kinds without an explanation have */
        return;
    }
}

void svm_translate_exit(struct vcpu *vcpu, struct vm_exit *exit)
{
    struct backend_vcpu *backend = vcpu->backend;
    uint32_t code = (uint32_t)backend->vmcb->exit_code;

    exit->rip = backend->vmcb->state.rip;
    if (code == EXIT_CODE_INVALID) {
        exit->kind = EXIT_ENTRY_FAILED;
        exit->instruction_length = 0;
        exit->code = backend->vmcb->exit_code;
        return;
    }
    const struct row *row = find_row(code);

    exit->kind = (enum exit_kind)(row->kind - 1);
    exit->instruction_length = instruction_length(vcpu, row);
    translate_details(vcpu, exit, code);
}
