/* A spin lock, for what several CPUs share. Held for short, bounded work only. */
#ifndef VMM_SPIN_LOCK_H
#define VMM_SPIN_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/host.h"

struct spin_lock {
    bool held;
};

/* False if somebody else has it: then whoever cannot wait does something else. */
static inline bool spin_lock_try(struct spin_lock *lock)
{
    return !__atomic_test_and_set(&lock->held, __ATOMIC_ACQUIRE);
}

static inline void spin_lock_acquire(struct spin_lock *lock)
{
    while (__atomic_test_and_set(&lock->held, __ATOMIC_ACQUIRE)) {
        /* Wait on a plain load, so that the owner keeps its cache line until it lets go. */
        while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED)) {
            host_pause();
        }
    }
}

/*
 * The same, but who holds it for longer than `ticks` is taken for stopped, and the lock is the
 * caller's: for the machine's end, which must come whatever the CPUs were doing.
 */
static inline void spin_lock_seize(struct spin_lock *lock, uint64_t ticks)
{
    uint64_t begin = host_ticks();

    while (__atomic_test_and_set(&lock->held, __ATOMIC_ACQUIRE) && host_ticks() - begin < ticks) {
        host_pause();
    }
}

static inline void spin_lock_release(struct spin_lock *lock)
{
    __atomic_clear(&lock->held, __ATOMIC_RELEASE);
}

#endif
