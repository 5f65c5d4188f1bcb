// Reads /dev/hwrng as fast as it goes for some seconds, and tells how many bytes there were in all
// and at most in any second: what rng.rate = BYTES/1000ms promises, from the guest's side.
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define DEFAULT_SECONDS 10
#define MOST_SECONDS    1000
#define MOST_READS      1000000
#define REQUEST         64
#define SECOND          1000000000ULL

static struct {
    uint64_t time; // in ns
    uint64_t bytes;
} reads[MOST_READS];

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static uint64_t most_in_a_second(long count)
{
    uint64_t most = 0;
    uint64_t sum = 0;
    long end = 0;

    for (long begin = 0; begin < count; begin++) {
        while (end < count && reads[end].time < reads[begin].time + SECOND) {
            sum += reads[end++].bytes;
        }
        most = sum > most ? sum : most;
        sum -= reads[begin].bytes;
    }
    return most;
}

int main(int argc, char **argv)
{
    long seconds = argc > 1 ? atol(argv[1]) : DEFAULT_SECONDS;
    int device = open("/dev/hwrng", O_RDONLY);
    uint64_t total = 0;
    long count = 0;

    if (seconds < 1 || seconds > MOST_SECONDS || device < 0) {
        fprintf(stderr, "usage: rng-limit [SECONDS], with a /dev/hwrng to read\n");
        return 2;
    }
    uint64_t begin = now();
    uint64_t begin_ticks = __rdtsc();

    while (count < MOST_READS && now() < begin + (uint64_t)seconds * SECOND) {
        unsigned char bytes[REQUEST];
        ssize_t got = read(device, bytes, sizeof(bytes));

        if (got <= 0) {
            perror("rng-limit: /dev/hwrng");
            return 1;
        }
        reads[count].time = now();
        reads[count++].bytes = (uint64_t)got;
        total += (uint64_t)got;
    }
    uint64_t ticks = __rdtsc() - begin_ticks;

    printf("seedvisor-guest: rng-limit bytes %" PRIu64 " in %" PRIu64 " ms, %" PRIu64
           " ticks; at most %" PRIu64 " in a second\n",
           total, (now() - begin) / 1000000, ticks, most_in_a_second(count));
    close(device);
    return 0;
}
