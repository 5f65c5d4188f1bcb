// Executes RDRAND and RDSEED in all their forms and checks what they do to registers and flags.
//
// usage: random-check ROUNDS; each round is every form once, on a low and a high register.
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// CF, PF, AF, ZF, SF and OF: set before each, so that it shows if one is not cleared.
#define STATUS 0x8d5UL
#define CARRY  0x001UL
#define OLD    0xa5a5a5a5a5a5a5a5UL

struct result {
    uint64_t value;
    uint64_t flags;
};

// The register holds OLD before. The red zone is kept clear of the pushes.
#define FORM(name, instruction, reg, width)                                                        \
    static struct result name(void)                                                                \
    {                                                                                              \
        register uint64_t value __asm__(reg) = OLD;                                                \
        uint64_t flags;                                                                            \
                                                                                                   \
        __asm__ volatile("lea -128(%%rsp), %%rsp\n\t"                                              \
                         "pushfq\n\t"                                                              \
                         "orq %2, (%%rsp)\n\t"                                                     \
                         "popfq\n\t" instruction " %" width "0\n\t"                                \
                         "pushfq\n\t"                                                              \
                         "pop %1\n\t"                                                              \
                         "lea 128(%%rsp), %%rsp"                                                   \
                         : "+r"(value), "=&r"(flags)                                               \
                         : "i"(STATUS)                                                             \
                         : "cc", "memory");                                                        \
        return (struct result){value, flags & STATUS};                                             \
    }

FORM(rdrand16, "rdrand", "rbx", "w")
FORM(rdrand32, "rdrand", "rbx", "k")
FORM(rdrand64, "rdrand", "rbx", "q")
FORM(rdseed16, "rdseed", "rbx", "w")
FORM(rdseed32, "rdseed", "rbx", "k")
FORM(rdseed64, "rdseed", "rbx", "q")
FORM(rdrand16_high, "rdrand", "r13", "w")
FORM(rdrand32_high, "rdrand", "r13", "k")
FORM(rdrand64_high, "rdrand", "r13", "q")
FORM(rdseed16_high, "rdseed", "r13", "w")
FORM(rdseed32_high, "rdseed", "r13", "k")
FORM(rdseed64_high, "rdseed", "r13", "q")

static const struct form {
    const char *name;
    struct result (*execute)(void);
    uint64_t mask; // of the bits that it fills
    uint64_t kept; // of the bits that it leaves alone; the others it clears
} forms[] = {
    {"rdrand r16", rdrand16, 0xffff, ~0xffffUL},
    {"rdrand r32", rdrand32, 0xffffffff, 0},
    {"rdrand r64", rdrand64, UINT64_MAX, 0},
    {"rdseed r16", rdseed16, 0xffff, ~0xffffUL},
    {"rdseed r32", rdseed32, 0xffffffff, 0},
    {"rdseed r64", rdseed64, UINT64_MAX, 0},
    {"rdrand r16, high", rdrand16_high, 0xffff, ~0xffffUL},
    {"rdrand r32, high", rdrand32_high, 0xffffffff, 0},
    {"rdrand r64, high", rdrand64_high, UINT64_MAX, 0},
    {"rdseed r16, high", rdseed16_high, 0xffff, ~0xffffUL},
    {"rdseed r32, high", rdseed32_high, 0xffffffff, 0},
    {"rdseed r64, high", rdseed64_high, UINT64_MAX, 0},
};

struct tally {
    uint64_t answered;
    uint64_t dry;
    uint64_t wrong_flags;
    uint64_t wrong_bits; // kept or cleared where it should be the other way, or not 0 when dry
    uint64_t ones;       // among the bits filled
};

static void count(struct tally *tally, const struct form *form, struct result result)
{
    uint64_t kept = result.value & ~form->mask;

    tally->wrong_flags += result.flags != 0 && result.flags != CARRY;
    tally->wrong_bits += kept != (OLD & form->kept);
    if ((result.flags & CARRY) != 0) {
        tally->answered++;
        tally->ones += (uint64_t)__builtin_popcountll(result.value & form->mask);
    } else {
        tally->dry++;
        tally->wrong_bits += (result.value & form->mask) != 0;
    }
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 0;

    if (rounds < 1) {
        fprintf(stderr, "usage: random-check ROUNDS\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tally tally = {0};

        for (long round = 0; round < rounds; round++) {
            count(&tally, &forms[i], forms[i].execute());
        }
        uint64_t bits = tally.answered * (uint64_t)__builtin_popcountll(forms[i].mask);

        printf("seedvisor-guest: %s: answered %" PRIu64 " dry %" PRIu64 " wrong flags %" PRIu64
               " wrong bits %" PRIu64 " ones %" PRIu64 " of 10000\n",
               forms[i].name, tally.answered, tally.dry, tally.wrong_flags, tally.wrong_bits,
               bits == 0 ? 0 : tally.ones * 10000 / bits);
    }
    return 0;
}
