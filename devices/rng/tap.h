/* A tap of the raw source, for a laboratory that assesses it: its words, in frames, over a line. */
#ifndef DEVICES_RNG_TAP_H
#define DEVICES_RNG_TAP_H

#include <stdint.h>

#include "devices/rng/source.h"
#include "vmm/byte_port.h"

#define TAP_FRAME_WORDS 64U

/*
 * A frame, all of it little-endian: the four bytes "SVT1", its number from 0 on (32 bits), the
 * source's tries without a word before and within it, since the start (32 bits), the words in the
 * order they came (64 bits each), and the CRC-32 of IEEE 802.3 of what is behind "SVT1". A word is
 * what the source gave, whatever it is: nothing is tested, left out or conditioned.
 */
#define TAP_MAGIC        "SVT1"
#define TAP_HEADER_BYTES 12U
#define TAP_FRAME_BYTES  (TAP_HEADER_BYTES + TAP_FRAME_WORDS * 8 + 4)

/* The bounds of a step. */
#define TAP_STEP_TRIES 16U
#define TAP_STEP_BYTES (4 * BYTE_PORT_FIFO)

struct tap {
    struct entropy_source source;
    struct byte_port port;
    uint32_t frames; /* sent */
    uint32_t failures;
    uint32_t words; /* of the frame in hand */
    uint32_t sent;  /* bytes of it, once it has all its words */
    uint8_t frame[TAP_FRAME_BYTES];
};

/* A tap with its first frame ahead. Both are copied. The words go nowhere else. */
void tap_init(struct tap *tap, const struct entropy_source *source, const struct byte_port *port);

/* Reads some words, or sends some bytes. On one CPU at a time. */
void tap_step(struct tap *tap);

#endif
