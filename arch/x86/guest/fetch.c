/* Fetches the instruction that exited, for those that must be decoded. */
#include "arch/x86/guest/fetch.h"

#include <string.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/machine.h"
#include "vmm/vm.h"

/* SDM Vol. 3A, 3.4.5: CS.L (attribute bit 13) and CS.D (bit 14). */
static enum code_size code_size(const struct code_state *state)
{
    if ((state->efer & EFER_LMA) != 0 && (state->cs_attributes & 1U << 13) != 0) {
        return CODE_64_BIT;
    }
    return (state->cs_attributes & 1U << 14) != 0 ? CODE_32_BIT : CODE_16_BIT;
}

/* Whether the row's instruction is there still, in memory and at its address. */
static bool holds(struct fetch_row *row)
{
    uint64_t first = row->pair[0];
    uint64_t second = row->pair[1];

    if (!row->kept || !guest_walk_holds(&row->walk)) {
        return false;
    }
    guest_load_pair(row->memory, row->pair);
    return ((first ^ row->pair[0]) | (second ^ row->pair[1])) == 0;
}

/* The bytes by way of a walk that can be looked at again. False if they cannot be kept so. */
static bool keep(const struct guest_memory *memory, uint64_t linear, struct fetch_row *row)
{
    uint64_t gpa;

    if (linear % GUEST_PAGE_SIZE > GUEST_PAGE_SIZE - sizeof(row->pair) ||
        !guest_translate_noted(memory, &row->instruction.paging, linear, &gpa, &row->walk)) {
        return false;
    }
    row->memory = guest_memory_range(memory, gpa, sizeof(row->pair));
    if (row->memory == NULL) {
        return false;
    }
    guest_load_pair(row->memory, row->pair);
    memcpy(row->instruction.bytes, row->pair, sizeof(row->instruction.bytes));
    row->instruction.available = sizeof(row->instruction.bytes);
    return true;
}

/* Apart, for it is seldom that an instruction is not in its row. */
__attribute__((noinline)) static void fetch(const struct guest_memory *memory,
                                            struct fetch_row *row)
{
    const struct code_state state = row->state;
    struct fetched_instruction *instruction = &row->instruction;
    enum code_size code = code_size(&state);
    uint64_t linear = code == CODE_64_BIT ? state.rip : (uint32_t)(state.rip + state.cs_base);

    *instruction = (struct fetched_instruction){
        .paging = {state.cr0, state.cr3, state.cr4, state.efer},
        .code = code,
    };
    row->kept = keep(memory, linear, row);
    if (!row->kept) {
        instruction->available = (uint8_t)guest_fetch(
            memory, &instruction->paging, linear, instruction->bytes, sizeof(instruction->bytes));
    }
    if (!mmio_decode(instruction->bytes, instruction->available, code, &instruction->mmio)) {
        instruction->mmio.length = 0;
    }
}

/* The row of an instruction, or else the one that has been there longest. */
static struct fetch_row *find_row(struct fetch_rows *fetched, uint64_t rip)
{
#pragma GCC unroll 8
    for (unsigned i = 0; i < FETCH_ROWS; i++) {
        if (fetched->rows[i].state.rip == rip) {
            return &fetched->rows[i];
        }
    }
    unsigned chosen = fetched->next;

    fetched->next = (chosen + 1) % FETCH_ROWS;
    return &fetched->rows[chosen];
}

const struct fetched_instruction *fetch_instruction(struct vcpu *vcpu, uint64_t rip)
{
    struct fetch_row *row = find_row(&vcpu->arch->fetched, rip);

    if (vcpu->vm->virtualization->update_code(vcpu, &row->state) || !holds(row)) {
        fetch(&vcpu->vm->memory, row);
    }
    return &row->instruction;
}
