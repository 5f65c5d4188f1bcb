/* AMD SVM behind the neutral table: what there is, switching it on, nested tables, entry. */
#include "arch/x86/svm/svm.h"

#include <string.h>

#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"
#include "arch/x86/cpu/this_cpu.h"
#include "arch/x86/guest/machine.h"
#include "arch/x86/svm/state.h"
#include "vmm/log.h"
#include "vmm/vm.h"

/* APM Vol. 3, appendix E. */
#define LEAF_EXTENDED          0x80000000U
#define LEAF_FEATURES          0x80000001U
#define LEAF_SVM               0x8000000aU
#define FEATURES_ECX_SVM       (1U << 2)
#define FEATURES_EDX_1G        (1U << 26)
#define SVM_EDX_NESTED_PAGING  (1U << 0)
#define SVM_EDX_NEXT_RIP       (1U << 3)
#define SVM_EDX_FLUSH_BY_ASID  (1U << 6)
#define SVM_EDX_DECODE_ASSISTS (1U << 7)

/* APM Vol. 2, 15.30.1. */
#define VM_CR_LOCK     (1ULL << 3)
#define VM_CR_DISABLED (1ULL << 4)

/* Nested entries are walked as user accesses (APM Vol. 2, 15.25.5). */
#define NESTED_PRESENT (1ULL << 0)
#define NESTED_WRITE   (1ULL << 1)
#define NESTED_USER    (1ULL << 2)

void svm_enter(uint64_t *general, struct vmcb *vmcb, const void *host, unsigned defences);

/* Found once by requirements(). */
static struct svm_abilities abilities;
static unsigned defences;
static bool automatic_ibrs;
static struct page_table_format nested_format = {
    .present = NESTED_PRESENT,
    .table = NESTED_PRESENT | NESTED_WRITE | NESTED_USER,
};

static struct cpuid_registers extended_cpuid(uint32_t leaf)
{
    struct cpuid_registers none = {0};

    return leaf <= cpuid(LEAF_EXTENDED, 0).eax ? cpuid(leaf, 0) : none;
}

/* Whether this CPU's firmware did that: setting EFER.SVME then faults (APM Vol. 2, 15.4). */
static bool locked_off(void)
{
    uint64_t both = VM_CR_LOCK | VM_CR_DISABLED;

    return (read_msr(MSR_VM_CR) & both) == both;
}

static bool svm_supported(void)
{
    return (extended_cpuid(LEAF_FEATURES).ecx & FEATURES_ECX_SVM) != 0;
}

static void svm_requirements(requirement_report report, void *context)
{
    bool svm = svm_supported();

    report(context, "SVM (CPUID.80000001H:ECX.SVM)", svm,
           "use a processor with AMD-V; under a hypervisor, enable nested virtualisation for this "
           "virtual machine");
    if (!svm) {
        return;
    }
    struct cpuid_registers features = extended_cpuid(LEAF_SVM);

    abilities = (struct svm_abilities){
        .next_rip = (features.edx & SVM_EDX_NEXT_RIP) != 0,
        .decode_assists = (features.edx & SVM_EDX_DECODE_ASSISTS) != 0,
        .flush_by_asid = (features.edx & SVM_EDX_FLUSH_BY_ASID) != 0,
        .asids = features.ebx,
    };
    const struct cpu_facts facts = this_cpu_facts();

    defences = errata_defences(&facts);
    automatic_ibrs = errata_automatic_ibrs(&facts);
    nested_format.largest_page =
        (extended_cpuid(LEAF_FEATURES).edx & FEATURES_EDX_1G) != 0 ? PAGE_SIZE_1G : PAGE_SIZE_2M;
    report(context, "SVM not locked off (VM_CR.SVMDIS)", !locked_off(),
           "switch on \"SVM Mode\" or \"AMD-V\" in the firmware's set-up, then power-cycle");
    report(context, "nested paging (CPUID.8000000AH:EDX.NP)",
           (features.edx & SVM_EDX_NESTED_PAGING) != 0,
           "use an AMD processor since Zen (2017), or with rng = rdrand since Excavator (2015); "
           "under a hypervisor, let it show nested paging (QEMU: -cpu with +npt)");
    report(context, "address space identifiers (CPUID.8000000AH:EBX)", abilities.asids > 1,
           "the hypervisor below us gives none: use another CPU model");
}

/* SVM has no controls for them, nor an intercept for RDSEED: what the CPU has, its guests have. */
static unsigned svm_guest_instructions(void)
{
    return GUEST_HAS_RDTSCP | GUEST_HAS_INVPCID;
}

/* There are no intercepts of RDRAND and RDSEED (APM Vol. 2, 15.9). */
static bool svm_traps_random(void)
{
    return false;
}

static uint64_t svm_largest_page(void)
{
    return nested_format.largest_page;
}

static bool svm_enable(struct arena *arena)
{
    void *save_area = arena_allocate(arena, PAGE_SIZE, PAGE_SIZE);

    if (save_area == NULL) {
        return false;
    }
    if (!svm_supported() || locked_off()) {
        log_line("SVM is missing or locked off on this CPU, though not on CPU 0");
        return false;
    }
    if ((read_msr(MSR_VM_CR) & VM_CR_DISABLED) != 0) {
        write_msr(MSR_VM_CR, read_msr(MSR_VM_CR) & ~VM_CR_DISABLED);
    }
    write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_SVME | (automatic_ibrs ? EFER_AIBRSE : 0));
    write_msr(MSR_VM_HSAVE_PA, (uintptr_t)save_area);
    return true;
}

static void svm_disable(void)
{
    write_msr(MSR_VM_HSAVE_PA, 0);
    write_msr(MSR_EFER, read_msr(MSR_EFER) & ~(EFER_SVME | EFER_AIBRSE));
}

static bool svm_vm_create(struct vm *vm, struct arena *arena)
{
    struct backend_vm *backend = arena_allocate(arena, sizeof(*backend), _Alignof(uint64_t));

    vm->backend = backend;
    if (backend == NULL || !page_table_init(&backend->nested, &nested_format, arena)) {
        return false;
    }
    backend->iopm = arena_allocate(arena, IOPM_SIZE, PAGE_SIZE);
    backend->msrpm = arena_allocate(arena, MSRPM_SIZE, PAGE_SIZE);
    if (backend->iopm == NULL || backend->msrpm == NULL) {
        return false;
    }
    memset(backend->iopm, 0xff, IOPM_SIZE); /* no port reaches the hardware */
    memset(backend->msrpm, 0xff, MSRPM_SIZE);
    cpu_policy_passed_msrs(vm->arch->policy, msrpm_pass, backend->msrpm);
    return true;
}

static bool svm_map(struct vm *vm, uint64_t gpa, const void *hva, uint64_t size, unsigned rights,
                    struct arena *arena)
{
    uint64_t flags = NESTED_PRESENT | NESTED_USER | ((rights & MAP_WRITE) != 0 ? NESTED_WRITE : 0);

    return page_table_map(&vm->backend->nested, gpa, (uintptr_t)hva, size, flags, arena);
}

static bool svm_vcpu_create(struct vcpu *vcpu, struct arena *arena)
{
    const struct backend_vm *vm = vcpu->vm->backend;
    struct backend_vcpu *backend = arena_allocate(arena, sizeof(*backend), _Alignof(uint64_t));

    vcpu->backend = backend;
    if (backend == NULL) {
        return false;
    }
    if (vcpu->arch->address_space >= abilities.asids) {
        log_line("this machine has address spaces for %u vCPUs only", abilities.asids - 1);
        return false;
    }
    backend->abilities = &abilities;
    backend->vmcb = arena_allocate(arena, PAGE_SIZE, PAGE_SIZE);
    backend->host = arena_allocate(arena, PAGE_SIZE, PAGE_SIZE);
    if (backend->vmcb == NULL || backend->host == NULL) {
        return false;
    }
    const struct vmcb_setup setup = {
        .iopm = (uintptr_t)vm->iopm,
        .msrpm = (uintptr_t)vm->msrpm,
        .nested_cr3 = (uintptr_t)vm->nested.root,
        .asid = vcpu->arch->address_space,
    };

    vmcb_init(backend->vmcb, &setup);
    __asm__ volatile("vmsave %0" : : "a"(backend->host) : "memory");
    return true;
}

/* The VMCB has all that the entry does not load and store by itself, each time. */
static void svm_load(struct vcpu *vcpu)
{
    (void)vcpu;
}

static void svm_unload(struct vcpu *vcpu)
{
    (void)vcpu;
}

/*
 * CR8 lives in the VMCB while the guest runs, and in the local APIC's page otherwise; bits 0-3 of
 * the TPR, which CR8 does not have, stay as they are unless the guest wrote CR8.
 */
static uint64_t load_task_priority(struct vmcb *vmcb, const struct local_apic *apic)
{
    uint64_t priority = local_apic_cr8(apic);

    vmcb->virtual_interrupt = (vmcb->virtual_interrupt & ~VIRTUAL_TPR) | priority;
    return priority;
}

static void save_task_priority(const struct vmcb *vmcb, struct local_apic *apic, uint64_t loaded)
{
    uint64_t priority = vmcb->virtual_interrupt & VIRTUAL_TPR;

    if (priority != loaded) {
        (void)local_apic_set_cr8(apic, priority);
    }
}

/*
 * A write of CR8 that exited, because an interrupt waits for it: is carried out here, for the core
 * knows no CR8. Then it is as good as an interrupt window.
 */
static void write_task_priority(struct vcpu *vcpu, struct vm_exit *exit)
{
    if (local_apic_set_cr8(&vcpu->arch->apic, exit->control_register.value)) {
        svm_skip(vcpu, exit->rip + exit->instruction_length);
    } else {
        svm_inject_exception(vcpu, VECTOR_GENERAL_PROTECTION, true, 0);
    }
    *exit = (struct vm_exit){.kind = EXIT_INTERRUPT_WINDOW, .rip = exit->rip};
}

static void svm_run(struct vcpu *vcpu, struct vm_exit *exit)
{
    struct backend_vcpu *backend = vcpu->backend;
    struct vmcb *vmcb = backend->vmcb;
    struct local_apic *apic = &vcpu->arch->apic;

    vmcb->state.rax = vcpu->general[GENERAL_RAX];
    uint64_t priority = load_task_priority(vmcb, apic);

    svm_offer_interrupt(backend);
    svm_enter(vcpu->general, vmcb, backend->host, defences);
    svm_withdraw_interrupt(backend);
    vcpu->general[GENERAL_RAX] = vmcb->state.rax;
    save_task_priority(vmcb, apic, priority);
    vmcb->tlb_control = TLB_FLUSH_NOTHING;
    /* We write the virtual interrupt control before every entry. */
    vmcb->clean = CLEAN_ALL & ~CLEAN_VIRTUAL_INTERRUPT;
    svm_translate_exit(vcpu, exit);
    svm_follow_exit(backend);
    if (exit->kind == EXIT_CONTROL_REGISTER && exit->control_register.number == 8) {
        write_task_priority(vcpu, exit);
    }
}

/* Delivery goes by inject_interrupt() alone, whatever the mode; AVIC is not used. */
static void svm_set_x2apic_mode(struct vcpu *vcpu, bool x2apic, int in_service)
{
    (void)vcpu;
    (void)x2apic;
    (void)in_service;
}

const struct virtualization svm_virtualization = {
    .name = "AMD SVM",
    .supported = svm_supported,
    .requirements = svm_requirements,
    .guest_instructions = svm_guest_instructions,
    .traps_random = svm_traps_random,
    .largest_page = svm_largest_page,
    .enable = svm_enable,
    .disable = svm_disable,
    .vm_create = svm_vm_create,
    .map = svm_map,
    .vcpu_create = svm_vcpu_create,
    .load = svm_load,
    .unload = svm_unload,
    .vcpu_start = svm_vcpu_start,
    .vcpu_start_up = svm_vcpu_start_up,
    .run = svm_run,
    .get = svm_get,
    .set = svm_set,
    .get_segment = svm_get_segment,
    .update_code = svm_update_code,
    .skip = svm_skip,
    .inject_exception = svm_inject_exception,
    .inject_interrupt = svm_inject_interrupt,
    .inject_nmi = svm_inject_nmi,
    .cancel_interrupt_window = svm_cancel_interrupt_window,
    .set_x2apic_mode = svm_set_x2apic_mode,
    .request_interrupt = svm_request_interrupt,
    .dump = svm_dump,
};
