/* KVM's paravirtual clock, in its "stable" form: written once per registration. */
#include "arch/x86/guest/pvclock.h"

#define SYSTEM_TIME_ENABLE 1ULL
#define FLAG_TSC_STABLE    1U
#define NANOSECONDS        1000000000ULL

/* The layouts are the guest interface's (msr.rst); versions are even while data is valid. */
struct wall_clock_data {
    uint32_t version;
    uint32_t seconds;
    uint32_t nanoseconds;
} __attribute__((packed));

struct system_time_data {
    uint32_t version;
    uint32_t padding0;
    uint64_t tsc_timestamp;
    uint64_t system_time; /* nanoseconds at tsc_timestamp */
    uint32_t multiplier;  /* ns = (ticks shifted by `shift`) * multiplier / 2^32 */
    int8_t shift;
    uint8_t flags;
    uint8_t padding1[2];
} __attribute__((packed));

/* The largest multiplier that fits 32 bits, for a frequency in Hz. */
static void find_scale(uint64_t frequency, uint32_t *multiplier, int8_t *shift)
{
    uint64_t scaled = frequency;

    *shift = 0;
    while (scaled > 2 * NANOSECONDS) {
        scaled >>= 1;
        (*shift)--;
    }
    while (scaled <= NANOSECONDS) {
        scaled <<= 1;
        (*shift)++;
    }
    *multiplier = (uint32_t)((NANOSECONDS << 32) / scaled);
}

static bool write_wall_clock(const struct guest_memory *memory, const struct wall_clock *clock,
                             uint64_t gpa)
{
    struct wall_clock_data data = {.version = 2, .seconds = (uint32_t)clock->unix_seconds};

    return guest_memory_write(memory, gpa, (const uint8_t *)&data, sizeof(data));
}

static bool write_system_time(const struct guest_memory *memory, const struct wall_clock *clock,
                              uint64_t gpa)
{
    uint32_t multiplier;
    int8_t shift;

    find_scale(clock->frequency, &multiplier, &shift);
    struct system_time_data data = {
        .version = 2,
        .tsc_timestamp = clock->ticks,
        .multiplier = multiplier,
        .shift = shift,
        .flags = FLAG_TSC_STABLE,
    };

    return guest_memory_write(memory, gpa, (const uint8_t *)&data, sizeof(data));
}

bool pvclock_read_msr(const struct pvclock *pvclock, uint32_t index, uint64_t *value)
{
    switch (index) {
    case PVCLOCK_MSR_WALL_CLOCK:
        *value = pvclock->wall_clock_gpa;
        return true;
    case PVCLOCK_MSR_SYSTEM_TIME:
        *value = pvclock->system_time_gpa;
        return true;
    default:
        return false;
    }
}

bool pvclock_write_msr(struct pvclock *pvclock, const struct guest_memory *memory,
                       const struct wall_clock *clock, uint32_t index, uint64_t value)
{
    switch (index) {
    case PVCLOCK_MSR_WALL_CLOCK:
        if (!write_wall_clock(memory, clock, value)) {
            return false;
        }
        pvclock->wall_clock_gpa = value;
        return true;
    case PVCLOCK_MSR_SYSTEM_TIME:
        if ((value & SYSTEM_TIME_ENABLE) != 0 &&
            !write_system_time(memory, clock, value & ~SYSTEM_TIME_ENABLE)) {
            return false;
        }
        pvclock->system_time_gpa = value;
        return true;
    default:
        return false;
    }
}
