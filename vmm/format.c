/* Text formatting into a caller's buffer. Never allocates, never writes past the end. */
#include "vmm/format.h"

#include <stdbool.h>
#include <stdint.h>

struct output {
    char *buffer;
    size_t size;
    size_t length;
    va_list arguments; /* still to be formatted */
};

struct field {
    bool zero;
    bool left;
    int width;
    int precision; /* -1: none */
    int longs;     /* how many l; z counts as one, for size_t is a long here */
};

static void put(struct output *out, char c)
{
    if (out->length + 1 < out->size) {
        out->buffer[out->length++] = c;
    }
}

static void pad(struct output *out, char c, int count)
{
    for (int i = 0; i < count; i++) {
        put(out, c);
    }
}

static void put_text(struct output *out, const struct field *field, const char *text)
{
    int length = 0;

    if (text == NULL) {
        text = "(null)";
    }
    while ((field->precision < 0 || length < field->precision) && text[length] != '\0') {
        length++;
    }
    if (!field->left) {
        pad(out, ' ', field->width - length);
    }
    for (int i = 0; i < length; i++) {
        put(out, text[i]);
    }
    if (field->left) {
        pad(out, ' ', field->width - length);
    }
}

static void put_number(struct output *out, const struct field *field, uint64_t value, unsigned base,
                       bool negative)
{
    char digits[24];
    int count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);

    int padding = field->width - count - (negative ? 1 : 0);

    if (!field->left && !field->zero) {
        pad(out, ' ', padding);
    }
    if (negative) {
        put(out, '-');
    }
    if (!field->left && field->zero) {
        pad(out, '0', padding);
    }
    while (count > 0) {
        put(out, digits[--count]);
    }
    if (field->left) {
        pad(out, ' ', padding);
    }
}

/* A decimal number or `*` at *text; moves *text past it. */
static int number(struct output *out, const char **text)
{
    int value = 0;

    if (**text == '*') {
        (*text)++;
        return va_arg(out->arguments, int);
    }
    while (**text >= '0' && **text <= '9') {
        value = value * 10 + (**text - '0');
        (*text)++;
    }
    return value;
}

static const char *parse_field(struct output *out, const char *text, struct field *field)
{
    *field = (struct field){.precision = -1};
    for (; *text == '0' || *text == '-'; text++) {
        field->zero |= *text == '0';
        field->left |= *text == '-';
    }
    field->width = number(out, &text);
    if (*text == '.') {
        text++;
        field->precision = number(out, &text);
    }
    for (; *text == 'l' || *text == 'z'; text++) {
        field->longs++;
    }
    return text;
}

/* False, with nothing put, if there is no such conversion. */
static bool put_conversion(struct output *out, char conversion, const struct field *field)
{
    switch (conversion) {
    case 'c':
        put(out, (char)va_arg(out->arguments, int));
        return true;
    case 's':
        put_text(out, field, va_arg(out->arguments, const char *));
        return true;
    case 'd':
    case 'i': {
        int64_t value =
            field->longs > 0 ? va_arg(out->arguments, long) : va_arg(out->arguments, int);

        put_number(out, field, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0);
        return true;
    }
    case 'u':
    case 'x': {
        uint64_t value = field->longs > 0 ? va_arg(out->arguments, unsigned long)
                                          : va_arg(out->arguments, unsigned int);

        put_number(out, field, value, conversion == 'u' ? 10 : 16, false);
        return true;
    }
    case 'p':
        put(out, '0');
        put(out, 'x');
        put_number(out, field, (uintptr_t)va_arg(out->arguments, void *), 16, false);
        return true;
    case '%':
        put(out, '%');
        return true;
    default:
        return false;
    }
}

static void put_verbatim(struct output *out, const char *from, const char *to)
{
    for (; from < to; from++) {
        put(out, *from);
    }
}

size_t format_list(char *buffer, size_t size, const char *text, va_list arguments)
{
    struct output out = {.buffer = buffer, .size = size};

    va_copy(out.arguments, arguments);
    while (*text != '\0') {
        const char *start = text;
        struct field field;

        if (*text != '%') {
            put(&out, *text++);
            continue;
        }
        text = parse_field(&out, text + 1, &field);
        if (*text != '\0') {
            text++;
            if (put_conversion(&out, text[-1], &field)) {
                continue;
            }
        }
        put_verbatim(&out, start, text);
    }
    va_end(out.arguments);
    buffer[out.length] = '\0';
    return out.length;
}

size_t format(char *buffer, size_t size, const char *text, ...)
{
    va_list arguments;

    va_start(arguments, text);
    size_t length = format_list(buffer, size, text, arguments);

    va_end(arguments);
    return length;
}
