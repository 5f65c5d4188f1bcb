/* The VMCB and the permission maps, as a vCPU starts with them. Sections: APM Vol. 2. */
#include "arch/x86/svm/vmcb.h"

#include <string.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/cpu_policy.h"

void vmcb_init(struct vmcb *vmcb, const struct vmcb_setup *setup)
{
    vmcb->iopm = setup->iopm;
    vmcb->msrpm = setup->msrpm;
    vmcb->asid = setup->asid;
    vmcb->virtual_interrupt = VIRTUAL_INTR_MASKING;
    vmcb->nested_control = 1;
    vmcb->nested_cr3 = setup->nested_cr3;
}

/* What both ways to start have in common: the state after INIT (APM Vol. 2, 14.1.3). */
static void reset_state(struct vmcb *vmcb)
{
    const uint16_t busy_task = 0x8b;
    struct vmcb_state *state = &vmcb->state;

    memset(state, 0, sizeof(*state));
    state->gdtr.limit = 0xffff;
    state->idtr.limit = 0xffff;
    state->tr.attributes = busy_task;
    state->tr.limit = 0x67;
    state->efer = EFER_SVME;
    state->cr4 = VMCB_CR4_FORCED;
    state->dr6 = DR6_RESET;
    state->dr7 = 0x400;
    state->rflags = RFLAGS_FIXED;
    state->pat = PAT_RESET;
    vmcb->event = 0;
    vmcb->interrupt_state = 0;
    vmcb->clean = 0;
}

void vmcb_start(struct vmcb *vmcb, const struct vcpu_start *start)
{
    const bool wide = start->mode == START_64_BIT;
    /* Both 4 KiB units, present, execute/read and accessed; 64-bit or 32-bit. */
    const uint16_t code = wide ? 0xa9b : 0xc9b;
    const uint16_t data = 0xc93; /* 32-bit, 4 KiB units, present, read/write, accessed */
    struct vmcb_state *state = &vmcb->state;

    reset_state(vmcb);
    state->gdtr.base = start->gdt_base;
    state->gdtr.limit = start->gdt_limit;
    state->cr0 = CR0_PE | CR0_ET;
    if (wide) {
        state->efer |= EFER_LME | EFER_LMA;
        state->cr0 |= CR0_NE | CR0_WP | CR0_PG;
        state->cr3 = start->cr3;
        state->cr4 |= CR4_PAE;
    }
    state->rip = start->rip;
    state->rsp = start->rsp;
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++) {
        state->segments[i] = (struct vmcb_segment){
            .selector = i == SEGMENT_CS ? start->code_selector : start->data_selector,
            .attributes = i == SEGMENT_CS ? code : data,
            .limit = UINT32_MAX,
        };
    }
}

void vmcb_start_up(struct vmcb *vmcb, uint8_t vector)
{
    const uint16_t code = 0x9b; /* 16-bit, present, execute/read, accessed */
    const uint16_t data = 0x93; /* 16-bit, present, read/write, accessed */
    struct vmcb_state *state = &vmcb->state;

    reset_state(vmcb);
    state->cr0 = CR0_ET | CR0_CD | CR0_NW;
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++) {
        state->segments[i] = (struct vmcb_segment){
            .attributes = i == SEGMENT_CS ? code : data,
            .limit = 0xffff,
        };
    }
    state->segments[SEGMENT_CS].selector = (uint16_t)(vector << 8);
    state->segments[SEGMENT_CS].base = (uint64_t)vector << 12;
}

void vmcb_intercept(struct vmcb *vmcb, uint32_t code, bool on)
{
    uint32_t *word = &vmcb->intercepts[code / 32];
    uint32_t bit = 1U << code % 32;

    if (((*word & bit) != 0) != on) {
        *word ^= bit;
        vmcb->clean &= ~CLEAN_INTERCEPTS;
    }
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
