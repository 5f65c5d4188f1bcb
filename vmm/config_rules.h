/* What keys of seedvisor.conf ask of each other. */
#ifndef VMM_CONFIG_RULES_H
#define VMM_CONFIG_RULES_H

#include "vmm/config.h"
#include "vmm/config_keys.h"
#include "vmm/config_mistake.h"

/* Where a section and its keys are; 0: not there. */
struct config_lines {
    unsigned header;
    unsigned keys[CONFIG_KEYS_MAX]; /* in the order of config_keys() */
};

/*
 * Reports every contradiction in a configuration whose values are good each by itself. `guests` has
 * an element for each guest of `config`.
 */
void config_check_rules(const struct config *config, const struct config_lines *host,
                        const struct config_lines *guests, struct config_mistakes *mistakes);

#endif
