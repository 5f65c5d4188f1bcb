/* The values of seedvisor.conf: typed parsing, and words for what was expected. */
#ifndef VMM_CONFIG_VALUE_H
#define VMM_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/config.h"

/* A piece of the file, not terminated. */
struct config_span {
    const char *text;
    size_t length;
};

/* Whether a piece is this word. */
bool config_span_is(struct config_span span, const char *word);

/* A piece without the spaces and tabs around it. */
struct config_span config_span_trim(struct config_span span);

/*
 * Parses a key's value into its field of `section`, the struct config_host or config_guest that it
 * is for. False, with nothing stored and a phrase such as "expected a size such as 256M" in
 * `expected`, if it is not what the key takes.
 */
bool config_value_parse(const struct config_key *key, struct config_span value, void *section,
                        char *expected, size_t expected_size);

/* How unlike two words are: single-character edits between them, regardless of case. */
#define CONFIG_WORD_MAX 64 /* longer words are unlike anything */
size_t config_edit_distance(struct config_span word, const char *candidate);

/* Whether `candidate` is near enough to be what was meant by `word`. */
bool config_resembles(struct config_span word, const char *candidate);

#endif
