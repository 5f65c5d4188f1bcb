// Measures /dev/hwrng from inside the guest: ticks of each 64-byte read, the size Linux asks for.
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <x86intrin.h>

#define DEFAULT_READS 2000
#define MOST_READS    100000
#define REQUEST       64

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

static uint64_t ticks(void)
{
    _mm_lfence();
    return __rdtsc();
}

// Fills `samples` with the ticks of `reads` reads; false if one fails. A read that returns less
// than asked for is completed: it is the price of REQUEST bytes that is measured.
static int measure(int device, uint64_t *samples, long reads)
{
    for (long i = 0; i < reads; i++) {
        unsigned char bytes[REQUEST];
        size_t have = 0;
        uint64_t before = ticks();

        while (have < REQUEST) {
            ssize_t got = read(device, bytes + have, REQUEST - have);

            if (got <= 0) {
                perror("rng-bench: /dev/hwrng");
                return 0;
            }
            have += (size_t)got;
        }
        samples[i] = ticks() - before;
    }
    return 1;
}

int main(int argc, char **argv)
{
    long reads = argc > 1 ? atol(argv[1]) : DEFAULT_READS;
    static uint64_t samples[MOST_READS];
    uint64_t begin;
    uint64_t total;
    int device;

    if (reads < 1 || reads > MOST_READS) {
        fprintf(stderr, "usage: rng-bench [READS], from 1 to %d\n", MOST_READS);
        return 2;
    }
    device = open("/dev/hwrng", O_RDONLY);
    if (device < 0) {
        perror("rng-bench: /dev/hwrng");
        return 1;
    }
    // The first request finds caches cold and the page tables unfilled.
    if (!measure(device, samples, 1)) {
        return 1;
    }
    begin = ticks();
    if (!measure(device, samples, reads)) {
        return 1;
    }
    total = ticks() - begin;
    qsort(samples, (size_t)reads, sizeof(*samples), compare);
    printf("seedvisor-guest: rng-bench reads %ld bytes %d min %" PRIu64 " median %" PRIu64
           " p99 %" PRIu64 " max %" PRIu64 " mean %" PRIu64 " ticks\n",
           reads, REQUEST, samples[0], samples[reads / 2], samples[reads - 1 - reads / 100],
           samples[reads - 1], total / (uint64_t)reads);
    close(device);
    return 0;
}
