/* A client of the Entropy Gathering Daemon's protocol: bounded steps, never out of step for long.
 */
#include "devices/rng/egd.h"

#include <string.h>

#include "vmm/wipe.h"

/*
 * The protocol is a byte of command each time. Used is 01 nn, "read without blocking": the answer
 * is one byte mm, at most nn, and mm bytes. 02 nn, which blocks, has no count in its answer, so
 * that a lost byte would go unnoticed; what is left, 00 (bits available), 03 (add entropy) and 04
 * (process number), a consumer does not need.
 */
#define EGD_READ 0x01

void egd_init(struct egd *egd, const struct byte_port *port, uint64_t (*ticks)(void),
              uint64_t frequency)
{
    *egd = (struct egd){.port = *port, .ticks = ticks, .millisecond = frequency / 1000};
}

static void enter(struct egd *egd, enum egd_state state, uint64_t milliseconds)
{
    egd->state = state;
    egd->deadline = egd->ticks() + milliseconds * egd->millisecond;
}

/* Drops the answer in hand: of bytes whose place in it is in doubt none is used. */
static void drain(struct egd *egd, uint64_t *counter)
{
    ++*counter;
    wipe(egd->bytes + egd->have, sizeof(egd->bytes) - egd->have);
    enter(egd, EGD_DRAINING, EGD_QUIET_MS);
}

static void ask(struct egd *egd)
{
    if (!egd->port.ready(egd->port.context)) {
        return;
    }
    egd->port.write(egd->port.context, EGD_READ);
    egd->port.write(egd->port.context, EGD_REQUEST);
    egd->counters.requests++;
    enter(egd, EGD_COUNT, EGD_TIMEOUT_MS);
}

static void take_count(struct egd *egd, uint8_t count)
{
    if (count > EGD_REQUEST) {
        drain(egd, &egd->counters.wrong);
    } else if (count == 0) {
        egd->counters.empty++;
        enter(egd, EGD_PAUSED, EGD_PAUSE_MS);
    } else {
        egd->expected = count;
        egd->answered = 0;
        egd->state = EGD_DATA;
    }
}

static void take_data(struct egd *egd, uint8_t byte)
{
    egd->bytes[egd->have + egd->answered++] = byte;
    if (egd->answered == egd->expected) {
        egd->counters.bytes += egd->expected;
        egd->have = (uint8_t)(egd->have + egd->expected);
        egd->state = EGD_IDLE;
    }
}

static void take_byte(struct egd *egd, uint8_t byte)
{
    switch (egd->state) {
    case EGD_COUNT:
        take_count(egd, byte);
        break;
    case EGD_DATA:
        take_data(egd, byte);
        break;
    case EGD_DRAINING:
        enter(egd, EGD_DRAINING, EGD_QUIET_MS);
        break;
    case EGD_IDLE:
    case EGD_PAUSED:
        drain(egd, &egd->counters.wrong);
        break;
    }
}

/* The line is silent. */
static void take_silence(struct egd *egd)
{
    bool due = egd->ticks() >= egd->deadline;

    if (egd->state == EGD_IDLE || (due && egd->state != EGD_COUNT && egd->state != EGD_DATA)) {
        egd->state = EGD_IDLE;
        ask(egd);
    } else if (due) {
        drain(egd, &egd->counters.timeouts);
    }
}

/* Makes some progress, with at most EGD_STEP_BYTES bytes from the line. */
static void step(struct egd *egd)
{
    for (unsigned i = 0; i < EGD_STEP_BYTES && egd->have < sizeof(uint64_t); i++) {
        uint8_t byte;

        if (!egd->port.read(egd->port.context, &byte)) {
            take_silence(egd);
            return;
        }
        take_byte(egd, byte);
    }
}

static bool take_word(struct egd *egd, uint64_t *word)
{
    if (egd->have < sizeof(*word)) {
        return false;
    }
    memcpy(word, egd->bytes, sizeof(*word));
    egd->have = (uint8_t)(egd->have - sizeof(*word));
    memmove(egd->bytes, egd->bytes + sizeof(*word), egd->have);
    wipe(egd->bytes + egd->have, sizeof(egd->bytes) - egd->have);
    return true;
}

/* Of several CPUs one is at the line, and for the others the source is dry. */
static bool egd_read(void *context, uint64_t *word)
{
    struct egd *egd = context;

    if (__atomic_exchange_n(&egd->busy, 1, __ATOMIC_ACQUIRE) != 0) {
        return false;
    }
    step(egd);
    bool good = take_word(egd, word);

    __atomic_store_n(&egd->busy, 0, __ATOMIC_RELEASE);
    return good;
}

struct entropy_source egd_source(struct egd *egd)
{
    return (struct entropy_source){.name = "EGD", .read = egd_read, .context = egd, .slow = true};
}
