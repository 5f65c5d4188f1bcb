/* Tests of RDRAND and RDSEED answered from the pool: registers, flags, and a pool that is dry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest-tests/host/scripted_machine.h"
#include "vmm/arch.h"

#define LENGTH 4U
#define OLD    0x1122334455667788ULL
/* OF, SF, ZF, AF, PF and CF (SDM Vol. 1, 3.4.3.1), and some that are none of the instruction's. */
#define STATUS 0x8d5ULL
#define OTHERS (RFLAGS_FIXED | RFLAGS_IF | RFLAGS_DF)

static struct vcpu *vcpu;
static struct backend_vcpu *hardware;

static int set_up(void **state)
{
    (void)state;
    assert_true(scripted_machine_create());
    vcpu = &machine.vm.vcpus[0];
    hardware = &machine.hardware[0];
    machine.vm.arch->setup.random = &machine.entropy;
    return 0;
}

/* The pool as full as whole words make it. */
static void fill(void)
{
    while (entropy_refill(&machine.entropy, 64) > 0) {
    }
    assert_in_range(entropy_level(&machine.entropy), ENTROPY_POOL_SIZE - 7, ENTROPY_POOL_SIZE);
}

/* Executes one instruction with all status flags set before, and looks at all that it may touch. */
static uint64_t execute(unsigned reg, unsigned size, bool answered)
{
    struct vm_exit exit = {.kind = EXIT_RANDOM,
                           .instruction_length = LENGTH,
                           .random = {.reg = (uint8_t)reg, .size = (uint8_t)size}};
    uint64_t before[GENERAL_REGISTERS];

    for (unsigned i = 0; i < GENERAL_REGISTERS; i++) {
        vcpu_set_general_register(vcpu, (enum general_register)i, OLD + i);
        before[i] = OLD + i;
    }
    hardware->registers[REGISTER_RFLAGS] = OTHERS | STATUS;
    assert_int_equal(arch_handle_exit(vcpu, &exit), ACTION_SKIP);
    assert_int_equal(hardware->registers[REGISTER_RFLAGS], answered ? OTHERS | 1 : OTHERS);
    assert_int_equal(hardware->exceptions, 0);
    for (unsigned i = 0; i < GENERAL_REGISTERS; i++) {
        if (i != reg) {
            assert_int_equal(vcpu_general_register(vcpu, (enum general_register)i), before[i]);
        }
    }
    return vcpu_general_register(vcpu, (enum general_register)reg);
}

/* Every register and size; the bytes are the pool's, from its end on, and are gone from it. */
static void test_registers_and_sizes(void **state)
{
    (void)state;
    static const uint64_t kept[] = {[2] = 0xffffffffffff0000, [4] = 0, [8] = 0};

    for (unsigned reg = 0; reg < GENERAL_REGISTERS; reg++) {
        for (unsigned size = 2; size <= 8; size *= 2) {
            uint64_t expected = 0;
            uint32_t level;

            fill();
            level = entropy_level(&machine.entropy);
            memcpy(&expected, machine.entropy.pool + level - size, size);
            expected |= (OLD + reg) & kept[size];
            assert_int_equal(execute(reg, size, true), expected);
            assert_int_equal(entropy_level(&machine.entropy), level - size);
            for (unsigned i = 0; i < size; i++) {
                assert_int_equal(machine.entropy.pool[level - size + i], 0);
            }
        }
    }
    assert_int_equal(vcpu->arch->random.answered, 3 * GENERAL_REGISTERS);
    assert_int_equal(vcpu->arch->random.dry, 0);
}

/* An empty pool is filled by as much as is needed; without a source there is no word. */
static void test_empty_pool(void **state)
{
    (void)state;
    uint8_t rest[ENTROPY_POOL_SIZE];

    fill();
    assert_int_equal(entropy_take(&machine.entropy, rest, sizeof(rest)), sizeof(rest));
    assert_int_not_equal(execute(GENERAL_R9, 8, true), 0);
    assert_true(entropy_level(&machine.entropy) < 16);

    machine.script =
        (struct script){.mode = SCRIPT_DRY, .tries = UINT64_MAX, .played = machine.script.played};
    (void)entropy_take(&machine.entropy, rest, sizeof(rest));
    assert_int_equal(execute(GENERAL_RBX, 2, false), (OLD + GENERAL_RBX) & 0xffffffffffff0000);
    assert_int_equal(execute(GENERAL_RBX, 4, false), 0);
    assert_int_equal(execute(GENERAL_RBX, 8, false), 0);
    assert_int_equal(vcpu->arch->random.answered, 1);
    assert_int_equal(vcpu->arch->random.dry, 3);
}

/* What is too little for an answer is not handed out in part, and to nobody else afterwards. */
static void test_rest_of_the_pool(void **state)
{
    (void)state;
    uint8_t rest[ENTROPY_POOL_SIZE];

    fill();
    assert_int_equal(entropy_take(&machine.entropy, rest, sizeof(rest) - 6), sizeof(rest) - 6);
    machine.script = (struct script){.mode = SCRIPT_DRY, .tries = UINT64_MAX};
    assert_int_equal(execute(GENERAL_RSP, 8, false), 0);
    assert_int_equal(entropy_level(&machine.entropy), 0);
    assert_int_equal(vcpu->arch->random.dry, 1);
}

/* Who executes it without end leaves the other guests' devices what they keep in reserve. */
static void test_others_reserve(void **state)
{
    (void)state;
    uint8_t rest[ENTROPY_POOL_SIZE];

    machine.entropy.devices = 2;
    fill();
    for (unsigned i = 0; i < 2 * ENTROPY_POOL_SIZE / 8; i++) {
        assert_int_not_equal(execute(GENERAL_RAX, 8, true), 0);
        assert_in_range(entropy_level(&machine.entropy), ENTROPY_RESERVE - ENTROPY_SHARE,
                        ENTROPY_POOL_SIZE);
    }
    machine.script =
        (struct script){.mode = SCRIPT_DRY, .tries = UINT64_MAX, .played = machine.script.played};
    while (vcpu->arch->random.dry == 0 && vcpu->arch->random.answered < ENTROPY_POOL_SIZE) {
        struct vm_exit exit = {.kind = EXIT_RANDOM, .random = {.reg = GENERAL_RAX, .size = 8}};

        assert_int_equal(arch_handle_exit(vcpu, &exit), ACTION_SKIP);
    }
    assert_int_equal(vcpu->arch->random.dry, 1);
    assert_in_range(entropy_take(&machine.entropy, rest, sizeof(rest)),
                    ENTROPY_RESERVE - ENTROPY_SHARE, ENTROPY_RESERVE + 15);
}

/* Bytes of a source that has failed its tests are no answer. */
static void test_source_at_fault(void **state)
{
    (void)state;
    fill();
    machine.script =
        (struct script){.mode = SCRIPT_STUCK, .tries = UINT64_MAX, .played = machine.script.played};
    (void)execute(GENERAL_RAX, 8, true); /* makes room, so that the source is asked again */
    (void)entropy_refill(&machine.entropy, 8);
    (void)execute(GENERAL_RAX, 8, true);
    (void)entropy_refill(&machine.entropy, 8);
    assert_int_equal(entropy_state(&machine.entropy), ENTROPY_STARTING);
    for (unsigned i = 0; i < 2000; i++) {
        assert_int_equal(execute(GENERAL_RAX, 8, false), 0);
    }
    assert_int_equal(vcpu->arch->random.dry, 2000);
}

static void test_statistics(void **state)
{
    (void)state;
    fill();
    (void)execute(GENERAL_RAX, 8, true);
    (void)machine_print_statistics(&machine.vm, 0);
    assert_non_null(
        strstr(scripted_host.log, "\n    RDRAND and RDSEED answered 1, without a word 0\n"));
    scripted_host_reset();
    machine.vm.arch->setup.random = NULL;
    (void)machine_print_statistics(&machine.vm, 0);
    assert_null(strstr(scripted_host.log, "RDRAND"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_registers_and_sizes, set_up),
        cmocka_unit_test_setup(test_empty_pool, set_up),
        cmocka_unit_test_setup(test_rest_of_the_pool, set_up),
        cmocka_unit_test_setup(test_others_reserve, set_up),
        cmocka_unit_test_setup(test_source_at_fault, set_up),
        cmocka_unit_test_setup(test_statistics, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
