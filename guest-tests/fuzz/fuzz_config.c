/* A libFuzzer target: any bytes as a seedvisor.conf end in a verdict that holds what it promises.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-tests/fuzz/input.h"
#include "vmm/config.h"
#include "vmm/config_keys.h"

#define MESSAGE_LIMIT 480 /* what the log shows of a line */

static void judge_message(void *context, const char *message)
{
    unsigned *count = context;

    REQUIRE(strncmp(message, "conf:", 5) == 0);
    REQUIRE(strlen(message) < MESSAGE_LIMIT);
    (*count)++;
}

static void judge_number(const struct config_key *key, uint64_t number)
{
    unsigned words = 0;

    while (key->choices != NULL && key->choices[words] != NULL) {
        words++;
    }
    switch (key->type) {
    case CONFIG_CHOICE:
        REQUIRE(number < words);
        break;
    case CONFIG_SET:
        REQUIRE(number >> words == 0 && (number != 0 || key->minimum == 0));
        break;
    case CONFIG_SIZE:
        REQUIRE(number % key->multiple == 0);
        REQUIRE(number >= key->minimum && number <= key->maximum);
        break;
    case CONFIG_NUMBER:
    case CONFIG_DURATION:
        REQUIRE(number >= key->minimum && number <= key->maximum);
        break;
    case CONFIG_PORT:
        REQUIRE(number == 0 || (number >= key->minimum && number <= key->maximum));
        break;
    default: /* any set of CPUs is good */
        break;
    }
}

static void judge_path(const char *path, size_t size)
{
    REQUIRE(memchr(path, '\0', size) != NULL);
    REQUIRE(strchr(path, '/') == NULL);
}

static void judge_field(const struct config_key *key, const void *section)
{
    const char *field = (const char *)section + key->offset;
    struct config_rate rate;
    uint64_t number;

    if (key->type == CONFIG_TEXT) {
        REQUIRE(memchr(field, '\0', key->size) != NULL);
    } else if (key->type == CONFIG_PATH) {
        judge_path(field, key->size);
        REQUIRE(field[0] != '\0' || !key->required);
    } else if (key->type == CONFIG_PATHS) {
        const struct config_paths *paths = (const struct config_paths *)field;

        REQUIRE(paths->count <= CONFIG_MODULES);
        for (uint64_t i = 0; i < paths->count; i++) {
            judge_path(paths->path[i], CONFIG_PATH_SIZE);
            REQUIRE(paths->path[i][0] != '\0');
        }
    } else if (key->type == CONFIG_RATE) {
        memcpy(&rate, field, sizeof(rate));
        REQUIRE((rate.bytes == 0) == (rate.period == 0));
        REQUIRE(rate.bytes <= key->maximum);
    } else {
        memcpy(&number, field, sizeof(number));
        judge_number(key, number);
    }
}

static void judge_section(const char *name, const void *section)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i].section, name) == 0) {
            judge_field(&keys[i], section);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config;
    unsigned messages = 0;
    const struct config_report report = {judge_message, &messages};

    memset(&config, 0xa5, sizeof(config));
    bool good = config_parse((const char *)data, size, "conf", &config, &report);

    REQUIRE(good == (messages == 0));
    REQUIRE(messages <= CONFIG_MAX_ERRORS + 1);
    if (good) {
        REQUIRE(config.guest_count >= 1 && config.guest_count <= CONFIG_GUESTS);
        judge_section("host", &config.host);
        for (unsigned i = 0; i < config.guest_count; i++) {
            REQUIRE(memchr(config.guests[i].name, '\0', CONFIG_NAME_SIZE) != NULL);
            REQUIRE(config.guests[i].name[0] != '\0');
            judge_section("guest", &config.guests[i]);
        }
    }
    return 0;
}
