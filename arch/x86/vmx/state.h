/* What VMX keeps for a VM and for a vCPU. */
#ifndef ARCH_X86_VMX_STATE_H
#define ARCH_X86_VMX_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu/page_table.h"
#include "vmm/vcpu.h"

struct backend_vm {
    struct page_table ept;
    uint8_t *io_bitmaps;      /* A and B: 8 KiB */
    uint8_t *msr_bitmap;      /* 4 KiB */
    uint8_t *msr_bitmap_apic; /* the same while the hardware runs the guest's x2APIC */
};

/* MSRs that a guest has for itself and the VMCS does not hold. */
#define VMX_RESIDENT_MSRS 5

struct backend_vcpu {
    void *vmcs;
    uint64_t cr2; /* this and the next two: while another vCPU has the CPU */
    uint64_t dr6;
    uint64_t msrs[VMX_RESIDENT_MSRS];
    bool launched;
    bool turn_limited;     /* the VMX-preemption timer is on */
    bool event_queued;     /* the entry-event field is set for the next entry */
    bool delivers;         /* the hardware delivers interrupts from the APIC page */
    uint32_t primary;      /* what VMCS_PRIMARY_CONTROLS holds */
    uint32_t secondary;    /* what VMCS_SECONDARY_CONTROLS holds */
    uint8_t tpr_threshold; /* what VMCS_TPR_THRESHOLD holds */
    uint64_t level[4];     /* vectors whose EOI must exit: what the EOI-exit bitmaps hold */
    uint32_t mode_changes; /* the APIC's count of changes of the TMR that they know of */
    uint64_t cr4_allowed;  /* CR4 bits the guest may set */
};

/* Turns the exit that just happened into its neutral form (exit.c). */
void vmx_translate_exit(struct vcpu *vcpu, struct vm_exit *exit);

#endif
