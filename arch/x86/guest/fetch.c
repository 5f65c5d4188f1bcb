/* Fetches the instruction that exited, for those that must be decoded. */
#include "arch/x86/guest/fetch.h"

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/machine.h"
#include "vmm/vm.h"

/* SDM Vol. 3A, 3.4.5: CS.L (attribute bit 13) and CS.D (bit 14). */
static enum code_size code_size(const struct segment *cs, uint64_t efer)
{
    if ((efer & EFER_LMA) != 0 && (cs->attributes & 1U << 13) != 0) {
        return CODE_64_BIT;
    }
    return (cs->attributes & 1U << 14) != 0 ? CODE_32_BIT : CODE_16_BIT;
}

void fetch_instruction(struct vcpu *vcpu, struct fetched_instruction *instruction)
{
    struct segment cs;

    vcpu->vm->virtualization->get_segment(vcpu, SEGMENT_CS, &cs);
    instruction->paging = (struct guest_paging){
        .cr0 = vcpu_get(vcpu, REGISTER_CR0),
        .cr3 = vcpu_get(vcpu, REGISTER_CR3),
        .cr4 = vcpu_get(vcpu, REGISTER_CR4),
        .efer = vcpu_get(vcpu, REGISTER_EFER),
    };
    instruction->code = code_size(&cs, instruction->paging.efer);
    uint64_t linear = vcpu_get(vcpu, REGISTER_RIP);

    if (instruction->code != CODE_64_BIT) {
        linear = (uint32_t)(linear + cs.base);
    }
    instruction->available =
        guest_fetch_again(&vcpu->vm->memory, &instruction->paging, &vcpu->arch->last_fetch, linear,
                          instruction->bytes, sizeof(instruction->bytes));
}
