/* The guest's local APIC: one vCPU's interrupts, inter-processor interrupts and timer. */
#ifndef ARCH_X86_GUEST_LOCAL_APIC_H
#define ARCH_X86_GUEST_LOCAL_APIC_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/guest/apic_message.h"
#include "arch/x86/guest/apic_timer.h"

/*
 * Model: SDM Vol. 3A, ch. 11, integrated local APIC, version 0x14 with six LVT entries, xAPIC and
 * x2APIC modes, TSC-deadline timer. Not offered: EOI-broadcast suppression, CMCI, moving the
 * register page.
 *
 * Who may call: what posts an interrupt (local_apic_post(), _deliver(), _dispatch()) may run on any
 * CPU at any time; everything else belongs to the vCPU's own CPU.
 *
 * Time is always the guest's TSC, handed in as `now`; it must not run backwards. The timer's input
 * clock is the TSC, divided as the divide configuration register says.
 */

/* Offsets of registers in the page; MSR 0x800 + (offset >> 4) in x2APIC mode (SDM 11.12.1.2). */
#define APIC_ID              0x020U
#define APIC_VERSION         0x030U
#define APIC_TPR             0x080U
#define APIC_PPR             0x0a0U
#define APIC_EOI             0x0b0U
#define APIC_LDR             0x0d0U
#define APIC_DFR             0x0e0U
#define APIC_SVR             0x0f0U
#define APIC_ISR             0x100U
#define APIC_TMR             0x180U
#define APIC_IRR             0x200U
#define APIC_ESR             0x280U
#define APIC_ICR             0x300U
#define APIC_ICR_HIGH        0x310U /* xAPIC only; x2APIC's ICR has 64 bits */
#define APIC_LVT_TIMER       0x320U
#define APIC_LVT_THERMAL     0x330U
#define APIC_LVT_PERFORMANCE 0x340U
#define APIC_LVT_LINT0       0x350U
#define APIC_LVT_LINT1       0x360U
#define APIC_LVT_ERROR       0x370U
#define APIC_INITIAL_COUNT   0x380U
#define APIC_CURRENT_COUNT   0x390U
#define APIC_DIVIDE          0x3e0U
#define APIC_SELF_IPI        0x3f0U /* x2APIC only */

/* SVR: software enable (SDM 11.9). */
#define APIC_SVR_ENABLE (1U << 8)

/* ESR (SDM 11.5.3). */
#define APIC_ERROR_SEND_ILLEGAL_VECTOR    (1U << 5)
#define APIC_ERROR_RECEIVE_ILLEGAL_VECTOR (1U << 6)
#define APIC_ERROR_ILLEGAL_REGISTER       (1U << 7)

/* What the local APIC tells the rest of the machine. Neither may touch this APIC's timer. */
struct local_apic_operations {
    /*
     * The guest sends an interprocessor interrupt, perhaps to itself: pass it to
     * local_apic_dispatch(). Shorthand "self" never comes here.
     */
    void (*send_ipi)(void *context, const struct apic_message *message);
    /* The EOI of a level-triggered vector, for the I/O APIC. */
    void (*eoi)(void *context, uint8_t vector);
};

/* ISR, TMR and IRR: 256 bits each, 32 in every 16 bytes of the page. */
#define APIC_VECTOR_WORDS 8

struct local_apic {
    uint32_t *page; /* the registers, 4 KiB, not owned; may be VMX's virtual-APIC page */
    const struct local_apic_operations *operations;
    void *context;     /* for the operations; not owned */
    uint64_t base;     /* IA32_APIC_BASE */
    uint32_t id;       /* x2APIC ID; below 255, so that xAPIC mode can address it */
    uint32_t errors;   /* found since the last write of the ESR; atomic */
    uint32_t nmi;      /* an NMI waits; atomic */
    uint32_t init;     /* an INIT waits; atomic */
    uint32_t start_up; /* a SIPI waits: 0x100 | vector, else 0; atomic */
    /*
     * Vectors requested since the vCPU's CPU last looked, and which of those that ever were are
     * level-triggered; atomic. Only that CPU writes the page's IRR, ISR and TMR, and not while the
     * guest runs: hardware that delivers interrupts from the page then changes them itself, and
     * without a lock (SDM Vol. 3C, 25.11.4, 30.6).
     */
    uint32_t posted[APIC_VECTOR_WORDS];
    uint32_t posted_level[APIC_VECTOR_WORDS];
    uint32_t posted_words; /* a bit for each word of `posted` that is to be looked at */
    bool requested;        /* what was posted is in the IRR, or some of it */
    uint32_t mode_changes; /* of the TMR, ever */
    struct apic_timer timer;
};

/*
 * Prepares an APIC with its page (4 KiB, aligned, owned by the caller and kept) and resets it as
 * local_apic_reset() does. `id` < 255.
 */
void local_apic_init(struct local_apic *apic, void *page, uint32_t id, bool bootstrap,
                     const struct local_apic_operations *operations, void *context);

/* Power-up state: xAPIC mode, enabled, software-disabled (SDM 11.4.7.1); nothing is pending. */
void local_apic_reset(struct local_apic *apic, bool bootstrap);

/* The state after an INIT: as power-up, but mode and ID stay (SDM 11.4.7.3, 11.12.5.1). */
void local_apic_reset_by_init(struct local_apic *apic);

/* Whether the guest uses MSRs (x2APIC) or the page (xAPIC). Both false: globally disabled. */
bool local_apic_in_x2apic_mode(const struct local_apic *apic);
bool local_apic_in_xapic_mode(const struct local_apic *apic);

/*
 * One MMIO access at `offset` (< 4 KiB) of the page, `size` 1, 2, 4 or 8 bytes. Registers are 32
 * bits wide at multiples of 16 bytes (SDM 11.4.1): what else is read is 0, what else is written is
 * ignored. Unless in xAPIC mode nothing answers: all ones. Also right for VMX's APIC-write exits,
 * when the page holds the new value already (SDM Vol. 3C, 30.4.3.2).
 */
uint64_t local_apic_read(struct local_apic *apic, uint64_t offset, unsigned size, uint64_t now);
void local_apic_write(struct local_apic *apic, uint64_t offset, unsigned size, uint64_t value,
                      uint64_t now);

/*
 * RDMSR and WRMSR of IA32_APIC_BASE, IA32_TSC_DEADLINE and MSR 0x800 to 0x8ff. False: #GP, and
 * nothing changed.
 */
bool local_apic_read_msr(struct local_apic *apic, uint32_t index, uint64_t *value, uint64_t now);
bool local_apic_write_msr(struct local_apic *apic, uint32_t index, uint64_t value, uint64_t now);

/* The task priority as CR8 has it: bits 7:4 of the TPR (SDM 11.8.6). False: #GP, reserved bits. */
uint64_t local_apic_cr8(const struct local_apic *apic);
bool local_apic_set_cr8(struct local_apic *apic, uint64_t value);

/*
 * A fixed interrupt arrives. True if the vCPU must be kicked to see it: it was not posted already.
 * Dropped while the APIC is disabled, in either way; vectors below 16 are an error (SDM 11.5.2).
 */
bool local_apic_post(struct local_apic *apic, uint8_t vector, bool level);

/* Takes a message of any delivery mode. True if the vCPU must be kicked. SMI, ExtINT: ignored. */
bool local_apic_deliver(struct local_apic *apic, const struct apic_message *message);

/* Whether the destination includes this APIC (SDM 11.6.2). */
bool local_apic_matches(const struct local_apic *apic, uint32_t destination, bool logical);

/*
 * Delivers a message to those of a VM's `count` APICs that it addresses (at most 64); lowest
 * priority goes to the one with the lowest PPR, the first among equals. `sender` is NULL unless it
 * is one of them. Returns a bit for each index whose vCPU must be kicked.
 */
uint64_t local_apic_dispatch(struct local_apic *const *apics, unsigned count,
                             const struct local_apic *sender, const struct apic_message *message);

/* Whether the highest vector in the IRR (-1: none) may go in: its class is above the PPR's. */
bool local_apic_may_deliver(const struct local_apic *apic, int vector);

/* The vector to inject now; -1: none. */
int local_apic_pending_vector(struct local_apic *apic);

/* Whether any interrupt has come that is not taken yet: cheaper than to look for the highest. */
bool local_apic_has_requests(const struct local_apic *apic);

/*
 * The processor took the vector that was to be injected: it moves from the IRR to the ISR. Returns
 * whether it is the only one there, edge-triggered, and none waits in the IRR: then nobody needs to
 * know of its EOI at once.
 */
bool local_apic_accept(struct local_apic *apic, uint8_t vector);

/* The EOI of such a vector; nothing was accepted since. */
void local_apic_eoi_alone(struct local_apic *apic, uint8_t vector);

/* The guest's EOI: ends the highest vector in service, if any. */
void local_apic_eoi(struct local_apic *apic);

/* The hardware did an EOI of `vector` in the page: tells the I/O APIC if it is level-triggered. */
void local_apic_report_eoi(struct local_apic *apic, uint8_t vector);

/* For virtual-interrupt delivery (RVI, SVI, and the PPR in the page): a vector, or -1 for none. */
int local_apic_highest_irr(struct local_apic *apic);
int local_apic_highest_isr(const struct local_apic *apic);
void local_apic_recompute_ppr(struct local_apic *apic);

/* Events that bypass the IRR: whether one waits, and taking it. take_start_up(): vector or -1. */
bool local_apic_nmi_pending(const struct local_apic *apic);
bool local_apic_take_nmi(struct local_apic *apic);
bool local_apic_take_init(struct local_apic *apic);
int local_apic_take_start_up(struct local_apic *apic);

/* The TSC at which local_apic_advance() next has an interrupt to post; UINT64_MAX for never. */
uint64_t local_apic_deadline(const struct local_apic *apic);

/* Posts the timer's interrupt if it is due at `now`; one, however many periods have passed. */
void local_apic_advance(struct local_apic *apic, uint64_t now);

#endif
