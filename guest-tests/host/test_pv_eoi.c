/* Tests of the paravirtual EOI: its MSR, when it is offered, and what becomes of an offer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/layout.h"
#include "arch/x86/guest/pv_eoi.h"

#define RAM_BASE 0x1000U
#define RAM_SIZE 0x1000U
#define WORD     0x1ffcU /* the last one */
#define VECTOR   0x51U

static _Alignas(8) uint8_t ram[RAM_SIZE];
static _Alignas(4096) uint8_t page[4096];
static struct guest_memory memory;
static struct pv_eoi pv_eoi;
static struct local_apic apic;
static unsigned eois; /* that the I/O APIC was told of */

static void on_eoi(void *context, uint8_t vector)
{
    (void)context;
    (void)vector;
    eois++;
}

static int set_up(void **state)
{
    static const struct local_apic_operations operations = {.eoi = on_eoi};

    (void)state;
    memset(ram, 0, sizeof(ram));
    memory = (struct guest_memory){0};
    pv_eoi = (struct pv_eoi){0};
    eois = 0;
    local_apic_init(&apic, page, 0, true, &operations, NULL);
    local_apic_write(&apic, APIC_SVR, 4, 0x1ff, 0);
    return guest_memory_add(&memory, RAM_BASE, RAM_SIZE, ram) ? 0 : -1;
}

static bool put_msr(uint64_t value)
{
    return pv_eoi_write_msr(&pv_eoi, &memory, PV_EOI_MSR, value);
}

static uint32_t word(void)
{
    uint32_t value;

    memcpy(&value, ram + WORD - RAM_BASE, sizeof(value));
    return value;
}

static void set_word(uint32_t value)
{
    memcpy(ram + WORD - RAM_BASE, &value, sizeof(value));
}

/* A vector goes into service and the guest is entered. */
static void take(uint8_t vector, bool level)
{
    local_apic_post(&apic, vector, level);
    assert_true(local_apic_highest_irr(&apic) >= vector);
    if (local_apic_accept(&apic, vector)) {
        pv_eoi_offer(&pv_eoi, vector);
    }
}

static void test_msr(void **state)
{
    (void)state;
    uint64_t value = 1;

    assert_true(pv_eoi_read_msr(&pv_eoi, PV_EOI_MSR, &value));
    assert_int_equal(value, 0);
    assert_true(put_msr(WORD | 1));
    assert_true(pv_eoi_read_msr(&pv_eoi, PV_EOI_MSR, &value));
    assert_int_equal(value, WORD | 1);
    assert_ptr_equal(pv_eoi.word, ram + WORD - RAM_BASE);
    assert_false(put_msr((WORD + 2) | 1)); /* bit 1 is reserved, and the word aligned */
    assert_false(put_msr((RAM_BASE + RAM_SIZE) | 1));
    assert_false(put_msr((RAM_BASE - 4) | 1));
    assert_false(put_msr(UINT64_MAX - 3 + 1));
    assert_ptr_equal(pv_eoi.word, ram + WORD - RAM_BASE);
    assert_true(put_msr(0));
    assert_null(pv_eoi.word);
    assert_false(pv_eoi_read_msr(&pv_eoi, PV_EOI_MSR + 1, &value));
    assert_false(pv_eoi_write_msr(&pv_eoi, &memory, PV_EOI_MSR - 1, WORD | 1));
    assert_null(pv_eoi.word);
}

/* The guest clears the bit; the rest of the word stays as it is. */
static void test_end_in_memory(void **state)
{
    (void)state;
    assert_true(put_msr(WORD | 1));
    set_word(0xabcd0000);
    local_apic_write(&apic, APIC_TPR, 4, 0x23, 0);
    take(VECTOR, false);
    assert_int_equal(word(), 0xabcd0001);
    assert_int_equal(local_apic_highest_isr(&apic), VECTOR);
    set_word(0xabcd0000);
    pv_eoi_collect(&pv_eoi, &apic);
    assert_int_equal(local_apic_highest_isr(&apic), -1);
    assert_int_equal(page[APIC_PPR], 0x23);
    assert_int_equal(word(), 0xabcd0000);

    take(VECTOR + 1, false); /* an EOI counts once */
    set_word(0);
    pv_eoi_collect(&pv_eoi, &apic);
    local_apic_post(&apic, VECTOR, false);
    assert_int_equal(local_apic_highest_irr(&apic), VECTOR);
    assert_true(local_apic_accept(&apic, VECTOR));
    pv_eoi_collect(&pv_eoi, &apic);
    assert_int_equal(local_apic_highest_isr(&apic), VECTOR);
    assert_int_equal(eois, 0);
}

/* An exit before the EOI takes the offer back: then it is to be written to the APIC. */
static void test_taken_back(void **state)
{
    (void)state;
    assert_true(put_msr(WORD | 1));
    take(VECTOR, false);
    pv_eoi_collect(&pv_eoi, &apic);
    assert_int_equal(word(), 0);
    assert_int_equal(local_apic_highest_isr(&apic), VECTOR);
    local_apic_eoi(&apic);
    pv_eoi_collect(&pv_eoi, &apic);
    assert_int_equal(local_apic_highest_isr(&apic), -1);
}

/* Nothing is offered where somebody waits for the EOI, or without the MSR. */
static void test_no_offer(void **state)
{
    (void)state;
    take(VECTOR, false);
    assert_int_equal(word(), 0);
    assert_true(put_msr(WORD | 1));
    take(VECTOR + 0x80, false); /* over the other one */
    assert_int_equal(word(), 0);
    local_apic_eoi(&apic);
    local_apic_eoi(&apic);
    take(VECTOR, true); /* the I/O APIC waits */
    assert_int_equal(word(), 0);
    local_apic_eoi(&apic);
    assert_int_equal(eois, 1);
    assert_true(local_apic_post(&apic, VECTOR - 1, false)); /* waits behind it */
    take(VECTOR, false);
    assert_int_equal(word(), 0);
    pv_eoi_collect(&pv_eoi, &apic);
    assert_int_equal(local_apic_highest_isr(&apic), VECTOR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_msr, set_up),
        cmocka_unit_test_setup(test_end_in_memory, set_up),
        cmocka_unit_test_setup(test_taken_back, set_up),
        cmocka_unit_test_setup(test_no_offer, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
