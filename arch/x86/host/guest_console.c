/* A guest's way to the machine's console. Whole lines, so that guests do not tear each other's. */
#include "arch/x86/host/guest_console.h"

#include <string.h>

#include "arch/x86/host/console.h"

static bool sink_ready(void *context)
{
    (void)context;
    return console_has_room();
}

static void show_line(struct guest_console *console)
{
    char text[GUEST_CONSOLE_LINE + 40];
    size_t length = 0;

    text[length++] = '[';
    for (const char *name = console->name; *name != '\0' && length < 34; name++) {
        text[length++] = *name;
    }
    text[length++] = ']';
    text[length++] = ' ';
    memcpy(text + length, console->line, console->length);
    length += console->length;
    text[length++] = '\r';
    text[length++] = '\n';
    console->length = 0;
    console_write(text, length);
}

static void sink_transmit(void *context, uint8_t byte)
{
    struct guest_console *console = context;
    const char character = (char)byte;

    if (console->name == NULL) {
        console_write(&character, 1);
        return;
    }
    if (character != '\r' && character != '\n') {
        console->line[console->length++] = character;
    }
    if (character == '\n' || console->length == GUEST_CONSOLE_LINE) {
        show_line(console);
    }
}

static void sink_flush(void *context)
{
    struct guest_console *console = context;

    if (console->name != NULL && console->length > 0) {
        show_line(console);
    }
}

struct uart_sink guest_console_sink(struct guest_console *console)
{
    return (struct uart_sink){
        .ready = sink_ready, .transmit = sink_transmit, .flush = sink_flush, .context = console};
}
