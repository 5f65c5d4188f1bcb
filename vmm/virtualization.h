/* The line between the neutral core and the hardware: what VMX and SVM each implement. */
#ifndef VMM_VIRTUALIZATION_H
#define VMM_VIRTUALIZATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/arena.h"
#include "vmm/exit.h"
#include "vmm/vcpu.h"

/* Registers that the hardware keeps and that the core or the guest's machine must see or change. */
enum vcpu_register {
    REGISTER_RIP,
    REGISTER_RSP,
    REGISTER_RFLAGS,
    REGISTER_CR0,
    REGISTER_CR3,
    REGISTER_CR4,
    REGISTER_EFER,
};

enum segment_name { SEGMENT_ES, SEGMENT_CS, SEGMENT_SS, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS };

/* A segment as the processor caches it. */
struct segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    /* Bits 8-15 and 20-23 of a descriptor's upper half, at bits 0-7 and 12-15 (SDM 3A, 3.4.5). */
    uint16_t attributes;
};

/* What finding and reading the next instruction takes. */
struct code_state {
    uint64_t rip;
    uint64_t cr0;
    uint64_t cr3;
    uint64_t cr4;
    uint64_t efer;
    uint64_t cs_base;
    uint64_t cs_attributes; /* as in struct segment */
};

/* Flat segments in both: with the caller's page tables, or in protected mode without paging. */
enum vcpu_start_mode { START_64_BIT, START_32_BIT };

/* Where and how a vCPU starts. Registers that are not named are 0. */
struct vcpu_start {
    enum vcpu_start_mode mode;
    uint64_t rip;
    uint64_t rsp;
    uint64_t rax;
    uint64_t rbx;
    uint64_t rsi;
    uint64_t rdi;
    uint64_t cr3; /* for 64 bits */
    uint64_t gdt_base;
    uint16_t gdt_limit;
    uint16_t code_selector;
    uint16_t data_selector;
};

/*
 * Told of each thing the machine must have: what it is called in the manuals, whether it is there,
 * and, if not, what a person can do about it.
 */
typedef void (*requirement_report)(void *context, const char *name, bool present,
                                   const char *remedy);

/* Rights of a nested mapping. Guests may always execute what they may read. */
#define MAP_READ  1U
#define MAP_WRITE 2U

/* Instructions that a guest may be shown in CPUID only if the hardware lets it execute them... */
#define GUEST_HAS_RDTSCP  (1U << 0)
#define GUEST_HAS_INVPCID (1U << 1)
/* ... or only where they are sound; these are not the backend's to say. */
#define GUEST_HAS_RDRAND (1U << 2)
#define GUEST_HAS_RDSEED (1U << 3)

/* Replaces a value that is known. Returns 0 if it is the same, as their bitwise difference. */
static inline uint64_t update_value(uint64_t *known, uint64_t value)
{
    uint64_t difference = *known ^ value;

    *known = value;
    return difference;
}

struct virtualization {
    const char *name;

    /* Whether CPUID announces it at all. */
    bool (*supported)(void);

    /* Reports every requirement on this CPU, in order. */
    void (*requirements)(requirement_report report, void *context);

    /* The GUEST_HAS_ bits of the first kind that hold here. Valid after requirements(). */
    unsigned (*guest_instructions)(void);

    /* Whether a guest's RDRAND and RDSEED can be made to exit. Valid after requirements(). */
    bool (*traps_random)(void);

    /*
     * Bytes of the largest page that map() may use: a guest's tables have 8 bytes for each. Valid
     * after requirements().
     */
    uint64_t (*largest_page)(void);

    /*
     * Turns it on for this CPU, with one page from `arena` kept until disable(). False, with a
     * line in the log, if the hardware refuses.
     */
    bool (*enable)(struct arena *arena);
    void (*disable)(void);

    /* Gives a VM its nested page tables and permission maps. False if the arena is exhausted. */
    bool (*vm_create)(struct vm *vm, struct arena *arena);

    /*
     * Maps [gpa, gpa + size) to the hypervisor's [hva, hva + size), with the largest pages that
     * largest_page() and alignment allow. All three are multiples of 4 KiB. False if tables run
     * out.
     */
    bool (*map)(struct vm *vm, uint64_t gpa, const void *hva, uint64_t size, unsigned rights,
                struct arena *arena);

    /* Gives a vCPU its hardware state. Runs on the vCPU's home CPU. False if the arena is empty. */
    bool (*vcpu_create)(struct vcpu *vcpu, struct arena *arena);

    /*
     * Makes a vCPU the one whose state is in this CPU, its home; until unload() all that follows is
     * for no other. unload() puts away what is left of it in the CPU.
     */
    void (*load)(struct vcpu *vcpu);
    void (*unload)(struct vcpu *vcpu);

    /* Puts a vCPU at its start, whatever it did before. */
    void (*vcpu_start)(struct vcpu *vcpu, const struct vcpu_start *start);

    /*
     * Puts a vCPU where a start-up interrupt with `vector` starts it: real mode, at page `vector`
     * (SDM Vol. 3A, 9.4.4).
     */
    void (*vcpu_start_up)(struct vcpu *vcpu, uint8_t vector);

    /*
     * Runs the guest until its next exit, and says why in `exit`, where an earlier one may still
     * stand: its kind and RIP, what belongs to that kind, and the instruction's length. Hardware
     * that can count the time itself exits at vcpu->turn_end at the latest, with
     * EXIT_HOST_INTERRUPT.
     */
    void (*run)(struct vcpu *vcpu, struct vm_exit *exit);

    uint64_t (*get)(struct vcpu *vcpu, enum vcpu_register name);
    void (*set)(struct vcpu *vcpu, enum vcpu_register name, uint64_t value);
    void (*get_segment)(struct vcpu *vcpu, enum segment_name name, struct segment *segment);

    /*
     * Brings up to date what is known of the next instruction: for each exit that is decoded.
     * Returns whether anything of it was different.
     */
    bool (*update_code)(struct vcpu *vcpu, struct code_state *code);

    /* Moves past the instruction that exited, to `rip`, and ends its shadows. */
    void (*skip)(struct vcpu *vcpu, uint64_t rip);

    /* Makes the guest take an exception at its next entry. */
    void (*inject_exception)(struct vcpu *vcpu, unsigned vector, bool has_error_code,
                             uint32_t error_code);

    /*
     * Makes the guest take an interrupt at its next entry. False if it cannot now: then the guest
     * exits with EXIT_INTERRUPT_WINDOW as soon as it can.
     */
    bool (*inject_interrupt)(struct vcpu *vcpu, unsigned vector);
    bool (*inject_nmi)(struct vcpu *vcpu);

    /* No interrupt is waiting any more: an EXIT_INTERRUPT_WINDOW asked for is not needed. */
    void (*cancel_interrupt_window)(struct vcpu *vcpu);

    /*
     * The guest's local APIC went into or out of x2APIC mode. Hardware that can deliver interrupts
     * from the APIC's register page starts or stops to do so; `in_service` is the highest vector
     * in service, or -1.
     */
    void (*set_x2apic_mode)(struct vcpu *vcpu, bool x2apic, int in_service);

    /*
     * Offers the highest requested vector (-1: none) to hardware that delivers interrupts itself.
     * False if this vCPU's does not: then inject_interrupt() is the way.
     */
    bool (*request_interrupt)(struct vcpu *vcpu, int vector);

    /* Logs the hardware's view of a vCPU, for crash reports. */
    void (*dump)(struct vcpu *vcpu);
};

#endif
