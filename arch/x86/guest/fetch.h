/* The instruction a vCPU is at: its bytes, and the mode that gives them their meaning. */
#ifndef ARCH_X86_GUEST_FETCH_H
#define ARCH_X86_GUEST_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include "arch/x86/guest/decode.h"
#include "arch/x86/guest/guest_paging.h"
#include "vmm/vcpu.h"

struct fetched_instruction {
    struct guest_paging paging;
    enum code_size code;
    uint8_t bytes[GUEST_FETCH_SIZE];
    size_t available; /* how many of them could be read, up to INSTRUCTION_MAX_LENGTH */
};

/* Reads the bytes at RIP as the processor would have, up to the first that is not mapped. */
void fetch_instruction(struct vcpu *vcpu, struct fetched_instruction *instruction);

#endif
