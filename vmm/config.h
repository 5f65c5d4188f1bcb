/* seedvisor.conf: what the host is told and which guests it runs. */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_GUESTS       16
#define CONFIG_NAME_SIZE    32 /* with the terminator, as all that follow */
#define CONFIG_PATH_SIZE    256
#define CONFIG_CMDLINE_SIZE 2048 /* what Linux takes on x86 */
#define CONFIG_FAULT_SIZE   256
#define CONFIG_MODULES      8
#define CONFIG_MAX_ERRORS   20

/* Whether something is on: the value of a key that takes off or on. */
enum config_switch {
    CONFIG_OFF,
    CONFIG_ON,
};

enum config_console {
    CONFIG_CONSOLE_AUTO,
    CONFIG_CONSOLE_SWITCHED,
    CONFIG_CONSOLE_PREFIXED,
};

enum config_on_idle {
    CONFIG_IDLE_POWEROFF,
    CONFIG_IDLE_WAIT,
};

enum config_conditioner {
    CONFIG_CONDITIONER_NONE,
    CONFIG_CONDITIONER_SHA256,
};

/* Which bit of rng_mix stands for what. */
enum config_rng_source {
    CONFIG_SOURCE_RDSEED,
    CONFIG_SOURCE_RDRAND,
    CONFIG_SOURCE_EGD,
};

enum config_rng {
    CONFIG_RNG_RDSEED,
    CONFIG_RNG_RDRAND,
    CONFIG_RNG_EGD,
    CONFIG_RNG_MIX, /* of the host's rng_mix */
    CONFIG_RNG_NONE,
};

enum config_rng_page {
    CONFIG_RNG_MAPPED,
    CONFIG_RNG_TRAPPED,
};

enum config_virtio {
    CONFIG_VIRTIO_MODERN,
    CONFIG_VIRTIO_LEGACY,
};

/* Which bit of virtio_features stands for what. */
enum config_virtio_feature {
    CONFIG_VIRTIO_INDIRECT,
    CONFIG_VIRTIO_EVENT_IDX,
    CONFIG_VIRTIO_PACKED,
    CONFIG_VIRTIO_IN_ORDER,
    CONFIG_VIRTIO_NOTIFICATION_DATA,
    CONFIG_VIRTIO_RING_RESET,
    CONFIG_VIRTIO_SUSPEND,
    CONFIG_VIRTIO_FEATURES,
};

enum config_boot {
    CONFIG_BOOT_AUTO, /* what the kernel's file says it is */
    CONFIG_BOOT_LINUX,
    CONFIG_BOOT_PVH,
    CONFIG_BOOT_MULTIBOOT,
    CONFIG_BOOT_FLAT,
};

/* What follows a guest's end. */
enum config_end {
    CONFIG_END_STOP, /* it stays ended, and that is a good result */
    CONFIG_END_RESTART,
    CONFIG_END_FAIL, /* it stays ended, and the run has failed */
};

/* So many bytes in so many milliseconds; both 0: without limit. */
struct config_rate {
    uint64_t bytes;
    uint64_t period; /* ms */
};

struct config_paths {
    uint64_t count;
    char path[CONFIG_MODULES][CONFIG_PATH_SIZE]; /* with backslashes, as UEFI has them */
};

struct config_host {
    uint64_t console;                  /* enum config_console */
    uint64_t on_idle;                  /* enum config_on_idle */
    uint64_t rng_conditioner;          /* enum config_conditioner */
    uint64_t rng_mix;                  /* the sum of 1 << enum config_rng_source, never 0 */
    uint64_t rng_tap;                  /* enum config_switch */
    uint64_t trace;                    /* enum config_switch */
    uint64_t panic_after_exits;        /* 0: never */
    char rng_fault[CONFIG_FAULT_SIZE]; /* empty: none */
};

struct config_guest {
    char name[CONFIG_NAME_SIZE];
    char kernel[CONFIG_PATH_SIZE]; /* with backslashes, as UEFI has them */
    char initrd[CONFIG_PATH_SIZE]; /* empty: none */
    char cmdline[CONFIG_CMDLINE_SIZE];
    struct config_paths modules;
    uint64_t boot;   /* enum config_boot */
    uint64_t memory; /* bytes */
    uint64_t vcpus;
    uint64_t cpus;               /* the sum of 1 << CPU; 0: any CPU */
    uint64_t rng;                /* enum config_rng */
    struct config_rate rng_rate; /* of the entropy device */
    uint64_t rng_page;           /* enum config_rng_page */
    uint64_t rng_trap;           /* enum config_switch */
    uint64_t rng_seed;           /* enum config_switch; at boot */
    uint64_t virtio;             /* enum config_virtio */
    uint64_t virtio_features;    /* the sum of 1 << enum config_virtio_feature */
    uint64_t debug_exit;         /* I/O port; 0: none */
    uint64_t fw_cfg;             /* enum config_switch */
    uint64_t on_poweroff;        /* enum config_end */
    uint64_t on_reboot;          /* enum config_end */
    uint64_t on_crash;           /* enum config_end */
    uint64_t restart_limit;      /* how many restarts in all */
    uint64_t start;              /* enum config_switch; off: only the monitor starts it */
    uint64_t start_delay;        /* ms */
};

struct config {
    struct config_host host;
    struct config_guest guests[CONFIG_GUESTS];
    unsigned guest_count;
};

/* Where mistakes go: one complete line each, without newline. */
struct config_report {
    void (*line)(void *context, const char *message);
    void *context; /* not owned */
};

/*
 * Parses `length` bytes of text into *config, which is written in full; what it held before does
 * not matter. `file_name` is for the messages. True if there was no mistake. Otherwise every
 * mistake, up to CONFIG_MAX_ERRORS, has been reported, most as `file:line: what: expectation`, and
 * *config must not be used.
 *
 * The format: lines of `[host]`, `[guest NAME]` and `key = value`; lines that start with # or ; are
 * comments. A value is the rest of the line, without the blanks around it and one pair of double
 * quotes. Lines end with LF or CRLF; a UTF-8 byte order mark is passed over.
 */
bool config_parse(const char *text, size_t length, const char *file_name, struct config *config,
                  const struct config_report *report);

#endif
