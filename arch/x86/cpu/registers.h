/* Architectural registers by name: control register bits, EFER, RFLAGS and MSR numbers. */
#ifndef ARCH_X86_CPU_REGISTERS_H
#define ARCH_X86_CPU_REGISTERS_H

#include <stdint.h>

/* What CPUID answers with. */
struct cpuid_registers {
    uint32_t eax, ebx, ecx, edx;
};

/* SDM Vol. 3A, 2.5. */
#define CR0_PE (1ULL << 0)
#define CR0_MP (1ULL << 1)
#define CR0_EM (1ULL << 2)
#define CR0_TS (1ULL << 3)
#define CR0_ET (1ULL << 4)
#define CR0_NE (1ULL << 5)
#define CR0_WP (1ULL << 16)
#define CR0_AM (1ULL << 18)
#define CR0_NW (1ULL << 29)
#define CR0_CD (1ULL << 30)
#define CR0_PG (1ULL << 31)

#define CR4_VME        (1ULL << 0)
#define CR4_PVI        (1ULL << 1)
#define CR4_TSD        (1ULL << 2)
#define CR4_DE         (1ULL << 3)
#define CR4_PSE        (1ULL << 4)
#define CR4_PAE        (1ULL << 5)
#define CR4_MCE        (1ULL << 6)
#define CR4_PGE        (1ULL << 7)
#define CR4_PCE        (1ULL << 8)
#define CR4_OSFXSR     (1ULL << 9)
#define CR4_OSXMMEXCPT (1ULL << 10)
#define CR4_UMIP       (1ULL << 11)
#define CR4_LA57       (1ULL << 12)
#define CR4_VMXE       (1ULL << 13)
#define CR4_FSGSBASE   (1ULL << 16)
#define CR4_PCIDE      (1ULL << 17)
#define CR4_OSXSAVE    (1ULL << 18)
#define CR4_SMEP       (1ULL << 20)
#define CR4_SMAP       (1ULL << 21)

#define EFER_SCE    (1ULL << 0)
#define EFER_LME    (1ULL << 8)
#define EFER_LMA    (1ULL << 10)
#define EFER_NXE    (1ULL << 11)
#define EFER_SVME   (1ULL << 12) /* APM Vol. 2, 3.1.7 */
#define EFER_AIBRSE (1ULL << 21)

#define RFLAGS_CF    (1ULL << 0)
#define RFLAGS_FIXED (1ULL << 1)
#define RFLAGS_PF    (1ULL << 2)
#define RFLAGS_AF    (1ULL << 4)
#define RFLAGS_ZF    (1ULL << 6)
#define RFLAGS_SF    (1ULL << 7)
#define RFLAGS_TF    (1ULL << 8)
#define RFLAGS_IF    (1ULL << 9)
#define RFLAGS_DF    (1ULL << 10)
#define RFLAGS_OF    (1ULL << 11)
#define RFLAGS_RF    (1ULL << 16)
#define RFLAGS_VM    (1ULL << 17)

#define DR6_RESET 0xffff0ff0ULL /* SDM Vol. 3A, table 9-1 */

/* SDM Vol. 4, 2.1, and APM Vol. 2, appendix A. */
#define MSR_TSC                0x10U
#define MSR_APIC_BASE          0x1bU
#define MSR_FEATURE_CONTROL    0x3aU
#define MSR_TSC_ADJUST         0x3bU
#define MSR_SPEC_CTRL          0x48U
#define MSR_PRED_CMD           0x49U
#define MSR_MICROCODE_REVISION 0x8bU
#define MSR_ARCH_CAPABILITIES  0x10aU
#define MSR_FLUSH_CMD          0x10bU
#define MSR_MCU_OPT_CTRL       0x123U
#define MSR_SYSENTER_CS        0x174U
#define MSR_SYSENTER_ESP       0x175U
#define MSR_SYSENTER_EIP       0x176U
#define MSR_MCG_CAPABILITIES   0x179U
#define MSR_MCG_STATUS         0x17aU
#define MSR_MISC_ENABLE        0x1a0U
#define MSR_PAT                0x277U
#define MSR_VMX_BASIC          0x480U
#define MSR_TSC_DEADLINE       0x6e0U
#define MSR_X2APIC_FIRST       0x800U
#define MSR_X2APIC_LAST        0x8ffU
#define MSR_EFER               0xc0000080U
#define MSR_STAR               0xc0000081U
#define MSR_LSTAR              0xc0000082U
#define MSR_CSTAR              0xc0000083U
#define MSR_SYSCALL_MASK       0xc0000084U
#define MSR_FS_BASE            0xc0000100U
#define MSR_GS_BASE            0xc0000101U
#define MSR_KERNEL_GS_BASE     0xc0000102U
#define MSR_TSC_AUX            0xc0000103U
#define MSR_VM_CR              0xc0010114U
#define MSR_VM_HSAVE_PA        0xc0010117U

/* Error-reporting banks, SDM Vol. 3B, 16.3.2; the registers of each lie together. */
#define MSR_MC_STATUS(bank) (0x401U + 4 * (bank))
#define MSR_MC_ADDR(bank)   (0x402U + 4 * (bank))
#define MSR_MC_MISC(bank)   (0x403U + 4 * (bank))

/* IA32_APIC_BASE, SDM Vol. 3A, 11.4.4. */
#define APIC_BASE_BSP     (1ULL << 8)
#define APIC_BASE_X2APIC  (1ULL << 10)
#define APIC_BASE_ENABLE  (1ULL << 11)
#define APIC_BASE_ADDRESS 0xffffff000ULL

/* The PAT after reset: WB, WT, UC-, UC, twice (SDM Vol. 3A, 12.12.4). */
#define PAT_RESET 0x0007040600070406ULL

/* Exception vectors, SDM Vol. 3A, table 6-1. */
#define VECTOR_DEBUG              1
#define VECTOR_NMI                2
#define VECTOR_INVALID_OPCODE     6
#define VECTOR_DOUBLE_FAULT       8
#define VECTOR_GENERAL_PROTECTION 13
#define VECTOR_MACHINE_CHECK      18

#endif
