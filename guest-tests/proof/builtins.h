/* For the proofs: what of the compiler and the C library WP has no model for. */
#ifndef GUEST_TESTS_PROOF_BUILTINS_H
#define GUEST_TESTS_PROOF_BUILTINS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The bodies of guest_load*() and guest_store*() are not proved: their contracts are assumed. */
#define __atomic_load_n(pointer, order)         (*(pointer))
#define __atomic_store_n(pointer, value, order) (*(pointer) = (value))
#define __atomic_thread_fence(order)            ((void)0)
#define __atomic_signal_fence(order)            ((void)0)

/* memcpy() and memset() on bytes, as void pointers cannot be followed. */
/*@ requires \valid(to + (0 .. length - 1)) && \valid_read(from + (0 .. length - 1));
    requires \separated(to + (0 .. length - 1), from + (0 .. length - 1));
    assigns to[0 .. length - 1];
    ensures \forall integer i; 0 <= i < length ==> to[i] == \old(from[i]); */
void proof_copy(uint8_t *to, const uint8_t *from, size_t length);

/*@ requires \valid(to + (0 .. length - 1));
    assigns to[0 .. length - 1];
    ensures \forall integer i; 0 <= i < length ==> to[i] == (uint8_t)value; */
void proof_set(uint8_t *to, int value, size_t length);

#define memcpy(to, from, length) proof_copy((uint8_t *)(to), from, length)
#define memset                   proof_set

#endif
