/* The VMCB and the permission maps: their layout (APM Vol. 2, appendix B), and how they start. */
#ifndef ARCH_X86_SVM_VMCB_H
#define ARCH_X86_SVM_VMCB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/x86/cpu/registers.h"
#include "vmm/virtualization.h"

/* Attributes are bits 8-15 and 20-23 of a descriptor's upper half, packed at bits 0-11. */
struct vmcb_segment {
    uint16_t selector;
    uint16_t attributes;
    uint32_t limit;
    uint64_t base;
};

#define VMCB_SEGMENT_LONG (1U << 9) /* CS.L */

/*
 * CR4 bits that are 1 whatever the guest writes: without MCE a machine check would shut it down
 * instead of leading to an exit (APM Vol. 2, 9.3.2). There is no mask to hide them from reads.
 */
#define VMCB_CR4_FORCED CR4_MCE

/* The state save area (table B-2). VMLOAD and VMSAVE keep what is marked; VMRUN the rest. */
struct vmcb_state {
    struct vmcb_segment segments[6]; /* by enum segment_name; FS and GS: VMLOAD */
    struct vmcb_segment gdtr;
    struct vmcb_segment ldtr; /* VMLOAD */
    struct vmcb_segment idtr;
    struct vmcb_segment tr; /* VMLOAD */
    uint8_t reserved1[43];
    uint8_t cpl;
    uint8_t reserved2[4];
    uint64_t efer;
    uint8_t reserved3[112];
    uint64_t cr4;
    uint64_t cr3;
    uint64_t cr0;
    uint64_t dr7;
    uint64_t dr6;
    uint64_t rflags;
    uint64_t rip;
    uint8_t reserved4[88];
    uint64_t rsp;
    uint8_t reserved5[24];
    uint64_t rax;
    uint64_t vmload[8]; /* STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE, SYSENTER_CS, _ESP, _EIP */
    uint64_t cr2;
    uint8_t reserved6[32];
    uint64_t pat;
    uint8_t reserved7[0xc00 - 0x270];
};

struct vmcb {
    /* The control area (table B-1). */
    uint32_t intercepts[5]; /* a bit for each exit code from 0 on */
    uint8_t reserved1[0x40 - 0x14];
    uint64_t iopm;
    uint64_t msrpm;
    uint64_t tsc_offset;
    uint32_t asid;
    uint32_t tlb_control;
    uint64_t virtual_interrupt;
    uint64_t interrupt_state;
    uint64_t exit_code;
    uint64_t exit_info1;
    uint64_t exit_info2;
    uint64_t exit_event; /* EXITINTINFO */
    uint64_t nested_control;
    uint8_t reserved2[0xa8 - 0x98];
    uint64_t event; /* EVENTINJ */
    uint64_t nested_cr3;
    uint64_t lbr_control;
    uint32_t clean;
    uint32_t reserved3;
    uint64_t next_rip;
    uint8_t reserved4[0x400 - 0xd0];
    struct vmcb_state state;
};

_Static_assert(sizeof(struct vmcb) == 0x1000, "a VMCB is a page");
_Static_assert(offsetof(struct vmcb, iopm) == 0x040, "table B-1");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x070, "table B-1");
_Static_assert(offsetof(struct vmcb, event) == 0x0a8, "table B-1");
_Static_assert(offsetof(struct vmcb, next_rip) == 0x0c8, "table B-1");
_Static_assert(offsetof(struct vmcb, state.cpl) == 0x400 + 0x0cb, "table B-2");
_Static_assert(offsetof(struct vmcb, state.cr4) == 0x400 + 0x148, "table B-2");
_Static_assert(offsetof(struct vmcb, state.rsp) == 0x400 + 0x1d8, "table B-2");
_Static_assert(offsetof(struct vmcb, state.rax) == 0x400 + 0x1f8, "table B-2");
_Static_assert(offsetof(struct vmcb, state.pat) == 0x400 + 0x268, "table B-2");

/* Exit codes (appendix C) that more than one place names. */
#define SVM_EXIT_CR_WRITE  0x010U /* of CR0; the others follow */
#define SVM_EXIT_CR4_WRITE 0x014U
#define SVM_EXIT_CR8_WRITE 0x018U
#define SVM_EXIT_VINTR     0x064U
#define SVM_EXIT_CPUID     0x072U
#define SVM_EXIT_IRET      0x074U
#define SVM_EXIT_IOIO      0x07bU
#define SVM_EXIT_MSR       0x07cU
#define SVM_EXIT_XSETBV    0x08dU
#define SVM_EXIT_NPF       0x400U

#define SVM_EXIT_CODES 0x0a0U /* that have an intercept bit */

#define TLB_FLUSH_NOTHING 0U
#define TLB_FLUSH_ALL     1U
#define TLB_FLUSH_ASID    3U /* needs flush-by-ASID */

/* Virtual interrupt control, offset 0x60. */
#define VIRTUAL_TPR          0x0fULL
#define VIRTUAL_IRQ          (1ULL << 8)
#define VIRTUAL_IRQ_PRIORITY (15ULL << 16)
#define VIRTUAL_IGNORE_TPR   (1ULL << 20)
#define VIRTUAL_INTR_MASKING (1ULL << 24)
#define VIRTUAL_VECTOR_SHIFT 32

#define INTERRUPT_SHADOW 1ULL

/* EVENTINJ and EXITINTINFO (15.20): vector, type, whether there is an error code, which is above.
 */
#define EVENT_VALID          (1ULL << 31)
#define EVENT_HAS_ERROR_CODE (1ULL << 11)
#define EVENT_TYPE_MASK      (7ULL << 8)
#define EVENT_TYPE_INTERRUPT (0ULL << 8)
#define EVENT_TYPE_NMI       (2ULL << 8)
#define EVENT_TYPE_EXCEPTION (3ULL << 8)
#define EVENT_TYPE_SOFTWARE  (4ULL << 8)

/* VMCB clean bits (15.15.3): what the processor may have kept since the last exit. */
#define CLEAN_INTERCEPTS        (1U << 0)
#define CLEAN_VIRTUAL_INTERRUPT (1U << 3)
#define CLEAN_CONTROL_REGISTERS (1U << 5)
#define CLEAN_DEBUG_REGISTERS   (1U << 6)
#define CLEAN_ALL               0x7ffU

#define VECTOR_ALIGNMENT_CHECK 17

#define IOPM_SIZE  0x3000U /* 15.10.1 */
#define MSRPM_SIZE 0x2000U /* 15.11 */

/* What a VMCB is made of; physical addresses of pages that outlive it. */
struct vmcb_setup {
    uint64_t iopm;
    uint64_t msrpm;
    uint64_t nested_cr3;
    uint32_t asid;
};

/* Fills in the control area of a zeroed VMCB. */
void vmcb_init(struct vmcb *vmcb, const struct vmcb_setup *setup);

/* Sets the state save area to `start`; registers that it does not name are as after reset. */
void vmcb_start(struct vmcb *vmcb, const struct vcpu_start *start);

/* The same for a start-up interrupt with `vector`: real mode, at that page (APM Vol. 2, 16.5). */
void vmcb_start_up(struct vmcb *vmcb, uint8_t vector);

/* Makes what has this exit code (below SVM_EXIT_CODES) exit, or not. */
void vmcb_intercept(struct vmcb *vmcb, uint32_t code, bool on);

/* Between the VMCB's packing of a segment's attributes and that of struct segment. */
uint16_t vmcb_pack_attributes(uint16_t attributes);
uint16_t vmcb_unpack_attributes(uint16_t packed);

/*
 * Lets the MSR_PASS_ accesses to an MSR reach the hardware, in a map of MSRPM_SIZE that is all ones
 * at first. EFER, whose SVME bit is ours, and MSRs outside the map's three ranges always exit.
 */
void msrpm_pass(void *map, uint32_t index, unsigned rights);

#endif
