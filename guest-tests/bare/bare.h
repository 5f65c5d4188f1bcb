/* The bare guest's cases: what one is, and how it says what it found. */
#ifndef GUEST_TESTS_BARE_BARE_H
#define GUEST_TESTS_BARE_BARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A case runs if the device offers `features` and has version `version`, with `cpus` CPUs. */
struct bare_case {
    const char *name;
    void (*run)(void);
    uint64_t features;
    uint32_t version; /* 0: any */
    unsigned cpus;
};

/* In the tables at the end of each case_*.c, whose names the system tests read from there. */
#define CASE_ROW(title, needed, layout, least)                                                     \
    {                                                                                              \
        .name = #title, .run = title, .features = needed, .version = layout, .cpus = least         \
    }
#define CASE(name)                  CASE_ROW(name, 0, 2, 1)
#define CASE_WITH(name, needed)     CASE_ROW(name, needed, 2, 1)
#define CASE_ANYWHERE(name)         CASE_ROW(name, 0, 0, 1)
#define CASE_LEGACY(name)           CASE_ROW(name, 0, 1, 1)
#define CASE_SMP(name)              CASE_ROW(name, 0, 2, 2)
#define CASE_SMP_WITH(name, needed) CASE_ROW(name, needed, 2, 2)
#define CASE_END                                                                                   \
    {                                                                                              \
        .name = NULL                                                                               \
    }

extern const struct bare_case boot_cases[], cpu_cases[], event_cases[], register_cases[],
    feature_cases[], interrupt_cases[], split_cases[], packed_cases[], hostile_cases[],
    hostile_packed_cases[], smp_cases[], legacy_cases[];

/* How the guest was booted, and what with: start.asm's values. */
#define BOOT_FLAT      0x74616c66U
#define BOOT_PVH       0x20687670U
#define BOOT_MULTIBOOT 0x2badb002U

extern uint32_t boot_magic;
extern const uint8_t *boot_information;

/* What the guest was given; a loader may put the kernel's path before it. */
const char *command_line(void);
bool ends_with(const char *text, const char *end);

/* If the command line ends in a role, plays it, which ends the guest or has no end; else returns.
 */
void play_role(void);

/* Marks the running case as failed. The first time counts. */
void case_failed(const char *file, unsigned line, const char *what, uint64_t actual,
                 uint64_t expected);
bool case_has_failed(void);

/* In a case or a function without result that a case calls: leaves it when not fulfilled. */
#define EXPECT_EQUAL(actual, expected)                                                             \
    do {                                                                                           \
        uint64_t actual_ = (uint64_t)(actual);                                                     \
        uint64_t expected_ = (uint64_t)(expected);                                                 \
        if (case_has_failed()) {                                                                   \
            return;                                                                                \
        }                                                                                          \
        if (actual_ != expected_) {                                                                \
            case_failed(__FILE__, __LINE__, #actual, actual_, expected_);                          \
            return;                                                                                \
        }                                                                                          \
    } while (0)
#define EXPECT(condition) EXPECT_EQUAL((condition) ? 1 : 0, 1)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
