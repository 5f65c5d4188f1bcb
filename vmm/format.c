/* Text formatting into a caller's buffer. Never allocates, never writes past the end. */
#include "vmm/format.h"

#include <stdbool.h>
#include <stdint.h>

struct output {
    char *buffer;
    size_t size;
    size_t length;
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
static int number(const char **text, va_list *arguments)
{
    int value = 0;

    if (**text == '*') {
        (*text)++;
        return va_arg(*arguments, int);
    }
    while (**text >= '0' && **text <= '9') {
        value = value * 10 + (**text - '0');
        (*text)++;
    }
    return value;
}

static const char *parse_field(const char *text, struct field *field, va_list *arguments)
{
    *field = (struct field){.precision = -1};
    for (; *text == '0' || *text == '-'; text++) {
        field->zero |= *text == '0';
        field->left |= *text == '-';
    }
    field->width = number(&text, arguments);
    if (*text == '.') {
        text++;
        field->precision = number(&text, arguments);
    }
    for (; *text == 'l' || *text == 'z'; text++) {
        field->longs++;
    }
    return text;
}

static void put_conversion(struct output *out, char conversion, const struct field *field,
                           va_list *arguments)
{
    switch (conversion) {
    case 'c':
        put(out, (char)va_arg(*arguments, int));
        return;
    case 's':
        put_text(out, field, va_arg(*arguments, const char *));
        return;
    case 'd':
    case 'i': {
        int64_t value = field->longs > 0 ? va_arg(*arguments, long) : va_arg(*arguments, int);

        put_number(out, field, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0);
        return;
    }
    case 'u':
    case 'x': {
        uint64_t value = field->longs > 0 ? va_arg(*arguments, unsigned long)
                                          : va_arg(*arguments, unsigned int);

        put_number(out, field, value, conversion == 'u' ? 10 : 16, false);
        return;
    }
    case 'p':
        put(out, '0');
        put(out, 'x');
        put_number(out, field, (uintptr_t)va_arg(*arguments, void *), 16, false);
        return;
    default:
        put(out, '%');
        if (conversion != '%') {
            put(out, conversion);
        }
        return;
    }
}

size_t format_list(char *buffer, size_t size, const char *text, va_list arguments)
{
    struct output out = {.buffer = buffer, .size = size};
    va_list list;

    va_copy(list, arguments);
    for (; *text != '\0'; text++) {
        if (*text != '%') {
            put(&out, *text);
            continue;
        }
        struct field field;

        text = parse_field(text + 1, &field, &list);
        if (*text == '\0') {
            break;
        }
        put_conversion(&out, *text, &field, &list);
    }
    va_end(list);
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
