/* KVM's paravirtual EOI: a guest ends an interrupt in memory, and does not exit for it. */
#ifndef ARCH_X86_GUEST_PV_EOI_H
#define ARCH_X86_GUEST_PV_EOI_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/guest/local_apic.h"
#include "vmm/guest_memory.h"

/* Linux, Documentation/virt/kvm/x86/msr.rst. */
#define PV_EOI_MSR 0x4b564d04U

/* One vCPU's; zero after reset. Everything is for the vCPU's home CPU alone. */
struct pv_eoi {
    uint64_t msr;   /* as the guest wrote it: the word's GPA, and bit 0: enabled */
    uint8_t *word;  /* in RAM, or NULL: not enabled */
    bool offered;   /* the word's bit 0 was set at the last entry: the guest clears it for an EOI */
    uint8_t vector; /* whose EOI that is */
};

/* RDMSR and WRMSR. False: not this MSR, or a word that is misaligned or outside RAM (#GP). */
bool pv_eoi_read_msr(const struct pv_eoi *pv_eoi, uint32_t index, uint64_t *value);
bool pv_eoi_write_msr(struct pv_eoi *pv_eoi, const struct guest_memory *memory, uint32_t index,
                      uint64_t value);

/*
 * `vector`, for whose EOI nobody waits, an I/O APIC's line or another interrupt, has just gone into
 * service, and the guest is about to be entered: lets it end that in memory.
 */
void pv_eoi_offer(struct pv_eoi *pv_eoi, uint8_t vector);

/* The guest has exited: carries out the EOI if it gave one, and takes the offer back if not. */
void pv_eoi_collect(struct pv_eoi *pv_eoi, struct local_apic *apic);

#endif
