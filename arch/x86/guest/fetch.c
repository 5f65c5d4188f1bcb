/* Fetches the instruction that exited, for those that must be decoded. */
#include "arch/x86/guest/fetch.h"

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/machine.h"
#include "vmm/vm.h"

/* SDM Vol. 3A, 3.4.5: CS.L (attribute bit 13) and CS.D (bit 14). */
static enum code_size code_size(const struct code_state *code)
{
    if ((code->efer & EFER_LMA) != 0 && (code->cs_attributes & 1U << 13) != 0) {
        return CODE_64_BIT;
    }
    return (code->cs_attributes & 1U << 14) != 0 ? CODE_32_BIT : CODE_16_BIT;
}

void fetch_instruction(struct vcpu *vcpu, struct fetched_instruction *instruction)
{
    struct code_state code;

    vcpu->vm->virtualization->get_code(vcpu, &code);
    instruction->paging = (struct guest_paging){
        .cr0 = code.cr0,
        .cr3 = code.cr3,
        .cr4 = code.cr4,
        .efer = code.efer,
    };
    instruction->code = code_size(&code);
    uint64_t linear =
        instruction->code == CODE_64_BIT ? code.rip : (uint32_t)(code.rip + code.cs_base);

    size_t fetched = guest_fetch_again(&vcpu->vm->memory, &instruction->paging, &vcpu->arch->code,
                                       linear, instruction->bytes);

    instruction->available = fetched < INSTRUCTION_MAX_LENGTH ? fetched : INSTRUCTION_MAX_LENGTH;
}
