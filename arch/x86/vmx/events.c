/* The events a vCPU is to take: injection, windows, and interrupts that the hardware delivers. */
#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/machine.h"
#include "arch/x86/vmx/controls.h"
#include "arch/x86/vmx/state.h"
#include "arch/x86/vmx/vmcs.h"
#include "vmm/vm.h"

static void queue_event(struct vcpu *vcpu, uint32_t event)
{
    vmcs_write(VMCS_ENTRY_EVENT, EVENT_VALID | event);
    vcpu->backend->event_queued = true;
}

void vmx_inject_exception(struct vcpu *vcpu, unsigned vector, bool has_error_code,
                          uint32_t error_code)
{
    /* Real mode has no error codes, and an entry with one fails (SDM Vol. 3C, 27.2.1.3). */
    has_error_code = has_error_code && (vmcs_read(VMCS_GUEST_CR0) & CR0_PE) != 0;
    if (has_error_code) {
        vmcs_write(VMCS_ENTRY_ERROR_CODE, error_code);
    }
    queue_event(vcpu, EVENT_TYPE_EXCEPTION | (has_error_code ? EVENT_HAS_ERROR_CODE : 0) | vector);
}

static void set_primary(struct vcpu *vcpu, uint32_t bit, bool on)
{
    struct backend_vcpu *backend = vcpu->backend;
    uint32_t value = on ? backend->primary | bit : backend->primary & ~bit;

    if (value != backend->primary) {
        vmcs_write(VMCS_PRIMARY_CONTROLS, value);
        backend->primary = value;
    }
}

bool vmx_inject_interrupt(struct vcpu *vcpu, unsigned vector)
{
    const uint64_t shadows = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;
    bool ready = !vcpu->backend->event_queued && (vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF) != 0 &&
                 (vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & shadows) == 0;

    set_primary(vcpu, PRIMARY_INTERRUPT_WINDOW, !ready);
    if (ready) {
        queue_event(vcpu, EVENT_TYPE_INTERRUPT | vector);
    }
    return ready;
}

void vmx_cancel_interrupt_window(struct vcpu *vcpu)
{
    set_primary(vcpu, PRIMARY_INTERRUPT_WINDOW, false);
}

bool vmx_inject_nmi(struct vcpu *vcpu)
{
    const uint64_t blocked = INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;
    uint64_t interruptibility = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
    bool ready = !vcpu->backend->event_queued && (interruptibility & blocked) == 0;

    if ((interruptibility & INTERRUPTIBILITY_STI) != 0) {
        /*
         * With this shadow the window may count as open (SDM Vol. 3C, 26.2): it would exit at once,
         * for ever. The other one is as long, and surely shuts it.
         */
        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
                   (interruptibility & ~(uint64_t)INTERRUPTIBILITY_STI) | INTERRUPTIBILITY_MOV_SS);
    }
    set_primary(vcpu, PRIMARY_NMI_WINDOW, !ready);
    if (ready) {
        queue_event(vcpu, EVENT_TYPE_NMI | VECTOR_NMI);
    }
    return ready;
}

void vmx_reset_events(struct vcpu *vcpu)
{
    vmcs_write(VMCS_ENTRY_EVENT, 0);
    vcpu->backend->event_queued = false;
    set_primary(vcpu, PRIMARY_INTERRUPT_WINDOW, false);
    set_primary(vcpu, PRIMARY_NMI_WINDOW, false);
    if (vcpu->backend->delivers) {
        /* The APIC's mode stays, but nothing is requested or in service any more. */
        vmcs_write(VMCS_GUEST_INTERRUPT_STATUS, 0);
    }
}

/* A vector that only the TPR holds back: the write of CR8 that lets it through must exit. */
static void set_tpr_threshold(struct vcpu *vcpu, int vector)
{
    unsigned held_by = vcpu->arch->apic.page[APIC_TPR / 4] >> 4 & 0xf;
    uint8_t threshold =
        vector >= 0 && (unsigned)vector >> 4 <= held_by ? (uint8_t)(vector >> 4) : 0;

    if (threshold != vcpu->backend->tpr_threshold) {
        vmcs_write(VMCS_TPR_THRESHOLD, threshold);
        vcpu->backend->tpr_threshold = threshold;
    }
}

void vmx_set_x2apic_mode(struct vcpu *vcpu, bool x2apic, int in_service)
{
    const uint32_t virtual_apic =
        SECONDARY_X2APIC | SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY;
    struct backend_vcpu *backend = vcpu->backend;
    const struct backend_vm *vm = vcpu->vm->backend;
    bool on = x2apic && backend->controls->virtual_apic;

    if (on == backend->delivers) {
        return;
    }
    backend->delivers = on;
    backend->secondary =
        on ? backend->secondary | virtual_apic : backend->secondary & ~virtual_apic;
    vmcs_write(VMCS_SECONDARY_CONTROLS, backend->secondary);
    vmcs_write(VMCS_MSR_BITMAP, (uintptr_t)(on ? vm->msr_bitmap_apic : vm->msr_bitmap));
    if (on) {
        set_tpr_threshold(vcpu, -1);
        vmcs_write(VMCS_GUEST_INTERRUPT_STATUS, (uint64_t)(in_service < 0 ? 0 : in_service) << 8);
        set_primary(vcpu, PRIMARY_INTERRUPT_WINDOW, false);
    }
}

/* Vectors whose trigger mode register says level: their EOI must reach the I/O APIC. */
static void update_eoi_exits(struct vcpu *vcpu)
{
    struct backend_vcpu *backend = vcpu->backend;
    const uint32_t *modes = &vcpu->arch->apic.page[APIC_TMR / 4];
    uint32_t changes = vcpu->arch->apic.mode_changes;

    if (changes == backend->mode_changes) {
        return;
    }
    backend->mode_changes = changes;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t level = (uint64_t)modes[8 * (size_t)i + 4] << 32 | modes[8 * (size_t)i];

        if (level != backend->level[i]) {
            backend->level[i] = level;
            vmcs_write(vmcs_field_after(VMCS_EOI_EXIT_BITMAP_0, i), level);
        }
    }
}

bool vmx_request_interrupt(struct vcpu *vcpu, int vector)
{
    if (!vcpu->backend->delivers) {
        set_tpr_threshold(vcpu, vector);
        return false;
    }
    /*
     * Not together with an exception: Bochs 2.7 would give the guest the interrupt at the first
     * instruction of the exception's handler, although that begins with interrupts off. The vector
     * waits in the IRR for the next exit, which is when the guest can take it.
     */
    bool later = vector >= 0 && vcpu->backend->event_queued;

    set_primary(vcpu, PRIMARY_INTERRUPT_WINDOW, later);
    if (vector >= 0) {
        uint64_t status = vmcs_read(VMCS_GUEST_INTERRUPT_STATUS);

        if (later) {
            vector = 0;
        }
        update_eoi_exits(vcpu);
        if ((status & 0xff) != (uint64_t)vector) {
            vmcs_write(VMCS_GUEST_INTERRUPT_STATUS, (status & 0xff00) | (uint64_t)vector);
        }
    }
    return true;
}

/*
 * The exit came while an event was being delivered: it is delivered again at the next entry, or
 * lost (SDM Vol. 3C, 28.2.4, 33.4.1).
 */
void vmx_requeue_event(struct vcpu *vcpu)
{
    uint32_t event = (uint32_t)vmcs_read(VMCS_VECTORING_EVENT);

    if ((event & EVENT_VALID) == 0) {
        return;
    }
    vmcs_write(VMCS_ENTRY_EVENT, event & ~EVENT_NMI_UNBLOCKED);
    if ((event & EVENT_HAS_ERROR_CODE) != 0) {
        vmcs_write(VMCS_ENTRY_ERROR_CODE, vmcs_read(VMCS_VECTORING_ERROR_CODE));
    }
    if ((event & EVENT_TYPE_MASK) >= EVENT_TYPE_SOFTWARE) {
        vmcs_write(VMCS_ENTRY_INSTRUCTION_LENGTH, vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH));
    }
    if ((event & EVENT_TYPE_MASK) == EVENT_TYPE_NMI) {
        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
                   vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & ~(uint64_t)INTERRUPTIBILITY_NMI);
    }
    vcpu->backend->event_queued = true;
}
