/* RDRAND and RDSEED of a guest for whom the tested pool answers instead of the processor. */
#include "arch/x86/guest/random.h"

#include <stdbool.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/machine.h"
#include "vmm/access_size.h"
#include "vmm/vm.h"
#include "vmm/wipe.h"

/*
 * Words asked of the source at most where the pool lacks: enough for one answer, and for the
 * others' reserve of a share that was drawn before.
 */
#define REFILL_WORDS 64U

/*
 * `size` bytes of the pool, which no one else gets; false, and 0, if it has not as many. A guest
 * that asks without end has a device's share: what the others keep in reserve stays theirs.
 */
static bool take(struct arch_vm *arch, unsigned size, uint64_t *value)
{
    struct entropy_core *entropy = arch->setup.random;
    struct entropy_share *share = &arch->random_share;

    *value = 0;
    uint32_t lacking = entropy_words_short(entropy, share, size);

    if (lacking > 0) { /* and one more, as the first may be of no use */
        (void)entropy_refill(entropy, lacking < REFILL_WORDS ? lacking + 1 : REFILL_WORDS);
    }
    if (entropy_take_share(entropy, share, value, size) == size) {
        return true;
    }
    *value = 0;
    return false;
}

void random_instruction(struct vcpu *vcpu, const struct exit_random *random)
{
    const uint64_t status = RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF;
    enum general_register number = (enum general_register)random->reg;
    uint64_t value;
    bool answered = take(vcpu->vm->arch, random->size, &value);
    uint64_t rflags = vcpu_get(vcpu, REGISTER_RFLAGS) & ~status;

    if (random->size == 2) { /* a 32-bit result clears the upper half, a 16-bit one leaves all */
        value |= vcpu_general_register(vcpu, number) & ~access_mask(2);
    }
    vcpu_set_general_register(vcpu, number, value);
    vcpu_set(vcpu, REGISTER_RFLAGS, answered ? rflags | RFLAGS_CF : rflags);
    vcpu->arch->random.answered += answered ? 1 : 0;
    vcpu->arch->random.dry += answered ? 0 : 1;
    wipe(&value, sizeof(value));
}
