/* The guest's local APIC (SDM Vol. 3A, ch. 11), its registers in a page that VMX may share. */
#include "arch/x86/guest/local_apic.h"

#include <stddef.h>

#include "arch/x86/cpu/registers.h"
#include "arch/x86/guest/layout.h"
#include "vmm/access_size.h"

#define VERSION       0x00050014U /* integrated, entries up to LVT 5 (SDM 11.4.8) */
#define FIRST_VECTOR  16          /* those below are illegal (SDM 11.5.2) */
#define DISPATCH_MOST 64

/* Read-only bits of LVT entries (SDM 11.5.1). */
#define LVT_STATUS     (1U << 12)
#define LVT_REMOTE_IRR (1U << 14)

#define ICR_LOGICAL (1U << 11)
#define ICR_ASSERT  (1U << 14)
#define ICR_LEVEL   (1U << 15)
/* Bits a guest may write; the delivery status, bit 12, may be set but is not kept. */
#define ICR_WRITABLE 0x000ccfffU
#define ICR_STATUS   0x00001000U

#define START_UP_PENDING 0x100U

/* Who may read and write a register, in which mode. */
#define XAPIC_READ   1U
#define XAPIC_WRITE  2U
#define X2APIC_READ  4U
#define X2APIC_WRITE 8U
#define READ         (XAPIC_READ | X2APIC_READ)
#define WRITE        (XAPIC_WRITE | X2APIC_WRITE)

struct apic_register {
    unsigned access;
    uint32_t writable; /* bits kept of what is written */
    uint32_t accepted; /* further bits that are no #GP in x2APIC mode: read-only, not reserved */
};

static uint32_t *word(const struct local_apic *apic, uint32_t offset)
{
    return apic->page + offset / sizeof(uint32_t);
}

static uint32_t get(const struct local_apic *apic, uint32_t offset)
{
    return __atomic_load_n(word(apic, offset), __ATOMIC_RELAXED);
}

static void set(struct local_apic *apic, uint32_t offset, uint32_t value)
{
    __atomic_store_n(word(apic, offset), value, __ATOMIC_RELAXED);
}

static uint64_t mode(const struct local_apic *apic)
{
    return __atomic_load_n(&apic->base, __ATOMIC_RELAXED) & (APIC_BASE_ENABLE | APIC_BASE_X2APIC);
}

bool local_apic_in_x2apic_mode(const struct local_apic *apic)
{
    return mode(apic) == (APIC_BASE_ENABLE | APIC_BASE_X2APIC);
}

bool local_apic_in_xapic_mode(const struct local_apic *apic)
{
    return mode(apic) == APIC_BASE_ENABLE;
}

static bool takes_interrupts(const struct local_apic *apic)
{
    return mode(apic) != 0 && (get(apic, APIC_SVR) & APIC_SVR_ENABLE) != 0;
}

/* Vector bits. */

static uint32_t vector_offset(uint32_t bank, unsigned vector)
{
    return bank + (vector / 32) * 0x10;
}

static uint32_t vector_bit(unsigned vector)
{
    return 1U << (vector % 32);
}

static void set_vector(struct local_apic *apic, uint32_t bank, unsigned vector)
{
    uint32_t offset = vector_offset(bank, vector);

    set(apic, offset, get(apic, offset) | vector_bit(vector));
}

static void clear_vector(struct local_apic *apic, uint32_t bank, unsigned vector)
{
    uint32_t offset = vector_offset(bank, vector);

    set(apic, offset, get(apic, offset) & ~vector_bit(vector));
}

static bool has_vector(const struct local_apic *apic, uint32_t bank, unsigned vector)
{
    return (get(apic, vector_offset(bank, vector)) & vector_bit(vector)) != 0;
}

static uint32_t load(const uint32_t *bits)
{
    return __atomic_load_n(bits, __ATOMIC_RELAXED);
}

/* What any word of a half of a bank has, which begins at `bits`. */
static inline uint32_t any_of(const uint32_t *bits)
{
    return load(bits) | load(bits + 4) | load(bits + 8) | load(bits + 12);
}

static uint32_t any_of_bank(const struct local_apic *apic, uint32_t bank)
{
    return any_of(word(apic, bank)) | any_of(word(apic, bank) + 4 * APIC_VECTOR_WORDS / 2);
}

/* Asked several times an exit, and most banks are empty. */
static int highest_vector(const struct local_apic *apic, uint32_t bank)
{
    const uint32_t *bits = word(apic, bank);
    uint32_t upper = any_of(bits + 4 * APIC_VECTOR_WORDS / 2);
    int i = upper != 0 ? APIC_VECTOR_WORDS - 1 : APIC_VECTOR_WORDS / 2 - 1;

    if ((upper | any_of(bits)) == 0) {
        return -1;
    }
    for (; i >= 0; i--) {
        uint32_t vectors = load(bits + 4 * (ptrdiff_t)i);

        if (vectors != 0) {
            return i * 32 + 31 - __builtin_clz(vectors);
        }
    }
    return -1;
}

/* Vectors on their way into the page. */

/* Those of word `i` that were posted, with their trigger modes. */
static void enter_vectors(struct local_apic *apic, unsigned i)
{
    uint32_t posted = __atomic_exchange_n(&apic->posted[i], 0, __ATOMIC_SEQ_CST);
    uint32_t level = __atomic_load_n(&apic->posted_level[i], __ATOMIC_SEQ_CST);
    uint32_t *irr = word(apic, vector_offset(APIC_IRR, 32 * i));
    uint32_t *modes = word(apic, vector_offset(APIC_TMR, 32 * i));
    uint32_t changed = (load(modes) ^ level) & posted;

    if (changed != 0) {
        __atomic_store_n(modes, load(modes) ^ changed, __ATOMIC_RELAXED);
        apic->mode_changes++;
    }
    __atomic_store_n(irr, load(irr) | posted, __ATOMIC_RELAXED);
}

static uint32_t posted_words(const struct local_apic *apic)
{
    return __atomic_load_n(&apic->posted_words, __ATOMIC_SEQ_CST);
}

bool local_apic_has_requests(const struct local_apic *apic)
{
    return apic->requested || posted_words(apic) != 0;
}

static void collect(struct local_apic *apic)
{
    if (posted_words(apic) == 0) {
        return;
    }
    apic->requested = true;
    for (uint32_t words = __atomic_exchange_n(&apic->posted_words, 0, __ATOMIC_SEQ_CST); words != 0;
         words &= words - 1) {
        enter_vectors(apic, (unsigned)__builtin_ctz(words));
    }
}

int local_apic_highest_irr(struct local_apic *apic)
{
    collect(apic);

    int vector = highest_vector(apic, APIC_IRR);

    apic->requested = vector >= 0;
    return vector;
}

int local_apic_highest_isr(const struct local_apic *apic)
{
    return highest_vector(apic, APIC_ISR);
}

/* SDM 11.8.3.1. From its two sources every time: hardware may have changed the TPR in the page. */
static uint32_t processor_priority(const struct local_apic *apic)
{
    uint32_t tpr = get(apic, APIC_TPR) & 0xff;
    int in_service = local_apic_highest_isr(apic);
    uint32_t class = in_service < 0 ? 0 : (uint32_t)in_service & 0xf0;

    return (tpr & 0xf0) >= class ? tpr : class;
}

void local_apic_recompute_ppr(struct local_apic *apic)
{
    set(apic, APIC_PPR, processor_priority(apic));
}

/* Errors and the interrupts that an APIC gives itself. */

static bool request(struct local_apic *apic, unsigned vector, bool level)
{
    unsigned i = vector / 32;
    uint32_t bit = vector_bit(vector);

    /* Its trigger mode first: whoever sees that it is posted must find the right one. */
    if (level) {
        __atomic_fetch_or(&apic->posted_level[i], bit, __ATOMIC_SEQ_CST);
    } else if ((load(&apic->posted_level[i]) & bit) != 0) {
        __atomic_fetch_and(&apic->posted_level[i], ~bit, __ATOMIC_SEQ_CST);
    }
    bool news = (__atomic_fetch_or(&apic->posted[i], bit, __ATOMIC_SEQ_CST) & bit) == 0;

    __atomic_fetch_or(&apic->posted_words, 1U << i, __ATOMIC_SEQ_CST);
    return news;
}

/* Records an error, and raises the LVT's error interrupt when it is a new one (SDM 11.5.3). */
static bool note_error(struct local_apic *apic, uint32_t error)
{
    uint32_t before = __atomic_fetch_or(&apic->errors, error, __ATOMIC_RELAXED);
    uint32_t lvt = get(apic, APIC_LVT_ERROR);

    if ((before & error) != 0 || (lvt & APIC_LVT_MASKED) != 0) {
        return false;
    }
    if ((lvt & 0xff) < FIRST_VECTOR) {
        __atomic_fetch_or(&apic->errors, APIC_ERROR_RECEIVE_ILLEGAL_VECTOR, __ATOMIC_RELAXED);
        return false;
    }
    return request(apic, lvt & 0xff, false);
}

bool local_apic_post(struct local_apic *apic, uint8_t vector, bool level)
{
    if (!takes_interrupts(apic)) {
        return false;
    }
    if (vector < FIRST_VECTOR) {
        return note_error(apic, APIC_ERROR_RECEIVE_ILLEGAL_VECTOR);
    }
    return request(apic, vector, level);
}

/* The timer. */

void local_apic_advance(struct local_apic *apic, uint64_t now)
{
    if (apic_timer_advance(&apic->timer, now)) {
        local_apic_post(apic, (uint8_t)apic->timer.lvt, false);
    }
}

uint64_t local_apic_deadline(const struct local_apic *apic)
{
    return apic_timer_wake(&apic->timer);
}

/* Effects of writing registers. */

static void lvt_written(struct local_apic *apic, uint32_t offset)
{
    if ((get(apic, APIC_SVR) & APIC_SVR_ENABLE) == 0) { /* SDM 11.4.7.2 */
        set(apic, offset, get(apic, offset) | APIC_LVT_MASKED);
    }
    if (offset == APIC_LVT_TIMER) {
        apic_timer_set_lvt(&apic->timer, get(apic, offset));
    }
}

static void svr_written(struct local_apic *apic)
{
    for (uint32_t lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 0x10) {
        lvt_written(apic, lvt);
    }
}

/* Sets what only we may change, also where hardware let the guest's write into the page. */
static void set_identity(struct local_apic *apic)
{
    bool x2apic = local_apic_in_x2apic_mode(apic);

    set(apic, APIC_ID, x2apic ? apic->id : apic->id << 24);
    if (x2apic) { /* SDM 11.12.10.2 */
        set(apic, APIC_LDR, ((apic->id >> 4) << 16) | (1U << (apic->id & 0xf)));
    }
}

/* Interprocessor interrupts. */

/* Which delivery modes go with which shorthand (SDM table 11-3), a bit for each mode. */
static const uint8_t sendable[] = {
    [APIC_TO_DESTINATION] = 0x77,
    [APIC_TO_SELF] = 1U << APIC_FIXED,
    [APIC_TO_ALL] = 1U << APIC_FIXED,
    [APIC_TO_OTHERS] = 0x77,
};

static void send(struct local_apic *apic, uint32_t icr, uint32_t destination)
{
    struct apic_message message = {
        .vector = (uint8_t)icr,
        .delivery = (icr >> 8) & 7,
        .shorthand = (icr >> 18) & 3,
        .logical = (icr & ICR_LOGICAL) != 0,
        .destination = destination,
    };

    /* INIT level de-assert does nothing since the Pentium 4 (SDM 11.6.1). */
    if ((sendable[message.shorthand] & (1U << message.delivery)) == 0 ||
        (message.delivery == APIC_INIT && (icr & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL)) {
        return;
    }
    if (message.delivery <= APIC_LOWEST_PRIORITY && message.vector < FIRST_VECTOR) {
        note_error(apic, APIC_ERROR_SEND_ILLEGAL_VECTOR);
        return;
    }
    if (message.shorthand == APIC_TO_SELF) {
        local_apic_post(apic, message.vector, false);
        return;
    }
    apic->operations->send_ipi(apic->context, &message);
}

static void xapic_icr_written(struct local_apic *apic, uint32_t value)
{
    uint32_t destination = get(apic, APIC_ICR_HIGH) >> 24;

    if (destination == 0xff && (value & ICR_LOGICAL) == 0) {
        destination = APIC_BROADCAST;
    }
    send(apic, value, destination);
}

static bool write_x2apic_icr(struct local_apic *apic, uint64_t value)
{
    uint32_t low = (uint32_t)value;

    if ((low & ~(ICR_WRITABLE | ICR_STATUS)) != 0) {
        return false;
    }
    set(apic, APIC_ICR, low & ICR_WRITABLE);
    set(apic, APIC_ICR + 4, (uint32_t)(value >> 32));
    send(apic, low, (uint32_t)(value >> 32));
    return true;
}

/* The registers (SDM tables 11-1 and 11-6), by offset / 16. Those not listed are reserved. */
static const struct apic_register registers[0x40] = {
    [APIC_ID >> 4] = {READ | XAPIC_WRITE, 0, 0},
    [APIC_VERSION >> 4] = {READ, 0, 0},
    [APIC_TPR >> 4] = {READ | WRITE, 0xff, 0},
    [APIC_PPR >> 4] = {READ, 0, 0},
    [APIC_EOI >> 4] = {WRITE, 0, 0},
    [APIC_LDR >> 4] = {READ | XAPIC_WRITE, 0xff000000U, 0},
    [APIC_DFR >> 4] = {XAPIC_READ | XAPIC_WRITE, 0xf0000000U, 0},
    [APIC_SVR >> 4] = {READ | WRITE, 0x3ff, 0},
    [APIC_ISR >> 4 ...(APIC_IRR >> 4) + APIC_VECTOR_WORDS - 1] = {READ, 0, 0},
    [APIC_ESR >> 4] = {READ | WRITE, 0, 0},
    /* In x2APIC mode the ICR is written as 64 bits: write_x2apic_icr(). */
    [APIC_ICR >> 4] = {READ | XAPIC_WRITE, ICR_WRITABLE, 0},
    [APIC_ICR_HIGH >> 4] = {XAPIC_READ | XAPIC_WRITE, 0xff000000U, 0},
    [APIC_LVT_TIMER >> 4] = {READ | WRITE, 0x700ff, LVT_STATUS},
    [APIC_LVT_THERMAL >> 4] = {READ | WRITE, 0x107ff, LVT_STATUS},
    [APIC_LVT_PERFORMANCE >> 4] = {READ | WRITE, 0x107ff, LVT_STATUS},
    [APIC_LVT_LINT0 >> 4] = {READ | WRITE, 0x1a7ff, LVT_STATUS | LVT_REMOTE_IRR},
    [APIC_LVT_LINT1 >> 4] = {READ | WRITE, 0x1a7ff, LVT_STATUS | LVT_REMOTE_IRR},
    [APIC_LVT_ERROR >> 4] = {READ | WRITE, 0x100ff, LVT_STATUS},
    [APIC_INITIAL_COUNT >> 4] = {READ | WRITE, 0xffffffffU, 0},
    [APIC_CURRENT_COUNT >> 4] = {READ, 0, 0},
    [APIC_DIVIDE >> 4] = {READ | WRITE, 0xb, 0},
    [APIC_SELF_IPI >> 4] = {X2APIC_WRITE, 0xff, 0},
};

/* NULL unless the guest may do `access` to the register at `offset`. */
static const struct apic_register *find_register(uint64_t offset, unsigned access)
{
    uint64_t index = offset >> 4;

    if (index >= sizeof(registers) / sizeof(registers[0]) ||
        (registers[index].access & access) == 0) {
        return NULL;
    }
    return &registers[index];
}

static uint32_t read_register(struct local_apic *apic, uint32_t offset, uint64_t now)
{
    switch (offset) {
    case APIC_PPR:
        return processor_priority(apic);
    case APIC_CURRENT_COUNT:
        return apic_timer_count(&apic->timer, now);
    default:
        collect(apic); /* for the IRR and the TMR */
        return get(apic, offset);
    }
}

static void register_written(struct local_apic *apic, uint32_t offset, uint32_t value, uint64_t now)
{
    switch (offset) {
    case APIC_ID:
        set_identity(apic);
        break;
    case APIC_TPR:
        local_apic_recompute_ppr(apic);
        break;
    case APIC_EOI:
        local_apic_eoi(apic);
        break;
    case APIC_DFR:
        set(apic, offset, value | 0x0fffffffU); /* SDM figure 11-14: the other bits are ones */
        break;
    case APIC_SVR:
        svr_written(apic);
        break;
    case APIC_ESR:
        set(apic, offset, __atomic_exchange_n(&apic->errors, 0, __ATOMIC_RELAXED));
        break;
    case APIC_ICR:
        xapic_icr_written(apic, value);
        break;
    case APIC_LVT_TIMER ... APIC_LVT_ERROR:
        lvt_written(apic, offset);
        break;
    case APIC_INITIAL_COUNT:
        apic_timer_start(&apic->timer, value, now);
        set(apic, offset, apic->timer.initial);
        break;
    case APIC_DIVIDE:
        apic_timer_set_divide(&apic->timer, value, now);
        break;
    case APIC_SELF_IPI:
        set(apic, offset, 0);
        send(apic, ((uint32_t)APIC_TO_SELF << 18) | value, 0);
        break;
    default:
        break;
    }
}

static void write_register(struct local_apic *apic, const struct apic_register *found,
                           uint32_t offset, uint32_t value, uint64_t now)
{
    set(apic, offset, value & found->writable);
    register_written(apic, offset, value & found->writable, now);
}

/* xAPIC mode: the page. */

uint64_t local_apic_read(struct local_apic *apic, uint64_t offset, unsigned size, uint64_t now)
{
    uint32_t byte = offset & 0xf;
    uint64_t ones = access_mask(size);

    if (!local_apic_in_xapic_mode(apic)) {
        return ones;
    }
    local_apic_advance(apic, now);
    if (find_register(offset, XAPIC_READ) == NULL) {
        if (find_register(offset, XAPIC_WRITE) == NULL) {
            note_error(apic, APIC_ERROR_ILLEGAL_REGISTER);
        }
        return 0;
    }
    uint32_t value = read_register(apic, (uint32_t)offset - byte, now);

    return byte < 4 ? (value >> (8 * byte)) & ones : 0;
}

void local_apic_write(struct local_apic *apic, uint64_t offset, unsigned size, uint64_t value,
                      uint64_t now)
{
    const struct apic_register *found = find_register(offset, XAPIC_WRITE);

    if (!local_apic_in_xapic_mode(apic) || (offset & 0xf) != 0 || size < 4) {
        return;
    }
    local_apic_advance(apic, now);
    if (found != NULL) {
        write_register(apic, found, (uint32_t)offset, (uint32_t)value, now);
    } else if (find_register(offset, XAPIC_READ) == NULL) {
        note_error(apic, APIC_ERROR_ILLEGAL_REGISTER);
    }
}

/* MSRs. */

static void reset_registers(struct local_apic *apic)
{
    for (uint32_t offset = 0; offset < 0x1000; offset += sizeof(uint32_t)) {
        set(apic, offset, 0);
    }
    for (unsigned i = 0; i < APIC_VECTOR_WORDS; i++) {
        __atomic_store_n(&apic->posted[i], 0, __ATOMIC_SEQ_CST);
    }
    apic->requested = false;
    apic->mode_changes++;
    set(apic, APIC_VERSION, VERSION);
    set(apic, APIC_DFR, 0xffffffffU);
    set(apic, APIC_SVR, 0xff);
    for (uint32_t lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 0x10) {
        set(apic, lvt, APIC_LVT_MASKED);
    }
    set_identity(apic);
    __atomic_store_n(&apic->errors, 0, __ATOMIC_RELAXED);
    apic_timer_reset(&apic->timer);
}

/* SDM 11.12.5 and figure 11-27: the legal changes of mode. */
static bool write_base(struct local_apic *apic, uint64_t value)
{
    const uint64_t flags = APIC_BASE_BSP | APIC_BASE_X2APIC | APIC_BASE_ENABLE;
    const uint64_t x2apic = APIC_BASE_X2APIC | APIC_BASE_ENABLE;
    uint64_t from = mode(apic);
    uint64_t to = value & x2apic;

    if ((value & ~flags) != LAYOUT_LOCAL_APIC_BASE || to == APIC_BASE_X2APIC ||
        (from == 0 && to == x2apic) || (from == x2apic && to == APIC_BASE_ENABLE)) {
        return false;
    }
    __atomic_store_n(&apic->base, value, __ATOMIC_RELAXED);
    if (from == to) {
        return true;
    }
    if (to == 0) {
        reset_registers(apic); /* SDM 11.4.3: a disabled APIC forgets */
    } else if (to == x2apic) {
        set(apic, APIC_ICR_HIGH, 0);
    }
    set_identity(apic);
    return true;
}

bool local_apic_read_msr(struct local_apic *apic, uint32_t index, uint64_t *value, uint64_t now)
{
    uint32_t offset = (index - MSR_X2APIC_FIRST) << 4;

    local_apic_advance(apic, now);
    if (index == MSR_APIC_BASE) {
        *value = apic->base;
        return true;
    }
    if (index == MSR_TSC_DEADLINE) {
        *value = apic_timer_tsc_deadline(&apic->timer);
        return true;
    }
    if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST || !local_apic_in_x2apic_mode(apic) ||
        find_register(offset, X2APIC_READ) == NULL) {
        return false;
    }
    *value = read_register(apic, offset, now);
    if (offset == APIC_ICR) {
        *value |= (uint64_t)get(apic, APIC_ICR + 4) << 32;
    }
    return true;
}

static bool write_x2apic(struct local_apic *apic, uint32_t offset, uint64_t value, uint64_t now)
{
    const struct apic_register *found = find_register(offset, X2APIC_WRITE);

    if (!local_apic_in_x2apic_mode(apic)) {
        return false;
    }
    if (offset == APIC_ICR) {
        return write_x2apic_icr(apic, value);
    }
    if (found == NULL || (value & ~(uint64_t)(found->writable | found->accepted)) != 0) {
        return false;
    }
    write_register(apic, found, offset, (uint32_t)value, now);
    return true;
}

bool local_apic_write_msr(struct local_apic *apic, uint32_t index, uint64_t value, uint64_t now)
{
    local_apic_advance(apic, now);
    if (index == MSR_APIC_BASE) {
        return write_base(apic, value);
    }
    if (index == MSR_TSC_DEADLINE) {
        apic_timer_set_tsc_deadline(&apic->timer, value);
        local_apic_advance(apic, now);
        return true;
    }
    if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST) {
        return false;
    }
    return write_x2apic(apic, (index - MSR_X2APIC_FIRST) << 4, value, now);
}

uint64_t local_apic_cr8(const struct local_apic *apic)
{
    return (get(apic, APIC_TPR) & 0xff) >> 4;
}

bool local_apic_set_cr8(struct local_apic *apic, uint64_t value)
{
    if (value > 0xf) {
        return false;
    }
    set(apic, APIC_TPR, (uint32_t)value << 4);
    local_apic_recompute_ppr(apic);
    return true;
}

/* Messages from others. */

static bool raise_event(uint32_t *event)
{
    return __atomic_exchange_n(event, 1, __ATOMIC_SEQ_CST) == 0;
}

bool local_apic_deliver(struct local_apic *apic, const struct apic_message *message)
{
    if (mode(apic) == 0) {
        return false;
    }
    switch (message->delivery) {
    case APIC_FIXED:
    case APIC_LOWEST_PRIORITY:
        return local_apic_post(apic, message->vector, message->level);
    case APIC_NMI:
        return raise_event(&apic->nmi);
    case APIC_INIT:
        /* An INIT supersedes the SIPIs before it. */
        __atomic_store_n(&apic->start_up, 0, __ATOMIC_SEQ_CST);
        return raise_event(&apic->init);
    case APIC_START_UP:
        return __atomic_exchange_n(&apic->start_up, START_UP_PENDING | message->vector,
                                   __ATOMIC_SEQ_CST) == 0;
    default:
        return false;
    }
}

bool local_apic_matches(const struct local_apic *apic, uint32_t destination, bool logical)
{
    uint32_t ldr = get(apic, APIC_LDR);

    if (destination == APIC_BROADCAST) {
        return true;
    }
    if (!logical) {
        return destination == apic->id;
    }
    if (local_apic_in_x2apic_mode(apic)) { /* a cluster and a set within it (SDM 11.12.10.1) */
        return ldr >> 16 == destination >> 16 && (ldr & destination & 0xffff) != 0;
    }
    ldr >>= 24;
    if (get(apic, APIC_DFR) >> 28 == 0xf) { /* flat model (SDM 11.6.2.2) */
        return (ldr & destination) != 0;
    }
    return (ldr & destination & 0xf) != 0 &&
           ((destination & 0xf0) == 0xf0 || ((ldr ^ destination) & 0xf0) == 0);
}

static bool addressed(const struct local_apic *apic, const struct local_apic *sender,
                      const struct apic_message *message)
{
    switch (message->shorthand) {
    case APIC_TO_SELF:
        return apic == sender;
    case APIC_TO_ALL:
        return true;
    case APIC_TO_OTHERS:
        return apic != sender;
    default:
        return local_apic_matches(apic, message->destination, message->logical);
    }
}

uint64_t local_apic_dispatch(struct local_apic *const *apics, unsigned count,
                             const struct local_apic *sender, const struct apic_message *message)
{
    uint64_t kick = 0;
    unsigned chosen = count;
    uint32_t lowest = UINT32_MAX;

    for (unsigned i = 0; i < count && i < DISPATCH_MOST; i++) {
        if (!addressed(apics[i], sender, message)) {
            continue;
        }
        if (message->delivery != APIC_LOWEST_PRIORITY) {
            kick |= (uint64_t)local_apic_deliver(apics[i], message) << i;
        } else if (takes_interrupts(apics[i]) && processor_priority(apics[i]) < lowest) {
            lowest = processor_priority(apics[i]);
            chosen = i;
        }
    }
    if (chosen < count) {
        kick |= (uint64_t)local_apic_deliver(apics[chosen], message) << chosen;
    }
    return kick;
}

/* The processor's side. */

bool local_apic_may_deliver(const struct local_apic *apic, int vector)
{
    return vector >= 0 && mode(apic) != 0 && vector >> 4 > (int)(processor_priority(apic) >> 4);
}

int local_apic_pending_vector(struct local_apic *apic)
{
    int vector = local_apic_highest_irr(apic);

    return local_apic_may_deliver(apic, vector) ? vector : -1;
}

bool local_apic_accept(struct local_apic *apic, uint8_t vector)
{
    uint32_t in_service = any_of_bank(apic, APIC_ISR);

    clear_vector(apic, APIC_IRR, vector);
    apic->requested = any_of_bank(apic, APIC_IRR) != 0;
    set_vector(apic, APIC_ISR, vector);
    set(apic, APIC_PPR, vector & 0xf0); /* it was above all there was */
    return in_service == 0 && !apic->requested && !has_vector(apic, APIC_TMR, vector);
}

void local_apic_eoi_alone(struct local_apic *apic, uint8_t vector)
{
    clear_vector(apic, APIC_ISR, vector);
    set(apic, APIC_PPR, get(apic, APIC_TPR) & 0xff);
}

void local_apic_report_eoi(struct local_apic *apic, uint8_t vector)
{
    if (has_vector(apic, APIC_TMR, vector)) {
        apic->operations->eoi(apic->context, vector);
    }
}

void local_apic_eoi(struct local_apic *apic)
{
    int vector = local_apic_highest_isr(apic);

    if (vector < 0) {
        return;
    }
    clear_vector(apic, APIC_ISR, (unsigned)vector);
    local_apic_recompute_ppr(apic);
    local_apic_report_eoi(apic, (uint8_t)vector);
}

bool local_apic_nmi_pending(const struct local_apic *apic)
{
    return __atomic_load_n(&apic->nmi, __ATOMIC_SEQ_CST) != 0;
}

bool local_apic_take_nmi(struct local_apic *apic)
{
    return __atomic_exchange_n(&apic->nmi, 0, __ATOMIC_SEQ_CST) != 0;
}

bool local_apic_take_init(struct local_apic *apic)
{
    return __atomic_exchange_n(&apic->init, 0, __ATOMIC_SEQ_CST) != 0;
}

int local_apic_take_start_up(struct local_apic *apic)
{
    uint32_t taken = __atomic_exchange_n(&apic->start_up, 0, __ATOMIC_SEQ_CST);

    return taken == 0 ? -1 : (int)(taken & 0xff);
}

/* Resets. */

void local_apic_reset_by_init(struct local_apic *apic)
{
    reset_registers(apic);
    __atomic_store_n(&apic->nmi, 0, __ATOMIC_SEQ_CST);
}

void local_apic_reset(struct local_apic *apic, bool bootstrap)
{
    uint64_t base = LAYOUT_LOCAL_APIC_BASE | APIC_BASE_ENABLE | (bootstrap ? APIC_BASE_BSP : 0);

    __atomic_store_n(&apic->base, base, __ATOMIC_RELAXED);
    local_apic_reset_by_init(apic);
    __atomic_store_n(&apic->init, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&apic->start_up, 0, __ATOMIC_SEQ_CST);
}

void local_apic_init(struct local_apic *apic, void *page, uint32_t id, bool bootstrap,
                     const struct local_apic_operations *operations, void *context)
{
    *apic = (struct local_apic){
        .page = page,
        .operations = operations,
        .context = context,
        .id = id,
    };
    local_apic_reset(apic, bootstrap);
}
