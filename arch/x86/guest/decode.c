/* MMIO instruction decoder: prefixes, opcode table, ModRM. Sections are of the SDM, Vol. 2A. */
#include "arch/x86/guest/decode.h"

#include <string.h>

#include "vmm/access_size.h"

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum prefix {
    PREFIX_NONE,
    PREFIX_IGNORED, /* segment overrides, whose effect is in the GPA; REPNE and REP */
    PREFIX_OPERAND_SIZE,
    PREFIX_ADDRESS_SIZE,
    PREFIX_LOCK,
    PREFIX_REX,
};

#define REX_W 0x8
#define REX_R 0x4

enum encoding {
    ENCODING_REGISTER,  /* ModRM: memory and a register */
    ENCODING_IMMEDIATE, /* ModRM with /0: memory, and an immediate behind it */
    ENCODING_OFFSET,    /* the address itself, and the accumulator */
};

/* An opcode with a memory operand. Sizes in bytes; 0 stands for the operand size. */
struct form {
    uint16_t opcode; /* 0x0fXX in the two-byte map */
    uint8_t encoding;
    uint8_t memory_size; /* at most; a smaller operand size wins */
    uint8_t register_size;
    bool is_write;
    bool sign_extend;
    bool only_64_bit;
};

static const struct form forms[] = {
    {.opcode = 0x88, .memory_size = 1, .register_size = 1, .is_write = true},
    {.opcode = 0x89, .is_write = true},
    {.opcode = 0x8a, .memory_size = 1, .register_size = 1},
    {.opcode = 0x8b},
    {.opcode = 0xa0, .encoding = ENCODING_OFFSET, .memory_size = 1, .register_size = 1},
    {.opcode = 0xa1, .encoding = ENCODING_OFFSET},
    {.opcode = 0xa2,
     .encoding = ENCODING_OFFSET,
     .memory_size = 1,
     .register_size = 1,
     .is_write = true},
    {.opcode = 0xa3, .encoding = ENCODING_OFFSET, .is_write = true},
    {.opcode = 0xc6, .encoding = ENCODING_IMMEDIATE, .memory_size = 1, .is_write = true},
    {.opcode = 0xc7, .encoding = ENCODING_IMMEDIATE, .is_write = true},
    {.opcode = 0x63, .memory_size = 4, .sign_extend = true, .only_64_bit = true},
    {.opcode = 0x0fb6, .memory_size = 1},
    {.opcode = 0x0fb7, .memory_size = 2},
    {.opcode = 0x0fbe, .memory_size = 1, .sign_extend = true},
    {.opcode = 0x0fbf, .memory_size = 2, .sign_extend = true},
};

/* The bytes, and what the prefixes said. */
struct cursor {
    const uint8_t *bytes;
    size_t available;
    size_t position;
    enum code_size code;
    uint8_t rex; /* 0: none */
    bool operand_prefix;
    bool address_prefix;
    bool lock;
};

/* `size` bytes, little-endian; false if they are not there. */
static bool take(struct cursor *cursor, size_t size, uint64_t *value)
{
    if (size > cursor->available - cursor->position) {
        return false;
    }
    *value = 0;
    for (size_t i = 0; i < size; i++) {
        *value |= (uint64_t)cursor->bytes[cursor->position + i] << (8 * i);
    }
    cursor->position += size;
    return true;
}

static bool take_byte(struct cursor *cursor, uint64_t *byte)
{
    if (cursor->position == cursor->available) {
        return false;
    }
    *byte = cursor->bytes[cursor->position++];
    return true;
}

static bool skip(struct cursor *cursor, size_t size)
{
    if (size > cursor->available - cursor->position) {
        return false;
    }
    cursor->position += size;
    return true;
}

/* 2.1.1 and 2.2.1 */
static enum prefix classify(uint64_t byte, enum code_size code)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0xf2:
    case 0xf3:
        return PREFIX_IGNORED;
    case 0x66:
        return PREFIX_OPERAND_SIZE;
    case 0x67:
        return PREFIX_ADDRESS_SIZE;
    case 0xf0:
        return PREFIX_LOCK;
    default:
        return code == CODE_64_BIT && (byte & 0xf0) == 0x40 ? PREFIX_REX : PREFIX_NONE;
    }
}

/* Takes the prefixes and the opcode. A REX that is not right before the opcode has no effect. */
static bool take_opcode(struct cursor *cursor, uint16_t *opcode)
{
    uint64_t byte;
    enum prefix prefix;

    for (;;) {
        if (!take_byte(cursor, &byte)) {
            return false;
        }
        prefix = classify(byte, cursor->code);
        if (prefix == PREFIX_NONE) {
            break;
        }
        cursor->operand_prefix |= prefix == PREFIX_OPERAND_SIZE;
        cursor->address_prefix |= prefix == PREFIX_ADDRESS_SIZE;
        cursor->lock |= prefix == PREFIX_LOCK;
        cursor->rex = prefix == PREFIX_REX ? (uint8_t)byte : 0;
    }
    *opcode = (uint16_t)byte;
    if (byte == 0x0f) {
        if (!take_byte(cursor, &byte)) {
            return false;
        }
        *opcode = (uint16_t)(0x0f00 | byte);
    }
    return true;
}

static const struct form *find_form(uint16_t opcode, enum code_size code)
{
    for (size_t i = 0; i < ARRAY_LENGTH(forms); i++) {
        if (forms[i].opcode == opcode) {
            return forms[i].only_64_bit && code != CODE_64_BIT ? NULL : &forms[i];
        }
    }
    return NULL;
}

static uint8_t operand_size(const struct cursor *cursor)
{
    if ((cursor->rex & REX_W) != 0) {
        return 8;
    }
    return (cursor->code == CODE_16_BIT) == cursor->operand_prefix ? 4 : 2;
}

static uint8_t address_size(const struct cursor *cursor)
{
    if (cursor->code == CODE_64_BIT) {
        return cursor->address_prefix ? 4 : 8;
    }
    return (cursor->code == CODE_16_BIT) == cursor->address_prefix ? 4 : 2;
}

/* Skips what follows a ModRM byte with a memory operand: SIB and displacement (2.1.3, 2.1.5). */
static bool skip_address(struct cursor *cursor, unsigned mode, unsigned rm)
{
    if (address_size(cursor) == 2) {
        size_t size = mode == 0 && rm == 6 ? 2 : mode;

        return skip(cursor, size);
    }
    bool absolute = mode == 0 && rm == 5; /* or relative to RIP */

    if (rm == 4) {
        uint64_t sib;

        if (!take_byte(cursor, &sib)) {
            return false;
        }
        absolute = mode == 0 && (sib & 7) == 5;
    }
    return skip(cursor, absolute || mode == 2 ? 4 : mode);
}

/* Takes ModRM and the address behind it; the register field goes to *reg, with REX.R. */
static bool take_modrm(struct cursor *cursor, uint8_t *reg)
{
    uint64_t modrm;

    if (!take_byte(cursor, &modrm)) {
        return false;
    }
    unsigned mode = (unsigned)modrm >> 6;

    *reg = (uint8_t)((modrm >> 3 & 7) | ((cursor->rex & REX_R) != 0 ? 8 : 0));
    return mode != 3 && skip_address(cursor, mode, (unsigned)modrm & 7);
}

static uint64_t truncate(uint64_t value, unsigned size)
{
    return value & access_mask(size);
}

static uint64_t extend(uint64_t value, unsigned size)
{
    uint64_t sign = 1ULL << (8 * size - 1);

    return (truncate(value, size) ^ sign) - sign;
}

/* Immediates have at most 4 bytes, sign-extended to 8 (2.2.1.5). */
static bool take_immediate(struct cursor *cursor, struct mmio_instruction *instruction)
{
    unsigned size = instruction->size < 4 ? instruction->size : 4;
    uint64_t value;

    if ((instruction->reg & 7) != 0 || !take(cursor, size, &value)) {
        return false;
    }
    instruction->is_immediate = true;
    instruction->immediate = truncate(extend(value, size), instruction->size);
    instruction->reg = 0;
    return true;
}

static bool take_operands(struct cursor *cursor, const struct form *form,
                          struct mmio_instruction *instruction)
{
    switch (form->encoding) {
    case ENCODING_OFFSET:
        return skip(cursor, address_size(cursor)); /* and the accumulator is register 0 */
    case ENCODING_IMMEDIATE:
        return take_modrm(cursor, &instruction->reg) && take_immediate(cursor, instruction);
    default:
        if (!take_modrm(cursor, &instruction->reg)) {
            return false;
        }
        /* Without any REX, byte registers 4 to 7 are AH, CH, DH and BH (2.2.1.2). */
        if (instruction->register_size == 1 && cursor->rex == 0 && instruction->reg >= 4) {
            instruction->high_byte = true;
            instruction->reg &= 3;
        }
        return true;
    }
}

bool mmio_decode(const uint8_t *bytes, size_t available, enum code_size code,
                 struct mmio_instruction *instruction)
{
    struct cursor cursor = {.bytes = bytes, .available = available, .code = code};
    uint16_t opcode;

    if (cursor.available > INSTRUCTION_MAX_LENGTH) {
        cursor.available = INSTRUCTION_MAX_LENGTH;
    }
    if (!take_opcode(&cursor, &opcode)) {
        return false;
    }
    const struct form *form = find_form(opcode, code);

    if (form == NULL || cursor.lock) {
        return false;
    }
    uint8_t operand = operand_size(&cursor);
    bool narrow = form->memory_size != 0 && form->memory_size < operand;
    struct mmio_instruction result = {
        .size = narrow ? form->memory_size : operand,
        .is_write = form->is_write,
        .register_size = form->register_size != 0 ? form->register_size : operand,
        .sign_extend = form->sign_extend,
    };

    if (!take_operands(&cursor, form, &result)) {
        return false;
    }
    result.length = (uint8_t)cursor.position;
    *instruction = result;
    return true;
}

uint64_t mmio_write_value(const struct mmio_instruction *instruction, uint64_t register_value)
{
    if (instruction->is_immediate) {
        return instruction->immediate;
    }
    return truncate(register_value >> (instruction->high_byte ? 8 : 0), instruction->size);
}

uint64_t mmio_read_result(const struct mmio_instruction *instruction, uint64_t register_value,
                          uint64_t value)
{
    unsigned size = instruction->register_size;
    unsigned shift = instruction->high_byte ? 8 : 0;
    uint64_t result = instruction->sign_extend ? extend(value, instruction->size)
                                               : truncate(value, instruction->size);

    if (size >= 4) {
        return truncate(result, size);
    }
    uint64_t kept = register_value & ~(access_mask(size) << shift);

    return kept | truncate(result, size) << shift;
}
