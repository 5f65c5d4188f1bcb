/* The CMOS clock (MC146818 data sheet): the calendar, its registers, alarm and update interrupts.
 */
#include "devices/rtc/rtc.h"

#include <string.h>

/* Ports. */
#define PORT_INDEX 0
#define PORT_DATA  1

enum rtc_register {
    SECOND = 0x00,
    SECOND_ALARM = 0x01,
    MINUTE = 0x02,
    MINUTE_ALARM = 0x03,
    HOUR = 0x04,
    HOUR_ALARM = 0x05,
    WEEKDAY = 0x06, /* 1 is Sunday */
    DAY = 0x07,
    MONTH = 0x08,
    YEAR = 0x09,
    REGISTER_A = 0x0a,
    REGISTER_B = 0x0b,
    REGISTER_C = 0x0c,
    REGISTER_D = 0x0d,
    CENTURY = 0x32,
};

#define A_UPDATE_IN_PROGRESS 0x80
#define A_AT_RESET           0x26 /* 32,768 Hz time base, 1,024 Hz periodic rate */

#define B_SET     0x80 /* the guest sets the time: no updates */
#define B_ALARM   0x20 /* enables, at the same bits as the flags in C */
#define B_UPDATE  0x10
#define B_BINARY  0x04
#define B_24_HOUR 0x02

#define C_IRQ     0x80
#define C_ALARM   0x20
#define C_UPDATE  0x10
#define C_SOURCES 0x70

#define D_VALID_RAM 0x80

#define HOUR_PM          0x80
#define ALARM_DONT_CARE  0xc0 /* and all above */
#define ANY              (-1)
#define MINUTE_SECONDS   60LL
#define HOUR_SECONDS     3600LL
#define DAY_SECONDS      86400LL
#define CALENDAR_DAYS    146097 /* in the 400 years after which the Gregorian calendar repeats */
#define DAYS_BEFORE_1970 719468 /* from 1 March of year 0 */

/* The calendar. Years are counted from 1 March, so that the leap day is a year's last. */

static int64_t floor_divide(int64_t value, int64_t divisor)
{
    return (value - (value < 0 ? divisor - 1 : 0)) / divisor;
}

/* Days before the first of the month, with March as month 0. */
static int64_t days_before_month(int64_t month)
{
    return (153 * month + 2) / 5;
}

static int64_t days_before_year(int64_t year)
{
    return year * 365 + year / 4 - year / 100 + year / 400;
}

/* Days since 1 January 1970. `year` is at least 0, `month` 1 to 12; `day` may be any. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    int64_t months = (month + 9) % 12;

    /* One calendar cycle more, so that January of year 0 is no negative year. */
    year += 400 - (month <= 2);
    return days_before_year(year) - CALENDAR_DAYS + days_before_month(months) + day - 1 -
           DAYS_BEFORE_1970;
}

static void date_from_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += DAYS_BEFORE_1970;
    int64_t cycle = floor_divide(days, CALENDAR_DAYS);

    days -= cycle * CALENDAR_DAYS;
    int64_t y = days / 365; /* right, or up to one too many */

    if (days_before_year(y) > days) {
        y--;
    }
    days -= days_before_year(y);
    int64_t months = (5 * days + 2) / 153;

    *day = days - days_before_month(months) + 1;
    *month = (months + 2) % 12 + 1;
    *year = y + 400 * cycle + (*month <= 2);
}

/* Registers and numbers. */

static uint8_t encode(const struct rtc *rtc, int64_t value)
{
    bool binary = (rtc->memory[REGISTER_B] & B_BINARY) != 0;

    return (uint8_t)(binary ? value : value / 10 * 16 + value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
    bool binary = (rtc->memory[REGISTER_B] & B_BINARY) != 0;

    return binary ? value : (value >> 4) * 10 + (value & 0xf);
}

static uint8_t encode_hour(const struct rtc *rtc, int64_t hour)
{
    if ((rtc->memory[REGISTER_B] & B_24_HOUR) != 0) {
        return encode(rtc, hour);
    }
    return encode(rtc, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
    if ((rtc->memory[REGISTER_B] & B_24_HOUR) != 0) {
        return decode(rtc, value);
    }
    return decode(rtc, value & (uint8_t)~HOUR_PM) % 12 + ((value & HOUR_PM) != 0 ? 12 : 0);
}

static int64_t guest_time(const struct rtc *rtc, uint64_t now)
{
    return (int64_t)now + rtc->offset;
}

/* Puts the present time into the registers. */
static void load_time(struct rtc *rtc)
{
    int64_t time = guest_time(rtc, rtc->clock.now_seconds(rtc->clock.context));
    int64_t days = floor_divide(time, DAY_SECONDS);
    int64_t second = time - days * DAY_SECONDS;
    int64_t year;
    int64_t month;
    int64_t day;

    date_from_days(days, &year, &month, &day);
    rtc->memory[SECOND] = encode(rtc, second % 60);
    rtc->memory[MINUTE] = encode(rtc, second / MINUTE_SECONDS % 60);
    rtc->memory[HOUR] = encode_hour(rtc, second / HOUR_SECONDS);
    /* 1 January 1970 was a Thursday. */
    rtc->memory[WEEKDAY] = (uint8_t)(days + 4 - floor_divide(days + 4, 7) * 7 + 1);
    rtc->memory[DAY] = encode(rtc, day);
    rtc->memory[MONTH] = encode(rtc, month);
    rtc->memory[YEAR] = encode(rtc, year % 100);
    rtc->memory[CENTURY] = encode(rtc, year / 100 % 100);
}

/* Takes the time from the registers. What is no date becomes the nearest thing that is one. */
static void store_time(struct rtc *rtc)
{
    int64_t year = decode(rtc, rtc->memory[CENTURY]) * 100 + decode(rtc, rtc->memory[YEAR]);
    int month = decode(rtc, rtc->memory[MONTH]);

    month = month < 1 ? 1 : month > 12 ? 12 : month;
    int64_t days = days_from_date(year, month, decode(rtc, rtc->memory[DAY]));
    int64_t time = days * DAY_SECONDS + decode_hour(rtc, rtc->memory[HOUR]) * HOUR_SECONDS +
                   decode(rtc, rtc->memory[MINUTE]) * MINUTE_SECONDS +
                   decode(rtc, rtc->memory[SECOND]);

    rtc->offset = time - (int64_t)rtc->clock.now_seconds(rtc->clock.context);
}

static bool is_time_register(uint8_t index)
{
    return index == CENTURY ||
           (index <= YEAR && index != SECOND_ALARM && index != MINUTE_ALARM && index != HOUR_ALARM);
}

static bool setting(const struct rtc *rtc)
{
    return (rtc->memory[REGISTER_B] & B_SET) != 0;
}

/* The alarm and the interrupt. */

static int alarm_field(int value, uint8_t raw)
{
    return raw >= ALARM_DONT_CARE ? ANY : value;
}

/*
 * The first time after `time` at which the hour, minute and second fit; INT64_MAX if none can. A
 * step passes a whole hour or minute that does not fit, which makes fewer than 300 steps.
 */
static int64_t next_match(int64_t time, int hour, int minute, int second)
{
    if (hour > 23 || minute > 59 || second > 59) {
        return INT64_MAX;
    }
    for (time++;;) {
        int64_t of_day = time - floor_divide(time, DAY_SECONDS) * DAY_SECONDS;

        if (hour != ANY && of_day / HOUR_SECONDS != hour) {
            time += HOUR_SECONDS - of_day % HOUR_SECONDS;
        } else if (minute != ANY && of_day / MINUTE_SECONDS % 60 != minute) {
            time += MINUTE_SECONDS - of_day % MINUTE_SECONDS;
        } else if (second != ANY && of_day % 60 != second) {
            time++;
        } else {
            return time;
        }
    }
}

static void schedule_alarm(struct rtc *rtc)
{
    const uint8_t *memory = rtc->memory;
    int64_t match =
        next_match(guest_time(rtc, rtc->updated),
                   alarm_field(decode_hour(rtc, memory[HOUR_ALARM]), memory[HOUR_ALARM]),
                   alarm_field(decode(rtc, memory[MINUTE_ALARM]), memory[MINUTE_ALARM]),
                   alarm_field(decode(rtc, memory[SECOND_ALARM]), memory[SECOND_ALARM]));

    rtc->alarm = match == INT64_MAX ? UINT64_MAX : (uint64_t)(match - rtc->offset);
}

static void update_line(const struct rtc *rtc)
{
    uint8_t sources = rtc->memory[REGISTER_C] & rtc->memory[REGISTER_B] & C_SOURCES;

    irq_line_set(&rtc->line, sources != 0);
}

void rtc_poll(struct rtc *rtc)
{
    uint64_t now = rtc->clock.now_seconds(rtc->clock.context);

    if (now <= rtc->updated) {
        return;
    }
    rtc->updated = now;
    if (setting(rtc)) {
        return;
    }
    rtc->memory[REGISTER_C] |= C_UPDATE;
    if (now >= rtc->alarm) {
        rtc->memory[REGISTER_C] |= C_ALARM;
        schedule_alarm(rtc);
    }
    update_line(rtc);
}

uint64_t rtc_deadline(const struct rtc *rtc)
{
    uint8_t enabled = rtc->memory[REGISTER_B];

    if (setting(rtc) || (rtc->memory[REGISTER_C] & enabled & C_SOURCES) != 0) {
        return UINT64_MAX; /* the line is up until the guest reads C */
    }
    if ((enabled & B_UPDATE) != 0) {
        return rtc->updated + 1;
    }
    return (enabled & B_ALARM) != 0 ? rtc->alarm : UINT64_MAX;
}

/* Access. */

static uint8_t read_c(struct rtc *rtc)
{
    uint8_t flags = rtc->memory[REGISTER_C];

    if ((flags & rtc->memory[REGISTER_B] & C_SOURCES) != 0) {
        flags |= C_IRQ;
    }
    rtc->memory[REGISTER_C] = 0;
    update_line(rtc);
    return flags;
}

static void write_b(struct rtc *rtc, uint8_t value)
{
    bool was_setting = setting(rtc);

    if (!was_setting && (value & B_SET) != 0) {
        load_time(rtc);
    }
    if ((value & B_SET) != 0) {
        value &= (uint8_t)~B_UPDATE; /* as the data sheet has it */
    }
    rtc->memory[REGISTER_B] = value;
    if (was_setting && (value & B_SET) == 0) {
        store_time(rtc);
    }
    update_line(rtc);
}

static uint8_t read_register(struct rtc *rtc)
{
    if (rtc->index == REGISTER_C) {
        return read_c(rtc);
    }
    if (is_time_register(rtc->index) && !setting(rtc)) {
        load_time(rtc);
    }
    return rtc->memory[rtc->index];
}

static void write_register(struct rtc *rtc, uint8_t value)
{
    switch (rtc->index) {
    case REGISTER_A:
        rtc->memory[REGISTER_A] = value & (uint8_t)~A_UPDATE_IN_PROGRESS;
        return;
    case REGISTER_B:
        write_b(rtc, value);
        break;
    case REGISTER_C:
    case REGISTER_D:
        return;
    default:
        if (!is_time_register(rtc->index) || setting(rtc)) {
            rtc->memory[rtc->index] = value;
        } else {
            load_time(rtc);
            rtc->memory[rtc->index] = value;
            store_time(rtc);
        }
        break;
    }
    schedule_alarm(rtc);
}

static uint64_t rtc_read(void *device, uint64_t offset, unsigned size)
{
    struct rtc *rtc = device;
    uint64_t value = offset == PORT_INDEX ? rtc->index : 0;

    if (offset == PORT_DATA || size > 1) {
        rtc_poll(rtc);
        value |= (uint64_t)read_register(rtc) << (offset == PORT_DATA ? 0 : 8);
    }
    return value;
}

static void rtc_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct rtc *rtc = device;

    if (offset == PORT_INDEX) {
        rtc->index = value & (RTC_MEMORY_SIZE - 1);
        value >>= 8;
    }
    if (offset == PORT_DATA || size > 1) {
        rtc_poll(rtc);
        write_register(rtc, (uint8_t)value);
    }
}

const struct bus_operations rtc_bus_operations = {rtc_read, rtc_write};

void rtc_reset(struct rtc *rtc)
{
    memset(rtc->memory, 0, sizeof(rtc->memory));
    rtc->memory[REGISTER_A] = A_AT_RESET;
    rtc->memory[REGISTER_B] = B_24_HOUR;
    rtc->memory[REGISTER_D] = D_VALID_RAM;
    rtc->index = 0;
    rtc->offset = 0;
    rtc->updated = rtc->clock.now_seconds(rtc->clock.context);
    schedule_alarm(rtc);
    update_line(rtc);
}

void rtc_init(struct rtc *rtc, const struct rtc_clock *clock, const struct irq_line *line)
{
    rtc->clock = *clock;
    rtc->line = *line;
    rtc_reset(rtc);
}
