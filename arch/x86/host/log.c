/* The hypervisor's own log lines, on the machine's console. */
#include "vmm/log.h"

#include <stdarg.h>

#include "arch/x86/host/console.h"
#include "vmm/format.h"

#define PREFIX      "seedvisor: "
#define PREFIX_SIZE (sizeof(PREFIX) - 1)
#define LINE_SIZE   512

void log_line(const char *text, ...)
{
    char line[LINE_SIZE] = PREFIX;
    va_list arguments;

    va_start(arguments, text);
    size_t length =
        PREFIX_SIZE + format_list(line + PREFIX_SIZE, LINE_SIZE - PREFIX_SIZE - 2, text, arguments);

    va_end(arguments);
    line[length++] = '\r';
    line[length++] = '\n';
    console_write(line, length);
}
