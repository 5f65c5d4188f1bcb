// Reads /dev/hwrng as a daemon does and tells how it went: bytes, the longest wait, repeats.
//
// usage: read-hwrng NAME BYTES; exit status 0 if all bytes came, 1 if a read failed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REQUEST    64
#define MOST_BYTES (16L << 20)

static uint64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

// 64-bit words that occur more than once: in megabytes of good bytes there are none.
static unsigned long count_repeats(uint64_t *words, size_t count)
{
    unsigned long repeats = 0;

    qsort(words, count, sizeof(*words), compare);
    for (size_t i = 1; i < count; i++) {
        repeats += words[i] == words[i - 1];
    }
    return repeats;
}

int main(int argc, char **argv)
{
    static uint64_t words[MOST_BYTES / sizeof(uint64_t)];
    unsigned char *bytes = (unsigned char *)words;
    long wanted = argc == 3 ? atol(argv[2]) : 0;
    uint64_t longest = 0;
    long have = 0;
    int error = 0;

    if (wanted < REQUEST || wanted > MOST_BYTES) {
        fprintf(stderr, "usage: read-hwrng NAME BYTES, from %d to %ld\n", REQUEST, MOST_BYTES);
        return 2;
    }
    int device = open("/dev/hwrng", O_RDONLY);

    if (device < 0) {
        error = errno;
    }
    while (error == 0 && have < wanted) {
        uint64_t before = milliseconds();
        ssize_t got = read(device, bytes + have, wanted - have < REQUEST ? wanted - have : REQUEST);
        uint64_t waited = milliseconds() - before;

        longest = waited > longest ? waited : longest;
        if (got > 0) {
            have += got;
        } else {
            error = got < 0 ? errno : EIO;
        }
    }
    printf("seedvisor-guest: %s: read %ld of %ld bytes, longest wait %" PRIu64
           " ms, repeats %lu, error %s\n",
           argv[1], have, wanted, longest, count_repeats(words, have / sizeof(*words)),
           error == 0 ? "none" : strerrorname_np(error));
    return error != 0;
}
