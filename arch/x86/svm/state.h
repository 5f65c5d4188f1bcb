/* What SVM keeps for a VM and for a vCPU. */
#ifndef ARCH_X86_SVM_STATE_H
#define ARCH_X86_SVM_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu/page_table.h"
#include "arch/x86/svm/vmcb.h"
#include "vmm/vcpu.h"
#include "vmm/virtualization.h"

struct backend_vm {
    struct page_table nested;
    uint8_t *iopm;  /* IOPM_SIZE */
    uint8_t *msrpm; /* MSRPM_SIZE */
};

/* What there is beyond the least; the same on all of the machine's CPUs. */
struct svm_abilities {
    bool next_rip;
    bool decode_assists;
    bool flush_by_asid;
    uint32_t asids; /* 0 is the host's */
};

/* The hardware tells nobody when the guest's NMI handler has ended: its IRET exits for that. */
enum nmi_state {
    NMI_ALLOWED,
    NMI_BLOCKED,   /* until the guest executes IRET, which exits */
    NMI_RETURNING, /* until it is past that IRET, which no longer exits */
};

/*
 * Who waits for a window: as long as anybody does, a virtual interrupt is pending, which exits.
 * One that is pending while nobody does is an interrupt of the guest's.
 */
#define WINDOW_INTERRUPT 1U
#define WINDOW_NMI       2U

struct backend_vcpu {
    struct vmcb *vmcb;
    void *host; /* a VMCB of which only what VMLOAD and VMSAVE keep is used: this CPU's own */
    const struct svm_abilities *abilities;
    enum nmi_state nmi;
    uint64_t iret_rip; /* of the IRET, while NMI_RETURNING */
    uint8_t windows;
};

/*
 * The operations on a vCPU that are no more than reads and writes of its VMCB; the table of
 * vmm/virtualization.h says what they do. Its start and its registers (vcpu.c):
 */
void svm_vcpu_start(struct vcpu *vcpu, const struct vcpu_start *start);
void svm_vcpu_start_up(struct vcpu *vcpu, uint8_t vector);
uint64_t svm_get(struct vcpu *vcpu, enum vcpu_register name);
void svm_set(struct vcpu *vcpu, enum vcpu_register name, uint64_t value);
void svm_get_segment(struct vcpu *vcpu, enum segment_name name, struct segment *segment);
bool svm_update_code(struct vcpu *vcpu, struct code_state *code);
void svm_skip(struct vcpu *vcpu, uint64_t rip);
void svm_dump(struct vcpu *vcpu);

/* What it is to take (events.c). */
void svm_inject_exception(struct vcpu *vcpu, unsigned vector, bool has_error_code,
                          uint32_t error_code);
bool svm_inject_interrupt(struct vcpu *vcpu, unsigned vector);
bool svm_inject_nmi(struct vcpu *vcpu);
void svm_cancel_interrupt_window(struct vcpu *vcpu);
bool svm_request_interrupt(struct vcpu *vcpu, int vector);

/* Before each entry and after each exit: how an interrupt that is the VMCB's event goes in. */
void svm_offer_interrupt(struct backend_vcpu *backend);
void svm_withdraw_interrupt(struct backend_vcpu *backend);

/*
 * What the exit that the VMCB describes means for events: one whose delivery it cut short is
 * delivered again, and a window that it opened is not waited for any more.
 */
void svm_follow_exit(struct backend_vcpu *backend);

/* No NMI is being handled, and nobody waits for a window. */
void svm_reset_events(struct backend_vcpu *backend);

/* Whether an exit code below SVM_EXIT_CODES is intercepted from a vCPU's start on (exit.c). */
bool svm_always_exits(uint32_t code);

/* Turns the exit that the VMCB describes into its neutral form (exit.c). */
void svm_translate_exit(struct vcpu *vcpu, struct vm_exit *exit);

#endif
