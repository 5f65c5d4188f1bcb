/* Port accesses: the bus, its lock, and what an empty place answers. */
#include "arch/x86/guest/port.h"

#include "arch/x86/guest/machine.h"

static uint64_t truncate(uint64_t value, unsigned size)
{
    return value & ((1ULL << 8 * size) - 1);
}

uint64_t port_read(struct vm *vm, uint16_t port, unsigned size)
{
    struct arch_vm *arch = vm->arch;
    uint64_t value = UINT64_MAX;

    machine_lock(vm);
    if (!bus_read(&vm->ports, port, size, &value)) {
        machine_count_unknown(&arch->unknown_ports, port);
    }
    machine_unlock(vm);
    return truncate(value, size);
}

void port_write(struct vm *vm, uint16_t port, unsigned size, uint64_t value)
{
    struct arch_vm *arch = vm->arch;

    machine_lock(vm);
    if (!bus_write(&vm->ports, port, size, truncate(value, size))) {
        machine_count_unknown(&arch->unknown_ports, port);
    }
    machine_unlock(vm);
}
