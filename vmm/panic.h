/* The end of the hypervisor: for broken invariants of our own, never for what a guest did. */
#ifndef VMM_PANIC_H
#define VMM_PANIC_H

/*
 * Prints the reason, the registers, the last exits of the vCPU on this CPU and the build's
 * identity, and switches the machine off with the result "panicked".
 */
_Noreturn void panic(const char *reason, ...) __attribute__((format(printf, 1, 2)));

#endif
