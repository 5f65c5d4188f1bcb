// Runs a virtual machine monitor and notes when its guest gets to PID 1 and what it then occupies.
//
// stamp GUEST-MIB COMMAND...  shows the command's output line by line as it comes. The time stamp
// counter is that of the machine the monitor runs on, as the guest's may start anywhere.
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-tests/bench/ticks.h"

#define LINE_SIZE 4096

// Starts the command; returns its process with its output, or ends the program.
static pid_t start(char **command, FILE **output)
{
    int ends[2];
    pid_t child;

    if (pipe(ends) != 0 || (child = fork()) < 0) {
        perror("stamp");
        exit(1);
    }
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    close(ends[1]);
    *output = fdopen(ends[0], "r");
    return child;
}

// KiB of memory that the process occupies: all, and without the mapping that is the guest's RAM,
// the one of `guest` KiB.
static void print_memory(pid_t process, unsigned long guest)
{
    char path[64];
    char line[LINE_SIZE];
    unsigned long all = 0;
    unsigned long own = 0;
    unsigned long size = 0;
    unsigned long resident;
    FILE *list;

    snprintf(path, sizeof(path), "/proc/%d/smaps", (int)process);
    list = fopen(path, "r");
    while (list != NULL && fgets(line, sizeof(line), list) != NULL) {
        if (sscanf(line, "Size: %lu kB", &size) == 1) {
            continue;
        }
        if (sscanf(line, "Rss: %lu kB", &resident) == 1) {
            all += resident;
            own += size == guest ? 0 : resident;
        }
    }
    if (list != NULL) {
        fclose(list);
    }
    printf("seedvisor-peer: memory %lu KiB, own %lu KiB\n", all, own);
}

int main(int argc, char **argv)
{
    char line[LINE_SIZE];
    FILE *output;
    pid_t child;
    int status;

    if (argc < 3) {
        fprintf(stderr, "usage: stamp GUEST-MIB COMMAND...\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seedvisor-peer: starting at tsc %" PRIu64 "\n", ticks());
    child = start(argv + 2, &output);
    while (output != NULL && fgets(line, sizeof(line), output) != NULL) {
        uint64_t now = ticks();

        fputs(line, stdout);
        if (strstr(line, "seedvisor-guest: pid1 tsc") != NULL) {
            printf("seedvisor-peer: pid1 seen at tsc %" PRIu64 "\n", now);
        }
        if (strstr(line, "seedvisor-guest: bench done") != NULL) {
            print_memory(child, strtoul(argv[1], NULL, 10) << 10);
        }
    }
    waitpid(child, &status, 0);
    printf("seedvisor-peer: ended with status %d\n", WEXITSTATUS(status));
    return WEXITSTATUS(status);
}
