/* The machine under the run loop: time, the timer, sleep, and small work between exits. */
#include "arch/x86/host/host.h"

#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/exception.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/guest/machine.h"
#include "arch/x86/host/console.h"
#include "arch/x86/host/emulator.h"
#include "arch/x86/host/power.h"
#include "devices/rng/egd.h"
#include "vmm/host.h"
#include "vmm/monitor.h"

/* The serial port's FIFO of 16 bytes lasts 1.4 ms: looking at it once a millisecond keeps it busy.
 */
#define WORK_PER_SECOND 1000U
/* The part of a CPU's time that the port may take: writing to a virtual one is slow. */
#define CONSOLE_SHARE 8U
/* Output that was begun is followed up for so long. */
#define OUTPUT_PER_SECOND 200U
/* A sleeping CPU wakes so often to look for typed characters. */
#define INPUT_PER_SECOND 100U
#define INPUT_PER_WORK   16U /* characters, the port's FIFO */
/* And so often to fetch what an outside source answered. */
#define LINE_PER_SECOND 500U
#define REFILL_WORDS    16U /* a step that leaves the next exit's latency alone */
#define IDLE_WORDS      64U

static struct host *host;

void host_init(struct host *the_host)
{
    host = the_host;
}

void host_pause(void)
{
    pause();
}

uint64_t host_ticks(void)
{
    return read_tsc();
}

void host_timer_arm(uint64_t deadline)
{
    struct cpu *cpu = current_cpu();

    if (deadline == cpu->armed_deadline) {
        return;
    }
    cpu->armed_deadline = deadline;
    if (deadline == UINT64_MAX) {
        apic_timer_disarm();
    } else {
        apic_timer_arm(deadline);
    }
}

void host_take_interrupts(void)
{
    interrupts_on_briefly();
}

/* A step for each pool; returns the words that were of use. */
static unsigned refill(unsigned words)
{
    unsigned total = 0;

    for (unsigned i = 0; i < host->entropy_count; i++) {
        total += entropy_refill(host->entropy[i], words);
    }
    return total;
}

/* Whether a line has work: a tap, or a source at its end whose answers must be fetched. */
static bool waits_for_line(void)
{
    if (host->tap != NULL) {
        return true;
    }
    for (unsigned i = 0; i < host->entropy_count; i++) {
        struct entropy_core *core = host->entropy[i];

        if (core->source.slow &&
            (entropy_testing(core) || entropy_level(core) <= ENTROPY_POOL_SIZE - EGD_REQUEST)) {
            return true;
        }
    }
    return false;
}

void host_idle(void)
{
    struct cpu *cpu = current_cpu();
    uint64_t now = read_tsc();
    unsigned per_second = waits_for_line() ? LINE_PER_SECOND : INPUT_PER_SECOND;

    if (refill(IDLE_WORDS) > 0) {
        return; /* time well used: the caller looks again before it sleeps */
    }
    if (cpu->index == 0 && now < host->console_busy_until) {
        per_second = WORK_PER_SECOND;
    }
    if (cpu->armed_deadline > now + host->tsc_frequency / per_second) {
        host_timer_arm(now + host->tsc_frequency / per_second);
    }
    interrupts_on_and_halt();
    interrupts_off();
}

/*
 * A CPU that is called stays so until it looks around: then it sees what was written before it was
 * found called, as both are atomic exchanges.
 */
void host_kick(unsigned cpu)
{
    struct cpu *kicked = &host->cpus[cpu];

    if (kicked == current_cpu()) {
        kicked->kicked = true;
    } else if (!__atomic_exchange_n(&kicked->called, true, __ATOMIC_SEQ_CST)) {
        apic_send(kicked->apic_id, VECTOR_HOST_KICK);
    }
}

void host_kick_vcpu(const struct vcpu *vcpu)
{
    const struct cpu *home = &host->cpus[vcpu->cpu];

    if (__atomic_load_n(&home->vcpu, __ATOMIC_RELAXED) != vcpu) {
        host_kick(vcpu->cpu);
    } else if (home != current_cpu()) {
        apic_send(home->apic_id, VECTOR_HOST_KICK);
    }
}

bool host_called(void)
{
    return __atomic_load_n(&current_cpu()->called, __ATOMIC_RELAXED);
}

void host_look_around(void)
{
    (void)__atomic_exchange_n(&current_cpu()->called, false, __ATOMIC_SEQ_CST);
}

bool host_kicked(void)
{
    bool kicked = current_cpu()->kicked;

    current_cpu()->kicked = false;
    return kicked;
}

void host_switch(struct vcpu *from, struct vcpu *to)
{
    if (from != NULL) {
        resident_save(&from->host->resident, &host->resident);
    }
    if (to != NULL) {
        if (from == NULL || from->vm != to->vm) {
            resident_barrier(&host->resident);
        }
        resident_load(&to->host->resident, &host->resident);
    }
    __atomic_store_n(&current_cpu()->vcpu, to, __ATOMIC_RELAXED);
}

void host_reset_vcpu(struct vcpu *vcpu)
{
    resident_reset(&vcpu->host->resident);
    resident_load(&vcpu->host->resident, &host->resident);
}

void host_debug_write(const char *text)
{
    emulator_write(text);
}

void host_set_xcr0(uint64_t value)
{
    write_xcr0(value);
}

/* Has the console looked at often until TSC `until`, even by a CPU that has nothing else to do. */
static void stay_busy(uint64_t until)
{
    if (until > host->console_busy_until) {
        host->console_busy_until = until;
    }
}

/* Gives a guest what was typed for it, as much as its FIFO takes. */
static void hand_over(struct vm *vm, struct console_channel *channel)
{
    uint8_t byte;

    if (!console_channel_typed(channel, &byte)) {
        return;
    }
    machine_lock(vm);
    while (console_channel_typed(channel, &byte) &&
           (!vm_running(vm) || uart_receive(&vm->arch->uart, byte))) {
        console_channel_drop_typed(channel);
    }
    (void)machine_unlock(vm);
}

static void serve_console(uint64_t now)
{
    struct monitor *monitor = host->monitor;
    uint8_t byte;

    if (console_work(host->tsc_frequency / WORK_PER_SECOND / CONSOLE_SHARE)) {
        stay_busy(now + host->tsc_frequency / OUTPUT_PER_SECOND);
    }
    if (monitor == NULL) {
        return;
    }
    for (unsigned i = 0; i < INPUT_PER_WORK && console_read(&byte); i++) {
        stay_busy(now + host->tsc_frequency); /* who pastes must not overrun the FIFO */
        monitor_input(monitor, byte);
    }
    monitor_work(monitor);
    for (unsigned i = 0; i < monitor->vm_count; i++) {
        hand_over(monitor->vms[i], monitor->consoles->channels[i]);
    }
}

/* What is left is room for a guest's crash and its statistics. */
bool host_log_behind(void)
{
    return console_switch_room(console_consoles()) < CONSOLE_OWN / 2;
}

/* Apart, for the most frequent question is only whether it is time. */
__attribute__((noinline)) static void work(struct cpu *cpu, uint64_t now)
{
    cpu->next_work = now + host->tsc_frequency / WORK_PER_SECOND;
    power_stand_aside();
    if (cpu->index == 0) { /* one CPU is enough to serve the serial port */
        serve_console(now);
    }
    if (cpu->index == 0 && host->tap != NULL) {
        tap_step(host->tap);
    }
    (void)refill(REFILL_WORDS);
}

void host_work(void)
{
    struct cpu *cpu = current_cpu();
    uint64_t now = read_tsc();

    if (now >= cpu->next_work) {
        work(cpu, now);
    }
}
