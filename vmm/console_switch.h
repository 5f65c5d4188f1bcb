/* The console switch: several guests' consoles and the hypervisor's own lines on one serial port.
 */
#ifndef VMM_CONSOLE_SWITCH_H
#define VMM_CONSOLE_SWITCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/spin_lock.h"

#define CONSOLE_GUESTS 16U

/* What is kept of a guest's output, in bytes, and of the hypervisor's own lines. */
#define CONSOLE_RING 16384U
#define CONSOLE_OWN  16384U

/*
 * Output that waits for the port while its guest is on show; then the guest waits. Small, so that
 * neither Ctrl-C nor the hypervisor's answers come late: 2 KiB take 0.2 s at 115,200 baud.
 */
#define CONSOLE_BACKLOG 2048U

#define CONSOLE_LINE  256U /* longer ones are divided when lines of several guests mix */
#define CONSOLE_TYPED 256U /* typed characters that wait for their guest */

/* How much of a guest's earlier output is shown again when it comes into view. */
#define CONSOLE_CONTEXT 1024U

enum console_mode {
    CONSOLE_SWITCHED, /* the guest in view is on show, byte for byte; the others' output is kept */
    CONSOLE_PREFIXED, /* all are, line by line, each line with its guest's name before it */
};

/* One guest's console. All positions count bytes since the start. */
struct console_channel {
    struct console_switch *owner;
    char name[32];
    uint64_t head;       /* bytes the guest ever wrote */
    uint64_t shown;      /* handed to the port so far, or given up; may go back to a line's start */
    uint64_t seen;       /* the most that `shown` ever was */
    uint64_t line_start; /* behind the last newline that was shown */
    uint64_t line_end;   /* behind the last newline that the guest wrote */
    uint64_t before_own; /* output up to here goes before the hypervisor's own lines that wait */
    uint64_t lost;       /* bytes that were overwritten before anybody saw them */
    uint32_t typed_head;
    uint32_t typed_tail;
    uint8_t typed[CONSOLE_TYPED];
    uint8_t ring[CONSOLE_RING];
};

/*
 * Guests write on their CPUs, the hypervisor's lines come from any CPU, and whoever serves the port
 * takes what is to be sent. A lock guards all of it; it is held for no more than CONSOLE_CONTEXT
 * steps, as a rule for one. Typed characters are the business of one CPU alone.
 */
struct console_switch {
    struct spin_lock lock;
    bool ending;       /* the lock is waited for no longer than `patience`, in ticks */
    uint64_t patience; /* see console_switch_end() */
    enum console_mode mode;
    bool held; /* guests' output waits, while a listing is printed */
    unsigned count;
    unsigned view; /* the guest in view, whose the keyboard is */
    unsigned turn; /* the guest whose line was shown last, when lines mix */
    struct console_channel *channels[CONSOLE_GUESTS];
    uint64_t own_head;
    uint64_t own_tail;
    bool line_begun; /* what was taken last did not end with a newline */
    size_t staged;   /* bytes of stage[] not taken yet, and where they begin */
    size_t stage_begin;
    uint8_t stage[CONSOLE_LINE + 64];
    uint8_t own[CONSOLE_OWN];
};

/*
 * Adds a guest's console. `channel` is zeroed memory and is kept; the name is copied and cut to
 * what fits. At most CONSOLE_GUESTS.
 */
void console_switch_add(struct console_switch *consoles, struct console_channel *channel,
                        const char *name);

/* Whether the guest may write a byte now. If not, it waits: nobody else does. */
bool console_channel_ready(struct console_channel *channel);

/* A byte of the guest's output. The oldest one that was kept makes room for it. */
void console_channel_put(struct console_channel *channel, uint8_t byte);

/* Counts an unfinished last line as finished: the guest has ended. */
void console_channel_finish_line(struct console_channel *channel);

/*
 * A line of the hypervisor's own, with its CR and LF, at most CONSOLE_LINE bytes. It is shown on a
 * line of its own, after all that guests on show wrote before. False if there is no room for it.
 */
bool console_switch_write(struct console_switch *consoles, const char *line, size_t length);

/* Bytes that console_switch_write() has room for; CONSOLE_OWN if all has been taken. */
size_t console_switch_room(struct console_switch *consoles);

/* The next bytes for the port, at most `size`. Returns how many: 0 if there is nothing to send. */
size_t console_switch_take(struct console_switch *consoles, uint8_t *bytes, size_t size);

/*
 * Puts a guest into view: the end of what it wrote is shown again from a line's start, all of it
 * that was not seen yet included.
 */
void console_switch_select(struct console_switch *consoles, unsigned guest);

void console_switch_set_mode(struct console_switch *consoles, enum console_mode mode);

/* The run is over: lets held output go, and counts all guests' unfinished lines as finished. */
void console_switch_finish(struct console_switch *consoles);

/*
 * The machine's end has begun, and some CPU may have stopped with the lock held: what shows the
 * hypervisor's own lines waits for it no longer than `patience` ticks from now on.
 */
void console_switch_end(struct console_switch *consoles, uint64_t patience);

/* Keeps guests' output back, or lets it go on. */
void console_switch_hold(struct console_switch *consoles, bool hold);

/* A typed character for the guest in view, of which there must be one; lost if too many wait. */
void console_switch_type(struct console_switch *consoles, uint8_t byte);

/* The next character typed for a guest, if there is one. It stays until it is dropped. */
bool console_channel_typed(const struct console_channel *channel, uint8_t *byte);
void console_channel_drop_typed(struct console_channel *channel);

#endif
