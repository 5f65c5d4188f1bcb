/* Tests of the console switch: what the port is given, byte for byte, in every mode. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest-tests/host/scripted_host.h"
#include "vmm/console_switch.h"

static struct console_switch consoles;
static struct console_channel a;
static struct console_channel b;
static char port[3 * CONSOLE_RING];

static int set_up(void **state)
{
    (void)state;
    scripted_host_reset();
    memset(&consoles, 0, sizeof(consoles));
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    console_switch_add(&consoles, &a, "a");
    console_switch_add(&consoles, &b, "b");
    return 0;
}

static void guest_writes(struct console_channel *channel, const char *text)
{
    for (; *text != '\0'; text++) {
        console_channel_put(channel, (uint8_t)*text);
    }
}

static void own_line(const char *line)
{
    assert_true(console_switch_write(&consoles, line, strlen(line)));
}

/* All that the port would be given now, in FIFOs of 16 bytes. */
static const char *taken(void)
{
    size_t length = 0;
    size_t count;

    while ((count = console_switch_take(&consoles, (uint8_t *)port + length, 16)) > 0) {
        length += count;
        assert_true(length < sizeof(port) - 16);
    }
    port[length] = '\0';
    return port;
}

static void test_without_guests(void **state)
{
    (void)state;
    memset(&consoles, 0, sizeof(consoles));
    assert_string_equal(taken(), "");
    own_line("seedvisor: one\r\n");
    own_line("seedvisor: two\r\n");
    assert_int_equal(console_switch_room(&consoles), CONSOLE_OWN - 32);
    assert_string_equal(taken(), "seedvisor: one\r\nseedvisor: two\r\n");
    assert_int_equal(console_switch_room(&consoles), CONSOLE_OWN);
}

static void test_guest_in_view_passes_as_it_is(void **state)
{
    (void)state;
    guest_writes(&a, "\x1b[2J\r50%\r100%\r\n\tlogin: ");
    guest_writes(&b, "hidden\r\n");
    assert_string_equal(taken(), "\x1b[2J\r50%\r100%\r\n\tlogin: ");
    guest_writes(&a, "root\b");
    assert_string_equal(taken(), "root\b");
}

static void test_own_lines_follow_what_was_written_before(void **state)
{
    (void)state;
    guest_writes(&a, "Power down\r\n");
    own_line("seedvisor: ended\r\n");
    guest_writes(&a, "again\r\n");
    assert_string_equal(taken(), "Power down\r\nseedvisor: ended\r\nagain\r\n");
}

/* A line that the guest has not finished stays readable, and is shown again when it goes on. */
static void test_own_line_within_a_guests_line(void **state)
{
    (void)state;
    guest_writes(&a, "first\r\nlogin: ");
    assert_string_equal(taken(), "first\r\nlogin: ");
    own_line("seedvisor: one\r\n");
    own_line("seedvisor: two\r\n");
    guest_writes(&a, "root\r\n");
    assert_string_equal(taken(), "\r\nseedvisor: one\r\nseedvisor: two\r\nlogin: root\r\n");
}

static void test_long_unfinished_line_is_not_shown_again(void **state)
{
    (void)state;
    char line[CONSOLE_LINE + 2];

    memset(line, 'x', sizeof(line));
    line[CONSOLE_LINE + 1] = '\0';
    guest_writes(&a, line);
    assert_string_equal(taken(), line);
    own_line("seedvisor: one\r\n");
    guest_writes(&a, "y");
    assert_string_equal(taken(), "\r\nseedvisor: one\r\ny");
}

static void test_own_text_has_its_room(void **state)
{
    (void)state;
    char line[CONSOLE_LINE];

    memset(line, '.', sizeof(line));
    line[CONSOLE_LINE - 1] = '\n';
    for (unsigned i = 0; i < CONSOLE_OWN / CONSOLE_LINE; i++) {
        assert_true(console_switch_write(&consoles, line, sizeof(line)));
    }
    assert_int_equal(console_switch_room(&consoles), 0);
    assert_false(console_switch_write(&consoles, line, 1));
    assert_int_equal(strlen(taken()), CONSOLE_OWN);
    assert_true(console_switch_write(&consoles, line, sizeof(line)));
}

/*
 * A line waits for room while `floods` writes a line whenever it may, and says how much output goes
 * by until there is room.
 */
static size_t output_until_room(struct console_channel *floods)
{
    char line[CONSOLE_LINE];
    uint8_t fifo[16];
    size_t output = 0;

    memset(line, '-', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    while (console_channel_ready(floods)) {
        guest_writes(floods, "flood 0123456789\n");
    }
    while (console_switch_room(&consoles) >= sizeof(line)) {
        assert_true(console_switch_write(&consoles, line, sizeof(line)));
    }
    while (!console_switch_write(&consoles, line, sizeof(line))) {
        size_t count = console_switch_take(&consoles, fifo, sizeof(fifo));

        assert_int_equal(count, sizeof(fifo));
        output += count;
        assert_in_range(output, 0, 100 * CONSOLE_BACKLOG);
        while (console_channel_ready(floods)) {
            guest_writes(floods, "flood 0123456789\n");
        }
    }
    return output;
}

static void test_flood_does_not_keep_an_own_line_waiting(void **state)
{
    (void)state;
    assert_in_range(output_until_room(&a), CONSOLE_BACKLOG,
                    CONSOLE_BACKLOG + (size_t)2 * CONSOLE_LINE);
}

/* Nor do many lines of the others come with each short one that is due before it. */
static void test_prefixed_flood_does_not_keep_an_own_line_waiting(void **state)
{
    (void)state;
    console_switch_set_mode(&consoles, CONSOLE_PREFIXED);
    for (unsigned i = 0; i < 300; i++) {
        guest_writes(&b, "\n"); /* is "[b] \r\n" */
    }
    size_t flood = (size_t)(CONSOLE_BACKLOG / 17 + 1) * sizeof("[a] flood 0123456789\r");

    assert_in_range(output_until_room(&a), flood + 1800, flood + 1800 + (size_t)2 * CONSOLE_LINE);
}

static void test_only_the_guest_on_show_waits(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONSOLE_BACKLOG; i++) {
        assert_true(console_channel_ready(&a));
        console_channel_put(&a, 'x');
    }
    assert_false(console_channel_ready(&a));
    for (unsigned i = 0; i < 5 * CONSOLE_RING; i++) {
        assert_true(console_channel_ready(&b));
        console_channel_put(&b, 'x');
    }
    (void)taken();
    assert_true(console_channel_ready(&a));
    console_switch_set_mode(&consoles, CONSOLE_PREFIXED);
    assert_false(console_channel_ready(&b));
}

static void test_output_out_of_view_is_kept(void **state)
{
    (void)state;
    guest_writes(&a, "a speaks\r\n");
    guest_writes(&b, "b boots\r\nb: ");
    assert_string_equal(taken(), "a speaks\r\n");
    console_switch_select(&consoles, 1);
    assert_string_equal(taken(), "b boots\r\nb: ");
    guest_writes(&a, "a goes on\r\n");
    guest_writes(&b, "ls\r\n");
    assert_string_equal(taken(), "ls\r\n");
    /* What a wrote before it went out of view is its context. */
    console_switch_select(&consoles, 0);
    assert_string_equal(taken(), "a speaks\r\na goes on\r\n");
}

static void test_context_starts_with_a_line(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        char line[20];

        snprintf(line, sizeof(line), "line %02u ........\r\n", i);
        guest_writes(&a, line);
        (void)taken();
    }
    console_switch_select(&consoles, 1);
    assert_string_equal(taken(), "");
    console_switch_select(&consoles, 0);
    /* 1,024 bytes back from the end lies within line 43. */
    const char *text = taken();

    assert_memory_equal(text, "line 44 ........\r\nline 45", 25);
    assert_int_equal(strlen(text), 56 * 18);
}

static void test_context_of_one_endless_line_is_empty(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        console_channel_put(&a, '#');
        (void)taken();
    }
    console_switch_select(&consoles, 0);
    assert_string_equal(taken(), "");
    console_channel_put(&a, '!');
    assert_string_equal(taken(), "!");
}

static void test_oldest_output_is_lost_first_and_counted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONSOLE_RING + 100; i++) {
        console_channel_put(&b, (uint8_t)('a' + i % 26));
    }
    guest_writes(&b, "!");
    assert_int_equal(b.lost, 101);
    console_switch_select(&consoles, 1);
    assert_int_equal(b.lost, 0);
    const char *text = taken();

    assert_int_equal(strlen(text), CONSOLE_RING);
    assert_int_equal(text[0], 'a' + 101 % 26);
    assert_int_equal(text[CONSOLE_RING - 1], '!');
}

static void test_note_comes_before_the_other_console(void **state)
{
    (void)state;
    guest_writes(&a, "a: ");
    guest_writes(&b, "b: ");
    assert_string_equal(taken(), "a: ");
    own_line("seedvisor: console of b\r\n");
    console_switch_select(&consoles, 1);
    assert_string_equal(taken(), "\r\nseedvisor: console of b\r\nb: ");
    own_line("seedvisor: console of a\r\n");
    console_switch_select(&consoles, 0);
    assert_string_equal(taken(), "\r\nseedvisor: console of a\r\na: ");
}

static void test_prefixed_lines(void **state)
{
    (void)state;
    console_switch_set_mode(&consoles, CONSOLE_PREFIXED);
    guest_writes(&a, "one\r\n");
    guest_writes(&b, "half ");
    guest_writes(&a, "\r\ntwo\n");
    assert_string_equal(taken(), "[a] one\r\n[a] \r\n[a] two\r\n");
    own_line("seedvisor: own\r\n");
    assert_string_equal(taken(), "seedvisor: own\r\n");
    guest_writes(&b, "a line\r\n");
    assert_string_equal(taken(), "[b] half a line\r\n");
}

static void test_prefixed_lines_come_before_later_own_lines(void **state)
{
    (void)state;
    console_switch_set_mode(&consoles, CONSOLE_PREFIXED);
    guest_writes(&b, "1\n2\n");
    guest_writes(&a, "unfinished");
    own_line("seedvisor: own\r\n");
    guest_writes(&b, "3\n");
    assert_string_equal(taken(), "[b] 1\r\n[b] 2\r\nseedvisor: own\r\n[b] 3\r\n");
    console_channel_finish_line(&a);
    own_line("seedvisor: a ended\r\n");
    assert_string_equal(taken(), "[a] unfinished\r\nseedvisor: a ended\r\n");
}

static void test_prefixed_long_line_is_divided(void **state)
{
    (void)state;
    char expected[2 * CONSOLE_LINE + 64];
    char xs[CONSOLE_LINE + 1];

    console_switch_set_mode(&consoles, CONSOLE_PREFIXED);
    memset(xs, 'x', CONSOLE_LINE);
    xs[CONSOLE_LINE] = '\0';
    guest_writes(&a, xs);
    guest_writes(&a, "\r\n"); /* belongs to it, and makes no empty line */
    guest_writes(&a, xs);
    guest_writes(&a, "yz\r\n");
    snprintf(expected, sizeof(expected), "[a] %s\r\n[a] %s\r\n[a] yz\r\n", xs, xs);
    assert_string_equal(taken(), expected);
    /* Without a newline in sight it is shown all the same. */
    guest_writes(&a, xs);
    snprintf(expected, sizeof(expected), "[a] %s\r\n", xs);
    assert_string_equal(taken(), expected);
}

/* Work per line is bounded even if nothing of it shows. */
static void test_prefixed_carriage_returns(void **state)
{
    (void)state;
    console_switch_set_mode(&consoles, CONSOLE_PREFIXED);
    for (unsigned i = 0; i < 3 * CONSOLE_LINE; i++) {
        console_channel_put(&a, '\r');
    }
    guest_writes(&a, "x\n");
    assert_string_equal(taken(), "[a] \r\n[a] x\r\n");
}

/* A guest that always has a line ready gets every other line, whatever it writes. */
static void test_flood_leaves_the_other_its_turn(void **state)
{
    (void)state;
    console_switch_set_mode(&consoles, CONSOLE_PREFIXED);
    while (console_channel_ready(&a)) {
        guest_writes(&a, "flood\n");
    }
    guest_writes(&b, "1\n2\n3\n");
    const char *expected = "[b] 1\r\n[a] flood\r\n[b] 2\r\n[a] flood\r\n[b] 3\r\n[a] flood\r\n"
                           "[a] flood\r\n";

    assert_memory_equal(taken(), expected, strlen(expected));
}

static void test_mode_changes_in_mid_line(void **state)
{
    (void)state;
    guest_writes(&b, "kept\r\n");
    guest_writes(&a, "$ ");
    assert_string_equal(taken(), "$ ");
    console_switch_set_mode(&consoles, CONSOLE_PREFIXED);
    assert_string_equal(taken(), "\r\n[b] kept\r\n");
    guest_writes(&a, "ls\r\n$ ");
    assert_string_equal(taken(), "[a] ls\r\n");
    console_switch_set_mode(&consoles, CONSOLE_SWITCHED);
    assert_string_equal(taken(), "$ ");
}

static void test_held_output_waits_for_a_listing(void **state)
{
    (void)state;
    guest_writes(&a, "before\r\n");
    console_switch_hold(&consoles, true);
    own_line("seedvisor: 1\r\n");
    assert_string_equal(taken(), "seedvisor: 1\r\n");
    guest_writes(&a, "during\r\n");
    own_line("seedvisor: 2\r\n");
    assert_string_equal(taken(), "seedvisor: 2\r\n");
    console_switch_hold(&consoles, false);
    assert_string_equal(taken(), "before\r\nduring\r\n");
}

static void test_finish_lets_everything_go(void **state)
{
    (void)state;
    console_switch_set_mode(&consoles, CONSOLE_PREFIXED);
    console_switch_hold(&consoles, true);
    guest_writes(&a, "last");
    guest_writes(&b, "words");
    own_line("seedvisor: PANIC\r\n");
    console_switch_finish(&consoles);
    assert_string_equal(taken(), "[b] words\r\n[a] last\r\nseedvisor: PANIC\r\n");
}

/* Room counts what has been taken from the switch, not what waits within it. */
static void test_room_is_whole_when_all_is_taken(void **state)
{
    (void)state;
    uint8_t bytes[4];

    own_line("seedvisor: x\r\n");
    assert_int_equal(console_switch_take(&consoles, bytes, 4), 4);
    assert_memory_equal(bytes, "seed", 4);
    assert_int_equal(console_switch_room(&consoles), CONSOLE_OWN - 1);
    assert_string_equal(taken(), "visor: x\r\n");
    assert_int_equal(console_switch_room(&consoles), CONSOLE_OWN);
}

static void test_typing_goes_to_the_guest_in_view(void **state)
{
    (void)state;
    uint8_t byte;

    assert_false(console_channel_typed(&a, &byte));
    console_channel_drop_typed(&a);
    console_switch_type(&consoles, 0x1b);
    console_switch_type(&consoles, 0x03);
    console_switch_select(&consoles, 1);
    console_switch_type(&consoles, 'b');
    assert_true(console_channel_typed(&a, &byte));
    assert_int_equal(byte, 0x1b);
    assert_true(console_channel_typed(&a, &byte));
    assert_int_equal(byte, 0x1b);
    console_channel_drop_typed(&a);
    assert_true(console_channel_typed(&a, &byte));
    assert_int_equal(byte, 0x03);
    console_channel_drop_typed(&a);
    assert_false(console_channel_typed(&a, &byte));
    assert_true(console_channel_typed(&b, &byte));
    assert_int_equal(byte, 'b');
}

static void test_too_much_typing_is_lost(void **state)
{
    (void)state;
    uint8_t byte;

    for (unsigned i = 0; i < CONSOLE_TYPED + 10; i++) {
        console_switch_type(&consoles, (uint8_t)i);
    }
    for (unsigned i = 0; i < CONSOLE_TYPED; i++) {
        assert_true(console_channel_typed(&a, &byte));
        assert_int_equal(byte, (uint8_t)i);
        console_channel_drop_typed(&a);
    }
    assert_false(console_channel_typed(&a, &byte));
}

static void test_long_name_is_cut(void **state)
{
    (void)state;
    memset(&consoles, 0, sizeof(consoles));
    memset(&a, 0, sizeof(a));
    console_switch_add(&consoles, &a, "a-name-that-is-longer-than-any-may-be");
    console_switch_set_mode(&consoles, CONSOLE_PREFIXED);
    guest_writes(&a, "x\n");
    assert_string_equal(taken(), "[a-name-that-is-longer-than-any-] x\r\n");
}

static size_t flushed(void)
{
    return strlen(taken());
}

static size_t room(void)
{
    return console_switch_room(&consoles);
}

static size_t finished(void)
{
    console_switch_finish(&consoles);
    return 0;
}

static pthread_t worker;
static bool worked;

static void *work_for_a_while(void *unused)
{
    (void)unused;
    (void)usleep(20000);
    __atomic_store_n(&worked, true, __ATOMIC_SEQ_CST);
    spin_lock_release(&consoles.lock);
    return NULL;
}

/* A CPU was stopped while it held the lock: what it does not give back is taken from it, once. */
static void test_end_takes_the_lock_from_who_has_stopped(void **state)
{
    (void)state;
    scripted_host.step = 1;
    own_line("before\r\n");
    spin_lock_acquire(&consoles.lock);
    console_switch_end(&consoles, 1000);
    own_line("PANIC\r\n");
    assert_in_range(scripted_host.ticks, 1000, 1002);
    assert_string_equal(taken(), "before\r\nPANIC\r\n");
    assert_int_equal(console_switch_room(&consoles), CONSOLE_OWN);
    assert_true(scripted_host.ticks < 1020); /* it is free from then on */

    static size_t (*const takers[])(void) = {flushed, room, finished};

    for (unsigned i = 0; i < 3; i++) {
        spin_lock_acquire(&consoles.lock);
        scripted_host.ticks = 0;
        (void)takers[i]();
        assert_in_range(scripted_host.ticks, 1000, 1010);
    }
}

/* Who is at work is waited for. */
static void test_end_waits_for_who_is_at_work(void **state)
{
    (void)state;
    scripted_host.step = 1;
    console_switch_end(&consoles, UINT64_MAX);
    spin_lock_acquire(&consoles.lock);
    assert_int_equal(pthread_create(&worker, NULL, work_for_a_while, NULL), 0);
    own_line("PANIC\r\n");
    assert_true(__atomic_load_n(&worked, __ATOMIC_SEQ_CST));
    pthread_join(worker, NULL);
    assert_string_equal(taken(), "PANIC\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_without_guests, set_up),
        cmocka_unit_test_setup(test_guest_in_view_passes_as_it_is, set_up),
        cmocka_unit_test_setup(test_own_lines_follow_what_was_written_before, set_up),
        cmocka_unit_test_setup(test_own_line_within_a_guests_line, set_up),
        cmocka_unit_test_setup(test_long_unfinished_line_is_not_shown_again, set_up),
        cmocka_unit_test_setup(test_own_text_has_its_room, set_up),
        cmocka_unit_test_setup(test_flood_does_not_keep_an_own_line_waiting, set_up),
        cmocka_unit_test_setup(test_prefixed_flood_does_not_keep_an_own_line_waiting, set_up),
        cmocka_unit_test_setup(test_only_the_guest_on_show_waits, set_up),
        cmocka_unit_test_setup(test_output_out_of_view_is_kept, set_up),
        cmocka_unit_test_setup(test_context_starts_with_a_line, set_up),
        cmocka_unit_test_setup(test_context_of_one_endless_line_is_empty, set_up),
        cmocka_unit_test_setup(test_oldest_output_is_lost_first_and_counted, set_up),
        cmocka_unit_test_setup(test_note_comes_before_the_other_console, set_up),
        cmocka_unit_test_setup(test_prefixed_lines, set_up),
        cmocka_unit_test_setup(test_prefixed_lines_come_before_later_own_lines, set_up),
        cmocka_unit_test_setup(test_prefixed_long_line_is_divided, set_up),
        cmocka_unit_test_setup(test_prefixed_carriage_returns, set_up),
        cmocka_unit_test_setup(test_flood_leaves_the_other_its_turn, set_up),
        cmocka_unit_test_setup(test_mode_changes_in_mid_line, set_up),
        cmocka_unit_test_setup(test_held_output_waits_for_a_listing, set_up),
        cmocka_unit_test_setup(test_finish_lets_everything_go, set_up),
        cmocka_unit_test_setup(test_room_is_whole_when_all_is_taken, set_up),
        cmocka_unit_test_setup(test_typing_goes_to_the_guest_in_view, set_up),
        cmocka_unit_test_setup(test_too_much_typing_is_lost, set_up),
        cmocka_unit_test_setup(test_long_name_is_cut, set_up),
        cmocka_unit_test_setup(test_end_takes_the_lock_from_who_has_stopped, set_up),
        cmocka_unit_test_setup(test_end_waits_for_who_is_at_work, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
