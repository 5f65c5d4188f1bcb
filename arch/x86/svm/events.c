/* The events a vCPU is to take: interrupts, NMIs and exceptions, and the windows they wait for. */
#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/machine.h"
#include "arch/x86/svm/state.h"
#include "vmm/vm.h"

#define VECTOR_BREAKPOINT 3
#define VECTOR_OVERFLOW   4

/* A virtual interrupt, whatever the task priority: the local APIC has looked at that. */
#define REQUEST (VIRTUAL_IRQ | VIRTUAL_IRQ_PRIORITY | VIRTUAL_IGNORE_TPR)

static void set_window(struct backend_vcpu *backend, uint8_t windows, bool wanted)
{
    uint64_t *control = &backend->vmcb->virtual_interrupt;
    uint8_t waited_for =
        (uint8_t)(wanted ? backend->windows | windows : backend->windows & ~windows);

    if (waited_for != backend->windows) {
        backend->windows = waited_for;
        *control = waited_for != 0 ? *control | REQUEST : *control & ~REQUEST;
        vmcb_intercept(backend->vmcb, SVM_EXIT_VINTR, waited_for != 0);
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

void svm_reset_events(struct backend_vcpu *backend)
{
    backend->nmi = NMI_ALLOWED;
    set_window(backend, WINDOW_INTERRUPT | WINDOW_NMI, false);
}

void svm_inject_exception(struct vcpu *vcpu, unsigned vector, bool has_error_code,
                          uint32_t error_code)
{
    struct vmcb *vmcb = vcpu->backend->vmcb;
    bool told =
        has_error_code && (vmcb->state.cr0 & CR0_PE) != 0; /* real mode has no error codes */

    vmcb->event = EVENT_VALID | EVENT_TYPE_EXCEPTION | vector |
                  (told ? EVENT_HAS_ERROR_CODE | (uint64_t)error_code << 32 : 0);
}

/* An interrupt that the task priority holds back waits for CR8 to be lowered: that must exit. */
bool svm_request_interrupt(struct vcpu *vcpu, int vector)
{
    bool held_back = vector >= 0 && (uint64_t)vector >> 4 <= local_apic_cr8(&vcpu->arch->apic);

    vmcb_intercept(vcpu->backend->vmcb, SVM_EXIT_CR8_WRITE, held_back);
    return false;
}

static bool takes_event(const struct vmcb *vmcb)
{
    return (vmcb->event & EVENT_VALID) == 0 && (vmcb->interrupt_state & INTERRUPT_SHADOW) == 0;
}

bool svm_inject_interrupt(struct vcpu *vcpu, unsigned vector)
{
    struct vmcb *vmcb = vcpu->backend->vmcb;
    bool ready = takes_event(vmcb) && (vmcb->state.rflags & RFLAGS_IF) != 0;

    set_window(vcpu->backend, WINDOW_INTERRUPT, !ready);
    if (ready) {
        vmcb->event = EVENT_VALID | EVENT_TYPE_INTERRUPT | vector;
    }
    return ready;
}

void svm_cancel_interrupt_window(struct vcpu *vcpu)
{
    set_window(vcpu->backend, WINDOW_INTERRUPT, false);
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

    set_window(backend, WINDOW_NMI, !ready && backend->nmi != NMI_BLOCKED);
    if (backend->nmi == NMI_RETURNING) {
        /* Or the window would open before the IRET is executed, again and again. */
        backend->vmcb->interrupt_state |= INTERRUPT_SHADOW;
    }
    if (ready) {
        backend->vmcb->event = EVENT_VALID | EVENT_TYPE_NMI | VECTOR_NMI;
        backend->nmi = NMI_BLOCKED;
        vmcb_intercept(backend->vmcb, SVM_EXIT_IRET, true);
    }
    return ready;
}

/*
 * An event whose delivery the exit cut short (15.7.2) is delivered again. Those that an instruction
 * causes (INT n, INT3, INTO) come again by themselves: RIP is still at it.
 */
static void requeue_event(struct vmcb *vmcb)
{
    uint64_t event = vmcb->exit_event;

    if ((event & EVENT_VALID) == 0) {
        vmcb->event = 0;
        return;
    }
    uint64_t type = event & EVENT_TYPE_MASK;
    uint8_t vector = (uint8_t)event;
    bool repeated =
        type == EVENT_TYPE_SOFTWARE || (type == EVENT_TYPE_EXCEPTION &&
                                        (vector == VECTOR_BREAKPOINT || vector == VECTOR_OVERFLOW));

    vmcb->event = repeated ? 0 : event;
}

static void follow_nmi(struct backend_vcpu *backend, uint32_t code)
{
    uint64_t rip = backend->vmcb->state.rip;

    if (code == SVM_EXIT_IRET) {
        backend->nmi = NMI_RETURNING;
        backend->iret_rip = rip;
        vmcb_intercept(backend->vmcb, SVM_EXIT_IRET, false);
    } else if (backend->nmi == NMI_RETURNING && rip != backend->iret_rip) {
        backend->nmi = NMI_ALLOWED;
    }
}

void svm_follow_exit(struct backend_vcpu *backend)
{
    uint32_t code = (uint32_t)backend->vmcb->exit_code;

    requeue_event(backend->vmcb);
    follow_nmi(backend, code);
    if (code == SVM_EXIT_VINTR) {
        set_window(backend, WINDOW_INTERRUPT | WINDOW_NMI, false);
    }
}
