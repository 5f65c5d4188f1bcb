/* The machine under the run loop: time, the timer, sleep, and small work between exits. */
#include "arch/x86/host/host.h"

#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/exception.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/guest/machine.h"
#include "arch/x86/host/console.h"
#include "devices/rng/egd.h"
#include "vmm/host.h"

/* The serial port's FIFO of 16 bytes lasts 1.4 ms: looking at it once a millisecond keeps it busy.
 */
#define WORK_PER_SECOND 1000U
/* A sleeping CPU wakes so often to look for typed characters. */
#define INPUT_PER_SECOND 100U
/* And so often to fetch what an outside source answered. */
#define LINE_PER_SECOND 500U
#define REFILL_WORDS    16U /* a step that leaves the next exit's latency alone */
#define IDLE_WORDS      64U

static struct host *host;

void host_init(struct host *the_host)
{
    host = the_host;
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

/* Whether a source at the end of a line has a pool to fill: its answers must be fetched. */
static bool waits_for_line(void)
{
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
    if (refill(IDLE_WORDS) > 0) {
        return; /* time well used: the caller looks again before it sleeps */
    }
    uint64_t wake =
        read_tsc() + host->tsc_frequency / (waits_for_line() ? LINE_PER_SECOND : INPUT_PER_SECOND);

    if (current_cpu()->armed_deadline > wake) {
        host_timer_arm(wake);
    }
    interrupts_on_and_halt();
    interrupts_off();
}

void host_kick(unsigned cpu)
{
    if (cpu != current_cpu()->index) {
        apic_send(host->cpus[cpu].apic_id, VECTOR_HOST_KICK);
    } else {
        current_cpu()->kicked = true;
    }
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
    current_cpu()->vcpu = to;
}

void host_reset_vcpu(struct vcpu *vcpu)
{
    resident_reset(&vcpu->host->resident);
    resident_load(&vcpu->host->resident, &host->resident);
}

void host_set_xcr0(uint64_t value)
{
    write_xcr0(value);
}

static void take_input(void)
{
    struct arch_vm *arch = host->console_vm->arch;
    uint8_t byte;

    machine_lock(host->console_vm);
    for (unsigned i = 0; i < UART_FIFO_DEPTH && console_read(&byte); i++) {
        (void)uart_receive(&arch->uart, byte); /* a full FIFO loses it, as on any serial line */
    }
    machine_unlock(host->console_vm);
}

void host_work(void)
{
    struct cpu *cpu = current_cpu();
    uint64_t now = read_tsc();

    if (now < cpu->next_work) {
        return;
    }
    cpu->next_work = now + host->tsc_frequency / WORK_PER_SECOND;
    if (cpu->index == 0) { /* one CPU is enough to serve the serial port */
        console_work();
        if (host->console_vm != NULL) {
            take_input();
        }
    }
    (void)refill(REFILL_WORDS);
}
