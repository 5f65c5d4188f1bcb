/* The console switch: who is on show, whose turn it is, and what the port is given next. */
#include "vmm/console_switch.h"

#include "vmm/format.h"

/* A turn of the guest in view, so that the hypervisor's own lines need not wait for more. */
#define VIEW_BYTES 64U

void console_switch_add(struct console_switch *consoles, struct console_channel *channel,
                        const char *name)
{
    channel->owner = consoles;
    format(channel->name, sizeof(channel->name), "%s", name);
    spin_lock_acquire(&consoles->lock);
    consoles->channels[consoles->count++] = channel;
    spin_lock_release(&consoles->lock);
}

static bool on_show(const struct console_channel *channel)
{
    const struct console_switch *consoles = channel->owner;

    return consoles->mode == CONSOLE_PREFIXED || consoles->channels[consoles->view] == channel;
}

bool console_channel_ready(struct console_channel *channel)
{
    spin_lock_acquire(&channel->owner->lock);
    bool ready = !on_show(channel) || channel->head - channel->shown < CONSOLE_BACKLOG;

    spin_lock_release(&channel->owner->lock);
    return ready;
}

void console_channel_put(struct console_channel *channel, uint8_t byte)
{
    spin_lock_acquire(&channel->owner->lock);
    if (channel->head - channel->shown == CONSOLE_RING) {
        channel->shown++;
        if (channel->shown > channel->seen) {
            channel->seen = channel->shown;
            channel->lost++;
        }
    }
    channel->ring[channel->head++ % CONSOLE_RING] = byte;
    if (byte == '\n') {
        channel->line_end = channel->head;
    }
    spin_lock_release(&channel->owner->lock);
}

void console_channel_finish_line(struct console_channel *channel)
{
    spin_lock_acquire(&channel->owner->lock);
    channel->line_end = channel->head;
    spin_lock_release(&channel->owner->lock);
}

static void lock(struct console_switch *consoles)
{
    if (__atomic_load_n(&consoles->ending, __ATOMIC_ACQUIRE)) {
        spin_lock_seize(&consoles->lock, consoles->patience);
    } else {
        spin_lock_acquire(&consoles->lock);
    }
}

void console_switch_end(struct console_switch *consoles, uint64_t patience)
{
    consoles->patience = patience;
    __atomic_store_n(&consoles->ending, true, __ATOMIC_RELEASE);
}

static size_t own_room(const struct console_switch *consoles)
{
    return CONSOLE_OWN - (size_t)(consoles->own_head - consoles->own_tail);
}

bool console_switch_write(struct console_switch *consoles, const char *line, size_t length)
{
    lock(consoles);
    bool fits = length <= own_room(consoles);

    for (size_t i = 0; fits && i < length; i++) {
        consoles->own[consoles->own_head++ % CONSOLE_OWN] = (uint8_t)line[i];
    }
    /* A line that waits for room moves no mark: it would wait for what guests write meanwhile. */
    for (unsigned i = 0; fits && i < consoles->count; i++) {
        consoles->channels[i]->before_own = consoles->channels[i]->head;
    }
    spin_lock_release(&consoles->lock);
    return fits;
}

size_t console_switch_room(struct console_switch *consoles)
{
    lock(consoles);
    size_t room = own_room(consoles) - (consoles->staged > 0 ? 1 : 0);

    spin_lock_release(&consoles->lock);
    return room;
}

/* What follows fills the stage, a little at a time. Called with the lock held, on an empty stage.
 */

static void put(struct console_switch *consoles, uint8_t byte)
{
    consoles->stage[consoles->staged++] = byte;
    consoles->line_begun = byte != '\n';
}

static uint8_t show_byte(struct console_channel *channel)
{
    uint8_t byte = channel->ring[channel->shown++ % CONSOLE_RING];

    if (channel->shown > channel->seen) {
        channel->seen = channel->shown;
    }
    if (byte == '\n') {
        channel->line_start = channel->shown;
    }
    return byte;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Whether a line, or as much as counts as one, can be shown with its prefix. */
static bool has_line(const struct console_channel *channel)
{
    return channel->line_end > channel->shown || channel->head - channel->shown >= CONSOLE_LINE;
}

/* Whether a guest is on show and wrote something before the own lines that wait. */
static bool comes_first(const struct console_channel *channel)
{
    uint64_t due = channel->before_own;

    if (channel->owner->mode == CONSOLE_PREFIXED) {
        due = smaller(due, channel->line_end);
    }
    return on_show(channel) && channel->seen < due;
}

static bool guests_come_first(const struct console_switch *consoles)
{
    for (unsigned i = 0; i < consoles->count; i++) {
        if (comes_first(consoles->channels[i])) {
            return true;
        }
    }
    return false;
}

/*
 * One own line. It does not continue a line of the guest in view: that one is left as it is, and
 * shown again from its start when the guest's turn comes.
 */
static void stage_own(struct console_switch *consoles)
{
    if (consoles->line_begun) {
        put(consoles, '\r');
        put(consoles, '\n');
        struct console_channel *channel =
            consoles->count > 0 ? consoles->channels[consoles->view] : NULL;

        if (channel != NULL && channel->head - channel->line_start <= CONSOLE_LINE) {
            channel->shown = smaller(channel->line_start, channel->shown);
        }
    }
    for (unsigned i = 0; i < CONSOLE_LINE && consoles->own_tail < consoles->own_head; i++) {
        uint8_t byte = consoles->own[consoles->own_tail++ % CONSOLE_OWN];

        put(consoles, byte);
        if (byte == '\n') {
            return;
        }
    }
}

static void stage_view(struct console_switch *consoles, bool own_waits)
{
    struct console_channel *channel = consoles->channels[consoles->view];
    uint64_t limit = own_waits ? channel->before_own : channel->head;

    for (unsigned i = 0; i < VIEW_BYTES && channel->shown < limit; i++) {
        put(consoles, show_byte(channel));
    }
}

static void stage_line(struct console_switch *consoles, struct console_channel *channel)
{
    uint64_t limit = channel->line_end > channel->shown ? channel->line_end : channel->head;

    if (consoles->line_begun) { /* by a guest that was in view alone */
        put(consoles, '\r');
        put(consoles, '\n');
    }
    put(consoles, '[');
    for (const char *name = channel->name; *name != '\0'; name++) {
        put(consoles, (uint8_t)*name);
    }
    put(consoles, ']');
    put(consoles, ' ');
    for (unsigned i = 0, length = 0; i < 2 * CONSOLE_LINE && channel->shown < limit; i++) {
        uint8_t next = channel->ring[channel->shown % CONSOLE_RING];
        bool visible = next != '\r' && next != '\n';

        if (visible && length == CONSOLE_LINE) {
            break;
        }
        (void)show_byte(channel);
        if (visible) {
            put(consoles, next);
            length++;
        }
        if (next == '\n') {
            break;
        }
    }
    put(consoles, '\r');
    put(consoles, '\n');
}

/* A line of the next guest that has one: whoever writes much waits longer, and nobody else does. */
static void stage_next_line(struct console_switch *consoles, bool own_waits)
{
    for (unsigned i = 1; i <= consoles->count; i++) {
        unsigned guest = (consoles->turn + i) % consoles->count;
        struct console_channel *channel = consoles->channels[guest];

        if (own_waits ? comes_first(channel) : has_line(channel)) {
            consoles->turn = guest;
            stage_line(consoles, channel);
            return;
        }
    }
}

static void fill_stage(struct console_switch *consoles)
{
    bool own_waits = consoles->own_head != consoles->own_tail;

    consoles->stage_begin = 0;
    if (own_waits && (consoles->held || !guests_come_first(consoles))) {
        stage_own(consoles);
    } else if (consoles->held || consoles->count == 0) {
        return;
    } else if (consoles->mode == CONSOLE_PREFIXED) {
        stage_next_line(consoles, own_waits);
    } else {
        stage_view(consoles, own_waits);
    }
}

size_t console_switch_take(struct console_switch *consoles, uint8_t *bytes, size_t size)
{
    size_t taken = 0;

    lock(consoles);
    while (taken < size) {
        if (consoles->staged == 0) {
            fill_stage(consoles);
        }
        if (consoles->staged == 0) {
            break;
        }
        bytes[taken++] = consoles->stage[consoles->stage_begin++];
        consoles->staged--;
    }
    spin_lock_release(&consoles->lock);
    return taken;
}

/* Where a line starts, at or behind `position`; the end of all output if none does. */
static uint64_t line_from(const struct console_channel *channel, uint64_t position)
{
    while (position > 0 && position < channel->head &&
           channel->ring[(position - 1) % CONSOLE_RING] != '\n') {
        position++;
    }
    return position;
}

void console_switch_select(struct console_switch *consoles, unsigned guest)
{
    struct console_channel *channel = consoles->channels[guest];

    spin_lock_acquire(&consoles->lock);
    consoles->view = guest;
    channel->lost = 0;
    if (consoles->mode == CONSOLE_SWITCHED) {
        uint64_t context = channel->head > CONSOLE_CONTEXT ? channel->head - CONSOLE_CONTEXT : 0;

        channel->shown = smaller(line_from(channel, context), channel->shown);
        channel->seen = channel->shown;
        channel->line_start = channel->shown;
        channel->before_own = 0;
    }
    spin_lock_release(&consoles->lock);
}

void console_switch_set_mode(struct console_switch *consoles, enum console_mode mode)
{
    spin_lock_acquire(&consoles->lock);
    consoles->mode = mode;
    spin_lock_release(&consoles->lock);
}

void console_switch_finish(struct console_switch *consoles)
{
    lock(consoles);
    consoles->held = false;
    for (unsigned i = 0; i < consoles->count; i++) {
        consoles->channels[i]->line_end = consoles->channels[i]->head;
    }
    spin_lock_release(&consoles->lock);
}

void console_switch_hold(struct console_switch *consoles, bool hold)
{
    spin_lock_acquire(&consoles->lock);
    consoles->held = hold;
    spin_lock_release(&consoles->lock);
}

/* Typed characters: written and read by whoever serves the port, so no lock is needed. */

void console_switch_type(struct console_switch *consoles, uint8_t byte)
{
    struct console_channel *channel = consoles->channels[consoles->view];

    if (channel->typed_head - channel->typed_tail < CONSOLE_TYPED) {
        channel->typed[channel->typed_head++ % CONSOLE_TYPED] = byte;
    }
}

bool console_channel_typed(const struct console_channel *channel, uint8_t *byte)
{
    *byte = channel->typed[channel->typed_tail % CONSOLE_TYPED];
    return channel->typed_head != channel->typed_tail;
}

void console_channel_drop_typed(struct console_channel *channel)
{
    if (channel->typed_head != channel->typed_tail) {
        channel->typed_tail++;
    }
}
