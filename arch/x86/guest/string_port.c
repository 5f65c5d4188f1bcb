/* String port I/O: prefixes, addresses, and a bounded number of elements per exit. */
#include "arch/x86/guest/string_port.h"

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/fetch.h"
#include "arch/x86/guest/port.h"
#include "arch/x86/guest/privilege.h"
#include "vmm/vm.h"

#define LARGEST_ELEMENT   4U
#define SEGMENT_EXECUTES  (1U << 3) /* attribute bits, SDM Vol. 3A, 3.4.5 */
#define SEGMENT_DOWNWARDS (1U << 2)
#define SEGMENT_32_BIT    (1U << 14)

/* The instruction as its bytes and the exit say it. */
struct string_instruction {
    const struct fetched_instruction *fetched;
    const struct exit_port *port;
    enum segment_name segment;
    enum general_register index; /* RSI or RDI */
    uint64_t address_mask;
    uint64_t step; /* added to the index: the element's size, or minus it */
};

/* SDM Vol. 2A, 2.1.1; in 64-bit mode only FS and GS override (Vol. 1, 3.4.2.1). False: no prefix.
 */
static bool take_prefix(struct string_instruction *instruction, uint8_t byte)
{
    bool wide = instruction->fetched->code == CODE_64_BIT;

    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        if (!wide) {
            instruction->segment = (enum segment_name)(byte >> 3 & 3);
        }
        return true;
    case 0x64:
        instruction->segment = SEGMENT_FS;
        return true;
    case 0x65:
        instruction->segment = SEGMENT_GS;
        return true;
    case 0x66: /* what this and REP mean here, the exit has told */
    case 0x67:
    case 0xf2:
    case 0xf3:
        return true;
    default:
        return wide && (byte & 0xf0) == 0x40; /* REX */
    }
}

static uint64_t address_mask(enum code_size code, bool prefix)
{
    if (code == CODE_64_BIT) {
        return prefix ? UINT32_MAX : UINT64_MAX;
    }
    return (code == CODE_16_BIT) == prefix ? UINT32_MAX : UINT16_MAX;
}

/* False if the bytes are not, or not any more, those of the instruction that exited. */
static bool decode(struct string_instruction *instruction)
{
    const struct fetched_instruction *fetched = instruction->fetched;
    const struct exit_port *port = instruction->port;
    uint8_t opcode = (port->write ? 0x6e : 0x6c) | (port->size > 1 ? 1 : 0);
    bool address_prefix = false;

    instruction->segment = SEGMENT_DS;
    for (size_t i = 0; i < fetched->available; i++) {
        if (fetched->bytes[i] == opcode) {
            instruction->address_mask = address_mask(fetched->code, address_prefix);
            if (!port->write) {
                instruction->segment = SEGMENT_ES; /* INS takes no override */
            }
            return true;
        }
        if (!take_prefix(instruction, fetched->bytes[i])) {
            return false;
        }
        address_prefix = address_prefix || fetched->bytes[i] == 0x67;
    }
    return false;
}

/* SDM Vol. 3A, 5.3; limits mean nothing in 64-bit mode. */
static bool inside(const struct segment *segment, uint64_t offset, unsigned size)
{
    uint64_t last = offset + size - 1;

    if ((segment->attributes & (SEGMENT_EXECUTES | SEGMENT_DOWNWARDS)) != SEGMENT_DOWNWARDS) {
        return last <= segment->limit;
    }
    return offset > segment->limit &&
           last <= ((segment->attributes & SEGMENT_32_BIT) != 0 ? UINT32_MAX : UINT16_MAX);
}

static bool linear_address(struct vcpu *vcpu, const struct string_instruction *instruction,
                           uint64_t *linear)
{
    uint64_t offset = vcpu->general[instruction->index] & instruction->address_mask;
    struct segment segment;

    vcpu->vm->virtualization->get_segment(vcpu, instruction->segment, &segment);
    if (instruction->fetched->code != CODE_64_BIT) {
        *linear = (uint32_t)(segment.base + offset);
        return inside(&segment, offset, instruction->port->size);
    }
    *linear = offset + (instruction->segment >= SEGMENT_FS ? segment.base : 0);
    return true;
}

/* Finds each byte of the element at `linear`, which may straddle two pages. */
static bool locate(struct vcpu *vcpu, const struct string_instruction *instruction, uint64_t linear,
                   uint8_t *bytes[LARGEST_ELEMENT])
{
    const struct guest_memory *memory = &vcpu->vm->memory;
    bool wide = instruction->fetched->code == CODE_64_BIT;
    uint64_t gpa = 0;

    for (unsigned i = 0; i < instruction->port->size; i++, gpa++) {
        uint64_t address = wide ? linear + i : (uint32_t)(linear + i);

        if ((i == 0 || address % GUEST_PAGE_SIZE == 0) &&
            !guest_translate(memory, &instruction->fetched->paging, address, &gpa)) {
            return false;
        }
        bytes[i] = guest_memory_range(memory, gpa, 1);
        if (bytes[i] == NULL) {
            return false;
        }
    }
    return true;
}

static void transfer(struct vm *vm, const struct exit_port *port, uint8_t *const *bytes)
{
    uint64_t value = 0;

    if (!port->write) {
        value = port_read(vm, port->port, port->size);
    }
    for (unsigned i = 0; i < port->size; i++) {
        if (port->write) {
            value |= (uint64_t)*bytes[i] << 8 * i;
        } else {
            *bytes[i] = (uint8_t)(value >> 8 * i);
        }
    }
    if (port->write) {
        port_write(vm, port->port, port->size, value);
    }
}

/* Adds to a register's low bits, as wide as the address: 32-bit results clear the upper half. */
static void add(struct vcpu *vcpu, enum general_register number, uint64_t addend, uint64_t mask)
{
    uint64_t old = vcpu->general[number];
    uint64_t kept = mask == UINT16_MAX ? old & ~mask : 0;

    vcpu->general[number] = kept | ((old + addend) & mask);
}

static bool carry_out_element(struct vcpu *vcpu, const struct string_instruction *instruction)
{
    uint8_t *bytes[LARGEST_ELEMENT];
    uint64_t linear;

    /* Before the port is read, for that cannot be taken back. */
    if (!linear_address(vcpu, instruction, &linear) || !locate(vcpu, instruction, linear, bytes)) {
        return false;
    }
    transfer(vcpu->vm, instruction->port, bytes);
    add(vcpu, instruction->index, instruction->step, instruction->address_mask);
    if (instruction->port->repeat) {
        add(vcpu, GENERAL_RCX, UINT64_MAX, instruction->address_mask);
    }
    return true;
}

static enum exit_action refuse(struct vcpu *vcpu)
{
    vcpu->vm->virtualization->inject_exception(vcpu, VECTOR_GENERAL_PROTECTION, true, 0);
    return ACTION_RESUME;
}

enum exit_action string_port(struct vcpu *vcpu, const struct exit_port *port)
{
    bool backwards = (vcpu_get(vcpu, REGISTER_RFLAGS) & RFLAGS_DF) != 0;
    struct string_instruction instruction = {
        .port = port,
        .index = port->write ? GENERAL_RSI : GENERAL_RDI,
        .step = backwards ? -(uint64_t)port->size : port->size,
    };

    instruction.fetched = fetch_instruction(vcpu, vcpu_get(vcpu, REGISTER_RIP));
    if (!vcpu_is_privileged(vcpu) || !decode(&instruction)) {
        return refuse(vcpu);
    }
    uint64_t count = port->repeat ? vcpu->general[GENERAL_RCX] & instruction.address_mask : 1;
    uint64_t batch = count < STRING_PORT_ELEMENTS ? count : STRING_PORT_ELEMENTS;

    for (uint64_t i = 0; i < batch; i++) {
        if (!carry_out_element(vcpu, &instruction)) {
            return refuse(vcpu);
        }
        if (!vm_running(vcpu->vm)) {
            return ACTION_STOP;
        }
    }
    return batch == count ? ACTION_SKIP : ACTION_RESUME;
}
