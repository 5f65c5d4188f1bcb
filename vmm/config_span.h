/* Pieces of seedvisor.conf: words, numbers with units, and how like another word is. */
#ifndef VMM_CONFIG_SPAN_H
#define VMM_CONFIG_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of the file, not terminated. */
struct config_span {
    const char *text;
    size_t length;
};

/* All of a terminated text. */
struct config_span config_span_of(const char *text);

/* Whether a piece is this word. */
bool config_span_is(struct config_span span, const char *word);

/* A piece without the spaces and tabs around it. */
struct config_span config_span_trim(struct config_span span);

/*
 * Takes off *span what comes before the first `separator`, or all, and returns it; the separator is
 * dropped. A tab is a separator, too, where a space is.
 */
struct config_span config_span_split(struct config_span *span, char separator);

/* Whether a comment seems to follow within the piece. */
bool config_span_comment(struct config_span span);

/*
 * Whole pieces as numbers: decimal; decimal or hexadecimal after 0x; with K, M or G, in bytes; with
 * ms or s, in milliseconds. False if that is not what the piece is. A number too large for 64 bits
 * becomes the largest, which no key allows.
 */
bool config_span_number(struct config_span span, uint64_t *number);
bool config_span_port(struct config_span span, uint64_t *number);
bool config_span_size(struct config_span span, uint64_t *size);
bool config_span_duration(struct config_span span, uint64_t *milliseconds);

/* How unlike two words are: single-character edits between them, regardless of case. */
size_t config_edit_distance(struct config_span word, const char *candidate);

/* Whether `candidate` is near enough to be what was meant by `word`. */
bool config_resembles(struct config_span word, const char *candidate);

#endif
