/* The consoles of the guests, and the monitor that attends to the machine's keyboard. */
#include "arch/x86/boot/attendance.h"

#include "arch/x86/host/console.h"
#include "vmm/log.h"

/* How often the result of a health test is looked for: it takes some 100 ms, a slow source more. */
#define TEST_LOOKS 1000U

struct console_channel *attendance_add(const char *name, struct arena *arena)
{
    struct console_channel *channel = arena_allocate(arena, sizeof(*channel), 64);

    if (channel == NULL) {
        log_line("guest \"%s\": no room for its console", name);
        return NULL;
    }
    console_switch_add(console_consoles(), channel, name);
    return channel;
}

static void print_core(struct entropy_core *core)
{
    static const char *const states[] = {
        [ENTROPY_STARTING] = "the start-up test goes on",
        [ENTROPY_READY] = "ready",
        [ENTROPY_FAULT] = "faulty",
    };
    log_line("entropy: %s %s%s, %u bytes in the pool", core->source.name,
             states[entropy_state(core)],
             entropy_testing(core) ? ", the health test has not ended yet" : ", health test done",
             entropy_level(core));
}

/* Part 0 begins the tests, the last one tells how they went, and those between wait for that. */
static bool print_entropy(void *context, unsigned part)
{
    struct seedvisor *seedvisor = context;
    const struct host *host = &seedvisor->host;
    bool testing = false;

    for (unsigned i = 0; i < host->entropy_count; i++) {
        if (part == 0) {
            entropy_self_test(host->entropy[i]);
        }
        testing |= entropy_testing(host->entropy[i]);
    }
    if (testing && part < TEST_LOOKS) {
        return true;
    }
    for (unsigned i = 0; i < host->entropy_count; i++) {
        print_core(host->entropy[i]);
    }
    sources_print(&seedvisor->sources);
    return false;
}

static void power_off(void *context)
{
    run_end(&((struct seedvisor *)context)->run);
}

void attendance_begin(struct seedvisor *seedvisor)
{
    static const struct monitor_operations operations = {
        .print_statistics = machine_print_statistics,
        .print_entropy = print_entropy,
        .power_off = power_off,
    };
    struct monitor *monitor = &seedvisor->monitor;
    uint64_t mode = seedvisor->config.host.console;
    bool prefixed = mode == CONFIG_CONSOLE_PREFIXED ||
                    (mode == CONFIG_CONSOLE_AUTO && seedvisor->config.guest_count > 1);

    *monitor = (struct monitor){.consoles = console_consoles(),
                                .vm_count = seedvisor->config.guest_count,
                                .tsc_frequency = seedvisor->host.tsc_frequency,
                                .operations = &operations,
                                .context = seedvisor};
    for (unsigned i = 0; i < monitor->vm_count; i++) {
        monitor->vms[i] = seedvisor->vms[i];
    }
    console_switch_set_mode(monitor->consoles, prefixed ? CONSOLE_PREFIXED : CONSOLE_SWITCHED);
    seedvisor->host.monitor = monitor;
}

void attendance_end(struct seedvisor *seedvisor)
{
    seedvisor->host.monitor = NULL;
}
