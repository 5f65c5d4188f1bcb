// PID 1's first instructions: notes the time stamp counter, says it, and becomes the init script.
//
// It stands on no library, so that the number is the tick at which PID 1 began to run, give or
// take a few hundred instructions.

enum {
    SYS_WRITE = 1,
    SYS_EXECVE = 59,
    SYS_EXIT = 60,
    STDOUT = 1,
    DIGITS = 20, // 2^64 has that many decimals
};

static long system_call(long number, long first, long second, long third)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}

static unsigned long read_tsc(void)
{
    unsigned low;
    unsigned high;

    __asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (unsigned long)high << 32 | low;
}

static void say(unsigned long ticks)
{
    static const char label[] = "seedvisor-guest: pid1 tsc ";
    char line[sizeof(label) + DIGITS + 1];
    char digits[DIGITS];
    unsigned count = 0;
    unsigned length = 0;

    do {
        digits[count++] = (char)('0' + ticks % 10);
        ticks /= 10;
    } while (ticks != 0);
    while (label[length] != '\0') {
        line[length] = label[length];
        length++;
    }
    while (count > 0) {
        line[length++] = digits[--count];
    }
    line[length++] = '\n';
    system_call(SYS_WRITE, STDOUT, (long)line, (long)length);
}

// Linux starts a program with RSP 16-byte aligned and no return address, as if it had been called
// wrongly; nothing here returns.
__attribute__((force_align_arg_pointer, noreturn, used)) void _start(void)
{
    static const char *const arguments[] = {"/bin/sh", "/start.sh", 0};
    static const char *const environment[] = {"PATH=/bin", "HOME=/", "TERM=vt100", 0};

    say(read_tsc());
    system_call(SYS_EXECVE, (long)arguments[0], (long)arguments, (long)environment);
    system_call(SYS_EXIT, 127, 0, 0);
    __builtin_unreachable();
}
