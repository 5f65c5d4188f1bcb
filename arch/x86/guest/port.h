/* One access to a port of a guest's machine. */
#ifndef ARCH_X86_GUEST_PORT_H
#define ARCH_X86_GUEST_PORT_H

#include <stdint.h>

#include "vmm/vm.h"

/*
 * Reads or writes `size` (1, 2 or 4) bytes, with the machine's lock held around the device. Where
 * no device is, reads are all ones, writes are lost, and both are counted. Values have no bits
 * above `size` bytes.
 */
uint64_t port_read(struct vm *vm, uint16_t port, unsigned size);
void port_write(struct vm *vm, uint16_t port, unsigned size, uint64_t value);

#endif
