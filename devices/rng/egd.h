/* A client of the Entropy Gathering Daemon's protocol, over a serial line: a slow entropy source.
 */
#ifndef DEVICES_RNG_EGD_H
#define DEVICES_RNG_EGD_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/rng/source.h"
#include "vmm/byte_port.h"

/* Bytes asked for at once: with their count they fit a serial port's FIFO, so none is lost. */
#define EGD_REQUEST (BYTE_PORT_FIFO - 1U)

/* The most that one try takes from the line. */
#define EGD_STEP_BYTES BYTE_PORT_FIFO

/* Waits, in milliseconds. */
#define EGD_TIMEOUT_MS 2000U /* for a whole answer */
#define EGD_PAUSE_MS   100U  /* after an answer without bytes */
#define EGD_QUIET_MS   100U  /* of silence that ends what is left of a wrong answer */

enum egd_state {
    EGD_IDLE,
    EGD_COUNT,    /* asked: the answer's first byte says how many follow */
    EGD_DATA,     /* these follow */
    EGD_PAUSED,   /* the daemon had none */
    EGD_DRAINING, /* out of step: whatever comes is dropped until the line is silent */
};

struct egd_counters {
    uint64_t requests;
    uint64_t bytes;    /* of whole, right answers */
    uint64_t empty;    /* answers without bytes */
    uint64_t timeouts; /* answers that did not come, or not to their end */
    uint64_t wrong;    /* answers longer than asked for, and bytes that nobody asked for */
};

struct egd {
    struct byte_port port;
    uint64_t (*ticks)(void);
    uint64_t millisecond; /* ticks */
    uint32_t busy;        /* a CPU is at it; atomic */
    enum egd_state state;
    uint64_t deadline; /* of the state, in ticks */
    uint8_t expected;  /* bytes of the answer */
    uint8_t answered;  /* of these, so far: bytes[have] and on */
    uint8_t have;      /* bytes of whole answers */
    uint8_t bytes[EGD_REQUEST + sizeof(uint64_t)];
    struct egd_counters counters;
};

/*
 * A client with nothing asked yet. `port` is copied; `ticks` is a clock of `frequency` Hz. Neither
 * a line that is cut, nor a daemon that is silent, slow or wrong does more than leave the source
 * dry: the client asks again for as long as it is read.
 */
void egd_init(struct egd *egd, const struct byte_port *port, uint64_t (*ticks)(void),
              uint64_t frequency);

/* The source, whose context is `egd`. */
struct entropy_source egd_source(struct egd *egd);

#endif
