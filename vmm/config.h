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
#define CONFIG_MAX_ERRORS   20

enum config_rng {
    CONFIG_RNG_RDSEED,
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

struct config_host {
    uint64_t panic_after_exits; /* 0: never */
};

struct config_guest {
    char name[CONFIG_NAME_SIZE];
    char kernel[CONFIG_PATH_SIZE]; /* with backslashes, as UEFI has them */
    char initrd[CONFIG_PATH_SIZE]; /* empty: none */
    char cmdline[CONFIG_CMDLINE_SIZE];
    uint64_t memory; /* bytes */
    uint64_t vcpus;
    uint64_t rng;             /* enum config_rng */
    uint64_t rng_page;        /* enum config_rng_page */
    uint64_t virtio;          /* enum config_virtio */
    uint64_t virtio_features; /* the sum of 1 << enum config_virtio_feature */
};

struct config {
    struct config_host host;
    struct config_guest guests[CONFIG_GUESTS];
    unsigned guest_count;
};

enum config_type {
    CONFIG_SIZE,   /* a number with K, M or G */
    CONFIG_NUMBER, /* decimal */
    CONFIG_PATH,   /* of a file on the boot volume */
    CONFIG_TEXT,   /* anything, possibly nothing */
    CONFIG_CHOICE, /* one of a few words, stored as its index */
    CONFIG_SET,    /* any of a few words with commas between, stored as the sum of 1 << index */
};

/* One key: parsing, defaults, error texts and the reference all come from here. */
struct config_key {
    const char *section; /* "host" or "guest" */
    const char *name;
    enum config_type type;
    size_t offset;              /* in struct config_host or struct config_guest */
    size_t size;                /* of the field, for paths and texts */
    uint64_t minimum;           /* for sizes and numbers */
    uint64_t maximum;           /* for sizes and numbers */
    uint64_t multiple;          /* for sizes: what they must be a multiple of */
    const char *const *choices; /* ends with NULL */
    bool required;
    const char *fallback; /* value without the key; NULL: empty */
    const char *example;
    const char *help;
};

/* All keys, *count of them, in the order of a reference. */
const struct config_key *config_keys(size_t *count);

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
