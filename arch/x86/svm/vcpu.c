/* A vCPU's start and its registers: what is no more than a read or write of its VMCB. */
#include <stddef.h>
#include <string.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/svm/state.h"
#include "vmm/log.h"
#include "vmm/vm.h"

#define DR6_SINGLE_STEP (1ULL << 14)

/* A TLB entry made under the old value would stay; only the guest's own writes drop those. */
static void flush_tlb(struct backend_vcpu *backend)
{
    backend->vmcb->tlb_control = backend->abilities->flush_by_asid ? TLB_FLUSH_ASID : TLB_FLUSH_ALL;
}

static void reset_backend(struct vcpu *vcpu)
{
    struct backend_vcpu *backend = vcpu->backend;

    memset(vcpu->general, 0, sizeof(vcpu->general));
    for (uint32_t code = 0; code < SVM_EXIT_CODES; code++) {
        vmcb_intercept(backend->vmcb, code, svm_always_exits(code));
    }
    svm_reset_events(backend);
    flush_tlb(backend);
}

void svm_vcpu_start(struct vcpu *vcpu, const struct vcpu_start *start)
{
    reset_backend(vcpu);
    vcpu->general[GENERAL_RAX] = start->rax;
    vcpu->general[GENERAL_RBX] = start->rbx;
    vcpu->general[GENERAL_RSI] = start->rsi;
    vcpu->general[GENERAL_RDI] = start->rdi;
    vmcb_start(vcpu->backend->vmcb, start);
}

void svm_vcpu_start_up(struct vcpu *vcpu, uint8_t vector)
{
    reset_backend(vcpu);
    vmcb_start_up(vcpu->backend->vmcb, vector);
}

static uint64_t *register_of(struct vmcb_state *state, enum vcpu_register name)
{
    static const uint16_t places[] = {
        [REGISTER_RIP] = offsetof(struct vmcb_state, rip),
        [REGISTER_RSP] = offsetof(struct vmcb_state, rsp),
        [REGISTER_RFLAGS] = offsetof(struct vmcb_state, rflags),
        [REGISTER_CR0] = offsetof(struct vmcb_state, cr0),
        [REGISTER_CR3] = offsetof(struct vmcb_state, cr3),
        [REGISTER_CR4] = offsetof(struct vmcb_state, cr4),
        [REGISTER_EFER] = offsetof(struct vmcb_state, efer),
    };

    return (uint64_t *)(void *)((uint8_t *)state + places[name]);
}

uint64_t svm_get(struct vcpu *vcpu, enum vcpu_register name)
{
    uint64_t value = *register_of(&vcpu->backend->vmcb->state, name);

    return name == REGISTER_EFER ? value & ~EFER_SVME : value;
}

/* Long mode goes on and off with CR0.PG while EFER.LME is set (APM Vol. 2, 14.6). */
static void update_long_mode(struct vmcb_state *state)
{
    bool active = (state->cr0 & CR0_PG) != 0 && (state->efer & EFER_LME) != 0;

    state->efer = active ? state->efer | EFER_LMA : state->efer & ~EFER_LMA;
}

void svm_set(struct vcpu *vcpu, enum vcpu_register name, uint64_t value)
{
    struct backend_vcpu *backend = vcpu->backend;
    struct vmcb *vmcb = backend->vmcb;
    uint64_t *reg = register_of(&vmcb->state, name);

    if (name == REGISTER_RIP || name == REGISTER_RSP || name == REGISTER_RFLAGS) {
        *reg = value;
        return;
    }
    *reg = name == REGISTER_EFER  ? value | EFER_SVME
           : name == REGISTER_CR4 ? value | VMCB_CR4_FORCED
                                  : value;
    if (name == REGISTER_CR0) {
        update_long_mode(&vmcb->state);
    }
    vmcb->clean &= ~CLEAN_CONTROL_REGISTERS;
    flush_tlb(backend);
}

void svm_get_segment(struct vcpu *vcpu, enum segment_name name, struct segment *segment)
{
    const struct vmcb_segment *packed = &vcpu->backend->vmcb->state.segments[name];

    *segment = (struct segment){
        .base = packed->base,
        .limit = packed->limit,
        .selector = packed->selector,
        .attributes = vmcb_unpack_attributes(packed->attributes),
    };
}

bool svm_update_code(struct vcpu *vcpu, struct code_state *code)
{
    const struct vmcb_state *state = &vcpu->backend->vmcb->state;
    const struct vmcb_segment *cs = &state->segments[SEGMENT_CS];

    return (update_value(&code->rip, state->rip) | update_value(&code->cr0, state->cr0) |
            update_value(&code->cr3, state->cr3) | update_value(&code->cr4, state->cr4) |
            update_value(&code->efer, state->efer & ~EFER_SVME) |
            update_value(&code->cs_base, cs->base) |
            update_value(&code->cs_attributes, vmcb_unpack_attributes(cs->attributes))) != 0;
}

/* With RFLAGS.TF the instruction that we did for the guest ends in #DB as if it had done it. */
void svm_skip(struct vcpu *vcpu, uint64_t rip)
{
    struct vmcb *vmcb = vcpu->backend->vmcb;

    vmcb->state.rip = rip;
    vmcb->state.rflags &= ~RFLAGS_RF;
    vmcb->interrupt_state &= ~INTERRUPT_SHADOW;
    if ((vmcb->state.rflags & RFLAGS_TF) != 0) {
        vmcb->state.dr6 |= DR6_SINGLE_STEP;
        vmcb->clean &= ~CLEAN_DEBUG_REGISTERS;
        svm_inject_exception(vcpu, VECTOR_DEBUG, false, 0);
    }
}

void svm_dump(struct vcpu *vcpu)
{
    const struct vmcb *vmcb = vcpu->backend->vmcb;
    const struct vmcb_state *state = &vmcb->state;

    log_line("RIP %016lx RSP %016lx RFLAGS %016lx EFER %lx", state->rip, state->rsp, state->rflags,
             state->efer);
    log_line("CR0 %016lx CR2 %016lx CR3 %016lx CR4 %016lx", state->cr0, state->cr2, state->cr3,
             state->cr4);
    log_line("exit code 0x%lx, information 0x%lx 0x%lx, event 0x%lx, interrupt state 0x%lx",
             vmcb->exit_code, vmcb->exit_info1, vmcb->exit_info2, vmcb->exit_event,
             vmcb->interrupt_state);
}
