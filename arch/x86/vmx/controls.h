/* The VMX controls we use, by name: which must be there, which are used if there. */
#ifndef ARCH_X86_VMX_CONTROLS_H
#define ARCH_X86_VMX_CONTROLS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/virtualization.h"

enum control_field {
    CONTROL_PIN,
    CONTROL_PRIMARY,
    CONTROL_SECONDARY,
    CONTROL_EXIT,
    CONTROL_ENTRY,
    CONTROL_FIELDS
};

/* SDM Vol. 3C, 25.6 to 25.8. */
#define PIN_EXTERNAL_INTERRUPT (1U << 0)
#define PIN_NMI                (1U << 3)
#define PIN_VIRTUAL_NMI        (1U << 5)
#define PIN_PREEMPTION_TIMER   (1U << 6)

#define PRIMARY_INTERRUPT_WINDOW (1U << 2)
#define PRIMARY_HLT              (1U << 7)
#define PRIMARY_MWAIT            (1U << 10)
#define PRIMARY_RDPMC            (1U << 11)
#define PRIMARY_CR3_LOAD         (1U << 15)
#define PRIMARY_CR3_STORE        (1U << 16)
#define PRIMARY_TPR_SHADOW       (1U << 21)
#define PRIMARY_NMI_WINDOW       (1U << 22)
#define PRIMARY_IO_BITMAPS       (1U << 25)
#define PRIMARY_MSR_BITMAPS      (1U << 28)
#define PRIMARY_MONITOR          (1U << 29)
#define PRIMARY_SECONDARY        (1U << 31)

#define SECONDARY_EPT                (1U << 1)
#define SECONDARY_RDTSCP             (1U << 3)
#define SECONDARY_X2APIC             (1U << 4)
#define SECONDARY_VPID               (1U << 5)
#define SECONDARY_WBINVD             (1U << 6)
#define SECONDARY_UNRESTRICTED       (1U << 7)
#define SECONDARY_APIC_REGISTERS     (1U << 8)
#define SECONDARY_INTERRUPT_DELIVERY (1U << 9)
#define SECONDARY_RDRAND             (1U << 11)
#define SECONDARY_INVPCID            (1U << 12)
#define SECONDARY_RDSEED             (1U << 16)

#define EXIT_SAVE_DEBUG (1U << 2)
#define EXIT_HOST_64BIT (1U << 9)
#define EXIT_SAVE_PAT   (1U << 18)
#define EXIT_LOAD_PAT   (1U << 19)
#define EXIT_SAVE_EFER  (1U << 20)
#define EXIT_LOAD_EFER  (1U << 21)

#define ENTRY_LOAD_DEBUG (1U << 2)
#define ENTRY_IA32E      (1U << 9)
#define ENTRY_LOAD_PAT   (1U << 14)
#define ENTRY_LOAD_EFER  (1U << 15)

/* What goes into the VMCS, and what there is beyond the least. */
struct vmx_controls {
    uint32_t value[CONTROL_FIELDS];
    /* TPR shadow, x2APIC mode, register virtualisation and interrupt delivery, all four. */
    bool virtual_apic;
    bool random;              /* RDRAND and RDSEED can both be made to exit */
    uint8_t preemption_shift; /* the VMX-preemption timer counts units of 2^this ticks */
    bool ept_1g;
    bool vpid;
};

typedef uint64_t (*msr_reader)(uint32_t index);

/*
 * Works out the controls from the capability MSRs that `read` returns, reporting each required
 * one. True if all are there.
 */
bool vmx_controls_find(msr_reader read, struct vmx_controls *controls, requirement_report report,
                       void *context);

#endif
