/* What keys of seedvisor.conf ask of each other: one function a rule. */
#include "vmm/config_rules.h"

#include <string.h>

#define LEGACY_FEATURES (1ULL << CONFIG_VIRTIO_INDIRECT | 1ULL << CONFIG_VIRTIO_EVENT_IDX)

/* One guest under judgement, and what it is judged by. */
struct judgement {
    const struct config_host *host;
    const struct config_guest *guest;
    const struct config_lines *host_lines;
    const struct config_lines *guest_lines;
    struct config_mistakes *mistakes;
};

/* The line that sets a key, or its section's where the key has its default. */
static unsigned line_of(const struct config_lines *lines, const char *section, const char *name)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);

    for (size_t i = 0; i < count; i++) {
        if (lines->keys[i] != 0 && strcmp(keys[i].section, section) == 0 &&
            strcmp(keys[i].name, name) == 0) {
            return lines->keys[i];
        }
    }
    return lines->header;
}

static void check_tap(const struct judgement *judgement)
{
    if (judgement->host->rng_tap == CONFIG_ON && judgement->guest->rng != CONFIG_RNG_NONE) {
        config_mistake(judgement->mistakes, line_of(judgement->guest_lines, "guest", "rng"),
                       "[guest %s]: expected rng = none, because of rng.tap = on at line %u",
                       judgement->guest->name, line_of(judgement->host_lines, "host", "rng.tap"));
    }
}

static void check_legacy(const struct judgement *judgement)
{
    if (judgement->guest->virtio == CONFIG_VIRTIO_LEGACY &&
        (judgement->guest->virtio_features & ~LEGACY_FEATURES) != 0) {
        config_mistake(
            judgement->mistakes, line_of(judgement->guest_lines, "guest", "virtio.features"),
            "[guest %s]: expected virtio.features = indirect, event_idx or less, because of "
            "virtio = legacy at line %u",
            judgement->guest->name, line_of(judgement->guest_lines, "guest", "virtio"));
    }
}

static void check_modules(const struct judgement *judgement)
{
    if (judgement->guest->modules.count > 0 && judgement->guest->boot == CONFIG_BOOT_LINUX) {
        config_mistake(judgement->mistakes, line_of(judgement->guest_lines, "guest", "modules"),
                       "[guest %s]: Linux's own protocol, which line %u asks for, has no modules; "
                       "did you mean initrd?",
                       judgement->guest->name, line_of(judgement->guest_lines, "guest", "boot"));
    }
}

/* Without a guest that starts by itself and without a wait, there is nothing to be done. */
static void check_start(const struct config *config, struct config_mistakes *mistakes)
{
    for (unsigned i = 0; i < config->guest_count; i++) {
        if (config->guests[i].start == CONFIG_ON) {
            return;
        }
    }
    if (config->guest_count > 0 && config->host.on_idle == CONFIG_IDLE_POWEROFF) {
        config_mistake(mistakes, 0,
                       "start = off for every guest: expected on_idle = wait in "
                       "[host], or a guest that starts");
    }
}

void config_check_rules(const struct config *config, const struct config_lines *host,
                        const struct config_lines *guests, struct config_mistakes *mistakes)
{
    static void (*const rules[])(const struct judgement *) = {check_tap, check_legacy,
                                                              check_modules};

    for (unsigned i = 0; i < config->guest_count; i++) {
        const struct judgement judgement = {&config->host, &config->guests[i], host, &guests[i],
                                            mistakes};

        for (unsigned j = 0; j < sizeof(rules) / sizeof(rules[0]); j++) {
            rules[j](&judgement);
        }
    }
    check_start(config, mistakes);
}
