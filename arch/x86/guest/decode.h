/* Decodes the one instruction that accessed MMIO, so that the access can be carried out. */
#ifndef ARCH_X86_GUEST_DECODE_H
#define ARCH_X86_GUEST_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest instruction (SDM Vol. 2A, 2.3.11). */
#define INSTRUCTION_MAX_LENGTH 15

/* What CS says of the code: the default operand and address size. */
enum code_size {
    CODE_16_BIT, /* real mode, or a protected-mode segment with D = 0 */
    CODE_32_BIT, /* D = 1 */
    CODE_64_BIT, /* L = 1 in IA-32e mode */
};

/*
 * A MOV between memory and a general register, or of an immediate to memory. The address is not
 * here: the hardware reports the GPA.
 */
struct mmio_instruction {
    uint8_t length; /* bytes of the whole instruction, 1 to 15 */
    uint8_t size;   /* bytes of memory read or written: 1, 2, 4 or 8 */
    bool is_write;

    bool is_immediate;  /* a write of `immediate`; the register fields mean nothing then */
    uint64_t immediate; /* sign-extended to the operand size, zero above it */

    uint8_t reg;           /* enum general_register: source of a write, destination of a read */
    uint8_t register_size; /* bytes of the register that take part: 1, 2, 4 or 8 */
    bool high_byte;        /* AH, CH, DH or BH: bits 15:8 of `reg` */
    bool sign_extend;      /* a read narrower than register_size is sign-, not zero-extended */
};

/*
 * Decodes the instruction at `bytes`, of which `available` bytes could be fetched; more than
 * INSTRUCTION_MAX_LENGTH are not looked at.
 *
 * Understood are the forms of MOV, MOVZX, MOVSX and MOVSXD with a memory operand and a general
 * register or an immediate: 88-8B, A0-A3, C6 /0, C7 /0, 63 (64-bit mode), 0F B6, B7, BE, BF (SDM
 * Vol. 2B), with the prefixes that the processor allows there. False for anything else, for
 * register operands, for LOCK (which is #UD) and for bytes that end too soon.
 */
bool mmio_decode(const uint8_t *bytes, size_t available, enum code_size code,
                 struct mmio_instruction *instruction);

/*
 * What a write puts into memory, zero above instruction->size, if instruction->reg holds
 * `register_value` (which an immediate does not need).
 */
uint64_t mmio_write_value(const struct mmio_instruction *instruction, uint64_t register_value);

/*
 * What instruction->reg, now `register_value`, holds after a read of `value`: 8- and 16-bit results
 * leave the rest of it alone, 32-bit ones clear the upper half (SDM Vol. 1, 3.4.1.1).
 */
uint64_t mmio_read_result(const struct mmio_instruction *instruction, uint64_t register_value,
                          uint64_t value);

#endif
