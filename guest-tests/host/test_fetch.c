/* Tests of fetching instructions: what is kept is what a fresh reading would yield, always. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/fetch.h"
#include "guest-tests/host/scripted_machine.h"

static struct vcpu *vcpu;
static struct backend_vcpu *hardware;

static int set_up(void **state)
{
    (void)state;
    assert_true(scripted_machine_create());
    vcpu = &machine.vm.vcpus[0];
    hardware = &machine.hardware[0];
    return 0;
}

static const struct fetched_instruction *fetch_at(uint64_t rip)
{
    hardware->registers[REGISTER_RIP] = rip;
    return fetch_instruction(vcpu, rip);
}

static struct fetch_row *row_of(uint64_t rip)
{
    struct fetch_rows *fetched = &vcpu->arch->fetched;

    for (unsigned i = 0; i < FETCH_ROWS; i++) {
        if (fetched->rows[i].state.rip == rip) {
            return &fetched->rows[i];
        }
    }
    return NULL;
}

/* The same by a vCPU that has kept nothing. */
static void assert_as_fresh(uint64_t rip)
{
    static struct fetch_rows empty;
    const struct fetched_instruction found = *fetch_at(rip);
    const struct fetch_rows kept = vcpu->arch->fetched;

    vcpu->arch->fetched = empty;
    const struct fetched_instruction *expected = fetch_at(rip);

    assert_int_equal(found.available, expected->available);
    assert_memory_equal(found.bytes, expected->bytes, found.available);
    assert_int_equal(found.code, expected->code);
    assert_memory_equal(&found.paging, &expected->paging, sizeof(found.paging));
    assert_int_equal(found.mmio.length, expected->mmio.length);
    if (found.mmio.length > 0) {
        assert_int_equal(found.mmio.size, expected->mmio.size);
        assert_int_equal(found.mmio.is_write, expected->mmio.is_write);
        assert_int_equal(found.mmio.reg, expected->mmio.reg);
        assert_int_equal(found.mmio.immediate, expected->mmio.immediate);
    }
    vcpu->arch->fetched = kept;
}

static void test_fetch(void **state)
{
    (void)state;
    scripted_code("\x89\x07", 2); /* mov [rdi], eax */
    const struct fetched_instruction *first = fetch_at(MACHINE_CODE);

    assert_int_equal(first->available, INSTRUCTION_MAX_LENGTH);
    assert_int_equal(first->code, CODE_64_BIT);
    assert_int_equal(first->mmio.length, 2);
    assert_true(first->mmio.is_write);
    assert_true(row_of(MACHINE_CODE)->kept);
    assert_ptr_equal(fetch_at(MACHINE_CODE), first);
    scripted_code("\x8b\x07", 2); /* the page's own bytes are read anew */
    assert_false(fetch_at(MACHINE_CODE)->mmio.is_write);
    scripted_code("\x0f\x0b", 2);
    assert_int_equal(fetch_at(MACHINE_CODE)->mmio.length, 0);
    scripted_code("\x8b\x07", 2);
    machine.ram[MACHINE_CODE_GPA + 14] = 0x55; /* the last byte that counts */
    assert_int_equal(fetch_at(MACHINE_CODE)->bytes[14], 0x55);
}

/* Whatever it was read by: each is looked at. */
static void test_state(void **state)
{
    (void)state;
    scripted_code("\x89\x07", 2);
    (void)fetch_at(MACHINE_CODE);
    hardware->segments[SEGMENT_CS].attributes = SEGMENT_CODE_32;
    hardware->segments[SEGMENT_CS].base = 0x10;
    scripted_map_page(0x1000, 0x41000);
    memcpy(machine.ram + 0x41010, "\x66\x8b\x07", 3);
    assert_int_equal(fetch_at(0x1000)->mmio.length, 3);
    hardware->segments[SEGMENT_CS].base = 0x20;
    memcpy(machine.ram + 0x41020, "\x8b\x07", 2);
    assert_int_equal(fetch_at(0x1000)->mmio.length, 2);
    hardware->segments[SEGMENT_CS].attributes = SEGMENT_CODE_16;
    assert_int_equal(fetch_at(0x1000)->mmio.size, 2);
    hardware->segments[SEGMENT_CS].attributes = SEGMENT_CODE_64;
    assert_int_equal(fetch_at(0x1000)->code, CODE_64_BIT);
    hardware->registers[REGISTER_CR3] = 0x100000; /* other tables, which map nothing */
    assert_int_equal(fetch_at(0x1000)->available, 0);
    assert_false(row_of(0x1000)->kept);
    hardware->registers[REGISTER_CR3] = MACHINE_TABLES;
    assert_int_equal(fetch_at(0x1000)->available, INSTRUCTION_MAX_LENGTH);
    hardware->registers[REGISTER_CR0] = CR0_PE;
    hardware->registers[REGISTER_EFER] = 0;
    hardware->registers[REGISTER_CR4] = 0;
    memcpy(machine.ram + 0x1020, "\xff\xff", 2);
    assert_int_equal(fetch_at(0x1000)->bytes[0], 0xff);
    assert_false(row_of(0x1000)->kept);
}

/* Bytes that continue on another page, or end before RAM or the page tables do. */
static void test_ends(void **state)
{
    (void)state;
    const uint64_t end = MACHINE_CODE + 0x1000;

    scripted_map_page(end, 0x50000);
    memset(machine.ram + MACHINE_CODE_GPA, 0x90, 0x1000);
    memset(machine.ram + 0x50000, 0x91, 0x1000);
    for (uint64_t i = 0; i <= 16; i++) {
        const struct fetched_instruction *found = fetch_at(end - i);

        assert_int_equal(found->available, INSTRUCTION_MAX_LENGTH);
        for (unsigned k = 0; k < INSTRUCTION_MAX_LENGTH; k++) {
            assert_int_equal(found->bytes[k], k < i ? 0x90 : 0x91);
        }
        assert_int_equal(row_of(end - i)->kept, i == 0 || i == 16);
    }
    scripted_map_page(end, MACHINE_RAM); /* beyond RAM */
    for (uint64_t i = 0; i <= 16; i++) {
        assert_int_equal(fetch_at(end - i)->available, i < 15 ? i : 15);
    }
}

/* A guest that changes registers, tables and code at random: never is there anything stale. */
static void test_against_fresh(void **state)
{
    (void)state;
    static const uint8_t beginnings[][4] = {
        {0x89, 0x07}, {0x8b, 0x07}, {0x88, 0x27},       {0x40, 0x88, 0x27}, {0xc6, 0x07, 0x55},
        {0xa1, 0x50}, {0x01, 0x07}, {0x66, 0x89, 0x07}, {0x63, 0x07},       {0x0f, 0xb6, 0x07},
    };
    const uint64_t last_table = MACHINE_TABLES + machine.tables * 0x1000ULL;
    unsigned kept = 0;

    srand(1);
    for (unsigned page = 0; page < 4; page++) {
        scripted_map_page(MACHINE_CODE + 0x1000ULL * page, 0x40000 + 0x1000ULL * page);
    }
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t page = (uint64_t)rand() % 4;
        uint64_t offset = (uint64_t)rand() % 3 * 0x7f8;
        uint64_t rip = MACHINE_CODE + 0x1000 * page + offset;

        switch (rand() % 8) {
        case 0:
            memcpy(machine.ram + 0x40000 + 0x1000 * page + offset, beginnings[rand() % 10], 4);
            break;
        case 1:
            *scripted_entry(last_table, (unsigned)page) =
                (0x40000 + 0x1000ULL * ((unsigned)rand() % 5)) | (rand() % 8 == 0 ? 6 : 7);
            break;
        case 2:
            hardware->segments[SEGMENT_CS].attributes =
                rand() % 2 == 0 ? SEGMENT_CODE_64 : SEGMENT_CODE_32;
            break;
        case 3:
            hardware->registers[REGISTER_CR3] = rand() % 8 == 0 ? 0x100000 : MACHINE_TABLES;
            break;
        default:
            break;
        }
        kept += row_of(rip) != NULL && row_of(rip)->kept;
        assert_as_fresh(rip);
    }
    assert_in_range(kept, 2000, 20000); /* or else nothing was tested */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_fetch, set_up),
        cmocka_unit_test_setup(test_state, set_up),
        cmocka_unit_test_setup(test_ends, set_up),
        cmocka_unit_test_setup(test_against_fresh, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
