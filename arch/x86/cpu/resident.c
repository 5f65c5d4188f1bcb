/* A guest's x87, SSE, AVX and debug registers, and the MSRs it has for itself. */
#include "arch/x86/cpu/resident.h"

#include <string.h>

#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"

#define CPUID_7_EDX_MD_CLEAR           (1U << 10)
#define CPUID_7_EDX_IBRS               (1U << 26)
#define CPUID_7_EDX_STIBP              (1U << 27)
#define CPUID_7_EDX_FLUSH_L1D          (1U << 28)
#define CPUID_7_EDX_ARCH_CAPABILITIES  (1U << 29)
#define CPUID_7_EDX_SSBD               (1U << 31)
#define CPUID_EXT_1_EDX_RDTSCP         (1U << 27)
#define CPUID_EXT_8_EBX_IBPB           (1U << 12)
#define CPUID_EXT_8_EBX_SPEC_CTRL      (1U << 14 | 1U << 15 | 1U << 24)
#define ARCH_CAPABILITIES_NO_L1TF      (1ULL << 0) /* RDCL_NO */
#define ARCH_CAPABILITIES_NO_L1D_FLUSH (1ULL << 3) /* at VM entry: somebody else sees to it */

/* Places in the save area, and the initial values (SDM Vol. 1, table 10-2 and 13.6). */
#define FXSAVE_FCW    0
#define FXSAVE_MXCSR  24
#define FCW_INITIAL   0x37f
#define MXCSR_INITIAL 0x1f80

static bool leaks_l1(uint32_t leaf_7_edx)
{
    return (leaf_7_edx & CPUID_7_EDX_ARCH_CAPABILITIES) == 0 ||
           (read_msr(MSR_ARCH_CAPABILITIES) &
            (ARCH_CAPABILITIES_NO_L1TF | ARCH_CAPABILITIES_NO_L1D_FLUSH)) == 0;
}

void resident_find_abilities(struct resident_abilities *abilities, uint64_t xcr0_allowed)
{
    struct cpuid_registers none = {0};
    struct cpuid_registers leaf_7 = cpuid(0, 0).eax >= 7 ? cpuid(7, 0) : none;
    uint32_t last = cpuid(0x80000000, 0).eax;
    uint32_t ext_1 = cpuid(0x80000001, 0).edx;
    uint32_t ext_8 = last >= 0x80000008 ? cpuid(0x80000008, 0).ebx : 0;

    *abilities = (struct resident_abilities){
        .xcr0 = xcr0_allowed,
        .tsc_aux = (ext_1 & CPUID_EXT_1_EDX_RDTSCP) != 0,
        .spec_ctrl =
            (leaf_7.edx & (CPUID_7_EDX_IBRS | CPUID_7_EDX_STIBP | CPUID_7_EDX_SSBD)) != 0 ||
            (ext_8 & CPUID_EXT_8_EBX_SPEC_CTRL) != 0,
        .prediction_barrier =
            (leaf_7.edx & CPUID_7_EDX_IBRS) != 0 || (ext_8 & CPUID_EXT_8_EBX_IBPB) != 0,
        .clears_buffers = (leaf_7.edx & CPUID_7_EDX_MD_CLEAR) != 0,
        .flushes_cache = (leaf_7.edx & CPUID_7_EDX_FLUSH_L1D) != 0 && leaks_l1(leaf_7.edx),
    };
}

void resident_reset(struct resident_state *state)
{
    const uint16_t fcw = FCW_INITIAL;
    const uint32_t mxcsr = MXCSR_INITIAL;

    *state = (struct resident_state){.xcr0 = 1};
    memcpy(state->extended + FXSAVE_FCW, &fcw, sizeof(fcw));
    memcpy(state->extended + FXSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
}

/* The whole state, whatever the guest has enabled of it: what it switched off keeps its values. */
static void save_extended(struct resident_state *state, uint64_t components)
{
    if (components == 0) {
        __asm__ volatile("fxsave64 %0" : "=m"(state->extended));
        return;
    }
    state->xcr0 = read_xcr0();
    if (state->xcr0 != components) {
        write_xcr0(components);
    }
    __asm__ volatile("xsave64 %0"
                     : "+m"(state->extended)
                     : "a"((uint32_t)components), "d"((uint32_t)(components >> 32)));
}

static void load_extended(const struct resident_state *state, uint64_t components)
{
    if (components == 0) {
        __asm__ volatile("fxrstor64 %0" : : "m"(state->extended));
        return;
    }
    write_xcr0(components);
    __asm__ volatile("xrstor64 %0"
                     :
                     : "m"(state->extended), "a"((uint32_t)components),
                       "d"((uint32_t)(components >> 32)));
    if (state->xcr0 != components) {
        write_xcr0(state->xcr0);
    }
}

void resident_save(struct resident_state *state, const struct resident_abilities *abilities)
{
    save_extended(state, abilities->xcr0);
    state->debug_addresses[0] = read_dr0();
    state->debug_addresses[1] = read_dr1();
    state->debug_addresses[2] = read_dr2();
    state->debug_addresses[3] = read_dr3();
    if (abilities->tsc_aux) {
        state->tsc_aux = read_msr(MSR_TSC_AUX);
    }
    if (abilities->spec_ctrl) {
        state->spec_ctrl = read_msr(MSR_SPEC_CTRL);
    }
}

void resident_load(const struct resident_state *state, const struct resident_abilities *abilities)
{
    load_extended(state, abilities->xcr0);
    write_dr0(state->debug_addresses[0]);
    write_dr1(state->debug_addresses[1]);
    write_dr2(state->debug_addresses[2]);
    write_dr3(state->debug_addresses[3]);
    if (abilities->tsc_aux) {
        write_msr(MSR_TSC_AUX, state->tsc_aux);
    }
    if (abilities->spec_ctrl) {
        write_msr(MSR_SPEC_CTRL, state->spec_ctrl);
    }
}

void resident_barrier(const struct resident_abilities *abilities)
{
    const uint16_t selector = 0x10; /* any writable data segment: only the side effect counts */

    if (abilities->prediction_barrier) {
        write_msr(MSR_PRED_CMD, 1);
    }
    if (abilities->flushes_cache) {
        write_msr(MSR_FLUSH_CMD, 1);
    }
    if (abilities->clears_buffers) {
        __asm__ volatile("verw %0" : : "m"(selector) : "cc");
    }
}
