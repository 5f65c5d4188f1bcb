/* The instruction a vCPU is at: its bytes, the mode that gives them their meaning, what they say.
 */
#ifndef ARCH_X86_GUEST_FETCH_H
#define ARCH_X86_GUEST_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/x86/guest/decode.h"
#include "arch/x86/guest/guest_paging.h"
#include "vmm/virtualization.h"

struct fetched_instruction {
    struct guest_paging paging;
    enum code_size code;
    uint8_t bytes[INSTRUCTION_MAX_LENGTH];
    uint8_t available;            /* how many of them could be read */
    struct mmio_instruction mmio; /* what they do to memory; length 0 if mmio_decode() refuses */
};

/* An instruction, and all that it was read by and from; the guest changes none of that unseen. */
struct fetch_row {
    bool kept;               /* whether the row is of any use */
    struct code_state state; /* of the vCPU */
    struct guest_walk walk;
    const uint8_t *memory; /* where the bytes are, in RAM */
    uint64_t pair[2];      /* as they were read */
    struct fetched_instruction instruction;
};

/* What a vCPU keeps: drivers come back to few instructions. All zero to begin with. */
#define FETCH_ROWS 8

struct fetch_rows {
    struct fetch_row rows[FETCH_ROWS];
    unsigned next; /* row to be given up */
};

/*
 * Reads the bytes at RIP, which is `rip`, as the processor would have, up to the first that is not
 * mapped, and decodes them. What is returned is as a fresh reading would be; it stays until the
 * next call.
 */
const struct fetched_instruction *fetch_instruction(struct vcpu *vcpu, uint64_t rip);

#endif
