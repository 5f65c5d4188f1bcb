/* Tests of the CMOS clock: what it shows, how it is set, and its interrupts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "devices/rtc/rtc.h"

/* Monday 2026-11-23 17:04:09 UTC */
#define SOME_TIME 1795453449ULL
#define MINUTE    60ULL
#define HOUR      3600ULL
#define DAY       86400ULL

static struct rtc rtc;
static uint64_t now;
static bool level;
static unsigned edges;

static uint64_t now_seconds(void *context)
{
    assert_ptr_equal(context, &now);
    return now;
}

static void set_line(void *controller, unsigned pin, bool asserted)
{
    assert_ptr_equal(controller, &edges);
    assert_int_equal(pin, 8);
    edges += asserted && !level;
    level = asserted;
}

static int set_up(void **state)
{
    const struct rtc_clock clock = {now_seconds, &now};
    const struct irq_line line = {set_line, &edges, 8};

    (void)state;
    now = SOME_TIME;
    level = false;
    edges = 0;
    memset(&rtc, 0x5a, sizeof(rtc));
    rtc_init(&rtc, &clock, &line);
    return 0;
}

static uint8_t get(uint8_t index)
{
    rtc_bus_operations.write(&rtc, 0, 1, index);
    return (uint8_t)rtc_bus_operations.read(&rtc, 1, 1);
}

static void put(uint8_t index, uint8_t value)
{
    rtc_bus_operations.write(&rtc, 0, 1, index);
    rtc_bus_operations.write(&rtc, 1, 1, value);
}

/* Century, year, month, day, weekday, hour, minute, second as one checks them at a glance. */
static void assert_time(uint64_t date, uint8_t weekday, uint32_t clock)
{
    assert_int_equal(get(0x32), date >> 24);
    assert_int_equal(get(0x09), date >> 16 & 0xff);
    assert_int_equal(get(0x08), date >> 8 & 0xff);
    assert_int_equal(get(0x07), date & 0xff);
    assert_int_equal(get(0x06), weekday);
    assert_int_equal(get(0x04), clock >> 16);
    assert_int_equal(get(0x02), clock >> 8 & 0xff);
    assert_int_equal(get(0x00), clock & 0xff);
}

static void test_shows_the_time(void **state)
{
    (void)state;
    assert_time(0x20261123, 2, 0x170409);
    now++;
    assert_time(0x20261123, 2, 0x170410);
    now += 6 * HOUR + 55 * MINUTE + 50;
    assert_time(0x20261124, 3, 0x000000);
    assert_int_equal(get(0x0a), 0x26);
    assert_int_equal(get(0x0b), 0x02);
    assert_int_equal(get(0x0d), 0x80);
    now = 0;
    assert_time(0x19700101, 5, 0x000000);
    now = 951782399; /* the eve of a leap day that a century has every 400 years only */
    assert_time(0x20000228, 2, 0x235959);
    now++;
    assert_time(0x20000229, 3, 0x000000);
    now = 4107542399;
    assert_time(0x21000228, 1, 0x235959);
    now++;
    assert_time(0x21000301, 2, 0x000000);
    now = 253402300799;
    assert_time(0x99991231, 6, 0x235959);
}

static void test_every_day_as_the_c_library_has_it(void **state)
{
    (void)state;
    put(0x0b, 0x06); /* binary */
    for (now = 43200; now < DAY * 366 * 450; now += DAY) {
        time_t time = (time_t)now;
        struct tm expected;

        assert_non_null(gmtime_r(&time, &expected));
        assert_int_equal(get(0x32) * 100 + get(0x09), expected.tm_year + 1900);
        assert_int_equal(get(0x08), expected.tm_mon + 1);
        assert_int_equal(get(0x07), expected.tm_mday);
        assert_int_equal(get(0x06), expected.tm_wday + 1);
    }
}

static void test_formats(void **state)
{
    static const uint8_t bcd[] = {0x12, 0x01, 0x11, 0x92, 0x81, 0x91};
    static const uint8_t binary[] = {12, 1, 11, 0x8c, 0x81, 0x8b};
    static const uint8_t hours[] = {0, 1, 11, 12, 13, 23};

    (void)state;
    put(0x0b, 0x06);
    assert_time(0x141a0b17, 2, 0x110409);
    for (unsigned i = 0; i < sizeof(hours); i++) {
        now = SOME_TIME / DAY * DAY + hours[i] * HOUR;
        put(0x0b, 0x00);
        assert_int_equal(get(0x04), bcd[i]);
        put(0x0b, 0x04);
        assert_int_equal(get(0x04), binary[i]);
        /* Set in the same format it means the same. */
        put(0x04, binary[i]);
        put(0x0b, 0x02);
        assert_int_equal(get(0x04), hours[i] / 10 * 16 + hours[i] % 10);
    }
    assert_int_equal(rtc.offset, 0);
}

/* As Linux's mc146818_set_time() does. */
static void test_setting(void **state)
{
    (void)state;
    put(0x0b, 0x82);
    put(0x0a, 0x76);
    put(0x09, 0x30);
    put(0x08, 0x02);
    put(0x07, 0x28);
    put(0x04, 0x23);
    put(0x02, 0x59);
    put(0x00, 0x30);
    put(0x32, 0x20);
    now += 5; /* stands still meanwhile */
    assert_int_equal(get(0x00), 0x30);
    put(0x0b, 0x02);
    put(0x0a, 0x26);
    assert_time(0x20300228, 5, 0x235930);
    now += 30;
    assert_time(0x20300301, 6, 0x000000);
    rtc_reset(&rtc);
    now = SOME_TIME;
    assert_time(0x20261123, 2, 0x170409);
}

static void test_setting_one_register(void **state)
{
    (void)state;
    put(0x02, 0x30);
    assert_time(0x20261123, 2, 0x173009);
    put(0x32, 0x19);
    assert_time(0x19261123, 3, 0x173009);
    now += HOUR;
    assert_time(0x19261123, 3, 0x183009);
}

static void test_nonsense_becomes_some_date(void **state)
{
    (void)state;
    put(0x0b, 0x86);
    for (uint8_t index = 0; index < 0x0a; index++) {
        put(index, 0xff);
    }
    put(0x32, 0xff);
    put(0x0b, 0x06);
    /* 25755-12-255 with 255 hours, minutes and seconds; the century shows its last two digits. */
    assert_int_equal(get(0x08), 8);
    assert_int_equal(get(0x09), 56);
    put(0x0b, 0x86);
    for (uint8_t index = 0; index < 0x0a; index++) {
        put(index, 0);
    }
    put(0x32, 0);
    put(0x0b, 0x02);
    assert_int_equal(get(0x08), 0x12); /* the day before 0000-01-01 */
    assert_int_equal(get(0x07), 0x31);
}

static void test_memory_and_ports(void **state)
{
    (void)state;
    for (unsigned index = 0x0e; index < 0x80; index++) {
        if (index != 0x32) {
            assert_int_equal(get((uint8_t)index), 0);
            put((uint8_t)(index | 0x80), (uint8_t)~index); /* bit 7 of the index is not ours */
        }
    }
    for (unsigned index = 0x0e; index < 0x80; index++) {
        if (index != 0x32) {
            assert_int_equal(get((uint8_t)index), (uint8_t)~index);
        }
    }
    put(0x0a, 0xff);
    assert_int_equal(get(0x0a), 0x7f);
    put(0x0c, 0xff);
    assert_int_equal(get(0x0c), 0x00);
    put(0x0d, 0x00);
    assert_int_equal(get(0x0d), 0x80);
    rtc_bus_operations.write(&rtc, 0, 2, 0x5540);
    assert_int_equal(rtc_bus_operations.read(&rtc, 0, 2), 0x5540);
    assert_int_equal(rtc_bus_operations.read(&rtc, 0, 1), 0x40);
    rtc_reset(&rtc);
    assert_int_equal(get(0x40), 0);
}

static void test_update_interrupt(void **state)
{
    (void)state;
    assert_true(rtc_deadline(&rtc) == UINT64_MAX);
    put(0x0b, 0x12);
    assert_int_equal(rtc_deadline(&rtc), SOME_TIME + 1);
    rtc_poll(&rtc);
    assert_int_equal(edges, 0);
    now++;
    rtc_poll(&rtc);
    assert_int_equal(edges, 1);
    assert_true(rtc_deadline(&rtc) == UINT64_MAX);
    now++;
    rtc_poll(&rtc);
    assert_int_equal(edges, 1);
    assert_int_equal(get(0x0c), 0x90);
    assert_false(level);
    assert_int_equal(get(0x0c), 0x00);
    assert_int_equal(rtc_deadline(&rtc), SOME_TIME + 3);
    now++;
    rtc_poll(&rtc);
    assert_int_equal(edges, 2);
    get(0x0c);
    put(0x0b, 0x92); /* setting switches it off */
    assert_int_equal(get(0x0b), 0x82);
    now++;
    rtc_poll(&rtc);
    assert_int_equal(get(0x0c), 0x00);
    put(0x0b, 0x02);
    now++;
    assert_int_equal(get(0x0c), 0x10); /* polled, without the interrupt */
    assert_int_equal(edges, 2);
}

static void test_alarm(void **state)
{
    (void)state;
    put(0x01, 0x30);
    put(0x03, 0x59);
    put(0x05, 0x16); /* tomorrow */
    put(0x0b, 0x22);
    uint64_t due = SOME_TIME / DAY * DAY + DAY + 16 * HOUR + 59 * MINUTE + 30;
    assert_int_equal(rtc_deadline(&rtc), due);
    now = due - 1;
    rtc_poll(&rtc);
    assert_false(level);
    now = due;
    rtc_poll(&rtc);
    assert_true(level);
    assert_int_equal(get(0x0c), 0xb0);
    assert_int_equal(rtc_deadline(&rtc), due + DAY);
    /* Missed by far: it comes once, late. */
    now = due + 10 * DAY + 5;
    rtc_poll(&rtc);
    assert_int_equal(edges, 2);
    get(0x0c);
    assert_int_equal(rtc_deadline(&rtc), due + 11 * DAY);
}

static uint64_t alarm_after(uint8_t hour, uint8_t minute, uint8_t second)
{
    put(0x05, hour);
    put(0x03, minute);
    put(0x01, second);
    return rtc_deadline(&rtc) - SOME_TIME; /* it is 17:04:09 */
}

static void test_alarm_with_wild_cards(void **state)
{
    (void)state;
    put(0x0b, 0x22);
    assert_int_equal(alarm_after(0xff, 0xff, 0xff), 1);
    assert_int_equal(alarm_after(0xc0, 0xff, 0x10), 1);
    assert_int_equal(alarm_after(0xff, 0xff, 0x09), MINUTE);
    assert_int_equal(alarm_after(0xff, 0xff, 0x08), 59);
    assert_int_equal(alarm_after(0xff, 0x04, 0xff), 1);
    assert_int_equal(alarm_after(0xff, 0x03, 0xff), 59 * MINUTE - 9);
    assert_int_equal(alarm_after(0xff, 0x03, 0x59), 59 * MINUTE + 50);
    assert_int_equal(alarm_after(0x17, 0xff, 0xff), 1);
    assert_int_equal(alarm_after(0x16, 0xff, 0xff), 23 * HOUR - 4 * MINUTE - 9);
    assert_int_equal(alarm_after(0x17, 0x04, 0x09), DAY);
    assert_int_equal(alarm_after(0x17, 0x04, 0x10), 1);
    put(0x01, 0x60); /* never */
    assert_true(rtc_deadline(&rtc) == UINT64_MAX);
    put(0x01, 0x10);
    put(0x04, 0x18); /* setting the time moves it */
    assert_int_equal(rtc_deadline(&rtc), SOME_TIME + 23 * HOUR + 1);
    /* Afternoon, in 12-hour mode. */
    put(0x0b, 0x20);
    put(0x04, 0x85);
    put(0x05, 0x86);
    put(0x03, 0x00);
    put(0x01, 0x00);
    assert_int_equal(rtc_deadline(&rtc), SOME_TIME + HOUR - 4 * MINUTE - 9);
}

static void test_flags_wait_for_their_enable(void **state)
{
    (void)state;
    put(0x01, 0xff);
    put(0x03, 0xff);
    put(0x05, 0xff);
    now++;
    rtc_poll(&rtc);
    assert_int_equal(edges, 0);
    put(0x0b, 0x22);
    assert_int_equal(edges, 1);
    rtc_reset(&rtc);
    assert_false(level);
    assert_int_equal(get(0x0c), 0x00);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_shows_the_time, set_up),
        cmocka_unit_test_setup(test_every_day_as_the_c_library_has_it, set_up),
        cmocka_unit_test_setup(test_formats, set_up),
        cmocka_unit_test_setup(test_setting, set_up),
        cmocka_unit_test_setup(test_setting_one_register, set_up),
        cmocka_unit_test_setup(test_nonsense_becomes_some_date, set_up),
        cmocka_unit_test_setup(test_memory_and_ports, set_up),
        cmocka_unit_test_setup(test_update_interrupt, set_up),
        cmocka_unit_test_setup(test_alarm, set_up),
        cmocka_unit_test_setup(test_alarm_with_wild_cards, set_up),
        cmocka_unit_test_setup(test_flags_wait_for_their_enable, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
