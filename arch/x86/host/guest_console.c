/* A guest's way to the machine's console: the sink of its serial port is a channel of the switch.
 */
#include "arch/x86/host/guest_console.h"

static bool sink_ready(void *context)
{
    return console_channel_ready(context);
}

static void sink_transmit(void *context, uint8_t byte)
{
    console_channel_put(context, byte);
}

static void sink_flush(void *context)
{
    console_channel_finish_line(context);
}

struct uart_sink guest_console_sink(struct console_channel *channel)
{
    return (struct uart_sink){
        .ready = sink_ready, .transmit = sink_transmit, .flush = sink_flush, .context = channel};
}
