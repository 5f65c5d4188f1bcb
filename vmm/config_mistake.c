/* Mistakes in seedvisor.conf are counted, and told up to a bound. */
#include "vmm/config_mistake.h"

#include <stdarg.h>

#include "vmm/format.h"

#define MESSAGE_SIZE 480

void config_mistake(struct config_mistakes *mistakes, unsigned line, const char *text, ...)
{
    const struct config_report *report = mistakes->report;
    char message[MESSAGE_SIZE];
    size_t used;
    va_list arguments;

    mistakes->count++;
    if (mistakes->count > CONFIG_MAX_ERRORS + 1) {
        return;
    }
    used = format(message, sizeof(message), "%s: ", mistakes->file);
    if (mistakes->count > CONFIG_MAX_ERRORS) {
        format(message + used, sizeof(message) - used, "more mistakes follow");
        report->line(report->context, message);
        return;
    }
    if (line != 0) {
        used = format(message, sizeof(message), "%s:%u: ", mistakes->file, line);
    }
    va_start(arguments, text);
    format_list(message + used, sizeof(message) - used, text, arguments);
    va_end(arguments);
    report->line(report->context, message);
}
