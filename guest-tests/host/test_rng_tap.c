/* Tests of the tap: its frames, byte by byte, and the bounds of its steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/rng/tap.h"
#include "guest-tests/host/scripted_source.h"

static struct {
    uint8_t bytes[4 * TAP_FRAME_BYTES];
    unsigned count;
    unsigned ready; /* times that it will be */
} line;

static struct script script;
static struct tap tap;

static bool line_ready(void *context)
{
    (void)context;
    return line.ready > 0 && line.ready-- > 0;
}

static void line_write(void *context, uint8_t byte)
{
    (void)context;
    assert_true(line.count < sizeof(line.bytes));
    line.bytes[line.count++] = byte;
}

static int set_up(void **state)
{
    const struct entropy_source source = script_source(&script);
    const struct byte_port port = {.ready = line_ready, .write = line_write};

    (void)state;
    script = (struct script){0};
    memset(&line, 0, sizeof(line));
    line.ready = 1000;
    tap_init(&tap, &source, &port);
    return 0;
}

static uint32_t get32(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof(value));
    return value;
}

/* By long division, bit by bit, with the bits reversed: another way than the tap's. */
static uint32_t crc_of(const uint8_t *bytes, unsigned length)
{
    uint32_t crc = 0xffffffff;
    uint32_t reversed = 0;

    for (unsigned i = 0; i < length * 8; i++) {
        uint32_t bit = bytes[i / 8] >> (i % 8) & 1;

        crc = crc << 1 ^ ((crc >> 31 ^ bit) != 0 ? 0x04c11db7U : 0);
    }
    for (unsigned i = 0; i < 32; i++) {
        reversed |= (crc >> i & 1) << (31 - i);
    }
    return ~reversed;
}

static void run_until(unsigned bytes)
{
    for (unsigned steps = 0; line.count < bytes; steps++) {
        assert_true(steps < 1000);
        tap_step(&tap);
    }
}

static void test_frames(void **state)
{
    (void)state;
    assert_int_equal(crc_of((const uint8_t *)"123456789", 9), 0xcbf43926);
    script = (struct script){.mode = SCRIPT_DRY, .from = 70, .tries = 5};
    run_until(2 * TAP_FRAME_BYTES);
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *frame = line.bytes + (size_t)i * TAP_FRAME_BYTES;

        assert_memory_equal(frame, "SVT1", 4);
        assert_int_equal(get32(frame + 4), i);
        assert_int_equal(get32(frame + 8), i == 0 ? 0 : 5);
        for (unsigned j = 0; j < TAP_FRAME_WORDS; j++) {
            uint64_t word = script_word((uint64_t)i * TAP_FRAME_WORDS + j);

            assert_memory_equal(frame + 12 + (size_t)8 * j, &word, 8);
        }
        assert_int_equal(get32(frame + 524), crc_of(frame + 4, 520));
    }
    assert_true(script.played == 128);
    for (unsigned i = 0; i < TAP_FRAME_BYTES; i++) {
        assert_int_equal(tap.frame[i], 0);
    }
}

/* What no guest would ever get is what a laboratory wants to see. */
static void test_words_are_raw(void **state)
{
    uint64_t word;

    (void)state;
    script = (struct script){.mode = SCRIPT_ZERO, .from = 3, .tries = 2};
    run_until(TAP_FRAME_BYTES);
    for (unsigned j = 0; j < 5; j++) {
        memcpy(&word, line.bytes + 12 + (size_t)8 * j, 8);
        assert_true(word == (j < 3 ? script_word(j) : 0));
    }
}

static void test_bounded_steps(void **state)
{
    (void)state;
    script = (struct script){.mode = SCRIPT_DRY, .tries = 100};
    tap_step(&tap);
    assert_true(script.asked == TAP_STEP_TRIES);
    script.tries = 0;
    for (unsigned i = 0; i < 4; i++) {
        tap_step(&tap);
        assert_true(script.asked == (i + 2ULL) * TAP_STEP_TRIES);
        assert_int_equal(line.count, 0);
    }
    tap_step(&tap);
    assert_int_equal(line.count, TAP_STEP_BYTES);
    line.ready = 1;
    tap_step(&tap);
    assert_int_equal(line.count, TAP_STEP_BYTES + BYTE_PORT_FIFO);
    tap_step(&tap);
    assert_int_equal(line.count, TAP_STEP_BYTES + BYTE_PORT_FIFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_frames, set_up),
        cmocka_unit_test_setup(test_words_are_raw, set_up),
        cmocka_unit_test_setup(test_bounded_steps, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
