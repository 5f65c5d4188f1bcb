/* The VMCB as it is built, its packing of segments, and the MSR permission map. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/cpu_policy.h"
#include "arch/x86/svm/state.h"

/* Fields are looked at by the offsets of APM Vol. 2, tables B-1 and B-2, not by their names. */
static uint64_t field(const struct vmcb *vmcb, size_t offset, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, (const uint8_t *)vmcb + offset, size);
    return value;
}

static void test_control_area(void **state)
{
    (void)state;
    static struct vmcb vmcb;
    const struct vmcb_setup setup = {
        .iopm = 0x11000, .msrpm = 0x22000, .nested_cr3 = 0x33000, .asid = 7};

    memset(&vmcb, 0, sizeof(vmcb));
    vmcb_init(&vmcb, &setup);
    assert_int_equal(field(&vmcb, 0x040, 8), 0x11000);
    assert_int_equal(field(&vmcb, 0x048, 8), 0x22000);
    assert_int_equal(field(&vmcb, 0x050, 8), 0);          /* TSC offset */
    assert_int_equal(field(&vmcb, 0x058, 4), 7);          /* ASID */
    assert_int_equal(field(&vmcb, 0x060, 8), 0x01000000); /* V_INTR_MASKING */
    assert_int_equal(field(&vmcb, 0x090, 8), 1);          /* nested paging */
    assert_int_equal(field(&vmcb, 0x0b0, 8), 0x33000);
}

static const struct vcpu_start start = {
    .rip = 0x1000200,
    .rsp = 0x8000,
    .rsi = 0x7000,
    .cr3 = 0x9000,
    .gdt_base = 0xa000,
    .gdt_limit = 0x1f,
    .code_selector = 0x10,
    .data_selector = 0x18,
};

static void assert_segment(const struct vmcb *vmcb, size_t offset, unsigned selector,
                           unsigned attributes, uint32_t limit)
{
    assert_int_equal(field(vmcb, 0x400 + offset, 2), selector);
    assert_int_equal(field(vmcb, 0x400 + offset + 2, 2), attributes);
    assert_int_equal(field(vmcb, 0x400 + offset + 4, 4), limit);
    assert_int_equal(field(vmcb, 0x400 + offset + 8, 8), 0);
}

static void test_start(void **state)
{
    (void)state;
    static struct vmcb vmcb;

    memset(&vmcb, 0xff, sizeof(vmcb)); /* what the vCPU did before must not matter */
    vmcb_start(&vmcb, &start);
    assert_segment(&vmcb, 0x00, 0x18, 0xc93, 0xffffffff); /* ES */
    assert_segment(&vmcb, 0x10, 0x10, 0xa9b, 0xffffffff); /* CS: L, no D */
    assert_segment(&vmcb, 0x50, 0x18, 0xc93, 0xffffffff); /* GS */
    assert_segment(&vmcb, 0x70, 0, 0, 0);                 /* LDTR */
    assert_segment(&vmcb, 0x80, 0, 0, 0xffff);            /* IDTR, as after INIT */
    assert_segment(&vmcb, 0x90, 0, 0x8b, 0x67);           /* TR */
    assert_int_equal(field(&vmcb, 0x464, 4), 0x1f);       /* GDTR */
    assert_int_equal(field(&vmcb, 0x468, 8), 0xa000);
    assert_int_equal(field(&vmcb, 0x4cb, 1), 0);                  /* CPL */
    assert_int_equal(field(&vmcb, 0x4d0, 8), 0x1500);             /* EFER: SVME, LMA, LME */
    assert_int_equal(field(&vmcb, 0x548, 8), 0x60);               /* CR4: MCE, PAE */
    assert_int_equal(field(&vmcb, 0x550, 8), 0x9000);             /* CR3 */
    assert_int_equal(field(&vmcb, 0x558, 8), 0x80010031);         /* CR0 */
    assert_int_equal(field(&vmcb, 0x560, 8), 0x400);              /* DR7 */
    assert_int_equal(field(&vmcb, 0x568, 8), 0xffff0ff0);         /* DR6 */
    assert_int_equal(field(&vmcb, 0x570, 8), 2);                  /* RFLAGS */
    assert_int_equal(field(&vmcb, 0x578, 8), 0x1000200);          /* RIP */
    assert_int_equal(field(&vmcb, 0x5d8, 8), 0x8000);             /* RSP */
    assert_int_equal(field(&vmcb, 0x600, 8), 0);                  /* STAR */
    assert_int_equal(field(&vmcb, 0x640, 8), 0);                  /* CR2 */
    assert_int_equal(field(&vmcb, 0x668, 8), 0x0007040600070406); /* PAT */
    assert_int_equal(field(&vmcb, 0x068, 8), 0);                  /* interrupt state */
    assert_int_equal(field(&vmcb, 0x0a8, 8), 0);                  /* EVENTINJ */
    assert_int_equal(field(&vmcb, 0x0c0, 4), 0);                  /* nothing is clean */
}

/* As Multiboot and PVH enter a kernel: protected mode, no paging, flat segments. */
static void test_start_in_32_bits(void **state)
{
    (void)state;
    static struct vmcb vmcb;
    struct vcpu_start narrow = start;

    memset(&vmcb, 0xff, sizeof(vmcb));
    narrow.mode = START_32_BIT;
    vmcb_start(&vmcb, &narrow);
    assert_segment(&vmcb, 0x00, 0x18, 0xc93, 0xffffffff); /* ES */
    assert_segment(&vmcb, 0x10, 0x10, 0xc9b, 0xffffffff); /* CS: D, no L */
    assert_segment(&vmcb, 0x90, 0, 0x8b, 0x67);           /* TR */
    assert_int_equal(field(&vmcb, 0x4d0, 8), 0x1000);     /* EFER: SVME alone */
    assert_int_equal(field(&vmcb, 0x548, 8), 0x40);       /* CR4: MCE */
    assert_int_equal(field(&vmcb, 0x550, 8), 0);          /* CR3 */
    assert_int_equal(field(&vmcb, 0x558, 8), 0x11);       /* CR0: PE, ET */
    assert_int_equal(field(&vmcb, 0x570, 8), 2);          /* RFLAGS */
    assert_int_equal(field(&vmcb, 0x578, 8), 0x1000200);  /* RIP */
    assert_int_equal(field(&vmcb, 0x5d8, 8), 0x8000);     /* RSP */
}

/* Where a start-up interrupt puts it: APM Vol. 2, 16.5, and table 14-1 for the rest. */
static void test_start_up(void **state)
{
    (void)state;
    static struct vmcb vmcb;

    memset(&vmcb, 0xff, sizeof(vmcb));
    vmcb_start_up(&vmcb, 0x9a);
    assert_segment(&vmcb, 0x00, 0, 0x93, 0xffff);     /* ES */
    assert_int_equal(field(&vmcb, 0x410, 2), 0x9a00); /* CS: selector, attributes, limit */
    assert_int_equal(field(&vmcb, 0x412, 2), 0x9b);
    assert_int_equal(field(&vmcb, 0x414, 4), 0xffff);
    assert_int_equal(field(&vmcb, 0x418, 8), 0x9a000);    /* its base */
    assert_segment(&vmcb, 0x50, 0, 0x93, 0xffff);         /* GS */
    assert_int_equal(field(&vmcb, 0x4d0, 8), 0x1000);     /* EFER: SVME alone */
    assert_int_equal(field(&vmcb, 0x548, 8), 0x40);       /* CR4: MCE */
    assert_int_equal(field(&vmcb, 0x558, 8), 0x60000010); /* CR0 */
    assert_int_equal(field(&vmcb, 0x570, 8), 2);          /* RFLAGS */
    assert_int_equal(field(&vmcb, 0x578, 8), 0);          /* RIP */
    assert_int_equal(field(&vmcb, 0x0a8, 8), 0);          /* no event is injected */
}

static void test_attributes(void **state)
{
    (void)state;
    assert_int_equal(vmcb_pack_attributes(0xa09b), 0xa9b);
    assert_int_equal(vmcb_pack_attributes(0x5f00), 0x500); /* bits 8-11 are nothing's */
    assert_int_equal(vmcb_unpack_attributes(0xa9b), 0xa09b);
    assert_int_equal(vmcb_unpack_attributes(0xf493), 0x4093);
    for (unsigned packed = 0; packed < 0x1000; packed++) {
        uint16_t attributes = vmcb_unpack_attributes((uint16_t)packed);

        assert_int_equal(attributes & 0x0f00, 0);
        assert_int_equal(vmcb_pack_attributes(attributes), packed);
    }
}

/* The two bits of an MSR at a byte of the map: 1 reads exit, 2 writes exit. */
static void assert_passed(uint32_t index, unsigned rights, size_t byte, uint8_t expected)
{
    static uint8_t map[MSRPM_SIZE];

    memset(map, 0xff, sizeof(map));
    msrpm_pass(map, index, rights);
    for (size_t i = 0; i < sizeof(map); i++) {
        assert_int_equal(map[i], i == byte ? expected : 0xff);
    }
}

static void test_permission_map(void **state)
{
    (void)state;
    const unsigned both = MSR_PASS_READ | MSR_PASS_WRITE;

    assert_passed(0x10, MSR_PASS_READ, 0x004, 0xfe);
    assert_passed(0x49, MSR_PASS_WRITE, 0x012, 0xf7);
    assert_passed(0x1fff, both, 0x7ff, 0x3f);
    assert_passed(0xc0000000, both, 0x800, 0xfc);
    assert_passed(0xc0000082, both, 0x820, 0xcf);
    assert_passed(0xc0001fff, both, 0xfff, 0x3f);
    assert_passed(0xc0010000, MSR_PASS_WRITE, 0x1000, 0xfd);
    assert_passed(0xc0011fff, both, 0x17ff, 0x3f);
    assert_passed(MSR_EFER, both, 0, 0xff); /* would show SVME */
    assert_passed(0x2000, both, 0, 0xff);
    assert_passed(0xbfffffff, both, 0, 0xff);
    assert_passed(0xc0002000, both, 0, 0xff);
    assert_passed(0xc0012000, both, 0, 0xff);
    assert_passed(0x4b564d00, both, 0, 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_area),     cmocka_unit_test(test_start),
        cmocka_unit_test(test_start_in_32_bits), cmocka_unit_test(test_start_up),
        cmocka_unit_test(test_attributes),       cmocka_unit_test(test_permission_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
