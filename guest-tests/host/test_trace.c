/* Tests of the rings of exits and device events: order, wrap, and how they print. */
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
#include "vmm/vm_trace.h"

static struct trace trace;

static int set_up(void **state)
{
    (void)state;
    scripted_host_reset();
    memset(&trace, 0, sizeof(trace));
    return 0;
}

static void record(uint64_t ticks, uint64_t rip, const struct vm_exit *exit)
{
    struct trace_entry entry = {.entered = ticks - 5, .ticks = ticks, .exit = *exit};

    entry.exit.rip = rip;
    record_exit(&trace, &entry);
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
    {{.kind = EXIT_RANDOM, .random = {.reg = 11, .size = 8}}, "random register 11, 8 bytes"},
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
        record(1000 + i, 0xffffffff81000000, &cases[i].exit);
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
        record(10ULL * i, i, &exit);
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

/* With a history, each exit can be read until its place is next to be written. */
static void test_history(void **state)
{
    (void)state;
    static struct trace_entry history[TRACE_HISTORY];
    struct trace_entry entry;

    trace.history = history;
    for (unsigned i = 0; i < TRACE_HISTORY + 3; i++) {
        const struct vm_exit exit = {.kind = EXIT_EOI, .vector = (uint8_t)i};

        record(10ULL * i, i, &exit);
    }
    assert_int_equal(trace.count, TRACE_HISTORY + 3);
    assert_false(trace_read(&trace, 0, &entry));
    assert_false(trace_read(&trace, 3, &entry));
    for (unsigned i = 4; i < TRACE_HISTORY + 3; i++) {
        assert_true(trace_read(&trace, i, &entry));
        assert_int_equal(entry.entered, 10 * i - 5);
        assert_int_equal(entry.ticks, 10 * i);
        assert_int_equal(entry.exit.rip, i);
        assert_int_equal(entry.exit.kind, EXIT_EOI);
        assert_int_equal(entry.exit.vector, i % 256);
    }
    /* The crash report is as it was. */
    trace_print(&trace);
    assert_memory_equal(scripted_host.log, "last exits (4099 in all):\n  4083: tsc 40830", 43);
}

static void test_device_events(void **state)
{
    (void)state;
    static struct device_trace events;
    struct device_event event;

    memset(&events, 0, sizeof(events));
    device_trace_record(NULL, DEVICE_KICK, 1); /* switched off: nothing to be seen */
    scripted_host.ticks = 1000;
    scripted_host.step = 7;
    for (unsigned i = 0; i < DEVICE_TRACE_LENGTH + 1; i++) {
        device_trace_record(&events, (enum device_event_kind)(i % DEVICE_EVENT_KINDS), i);
    }
    assert_int_equal(events.count, DEVICE_TRACE_LENGTH + 1);
    assert_false(device_trace_read(&events, 0, &event));
    assert_false(device_trace_read(&events, 1, &event));
    for (unsigned i = 2; i < DEVICE_TRACE_LENGTH + 1; i++) {
        assert_true(device_trace_read(&events, i, &event));
        assert_int_equal(event.ticks, 1000 + 7 * i);
        assert_int_equal(event.kind, i % DEVICE_EVENT_KINDS);
        assert_int_equal(event.value, i);
    }
    assert_string_equal(device_event_name(DEVICE_KICK), "kick");
    assert_string_equal(device_event_name(DEVICE_COMPLETION), "completion");
    assert_string_equal(device_event_name(DEVICE_PARKED), "parked");
    assert_string_equal(device_event_name(DEVICE_INTERRUPT), "interrupt");
    assert_string_equal(device_event_name(DEVICE_RESET), "reset");
    assert_string_equal(device_event_name(DEVICE_NEEDS_RESET), "needs-reset");
    assert_string_equal(device_event_name(DEVICE_EVENT_KINDS), "unknown");
}

static char dumped[1 << 20];
static size_t dumped_length;

static void write_dump(const char *text)
{
    size_t length = strlen(text);

    assert_true(dumped_length + length < sizeof(dumped));
    memcpy(dumped + dumped_length, text, length + 1);
    dumped_length += length;
}

static void test_dump(void **state)
{
    (void)state;
    static uint8_t memory[1 << 20];
    static struct vcpu vcpus[2];
    struct vm vm = {.name = "a guest", .vcpus = vcpus, .vcpu_count = 2};
    struct arena arena;

    dumped_length = 0;
    scripted_host.debug_write = write_dump;
    memset(vcpus, 0, sizeof(vcpus));
    vcpus[1].index = 1;
    vm_trace_dump(&vm); /* not enabled: nothing */
    assert_int_equal(dumped_length, 0);
    arena_init(&arena, memory, vm_trace_size(2));
    assert_true(vm_trace_enable(&vm, 2000000000, &arena));
    assert_int_equal(arena.used, arena.size);

    const struct trace_entry port = {.entered = 100,
                                     .ticks = 150,
                                     .exit = {.kind = EXIT_PORT,
                                              .rip = 0xffffffff81000000,
                                              .port = {.port = 0x3f8, .size = 1, .write = true}}};
    const struct trace_entry halt = {
        .entered = 170, .ticks = 180, .exit = {.kind = EXIT_HALT, .rip = 0x1000}};

    record_exit(&vcpus[0].trace, &port);
    record_exit(&vcpus[1].trace, &port);
    record_exit(&vcpus[1].trace, &halt);
    scripted_host.ticks = 155;
    device_trace_record(vm.device_trace, DEVICE_COMPLETION, 64);
    vm_trace_dump(&vm);
    assert_string_equal(dumped, "seedvisor-trace: begin 2000000000 2 a guest\n"
                                "x 0 0 100 150 ffffffff81000000 port out 0x3f8, 1 bytes\n"
                                "x 1 0 100 150 ffffffff81000000 port out 0x3f8, 1 bytes\n"
                                "x 1 1 170 180 1000 halt\n"
                                "d 0 155 completion 64\n"
                                "seedvisor-trace: end 4\n");
}

/* What has left the rings is left out, and the count of lines says so. */
static void test_dump_of_full_rings(void **state)
{
    (void)state;
    static uint8_t memory[1 << 20];
    static struct vcpu vcpu;
    struct vm vm = {.name = "g", .vcpus = &vcpu, .vcpu_count = 1};
    const struct trace_entry entry = {.exit = {.kind = EXIT_CPUID}};
    struct arena arena;

    dumped_length = 0;
    scripted_host.debug_write = write_dump;
    memset(&vcpu, 0, sizeof(vcpu));
    arena_init(&arena, memory, sizeof(memory));
    assert_true(vm_trace_enable(&vm, 1, &arena));
    for (unsigned i = 0; i < 5000; i++) {
        record_exit(&vcpu.trace, &entry);
        device_trace_record(vm.device_trace, DEVICE_KICK, 0);
    }
    vm_trace_dump(&vm);
    assert_memory_equal(dumped, "seedvisor-trace: begin 1 1 g\nx 0 905 0 0 0 cpuid\n", 49);
    assert_non_null(strstr(dumped, "x 0 4999 0 0 0 cpuid\nd 905 0 kick 0\n"));
    assert_non_null(strstr(dumped, "d 4999 0 kick 0\nseedvisor-trace: end 8190\n"));
}

static void test_arena_too_small(void **state)
{
    (void)state;
    static uint8_t memory[1 << 20];

    for (unsigned missing = 1; missing < 3; missing++) {
        struct vcpu vcpus[2] = {0};
        struct vm vm = {.name = "g", .vcpus = vcpus, .vcpu_count = 2};
        struct arena arena;

        arena_init(&arena, memory, missing == 1 ? vm_trace_size(2) - 1 : 8);
        assert_false(vm_trace_enable(&vm, 1, &arena));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty, set_up),
        cmocka_unit_test_setup(test_each_kind, set_up),
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup(test_wrap, set_up),
        cmocka_unit_test_setup(test_history, set_up),
        cmocka_unit_test_setup(test_device_events, set_up),
        cmocka_unit_test_setup(test_dump, set_up),
        cmocka_unit_test_setup(test_dump_of_full_rings, set_up),
        cmocka_unit_test_setup(test_arena_too_small, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
