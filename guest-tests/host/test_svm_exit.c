/* SVM's exits in neutral form, and what a vCPU's VMCB becomes by events and register writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/machine.h"
#include "arch/x86/svm/state.h"
#include "vmm/vm.h"

#define RAM_SIZE 0x10000U
#define CODE     0x4000U

/* CS.attributes as the VMCB packs them. */
#define CODE_64 0xa9b
#define CODE_32 0xc9b
#define CODE_16 0x09b

static const struct virtualization operations = {
    .get = svm_get, .set = svm_set, .get_segment = svm_get_segment, .update_code = svm_update_code};

struct fixture {
    struct vm vm;
    struct vcpu vcpu;
    struct backend_vcpu backend;
    struct arch_vcpu arch;
    struct svm_abilities abilities;
    struct vmcb vmcb;
    uint8_t *ram;
};

/* A vCPU in 64-bit mode at CODE, which 2 MiB pages map onto itself. */
static struct fixture *make(void)
{
    const struct vmcb_setup setup = {.asid = 1};
    const struct vcpu_start start = {.rip = CODE, .rsp = 0x8000, .cr3 = 0x1000};
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    fixture->ram = calloc(1, RAM_SIZE);
    assert_non_null(fixture->ram);
    assert_true(guest_memory_add(&fixture->vm.memory, 0, RAM_SIZE, fixture->ram));
    fixture->vm.virtualization = &operations;
    fixture->vcpu.vm = &fixture->vm;
    fixture->vcpu.backend = &fixture->backend;
    fixture->vcpu.arch = &fixture->arch;
    fixture->backend.vmcb = &fixture->vmcb;
    fixture->backend.abilities = &fixture->abilities;
    vmcb_init(&fixture->vmcb, &setup);
    svm_vcpu_start(&fixture->vcpu, &start);

    const uint64_t entries[] = {0x2003, 0x3003, 0x83};

    for (unsigned i = 0; i < 3; i++) {
        memcpy(fixture->ram + 0x1000UL * (i + 1), &entries[i], sizeof(entries[i]));
    }
    fixture->vmcb.tlb_control = 0;
    fixture->vmcb.clean = CLEAN_ALL;
    return fixture;
}

static void discard(struct fixture *fixture)
{
    free(fixture->ram);
    free(fixture);
}

static void put_code(struct fixture *fixture, const char *bytes, size_t size)
{
    memset(fixture->ram + CODE, 0xcc, 64);
    memcpy(fixture->ram + CODE, bytes, size);
}

static struct vm_exit translate(struct fixture *fixture, uint64_t code)
{
    struct vm_exit exit = {.kind = EXIT_KINDS};

    fixture->vmcb.exit_code = code;
    svm_translate_exit(&fixture->vcpu, &exit);
    svm_follow_exit(&fixture->backend);
    return exit;
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        uint64_t code;
        enum exit_kind kind;
        unsigned length;
    } rows[] = {
        {0x60, EXIT_HOST_INTERRUPT, 0},
        {0x61, EXIT_HOST_INTERRUPT, 0},
        {0x62, EXIT_UNEXPECTED, 0},
        {0x63, EXIT_UNEXPECTED, 0},
        {0x64, EXIT_INTERRUPT_WINDOW, 0},
        {0x6f, EXIT_INSTRUCTION, 0},
        {0x72, EXIT_CPUID, 2},
        {0x73, EXIT_INSTRUCTION, 0},
        {0x74, EXIT_INTERRUPT_WINDOW, 0},
        {0x76, EXIT_FLUSH, 2},
        {0x78, EXIT_HALT, 1},
        {0x7a, EXIT_INSTRUCTION, 0},
        {0x7f, EXIT_SHUTDOWN, 0},
        {0x80, EXIT_INSTRUCTION, 0},
        {0x81, EXIT_INSTRUCTION, 0},
        {0x86, EXIT_INSTRUCTION, 0},
        {0x87, EXIT_UNEXPECTED, 0},
        {0x89, EXIT_FLUSH, 2},
        {0x8a, EXIT_INSTRUCTION, 0},
        {0x8b, EXIT_INSTRUCTION, 0},
        {0x8e, EXIT_INSTRUCTION, 0},
        {0x8f, EXIT_UNEXPECTED, 0},
        {0x90, EXIT_UNEXPECTED, 0},
        {0x401, EXIT_UNEXPECTED, 0},
        {0x4e, EXIT_UNEXPECTED, 0},
    };
    struct fixture *fixture = make();

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vm_exit exit = translate(fixture, rows[i].code);

        assert_int_equal(exit.kind, rows[i].kind);
        assert_int_equal(exit.instruction_length, rows[i].length);
        if (rows[i].kind == EXIT_UNEXPECTED) {
            assert_int_equal(exit.code, rows[i].code);
        }
    }
    discard(fixture);
}

static void test_entry_failed(void **state)
{
    (void)state;
    struct fixture *fixture = make();

    assert_int_equal(translate(fixture, UINT64_MAX).kind, EXIT_ENTRY_FAILED);
    assert_int_equal(translate(fixture, UINT64_MAX).code, UINT64_MAX);
    assert_int_equal(translate(fixture, UINT32_MAX).kind, EXIT_ENTRY_FAILED); /* as TCG has it */
    discard(fixture);
}

static unsigned length_of(struct fixture *fixture, uint64_t code, const char *bytes, size_t size)
{
    put_code(fixture, bytes, size);
    return translate(fixture, code).instruction_length;
}

#define LENGTH(fixture, code, bytes) length_of(fixture, code, bytes, sizeof(bytes) - 1)

static void test_length_from_bytes(void **state)
{
    (void)state;
    struct fixture *fixture = make();

    assert_int_equal(LENGTH(fixture, SVM_EXIT_CPUID, "\x0f\xa2"), 2);
    assert_int_equal(LENGTH(fixture, SVM_EXIT_CPUID, "\x66\x0f\xa2"), 3);
    assert_int_equal(LENGTH(fixture, SVM_EXIT_CPUID, "\x48\x0f\xa2"), 3);
    assert_int_equal(
        LENGTH(fixture, SVM_EXIT_CPUID, "\x26\x2e\x36\x3e\x64\x65\x67\xf2\xf3\x4f\x0f\xa2"), 12);
    assert_int_equal(LENGTH(fixture, SVM_EXIT_CPUID,
                            "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x0f\xa2"),
                     15);
    assert_int_equal(LENGTH(fixture, 0x78, "\xf4"), 1);
    assert_int_equal(LENGTH(fixture, 0x78, "\xf3\xf4"), 2);
    assert_int_equal(LENGTH(fixture, SVM_EXIT_MSR, "\x0f\x30"), 2);
    assert_int_equal(LENGTH(fixture, SVM_EXIT_MSR, "\x40\x0f\x32"), 3);
    assert_int_equal(LENGTH(fixture, 0x76, "\x2e\x0f\x08"), 3);
    assert_int_equal(LENGTH(fixture, 0x89, "\x2e\x0f\x09"), 3);
    assert_int_equal(LENGTH(fixture, 0x89, "\x2e\x0f\x08"), 3); /* TCG's INVD */
    assert_int_equal(LENGTH(fixture, SVM_EXIT_XSETBV, "\x0f\x01\xd1"), 3);
    assert_int_equal(LENGTH(fixture, SVM_EXIT_XSETBV, "\x41\x0f\x01\xd1"), 4);
    /* Changed under our hands, nothing but prefixes, or too long: as if it had no prefixes. */
    assert_int_equal(LENGTH(fixture, SVM_EXIT_CPUID, "\x66\x90"), 2);
    assert_int_equal(LENGTH(fixture, 0x78, "\x66\x0f\xf4"), 1);
    memset(fixture->ram + CODE, 0x66, 64);
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 2);
    discard(fixture);
}

static void test_length_in_other_modes(void **state)
{
    (void)state;
    struct fixture *fixture = make();
    struct vmcb_state *cpu = &fixture->vmcb.state;

    /* Real mode: CS.base counts, and 40 is INC, not REX. */
    put_code(fixture, "\x66\x0f\xa2", 3);
    cpu->cr0 = 0x10;
    cpu->efer = EFER_SVME;
    cpu->segments[SEGMENT_CS].attributes = CODE_16;
    cpu->segments[SEGMENT_CS].base = CODE - 0x100;
    cpu->rip = 0x100;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 3);
    put_code(fixture, "\x40\x0f\xa2", 3);
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 2);
    /* 32-bit: the sum wraps at 4 GiB. */
    put_code(fixture, "\x66\x0f\xa2", 3);
    cpu->segments[SEGMENT_CS].attributes = CODE_32;
    cpu->segments[SEGMENT_CS].base = 0xffffff00;
    cpu->rip = CODE + 0x100;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 3);
    /* In 64-bit mode the base does not count; in compatibility mode it does. */
    cpu->cr0 = CR0_PE | CR0_PG;
    cpu->efer = EFER_SVME | EFER_LMA | EFER_LME;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 3);
    cpu->segments[SEGMENT_CS].attributes = CODE_64;
    cpu->rip = CODE;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 3);
    /* Not mapped, and beyond RAM. */
    cpu->rip = 0x200000;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 2);
    fixture->ram[RAM_SIZE - 1] = 0xf3;
    cpu->rip = RAM_SIZE - 1;
    assert_int_equal(translate(fixture, 0x78).instruction_length, 1);
    discard(fixture);
}

static void test_length_from_next_rip(void **state)
{
    (void)state;
    struct fixture *fixture = make();

    put_code(fixture, "\x66\x0f\xa2", 3);
    fixture->vmcb.next_rip = CODE + 5;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 3);
    fixture->abilities.next_rip = true;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 5);
    fixture->vmcb.next_rip = CODE + 1;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 1);
    fixture->vmcb.next_rip = CODE + 15;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 15);
    /* A hypervisor below us that announces it and does not fill it in. */
    fixture->vmcb.next_rip = 0;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 3);
    fixture->vmcb.next_rip = CODE;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 3);
    fixture->vmcb.next_rip = CODE + 16;
    assert_int_equal(translate(fixture, SVM_EXIT_CPUID).instruction_length, 3);
    discard(fixture);
}

static void test_port(void **state)
{
    (void)state;
    struct fixture *fixture = make();

    /* OUT 0x3f8, AL */
    fixture->vmcb.exit_info1 = 0x03f80210;
    fixture->vmcb.exit_info2 = CODE + 1;
    struct vm_exit exit = translate(fixture, SVM_EXIT_IOIO);

    assert_int_equal(exit.kind, EXIT_PORT);
    assert_int_equal(exit.instruction_length, 1);
    assert_int_equal(exit.port.port, 0x3f8);
    assert_int_equal(exit.port.size, 1);
    assert_true(exit.port.write);
    assert_false(exit.port.string);
    assert_false(exit.port.repeat);
    /* REP INSD from 0xffff, with a prefix */
    fixture->vmcb.exit_info1 = 0xffff024d;
    fixture->vmcb.exit_info2 = CODE + 3;
    exit = translate(fixture, SVM_EXIT_IOIO);
    assert_int_equal(exit.instruction_length, 3);
    assert_int_equal(exit.port.port, 0xffff);
    assert_int_equal(exit.port.size, 4);
    assert_false(exit.port.write);
    assert_true(exit.port.string);
    assert_true(exit.port.repeat);
    discard(fixture);
}

static void test_memory(void **state)
{
    (void)state;
    struct fixture *fixture = make();

    fixture->vmcb.exit_info1 = 0x100000006; /* user, write, final address */
    fixture->vmcb.exit_info2 = 0xd0000050;
    struct vm_exit exit = translate(fixture, SVM_EXIT_NPF);

    assert_int_equal(exit.kind, EXIT_MEMORY);
    assert_int_equal(exit.memory.gpa, 0xd0000050);
    assert_true(exit.memory.write);
    assert_false(exit.memory.fetch);
    assert_false(exit.memory.walk);
    assert_false(exit.memory.delivering);
    fixture->vmcb.exit_info1 = 0x100000014;
    fixture->vmcb.exit_event = EVENT_VALID | EVENT_TYPE_INTERRUPT | 0x30;
    exit = translate(fixture, SVM_EXIT_NPF);
    assert_false(exit.memory.write);
    assert_true(exit.memory.fetch);
    assert_true(exit.memory.delivering);
    fixture->vmcb.exit_info1 = 0x200000006;
    exit = translate(fixture, SVM_EXIT_NPF);
    assert_true(exit.memory.walk);
    discard(fixture);
}

static void test_msr(void **state)
{
    (void)state;
    struct fixture *fixture = make();

    fixture->vcpu.general[GENERAL_RAX] = 0xaaaaaaaa11223344;
    fixture->vcpu.general[GENERAL_RCX] = 0xbbbbbbbbc0000080;
    fixture->vcpu.general[GENERAL_RDX] = 0xcccccccc55667788;
    struct vm_exit exit = translate(fixture, SVM_EXIT_MSR);

    assert_int_equal(exit.kind, EXIT_MSR_READ);
    assert_int_equal(exit.msr.index, 0xc0000080);
    fixture->vmcb.exit_info1 = 1;
    exit = translate(fixture, SVM_EXIT_MSR);
    assert_int_equal(exit.kind, EXIT_MSR_WRITE);
    assert_int_equal(exit.msr.index, 0xc0000080);
    assert_int_equal(exit.msr.value, 0x5566778811223344);
    fixture->vcpu.general[GENERAL_RCX] = 0;
    exit = translate(fixture, SVM_EXIT_XSETBV);
    assert_int_equal(exit.kind, EXIT_XSETBV);
    assert_int_equal(exit.msr.index, 0);
    assert_int_equal(exit.msr.value, 0x5566778811223344);
    discard(fixture);
}

static struct vm_exit write_cr(struct fixture *fixture, uint64_t code, const char *bytes,
                               size_t size)
{
    put_code(fixture, bytes, size);
    return translate(fixture, code);
}

#define WRITE_CR(fixture, code, bytes) write_cr(fixture, code, bytes, sizeof(bytes) - 1)

static void assert_cr_write(struct vm_exit exit, unsigned number, uint64_t value, unsigned length)
{
    assert_int_equal(exit.kind, EXIT_CONTROL_REGISTER);
    assert_int_equal(exit.control_register.number, number);
    assert_int_equal(exit.control_register.value, value);
    assert_int_equal(exit.instruction_length, length);
}

static void test_control_register_from_bytes(void **state)
{
    (void)state;
    struct fixture *fixture = make();

    for (unsigned i = 0; i < GENERAL_REGISTERS; i++) {
        fixture->vcpu.general[i] = 0x1111111100000020 + i;
    }
    assert_cr_write(WRITE_CR(fixture, SVM_EXIT_CR4_WRITE, "\x0f\x22\xe0"), 4, 0x1111111100000020,
                    3);
    assert_cr_write(WRITE_CR(fixture, SVM_EXIT_CR4_WRITE, "\x0f\x22\xe7"), 4, 0x1111111100000027,
                    3);
    assert_cr_write(WRITE_CR(fixture, SVM_EXIT_CR4_WRITE, "\x41\x0f\x22\xe7"), 4,
                    0x111111110000002f, 4);
    /* A REX that is not right before the opcode has no effect, but a length. */
    assert_cr_write(WRITE_CR(fixture, SVM_EXIT_CR4_WRITE, "\x41\x66\x0f\x22\xe7"), 4,
                    0x1111111100000027, 5);
    assert_cr_write(WRITE_CR(fixture, SVM_EXIT_CR8_WRITE, "\x44\x0f\x22\xc1"), 8,
                    0x1111111100000021, 4);
    /* RSP is the VMCB's. */
    fixture->vmcb.state.rsp = 0x8020;
    assert_cr_write(WRITE_CR(fixture, SVM_EXIT_CR4_WRITE, "\x0f\x22\xe4"), 4, 0x8020, 3);
    /* Outside 64-bit mode the operand has 32 bits. */
    fixture->vmcb.state.segments[SEGMENT_CS].attributes = CODE_32;
    assert_cr_write(WRITE_CR(fixture, SVM_EXIT_CR4_WRITE, "\x0f\x22\xe7"), 4, 0x27, 3);
    /* Nor is CS.L what it seems while long mode is off. */
    fixture->vmcb.state.segments[SEGMENT_CS].attributes = CODE_64;
    fixture->vmcb.state.cr0 = CR0_PE;
    fixture->vmcb.state.efer = EFER_SVME;
    assert_cr_write(WRITE_CR(fixture, SVM_EXIT_CR4_WRITE, "\x0f\x22\xe7"), 4, 0x27, 3);
    /* Gone: #GP. */
    struct vm_exit exit = WRITE_CR(fixture, SVM_EXIT_CR4_WRITE, "\x90\x90\x90");

    assert_int_equal(exit.kind, EXIT_EXCEPTION);
    assert_int_equal(exit.exception.vector, 13);
    assert_true(exit.exception.has_error_code);
    assert_int_equal(exit.exception.error_code, 0);
    discard(fixture);
}

static void test_control_register_from_assists(void **state)
{
    (void)state;
    struct fixture *fixture = make();

    fixture->abilities.decode_assists = true;
    fixture->abilities.next_rip = true;
    fixture->vcpu.general[GENERAL_R9] = 0x6f0;
    fixture->vcpu.general[GENERAL_RBX] = 0xa0;
    fixture->vmcb.next_rip = CODE + 4;
    fixture->vmcb.exit_info1 = 1ULL << 63 | GENERAL_R9;
    assert_cr_write(WRITE_CR(fixture, SVM_EXIT_CR4_WRITE, "\x90"), 4, 0x6f0, 4);
    /* Bit 63 clear: not a MOV that was decoded; then the bytes say it. */
    fixture->vmcb.exit_info1 = GENERAL_R9;
    fixture->vmcb.next_rip = 0;
    assert_cr_write(WRITE_CR(fixture, SVM_EXIT_CR4_WRITE, "\x0f\x22\xe3"), 4, 0xa0, 3);
    discard(fixture);
}

static void test_exceptions(void **state)
{
    (void)state;
    struct fixture *fixture = make();

    fixture->vmcb.state.dr7 = 0x2400;
    struct vm_exit exit = translate(fixture, 0x41);

    assert_int_equal(exit.kind, EXIT_EXCEPTION);
    assert_int_equal(exit.exception.vector, 1);
    assert_false(exit.exception.has_error_code);
    assert_int_equal(fixture->vmcb.state.dr7, 0x400); /* delivery clears GD */
    assert_int_equal(fixture->vmcb.clean, CLEAN_ALL & ~CLEAN_DEBUG_REGISTERS);
    fixture->vmcb.exit_info1 = 0;
    exit = translate(fixture, 0x51);
    assert_int_equal(exit.exception.vector, 17);
    assert_true(exit.exception.has_error_code);
    assert_int_equal(exit.exception.error_code, 0);
    exit = translate(fixture, 0x52);
    assert_int_equal(exit.exception.vector, 18);
    assert_false(exit.exception.has_error_code);
    discard(fixture);
}

static uint64_t requeued(struct fixture *fixture, uint64_t event)
{
    fixture->vmcb.event = 0;
    fixture->vmcb.exit_event = event;
    (void)translate(fixture, 0x60);
    return fixture->vmcb.event;
}

static void test_interrupted_delivery(void **state)
{
    (void)state;
    static const uint64_t again[] = {
        EVENT_VALID | EVENT_TYPE_INTERRUPT | 0xec,
        EVENT_VALID | EVENT_TYPE_NMI | 2,
        EVENT_VALID | EVENT_TYPE_EXCEPTION | EVENT_HAS_ERROR_CODE | 14 | 0x7ULL << 32,
        EVENT_VALID | EVENT_TYPE_EXCEPTION | 1,
    };
    static const uint64_t by_themselves[] = {
        EVENT_VALID | EVENT_TYPE_SOFTWARE | 0x80,
        EVENT_VALID | EVENT_TYPE_EXCEPTION | 3,
        EVENT_VALID | EVENT_TYPE_EXCEPTION | 4,
        EVENT_TYPE_INTERRUPT | 0xec, /* not valid: the last one was delivered */
        0,
    };
    struct fixture *fixture = make();

    for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
        assert_int_equal(requeued(fixture, again[i]), again[i]);
    }
    for (size_t i = 0; i < sizeof(by_themselves) / sizeof(by_themselves[0]); i++) {
        assert_int_equal(requeued(fixture, by_themselves[i]), 0);
    }
    /* A guest that was entered with an event which it took: nothing is left of it. */
    fixture->vmcb.event = EVENT_VALID | 0x30;
    fixture->vmcb.exit_event = 0;
    (void)translate(fixture, 0x60);
    assert_int_equal(fixture->vmcb.event, 0);
    discard(fixture);
}

#define REQUEST (VIRTUAL_IRQ | VIRTUAL_IRQ_PRIORITY | VIRTUAL_IGNORE_TPR | VIRTUAL_INTR_MASKING)

static void test_inject_interrupt(void **state)
{
    (void)state;
    struct fixture *fixture = make();
    struct vmcb *vmcb = &fixture->vmcb;
    struct vcpu *vcpu = &fixture->vcpu;

    /* Interrupts off: not now, but when they come on. */
    assert_false(svm_inject_interrupt(vcpu, 0x31));
    assert_int_equal(vmcb->event, 0);
    assert_int_equal(vmcb->virtual_interrupt, REQUEST);
    /* The window's exit ends the request. */
    vmcb->state.rflags |= RFLAGS_IF;
    assert_int_equal(translate(fixture, SVM_EXIT_VINTR).kind, EXIT_INTERRUPT_WINDOW);
    assert_int_equal(vmcb->virtual_interrupt, VIRTUAL_INTR_MASKING);
    /* An instruction's shadow, which ends with the instruction. */
    vmcb->interrupt_state = INTERRUPT_SHADOW;
    assert_false(svm_inject_interrupt(vcpu, 0x31));
    svm_skip(vcpu, CODE + 3);
    assert_int_equal(vmcb->interrupt_state, 0);
    assert_int_equal(vmcb->state.rip, CODE + 3);
    assert_true(svm_inject_interrupt(vcpu, 0x31));
    assert_int_equal(vmcb->event, 0x80000031);
    assert_int_equal(vmcb->virtual_interrupt, VIRTUAL_INTR_MASKING);
    /* One at a time. */
    assert_false(svm_inject_interrupt(vcpu, 0x32));
    assert_int_equal(vmcb->event, 0x80000031);
    assert_int_equal(vmcb->virtual_interrupt, REQUEST);
    svm_cancel_interrupt_window(vcpu);
    assert_int_equal(vmcb->virtual_interrupt, VIRTUAL_INTR_MASKING);
    discard(fixture);
}

static bool windows_exit(const struct fixture *fixture)
{
    return (fixture->vmcb.intercepts[SVM_EXIT_VINTR / 32] & 1U << SVM_EXIT_VINTR % 32) != 0;
}

/* Around an entry: an interrupt goes in as a virtual one, which must not exit. */
static void test_virtual_interrupt(void **state)
{
    (void)state;
    struct fixture *fixture = make();
    struct vmcb *vmcb = &fixture->vmcb;
    struct backend_vcpu *backend = &fixture->backend;

    vmcb->virtual_interrupt |= 5; /* CR8 stays as it is */
    vmcb->state.rflags |= RFLAGS_IF;
    assert_true(svm_inject_interrupt(&fixture->vcpu, 0xec));
    svm_offer_interrupt(backend);
    assert_int_equal(vmcb->event, 0);
    assert_int_equal(vmcb->virtual_interrupt, REQUEST | 5 | 0xecULL << 32);
    assert_false(windows_exit(fixture));
    assert_int_equal(vmcb->clean, CLEAN_ALL);
    /* The guest took it: the processor has cleared V_IRQ. */
    vmcb->virtual_interrupt &= ~VIRTUAL_IRQ;
    svm_withdraw_interrupt(backend);
    (void)translate(fixture, SVM_EXIT_CPUID);
    assert_int_equal(vmcb->event, 0);
    assert_int_equal(vmcb->virtual_interrupt & (VIRTUAL_IRQ | 0xff), 5);
    /* The machine's own interrupt came before it: it is there again, and no other one beside it. */
    assert_true(svm_inject_interrupt(&fixture->vcpu, 0x31));
    svm_offer_interrupt(backend);
    svm_withdraw_interrupt(backend);
    (void)translate(fixture, 0x60);
    assert_int_equal(vmcb->event, 0x80000031);
    assert_int_equal(vmcb->virtual_interrupt & (VIRTUAL_IRQ | 0xff), 5);
    assert_false(svm_inject_interrupt(&fixture->vcpu, 0x32));
    /* Then the other one waits for a window, which takes the virtual interrupt, and exits. */
    assert_true(windows_exit(fixture));
    svm_offer_interrupt(backend);
    assert_int_equal(vmcb->event, 0x80000031);
    assert_int_equal(vmcb->virtual_interrupt & ~(0xffULL << 32), REQUEST | 5);
    svm_withdraw_interrupt(backend);
    assert_int_equal(vmcb->exit_event, EVENT_VALID | 0x31); /* of the exit before */
    assert_int_equal(vmcb->virtual_interrupt & ~(0xffULL << 32), REQUEST | 5);
    vmcb->exit_event = 0;
    (void)translate(fixture, SVM_EXIT_VINTR);
    assert_false(windows_exit(fixture));
    assert_int_equal(vmcb->event, 0);
    discard(fixture);
}

static void test_only_interrupts_are_virtual(void **state)
{
    (void)state;
    static const uint64_t others[] = {0, 0x31, EVENT_VALID | EVENT_TYPE_NMI | 2,
                                      EVENT_VALID | EVENT_TYPE_EXCEPTION | 6};
    struct fixture *fixture = make();

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        fixture->vmcb.event = others[i];
        svm_offer_interrupt(&fixture->backend);
        assert_int_equal(fixture->vmcb.event, others[i]);
        assert_int_equal(fixture->vmcb.virtual_interrupt, VIRTUAL_INTR_MASKING);
        svm_withdraw_interrupt(&fixture->backend);
        assert_int_equal(fixture->vmcb.exit_event, 0);
    }
    discard(fixture);
}

/* An instruction that is done for the guest ends as one that it did itself. */
static void test_skip(void **state)
{
    (void)state;
    struct fixture *fixture = make();
    struct vmcb *vmcb = &fixture->vmcb;

    vmcb->interrupt_state = INTERRUPT_SHADOW | 2;
    vmcb->state.rflags = RFLAGS_FIXED | RFLAGS_RF | RFLAGS_IF;
    svm_skip(&fixture->vcpu, CODE + 2);
    assert_int_equal(vmcb->state.rip, CODE + 2);
    assert_int_equal(vmcb->state.rflags, RFLAGS_FIXED | RFLAGS_IF);
    assert_int_equal(vmcb->interrupt_state, 2);
    assert_int_equal(vmcb->event, 0);
    assert_int_equal(vmcb->clean, CLEAN_ALL);
    vmcb->state.rflags |= RFLAGS_TF;
    svm_skip(&fixture->vcpu, CODE + 5);
    assert_int_equal(vmcb->state.rip, CODE + 5);
    assert_int_equal(vmcb->event, 0x80000301);
    assert_int_equal(vmcb->state.dr6, 0xffff4ff0); /* BS */
    assert_int_equal(vmcb->clean, CLEAN_ALL & ~CLEAN_DEBUG_REGISTERS);
    discard(fixture);
}

static void test_inject_exception(void **state)
{
    (void)state;
    struct fixture *fixture = make();

    svm_inject_exception(&fixture->vcpu, 6, false, 0x55);
    assert_int_equal(fixture->vmcb.event, 0x80000306);
    svm_inject_exception(&fixture->vcpu, 13, true, 0x18);
    assert_int_equal(fixture->vmcb.event, 0x1880000b0d);
    discard(fixture);
}

static bool iret_exits(const struct fixture *fixture)
{
    return (fixture->vmcb.intercepts[3] & 1U << 20) != 0;
}

/* Real mode has no error codes, whatever the exception. */
static void test_exception_in_real_mode(void **state)
{
    (void)state;
    struct fixture *fixture = make();

    svm_inject_exception(&fixture->vcpu, VECTOR_GENERAL_PROTECTION, true, 0x12);
    assert_int_equal(fixture->vmcb.event, 0x1280000b0d);
    fixture->vmcb.state.cr0 = CR0_ET;
    svm_inject_exception(&fixture->vcpu, VECTOR_GENERAL_PROTECTION, true, 0x12);
    assert_int_equal(fixture->vmcb.event, 0x8000030d);
    discard(fixture);
}

/* The guest takes an NMI; the next one waits until it is past the IRET of the first. */
static void test_nmi(void **state)
{
    (void)state;
    struct fixture *fixture = make();
    struct vmcb *vmcb = &fixture->vmcb;
    struct vcpu *vcpu = &fixture->vcpu;

    assert_false(iret_exits(fixture));
    assert_true(svm_inject_nmi(vcpu));
    assert_int_equal(vmcb->event, 0x80000202);
    assert_true(iret_exits(fixture));
    assert_int_equal(vmcb->clean, CLEAN_ALL & ~CLEAN_INTERCEPTS);
    /* In the handler: only its IRET matters, so no window is asked for. */
    (void)translate(fixture, 0x60);
    assert_false(svm_inject_nmi(vcpu));
    assert_int_equal(vmcb->virtual_interrupt, VIRTUAL_INTR_MASKING);
    /* At the IRET, which has not been executed yet: an NMI now would come on top of the first. */
    vmcb->state.rip = 0x5000;
    assert_int_equal(translate(fixture, SVM_EXIT_IRET).kind, EXIT_INTERRUPT_WINDOW);
    assert_false(iret_exits(fixture));
    assert_int_equal(vmcb->interrupt_state, 0);
    assert_false(svm_inject_nmi(vcpu));
    assert_int_equal(vmcb->virtual_interrupt, REQUEST);
    assert_int_equal(vmcb->interrupt_state, INTERRUPT_SHADOW); /* no window before the IRET */
    vmcb->interrupt_state = 0;
    (void)translate(fixture, 0x60);
    assert_false(svm_inject_nmi(vcpu));
    assert_int_equal(vmcb->interrupt_state, INTERRUPT_SHADOW);
    /* The interrupt window that another asked for and cancels is not the NMI's. */
    svm_cancel_interrupt_window(vcpu);
    assert_int_equal(vmcb->virtual_interrupt, REQUEST);
    /* Past it. */
    vmcb->state.rip = CODE;
    vmcb->interrupt_state = 0;
    assert_int_equal(translate(fixture, SVM_EXIT_VINTR).kind, EXIT_INTERRUPT_WINDOW);
    assert_int_equal(vmcb->virtual_interrupt, VIRTUAL_INTR_MASKING);
    assert_true(svm_inject_nmi(vcpu));
    assert_int_equal(vmcb->event, 0x80000202);
    assert_true(iret_exits(fixture));
    /* A start forgets all that. */
    const struct vcpu_start start = {.rip = CODE};

    assert_false(svm_inject_interrupt(vcpu, 0x31));
    assert_int_equal(vmcb->virtual_interrupt, REQUEST);
    svm_vcpu_start(vcpu, &start);
    assert_int_equal(vmcb->virtual_interrupt, VIRTUAL_INTR_MASKING);
    assert_false(iret_exits(fixture));
    assert_true(svm_inject_nmi(vcpu));
    discard(fixture);
}

static void test_registers(void **state)
{
    (void)state;
    struct fixture *fixture = make();
    struct vmcb *vmcb = &fixture->vmcb;
    struct vcpu *vcpu = &fixture->vcpu;

    svm_set(vcpu, REGISTER_RIP, 1);
    svm_set(vcpu, REGISTER_RSP, 2);
    svm_set(vcpu, REGISTER_RFLAGS, 3);
    assert_int_equal(vmcb->state.rip, 1);
    assert_int_equal(vmcb->state.rsp, 2);
    assert_int_equal(vmcb->state.rflags, 3);
    assert_int_equal(vmcb->clean, CLEAN_ALL);
    assert_int_equal(vmcb->tlb_control, TLB_FLUSH_NOTHING);
    svm_set(vcpu, REGISTER_CR3, 0x5000);
    assert_int_equal(vmcb->state.cr3, 0x5000);
    assert_int_equal(vmcb->clean, CLEAN_ALL & ~CLEAN_CONTROL_REGISTERS);
    assert_int_equal(vmcb->tlb_control, TLB_FLUSH_ALL);
    fixture->abilities.flush_by_asid = true;
    svm_set(vcpu, REGISTER_CR4, CR4_PAE | CR4_PGE);
    /* MCE is the machine's: always set. */
    assert_int_equal(svm_get(vcpu, REGISTER_CR4), CR4_PAE | CR4_PGE | CR4_MCE);
    assert_int_equal(vmcb->tlb_control, TLB_FLUSH_ASID);
    /* SVME is ours: always set, never seen. */
    assert_int_equal(svm_get(vcpu, REGISTER_EFER), EFER_LME | EFER_LMA);
    svm_set(vcpu, REGISTER_EFER, EFER_LME | EFER_LMA | EFER_NXE);
    assert_int_equal(vmcb->state.efer, EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME);
    /* Paging off and on takes long mode with it. */
    svm_set(vcpu, REGISTER_CR0, CR0_PE);
    assert_int_equal(svm_get(vcpu, REGISTER_EFER), EFER_LME | EFER_NXE);
    svm_set(vcpu, REGISTER_CR0, CR0_PE | CR0_PG);
    assert_int_equal(svm_get(vcpu, REGISTER_EFER), EFER_LME | EFER_LMA | EFER_NXE);
    /* ... but only if it is enabled. */
    svm_set(vcpu, REGISTER_CR0, CR0_PE);
    svm_set(vcpu, REGISTER_EFER, EFER_NXE);
    svm_set(vcpu, REGISTER_CR0, CR0_PE | CR0_PG);
    assert_int_equal(svm_get(vcpu, REGISTER_EFER), EFER_NXE);
    discard(fixture);
}

static void test_segment(void **state)
{
    (void)state;
    struct fixture *fixture = make();
    struct segment segment;

    fixture->vmcb.state.segments[SEGMENT_FS] = (struct vmcb_segment){
        .selector = 0x2b, .attributes = 0xcf3, .limit = 0xfffff, .base = 0x7f0000000000};
    svm_get_segment(&fixture->vcpu, SEGMENT_FS, &segment);
    assert_int_equal(segment.selector, 0x2b);
    assert_int_equal(segment.attributes, 0xc0f3);
    assert_int_equal(segment.limit, 0xfffff);
    assert_int_equal(segment.base, 0x7f0000000000);
    discard(fixture);
}

static uint64_t intercepts(const struct fixture *fixture, size_t offset)
{
    uint32_t word;

    memcpy(&word, (const uint8_t *)&fixture->vmcb + offset, sizeof(word));
    return word;
}

/* By the offsets of APM Vol. 2, table B-1. */
static void test_intercepts(void **state)
{
    (void)state;
    struct fixture *fixture = make();
    struct vmcb *vmcb = &fixture->vmcb;

    assert_int_equal(intercepts(fixture, 0x000), 0x00100000); /* writes of CR4 */
    assert_int_equal(intercepts(fixture, 0x004), 0);
    assert_int_equal(intercepts(fixture, 0x008), 0x00060002); /* #MC, #AC, #DB */
    assert_int_equal(intercepts(fixture, 0x00c), 0x9d4c800b);
    assert_int_equal(intercepts(fixture, 0x010), 0x00006e7f);
    assert_int_equal(intercepts(fixture, 0x014), 0);
    vmcb_intercept(vmcb, SVM_EXIT_CR8_WRITE, false);
    assert_int_equal(vmcb->clean, CLEAN_ALL);
    vmcb_intercept(vmcb, SVM_EXIT_CR8_WRITE, true);
    vmcb_intercept(vmcb, SVM_EXIT_CR8_WRITE, true);
    assert_int_equal(intercepts(fixture, 0x000), 0x01100000);
    assert_int_equal(vmcb->clean, CLEAN_ALL & ~CLEAN_INTERCEPTS);
    /* Another start ends what was asked for meanwhile. */
    vmcb_intercept(vmcb, SVM_EXIT_IRET, true);
    assert_int_equal(intercepts(fixture, 0x00c), 0x9d5c800b);
    svm_vcpu_start_up(&fixture->vcpu, 0x9a);
    assert_int_equal(intercepts(fixture, 0x000), 0x00100000);
    assert_int_equal(intercepts(fixture, 0x00c), 0x9d4c800b);
    discard(fixture);
}

/* Whatever the exit fields and the guest's code are, the translation ends with one of the kinds. */
static void test_any_exit(void **state)
{
    (void)state;
    struct fixture *fixture = make();
    uint64_t random = 0x9e3779b97f4a7c15;

    for (unsigned i = 0; i < 200000; i++) {
        uint64_t *const fields[] = {
            &fixture->vmcb.exit_info1, &fixture->vmcb.exit_info2, &fixture->vmcb.exit_event,
            &fixture->vmcb.next_rip,   &fixture->vmcb.state.cr0,  &fixture->vmcb.state.cr4,
            &fixture->vmcb.state.efer, &fixture->vmcb.state.rip,
        };

        for (size_t j = 0; j < sizeof(fields) / sizeof(fields[0]); j++) {
            random = random * 6364136223846793005 + 1442695040888963407;
            *fields[j] = random >> (random & 63);
        }
        memcpy(fixture->ram + CODE + (random >> 32) % 64, &random, sizeof(random));
        fixture->abilities.next_rip = (random >> 60 & 1) != 0;
        assert_in_range(translate(fixture, i % 0x500).kind, 0, EXIT_KINDS - 1);
    }
    discard(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_entry_failed),
        cmocka_unit_test(test_length_from_bytes),
        cmocka_unit_test(test_length_in_other_modes),
        cmocka_unit_test(test_length_from_next_rip),
        cmocka_unit_test(test_port),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_msr),
        cmocka_unit_test(test_control_register_from_bytes),
        cmocka_unit_test(test_control_register_from_assists),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_interrupted_delivery),
        cmocka_unit_test(test_inject_interrupt),
        cmocka_unit_test(test_virtual_interrupt),
        cmocka_unit_test(test_only_interrupts_are_virtual),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_inject_exception),
        cmocka_unit_test(test_exception_in_real_mode),
        cmocka_unit_test(test_nmi),
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_segment),
        cmocka_unit_test(test_intercepts),
        cmocka_unit_test(test_any_exit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
