/* VMX exits in neutral form (SDM Vol. 3C, 28.2, and Vol. 3D, appendix C). */
#include "arch/x86/cpu/registers.h"
#include "arch/x86/vmx/state.h"
#include "arch/x86/vmx/vmcs.h"
#include "vmm/vm.h"

#define REASON_EXCEPTION     0
#define REASON_CR_ACCESS     28
#define REASON_IO            30
#define REASON_READ_MSR      31
#define REASON_WRITE_MSR     32
#define REASON_MACHINE_CHECK 41
#define REASON_EOI           45
#define REASON_EPT_VIOLATION 48
#define REASON_XSETBV        55
#define REASON_APIC_WRITE    56
#define REASON_RDRAND        57
#define REASON_RDSEED        61
#define REASONS              78
#define REASON_ENTRY_FAILED  (1U << 31)

#define DR7_GENERAL_DETECT (1ULL << 13)
#define CS_RIGHTS_LONG     (1ULL << 13)

/* Reasons that need no more than their kind. What is not here was never asked for. */
static const uint8_t kinds[REASONS] = {
    [1] = EXIT_HOST_INTERRUPT + 1,    /* external interrupt */
    [2] = EXIT_SHUTDOWN + 1,          /* triple fault */
    [7] = EXIT_INTERRUPT_WINDOW + 1,  /* interrupt window */
    [8] = EXIT_INTERRUPT_WINDOW + 1,  /* NMI window */
    [10] = EXIT_CPUID + 1,            /* CPUID */
    [12] = EXIT_HALT + 1,             /* HLT */
    [13] = EXIT_FLUSH + 1,            /* INVD */
    [15] = EXIT_INSTRUCTION + 1,      /* RDPMC */
    [18] = EXIT_INSTRUCTION + 1,      /* VMCALL */
    [19] = EXIT_INSTRUCTION + 1,      /* VMCLEAR */
    [20] = EXIT_INSTRUCTION + 1,      /* VMLAUNCH */
    [21] = EXIT_INSTRUCTION + 1,      /* VMPTRLD */
    [22] = EXIT_INSTRUCTION + 1,      /* VMPTRST */
    [23] = EXIT_INSTRUCTION + 1,      /* VMREAD */
    [24] = EXIT_INSTRUCTION + 1,      /* VMRESUME */
    [25] = EXIT_INSTRUCTION + 1,      /* VMWRITE */
    [26] = EXIT_INSTRUCTION + 1,      /* VMXOFF */
    [27] = EXIT_INSTRUCTION + 1,      /* VMXON */
    [36] = EXIT_INSTRUCTION + 1,      /* MWAIT */
    [39] = EXIT_INSTRUCTION + 1,      /* MONITOR */
    [43] = EXIT_INTERRUPT_WINDOW + 1, /* TPR below threshold */
    [50] = EXIT_INSTRUCTION + 1,      /* INVEPT */
    [52] = EXIT_HOST_INTERRUPT + 1,   /* VMX-preemption timer: its turn is over */
    [53] = EXIT_INSTRUCTION + 1,      /* INVVPID */
    [54] = EXIT_FLUSH + 1,            /* WBINVD */
    [76] = EXIT_INSTRUCTION + 1,      /* SEAMCALL: exits wherever there is SEAM; so does TDCALL */
    [77] = EXIT_INSTRUCTION + 1,
};

/*
 * What the processor would have done on its way into the guest's handler, and what the entry that
 * injects the exception insists on.
 */
static void complete_debug_exception(struct vcpu *vcpu, uint32_t event, uint64_t rip)
{
    const uint64_t shadows = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

    /* The exit leaves DR6 alone; its bits are in the qualification (SDM Vol. 3C, 28.2.1). */
    vmx_write_dr6((vmx_read_dr6() & ~0xfULL) | vmcs_read(VMCS_EXIT_QUALIFICATION));
    vmcs_write(VMCS_GUEST_DR7, vmcs_read(VMCS_GUEST_DR7) & ~DR7_GENERAL_DETECT);
    if ((event & EVENT_TYPE_MASK) == EVENT_TYPE_INT1) {
        /* A trap, but RIP is still at the INT1 (SDM Vol. 3C, 28.3.3). */
        vcpu->vm->virtualization->skip(vcpu, rip + vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH));
    }
    if ((vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & shadows) != 0 &&
        (vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_TF) != 0) {
        /* A check at entry that any program of the guest could make fail (27.3.1.5). */
        vmcs_write(VMCS_GUEST_PENDING_DEBUG,
                   vmcs_read(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
    }
}

static void translate_exception(struct vcpu *vcpu, struct vm_exit *exit)
{
    uint32_t event = (uint32_t)vmcs_read(VMCS_EXIT_EVENT);

    if ((event & EVENT_TYPE_MASK) == EVENT_TYPE_NMI) {
        vmx_take_nmi(); /* the machine's, not the guest's */
        exit->kind = EXIT_HOST_INTERRUPT;
        return;
    }
    exit->kind = EXIT_EXCEPTION;
    exit->exception = (struct exit_exception){
        .vector = EVENT_VECTOR(event),
        .has_error_code = (event & EVENT_HAS_ERROR_CODE) != 0,
    };
    if (exit->exception.has_error_code) {
        exit->exception.error_code = (uint32_t)vmcs_read(VMCS_EXIT_ERROR_CODE);
    }
    if (exit->exception.vector == VECTOR_DEBUG) {
        complete_debug_exception(vcpu, event, exit->rip);
    }
}

/* Outside 64-bit mode the upper halves of registers mean nothing (SDM Vol. 1, 3.4.1.1). */
static uint64_t operand(struct vcpu *vcpu, unsigned number)
{
    uint64_t value = vcpu_general_register(vcpu, (enum general_register)number);
    uint64_t rights = vmcs_read(vmcs_field_after(VMCS_GUEST_ES_RIGHTS, SEGMENT_CS));
    bool is_64_bit = (vmcs_read(VMCS_GUEST_EFER) & EFER_LMA) != 0 && (rights & CS_RIGHTS_LONG) != 0;

    return is_64_bit ? value : (uint32_t)value;
}

/* SDM Vol. 3C, table 28-3. Only MOV to CR, CLTS and LMSW can exit: we trap no reads, and no CR3. */
static void translate_control_register(struct vcpu *vcpu, struct vm_exit *exit)
{
    uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
    unsigned access = qualification >> 4 & 3;

    exit->kind = EXIT_CONTROL_REGISTER;
    exit->control_register.number = qualification & 0xf;
    if (access == 2) { /* CLTS */
        exit->control_register.value = vcpu_get(vcpu, REGISTER_CR0) & ~CR0_TS;
    } else if (access == 3) { /* LMSW: bits 0-3, of which PE can only be set */
        uint64_t old = vcpu_get(vcpu, REGISTER_CR0);

        exit->control_register.value = (old & ~0xeULL) | (qualification >> 16 & 0xf);
    } else {
        exit->control_register.value = operand(vcpu, qualification >> 8 & 0xf);
    }
}

/* SDM Vol. 3C, table 28-5. */
static void translate_port(struct vm_exit *exit)
{
    uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);

    exit->kind = EXIT_PORT;
    exit->port = (struct exit_port){
        .port = (uint16_t)(qualification >> 16),
        .size = (uint8_t)((qualification & 7) + 1),
        .write = (qualification & 8) == 0,
        .string = (qualification & 16) != 0,
        .repeat = (qualification & 32) != 0,
    };
}

/* SDM Vol. 3C, table 28-7. */
static void translate_memory(struct vm_exit *exit)
{
    uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
    bool linear_valid = (qualification & 1U << 7) != 0;

    exit->kind = EXIT_MEMORY;
    exit->memory = (struct exit_memory){
        .gpa = vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS),
        .write = (qualification & 2) != 0,
        .fetch = (qualification & 4) != 0,
        .walk = !linear_valid || (qualification & 1U << 8) == 0,
        .delivering = (vmcs_read(VMCS_VECTORING_EVENT) & EVENT_VALID) != 0,
    };
    /* An IRET that had unblocked NMIs before it faulted: they are blocked again. */
    if ((qualification & EVENT_NMI_UNBLOCKED) != 0 && !exit->memory.delivering) {
        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
                   vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_NMI);
    }
}

static void translate_msr(struct vcpu *vcpu, struct vm_exit *exit, enum exit_kind kind)
{
    exit->kind = kind;
    exit->msr.index = (uint32_t)vcpu->general[GENERAL_RCX];
    exit->msr.value = vcpu->general[GENERAL_RDX] << 32 | (uint32_t)vcpu->general[GENERAL_RAX];
}

/* SDM Vol. 3C, table 28-12. */
static void translate_random(struct vm_exit *exit)
{
    static const uint8_t sizes[4] = {2, 4, 8, 8};
    uint64_t information = vmcs_read(VMCS_EXIT_INSTRUCTION_INFORMATION);

    exit->kind = EXIT_RANDOM;
    exit->random = (struct exit_random){
        .reg = information >> 3 & 0xf,
        .size = sizes[information >> 11 & 3],
    };
}

static void translate_reason(struct vcpu *vcpu, struct vm_exit *exit, uint32_t reason)
{
    switch (reason) {
    case REASON_EXCEPTION:
        translate_exception(vcpu, exit);
        return;
    case REASON_CR_ACCESS:
        translate_control_register(vcpu, exit);
        return;
    case REASON_IO:
        translate_port(exit);
        return;
    case REASON_READ_MSR:
        translate_msr(vcpu, exit, EXIT_MSR_READ);
        return;
    case REASON_WRITE_MSR:
        translate_msr(vcpu, exit, EXIT_MSR_WRITE);
        return;
    case REASON_APIC_WRITE:
        /* The one x2APIC write that the hardware leaves to us: a self-IPI of an illegal vector. */
        translate_msr(vcpu, exit, EXIT_MSR_WRITE);
        exit->instruction_length = 0; /* RIP is behind it (SDM Vol. 3C, 30.5) */
        return;
    case REASON_XSETBV:
        translate_msr(vcpu, exit, EXIT_XSETBV);
        return;
    case REASON_RDRAND:
    case REASON_RDSEED:
        translate_random(exit);
        return;
    case REASON_EPT_VIOLATION:
        translate_memory(exit);
        return;
    case REASON_EOI:
        exit->kind = EXIT_EOI;
        exit->vector = (uint8_t)vmcs_read(VMCS_EXIT_QUALIFICATION);
        return;
    default:
        if (reason < REASONS && kinds[reason] != 0) {
            exit->kind = (enum exit_kind)(kinds[reason] - 1);
        } else {
            exit->kind = EXIT_UNEXPECTED;
            exit->code = reason;
        }
        return;
    }
}

static void translate_failed_entry(struct vm_exit *exit, uint32_t reason)
{
    exit->instruction_length = 0;
    if (reason == (REASON_ENTRY_FAILED | REASON_MACHINE_CHECK)) {
        /* The machine's, not the guest's, as if the guest had been interrupted by it (27.9). */
        exit->kind = EXIT_EXCEPTION;
        exit->exception = (struct exit_exception){.vector = VECTOR_MACHINE_CHECK};
    } else {
        exit->kind = EXIT_ENTRY_FAILED;
        exit->code = reason;
    }
}

void vmx_translate_exit(struct vcpu *vcpu, struct vm_exit *exit)
{
    uint32_t reason = (uint32_t)vmcs_read(VMCS_EXIT_REASON);

    exit->rip = vmcs_read(VMCS_GUEST_RIP);
    if ((reason & REASON_ENTRY_FAILED) != 0) {
        translate_failed_entry(exit, reason);
        return;
    }
    /* Not defined for every reason, but only used for those for which it is. */
    exit->instruction_length = (uint8_t)vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
    translate_reason(vcpu, exit, reason & 0xffff);
}
