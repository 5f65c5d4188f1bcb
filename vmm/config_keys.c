/* The table of the keys of seedvisor.conf. */
#include "vmm/config_keys.h"

#include "vmm/config.h"

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define MEGA (1ULL << 20)
#define GIGA (1ULL << 30)
#define HOUR 3600000ULL /* ms */

static const char *const switch_choices[] = {
    [CONFIG_OFF] = "off",
    [CONFIG_ON] = "on",
    NULL,
};

static const char *const console_choices[] = {
    [CONFIG_CONSOLE_AUTO] = "auto",
    [CONFIG_CONSOLE_SWITCHED] = "switched",
    [CONFIG_CONSOLE_PREFIXED] = "prefixed",
    NULL,
};

static const char *const on_idle_choices[] = {
    [CONFIG_IDLE_POWEROFF] = "poweroff",
    [CONFIG_IDLE_WAIT] = "wait",
    NULL,
};

static const char *const conditioner_choices[] = {
    [CONFIG_CONDITIONER_NONE] = "none",
    [CONFIG_CONDITIONER_SHA256] = "sha256",
    NULL,
};

static const char *const source_choices[] = {
    [CONFIG_SOURCE_RDSEED] = "rdseed",
    [CONFIG_SOURCE_RDRAND] = "rdrand",
    [CONFIG_SOURCE_EGD] = "egd",
    NULL,
};

static const char *const rng_choices[] = {
    [CONFIG_RNG_RDSEED] = "rdseed", [CONFIG_RNG_RDRAND] = "rdrand", [CONFIG_RNG_EGD] = "egd",
    [CONFIG_RNG_MIX] = "mix",       [CONFIG_RNG_NONE] = "none",     NULL,
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

static const char *const boot_choices[] = {
    [CONFIG_BOOT_AUTO] = "auto",           [CONFIG_BOOT_LINUX] = "linux", [CONFIG_BOOT_PVH] = "pvh",
    [CONFIG_BOOT_MULTIBOOT] = "multiboot", [CONFIG_BOOT_FLAT] = "flat",   NULL,
};

static const char *const end_choices[] = {
    [CONFIG_END_STOP] = "stop",
    [CONFIG_END_RESTART] = "restart",
    [CONFIG_END_FAIL] = "fail",
    NULL,
};

#define HOST_FIELD(field)  .section = "host", .offset = offsetof(struct config_host, field)
#define GUEST_FIELD(field) .section = "guest", .offset = offsetof(struct config_guest, field)
#define CHOICE(words)      .type = CONFIG_CHOICE, .choices = (words)
#define SET(words)         .type = CONFIG_SET, .choices = (words)
#define PATH               .type = CONFIG_PATH, .size = CONFIG_PATH_SIZE

static const struct config_key keys[] = {
    {GUEST_FIELD(kernel), .name = "kernel", PATH, .required = true, .example = "\\vmlinuz",
     .help = "File of the kernel on the boot volume: a Linux bzImage, or what `boot` says."},
    {GUEST_FIELD(initrd), .name = "initrd", PATH, .example = "\\initrd.img",
     .help = "File of the kernel's initial RAM disk on the boot volume."},
    {GUEST_FIELD(modules), .name = "modules", .type = CONFIG_PATHS,
     .example = "\\first.bin, \\second.bin",
     .help = "Files that a kernel other than Linux's bzImage is given, behind the initrd if there "
             "is one."},
    {GUEST_FIELD(cmdline), .name = "cmdline", .type = CONFIG_TEXT, .size = CONFIG_CMDLINE_SIZE,
     .example = "console=ttyS0", .help = "The kernel's command line."},
    {GUEST_FIELD(boot), .name = "boot", CHOICE(boot_choices), .fallback = "auto",
     .example = "multiboot",
     .help = "How the kernel is started: Linux's 64-bit boot protocol, PVH, Multiboot 1, or as a "
             "flat binary; `auto` chooses by what the file is, among all but the last."},
    {GUEST_FIELD(memory), .name = "memory", .type = CONFIG_SIZE, .minimum = 16 * MEGA,
     .maximum = 512 * GIGA, .multiple = 2 * MEGA, .fallback = "256M", .example = "256M",
     .help = "RAM of the guest."},
    {GUEST_FIELD(vcpus), .name = "vcpus", .type = CONFIG_NUMBER, .minimum = 1, .maximum = 64,
     .fallback = "1", .example = "2", .help = "Virtual CPUs of the guest."},
    {GUEST_FIELD(cpus), .name = "cpus", .type = CONFIG_CPUS, .maximum = 63, .example = "0,2-3",
     .help = "The machine's CPUs that may run this guest. Without it, any may."},
    {GUEST_FIELD(rng), .name = "rng", CHOICE(rng_choices), .fallback = "rdseed", .example = "none",
     .help =
         "Where the guest's entropy device takes its bytes from; `mix`: from all that `rng.mix` "
         "names; `none`: the guest has no such device."},
    {GUEST_FIELD(rng_rate), .name = "rng.rate", .type = CONFIG_RATE, .minimum = 1, .maximum = GIGA,
     .example = "4096/1000ms",
     .help = "How many bytes the entropy device gives at most in how much time. Without it, as "
             "many as there are."},
    {GUEST_FIELD(rng_page), .name = "rng.page", CHOICE(rng_page_choices), .fallback = "mapped",
     .example = "trapped",
     .help = "How the guest reads the entropy device's registers: from a page of its own memory "
             "map, or by an exit for each read. Both yield the same."},
    {GUEST_FIELD(rng_trap), .name = "rng.trap", CHOICE(switch_choices), .fallback = "off",
     .example = "on",
     .help = "Whether the guest's own RDSEED and RDRAND instructions are intercepted and answered "
             "by the hypervisor."},
    {GUEST_FIELD(rng_seed), .name = "rng.seed", CHOICE(switch_choices), .fallback = "on",
     .example = "off",
     .help = "Whether a Linux guest gets 32 random bytes with its boot parameters, so that its "
             "generator is ready before its first instruction. off is for comparison."},
    {GUEST_FIELD(virtio), .name = "virtio", CHOICE(virtio_choices), .fallback = "modern",
     .example = "legacy",
     .help = "The register layout of the guest's virtio devices: version 2, or the legacy "
             "version 1 for kernels before 4.0."},
    {GUEST_FIELD(virtio_features), .name = "virtio.features", SET(virtio_feature_choices),
     .fallback = "indirect, event_idx", .example = "packed, in_order",
     .help = "The optional features that the guest's virtio devices offer. A legacy device can "
             "offer only the first two."},
    {GUEST_FIELD(debug_exit), .name = "debug_exit", .type = CONFIG_PORT, .minimum = 1,
     .maximum = 0xffff, .example = "0xf4",
     .help = "An I/O port that ends the guest with the value written to it, as test suites want. "
             "Without it, there is none."},
    {GUEST_FIELD(fw_cfg), .name = "fw_cfg", CHOICE(switch_choices), .fallback = "off",
     .example = "on",
     .help = "Whether the guest can ask for its memory size and number of CPUs through QEMU's "
             "firmware configuration ports."},
    {GUEST_FIELD(on_poweroff), .name = "on_poweroff", CHOICE(end_choices), .fallback = "stop",
     .example = "restart",
     .help = "What follows when the guest powers off: it stays ended, is started afresh, or stays "
             "ended and makes the run a failure."},
    {GUEST_FIELD(on_reboot), .name = "on_reboot", CHOICE(end_choices), .fallback = "stop",
     .example = "restart", .help = "The same when it resets its machine."},
    {GUEST_FIELD(on_crash), .name = "on_crash", CHOICE(end_choices), .fallback = "fail",
     .example = "restart",
     .help = "The same when it comes to an end by a triple fault, halts for good, or does what "
             "cannot be carried out."},
    {GUEST_FIELD(restart_limit), .name = "restart.limit", .type = CONFIG_NUMBER, .minimum = 1,
     .maximum = 1000000, .fallback = "3", .example = "10",
     .help = "How often the guest is started afresh at most; after that it has failed."},
    {GUEST_FIELD(start), .name = "start", CHOICE(switch_choices), .fallback = "on",
     .example = "off",
     .help = "Whether the guest is started with the machine; `off`: only from the monitor."},
    {GUEST_FIELD(start_delay), .name = "start.delay", .type = CONFIG_DURATION, .maximum = HOUR,
     .fallback = "0ms", .example = "500ms", .help = "How long its first start waits."},
    {HOST_FIELD(console), .name = "console", CHOICE(console_choices), .fallback = "auto",
     .example = "prefixed",
     .help = "How guests share the serial port: one in view at a time, or all lines mixed, each "
             "after its guest's name; `auto` mixes the lines if there are several guests. Ctrl-A v "
             "changes it."},
    {HOST_FIELD(on_idle), .name = "on_idle", CHOICE(on_idle_choices), .fallback = "poweroff",
     .example = "wait", .help = "What the machine does when all guests have ended."},
    {HOST_FIELD(rng_conditioner), .name = "rng.conditioner", CHOICE(conditioner_choices),
     .fallback = "none", .example = "sha256",
     .help = "What conditions the bytes of the sources before guests get them."},
    {HOST_FIELD(rng_mix), .name = "rng.mix", SET(source_choices), .minimum = 1,
     .fallback = "rdseed, rdrand", .example = "rdseed, egd",
     .help = "The sources that `rng = mix` combines."},
    {HOST_FIELD(rng_tap), .name = "rng.tap", CHOICE(switch_choices), .fallback = "off",
     .example = "on",
     .help = "Whether raw bytes of the source are written out for assessment. No guest can then "
             "have an entropy device."},
    {HOST_FIELD(trace), .name = "trace", CHOICE(switch_choices), .fallback = "off", .example = "on",
     .help = "Whether the trace of the last exits is written out at the end."},
    {HOST_FIELD(panic_after_exits), .name = "debug.panic_after_exits", .type = CONFIG_NUMBER,
     .maximum = 1000000000000000000, .fallback = "0", .example = "5000",
     .help = "For tests of the hypervisor's own end: panic after so many exits; 0 is never."},
    {HOST_FIELD(rng_fault), .name = "debug.rng_fault", .type = CONFIG_TEXT,
     .size = CONFIG_FAULT_SIZE, .example = "stuck",
     .help = "For tests: faults that the source of entropy is made to show, in builds with "
             "`FAULTS=1`."},
};

_Static_assert(ARRAY_LENGTH(keys) <= CONFIG_KEYS_MAX, "CONFIG_KEYS_MAX is too small");

const struct config_key *config_keys(size_t *count)
{
    *count = ARRAY_LENGTH(keys);
    return keys;
}
