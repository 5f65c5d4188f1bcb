/* The hypervisor's own log lines. */
#ifndef VMM_LOG_H
#define VMM_LOG_H

/*
 * Writes one line, without its newline, to the machine's console, prefixed "seedvisor: ". Lines
 * over 255 bytes are cut. Supplied by the host: arch/x86/host/ on the machine, the harness in
 * tests.
 */
void log_line(const char *text, ...) __attribute__((format(printf, 1, 2)));

#endif
