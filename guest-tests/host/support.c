/* What the machine supplies to the pure sources, played for tests on the host. */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-tests/host/scripted_host.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/panic.h"
#include "vmm/vcpu.h"

struct scripted_host scripted_host;

void scripted_host_reset(void)
{
    memset(&scripted_host, 0, sizeof(scripted_host));
}

void log_line(const char *text, ...)
{
    size_t used = strlen(scripted_host.log);
    va_list arguments;

    va_start(arguments, text);
    vsnprintf(scripted_host.log + used, sizeof(scripted_host.log) - used, text, arguments);
    va_end(arguments);
    fprintf(stderr, "%s\n", scripted_host.log + used);
    strncat(scripted_host.log, "\n", sizeof(scripted_host.log) - strlen(scripted_host.log) - 1);
}

_Noreturn void panic(const char *reason, ...)
{
    va_list arguments;

    va_start(arguments, reason);
    vsnprintf(scripted_host.panic_reason, sizeof(scripted_host.panic_reason), reason, arguments);
    va_end(arguments);
    fprintf(stderr, "panic: %s\n", scripted_host.panic_reason);
    if (!scripted_host.lands) {
        abort();
    }
    longjmp(scripted_host.landing, 1);
}

uint64_t host_ticks(void)
{
    uint64_t now = scripted_host.ticks;

    scripted_host.ticks += scripted_host.step;
    return now;
}

void host_timer_arm(uint64_t deadline)
{
    scripted_host.deadline = deadline;
}

void host_take_interrupts(void)
{
    scripted_host.taken++;
}

void host_idle(void)
{
    scripted_host.idled++;
    if (scripted_host.idle != NULL) {
        scripted_host.idle();
    }
}

void host_kick(unsigned cpu)
{
    scripted_host.kicks[cpu]++;
    scripted_host.kicked = scripted_host.kicked || cpu == 0; /* which the code under test is on */
}

void host_kick_vcpu(const struct vcpu *vcpu)
{
    if (vcpu != scripted_host.current) {
        host_kick(vcpu->cpu);
    }
}

bool host_kicked(void)
{
    bool kicked = scripted_host.kicked;

    scripted_host.kicked = false;
    return kicked;
}

bool host_called(void)
{
    return scripted_host.called;
}

void host_look_around(void)
{
    scripted_host.called = false;
}

void host_switch(struct vcpu *from, struct vcpu *to)
{
    scripted_host.from = from;
    scripted_host.to = to;
    scripted_host.switches++;
}

void host_reset_vcpu(struct vcpu *vcpu)
{
    (void)vcpu;
    scripted_host.resets++;
}

void host_set_xcr0(uint64_t value)
{
    scripted_host.xcr0 = value;
}

void host_debug_write(const char *text)
{
    if (scripted_host.debug_write != NULL) {
        scripted_host.debug_write(text);
    }
}

void host_pause(void)
{
    sched_yield(); /* there are tests with threads */
}

bool host_log_behind(void)
{
    if (scripted_host.log_behind == 0) {
        return false;
    }
    scripted_host.log_behind--;
    return true;
}

void host_work(void)
{
    scripted_host.worked++;
}

void record_exit(struct trace *trace, const struct trace_entry *entry)
{
    *trace_next(trace) = *entry;
    trace_record(trace);
}
