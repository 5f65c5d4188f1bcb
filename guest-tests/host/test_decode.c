/* The MMIO instruction decoder: against Zydis, byte by byte, and against worked examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "arch/x86/guest/decode.h"

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Values whose bytes all differ and whose sign bits are set where extension shows. */
#define OLD_REGISTER 0x1122334455667788ULL
#define READ_VALUE   0x8f9eadbccbdae9f8ULL

static const ZydisMachineMode machine_modes[] = {
    [CODE_16_BIT] = ZYDIS_MACHINE_MODE_LEGACY_16,
    [CODE_32_BIT] = ZYDIS_MACHINE_MODE_LEGACY_32,
    [CODE_64_BIT] = ZYDIS_MACHINE_MODE_LONG_64,
};
static const ZydisStackWidth stack_widths[] = {
    [CODE_16_BIT] = ZYDIS_STACK_WIDTH_16,
    [CODE_32_BIT] = ZYDIS_STACK_WIDTH_32,
    [CODE_64_BIT] = ZYDIS_STACK_WIDTH_64,
};

static ZydisDecoder decoders[3];

/* What must come out, worked out from Zydis. */
struct expectation {
    bool accepted;
    unsigned length;
    unsigned size;
    bool is_write;
    bool is_immediate;
    uint64_t immediate;
    unsigned reg;
    unsigned register_size;
    bool high_byte;
    bool sign_extend;
};

static uint64_t low_bytes(uint64_t value, unsigned size)
{
    uint64_t result = 0;

    memcpy(&result, &value, size);
    return result;
}

static void expect_register(struct expectation *expected, ZydisRegister name)
{
    ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, name);

    expected->reg = (unsigned)ZydisRegisterGetId(full);
    expected->high_byte = name == ZYDIS_REGISTER_AH || name == ZYDIS_REGISTER_CH ||
                          name == ZYDIS_REGISTER_DH || name == ZYDIS_REGISTER_BH;
}

static bool is_general(const ZydisDecodedOperand *operand)
{
    ZydisRegisterClass kind = ZydisRegisterGetClass(operand->reg.value);

    return operand->type == ZYDIS_OPERAND_TYPE_REGISTER && kind >= ZYDIS_REGCLASS_GPR8 &&
           kind <= ZYDIS_REGCLASS_GPR64;
}

static bool is_move(ZydisMnemonic mnemonic)
{
    return mnemonic == ZYDIS_MNEMONIC_MOV || mnemonic == ZYDIS_MNEMONIC_MOVZX ||
           mnemonic == ZYDIS_MNEMONIC_MOVSX || mnemonic == ZYDIS_MNEMONIC_MOVSXD;
}

static struct expectation ask_zydis(const uint8_t *bytes, size_t available, enum code_size code)
{
    struct expectation expected = {0};
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    if (!ZYAN_SUCCESS(
            ZydisDecoderDecodeInstruction(&decoders[code], NULL, bytes, available, &instruction)) ||
        !is_move(instruction.mnemonic) ||
        !ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoders[code], bytes, available, &instruction, operands))) {
        return expected;
    }
    const ZydisDecodedOperand *memory = &operands[0];
    const ZydisDecodedOperand *other = &operands[1];

    if (memory->type != ZYDIS_OPERAND_TYPE_MEMORY) {
        memory = &operands[1];
        other = &operands[0];
    }
    expected.is_immediate = other->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    if (memory->type != ZYDIS_OPERAND_TYPE_MEMORY ||
        !(expected.is_immediate || is_general(other))) {
        return expected;
    }
    expected.accepted = true;
    expected.length = instruction.length;
    expected.size = memory->size / 8;
    expected.is_write = (memory->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
    expected.register_size = other->size / 8;
    /* SDM Vol. 2B, MOVSXD: r16, r/m16. Zydis has 32 bits of memory there; the result is the same.
     */
    if (instruction.mnemonic == ZYDIS_MNEMONIC_MOVSXD && expected.register_size == 2) {
        expected.size = 2;
    }
    expected.sign_extend = instruction.mnemonic == ZYDIS_MNEMONIC_MOVSX ||
                           instruction.mnemonic == ZYDIS_MNEMONIC_MOVSXD;
    if (expected.is_immediate) {
        expected.immediate = low_bytes(other->imm.value.u, expected.size);
    } else {
        expect_register(&expected, other->reg.value);
    }
    return expected;
}

/* The architecture's rule for a load, from Zydis's facts alone. */
static uint64_t expected_result(const struct expectation *expected)
{
    uint64_t value = low_bytes(READ_VALUE, expected->size);

    if (expected->sign_extend && (value >> (8 * expected->size - 1)) != 0 && expected->size < 8) {
        value |= UINT64_MAX << (8 * expected->size);
    }
    switch (expected->register_size) {
    case 1:
        return expected->high_byte ? (OLD_REGISTER & ~0xff00ULL) | (value & 0xff) << 8
                                   : (OLD_REGISTER & ~0xffULL) | (value & 0xff);
    case 2:
        return (OLD_REGISTER & ~0xffffULL) | (value & 0xffff);
    case 4:
        return value & 0xffffffff;
    default:
        return value;
    }
}

static void mismatch(const uint8_t *bytes, enum code_size code, const char *what)
{
    char text[3 * INSTRUCTION_MAX_LENGTH + 1] = "";

    for (size_t i = 0; i < INSTRUCTION_MAX_LENGTH; i++) {
        (void)snprintf(text + 3 * i, 4, "%02x ", bytes[i]);
    }
    fail_msg("%s differs in mode %d: %s", what, code, text);
}

static void compare_accepted(const uint8_t *bytes, enum code_size code,
                             const struct expectation *expected)
{
    struct mmio_instruction decoded;

    if (mmio_decode(bytes, expected->length - 1, code, &decoded)) {
        mismatch(bytes, code, "acceptance of a cut-off instruction");
    }
    if (!mmio_decode(bytes, expected->length, code, &decoded)) {
        mismatch(bytes, code, "acceptance");
    }
    if (decoded.length != expected->length) {
        mismatch(bytes, code, "length");
    }
    if (decoded.size != expected->size) {
        mismatch(bytes, code, "operand size");
    }
    if (decoded.is_write != expected->is_write || decoded.is_immediate != expected->is_immediate) {
        mismatch(bytes, code, "direction");
    }
    if (expected->is_immediate) {
        if (decoded.immediate != expected->immediate ||
            mmio_write_value(&decoded, OLD_REGISTER) != expected->immediate) {
            mismatch(bytes, code, "immediate");
        }
        return;
    }
    if (decoded.reg != expected->reg || decoded.high_byte != expected->high_byte ||
        decoded.register_size != expected->register_size) {
        mismatch(bytes, code, "register");
    }
    if (expected->is_write) {
        uint64_t source = OLD_REGISTER >> (expected->high_byte ? 8 : 0);

        if (mmio_write_value(&decoded, OLD_REGISTER) != low_bytes(source, expected->size)) {
            mismatch(bytes, code, "written value");
        }
    } else if (mmio_read_result(&decoded, OLD_REGISTER, READ_VALUE) != expected_result(expected)) {
        mismatch(bytes, code, "register after a read");
    }
}

/* Counts what was accepted, so that a test which compares nothing fails. */
static unsigned compare(const uint8_t *bytes, enum code_size code)
{
    struct expectation expected = ask_zydis(bytes, INSTRUCTION_MAX_LENGTH, code);
    struct mmio_instruction decoded;

    if (!expected.accepted) {
        if (mmio_decode(bytes, INSTRUCTION_MAX_LENGTH, code, &decoded)) {
            mismatch(bytes, code, "refusal");
        }
        return 0;
    }
    compare_accepted(bytes, code, &expected);
    return 1;
}

/* What stands behind the opcode and ModRM: bytes that differ, with sign bits set. */
static void fill(uint8_t *bytes, size_t position, uint8_t sib)
{
    static const uint8_t tail[] = {0x91, 0xa2, 0xb3, 0xc4, 0xd5, 0xe6, 0xf7, 0x18, 0x29};

    bytes[position++] = sib;
    for (size_t i = 0; position < INSTRUCTION_MAX_LENGTH; i++) {
        bytes[position++] = tail[i % sizeof(tail)];
    }
}

static size_t put_opcode(uint8_t *bytes, size_t position, unsigned opcode)
{
    if (opcode >= 0x100) {
        bytes[position++] = 0x0f;
    }
    bytes[position++] = (uint8_t)opcode;
    return position;
}

/* All ModRM bytes behind `position` bytes of prefix, with SIBs that do and do not name a base. */
static unsigned sweep_modrm(uint8_t *bytes, size_t position, unsigned opcode, enum code_size code)
{
    static const uint8_t sibs[] = {0x25, 0xe4};
    unsigned accepted = 0;

    position = put_opcode(bytes, position, opcode);
    for (unsigned modrm = 0; modrm < 256; modrm++) {
        bytes[position] = (uint8_t)modrm;
        fill(bytes, position + 1, sibs[0]);
        accepted += compare(bytes, code);
        if ((modrm & 7) == 4 && modrm < 0xc0) {
            fill(bytes, position + 1, sibs[1]);
            accepted += compare(bytes, code);
        }
    }
    return accepted;
}

static const uint8_t prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e,
                                   0x64, 0x65, 0x40, 0x41, 0x42, 0x44, 0x48, 0x4d, 0x4f};

/* The one- and two-byte maps in full, bare and with every third prefix, from changing starts. */
static void test_every_opcode_agrees_with_zydis(void **state)
{
    (void)state;
    uint8_t bytes[INSTRUCTION_MAX_LENGTH];
    unsigned accepted = 0;

    for (enum code_size code = CODE_16_BIT; code <= CODE_64_BIT; code++) {
        for (unsigned opcode = 0; opcode < 0x200; opcode++) {
            accepted += sweep_modrm(bytes, 0, opcode, code);
            for (size_t i = 0; i < ARRAY_LENGTH(prefixes); i += 3) {
                bytes[0] = prefixes[(i + opcode % 3) % ARRAY_LENGTH(prefixes)];
                accepted += sweep_modrm(bytes, 1, opcode, code);
            }
        }
    }
    assert_true(accepted > 40000);
}

/* The forms of MOV, with every pair of prefixes in both orders. */
static void test_every_move_agrees_with_zydis_under_prefixes(void **state)
{
    (void)state;
    static const unsigned opcodes[] = {0x63, 0x88, 0x89, 0x8a,  0x8b,  0xa0,  0xa1, 0xa2,
                                       0xa3, 0xc6, 0xc7, 0x1b6, 0x1b7, 0x1be, 0x1bf};
    uint8_t bytes[INSTRUCTION_MAX_LENGTH];
    unsigned accepted = 0;

    for (enum code_size code = CODE_16_BIT; code <= CODE_64_BIT; code++) {
        for (size_t i = 0; i < ARRAY_LENGTH(opcodes); i++) {
            for (size_t j = 0; j < ARRAY_LENGTH(prefixes) * ARRAY_LENGTH(prefixes); j++) {
                bytes[0] = prefixes[j / ARRAY_LENGTH(prefixes)];
                bytes[1] = prefixes[j % ARRAY_LENGTH(prefixes)];
                accepted += sweep_modrm(bytes, 2, opcodes[i], code);
            }
        }
    }
    assert_true(accepted > 500000);
}

/* A fixed sequence (xorshift64*), so that a failure repeats. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dULL;
}

static void test_random_bytes_agree_with_zydis(void **state)
{
    (void)state;
    uint64_t seed = 0x5eed;
    uint64_t words[2];
    uint8_t bytes[sizeof(words)];
    unsigned accepted = 0;

    for (unsigned i = 0; i < 300000; i++) {
        words[0] = next_random(&seed);
        words[1] = next_random(&seed);
        memcpy(bytes, words, sizeof(words));
        if (i % 2 == 0) {
            bytes[0] = prefixes[bytes[0] % ARRAY_LENGTH(prefixes)];
            bytes[1] = prefixes[bytes[1] % ARRAY_LENGTH(prefixes)];
            bytes[2] = (uint8_t)(0x80 | (bytes[2] & 0x4f));
        }
        accepted += compare(bytes, (enum code_size)(i % 3));
    }
    assert_true(accepted > 5000);
}

/* Prefixes up to and over the limit of 15 bytes. */
static void test_length_limit(void **state)
{
    (void)state;
    uint8_t bytes[17];
    struct mmio_instruction decoded;

    for (size_t count = 0; count <= 15; count++) {
        memset(bytes, 0x3e, sizeof(bytes));
        bytes[count] = 0x8b;
        bytes[count + 1] = 0x07;
        assert_int_equal(mmio_decode(bytes, sizeof(bytes), CODE_64_BIT, &decoded), count <= 13);
        if (count <= 13) {
            assert_int_equal(decoded.length, count + 2);
        }
    }
    assert_false(mmio_decode(bytes, 0, CODE_64_BIT, &decoded));
}

static struct mmio_instruction decode(const char *bytes, size_t size, enum code_size code)
{
    struct mmio_instruction decoded = {0};

    assert_true(mmio_decode((const uint8_t *)bytes, size, code, &decoded));
    assert_int_equal(decoded.length, size);
    return decoded;
}

#define DECODE(bytes, code) decode(bytes, sizeof(bytes) - 1, code)

static void test_examples(void **state)
{
    (void)state;
    struct mmio_instruction decoded = DECODE("\x89\x07", CODE_64_BIT); /* mov [rdi], eax */

    assert_int_equal(decoded.size, 4);
    assert_true(decoded.is_write);
    assert_false(decoded.is_immediate);
    assert_int_equal(decoded.reg, 0);
    assert_int_equal(mmio_write_value(&decoded, OLD_REGISTER), 0x55667788);

    decoded = DECODE("\x44\x8b\x05\x10\x20\x30\x40", CODE_64_BIT); /* mov r8d, [rip + d32] */
    assert_int_equal(decoded.reg, 8);
    assert_int_equal(mmio_read_result(&decoded, OLD_REGISTER, READ_VALUE), 0xcbdae9f8);

    decoded = DECODE("\x88\x27", CODE_64_BIT); /* mov [rdi], ah */
    assert_int_equal(decoded.reg, 0);
    assert_true(decoded.high_byte);
    assert_int_equal(mmio_write_value(&decoded, OLD_REGISTER), 0x77);

    decoded = DECODE("\x40\x88\x27", CODE_64_BIT); /* mov [rdi], spl */
    assert_int_equal(decoded.reg, 4);
    assert_int_equal(mmio_write_value(&decoded, OLD_REGISTER), 0x88);

    decoded = DECODE("\x8a\x27", CODE_64_BIT); /* mov ah, [rdi] */
    assert_int_equal(mmio_read_result(&decoded, OLD_REGISTER, 0xabcd), 0x112233445566cd88);

    decoded = DECODE("\x66\x8b\x07", CODE_64_BIT); /* mov ax, [rdi] */
    assert_int_equal(mmio_read_result(&decoded, OLD_REGISTER, 0xabcd), 0x112233445566abcd);

    decoded = DECODE("\x0f\xb6\x07", CODE_64_BIT); /* movzx eax, byte [rdi] */
    assert_int_equal(decoded.size, 1);
    assert_int_equal(mmio_read_result(&decoded, OLD_REGISTER, 0x180), 0x80);

    decoded = DECODE("\x48\x0f\xbe\x07", CODE_64_BIT); /* movsx rax, byte [rdi] */
    assert_int_equal(mmio_read_result(&decoded, OLD_REGISTER, 0x80), 0xffffffffffffff80);

    decoded = DECODE("\x48\xc7\x07\xfe\xff\xff\xff", CODE_64_BIT); /* mov qword [rdi], -2 */
    assert_int_equal(decoded.size, 8);
    assert_int_equal(mmio_write_value(&decoded, 0), 0xfffffffffffffffe);

    decoded = DECODE("\xa1\x50\x00\x00\xd0", CODE_32_BIT); /* mov eax, [0xd0000050] */
    assert_int_equal(decoded.size, 4);
    assert_int_equal(decoded.reg, 0);

    decoded = DECODE("\x66\xc7\x06\x34\x12\xfe\xff\xff\xff", CODE_16_BIT); /* mov dword [d16], -2 */
    assert_int_equal(decoded.size, 4);
    assert_int_equal(decoded.immediate, 0xfffffffe);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        enum code_size code;
        size_t size;
        const char *bytes;
    } cases[] = {
        {CODE_64_BIT, 2, "\x89\xc0"},         /* mov eax, eax: no memory */
        {CODE_64_BIT, 3, "\xf0\x89\x07"},     /* lock mov: #UD */
        {CODE_64_BIT, 2, "\x01\x07"},         /* add [rdi], eax */
        {CODE_64_BIT, 3, "\xc6\x0f\x00"},     /* c6 /1: #UD */
        {CODE_64_BIT, 3, "\xc6\xf8\x00"},     /* xabort */
        {CODE_32_BIT, 2, "\x63\x07"},         /* arpl */
        {CODE_64_BIT, 2, "\x8c\x07"},         /* mov [rdi], es */
        {CODE_64_BIT, 2, "\xf3\xa4"},         /* rep movsb */
        {CODE_32_BIT, 3, "\x48\x89\x07"},     /* dec eax */
        {CODE_64_BIT, 4, "\x0f\x38\xf0\x07"}, /* movbe */
        {CODE_64_BIT, 4, "\xc5\xf8\x28\x07"}, /* vmovaps */
        {CODE_64_BIT, 2, "\x66\x48"},         /* prefixes only */
    };
    struct mmio_instruction decoded;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_false(
            mmio_decode((const uint8_t *)cases[i].bytes, cases[i].size, cases[i].code, &decoded));
    }
}

static int make_decoders(void **state)
{
    (void)state;
    for (enum code_size code = CODE_16_BIT; code <= CODE_64_BIT; code++) {
        if (!ZYAN_SUCCESS(
                ZydisDecoderInit(&decoders[code], machine_modes[code], stack_widths[code]))) {
            return -1;
        }
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_opcode_agrees_with_zydis),
        cmocka_unit_test(test_every_move_agrees_with_zydis_under_prefixes),
        cmocka_unit_test(test_random_bytes_agree_with_zydis),
        cmocka_unit_test(test_length_limit),
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, make_decoders, NULL);
}
