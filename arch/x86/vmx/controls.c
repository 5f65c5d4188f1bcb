/* The VMX controls we use, as one table, matched against the capability MSRs (SDM 3D, A.3-A.6). */
#include "arch/x86/vmx/controls.h"

#include <stddef.h>

#include "arch/x86/cpu/registers.h"

#define BASIC_TRUE_CONTROLS    (1ULL << 55)
#define BASIC_MEMORY_TYPE_MASK (15ULL << 50)
#define BASIC_MEMORY_TYPE_WB   (6ULL << 50)
#define MSR_MISC               0x485U
#define MSR_EPT_VPID           0x48cU

#define EPT_FOUR_LEVELS (1ULL << 6)
#define EPT_WRITE_BACK  (1ULL << 14)
#define EPT_2M          (1ULL << 16)
#define EPT_1G          (1ULL << 17)
#define EPT_INVEPT      (1ULL << 20)

#define VPID_INVVPID        (1ULL << 32)
#define VPID_SINGLE_CONTEXT (1ULL << 41)

enum wish { REQUIRED, WANTED, REFUSED };

struct control {
    enum control_field field;
    enum wish wish;
    uint32_t bit;
    const char *name;
};

/* In the order in which they are reported. REFUSED ones must be allowed to be 0. */
static const struct control table[] = {
    {CONTROL_PIN, REQUIRED, PIN_EXTERNAL_INTERRUPT, "external-interrupt exiting"},
    {CONTROL_PIN, REQUIRED, PIN_NMI, "NMI exiting"},
    {CONTROL_PIN, REQUIRED, PIN_VIRTUAL_NMI, "virtual NMIs"},
    {CONTROL_PIN, WANTED, PIN_PREEMPTION_TIMER, "VMX-preemption timer"},
    {CONTROL_PRIMARY, REQUIRED, PRIMARY_HLT, "HLT exiting"},
    {CONTROL_PRIMARY, REQUIRED, PRIMARY_MWAIT, "MWAIT exiting"},
    {CONTROL_PRIMARY, REQUIRED, PRIMARY_RDPMC, "RDPMC exiting"},
    {CONTROL_PRIMARY, REFUSED, PRIMARY_CR3_LOAD, "CR3-load exiting can be off"},
    {CONTROL_PRIMARY, REFUSED, PRIMARY_CR3_STORE, "CR3-store exiting can be off"},
    {CONTROL_PRIMARY, REQUIRED, PRIMARY_TPR_SHADOW, "TPR shadow"},
    {CONTROL_PRIMARY, REQUIRED, PRIMARY_IO_BITMAPS, "I/O bitmaps"},
    {CONTROL_PRIMARY, REQUIRED, PRIMARY_MSR_BITMAPS, "MSR bitmaps"},
    {CONTROL_PRIMARY, REQUIRED, PRIMARY_MONITOR, "MONITOR exiting"},
    {CONTROL_PRIMARY, REQUIRED, PRIMARY_SECONDARY, "secondary controls"},
    {CONTROL_SECONDARY, REQUIRED, SECONDARY_EPT, "EPT"},
    {CONTROL_SECONDARY, REQUIRED, SECONDARY_UNRESTRICTED, "unrestricted guest"},
    {CONTROL_SECONDARY, WANTED, SECONDARY_RDTSCP, "RDTSCP"},
    {CONTROL_SECONDARY, WANTED, SECONDARY_VPID, "VPID"},
    {CONTROL_SECONDARY, WANTED, SECONDARY_WBINVD, "WBINVD exiting"},
    {CONTROL_SECONDARY, WANTED, SECONDARY_RDRAND, "RDRAND exiting"},
    {CONTROL_SECONDARY, WANTED, SECONDARY_INVPCID, "INVPCID"},
    {CONTROL_SECONDARY, WANTED, SECONDARY_RDSEED, "RDSEED exiting"},
    {CONTROL_SECONDARY, WANTED, SECONDARY_X2APIC, "virtualize x2APIC mode"},
    {CONTROL_SECONDARY, WANTED, SECONDARY_APIC_REGISTERS, "APIC-register virtualization"},
    {CONTROL_SECONDARY, WANTED, SECONDARY_INTERRUPT_DELIVERY, "virtual-interrupt delivery"},
    {CONTROL_EXIT, REQUIRED, EXIT_SAVE_DEBUG, "save debug controls"},
    {CONTROL_EXIT, REQUIRED, EXIT_HOST_64BIT, "host address-space size"},
    {CONTROL_EXIT, REQUIRED, EXIT_SAVE_PAT, "save IA32_PAT"},
    {CONTROL_EXIT, REQUIRED, EXIT_LOAD_PAT, "load IA32_PAT at exit"},
    {CONTROL_EXIT, REQUIRED, EXIT_SAVE_EFER, "save IA32_EFER"},
    {CONTROL_EXIT, REQUIRED, EXIT_LOAD_EFER, "load IA32_EFER at exit"},
    {CONTROL_ENTRY, REQUIRED, ENTRY_LOAD_DEBUG, "load debug controls"},
    {CONTROL_ENTRY, REQUIRED, ENTRY_IA32E, "IA-32e mode guest"},
    {CONTROL_ENTRY, REQUIRED, ENTRY_LOAD_PAT, "load IA32_PAT at entry"},
    {CONTROL_ENTRY, REQUIRED, ENTRY_LOAD_EFER, "load IA32_EFER at entry"},
};

static const struct {
    uint64_t bit;
    const char *name;
} ept_table[] = {
    {EPT_FOUR_LEVELS, "EPT: four levels"},
    {EPT_WRITE_BACK, "EPT: write-back structures"},
    {EPT_2M, "EPT: 2 MiB pages"},
    {EPT_INVEPT, "EPT: INVEPT"},
};

static const char remedy[] =
    "this processor, or the hypervisor below us, lacks it: use Intel Core/Xeon from Westmere "
    "(2010) on with RDSEED (Broadwell, 2014), or a Bochs/KVM CPU model of that age";

/*
 * The capability MSR of a field: the TRUE_ form where it exists, for only that one lets the
 * default1 controls, CR3 exiting among them, be off.
 */
static uint32_t capability_msr(enum control_field field, bool has_true_controls)
{
    static const uint32_t plain[CONTROL_FIELDS] = {0x481, 0x482, 0x48b, 0x483, 0x484};
    static const uint32_t true_form[CONTROL_FIELDS] = {0x48d, 0x48e, 0x48b, 0x48f, 0x490};

    return has_true_controls ? true_form[field] : plain[field];
}

/* Without EPT and unrestricted guest the secondary controls' MSR may not exist at all. */
static uint64_t read_capabilities(msr_reader read, enum control_field field, bool has_true,
                                  const uint64_t *known)
{
    if (field == CONTROL_SECONDARY && (known[CONTROL_PRIMARY] >> 32 & PRIMARY_SECONDARY) == 0) {
        return 0;
    }
    return read(capability_msr(field, has_true));
}

static bool check_ept(msr_reader read, struct vmx_controls *controls, requirement_report report,
                      void *context)
{
    bool has_ept = (controls->value[CONTROL_SECONDARY] & SECONDARY_EPT) != 0;
    uint64_t capabilities = has_ept ? read(MSR_EPT_VPID) : 0;
    bool complete = true;

    for (size_t i = 0; i < sizeof(ept_table) / sizeof(ept_table[0]); i++) {
        bool present = (capabilities & ept_table[i].bit) != 0;

        report(context, ept_table[i].name, present, remedy);
        complete = complete && present;
    }
    controls->ept_1g = (capabilities & EPT_1G) != 0;
    return complete;
}

bool vmx_controls_find(msr_reader read, struct vmx_controls *controls, requirement_report report,
                       void *context)
{
    const uint32_t virtual_apic =
        SECONDARY_X2APIC | SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY;
    const uint32_t random = SECONDARY_RDRAND | SECONDARY_RDSEED;
    uint64_t basic = read(MSR_VMX_BASIC);
    bool has_true = (basic & BASIC_TRUE_CONTROLS) != 0;
    bool complete = (basic & BASIC_MEMORY_TYPE_MASK) == BASIC_MEMORY_TYPE_WB;
    uint64_t capabilities[CONTROL_FIELDS];

    *controls = (struct vmx_controls){0};
    controls->preemption_shift = read(MSR_MISC) & 31; /* SDM Vol. 3D, A.6 */
    report(context, "VMCS in write-back memory", complete, remedy);
    for (unsigned field = 0; field < CONTROL_FIELDS; field++) {
        capabilities[field] =
            read_capabilities(read, (enum control_field)field, has_true, capabilities);
        controls->value[field] = (uint32_t)capabilities[field]; /* allowed 0-settings: must be 1 */
    }
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct control *control = &table[i];
        uint32_t may_be_1 = (uint32_t)(capabilities[control->field] >> 32);
        bool present = control->wish == REFUSED
                           ? (controls->value[control->field] & control->bit) == 0
                           : (may_be_1 & control->bit) != 0;

        if (control->wish != WANTED) {
            report(context, control->name, present, remedy);
            complete = complete && present;
        }
        if (control->wish != REFUSED && present) {
            controls->value[control->field] |= control->bit;
        }
    }
    complete = check_ept(read, controls, report, context) && complete;
    /* VPID without a way to flush one would be of no use. */
    if ((controls->value[CONTROL_SECONDARY] & SECONDARY_VPID) != 0) {
        uint64_t flushes = VPID_INVVPID | VPID_SINGLE_CONTEXT;

        controls->vpid = (read(MSR_EPT_VPID) & flushes) == flushes;
        controls->value[CONTROL_SECONDARY] &= controls->vpid ? UINT32_MAX : ~SECONDARY_VPID;
    }
    controls->virtual_apic = (controls->value[CONTROL_SECONDARY] & virtual_apic) == virtual_apic;
    controls->random = (controls->value[CONTROL_SECONDARY] & random) == random;
    /* They go on together, when a guest's APIC is in x2APIC mode or for a guest that is configured
     * so; until then they are off. */
    controls->value[CONTROL_SECONDARY] &= ~(virtual_apic | random);
    return complete;
}
