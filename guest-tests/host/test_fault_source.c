/* Tests of the source that fails by a script: what it hands out in each phase, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/rng/fault_source.h"
#include "guest-tests/host/scripted_host.h"
#include "guest-tests/host/scripted_source.h"

#define FREQUENCY 1000000ULL /* a millisecond is 1,000 ticks */

static struct script script;
static struct fault_source faults;
static struct entropy_source source;
static char error[128];

static int set_up(void **state)
{
    (void)state;
    scripted_host_reset();
    memset(&script, 0, sizeof(script));
    return 0;
}

static void start(const char *text)
{
    const struct entropy_source good = script_source(&script);

    assert_true(fault_source_parse(&faults, text, error, sizeof(error)));
    source = fault_source_start(&faults, &good, FREQUENCY);
    assert_string_equal(source.name, "script");
}

static void assert_word(uint64_t expected)
{
    uint64_t word = 7;

    assert_true(source.read(source.context, &word));
    assert_int_equal(word, expected);
}

static void assert_none(void)
{
    uint64_t word = 7;

    assert_false(source.read(source.context, &word));
    assert_int_equal(word, 0);
}

static void test_good_and_dry(void **state)
{
    (void)state;
    start("good 2, dry 3,good 1 ,dry 1");
    assert_word(script_word(0));
    assert_word(script_word(1));
    for (unsigned i = 0; i < 3; i++) {
        assert_none();
    }
    assert_word(script_word(2));
    assert_none();
    for (unsigned i = 3; i < 50; i++) {
        assert_word(script_word(i));
    }
}

/* Milliseconds count from the phase's first try, whenever that is. */
static void test_milliseconds(void **state)
{
    (void)state;
    start("dry 3ms, ones 2ms");
    scripted_host.ticks = 5000000;
    assert_none();
    scripted_host.ticks += 2999;
    assert_none();
    scripted_host.ticks += 1;
    assert_word(UINT64_MAX);
    scripted_host.ticks += 2000;
    assert_word(script_word(1));
}

static void test_for_ever(void **state)
{
    (void)state;
    start("dry");
    for (unsigned i = 0; i < 1000; i++) {
        scripted_host.ticks += FREQUENCY;
        assert_none();
    }
}

static void test_wrong_words(void **state)
{
    (void)state;
    start("good 1, stuck 3, good 1, repeat 5, zero 2, ones 1");
    assert_word(script_word(0));
    assert_word(script_word(0));
    assert_word(script_word(0));
    assert_word(script_word(0));
    assert_word(script_word(4));
    assert_word(script_word(5)); /* repeat: the even ones anew */
    assert_word(script_word(5));
    assert_word(script_word(7));
    assert_word(script_word(7));
    assert_word(script_word(9));
    assert_word(0);
    assert_word(0);
    assert_word(UINT64_MAX);
    assert_word(script_word(13));
}

static void test_fail(void **state)
{
    (void)state;
    uint64_t word;
    unsigned failed = 0;

    start("fail 1000");
    for (unsigned i = 0; i < 1000; i++) {
        failed += source.read(source.context, &word) ? 0 : 1;
    }
    assert_int_equal(failed, 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(source.read(source.context, &word));
    }
}

static void test_bias(void **state)
{
    (void)state;
    uint64_t word = 0;
    unsigned hits = 0;

    start("bias");
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(source.read(source.context, &word));
        for (unsigned byte = 0; byte < 8; byte++) {
            hits += (word >> 8 * byte & 0xff) == 0x42;
        }
    }
    /* 80,000 bytes: one in ten by the bias, one in 256 of the rest by chance. */
    assert_in_range(hits, 7600, 9000);
}

static void test_empty_completions(void **state)
{
    (void)state;
    start("good 1, empty 2");
    assert_false(fault_source_completes_empty(&faults));
    assert_word(script_word(0));
    assert_true(fault_source_completes_empty(&faults));
    assert_word(script_word(1));
    assert_word(script_word(2));
    assert_true(fault_source_completes_empty(&faults));
    assert_false(fault_source_completes_empty(&faults));
    assert_word(script_word(3));
    assert_false(fault_completes_empty()); /* the product's */
}

/* A source that fails by itself does so through the script too. */
static void test_source_below(void **state)
{
    (void)state;
    script = (struct script){.mode = SCRIPT_DRY, .from = 1, .tries = 2};
    start("stuck 2");
    assert_word(0); /* there was no word before */
    assert_none();
    assert_none();
    assert_word(script_word(1));
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *error;
    } cases[] = {
        {"", "\"\" does not begin with a kind of fault"},
        {"wet 5", "\"wet 5\" does not begin with a kind of fault"},
        {"good 1,", "\"\" does not begin with a kind of fault"},
        {"good 1, 5", "\"5\" does not begin with a kind of fault"},
        {"dry 0", "\"dry 0\": expected a length such as 5000 or 3000ms"},
        {"dry 5s", "\"dry 5s\": expected a length such as 5000 or 3000ms"},
        {"dry x", "\"dry x\": expected a length such as 5000 or 3000ms"},
        {"dry 1000000001", "\"dry 1000000001\": expected a length such as 5000 or 3000ms"},
        {"dry 99999999999999999999999",
         "\"dry 99999999999999999999999\": expected a length such as 5000 or 3000ms"},
        {"good1,good1,good1,good1,good1,good1,good1,good1,good1,good1,good1,good1,good1,"
         "good1,good1,good1,good1,good1,good1,good1,good1,good1,good1,good1,good1",
         "at most 24 phases"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_false(fault_source_parse(&faults, cases[i].text, error, sizeof(error)));
        assert_string_equal(error, cases[i].error);
    }
    assert_true(fault_source_parse(&faults, "  dry 1000000000ms", error, sizeof(error)));
    assert_int_equal(faults.count, 1);
    assert_int_equal(faults.phases[0].length, 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_good_and_dry, set_up),
        cmocka_unit_test_setup(test_milliseconds, set_up),
        cmocka_unit_test_setup(test_for_ever, set_up),
        cmocka_unit_test_setup(test_wrong_words, set_up),
        cmocka_unit_test_setup(test_fail, set_up),
        cmocka_unit_test_setup(test_bias, set_up),
        cmocka_unit_test_setup(test_empty_completions, set_up),
        cmocka_unit_test_setup(test_source_below, set_up),
        cmocka_unit_test_setup(test_mistakes, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
