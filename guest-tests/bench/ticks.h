// What the guest's measuring programs share: reading the time stamp counter, sorting, summing up.
#ifndef GUEST_TESTS_BENCH_TICKS_H
#define GUEST_TESTS_BENCH_TICKS_H

#include <stdint.h>
#include <stdlib.h>
#include <x86intrin.h>

static inline uint64_t ticks(void)
{
    _mm_lfence();
    return __rdtsc();
}

static int compare_samples(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

static inline void sort_samples(uint64_t *samples, size_t count)
{
    qsort(samples, count, sizeof(*samples), compare_samples);
}

// Of sorted samples: the one that `percent` of a hundred do not exceed; 0 is the least.
static inline uint64_t percentile(const uint64_t *samples, size_t count, unsigned percent)
{
    size_t index = count * percent / 100;

    return samples[index < count ? index : count - 1];
}

#endif
