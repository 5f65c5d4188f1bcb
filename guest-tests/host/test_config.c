/* The configuration parser: what it accepts, and the exact text of every mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/config.h"
#include "vmm/config_keys.h"
#include "vmm/config_value.h"

#define TEXT_SIZE 16384

/* All messages of one run, each ended by a newline. */
struct messages {
    char text[TEXT_SIZE];
    size_t used;
    unsigned count;
};

static struct messages messages;
static struct config config;

static void collect(void *context, const char *message)
{
    struct messages *to = context;
    int written = snprintf(to->text + to->used, TEXT_SIZE - to->used, "%s\n", message);

    assert_in_range(written, 1, TEXT_SIZE - to->used - 1);
    to->used += (size_t)written;
    to->count++;
}

/* Parses a copy that ends where the text ends, so that the sanitizer sees any read beyond it. */
static bool parse_bytes(const char *text, size_t length)
{
    const struct config_report report = {collect, &messages};
    char *copy = malloc(length > 0 ? length : 1);

    assert_non_null(copy);
    memcpy(copy, text, length);
    memset(&messages, 0, sizeof(messages));
    memset(&config, 0xa5, sizeof(config));

    bool good = config_parse(copy, length, "seedvisor.conf", &config, &report);

    free(copy);
    assert_int_equal(good, messages.count == 0);
    return good;
}

static bool parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static void assert_mistakes(const char *text, const char *expected)
{
    assert_false(parse(text));
    assert_string_equal(messages.text, expected);
}

static void assert_good(const char *text)
{
    if (!parse(text)) {
        fail_msg("refused:\n%s", messages.text);
    }
}

/* A guest with one line under test, which is line 3. */
static void assert_line(const char *line, const char *expected)
{
    char text[4096];
    char message[640];

    (void)snprintf(text, sizeof(text), "[guest g]\nkernel = k\n%s\n", line);
    (void)snprintf(message, sizeof(message), "seedvisor.conf:3: %s\n", expected);
    assert_mistakes(text, message);
}

static void test_full_file(void **state)
{
    (void)state;
    assert_good("# All there is.\n"
                "[host]\n"
                "debug.panic_after_exits = 5000\n"
                "console = prefixed\n"
                "on_idle = wait\n"
                "rng.conditioner = sha256\n"
                "rng.mix = egd,rdseed\n"
                "rng.tap = off\n"
                "trace = on\n"
                "debug.rng_fault = stuck after 5\n"
                "\n"
                "; two guests\n"
                "[guest web-1]\n"
                "kernel = /boot/vmlinuz\n"
                "initrd = \\boot\\initrd.img\n"
                "cmdline = console=ttyS0 root=\"a b\" # no comment; really\n"
                "memory = 1G\n"
                "vcpus = 4\n"
                "rng = none\n"
                "rng.page = trapped\n"
                "virtio = legacy\n"
                "virtio.features = event_idx ,\tindirect\n"
                "rng.rate = 4096/1000ms\n"
                "rng.trap = on\n"
                "rng.seed = off\n"
                "cpus = 0,2-3\n"
                "boot = linux\n"
                "debug_exit = 0xf4\n"
                "fw_cfg = on\n"
                "on_poweroff = restart\n"
                "on_reboot = fail\n"
                "on_crash = stop\n"
                "restart.limit = 7\n"
                "start = off\n"
                "start.delay = 2s\n"
                "  [ guest \t B_2.x ]  \n"
                "\tkernel=k\n"
                "modules = /a, b/c\n"
                "virtio.features = suspend,in_order ,\tindirect\n");
    assert_int_equal(config.host.panic_after_exits, 5000);
    assert_int_equal(config.host.console, CONFIG_CONSOLE_PREFIXED);
    assert_int_equal(config.host.on_idle, CONFIG_IDLE_WAIT);
    assert_int_equal(config.host.rng_conditioner, CONFIG_CONDITIONER_SHA256);
    assert_int_equal(config.host.rng_mix, 1 << CONFIG_SOURCE_RDSEED | 1 << CONFIG_SOURCE_EGD);
    assert_int_equal(config.host.rng_tap, CONFIG_OFF);
    assert_int_equal(config.host.trace, CONFIG_ON);
    assert_string_equal(config.host.rng_fault, "stuck after 5");
    assert_int_equal(config.guest_count, 2);
    assert_string_equal(config.guests[0].name, "web-1");
    assert_string_equal(config.guests[0].kernel, "\\boot\\vmlinuz");
    assert_string_equal(config.guests[0].initrd, "\\boot\\initrd.img");
    assert_string_equal(config.guests[0].cmdline,
                        "console=ttyS0 root=\"a b\" # no comment; really");
    assert_int_equal(config.guests[0].memory, 1024 * 1024 * 1024);
    assert_int_equal(config.guests[0].vcpus, 4);
    assert_int_equal(config.guests[0].rng, CONFIG_RNG_NONE);
    assert_int_equal(config.guests[0].rng_page, CONFIG_RNG_TRAPPED);
    assert_int_equal(config.guests[0].virtio, CONFIG_VIRTIO_LEGACY);
    assert_int_equal(config.guests[0].virtio_features,
                     1 << CONFIG_VIRTIO_INDIRECT | 1 << CONFIG_VIRTIO_EVENT_IDX);
    assert_int_equal(config.guests[0].rng_rate.bytes, 4096);
    assert_int_equal(config.guests[0].rng_rate.period, 1000);
    assert_int_equal(config.guests[0].rng_trap, CONFIG_ON);
    assert_int_equal(config.guests[0].rng_seed, CONFIG_OFF);
    assert_int_equal(config.guests[0].cpus, 1 << 0 | 1 << 2 | 1 << 3);
    assert_int_equal(config.guests[0].boot, CONFIG_BOOT_LINUX);
    assert_int_equal(config.guests[0].modules.count, 0);
    assert_int_equal(config.guests[0].debug_exit, 0xf4);
    assert_int_equal(config.guests[0].fw_cfg, CONFIG_ON);
    assert_int_equal(config.guests[0].on_poweroff, CONFIG_END_RESTART);
    assert_int_equal(config.guests[0].on_reboot, CONFIG_END_FAIL);
    assert_int_equal(config.guests[0].on_crash, CONFIG_END_STOP);
    assert_int_equal(config.guests[0].restart_limit, 7);
    assert_int_equal(config.guests[0].start, CONFIG_OFF);
    assert_int_equal(config.guests[0].start_delay, 2000);
    assert_string_equal(config.guests[1].name, "B_2.x");
    assert_string_equal(config.guests[1].kernel, "k");
    assert_int_equal(config.guests[1].virtio_features, 1 << CONFIG_VIRTIO_SUSPEND |
                                                           1 << CONFIG_VIRTIO_IN_ORDER |
                                                           1 << CONFIG_VIRTIO_INDIRECT);
    assert_int_equal(config.guests[1].modules.count, 2);
    assert_string_equal(config.guests[1].modules.path[0], "\\a");
    assert_string_equal(config.guests[1].modules.path[1], "b\\c");
}

static void test_defaults(void **state)
{
    (void)state;
    assert_good("[guest g]\nkernel = k");
    assert_int_equal(config.host.panic_after_exits, 0);
    assert_string_equal(config.guests[0].initrd, "");
    assert_string_equal(config.guests[0].cmdline, "");
    assert_int_equal(config.guests[0].memory, 256 * 1024 * 1024);
    assert_int_equal(config.guests[0].vcpus, 1);
    assert_int_equal(config.guests[0].rng, CONFIG_RNG_RDSEED);
    assert_int_equal(config.guests[0].rng_page, CONFIG_RNG_MAPPED);
    assert_int_equal(config.guests[0].virtio, CONFIG_VIRTIO_MODERN);
    assert_int_equal(config.guests[0].virtio_features,
                     1 << CONFIG_VIRTIO_INDIRECT | 1 << CONFIG_VIRTIO_EVENT_IDX);
    assert_int_equal(config.guests[0].rng_rate.bytes, 0);
    assert_int_equal(config.guests[0].rng_rate.period, 0);
    assert_int_equal(config.guests[0].rng_trap, CONFIG_OFF);
    assert_int_equal(config.guests[0].rng_seed, CONFIG_ON);
    assert_int_equal(config.guests[0].cpus, 0);
    assert_int_equal(config.guests[0].boot, CONFIG_BOOT_AUTO);
    assert_int_equal(config.guests[0].modules.count, 0);
    assert_int_equal(config.guests[0].debug_exit, 0);
    assert_int_equal(config.guests[0].fw_cfg, CONFIG_OFF);
    assert_int_equal(config.guests[0].on_poweroff, CONFIG_END_STOP);
    assert_int_equal(config.guests[0].on_reboot, CONFIG_END_STOP);
    assert_int_equal(config.guests[0].on_crash, CONFIG_END_FAIL);
    assert_int_equal(config.guests[0].restart_limit, 3);
    assert_int_equal(config.guests[0].start, CONFIG_ON);
    assert_int_equal(config.guests[0].start_delay, 0);
    assert_int_equal(config.host.console, CONFIG_CONSOLE_AUTO);
    assert_int_equal(config.host.on_idle, CONFIG_IDLE_POWEROFF);
    assert_int_equal(config.host.rng_conditioner, CONFIG_CONDITIONER_NONE);
    assert_int_equal(config.host.rng_mix, 1 << CONFIG_SOURCE_RDSEED | 1 << CONFIG_SOURCE_RDRAND);
    assert_int_equal(config.host.rng_tap, CONFIG_OFF);
    assert_int_equal(config.host.trace, CONFIG_OFF);
    assert_string_equal(config.host.rng_fault, "");
    assert_good("[guest g]\nkernel = k\nvirtio.features =\n");
    assert_int_equal(config.guests[0].virtio_features, 0);
    assert_good("[guest g]\nkernel = k\nvirtio.features = packed, packed\n");
    assert_int_equal(config.guests[0].virtio_features, 1 << CONFIG_VIRTIO_PACKED);
    assert_good("[host]\n[guest g]\nkernel = k");
    assert_int_equal(config.host.panic_after_exits, 0);
}

static void test_crlf_bom_and_no_last_newline(void **state)
{
    (void)state;
    assert_good("\xef\xbb\xbf[guest g]\r\nkernel = k\r\n\r\ncmdline = quiet\r\nmemory = 16M\r");
    assert_string_equal(config.guests[0].kernel, "k");
    assert_string_equal(config.guests[0].cmdline, "quiet");
    assert_int_equal(config.guests[0].memory, 16 * 1024 * 1024);
}

static void test_quotes(void **state)
{
    (void)state;
    assert_good("[guest g]\nkernel = \"\\my kernel\"\ncmdline = \" a = \"b\" \"\ninitrd = \"i\"\n");
    assert_string_equal(config.guests[0].kernel, "\\my kernel");
    assert_string_equal(config.guests[0].cmdline, " a = \"b\" ");
    assert_string_equal(config.guests[0].initrd, "i");
    assert_good("[guest g]\nkernel = k\ncmdline =\n");
    assert_string_equal(config.guests[0].cmdline, "");
    assert_good("[guest g]\nkernel = k\ncmdline = \"\"\n");
    assert_string_equal(config.guests[0].cmdline, "");
    assert_line("cmdline = \"quiet", "cmdline = \"quiet: expected a closing quote");
    assert_line("cmdline = \"", "cmdline = \": expected a closing quote");
}

static void test_sizes(void **state)
{
    (void)state;
    assert_good("[guest g]\nkernel = k\nmemory = 16384k\n");
    assert_int_equal(config.guests[0].memory, 16 * 1024 * 1024);
    assert_good("[guest g]\nkernel = k\nmemory = 512G\n");
    assert_int_equal(config.guests[0].memory, 512ULL << 30);
    assert_line("memory = lots", "memory = \"lots\": expected a size such as 256M");
    assert_line("memory = 256", "memory = \"256\": expected a size such as 256M");
    assert_line("memory = M", "memory = \"M\": expected a size such as 256M");
    assert_line("memory =", "memory = \"\": expected a size such as 256M");
    assert_line("memory = -1M", "memory = \"-1M\": expected a size such as 256M");
    assert_line("memory = 256MB", "memory = \"256MB\": expected a size such as 256M");
    assert_line("memory = 1.5G", "memory = \"1.5G\": expected a size such as 256M");
    assert_line("memory = 0M", "memory = \"0M\": expected a size from 16M to 512G");
    assert_line("memory = 14M", "memory = \"14M\": expected a size from 16M to 512G");
    assert_line("memory = 513G", "memory = \"513G\": expected a size from 16M to 512G");
    assert_line("memory = 17179869185G",
                "memory = \"17179869185G\": expected a size from 16M to 512G");
    assert_line("memory = 99999999999999999999G",
                "memory = \"99999999999999999999G\": expected a size from 16M to 512G");
    assert_line("memory = 33M", "memory = \"33M\": expected a multiple of 2M");
    assert_line("memory = 1G # much", "memory = \"1G # much\": expected a size such as 256M; a "
                                      "comment takes a line of its own");
    assert_line("memory = 1G ;much", "memory = \"1G ;much\": expected a size such as 256M; a "
                                     "comment takes a line of its own");
}

static void test_numbers(void **state)
{
    (void)state;
    assert_good("[guest g]\nkernel = k\nvcpus = 64\n");
    assert_int_equal(config.guests[0].vcpus, 64);
    assert_line("vcpus = 0", "vcpus = \"0\": expected a number from 1 to 64");
    assert_line("vcpus = 65", "vcpus = \"65\": expected a number from 1 to 64");
    assert_line("vcpus = two", "vcpus = \"two\": expected a number from 1 to 64");
    assert_line("vcpus = 0x2", "vcpus = \"0x2\": expected a number from 1 to 64");
    assert_line("vcpus =", "vcpus = \"\": expected a number from 1 to 64");
    /* 2^64 + 1 must not be taken for 1. */
    assert_line("vcpus = 18446744073709551617",
                "vcpus = \"18446744073709551617\": expected a number from 1 to 64");
    assert_mistakes("[host]\ndebug.panic_after_exits = never\n[guest g]\nkernel = k\n",
                    "seedvisor.conf:2: debug.panic_after_exits = \"never\": expected a number from "
                    "0 to 1000000000000000000\n");
}

static void test_choices(void **state)
{
    (void)state;
    assert_good("[guest g]\nkernel = k\nrng = rdseed\n");
    assert_int_equal(config.guests[0].rng, CONFIG_RNG_RDSEED);
    assert_line("rng = on", "rng = \"on\": expected rdseed or rdrand or egd or mix or none");
    assert_line("rng = RDSEED",
                "rng = \"RDSEED\": expected rdseed or rdrand or egd or mix or none");
    static const char features[] = "expected nothing or a list of indirect, event_idx, packed, "
                                   "in_order, notification_data, ring_reset, suspend";
    const char *const wrong[] = {"pack", "packed,",       ",packed", "packed,,suspend",
                                 ",",    "packed suspend"};

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char line[64];
        char message[192];

        (void)snprintf(line, sizeof(line), "virtio.features = %s", wrong[i]);
        (void)snprintf(message, sizeof(message), "virtio.features = \"%s\": %s", wrong[i],
                       features);
        assert_line(line, message);
    }
    assert_line("rng.page = on", "rng.page = \"on\": expected mapped or trapped");
    assert_line("rng =", "rng = \"\": expected rdseed or rdrand or egd or mix or none");
}

static void test_durations(void **state)
{
    (void)state;
    assert_good("[guest g]\nkernel = k\nstart.delay = 0s\n");
    assert_int_equal(config.guests[0].start_delay, 0);
    assert_good("[guest g]\nkernel = k\nstart.delay = 3600s\n");
    assert_int_equal(config.guests[0].start_delay, 3600000);
    assert_good("[guest g]\nkernel = k\nstart.delay = 3600000ms\n");
    assert_int_equal(config.guests[0].start_delay, 3600000);
    static const char *const no_times[] = {"", "5", "s", "ms", "-1s", "1.5s", "5 s", "5m", "5S"};

    for (size_t i = 0; i < sizeof(no_times) / sizeof(no_times[0]); i++) {
        char line[64];
        char message[128];

        (void)snprintf(line, sizeof(line), "start.delay = %s", no_times[i]);
        (void)snprintf(message, sizeof(message),
                       "start.delay = \"%s\": expected a time such as 500ms or 2s", no_times[i]);
        assert_line(line, message);
    }
    assert_line("start.delay = 3600001ms",
                "start.delay = \"3600001ms\": expected a time from 0ms to 3600000ms");
    /* Times 1000, this would be 384 in 64 bits. */
    assert_line("start.delay = 18446744073709552s",
                "start.delay = \"18446744073709552s\": expected a time from 0ms to 3600000ms");
}

static void test_rates(void **state)
{
    (void)state;
    assert_good("[guest g]\nkernel = k\nrng.rate = 1 / 1ms\n");
    assert_int_equal(config.guests[0].rng_rate.bytes, 1);
    assert_int_equal(config.guests[0].rng_rate.period, 1);
    assert_good("[guest g]\nkernel = k\nrng.rate = 1G/3600s\n");
    assert_int_equal(config.guests[0].rng_rate.bytes, 1 << 30);
    assert_int_equal(config.guests[0].rng_rate.period, 3600000);
    static const char *const no_rates[] = {"",       "4096",     "4096/",  "/1s",   "4096/1000",
                                           "4kB/1s", "4096/1/s", "-1/1ms", "1/-1ms"};

    for (size_t i = 0; i < sizeof(no_rates) / sizeof(no_rates[0]); i++) {
        char line[64];
        char message[128];

        (void)snprintf(line, sizeof(line), "rng.rate = %s", no_rates[i]);
        (void)snprintf(message, sizeof(message),
                       "rng.rate = \"%s\": expected bytes in a time such as 4096/1000ms",
                       no_rates[i]);
        assert_line(line, message);
    }
    static const char *const out_of_range[] = {"0/1ms", "1/0ms", "1/0s", "1/3600001ms",
                                               "1073741825/1s"};

    for (size_t i = 0; i < sizeof(out_of_range) / sizeof(out_of_range[0]); i++) {
        char line[64];
        char message[128];

        (void)snprintf(line, sizeof(line), "rng.rate = %s", out_of_range[i]);
        (void)snprintf(message, sizeof(message),
                       "rng.rate = \"%s\": expected 1 to 1073741824 bytes in 1ms to 3600000ms",
                       out_of_range[i]);
        assert_line(line, message);
    }
}

static void test_cpus(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        uint64_t set;
    } good[] = {
        {"0", 1},   {"63", 1ULL << 63},    {"0-63", UINT64_MAX},
        {"1-1", 2}, {"0 , 2 - 3,\t2", 13}, {"62-63,0", 3ULL << 62 | 1},
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char text[96];

        (void)snprintf(text, sizeof(text), "[guest g]\nkernel = k\ncpus = %s\n", good[i].list);
        assert_good(text);
        assert_true(config.guests[0].cpus == good[i].set);
    }
    static const char *const wrong[] = {
        "",   ",",    "0,",    ",0",  "64",  "0-64", "3-2",  "-1",
        "1-", "1--2", "1-2-3", "all", "0x1", "0 1",  "0,,1", "18446744073709551616"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char line[64];
        char message[128];

        (void)snprintf(line, sizeof(line), "cpus = %s", wrong[i]);
        (void)snprintf(message, sizeof(message),
                       "cpus = \"%s\": expected CPUs from 0 to 63 such as 0,2-3", wrong[i]);
        assert_line(line, message);
    }
}

static void test_ports(void **state)
{
    (void)state;
    assert_good("[guest g]\nkernel = k\ndebug_exit = 0XFFff\n");
    assert_int_equal(config.guests[0].debug_exit, 0xffff);
    assert_good("[guest g]\nkernel = k\ndebug_exit = 244\n");
    assert_int_equal(config.guests[0].debug_exit, 244);
    static const char *const wrong[] = {"",
                                        "0",
                                        "0x",
                                        "0x0",
                                        "65536",
                                        "0x10000",
                                        "0xfg",
                                        "f4",
                                        "0xf4h",
                                        "-1",
                                        "0x1ffffffffffffffff"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char line[64];
        char message[128];

        (void)snprintf(line, sizeof(line), "debug_exit = %s", wrong[i]);
        (void)snprintf(message, sizeof(message),
                       "debug_exit = \"%s\": expected an I/O port from 0x1 to 0xffff", wrong[i]);
        assert_line(line, message);
    }
}

static void test_lists_of_paths(void **state)
{
    (void)state;
    char line[512];
    char message[640];

    assert_good("[guest g]\nkernel = k\nmodules = 1,2,3,4,5,6,7, \\dir/8 8\n");
    assert_int_equal(config.guests[0].modules.count, 8);
    assert_string_equal(config.guests[0].modules.path[0], "1");
    assert_string_equal(config.guests[0].modules.path[7], "\\dir\\8 8");
    assert_line("modules = 1,2,3,4,5,6,7,8,9",
                "modules = \"1,2,3,4,5,6,7,8,9\": expected at most 8 paths");
    assert_line("modules =", "modules = \"\": expected a path such as \\first.bin, \\second.bin");
    assert_line("modules = a,",
                "modules = \"a,\": expected a path such as \\first.bin, \\second.bin");
    assert_line("modules = a,,b",
                "modules = \"a,,b\": expected a path such as \\first.bin, \\second.bin");
    assert_line("modules = a,\xc3\xa4",
                "modules = \"a,\xc3\xa4\": expected a path of ASCII characters");
    (void)snprintf(line, sizeof(line), "modules = a,%0256d", 0);
    (void)snprintf(message, sizeof(message),
                   "modules = \"a,%038d...\": expected at most 255 characters, not 256", 0);
    assert_line(line, message);
}

static void test_sets_that_must_not_be_empty(void **state)
{
    (void)state;
    assert_good("[host]\nrng.mix = egd\n[guest g]\nkernel = k\nrng = mix\n");
    assert_int_equal(config.host.rng_mix, 1 << CONFIG_SOURCE_EGD);
    assert_int_equal(config.guests[0].rng, CONFIG_RNG_MIX);
    assert_mistakes("[host]\nrng.mix =\n[guest g]\nkernel = k\n",
                    "seedvisor.conf:2: rng.mix = \"\": expected a list of rdseed, rdrand, egd\n");
    assert_mistakes("[host]\nrng.mix = rdseed,\n[guest g]\nkernel = k\n",
                    "seedvisor.conf:2: rng.mix = \"rdseed,\": expected a list of rdseed, rdrand, "
                    "egd\n");
}

/* Values that are good each by itself, and not together. */
static void test_contradictions(void **state)
{
    (void)state;
    static const char tap[] = "[host]\nrng.tap = on\n[guest a]\nkernel = k\n[guest b]\nrng = egd\n"
                              "kernel = k\n[guest c]\nkernel = k\nrng = none\n";

    assert_mistakes(tap,
                    "seedvisor.conf:3: [guest a]: expected rng = none, because of rng.tap = on "
                    "at line 2\n"
                    "seedvisor.conf:6: [guest b]: expected rng = none, because of rng.tap = on "
                    "at line 2\n");
    assert_good("[host]\nrng.tap = on\n[guest a]\nkernel = k\nrng = none\n");
    assert_mistakes(
        "[guest g]\nvirtio = legacy\nkernel = k\nvirtio.features = packed\n",
        "seedvisor.conf:4: [guest g]: expected virtio.features = indirect, event_idx or "
        "less, because of virtio = legacy at line 2\n");
    assert_good("[guest g]\nvirtio = legacy\nkernel = k\n");
    assert_mistakes("[guest g]\nmodules = m\nboot = linux\nkernel = k\n",
                    "seedvisor.conf:2: [guest g]: Linux's own protocol, which line 3 asks for, has "
                    "no modules; did you mean initrd?\n");
    assert_good("[guest g]\nmodules = m\nboot = pvh\nkernel = k\n");
    assert_good("[guest g]\nmodules = m\ninitrd = i\nboot = multiboot\nkernel = k\n");
    /* Contradictions are told once all values are good. */
    assert_mistakes("[guest g]\nmodules = m\nboot = linux\nkernel = k\nvcpus = 0\n",
                    "seedvisor.conf:5: vcpus = \"0\": expected a number from 1 to 64\n");
}

static void test_a_run_without_start(void **state)
{
    (void)state;
    assert_mistakes("[guest a]\nkernel = k\nstart = off\n[guest b]\nkernel = k\nstart = off\n",
                    "seedvisor.conf: start = off for every guest: expected on_idle = wait in "
                    "[host], or a guest that starts\n");
    assert_good("[guest a]\nkernel = k\nstart = off\n[guest b]\nkernel = k\n");
    assert_good("[guest a]\nkernel = k\nstart = off\n[host]\non_idle = wait\n");
}

static void test_paths_and_texts(void **state)
{
    (void)state;
    char line[4096];
    char expected[256];

    assert_line("initrd =", "initrd = \"\": expected a path such as \\initrd.img");
    assert_line("initrd = \"\"", "initrd = \"\": expected a path such as \\initrd.img");
    assert_line("initrd = \\\xc3\xa4",
                "initrd = \"\\\xc3\xa4\": expected a path of ASCII characters");

    (void)snprintf(line, sizeof(line), "initrd = %0255d", 0);
    char text[4200];

    (void)snprintf(text, sizeof(text), "[guest g]\nkernel = k\n%s", line);
    assert_good(text);
    assert_int_equal(strlen(config.guests[0].initrd), 255);
    (void)snprintf(line, sizeof(line), "initrd = %0256d", 0);
    (void)snprintf(expected, sizeof(expected),
                   "initrd = \"%040d...\": expected at most 255 characters, not 256", 0);
    assert_line(line, expected);

    (void)snprintf(text, sizeof(text), "[guest g]\nkernel = k\ncmdline = %02047d", 0);
    assert_good(text);
    assert_int_equal(strlen(config.guests[0].cmdline), 2047);
    (void)snprintf(line, sizeof(line), "cmdline = %02048d", 0);
    (void)snprintf(expected, sizeof(expected),
                   "cmdline = \"%040d...\": expected at most 2047 characters, not 2048", 0);
    assert_line(line, expected);
}

#define GUEST_KEYS                                                                                 \
    "kernel, initrd, modules, cmdline, boot, memory, vcpus, cpus, rng, rng.rate, rng.page, "       \
    "rng.trap, rng.seed, virtio, virtio.features, debug_exit, fw_cfg, on_poweroff, on_reboot, "    \
    "on_crash, restart.limit, start, start.delay"

static void test_unknown_keys(void **state)
{
    (void)state;
    assert_line("memroy = 1G", "memroy: no such key in [guest g]; did you mean memory?");
    assert_line("Memory = 1G", "Memory: no such key in [guest g]; did you mean memory?");
    assert_line("mem = 1G", "mem: no such key in [guest g]; did you mean memory?");
    assert_line("vcpu = 2", "vcpu: no such key in [guest g]; did you mean vcpus?");
    assert_line("rgn = none", "rgn: no such key in [guest g]; did you mean rng?");
    assert_line("mexxry = 1G", "mexxry: no such key in [guest g]; did you mean memory?");
    assert_line("mxxxry = 1G", "mxxxry: no such key in [guest g]; expected one of " GUEST_KEYS);
    /* Of two that are as near, the first of the table. */
    assert_line("rng.pate = 1", "rng.pate: no such key in [guest g]; did you mean rng.rate?");
    assert_line("colour = red", "colour: no such key in [guest g]; expected one of " GUEST_KEYS);
    assert_line("x = 1", "x: no such key in [guest g]; expected one of " GUEST_KEYS);
    assert_line("debug.panic_after_exits = 1",
                "debug.panic_after_exits: no such key in [guest g]; it belongs into [host]");
    assert_mistakes("[host]\nmemory = 1G\n[guest g]\nkernel = k\n",
                    "seedvisor.conf:2: memory: no such key in [host]; it belongs into [guest "
                    "NAME]\n");
    assert_mistakes("[host]\npanic = 1\n[guest g]\nkernel = k\n",
                    "seedvisor.conf:2: panic: no such key in [host]; did you mean "
                    "debug.panic_after_exits?\n");
    assert_line("averyveryverylongkeynamethatnooneeverthoughtof.atall.whoever.may.have.asked = 1",
                "averyveryverylongkeynamethatnooneevertho...: no such key in [guest g]; expected "
                "one of " GUEST_KEYS);
}

static void test_doubled_and_missing_keys(void **state)
{
    (void)state;
    assert_line("kernel = l", "kernel = \"l\": already set at line 2");
    assert_mistakes("[guest a]\nmemory = 64M\n\n[guest b]\n[guest c]\nkernel = k\n",
                    "seedvisor.conf:1: [guest a]: no kernel; expected a line such as kernel = "
                    "\\vmlinuz\n"
                    "seedvisor.conf:4: [guest b]: no kernel; expected a line such as kernel = "
                    "\\vmlinuz\n");
    /* One that is there but wrong is not missing as well. */
    assert_mistakes("[guest a]\nkernel =\n",
                    "seedvisor.conf:2: kernel = \"\": expected a path such as \\vmlinuz\n");
}

static void test_lines_that_are_none(void **state)
{
    (void)state;
    assert_line("kernel", "\"kernel\": expected key = value");
    assert_line("kernel \\vmlinuz", "\"kernel \\vmlinuz\": expected key = value");
    assert_line("= 5", "\"= 5\": expected key = value");
    assert_line("=", "\"=\": expected key = value");
    assert_mistakes("[guest g]\nkernel = k\nx", "seedvisor.conf:3: \"x\": expected key = value\n");
    assert_line("memory = 1G\x01", "a byte 0x01: expected plain text");
    assert_line("memory = 1G\x7f", "a byte 0x7f: expected plain text");
    assert_line("memory\r = 1G", "a byte 0x0d: expected plain text");
    assert_mistakes("vcpus = 1\n[guest g]\nkernel = k\n",
                    "seedvisor.conf:1: vcpus: expected [host] or [guest NAME] before it\n");
}

static void test_bytes_that_are_no_text(void **state)
{
    (void)state;
    static const char nul[] = "[guest g]\nkernel = k\ncmdline = a\0b\n";

    assert_false(parse_bytes(nul, sizeof(nul) - 1));
    assert_string_equal(messages.text, "seedvisor.conf:3: a byte 0x00: expected plain text\n");
    assert_false(parse_bytes("\xff\xfe[\0", 4));
    assert_string_equal(messages.text,
                        "seedvisor.conf: this is UTF-16: expected UTF-8, so save it as that\n");
    assert_false(parse_bytes("\xfe\xff\0[", 4));
    assert_string_equal(messages.text,
                        "seedvisor.conf: this is UTF-16: expected UTF-8, so save it as that\n");
}

static void test_sections(void **state)
{
    (void)state;
    static const char rest[] = "\nvcpus = nonsense\n[guest z]\nkernel = k\n";
    static const struct {
        const char *header;
        const char *expected;
    } cases[] = {
        {"[guest g", "\"[guest g\": expected ] at the end of the line"},
        {"[", "\"[\": expected ] at the end of the line"},
        {"[guest g] # first", "\"[guest g] # first\": expected ] at the end of the line"},
        {"[]", "[]: no such section; expected [host] or [guest NAME]"},
        {"[hots]", "[hots]: no such section; did you mean [host]?"},
        {"[Guest g]", "[Guest g]: no such section; did you mean [guest NAME]?"},
        {"[vm g]", "[vm g]: no such section; expected [host] or [guest NAME]"},
        {"[host a]", "[host a]: expected [host], which has no name"},
        {"[guest]", "[guest]: expected a name, such as [guest web]"},
        {"[guest a b]", "[guest a b]: expected a name of letters, digits, '.', '_' and '-'"},
        {"[guest \xc3\xa4]",
         "[guest \xc3\xa4]: expected a name of letters, digits, '.', '_' and '-'"},
        {"[guest a123456789012345678901234567890b]",
         "[guest a123456789012345678901234567890b]: expected a name of at most 31 characters"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        char expected[256];

        (void)snprintf(text, sizeof(text), "%s%s", cases[i].header, rest);
        (void)snprintf(expected, sizeof(expected), "seedvisor.conf:1: %s\n", cases[i].expected);
        assert_mistakes(text, expected);
    }
    assert_good("[guest a12345678901234567890123456789]\nkernel = k\n");
    assert_good("[guest AZaz09.-_]\nkernel = k\n");
    assert_string_equal(config.guests[0].name, "AZaz09.-_");
    assert_mistakes("[guest a]\nkernel = k\n[guest a]\nkernel = k\n",
                    "seedvisor.conf:3: [guest a]: already at line 1\n");
    assert_mistakes("[host]\n[guest a]\nkernel = k\n[host]\n",
                    "seedvisor.conf:4: [host]: already at line 1\n");
}

static void test_number_of_guests(void **state)
{
    (void)state;
    char text[4096] = "";
    size_t used = 0;

    assert_mistakes("", "seedvisor.conf: no guest to run: expected a [guest NAME] section\n");
    assert_mistakes("[host]\n# nothing",
                    "seedvisor.conf: no guest to run: expected a [guest NAME] section\n");
    for (int i = 0; i < CONFIG_GUESTS; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "[guest g%d]\nkernel = k\n", i);
    }
    assert_good(text);
    assert_int_equal(config.guest_count, 16);
    assert_string_equal(config.guests[15].name, "g15");
    (void)snprintf(text + used, sizeof(text) - used, "[guest more]\nkernel = k\n");
    assert_mistakes(text, "seedvisor.conf:33: [guest more]: expected at most 16 guests\n");
}

static void test_all_mistakes_are_told_up_to_a_bound(void **state)
{
    (void)state;
    char text[4096] = "[guest g]\nkernel = k\n";
    size_t used = strlen(text);

    assert_mistakes("[guest g]\nkernal = k\nmemory = 1\nvcpus\n",
                    "seedvisor.conf:2: kernal: no such key in [guest g]; did you mean kernel?\n"
                    "seedvisor.conf:3: memory = \"1\": expected a size such as 256M\n"
                    "seedvisor.conf:4: \"vcpus\": expected key = value\n"
                    "seedvisor.conf:1: [guest g]: no kernel; expected a line such as kernel = "
                    "\\vmlinuz\n");
    for (int i = 0; i < 30; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "line %d\n", i);
    }
    assert_false(parse(text));
    assert_int_equal(messages.count, CONFIG_MAX_ERRORS + 1);
    assert_non_null(strstr(messages.text, "seedvisor.conf:22: \"line 19\": expected key = value\n"
                                          "seedvisor.conf: more mistakes follow\n"));
    assert_null(strstr(messages.text, "line 20"));
}

/* The table is what a reference is printed from: it must hold what a reference needs. */
static void test_the_table_is_complete(void **state)
{
    (void)state;
    size_t count = 0;
    const struct config_key *keys = config_keys(&count);

    assert_int_equal(count, 31);
    for (size_t i = 0; i < count; i++) {
        char text[256];
        bool host = strcmp(keys[i].section, "host") == 0;

        assert_true(host || strcmp(keys[i].section, "guest") == 0);
        assert_true(strlen(keys[i].help) > 10);
        assert_false(keys[i].required && keys[i].fallback != NULL);
        /* The example and the default must be accepted. */
        (void)snprintf(text, sizeof(text), "%s%s = %s\n%s[guest other]\nkernel = k\nrng = none\n",
                       host ? "[host]\n" : "[guest g]\n", keys[i].name, keys[i].example,
                       host || keys[i].required ? "" : "kernel = k\n");
        assert_good(text);
        if (keys[i].fallback != NULL) {
            char expected[128] = "";
            union {
                struct config_host host;
                struct config_guest guest;
            } section;
            const struct config_span value = {keys[i].fallback, strlen(keys[i].fallback)};

            assert_true(config_value_parse(&keys[i], value, &section, expected, sizeof(expected)));
        }
    }
}

static size_t distance(const char *word, const char *candidate)
{
    return config_edit_distance((struct config_span){word, strlen(word)}, candidate);
}

static void test_edit_distance(void **state)
{
    (void)state;
    char longest[100];

    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("", "abc"), 3);
    assert_int_equal(distance("abc", ""), 3);
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_int_equal(distance("KERNEL", "kernel"), 0);
    assert_int_equal(distance("saturday", "sunday"), 3);
    memset(longest, 'a', sizeof(longest));
    longest[99] = '\0';
    assert_int_equal(distance(longest, "a"), 99);
    longest[65] = '\0';
    assert_int_equal(distance(longest, "aaa"), 65); /* too long to be like anything */
    longest[64] = '\0';
    assert_int_equal(distance(longest, "aaa"), 61);
    assert_int_equal(distance("AZaz", "azAZ"), 0);
}

/* Any bytes whatever end in a verdict, within the message bound and without a stray read. */
static void test_noise(void **state)
{
    (void)state;
    static const char seed[] = "[guest g]\nkernel = \"k\"\n[host]\nmemory = 256M\r\n;x\nvcpus=1\n";
    uint32_t random = 12345;

    for (unsigned i = 0; i < 20000; i++) {
        char text[sizeof(seed)];

        memcpy(text, seed, sizeof(seed));
        for (unsigned j = 0; j < 1 + i % 4; j++) {
            random = random * 1664525 + 1013904223;
            text[(random >> 8) % (sizeof(seed) - 1)] = (char)(random >> 24);
        }
        (void)parse_bytes(text, (random >> 4) % sizeof(seed));
        assert_in_range(messages.count, 0, CONFIG_MAX_ERRORS + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_file),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_crlf_bom_and_no_last_newline),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_lists_of_paths),
        cmocka_unit_test(test_sets_that_must_not_be_empty),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_a_run_without_start),
        cmocka_unit_test(test_paths_and_texts),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_doubled_and_missing_keys),
        cmocka_unit_test(test_lines_that_are_none),
        cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_number_of_guests),
        cmocka_unit_test(test_all_mistakes_are_told_up_to_a_bound),
        cmocka_unit_test(test_the_table_is_complete),
        cmocka_unit_test(test_edit_distance),
        cmocka_unit_test(test_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
