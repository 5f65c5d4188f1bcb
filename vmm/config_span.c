/* Pieces of seedvisor.conf: words, numbers with units, likeness. Bounded work, no allocation. */
#include "vmm/config_span.h"

#include <string.h>

#define WORD_MAX 64 /* longer words are unlike anything */

struct config_span config_span_of(const char *text)
{
    return (struct config_span){text, strlen(text)};
}

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

struct config_span config_span_split(struct config_span *span, char separator)
{
    size_t length = 0;

    while (length < span->length && span->text[length] != separator &&
           !(separator == ' ' && is_blank(span->text[length]))) {
        length++;
    }
    struct config_span first = {span->text, length};
    size_t taken = length < span->length ? length + 1 : length;

    *span = (struct config_span){span->text + taken, span->length - taken};
    return first;
}

bool config_span_comment(struct config_span span)
{
    for (size_t i = 1; i < span.length; i++) {
        if (is_blank(span.text[i - 1]) && (span.text[i] == '#' || span.text[i] == ';')) {
            return true;
        }
    }
    return false;
}

static unsigned digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0');
    }
    if (c >= 'a' && c <= 'f') {
        return (unsigned)(c - 'a') + 10;
    }
    return c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 16;
}

static bool digits(struct config_span span, unsigned base, uint64_t *number)
{
    uint64_t value = 0;

    for (size_t i = 0; i < span.length; i++) {
        unsigned digit = digit_of(span.text[i]);

        if (digit >= base) {
            return false;
        }
        value = value > (UINT64_MAX - digit) / base ? UINT64_MAX : value * base + digit;
    }
    *number = value;
    return span.length > 0;
}

bool config_span_number(struct config_span span, uint64_t *number)
{
    return digits(span, 10, number);
}

bool config_span_port(struct config_span span, uint64_t *number)
{
    if (span.length > 2 && span.text[0] == '0' && (span.text[1] == 'x' || span.text[1] == 'X')) {
        return digits((struct config_span){span.text + 2, span.length - 2}, 16, number);
    }
    return digits(span, 10, number);
}

static bool scaled(struct config_span span, uint64_t unit, uint64_t *value)
{
    uint64_t number;

    if (!digits(span, 10, &number)) {
        return false;
    }
    *value = number > UINT64_MAX / unit ? UINT64_MAX : number * unit;
    return true;
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

bool config_span_size(struct config_span span, uint64_t *size)
{
    uint64_t unit = span.length > 0 ? unit_of(span.text[span.length - 1]) : 0;

    return unit != 0 && scaled((struct config_span){span.text, span.length - 1}, unit, size);
}

bool config_span_duration(struct config_span span, uint64_t *milliseconds)
{
    if (span.length == 0 || span.text[span.length - 1] != 's') {
        return false;
    }
    span.length--;
    if (span.length > 0 && span.text[span.length - 1] == 'm') {
        span.length--;
        return scaled(span, 1, milliseconds);
    }
    return scaled(span, 1000, milliseconds);
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
    size_t row[WORD_MAX + 1];

    if (word.length > WORD_MAX) {
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
