/* The memory and string functions that the compiler and the pure sources call. */
#include <stdint.h>
#include <string.h>

/* The C library's header names its parameters in the implementation's name space. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

/*
 * String instructions: fast on every CPU that has what we require, and without touching the
 * guest's vector registers. Eight bytes a step, for zeroing a guest's memory is most of start-up.
 */
void *memcpy(void *restrict target, const void *restrict source, size_t length)
{
    void *start = target;
    size_t words = length / 8;
    size_t bytes = length % 8;

    __asm__ volatile("rep movsq" : "+D"(target), "+S"(source), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(bytes) : : "memory");
    return start;
}

void *memset(void *target, int value, size_t length)
{
    void *start = target;
    uint64_t pattern = (uint8_t)value * 0x0101010101010101ULL;
    size_t words = length / 8;
    size_t bytes = length % 8;

    __asm__ volatile("rep stosq" : "+D"(target), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(target), "+c"(bytes) : "a"(pattern) : "memory");
    return start;
}

void *memmove(void *target, const void *source, size_t length)
{
    if ((uintptr_t)target - (uintptr_t)source >= length) {
        return memcpy(target, source, length);
    }
    /* The target begins inside the source: copy from the end. */
    for (size_t i = length; i > 0; i--) {
        ((uint8_t *)target)[i - 1] = ((const uint8_t *)source)[i - 1];
    }
    return target;
}

int memcmp(const void *left, const void *right, size_t length)
{
    const uint8_t *a = left;
    const uint8_t *b = right;

    for (size_t i = 0; i < length; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;

    while (text[length] != '\0') {
        length++;
    }
    return length;
}

int strncmp(const char *left, const char *right, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (left[i] != right[i] || left[i] == '\0') {
            return (int)(unsigned char)left[i] - (int)(unsigned char)right[i];
        }
    }
    return 0;
}

int strcmp(const char *left, const char *right)
{
    return strncmp(left, right, SIZE_MAX);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
