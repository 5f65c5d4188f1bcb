/* Tests of the guest's local APIC: registers, priorities, messages between APICs, and the timer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/layout.h"
#include "arch/x86/guest/local_apic.h"

#define APICS         4
#define MSR(offset)   (MSR_X2APIC_FIRST + ((offset) >> 4))
#define ENABLE_XAPIC  (LAYOUT_LOCAL_APIC_BASE | APIC_BASE_ENABLE)
#define ENABLE_X2APIC (LAYOUT_LOCAL_APIC_BASE | APIC_BASE_ENABLE | APIC_BASE_X2APIC)

static _Alignas(4096) uint8_t pages[APICS][4096];
static struct local_apic apics[APICS];
static struct local_apic *all[APICS];
static struct apic_message sent;
static unsigned sent_count;
static unsigned eois[256];

static void record_ipi(void *context, const struct apic_message *message)
{
    assert_ptr_equal(context, all);
    sent = *message;
    sent_count++;
}

static void record_eoi(void *context, uint8_t vector)
{
    assert_ptr_equal(context, all);
    eois[vector]++;
}

static const struct local_apic_operations operations = {record_ipi, record_eoi};

static int set_up(void **state)
{
    (void)state;
    memset(eois, 0, sizeof(eois));
    memset(pages, 0xa5, sizeof(pages));
    sent_count = 0;
    for (unsigned i = 0; i < APICS; i++) {
        all[i] = &apics[i];
        local_apic_init(all[i], pages[i], i, i == 0, &operations, all);
    }
    return 0;
}

static uint32_t get(struct local_apic *apic, uint32_t offset)
{
    return (uint32_t)local_apic_read(apic, offset, 4, 0);
}

static void put(struct local_apic *apic, uint32_t offset, uint32_t value)
{
    local_apic_write(apic, offset, 4, value, 0);
}

static uint64_t get_msr(struct local_apic *apic, uint32_t index)
{
    uint64_t value = 0x5a5a;

    assert_true(local_apic_read_msr(apic, index, &value, 0));
    return value;
}

static bool put_msr(struct local_apic *apic, uint32_t index, uint64_t value)
{
    return local_apic_write_msr(apic, index, value, 0);
}

/* An APIC as Linux has it: software-enabled, in x2APIC mode if asked. */
static struct local_apic *enabled(unsigned index, bool x2apic)
{
    struct local_apic *apic = all[index];

    put(apic, APIC_SVR, 0x1ff);
    if (x2apic) {
        assert_true(put_msr(apic, MSR_APIC_BASE, ENABLE_X2APIC));
    }
    return apic;
}

static void test_power_up_state(void **state)
{
    (void)state;
    assert_int_equal(get_msr(all[0], MSR_APIC_BASE), 0xfee00900);
    assert_int_equal(get_msr(all[1], MSR_APIC_BASE), 0xfee00800);
    assert_int_equal(get(all[3], APIC_ID), 0x03000000);
    assert_int_equal(get(all[0], APIC_VERSION), 0x00050014);
    assert_int_equal(get(all[0], APIC_TPR), 0);
    assert_int_equal(get(all[0], APIC_LDR), 0);
    assert_int_equal(get(all[0], APIC_DFR), 0xffffffff);
    assert_int_equal(get(all[0], APIC_SVR), 0xff);
    for (uint32_t lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 0x10) {
        assert_int_equal(get(all[0], lvt), 0x10000);
    }
    assert_int_equal(get(all[0], APIC_ISR + 0x70), 0);
    assert_int_equal(get(all[0], APIC_DIVIDE), 0);
    assert_true(local_apic_deadline(all[0]) == UINT64_MAX);
    assert_int_equal(local_apic_pending_vector(all[0]), -1);
    assert_true(local_apic_in_xapic_mode(all[0]));
}

static void test_base_transitions(void **state)
{
    struct local_apic *apic = all[0];

    (void)state;
    assert_false(put_msr(apic, MSR_APIC_BASE, LAYOUT_LOCAL_APIC_BASE | APIC_BASE_X2APIC));
    assert_false(put_msr(apic, MSR_APIC_BASE, 0xfed00800));
    assert_false(put_msr(apic, MSR_APIC_BASE, ENABLE_XAPIC | 1));
    assert_false(put_msr(apic, MSR_APIC_BASE, ENABLE_XAPIC | (1ULL << 52)));
    assert_true(put_msr(apic, MSR_APIC_BASE, ENABLE_X2APIC | APIC_BASE_BSP));
    assert_int_equal(get_msr(apic, MSR_APIC_BASE), 0xfee00d00);
    assert_true(local_apic_in_x2apic_mode(apic));
    assert_false(put_msr(apic, MSR_APIC_BASE, ENABLE_XAPIC));
    assert_true(put_msr(apic, MSR_APIC_BASE, LAYOUT_LOCAL_APIC_BASE));
    assert_false(local_apic_in_x2apic_mode(apic) || local_apic_in_xapic_mode(apic));
    assert_false(put_msr(apic, MSR_APIC_BASE, ENABLE_X2APIC));
    assert_true(put_msr(apic, MSR_APIC_BASE, ENABLE_XAPIC));
    assert_true(local_apic_in_xapic_mode(apic));
}

static void test_disabling_forgets(void **state)
{
    struct local_apic *apic = enabled(2, false);

    (void)state;
    put(apic, APIC_LDR, 0x08000000);
    assert_true(local_apic_post(apic, 0x40, false));
    assert_true(put_msr(apic, MSR_APIC_BASE, LAYOUT_LOCAL_APIC_BASE));
    assert_false(local_apic_post(apic, 0x41, false));
    assert_int_equal(local_apic_pending_vector(apic), -1);
    assert_true(local_apic_read(apic, APIC_VERSION, 4, 0) == 0xffffffff);
    assert_true(put_msr(apic, MSR_APIC_BASE, ENABLE_XAPIC));
    assert_int_equal(local_apic_highest_irr(apic), -1);
    assert_int_equal(get(apic, APIC_LDR), 0);
    assert_int_equal(get(apic, APIC_SVR), 0xff);
    assert_int_equal(get(apic, APIC_ID), 0x02000000);
}

static void test_xapic_register_access(void **state)
{
    struct local_apic *apic = enabled(1, false);

    (void)state;
    put(apic, APIC_ID, 0x0f000000);
    assert_int_equal(get(apic, APIC_ID), 0x01000000);
    put(apic, APIC_VERSION, 0);
    assert_int_equal(get(apic, APIC_VERSION), 0x00050014);
    put(apic, APIC_LDR, 0x12345678);
    assert_int_equal(get(apic, APIC_LDR), 0x12000000);
    put(apic, APIC_DFR, 0);
    assert_int_equal(get(apic, APIC_DFR), 0x0fffffff);
    put(apic, APIC_SVR, 0xffffffff);
    assert_int_equal(get(apic, APIC_SVR), 0x3ff);
    put(apic, APIC_LVT_LINT0, 0xffffffff);
    assert_int_equal(get(apic, APIC_LVT_LINT0), 0x1a7ff);
    put(apic, APIC_LVT_TIMER, 0xffffffff);
    assert_int_equal(get(apic, APIC_LVT_TIMER), 0x700ff);
    put(apic, APIC_LVT_THERMAL, 0xffffffff);
    assert_int_equal(get(apic, APIC_LVT_THERMAL), 0x107ff);
    put(apic, APIC_LVT_ERROR, 0xffffffff);
    assert_int_equal(get(apic, APIC_LVT_ERROR), 0x100ff);
    put(apic, APIC_DIVIDE, 0xffffffff);
    assert_int_equal(get(apic, APIC_DIVIDE), 0xb);
    assert_int_equal(get(apic, APIC_EOI), 0);
    /* Parts of a register, and the 12 bytes that are no part of one. */
    assert_int_equal(local_apic_read(apic, APIC_VERSION + 2, 1, 0), 0x05);
    assert_int_equal(local_apic_read(apic, APIC_VERSION, 2, 0), 0x0014);
    assert_int_equal(local_apic_read(apic, APIC_VERSION, 8, 0), 0x00050014);
    assert_int_equal(local_apic_read(apic, APIC_VERSION + 4, 4, 0), 0);
    local_apic_write(apic, APIC_TPR, 1, 0x20, 0);
    local_apic_write(apic, APIC_TPR + 4, 4, 0x20, 0);
    assert_int_equal(get(apic, APIC_TPR), 0);
}

static void test_x2apic_register_access(void **state)
{
    struct local_apic *apic = enabled(3, true);
    uint64_t value;

    (void)state;
    assert_int_equal(get_msr(apic, 0x802), 3);
    assert_int_equal(get_msr(apic, 0x80d), 0x00000008);
    assert_int_equal(get_msr(apic, 0x80f), 0x1ff);
    assert_int_equal(get_msr(apic, 0x803), 0x00050014);
    static const uint16_t unreadable[] = {0x800, 0x801, 0x80b, 0x80c, 0x80e, 0x82f,
                                          0x831, 0x83a, 0x83f, 0x840, 0x8ff};
    for (unsigned i = 0; i < sizeof(unreadable) / sizeof(unreadable[0]); i++) {
        assert_false(local_apic_read_msr(apic, unreadable[i], &value, 0));
    }
    static const uint16_t unwritable[] = {0x802, 0x803, 0x80a, 0x80d, 0x80e,
                                          0x810, 0x827, 0x831, 0x839, 0x840};
    for (unsigned i = 0; i < sizeof(unwritable) / sizeof(unwritable[0]); i++) {
        assert_false(put_msr(apic, unwritable[i], 0));
    }
    assert_false(put_msr(apic, 0x808, 0x100));
    assert_true(put_msr(apic, 0x808, 0xff));
    assert_false(put_msr(apic, 0x80b, 1));
    assert_false(put_msr(apic, 0x828, 1));
    assert_false(put_msr(apic, 0x80f, 0x1000));
    assert_false(put_msr(apic, 0x832, 0x80000));
    assert_true(put_msr(apic, 0x832, 0x41031));
    assert_int_equal(get_msr(apic, 0x832), 0x40031);
    assert_false(put_msr(apic, 0x835, 0x800));
    assert_true(put_msr(apic, 0x835, 0x1f7ff));
    assert_int_equal(get_msr(apic, 0x835), 0x1a7ff);
    assert_false(put_msr(apic, 0x83e, 4));
    assert_false(put_msr(apic, 0x838, 1ULL << 32));
    assert_false(put_msr(apic, 0x83f, 0x100));
    assert_false(put_msr(apic, 0x7ff, 0));
    /* The page does not answer in this mode. */
    assert_true(local_apic_read(apic, APIC_VERSION, 8, 0) == UINT64_MAX);
    put(apic, APIC_TPR, 0x30);
    assert_int_equal(get_msr(apic, 0x808), 0xff);
    /* ... nor the MSRs in the other one. */
    assert_false(local_apic_read_msr(all[0], 0x802, &value, 0));
    assert_false(put_msr(all[0], 0x808, 0));
}

static void test_x2apic_logical_id(void **state)
{
    struct local_apic apic;

    (void)state;
    local_apic_init(&apic, pages[0], 0x25, false, &operations, all);
    assert_true(put_msr(&apic, MSR_APIC_BASE, ENABLE_X2APIC));
    assert_int_equal(get_msr(&apic, 0x80d), 0x00020020);
    assert_true(local_apic_matches(&apic, 0x00020030, true));
    assert_false(local_apic_matches(&apic, 0x00020010, true));
    assert_false(local_apic_matches(&apic, 0x00030020, true));
    assert_true(local_apic_matches(&apic, APIC_BROADCAST, true));
    assert_true(local_apic_matches(&apic, 0x25, false));
    assert_false(local_apic_matches(&apic, 0x24, false));
    assert_true(local_apic_matches(&apic, APIC_BROADCAST, false));
}

/* The processor takes what it is offered. */
static bool take(struct local_apic *apic, uint8_t vector)
{
    assert_int_equal(local_apic_pending_vector(apic), vector);
    return local_apic_accept(apic, vector);
}

/* Of the TMR, once all that was posted has been looked at. */
static uint32_t mode_changes(struct local_apic *apic)
{
    (void)local_apic_highest_irr(apic);
    return apic->mode_changes;
}

static void test_post_accept_eoi(void **state)
{
    struct local_apic *apic = enabled(0, false);

    (void)state;
    assert_true(local_apic_post(apic, 0x31, false));
    assert_false(local_apic_post(apic, 0x31, false));
    assert_true(local_apic_post(apic, 0x52, true));
    assert_int_equal(get(apic, APIC_IRR + 0x10), 1U << 17);
    assert_int_equal(get(apic, APIC_IRR + 0x20), 1U << 18);
    assert_int_equal(get(apic, APIC_TMR + 0x20), 1U << 18);
    assert_int_equal(local_apic_highest_irr(apic), 0x52);
    assert_int_equal(local_apic_pending_vector(apic), 0x52);
    assert_false(local_apic_accept(apic, 0x52)); /* level-triggered, and another one waits */
    assert_int_equal(get(apic, APIC_ISR + 0x20), 1U << 18);
    assert_int_equal(get(apic, APIC_IRR + 0x20), 0);
    assert_int_equal(get(apic, APIC_PPR), 0x50);
    assert_int_equal(local_apic_pending_vector(apic), -1);
    /* Same class waits, a higher one nests. */
    assert_true(local_apic_post(apic, 0x5f, false));
    assert_int_equal(local_apic_pending_vector(apic), -1);
    assert_true(local_apic_post(apic, 0x60, false));
    assert_int_equal(local_apic_pending_vector(apic), 0x60);
    assert_false(local_apic_accept(apic, 0x60)); /* above another one */
    assert_int_equal(local_apic_highest_isr(apic), 0x60);
    put(apic, APIC_EOI, 0);
    assert_int_equal(eois[0x60], 0);
    assert_int_equal(get(apic, APIC_PPR), 0x50);
    put(apic, APIC_EOI, 0x1234);
    assert_int_equal(eois[0x52], 1);
    assert_int_equal(get(apic, APIC_PPR), 0);
    assert_int_equal(local_apic_pending_vector(apic), 0x5f);
    assert_false(local_apic_accept(apic, 0x5f)); /* another one waits */
    local_apic_eoi(apic);
    assert_int_equal(local_apic_pending_vector(apic), 0x31);
    assert_true(local_apic_accept(apic, 0x31));
    local_apic_eoi(apic);
    local_apic_eoi(apic); /* none in service */
    assert_int_equal(local_apic_highest_isr(apic), -1);
}

/* Whoever posts leaves the page alone: hardware may be changing it meanwhile. */
static void test_page_is_its_own_cpus(void **state)
{
    struct local_apic *apic = enabled(0, false);
    uint32_t before[1024];

    (void)state;
    memcpy(before, apic->page, sizeof(before));
    for (unsigned vector = 16; vector < 256; vector++) {
        assert_false(vector > 16 && !local_apic_has_requests(apic));
        assert_true(local_apic_post(apic, (uint8_t)vector, vector % 3 == 0));
    }
    assert_memory_equal(apic->page, before, sizeof(before));
    for (unsigned vector = 255; vector >= 16; vector--) {
        assert_true(local_apic_has_requests(apic));
        assert_int_equal(local_apic_highest_irr(apic), vector);
        assert_int_equal(get(apic, APIC_TMR + vector / 32 * 0x10) >> vector % 32 & 1,
                         vector % 3 == 0 ? 1 : 0);
        local_apic_accept(apic, (uint8_t)vector);
    }
    assert_int_equal(local_apic_highest_irr(apic), -1);
    assert_false(local_apic_has_requests(apic));
}

/* What waits in the page is known still when nothing more comes. */
static void test_requests_that_wait(void **state)
{
    struct local_apic *apic = enabled(0, false);

    (void)state;
    put(apic, APIC_TPR, 0xf0);
    assert_false(local_apic_has_requests(apic));
    assert_true(local_apic_post(apic, 0x31, false));
    assert_int_equal(local_apic_pending_vector(apic), -1);
    assert_true(local_apic_has_requests(apic));
    assert_true(local_apic_post(apic, 0x31, false)); /* it may have been taken in the meantime */
    assert_int_equal(get(apic, APIC_IRR + 0x10), 1U << 17);
    local_apic_reset_by_init(apic);
    assert_false(local_apic_has_requests(apic));
    assert_int_equal(local_apic_highest_irr(apic), -1);
    apic = enabled(0, false);
    assert_true(local_apic_post(apic, 0x31, false));
    local_apic_reset_by_init(apic); /* with what is posted */
    assert_int_equal(local_apic_highest_irr(apic), -1);
}

static void test_trigger_mode_follows_the_latest(void **state)
{
    struct local_apic *apic = enabled(0, false);

    (void)state;
    uint32_t changes = mode_changes(apic);

    local_apic_post(apic, 0x51, false);
    assert_int_equal(mode_changes(apic), changes);
    take(apic, 0x51);
    local_apic_eoi(apic);
    local_apic_post(apic, 0x52, true);
    assert_int_equal(mode_changes(apic), changes + 1);
    local_apic_post(apic, 0x52, true);
    assert_int_equal(mode_changes(apic), changes + 1);
    take(apic, 0x52);
    local_apic_eoi(apic);
    assert_int_equal(eois[0x52], 1);
    local_apic_post(apic, 0x52, false);
    assert_int_equal(get(apic, APIC_TMR + 0x20), 0);
    assert_int_equal(mode_changes(apic), changes + 2);
    take(apic, 0x52);
    local_apic_eoi(apic);
    local_apic_report_eoi(apic, 0x52);
    assert_int_equal(eois[0x52], 1);
}

static void test_task_priority(void **state)
{
    struct local_apic *apic = enabled(0, false);

    (void)state;
    local_apic_post(apic, 0x45, false);
    put(apic, APIC_TPR, 0x4f);
    assert_int_equal(get(apic, APIC_PPR), 0x4f);
    assert_int_equal(local_apic_pending_vector(apic), -1);
    assert_int_equal(local_apic_cr8(apic), 4);
    assert_true(local_apic_set_cr8(apic, 3));
    assert_int_equal(get(apic, APIC_TPR), 0x30);
    assert_int_equal(local_apic_pending_vector(apic), 0x45);
    assert_false(local_apic_set_cr8(apic, 16));
    assert_int_equal(local_apic_cr8(apic), 3);
    local_apic_accept(apic, 0x45);
    assert_int_equal(get(apic, APIC_PPR), 0x40);
    assert_true(local_apic_set_cr8(apic, 4));
    assert_int_equal(get(apic, APIC_PPR), 0x40);
    /* Hardware that virtualises CR8 changes the page alone. */
    local_apic_eoi(apic);
    local_apic_post(apic, 0x45, false);
    memcpy(&pages[0][APIC_TPR], &(uint32_t){0x50}, 4);
    assert_int_equal(local_apic_pending_vector(apic), -1);
    local_apic_recompute_ppr(apic);
    assert_int_equal(pages[0][APIC_PPR], 0x50);
}

static void test_software_disable(void **state)
{
    struct local_apic *apic = all[0];

    (void)state;
    assert_false(local_apic_post(apic, 0x40, false));
    put(apic, APIC_LVT_LINT0, 0x700);
    assert_int_equal(get(apic, APIC_LVT_LINT0), 0x10700);
    put(apic, APIC_SVR, 0x1ff);
    put(apic, APIC_LVT_LINT0, 0x700);
    put(apic, APIC_LVT_TIMER, 0x40031);
    assert_int_equal(get(apic, APIC_LVT_LINT0), 0x700);
    assert_true(local_apic_post(apic, 0x40, false));
    put(apic, APIC_SVR, 0xff);
    assert_int_equal(get(apic, APIC_LVT_LINT0), 0x10700);
    assert_int_equal(get(apic, APIC_LVT_TIMER), 0x50031);
    /* Held until the processor handles it (SDM 11.4.7.2); NMI still arrives. */
    assert_int_equal(local_apic_pending_vector(apic), 0x40);
    assert_true(local_apic_deliver(apic, &(struct apic_message){.delivery = APIC_NMI}));
    assert_true(local_apic_nmi_pending(apic));
    assert_true(local_apic_take_nmi(apic));
    assert_false(local_apic_take_nmi(apic));
}

static void test_errors(void **state)
{
    struct local_apic *apic = enabled(0, false);

    (void)state;
    assert_false(local_apic_post(apic, 15, false)); /* the error interrupt is masked */
    assert_int_equal(get(apic, APIC_ESR), 0);
    put(apic, APIC_ESR, 0);
    assert_int_equal(get(apic, APIC_ESR), APIC_ERROR_RECEIVE_ILLEGAL_VECTOR);
    put(apic, APIC_ESR, 0);
    assert_int_equal(get(apic, APIC_ESR), 0);
    put(apic, APIC_LVT_ERROR, 0xfe);
    put(apic, APIC_ICR, 0x0000000f);
    assert_int_equal(sent_count, 0);
    assert_int_equal(local_apic_pending_vector(apic), 0xfe);
    put(apic, 0x40, 0);
    assert_int_equal(get(apic, 0x400), 0);
    put(apic, APIC_ESR, 0);
    assert_int_equal(get(apic, APIC_ESR),
                     APIC_ERROR_SEND_ILLEGAL_VECTOR | APIC_ERROR_ILLEGAL_REGISTER);
    /* An error interrupt that is itself illegal raises nothing. */
    put(apic, APIC_LVT_ERROR, 0x05);
    assert_false(local_apic_post(apic, 3, false));
    assert_false(local_apic_post(apic, 3, false));
    put(apic, APIC_ESR, 0);
    assert_int_equal(get(apic, APIC_ESR), APIC_ERROR_RECEIVE_ILLEGAL_VECTOR);
    assert_int_equal(local_apic_highest_irr(apic), 0xfe);
}

static void test_xapic_ipi(void **state)
{
    struct local_apic *apic = enabled(0, false);

    (void)state;
    put(apic, APIC_ICR_HIGH, 0x02ffffff);
    put(apic, APIC_ICR, 0xfff7d8fd);
    assert_int_equal(sent_count, 0); /* to itself, and the destination has no say */
    assert_int_equal(local_apic_pending_vector(apic), 0xfd);
    assert_int_equal(get(apic, APIC_ICR), 0x4c8fd);
    local_apic_accept(apic, 0xfd);
    local_apic_eoi(apic);
    put(apic, APIC_ICR, 0x000008fd);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent.vector, 0xfd);
    assert_int_equal(sent.delivery, APIC_FIXED);
    assert_int_equal(sent.shorthand, APIC_TO_DESTINATION);
    assert_true(sent.logical);
    assert_false(sent.level);
    assert_int_equal(sent.destination, 2);
    assert_int_equal(get(apic, APIC_ICR), 0x8fd);
    assert_int_equal(get(apic, APIC_ICR_HIGH), 0x02000000);
    put(apic, APIC_ICR_HIGH, 0xff000000);
    put(apic, APIC_ICR, 0x00000400);
    assert_int_equal(sent.delivery, APIC_NMI);
    assert_int_equal(sent.destination, APIC_BROADCAST);
    put(apic, APIC_ICR, 0x00000840);
    assert_int_equal(sent.destination, 0xff);
    assert_int_equal(sent_count, 3);
    /* What Linux sends to start a CPU: INIT, its de-assertion, SIPI. */
    put(apic, APIC_ICR_HIGH, 0x01000000);
    put(apic, APIC_ICR, 0x0000c500);
    assert_int_equal(sent.delivery, APIC_INIT);
    put(apic, APIC_ICR, 0x00008500);
    assert_int_equal(sent_count, 4);
    put(apic, APIC_ICR, 0x00000699);
    assert_int_equal(sent.delivery, APIC_START_UP);
    assert_int_equal(sent.vector, 0x99);
    assert_int_equal(sent_count, 5);
    /* Reserved delivery mode; shorthands that exist for fixed delivery only (table 11-3). */
    put(apic, APIC_ICR, 0x00000340);
    put(apic, APIC_ICR, 0x00000740);
    put(apic, APIC_ICR, 0x00080400);
    put(apic, APIC_ICR, 0x00040500);
    assert_int_equal(sent_count, 5);
    put(apic, APIC_ICR, 0x00044055);
    assert_int_equal(sent_count, 5);
    assert_int_equal(local_apic_pending_vector(apic), 0x55);
    put(apic, APIC_ICR, 0x000c0055);
    assert_int_equal(sent.shorthand, APIC_TO_OTHERS);
    put(apic, APIC_ICR, 0x00080055);
    assert_int_equal(sent.shorthand, APIC_TO_ALL);
}

static void test_x2apic_ipi(void **state)
{
    struct local_apic *apic = enabled(0, true);

    (void)state;
    assert_false(put_msr(apic, 0x830, 0x000020fd));
    assert_false(put_msr(apic, 0x830, 0x001000fd));
    assert_false(put_msr(apic, 0x830, 0x000100fd));
    assert_true(put_msr(apic, 0x830, 0x000000ff000010fdULL));
    assert_int_equal(sent.destination, 0xff); /* no broadcast in this mode */
    assert_int_equal(sent.vector, 0xfd);
    assert_true(get_msr(apic, 0x830) == 0x000000ff000000fdULL);
    /* Where APIC-register virtualisation looks for it. */
    uint64_t in_page;
    memcpy(&in_page, &pages[0][APIC_ICR], 8);
    assert_true(in_page == 0x000000ff000000fdULL);
    assert_true(put_msr(apic, 0x830, 0xffffffff00000400ULL));
    assert_int_equal(sent.destination, APIC_BROADCAST);
    assert_int_equal(sent_count, 2);
    assert_true(put_msr(apic, 0x83f, 0x61));
    assert_int_equal(sent_count, 2);
    assert_int_equal(local_apic_pending_vector(apic), 0x61);
    assert_true(put_msr(apic, 0x83f, 0x01));
    assert_true(put_msr(apic, 0x828, 0));
    assert_int_equal(get_msr(apic, 0x828), APIC_ERROR_SEND_ILLEGAL_VECTOR);
}

static void test_xapic_destinations(void **state)
{
    struct local_apic *apic = enabled(2, false);

    (void)state;
    assert_true(local_apic_matches(apic, 2, false));
    assert_false(local_apic_matches(apic, 0xff, false)); /* senders turn it into APIC_BROADCAST */
    assert_false(local_apic_matches(apic, 0xff, true));  /* no logical ID yet */
    put(apic, APIC_LDR, 0x04000000);
    assert_true(local_apic_matches(apic, 0x06, true));
    assert_false(local_apic_matches(apic, 0x0b, true));
    assert_true(local_apic_matches(apic, 0xff, true));
    put(apic, APIC_DFR, 0);
    put(apic, APIC_LDR, 0x32000000);
    assert_true(local_apic_matches(apic, 0x33, true));
    assert_false(local_apic_matches(apic, 0x23, true));
    assert_false(local_apic_matches(apic, 0x3d, true));
    assert_true(local_apic_matches(apic, 0xff, true));
    assert_true(local_apic_matches(apic, 0xf2, true));
    assert_false(local_apic_matches(apic, 0xf1, true));
}

static uint64_t dispatch(const struct local_apic *sender, struct apic_message message)
{
    return local_apic_dispatch(all, APICS, sender, &message);
}

static void test_dispatch(void **state)
{
    (void)state;
    enabled(0, true);
    enabled(1, true);
    enabled(3, true);
    assert_int_equal(dispatch(all[0], (struct apic_message){.vector = 0x40, .destination = 1}), 2);
    assert_int_equal(local_apic_pending_vector(all[1]), 0x40);
    assert_int_equal(local_apic_pending_vector(all[0]), -1);
    /* Number 2 is software-disabled: no interrupt, but NMI, INIT and SIPI. */
    struct apic_message others = {.vector = 0x41, .shorthand = APIC_TO_OTHERS};
    assert_int_equal(dispatch(all[0], others), 0xa);
    others.shorthand = APIC_TO_ALL;
    assert_int_equal(dispatch(all[0], others), 0x1);
    others.shorthand = APIC_TO_OTHERS;
    others.delivery = APIC_NMI;
    assert_int_equal(dispatch(all[3], others), 0x7);
    assert_true(local_apic_take_nmi(all[2]));
    assert_false(local_apic_take_nmi(all[3]));
    struct apic_message broadcast = {.vector = 0x90, .destination = APIC_BROADCAST};
    assert_int_equal(dispatch(NULL, broadcast), 0xb);
    broadcast.delivery = APIC_SMI;
    assert_int_equal(dispatch(NULL, broadcast), 0);
    broadcast.delivery = APIC_EXTINT;
    assert_int_equal(dispatch(NULL, broadcast), 0);
}

static void test_dispatch_lowest_priority(void **state)
{
    struct apic_message message = {
        .vector = 0x70, .delivery = APIC_LOWEST_PRIORITY, .destination = 0xf, .logical = true};

    (void)state;
    for (unsigned i = 0; i < APICS; i++) {
        put(all[i], APIC_LDR, 0x01000000U << i);
    }
    assert_int_equal(dispatch(NULL, message), 0); /* all are disabled */
    enabled(1, false);
    enabled(2, false);
    enabled(3, false);
    put(all[1], APIC_TPR, 0x20);
    put(all[2], APIC_TPR, 0x10);
    put(all[3], APIC_TPR, 0x10);
    message.level = true;
    assert_int_equal(dispatch(NULL, message), 0x4);
    assert_int_equal(local_apic_highest_irr(all[1]), -1);
    assert_int_equal(local_apic_highest_irr(all[3]), -1);
    take(all[2], 0x70);
    local_apic_eoi(all[2]);
    assert_int_equal(eois[0x70], 1);
}

static void test_init_and_start_up(void **state)
{
    struct local_apic *apic = enabled(1, true);
    struct apic_message init = {.delivery = APIC_INIT};
    struct apic_message start_up = {.delivery = APIC_START_UP, .vector = 0x9a};

    (void)state;
    assert_int_equal(local_apic_take_start_up(apic), -1);
    assert_true(local_apic_deliver(apic, &start_up));
    assert_true(local_apic_deliver(apic, &init));
    assert_false(local_apic_deliver(apic, &init));
    assert_int_equal(local_apic_take_start_up(apic), -1); /* superseded */
    start_up.vector = 0;
    assert_true(local_apic_deliver(apic, &start_up));
    start_up.vector = 0x9b;
    assert_false(local_apic_deliver(apic, &start_up));
    local_apic_deliver(apic, &(struct apic_message){.delivery = APIC_NMI});
    local_apic_post(apic, 0x50, false);
    assert_true(local_apic_take_init(apic));
    assert_false(local_apic_take_init(apic));
    local_apic_reset_by_init(apic);
    assert_true(local_apic_in_x2apic_mode(apic));
    assert_int_equal(get_msr(apic, 0x802), 1);
    assert_int_equal(get_msr(apic, 0x80d), 2);
    assert_int_equal(get_msr(apic, 0x80f), 0xff);
    assert_int_equal(local_apic_highest_irr(apic), -1);
    assert_false(local_apic_nmi_pending(apic));
    assert_int_equal(local_apic_take_start_up(apic), 0x9b);
    assert_int_equal(local_apic_take_start_up(apic), -1);
    local_apic_deliver(apic, &start_up);
    local_apic_deliver(apic, &init);
    local_apic_reset(apic, false);
    assert_true(local_apic_in_xapic_mode(apic));
    assert_false(local_apic_take_init(apic));
    assert_int_equal(local_apic_take_start_up(apic), -1);
}

static unsigned fires(struct local_apic *apic, uint64_t now)
{
    int vector;

    local_apic_advance(apic, now);
    vector = local_apic_pending_vector(apic);
    if (vector < 0) {
        return 0;
    }
    local_apic_accept(apic, (uint8_t)vector);
    local_apic_eoi(apic);
    assert_int_equal(local_apic_pending_vector(apic), -1);
    return (unsigned)vector;
}

static void test_one_shot_timer(void **state)
{
    struct local_apic *apic = enabled(0, false);

    (void)state;
    local_apic_write(apic, APIC_LVT_TIMER, 4, 0x31, 1000);
    local_apic_write(apic, APIC_DIVIDE, 4, 0x3, 1000); /* by 16 */
    local_apic_write(apic, APIC_INITIAL_COUNT, 4, 100, 1000);
    assert_int_equal(local_apic_deadline(apic), 2600);
    assert_int_equal(local_apic_read(apic, APIC_CURRENT_COUNT, 4, 1000), 100);
    assert_int_equal(local_apic_read(apic, APIC_CURRENT_COUNT, 4, 1015), 100);
    assert_int_equal(local_apic_read(apic, APIC_CURRENT_COUNT, 4, 1016), 99);
    assert_int_equal(local_apic_read(apic, APIC_CURRENT_COUNT, 4, 2599), 1);
    assert_int_equal(fires(apic, 2599), 0);
    assert_int_equal(fires(apic, 2600), 0x31);
    assert_int_equal(fires(apic, 1000000), 0);
    assert_int_equal(local_apic_read(apic, APIC_CURRENT_COUNT, 4, 2600), 0);
    assert_true(local_apic_deadline(apic) == UINT64_MAX);
    assert_int_equal(local_apic_read(apic, APIC_INITIAL_COUNT, 4, 2600), 100);
    /* A count of 0 stops; a masked timer expires in silence. */
    local_apic_write(apic, APIC_INITIAL_COUNT, 4, 50, 3000);
    local_apic_write(apic, APIC_INITIAL_COUNT, 4, 0, 3100);
    assert_int_equal(fires(apic, 10000), 0);
    local_apic_write(apic, APIC_INITIAL_COUNT, 4, 50, 10000);
    local_apic_write(apic, APIC_LVT_TIMER, 4, 0x10031, 10000);
    assert_true(local_apic_deadline(apic) == UINT64_MAX);
    local_apic_write(apic, APIC_LVT_TIMER, 4, 0x31, 20000);
    assert_int_equal(fires(apic, 20000), 0);
}

static void test_divide_configuration(void **state)
{
    static const struct {
        uint8_t encoded;
        uint8_t divisor;
    } cases[] = {{0x0, 2},  {0x1, 4},  {0x2, 8},   {0x3, 16},
                 {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1}};
    struct local_apic *apic = enabled(0, true);

    (void)state;
    assert_true(local_apic_write_msr(apic, MSR(APIC_LVT_TIMER), 0x31, 0));
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(local_apic_write_msr(apic, MSR(APIC_DIVIDE), cases[i].encoded, 0));
        assert_true(local_apic_write_msr(apic, MSR(APIC_INITIAL_COUNT), 1000, 0));
        assert_int_equal(local_apic_deadline(apic), 1000U * cases[i].divisor);
    }
    /* A running count goes on at the new rate. */
    uint64_t count;
    assert_true(local_apic_write_msr(apic, MSR(APIC_DIVIDE), 0x3, 400));
    assert_int_equal(local_apic_deadline(apic), 400 + 600 * 16);
    assert_true(local_apic_read_msr(apic, MSR(APIC_CURRENT_COUNT), &count, 400 + 160));
    assert_int_equal(count, 590);
}

static void test_periodic_timer(void **state)
{
    struct local_apic *apic = enabled(0, false);

    (void)state;
    put(apic, APIC_DIVIDE, 0xb);
    put(apic, APIC_LVT_TIMER, 0x20031);
    local_apic_write(apic, APIC_INITIAL_COUNT, 4, 10000, 500);
    assert_int_equal(fires(apic, 10499), 0);
    assert_int_equal(fires(apic, 10500), 0x31);
    assert_int_equal(local_apic_deadline(apic), 20500);
    assert_int_equal(local_apic_read(apic, APIC_CURRENT_COUNT, 4, 10500), 10000);
    assert_int_equal(fires(apic, 20600), 0x31);
    assert_int_equal(local_apic_deadline(apic), 30500);
    /* Far behind: one interrupt, and the phase is kept. */
    assert_int_equal(fires(apic, 500 + 10000ULL * 123456789 + 7), 0x31);
    assert_true(local_apic_deadline(apic) == 500 + 10000ULL * 123456790);
    assert_int_equal(fires(apic, 500 + 10000ULL * 123456789 + 7), 0);
    /* To one-shot: the running count is its last. */
    local_apic_write(apic, APIC_LVT_TIMER, 4, 0x31, 500 + 10000ULL * 123456789 + 8);
    assert_int_equal(fires(apic, 500 + 10000ULL * 123456790), 0x31);
    assert_true(local_apic_deadline(apic) == UINT64_MAX);
}

static void test_short_period_leaves_time(void **state)
{
    struct local_apic *apic = enabled(0, false);

    (void)state;
    put(apic, APIC_DIVIDE, 0xb);
    put(apic, APIC_LVT_TIMER, 0x20031);
    local_apic_write(apic, APIC_INITIAL_COUNT, 4, 3, 1000);
    assert_int_equal(local_apic_deadline(apic), 1003);
    assert_int_equal(fires(apic, 1003), 0x31);
    assert_int_equal(local_apic_deadline(apic), 1003 + 10002);
    assert_int_equal(local_apic_read(apic, APIC_CURRENT_COUNT, 4, 1003), 3);
    assert_int_equal(local_apic_read(apic, APIC_CURRENT_COUNT, 4, 1004), 2);
    assert_int_equal(local_apic_read(apic, APIC_CURRENT_COUNT, 4, 1005), 1);
    assert_int_equal(local_apic_read(apic, APIC_CURRENT_COUNT, 4, 1006), 3);
}

static void test_tsc_deadline_timer(void **state)
{
    struct local_apic *apic = enabled(0, true);
    uint64_t value;

    (void)state;
    /* In another mode the MSR reads 0 and ignores writes (SDM 11.5.4.1). */
    assert_true(local_apic_write_msr(apic, MSR_TSC_DEADLINE, 5000, 100));
    assert_int_equal(get_msr(apic, MSR_TSC_DEADLINE), 0);
    assert_true(local_apic_write_msr(apic, MSR(APIC_LVT_TIMER), 0x400ec, 100));
    assert_true(local_apic_write_msr(apic, MSR(APIC_INITIAL_COUNT), 77, 100));
    assert_int_equal(get_msr(apic, MSR(APIC_INITIAL_COUNT)), 0);
    assert_true(local_apic_deadline(apic) == UINT64_MAX);
    assert_true(local_apic_write_msr(apic, MSR_TSC_DEADLINE, 5000, 100));
    assert_int_equal(get_msr(apic, MSR_TSC_DEADLINE), 5000);
    assert_int_equal(get_msr(apic, MSR(APIC_CURRENT_COUNT)), 0);
    assert_int_equal(local_apic_deadline(apic), 5000);
    assert_int_equal(fires(apic, 4999), 0);
    assert_int_equal(fires(apic, 5001), 0xec);
    assert_int_equal(get_msr(apic, MSR_TSC_DEADLINE), 0);
    /* In the past: at once. 0 disarms. */
    assert_true(local_apic_write_msr(apic, MSR_TSC_DEADLINE, 5500, 6000));
    assert_int_equal(local_apic_pending_vector(apic), 0xec);
    assert_int_equal(fires(apic, 6000), 0xec);
    assert_true(local_apic_write_msr(apic, MSR_TSC_DEADLINE, 7000, 6000));
    assert_true(local_apic_write_msr(apic, MSR_TSC_DEADLINE, 0, 6100));
    assert_int_equal(fires(apic, 8000), 0);
    /* Leaving the mode disarms; so do the resets. */
    assert_true(local_apic_write_msr(apic, MSR_TSC_DEADLINE, 9000, 8000));
    assert_true(local_apic_write_msr(apic, MSR(APIC_LVT_TIMER), 0xec, 8000));
    assert_true(local_apic_write_msr(apic, MSR(APIC_LVT_TIMER), 0x400ec, 8000));
    assert_int_equal(fires(apic, 9000), 0);
    assert_true(local_apic_write_msr(apic, MSR_TSC_DEADLINE, 10000, 9000));
    local_apic_reset_by_init(apic);
    assert_true(local_apic_deadline(apic) == UINT64_MAX);
    assert_true(local_apic_read_msr(apic, MSR_TSC_DEADLINE, &value, 9000));
    assert_int_equal(value, 0);
}

/* APIC-write exits: the hardware has stored the guest's value before the handler sees it. */
static void test_writes_that_the_page_holds_already(void **state)
{
    struct local_apic *apic = enabled(1, false);

    (void)state;
    put(apic, APIC_LVT_TIMER, 0x20031);
    put(apic, APIC_DIVIDE, 0xb);
    local_apic_write(apic, APIC_INITIAL_COUNT, 4, 20000, 0);
    memcpy(&pages[1][APIC_INITIAL_COUNT], &(uint32_t){0}, 4);
    local_apic_write(apic, APIC_INITIAL_COUNT, 4, 0, 30000); /* expiry at 20000 comes first */
    assert_int_equal(local_apic_pending_vector(apic), 0x31);
    assert_true(local_apic_deadline(apic) == UINT64_MAX);
    memcpy(&pages[1][APIC_ID], &(uint32_t){0x77000000}, 4);
    local_apic_write(apic, APIC_ID, 4, 0x77000000, 30000);
    assert_int_equal(get(apic, APIC_ID), 0x01000000);
    memcpy(&pages[1][APIC_SVR], &(uint32_t){0xfffffeff}, 4);
    local_apic_write(apic, APIC_SVR, 4, 0xfffffeff, 30000);
    assert_int_equal(get(apic, APIC_SVR), 0x2ff);
    assert_int_equal(get(apic, APIC_LVT_TIMER), 0x30031);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_power_up_state, set_up),
        cmocka_unit_test_setup(test_base_transitions, set_up),
        cmocka_unit_test_setup(test_disabling_forgets, set_up),
        cmocka_unit_test_setup(test_xapic_register_access, set_up),
        cmocka_unit_test_setup(test_x2apic_register_access, set_up),
        cmocka_unit_test_setup(test_x2apic_logical_id, set_up),
        cmocka_unit_test_setup(test_post_accept_eoi, set_up),
        cmocka_unit_test_setup(test_page_is_its_own_cpus, set_up),
        cmocka_unit_test_setup(test_requests_that_wait, set_up),
        cmocka_unit_test_setup(test_trigger_mode_follows_the_latest, set_up),
        cmocka_unit_test_setup(test_task_priority, set_up),
        cmocka_unit_test_setup(test_software_disable, set_up),
        cmocka_unit_test_setup(test_errors, set_up),
        cmocka_unit_test_setup(test_xapic_ipi, set_up),
        cmocka_unit_test_setup(test_x2apic_ipi, set_up),
        cmocka_unit_test_setup(test_xapic_destinations, set_up),
        cmocka_unit_test_setup(test_dispatch, set_up),
        cmocka_unit_test_setup(test_dispatch_lowest_priority, set_up),
        cmocka_unit_test_setup(test_init_and_start_up, set_up),
        cmocka_unit_test_setup(test_one_shot_timer, set_up),
        cmocka_unit_test_setup(test_divide_configuration, set_up),
        cmocka_unit_test_setup(test_periodic_timer, set_up),
        cmocka_unit_test_setup(test_short_period_leaves_time, set_up),
        cmocka_unit_test_setup(test_tsc_deadline_timer, set_up),
        cmocka_unit_test_setup(test_writes_that_the_page_holds_already, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
