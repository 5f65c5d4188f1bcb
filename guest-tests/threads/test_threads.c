/*
 * The neutral core and the guest's machine, run by threads that play CPUs, under ThreadSanitizer:
 * several guests with several vCPUs on fewer CPUs send each other interrupts, use their devices,
 * halt, reset and crash, while somebody pauses, restarts and stops them. A data race ends it.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "arch/x86/guest/layout.h"
#include "arch/x86/guest/machine.h"
#include "vmm/arch.h"
#include "vmm/cpu_loop.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/panic.h"

#define CPUS      3U
#define VMS       3U
#define VCPUS_MAX 4U
#define RAM       (4U << 20)
#define FREQUENCY 1000000000U /* ticks are nanoseconds */
#define SLICE     50000U      /* ns */
#define IDLE      200000U     /* ns: the longest sleep */
#define SECONDS   120U        /* at most: it ends when enough has happened */
#define EXITS     20000U
#define STARTS    20U

#define CODE      0x100000U /* where a flat kernel is loaded */
#define RING      0x200000U
#define QUEUE     8U
#define X2APIC_ID 0x802U

/* A vCPU's hardware: what of it matters here. Belongs to the thread of its home CPU. */
struct backend_vcpu {
    uint64_t registers[REGISTER_EFER + 1];
    uint64_t random;
    unsigned step;       /* of the driver's start-up, then counts on */
    unsigned in_service; /* interrupts to be ended */
    uint16_t avail;      /* the driver's index */
    bool loaded;
};

struct machine_under_test {
    struct vm vm;
    struct boot_image image;
    struct guest_memory memory;
    uint8_t *ram;
};

static struct machine_under_test machines[VMS];
static struct backend_vcpu hardware[VMS][VCPUS_MAX];
static const unsigned vcpu_counts[VMS] = {1, 2, 4};
static struct vm *vms[VMS];
static struct schedule schedules[CPUS];
static struct run run;
static unsigned exits;       /* of all vCPUs; atomic */
static unsigned starts[VMS]; /* of each guest's first vCPU; atomic */
static struct entropy_core entropy;
static struct cpu_policy policy;
static struct wall_clock wall_clock;
static _Alignas(4096) uint8_t arena_memory[0x100000];

/* The CPUs. */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t kick;
    bool kicked;                /* by another CPU: an interrupt */
    bool called;                /* atomic, as the next */
    const struct vcpu *current; /* in the CPU */
} cpus[CPUS];

static _Thread_local unsigned this_cpu;
static _Thread_local bool kicked_itself;
static _Thread_local uint64_t timer;

void host_pause(void)
{
    sched_yield();
}

uint64_t host_ticks(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * FREQUENCY + (uint64_t)now.tv_nsec;
}

void host_timer_arm(uint64_t deadline)
{
    timer = deadline;
}

static bool interrupted(void)
{
    return __atomic_load_n(&cpus[this_cpu].kicked, __ATOMIC_ACQUIRE) || host_ticks() >= timer;
}

void host_take_interrupts(void)
{
    __atomic_store_n(&cpus[this_cpu].kicked, false, __ATOMIC_RELEASE);
}

void host_idle(void)
{
    struct timespec until;

    (void)entropy_refill(&entropy, 8);
    pthread_mutex_lock(&cpus[this_cpu].lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += IDLE;
    until.tv_sec += until.tv_nsec / (long)FREQUENCY;
    until.tv_nsec %= (long)FREQUENCY;
    if (!interrupted()) {
        pthread_cond_timedwait(&cpus[this_cpu].kick, &cpus[this_cpu].lock, &until);
    }
    host_take_interrupts();
    pthread_mutex_unlock(&cpus[this_cpu].lock);
}

static void interrupt(unsigned cpu)
{
    pthread_mutex_lock(&cpus[cpu].lock);
    __atomic_store_n(&cpus[cpu].kicked, true, __ATOMIC_RELEASE);
    pthread_cond_signal(&cpus[cpu].kick);
    pthread_mutex_unlock(&cpus[cpu].lock);
}

/* The monitor's thread is no CPU, and kicks all of them alike. */
void host_kick(unsigned cpu)
{
    if (cpu == this_cpu) {
        kicked_itself = true;
    } else if (!__atomic_exchange_n(&cpus[cpu].called, true, __ATOMIC_SEQ_CST)) {
        interrupt(cpu);
    }
}

void host_kick_vcpu(const struct vcpu *vcpu)
{
    if (__atomic_load_n(&cpus[vcpu->cpu].current, __ATOMIC_RELAXED) != vcpu) {
        host_kick(vcpu->cpu);
    } else if (vcpu->cpu != this_cpu) {
        interrupt(vcpu->cpu);
    }
}

bool host_called(void)
{
    return __atomic_load_n(&cpus[this_cpu].called, __ATOMIC_RELAXED);
}

void host_look_around(void)
{
    (void)__atomic_exchange_n(&cpus[this_cpu].called, false, __ATOMIC_SEQ_CST);
}

bool host_kicked(void)
{
    bool kicked = kicked_itself;

    kicked_itself = false;
    return kicked;
}

void host_switch(struct vcpu *from, struct vcpu *to)
{
    (void)from;
    __atomic_store_n(&cpus[this_cpu].current, to, __ATOMIC_RELAXED);
}

void host_reset_vcpu(struct vcpu *vcpu)
{
    (void)vcpu;
}

void host_set_xcr0(uint64_t value)
{
    (void)value;
}

void host_debug_write(const char *text)
{
    (void)text;
}

bool host_log_behind(void)
{
    return false;
}

void host_work(void)
{
    (void)entropy_refill(&entropy, 4);
}

/* The lines of a report come one after the other; no other thread's report is in between. */
void log_line(const char *text, ...)
{
    static pthread_t reporter;

    if (strstr(text, "statistics:") != NULL || strstr(text, "crashed:") != NULL) {
        reporter = pthread_self();
    } else if (strncmp(text, "  ", 2) == 0 && !pthread_equal(reporter, pthread_self())) {
        fprintf(stderr, "in between another guest's report: %s\n", text);
        abort();
    }
}

_Noreturn void panic(const char *reason, ...)
{
    fprintf(stderr, "panic: %s\n", reason);
    abort();
}

/* The guests: a little program for each vCPU, mostly made of chance. */

static struct backend_vcpu *hardware_of(const struct vcpu *vcpu)
{
    for (unsigned i = 0; i < VMS; i++) {
        if (vcpu->vm == vms[i]) {
            return &hardware[i][vcpu->index];
        }
    }
    abort();
}

static uint64_t chance(struct backend_vcpu *backend, uint64_t of)
{
    backend->random ^= backend->random << 13;
    backend->random ^= backend->random >> 7;
    backend->random ^= backend->random << 17;
    return backend->random % of;
}

static struct vm_exit msr_write(uint32_t index, uint64_t value)
{
    return (struct vm_exit){
        .kind = EXIT_MSR_WRITE, .instruction_length = 2, .msr = {.index = index, .value = value}};
}

/* The kernel's one instruction is MOV [EAX], ECX. */
static struct vm_exit device_write(struct vcpu *vcpu, uint64_t offset, uint32_t value)
{
    vcpu->general[GENERAL_RCX] = value;
    return (struct vm_exit){.kind = EXIT_MEMORY,
                            .memory = {.gpa = LAYOUT_VIRTIO_BASE + offset, .write = true}};
}

static struct vm_exit port(struct vcpu *vcpu, uint16_t number, bool write, uint8_t value)
{
    vcpu->general[GENERAL_RAX] = value;
    return (struct vm_exit){.kind = EXIT_PORT,
                            .instruction_length = 1,
                            .port = {.port = number, .size = 1, .write = write}};
}

static void store16(struct vcpu *vcpu, uint64_t gpa, uint16_t value)
{
    assert_true(guest_memory_write(&vcpu->vm->memory, gpa, (const uint8_t *)&value, sizeof(value)));
}

/* Offers the next buffer: descriptor and index; the kick follows. */
static struct vm_exit request(struct vcpu *vcpu)
{
    struct backend_vcpu *backend = hardware_of(vcpu);
    const struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags;
        uint16_t next;
    } descriptor = {RING + 0x1000, 64, 2, 0};
    uint16_t slot = backend->avail % QUEUE;

    assert_true(guest_memory_write(&vcpu->vm->memory, RING + 16U * slot,
                                   (const uint8_t *)&descriptor, sizeof(descriptor)));
    store16(vcpu, RING + 0x400 + 4 + 2U * slot, slot);
    store16(vcpu, RING + 0x400 + 2, ++backend->avail);
    return device_write(vcpu, 0x50, 0);
}

/* The first vCPU's way to a running entropy device, one exit after another. */
static bool driver_starts(struct vcpu *vcpu, struct vm_exit *exit)
{
    static const struct {
        uint16_t offset;
        uint32_t value;
    } writes[] = {
        {0x70, 0},
        {0x70, 1},
        {0x70, 3},
        {0x24, 1},
        {0x20, 1},
        {0x70, 11},
        {0x30, 0},
        {0x38, QUEUE},
        {0x80, RING},
        {0x84, 0},
        {0x90, RING + 0x400},
        {0x94, 0},
        {0xa0, RING + 0x800},
        {0xa4, 0},
        {0x44, 1},
        {0x70, 15},
    };
    struct backend_vcpu *backend = hardware_of(vcpu);
    unsigned step = backend->step++;

    if (step == 0) {
        *exit = msr_write(MSR_APIC_BASE, 0xfee00c00 | (vcpu->index == 0 ? 0x100 : 0));
        return true;
    }
    if (step == 1) {
        *exit = msr_write(0x80f, 0x1ff);
        return true;
    }
    if (vcpu->index == 0 && step - 2 < sizeof(writes) / sizeof(writes[0])) {
        *exit = device_write(vcpu, writes[step - 2].offset, writes[step - 2].value);
        return true;
    }
    return false;
}

static struct vm_exit interrupt_command(struct vcpu *vcpu)
{
    struct backend_vcpu *backend = hardware_of(vcpu);
    uint64_t target = chance(backend, vcpu->vm->vcpu_count);
    static const uint32_t commands[] = {
        0x00040, 0x00041, 0xc0042, 0x80043, 0x40044, /* to one, all but it, all, itself */
        0x00400,                                     /* NMI */
        0x04500, 0x04608, 0x04608,                   /* INIT and start-up */
    };
    uint32_t command = commands[chance(backend, sizeof(commands) / sizeof(commands[0]))];

    /* An INIT of the first vCPU would be a reset: that has a case of its own. */
    return msr_write(
        0x830, (command >= 0x4000 && command < 0x8000 ? target == 0 ? 1 : target : target) << 32 |
                   command);
}

static struct vm_exit some_exit(struct vcpu *vcpu)
{
    struct backend_vcpu *backend = hardware_of(vcpu);

    switch (chance(backend, 16)) {
    case 0:
    case 1:
        return interrupt_command(vcpu);
    case 2:
        return port(vcpu, LAYOUT_UART_PORT, true, 'x');
    case 3:
        return port(vcpu, LAYOUT_UART_PORT + 5, false, 0);
    case 4:
        return port(vcpu, LAYOUT_RTC_PORT, true, (uint8_t)chance(backend, 0x10));
    case 5:
        return port(vcpu, LAYOUT_RTC_PORT + 1, false, 0);
    case 6:
    case 7:
        return vcpu->index == 0 ? request(vcpu) : device_write(vcpu, 0x64, 3);
    case 8:
        return msr_write(MSR_TSC_DEADLINE, host_ticks() + chance(backend, 100000));
    case 9:
        backend->registers[REGISTER_RFLAGS] |= RFLAGS_IF;
        return (struct vm_exit){.kind = EXIT_HALT, .instruction_length = 1};
    case 10:
        return (struct vm_exit){.kind = EXIT_CPUID, .instruction_length = 2};
    case 11:
        if (chance(backend, 20) == 0) {
            return (struct vm_exit){.kind = EXIT_SHUTDOWN};
        }
        return port(vcpu, 0x80, true, 0);
    case 12:
        if (chance(backend, 20) == 0) {
            return port(vcpu, LAYOUT_RESET_PORT, true, LAYOUT_RESET_VALUE);
        }
        return port(vcpu, 0x80, false, 0);
    default:
        return msr_write(0x80b, 0); /* EOI */
    }
}

static void run_guest(struct vcpu *vcpu, struct vm_exit *exit)
{
    struct backend_vcpu *backend = hardware_of(vcpu);

    assert_true(backend->loaded);
    assert_int_equal(vcpu->cpu, this_cpu);
    __atomic_add_fetch(&exits, 1, __ATOMIC_RELAXED);
    if (interrupted()) {
        *exit = (struct vm_exit){.kind = EXIT_HOST_INTERRUPT};
    } else if (backend->in_service > 0) {
        backend->in_service--;
        *exit = msr_write(0x80b, 0);
    } else if (!driver_starts(vcpu, exit)) {
        *exit = some_exit(vcpu);
    }
    backend->registers[REGISTER_RIP] = CODE;
    exit->rip = CODE;
}

static void start_hardware(struct vcpu *vcpu)
{
    struct backend_vcpu *backend = hardware_of(vcpu);

    backend->step = 0;
    backend->avail = 0;
    backend->in_service = 0;
    backend->registers[REGISTER_RIP] = CODE;
    backend->registers[REGISTER_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
    backend->registers[REGISTER_CR0] = CR0_PE;
}

static void vcpu_start(struct vcpu *vcpu, const struct vcpu_start *start)
{
    (void)start;
    for (unsigned i = 0; i < VMS; i++) {
        __atomic_add_fetch(&starts[i], vcpu->vm == vms[i], __ATOMIC_RELAXED);
    }
    start_hardware(vcpu);
}

static void vcpu_start_up(struct vcpu *vcpu, uint8_t vector)
{
    (void)vector;
    start_hardware(vcpu);
}

static void load(struct vcpu *vcpu)
{
    assert_false(hardware_of(vcpu)->loaded);
    hardware_of(vcpu)->loaded = true;
}

static void unload(struct vcpu *vcpu)
{
    assert_true(hardware_of(vcpu)->loaded);
    hardware_of(vcpu)->loaded = false;
}

static uint64_t get(struct vcpu *vcpu, enum vcpu_register name)
{
    return hardware_of(vcpu)->registers[name];
}

static void set(struct vcpu *vcpu, enum vcpu_register name, uint64_t value)
{
    hardware_of(vcpu)->registers[name] = value;
}

static void get_segment(struct vcpu *vcpu, enum segment_name name, struct segment *segment)
{
    (void)vcpu;
    (void)name;
    *segment = (struct segment){0, UINT32_MAX, 0x10, 0xc09b}; /* flat, 32-bit */
}

static bool update_code(struct vcpu *vcpu, struct code_state *code)
{
    const struct code_state old = *code;

    *code = (struct code_state){
        .rip = get(vcpu, REGISTER_RIP),
        .cr0 = get(vcpu, REGISTER_CR0),
        .cr3 = get(vcpu, REGISTER_CR3),
        .cr4 = get(vcpu, REGISTER_CR4),
        .efer = get(vcpu, REGISTER_EFER),
        .cs_attributes = 0xc09b, /* as get_segment() says */
    };
    return memcmp(&old, code, sizeof(old)) != 0;
}

static void skip_instruction(struct vcpu *vcpu, uint64_t rip)
{
    hardware_of(vcpu)->registers[REGISTER_RIP] = rip;
}

static void inject_exception(struct vcpu *vcpu, unsigned vector, bool has_error_code,
                             uint32_t error_code)
{
    (void)vcpu;
    (void)vector;
    (void)has_error_code;
    (void)error_code;
}

static bool inject_interrupt(struct vcpu *vcpu, unsigned vector)
{
    (void)vector;
    hardware_of(vcpu)->in_service++;
    return true;
}

static bool inject_nmi(struct vcpu *vcpu)
{
    (void)vcpu;
    return true;
}

static void cancel_interrupt_window(struct vcpu *vcpu)
{
    (void)vcpu;
}

static void set_x2apic_mode(struct vcpu *vcpu, bool x2apic, int in_service)
{
    (void)vcpu;
    (void)x2apic;
    (void)in_service;
}

static bool request_interrupt(struct vcpu *vcpu, int vector)
{
    (void)vcpu;
    (void)vector;
    return false;
}

static bool vm_create(struct vm *vm, struct arena *arena)
{
    (void)vm;
    (void)arena;
    return true;
}

static bool map(struct vm *vm, uint64_t gpa, const void *hva, uint64_t size, unsigned rights,
                struct arena *arena)
{
    (void)vm;
    (void)gpa;
    (void)hva;
    (void)size;
    (void)rights;
    (void)arena;
    return true;
}

static void dump(struct vcpu *vcpu)
{
    assert_true(hardware_of(vcpu)->loaded);
}

static const struct virtualization played = {
    .name = "played",
    .vm_create = vm_create,
    .map = map,
    .load = load,
    .unload = unload,
    .vcpu_start = vcpu_start,
    .vcpu_start_up = vcpu_start_up,
    .run = run_guest,
    .get = get,
    .set = set,
    .get_segment = get_segment,
    .update_code = update_code,
    .skip = skip_instruction,
    .inject_exception = inject_exception,
    .inject_interrupt = inject_interrupt,
    .inject_nmi = inject_nmi,
    .cancel_interrupt_window = cancel_interrupt_window,
    .set_x2apic_mode = set_x2apic_mode,
    .request_interrupt = request_interrupt,
    .dump = dump,
};

/* The machine. */

static struct cpuid_registers no_cpuid(uint32_t leaf, uint32_t subleaf)
{
    (void)leaf;
    (void)subleaf;
    return (struct cpuid_registers){0};
}

static bool read_source(void *context, uint64_t *word)
{
    static _Thread_local uint64_t state;

    (void)context;
    state = state == 0 ? host_ticks() | 1 : state;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    *word = state * 0x9e3779b97f4a7c15ULL;
    return true;
}

static bool console_ready(void *context)
{
    (void)context;
    return host_ticks() % 3 != 0; /* so that bytes wait, and are polled for */
}

static void console_transmit(void *context, uint8_t byte)
{
    (void)context;
    (void)byte;
}

static void make_machines(void)
{
    static struct spin_lock reports;
    static const uint8_t kernel[] = {0x89, 0x08};
    static const char *const names[VMS] = {"a", "b", "c"};
    const struct vm_policy lives = {
        .follow_up = {VM_FOLLOW_RESTART, VM_FOLLOW_RESTART, VM_FOLLOW_RESTART},
        .restart_limit = 1000000,
        .start = true,
    };
    struct arena arena;

    arena_init(&arena, arena_memory, sizeof(arena_memory));
    for (unsigned i = 0; i < VMS; i++) {
        struct machine_under_test *machine = &machines[i];
        const struct machine_setup setup = {
            .name = names[i],
            .virtualization = &played,
            .policy = &policy,
            .clock = &wall_clock,
            .image = &machine->image,
            .seed = &entropy,
            .entropy = &entropy,
            .map_registers = i != 0,
            .console = {.ready = console_ready, .transmit = console_transmit},
            .vcpus = vcpu_counts[i],
            .first_address_space = 1,
        };

        vms[i] = &machine->vm;
        machine->image = (struct boot_image){
            .kind = BOOT_FLAT, .kernel = {"kernel", kernel, sizeof(kernel)}, .cmdline = ""};
        machine->ram = aligned_alloc(4096, RAM);
        assert_non_null(machine->ram);
        memset(machine->ram, 0, RAM);
        assert_true(guest_memory_add(&machine->vm.memory, 0, RAM, machine->ram));
        vms[i]->reports = &reports;
        assert_true(machine_create(vms[i], &setup, &arena));
        assert_true(arch_vm_load(vms[i]));
        for (unsigned j = 0; j < vcpu_counts[i]; j++) {
            hardware[i][j].random = 0x123456789abcdefULL + (uint64_t)i * VCPUS_MAX + j;
            vms[i]->vcpus[j].cpu = (i + j) % CPUS;
            schedule_add(&schedules[(i + j) % CPUS], &vms[i]->vcpus[j]);
        }
        lifecycle_init(vms[i], &lives, host_ticks());
    }
}

static void *run_cpu(void *argument)
{
    this_cpu = (unsigned)(uintptr_t)argument;
    timer = UINT64_MAX;
    cpu_loop(&schedules[this_cpu], &run, this_cpu);
    return NULL;
}

static bool enough(void)
{
    bool all = __atomic_load_n(&exits, __ATOMIC_RELAXED) >= EXITS;

    for (unsigned i = 0; i < VMS; i++) {
        all = all && __atomic_load_n(&starts[i], __ATOMIC_RELAXED) >= STARTS;
    }
    return all;
}

/* Somebody at the console, who does not tire. */
static unsigned ask_for_things(void)
{
    static const enum vm_request requests[] = {
        VM_REQUEST_PAUSE, VM_REQUEST_RESUME, VM_REQUEST_RESTART, VM_REQUEST_RESUME,
        VM_REQUEST_STOP,  VM_REQUEST_START,  VM_REQUEST_START,   VM_REQUEST_RESUME,
    };
    const struct timespec pause = {.tv_nsec = 5000000};
    uint64_t end = host_ticks() + (uint64_t)SECONDS * FREQUENCY;
    unsigned asked = 0;

    while (host_ticks() < end && !enough()) {
        vm_request(vms[asked % VMS], requests[asked / VMS % 8]);
        asked++;
        nanosleep(&pause, NULL);
    }
    return asked;
}

static void test_no_data_race(void **state)
{
    (void)state;
    const struct entropy_source source = {.name = "test", .read = read_source};
    pthread_t threads[CPUS];
    unsigned restarts = 0;

    this_cpu = CPUS; /* the main thread is none */
    policy = (struct cpu_policy){.host = no_cpuid, .tsc_frequency = FREQUENCY};
    cpu_policy_init(&policy);
    wall_clock = (struct wall_clock){.ticks = host_ticks(), .frequency = FREQUENCY};
    entropy_init(&entropy, &source);
    for (unsigned i = 0; i < CPUS; i++) {
        pthread_mutex_init(&cpus[i].lock, NULL);
        pthread_cond_init(&cpus[i].kick, NULL);
        schedule_init(&schedules[i], SLICE);
    }
    make_machines();
    run = (struct run){.vms = vms, .vm_count = VMS, .waits_when_idle = true};
    for (unsigned i = 0; i < CPUS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_cpu, (void *)(uintptr_t)i), 0);
    }
    unsigned asked = ask_for_things();

    run_end(&run);
    for (unsigned i = 0; i < CPUS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < VMS; i++) {
        printf("guest %s: %u lives, %u restarts\n", vms[i]->name, vms[i]->life,
               vms[i]->lifecycle.restarts);
        restarts += vms[i]->lifecycle.restarts;
        free(machines[i].ram);
    }
    printf("%u requests, %u exits, %lu bytes delivered\n", asked, exits,
           entropy_counters(&entropy).bytes_delivered);
    assert_true(enough());
    assert_in_range(restarts, 1, UINT32_MAX); /* by themselves, that is */
    assert_in_range(entropy_counters(&entropy).bytes_delivered, 1000, UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_data_race),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
