/* Tests of the translation of VMX exits: a played VMCS in, neutral exits and queued events out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/vmx/state.h"
#include "arch/x86/vmx/vmcs.h"
#include "guest-tests/host/scripted_vmcs.h"
#include "vmm/vm.h"

#define LENGTH 3U

/* Entry events as they must be written (SDM Vol. 3C, table 25-15). */
#define VALID         0x80000000U
#define IS_INTERRUPT  0x80000000U
#define IS_NMI        0x80000200U
#define IS_EXCEPTION  0x80000300U
#define IS_SOFTWARE   0x80000400U
#define IS_INT1       0x80000500U
#define IS_INT3       0x80000600U
#define HAS_CODE      0x00000800U
#define NMI_UNBLOCKED 0x00001000U

#define STALE 0x5a5a5a5aU

static uint64_t dr6;
static unsigned nmis;
static struct backend_vcpu backend;
static struct vm vm;
static struct vcpu vcpu = {.vm = &vm, .backend = &backend};
static struct vm_exit result;

void vmx_take_nmi(void)
{
    nmis++;
}

uint64_t vmx_read_dr6(void)
{
    return dr6;
}

void vmx_write_dr6(uint64_t value)
{
    dr6 = value;
}

static uint64_t get(struct vcpu *asked, enum vcpu_register name)
{
    assert_ptr_equal(asked, &vcpu);
    assert_true(name == REGISTER_CR0 || name == REGISTER_RSP);
    return vmcs[name == REGISTER_CR0 ? VMCS_GUEST_CR0 : VMCS_GUEST_RSP];
}

static void skip_instruction(struct vcpu *asked, uint64_t rip)
{
    assert_ptr_equal(asked, &vcpu);
    vmcs[VMCS_GUEST_RIP] = rip;
    vmcs[VMCS_GUEST_INTERRUPTIBILITY] &= ~3ULL;
}

static const struct virtualization virtualization = {.get = get, .skip = skip_instruction};

static int set_up(void **state)
{
    (void)state;
    memset(vmcs, 0, sizeof(vmcs));
    memset(vcpu.general, 0, sizeof(vcpu.general));
    backend = (struct backend_vcpu){0};
    vm.virtualization = &virtualization;
    nmis = 0;
    dr6 = 0xffff0ff0;
    vmcs[VMCS_EXIT_INSTRUCTION_LENGTH] = LENGTH;
    vmcs[VMCS_ENTRY_EVENT] = STALE;
    vmcs[VMCS_ENTRY_ERROR_CODE] = STALE;
    vmcs[VMCS_ENTRY_INSTRUCTION_LENGTH] = STALE;
    vmcs[VMCS_GUEST_RIP] = 0x1000;
    vmcs[VMCS_GUEST_EFER] = EFER_LME | EFER_LMA;
    vmcs[VMCS_GUEST_ES_RIGHTS + 2] = 0xa09b;
    return 0;
}

static const struct vm_exit *translate(uint64_t reason, uint64_t qualification)
{
    vmcs[VMCS_EXIT_REASON] = reason;
    vmcs[VMCS_EXIT_QUALIFICATION] = qualification;
    memset(&result, 0xa5, sizeof(result));
    vmx_translate_exit(&vcpu, &result);
    if (result.kind != EXIT_ENTRY_FAILED) { /* as the run loop's side does */
        vmx_requeue_event(&vcpu);
    }
    return &result;
}

/* Appendix C: what is known by its reason alone; all else was never asked for. */
static void test_every_reason(void **state)
{
    (void)state;
    static const struct {
        uint8_t reason;
        uint8_t kind;
    } known[] = {
        {0, EXIT_EXCEPTION},
        {1, EXIT_HOST_INTERRUPT},
        {52, EXIT_HOST_INTERRUPT},
        {2, EXIT_SHUTDOWN},
        {7, EXIT_INTERRUPT_WINDOW},
        {8, EXIT_INTERRUPT_WINDOW},
        {10, EXIT_CPUID},
        {12, EXIT_HALT},
        {13, EXIT_FLUSH},
        {15, EXIT_INSTRUCTION},
        {28, EXIT_CONTROL_REGISTER},
        {30, EXIT_PORT},
        {31, EXIT_MSR_READ},
        {32, EXIT_MSR_WRITE},
        {36, EXIT_INSTRUCTION},
        {39, EXIT_INSTRUCTION},
        {43, EXIT_INTERRUPT_WINDOW},
        {43, EXIT_INTERRUPT_WINDOW},
        {45, EXIT_EOI},
        {48, EXIT_MEMORY},
        {50, EXIT_INSTRUCTION},
        {53, EXIT_INSTRUCTION},
        {54, EXIT_FLUSH},
        {55, EXIT_XSETBV},
        {56, EXIT_MSR_WRITE},
        {57, EXIT_RANDOM},
        {76, EXIT_INSTRUCTION},
        {77, EXIT_INSTRUCTION},
        {61, EXIT_RANDOM},
    };

    for (unsigned reason = 0; reason < 1000; reason++) {
        enum exit_kind expected = reason >= 18 && reason <= 27 ? EXIT_INSTRUCTION : EXIT_UNEXPECTED;

        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            expected = known[i].reason == reason ? known[i].kind : expected;
        }
        set_up(NULL);
        const struct vm_exit *exit = translate(reason, 0);

        assert_int_equal(exit->kind, expected);
        if (expected == EXIT_UNEXPECTED) {
            assert_int_equal(exit->code, reason);
        }
        assert_int_equal(exit->instruction_length, reason == 56 ? 0 : LENGTH);
        assert_int_equal(vmcs[VMCS_ENTRY_EVENT], STALE);
        assert_false(backend.event_queued);
    }
}

/* Bits 16 to 30 of the reason are flags (27-29) or 0; they do not change what it is. */
static void test_reason_flags(void **state)
{
    (void)state;
    assert_int_equal(translate(0x0800000c, 0)->kind, EXIT_HALT);
}

static void test_failed_entry(void **state)
{
    (void)state;
    vmcs[VMCS_VECTORING_EVENT] = IS_INTERRUPT | 0x30;
    const struct vm_exit *exit = translate(0x80000021, 7);

    assert_int_equal(exit->kind, EXIT_ENTRY_FAILED);
    assert_int_equal(exit->code, 0x80000021);
    assert_false(backend.event_queued);
}

/* SDM Vol. 3C, 27.9: an entry that a machine check made fail is the machine's affair. */
static void test_machine_check_at_entry(void **state)
{
    (void)state;
    const struct vm_exit *exit = translate(0x80000029, 0);

    assert_int_equal(exit->kind, EXIT_EXCEPTION);
    assert_int_equal(exit->rip, 0x1000);
    assert_int_equal(exit->exception.vector, VECTOR_MACHINE_CHECK);
    assert_false(exit->exception.has_error_code);
    assert_int_equal(translate(0x29, 0)->kind, EXIT_UNEXPECTED); /* no such exit after an entry */
}

/* Table 28-5. */
static void test_ports(void **state)
{
    (void)state;
    static const struct {
        uint32_t qualification;
        struct exit_port port;
    } cases[] = {
        {0x03f80000, {.port = 0x3f8, .size = 1, .write = true}},
        {0x0cfc000b, {.port = 0xcfc, .size = 4}},
        {0x00800041, {.port = 0x80, .size = 2, .write = true}}, /* bit 6: an immediate port */
        {0x01f00039, {.port = 0x1f0, .size = 2, .string = true, .repeat = true}},
        {0xffff0013, {.port = 0xffff, .size = 4, .write = true, .string = true}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct exit_port *expected = &cases[i].port;
        const struct vm_exit *exit = translate(30, cases[i].qualification);

        assert_int_equal(exit->kind, EXIT_PORT);
        assert_int_equal(exit->port.port, expected->port);
        assert_int_equal(exit->port.size, expected->size);
        assert_int_equal(exit->port.write, expected->write);
        assert_int_equal(exit->port.string, expected->string);
        assert_int_equal(exit->port.repeat, expected->repeat);
    }
}

/* Table 28-7. */
static void test_memory(void **state)
{
    (void)state;
    static const struct {
        uint32_t qualification;
        struct exit_memory memory;
    } cases[] = {
        {0x181, {0}},
        {0x182, {.write = true}},
        {0x184, {.fetch = true}},
        {0x183, {.write = true}},
        {0x081, {.walk = true}},
        {0x082, {.walk = true, .write = true}},
        {0x001, {.walk = true}}, /* PDPTEs loaded by MOV to CR: no linear address at all */
        {0x101, {.walk = true}},
    };

    vmcs[VMCS_GUEST_PHYSICAL_ADDRESS] = 0xfec00010;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct exit_memory *expected = &cases[i].memory;
        const struct vm_exit *exit = translate(48, cases[i].qualification);

        assert_int_equal(exit->kind, EXIT_MEMORY);
        assert_int_equal(exit->memory.gpa, 0xfec00010);
        assert_int_equal(exit->memory.write, expected->write);
        assert_int_equal(exit->memory.fetch, expected->fetch);
        assert_int_equal(exit->memory.walk, expected->walk);
        assert_false(exit->memory.delivering);
        assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
    }
}

static void test_memory_while_delivering(void **state)
{
    (void)state;
    vmcs[VMCS_VECTORING_EVENT] = IS_INTERRUPT | 0x31;
    assert_true(translate(48, 0x182)->memory.delivering);
    assert_int_equal(vmcs[VMCS_ENTRY_EVENT], IS_INTERRUPT | 0x31);
    assert_true(backend.event_queued);
}

/* 28.2.3: an IRET that had unblocked NMIs will run again; until then they are blocked. */
static void test_nmi_unblocking(void **state)
{
    (void)state;
    translate(48, 0x1181);
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], INTERRUPTIBILITY_NMI);
    vmcs[VMCS_GUEST_INTERRUPTIBILITY] = INTERRUPTIBILITY_STI;
    translate(48, 0x1182);
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY],
                     INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_STI);
    /* While an event is delivered the bit means nothing. */
    vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 0;
    vmcs[VMCS_VECTORING_EVENT] = IS_EXCEPTION | 6;
    translate(48, 0x1181);
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
}

static void test_msrs(void **state)
{
    (void)state;
    vcpu.general[GENERAL_RAX] = 0xffffffff12345678;
    vcpu.general[GENERAL_RCX] = 0xeeeeeeeec0000080;
    vcpu.general[GENERAL_RDX] = 0xdddddddd9abcdef0;
    assert_int_equal(translate(31, 0)->msr.index, 0xc0000080);
    assert_int_equal(translate(32, 0)->msr.index, 0xc0000080);
    assert_int_equal(result.msr.value, 0x9abcdef012345678);
    assert_int_equal(translate(55, 0)->kind, EXIT_XSETBV);
    assert_int_equal(result.msr.index, 0xc0000080);
    assert_int_equal(result.msr.value, 0x9abcdef012345678);
}

/* A self-IPI with a vector below 16 exits after the WRMSR: there is nothing left to skip. */
static void test_apic_write(void **state)
{
    (void)state;
    vcpu.general[GENERAL_RAX] = 5;
    vcpu.general[GENERAL_RCX] = 0x83f;
    const struct vm_exit *exit = translate(56, 0x3f0);

    assert_int_equal(exit->kind, EXIT_MSR_WRITE);
    assert_int_equal(exit->msr.index, 0x83f);
    assert_int_equal(exit->msr.value, 5);
    assert_int_equal(exit->instruction_length, 0);
}

static void test_eoi(void **state)
{
    (void)state;
    assert_int_equal(translate(45, 0x31)->vector, 0x31);
}

static void assert_control(unsigned number, uint64_t value)
{
    assert_int_equal(result.kind, EXIT_CONTROL_REGISTER);
    assert_int_equal(result.control_register.number, number);
    assert_int_equal(result.control_register.value, value);
}

/* Table 28-3: MOV to CR names its register in bits 11:8. */
static void test_mov_to_control_register(void **state)
{
    (void)state;
    for (unsigned i = 0; i < GENERAL_REGISTERS; i++) {
        vcpu.general[i] = 0x1111111111111111ULL * i;
    }
    vmcs[VMCS_GUEST_RSP] = 0x7fff0000;
    for (unsigned i = 0; i < GENERAL_REGISTERS; i++) {
        translate(28, i << 8 | 4);
        assert_control(4, i == GENERAL_RSP ? 0x7fff0000 : 0x1111111111111111ULL * i);
        translate(28, i << 8 | 3);
        assert_control(3, i == GENERAL_RSP ? 0x7fff0000 : 0x1111111111111111ULL * i);
    }
}

/* Only 64-bit mode moves 64 bits; what else is in the register is left from there. */
static void test_mov_in_narrower_modes(void **state)
{
    (void)state;
    vcpu.general[GENERAL_RBX] = 0xffffffff80000011;
    translate(28, GENERAL_RBX << 8);
    assert_control(0, 0xffffffff80000011);
    vmcs[VMCS_GUEST_ES_RIGHTS + 2] = 0xc09b; /* compatibility mode */
    translate(28, GENERAL_RBX << 8);
    assert_control(0, 0x80000011);
    vmcs[VMCS_GUEST_ES_RIGHTS + 2] = 0xa09b; /* bit 13 means nothing without IA-32e mode */
    vmcs[VMCS_GUEST_EFER] = EFER_LME;
    translate(28, GENERAL_RBX << 8);
    assert_control(0, 0x80000011);
}

static void test_clts(void **state)
{
    (void)state;
    vmcs[VMCS_GUEST_CR0] = CR0_PG | CR0_NE | CR0_TS | CR0_EM | CR0_PE;
    translate(28, 0x20);
    assert_control(0, CR0_PG | CR0_NE | CR0_EM | CR0_PE);
}

/* LMSW writes PE, MP, EM and TS; it can set PE but not clear it (SDM Vol. 2A). */
static void test_lmsw(void **state)
{
    (void)state;
    vmcs[VMCS_GUEST_CR0] = CR0_ET | CR0_NE | CR0_TS;
    translate(28, 0x00070030);
    assert_control(0, CR0_ET | CR0_NE | CR0_PE | CR0_MP | CR0_EM);
    translate(28, 0xfff80030ULL);
    assert_control(0, CR0_ET | CR0_NE | CR0_TS);
    translate(28, 0xfff00030ULL);
    assert_control(0, CR0_ET | CR0_NE);
    vmcs[VMCS_GUEST_CR0] = CR0_PE | CR0_WP;
    translate(28, 0x00000070); /* from memory */
    assert_control(0, CR0_PE | CR0_WP);
}

/* SDM Vol. 3C, table 28-12; the other bits of the field are undefined. */
static void test_random(void **state)
{
    (void)state;
    static const uint8_t sizes[] = {2, 4, 8};

    for (unsigned i = 0; i < 3 * GENERAL_REGISTERS; i++) {
        unsigned reg = i / 3;

        vmcs[VMCS_EXIT_INSTRUCTION_INFORMATION] = 0xffffe787 | i % 3 << 11 | reg << 3;
        const struct vm_exit *exit = translate(i % 2 == 0 ? 57 : 61, 0);

        assert_int_equal(exit->kind, EXIT_RANDOM);
        assert_int_equal(exit->random.reg, reg);
        assert_int_equal(exit->random.size, sizes[i % 3]);
    }
}

static void test_exceptions(void **state)
{
    (void)state;
    vmcs[VMCS_EXIT_EVENT] = IS_EXCEPTION | HAS_CODE | 17;
    vmcs[VMCS_EXIT_ERROR_CODE] = 0x1234;
    const struct vm_exit *exit = translate(0, 0x4002);

    assert_int_equal(exit->kind, EXIT_EXCEPTION);
    assert_int_equal(exit->exception.vector, 17);
    assert_true(exit->exception.has_error_code);
    assert_int_equal(exit->exception.error_code, 0x1234);
    assert_int_equal(dr6, 0xffff0ff0);
    vmcs[VMCS_EXIT_EVENT] = IS_EXCEPTION | 18;
    exit = translate(0, 0);
    assert_int_equal(exit->exception.vector, 18);
    assert_false(exit->exception.has_error_code);
    assert_int_equal(exit->exception.error_code, 0);
    assert_int_equal(nmis, 0);
}

static void test_host_nmi(void **state)
{
    (void)state;
    vmcs[VMCS_EXIT_EVENT] = IS_NMI | VECTOR_NMI;
    assert_int_equal(translate(0, 0)->kind, EXIT_HOST_INTERRUPT);
    assert_int_equal(nmis, 1);
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
}

/* SDM Vol. 3B, 18.2.3: B0-B3 are replaced, BD and BS only ever set; GD goes off. */
static void test_debug_exception(void **state)
{
    (void)state;
    dr6 = 0xffff2ff5;
    vmcs[VMCS_EXIT_EVENT] = IS_EXCEPTION | VECTOR_DEBUG;
    vmcs[VMCS_GUEST_DR7] = 0x2401;
    const struct vm_exit *exit = translate(0, 0x4002);

    assert_int_equal(exit->kind, EXIT_EXCEPTION);
    assert_int_equal(exit->exception.vector, VECTOR_DEBUG);
    assert_false(exit->exception.has_error_code);
    assert_int_equal(dr6, 0xffff6ff2);
    assert_int_equal(vmcs[VMCS_GUEST_DR7], 0x401);
    assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1000);
    assert_int_equal(vmcs[VMCS_GUEST_PENDING_DEBUG], 0);
}

/* INT1 exits with RIP at it, but its handler returns behind it: else it would run for ever. */
static void test_int1(void **state)
{
    (void)state;
    vmcs[VMCS_EXIT_EVENT] = IS_INT1 | VECTOR_DEBUG;
    vmcs[VMCS_EXIT_INSTRUCTION_LENGTH] = 1;
    vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_TF;
    vmcs[VMCS_GUEST_INTERRUPTIBILITY] = INTERRUPTIBILITY_MOV_SS;
    assert_int_equal(translate(0, 0)->exception.vector, VECTOR_DEBUG);
    assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1001);
    assert_int_equal(vmcs[VMCS_GUEST_PENDING_DEBUG], 0);
    assert_int_equal(dr6, 0xffff0ff0);
}

/* 27.3.1.5: with TF and a shadow an entry fails unless a single step is pending. */
static void test_debug_exception_in_shadow(void **state)
{
    (void)state;
    static const struct {
        uint64_t rflags;
        uint64_t interruptibility;
        uint64_t pending;
    } cases[] = {
        {RFLAGS_TF, INTERRUPTIBILITY_MOV_SS, 0x4000}, {RFLAGS_TF, INTERRUPTIBILITY_STI, 0x4000},
        {RFLAGS_TF, INTERRUPTIBILITY_NMI, 0},         {RFLAGS_TF, 0, 0},
        {RFLAGS_FIXED, INTERRUPTIBILITY_STI, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up(NULL);
        vmcs[VMCS_EXIT_EVENT] = IS_EXCEPTION | VECTOR_DEBUG;
        vmcs[VMCS_GUEST_RFLAGS] = cases[i].rflags;
        vmcs[VMCS_GUEST_INTERRUPTIBILITY] = cases[i].interruptibility;
        translate(0, 1);
        assert_int_equal(vmcs[VMCS_GUEST_PENDING_DEBUG], cases[i].pending);
    }
}

/* 28.2.4 and 25.8.3: what was being delivered is delivered again, whatever the exit was for. */
static void test_requeued_events(void **state)
{
    (void)state;
    static const struct {
        uint32_t event;
        bool has_length;
    } cases[] = {
        {IS_INTERRUPT | 0x31, false},
        {IS_EXCEPTION | 6, false},
        {IS_EXCEPTION | HAS_CODE | 14, false},
        {IS_SOFTWARE | 0x80, true},
        {IS_INT1 | 1, true},
        {IS_INT3 | 3, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint32_t event = cases[i].event;

        set_up(NULL);
        vmcs[VMCS_VECTORING_EVENT] = event | NMI_UNBLOCKED; /* undefined there, invalid here */
        vmcs[VMCS_VECTORING_ERROR_CODE] = 0x6;
        vmcs[VMCS_GUEST_INTERRUPTIBILITY] = INTERRUPTIBILITY_NMI;
        translate(1, 0);
        assert_true(backend.event_queued);
        assert_int_equal(vmcs[VMCS_ENTRY_EVENT], event);
        assert_int_equal(vmcs[VMCS_ENTRY_ERROR_CODE], (event & HAS_CODE) != 0 ? 6 : STALE);
        assert_int_equal(vmcs[VMCS_ENTRY_INSTRUCTION_LENGTH], cases[i].has_length ? LENGTH : STALE);
        assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], INTERRUPTIBILITY_NMI);
    }
}

/* An NMI cannot be injected while NMIs are blocked, as its own delivery had begun to do. */
static void test_requeued_nmi(void **state)
{
    (void)state;
    vmcs[VMCS_VECTORING_EVENT] = IS_NMI | VECTOR_NMI;
    vmcs[VMCS_GUEST_INTERRUPTIBILITY] = INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_STI;
    translate(48, 0x1182);
    assert_true(backend.event_queued);
    assert_int_equal(vmcs[VMCS_ENTRY_EVENT], IS_NMI | VECTOR_NMI);
    assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], INTERRUPTIBILITY_STI);
}

static void test_nothing_to_requeue(void **state)
{
    (void)state;
    vmcs[VMCS_VECTORING_EVENT] = (IS_INTERRUPT | 0x31) & ~VALID;
    translate(1, 0);
    assert_false(backend.event_queued);
    assert_int_equal(vmcs[VMCS_ENTRY_EVENT], STALE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_reason, set_up),
        cmocka_unit_test_setup(test_reason_flags, set_up),
        cmocka_unit_test_setup(test_failed_entry, set_up),
        cmocka_unit_test_setup(test_machine_check_at_entry, set_up),
        cmocka_unit_test_setup(test_ports, set_up),
        cmocka_unit_test_setup(test_memory, set_up),
        cmocka_unit_test_setup(test_memory_while_delivering, set_up),
        cmocka_unit_test_setup(test_nmi_unblocking, set_up),
        cmocka_unit_test_setup(test_msrs, set_up),
        cmocka_unit_test_setup(test_apic_write, set_up),
        cmocka_unit_test_setup(test_eoi, set_up),
        cmocka_unit_test_setup(test_mov_to_control_register, set_up),
        cmocka_unit_test_setup(test_mov_in_narrower_modes, set_up),
        cmocka_unit_test_setup(test_clts, set_up),
        cmocka_unit_test_setup(test_lmsw, set_up),
        cmocka_unit_test_setup(test_random, set_up),
        cmocka_unit_test_setup(test_exceptions, set_up),
        cmocka_unit_test_setup(test_host_nmi, set_up),
        cmocka_unit_test_setup(test_debug_exception, set_up),
        cmocka_unit_test_setup(test_int1, set_up),
        cmocka_unit_test_setup(test_debug_exception_in_shadow, set_up),
        cmocka_unit_test_setup(test_requeued_events, set_up),
        cmocka_unit_test_setup(test_requeued_nmi, set_up),
        cmocka_unit_test_setup(test_nothing_to_requeue, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
