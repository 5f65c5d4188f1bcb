/* The entropy sources that the configuration asks for, and a core for each that is in use. */
#include "arch/x86/boot/sources.h"

#include "arch/x86/boot/faults.h"
#include "arch/x86/boot/firmware.h"
#include "arch/x86/host/random_quirks.h"
#include "arch/x86/host/rdrand.h"
#include "arch/x86/host/rdseed.h"
#include "arch/x86/host/uart.h"
#include "devices/conditioner/sha256.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/wipe.h"

_Static_assert(CONFIG_RNG_NONE <= HOST_CORES, "a place for each core");

#define USE_RDSEED "use a processor with RDSEED: Intel since Broadwell (2014), AMD since Zen (2017)"
#define USE_RDRAND                                                                                 \
    "use a processor with RDRAND: Intel since Ivy Bridge (2012), AMD since Excavator (2015)"

/* The sources that an rng = word stands for, as rng.mix has them. */
static uint64_t members(const struct config *config, uint64_t rng)
{
    switch ((enum config_rng)rng) {
    case CONFIG_RNG_RDSEED:
        return 1U << CONFIG_SOURCE_RDSEED;
    case CONFIG_RNG_RDRAND:
        return 1U << CONFIG_SOURCE_RDRAND;
    case CONFIG_RNG_EGD:
        return 1U << CONFIG_SOURCE_EGD;
    case CONFIG_RNG_MIX:
        return config->host.rng_mix;
    case CONFIG_RNG_NONE:
        break;
    }
    return 0;
}

static enum config_rng own_source(void)
{
    bool good = rdseed_supported() && !random_quirks_refused(INSTRUCTION_RDSEED);

    return good || !rdrand_supported() ? CONFIG_RNG_RDSEED : CONFIG_RNG_RDRAND;
}

/* All sources that are needed. */
static uint64_t needed(const struct config *config)
{
    uint64_t sources = members(config, own_source());

    for (unsigned i = 0; i < config->guest_count; i++) {
        sources |= members(config, config->guests[i].rng);
    }
    return sources;
}

void sources_check(const struct config *config, requirement_report report, void *context)
{
    uint64_t sources = needed(config);

    if ((sources >> CONFIG_SOURCE_RDSEED & 1) != 0) {
        /* An alternative that there is: without both, the hypervisor has no source of its own. */
        report(context, "RDSEED (CPUID.7:EBX.RDSEED)", rdseed_supported(),
               rdrand_supported() ? USE_RDSEED "; or rng = rdrand" : USE_RDSEED);
        random_quirks_report(INSTRUCTION_RDSEED, report, context);
    }
    if ((sources >> CONFIG_SOURCE_RDRAND & 1) != 0) {
        report(context, "RDRAND (CPUID.1:ECX.RDRAND)", rdrand_supported(),
               rdseed_supported() ? USE_RDRAND "; or leave it out of rng = and rng.mix ="
                                  : USE_RDRAND);
        random_quirks_report(INSTRUCTION_RDRAND, report, context);
    }
    if ((sources >> CONFIG_SOURCE_EGD & 1) != 0) {
        report(context, "a second serial port (0x2f8), for egd", host_uart_init(&host_uart_com2),
               "connect an Entropy Gathering Daemon there, 115200 baud 8N1; or leave egd out of "
               "rng = and rng.mix =");
    }
    if (config->host.rng_tap == CONFIG_ON) {
        report(context, "a second serial port (0x2f8), for rng.tap",
               host_uart_init(&host_uart_com2),
               "connect what collects the words there, 115200 baud 8N1; or leave rng.tap out");
    }
}

/* What happened to a source, for people. */
static void tell(const struct entropy_core *core, const struct entropy_notice *notice)
{
    const char *then = notice->state == ENTROPY_FAULT
                           ? "it is given up until a start-up test passes"
                           : "nothing is delivered until a start-up test passes";

    if (notice->hit != HEALTH_PASSED) {
        log_line("entropy: %s FAILED the health test \"%s\": pool discarded; %s (fault %u)",
                 core->source.name, health_test_name(notice->hit), then, notice->faults);
    } else if (notice->dry) {
        log_line("entropy: %s FAILED: %u tries in a row without a word: pool discarded; %s "
                 "(fault %u)",
                 core->source.name, ENTROPY_DRY_LIMIT, then, notice->faults);
    } else {
        log_line("entropy: %s passed the test of %u words", core->source.name,
                 ENTROPY_STARTUP_WORDS);
    }
}

static struct entropy_source make_source(struct sources *sources, const struct config *config,
                                         enum config_rng rng)
{
    switch (rng) {
    case CONFIG_RNG_RDRAND:
        return rdrand_source;
    case CONFIG_RNG_EGD:
        return egd_source(&sources->egd);
    case CONFIG_RNG_MIX:
        for (enum config_rng member = CONFIG_RNG_RDSEED; member < CONFIG_RNG_MIX; member++) {
            const struct entropy_source source = make_source(sources, config, member);

            if ((config->host.rng_mix & members(config, member)) != 0) {
                (void)mix_add(&sources->mix, &source);
            }
        }
        return mix_source(&sources->mix);
    case CONFIG_RNG_RDSEED:
    case CONFIG_RNG_NONE:
        break;
    }
    return rdseed_source;
}

/* At worst the firmware's bytes are known to everybody, and then they do nothing. */
static void stir(struct sources *sources, struct entropy_core *core)
{
    uint8_t bytes[ENTROPY_STIR_SIZE];

    if (firmware_random(bytes, sizeof(bytes))) {
        entropy_stir(core, bytes, sizeof(bytes));
        sources->stirred = sizeof(bytes);
    }
    wipe(bytes, sizeof(bytes));
}

static void use(struct sources *sources, const struct config *config, uint64_t rng,
                struct host *host)
{
    if (sources->used[rng]) {
        return;
    }
    const struct entropy_source whole = make_source(sources, config, (enum config_rng)rng);
    const struct entropy_source source =
        rng == sources->own ? faults_source(&whole, host->tsc_frequency) : whole;
    struct entropy_core *core = &sources->cores[rng];

    entropy_init(core, &source);
    core->condition =
        config->host.rng_conditioner == CONFIG_CONDITIONER_SHA256 ? conditioner_sha256 : NULL;
    core->ticks = host_ticks;
    core->notify = tell;
    stir(sources, core);
    sources->used[rng] = true;
    host->entropy[host->entropy_count++] = core;
}

/* Loudly: what leaves by the tap is no secret, and whoever finds it running must know. */
static void start_tap(struct sources *sources, const struct byte_port *line, struct host *host)
{
    const struct entropy_source *source = &sources->cores[sources->own].source;

    tap_init(&sources->tap, source, line);
    host->tap = &sources->tap;
    log_line("entropy: TAP ON (rng.tap = on): raw words of %s leave by the second serial port, for "
             "a laboratory; no guest has an entropy device",
             source->name);
}

void sources_init(struct sources *sources, const struct config *config, struct host *host)
{
    const struct byte_port line = host_uart_port(&host_uart_com2);

    egd_init(&sources->egd, &line, host_ticks, host->tsc_frequency);
    sources->own = own_source();
    use(sources, config, sources->own, host);
    if (config->host.rng_tap == CONFIG_ON) {
        start_tap(sources, &line, host);
    }
    for (unsigned i = 0; i < config->guest_count; i++) {
        uint64_t rng = config->guests[i].rng;

        if (rng != CONFIG_RNG_NONE) {
            use(sources, config, rng, host);
            sources->cores[rng].devices++;
        }
        if (config->guests[i].rng_trap == CONFIG_ON) { /* its instructions draw beside its device */
            sources_seed(sources, rng)->devices++;
        }
    }
    if (sources->stirred > 0) {
        log_line("entropy: %u bytes of the firmware's randomness stirred in, for no credit",
                 sources->stirred);
    }
}

struct entropy_core *sources_core(struct sources *sources, uint64_t rng)
{
    return rng == CONFIG_RNG_NONE ? NULL : &sources->cores[rng];
}

struct entropy_core *sources_seed(struct sources *sources, uint64_t rng)
{
    if (rng == CONFIG_RNG_NONE || sources->cores[rng].source.slow) {
        rng = sources->own;
    }
    return &sources->cores[rng];
}

static void print_core(struct entropy_core *core)
{
    struct entropy_counters counters = entropy_counters(core);
    const uint64_t *hits = counters.hits;

    log_line("entropy: %s tries %lu, failures %lu, longest failure run %lu, health test hits %lu",
             core->source.name, counters.tries, counters.failures, counters.longest_failure_run,
             counters.health_hits);
    log_line("entropy: bytes delivered %lu, pool low-water %lu", counters.bytes_delivered,
             counters.pool_low_water);
    log_line(
        "  hits: repetition of words %lu, of bytes %lu, proportion of words %lu, of bytes %lu; "
        "dry too long %lu; tests passed %lu",
        hits[HEALTH_WORD_REPETITION], hits[HEALTH_BYTE_REPETITION], hits[HEALTH_WORD_PROPORTION],
        hits[HEALTH_BYTE_PROPORTION], counters.dry_faults, counters.tests_passed);
    log_line("  words %lu, ticks reading the source %lu, each %lu", counters.words, counters.ticks,
             counters.words > 0 ? counters.ticks / counters.words : 0);
}

void sources_print(struct sources *sources)
{
    const struct egd_counters *egd = &sources->egd.counters;

    for (unsigned i = 0; i < CONFIG_RNG_NONE; i++) {
        if (sources->used[i]) {
            print_core(&sources->cores[i]);
        }
    }
    if (sources->tap.source.read != NULL) {
        log_line("entropy: TAP: %u frames of %u raw words, failures %u", sources->tap.frames,
                 TAP_FRAME_WORDS, sources->tap.failures);
    }
    if (egd->requests > 0) {
        log_line(
            "EGD: requests %lu, bytes %lu, empty answers %lu, time-outs %lu, wrong answers %lu",
            egd->requests, egd->bytes, egd->empty, egd->timeouts, egd->wrong);
    }
}
