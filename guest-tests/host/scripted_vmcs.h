/* A VMCS that is played: what the code under test reads and writes instead of the processor's. */
#ifndef GUEST_TESTS_HOST_SCRIPTED_VMCS_H
#define GUEST_TESTS_HOST_SCRIPTED_VMCS_H

#include <stdint.h>

#include "arch/x86/vmx/vmcs.h"

/* Its fields, by their encoding. */
static uint64_t vmcs[0x7000];

/* How often any was written: on the machine each is a slow instruction. */
static unsigned vmcs_writes;

uint64_t vmcs_read(enum vmcs_field field)
{
    return vmcs[field];
}

void vmcs_write(enum vmcs_field field, uint64_t value)
{
    vmcs[field] = value;
    vmcs_writes++;
}

#endif
