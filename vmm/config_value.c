/* Typed values of seedvisor.conf. Bounded work, no allocation. */
#include "vmm/config_value.h"

#include <string.h>

#include "vmm/format.h"

bool config_span_is(struct config_span span, const char *word)
{
    return strlen(word) == span.length && memcmp(span.text, word, span.length) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct config_span config_span_trim(struct config_span span)
{
    while (span.length > 0 && is_blank(span.text[0])) {
        span.text++;
        span.length--;
    }
    while (span.length > 0 && is_blank(span.text[span.length - 1])) {
        span.length--;
    }
    return span;
}

static uint64_t unit_of(char letter)
{
    switch (letter) {
    case 'K':
    case 'k':
        return 1ULL << 10;
    case 'M':
    case 'm':
        return 1ULL << 20;
    case 'G':
    case 'g':
        return 1ULL << 30;
    default:
        return 0;
    }
}

/* Decimal digits only; too large a number becomes the largest, which no key allows. */
static bool parse_digits(struct config_span span, uint64_t *number)
{
    uint64_t value = 0;

    for (size_t i = 0; i < span.length; i++) {
        if (span.text[i] < '0' || span.text[i] > '9') {
            return false;
        }
        uint64_t digit = (uint64_t)(span.text[i] - '0');

        value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
    }
    *number = value;
    return span.length > 0;
}

static bool parse_size(struct config_span span, uint64_t *size)
{
    uint64_t unit = span.length > 0 ? unit_of(span.text[span.length - 1]) : 0;
    uint64_t number;

    if (unit == 0 || !parse_digits((struct config_span){span.text, span.length - 1}, &number)) {
        return false;
    }
    *size = number > UINT64_MAX / unit ? UINT64_MAX : number * unit;
    return true;
}

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

    if (!parse_size(value, &size)) {
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

    if (!parse_digits(value, &number) || number < key->minimum || number > key->maximum) {
        format(expected, expected_size, "expected a number from %lu to %lu", key->minimum,
               key->maximum);
        return false;
    }
    store_number(key, section, number);
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

static bool parse_path_value(const struct config_key *key, struct config_span value, void *section,
                             char *expected, size_t expected_size)
{
    if (value.length == 0) {
        format(expected, expected_size, "expected a path such as %s", key->example);
        return false;
    }
    for (size_t i = 0; i < value.length; i++) {
        if ((unsigned char)value.text[i] >= 0x7f) {
            format(expected, expected_size, "expected a path of ASCII characters");
            return false;
        }
    }
    if (!parse_text_value(key, value, section, expected, expected_size)) {
        return false;
    }
    for (char *c = (char *)section + key->offset; *c != '\0'; c++) {
        if (*c == '/') {
            *c = '\\';
        }
    }
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

/* The bit of the word before the first comma, which is taken off; 0 if there is no such word. */
static uint64_t next_bit(const struct config_key *key, struct config_span *list)
{
    struct config_span word = {list->text, 0};

    while (word.length < list->length && word.text[word.length] != ',') {
        word.length++;
    }
    size_t taken = word.length < list->length ? word.length + 1 : word.length;

    *list = (struct config_span){list->text + taken, list->length - taken};
    word = config_span_trim(word);
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

    while (value.length > 0 && bit != 0) {
        bool ends_in_comma = value.text[value.length - 1] == ',';

        bit = ends_in_comma ? 0 : next_bit(key, &value);
        set |= bit;
    }
    if (bit != 0) {
        store_number(key, section, set);
        return true;
    }
    size_t used = format(expected, expected_size, "expected nothing or a list of");

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
        [CONFIG_SIZE] = parse_size_value,     [CONFIG_NUMBER] = parse_number_value,
        [CONFIG_PATH] = parse_path_value,     [CONFIG_TEXT] = parse_text_value,
        [CONFIG_CHOICE] = parse_choice_value, [CONFIG_SET] = parse_set_value,
    };

    return parsers[key->type](key, value, section, expected, expected_size);
}

static int lower(int c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, one row at a time. */
size_t config_edit_distance(struct config_span word, const char *candidate)
{
    size_t row[CONFIG_WORD_MAX + 1];

    if (word.length > CONFIG_WORD_MAX) {
        return word.length;
    }
    for (size_t i = 0; i <= word.length; i++) {
        row[i] = i;
    }
    for (size_t j = 0; candidate[j] != '\0'; j++) {
        size_t diagonal = row[0];

        row[0] = j + 1;
        for (size_t i = 1; i <= word.length; i++) {
            size_t replaced = diagonal + (lower(word.text[i - 1]) != lower(candidate[j]) ? 1 : 0);

            diagonal = row[i];
            row[i] = smaller(replaced, smaller(row[i], row[i - 1]) + 1);
        }
    }
    return row[word.length];
}

bool config_resembles(struct config_span word, const char *candidate)
{
    size_t distance = config_edit_distance(word, candidate);
    size_t length = strlen(candidate);

    /* An abbreviation, or at most two slips that leave something of it. */
    return (word.length >= 2 && distance == length - word.length) ||
           (distance <= 2 && distance < length);
}
