/* The word in which a guest ends its interrupts. */
#include "arch/x86/guest/pv_eoi.h"

#include <stddef.h>

#define ENABLE  1U
#define PENDING 1U /* bit 0 of the word: an EOI is due, and clearing it gives one */

bool pv_eoi_read_msr(const struct pv_eoi *pv_eoi, uint32_t index, uint64_t *value)
{
    if (index != PV_EOI_MSR) {
        return false;
    }
    *value = pv_eoi->msr;
    return true;
}

bool pv_eoi_write_msr(struct pv_eoi *pv_eoi, const struct guest_memory *memory, uint32_t index,
                      uint64_t value)
{
    uint64_t gpa = value & ~(uint64_t)ENABLE;
    uint8_t *word = NULL;

    if (index != PV_EOI_MSR) {
        return false;
    }
    if ((value & ENABLE) != 0) {
        word =
            gpa % sizeof(uint32_t) == 0 ? guest_memory_range(memory, gpa, sizeof(uint32_t)) : NULL;
        if (word == NULL) {
            return false;
        }
    }
    *pv_eoi = (struct pv_eoi){.msr = value, .word = word};
    return true;
}

void pv_eoi_offer(struct pv_eoi *pv_eoi, uint8_t vector)
{
    if (pv_eoi->word == NULL) {
        return;
    }
    /* The guest's other vCPUs could write there too, though they should not: whole and untorn. */
    guest_store32(pv_eoi->word, guest_load32(pv_eoi->word) | PENDING);
    pv_eoi->offered = true;
    pv_eoi->vector = vector;
}

void pv_eoi_collect(struct pv_eoi *pv_eoi, struct local_apic *apic)
{
    if (!pv_eoi->offered) {
        return;
    }
    uint32_t word = guest_load32(pv_eoi->word);

    pv_eoi->offered = false;
    if ((word & PENDING) == 0) {
        local_apic_eoi_alone(apic, pv_eoi->vector);
    } else {
        guest_store32(pv_eoi->word, word & ~PENDING);
    }
}
