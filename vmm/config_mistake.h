/* Mistakes in seedvisor.conf: where, what, and at most so many of them. */
#ifndef VMM_CONFIG_MISTAKE_H
#define VMM_CONFIG_MISTAKE_H

#include "vmm/config.h"

struct config_mistakes {
    const char *file;
    const struct config_report *report;
    unsigned count; /* all of them, reported or not */
};

/* Reports one. `line` 0 is for what no line is to blame for. */
void config_mistake(struct config_mistakes *mistakes, unsigned line, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

#endif
