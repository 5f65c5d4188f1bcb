/* Intel VMX behind the neutral table: VMCS set-up, entry, and the guest's registers. */
#include "arch/x86/vmx/vmx.h"

#include <stddef.h>
#include <string.h>

#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/machine.h"
#include "arch/x86/vmx/controls.h"
#include "arch/x86/vmx/state.h"
#include "arch/x86/vmx/vmcs.h"
#include "vmm/host.h"
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

/* The VMCS has these two behind the six that enum segment_name has. */
#define SEGMENT_LDTR (SEGMENT_GS + 1U)
#define SEGMENT_TR   (SEGMENT_GS + 2U)

bool vmx_enter(uint64_t *general, bool launched);
extern const uint8_t vmx_exit_point[];

/* The machine's abilities, the same on all its CPUs; found once by requirements(). */
static struct vmx_controls controls;
static struct page_table_format ept_format = {
    .present = EPT_READ | EPT_WRITE | EPT_EXECUTE,
    .table = EPT_READ | EPT_WRITE | EPT_EXECUTE,
};

static bool vmx_supported(void)
{
    return (cpuid(1, 0).ecx & CPUID_1_ECX_VMX) != 0;
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
    uint64_t feature_control = read_msr(MSR_FEATURE_CONTROL);
    bool usable = (feature_control & FEATURE_CONTROL_LOCKED) == 0 ||
                  (feature_control & FEATURE_CONTROL_OUTSIDE_SMX) != 0;

    report(context, "VMX not locked off (IA32_FEATURE_CONTROL)", usable,
           "switch on \"Intel Virtualization Technology\" or \"VT-x\" in the firmware's set-up, "
           "then power-cycle");
    if (vmx_controls_find(read_msr, &controls, report, context)) {
        ept_format.gigabyte_pages = controls.ept_1g;
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

static bool vmx_enable(struct arena *arena)
{
    uint32_t *region = arena_allocate(arena, PAGE_SIZE, PAGE_SIZE);
    uint64_t feature_control = read_msr(MSR_FEATURE_CONTROL);

    if (region == NULL) {
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
    /* CR0: what must be 1 is hidden from the guest; CR4: what it may not set exits. */
    vmcs_write(VMCS_CR0_MASK,
               (read_msr(MSR_CR0_FIXED_0) & ~(CR0_PE | CR0_PG)) | ~read_msr(MSR_CR0_FIXED_1));
    vmcs_write(VMCS_CR4_MASK, ~backend->cr4_allowed);
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
    backend->dr6 = DR6_RESET;
    backend->cr4_allowed = vcpu->vm->arch->policy->cr4_allowed;
    if (!vmcs_clear(backend->vmcs) || !vmcs_load(backend->vmcs)) {
        vmcs_failed("VMCLEAR or VMPTRLD", (uintptr_t)backend->vmcs);
    }
    write_host_state(current_cpu());
    write_controls(vcpu);
    return true;
}

static const uint32_t resident_msrs[VMX_RESIDENT_MSRS] = {
    MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE,
};

static void vmx_load(struct vcpu *vcpu)
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
static void vmx_unload(struct vcpu *vcpu)
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

    if (controls.vpid) {
        __asm__ volatile("invvpid %1, %2"
                         : "=@cca"(good)
                         : "m"(descriptor), "r"(single_context)
                         : "memory");
        if (!good) {
            vmcs_failed("INVVPID", descriptor.vpid);
        }
    }
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
    uint32_t entry = controls.value[CONTROL_ENTRY];

    memset(vcpu->general, 0, sizeof(vcpu->general));
    write_initial_segments(state);
    vmcs_write(VMCS_GUEST_CR0, state->cr0 | (read_msr(MSR_CR0_FIXED_0) & ~(CR0_PE | CR0_PG)));
    vmcs_write(VMCS_CR0_SHADOW, state->cr0);
    vmcs_write(VMCS_GUEST_CR3, state->cr3);
    vmcs_write(VMCS_GUEST_CR4, state->cr4 | CR4_VMXE);
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
    vmcs_write(VMCS_ENTRY_EVENT, 0);
    vcpu->backend->event_queued = false;
    if (vcpu->backend->delivers) {
        /* The APIC was reset, but for its mode: nothing is requested or in service any more. */
        vmcs_write(VMCS_GUEST_INTERRUPT_STATUS, 0);
    }
}

static void vmx_vcpu_start(struct vcpu *vcpu, const struct vcpu_start *start)
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
    vcpu->general[GENERAL_RAX] = start->rax;
    vcpu->general[GENERAL_RBX] = start->rbx;
    vcpu->general[GENERAL_RSI] = start->rsi;
    vcpu->general[GENERAL_RDI] = start->rdi;
    vmcs_write(VMCS_GUEST_GDTR_BASE, start->gdt_base);
    vmcs_write(VMCS_GUEST_GDTR_LIMIT, start->gdt_limit);
}

static void vmx_vcpu_start_up(struct vcpu *vcpu, uint8_t vector)
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

static void vmx_run(struct vcpu *vcpu, struct vm_exit *exit)
{
    struct backend_vcpu *backend = vcpu->backend;

    set_turn_limit(vcpu, vcpu->turn_end != UINT64_MAX &&
                             (controls.value[CONTROL_PIN] & PIN_PREEMPTION_TIMER) != 0);
    if (backend->turn_limited) {
        limit_turn(vcpu);
    }
    if (!vmx_enter(vcpu->general, backend->launched)) {
        exit->kind = EXIT_ENTRY_FAILED;
        exit->rip = vmcs_read(VMCS_GUEST_RIP);
        exit->code = vmcs_read(VMCS_INSTRUCTION_ERROR);
        return;
    }
    backend->launched = true;
    backend->event_queued = false;
    vmx_translate_exit(vcpu, exit);
}

static uint64_t read_shadowed(enum vmcs_field value, enum vmcs_field mask, enum vmcs_field shadow)
{
    uint64_t owned = vmcs_read(mask);

    return (vmcs_read(value) & ~owned) | (vmcs_read(shadow) & owned);
}

static uint64_t vmx_get(struct vcpu *vcpu, enum vcpu_register name)
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

static void vmx_set(struct vcpu *vcpu, enum vcpu_register name, uint64_t value)
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
        vmcs_write(VMCS_GUEST_CR0, value | (read_msr(MSR_CR0_FIXED_0) & ~(CR0_PE | CR0_PG)));
        vmcs_write(VMCS_CR0_SHADOW, value);
        update_long_mode(value);
        load_page_directory_pointers(vcpu);
        flush_translations(vcpu);
        return;
    case REGISTER_CR3:
        vmcs_write(VMCS_GUEST_CR3, value);
        return;
    case REGISTER_CR4:
        vmcs_write(VMCS_GUEST_CR4, value | CR4_VMXE);
        vmcs_write(VMCS_CR4_SHADOW, value);
        load_page_directory_pointers(vcpu);
        flush_translations(vcpu);
        return;
    case REGISTER_EFER:
        vmcs_write(VMCS_GUEST_EFER, value);
        return;
    }
}

static void vmx_get_segment(struct vcpu *vcpu, enum segment_name name, struct segment *segment)
{
    (void)vcpu;
    segment->selector = (uint16_t)vmcs_read(vmcs_field_after(VMCS_GUEST_ES_SELECTOR, name));
    segment->base = vmcs_read(vmcs_field_after(VMCS_GUEST_ES_BASE, name));
    segment->limit = (uint32_t)vmcs_read(vmcs_field_after(VMCS_GUEST_ES_LIMIT, name));
    segment->attributes = (uint16_t)vmcs_read(vmcs_field_after(VMCS_GUEST_ES_RIGHTS, name));
}

/* CR0 and CR4 as the processor has them: those of their bits that we own do not matter here. */
static bool vmx_update_code(struct vcpu *vcpu, struct code_state *code)
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

static void vmx_skip(struct vcpu *vcpu, uint64_t rip)
{
    uint64_t interruptibility = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
    const uint64_t shadows = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

    uint64_t rflags = vmcs_read(VMCS_GUEST_RFLAGS);

    (void)vcpu;
    vmcs_write(VMCS_GUEST_RIP, rip);
    /* What the end of an instruction does to debugging: RF goes off, TF traps (SDM 3B, 18.3). */
    if ((rflags & RFLAGS_RF) != 0) {
        vmcs_write(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
    }
    if ((rflags & RFLAGS_TF) != 0) {
        vmcs_write(VMCS_GUEST_PENDING_DEBUG,
                   vmcs_read(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
    }
    if ((interruptibility & shadows) != 0) {
        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, interruptibility & ~shadows);
    }
}

static void queue_event(struct vcpu *vcpu, uint32_t event)
{
    vmcs_write(VMCS_ENTRY_EVENT, EVENT_VALID | event);
    vcpu->backend->event_queued = true;
}

static void vmx_inject_exception(struct vcpu *vcpu, unsigned vector, bool has_error_code,
                                 uint32_t error_code)
{
    if (has_error_code) {
        vmcs_write(VMCS_ENTRY_ERROR_CODE, error_code);
    }
    queue_event(vcpu, EVENT_TYPE_EXCEPTION | (has_error_code ? EVENT_HAS_ERROR_CODE : 0) | vector);
}

static void set_primary(struct vcpu *vcpu, uint32_t bit, bool on)
{
    struct backend_vcpu *backend = vcpu->backend;
    uint32_t value = on ? backend->primary | bit : backend->primary & ~bit;

    if (value != backend->primary) {
        vmcs_write(VMCS_PRIMARY_CONTROLS, value);
        backend->primary = value;
    }
}

static bool vmx_inject_interrupt(struct vcpu *vcpu, unsigned vector)
{
    const uint64_t shadows = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;
    bool ready = !vcpu->backend->event_queued && (vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF) != 0 &&
                 (vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & shadows) == 0;

    set_primary(vcpu, PRIMARY_INTERRUPT_WINDOW, !ready);
    if (ready) {
        queue_event(vcpu, EVENT_TYPE_INTERRUPT | vector);
    }
    return ready;
}

static void vmx_cancel_interrupt_window(struct vcpu *vcpu)
{
    set_primary(vcpu, PRIMARY_INTERRUPT_WINDOW, false);
}

static bool vmx_inject_nmi(struct vcpu *vcpu)
{
    const uint64_t blocked = INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;
    bool ready =
        !vcpu->backend->event_queued && (vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & blocked) == 0;

    set_primary(vcpu, PRIMARY_NMI_WINDOW, !ready);
    if (ready) {
        queue_event(vcpu, EVENT_TYPE_NMI | VECTOR_NMI);
    }
    return ready;
}

/* A vector that only the TPR holds back: the write of CR8 that lets it through must exit. */
static void set_tpr_threshold(struct vcpu *vcpu, int vector)
{
    unsigned held_by = vcpu->arch->apic.page[APIC_TPR / 4] >> 4 & 0xf;
    uint8_t threshold =
        vector >= 0 && (unsigned)vector >> 4 <= held_by ? (uint8_t)(vector >> 4) : 0;

    if (threshold != vcpu->backend->tpr_threshold) {
        vmcs_write(VMCS_TPR_THRESHOLD, threshold);
        vcpu->backend->tpr_threshold = threshold;
    }
}

static void vmx_set_x2apic_mode(struct vcpu *vcpu, bool x2apic, int in_service)
{
    const uint32_t virtual_apic =
        SECONDARY_X2APIC | SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY;
    struct backend_vcpu *backend = vcpu->backend;
    const struct backend_vm *vm = vcpu->vm->backend;
    bool on = x2apic && controls.virtual_apic;

    if (on == backend->delivers) {
        return;
    }
    backend->delivers = on;
    backend->secondary =
        on ? backend->secondary | virtual_apic : backend->secondary & ~virtual_apic;
    vmcs_write(VMCS_SECONDARY_CONTROLS, backend->secondary);
    vmcs_write(VMCS_MSR_BITMAP, (uintptr_t)(on ? vm->msr_bitmap_apic : vm->msr_bitmap));
    if (on) {
        set_tpr_threshold(vcpu, -1);
        vmcs_write(VMCS_GUEST_INTERRUPT_STATUS, (uint64_t)(in_service < 0 ? 0 : in_service) << 8);
        set_primary(vcpu, PRIMARY_INTERRUPT_WINDOW, false);
    }
}

/* Vectors whose trigger mode register says level: their EOI must reach the I/O APIC. */
static void update_eoi_exits(struct vcpu *vcpu)
{
    struct backend_vcpu *backend = vcpu->backend;
    const uint32_t *modes = &vcpu->arch->apic.page[APIC_TMR / 4];
    uint32_t changes = local_apic_mode_changes(&vcpu->arch->apic);

    if (changes == backend->mode_changes) {
        return;
    }
    backend->mode_changes = changes;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t level = (uint64_t)modes[8 * (size_t)i + 4] << 32 | modes[8 * (size_t)i];

        if (level != backend->level[i]) {
            backend->level[i] = level;
            vmcs_write(vmcs_field_after(VMCS_EOI_EXIT_BITMAP_0, i), level);
        }
    }
}

static bool vmx_request_interrupt(struct vcpu *vcpu, int vector)
{
    if (!vcpu->backend->delivers) {
        set_tpr_threshold(vcpu, vector);
        return false;
    }
    /*
     * Not together with an exception: Bochs 2.7 would give the guest the interrupt at the first
     * instruction of the exception's handler, although that begins with interrupts off. The vector
     * waits in the IRR for the next exit, which is when the guest can take it.
     */
    bool later = vector >= 0 && vcpu->backend->event_queued;

    set_primary(vcpu, PRIMARY_INTERRUPT_WINDOW, later);
    if (vector >= 0) {
        uint64_t status = vmcs_read(VMCS_GUEST_INTERRUPT_STATUS);

        if (later) {
            vector = 0;
        }
        update_eoi_exits(vcpu);
        if ((status & 0xff) != (uint64_t)vector) {
            vmcs_write(VMCS_GUEST_INTERRUPT_STATUS, (status & 0xff00) | (uint64_t)vector);
        }
    }
    return true;
}

static void vmx_dump(struct vcpu *vcpu)
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

const struct virtualization vmx_virtualization = {
    .name = "Intel VMX",
    .supported = vmx_supported,
    .requirements = vmx_requirements,
    .guest_instructions = vmx_guest_instructions,
    .traps_random = vmx_traps_random,
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
