// Tells when randomness was to be had, in ticks of the time stamp counter.
//
// usage: starve wait                 blocks in getrandom() until the kernel's generator is ready
//        starve run NAME COMMAND...  runs a command
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

static uint64_t ticks(void)
{
    _mm_lfence();
    return __rdtsc();
}

static int report(const char *name, uint64_t begin, int status)
{
    printf("seedvisor-guest: %s: begin %lu end %lu status %d\n", name, begin, ticks(), status);
    return status;
}

static int run(char **command)
{
    int status = 127 << 8;
    pid_t child = fork();

    if (child == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int main(int argc, char **argv)
{
    uint64_t begin = ticks();
    unsigned char bytes[32];

    if (argc == 2 && strcmp(argv[1], "wait") == 0) {
        return report("getrandom", begin, getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes));
    }
    if (argc > 3 && strcmp(argv[1], "run") == 0) {
        return report(argv[2], begin, run(argv + 3));
    }
    fprintf(stderr, "usage: starve wait | starve run NAME COMMAND...\n");
    return 2;
}
