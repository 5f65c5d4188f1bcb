/* Port accesses: the bus, its lock, and what an empty place answers. */
#include "arch/x86/guest/port.h"

#include "arch/x86/guest/machine.h"
#include "vmm/access_size.h"

uint64_t port_read(struct vm *vm, uint16_t port, unsigned size)
{
    struct arch_vm *arch = vm->arch;
    uint64_t value = UINT64_MAX;

    machine_lock(vm);
    if (!bus_read(&vm->ports, port, size, &value)) {
        machine_count_unknown(&arch->unknown_ports, port);
    }
    (void)machine_unlock(vm);
    return value & access_mask(size);
}

void port_write(struct vm *vm, uint16_t port, unsigned size, uint64_t value)
{
    struct arch_vm *arch = vm->arch;

    machine_lock(vm);
    if (!bus_write(&vm->ports, port, size, value & access_mask(size))) {
        machine_count_unknown(&arch->unknown_ports, port);
    }
    (void)machine_unlock(vm);
}
