/* SVM exits in neutral form (APM Vol. 2, 15.9 to 15.12 and appendix C). */
#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/decode.h"
#include "arch/x86/guest/guest_paging.h"
#include "arch/x86/svm/state.h"
#include "vmm/vm.h"

#define EXIT_CODES         0x90
#define EXIT_CODE_INVALID  UINT32_MAX /* the low half of -1 */
#define EXIT_EXCEPTIONS    0x40U
#define VECTOR_BREAKPOINT  3
#define VECTOR_OVERFLOW    4
#define DR7_GENERAL_DETECT (1ULL << 13)

/* Codes that need no more than their kind. What is not here was never asked for. */
static const uint8_t kinds[EXIT_CODES] = {
    [0x60] = EXIT_HOST_INTERRUPT + 1,
    [0x61] = EXIT_HOST_INTERRUPT + 1, /* NMI: the machine's, which takes it at STGI */
    [SVM_EXIT_VINTR] = EXIT_INTERRUPT_WINDOW + 1,
    [0x6f] = EXIT_INSTRUCTION + 1, /* RDPMC */
    [SVM_EXIT_CPUID] = EXIT_CPUID + 1,
    [0x73] = EXIT_INSTRUCTION + 1, /* RSM */
    [SVM_EXIT_IRET] = EXIT_INTERRUPT_WINDOW + 1,
    [SVM_EXIT_INVD] = EXIT_FLUSH + 1,
    [SVM_EXIT_HLT] = EXIT_HALT + 1,
    [0x7a] = EXIT_INSTRUCTION + 1, /* INVLPGA */
    [0x7f] = EXIT_SHUTDOWN + 1,
    [0x80] = EXIT_INSTRUCTION + 1, /* VMRUN to SKINIT */
    [0x81] = EXIT_INSTRUCTION + 1,
    [0x82] = EXIT_INSTRUCTION + 1,
    [0x83] = EXIT_INSTRUCTION + 1,
    [0x84] = EXIT_INSTRUCTION + 1,
    [0x85] = EXIT_INSTRUCTION + 1,
    [0x86] = EXIT_INSTRUCTION + 1,
    [SVM_EXIT_WBINVD] = EXIT_FLUSH + 1,
    [0x8a] = EXIT_INSTRUCTION + 1, /* MONITOR */
    [0x8b] = EXIT_INSTRUCTION + 1, /* MWAIT */
    [0x8e] = EXIT_INSTRUCTION + 1, /* RDPRU */
};

/*
 * Instructions whose length must be known: `length` bytes behind the prefixes, the first of which
 * is `opcode`. The others need no look: the exit has told which instruction it is, or nearly so
 * (RDMSR and WRMSR have one code, and TCG of QEMU 7.2 gives INVD that of WBINVD).
 */
struct form {
    uint16_t exit_code;
    uint8_t length;
    uint8_t opcode;
};

static const struct form forms[] = {
    {SVM_EXIT_CR4_WRITE, 3, 0x0f}, {SVM_EXIT_CR8_WRITE, 3, 0x0f}, {SVM_EXIT_CPUID, 2, 0x0f},
    {SVM_EXIT_INVD, 2, 0x0f},      {SVM_EXIT_HLT, 1, 0xf4},       {SVM_EXIT_MSR, 2, 0x0f},
    {SVM_EXIT_WBINVD, 2, 0x0f},    {SVM_EXIT_XSETBV, 3, 0x0f},
};

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

static size_t fetch(const struct vcpu *vcpu, uint8_t *bytes)
{
    const struct vmcb_state *state = &vcpu->backend->vmcb->state;
    const struct guest_paging paging = {state->cr0, state->cr3, state->cr4, state->efer};
    uint64_t linear = in_64_bit_mode(state)
                          ? state->rip
                          : (uint32_t)(state->segments[SEGMENT_CS].base + state->rip);

    return guest_fetch(&vcpu->vm->memory, &paging, linear, bytes, INSTRUCTION_MAX_LENGTH);
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

static const struct form *find_form(uint32_t exit_code)
{
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (forms[i].exit_code == exit_code) {
            return &forms[i];
        }
    }
    return NULL;
}

/*
 * Reads the instruction that exited, with the prefixes that may stand before it. False if it cannot
 * be read or is another one by now, which takes a guest that changes its code while it runs.
 */
static bool decode(const struct vcpu *vcpu, const struct form *form,
                   struct instruction *instruction)
{
    bool long_mode = in_64_bit_mode(&vcpu->backend->vmcb->state);
    uint8_t bytes[INSTRUCTION_MAX_LENGTH];
    size_t available = fetch(vcpu, bytes);
    size_t at = 0;
    uint8_t rex = 0;

    for (; at < available; at++) {
        bool is_rex = long_mode && (bytes[at] & 0xf0) == 0x40;

        if (!is_rex && !is_legacy_prefix(bytes[at])) {
            break;
        }
        rex = is_rex ? bytes[at] : 0; /* one that is not right before the opcode has no effect */
    }
    if (available - at < form->length || bytes[at] != form->opcode) {
        return false;
    }
    *instruction = (struct instruction){
        .length = (uint8_t)(at + form->length),
        .rex = rex,
        .last = bytes[at + form->length - 1],
    };
    return true;
}

/* Without its bytes an instruction counts as one without prefixes. 0: nobody will skip it. */
static uint8_t instruction_length(const struct vcpu *vcpu, uint32_t exit_code)
{
    const struct backend_vcpu *backend = vcpu->backend;
    const struct form *form = find_form(exit_code);
    uint64_t to_next = backend->vmcb->next_rip - backend->vmcb->state.rip;
    struct instruction instruction;

    if (form == NULL) {
        return 0;
    }
    if (backend->abilities->next_rip && to_next >= 1 && to_next <= INSTRUCTION_MAX_LENGTH) {
        return (uint8_t)to_next;
    }
    return decode(vcpu, form, &instruction) ? instruction.length : form->length;
}

/* The instruction cannot be read any more: the guest gets the #GP of one that cannot be done. */
static void refuse(struct vm_exit *exit)
{
    exit->kind = EXIT_EXCEPTION;
    exit->exception =
        (struct exit_exception){.vector = VECTOR_GENERAL_PROTECTION, .has_error_code = true};
}

/* 15.8.1: with decode assists bit 63 says MOV and bits 0-3 name its register. */
static void translate_control_register(struct vcpu *vcpu, struct vm_exit *exit, uint32_t code)
{
    const struct vmcb *vmcb = vcpu->backend->vmcb;
    struct instruction instruction;
    unsigned source;

    if (vcpu->backend->abilities->decode_assists && vmcb->exit_info1 >> 63 != 0) {
        source = vmcb->exit_info1 & 0xf;
    } else if (decode(vcpu, find_form(code), &instruction)) {
        source = (instruction.last & 7U) | (instruction.rex & 1U) << 3;
    } else {
        refuse(exit);
        return;
    }
    uint64_t value = vcpu_general_register(vcpu, (enum general_register)source);

    exit->kind = EXIT_CONTROL_REGISTER;
    exit->control_register.number = (uint8_t)(code - SVM_EXIT_CR_WRITE);
    exit->control_register.value = in_64_bit_mode(&vmcb->state) ? value : (uint32_t)value;
}

static void translate_exception(struct vmcb *vmcb, struct vm_exit *exit, uint32_t code)
{
    exit->kind = EXIT_EXCEPTION;
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

    exit->kind = EXIT_PORT;
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
    exit->kind = EXIT_MEMORY;
    exit->memory = (struct exit_memory){
        .gpa = vmcb->exit_info2,
        .write = (vmcb->exit_info1 & 2) != 0,
        .fetch = (vmcb->exit_info1 & 16) != 0,
        .walk = (vmcb->exit_info1 & 1ULL << 33) != 0,
        .delivering = (vmcb->exit_event & EVENT_VALID) != 0,
    };
}

static void translate_msr(const struct vcpu *vcpu, struct vm_exit *exit, enum exit_kind kind)
{
    exit->kind = kind;
    exit->msr.index = (uint32_t)vcpu->general[GENERAL_RCX];
    exit->msr.value = vcpu->general[GENERAL_RDX] << 32 | (uint32_t)vcpu->general[GENERAL_RAX];
}

static void translate_code(struct vcpu *vcpu, struct vm_exit *exit, uint32_t code)
{
    struct vmcb *vmcb = vcpu->backend->vmcb;

    switch (code) {
    case SVM_EXIT_CR4_WRITE:
    case SVM_EXIT_CR8_WRITE:
        translate_control_register(vcpu, exit, code);
        return;
    case EXIT_EXCEPTIONS + VECTOR_DEBUG:
    case EXIT_EXCEPTIONS + VECTOR_ALIGNMENT_CHECK:
    case EXIT_EXCEPTIONS + VECTOR_MACHINE_CHECK:
        translate_exception(vmcb, exit, code);
        return;
    case SVM_EXIT_IOIO:
        translate_port(vmcb, exit);
        return;
    case SVM_EXIT_MSR:
        translate_msr(vcpu, exit, (vmcb->exit_info1 & 1) != 0 ? EXIT_MSR_WRITE : EXIT_MSR_READ);
        return;
    case SVM_EXIT_XSETBV:
        translate_msr(vcpu, exit, EXIT_XSETBV);
        return;
    case SVM_EXIT_NPF:
        translate_memory(vmcb, exit);
        return;
    default:
        if (code < EXIT_CODES && kinds[code] != 0) {
            exit->kind = (enum exit_kind)(kinds[code] - 1);
        } else {
            exit->kind = EXIT_UNEXPECTED;
            exit->code = code;
        }
        return;
    }
}

/*
 * An event whose delivery the exit cut short (15.7.2) is delivered again. Those that an instruction
 * causes (INT n, INT3, INTO) come again by themselves: RIP is still at it.
 */
static void requeue_event(struct vmcb *vmcb)
{
    uint64_t event = vmcb->exit_event;
    uint64_t type = event & EVENT_TYPE_MASK;
    uint8_t vector = (uint8_t)event;
    bool repeated =
        type == EVENT_TYPE_SOFTWARE || (type == EVENT_TYPE_EXCEPTION &&
                                        (vector == VECTOR_BREAKPOINT || vector == VECTOR_OVERFLOW));

    vmcb->event = (event & EVENT_VALID) != 0 && !repeated ? event : 0;
}

static void follow_nmi(struct backend_vcpu *backend, uint32_t code)
{
    uint64_t rip = backend->vmcb->state.rip;

    if (code == SVM_EXIT_IRET) {
        backend->nmi = NMI_RETURNING;
        backend->iret_rip = rip;
        svm_watch_iret(backend->vmcb, false);
    } else if (backend->nmi == NMI_RETURNING && rip != backend->iret_rip) {
        backend->nmi = NMI_ALLOWED;
    }
}

void svm_translate_exit(struct vcpu *vcpu, struct vm_exit *exit)
{
    struct backend_vcpu *backend = vcpu->backend;
    uint32_t code = (uint32_t)backend->vmcb->exit_code;

    if (code == EXIT_CODE_INVALID) {
        exit->kind = EXIT_ENTRY_FAILED;
        exit->code = backend->vmcb->exit_code;
        return;
    }
    exit->instruction_length = instruction_length(vcpu, code);
    translate_code(vcpu, exit, code);
    requeue_event(backend->vmcb);
    follow_nmi(backend, code);
    if (code == SVM_EXIT_VINTR) {
        svm_set_window(backend, WINDOW_INTERRUPT | WINDOW_NMI, false);
    }
}
