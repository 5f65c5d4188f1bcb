/* Parser of seedvisor.conf: lines, sections and keys. Reports all mistakes, not just the first. */
#include "vmm/config.h"

#include <string.h>

#include "vmm/config_keys.h"
#include "vmm/config_mistake.h"
#include "vmm/config_rules.h"
#include "vmm/config_span.h"
#include "vmm/config_value.h"
#include "vmm/format.h"

#define PHRASE_SIZE  400
#define SHOWN_LENGTH 40 /* of a value in a message */

enum place {
    PLACE_START,   /* before the first section */
    PLACE_UNKNOWN, /* in a section whose header was wrong: its keys cannot be judged */
    PLACE_SECTION,
};

struct parser {
    struct config *config;
    const struct config_key *keys;
    size_t key_count;
    struct config_mistakes mistakes;
    unsigned line;

    enum place place;
    const char *section;        /* "host" or "guest", as in the table */
    void *target;               /* the section's struct */
    struct config_lines *lines; /* the section's */
    char title[CONFIG_NAME_SIZE + 8];

    struct config_lines host_lines;
    struct config_lines guest_lines[CONFIG_GUESTS];
};

/* The arguments of a "%.*s%s" that shows a piece of the file, cut if it is long. */
#define SHOWN(span)                                                                                \
    (int)((span).length > SHOWN_LENGTH ? SHOWN_LENGTH : (span).length), (span).text,               \
        (span).length > SHOWN_LENGTH ? "..." : ""

/* Ends a section: what it left out is a mistake or gets its default. */
static void end_section(struct parser *parser)
{
    char expected[PHRASE_SIZE];

    if (parser->place != PLACE_SECTION) {
        return;
    }
    for (size_t i = 0; i < parser->key_count; i++) {
        if (strcmp(parser->keys[i].section, parser->section) != 0 || parser->lines->keys[i] != 0) {
            continue;
        }
        if (parser->keys[i].required) {
            config_mistake(&parser->mistakes, parser->lines->header,
                           "[%s]: no %s; expected a line such as %s = %s", parser->title,
                           parser->keys[i].name, parser->keys[i].name, parser->keys[i].example);
        } else if (parser->keys[i].fallback != NULL) {
            config_value_parse(&parser->keys[i], config_span_of(parser->keys[i].fallback),
                               parser->target, expected, sizeof(expected));
        }
    }
}

static void begin_section(struct parser *parser, const char *section, void *target,
                          struct config_lines *lines)
{
    parser->place = PLACE_SECTION;
    parser->section = section;
    parser->target = target;
    parser->lines = lines;
    lines->header = parser->line;
}

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool check_name(struct parser *parser, struct config_span name)
{
    if (name.length == 0) {
        config_mistake(&parser->mistakes, parser->line,
                       "[guest]: expected a name, such as [guest web]");
        return false;
    }
    if (name.length >= CONFIG_NAME_SIZE) {
        config_mistake(&parser->mistakes, parser->line,
                       "[guest %.*s%s]: expected a name of at most %d characters", SHOWN(name),
                       CONFIG_NAME_SIZE - 1);
        return false;
    }
    for (size_t i = 0; i < name.length; i++) {
        if (!is_name_character(name.text[i])) {
            config_mistake(&parser->mistakes, parser->line,
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
            config_mistake(&parser->mistakes, parser->line, "[guest %.*s%s]: already at line %u",
                           SHOWN(name), parser->guest_lines[i].header);
            return;
        }
    }
    if (config->guest_count == CONFIG_GUESTS) {
        config_mistake(&parser->mistakes, parser->line,
                       "[guest %.*s%s]: expected at most %d guests", SHOWN(name), CONFIG_GUESTS);
        return;
    }
    struct config_guest *guest = &config->guests[config->guest_count];

    memcpy(guest->name, name.text, name.length);
    format(parser->title, sizeof(parser->title), "guest %s", guest->name);
    begin_section(parser, "guest", guest, &parser->guest_lines[config->guest_count]);
    config->guest_count++;
}

static void begin_host(struct parser *parser, struct config_span name)
{
    if (name.length > 0) {
        config_mistake(&parser->mistakes, parser->line,
                       "[host %.*s%s]: expected [host], which has no name", SHOWN(name));
        return;
    }
    if (parser->host_lines.header != 0) {
        config_mistake(&parser->mistakes, parser->line, "[host]: already at line %u",
                       parser->host_lines.header);
        return;
    }
    format(parser->title, sizeof(parser->title), "host");
    begin_section(parser, "host", &parser->config->host, &parser->host_lines);
}

static void parse_header(struct parser *parser, struct config_span line)
{
    end_section(parser);
    parser->place = PLACE_UNKNOWN;
    if (line.text[line.length - 1] != ']') {
        config_mistake(&parser->mistakes, parser->line,
                       "\"%.*s%s\": expected ] at the end of the line", SHOWN(line));
        return;
    }
    struct config_span inside =
        config_span_trim((struct config_span){line.text + 1, line.length - 2});
    struct config_span name = inside;
    struct config_span word = config_span_split(&name, ' ');

    name = config_span_trim(name);
    if (config_span_is(word, "guest")) {
        begin_guest(parser, name);
    } else if (config_span_is(word, "host")) {
        begin_host(parser, name);
    } else if (config_resembles(word, "guest")) {
        config_mistake(&parser->mistakes, parser->line,
                       "[%.*s%s]: no such section; did you mean [guest NAME]?", SHOWN(inside));
    } else if (config_resembles(word, "host")) {
        config_mistake(&parser->mistakes, parser->line,
                       "[%.*s%s]: no such section; did you mean [host]?", SHOWN(inside));
    } else {
        config_mistake(&parser->mistakes, parser->line,
                       "[%.*s%s]: no such section; expected [host] or [guest NAME]", SHOWN(inside));
    }
}

/* Says what is wrong with a key that the section does not have. */
static void unknown_key(struct parser *parser, struct config_span name)
{
    char list[PHRASE_SIZE];
    size_t used = 0;
    const char *nearest = NULL;

    for (size_t i = 0; i < parser->key_count; i++) {
        if (strcmp(parser->keys[i].section, parser->section) != 0) {
            if (config_span_is(name, parser->keys[i].name)) {
                config_mistake(&parser->mistakes, parser->line,
                               "%s: no such key in [%s]; it belongs into [%s]",
                               parser->keys[i].name, parser->title,
                               parser->keys[i].section[0] == 'h' ? "host" : "guest NAME");
                return;
            }
            continue;
        }
        used += format(list + used, sizeof(list) - used, "%s%s", used == 0 ? "" : ", ",
                       parser->keys[i].name);
        if (config_resembles(name, parser->keys[i].name) &&
            (nearest == NULL || config_edit_distance(name, parser->keys[i].name) <
                                    config_edit_distance(name, nearest))) {
            nearest = parser->keys[i].name;
        }
    }
    if (nearest != NULL) {
        config_mistake(&parser->mistakes, parser->line,
                       "%.*s%s: no such key in [%s]; did you mean %s?", SHOWN(name), parser->title,
                       nearest);
    } else {
        config_mistake(&parser->mistakes, parser->line,
                       "%.*s%s: no such key in [%s]; expected one of %s", SHOWN(name),
                       parser->title, list);
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

static void set_key(struct parser *parser, size_t index, struct config_span value)
{
    const struct config_key *key = &parser->keys[index];
    char expected[PHRASE_SIZE];

    if (parser->lines->keys[index] != 0) {
        config_mistake(&parser->mistakes, parser->line, "%s = \"%.*s%s\": already set at line %u",
                       key->name, SHOWN(value), parser->lines->keys[index]);
        return;
    }
    parser->lines->keys[index] = parser->line;
    if (!unquote(&value)) {
        config_mistake(&parser->mistakes, parser->line, "%s = %.*s%s: expected a closing quote",
                       key->name, SHOWN(value));
        return;
    }
    if (!config_value_parse(key, value, parser->target, expected, sizeof(expected))) {
        config_mistake(&parser->mistakes, parser->line, "%s = \"%.*s%s\": %s%s", key->name,
                       SHOWN(value), expected,
                       config_span_comment(value) ? "; a comment takes a line of its own" : "");
    }
}

static void parse_setting(struct parser *parser, struct config_span line)
{
    struct config_span value = line;
    struct config_span name = config_span_trim(config_span_split(&value, '='));

    if (name.length == line.length || name.length == 0) {
        config_mistake(&parser->mistakes, parser->line, "\"%.*s%s\": expected key = value",
                       SHOWN(line));
        return;
    }
    if (parser->place == PLACE_START) {
        config_mistake(&parser->mistakes, parser->line,
                       "%.*s%s: expected [host] or [guest NAME] before it", SHOWN(name));
        return;
    }
    if (parser->place == PLACE_UNKNOWN) {
        return;
    }
    for (size_t i = 0; i < parser->key_count; i++) {
        if (strcmp(parser->keys[i].section, parser->section) == 0 &&
            config_span_is(name, parser->keys[i].name)) {
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
            config_mistake(&parser->mistakes, parser->line, "a byte 0x%02x: expected plain text",
                           c);
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
    while (text.length > 0 && parser->mistakes.count <= CONFIG_MAX_ERRORS) {
        struct config_span line = config_span_split(&text, '\n');

        parser->line++;
        parse_line(parser, line);
    }
    end_section(parser);
    if (parser->host_lines.header == 0) {
        begin_host(parser, config_span_of("")); /* for its defaults */
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
    struct parser parser = {.config = config, .mistakes = {.file = file_name, .report = report}};
    const struct config_span all = {text, length};

    parser.keys = config_keys(&parser.key_count);
    memset(config, 0, sizeof(*config));
    if (is_utf16(all)) {
        config_mistake(&parser.mistakes, 0, "this is UTF-16: expected UTF-8, so save it as that");
        return false;
    }
    parse_lines(&parser, all);
    if (parser.mistakes.count == 0 && config->guest_count == 0) {
        config_mistake(&parser.mistakes, 0, "no guest to run: expected a [guest NAME] section");
    }
    if (parser.mistakes.count == 0) {
        config_check_rules(config, &parser.host_lines, parser.guest_lines, &parser.mistakes);
    }
    return parser.mistakes.count == 0;
}
