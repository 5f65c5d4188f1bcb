/* A vCPU's state: how it starts, its registers, and what of it is in the CPU beside the VMCS. */
#include <string.h>

#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/machine.h"
#include "arch/x86/vmx/controls.h"
#include "arch/x86/vmx/state.h"
#include "arch/x86/vmx/vmcs.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/vm.h"

/* The VMCS has these two behind the six that enum segment_name has. */
#define SEGMENT_LDTR (SEGMENT_GS + 1U)
#define SEGMENT_TR   (SEGMENT_GS + 2U)

static const uint32_t resident_msrs[VMX_RESIDENT_MSRS] = {
    MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE,
};

void vmx_load(struct vcpu *vcpu)
{
    const struct backend_vcpu *backend = vcpu->backend;

    /*
     * Bochs 2.7 goes on as the last guest left it when a guest is entered with interrupts off: had
     * that one interrupts on, this one would be given virtual interrupts all the same. Interrupts
     * on and off again in the host put that right. What is taken here may be for a vCPU that was
     * passed over a moment ago: so the CPU looks at all of them again soon.
     */
    host_take_interrupts();
    host_kick(vcpu->cpu);
    if (!vmcs_load(backend->vmcs)) {
        vmcs_failed("VMPTRLD", (uintptr_t)backend->vmcs);
    }
    write_cr2(backend->cr2);
    write_dr6(backend->dr6);
    for (unsigned i = 0; i < VMX_RESIDENT_MSRS; i++) {
        write_msr(resident_msrs[i], backend->msrs[i]);
    }
}

/* The VMCS stays this CPU's, and may stay in it: its home never changes. */
void vmx_unload(struct vcpu *vcpu)
{
    struct backend_vcpu *backend = vcpu->backend;

    backend->cr2 = read_cr2();
    backend->dr6 = read_dr6();
    for (unsigned i = 0; i < VMX_RESIDENT_MSRS; i++) {
        backend->msrs[i] = read_msr(resident_msrs[i]);
    }
}

static void write_segment(unsigned number, uint16_t selector, uint64_t base, uint32_t limit,
                          uint32_t rights)
{
    vmcs_write(vmcs_field_after(VMCS_GUEST_ES_SELECTOR, number), selector);
    vmcs_write(vmcs_field_after(VMCS_GUEST_ES_BASE, number), base);
    vmcs_write(vmcs_field_after(VMCS_GUEST_ES_LIMIT, number), limit);
    vmcs_write(vmcs_field_after(VMCS_GUEST_ES_RIGHTS, number), rights);
}

/* With VPID the guest's translations outlive exits; a paging change that we make must end them. */
static void flush_translations(const struct vcpu *vcpu)
{
    const struct {
        uint64_t vpid;
        uint64_t address;
    } descriptor = {vcpu->arch->address_space, 0};
    const uint64_t single_context = 1;
    bool good;

    if (vcpu->backend->controls->vpid) {
        __asm__ volatile("invvpid %1, %2"
                         : "=@cca"(good)
                         : "m"(descriptor), "r"(single_context)
                         : "memory");
        if (!good) {
            vmcs_failed("INVVPID", descriptor.vpid);
        }
    }
}

/*
 * What stands in the VMCS for a guest's CR0. CD and NW would be the CPU's, with whoever runs there
 * next, for entries and exits leave them alone (SDM Vol. 3C, 27.3.2.1, 28.5.1): a guest only
 * believes that it has set them.
 */
static uint64_t real_cr0(const struct vcpu *vcpu, uint64_t value)
{
    return (value & ~(CR0_CD | CR0_NW)) | vcpu->backend->cr0_forced;
}

/* What the two ways to start differ in; the rest is as after INIT (SDM Vol. 3A, table 9-1). */
struct initial_state {
    uint64_t cr0;
    uint64_t cr3;
    uint64_t cr4;
    uint64_t efer;
    uint64_t rip;
    uint64_t rsp;
    uint32_t code_rights;
    uint32_t data_rights;
    uint16_t code_selector;
    uint16_t data_selector;
    uint64_t code_base;
    uint32_t limit;
};

static void write_initial_segments(const struct initial_state *state)
{
    const uint32_t busy_task = 0x8b; /* VM entry wants a busy TSS (SDM Vol. 3C, 27.3.1.2) */
    const uint32_t unusable = 1U << 16;

    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++) {
        if (i == SEGMENT_CS) {
            write_segment(i, state->code_selector, state->code_base, state->limit,
                          state->code_rights);
        } else {
            write_segment(i, state->data_selector, 0, state->limit, state->data_rights);
        }
    }
    write_segment(SEGMENT_LDTR, 0, 0, 0, unusable);
    write_segment(SEGMENT_TR, 0, 0, 0x67, busy_task);
    vmcs_write(VMCS_GUEST_GDTR_BASE, 0);
    vmcs_write(VMCS_GUEST_GDTR_LIMIT, 0xffff);
    vmcs_write(VMCS_GUEST_IDTR_BASE, 0);
    vmcs_write(VMCS_GUEST_IDTR_LIMIT, 0xffff);
}

static void write_initial_state(struct vcpu *vcpu, const struct initial_state *state)
{
    uint32_t entry = vcpu->backend->controls->value[CONTROL_ENTRY];

    memset(vcpu->general, 0, sizeof(vcpu->general));
    write_initial_segments(state);
    vmcs_write(VMCS_GUEST_CR0, real_cr0(vcpu, state->cr0));
    vmcs_write(VMCS_CR0_SHADOW, state->cr0);
    vmcs_write(VMCS_GUEST_CR3, state->cr3);
    vmcs_write(VMCS_GUEST_CR4, state->cr4 | VMX_CR4_FORCED);
    vmcs_write(VMCS_CR4_SHADOW, state->cr4);
    vmcs_write(VMCS_GUEST_EFER, state->efer);
    vmcs_write(VMCS_ENTRY_CONTROLS, (state->efer & EFER_LMA) != 0 ? entry : entry & ~ENTRY_IA32E);
    vmcs_write(VMCS_GUEST_PAT, PAT_RESET);
    vmcs_write(VMCS_GUEST_DR7, 0x400);
    vmcs_write(VMCS_GUEST_DEBUGCTL, 0);
    vmcs_write(VMCS_GUEST_RIP, state->rip);
    vmcs_write(VMCS_GUEST_RSP, state->rsp);
    vmcs_write(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
    /* Bochs 2.7 leaves "blocking by SMI" here after a start-up interrupt; real CPUs leave 0. */
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
    vmcs_write(VMCS_GUEST_ACTIVITY, 0);
    vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
    vmcs_write(VMCS_GUEST_SYSENTER_CS, 0);
    vmcs_write(VMCS_GUEST_SYSENTER_ESP, 0);
    vmcs_write(VMCS_GUEST_SYSENTER_EIP, 0);
    vmx_reset_events(vcpu);
}

void vmx_vcpu_start(struct vcpu *vcpu, const struct vcpu_start *start)
{
    const bool wide = start->mode == START_64_BIT;
    const struct initial_state state = {
        .cr0 = wide ? CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG : CR0_PE | CR0_ET,
        .cr3 = wide ? start->cr3 : 0,
        .cr4 = wide ? CR4_PAE : 0,
        .efer = wide ? EFER_LME | EFER_LMA : 0,
        .rip = start->rip,
        .rsp = start->rsp,
        /* Both 4 KiB units, present, execute/read and accessed; 64-bit or 32-bit. */
        .code_rights = wide ? 0xa09b : 0xc09b,
        .data_rights = 0xc093, /* 32-bit, 4 KiB units, present, read/write, accessed */
        .code_selector = start->code_selector,
        .data_selector = start->data_selector,
        .limit = UINT32_MAX,
    };

    write_initial_state(vcpu, &state);
    flush_translations(vcpu);
    write_cr2(0);
    write_dr6(DR6_RESET);
    for (unsigned i = 0; i < VMX_RESIDENT_MSRS; i++) {
        write_msr(resident_msrs[i], 0);
    }
    vcpu->backend->spec_ctrl = 0;
    vcpu->general[GENERAL_RAX] = start->rax;
    vcpu->general[GENERAL_RBX] = start->rbx;
    vcpu->general[GENERAL_RSI] = start->rsi;
    vcpu->general[GENERAL_RDI] = start->rdi;
    vmcs_write(VMCS_GUEST_GDTR_BASE, start->gdt_base);
    vmcs_write(VMCS_GUEST_GDTR_LIMIT, start->gdt_limit);
}

void vmx_vcpu_start_up(struct vcpu *vcpu, uint8_t vector)
{
    const struct initial_state state = {
        .cr0 = CR0_ET | CR0_CD | CR0_NW,
        .code_rights = 0x9b, /* 16-bit, present, execute/read, accessed */
        .data_rights = 0x93, /* 16-bit, present, read/write, accessed */
        .code_selector = (uint16_t)(vector << 8),
        .code_base = (uint64_t)vector << 12,
        .limit = 0xffff,
    };

    write_initial_state(vcpu, &state);
    flush_translations(vcpu);
}

static uint64_t read_shadowed(enum vmcs_field value, enum vmcs_field mask, enum vmcs_field shadow)
{
    uint64_t owned = vmcs_read(mask);

    return (vmcs_read(value) & ~owned) | (vmcs_read(shadow) & owned);
}

uint64_t vmx_get(struct vcpu *vcpu, enum vcpu_register name)
{
    (void)vcpu;
    switch (name) {
    case REGISTER_RIP:
        return vmcs_read(VMCS_GUEST_RIP);
    case REGISTER_RSP:
        return vmcs_read(VMCS_GUEST_RSP);
    case REGISTER_RFLAGS:
        return vmcs_read(VMCS_GUEST_RFLAGS);
    case REGISTER_CR0:
        return read_shadowed(VMCS_GUEST_CR0, VMCS_CR0_MASK, VMCS_CR0_SHADOW);
    case REGISTER_CR3:
        return vmcs_read(VMCS_GUEST_CR3);
    case REGISTER_CR4:
        return read_shadowed(VMCS_GUEST_CR4, VMCS_CR4_MASK, VMCS_CR4_SHADOW);
    case REGISTER_EFER:
        return vmcs_read(VMCS_GUEST_EFER);
    }
    return 0;
}

/* Long mode goes on and off with CR0.PG while EFER.LME is set (SDM Vol. 3A, 10.8.5). */
static void update_long_mode(uint64_t cr0)
{
    uint64_t efer = vmcs_read(VMCS_GUEST_EFER);
    uint64_t entry = vmcs_read(VMCS_ENTRY_CONTROLS);
    bool active = (cr0 & CR0_PG) != 0 && (efer & EFER_LME) != 0;

    vmcs_write(VMCS_GUEST_EFER, active ? efer | EFER_LMA : efer & ~EFER_LMA);
    vmcs_write(VMCS_ENTRY_CONTROLS, active ? entry | ENTRY_IA32E : entry & ~(uint64_t)ENTRY_IA32E);
}

/* PAE paging caches its four top entries when CR0 or CR4 is written (SDM Vol. 3A, 4.4.1). */
static void load_page_directory_pointers(struct vcpu *vcpu)
{
    uint64_t table = vmcs_read(VMCS_GUEST_CR3) & 0xffffffe0ULL;

    if ((vmcs_read(VMCS_GUEST_CR0) & CR0_PG) == 0 || (vmcs_read(VMCS_GUEST_CR4) & CR4_PAE) == 0 ||
        (vmcs_read(VMCS_GUEST_EFER) & EFER_LMA) != 0) {
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        uint64_t entry = 0;

        (void)guest_memory_load64(&vcpu->vm->memory, table + i * sizeof(entry), &entry);
        vmcs_write(vmcs_field_after(VMCS_GUEST_PDPTE_0, i), entry);
    }
}

void vmx_set(struct vcpu *vcpu, enum vcpu_register name, uint64_t value)
{
    switch (name) {
    case REGISTER_RIP:
        vmcs_write(VMCS_GUEST_RIP, value);
        return;
    case REGISTER_RSP:
        vmcs_write(VMCS_GUEST_RSP, value);
        return;
    case REGISTER_RFLAGS:
        vmcs_write(VMCS_GUEST_RFLAGS, value);
        return;
    case REGISTER_CR0:
        vmcs_write(VMCS_GUEST_CR0, real_cr0(vcpu, value));
        vmcs_write(VMCS_CR0_SHADOW, value);
        update_long_mode(value);
        load_page_directory_pointers(vcpu);
        flush_translations(vcpu);
        return;
    case REGISTER_CR3:
        vmcs_write(VMCS_GUEST_CR3, value);
        return;
    case REGISTER_CR4:
        vmcs_write(VMCS_GUEST_CR4, value | VMX_CR4_FORCED);
        vmcs_write(VMCS_CR4_SHADOW, value);
        load_page_directory_pointers(vcpu);
        flush_translations(vcpu);
        return;
    case REGISTER_EFER:
        vmcs_write(VMCS_GUEST_EFER, value);
        return;
    }
}

void vmx_get_segment(struct vcpu *vcpu, enum segment_name name, struct segment *segment)
{
    (void)vcpu;
    segment->selector = (uint16_t)vmcs_read(vmcs_field_after(VMCS_GUEST_ES_SELECTOR, name));
    segment->base = vmcs_read(vmcs_field_after(VMCS_GUEST_ES_BASE, name));
    segment->limit = (uint32_t)vmcs_read(vmcs_field_after(VMCS_GUEST_ES_LIMIT, name));
    segment->attributes = (uint16_t)vmcs_read(vmcs_field_after(VMCS_GUEST_ES_RIGHTS, name));
}

/* CR0 and CR4 as the processor has them: those of their bits that we own do not matter here. */
bool vmx_update_code(struct vcpu *vcpu, struct code_state *code)
{
    const enum vmcs_field cs_base = vmcs_field_after(VMCS_GUEST_ES_BASE, SEGMENT_CS);
    const enum vmcs_field cs_rights = vmcs_field_after(VMCS_GUEST_ES_RIGHTS, SEGMENT_CS);

    (void)vcpu;
    return (update_value(&code->rip, vmcs_read(VMCS_GUEST_RIP)) |
            update_value(&code->cr0, vmcs_read(VMCS_GUEST_CR0)) |
            update_value(&code->cr3, vmcs_read(VMCS_GUEST_CR3)) |
            update_value(&code->cr4, vmcs_read(VMCS_GUEST_CR4)) |
            update_value(&code->efer, vmcs_read(VMCS_GUEST_EFER)) |
            update_value(&code->cs_base, vmcs_read(cs_base)) |
            update_value(&code->cs_attributes, (uint16_t)vmcs_read(cs_rights))) != 0;
}

/* What the end of an instruction does to debugging: RF goes off, TF traps (SDM 3B, 18.3). */
static void follow_debugging(uint64_t rflags)
{
    vmcs_write(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
    if ((rflags & RFLAGS_TF) != 0) {
        vmcs_write(VMCS_GUEST_PENDING_DEBUG,
                   vmcs_read(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
    }
}

void vmx_skip(struct vcpu *vcpu, uint64_t rip)
{
    const uint64_t shadows = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;
    uint64_t interruptibility = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
    uint64_t rflags = vmcs_read(VMCS_GUEST_RFLAGS);

    (void)vcpu;
    vmcs_write(VMCS_GUEST_RIP, rip);
    if ((rflags & (RFLAGS_RF | RFLAGS_TF)) != 0) {
        follow_debugging(rflags);
    }
    if ((interruptibility & shadows) != 0) {
        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, interruptibility & ~shadows);
    }
}

void vmx_dump(struct vcpu *vcpu)
{
    log_line("RIP %016lx RSP %016lx RFLAGS %016lx EFER %lx", vmx_get(vcpu, REGISTER_RIP),
             vmx_get(vcpu, REGISTER_RSP), vmx_get(vcpu, REGISTER_RFLAGS),
             vmx_get(vcpu, REGISTER_EFER));
    log_line("CR0 %016lx CR3 %016lx CR4 %016lx", vmx_get(vcpu, REGISTER_CR0),
             vmx_get(vcpu, REGISTER_CR3), vmx_get(vcpu, REGISTER_CR4));
    log_line("exit reason 0x%lx, qualification 0x%lx, instruction error %lu, interruptibility "
             "0x%lx",
             vmcs_read(VMCS_EXIT_REASON), vmcs_read(VMCS_EXIT_QUALIFICATION),
             vmcs_read(VMCS_INSTRUCTION_ERROR), vmcs_read(VMCS_GUEST_INTERRUPTIBILITY));
}
