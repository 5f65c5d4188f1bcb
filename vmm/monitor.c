/* The monitor's commands: one table, from which the help comes too. */
#include "vmm/monitor.h"

#include "vmm/lifecycle.h"
#include "vmm/log.h"

/* The longest part of a listing: a vCPU's exits by kind, or all unknown accesses. */
#define PART_ROOM 4096U

struct command {
    const char *help;
    void (*act)(struct monitor *monitor);                    /* at once */
    bool (*listing)(struct monitor *monitor, unsigned part); /* or part by part */
    enum vm_request request;                                 /* or by the guest in view */
    uint8_t key;
};

static bool print_help(struct monitor *monitor, unsigned part);

static struct vm *vm_in_view(const struct monitor *monitor)
{
    return monitor->vms[monitor->consoles->view];
}

/* Switching. */

static void select(struct monitor *monitor, unsigned guest)
{
    struct console_switch *consoles = monitor->consoles;
    const struct console_channel *channel = consoles->channels[guest];

    if (consoles->mode == CONSOLE_PREFIXED) {
        log_line("the keyboard is guest %u's, \"%s\"", guest, channel->name);
    } else if (channel->lost > 0) {
        log_line("console of guest %u, \"%s\"; %lu bytes are lost", guest, channel->name,
                 channel->lost);
    } else {
        log_line("console of guest %u, \"%s\"", guest, channel->name);
    }
    console_switch_select(consoles, guest);
}

static void select_next(struct monitor *monitor)
{
    select(monitor, (monitor->consoles->view + 1) % monitor->vm_count);
}

static void select_previous(struct monitor *monitor)
{
    select(monitor, (monitor->consoles->view + monitor->vm_count - 1) % monitor->vm_count);
}

static void select_number(struct monitor *monitor, unsigned guest)
{
    if (guest >= monitor->vm_count) {
        log_line("there is no guest %u; Ctrl-A l lists them", guest);
        return;
    }
    select(monitor, guest);
}

static void change_mode(struct monitor *monitor)
{
    struct console_switch *consoles = monitor->consoles;

    if (consoles->mode == CONSOLE_SWITCHED) {
        log_line("showing all guests, line by line");
        console_switch_set_mode(consoles, CONSOLE_PREFIXED);
        return;
    }
    console_switch_set_mode(consoles, CONSOLE_SWITCHED);
    select(monitor, consoles->view);
}

/* Listings. */

static bool print_guest(struct monitor *monitor, unsigned part)
{
    if (part == monitor->vm_count) {
        return false;
    }
    const struct vm *vm = monitor->vms[part];
    const struct vcpu_statistics *first = &vm->vcpus[0].statistics;
    uint64_t ticks = first->ticks_guest + first->ticks_idle + first->ticks_waiting;
    uint64_t memory = 0;
    uint64_t exits = 0;

    for (unsigned kind = 0; kind < EXIT_KINDS; kind++) {
        ticks += first->ticks[kind];
    }
    for (unsigned i = 0; i < vm->memory.count; i++) {
        memory += vm->memory.regions[i].size;
    }
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        exits += vm->vcpus[i].trace.count;
    }
    log_line("%c%2u %-12s %-8s vCPUs %u, memory %lu MiB, up %lu s, exits %lu, restarts %u",
             part == monitor->consoles->view ? '*' : ' ', part, vm->name, vm_state_name(vm),
             vm->vcpu_count, memory >> 20, ticks / monitor->tsc_frequency, exits,
             vm->lifecycle.restarts);
    return true;
}

static bool print_statistics(struct monitor *monitor, unsigned part)
{
    return monitor->operations->print_statistics(vm_in_view(monitor), part);
}

static bool print_entropy(struct monitor *monitor, unsigned part)
{
    return monitor->operations->print_entropy(monitor->context, part);
}

static bool print_trace(struct monitor *monitor, unsigned part)
{
    const struct vm *vm = vm_in_view(monitor);

    if (part == vm->vcpu_count) {
        return false;
    }
    log_line("guest \"%s\", vCPU %u:", vm->name, part);
    trace_print(&vm->vcpus[part].trace);
    return true;
}

/* Goes to the debug port, as it is more than a person wants to see. */
static bool write_trace(struct monitor *monitor, unsigned part)
{
    const struct vm *vm = vm_in_view(monitor);

    if (part == 0 && !vm_trace_begin(&monitor->trace, vm)) {
        log_line("guest \"%s\" has no trace: it needs trace = on", vm->name);
        return false;
    }
    if (vm_trace_go_on(&monitor->trace)) {
        return true;
    }
    log_line("guest \"%s\": %lu lines of trace on port 0xe9", monitor->trace.vm->name,
             monitor->trace.lines);
    return false;
}

/* A listing stays in one piece: what guests write meanwhile is shown after it. */
static void begin_listing(struct monitor *monitor, bool (*listing)(struct monitor *, unsigned))
{
    monitor->listing = listing;
    monitor->part = 0;
    console_switch_hold(monitor->consoles, listing != NULL);
}

void monitor_work(struct monitor *monitor)
{
    if (monitor->listing != NULL && console_switch_room(monitor->consoles) >= PART_ROOM &&
        !monitor->listing(monitor, monitor->part++)) {
        begin_listing(monitor, NULL);
    }
}

/* The rest. */

static void type_escape(struct monitor *monitor)
{
    console_switch_type(monitor->consoles, MONITOR_ESCAPE);
}

static void ask_power_off(struct monitor *monitor)
{
    log_line("end all guests and switch the machine off? y/n");
    monitor->state = MONITOR_CONFIRM;
}

static void leave(struct monitor *monitor)
{
    begin_listing(monitor, NULL);
}

static const struct command commands[] = {
    {.key = 'h', .help = "this help", .listing = print_help},
    {.key = 'l', .help = "list the guests", .listing = print_guest},
    {.key = 'n', .help = "the next guest's console (0 to 9: that guest's)", .act = select_next},
    {.key = 'p', .help = "the previous guest's console", .act = select_previous},
    {.key = 'v', .help = "show all guests, line by line, or only one", .act = change_mode},
    {.key = 's', .help = "statistics of the guest", .listing = print_statistics},
    {.key = 't', .help = "the last exits of each of its vCPUs", .listing = print_trace},
    {.key = 'w', .help = "write its trace to port 0xe9, for tools/trace", .listing = write_trace},
    {.key = 'z', .help = "pause it", .request = VM_REQUEST_PAUSE},
    {.key = 'c', .help = "let it go on", .request = VM_REQUEST_RESUME},
    {.key = 'r', .help = "restart it", .request = VM_REQUEST_RESTART},
    {.key = 'k', .help = "stop it", .request = VM_REQUEST_STOP},
    {.key = 'o', .help = "start it, if it does not run", .request = VM_REQUEST_START},
    {.key = 'e', .help = "test the entropy source and tell its health", .listing = print_entropy},
    {.key = 'x', .help = "switch the machine off", .act = ask_power_off},
    {.key = 'q', .help = "nothing; ends a listing", .act = leave},
    {.key = 'a', .help = "send Ctrl-A to the guest, as Ctrl-A Ctrl-A does", .act = type_escape},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static bool print_help(struct monitor *monitor, unsigned part)
{
    if (part > 0) {
        return false;
    }
    log_line("Ctrl-A and a key; \"the guest\" is %u, \"%s\", whose the keyboard is:",
             monitor->consoles->view, vm_in_view(monitor)->name);
    for (unsigned i = 0; i < COMMANDS; i++) {
        log_line("  %c  %s", commands[i].key, commands[i].help);
    }
    return true;
}

/* Why a request would be of no effect; NULL if it is not so. */
static const char *obstacle(const struct vm *vm, enum vm_request request)
{
    bool runs = __atomic_load_n(&vm->lifecycle.phase, __ATOMIC_RELAXED) == LIFECYCLE_RUNNING;

    switch (request) {
    case VM_REQUEST_START:
        return runs ? "is running already" : NULL;
    case VM_REQUEST_STOP: /* keeps one from its start or restart, too */
        return lifecycle_over(vm) ? "is not running" : NULL;
    case VM_REQUEST_PAUSE:
    case VM_REQUEST_RESUME:
        return runs ? NULL : "is not running";
    default:
        return NULL;
    }
}

static void ask(struct vm *vm, const struct command *command)
{
    const char *wrong = obstacle(vm, command->request);

    if (wrong != NULL) {
        log_line("guest \"%s\" %s", vm->name, wrong);
        return;
    }
    log_line("Ctrl-A %c, guest \"%s\": %s", command->key, vm->name, command->help);
    vm_request(vm, command->request);
}

static void carry_out(struct monitor *monitor, const struct command *command)
{
    if (command->act != NULL) {
        command->act(monitor);
    } else if (command->listing != NULL) {
        begin_listing(monitor, command->listing);
    } else {
        ask(vm_in_view(monitor), command);
    }
}

static void take_command(struct monitor *monitor, uint8_t byte)
{
    const uint8_t key = byte == '?' ? 'h' : (byte == MONITOR_ESCAPE ? 'a' : byte);

    monitor->state = MONITOR_TYPING;
    if (key >= '0' && key <= '9') {
        select_number(monitor, key - '0');
        return;
    }
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (commands[i].key == key) {
            carry_out(monitor, &commands[i]);
            return;
        }
    }
    log_line("Ctrl-A and 0x%02x is no command; Ctrl-A h lists them", byte);
}

static void take_answer(struct monitor *monitor, uint8_t byte)
{
    monitor->state = MONITOR_TYPING;
    if (byte == 'y' || byte == 'Y') {
        monitor->operations->power_off(monitor->context);
    } else {
        log_line("not switched off");
    }
}

void monitor_input(struct monitor *monitor, uint8_t byte)
{
    switch (monitor->state) {
    case MONITOR_COMMAND:
        take_command(monitor, byte);
        return;
    case MONITOR_CONFIRM:
        take_answer(monitor, byte);
        return;
    default:
        if (byte == MONITOR_ESCAPE) {
            monitor->state = MONITOR_COMMAND;
        } else {
            console_switch_type(monitor->consoles, byte);
        }
        return;
    }
}
