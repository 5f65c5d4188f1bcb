/* The VMX instructions, and the few others that exits need: exit.c itself is plain C. */
#include "arch/x86/vmx/vmcs.h"

#include "arch/x86/cpu/instructions.h"
#include "vmm/panic.h"

_Noreturn void vmcs_failed(const char *instruction, uint64_t operand)
{
    panic("%s failed for 0x%lx", instruction, operand);
}

uint64_t vmcs_read(enum vmcs_field field)
{
    uint64_t value;
    bool good;

    __asm__ volatile("vmread %2, %0"
                     : "=r"(value), "=@cca"(good)
                     : "r"((uint64_t)field)
                     : "memory");
    if (!good) {
        vmcs_failed("VMREAD", field);
    }
    return value;
}

void vmcs_write(enum vmcs_field field, uint64_t value)
{
    bool good;

    __asm__ volatile("vmwrite %1, %2"
                     : "=@cca"(good)
                     : "r"(value), "r"((uint64_t)field)
                     : "memory");
    if (!good) {
        vmcs_failed("VMWRITE", field);
    }
}

#define DEFINE_VMCS_INSTRUCTION(name, mnemonic)                                                    \
    bool name(const void *region)                                                                  \
    {                                                                                              \
        uint64_t address = (uintptr_t)region;                                                      \
        bool good;                                                                                 \
                                                                                                   \
        __asm__ volatile(mnemonic " %1" : "=@cca"(good) : "m"(address) : "memory");                \
        return good;                                                                               \
    }

DEFINE_VMCS_INSTRUCTION(vmx_on, "vmxon")
DEFINE_VMCS_INSTRUCTION(vmcs_clear, "vmclear")
DEFINE_VMCS_INSTRUCTION(vmcs_load, "vmptrld")

void vmx_take_nmi(void)
{
    __asm__ volatile("int $2" : : : "memory");
}

uint64_t vmx_read_dr6(void)
{
    return read_dr6();
}

void vmx_write_dr6(uint64_t value)
{
    write_dr6(value);
}
