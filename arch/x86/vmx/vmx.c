/* Intel VMX behind the neutral table: what there is, switching it on, EPT, the VMCS, entry. */
#include "arch/x86/vmx/vmx.h"

#include <stddef.h>
#include <string.h>

#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"
#include "arch/x86/cpu/this_cpu.h"
#include "arch/x86/guest/machine.h"
#include "arch/x86/vmx/controls.h"
#include "arch/x86/vmx/state.h"
#include "arch/x86/vmx/vmcs.h"
#include "vmm/log.h"
#include "vmm/vm.h"

#define CPUID_1_ECX_VMX (1U << 5)

#define FEATURE_CONTROL_LOCKED      (1ULL << 0)
#define FEATURE_CONTROL_OUTSIDE_SMX (1ULL << 2)

#define MSR_CR0_FIXED_0 0x486U
#define MSR_CR0_FIXED_1 0x487U
#define MSR_CR4_FIXED_0 0x488U
#define MSR_CR4_FIXED_1 0x489U

/* EPT entries (SDM Vol. 3C, 29.3.2): rights, write-back memory, and the guest's PAT ignored. */
#define EPT_READ       (1ULL << 0)
#define EPT_WRITE      (1ULL << 1)
#define EPT_EXECUTE    (1ULL << 2)
#define EPT_WRITE_BACK (6ULL << 3)
#define EPT_IGNORE_PAT (1ULL << 6)
/* EPT pointer: write-back tables, a walk of 4. */
#define EPTP_FLAGS (6ULL | 3ULL << 3)

/* Exceptions that must exit: #DB and #AC can recur without end while they are delivered
 * (CVE-2015-8104, CVE-2015-5307), and #MC is the machine's, not the guest's. */
#define EXCEPTIONS_WATCHED (1U << VECTOR_DEBUG | 1U << 17 | 1U << VECTOR_MACHINE_CHECK)

bool vmx_enter(uint64_t *general, bool launched, unsigned defences);
extern const uint8_t vmx_exit_point[];

/* The machine's abilities, the same on all its CPUs; found once by requirements(). */
static struct vmx_controls controls;
static unsigned defences;
static uint64_t host_spec_ctrl;
static struct page_table_format ept_format = {
    .present = EPT_READ | EPT_WRITE | EPT_EXECUTE,
    .table = EPT_READ | EPT_WRITE | EPT_EXECUTE,
};

/* False if this CPU's firmware locked VMX off, on which VMXON faults (SDM Vol. 3C, 24.7). */
static bool usable(uint64_t feature_control)
{
    return (feature_control & FEATURE_CONTROL_LOCKED) == 0 ||
           (feature_control & FEATURE_CONTROL_OUTSIDE_SMX) != 0;
}

static bool vmx_supported(void)
{
    return (cpuid(1, 0).ecx & CPUID_1_ECX_VMX) != 0;
}

static uint64_t largest_page(const struct cpu_facts *facts)
{
    if (errata_itlb_multihit(facts)) {
        return PAGE_SIZE;
    }
    return controls.ept_1g ? PAGE_SIZE_1G : PAGE_SIZE_2M;
}

static void vmx_requirements(requirement_report report, void *context)
{
    bool vmx = vmx_supported();

    report(context, "VMX (CPUID.1:ECX.VMX)", vmx,
           "use a processor with Intel VT-x; under a hypervisor, enable nested virtualisation for "
           "this virtual machine");
    if (!vmx) {
        return;
    }
    report(context, "VMX not locked off (IA32_FEATURE_CONTROL)",
           usable(read_msr(MSR_FEATURE_CONTROL)),
           "switch on \"Intel Virtualization Technology\" or \"VT-x\" in the firmware's set-up, "
           "then power-cycle");
    if (vmx_controls_find(read_msr, &controls, report, context)) {
        const struct cpu_facts facts = this_cpu_facts();

        ept_format.largest_page = largest_page(&facts);
        defences = errata_defences(&facts);
        host_spec_ctrl = errata_host_spec_ctrl(&facts);
    }
}

static unsigned vmx_guest_instructions(void)
{
    uint32_t secondary = controls.value[CONTROL_SECONDARY];

    return ((secondary & SECONDARY_RDTSCP) != 0 ? GUEST_HAS_RDTSCP : 0) |
           ((secondary & SECONDARY_INVPCID) != 0 ? GUEST_HAS_INVPCID : 0);
}

static bool vmx_traps_random(void)
{
    return controls.random;
}

static uint64_t vmx_largest_page(void)
{
    return ept_format.largest_page;
}

static bool vmx_enable(struct arena *arena)
{
    uint32_t *region = arena_allocate(arena, PAGE_SIZE, PAGE_SIZE);

    if (region == NULL) {
        return false;
    }
    uint64_t feature_control = vmx_supported() ? read_msr(MSR_FEATURE_CONTROL) : 0;

    if (!vmx_supported() || !usable(feature_control)) {
        log_line("VMX is missing or locked off on this CPU, though not on CPU 0");
        return false;
    }
    /* Firmware may leave it open (SDM Vol. 3C, 24.7): then it is ours to set, on every CPU. */
    if ((feature_control & FEATURE_CONTROL_LOCKED) == 0) {
        write_msr(MSR_FEATURE_CONTROL,
                  feature_control | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_OUTSIDE_SMX);
    }
    write_cr0((read_cr0() | read_msr(MSR_CR0_FIXED_0)) & read_msr(MSR_CR0_FIXED_1));
    write_cr4((read_cr4() | CR4_VMXE | read_msr(MSR_CR4_FIXED_0)) & read_msr(MSR_CR4_FIXED_1));
    *region = (uint32_t)read_msr(MSR_VMX_BASIC) & 0x7fffffff;
    if (!vmx_on(region)) {
        log_line("VMXON failed");
        return false;
    }
    return true;
}

static void vmx_disable(void)
{
    __asm__ volatile("vmxoff" : : : "cc", "memory");
    write_cr4(read_cr4() & ~CR4_VMXE);
}

/* SDM Vol. 3C, 25.6.9: reads of low and high MSRs, then writes of both, 1 KiB each. */
static void pass_msr(void *context, uint32_t index, unsigned rights)
{
    uint8_t *bitmap = context;
    unsigned half = index >= 0xc0000000U ? 1024 : 0;
    unsigned bit = index & 0x1fff;

    if ((rights & MSR_PASS_READ) != 0) {
        bitmap[half + bit / 8] &= (uint8_t) ~(1U << bit % 8);
    }
    if ((rights & MSR_PASS_WRITE) != 0) {
        bitmap[2048 + half + bit / 8] &= (uint8_t) ~(1U << bit % 8);
    }
}

/*
 * With the virtual-APIC page in use x2APIC registers are read, and TPR, EOI and self-IPI written,
 * without an exit (SDM Vol. 3C, 30.5); the current count is ours to compute.
 */
static void pass_x2apic(uint8_t *bitmap)
{
    static const uint32_t written[] = {0x808, 0x80b, 0x83f};

    for (uint32_t index = MSR_X2APIC_FIRST; index <= 0x83f; index++) {
        if (index != 0x839) {
            pass_msr(bitmap, index, MSR_PASS_READ);
        }
    }
    for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
        pass_msr(bitmap, written[i], MSR_PASS_WRITE);
    }
}

static bool vmx_vm_create(struct vm *vm, struct arena *arena)
{
    struct backend_vm *backend = arena_allocate(arena, sizeof(*backend), _Alignof(uint64_t));

    vm->backend = backend;
    if (backend == NULL || !page_table_init(&backend->ept, &ept_format, arena)) {
        return false;
    }
    backend->io_bitmaps = arena_allocate(arena, 2 * PAGE_SIZE, PAGE_SIZE);
    backend->msr_bitmap = arena_allocate(arena, PAGE_SIZE, PAGE_SIZE);
    backend->msr_bitmap_apic = arena_allocate(arena, PAGE_SIZE, PAGE_SIZE);
    if (backend->io_bitmaps == NULL || backend->msr_bitmap == NULL ||
        backend->msr_bitmap_apic == NULL) {
        return false;
    }
    memset(backend->io_bitmaps, 0xff, 2 * PAGE_SIZE); /* no port reaches the hardware */
    memset(backend->msr_bitmap, 0xff, PAGE_SIZE);
    cpu_policy_passed_msrs(vm->arch->policy, pass_msr, backend->msr_bitmap);
    memcpy(backend->msr_bitmap_apic, backend->msr_bitmap, PAGE_SIZE);
    pass_x2apic(backend->msr_bitmap_apic);
    return true;
}

static bool vmx_map(struct vm *vm, uint64_t gpa, const void *hva, uint64_t size, unsigned rights,
                    struct arena *arena)
{
    uint64_t flags = EPT_WRITE_BACK | EPT_IGNORE_PAT | EPT_EXECUTE | EPT_READ |
                     ((rights & MAP_WRITE) != 0 ? EPT_WRITE : 0);

    return page_table_map(&vm->backend->ept, gpa, (uintptr_t)hva, size, flags, arena);
}

static void write_host_state(const struct cpu *cpu)
{
    struct descriptor_table idt;

    store_idt(&idt);
    vmcs_write(VMCS_HOST_ES_SELECTOR, SELECTOR_DATA);
    vmcs_write(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE);
    vmcs_write(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
    vmcs_write(VMCS_HOST_DS_SELECTOR, SELECTOR_DATA);
    vmcs_write(VMCS_HOST_FS_SELECTOR, 0);
    vmcs_write(VMCS_HOST_GS_SELECTOR, 0);
    vmcs_write(VMCS_HOST_TR_SELECTOR, SELECTOR_TASK);
    vmcs_write(VMCS_HOST_PAT, read_msr(MSR_PAT));
    vmcs_write(VMCS_HOST_EFER, read_msr(MSR_EFER));
    vmcs_write(VMCS_HOST_SYSENTER_CS, 0);
    vmcs_write(VMCS_HOST_SYSENTER_ESP, 0);
    vmcs_write(VMCS_HOST_SYSENTER_EIP, 0);
    vmcs_write(VMCS_HOST_CR0, read_cr0());
    vmcs_write(VMCS_HOST_CR3, read_cr3());
    vmcs_write(VMCS_HOST_CR4, read_cr4());
    vmcs_write(VMCS_HOST_FS_BASE, 0);
    vmcs_write(VMCS_HOST_GS_BASE, (uintptr_t)cpu);
    vmcs_write(VMCS_HOST_TR_BASE, (uintptr_t)&cpu->task_state);
    vmcs_write(VMCS_HOST_GDTR_BASE, (uintptr_t)cpu->gdt);
    vmcs_write(VMCS_HOST_IDTR_BASE, idt.base);
    vmcs_write(VMCS_HOST_RIP, (uintptr_t)vmx_exit_point);
}

static void write_controls(struct vcpu *vcpu)
{
    /* A field has no value until it is written, in a zeroed region neither (25.11.3). */
    static const enum vmcs_field unused[] = {
        VMCS_PAGE_FAULT_MASK,      VMCS_PAGE_FAULT_MATCH,    VMCS_CR3_TARGET_COUNT,
        VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD_COUNT,
        VMCS_TPR_THRESHOLD,
    };
    const struct backend_vm *vm = vcpu->vm->backend;
    struct backend_vcpu *backend = vcpu->backend;

    backend->primary = controls.value[CONTROL_PRIMARY];
    backend->secondary =
        controls.value[CONTROL_SECONDARY] |
        (vcpu->vm->arch->setup.random != NULL ? SECONDARY_RDRAND | SECONDARY_RDSEED : 0);
    vmcs_write(VMCS_PIN_CONTROLS, controls.value[CONTROL_PIN] & ~PIN_PREEMPTION_TIMER);
    vmcs_write(VMCS_PRIMARY_CONTROLS, backend->primary);
    vmcs_write(VMCS_SECONDARY_CONTROLS, backend->secondary);
    vmcs_write(VMCS_EXIT_CONTROLS, controls.value[CONTROL_EXIT]);
    vmcs_write(VMCS_ENTRY_CONTROLS, controls.value[CONTROL_ENTRY]);
    vmcs_write(VMCS_EXCEPTION_BITMAP, EXCEPTIONS_WATCHED);
    vmcs_write(VMCS_IO_BITMAP_A, (uintptr_t)vm->io_bitmaps);
    vmcs_write(VMCS_IO_BITMAP_B, (uintptr_t)vm->io_bitmaps + PAGE_SIZE);
    vmcs_write(VMCS_MSR_BITMAP, (uintptr_t)vm->msr_bitmap);
    vmcs_write(VMCS_VIRTUAL_APIC_PAGE, (uintptr_t)vcpu->arch->apic.page);
    vmcs_write(VMCS_EPT_POINTER, (uintptr_t)vm->ept.root | EPTP_FLAGS);
    vmcs_write(VMCS_LINK_POINTER, UINT64_MAX);
    if (controls.vpid) {
        vmcs_write(VMCS_VPID, vcpu->arch->address_space);
    }
    /* What is not as the guest has it exits when written, as does what it may not set. */
    vmcs_write(VMCS_CR0_MASK, backend->cr0_forced | CR0_CD | CR0_NW | ~read_msr(MSR_CR0_FIXED_1));
    vmcs_write(VMCS_CR4_MASK, ~backend->cr4_allowed | VMX_CR4_FORCED);
    for (size_t i = 0; i < sizeof(unused) / sizeof(unused[0]); i++) {
        vmcs_write(unused[i], 0);
    }
    for (unsigned i = 0; i < 4 && controls.virtual_apic; i++) {
        vmcs_write(vmcs_field_after(VMCS_EOI_EXIT_BITMAP_0, i), 0);
    }
}

static bool vmx_vcpu_create(struct vcpu *vcpu, struct arena *arena)
{
    struct backend_vcpu *backend = arena_allocate(arena, sizeof(*backend), _Alignof(uint64_t));

    vcpu->backend = backend;
    if (backend == NULL) {
        return false;
    }
    backend->vmcs = arena_allocate(arena, PAGE_SIZE, PAGE_SIZE);
    if (backend->vmcs == NULL) {
        return false;
    }
    *(uint32_t *)backend->vmcs = (uint32_t)read_msr(MSR_VMX_BASIC) & 0x7fffffff;
    backend->controls = &controls;
    backend->dr6 = DR6_RESET;
    backend->cr0_forced = read_msr(MSR_CR0_FIXED_0) & ~(CR0_PE | CR0_PG);
    backend->cr4_allowed = vcpu->vm->arch->policy->cr4_allowed;
    if (!vmcs_clear(backend->vmcs) || !vmcs_load(backend->vmcs)) {
        vmcs_failed("VMCLEAR or VMPTRLD", (uintptr_t)backend->vmcs);
    }
    write_host_state(current_cpu());
    write_controls(vcpu);
    return true;
}

/*
 * The end of a turn, counted by the processor itself in units of 2^n ticks (SDM Vol. 3C, 26.5.1).
 * The CPU's own timer would do, but for Bochs 2.7: it holds interrupts back from a guest that was
 * entered with interrupts off, whatever the external-interrupt exiting control says. Two vCPUs of a
 * guest that wait for each other with interrupts off would wait for ever.
 */
static void limit_turn(const struct vcpu *vcpu)
{
    uint64_t now = read_tsc();
    uint64_t ticks = vcpu->turn_end > now ? vcpu->turn_end - now : 0;
    uint64_t count = ticks >> controls.preemption_shift;

    vmcs_write(VMCS_PREEMPTION_TIMER, count < UINT32_MAX ? count : UINT32_MAX);
}

/* Off while nobody else waits for the CPU: then entries are spared the write above. */
static void set_turn_limit(struct vcpu *vcpu, bool on)
{
    struct backend_vcpu *backend = vcpu->backend;
    uint32_t pin = controls.value[CONTROL_PIN];

    if (on != backend->turn_limited) {
        vmcs_write(VMCS_PIN_CONTROLS, on ? pin : pin & ~PIN_PREEMPTION_TIMER);
        backend->turn_limited = on;
    }
}

static void before_entry(const struct backend_vcpu *backend)
{
    if ((defences & (DEFENCE_FLUSH_CACHE | DEFENCE_RESTRICT)) == 0) {
        return; /* with one question */
    }
    /* Whatever the exit was: speculation may have brought anything of the hypervisor's there. */
    if ((defences & DEFENCE_FLUSH_CACHE) != 0) {
        write_msr(MSR_FLUSH_CMD, 1);
    }
    if ((defences & DEFENCE_RESTRICT) != 0) {
        write_msr(MSR_SPEC_CTRL, backend->spec_ctrl);
    }
}

/* No indirect branch may come before this is done, nor be speculated about: hence the fence. */
static void after_exit(struct backend_vcpu *backend)
{
    if ((defences & DEFENCE_RESTRICT) != 0) {
        backend->spec_ctrl = read_msr(MSR_SPEC_CTRL);
        write_msr(MSR_SPEC_CTRL, host_spec_ctrl);
    }
    load_fence();
}

static void vmx_run(struct vcpu *vcpu, struct vm_exit *exit)
{
    struct backend_vcpu *backend = vcpu->backend;

    set_turn_limit(vcpu, vcpu->turn_end != UINT64_MAX &&
                             (controls.value[CONTROL_PIN] & PIN_PREEMPTION_TIMER) != 0);
    if (backend->turn_limited) {
        limit_turn(vcpu);
    }
    before_entry(backend);
    bool entered = vmx_enter(vcpu->general, backend->launched, defences);

    after_exit(backend);
    if (!entered) {
        exit->kind = EXIT_ENTRY_FAILED;
        exit->instruction_length = 0;
        exit->rip = vmcs_read(VMCS_GUEST_RIP);
        exit->code = vmcs_read(VMCS_INSTRUCTION_ERROR);
        return;
    }
    backend->launched = true;
    backend->event_queued = false;
    vmx_translate_exit(vcpu, exit);
    if (exit->kind != EXIT_ENTRY_FAILED) {
        vmx_requeue_event(vcpu);
    }
}

const struct virtualization vmx_virtualization = {
    .name = "Intel VMX",
    .supported = vmx_supported,
    .requirements = vmx_requirements,
    .guest_instructions = vmx_guest_instructions,
    .traps_random = vmx_traps_random,
    .largest_page = vmx_largest_page,
    .enable = vmx_enable,
    .disable = vmx_disable,
    .vm_create = vmx_vm_create,
    .map = vmx_map,
    .vcpu_create = vmx_vcpu_create,
    .load = vmx_load,
    .unload = vmx_unload,
    .vcpu_start = vmx_vcpu_start,
    .vcpu_start_up = vmx_vcpu_start_up,
    .run = vmx_run,
    .get = vmx_get,
    .set = vmx_set,
    .get_segment = vmx_get_segment,
    .update_code = vmx_update_code,
    .skip = vmx_skip,
    .inject_exception = vmx_inject_exception,
    .inject_interrupt = vmx_inject_interrupt,
    .inject_nmi = vmx_inject_nmi,
    .cancel_interrupt_window = vmx_cancel_interrupt_window,
    .set_x2apic_mode = vmx_set_x2apic_mode,
    .request_interrupt = vmx_request_interrupt,
    .dump = vmx_dump,
};
