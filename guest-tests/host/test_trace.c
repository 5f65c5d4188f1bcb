/* Tests of the ring of last exits: its order, its wrap, and what each kind of exit prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guest-tests/host/scripted_host.h"
#include "vmm/exit.h"
#include "vmm/trace.h"

static struct trace trace;

static int set_up(void **state)
{
    (void)state;
    scripted_host_reset();
    memset(&trace, 0, sizeof(trace));
    return 0;
}

static void test_empty(void **state)
{
    (void)state;
    trace_print(&trace);
    assert_string_equal(scripted_host.log, "last exits (0 in all):\n");
}

/* One exit, and the line that shows it. */
struct printed {
    struct vm_exit exit;
    const char *line;
};

static const struct printed cases[] = {
    {{.kind = EXIT_PORT, .port = {.port = 0x3f8, .size = 1, .write = true}},
     "port out 0x3f8, 1 bytes"},
    {{.kind = EXIT_PORT, .port = {.port = 0xcf8, .size = 4}}, "port in 0xcf8, 4 bytes"},
    {{.kind = EXIT_MEMORY, .memory = {.gpa = 0xd0000050, .write = true}},
     "memory write to GPA 0xd0000050"},
    {{.kind = EXIT_MEMORY, .memory = {.gpa = 0xfec00010}}, "memory read from GPA 0xfec00010"},
    {{.kind = EXIT_MEMORY, .memory = {.gpa = UINT64_MAX, .fetch = true, .walk = true}},
     "memory fetch from GPA 0xffffffffffffffff (page walk)"},
    {{.kind = EXIT_MSR_READ, .msr = {.index = 0x1b, .value = 5}}, "msr-read MSR 0x1b"},
    {{.kind = EXIT_MSR_WRITE, .msr = {.index = 0xc0000080, .value = 0xd01}},
     "msr-write 0xc0000080 = 0xd01"},
    {{.kind = EXIT_XSETBV, .msr = {.index = 0, .value = 7}}, "xsetbv 0x0 = 0x7"},
    {{.kind = EXIT_CONTROL_REGISTER, .control_register = {.number = 4, .value = 0x6f0}},
     "control-register CR4 = 0x6f0"},
    {{.kind = EXIT_EXCEPTION, .exception = {.vector = 17, .error_code = 3}},
     "exception vector 17, error code 0x3"},
    {{.kind = EXIT_EOI, .vector = 0x31}, "eoi vector 49"},
    {{.kind = EXIT_ENTRY_FAILED, .code = 0x80000021}, "entry-failed code 0x80000021"},
    {{.kind = EXIT_UNEXPECTED, .code = 9}, "unexpected code 0x9"},
    {{.kind = EXIT_CPUID}, "cpuid "},
    {{.kind = EXIT_KINDS}, "unknown "},
};

static void test_each_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[256];

        set_up(NULL);
        trace_record(&trace, 1000 + i, 0xffffffff81000000, &cases[i].exit);
        trace_print(&trace);
        snprintf(expected, sizeof(expected),
                 "last exits (1 in all):\n  0: tsc %zu rip 0xffffffff81000000 %s\n", 1000 + i,
                 cases[i].line);
        assert_string_equal(scripted_host.log, expected);
    }
}

/* Every kind has a name of its own. */
static void test_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < EXIT_KINDS; i++) {
        assert_non_null(exit_kind_name((enum exit_kind)i));
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(exit_kind_name((enum exit_kind)i),
                                    exit_kind_name((enum exit_kind)j));
        }
    }
}

/* After more exits than fit, the last ones are shown, oldest first, with their numbers. */
static void test_wrap(void **state)
{
    (void)state;
    const struct vm_exit exit = {.kind = EXIT_HALT};
    const char *line = scripted_host.log;

    for (unsigned i = 0; i < TRACE_LENGTH + 3; i++) {
        trace_record(&trace, 10ULL * i, i, &exit);
    }
    trace_print(&trace);
    assert_memory_equal(line, "last exits (19 in all):\n", 24);
    line = strchr(line, '\n') + 1;
    for (unsigned i = 3; i < TRACE_LENGTH + 3; i++) {
        char expected[64];
        int length =
            snprintf(expected, sizeof(expected), "  %u: tsc %u rip 0x%x halt \n", i, 10 * i, i);

        assert_memory_equal(line, expected, (size_t)length);
        line += length;
    }
    assert_string_equal(line, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty, set_up),
        cmocka_unit_test_setup(test_each_kind, set_up),
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup(test_wrap, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
