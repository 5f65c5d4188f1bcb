/* What a guest's exits mean on an x86 machine: ports, memory, CPUID, MSRs, control registers. */
#include "vmm/arch.h"

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/fetch.h"
#include "arch/x86/guest/layout.h"
#include "arch/x86/guest/machine.h"
#include "arch/x86/guest/port.h"
#include "arch/x86/guest/privilege.h"
#include "arch/x86/guest/string_port.h"
#include "vmm/access_size.h"
#include "vmm/host.h"
#include "vmm/panic.h"
#include "vmm/vm.h"

#define SEGMENT_LONG (1U << 13) /* CS.L, attribute bit 13 (SDM Vol. 3A, 3.4.5) */
#define CR3_PCID     0xfffULL

/* A fault of the guest's: it is told as the processor would tell it. */
static enum exit_action fault(struct vcpu *vcpu, unsigned vector)
{
    vcpu->vm->virtualization->inject_exception(vcpu, vector, vector == VECTOR_GENERAL_PROTECTION,
                                               0);
    return ACTION_RESUME;
}

static enum exit_action handle_port(struct vcpu *vcpu, const struct exit_port *port)
{
    struct vm *vm = vcpu->vm;
    uint64_t *rax = &vcpu->general[GENERAL_RAX];

    if (port->string) {
        return string_port(vcpu, port);
    }
    if (port->write) {
        port_write(vm, port->port, port->size, *rax);
    } else {
        /* A 32-bit result clears the upper half of RAX, smaller ones leave it (SDM 1, 3.4.1.1). */
        uint64_t kept = port->size == 4 ? 0 : *rax & ~access_mask(port->size);

        *rax = kept | port_read(vm, port->port, port->size);
    }
    return vm_running(vm) ? ACTION_SKIP : ACTION_STOP;
}

/* Whether an access at this offset from the APICs' base goes to the vCPU's own APIC. */
static bool in_local_apic(const struct vcpu *vcpu, uint64_t offset)
{
    return offset < LAYOUT_APIC_SIZE && local_apic_in_xapic_mode(&vcpu->arch->apic);
}

static void count_unknown_memory(struct vm *vm, uint64_t gpa)
{
    machine_count_unknown(&vm->arch->unknown_memory, gpa & ~0xfffULL);
}

/*
 * Writes to a device, with the machine's lock held around it, or to the vCPU's own APIC. False if
 * some vCPU, this one perhaps, has to look at what has changed.
 */
static bool write_memory(struct vcpu *vcpu, uint64_t gpa, const struct mmio_instruction *access)
{
    struct vm *vm = vcpu->vm;
    uint64_t source =
        access->is_immediate ? 0 : vcpu_general_register(vcpu, (enum general_register)access->reg);
    uint64_t value = mmio_write_value(access, source);
    uint64_t offset = gpa - LAYOUT_LOCAL_APIC_BASE;

    if (in_local_apic(vcpu, offset)) {
        local_apic_write(&vcpu->arch->apic, offset, access->size, value, host_ticks());
        return false;
    }
    machine_lock(vm);
    if (!bus_write(&vm->mmio, gpa, access->size, value)) {
        count_unknown_memory(vm, gpa);
    }
    return machine_unlock(vm);
}

/* Reads likewise. */
static bool read_memory(struct vcpu *vcpu, uint64_t gpa, const struct mmio_instruction *access)
{
    struct vm *vm = vcpu->vm;
    enum general_register number = (enum general_register)access->reg;
    uint64_t offset = gpa - LAYOUT_LOCAL_APIC_BASE;
    uint64_t value = UINT64_MAX;
    bool settled = false;

    if (in_local_apic(vcpu, offset)) {
        value = local_apic_read(&vcpu->arch->apic, offset, access->size, host_ticks());
    } else {
        machine_lock(vm);
        if (!bus_read(&vm->mmio, gpa, access->size, &value)) {
            count_unknown_memory(vm, gpa);
        }
        settled = machine_unlock(vm);
    }
    value &= access_mask(access->size);
    vcpu_set_general_register(vcpu, number,
                              mmio_read_result(access, vcpu_general_register(vcpu, number), value));
    return settled;
}

static enum exit_action handle_memory(struct vcpu *vcpu, struct vm_exit *exit)
{
    const struct exit_memory *memory = &exit->memory;
    const struct mmio_instruction *access = NULL;

    if (!memory->walk && !memory->delivering && !memory->fetch) {
        access = &fetch_instruction(vcpu, exit->rip)->mmio;
    }
    if (access == NULL || access->length == 0 || access->is_write != memory->write) {
        vm_end(vcpu->vm, VM_CRASHED, "%s GPA 0x%lx, which is no memory, at RIP 0x%lx",
               memory->fetch  ? "executes at"
               : memory->walk ? "has a page table at"
                              : "accesses",
               memory->gpa, exit->rip);
        return ACTION_STOP;
    }
    bool settled = access->is_write ? write_memory(vcpu, memory->gpa, access)
                                    : read_memory(vcpu, memory->gpa, access);

    exit->instruction_length = access->length;
    if (!vm_running(vcpu->vm)) {
        return ACTION_STOP;
    }
    return settled ? ACTION_SKIP_AT_ONCE : ACTION_SKIP;
}

static enum exit_action handle_cpuid(struct vcpu *vcpu)
{
    uint32_t leaf = (uint32_t)vcpu->general[GENERAL_RAX];
    const struct cpuid_context context = {
        .apic_id = vcpu->arch->apic.id,
        .vcpu_count = vcpu->vm->vcpu_count,
        /* Asked for only where it shows: in VMX that takes a while. */
        .cr4 = leaf == CPUID_LEAF_WITH_CR4 ? vcpu_get(vcpu, REGISTER_CR4) : 0,
    };
    struct cpuid_registers answer = cpu_policy_cpuid(vcpu->vm->arch->policy, &context, leaf,
                                                     (uint32_t)vcpu->general[GENERAL_RCX]);

    vcpu->general[GENERAL_RAX] = answer.eax;
    vcpu->general[GENERAL_RBX] = answer.ebx;
    vcpu->general[GENERAL_RCX] = answer.ecx;
    vcpu->general[GENERAL_RDX] = answer.edx;
    return ACTION_SKIP_AT_ONCE;
}

static bool is_apic_msr(uint32_t index)
{
    return index == MSR_APIC_BASE || index == MSR_TSC_DEADLINE ||
           (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST);
}

static bool read_msr_value(struct vcpu *vcpu, uint32_t index, uint64_t *value)
{
    if (is_apic_msr(index)) {
        return local_apic_read_msr(&vcpu->arch->apic, index, value, host_ticks());
    }
    if (index == MSR_EFER) {
        *value = vcpu_get(vcpu, REGISTER_EFER);
        return true;
    }
    return pv_eoi_read_msr(&vcpu->arch->pv_eoi, index, value) ||
           pvclock_read_msr(&vcpu->arch->pvclock, index, value) ||
           cpu_policy_msr_read(vcpu->vm->arch->policy, index, value);
}

/* LMA is the processor's; LME cannot change while paging is on (SDM Vol. 3A, 10.8.5). */
static bool write_efer(struct vcpu *vcpu, uint64_t value)
{
    uint64_t old = vcpu_get(vcpu, REGISTER_EFER);
    bool paging = (vcpu_get(vcpu, REGISTER_CR0) & CR0_PG) != 0;

    if (!cpu_policy_efer_valid(vcpu->vm->arch->policy, value) ||
        (paging && ((value ^ old) & EFER_LME) != 0)) {
        return false;
    }
    vcpu_set(vcpu, REGISTER_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
    return true;
}

static bool write_apic_msr(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
    struct local_apic *apic = &vcpu->arch->apic;

    if (!local_apic_write_msr(apic, index, value, host_ticks())) {
        return false;
    }
    if (index == MSR_APIC_BASE) {
        vcpu->vm->virtualization->set_x2apic_mode(vcpu, local_apic_in_x2apic_mode(apic),
                                                  local_apic_highest_isr(apic));
    }
    return true;
}

static bool write_msr_value(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
    struct arch_vm *arch = vcpu->vm->arch;

    if (is_apic_msr(index)) {
        return write_apic_msr(vcpu, index, value);
    }
    if (index == MSR_EFER) {
        return write_efer(vcpu, value);
    }
    return pv_eoi_write_msr(&vcpu->arch->pv_eoi, &vcpu->vm->memory, index, value) ||
           pvclock_write_msr(&vcpu->arch->pvclock, &vcpu->vm->memory, arch->clock, index, value) ||
           cpu_policy_msr_write(arch->policy, index);
}

static enum exit_action handle_msr(struct vcpu *vcpu, const struct vm_exit *exit)
{
    uint64_t value = exit->msr.value;
    bool known = exit->kind == EXIT_MSR_READ ? read_msr_value(vcpu, exit->msr.index, &value)
                                             : write_msr_value(vcpu, exit->msr.index, value);

    if (!known) {
        struct arch_vm *arch = vcpu->vm->arch;

        machine_lock(vcpu->vm);
        machine_count_unknown(&arch->unknown_msrs, exit->msr.index);
        (void)machine_unlock(vcpu->vm);
        return fault(vcpu, VECTOR_GENERAL_PROTECTION);
    }
    if (exit->kind == EXIT_MSR_READ) {
        vcpu->general[GENERAL_RAX] = (uint32_t)value;
        vcpu->general[GENERAL_RDX] = value >> 32;
    }
    return ACTION_SKIP;
}

/*
 * What MOV to CR0 checks beyond the value itself (SDM Vol. 2B). Paging with EFER.LME set needs PAE
 * and must not begin in a 64-bit segment; it cannot end in 64-bit mode or while PCIDs are in use.
 */
static bool cr0_valid(struct vcpu *vcpu, uint64_t value)
{
    uint64_t changed = value ^ vcpu_get(vcpu, REGISTER_CR0);
    uint64_t cr4 = vcpu_get(vcpu, REGISTER_CR4);
    uint64_t efer = vcpu_get(vcpu, REGISTER_EFER);
    struct segment cs;

    if (!cpu_policy_cr0_valid(value)) {
        return false;
    }
    if ((changed & CR0_PG) == 0) {
        return true;
    }
    vcpu->vm->virtualization->get_segment(vcpu, SEGMENT_CS, &cs);
    bool long_code = (cs.attributes & SEGMENT_LONG) != 0;

    if ((value & CR0_PG) != 0) {
        return (efer & EFER_LME) == 0 || ((cr4 & CR4_PAE) != 0 && !long_code);
    }
    return (cr4 & CR4_PCIDE) == 0 && ((efer & EFER_LMA) == 0 || !long_code);
}

/* MOV to CR4 likewise: long mode needs PAE, and PCIDs begin in long mode with PCID 0. */
static bool cr4_valid(struct vcpu *vcpu, uint64_t value)
{
    uint64_t set = value & ~vcpu_get(vcpu, REGISTER_CR4);
    bool long_mode = (vcpu_get(vcpu, REGISTER_EFER) & EFER_LMA) != 0;

    return cpu_policy_cr4_valid(vcpu->vm->arch->policy, value) &&
           (!long_mode || (value & CR4_PAE) != 0) &&
           ((set & CR4_PCIDE) == 0 ||
            (long_mode && (vcpu_get(vcpu, REGISTER_CR3) & CR3_PCID) == 0));
}

static enum exit_action handle_control_register(struct vcpu *vcpu,
                                                const struct exit_control_register *write)
{
    if (write->number == 0 && cr0_valid(vcpu, write->value)) {
        vcpu_set(vcpu, REGISTER_CR0, write->value);
        return ACTION_SKIP;
    }
    if (write->number == 4 && cr4_valid(vcpu, write->value)) {
        vcpu_set(vcpu, REGISTER_CR4, write->value);
        return ACTION_SKIP;
    }
    return fault(vcpu, VECTOR_GENERAL_PROTECTION);
}

/* AMD processors exit before they look at the privilege level. */
static enum exit_action handle_xsetbv(struct vcpu *vcpu, const struct exit_msr *write)
{
    if (!vcpu_is_privileged(vcpu) || write->index != 0 ||
        !cpu_policy_xcr0_valid(vcpu->vm->arch->policy, write->value)) {
        return fault(vcpu, VECTOR_GENERAL_PROTECTION);
    }
    host_set_xcr0(write->value);
    return ACTION_SKIP;
}

static enum exit_action handle_exception(struct vcpu *vcpu, const struct vm_exit *exit)
{
    const struct exit_exception *exception = &exit->exception;

    if (exception->vector == VECTOR_MACHINE_CHECK) {
        panic("machine check while guest \"%s\" ran, at its RIP 0x%lx", vcpu->vm->name, exit->rip);
    }
    vcpu->vm->virtualization->inject_exception(vcpu, exception->vector, exception->has_error_code,
                                               exception->error_code);
    return ACTION_RESUME;
}

enum exit_action arch_handle_exit(struct vcpu *vcpu, struct vm_exit *exit)
{
    pv_eoi_collect(&vcpu->arch->pv_eoi, &vcpu->arch->apic);
    switch (exit->kind) {
    case EXIT_PORT:
        return handle_port(vcpu, &exit->port);
    case EXIT_MEMORY:
        return handle_memory(vcpu, exit);
    case EXIT_CPUID:
        return handle_cpuid(vcpu);
    case EXIT_MSR_READ:
    case EXIT_MSR_WRITE:
        return handle_msr(vcpu, exit);
    case EXIT_CONTROL_REGISTER:
        return handle_control_register(vcpu, &exit->control_register);
    case EXIT_XSETBV:
        return handle_xsetbv(vcpu, &exit->msr);
    case EXIT_EOI:
        local_apic_report_eoi(&vcpu->arch->apic, exit->vector);
        return ACTION_RESUME;
    case EXIT_RANDOM:
        random_instruction(vcpu, &exit->random);
        return ACTION_SKIP;
    case EXIT_EXCEPTION:
        return handle_exception(vcpu, exit);
    default:
        return fault(vcpu, VECTOR_INVALID_OPCODE);
    }
}

void arch_vcpu_advance(struct vcpu *vcpu, uint64_t now)
{
    local_apic_advance(&vcpu->arch->apic, now);
    if (vcpu->index == 0 && now >= machine_poll_time(vcpu->vm)) {
        machine_poll(vcpu->vm);
    }
}

uint64_t arch_vcpu_deadline(struct vcpu *vcpu)
{
    uint64_t deadline = local_apic_deadline(&vcpu->arch->apic);
    uint64_t poll = vcpu->index == 0 ? machine_poll_time(vcpu->vm) : UINT64_MAX;

    return poll < deadline ? poll : deadline;
}

uint64_t arch_vcpu_wake_time(struct vcpu *vcpu)
{
    const struct arch_vcpu *arch = vcpu->arch;

    if (arch->halted && arch->takes_interrupts &&
        local_apic_may_deliver(&arch->apic, (uint8_t)arch->apic.timer.lvt)) {
        return arch_vcpu_deadline(vcpu);
    }
    return vcpu->index == 0 ? machine_poll_time(vcpu->vm) : UINT64_MAX;
}

/* A start-up interrupt counts only while one waits for it (SDM Vol. 3A, 9.4.4). */
static bool startup_event(const struct arch_vcpu *arch)
{
    return __atomic_load_n(&arch->apic.init, __ATOMIC_RELAXED) != 0 ||
           (arch->waiting && __atomic_load_n(&arch->apic.start_up, __ATOMIC_RELAXED) != 0);
}

void arch_vcpu_reset(struct vcpu *vcpu)
{
    vcpu->vm->virtualization->set_x2apic_mode(vcpu, false, -1);
    if (vcpu->index == 0) {
        vcpu->vm->virtualization->vcpu_start(vcpu, &vcpu->vm->arch->start);
    }
}

bool arch_vcpu_ready(struct vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;

    arch->halted = false;

    /* Almost always there is neither: then no more than two loads are spent. */
    if (!arch->waiting && !startup_event(arch)) {
        return true;
    }
    if (local_apic_take_init(&arch->apic)) {
        if (vcpu->index == 0) {
            vm_end(vcpu->vm, VM_RESET, "reset by INIT"); /* what the boot CPU does then */
            return false;
        }
        local_apic_reset_by_init(&arch->apic);
        arch->pv_eoi = (struct pv_eoi){0}; /* the code that comes knows nothing of the word */
        arch->waiting = true;
    }
    int vector = local_apic_take_start_up(&arch->apic);

    if (arch->waiting && vector >= 0) {
        vcpu->vm->virtualization->vcpu_start_up(vcpu, (uint8_t)vector);
        vcpu->general[GENERAL_RDX] = vcpu->vm->arch->policy->host(1, 0).eax; /* table 9-1 */
        arch->waiting = false;
    }
    return !arch->waiting;
}

bool arch_vcpu_halt(struct vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;

    pv_eoi_collect(&arch->pv_eoi, &arch->apic);
    arch->halted = true;
    arch->takes_interrupts = (vcpu_get(vcpu, REGISTER_RFLAGS) & RFLAGS_IF) != 0;
    return arch->takes_interrupts || local_apic_nmi_pending(&arch->apic) ||
           vcpu->vm->vcpu_count > 1;
}

bool arch_vcpu_runnable(const struct vcpu *vcpu)
{
    const struct arch_vcpu *arch = vcpu->arch;
    struct local_apic *apic = &vcpu->arch->apic;

    if (startup_event(arch)) {
        return true;
    }
    if (arch->waiting || !arch->halted) {
        return !arch->waiting;
    }
    return local_apic_nmi_pending(apic) ||
           (arch->takes_interrupts && local_apic_pending_vector(apic) >= 0);
}

void arch_vcpu_deliver(struct vcpu *vcpu)
{
    const struct virtualization *virtualization = vcpu->vm->virtualization;
    struct local_apic *apic = &vcpu->arch->apic;

    pv_eoi_collect(&vcpu->arch->pv_eoi, apic);
    if (local_apic_nmi_pending(apic) && virtualization->inject_nmi(vcpu)) {
        (void)local_apic_take_nmi(apic);
    }
    /* Almost always there is nothing to offer, and there was nothing that is to be taken back. */
    if (!local_apic_has_requests(apic) && !vcpu->arch->offered) {
        return;
    }
    int requested = local_apic_highest_irr(apic);

    vcpu->arch->offered = requested >= 0;
    if (virtualization->request_interrupt(vcpu, requested)) {
        return;
    }
    if (!local_apic_may_deliver(apic, requested)) {
        virtualization->cancel_interrupt_window(vcpu);
    } else if (virtualization->inject_interrupt(vcpu, (unsigned)requested)) {
        vcpu->arch->offered = false;
        if (local_apic_accept(apic, (uint8_t)requested)) {
            pv_eoi_offer(&vcpu->arch->pv_eoi, (uint8_t)requested);
        }
    }
}
