/* The values of seedvisor.conf: typed parsing, and words for what was expected. */
#ifndef VMM_CONFIG_VALUE_H
#define VMM_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/config_keys.h"
#include "vmm/config_span.h"

/*
 * Parses a key's value into its field of `section`, the struct config_host or config_guest that it
 * is for. False, with a phrase such as "expected a size such as 256M" in `expected`, if it is not
 * what the key takes; the field must not be used then.
 */
bool config_value_parse(const struct config_key *key, struct config_span value, void *section,
                        char *expected, size_t expected_size);

#endif
