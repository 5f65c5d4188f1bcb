/* What the hypervisor has executed, in builds made to count it. */
#ifndef ARCH_X86_HOST_COVERAGE_H
#define ARCH_X86_HOST_COVERAGE_H

/*
 * Tells every counter that is not zero on port 0xE9, for tools/coverage-import. Only in builds with
 * HV_COVERAGE=1.
 */
void coverage_tell(void);

#endif
