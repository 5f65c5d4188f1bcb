/* Start: from the firmware's call until boot services are left. What follows is in run.c. */
#include <efi.h>
#include <string.h>

#include "arch/x86/boot/address_space.h"
#include "arch/x86/boot/cpus.h"
#include "arch/x86/boot/firmware.h"
#include "arch/x86/boot/preflight.h"
#include "arch/x86/boot/seedvisor.h"
#include "arch/x86/boot/tsc.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"
#include "arch/x86/cpu/this_cpu.h"
#include "arch/x86/guest/layout.h"
#include "arch/x86/host/console.h"
#include "arch/x86/host/emulator.h"
#include "arch/x86/host/power.h"
#include "arch/x86/host/random_quirks.h"
#include "arch/x86/host/rdseed.h"
#include "build_id.h"
#include "vmm/format.h"
#include "vmm/log.h"
#include "vmm/panic.h"
#include "vmm/vm_trace.h"

#define CONFIG_FILE   "seedvisor.conf"
#define CONFIG_FOLDER "\\EFI\\seedvisor\\"

/* Stacks, page tables and the like, besides what the guests need. */
#define ARENA_BASE_SIZE (256ULL << 10)
#define ARENA_CPU_SIZE  (128ULL << 10)
#define FOUR_GIGABYTES  (4ULL << 30)

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

extern uintptr_t __stack_chk_guard;

static void report_config_error(void *context, const char *message)
{
    (void)context;
    log_line("%s", message);
}

/* Looks for the configuration beside our own file and in the folder of our name. */
static bool read_configuration(struct seedvisor *seedvisor)
{
    const struct config_report report = {report_config_error, NULL};
    char paths[2][CONFIG_PATH_SIZE];
    void *text;
    uint64_t size;

    firmware_image_folder(paths[0], sizeof(paths[0]) - sizeof(CONFIG_FILE));
    memcpy(paths[0] + strlen(paths[0]), CONFIG_FILE, sizeof(CONFIG_FILE));
    format(paths[1], sizeof(paths[1]), CONFIG_FOLDER CONFIG_FILE);
    for (unsigned i = 0; i < 2; i++) {
        enum file_status status = firmware_read_file(paths[i], &text, &size);

        if (status == FILE_READ) {
            log_line("configuration: %s", paths[i]);
            return config_parse(text, size, CONFIG_FILE, &seedvisor->config, &report);
        }
        if (status != FILE_NOT_FOUND) {
            log_line("%s cannot be read, or is empty", paths[i]);
            return false;
        }
    }
    log_line("no configuration: neither %s nor %s exists on the boot volume", paths[0], paths[1]);
    log_line("  to mend it: write one, with at least [guest NAME] and kernel = FILE");
    return false;
}

/* False, with what to do about it, if a guest is pinned to CPUs that the machine does not have. */
static bool pins_exist(const struct config_guest *config, unsigned available)
{
    unsigned highest = config->cpus == 0 ? 0 : 63U - (unsigned)__builtin_clzll(config->cpus);

    if (highest < available) {
        return true;
    }
    log_line("missing: CPUs: guest \"%s\" has CPU %u in cpus =, the machine has %u CPU%s (at most "
             "%u are used)",
             config->name, highest, available, available == 1 ? "" : "s", SEEDVISOR_CPUS);
    log_line("  to mend it: name CPUs from 0 to %u, or none: then they are chosen", available - 1);
    return false;
}

/* Finds the CPUs, and a home among them for each vCPU; counts what stands in the way. */
static void find_cpus(struct seedvisor *seedvisor, unsigned *findings)
{
    struct placement_wish wishes[CONFIG_GUESTS];
    unsigned available = firmware_find_cpus(seedvisor->apic_ids, SEEDVISOR_CPUS);
    unsigned vcpus = 0;
    unsigned missing = 0;

    available = available < SEEDVISOR_CPUS ? available : SEEDVISOR_CPUS;
    for (unsigned i = 0; i < seedvisor->config.guest_count; i++) {
        const struct config_guest *guest = &seedvisor->config.guests[i];

        missing += pins_exist(guest, available) ? 0 : 1;
        wishes[i] = (struct placement_wish){(unsigned)guest->vcpus, guest->cpus};
        vcpus += wishes[i].vcpus;
    }
    *findings += missing;
    if (missing > 0) {
        return;
    }
    placement_find(wishes, seedvisor->config.guest_count, available, seedvisor->homes);
    for (unsigned i = 0; i < vcpus; i++) {
        if (seedvisor->homes[i] >= seedvisor->host.cpu_count) {
            seedvisor->host.cpu_count = seedvisor->homes[i] + 1U;
        }
    }
}

static void report_no_memory(void)
{
    log_line("the machine has too little memory for the hypervisor itself");
}

/* The guests' files and memory; counts what stands in the way, of all guests. */
static void prepare_guests(struct seedvisor *seedvisor, unsigned *findings)
{
    struct guest *guests = seedvisor->guests;
    unsigned count = seedvisor->config.guest_count;
    unsigned unread[CONFIG_GUESTS];

    for (unsigned i = 0; i < count; i++) {
        unread[i] = guest_read(&guests[i], &seedvisor->config.guests[i]);
        *findings += unread[i];
    }
    void *low = firmware_allocate(LAYOUT_ONE_MEGABYTE, PAGE_SIZE);

    if (low == NULL) {
        report_no_memory();
        ++*findings;
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        *findings += unread[i] > 0 || guest_judge(&guests[i], low) ? 0 : 1;
    }
    firmware_give_back();
    for (unsigned i = 0; i < count; i++) {
        *findings += guest_take_memory(&guests[i]) ? 0 : 1;
    }
}

static struct seedvisor *prepare(void)
{
    unsigned findings = 0;
    struct seedvisor *seedvisor = firmware_allocate(sizeof(*seedvisor), PAGE_SIZE);

    if (seedvisor == NULL) {
        report_no_memory();
        return NULL;
    }
    memset(seedvisor, 0, sizeof(*seedvisor));
    if (!read_configuration(seedvisor)) {
        return NULL;
    }
    seedvisor->virtualization = preflight(&seedvisor->config, &findings);
    find_cpus(seedvisor, &findings);
    prepare_guests(seedvisor, &findings);
    if (findings > 0) {
        log_line("cannot start: %u missing or wrong, see above", findings);
        return NULL;
    }
    uint64_t largest_page = seedvisor->virtualization->largest_page();
    uint64_t arena_size = ARENA_BASE_SIZE + seedvisor->host.cpu_count * ARENA_CPU_SIZE;

    if (largest_page == PAGE_SIZE) {
        log_line("guests' memory is mapped in pages of 4 KiB, for this processor has "
                 "CVE-2018-12207");
    }
    for (unsigned i = 0; i < seedvisor->config.guest_count; i++) {
        arena_size += guest_arena_size(&seedvisor->config.guests[i], largest_page);
        if (seedvisor->config.host.trace == CONFIG_ON) {
            arena_size += vm_trace_size((unsigned)seedvisor->config.guests[i].vcpus);
        }
    }
    /* A CPU that starts can load only a 32-bit CR3, so the page tables must be low. */
    void *memory = firmware_allocate_below(arena_size, FOUR_GIGABYTES);

    if (memory == NULL || (seedvisor->host.cpu_count > 1 && !cpus_prepare())) {
        report_no_memory();
        return NULL;
    }
    arena_init(&seedvisor->arena, memory, arena_size & ~(PAGE_SIZE - 1));
    return seedvisor;
}

/* Facts of the machine that must be asked of the firmware, or are easier found with its help. */
static bool describe_machine(struct seedvisor *seedvisor)
{
    struct cpu_policy *policy = &seedvisor->policy;
    struct host *host = &seedvisor->host;
    const struct cpu_facts facts = this_cpu_facts();

    host->tsc_frequency = tsc_find_frequency();
    if (host->tsc_frequency == 0) {
        log_line("the time stamp counter's frequency cannot be found");
        return false;
    }
    sources_init(&seedvisor->sources, &seedvisor->config, host);
    host->cpus = arena_allocate(&seedvisor->arena, host->cpu_count * sizeof(*host->cpus), 64);
    if (host->cpus == NULL) {
        report_no_memory();
        return false;
    }
    for (unsigned i = 0; i < host->cpu_count; i++) {
        if (!cpu_init(&host->cpus[i], i, seedvisor->apic_ids[i], &seedvisor->arena)) {
            report_no_memory();
            return false;
        }
    }
    seedvisor->clock = (struct wall_clock){
        .unix_seconds = firmware_time(), .ticks = read_tsc(), .frequency = host->tsc_frequency};
    policy->host = cpuid;
    policy->instructions = seedvisor->virtualization->guest_instructions() | random_quirks_shown();
    policy->tsc_frequency = host->tsc_frequency;
    policy->arch_capabilities = facts.arch_capabilities;
    cpu_policy_init(policy);
    resident_abilities_find(&host->resident, cpuid, policy->xcr0_allowed,
                            policy->arch_capabilities);
    if ((errata_defences(&facts) & DEFENCE_RESTRICT) != 0) {
        host->resident.spec_ctrl = false; /* it changes hands at each exit instead */
    }
    if (!address_space_build(&seedvisor->page_table, host, &seedvisor->arena)) {
        report_no_memory();
        return false;
    }
    if (host->cpu_count > 1) {
        cpus_set_entry(&seedvisor->page_table, seedvisor_enter_cpu);
    }
    return true;
}

/* Leaves the firmware's stack for the CPU's own and never comes back. */
static _Noreturn void run_on_own_stack(struct seedvisor *seedvisor)
{
    uint64_t stack = cpu_stack_top(&seedvisor->host.cpus[0], CPU_STACK_MAIN);

    __asm__ volatile("mov %0, %%rsp\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "call *%1"
                     :
                     : "r"(stack), "r"(seedvisor_run), "D"(seedvisor)
                     : "memory");
    __builtin_unreachable(); /* LCOV_EXCL_LINE: it is, as seedvisor_run() does not return */
}

static _Noreturn void leave_firmware(struct seedvisor *seedvisor)
{
    if (!console_has_port()) {
        log_line("no serial port at 0x3f8 (COM1): from here on nothing can be shown or typed");
    }
    log_line("leaving the firmware at tsc %lu", read_tsc());
    if (!firmware_exit_boot_services()) {
        panic("the firmware does not let go: ExitBootServices failed");
    }
    interrupts_off();
    console_leave_firmware(seedvisor->host.tsc_frequency);
    cpu_build_idt();
    run_on_own_stack(seedvisor);
}

/* No stack protector here: the guard changes while this function runs. */
__attribute__((no_stack_protector)) EFI_STATUS efi_main(EFI_HANDLE image,
                                                        EFI_SYSTEM_TABLE *system_table)
{
    const struct firmware_power power = {.cr3 = read_cr3(), .shut_down = firmware_shut_down};
    uint64_t guard;

    if (rdseed_supported() && rdseed_source.read(rdseed_source.context, &guard)) {
        __stack_chk_guard = guard & ~0xffULL; /* a zero byte stops string functions */
    }
    firmware_init(image, system_table);
    console_init(firmware_print, !firmware_console_is_com1());
    log_line("Seedvisor " BUILD_ID ", started by the firmware at tsc %lu", read_tsc());
    power_init(&power);

    struct seedvisor *seedvisor = prepare();

    if (seedvisor != NULL && describe_machine(seedvisor)) {
        leave_firmware(seedvisor);
    }
    log_line("not started");
    if (emulator_present()) {
        power_off(RESULT_NOT_RUN);
    }
    /* LCOV_EXCL_START: only where there is no port 0xE9, and so no way for the counters to leave */
    firmware_wait_for_key();
    return EFI_UNSUPPORTED;
}
/* LCOV_EXCL_STOP */
