/* The life of a VM: started, ended, wiped, started again or left, as its configuration says. */
#ifndef VMM_LIFECYCLE_H
#define VMM_LIFECYCLE_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

/* What somebody, the monitor for one, wants of a VM. */
enum vm_request {
    VM_REQUEST_NONE,
    VM_REQUEST_START,   /* of one that does not run */
    VM_REQUEST_STOP,    /* ends it, whatever its configuration says of ends */
    VM_REQUEST_RESTART, /* ends it if it runs, and starts it again */
    VM_REQUEST_PAUSE,   /* its vCPUs are not entered until it is resumed; its clocks go on */
    VM_REQUEST_RESUME,
};

/* What follows when a VM ends by itself. */
enum vm_follow_up {
    VM_FOLLOW_STOP,    /* it stays down, and that is a good end */
    VM_FOLLOW_RESTART, /* it starts again from its files, with zeroed memory and a fresh seed */
    VM_FOLLOW_FAIL,    /* it stays down, and the run's result is a failure */
};

/* Ways to end that have a follow-up of their own. */
enum vm_ending { VM_ENDING_POWER_OFF, VM_ENDING_RESET, VM_ENDING_CRASH, VM_ENDINGS };

struct vm_policy {
    enum vm_follow_up follow_up[VM_ENDINGS];
    unsigned restart_limit; /* restarts by follow-up; then it stays down */
    bool start;             /* false: only when somebody asks for it */
    uint64_t start_delay;   /* ticks from lifecycle_init() to its first start */
};

enum lifecycle_phase {
    LIFECYCLE_READY,   /* loaded; starts at start_time, or when asked */
    LIFECYCLE_RUNNING, /* until its last vCPU has left the CPU for good */
    LIFECYCLE_WIPING,  /* its memory is being zeroed, piece by piece */
    LIFECYCLE_DOWN,    /* ended for good, unless somebody asks */
};

struct lifecycle {
    struct vm_policy policy;
    enum lifecycle_phase phase; /* written by the VM's first home CPU only */
    enum vm_request request;    /* atomic */
    uint64_t start_time;        /* TSC; UINT64_MAX: when asked; atomic */
    unsigned reported;          /* parts of the report on its end; 0: it is not begun */
    uint64_t wiped;             /* bytes of memory zeroed so far */
    unsigned restarts;          /* by follow-up */
    bool starts_again;          /* once its memory is zeroed */
    bool stopped;               /* by request in this life, or after it and before its follow-up */
    bool failed;                /* an end that counts as a failure; stays */
};

/* A VM whose memory and image are loaded, at TSC `now`. */
void lifecycle_init(struct vm *vm, const struct vm_policy *policy, uint64_t now);

/* Asks for something, on any CPU. It is carried out soon; what makes no sense then is ignored. */
void vm_request(struct vm *vm, enum vm_request request);

/*
 * Takes the next step that is due at TSC `now`, on the home CPU of the VM's first vCPU: bounded
 * work. True if there is more to do at once. The longest is a start from the files, which copies
 * kernel and initrd in one go: others on this CPU wait for as long as memory takes for that, and
 * the VM is charged with it.
 */
bool lifecycle_step(struct vm *vm, uint64_t now);

/* The TSC at which lifecycle_step() has something to do unasked; UINT64_MAX for never. */
uint64_t lifecycle_deadline(const struct vm *vm);

/* Whether it does not run and will not, unless somebody asks. */
bool lifecycle_over(const struct vm *vm);

/* A word for what the VM does now: "ready", "running", "paused", "ending", "down". */
const char *vm_state_name(const struct vm *vm);

#endif
