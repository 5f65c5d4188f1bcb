/* A tap of the raw source, for a laboratory that assesses it: its words, in frames, over a line. */
#include "devices/rng/tap.h"

#include <string.h>

#include "vmm/wipe.h"

void tap_init(struct tap *tap, const struct entropy_source *source, const struct byte_port *port)
{
    *tap = (struct tap){.source = *source, .port = *port};
}

static void put32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint32_t crc32(const uint8_t *bytes, uint32_t length)
{
    uint32_t crc = UINT32_MAX;

    for (uint32_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
        }
    }
    return ~crc;
}

static void finish_frame(struct tap *tap)
{
    const uint32_t magic = sizeof(TAP_MAGIC) - 1;
    const uint32_t end = TAP_FRAME_BYTES - 4;

    memcpy(tap->frame, TAP_MAGIC, magic);
    put32(tap->frame + magic, tap->frames);
    put32(tap->frame + magic + 4, tap->failures);
    put32(tap->frame + end, crc32(tap->frame + magic, end - magic));
}

static void gather(struct tap *tap)
{
    for (unsigned i = 0; i < TAP_STEP_TRIES && tap->words < TAP_FRAME_WORDS; i++) {
        uint8_t *place = tap->frame + TAP_HEADER_BYTES + (size_t)8 * tap->words;
        uint64_t word;

        if (!tap->source.read(tap->source.context, &word)) {
            tap->failures++;
            continue;
        }
        put32(place, (uint32_t)word);
        put32(place + 4, (uint32_t)(word >> 32));
        tap->words++;
        wipe(&word, sizeof(word));
    }
    if (tap->words == TAP_FRAME_WORDS) {
        finish_frame(tap);
    }
}

static void send(struct tap *tap)
{
    uint32_t most = tap->sent + TAP_STEP_BYTES;

    while (tap->sent < most && tap->sent < TAP_FRAME_BYTES && tap->port.ready(tap->port.context)) {
        for (unsigned i = 0; i < BYTE_PORT_FIFO && tap->sent < TAP_FRAME_BYTES; i++) {
            tap->port.write(tap->port.context, tap->frame[tap->sent++]);
        }
    }
    if (tap->sent == TAP_FRAME_BYTES) {
        wipe(tap->frame, sizeof(tap->frame));
        tap->frames++;
        tap->words = 0;
        tap->sent = 0;
    }
}

void tap_step(struct tap *tap)
{
    if (tap->words < TAP_FRAME_WORDS) {
        gather(tap);
    } else {
        send(tap);
    }
}
