/* The VMCB and the permission maps, as a vCPU starts with them. Sections: APM Vol. 2. */
#include "arch/x86/svm/vmcb.h"

#include <string.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/cpu_policy.h"

/*
 * Exceptions that must exit: #DB and #AC can recur without end while they are delivered
 * (CVE-2015-8104, CVE-2015-5307), and #MC is the machine's, not the guest's.
 */
#define EXCEPTIONS_WATCHED                                                                         \
    (1U << VECTOR_DEBUG | 1U << VECTOR_ALIGNMENT_CHECK | 1U << VECTOR_MACHINE_CHECK)

/* 15.9: what the machine does to us, and what a guest must not do, or not by itself. */
static const uint8_t intercepted[] = {
    0x60,           /* INTR */
    0x61,           /* NMI */
    0x63,           /* INIT */
    SVM_EXIT_VINTR, /* only while a virtual interrupt is asked for */
    0x6f,           /* RDPMC */
    SVM_EXIT_CPUID,
    0x73, /* RSM */
    SVM_EXIT_INVD,
    SVM_EXIT_HLT,
    0x7a, /* INVLPGA */
    SVM_EXIT_IOIO,
    SVM_EXIT_MSR,
    0x7f, /* shutdown */
    0x80, /* VMRUN, without which VMRUN itself fails (15.5.1) */
    0x81, /* VMMCALL */
    0x82, /* VMLOAD */
    0x83, /* VMSAVE */
    0x84, /* STGI */
    0x85, /* CLGI */
    0x86, /* SKINIT */
    SVM_EXIT_WBINVD,
    0x8a, /* MONITOR */
    0x8b, /* MWAIT */
    SVM_EXIT_XSETBV,
    0x8e, /* RDPRU */
};

void vmcb_init(struct vmcb *vmcb, const struct vmcb_setup *setup)
{
    for (size_t i = 0; i < sizeof(intercepted); i++) {
        uint32_t *vector = intercepted[i] < 0x80 ? &vmcb->intercepts : &vmcb->intercepts2;

        *vector |= SVM_INTERCEPT(intercepted[i]);
    }
    vmcb->cr_writes = SVM_INTERCEPT(SVM_EXIT_CR4_WRITE - SVM_EXIT_CR_WRITE);
    vmcb->exceptions = EXCEPTIONS_WATCHED;
    vmcb->iopm = setup->iopm;
    vmcb->msrpm = setup->msrpm;
    vmcb->asid = setup->asid;
    vmcb->virtual_interrupt = VIRTUAL_INTR_MASKING;
    vmcb->nested_control = 1;
    vmcb->nested_cr3 = setup->nested_cr3;
}

void vmcb_start(struct vmcb *vmcb, const struct vcpu_start *start)
{
    const uint16_t code = 0xa9b; /* 64-bit, present, execute/read, accessed */
    const uint16_t data = 0xc93; /* 32-bit, 4 KiB units, present, read/write, accessed */
    const uint16_t busy_task = 0x8b;
    struct vmcb_state *state = &vmcb->state;

    memset(state, 0, sizeof(*state));
    state->gdtr.base = start->gdt_base;
    state->gdtr.limit = start->gdt_limit;
    state->tr.attributes = busy_task;
    state->tr.limit = 0x67;
    state->efer = EFER_LME | EFER_LMA | EFER_SVME;
    state->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    state->cr3 = start->cr3;
    state->cr4 = CR4_PAE;
    state->dr6 = 0xffff0ff0;
    state->dr7 = 0x400;
    state->rflags = RFLAGS_FIXED;
    state->rip = start->rip;
    state->rsp = start->rsp;
    state->pat = PAT_RESET;
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++) {
        state->segments[i] = (struct vmcb_segment){
            .selector = i == SEGMENT_CS ? start->code_selector : start->data_selector,
            .attributes = i == SEGMENT_CS ? code : data,
            .limit = UINT32_MAX,
        };
    }
    vmcb->event = 0;
    vmcb->interrupt_state = 0;
    vmcb->clean = 0;
}

uint16_t vmcb_pack_attributes(uint16_t attributes)
{
    return (uint16_t)((attributes & 0xff) | (attributes >> 4 & 0xf00));
}

uint16_t vmcb_unpack_attributes(uint16_t packed)
{
    return (uint16_t)((packed & 0xff) | (packed & 0xf00) << 4);
}

/* 15.11: 2 KiB for each range of 0x2000 MSRs; two bits for each, reads below writes. */
void msrpm_pass(void *map, uint32_t index, unsigned rights)
{
    static const uint32_t ranges[] = {0, 0xc0000000, 0xc0010000};
    uint8_t *bytes = map;

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (index - ranges[i] < 0x2000 && index != MSR_EFER) {
            unsigned bit = 2 * (index - ranges[i]);
            unsigned cleared = ((rights & MSR_PASS_READ) != 0 ? 1U : 0) |
                               ((rights & MSR_PASS_WRITE) != 0 ? 2U : 0);

            bytes[0x800 * i + bit / 8] &= (uint8_t) ~(cleared << bit % 8);
        }
    }
}
