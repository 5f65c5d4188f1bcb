/* Checks a seedvisor.conf on the developer's machine, by the hypervisor's own parser. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "vmm/config.h"
#include "vmm/config_keys.h"

#define FILE_MAX (16U << 20) /* a configuration is some kilobytes */

static const char usage[] =
    "usage: seedvisor-check [--root DIR] [--show] FILE\n"
    "       seedvisor-check --reference\n"
    "\n"
    "Reads a configuration as Seedvisor does at boot, and tells every mistake.\n"
    "  --root DIR    the files that it names must be there: DIR is the boot volume's top\n"
    "  --show        print the configuration in full, with the default of each key left out\n"
    "  --reference   print the reference of all keys, as Markdown\n"
    "Exit status: 0 no mistake, 1 mistakes, 2 wrong usage, or FILE cannot be read or stdout\n"
    "written.\n";

static void report_mistake(void *context, const char *message)
{
    (void)context;
    (void)fprintf(stderr, "%s\n", message);
}

/* All of a file, which the caller frees; NULL, after telling why, if it cannot be read. */
static char *read_whole(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(FILE_MAX);

    if (file == NULL || text == NULL) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        free(text);
        if (file != NULL) {
            (void)fclose(file);
        }
        return NULL;
    }
    errno = 0;
    *length = fread(text, 1, FILE_MAX, file);
    bool whole = ferror(file) == 0 && *length < FILE_MAX;

    if (!whole) {
        (void)fprintf(stderr, "%s: %s\n", path, errno != 0 ? strerror(errno) : "too large");
        free(text);
    }
    (void)fclose(file);
    return whole ? text : NULL;
}

static uint64_t number_at(const struct config_key *key, const void *section)
{
    uint64_t number;

    memcpy(&number, (const char *)section + key->offset, sizeof(number));
    return number;
}

static void print_size(uint64_t size)
{
    unsigned unit = 0;

    while (unit < 3 && size != 0 && size % 1024 == 0) {
        size /= 1024;
        unit++;
    }
    (void)printf("%lu%.*s", size, unit == 0 ? 0 : 1, &" KMG"[unit]);
}

static void print_duration(uint64_t milliseconds)
{
    if (milliseconds != 0 && milliseconds % 1000 == 0) {
        (void)printf("%lus", milliseconds / 1000);
    } else {
        (void)printf("%lums", milliseconds);
    }
}

/* Quotes keep what the parser would take off. */
static void print_text(const char *text)
{
    size_t length = strlen(text);
    bool quoted =
        length > 0 && (text[0] == '"' || strchr(" \t", text[0]) || strchr(" \t", text[length - 1]));

    (void)printf(quoted ? "\"%s\"" : "%s", text);
}

static void print_paths(const struct config_paths *paths)
{
    char all[CONFIG_MODULES * (CONFIG_PATH_SIZE + 2)] = "";
    size_t used = 0;

    for (uint64_t i = 0; i < paths->count; i++) {
        used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i > 0 ? ", " : "",
                                 paths->path[i]);
    }
    print_text(all);
}

static void print_cpus(uint64_t set)
{
    const char *separator = "";

    for (unsigned first = 0; first < 64; first++) {
        unsigned last = first;

        if ((set >> first & 1) == 0) {
            continue;
        }
        while (last < 63 && (set >> (last + 1) & 1) != 0) {
            last++;
        }
        (void)printf(last > first ? "%s%u-%u" : "%s%u", separator, first, last);
        separator = ",";
        first = last;
    }
}

static void print_set(const char *const *words, uint64_t set, const char *quote)
{
    const char *separator = "";

    for (unsigned i = 0; words[i] != NULL; i++) {
        if ((set >> i & 1) != 0) {
            (void)printf("%s%s%s%s", separator, quote, words[i], quote);
            separator = ", ";
        }
    }
}

/* Whether a key without a default was left out: nothing is written for it then. */
static bool is_absent(const struct config_key *key, const void *section)
{
    const char *field = (const char *)section + key->offset;

    return key->fallback == NULL &&
           (key->type == CONFIG_TEXT || key->type == CONFIG_PATH ? field[0] == '\0'
                                                                 : number_at(key, section) == 0);
}

static void print_value(const struct config_key *key, const void *section)
{
    const void *field = (const char *)section + key->offset;
    const struct config_rate *rate = field;

    switch (key->type) {
    case CONFIG_SIZE:
        print_size(number_at(key, section));
        break;
    case CONFIG_NUMBER:
        (void)printf("%lu", number_at(key, section));
        break;
    case CONFIG_DURATION:
        print_duration(number_at(key, section));
        break;
    case CONFIG_RATE:
        (void)printf("%lu/%lums", rate->bytes, rate->period);
        break;
    case CONFIG_CPUS:
        print_cpus(number_at(key, section));
        break;
    case CONFIG_PORT:
        (void)printf("0x%lx", number_at(key, section));
        break;
    case CONFIG_PATH:
    case CONFIG_TEXT:
        print_text(field);
        break;
    case CONFIG_PATHS:
        print_paths(field);
        break;
    case CONFIG_CHOICE:
        (void)printf("%s", key->choices[number_at(key, section)]);
        break;
    case CONFIG_SET:
        print_set(key->choices, number_at(key, section), "");
        break;
    }
}

static void show_section(const char *section, const char *name, const void *values)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);

    (void)printf("[%s%s%s]\n", section, *name == '\0' ? "" : " ", name);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i].section, section) == 0 && !is_absent(&keys[i], values)) {
            (void)printf("%s = ", keys[i].name);
            print_value(&keys[i], values);
            (void)printf("\n");
        }
    }
}

static void show(const struct config *config)
{
    show_section("host", "", &config->host);
    for (unsigned i = 0; i < config->guest_count; i++) {
        (void)printf("\n");
        show_section("guest", config->guests[i].name, &config->guests[i]);
    }
}

/* What a key takes, for a cell of the reference. */
static void print_domain(const struct config_key *key)
{
    switch (key->type) {
    case CONFIG_SIZE:
        print_size(key->minimum);
        (void)printf(" to ");
        print_size(key->maximum);
        (void)printf(", a multiple of ");
        print_size(key->multiple);
        break;
    case CONFIG_NUMBER:
        (void)printf("%lu to %lu", key->minimum, key->maximum);
        break;
    case CONFIG_DURATION:
        print_duration(key->minimum);
        (void)printf(" to ");
        print_duration(key->maximum);
        break;
    case CONFIG_RATE:
        (void)printf("bytes/time, such as `%s`", key->example);
        break;
    case CONFIG_CPUS:
        (void)printf("0 to %lu, such as `%s`", key->maximum, key->example);
        break;
    case CONFIG_PORT:
        (void)printf("0x%lx to 0x%lx, such as `%s`", key->minimum, key->maximum, key->example);
        break;
    case CONFIG_PATH:
        (void)printf("path");
        break;
    case CONFIG_PATHS:
        (void)printf("paths with commas between, at most %d", CONFIG_MODULES);
        break;
    case CONFIG_TEXT:
        (void)printf("text, at most %zu characters", key->size - 1);
        break;
    case CONFIG_CHOICE:
        print_set(key->choices, UINT64_MAX, "`");
        break;
    case CONFIG_SET:
        (void)printf(key->minimum == 0 ? "any of " : "one or more of ");
        print_set(key->choices, UINT64_MAX, "`");
        break;
    }
}

static void print_reference(void)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);

    (void)printf("| section | key | value | default | meaning |\n"
                 "| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < count; i++) {
        (void)printf("| %s | `%s` | ", keys[i].section, keys[i].name);
        print_domain(&keys[i]);
        if (keys[i].fallback != NULL) {
            (void)printf(" | `%s` | %s |\n", keys[i].fallback, keys[i].help);
        } else {
            (void)printf(" | %s | %s |\n", keys[i].required ? "must be given" : "none",
                         keys[i].help);
        }
    }
}

/* Finds a name in a folder as FAT does, regardless of case, and appends it to `path`. */
static bool find_entry(char *path, size_t size, const char *name, size_t name_length)
{
    DIR *folder = opendir(path);
    bool found = false;

    if (folder == NULL) {
        return false;
    }
    for (struct dirent *entry = readdir(folder); entry != NULL && !found; entry = readdir(folder)) {
        size_t used = strlen(path);

        if (strlen(entry->d_name) == name_length &&
            strncasecmp(entry->d_name, name, name_length) == 0 && used + 1 + name_length < size) {
            (void)snprintf(path + used, size - used, "/%s", entry->d_name);
            found = true;
        }
    }
    (void)closedir(folder);
    return found;
}

/* Whether `root` has a file that the boot volume would have as `path`; NULL, or what is wrong. */
static const char *find_file(const char *root, const char *path)
{
    char where[4096];
    struct stat status;

    (void)snprintf(where, sizeof(where), "%s", root);
    while (*path != '\0') {
        size_t length = strcspn(path, "\\");

        if (length > 0 && !find_entry(where, sizeof(where), path, length)) {
            return "there is no such file";
        }
        path += length + (path[length] == '\\');
    }
    if (stat(where, &status) != 0) {
        return strerror(errno);
    }
    if (!S_ISREG(status.st_mode)) {
        return "this is no file";
    }
    return status.st_size == 0 ? "the file is empty" : NULL;
}

struct files {
    const char *configuration;
    const char *root;
    unsigned missing;
};

static void check_file(struct files *files, const char *guest, const char *key, const char *path)
{
    const char *wrong = path[0] == '\0' ? NULL : find_file(files->root, path);

    if (wrong != NULL) {
        (void)fprintf(stderr, "%s: [guest %s]: %s = %s: %s under %s\n", files->configuration, guest,
                      key, path, wrong, files->root);
        files->missing++;
    }
}

static bool check_files(const struct config *config, const char *configuration, const char *root)
{
    struct files files = {configuration, root, 0};

    for (unsigned i = 0; i < config->guest_count; i++) {
        const struct config_guest *guest = &config->guests[i];

        check_file(&files, guest->name, "kernel", guest->kernel);
        check_file(&files, guest->name, "initrd", guest->initrd);
        for (uint64_t j = 0; j < guest->modules.count; j++) {
            check_file(&files, guest->name, "modules", guest->modules.path[j]);
        }
    }
    return files.missing == 0;
}

static int check(const char *path, const char *root, bool shown)
{
    static struct config config;
    const struct config_report report = {report_mistake, NULL};
    size_t length;
    char *text = read_whole(path, &length);

    if (text == NULL) {
        return 2;
    }
    bool good = config_parse(text, length, path, &config, &report);

    free(text);
    if (!good || (root != NULL && !check_files(&config, path, root))) {
        return 1;
    }
    if (shown) {
        show(&config);
    }
    return 0;
}

static int wrong_usage(void)
{
    (void)fprintf(stderr, "%s", usage);
    return 2;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"root", required_argument, NULL, 'r'},
                                            {"show", no_argument, NULL, 's'},
                                            {"reference", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *root = NULL;
    bool shown = false;
    bool reference = false;

    for (int c = getopt_long(argc, argv, "h", options, NULL); c != -1;
         c = getopt_long(argc, argv, "h", options, NULL)) {
        switch (c) {
        case 'r':
            root = optarg;
            break;
        case 's':
            shown = true;
            break;
        case 'k':
            reference = true;
            break;
        case 'h':
            (void)printf("%s", usage);
            return 0;
        default:
            return wrong_usage();
        }
    }
    if (reference && argc == optind && root == NULL && !shown) {
        print_reference();
        return 0;
    }
    return reference || argc != optind + 1 ? wrong_usage() : check(argv[optind], root, shown);
}

int main(int argc, char **argv)
{
    int status = run(argc, argv);

    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        (void)fprintf(stderr, "seedvisor-check: stdout cannot be written\n");
        return 2;
    }
    return status;
}
