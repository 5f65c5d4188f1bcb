/* What VMX keeps for a VM and for a vCPU. */
#ifndef ARCH_X86_VMX_STATE_H
#define ARCH_X86_VMX_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu/page_table.h"
#include "arch/x86/cpu/registers.h"
#include "arch/x86/vmx/controls.h"
#include "vmm/vcpu.h"
#include "vmm/virtualization.h"

struct backend_vm {
    struct page_table ept;
    uint8_t *io_bitmaps;      /* A and B: 8 KiB */
    uint8_t *msr_bitmap;      /* 4 KiB */
    uint8_t *msr_bitmap_apic; /* the same while the hardware runs the guest's x2APIC */
};

/*
 * CR4 bits that are 1 whatever the guest has: without MCE a machine check would shut the CPU down
 * instead of leading to an exit (SDM Vol. 3B, 16.3.1).
 */
#define VMX_CR4_FORCED (CR4_VMXE | CR4_MCE)

/* MSRs that a guest has for itself and the VMCS does not hold. */
#define VMX_RESIDENT_MSRS 5

struct backend_vcpu {
    void *vmcs;
    const struct vmx_controls *controls; /* the machine's */
    uint64_t cr2;                        /* this and the next two: while another vCPU has the CPU */
    uint64_t dr6;
    uint64_t msrs[VMX_RESIDENT_MSRS];
    uint64_t spec_ctrl; /* the guest's, while it does not run; only with DEFENCE_RESTRICT */
    bool launched;
    bool turn_limited;     /* the VMX-preemption timer is on */
    bool event_queued;     /* the entry-event field is set for the next entry */
    bool delivers;         /* the hardware delivers interrupts from the APIC page */
    uint32_t primary;      /* what VMCS_PRIMARY_CONTROLS holds */
    uint32_t secondary;    /* what VMCS_SECONDARY_CONTROLS holds */
    uint8_t tpr_threshold; /* what VMCS_TPR_THRESHOLD holds */
    uint64_t level[4];     /* vectors whose EOI must exit: what the EOI-exit bitmaps hold */
    uint32_t mode_changes; /* the APIC's count of changes of the TMR that they know of */
    uint64_t cr0_forced;   /* CR0 bits that are 1 whatever the guest has */
    uint64_t cr4_allowed;  /* CR4 bits the guest may set */
};

/*
 * The operations on a vCPU that the table of vmm/virtualization.h describes. Its start, its
 * registers and what the CPU holds of it (vcpu.c):
 */
void vmx_load(struct vcpu *vcpu);
void vmx_unload(struct vcpu *vcpu);
void vmx_vcpu_start(struct vcpu *vcpu, const struct vcpu_start *start);
void vmx_vcpu_start_up(struct vcpu *vcpu, uint8_t vector);
uint64_t vmx_get(struct vcpu *vcpu, enum vcpu_register name);
void vmx_set(struct vcpu *vcpu, enum vcpu_register name, uint64_t value);
void vmx_get_segment(struct vcpu *vcpu, enum segment_name name, struct segment *segment);
bool vmx_update_code(struct vcpu *vcpu, struct code_state *code);
void vmx_skip(struct vcpu *vcpu, uint64_t rip);
void vmx_dump(struct vcpu *vcpu);

/* What it is to take (events.c). */
void vmx_inject_exception(struct vcpu *vcpu, unsigned vector, bool has_error_code,
                          uint32_t error_code);
bool vmx_inject_interrupt(struct vcpu *vcpu, unsigned vector);
bool vmx_inject_nmi(struct vcpu *vcpu);
void vmx_cancel_interrupt_window(struct vcpu *vcpu);
void vmx_set_x2apic_mode(struct vcpu *vcpu, bool x2apic, int in_service);
bool vmx_request_interrupt(struct vcpu *vcpu, int vector);

/* Nothing is to be taken, and nobody waits for a window: as after the APIC's reset. */
void vmx_reset_events(struct vcpu *vcpu);

/* After each exit: an event whose delivery it cut short is delivered again at the next entry. */
void vmx_requeue_event(struct vcpu *vcpu);

/* Turns the exit that just happened into its neutral form (exit.c). */
void vmx_translate_exit(struct vcpu *vcpu, struct vm_exit *exit);

#endif
