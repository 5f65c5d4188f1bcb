/* What the machine supplies to the pure sources, for tests on the host: the log goes to stderr. */
#include <stdarg.h>
#include <stdio.h>

#include "vmm/log.h"

void log_line(const char *text, ...)
{
    va_list arguments;

    va_start(arguments, text);
    vfprintf(stderr, text, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}
