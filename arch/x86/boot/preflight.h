/* The preflight: whether this machine can do what is asked, and what is missing if not. */
#ifndef ARCH_X86_BOOT_PREFLIGHT_H
#define ARCH_X86_BOOT_PREFLIGHT_H

#include "vmm/config.h"
#include "vmm/virtualization.h"

/*
 * Checks the CPU and the memory against the configuration. Each thing that is missing gets two
 * lines in the log, its name and what to do, and is counted in *findings. Returns the
 * virtualisation to use; NULL if there is none.
 */
const struct virtualization *preflight(const struct config *config, unsigned *findings);

#endif
