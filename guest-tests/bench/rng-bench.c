// Measures /dev/hwrng from inside the guest: ticks of each 64-byte read, the size Linux asks for.
//
// rng-bench [READS]             that many reads, one after the other
// rng-bench window ALIGN TICKS  begins when the time stamp counter passes a multiple of ALIGN, as
//                               every guest of the machine does, and reads until TICKS have gone by
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest-tests/bench/ticks.h"

#define DEFAULT_READS 2000
#define MOST_READS    100000
#define REQUEST       64
#define PERCENTILES   101
#define PER_LINE      10
#define AWAKE         25000000 // ticks; longer than a nap at 1 GHz

static uint64_t samples[MOST_READS];

// Reads REQUEST bytes; false if that fails. A read that returns less than asked for is completed:
// it is the price of REQUEST bytes that is measured.
static int read_request(int device)
{
    unsigned char bytes[REQUEST];
    size_t have = 0;

    while (have < REQUEST) {
        ssize_t got = read(device, bytes + have, REQUEST - have);

        if (got <= 0) {
            perror("rng-bench: /dev/hwrng");
            return 0;
        }
        have += (size_t)got;
    }
    return 1;
}

// Fills `samples` with the ticks of reads until there are `reads` of them or the counter has come
// to `end`; returns how many, or -1.
static long measure(int device, long reads, uint64_t end)
{
    long count = 0;
    uint64_t before = ticks();

    while (count < reads && before < end) {
        if (!read_request(device)) {
            return -1;
        }
        uint64_t after = ticks();

        samples[count++] = after - before;
        before = after;
    }
    return count;
}

// All hundredths of the samples, from the least to the greatest, some to a line.
static void print_distribution(long reads)
{
    for (unsigned first = 0; first < PERCENTILES; first += PER_LINE) {
        printf("seedvisor-guest: rng-bench percentiles %u", first);
        for (unsigned i = first; i < first + PER_LINE && i < PERCENTILES; i++) {
            printf(" %" PRIu64, percentile(samples, (size_t)reads, i));
        }
        putchar('\n');
    }
}

static int measure_reads(int device, long reads)
{
    uint64_t begin = ticks();
    uint64_t total;

    if (measure(device, reads, UINT64_MAX) != reads) {
        return 1;
    }
    total = ticks() - begin;
    sort_samples(samples, (size_t)reads);
    printf("seedvisor-guest: rng-bench reads %ld bytes %d min %" PRIu64 " median %" PRIu64
           " p99 %" PRIu64 " max %" PRIu64 " mean %" PRIu64 " ticks\n",
           reads, REQUEST, samples[0], percentile(samples, (size_t)reads, 50),
           percentile(samples, (size_t)reads, 99), samples[reads - 1], total / (uint64_t)reads);
    print_distribution(reads);
    return 0;
}

static int measure_window(int device, uint64_t align, uint64_t duration)
{
    static const struct timespec nap = {.tv_nsec = 20000000};
    uint64_t begin = (ticks() / align + 1) * align;
    uint64_t end;
    long reads;

    // Asleep for most of the time, which an emulator is quick about, and awake for the last of it.
    while (ticks() + AWAKE < begin) {
        nanosleep(&nap, NULL);
    }
    while (ticks() < begin) {
    }
    reads = measure(device, MOST_READS, begin + duration);
    end = ticks();
    if (reads < 1) {
        return 1;
    }
    printf("seedvisor-guest: rng-bench window begin %" PRIu64 " ticks %" PRIu64
           " reads %ld bytes %d\n",
           begin, end - begin, reads, REQUEST);
    return 0;
}

int main(int argc, char **argv)
{
    int window = argc == 4 && strcmp(argv[1], "window") == 0;
    long reads = argc == 2 ? atol(argv[1]) : DEFAULT_READS;
    uint64_t align = window ? strtoull(argv[2], NULL, 0) : 1;
    int device;

    if ((argc > 2 && !window) || align == 0 || reads < 1 || reads > MOST_READS) {
        fprintf(stderr,
                "usage: rng-bench [READS] | rng-bench window ALIGN TICKS; READS from 1 to"
                " %d\n",
                MOST_READS);
        return 2;
    }
    device = open("/dev/hwrng", O_RDONLY);
    if (device < 0) {
        perror("rng-bench: /dev/hwrng");
        return 1;
    }
    // The first request finds caches cold and the page tables unfilled.
    if (!read_request(device)) {
        return 1;
    }
    return window ? measure_window(device, align, strtoull(argv[3], NULL, 0))
                  : measure_reads(device, reads);
}
