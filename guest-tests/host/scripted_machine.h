/*
 * A guest's machine as the hypervisor builds it, on played hardware: registers are variables, and
 * what the hypervisor asks of the hardware is recorded. RAM holds page tables for 4-level paging.
 */
#ifndef GUEST_TESTS_HOST_SCRIPTED_MACHINE_H
#define GUEST_TESTS_HOST_SCRIPTED_MACHINE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/machine.h"
#include "guest-tests/host/scripted_host.h"
#include "guest-tests/host/scripted_source.h"
#include "vmm/virtualization.h"

#define MACHINE_VCPUS_MADE 2U
#define MACHINE_RAM        0x200000U
#define MACHINE_TABLES     0x10000U /* GPA of the top page table; the others follow */
#define MACHINE_CODE_GPA   0x40000U
#define MACHINE_CODE       0xffffffff81000000ULL /* where 64-bit code sees it */
#define MACHINE_FREQUENCY  1000000000U

/* The attributes of segments (SDM Vol. 3A, 3.4.5). */
#define SEGMENT_CODE_64 0xa09bU
#define SEGMENT_CODE_32 0xc09bU
#define SEGMENT_CODE_16 0x009bU
#define SEGMENT_DATA    0xc093U

/* A vCPU's hardware, and what was asked of it. */
struct backend_vcpu {
    uint64_t registers[REGISTER_EFER + 1];
    struct segment segments[SEGMENT_GS + 1];
    bool takes_interrupts;
    bool takes_nmis;
    bool delivers; /* what request_interrupt() answers */

    unsigned skips;
    unsigned skipped; /* bytes */
    unsigned exceptions;
    unsigned vector; /* of the last exception */
    bool has_error_code;
    uint32_t error_code;
    unsigned interrupts;
    unsigned interrupt; /* the last vector injected */
    unsigned nmis;
    unsigned cancelled_windows;
    unsigned requests;
    int requested;
    unsigned x2apic_changes;
    bool x2apic;
    int in_service;
    unsigned starts;
    struct vcpu_start start;
    unsigned start_ups;
    uint8_t start_up_vector;
};

struct scripted_mapping {
    uint64_t gpa;
    const void *hva;
    uint64_t size;
    unsigned rights;
};

struct scripted_machine {
    struct vm vm;
    struct backend_vcpu hardware[MACHINE_VCPUS_MADE];
    struct cpu_policy policy;
    struct wall_clock clock;
    struct entropy_core entropy;
    struct boot_image image;
    struct script script;
    struct arena arena;
    struct scripted_mapping mappings[4];
    unsigned mapping_count;
    unsigned tables; /* page tables in use */
    _Alignas(4096) uint8_t ram[MACHINE_RAM];
    _Alignas(4096) uint8_t arena_memory[0x40000];
    char console[256];
    bool console_full;
};

static struct scripted_machine machine;

static inline struct backend_vcpu *hardware_of(struct vcpu *vcpu)
{
    return &machine.hardware[vcpu->index];
}

static inline uint64_t scripted_get(struct vcpu *vcpu, enum vcpu_register name)
{
    return hardware_of(vcpu)->registers[name];
}

static inline void scripted_set(struct vcpu *vcpu, enum vcpu_register name, uint64_t value)
{
    hardware_of(vcpu)->registers[name] = value;
}

static inline void scripted_get_segment(struct vcpu *vcpu, enum segment_name name,
                                        struct segment *segment)
{
    *segment = hardware_of(vcpu)->segments[name];
}

static inline bool scripted_update_code(struct vcpu *vcpu, struct code_state *code)
{
    const struct backend_vcpu *hardware = hardware_of(vcpu);
    const struct code_state old = *code;

    *code = (struct code_state){
        .rip = hardware->registers[REGISTER_RIP],
        .cr0 = hardware->registers[REGISTER_CR0],
        .cr3 = hardware->registers[REGISTER_CR3],
        .cr4 = hardware->registers[REGISTER_CR4],
        .efer = hardware->registers[REGISTER_EFER],
        .cs_base = hardware->segments[SEGMENT_CS].base,
        .cs_attributes = hardware->segments[SEGMENT_CS].attributes,
    };
    return memcmp(&old, code, sizeof(old)) != 0;
}

static inline void scripted_skip(struct vcpu *vcpu, uint64_t rip)
{
    hardware_of(vcpu)->skips++;
    hardware_of(vcpu)->skipped += (unsigned)(rip - hardware_of(vcpu)->registers[REGISTER_RIP]);
    hardware_of(vcpu)->registers[REGISTER_RIP] = rip;
}

static inline void scripted_inject_exception(struct vcpu *vcpu, unsigned vector,
                                             bool has_error_code, uint32_t error_code)
{
    struct backend_vcpu *hardware = hardware_of(vcpu);

    hardware->exceptions++;
    hardware->vector = vector;
    hardware->has_error_code = has_error_code;
    hardware->error_code = error_code;
}

static inline bool scripted_inject_interrupt(struct vcpu *vcpu, unsigned vector)
{
    struct backend_vcpu *hardware = hardware_of(vcpu);

    if (hardware->takes_interrupts) {
        hardware->interrupts++;
        hardware->interrupt = vector;
    }
    return hardware->takes_interrupts;
}

static inline bool scripted_inject_nmi(struct vcpu *vcpu)
{
    hardware_of(vcpu)->nmis += hardware_of(vcpu)->takes_nmis;
    return hardware_of(vcpu)->takes_nmis;
}

static inline void scripted_cancel_interrupt_window(struct vcpu *vcpu)
{
    hardware_of(vcpu)->cancelled_windows++;
}

static inline void scripted_set_x2apic_mode(struct vcpu *vcpu, bool x2apic, int in_service)
{
    hardware_of(vcpu)->x2apic_changes++;
    hardware_of(vcpu)->x2apic = x2apic;
    hardware_of(vcpu)->in_service = in_service;
}

static inline bool scripted_request_interrupt(struct vcpu *vcpu, int vector)
{
    hardware_of(vcpu)->requests++;
    hardware_of(vcpu)->requested = vector;
    return hardware_of(vcpu)->delivers;
}

static inline bool scripted_vm_create(struct vm *vm, struct arena *arena)
{
    (void)vm;
    return arena_allocate(arena, 4096, 4096) != NULL;
}

static inline bool scripted_map(struct vm *vm, uint64_t gpa, const void *hva, uint64_t size,
                                unsigned rights, struct arena *arena)
{
    (void)vm;
    if (arena_allocate(arena, 4096, 4096) == NULL) {
        return false;
    }
    machine.mappings[machine.mapping_count++ % 4] =
        (struct scripted_mapping){gpa, hva, size, rights};
    return true;
}

static inline void scripted_vcpu_start(struct vcpu *vcpu, const struct vcpu_start *start)
{
    hardware_of(vcpu)->starts++;
    hardware_of(vcpu)->start = *start;
}

static inline void scripted_vcpu_start_up(struct vcpu *vcpu, uint8_t vector)
{
    hardware_of(vcpu)->start_ups++;
    hardware_of(vcpu)->start_up_vector = vector;
}

static const struct virtualization scripted_virtualization = {
    .name = "played",
    .vm_create = scripted_vm_create,
    .map = scripted_map,
    .vcpu_start = scripted_vcpu_start,
    .vcpu_start_up = scripted_vcpu_start_up,
    .get = scripted_get,
    .set = scripted_set,
    .get_segment = scripted_get_segment,
    .update_code = scripted_update_code,
    .skip = scripted_skip,
    .inject_exception = scripted_inject_exception,
    .inject_interrupt = scripted_inject_interrupt,
    .inject_nmi = scripted_inject_nmi,
    .cancel_interrupt_window = scripted_cancel_interrupt_window,
    .set_x2apic_mode = scripted_set_x2apic_mode,
    .request_interrupt = scripted_request_interrupt,
};

/* A CPU that has everything there is a row for. */
static inline struct cpuid_registers scripted_cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_registers all = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};

    (void)subleaf;
    return leaf == 1 ? (struct cpuid_registers){0x306d4, UINT32_MAX, UINT32_MAX, UINT32_MAX} : all;
}

static inline bool scripted_console_ready(void *context)
{
    (void)context;
    return !machine.console_full;
}

static inline void scripted_console_transmit(void *context, uint8_t byte)
{
    size_t used = strlen(machine.console);

    (void)context;
    if (used < sizeof(machine.console) - 1) {
        machine.console[used] = (char)byte;
    }
}

static inline uint64_t *scripted_entry(uint64_t table, unsigned index)
{
    return (uint64_t *)(void *)(machine.ram + table + 8ULL * index);
}

/* Maps one 4 KiB page of the guest's linear addresses to `gpa`, which need not be RAM. */
static inline void scripted_map_page(uint64_t linear, uint64_t gpa)
{
    uint64_t table = MACHINE_TABLES;

    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t *entry = scripted_entry(table, linear >> shift & 511);

        if (*entry == 0) {
            machine.tables++;
            *entry = (MACHINE_TABLES + machine.tables * 0x1000ULL) | 7;
        }
        table = *entry & ~0xfffULL;
    }
    *scripted_entry(table, linear >> 12 & 511) = gpa | 7;
}

/* vCPU 0 in 64-bit mode at MACHINE_CODE, privileged; its code page is mapped. */
static inline void scripted_enter_long_mode(void)
{
    struct backend_vcpu *hardware = &machine.hardware[0];

    hardware->registers[REGISTER_RIP] = MACHINE_CODE;
    hardware->registers[REGISTER_RFLAGS] = RFLAGS_FIXED;
    hardware->registers[REGISTER_CR0] = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    hardware->registers[REGISTER_CR3] = MACHINE_TABLES;
    hardware->registers[REGISTER_CR4] = CR4_PAE;
    hardware->registers[REGISTER_EFER] = EFER_LME | EFER_LMA;
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++) {
        hardware->segments[i] = (struct segment){0, UINT32_MAX, 0x18, SEGMENT_DATA};
    }
    hardware->segments[SEGMENT_CS] = (struct segment){0, UINT32_MAX, 0x10, SEGMENT_CODE_64};
    scripted_map_page(MACHINE_CODE, MACHINE_CODE_GPA);
}

/* Puts an instruction where vCPU 0 is. */
static inline void scripted_code(const void *bytes, size_t length)
{
    memset(machine.ram + MACHINE_CODE_GPA, 0xcc, 4096);
    memcpy(machine.ram + MACHINE_CODE_GPA, bytes, length);
    machine.hardware[0].registers[REGISTER_RIP] = MACHINE_CODE;
}

static inline struct machine_setup scripted_setup(unsigned vcpus)
{
    return (struct machine_setup){
        .name = "tested",
        .virtualization = &scripted_virtualization,
        .policy = &machine.policy,
        .clock = &machine.clock,
        .image = &machine.image,
        .seed = &machine.entropy,
        .entropy = &machine.entropy,
        .console = {.ready = scripted_console_ready, .transmit = scripted_console_transmit},
        .vcpus = vcpus,
        .first_address_space = 7,
    };
}

/* Forgets everything; what machine_create() wants to be there before it is there afterwards. */
static inline void scripted_machine_reset(void)
{
    const struct entropy_source source = script_source(&machine.script);

    memset(&machine, 0, sizeof(machine));
    scripted_host_reset();
    machine.clock = (struct wall_clock){.unix_seconds = 1795219200, .frequency = MACHINE_FREQUENCY};
    machine.policy = (struct cpu_policy){
        .host = scripted_cpuid, .instructions = UINT32_MAX, .tsc_frequency = MACHINE_FREQUENCY};
    cpu_policy_init(&machine.policy);
    entropy_init(&machine.entropy, &source);
    arena_init(&machine.arena, machine.arena_memory, sizeof(machine.arena_memory));
    (void)guest_memory_add(&machine.vm.memory, 0, MACHINE_RAM, machine.ram);
}

/* A machine with MACHINE_VCPUS_MADE vCPUs on CPUs of the same numbers; vCPU 0 is in long mode. */
static inline bool scripted_machine_create(void)
{
    const struct machine_setup setup = scripted_setup(MACHINE_VCPUS_MADE);

    scripted_machine_reset();
    if (!machine_create(&machine.vm, &setup, &machine.arena)) {
        return false;
    }
    for (unsigned i = 0; i < MACHINE_VCPUS_MADE; i++) {
        machine.vm.vcpus[i].cpu = i;
    }
    machine.vm.state = VM_RUNNING;
    scripted_enter_long_mode();
    return true;
}

#endif
