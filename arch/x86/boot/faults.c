/* debug.rng_fault: refused by the product, played by a build with FAULTS=1. */
#include "arch/x86/boot/faults.h"

#include "devices/rng/fault_source.h"
#include "vmm/log.h"

#ifdef SEEDVISOR_FAULTS

static struct fault_source the_faults;

bool faults_accept(const struct config_host *config)
{
    char error[CONFIG_FAULT_SIZE + 64];

    if (config->rng_fault[0] == '\0') {
        return true;
    }
    if (!fault_source_parse(&the_faults, config->rng_fault, error, sizeof(error))) {
        log_line("debug.rng_fault: %s", error);
        return false;
    }
    log_line("THIS BUILD IS FOR TESTS: its source of entropy fails by debug.rng_fault = %s",
             config->rng_fault);
    return true;
}

struct entropy_source faults_source(const struct entropy_source *source, uint64_t tsc_frequency)
{
    return fault_source_start(&the_faults, source, tsc_frequency);
}

bool fault_completes_empty(void)
{
    return fault_source_completes_empty(&the_faults);
}

#else

bool faults_accept(const struct config_host *config)
{
    if (config->rng_fault[0] != '\0') {
        log_line("debug.rng_fault: this build has no faults to show");
        log_line("  to mend it: remove the key, or build with make FAULTS=1");
        return false;
    }
    return true;
}

struct entropy_source faults_source(const struct entropy_source *source, uint64_t tsc_frequency)
{
    (void)tsc_frequency;
    return *source;
}

#endif
