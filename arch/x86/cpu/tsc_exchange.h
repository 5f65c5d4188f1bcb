/* Two CPUs compare their time stamp counters: in turns, neither may be behind what was seen. */
#ifndef ARCH_X86_CPU_TSC_EXCHANGE_H
#define ARCH_X86_CPU_TSC_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

enum tsc_side {
    TSC_FIRST, /* the first CPU, which serves */
    TSC_OTHER, /* the one that is compared with it */
};

/* Zeroed before the first exchange; it is the first CPU's turn then. */
struct tsc_exchange {
    uint32_t turns; /* taken so far: whose turn it is; atomic. The rest is that side's. */
    uint64_t last;  /* what the counter was in the last turn */
    uint64_t warp;  /* by how much it was behind that at most */
};

/* Whether it is this side's turn. */
bool tsc_exchange_mine(const struct tsc_exchange *exchange, enum tsc_side side);

/*
 * Takes this side's turn if it is that. `read` reads the counter of the CPU that calls, and not
 * before all that precedes it. False if it is the other's turn still.
 */
bool tsc_exchange_take(struct tsc_exchange *exchange, enum tsc_side side, uint64_t (*read)(void));

#endif
