/* SHA-256 as a conditioner of entropy: struct entropy_core's `condition`. */
#ifndef DEVICES_CONDITIONER_SHA256_H
#define DEVICES_CONDITIONER_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "devices/rng/entropy.h"

/*
 * The hash of 64 bytes of the source is 32 bytes for the pool. What that gives: SHA-256 is a vetted
 * conditioning component (SP 800-90B, 3.1.5.1.1), and 512 bits of a source's output for 256 of ours
 * leave room for a source with little more than half the entropy that it claims (SP 800-90C asks
 * for 256 + 64 bits going in); raw words of the CPU never reach a guest, so that whoever saw the
 * words on their way knows nothing of its bytes without seeing all eight. What it costs: two words
 * for each that is delivered, and two blocks of SHA-256 for each 32 bytes.
 */
void conditioner_sha256(const uint8_t in[ENTROPY_CONDITIONER_IN],
                        uint8_t out[ENTROPY_CONDITIONER_OUT]);

#endif
