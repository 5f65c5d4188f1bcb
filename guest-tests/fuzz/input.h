/* What the fuzzers share: rules that must hold, and an input that is read bytes at a time. */
#ifndef GUEST_TESTS_FUZZ_INPUT_H
#define GUEST_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* A violation is a crash for the fuzzer. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t left;
};

/* A little-endian number of the next so many bytes; what is missing is zero. */
static inline uint64_t next(struct input *input, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes && input->left > 0; i++) {
        value |= (uint64_t)*input->data << (8 * i);
        input->data++;
        input->left--;
    }
    return value;
}

#endif
