/* The keys of seedvisor.conf: one table, from which all that concerns a key comes. */
#ifndef VMM_CONFIG_KEYS_H
#define VMM_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_KEYS_MAX 48 /* for arrays with an element for each key */

enum config_type {
    CONFIG_SIZE,     /* a number with K, M or G */
    CONFIG_NUMBER,   /* decimal */
    CONFIG_DURATION, /* a number with ms or s; stored in milliseconds */
    CONFIG_RATE,     /* bytes / duration; a struct config_rate */
    CONFIG_CPUS,     /* such as 0,2-3; stored as the sum of 1 << CPU */
    CONFIG_PORT,     /* decimal, or hexadecimal after 0x */
    CONFIG_PATH,     /* of a file on the boot volume */
    CONFIG_PATHS,    /* some with commas between; a struct config_paths */
    CONFIG_TEXT,     /* anything, possibly nothing */
    CONFIG_CHOICE,   /* one of a few words, stored as its index */
    CONFIG_SET,      /* any of a few words with commas between, stored as the sum of 1 << index */
};

/* One key: parsing, defaults, error texts and the reference all come from here. */
struct config_key {
    const char *section; /* "host" or "guest" */
    const char *name;
    enum config_type type;
    size_t offset;              /* in struct config_host or struct config_guest */
    size_t size;                /* of the field, for paths and texts */
    uint64_t minimum;           /* of a number, a rate's bytes or a set's words */
    uint64_t maximum;           /* of the same but for sets */
    uint64_t multiple;          /* for sizes: what they must be a multiple of */
    const char *const *choices; /* ends with NULL */
    bool required;
    const char *fallback; /* value without the key; NULL: empty, or none */
    const char *example;
    const char *help; /* one sentence or more, without line breaks */
};

/* All keys, *count of them, in the order of a reference. */
const struct config_key *config_keys(size_t *count);

#endif
