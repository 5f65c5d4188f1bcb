/* Tests of the choice of VMX controls: recorded machines, and each thing that one may lack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/vmx/controls.h"

/* SDM Vol. 3D, appendix A. */
#define BASIC          0x480U
#define PIN            0x481U
#define PRIMARY        0x482U
#define EXIT           0x483U
#define ENTRY          0x484U
#define SECONDARY      0x48bU
#define EPT_VPID       0x48cU
#define MISC           0x485U
#define TRUE_PIN       0x48dU
#define TRUE_PRIMARY   0x48eU
#define TRUE_EXIT      0x48fU
#define TRUE_ENTRY     0x490U
#define FIRST_MSR      0x480U
#define LAST_MSR       0x490U
#define UNREADABLE     UINT64_MAX /* the machine would answer with #GP */
#define REPORTS        40U
#define ALLOWED_1(bit) ((uint64_t)(bit) << 32)

static uint64_t msrs[LAST_MSR - FIRST_MSR + 1];
static struct vmx_controls controls;
static struct {
    const char *name;
    bool present;
} reports[REPORTS];
static unsigned report_count;

/* Bochs 2.7's broadwell_ult. */
static int set_up(void **state)
{
    (void)state;
    memset(msrs, 0xff, sizeof(msrs));
    msrs[BASIC - FIRST_MSR] = 0x00d810000000002b;
    msrs[MISC - FIRST_MSR] = 0x00000000000401c5;
    msrs[TRUE_PIN - FIRST_MSR] = 0x0000007f00000016;
    msrs[TRUE_PRIMARY - FIRST_MSR] = 0xf7f9fffe04006172;
    msrs[SECONDARY - FIRST_MSR] = 0x00057fff00000000;
    msrs[TRUE_EXIT - FIRST_MSR] = 0x007fffff00036dfb;
    msrs[TRUE_ENTRY - FIRST_MSR] = 0x0000ffff000011fb;
    msrs[EPT_VPID - FIRST_MSR] = 0x00000f0106334141;
    return 0;
}

static uint64_t read_msr(uint32_t index)
{
    assert_in_range(index, FIRST_MSR, LAST_MSR);
    assert_true(msrs[index - FIRST_MSR] != UNREADABLE);
    return msrs[index - FIRST_MSR];
}

static void report(void *context, const char *name, bool present, const char *remedy)
{
    assert_ptr_equal(context, reports);
    assert_in_range(report_count, 0, REPORTS - 1);
    assert_true(strlen(remedy) > 20);
    reports[report_count].name = name;
    reports[report_count++].present = present;
}

static bool find(void)
{
    memset(&controls, 0xa5, sizeof(controls));
    report_count = 0;
    return vmx_controls_find(read_msr, &controls, report, reports);
}

/* The one requirement that was reported as missing; "" if none, "several" if more. */
static const char *missing(void)
{
    const char *name = "";

    for (unsigned i = 0; i < report_count; i++) {
        if (!reports[i].present) {
            name = name[0] == '\0' ? reports[i].name : "several";
        }
    }
    return name;
}

static void test_bochs(void **state)
{
    (void)state;
    assert_true(find());
    assert_string_equal(missing(), "");
    assert_int_equal(controls.value[CONTROL_PIN], 0x0000007f);
    assert_int_equal(controls.preemption_shift, 5);
    assert_int_equal(controls.value[CONTROL_PRIMARY], 0xb6206df2);
    assert_int_equal(controls.value[CONTROL_SECONDARY], 0x000010ea);
    assert_int_equal(controls.value[CONTROL_EXIT], 0x003f6fff);
    assert_int_equal(controls.value[CONTROL_ENTRY], 0x0000d3ff);
    assert_true(controls.virtual_apic);
    assert_true(controls.vpid);
    assert_true(controls.ept_1g);
}

/* What is asked for and what is reported are the same things, each once. */
static void test_reports(void **state)
{
    (void)state;
    assert_true(find());
    assert_int_equal(report_count, 30);
    for (unsigned i = 0; i < report_count; i++) {
        assert_true(reports[i].present);
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(reports[i].name, reports[j].name);
        }
    }
    assert_string_equal(reports[0].name, "VMCS in write-back memory");
}

/* A control that cannot be 1 is named, alone. */
static void test_each_missing_control(void **state)
{
    (void)state;
    static const struct {
        uint32_t msr;
        uint32_t bit;
        const char *name;
    } cases[] = {
        {TRUE_PIN, 1U << 0, "external-interrupt exiting"},
        {TRUE_PIN, 1U << 3, "NMI exiting"},
        {TRUE_PIN, 1U << 5, "virtual NMIs"},
        {TRUE_PRIMARY, 1U << 7, "HLT exiting"},
        {TRUE_PRIMARY, 1U << 10, "MWAIT exiting"},
        {TRUE_PRIMARY, 1U << 11, "RDPMC exiting"},
        {TRUE_PRIMARY, 1U << 21, "TPR shadow"},
        {TRUE_PRIMARY, 1U << 25, "I/O bitmaps"},
        {TRUE_PRIMARY, 1U << 28, "MSR bitmaps"},
        {TRUE_PRIMARY, 1U << 29, "MONITOR exiting"},
        {SECONDARY, 1U << 7, "unrestricted guest"},
        {TRUE_EXIT, 1U << 2, "save debug controls"},
        {TRUE_EXIT, 1U << 9, "host address-space size"},
        {TRUE_EXIT, 1U << 18, "save IA32_PAT"},
        {TRUE_EXIT, 1U << 19, "load IA32_PAT at exit"},
        {TRUE_EXIT, 1U << 20, "save IA32_EFER"},
        {TRUE_EXIT, 1U << 21, "load IA32_EFER at exit"},
        {TRUE_ENTRY, 1U << 2, "load debug controls"},
        {TRUE_ENTRY, 1U << 9, "IA-32e mode guest"},
        {TRUE_ENTRY, 1U << 14, "load IA32_PAT at entry"},
        {TRUE_ENTRY, 1U << 15, "load IA32_EFER at entry"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up(NULL);
        msrs[cases[i].msr - FIRST_MSR] &= ~ALLOWED_1(cases[i].bit);
        assert_false(find());
        assert_string_equal(missing(), cases[i].name);
    }
}

static void test_each_missing_ept_ability(void **state)
{
    (void)state;
    static const struct {
        uint64_t bit;
        const char *name;
    } cases[] = {
        {1U << 6, "EPT: four levels"},
        {1U << 14, "EPT: write-back structures"},
        {1U << 16, "EPT: 2 MiB pages"},
        {1U << 20, "EPT: INVEPT"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up(NULL);
        msrs[EPT_VPID - FIRST_MSR] &= ~cases[i].bit;
        assert_false(find());
        assert_string_equal(missing(), cases[i].name);
    }
}

/* CR3 exits must be possible to do without. */
static void test_controls_that_must_be_off(void **state)
{
    (void)state;
    msrs[TRUE_PRIMARY - FIRST_MSR] |= 1U << 15;
    assert_false(find());
    assert_string_equal(missing(), "CR3-load exiting can be off");
    set_up(NULL);
    msrs[TRUE_PRIMARY - FIRST_MSR] |= 1U << 16;
    assert_false(find());
    assert_string_equal(missing(), "CR3-store exiting can be off");
}

static bool reported_missing(const char *name)
{
    for (unsigned i = 0; i < report_count; i++) {
        if (strcmp(reports[i].name, name) == 0) {
            return !reports[i].present;
        }
    }
    fail_msg("%s was not reported", name);
    return false;
}

/* The capability MSRs of what is missing must not be read: they are not there (A.3.3, A.10). */
static void test_no_secondary_controls(void **state)
{
    (void)state;
    msrs[TRUE_PRIMARY - FIRST_MSR] &= ~ALLOWED_1(1U << 31);
    msrs[SECONDARY - FIRST_MSR] = UNREADABLE;
    msrs[EPT_VPID - FIRST_MSR] = UNREADABLE;
    assert_false(find());
    assert_true(reported_missing("secondary controls"));
    assert_true(reported_missing("EPT"));
    assert_true(reported_missing("unrestricted guest"));
    assert_true(reported_missing("EPT: 2 MiB pages"));
    assert_false(reported_missing("TPR shadow"));
    assert_int_equal(controls.value[CONTROL_SECONDARY], 0);
    assert_false(controls.virtual_apic || controls.vpid || controls.ept_1g);
}

static void test_no_ept(void **state)
{
    (void)state;
    msrs[SECONDARY - FIRST_MSR] &= ~ALLOWED_1(1U << 1 | 1U << 5 | 1U << 7);
    msrs[EPT_VPID - FIRST_MSR] = UNREADABLE;
    assert_false(find());
    assert_true(reported_missing("EPT"));
    assert_true(reported_missing("unrestricted guest"));
    assert_true(reported_missing("EPT: four levels"));
    assert_false(controls.vpid || controls.ept_1g);
}

/* Before there were TRUE_ MSRs, CR3 exits could not be off: that is what is missing (A.2). */
static void test_old_processor(void **state)
{
    (void)state;
    msrs[BASIC - FIRST_MSR] &= ~(1ULL << 55);
    msrs[PIN - FIRST_MSR] = msrs[TRUE_PIN - FIRST_MSR];
    msrs[PRIMARY - FIRST_MSR] = msrs[TRUE_PRIMARY - FIRST_MSR] | 1U << 15 | 1U << 16;
    msrs[EXIT - FIRST_MSR] = msrs[TRUE_EXIT - FIRST_MSR];
    msrs[ENTRY - FIRST_MSR] = msrs[TRUE_ENTRY - FIRST_MSR];
    for (uint32_t index = TRUE_PIN; index <= TRUE_ENTRY; index++) {
        msrs[index - FIRST_MSR] = UNREADABLE;
    }
    assert_false(find());
    assert_true(reported_missing("CR3-load exiting can be off"));
    assert_true(reported_missing("CR3-store exiting can be off"));
    assert_false(reported_missing("HLT exiting"));
    assert_int_equal(controls.value[CONTROL_PIN], 0x0000007f);
    assert_int_equal(controls.value[CONTROL_EXIT], 0x003f6fff);
    assert_int_equal(controls.value[CONTROL_ENTRY], 0x0000d3ff);
}

static void test_memory_type(void **state)
{
    (void)state;
    msrs[BASIC - FIRST_MSR] &= ~(15ULL << 50); /* uncacheable */
    assert_false(find());
    assert_string_equal(missing(), "VMCS in write-back memory");
}

/* What is only wanted is used if there, and not missed if not. */
static void test_wanted_controls(void **state)
{
    (void)state;
    static const uint32_t wanted[] = {1U << 3, 1U << 5, 1U << 6, 1U << 12};

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        set_up(NULL);
        msrs[SECONDARY - FIRST_MSR] &= ~ALLOWED_1(wanted[i]);
        assert_true(find());
        assert_int_equal(controls.value[CONTROL_SECONDARY], 0x10ea & ~wanted[i]);
        assert_int_equal(controls.vpid, wanted[i] != 1U << 5);
        assert_true(controls.virtual_apic);
    }
    set_up(NULL);
    msrs[EPT_VPID - FIRST_MSR] &= ~(1ULL << 17);
    assert_true(find());
    assert_false(controls.ept_1g);
}

/* A TLB tag that cannot be flushed is not used. */
static void test_vpid_without_flush(void **state)
{
    (void)state;
    static const uint64_t needed[] = {1ULL << 32, 1ULL << 41};

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        set_up(NULL);
        msrs[EPT_VPID - FIRST_MSR] &= ~needed[i];
        assert_true(find());
        assert_false(controls.vpid);
        assert_int_equal(controls.value[CONTROL_SECONDARY], 0x10ca);
    }
}

/* Three controls make the virtual APIC, all or none; they start off. */
static void test_virtual_apic(void **state)
{
    (void)state;
    static const uint32_t parts[] = {1U << 4, 1U << 8, 1U << 9};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        set_up(NULL);
        msrs[SECONDARY - FIRST_MSR] &= ~ALLOWED_1(parts[i]);
        assert_true(find());
        assert_false(controls.virtual_apic);
        assert_int_equal(controls.value[CONTROL_SECONDARY], 0x10ea);
    }
}

/* RDRAND and RDSEED exit both or not at all, and only for the guests that want it. */
static void test_random(void **state)
{
    (void)state;
    static const uint32_t parts[] = {1U << 11, 1U << 16};

    assert_true(find());
    assert_true(controls.random);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        set_up(NULL);
        msrs[SECONDARY - FIRST_MSR] &= ~ALLOWED_1(parts[i]);
        assert_true(find());
        assert_false(controls.random);
        assert_int_equal(controls.value[CONTROL_SECONDARY], 0x10ea);
    }
}

/* A control that must be 1 is 1, though nobody asked for it. */
static void test_must_be_1(void **state)
{
    (void)state;
    msrs[SECONDARY - FIRST_MSR] |= 1U << 18;
    msrs[TRUE_PIN - FIRST_MSR] |= 1U << 6;
    assert_true(find());
    assert_int_equal(controls.value[CONTROL_SECONDARY], 0x000410ea);
    assert_int_equal(controls.value[CONTROL_PIN], 0x0000007f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_bochs, set_up),
        cmocka_unit_test_setup(test_reports, set_up),
        cmocka_unit_test(test_each_missing_control),
        cmocka_unit_test(test_each_missing_ept_ability),
        cmocka_unit_test_setup(test_controls_that_must_be_off, set_up),
        cmocka_unit_test_setup(test_no_secondary_controls, set_up),
        cmocka_unit_test_setup(test_no_ept, set_up),
        cmocka_unit_test_setup(test_old_processor, set_up),
        cmocka_unit_test_setup(test_memory_type, set_up),
        cmocka_unit_test(test_wanted_controls),
        cmocka_unit_test(test_vpid_without_flush),
        cmocka_unit_test(test_virtual_apic),
        cmocka_unit_test_setup(test_random, set_up),
        cmocka_unit_test_setup(test_must_be_1, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
