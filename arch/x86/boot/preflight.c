/* The preflight: names each thing that is missing, and the way to mend it. */
#include "arch/x86/boot/preflight.h"

#include <stddef.h>

#include "arch/x86/boot/faults.h"
#include "arch/x86/boot/firmware.h"
#include "arch/x86/boot/sources.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/vmx/vmx.h"
#include "vmm/log.h"

/* What the firmware keeps for itself, and what the hypervisor takes besides the guests' memory. */
#define RESERVED_MEMORY (16ULL << 20)

static const struct virtualization *const backends[] = {&vmx_virtualization, &svm_virtualization};

#define CPUID_EDX_NX (1U << 20)

#define BACKENDS (sizeof(backends) / sizeof(backends[0]))

static void check(void *context, const char *name, bool present, const char *remedy)
{
    unsigned *findings = context;

    if (!present) {
        log_line("missing: %s", name);
        log_line("  to mend it: %s", remedy);
        ++*findings;
    }
}

/* "Under KVM", "under VMware": who is below us decides where to switch something on. */
static void name_hypervisor_below(void)
{
    const uint32_t running_under = 1U << 31;

    if ((cpuid(1, 0).ecx & running_under) != 0) {
        struct cpuid_registers_text {
            uint32_t words[3];
            char end;
        } name = {.end = '\0'};
        struct cpuid_registers leaf = cpuid(0x40000000, 0);

        name.words[0] = leaf.ebx;
        name.words[1] = leaf.ecx;
        name.words[2] = leaf.edx;
        log_line("this machine is virtual: the hypervisor below calls itself \"%.12s\"",
                 (const char *)name.words);
    }
}

static void check_memory(const struct config *config, unsigned *findings)
{
    uint64_t wanted = RESERVED_MEMORY;
    uint64_t free = firmware_free_memory();

    for (unsigned i = 0; i < config->guest_count; i++) {
        wanted += config->guests[i].memory;
    }
    if (wanted > free) {
        log_line("missing: memory: the guests need %lu MiB in all, the machine has %lu MiB free",
                 wanted >> 20, free >> 20);
        log_line("  to mend it: lower memory = in the configuration, or add memory");
        ++*findings;
    }
}

/* Hiding them in CPUID instead would not do: programs can execute what they are not shown. */
static void check_traps(const struct config *config, const struct virtualization *virtualization,
                        unsigned *findings)
{
    for (unsigned i = 0; i < config->guest_count; i++) {
        if (config->guests[i].rng_trap == CONFIG_ON && !virtualization->traps_random()) {
            log_line("guest \"%s\": rng.trap = on: %s cannot make RDRAND and RDSEED exit",
                     config->guests[i].name, virtualization->name);
            log_line("  to mend it: set rng.trap = off; it needs VMX");
            ++*findings;
        }
    }
}

/* The index of the first backend that this CPU announces; BACKENDS if there is none. */
static size_t find_backend(void)
{
    size_t i = 0;

    while (i < BACKENDS && !backends[i]->supported()) {
        i++;
    }
    return i;
}

const struct virtualization *preflight(const struct config *config, unsigned *findings)
{
    size_t found = find_backend();

    /* If there is none, each names itself as missing: people know whose CPU they have. */
    for (size_t i = 0; i < BACKENDS; i++) {
        if (i == found || found == BACKENDS) {
            backends[i]->requirements(check, findings);
        }
    }
    sources_check(config, check, findings);
    /* Off in CPUID too where the firmware set IA32_MISC_ENABLE[34] (SDM Vol. 4, table 2-2). */
    check(findings, "no-execute pages (CPUID.80000001H:EDX.NX)",
          cpuid(0x80000000, 0).eax >= 0x80000001 && (cpuid(0x80000001, 0).edx & CPUID_EDX_NX) != 0,
          "switch \"Execute Disable Bit\", \"XD\" or \"NX\" on in the firmware's set-up");
    check(findings, "four-level paging", (read_cr4() & CR4_LA57) == 0,
          "switch five-level paging (LA57) off in the firmware's set-up");
    check_memory(config, findings);
    if (found < BACKENDS) {
        check_traps(config, backends[found], findings);
    }
    *findings += faults_accept(&config->host) ? 0 : 1;
    if (*findings > 0) {
        name_hypervisor_below();
    }
    return found < BACKENDS ? backends[found] : NULL;
}
