/* Tests of what VMX is told of events: a played VMCS, which shows what the next entry will do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/machine.h"
#include "arch/x86/vmx/state.h"
#include "guest-tests/host/scripted_vmcs.h"
#include "vmm/vm.h"

/* Entry events (SDM Vol. 3C, table 25-15) and control bits (25.6), as they must be written. */
#define IS_INTERRUPT     0x80000000U
#define IS_NMI           0x80000200U
#define IS_EXCEPTION     0x80000300U
#define HAS_CODE         0x00000800U
#define INTERRUPT_WINDOW 0x00000004U
#define NMI_WINDOW       0x00400000U
#define VIRTUAL_APIC     0x00000310U

#define PRIMARY   0xb5a06dfaU /* neither window is asked for */
#define SECONDARY 0x000010aaU
#define STI       1U
#define MOV_SS    2U
#define NMI       8U

static uint32_t page[1024];
static uint8_t bitmap[1];
static uint8_t bitmap_apic[1];
static struct vmx_controls controls;
static struct backend_vcpu backend;
static struct backend_vm backend_vm;
static struct arch_vcpu arch;
static struct vm vm;
static struct vcpu vcpu;

static int set_up(void **state)
{
    static const struct local_apic_operations operations = {0};

    (void)state;
    memset(vmcs, 0, sizeof(vmcs));
    memset(page, 0, sizeof(page));
    controls = (struct vmx_controls){.virtual_apic = true};
    backend =
        (struct backend_vcpu){.controls = &controls, .primary = PRIMARY, .secondary = SECONDARY};
    backend_vm = (struct backend_vm){.msr_bitmap = bitmap, .msr_bitmap_apic = bitmap_apic};
    vm = (struct vm){.backend = &backend_vm};
    vcpu = (struct vcpu){.vm = &vm, .backend = &backend, .arch = &arch};
    local_apic_init(&arch.apic, page, 0, true, &operations, NULL);
    vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
    vmcs[VMCS_GUEST_CR0] = CR0_PE | CR0_NE;
    vmcs[VMCS_PRIMARY_CONTROLS] = PRIMARY;
    vmcs_writes = 0;
    return 0;
}

static void set_task_priority(unsigned priority)
{
    assert_true(local_apic_set_cr8(&arch.apic, priority));
}

static void test_exceptions(void **state)
{
    (void)state;
    vmx_inject_exception(&vcpu, 6, false, 0);
    assert_int_equal(vmcs[VMCS_ENTRY_EVENT], IS_EXCEPTION | 6);
    assert_int_equal(vmcs_writes, 1);
    vmx_inject_exception(&vcpu, 13, true, 0x12);
    assert_int_equal(vmcs[VMCS_ENTRY_EVENT], IS_EXCEPTION | HAS_CODE | 13);
    assert_int_equal(vmcs[VMCS_ENTRY_ERROR_CODE], 0x12);
    assert_true(backend.event_queued);
    vmcs[VMCS_GUEST_CR0] = CR0_ET | CR0_NE; /* real mode */
    vmx_inject_exception(&vcpu, 13, true, 0x12);
    assert_int_equal(vmcs[VMCS_ENTRY_EVENT], IS_EXCEPTION | 13);
}

/* 27.3.1.5: an interrupt needs RFLAGS.IF and no shadow; otherwise the window is waited for. */
static void test_interrupt(void **state)
{
    (void)state;
    static const struct {
        uint64_t rflags;
        uint64_t interruptibility;
        bool queued;
        bool taken;
    } cases[] = {
        {RFLAGS_IF, 0, false, true},
        {RFLAGS_IF, NMI, false, true},
        {0, 0, false, false},
        {RFLAGS_IF, STI, false, false},
        {RFLAGS_IF, MOV_SS, false, false},
        {RFLAGS_IF, 0, true, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up(NULL);
        vmcs[VMCS_GUEST_RFLAGS] = cases[i].rflags;
        vmcs[VMCS_GUEST_INTERRUPTIBILITY] = cases[i].interruptibility;
        backend.event_queued = cases[i].queued;
        assert_int_equal(vmx_inject_interrupt(&vcpu, 0x31), cases[i].taken);
        assert_int_equal(vmcs[VMCS_ENTRY_EVENT], cases[i].taken ? IS_INTERRUPT | 0x31 : 0);
        assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS],
                         cases[i].taken ? PRIMARY : PRIMARY | INTERRUPT_WINDOW);
        assert_int_equal(vmcs_writes, 1);
    }
}

static void test_window_is_written_when_it_changes(void **state)
{
    (void)state;
    vmcs[VMCS_GUEST_RFLAGS] = 0;
    assert_false(vmx_inject_interrupt(&vcpu, 0x31));
    assert_false(vmx_inject_interrupt(&vcpu, 0x31));
    assert_int_equal(vmcs_writes, 1);
    vmx_cancel_interrupt_window(&vcpu);
    vmx_cancel_interrupt_window(&vcpu);
    assert_int_equal(vmcs_writes, 2);
    assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], PRIMARY);
    assert_false(vmx_inject_interrupt(&vcpu, 0x31));
    vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_IF;
    assert_true(vmx_inject_interrupt(&vcpu, 0x31));
    assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], PRIMARY);
}

static void test_nmi(void **state)
{
    (void)state;
    static const uint64_t blocking[] = {NMI, STI, MOV_SS};

    for (size_t i = 0; i < sizeof(blocking) / sizeof(blocking[0]); i++) {
        set_up(NULL);
        vmcs[VMCS_GUEST_INTERRUPTIBILITY] = blocking[i];
        assert_false(vmx_inject_nmi(&vcpu));
        assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], PRIMARY | NMI_WINDOW);
        /* In STI's shadow the window might count as open (26.2). */
        assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY],
                         blocking[i] == STI ? MOV_SS : blocking[i]);
        vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 0;
        vmcs[VMCS_GUEST_RFLAGS] = 0; /* does not matter for it */
        assert_true(vmx_inject_nmi(&vcpu));
        assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], PRIMARY);
        assert_int_equal(vmcs[VMCS_ENTRY_EVENT], IS_NMI | VECTOR_NMI);
        assert_false(vmx_inject_nmi(&vcpu)); /* not two at a time */
    }
}

/* Whoever waited for a window is forgotten with what it waited for. */
static void test_reset(void **state)
{
    (void)state;
    vmx_set_x2apic_mode(&vcpu, true, 0x42);
    vmcs[VMCS_GUEST_INTERRUPTIBILITY] = NMI;
    vmcs[VMCS_GUEST_RFLAGS] = 0;
    assert_false(vmx_inject_nmi(&vcpu));
    assert_false(vmx_inject_interrupt(&vcpu, 0x31));
    vmx_inject_exception(&vcpu, 6, false, 0);
    vmx_reset_events(&vcpu);
    assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], PRIMARY);
    assert_int_equal(vmcs[VMCS_ENTRY_EVENT], 0);
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0);
    assert_false(backend.event_queued);
}

/* 30.1.1: the exit comes when the TPR's class falls below the threshold. */
static void test_task_priority(void **state)
{
    (void)state;
    set_task_priority(5);
    assert_false(vmx_request_interrupt(&vcpu, 0x61)); /* not held back */
    assert_int_equal(vmcs_writes, 0);
    assert_false(vmx_request_interrupt(&vcpu, 0x51));
    assert_int_equal(vmcs[VMCS_TPR_THRESHOLD], 5);
    assert_false(vmx_request_interrupt(&vcpu, 0x5f));
    assert_int_equal(vmcs_writes, 1);
    assert_false(vmx_request_interrupt(&vcpu, 0x31));
    assert_int_equal(vmcs[VMCS_TPR_THRESHOLD], 3);
    assert_false(vmx_request_interrupt(&vcpu, -1));
    assert_int_equal(vmcs[VMCS_TPR_THRESHOLD], 0);
    assert_int_equal(vmcs_writes, 3);
}

static void test_x2apic_mode(void **state)
{
    (void)state;
    set_task_priority(5);
    assert_false(vmx_request_interrupt(&vcpu, 0x31));
    vmcs[VMCS_GUEST_RFLAGS] = 0;
    assert_false(vmx_inject_interrupt(&vcpu, 0x31));
    vmx_set_x2apic_mode(&vcpu, true, 0x42);
    assert_int_equal(vmcs[VMCS_SECONDARY_CONTROLS], SECONDARY | VIRTUAL_APIC);
    assert_int_equal(vmcs[VMCS_MSR_BITMAP], (uintptr_t)bitmap_apic);
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0x4200);
    assert_int_equal(vmcs[VMCS_TPR_THRESHOLD], 0);
    assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], PRIMARY);
    vmcs_writes = 0;
    vmx_set_x2apic_mode(&vcpu, true, 0x42);
    assert_int_equal(vmcs_writes, 0);
    vmx_set_x2apic_mode(&vcpu, false, 0x42);
    assert_int_equal(vmcs[VMCS_SECONDARY_CONTROLS], SECONDARY);
    assert_int_equal(vmcs[VMCS_MSR_BITMAP], (uintptr_t)bitmap);
    assert_int_equal(vmcs_writes, 2);
    vmx_set_x2apic_mode(&vcpu, true, -1);
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0);
}

static void test_hardware_without_delivery(void **state)
{
    (void)state;
    controls.virtual_apic = false;
    vmx_set_x2apic_mode(&vcpu, true, -1);
    assert_int_equal(vmcs_writes, 0);
    assert_false(vmx_request_interrupt(&vcpu, 0x31));
}

/* 30.2.1: RVI is the highest requested vector; SVI is the processor's. */
static void test_delivery(void **state)
{
    (void)state;
    vmx_set_x2apic_mode(&vcpu, true, 0x42);
    assert_true(vmx_request_interrupt(&vcpu, 0x51));
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0x4251);
    vmcs_writes = 0;
    assert_true(vmx_request_interrupt(&vcpu, 0x51));
    assert_true(vmx_request_interrupt(&vcpu, -1));
    assert_int_equal(vmcs_writes, 0);
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0x4251);
}

/* Together with an exception it waits for the window behind it. */
static void test_delivery_after_exception(void **state)
{
    (void)state;
    vmx_set_x2apic_mode(&vcpu, true, 0x42);
    vmx_inject_exception(&vcpu, 6, false, 0);
    assert_true(vmx_request_interrupt(&vcpu, 0x51));
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0x4200);
    assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], PRIMARY | INTERRUPT_WINDOW);
    backend.event_queued = false;
    assert_true(vmx_request_interrupt(&vcpu, 0x51));
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0x4251);
    assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], PRIMARY);
}

/* 30.1.4: the EOI of a level-triggered vector exits, and of no other. */
static void test_eoi_exits(void **state)
{
    (void)state;
    static const uint8_t vectors[] = {0x31, 0x5f, 0x80, 0xff};

    page[APIC_SVR / 4] |= APIC_SVR_ENABLE;
    vmx_set_x2apic_mode(&vcpu, true, -1);
    for (size_t i = 0; i < sizeof(vectors); i++) {
        assert_true(local_apic_post(&arch.apic, vectors[i], true));
    }
    assert_true(vmx_request_interrupt(&vcpu, local_apic_highest_irr(&arch.apic)));
    assert_int_equal(vmcs[VMCS_EOI_EXIT_BITMAP_0], 1ULL << 0x31);
    assert_int_equal(vmcs[VMCS_EOI_EXIT_BITMAP_0 + 2], 1ULL << (0x5f - 0x40));
    assert_int_equal(vmcs[VMCS_EOI_EXIT_BITMAP_0 + 4], 1);
    assert_int_equal(vmcs[VMCS_EOI_EXIT_BITMAP_0 + 6], 1ULL << 63);
    assert_true(local_apic_post(&arch.apic, 0x5f, false)); /* by another line */
    assert_true(vmx_request_interrupt(&vcpu, local_apic_highest_irr(&arch.apic)));
    assert_int_equal(vmcs[VMCS_EOI_EXIT_BITMAP_0 + 2], 0);
    vmcs_writes = 0;
    assert_true(vmx_request_interrupt(&vcpu, 0xff));
    assert_int_equal(vmcs_writes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_exceptions, set_up),
        cmocka_unit_test_setup(test_interrupt, set_up),
        cmocka_unit_test_setup(test_window_is_written_when_it_changes, set_up),
        cmocka_unit_test_setup(test_nmi, set_up),
        cmocka_unit_test_setup(test_reset, set_up),
        cmocka_unit_test_setup(test_task_priority, set_up),
        cmocka_unit_test_setup(test_x2apic_mode, set_up),
        cmocka_unit_test_setup(test_hardware_without_delivery, set_up),
        cmocka_unit_test_setup(test_delivery, set_up),
        cmocka_unit_test_setup(test_delivery_after_exception, set_up),
        cmocka_unit_test_setup(test_eoi_exits, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
