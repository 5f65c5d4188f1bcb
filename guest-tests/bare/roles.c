/*
 * What the command line can ask for instead of the cases: a good neighbour of other guests, or a
 * bad one, which goes on until it is stopped.
 */
#include "guest-tests/bare/bare.h"
#include "guest-tests/bare/driver.h"
#include "guest-tests/bare/machine.h"

#define QUEUE_SIZE     16
#define HELLO_BYTES    64
#define KEYBOARD_PORT  0x64
#define KEYBOARD_RESET 0xfe

#define APIC_LVT_TIMER     0x320
#define APIC_INITIAL_COUNT 0x380
#define APIC_DIVIDE        0x3e0
#define DIVIDE_BY_1        0xb
#define LVT_PERIODIC       (1U << 17)
#define TIMER_PERIOD       100

/* Deaf to interrupts: only the hypervisor can take the CPU away. */
static _Noreturn void spin(void)
{
    __asm__ volatile("cli");
    for (;;) {
    }
}

/* The same, by exits after which the hypervisor goes straight back (vmm/run.c). */
static _Noreturn void exit_on(void)
{
    __asm__ volatile("cli");
    for (;;) {
        (void)cpuid(0, 0);
        register_write(REG_INTERRUPT_ACK, 0);
    }
}

static _Noreturn void flood(void)
{
    for (uint64_t i = 0;; i++) {
        print("flood ");
        print_number(i);
        print("\n");
    }
}

/* Big requests, all that the ring holds at any time, and after each a kick that is of no use. */
static _Noreturn void kick_on(void)
{
    uint32_t id;
    uint32_t length;

    if (!start_split(0, QUEUE_SIZE)) {
        debug_exit(1);
    }
    for (uint16_t i = 0; i < QUEUE_SIZE; i++) {
        describe(&descriptors[i], gpa_of(buffers[i]), BUFFER_SIZE, D_WRITE, 0);
        make_available(i);
        kick();
    }
    while (await_used(&id, &length)) {
        make_available((uint16_t)id);
        kick();
        kick();
    }
    debug_exit(1);
}

static _Noreturn void reset(void)
{
    out8(KEYBOARD_PORT, KEYBOARD_RESET);
    debug_exit(1);
}

/* A timer that asks for far more interrupts than anybody can take. */
static void start_timer(void)
{
    mmio_write(LOCAL_APIC + APIC_DIVIDE, 4, DIVIDE_BY_1);
    mmio_write(LOCAL_APIC + APIC_LVT_TIMER, 4, LVT_PERIODIC | TIMER_VECTOR);
    mmio_write(LOCAL_APIC + APIC_INITIAL_COUNT, 4, TIMER_PERIOD);
}

static void sleep_with_timer(void)
{
    start_timer();
    for (;;) {
        __asm__ volatile("sti; hlt");
    }
}

/* Two CPUs sleep: one that each interrupt of its timer wakes, and one that none can wake. */
static _Noreturn void timers(void)
{
    if (!second_cpu_run(sleep_with_timer)) {
        debug_exit(1);
    }
    start_timer();
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

static _Noreturn void hello(void)
{
    if (!start_split(0, QUEUE_SIZE) || !split_request(HELLO_BYTES)) {
        debug_exit(1);
    }
    print("bare: hello");
    for (unsigned i = 0; i < HELLO_BYTES; i++) {
        print(" ");
        print_hex(buffers[0][i]);
    }
    print("\n");
    debug_exit(0);
}

static const struct {
    const char *word;
    void (*play)(void);
} roles[] = {
    {"role=spin", spin},   {"role=exit", exit_on}, {"role=flood", flood},  {"role=kick", kick_on},
    {"role=reset", reset}, {"role=hello", hello},  {"role=timer", timers},
};

void play_role(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        if (ends_with(command_line(), roles[i].word)) {
            roles[i].play();
        }
    }
}
