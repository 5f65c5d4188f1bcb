/* Two CPUs compare their time stamp counters: in turns, neither may be behind what was seen. */
#include "arch/x86/cpu/tsc_exchange.h"

bool tsc_exchange_mine(const struct tsc_exchange *exchange, enum tsc_side side)
{
    return __atomic_load_n(&exchange->turns, __ATOMIC_ACQUIRE) % 2 == (uint32_t)side;
}

bool tsc_exchange_take(struct tsc_exchange *exchange, enum tsc_side side, uint64_t (*read)(void))
{
    if (!tsc_exchange_mine(exchange, side)) {
        return false;
    }
    uint64_t now = read();

    if (now < exchange->last && exchange->last - now > exchange->warp) {
        exchange->warp = exchange->last - now;
    }
    exchange->last = now;
    __atomic_store_n(&exchange->turns, exchange->turns + 1, __ATOMIC_RELEASE);
    return true;
}
