/* Parser of seedvisor.conf: lines, sections and keys. Reports all mistakes, not just the first. */
#include "vmm/config.h"

#include <stdarg.h>
#include <string.h>

#include "vmm/config_value.h"
#include "vmm/format.h"

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define KILO (1ULL << 10)
#define MEGA (1ULL << 20)
#define GIGA (1ULL << 30)

#define MESSAGE_SIZE 320
#define PHRASE_SIZE  128
#define SHOWN_LENGTH 40 /* of a value in a message */

static const char *const rng_choices[] = {
    [CONFIG_RNG_RDSEED] = "rdseed",
    [CONFIG_RNG_NONE] = "none",
    NULL,
};

static const char *const rng_page_choices[] = {
    [CONFIG_RNG_MAPPED] = "mapped",
    [CONFIG_RNG_TRAPPED] = "trapped",
    NULL,
};

static const char *const virtio_choices[] = {
    [CONFIG_VIRTIO_MODERN] = "modern",
    [CONFIG_VIRTIO_LEGACY] = "legacy",
    NULL,
};

static const char *const virtio_feature_choices[] = {
    [CONFIG_VIRTIO_INDIRECT] = "indirect",
    [CONFIG_VIRTIO_EVENT_IDX] = "event_idx",
    [CONFIG_VIRTIO_PACKED] = "packed",
    [CONFIG_VIRTIO_IN_ORDER] = "in_order",
    [CONFIG_VIRTIO_NOTIFICATION_DATA] = "notification_data",
    [CONFIG_VIRTIO_RING_RESET] = "ring_reset",
    [CONFIG_VIRTIO_SUSPEND] = "suspend",
    [CONFIG_VIRTIO_FEATURES] = NULL,
};

#define HOST_FIELD(field)  .section = "host", .offset = offsetof(struct config_host, field)
#define GUEST_FIELD(field) .section = "guest", .offset = offsetof(struct config_guest, field)

static const struct config_key keys[] = {
    {HOST_FIELD(panic_after_exits), .name = "debug.panic_after_exits", .type = CONFIG_NUMBER,
     .maximum = 1000000000000000000, .fallback = "0", .example = "5000",
     .help = "For tests of the hypervisor's own end: panic after so many exits; 0 is never."},
    {GUEST_FIELD(kernel), .name = "kernel", .type = CONFIG_PATH, .size = CONFIG_PATH_SIZE,
     .required = true, .example = "\\vmlinuz",
     .help = "Path of a Linux bzImage on the boot volume."},
    {GUEST_FIELD(initrd), .name = "initrd", .type = CONFIG_PATH, .size = CONFIG_PATH_SIZE,
     .example = "\\initrd.img",
     .help = "Path of the kernel's initial RAM disk on the boot volume."},
    {GUEST_FIELD(cmdline), .name = "cmdline", .type = CONFIG_TEXT, .size = CONFIG_CMDLINE_SIZE,
     .example = "console=ttyS0", .help = "The kernel's command line."},
    {GUEST_FIELD(memory), .name = "memory", .type = CONFIG_SIZE, .minimum = 16 * MEGA,
     .maximum = 512 * GIGA, .multiple = 2 * MEGA, .fallback = "256M", .example = "256M",
     .help = "RAM of the guest."},
    {GUEST_FIELD(vcpus), .name = "vcpus", .type = CONFIG_NUMBER, .minimum = 1, .maximum = 64,
     .fallback = "1", .example = "2", .help = "Virtual CPUs of the guest."},
    {GUEST_FIELD(rng), .name = "rng", .type = CONFIG_CHOICE, .choices = rng_choices,
     .fallback = "rdseed", .example = "none",
     .help = "Where the guest's entropy device takes its bytes from; none: no such device."},
    {GUEST_FIELD(rng_page), .name = "rng.page", .type = CONFIG_CHOICE, .choices = rng_page_choices,
     .fallback = "mapped", .example = "trapped",
     .help = "How the guest reads the entropy device's registers: from a page of its own memory "
             "map, or by an exit for each read. Both yield the same."},
    {GUEST_FIELD(virtio), .name = "virtio", .type = CONFIG_CHOICE, .choices = virtio_choices,
     .fallback = "modern", .example = "legacy",
     .help = "The register layout of the guest's virtio devices: version 2, or the legacy "
             "version 1 for kernels before 4.0."},
    {GUEST_FIELD(virtio_features), .name = "virtio.features", .type = CONFIG_SET,
     .choices = virtio_feature_choices, .fallback = "indirect, event_idx",
     .example = "packed, in_order",
     .help = "The optional features that the guest's virtio devices offer. Any set is valid, the "
             "empty one too; a legacy device offers none but the first two."},
};

enum place {
    PLACE_START,   /* before the first section */
    PLACE_UNKNOWN, /* in a section whose header was wrong: its keys cannot be judged */
    PLACE_SECTION,
};

struct parser {
    const char *file;
    const struct config_report *report;
    struct config *config;
    unsigned line;
    unsigned errors;

    enum place place;
    const char *section; /* "host" or "guest", as in the table */
    void *target;        /* the section's struct */
    char title[CONFIG_NAME_SIZE + 8];
    unsigned section_line;
    unsigned key_lines[ARRAY_LENGTH(keys)]; /* where the section sets it; 0: not so far */

    unsigned host_line;
    unsigned guest_lines[CONFIG_GUESTS];
};

const struct config_key *config_keys(size_t *count)
{
    *count = ARRAY_LENGTH(keys);
    return keys;
}

/* `line` 0 is for what no line is to blame for. */
__attribute__((format(printf, 3, 4))) static void mistake(struct parser *parser, unsigned line,
                                                          const char *text, ...)
{
    char message[MESSAGE_SIZE];
    size_t used;
    va_list arguments;

    parser->errors++;
    if (parser->errors > CONFIG_MAX_ERRORS + 1) {
        return;
    }
    used = format(message, sizeof(message), "%s: ", parser->file);
    if (parser->errors > CONFIG_MAX_ERRORS) {
        format(message + used, sizeof(message) - used, "more mistakes follow");
        parser->report->line(parser->report->context, message);
        return;
    }
    if (line != 0) {
        used = format(message, sizeof(message), "%s:%u: ", parser->file, line);
    }
    va_start(arguments, text);
    format_list(message + used, sizeof(message) - used, text, arguments);
    va_end(arguments);
    parser->report->line(parser->report->context, message);
}

/* The arguments of a "%.*s%s" that shows a piece of the file, cut if it is long. */
#define SHOWN(span)                                                                                \
    (int)((span).length > SHOWN_LENGTH ? SHOWN_LENGTH : (span).length), (span).text,               \
        (span).length > SHOWN_LENGTH ? "..." : ""

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The part before the first `separator`, or all; *rest is what follows it. A tab is a blank, too.
 */
static struct config_span split(struct config_span span, char separator, struct config_span *rest)
{
    size_t length = 0;

    while (length < span.length && span.text[length] != separator &&
           !(separator == ' ' && is_blank(span.text[length]))) {
        length++;
    }
    size_t skipped = length < span.length ? length + 1 : length;

    *rest = (struct config_span){span.text + skipped, span.length - skipped};
    return (struct config_span){span.text, length};
}

static struct config_span span_of(const char *text)
{
    return (struct config_span){text, strlen(text)};
}

/* Ends a section: what it left out is a mistake or gets its default. */
static void end_section(struct parser *parser)
{
    char expected[PHRASE_SIZE];

    if (parser->place != PLACE_SECTION) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
        if (strcmp(keys[i].section, parser->section) != 0 || parser->key_lines[i] != 0) {
            continue;
        }
        if (keys[i].required) {
            mistake(parser, parser->section_line, "[%s]: no %s; expected a line such as %s = %s",
                    parser->title, keys[i].name, keys[i].name, keys[i].example);
        } else if (keys[i].fallback != NULL) {
            config_value_parse(&keys[i], span_of(keys[i].fallback), parser->target, expected,
                               sizeof(expected));
        }
    }
}

static void begin_section(struct parser *parser, const char *section, void *target)
{
    parser->place = PLACE_SECTION;
    parser->section = section;
    parser->target = target;
    parser->section_line = parser->line;
    memset(parser->key_lines, 0, sizeof(parser->key_lines));
}

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool check_name(struct parser *parser, struct config_span name)
{
    if (name.length == 0) {
        mistake(parser, parser->line, "[guest]: expected a name, such as [guest web]");
        return false;
    }
    if (name.length >= CONFIG_NAME_SIZE) {
        mistake(parser, parser->line, "[guest %.*s%s]: expected a name of at most %d characters",
                SHOWN(name), CONFIG_NAME_SIZE - 1);
        return false;
    }
    for (size_t i = 0; i < name.length; i++) {
        if (!is_name_character(name.text[i])) {
            mistake(parser, parser->line,
                    "[guest %.*s%s]: expected a name of letters, digits, '.', '_' and '-'",
                    SHOWN(name));
            return false;
        }
    }
    return true;
}

static void begin_guest(struct parser *parser, struct config_span name)
{
    struct config *config = parser->config;

    if (!check_name(parser, name)) {
        return;
    }
    for (unsigned i = 0; i < config->guest_count; i++) {
        if (config_span_is(name, config->guests[i].name)) {
            mistake(parser, parser->line, "[guest %.*s%s]: already at line %u", SHOWN(name),
                    parser->guest_lines[i]);
            return;
        }
    }
    if (config->guest_count == CONFIG_GUESTS) {
        mistake(parser, parser->line, "[guest %.*s%s]: expected at most %d guests", SHOWN(name),
                CONFIG_GUESTS);
        return;
    }
    struct config_guest *guest = &config->guests[config->guest_count];

    memcpy(guest->name, name.text, name.length);
    format(parser->title, sizeof(parser->title), "guest %s", guest->name);
    parser->guest_lines[config->guest_count] = parser->line;
    config->guest_count++;
    begin_section(parser, "guest", guest);
}

static void begin_host(struct parser *parser, struct config_span name)
{
    if (name.length > 0) {
        mistake(parser, parser->line, "[host %.*s%s]: expected [host], which has no name",
                SHOWN(name));
        return;
    }
    if (parser->host_line != 0) {
        mistake(parser, parser->line, "[host]: already at line %u", parser->host_line);
        return;
    }
    format(parser->title, sizeof(parser->title), "host");
    parser->host_line = parser->line;
    begin_section(parser, "host", &parser->config->host);
}

static void parse_header(struct parser *parser, struct config_span line)
{
    end_section(parser);
    parser->place = PLACE_UNKNOWN;
    if (line.text[line.length - 1] != ']') {
        mistake(parser, parser->line, "\"%.*s%s\": expected ] at the end of the line", SHOWN(line));
        return;
    }
    struct config_span inside =
        config_span_trim((struct config_span){line.text + 1, line.length - 2});
    struct config_span name;
    struct config_span word = split(inside, ' ', &name);

    name = config_span_trim(name);
    if (config_span_is(word, "guest")) {
        begin_guest(parser, name);
    } else if (config_span_is(word, "host")) {
        begin_host(parser, name);
    } else if (config_resembles(word, "guest")) {
        mistake(parser, parser->line, "[%.*s%s]: no such section; did you mean [guest NAME]?",
                SHOWN(inside));
    } else if (config_resembles(word, "host")) {
        mistake(parser, parser->line, "[%.*s%s]: no such section; did you mean [host]?",
                SHOWN(inside));
    } else {
        mistake(parser, parser->line, "[%.*s%s]: no such section; expected [host] or [guest NAME]",
                SHOWN(inside));
    }
}

/* Says what is wrong with a key that the section does not have. */
static void unknown_key(struct parser *parser, struct config_span name)
{
    char list[PHRASE_SIZE];
    size_t used = 0;
    const char *nearest = NULL;

    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
        if (strcmp(keys[i].section, parser->section) != 0) {
            if (config_span_is(name, keys[i].name)) {
                mistake(parser, parser->line, "%s: no such key in [%s]; it belongs into [%s]",
                        keys[i].name, parser->title,
                        keys[i].section[0] == 'h' ? "host" : "guest NAME");
                return;
            }
            continue;
        }
        used +=
            format(list + used, sizeof(list) - used, "%s%s", used == 0 ? "" : ", ", keys[i].name);
        if (config_resembles(name, keys[i].name) &&
            (nearest == NULL ||
             config_edit_distance(name, keys[i].name) < config_edit_distance(name, nearest))) {
            nearest = keys[i].name;
        }
    }
    if (nearest != NULL) {
        mistake(parser, parser->line, "%.*s%s: no such key in [%s]; did you mean %s?", SHOWN(name),
                parser->title, nearest);
    } else {
        mistake(parser, parser->line, "%.*s%s: no such key in [%s]; expected one of %s",
                SHOWN(name), parser->title, list);
    }
}

/* Takes off a pair of quotes; false if there is but the first. */
static bool unquote(struct config_span *value)
{
    if (value->length == 0 || value->text[0] != '"') {
        return true;
    }
    if (value->length == 1 || value->text[value->length - 1] != '"') {
        return false;
    }
    value->text++;
    value->length -= 2;
    return true;
}

static bool has_comment(struct config_span value)
{
    for (size_t i = 1; i < value.length; i++) {
        if (is_blank(value.text[i - 1]) && (value.text[i] == '#' || value.text[i] == ';')) {
            return true;
        }
    }
    return false;
}

static void set_key(struct parser *parser, size_t index, struct config_span value)
{
    const struct config_key *key = &keys[index];
    char expected[PHRASE_SIZE];

    if (parser->key_lines[index] != 0) {
        mistake(parser, parser->line, "%s = \"%.*s%s\": already set at line %u", key->name,
                SHOWN(value), parser->key_lines[index]);
        return;
    }
    parser->key_lines[index] = parser->line;
    if (!unquote(&value)) {
        mistake(parser, parser->line, "%s = %.*s%s: expected a closing quote", key->name,
                SHOWN(value));
        return;
    }
    if (!config_value_parse(key, value, parser->target, expected, sizeof(expected))) {
        mistake(parser, parser->line, "%s = \"%.*s%s\": %s%s", key->name, SHOWN(value), expected,
                has_comment(value) ? "; a comment takes a line of its own" : "");
    }
}

static void parse_setting(struct parser *parser, struct config_span line)
{
    struct config_span value;
    struct config_span name = config_span_trim(split(line, '=', &value));

    if (name.length == line.length || name.length == 0) {
        mistake(parser, parser->line, "\"%.*s%s\": expected key = value", SHOWN(line));
        return;
    }
    if (parser->place == PLACE_START) {
        mistake(parser, parser->line, "%.*s%s: expected [host] or [guest NAME] before it",
                SHOWN(name));
        return;
    }
    if (parser->place == PLACE_UNKNOWN) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
        if (strcmp(keys[i].section, parser->section) == 0 && config_span_is(name, keys[i].name)) {
            set_key(parser, i, config_span_trim(value));
            return;
        }
    }
    unknown_key(parser, name);
}

static bool is_plain(struct parser *parser, struct config_span line)
{
    for (size_t i = 0; i < line.length; i++) {
        unsigned char c = (unsigned char)line.text[i];

        if ((c < ' ' && c != '\t') || c == 0x7f) {
            mistake(parser, parser->line, "a byte 0x%02x: expected plain text", c);
            return false;
        }
    }
    return true;
}

static void parse_line(struct parser *parser, struct config_span line)
{
    if (line.length > 0 && line.text[line.length - 1] == '\r') {
        line.length--;
    }
    line = config_span_trim(line);
    if (!is_plain(parser, line) || line.length == 0 || line.text[0] == '#' || line.text[0] == ';') {
        return;
    }
    if (line.text[0] == '[') {
        parse_header(parser, line);
    } else {
        parse_setting(parser, line);
    }
}

static void parse_lines(struct parser *parser, struct config_span text)
{
    if (text.length >= 3 && memcmp(text.text, "\xef\xbb\xbf", 3) == 0) {
        text = (struct config_span){text.text + 3, text.length - 3};
    }
    while (text.length > 0) {
        struct config_span line = split(text, '\n', &text);

        parser->line++;
        parse_line(parser, line);
    }
    end_section(parser);
    if (parser->host_line == 0) {
        begin_host(parser, span_of("")); /* for its defaults */
        end_section(parser);
    }
}

static bool is_utf16(struct config_span text)
{
    return text.length >= 2 &&
           (memcmp(text.text, "\xff\xfe", 2) == 0 || memcmp(text.text, "\xfe\xff", 2) == 0);
}

bool config_parse(const char *text, size_t length, const char *file_name, struct config *config,
                  const struct config_report *report)
{
    struct parser parser = {.file = file_name, .report = report, .config = config};
    const struct config_span all = {text, length};

    memset(config, 0, sizeof(*config));
    if (is_utf16(all)) {
        mistake(&parser, 0, "this is UTF-16: expected UTF-8, so save it as that");
        return false;
    }
    parse_lines(&parser, all);
    if (parser.errors == 0 && config->guest_count == 0) {
        mistake(&parser, 0, "no guest to run: expected a [guest NAME] section");
    }
    return parser.errors == 0;
}
