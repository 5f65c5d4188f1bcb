/* Tests of text formatting: against the C library where both agree, and at the buffer's end. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/format.h"

/* The same text and length as snprintf() for the same call. */
#define SAME(...)                                                                                  \
    do {                                                                                           \
        char ours[200];                                                                            \
        char theirs[200];                                                                          \
        size_t length = format(ours, sizeof(ours), __VA_ARGS__);                                   \
        int expected = snprintf(theirs, sizeof(theirs), __VA_ARGS__);                              \
                                                                                                   \
        assert_string_equal(ours, theirs);                                                         \
        assert_int_equal(length, expected);                                                        \
    } while (0)

static void test_numbers(void **state)
{
    const int signed_values[] = {0, 1, -1, 9, 10, -10, 12345, INT_MAX, INT_MIN};
    const unsigned values[] = {0, 1, 9, 10, 15, 16, 255, 0x80000000, UINT_MAX};
    const long longs[] = {0, 1, -1, LONG_MAX, LONG_MIN, 0x123456789abcdef};

    (void)state;
    for (unsigned i = 0; i < sizeof(signed_values) / sizeof(signed_values[0]); i++) {
        SAME("%d|%i|%5d|%-5d|%05d|%20d|%-20d|%020d", signed_values[i], signed_values[i],
             signed_values[i], signed_values[i], signed_values[i], signed_values[i],
             signed_values[i], signed_values[i]);
    }
    for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        SAME("%u|%x|%6u|%-6u|%06u|%08x|%2x", values[i], values[i], values[i], values[i], values[i],
             values[i], values[i]);
    }
    for (unsigned i = 0; i < sizeof(longs) / sizeof(longs[0]); i++) {
        SAME("%ld|%lu|%lx|%016lx|%zu|%zx|%-22ld|%022ld", longs[i], (unsigned long)longs[i],
             (unsigned long)longs[i], (unsigned long)longs[i], (size_t)longs[i], (size_t)longs[i],
             longs[i], longs[i]);
        SAME("%lld %llu %llx", (long long)longs[i], (unsigned long long)longs[i],
             (unsigned long long)longs[i]);
    }
    SAME("%*d|%0*x|%-*u.", 7, 42, 9, 0xabcU, 4, 7U);
}

static void test_text(void **state)
{
    (void)state;
    SAME("plain");
    SAME("%s|%10s|%-10s|%2s", "hello", "hello", "hello", "hello");
    SAME("%.3s|%10.3s|%-10.3s|%.0s|%.9s", "hello", "hello", "hello", "hello", "hello");
    SAME("%.*s|%*s|%-*.*s|", 2, "hello", 8, "hello", 8, 3, "hello");
    SAME("%c%c%c", 'a', 'b', 'c');
    SAME("%s%%%s", "100", "!");
    SAME("%p", (void *)0xdeadbeefcafe);
}

/* A precision bounds what is read as well: text that does not end. */
static void test_text_without_end(void **state)
{
    char buffer[16];
    char *text = malloc(4);

    (void)state;
    assert_non_null(text);
    for (int i = 0; i < 4; i++) {
        text[i] = (char)('a' + i);
    }
    assert_int_equal(format(buffer, sizeof(buffer), "%.4s", text), 4);
    assert_string_equal(buffer, "abcd");
    free(text);
}

/* Called through a pointer that the compiler does not check the text of. */
static size_t (*volatile unchecked)(char *buffer, size_t size, const char *text, ...) = format;

static void test_odd_texts(void **state)
{
    char buffer[32];

    (void)state;
    assert_int_equal(unchecked(buffer, sizeof(buffer), "%s", NULL), 6);
    assert_string_equal(buffer, "(null)");
    unchecked(buffer, sizeof(buffer), "%p", NULL);
    assert_string_equal(buffer, "0x0");
    unchecked(buffer, sizeof(buffer), "a%q%-07kb%d", 1);
    assert_string_equal(buffer, "a%q%-07kb1");
    unchecked(buffer, sizeof(buffer), "100%");
    assert_string_equal(buffer, "100%");
    unchecked(buffer, sizeof(buffer), "a%-5");
    assert_string_equal(buffer, "a%-5");
    unchecked(buffer, sizeof(buffer), "%");
    assert_string_equal(buffer, "%");
}

/* Whatever the buffer's size: cut off there, terminated, and nothing written behind it. */
static void test_cut_off(void **state)
{
    const char expected[] = "[  -42|00ff|text   ]";

    (void)state;
    for (size_t size = 1; size <= sizeof(expected) + 2; size++) {
        char *buffer = malloc(size);
        size_t fits = size - 1 < strlen(expected) ? size - 1 : strlen(expected);

        assert_non_null(buffer);
        assert_int_equal(format(buffer, size, "[%5d|%04x|%-7s]", -42, 0xffU, "text"), fits);
        assert_memory_equal(buffer, expected, fits);
        assert_int_equal(buffer[fits], '\0');
        free(buffer);
    }
    char one = 'x';

    assert_int_equal(format(&one, 1, "%1000000s", ""), 0);
    assert_int_equal(one, '\0');
}

static size_t through_list(char *buffer, size_t size, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

/* The caller's list stays usable. */
static size_t through_list(char *buffer, size_t size, const char *text, ...)
{
    va_list arguments;

    va_start(arguments, text);
    size_t first = format_list(buffer, size, text, arguments);
    size_t second = format_list(buffer, size, text, arguments);

    va_end(arguments);
    assert_int_equal(first, second);
    return second;
}

static void test_list(void **state)
{
    char buffer[64];

    (void)state;
    assert_int_equal(through_list(buffer, sizeof(buffer), "%d %s %lx", 1, "two", 3UL), 7);
    assert_string_equal(buffer, "1 two 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),          cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_without_end), cmocka_unit_test(test_odd_texts),
        cmocka_unit_test(test_cut_off),          cmocka_unit_test(test_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
