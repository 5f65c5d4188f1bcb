// Spins on every CPU of the guest for a while: how far it gets is its share of the machine's CPUs.
// Meanwhile the SSE registers hold values that only this process knows: they must stay.
#define _GNU_SOURCE
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REGISTERS 16
#define TURNS     20000 // of the inner loop: some ten thousand instructions

struct registers {
    _Alignas(16) unsigned char bytes[REGISTERS][16];
};

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

// Loads all SSE registers, loops, and stores them again.
static void spin(const struct registers *before, struct registers *after)
{
    uint64_t turns = TURNS;

    __asm__ volatile("movaps 0x00(%1), %%xmm0; movaps 0x10(%1), %%xmm1\n"
                     "movaps 0x20(%1), %%xmm2; movaps 0x30(%1), %%xmm3\n"
                     "movaps 0x40(%1), %%xmm4; movaps 0x50(%1), %%xmm5\n"
                     "movaps 0x60(%1), %%xmm6; movaps 0x70(%1), %%xmm7\n"
                     "movaps 0x80(%1), %%xmm8; movaps 0x90(%1), %%xmm9\n"
                     "movaps 0xa0(%1), %%xmm10; movaps 0xb0(%1), %%xmm11\n"
                     "movaps 0xc0(%1), %%xmm12; movaps 0xd0(%1), %%xmm13\n"
                     "movaps 0xe0(%1), %%xmm14; movaps 0xf0(%1), %%xmm15\n"
                     "1: dec %0; jnz 1b\n"
                     "movaps %%xmm0, 0x00(%2); movaps %%xmm1, 0x10(%2)\n"
                     "movaps %%xmm2, 0x20(%2); movaps %%xmm3, 0x30(%2)\n"
                     "movaps %%xmm4, 0x40(%2); movaps %%xmm5, 0x50(%2)\n"
                     "movaps %%xmm6, 0x60(%2); movaps %%xmm7, 0x70(%2)\n"
                     "movaps %%xmm8, 0x80(%2); movaps %%xmm9, 0x90(%2)\n"
                     "movaps %%xmm10, 0xa0(%2); movaps %%xmm11, 0xb0(%2)\n"
                     "movaps %%xmm12, 0xc0(%2); movaps %%xmm13, 0xd0(%2)\n"
                     "movaps %%xmm14, 0xe0(%2); movaps %%xmm15, 0xf0(%2)\n"
                     : "+r"(turns)
                     : "r"(before), "r"(after)
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc",
                       "memory");
}

// One CPU's part: spins until `end`, then writes how often it went round, or 0 if a register did
// not keep its value.
static void spin_until(uint64_t end, int pipe)
{
    struct registers before;
    struct registers after;
    uint64_t rounds = 0;

    if (getrandom(&before, sizeof(before), 0) != sizeof(before)) {
        _exit(1);
    }
    while (now() < end) {
        spin(&before, &after);
        if (memcmp(&before, &after, sizeof(before)) != 0) {
            rounds = 0;
            break;
        }
        rounds++;
    }
    _exit(write(pipe, &rounds, sizeof(rounds)) != sizeof(rounds));
}

static void start_on(int cpu, uint64_t end, int pipe)
{
    cpu_set_t set;

    if (fork() == 0) {
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set) != 0) {
            _exit(1);
        }
        spin_until(end, pipe);
    }
}

int main(int argc, char **argv)
{
    // Guests that begin at the same full minute, or part of one, measure the same time.
    long seconds = argc > 1 ? atol(argv[1]) : 10;
    long align = argc > 2 ? atol(argv[2]) : 1;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t total = 0;
    uint64_t rounds;
    int pipes[2];

    if (seconds < 1 || align < 1 || pipe(pipes) != 0) {
        fprintf(stderr, "usage: share [SECONDS [ALIGNMENT-IN-SECONDS]]\n");
        return 2;
    }
    uint64_t unit = (uint64_t)align * 1000;
    uint64_t begin = (now() / unit + 1) * unit;

    while (now() < begin) {
        usleep(1000);
    }
    for (int cpu = 0; cpu < cpus; cpu++) {
        start_on(cpu, begin + (uint64_t)seconds * 1000, pipes[1]);
    }
    for (long i = 0; i < cpus; i++) {
        if (read(pipes[0], &rounds, sizeof(rounds)) != sizeof(rounds) || rounds == 0) {
            fprintf(stderr, "share: a register did not keep its value\n");
            return 1;
        }
        printf("share: CPU rounds %" PRIu64 "\n", rounds);
        total += rounds;
    }
    while (wait(NULL) > 0) {
    }
    printf("share: from %" PRIu64 " for %ld s: rounds %" PRIu64 "\n", begin / 1000, seconds, total);
    return 0;
}
