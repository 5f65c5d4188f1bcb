/* The VMCS: its fields by the SDM's names (Vol. 3D, appendix B), and the instructions around it. */
#ifndef ARCH_X86_VMX_VMCS_H
#define ARCH_X86_VMX_VMCS_H

#include <stdbool.h>
#include <stdint.h>

enum vmcs_field {
    VMCS_VPID = 0x0000,
    VMCS_GUEST_ES_SELECTOR = 0x0800, /* then CS, SS, DS, FS, GS, LDTR, TR, 2 apart */
    VMCS_GUEST_INTERRUPT_STATUS = 0x0810,
    VMCS_HOST_ES_SELECTOR = 0x0c00,
    VMCS_HOST_CS_SELECTOR = 0x0c02,
    VMCS_HOST_SS_SELECTOR = 0x0c04,
    VMCS_HOST_DS_SELECTOR = 0x0c06,
    VMCS_HOST_FS_SELECTOR = 0x0c08,
    VMCS_HOST_GS_SELECTOR = 0x0c0a,
    VMCS_HOST_TR_SELECTOR = 0x0c0c,

    VMCS_IO_BITMAP_A = 0x2000,
    VMCS_IO_BITMAP_B = 0x2002,
    VMCS_MSR_BITMAP = 0x2004,
    VMCS_VIRTUAL_APIC_PAGE = 0x2012,
    VMCS_EPT_POINTER = 0x201a,
    VMCS_EOI_EXIT_BITMAP_0 = 0x201c, /* 64 vectors each, 2 apart */
    VMCS_GUEST_PHYSICAL_ADDRESS = 0x2400,
    VMCS_LINK_POINTER = 0x2800,
    VMCS_GUEST_DEBUGCTL = 0x2802,
    VMCS_GUEST_PAT = 0x2804,
    VMCS_GUEST_EFER = 0x2806,
    VMCS_GUEST_PDPTE_0 = 0x280a, /* four, 2 apart */
    VMCS_HOST_PAT = 0x2c00,
    VMCS_HOST_EFER = 0x2c02,

    VMCS_PIN_CONTROLS = 0x4000,
    VMCS_PRIMARY_CONTROLS = 0x4002,
    VMCS_EXCEPTION_BITMAP = 0x4004,
    VMCS_PAGE_FAULT_MASK = 0x4006,
    VMCS_PAGE_FAULT_MATCH = 0x4008,
    VMCS_CR3_TARGET_COUNT = 0x400a,
    VMCS_EXIT_CONTROLS = 0x400c,
    VMCS_EXIT_MSR_STORE_COUNT = 0x400e,
    VMCS_EXIT_MSR_LOAD_COUNT = 0x4010,
    VMCS_ENTRY_CONTROLS = 0x4012,
    VMCS_ENTRY_MSR_LOAD_COUNT = 0x4014,
    VMCS_ENTRY_EVENT = 0x4016,
    VMCS_ENTRY_ERROR_CODE = 0x4018,
    VMCS_ENTRY_INSTRUCTION_LENGTH = 0x401a,
    VMCS_TPR_THRESHOLD = 0x401c,
    VMCS_PREEMPTION_TIMER = 0x482e,
    VMCS_SECONDARY_CONTROLS = 0x401e,
    VMCS_INSTRUCTION_ERROR = 0x4400,
    VMCS_EXIT_REASON = 0x4402,
    VMCS_EXIT_EVENT = 0x4404,
    VMCS_EXIT_ERROR_CODE = 0x4406,
    VMCS_VECTORING_EVENT = 0x4408,
    VMCS_VECTORING_ERROR_CODE = 0x440a,
    VMCS_EXIT_INSTRUCTION_LENGTH = 0x440c,
    VMCS_EXIT_INSTRUCTION_INFORMATION = 0x440e,
    VMCS_GUEST_ES_LIMIT = 0x4800, /* in the order of the selectors */
    VMCS_GUEST_GDTR_LIMIT = 0x4810,
    VMCS_GUEST_IDTR_LIMIT = 0x4812,
    VMCS_GUEST_ES_RIGHTS = 0x4814,
    VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
    VMCS_GUEST_ACTIVITY = 0x4826,
    VMCS_GUEST_SYSENTER_CS = 0x482a,
    VMCS_HOST_SYSENTER_CS = 0x4c00,

    VMCS_CR0_MASK = 0x6000,
    VMCS_CR4_MASK = 0x6002,
    VMCS_CR0_SHADOW = 0x6004,
    VMCS_CR4_SHADOW = 0x6006,
    VMCS_EXIT_QUALIFICATION = 0x6400,
    VMCS_GUEST_CR0 = 0x6800,
    VMCS_GUEST_CR3 = 0x6802,
    VMCS_GUEST_CR4 = 0x6804,
    VMCS_GUEST_ES_BASE = 0x6806, /* in the order of the selectors */
    VMCS_GUEST_GDTR_BASE = 0x6816,
    VMCS_GUEST_IDTR_BASE = 0x6818,
    VMCS_GUEST_DR7 = 0x681a,
    VMCS_GUEST_RSP = 0x681c,
    VMCS_GUEST_RIP = 0x681e,
    VMCS_GUEST_RFLAGS = 0x6820,
    VMCS_GUEST_PENDING_DEBUG = 0x6822,
    VMCS_GUEST_SYSENTER_ESP = 0x6824,
    VMCS_GUEST_SYSENTER_EIP = 0x6826,
    VMCS_HOST_CR0 = 0x6c00,
    VMCS_HOST_CR3 = 0x6c02,
    VMCS_HOST_CR4 = 0x6c04,
    VMCS_HOST_FS_BASE = 0x6c06,
    VMCS_HOST_GS_BASE = 0x6c08,
    VMCS_HOST_TR_BASE = 0x6c0a,
    VMCS_HOST_GDTR_BASE = 0x6c0c,
    VMCS_HOST_IDTR_BASE = 0x6c0e,
    VMCS_HOST_SYSENTER_ESP = 0x6c10,
    VMCS_HOST_SYSENTER_EIP = 0x6c12,
    VMCS_HOST_RSP = 0x6c14, /* also in entry.asm */
    VMCS_HOST_RIP = 0x6c16,
};

/* VM-entry, VM-exit and IDT-vectoring event fields (SDM Vol. 3C, 25.8.3 and 25.9.2). */
#define EVENT_VALID          (1U << 31)
#define EVENT_NMI_UNBLOCKED  (1U << 12) /* exits only: IRET had unblocked NMIs */
#define EVENT_HAS_ERROR_CODE (1U << 11)
#define EVENT_TYPE_MASK      (7U << 8)
#define EVENT_TYPE_INTERRUPT (0U << 8)
#define EVENT_TYPE_NMI       (2U << 8)
#define EVENT_TYPE_EXCEPTION (3U << 8)
#define EVENT_TYPE_SOFTWARE  (4U << 8) /* this and the types above it have a length */
#define EVENT_TYPE_INT1      (5U << 8)
#define EVENT_VECTOR(event)  ((uint8_t)(event))

/* Pending debug exceptions (SDM Vol. 3C, table 25-4): a single step. */
#define PENDING_DEBUG_BS (1U << 14)

/* Guest interruptibility state (SDM Vol. 3C, table 25-3). */
#define INTERRUPTIBILITY_STI    (1U << 0)
#define INTERRUPTIBILITY_MOV_SS (1U << 1)
#define INTERRUPTIBILITY_NMI    (1U << 3)

/* A field or an instruction failed that only a bug of ours can make fail: panics. */
_Noreturn void vmcs_failed(const char *instruction, uint64_t operand);

/* VMREAD and VMWRITE of the current VMCS. Fields that this processor lacks panic. */
uint64_t vmcs_read(enum vmcs_field field);
void vmcs_write(enum vmcs_field field, uint64_t value);

/* The field `steps` places after `first`, in the runs of fields that lie 2 apart. */
static inline enum vmcs_field vmcs_field_after(enum vmcs_field first, unsigned steps)
{
    return (enum vmcs_field)(first + 2 * steps);
}

/* VMXON, VMCLEAR and VMPTRLD of a page that begins with the VMCS revision. False: VMfail. */
bool vmx_on(const void *region);
bool vmcs_clear(const void *region);
bool vmcs_load(const void *region);

/*
 * Takes, through our own gate, the machine's NMI that has just ended the guest's run: NMIs stay
 * blocked after such an exit until an IRET (SDM Vol. 3C, 28.1).
 */
void vmx_take_nmi(void);

/* DR6, which exits and entries leave alone: the guest's. */
uint64_t vmx_read_dr6(void);
void vmx_write_dr6(uint64_t value);

#endif
