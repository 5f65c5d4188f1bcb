/* A vCPU's registers and events: what is no more than a read or write of its VMCB. */
#include <stddef.h>
#include <string.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/svm/state.h"
#include "vmm/log.h"
#include "vmm/vm.h"

#define DR6_SINGLE_STEP (1ULL << 14)

/* A virtual interrupt, whatever the task priority: the local APIC has looked at that. */
#define REQUEST (VIRTUAL_IRQ | VIRTUAL_IRQ_PRIORITY | VIRTUAL_IGNORE_TPR)

/* A TLB entry made under the old value would stay; only the guest's own writes drop those. */
static void flush_tlb(struct backend_vcpu *backend)
{
    backend->vmcb->tlb_control = backend->abilities->flush_by_asid ? TLB_FLUSH_ASID : TLB_FLUSH_ALL;
}

void svm_intercept(struct vmcb *vmcb, uint32_t code, bool on)
{
    uint32_t *word = &vmcb->intercepts[code / 32];
    uint32_t bit = 1U << code % 32;

    if (((*word & bit) != 0) != on) {
        *word ^= bit;
        vmcb->clean &= ~CLEAN_INTERCEPTS;
    }
}

void svm_set_window(struct backend_vcpu *backend, uint8_t windows, bool wanted)
{
    uint64_t *control = &backend->vmcb->virtual_interrupt;
    uint8_t waited_for =
        (uint8_t)(wanted ? backend->windows | windows : backend->windows & ~windows);

    if (waited_for != backend->windows) {
        backend->windows = waited_for;
        *control = waited_for != 0 ? *control | REQUEST : *control & ~REQUEST;
        svm_intercept(backend->vmcb, SVM_EXIT_VINTR, waited_for != 0);
    }
}

/*
 * An interrupt goes in as a virtual one that does not exit (15.21.4) instead of as an event. Either
 * way it is taken before the guest's next instruction, for the guest's interrupts are on. But QEMU
 * 7.2's TCG delivers such an event again, whether interrupts are on or not, if a time slice of its
 * own ends before the guest's next exit or exception, as it does for each timer with --icount.
 */
void svm_offer_interrupt(struct backend_vcpu *backend)
{
    struct vmcb *vmcb = backend->vmcb;
    uint64_t vector = vmcb->event & UINT8_MAX;

    if ((vmcb->event & (EVENT_VALID | EVENT_TYPE_MASK)) == (EVENT_VALID | EVENT_TYPE_INTERRUPT) &&
        backend->windows == 0) {
        vmcb->virtual_interrupt &= ~((uint64_t)UINT8_MAX << VIRTUAL_VECTOR_SHIFT);
        vmcb->virtual_interrupt |= REQUEST | vector << VIRTUAL_VECTOR_SHIFT;
        vmcb->event = 0;
    }
}

/*
 * One that the guest did not get to is an event again, as is one whose delivery was cut short. Of
 * one that it took, what is left beside the request is of no effect (15.21.4).
 */
void svm_withdraw_interrupt(struct backend_vcpu *backend)
{
    struct vmcb *vmcb = backend->vmcb;

    if ((vmcb->virtual_interrupt & VIRTUAL_IRQ) != 0 && backend->windows == 0) {
        vmcb->exit_event = EVENT_VALID | EVENT_TYPE_INTERRUPT |
                           (vmcb->virtual_interrupt >> VIRTUAL_VECTOR_SHIFT & UINT8_MAX);
        vmcb->virtual_interrupt &= ~REQUEST;
    }
}

static void reset_backend(struct vcpu *vcpu)
{
    struct backend_vcpu *backend = vcpu->backend;

    memset(vcpu->general, 0, sizeof(vcpu->general));
    backend->nmi = NMI_ALLOWED;
    for (uint32_t code = 0; code < SVM_EXIT_CODES; code++) {
        svm_intercept(backend->vmcb, code, svm_always_exits(code));
    }
    svm_set_window(backend, WINDOW_INTERRUPT | WINDOW_NMI, false);
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
    *reg = name == REGISTER_EFER ? value | EFER_SVME : value;
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

void svm_inject_exception(struct vcpu *vcpu, unsigned vector, bool has_error_code,
                          uint32_t error_code)
{
    vcpu->backend->vmcb->event =
        EVENT_VALID | EVENT_TYPE_EXCEPTION | vector |
        (has_error_code ? EVENT_HAS_ERROR_CODE | (uint64_t)error_code << 32 : 0);
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

static bool takes_event(const struct vmcb *vmcb)
{
    return (vmcb->event & EVENT_VALID) == 0 && (vmcb->interrupt_state & INTERRUPT_SHADOW) == 0;
}

bool svm_inject_interrupt(struct vcpu *vcpu, unsigned vector)
{
    struct vmcb *vmcb = vcpu->backend->vmcb;
    bool ready = takes_event(vmcb) && (vmcb->state.rflags & RFLAGS_IF) != 0;

    svm_set_window(vcpu->backend, WINDOW_INTERRUPT, !ready);
    if (ready) {
        vmcb->event = EVENT_VALID | EVENT_TYPE_INTERRUPT | vector;
    }
    return ready;
}

void svm_cancel_interrupt_window(struct vcpu *vcpu)
{
    svm_set_window(vcpu->backend, WINDOW_INTERRUPT, false);
}

/*
 * While NMIs are blocked the IRET's exit tells. In the other cases an interrupt window is the
 * earliest sign that there is; it may be late if the guest has interrupts off, but then the next
 * exit of any kind comes first.
 */
bool svm_inject_nmi(struct vcpu *vcpu)
{
    struct backend_vcpu *backend = vcpu->backend;
    bool ready = takes_event(backend->vmcb) && backend->nmi == NMI_ALLOWED;

    svm_set_window(backend, WINDOW_NMI, !ready && backend->nmi != NMI_BLOCKED);
    if (ready) {
        backend->vmcb->event = EVENT_VALID | EVENT_TYPE_NMI | VECTOR_NMI;
        backend->nmi = NMI_BLOCKED;
        svm_intercept(backend->vmcb, SVM_EXIT_IRET, true);
    }
    return ready;
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
