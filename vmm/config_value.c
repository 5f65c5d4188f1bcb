/* Typed values of seedvisor.conf. Bounded work, no allocation. */
#include "vmm/config_value.h"

#include <string.h>

#include "vmm/config.h"
#include "vmm/format.h"

#define PERIOD_MAXIMUM 3600000 /* ms: an hour */

/* As short as it can be said: 2097152 is 2M. */
static void print_size(uint64_t size, char *text, size_t text_size)
{
    unsigned unit = 0;

    while (unit < 3 && size != 0 && size % 1024 == 0) {
        size /= 1024;
        unit++;
    }
    format(text, text_size, "%lu%.*s", size, unit == 0 ? 0 : 1, &" KMG"[unit]);
}

static void store_number(const struct config_key *key, void *section, uint64_t number)
{
    memcpy((char *)section + key->offset, &number, sizeof(number));
}

static bool parse_size_value(const struct config_key *key, struct config_span value, void *section,
                             char *expected, size_t expected_size)
{
    uint64_t size;
    char first[24];
    char last[24];

    if (!config_span_size(value, &size)) {
        format(expected, expected_size, "expected a size such as %s", key->example);
        return false;
    }
    if (size < key->minimum || size > key->maximum) {
        print_size(key->minimum, first, sizeof(first));
        print_size(key->maximum, last, sizeof(last));
        format(expected, expected_size, "expected a size from %s to %s", first, last);
        return false;
    }
    if (size % key->multiple != 0) {
        print_size(key->multiple, first, sizeof(first));
        format(expected, expected_size, "expected a multiple of %s", first);
        return false;
    }
    store_number(key, section, size);
    return true;
}

static bool parse_number_value(const struct config_key *key, struct config_span value,
                               void *section, char *expected, size_t expected_size)
{
    uint64_t number;

    if (!config_span_number(value, &number) || number < key->minimum || number > key->maximum) {
        format(expected, expected_size, "expected a number from %lu to %lu", key->minimum,
               key->maximum);
        return false;
    }
    store_number(key, section, number);
    return true;
}

static bool parse_port_value(const struct config_key *key, struct config_span value, void *section,
                             char *expected, size_t expected_size)
{
    uint64_t port;

    if (!config_span_port(value, &port) || port < key->minimum || port > key->maximum) {
        format(expected, expected_size, "expected an I/O port from 0x%lx to 0x%lx", key->minimum,
               key->maximum);
        return false;
    }
    store_number(key, section, port);
    return true;
}

static bool parse_duration_value(const struct config_key *key, struct config_span value,
                                 void *section, char *expected, size_t expected_size)
{
    uint64_t duration;

    if (!config_span_duration(value, &duration)) {
        format(expected, expected_size, "expected a time such as %s or 2s", key->example);
        return false;
    }
    if (duration < key->minimum || duration > key->maximum) {
        format(expected, expected_size, "expected a time from %lums to %lums", key->minimum,
               key->maximum);
        return false;
    }
    store_number(key, section, duration);
    return true;
}

static bool parse_rate_value(const struct config_key *key, struct config_span value, void *section,
                             char *expected, size_t expected_size)
{
    struct config_span period = value;
    struct config_span bytes = config_span_trim(config_span_split(&period, '/'));
    struct config_rate rate;

    if ((!config_span_number(bytes, &rate.bytes) && !config_span_size(bytes, &rate.bytes)) ||
        !config_span_duration(config_span_trim(period), &rate.period)) {
        format(expected, expected_size, "expected bytes in a time such as %s", key->example);
        return false;
    }
    if (rate.bytes < key->minimum || rate.bytes > key->maximum || rate.period < 1 ||
        rate.period > PERIOD_MAXIMUM) {
        format(expected, expected_size, "expected %lu to %lu bytes in 1ms to %ums", key->minimum,
               key->maximum, PERIOD_MAXIMUM);
        return false;
    }
    memcpy((char *)section + key->offset, &rate, sizeof(rate));
    return true;
}

/* One CPU, or a range of them such as 2-3. */
static bool parse_cpu_range(struct config_span range, uint64_t maximum, uint64_t *set)
{
    struct config_span rest = range;
    struct config_span word = config_span_split(&rest, '-');
    uint64_t first;
    uint64_t last;

    if (!config_span_number(config_span_trim(word), &first)) {
        return false;
    }
    last = first;
    if (word.length < range.length && !config_span_number(config_span_trim(rest), &last)) {
        return false;
    }
    if (first > last || last > maximum) {
        return false;
    }
    *set |= UINT64_MAX >> (63 - (last - first)) << first;
    return true;
}

static bool parse_cpus_value(const struct config_key *key, struct config_span value, void *section,
                             char *expected, size_t expected_size)
{
    uint64_t set = 0;
    bool more;

    do {
        struct config_span before = value;
        struct config_span range = config_span_split(&value, ',');

        more = range.length < before.length;
        if (!parse_cpu_range(config_span_trim(range), key->maximum, &set)) {
            format(expected, expected_size, "expected CPUs from 0 to %lu such as %s", key->maximum,
                   key->example);
            return false;
        }
    } while (more);
    store_number(key, section, set);
    return true;
}

static bool parse_text_value(const struct config_key *key, struct config_span value, void *section,
                             char *expected, size_t expected_size)
{
    char *field = (char *)section + key->offset;

    if (value.length >= key->size) {
        format(expected, expected_size, "expected at most %zu characters, not %zu", key->size - 1,
               value.length);
        return false;
    }
    memcpy(field, value.text, value.length);
    field[value.length] = '\0';
    return true;
}

/* Stores a path with the backslashes of UEFI. */
static bool store_path(const struct config_key *key, struct config_span path, size_t size,
                       char *field, char *expected, size_t expected_size)
{
    if (path.length == 0) {
        format(expected, expected_size, "expected a path such as %s", key->example);
        return false;
    }
    if (path.length >= size) {
        format(expected, expected_size, "expected at most %zu characters, not %zu", size - 1,
               path.length);
        return false;
    }
    for (size_t i = 0; i < path.length; i++) {
        if ((unsigned char)path.text[i] >= 0x7f) {
            format(expected, expected_size, "expected a path of ASCII characters");
            return false;
        }
        field[i] = path.text[i];
        if (field[i] == '/') {
            field[i] = '\\';
        }
    }
    field[path.length] = '\0';
    return true;
}

static bool parse_path_value(const struct config_key *key, struct config_span value, void *section,
                             char *expected, size_t expected_size)
{
    return store_path(key, value, key->size, (char *)section + key->offset, expected,
                      expected_size);
}

static bool parse_paths_value(const struct config_key *key, struct config_span value, void *section,
                              char *expected, size_t expected_size)
{
    struct config_paths *paths = (struct config_paths *)((char *)section + key->offset);
    bool more;

    paths->count = 0;
    do {
        struct config_span before = value;
        struct config_span path = config_span_split(&value, ',');

        more = path.length < before.length;
        if (paths->count == CONFIG_MODULES) {
            format(expected, expected_size, "expected at most %d paths", CONFIG_MODULES);
            return false;
        }
        if (!store_path(key, config_span_trim(path), CONFIG_PATH_SIZE, paths->path[paths->count],
                        expected, expected_size)) {
            return false;
        }
        paths->count++;
    } while (more);
    return true;
}

static bool parse_choice_value(const struct config_key *key, struct config_span value,
                               void *section, char *expected, size_t expected_size)
{
    size_t used = format(expected, expected_size, "expected");

    for (unsigned i = 0; key->choices[i] != NULL; i++) {
        if (config_span_is(value, key->choices[i])) {
            store_number(key, section, i);
            return true;
        }
        used += format(expected + used, expected_size - used, "%s %s", i == 0 ? "" : " or",
                       key->choices[i]);
    }
    return false;
}

/* The bit that stands for a word; 0 if there is no such word. */
static uint64_t bit_of(const struct config_key *key, struct config_span word)
{
    for (unsigned i = 0; key->choices[i] != NULL; i++) {
        if (config_span_is(word, key->choices[i])) {
            return 1ULL << i;
        }
    }
    return 0;
}

static bool parse_set_value(const struct config_key *key, struct config_span value, void *section,
                            char *expected, size_t expected_size)
{
    uint64_t set = 0;
    uint64_t bit = 1;
    bool more = value.length > 0;

    while (more && bit != 0) {
        struct config_span before = value;
        struct config_span word = config_span_split(&value, ',');

        more = word.length < before.length;
        bit = bit_of(key, config_span_trim(word));
        set |= bit;
    }
    if (bit != 0 && (set != 0 || key->minimum == 0)) {
        store_number(key, section, set);
        return true;
    }
    size_t used = format(expected, expected_size, "expected %sa list of",
                         key->minimum == 0 ? "nothing or " : "");

    for (unsigned i = 0; key->choices[i] != NULL; i++) {
        used += format(expected + used, expected_size - used, "%s %s", i == 0 ? "" : ",",
                       key->choices[i]);
    }
    return false;
}

bool config_value_parse(const struct config_key *key, struct config_span value, void *section,
                        char *expected, size_t expected_size)
{
    static bool (*const parsers[])(const struct config_key *, struct config_span, void *, char *,
                                   size_t) = {
        [CONFIG_SIZE] = parse_size_value,         [CONFIG_NUMBER] = parse_number_value,
        [CONFIG_DURATION] = parse_duration_value, [CONFIG_RATE] = parse_rate_value,
        [CONFIG_CPUS] = parse_cpus_value,         [CONFIG_PORT] = parse_port_value,
        [CONFIG_PATH] = parse_path_value,         [CONFIG_PATHS] = parse_paths_value,
        [CONFIG_TEXT] = parse_text_value,         [CONFIG_CHOICE] = parse_choice_value,
        [CONFIG_SET] = parse_set_value,
    };

    return parsers[key->type](key, value, section, expected, expected_size);
}
