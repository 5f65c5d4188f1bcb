/* A guest's x87, SSE, AVX and debug registers, and the MSRs it has for itself. */
#include "arch/x86/cpu/resident.h"

#include <string.h>

#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/instructions.h"
#include "arch/x86/cpu/registers.h"

/* Places in the save area, and the initial values (SDM Vol. 1, table 10-2 and 13.6). */
#define FXSAVE_FCW    0
#define FXSAVE_MXCSR  24
#define FCW_INITIAL   0x37f
#define MXCSR_INITIAL 0x1f80

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

/*
 * Gives FIP, FDP and FOP values of our own: FXRSTOR and XRSTOR of an AMD CPU leave what another
 * guest has there unless the image has an exception pending. FFREE makes room for what is loaded,
 * and neither it nor FILD may meet an exception that waits.
 */
static void overwrite_x87_pointers(void)
{
    static const int32_t zero;

    __asm__ volatile("fnclex\n\t"
                     "ffree %%st(7)\n\t"
                     "fildl %0"
                     :
                     : "m"(zero));
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
    if (abilities->keeps_x87_pointers) {
        overwrite_x87_pointers();
    }
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

/* 32 entries, as many as AMD's return predictors hold; each leads to the INT3. */
static void fill_return_stack(void)
{
    uint32_t entries = 32;

    __asm__ volatile("1: call 2f\n\t"
                     "int3\n"
                     "2: dec %0\n\t"
                     "jnz 1b\n\t"
                     "add $256, %%rsp\n\t"
                     "lfence" /* nothing is predicted from entries yet to come */
                     : "+r"(entries)
                     :
                     : "cc", "memory");
}

static void divide(void)
{
    uint32_t low = 0;
    uint32_t high = 0;

    __asm__ volatile("divl %2" : "+a"(low), "+d"(high) : "r"(1) : "cc");
}

void resident_barrier(const struct resident_abilities *abilities)
{
    /* VERW clears in its memory form with a writable data segment only; only that counts. */
    const uint16_t selector = SELECTOR_DATA;

    if (abilities->prediction_barrier) {
        write_msr(MSR_PRED_CMD, 1);
    }
    if (abilities->keeps_return_stack) {
        fill_return_stack();
    }
    if (abilities->keeps_quotient) {
        divide();
    }
    if (abilities->flushes_cache) {
        write_msr(MSR_FLUSH_CMD, 1);
    }
    if (abilities->clears_buffers) {
        __asm__ volatile("verw %0" : : "m"(selector) : "cc");
    }
}
