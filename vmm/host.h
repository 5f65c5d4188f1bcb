/* What the run loop needs of the machine; arch/x86/host/ supplies it, and the harness in tests. */
#ifndef VMM_HOST_H
#define VMM_HOST_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* The time stamp counter. */
uint64_t host_ticks(void);

/* In a loop that waits for another CPU: lets it, and whatever is below, go on. */
void host_pause(void);

/* Asks for an interrupt on this CPU at TSC `deadline` (UINT64_MAX: none). It may come earlier. */
void host_timer_arm(uint64_t deadline);

/* Takes the interrupts that wait on this CPU: after an EXIT_HOST_INTERRUPT. */
void host_take_interrupts(void);

/* Sleeps until the next interrupt of this CPU and takes it. */
void host_idle(void);

/*
 * Makes a CPU look at its vCPUs again, soon: by an interrupt, unless it is this one, which will see
 * it at its next turn, or one that was called by others already and has yet to look around.
 */
void host_kick(unsigned cpu);

/*
 * The same for the home CPU of a vCPU that something came for; but not if that is the very one in
 * this CPU, which looks before it is entered again anyway. One that is in another CPU is always
 * interrupted: nobody else has to wait for that.
 */
void host_kick_vcpu(const struct vcpu *vcpu);

/* Whether this CPU was kicked by itself since it last asked. */
bool host_kicked(void);

/* Whether others called this CPU since it last looked around. */
bool host_called(void);

/*
 * This CPU is about to look around, at its VMs and its vCPUs: what others kicked it for until now
 * is seen by that, and for what comes from here on it is called again.
 */
void host_look_around(void);

/*
 * Puts away what lives in this CPU of one vCPU's state and neither VMCS nor VMCB holds, and puts
 * another's there. Either may be NULL. What the one's guest left in the CPU's predictors and
 * buffers is gone when a vCPU of another VM comes.
 */
void host_switch(struct vcpu *from, struct vcpu *to);

/* Gives a vCPU, whose state is in the CPU, that part of its state as it is after power-up. */
void host_reset_vcpu(struct vcpu *vcpu);

/* Sets this CPU's XCR0, which belongs to the guest that runs here; the value was checked. */
void host_set_xcr0(uint64_t value);

/* Writes to the debug port that emulators offer (0xE9); nothing where there is none. */
void host_debug_write(const char *text);

/*
 * Whether the console is behind with the hypervisor's own lines: to write many would mean to wait
 * for its port.
 */
bool host_log_behind(void);

/* Small bounded work for the machine: console output and input, filling the entropy pool. */
void host_work(void);

#endif
