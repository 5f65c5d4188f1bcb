/* Tests of the monitor: what each key does, and the exact words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest-tests/host/scripted_host.h"
#include "vmm/log.h"
#include "vmm/monitor.h"

#define ESCAPE "\x01"

static struct console_switch consoles;
static struct console_channel channels[3];
static struct vm vms[3];
static struct vcpu vcpus[3][2];
static struct monitor monitor;
static unsigned powered_off;

static bool print_statistics(const struct vm *vm, unsigned part)
{
    if (part < 3) {
        log_line("statistics of %s, part %u", vm->name, part);
    }
    return part < 3;
}

static bool print_entropy(void *context, unsigned part)
{
    assert_ptr_equal(context, &powered_off);
    if (part == 0) {
        log_line("healthy");
    }
    return part == 0;
}

static void power_off(void *context)
{
    assert_ptr_equal(context, &powered_off);
    powered_off++;
}

static const struct monitor_operations operations = {
    .print_statistics = print_statistics,
    .print_entropy = print_entropy,
    .power_off = power_off,
};

static int set_up(void **state)
{
    static const char *const names[] = {"alpha", "b", "c"};

    (void)state;
    scripted_host_reset();
    memset(&consoles, 0, sizeof(consoles));
    memset(channels, 0, sizeof(channels));
    memset(vms, 0, sizeof(vms));
    memset(vcpus, 0, sizeof(vcpus));
    powered_off = 0;
    monitor = (struct monitor){.consoles = &consoles,
                               .vm_count = 3,
                               .tsc_frequency = 1000,
                               .operations = &operations,
                               .context = &powered_off};
    for (unsigned i = 0; i < 3; i++) {
        console_switch_add(&consoles, &channels[i], names[i]);
        vms[i].name = names[i];
        vms[i].vcpus = vcpus[i];
        vms[i].vcpu_count = 1;
        monitor.vms[i] = &vms[i];
    }
    return 0;
}

/* Types, and lets listings come to their end. */
static void type(const char *keys)
{
    for (; *keys != '\0'; keys++) {
        monitor_input(&monitor, (uint8_t)*keys);
    }
    for (unsigned i = 0; i < 10; i++) {
        monitor_work(&monitor);
    }
}

/* What the monitor said since this was last asked. */
static const char *said(void)
{
    static char text[sizeof(scripted_host.log)];

    memcpy(text, scripted_host.log, sizeof(text));
    scripted_host.log[0] = '\0';
    return text;
}

/* What was typed for a guest since this was last asked. */
static const char *typed(unsigned guest)
{
    static char text[CONSOLE_TYPED + 1];
    size_t length = 0;
    uint8_t byte;

    while (console_channel_typed(&channels[guest], &byte)) {
        text[length++] = (char)byte;
        console_channel_drop_typed(&channels[guest]);
    }
    text[length] = '\0';
    return text;
}

static void test_typing_passes(void **state)
{
    (void)state;
    type("ls\r\x03\x1b[A\x1d\x7f");
    assert_string_equal(typed(0), "ls\r\x03\x1b[A\x1d\x7f");
    assert_string_equal(said(), "");
}

static void test_escape_can_be_typed(void **state)
{
    (void)state;
    type("x" ESCAPE ESCAPE "y" ESCAPE "az");
    assert_string_equal(typed(0), "x" ESCAPE "y" ESCAPE "z");
    assert_string_equal(said(), "");
}

static void test_switching(void **state)
{
    (void)state;
    type(ESCAPE "n1");
    assert_string_equal(said(), "console of guest 1, \"b\"\n");
    type(ESCAPE "n2" ESCAPE "n0");
    assert_string_equal(said(), "console of guest 2, \"c\"\nconsole of guest 0, \"alpha\"\n");
    type(ESCAPE "p2");
    assert_string_equal(said(), "console of guest 2, \"c\"\n");
    type(ESCAPE "p1" ESCAPE "00" ESCAPE "22");
    assert_string_equal(said(), "console of guest 1, \"b\"\nconsole of guest 0, \"alpha\"\n"
                                "console of guest 2, \"c\"\n");
    assert_string_equal(typed(0), "00");
    assert_string_equal(typed(1), "11");
    assert_string_equal(typed(2), "222");
    type(ESCAPE "3?");
    assert_string_equal(said(), "there is no guest 3; Ctrl-A l lists them\n");
    assert_string_equal(typed(2), "?");
}

static void test_lost_output_is_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONSOLE_RING + 7; i++) {
        console_channel_put(&channels[1], 'x');
    }
    type(ESCAPE "1");
    assert_string_equal(said(), "console of guest 1, \"b\"; 7 bytes are lost\n");
    type(ESCAPE "1");
    assert_string_equal(said(), "console of guest 1, \"b\"\n");
}

static void test_modes(void **state)
{
    (void)state;
    type(ESCAPE "v");
    assert_int_equal(consoles.mode, CONSOLE_PREFIXED);
    type(ESCAPE "2z");
    assert_string_equal(said(), "showing all guests, line by line\n"
                                "the keyboard is guest 2's, \"c\"\n");
    assert_string_equal(typed(2), "z");
    type(ESCAPE "v");
    assert_int_equal(consoles.mode, CONSOLE_SWITCHED);
    assert_string_equal(said(), "console of guest 2, \"c\"\n");
}

static void test_list(void **state)
{
    (void)state;
    vms[0].lifecycle.phase = LIFECYCLE_RUNNING;
    vms[0].lifecycle.restarts = 2;
    vms[0].state = VM_RUNNING;
    vms[0].vcpu_count = 2;
    vms[0].memory.count = 2;
    vms[0].memory.regions[0].size = 3ULL << 30;
    vms[0].memory.regions[1].size = 1ULL << 30;
    vcpus[0][0].trace.count = 1000;
    vcpus[0][1].trace.count = 234;
    vcpus[0][0].statistics.ticks_guest = 5000;
    vcpus[0][0].statistics.ticks_idle = 4000;
    vcpus[0][0].statistics.ticks_waiting = 2000;
    vcpus[0][0].statistics.ticks[EXIT_PORT] = 700;
    vcpus[0][0].statistics.ticks[EXIT_CPUID] = 300;
    vms[1].lifecycle.phase = LIFECYCLE_DOWN;
    vms[1].memory.count = 1;
    vms[1].memory.regions[0].size = 16ULL << 20;
    type(ESCAPE "1" ESCAPE "l");
    assert_string_equal(
        said(),
        "console of guest 1, \"b\"\n"
        "  0 alpha        running  vCPUs 2, memory 4096 MiB, up 12 s, exits 1234, restarts 2\n"
        "* 1 b            down     vCPUs 1, memory 16 MiB, up 0 s, exits 0, restarts 0\n"
        "  2 c            ready    vCPUs 1, memory 0 MiB, up 0 s, exits 0, restarts 0\n");
}

static void test_listings(void **state)
{
    (void)state;
    type(ESCAPE "s");
    assert_string_equal(said(), "statistics of alpha, part 0\nstatistics of alpha, part 1\n"
                                "statistics of alpha, part 2\n");
    type(ESCAPE "e");
    assert_string_equal(said(), "healthy\n");
    assert_false(consoles.held);
}

static void test_last_exits(void **state)
{
    (void)state;
    const struct trace_entry entry = {.ticks = 100, .exit = {.kind = EXIT_HALT, .rip = 0x1000}};

    vms[0].vcpu_count = 2;
    record_exit(&vcpus[0][1].trace, &entry);
    type(ESCAPE "t");
    assert_string_equal(said(), "guest \"alpha\", vCPU 0:\nlast exits (0 in all):\n"
                                "guest \"alpha\", vCPU 1:\nlast exits (1 in all):\n"
                                "  0: tsc 100 rip 0x1000 halt \n");
}

static unsigned debug_lines;
static char first_debug_line[64];
static char last_debug_line[64];

static void take_debug_line(const char *text)
{
    snprintf(debug_lines++ == 0 ? first_debug_line : last_debug_line, sizeof(last_debug_line), "%s",
             text);
}

/* The whole trace leaves by the debug port, some lines at a time. */
static void test_trace(void **state)
{
    (void)state;
    static struct device_trace events;
    static struct trace_entry history[TRACE_HISTORY];
    const struct trace_entry entry = {.exit = {.kind = EXIT_HALT}};

    scripted_host.debug_write = take_debug_line;
    debug_lines = 0;
    type(ESCAPE "w");
    assert_string_equal(said(), "guest \"alpha\" has no trace: it needs trace = on\n");
    assert_int_equal(debug_lines, 0);
    memset(&events, 0, sizeof(events));
    events.frequency = 1000;
    vms[0].device_trace = &events;
    vms[0].vcpu_count = 1;
    vcpus[0][0].trace.history = history;
    for (unsigned i = 0; i < 3 * VM_TRACE_STEP; i++) {
        record_exit(&vcpus[0][0].trace, &entry);
    }
    type(ESCAPE "w");
    assert_string_equal(said(), "guest \"alpha\": 96 lines of trace on port 0xe9\n");
    assert_int_equal(debug_lines, 1 + 3 * VM_TRACE_STEP + 1);
    assert_string_equal(first_debug_line, "seedvisor-trace: begin 1000 1 alpha\n");
    assert_string_equal(last_debug_line, "seedvisor-trace: end 96\n");
}

/* A listing goes part by part, only while the console has room, and guests' output waits. */
static void test_listing_waits_for_room(void **state)
{
    (void)state;
    char line[CONSOLE_LINE] = {0};
    uint8_t bytes[CONSOLE_LINE];

    while (console_switch_room(&consoles) >= 4096) {
        assert_true(console_switch_write(&consoles, line, sizeof(line)));
    }
    type(ESCAPE "s");
    assert_string_equal(said(), "");
    assert_true(consoles.held);
    assert_int_equal(console_switch_take(&consoles, bytes, sizeof(bytes)), sizeof(bytes));
    monitor_work(&monitor);
    assert_string_equal(said(), "statistics of alpha, part 0\n");
    monitor_work(&monitor);
    assert_string_equal(said(), "statistics of alpha, part 1\n");
    type(ESCAPE "q");
    assert_string_equal(said(), "");
    assert_false(consoles.held);
}

static void test_another_command_replaces_a_listing(void **state)
{
    (void)state;
    monitor_input(&monitor, MONITOR_ESCAPE);
    monitor_input(&monitor, 's');
    monitor_work(&monitor);
    type(ESCAPE "e");
    assert_string_equal(said(), "statistics of alpha, part 0\nhealthy\n");
}

struct asked {
    char key;
    enum lifecycle_phase phase;
    enum vm_request request; /* NONE: there is nothing to ask for */
    const char *said;
};

static void ask_guest_1(const struct asked *asked)
{
    const char keys[] = {MONITOR_ESCAPE, asked->key, '\0'};
    const unsigned kicks = scripted_host.kicks[5];

    vms[1].lifecycle.phase = asked->phase;
    vms[1].lifecycle.request = VM_REQUEST_NONE;
    type(keys);
    assert_string_equal(said(), asked->said);
    assert_int_equal(vms[1].lifecycle.request, asked->request);
    assert_int_equal(scripted_host.kicks[5], kicks + (asked->request != VM_REQUEST_NONE));
}

static void test_requests_go_to_the_guest_in_view(void **state)
{
    static const struct asked cases[] = {
        {'z', LIFECYCLE_RUNNING, VM_REQUEST_PAUSE, "Ctrl-A z, guest \"b\": pause it\n"},
        {'c', LIFECYCLE_RUNNING, VM_REQUEST_RESUME, "Ctrl-A c, guest \"b\": let it go on\n"},
        {'r', LIFECYCLE_RUNNING, VM_REQUEST_RESTART, "Ctrl-A r, guest \"b\": restart it\n"},
        {'r', LIFECYCLE_DOWN, VM_REQUEST_RESTART, "Ctrl-A r, guest \"b\": restart it\n"},
        {'k', LIFECYCLE_RUNNING, VM_REQUEST_STOP, "Ctrl-A k, guest \"b\": stop it\n"},
        {'k', LIFECYCLE_WIPING, VM_REQUEST_STOP, "Ctrl-A k, guest \"b\": stop it\n"},
        {'k', LIFECYCLE_READY, VM_REQUEST_STOP, "Ctrl-A k, guest \"b\": stop it\n"},
        {'o', LIFECYCLE_READY, VM_REQUEST_START,
         "Ctrl-A o, guest \"b\": start it, if it does not run\n"},
        {'o', LIFECYCLE_DOWN, VM_REQUEST_START,
         "Ctrl-A o, guest \"b\": start it, if it does not run\n"},
    };

    (void)state;
    vcpus[1][0].cpu = 5;
    type(ESCAPE "1");
    (void)said();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask_guest_1(&cases[i]);
    }
    assert_int_equal(vms[0].lifecycle.request, VM_REQUEST_NONE);
}

static void test_requests_of_no_effect_are_not_made(void **state)
{
    static const char down[] = "guest \"b\" is not running\n";
    static const struct asked cases[] = {
        {'z', LIFECYCLE_READY, VM_REQUEST_NONE, down},
        {'z', LIFECYCLE_DOWN, VM_REQUEST_NONE, down},
        {'c', LIFECYCLE_WIPING, VM_REQUEST_NONE, down},
        {'c', LIFECYCLE_DOWN, VM_REQUEST_NONE, down},
        {'k', LIFECYCLE_READY, VM_REQUEST_NONE, down},
        {'k', LIFECYCLE_DOWN, VM_REQUEST_NONE, down},
        {'o', LIFECYCLE_RUNNING, VM_REQUEST_NONE, "guest \"b\" is running already\n"},
    };

    (void)state;
    vcpus[1][0].cpu = 5;
    vms[1].lifecycle.start_time = UINT64_MAX; /* only when asked for */
    type(ESCAPE "1");
    (void)said();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask_guest_1(&cases[i]);
    }
}

static void test_power_off_wants_a_yes(void **state)
{
    (void)state;
    type(ESCAPE "xn");
    assert_string_equal(said(), "end all guests and switch the machine off? y/n\n"
                                "not switched off\n");
    assert_int_equal(powered_off, 0);
    type(ESCAPE "xy");
    assert_int_equal(powered_off, 1);
    type(ESCAPE "xY");
    assert_int_equal(powered_off, 2);
    type("y");
    assert_int_equal(powered_off, 2);
    assert_string_equal(typed(0), "y");
}

static void test_help_names_every_command(void **state)
{
    (void)state;
    static const char help[] =
        "Ctrl-A and a key; \"the guest\" is 0, \"alpha\", whose the keyboard is:\n"
        "  h  this help\n"
        "  l  list the guests\n"
        "  n  the next guest's console (0 to 9: that guest's)\n"
        "  p  the previous guest's console\n"
        "  v  show all guests, line by line, or only one\n"
        "  s  statistics of the guest\n"
        "  t  the last exits of each of its vCPUs\n"
        "  w  write its trace to port 0xe9, for tools/trace\n"
        "  z  pause it\n"
        "  c  let it go on\n"
        "  r  restart it\n"
        "  k  stop it\n"
        "  o  start it, if it does not run\n"
        "  e  test the entropy source and tell its health\n"
        "  x  switch the machine off\n"
        "  q  nothing; ends a listing\n"
        "  a  send Ctrl-A to the guest, as Ctrl-A Ctrl-A does\n";

    type(ESCAPE "h");
    assert_string_equal(said(), help);
    type(ESCAPE "?");
    assert_string_equal(said(), help);
    type(ESCAPE "\x1bx");
    assert_string_equal(said(), "Ctrl-A and 0x1b is no command; Ctrl-A h lists them\n");
    assert_string_equal(typed(0), "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_typing_passes, set_up),
        cmocka_unit_test_setup(test_escape_can_be_typed, set_up),
        cmocka_unit_test_setup(test_switching, set_up),
        cmocka_unit_test_setup(test_lost_output_is_told, set_up),
        cmocka_unit_test_setup(test_modes, set_up),
        cmocka_unit_test_setup(test_list, set_up),
        cmocka_unit_test_setup(test_listings, set_up),
        cmocka_unit_test_setup(test_last_exits, set_up),
        cmocka_unit_test_setup(test_trace, set_up),
        cmocka_unit_test_setup(test_listing_waits_for_room, set_up),
        cmocka_unit_test_setup(test_another_command_replaces_a_listing, set_up),
        cmocka_unit_test_setup(test_requests_go_to_the_guest_in_view, set_up),
        cmocka_unit_test_setup(test_requests_of_no_effect_are_not_made, set_up),
        cmocka_unit_test_setup(test_power_off_wants_a_yes, set_up),
        cmocka_unit_test_setup(test_help_names_every_command, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
