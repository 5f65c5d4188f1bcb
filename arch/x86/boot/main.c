/* Start: from the firmware's call to the guests' first instruction, and the end of the run. */
#include <efi.h>
#include <string.h>

#include "arch/x86/boot/address_space.h"
#include "arch/x86/boot/firmware.h"
#include "arch/x86/boot/guests.h"
#include "arch/x86/boot/preflight.h"
#include "arch/x86/boot/tsc.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"
#include "arch/x86/host/console.h"
#include "arch/x86/host/emulator.h"
#include "arch/x86/host/power.h"
#include "arch/x86/host/rdseed.h"
#include "build_id.h"
#include "vmm/format.h"
#include "vmm/log.h"
#include "vmm/panic.h"
#include "vmm/run.h"

#define CONFIG_FILE   "seedvisor.conf"
#define CONFIG_FOLDER "\\EFI\\seedvisor\\"

/* Stacks, page tables and the like, besides what the guests need. */
#define ARENA_BASE_SIZE (512ULL << 10)

/* Everything of a run, in one piece; made while the firmware still gives memory. */
struct seedvisor {
    struct config config;
    struct guest guests[CONFIG_GUESTS];
    const struct virtualization *virtualization;
    struct cpu_policy policy;
    struct wall_clock clock;
    struct entropy_core entropy;
    struct arena arena;
    struct page_table page_table;
    struct host host;
};

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

extern uintptr_t __stack_chk_guard;
extern const char ImageBase[], image_end[]; /* linker script */

static struct cpuid_registers host_cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_result result = cpuid(leaf, subleaf);

    return (struct cpuid_registers){result.eax, result.ebx, result.ecx, result.edx};
}

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

/* One CPU runs guests so far, and it runs one vCPU. */
static bool check_cpus(const struct config *config)
{
    uint64_t vcpus = 0;

    for (unsigned i = 0; i < config->guest_count; i++) {
        vcpus += config->guests[i].vcpus;
    }
    if (vcpus > 1) {
        log_line("the configuration asks for %lu vCPUs; this version runs one guest with one vCPU",
                 vcpus);
        return false;
    }
    return true;
}

static struct seedvisor *prepare(void)
{
    struct seedvisor *seedvisor = firmware_allocate(sizeof(*seedvisor), PAGE_SIZE, true);

    if (seedvisor == NULL) {
        log_line("the machine has too little memory for the hypervisor itself");
        return NULL;
    }
    memset(seedvisor, 0, sizeof(*seedvisor));
    if (!read_configuration(seedvisor)) {
        return NULL;
    }
    seedvisor->virtualization = preflight(&seedvisor->config);
    if (seedvisor->virtualization == NULL || !check_cpus(&seedvisor->config)) {
        return NULL;
    }
    uint64_t arena_size = ARENA_BASE_SIZE;

    for (unsigned i = 0; i < seedvisor->config.guest_count; i++) {
        arena_size += guest_arena_size(&seedvisor->config.guests[i]);
        if (!guest_prepare(&seedvisor->guests[i], &seedvisor->config.guests[i])) {
            return NULL;
        }
    }
    void *memory = firmware_allocate(arena_size, PAGE_SIZE, true);

    if (memory == NULL) {
        log_line("the machine has too little memory for the hypervisor itself");
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

    host->tsc_frequency = tsc_find_frequency();
    if (host->tsc_frequency == 0) {
        log_line("the time stamp counter's frequency cannot be found");
        return false;
    }
    host->entropy = &seedvisor->entropy;
    host->cpu_count = 1;
    host->cpus = arena_allocate(&seedvisor->arena, sizeof(*host->cpus), 64);
    if (host->cpus == NULL || !cpu_init(&host->cpus[0], 0, apic_id(), &seedvisor->arena)) {
        return false;
    }
    seedvisor->clock = (struct wall_clock){.unix_seconds = firmware_time(),
                                           .ticks = read_tsc(),
                                           .frequency = host->tsc_frequency};
    policy->host = host_cpuid;
    policy->instructions = seedvisor->virtualization->guest_instructions();
    policy->tsc_frequency = host->tsc_frequency;
    if (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).edx & 1U << 29) != 0) {
        policy->arch_capabilities = read_msr(MSR_ARCH_CAPABILITIES);
    }
    cpu_policy_init(policy);
    return address_space_build(&seedvisor->page_table, host, &seedvisor->arena);
}

static bool start_guest(struct seedvisor *seedvisor, struct guest *guest, uint16_t address_space)
{
    const struct machine_setup setup = {
        .name = guest->config->name,
        .virtualization = seedvisor->virtualization,
        .policy = &seedvisor->policy,
        .clock = &seedvisor->clock,
        .entropy = guest->config->rng == CONFIG_RNG_NONE ? NULL : &seedvisor->entropy,
        .console = host_console_sink,
        .vcpus = (unsigned)guest->config->vcpus,
        .first_address_space = address_space,
    };

    log_line("guest \"%s\": %lu MiB of memory, %lu vCPU", guest->config->name,
             guest->config->memory >> 20, guest->config->vcpus);
    guest_memory_wipe(&guest->vm.memory);
    return machine_create(&guest->vm, &setup, &seedvisor->arena) &&
           machine_start(&guest->vm, &guest->image, &seedvisor->entropy, &seedvisor->arena);
}

static void print_entropy(struct entropy_core *entropy)
{
    struct entropy_counters counters = entropy_counters(entropy);

    log_line("entropy: %s tries %lu, failures %lu, longest failure run %lu, health test hits %lu",
             entropy->source.name, counters.tries, counters.failures, counters.longest_failure_run,
             counters.health_hits);
    log_line("entropy: bytes delivered %lu, pool low-water %lu", counters.bytes_delivered,
             counters.pool_low_water);
}

static enum run_result finish_guest(struct guest *guest)
{
    enum vm_state state = guest->vm.state;

    log_line("guest \"%s\" ended: %s", guest->config->name, guest->vm.end_reason);
    if (state == VM_CRASHED) {
        guest->vm.virtualization->dump(&guest->vm.vcpus[0]);
        trace_print(&guest->vm.vcpus[0].trace);
    }
    machine_print_statistics(&guest->vm);
    guest_memory_wipe(&guest->vm.memory);
    return state == VM_CRASHED ? RESULT_GUEST_FAILED : RESULT_GOOD;
}

/* On our own stack, with the firmware gone; the firmware's stack is not in our page tables. */
static void run(struct seedvisor *seedvisor)
{
    struct host *host = &seedvisor->host;
    struct guest *guest = &seedvisor->guests[0];
    struct vcpu *vcpu;

    address_space_load(&seedvisor->page_table);
    apic_mask_legacy();
    apic_enable();
    apic_calibrate(host->tsc_frequency);
    host->cpus[0].armed_deadline = UINT64_MAX;
    host_init(host);
    entropy_init(&seedvisor->entropy, &rdseed_source);
    if (!seedvisor->virtualization->enable(&seedvisor->arena) ||
        !start_guest(seedvisor, guest, 1)) {
        power_off(RESULT_NOT_RUN);
    }
    log_line("hypervisor memory: %lu KiB, image %lu KiB", seedvisor->arena.used >> 10,
             (uint64_t)(image_end - ImageBase) >> 10);
    arena_seal(&seedvisor->arena);
    host->console_vm = &guest->vm;
    vcpu = &guest->vm.vcpus[0];
    host->cpus[0].vcpu = vcpu;
    log_line("entering guest \"%s\" at tsc %lu", guest->config->name, read_tsc());
    vcpu_run(vcpu, seedvisor->config.host.panic_after_exits);
    host->console_vm = NULL;

    enum run_result result = finish_guest(guest);

    print_entropy(&seedvisor->entropy);
    seedvisor->virtualization->disable();
    log_line("all guests have ended: switching off");
    power_off(result);
}

/* Leaves the firmware's stack for the CPU's own and never comes back. */
static _Noreturn void run_on_own_stack(struct seedvisor *seedvisor)
{
    uint64_t stack = cpu_stack_top(&seedvisor->host.cpus[0], CPU_STACK_MAIN);

    __asm__ volatile("mov %0, %%rsp\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "call *%1"
                     :
                     : "r"(stack), "r"(run), "D"(seedvisor)
                     : "memory");
    __builtin_unreachable();
}

static _Noreturn void leave_firmware(struct seedvisor *seedvisor)
{
    log_line("leaving the firmware at tsc %lu", read_tsc());
    if (!firmware_exit_boot_services()) {
        panic("the firmware does not let go: ExitBootServices failed");
    }
    interrupts_off();
    console_leave_firmware();
    cpu_build_idt();
    cpu_load(&seedvisor->host.cpus[0]);
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
    console_init(firmware_print, !firmware_console_is_serial());
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
    firmware_wait_for_key();
    return EFI_UNSUPPORTED;
}
