// Takes the place of the C library's rand() in Bochs, which answers RDSEED and RDRAND with it.
//
// Bochs seeds rand() with the time in seconds, so that two machines started in one second deliver
// the same bytes. Here they come from the kernel, or, with SEEDVISOR_BOCHS_SEED in the
// environment, from that number alone, for runs that repeat themselves. Loaded by tools/launch.
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

#define POOL_WORDS 1024

static uint32_t from_kernel(void)
{
    static uint32_t pool[POOL_WORDS];
    static size_t left;

    if (left == 0) {
        char *bytes = (char *)pool;
        size_t have = 0;

        while (have < sizeof(pool)) {
            ssize_t got = getrandom(bytes + have, sizeof(pool) - have, 0);

            have += got > 0 ? (size_t)got : 0;
        }
        left = POOL_WORDS;
    }
    return pool[--left];
}

// splitmix64: a few operations, and any seed will do.
static uint32_t from_seed(uint64_t seed)
{
    static uint64_t count;
    uint64_t word = seed + ++count * 0x9e3779b97f4a7c15ULL;

    word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9ULL;
    word = (word ^ word >> 27) * 0x94d049bb133111ebULL;
    return (uint32_t)(word ^ word >> 31);
}

int rand(void)
{
    static const char *text;
    static int asked;

    if (!asked) {
        text = getenv("SEEDVISOR_BOCHS_SEED");
        asked = 1;
    }
    return (int)((text == NULL ? from_kernel() : from_seed(strtoull(text, NULL, 10))) & RAND_MAX);
}

void srand(unsigned seed)
{
    (void)seed;
}
