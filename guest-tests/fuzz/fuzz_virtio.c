/*
 * A libFuzzer target: an arbitrary driver, with its own ring memory and register accesses, against
 * the entropy device. The input is a program of small operations; see `operations` below.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/rng/rng.h"
#include "guest-tests/fuzz/input.h"

#define RAM_BASE   0x1000ULL
#define RAM_SIZE   0x3000ULL
#define REGISTERS  0xd0000000ULL
#define SPELL_MAX  ((uint64_t)RNG_WORDS_PER_CALL * ENTROPY_TRIES)
#define STATUS     0x070
#define INTERRUPTS 0x060
#define RESET_BIT  64U

enum source_mode { GOOD, DRY, STUCK, ZERO, MODES };

/*
 * The reference: an honest driver's own books of one queue, one descriptor a buffer. It holds from
 * bring_up() on until something dishonest is done.
 */
#define POSTS 64

struct reference {
    bool honest;
    bool packed;
    unsigned size;
    unsigned posted; /* buffers made available since the start */
    unsigned used;   /* and seen back */
    uint32_t lengths[POSTS];
};

struct machine {
    struct guest_memory memory;
    struct reference reference;
    struct bus bus;
    struct entropy_core core;
    struct rng rng;
    uint8_t *ram;
    bool line;
    enum source_mode mode;
    uint64_t asked;
    uint32_t page[VIRTIO_MMIO_PAGE_SIZE / 4];
};

static bool source_read(void *context, uint64_t *word)
{
    struct machine *machine = context;

    machine->asked++;
    *word = machine->asked * 0x9e3779b97f4a7c15;
    *word ^= *word >> 29;
    *word *= 0xbf58476d1ce4e5b9;
    *word ^= *word >> 32;
    if (machine->mode == STUCK) {
        *word = 4;
    } else if (machine->mode == ZERO) {
        *word = 0;
    }
    return machine->mode != DRY;
}

static void line_set(void *controller, unsigned pin, bool asserted)
{
    struct machine *machine = controller;

    (void)pin;
    machine->line = asserted;
}

static uint64_t get_register(struct machine *machine, uint64_t offset)
{
    uint64_t value = 0;

    REQUIRE(bus_read(&machine->bus, REGISTERS + offset, 4, &value));
    REQUIRE(machine->page[offset / 4] == value);
    return value;
}

static void set_register(struct machine *machine, uint64_t offset, uint64_t value)
{
    REQUIRE(bus_write(&machine->bus, REGISTERS + offset, 4, value));
}

static void write_register(struct machine *machine, struct input *input)
{
    uint64_t offset = 4 * (next(input, 1) % 64);

    set_register(machine, offset, next(input, 4));
}

static void access_odd(struct machine *machine, struct input *input)
{
    unsigned size = 1U << next(input, 1) % 4;
    uint64_t offset = next(input, 2) % (VIRTIO_MMIO_PAGE_SIZE - size);
    uint64_t value = 0;

    uint64_t mapped = 0;

    REQUIRE(bus_read(&machine->bus, REGISTERS + offset, size, &value));
    memcpy(&mapped, (const uint8_t *)machine->page + offset, size);
    REQUIRE(value == mapped);
    REQUIRE(bus_write(&machine->bus, REGISTERS + offset, size, next(input, 4)));
}

static void poke(struct machine *machine, struct input *input)
{
    uint64_t offset = next(input, 2) % RAM_SIZE;

    for (uint64_t count = next(input, 1) % 33; count > 0 && offset < RAM_SIZE; count--) {
        machine->ram[offset++] = (uint8_t)next(input, 1);
    }
}

/* A chain descriptor in terms that are often valid. */
static void describe(struct machine *machine, struct input *input)
{
    uint8_t *descriptor = machine->ram + 16 * (next(input, 1) % 128);
    uint64_t gpa = RAM_BASE + next(input, 2) % (RAM_SIZE + 16);
    uint32_t length = (uint32_t)next(input, 1);
    uint16_t flags = (uint16_t)(next(input, 1) % 8);
    uint16_t following = (uint16_t)next(input, 1) % 66;

    memcpy(descriptor, &gpa, 8);
    memcpy(descriptor + 8, &length, 4);
    memcpy(descriptor + 12, &flags, 2);
    memcpy(descriptor + 14, &following, 2);
}

/* Steps idx of the available ring that bring_up() sets. */
static void make_available(struct machine *machine, struct input *input)
{
    uint16_t idx;

    memcpy(&idx, machine->ram + 0x802, 2);
    idx = (uint16_t)(idx + next(input, 1) % 68);
    memcpy(machine->ram + 0x802, &idx, 2);
}

/* What an honest driver does first, so that the fuzzer need not find it out. */
static void bring_up(struct machine *machine, struct input *input)
{
    static const unsigned optional[] = {28, 29, 34, 35, 38, 40, 43};
    uint64_t choice = next(input, 1);
    uint64_t features = 1ULL << 32;
    uint64_t size = 1 + next(input, 1) % 64;

    for (unsigned i = 0; i < 7; i++) {
        features |= (choice >> i & 1) << optional[i];
    }
    bool packed = (features >> 34 & 1) != 0;

    while (!packed && (size & (size - 1)) != 0) {
        size &= size - 1;
    }
    set_register(machine, STATUS, 0);
    memset(machine->ram, 0, 0xc00);
    set_register(machine, STATUS, 3);
    set_register(machine, 0x024, 1);
    set_register(machine, 0x020, features >> 32);
    set_register(machine, 0x024, 0);
    set_register(machine, 0x020, (uint32_t)features);
    set_register(machine, STATUS, 11);
    set_register(machine, 0x030, 0);
    set_register(machine, 0x038, size);
    set_register(machine, 0x080, RAM_BASE);
    set_register(machine, 0x084, 0);
    set_register(machine, 0x090, RAM_BASE + 0x800);
    set_register(machine, 0x094, 0);
    set_register(machine, 0x0a0, RAM_BASE + 0x900);
    set_register(machine, 0x0a4, 0);
    set_register(machine, 0x044, 1);
    set_register(machine, STATUS, 15);
    REQUIRE(get_register(machine, STATUS) == 15);
    machine->reference =
        (struct reference){.honest = true, .packed = packed, .size = (unsigned)size};
}

static uint16_t load16(const struct machine *machine, uint64_t offset)
{
    uint16_t value;

    memcpy(&value, machine->ram + offset, sizeof(value));
    return value;
}

/* An honest buffer, if the queue has room for one. */
static void post(struct machine *machine, struct input *input)
{
    struct reference *reference = &machine->reference;
    uint64_t gpa = RAM_BASE + 0x1000 + next(input, 1);
    uint32_t length = 1 + (uint32_t)next(input, 2) % 0x1f00;

    if (!reference->honest || reference->posted - reference->used >= reference->size) {
        return;
    }
    unsigned slot = reference->posted % reference->size;
    bool wrap = reference->posted / reference->size % 2 == 0;
    uint16_t id = (uint16_t)slot;
    uint16_t flags = (uint16_t)(2 | (wrap ? 0x80 : 0x8000));
    uint16_t idx = (uint16_t)(reference->posted + 1);
    uint8_t *descriptor = machine->ram + 16UL * slot;

    memcpy(descriptor, &gpa, 8);
    memcpy(descriptor + 8, &length, 4);
    if (reference->packed) {
        memcpy(descriptor + 12, &id, 2);
        memcpy(descriptor + 14, &flags, 2);
    } else {
        memcpy(descriptor + 12, "\2\0\0", 4);
        memcpy(machine->ram + 0x804 + 2UL * slot, &id, 2);
        memcpy(machine->ram + 0x802, &idx, 2);
    }
    reference->lengths[slot] = length;
    reference->posted++;
}

/* Looks at what the device says it used, against the books. */
static void collect(struct machine *machine)
{
    struct reference *reference = &machine->reference;
    unsigned slot = reference->used % reference->size;
    bool wrap = reference->used / reference->size % 2 == 0;
    uint32_t length;
    uint32_t id;

    if (reference->packed) {
        uint16_t flags = load16(machine, 16UL * slot + 14);

        if (((flags & 0x80) != 0) != wrap || ((flags & 0x8000) != 0) != wrap) {
            return;
        }
        REQUIRE((flags & 2) != 0);
        id = load16(machine, 16UL * slot + 12);
        memcpy(&length, machine->ram + 16UL * slot + 8, 4);
    } else {
        if (load16(machine, 0x902) == (uint16_t)reference->used) {
            return;
        }
        memcpy(&id, machine->ram + 0x904 + 8UL * slot, 4);
        memcpy(&length, machine->ram + 0x908 + 8UL * slot, 4);
    }
    REQUIRE(reference->used != reference->posted);
    REQUIRE(id == slot);
    REQUIRE(length >= 1 && length <= reference->lengths[slot]);
    reference->used++;
}

/* All of an honest driver's buffers come back, if the source is good. */
static void settle(struct machine *machine, struct input *input)
{
    struct reference *reference = &machine->reference;

    (void)input;
    if (!reference->honest) {
        return;
    }
    machine->mode = GOOD;
    set_register(machine, 0x050, 0);
    for (unsigned i = 0; i < 300 && rng_has_work(&machine->rng); i++) {
        rng_poll(&machine->rng);
    }
    for (unsigned i = 0; i <= POSTS; i++) {
        collect(machine);
    }
    if (entropy_state(&machine->core) == ENTROPY_READY &&
        (get_register(machine, STATUS) & RESET_BIT) == 0) {
        REQUIRE(reference->used == reference->posted);
    }
}

static void kick(struct machine *machine, struct input *input)
{
    (void)input;
    set_register(machine, 0x050, 0);
}

static void poll(struct machine *machine, struct input *input)
{
    for (uint64_t count = next(input, 1) % 32; count > 0; count--) {
        uint64_t asked = machine->asked;

        rng_poll(&machine->rng);
        REQUIRE(machine->asked - asked <= SPELL_MAX);
    }
}

static void change_source(struct machine *machine, struct input *input)
{
    machine->mode = next(input, 1) % MODES;
}

static void refill(struct machine *machine, struct input *input)
{
    entropy_refill(&machine->core, (unsigned)next(input, 2));
}

static void (*const operations[])(struct machine *machine, struct input *input) = {
    write_register, access_odd, poke,          describe, make_available, bring_up,
    kick,           poll,       change_source, refill,   post,           settle,
};

/* Those after which the reference's books say nothing any more. */
#define DISHONEST 5

/* A driver without fault sees DEVICE_NEEDS_RESET only if the source is in permanent fault. */
static void check_reference(struct machine *machine, uint64_t status)
{
    const struct reference *reference = &machine->reference;

    if (reference->honest) {
        REQUIRE(machine->rng.queue.breach == NULL);
        REQUIRE((status & ~(uint64_t)RESET_BIT) == 15);
    }
}

static void check(struct machine *machine, uint64_t asked_before)
{
    const struct rng *rng = &machine->rng;
    uint64_t status = get_register(machine, STATUS);

    REQUIRE(machine->line == (get_register(machine, INTERRUPTS) != 0));
    REQUIRE(rng->counters.bytes >= rng->counters.requests);
    REQUIRE(rng->counters.short_fills <= rng->counters.requests);
    REQUIRE(entropy_counters(&machine->core).bytes_delivered == rng->counters.bytes);
    REQUIRE(rng->queue.breach == NULL || (status & RESET_BIT) != 0);
    /* A device that asked for a reset goes on; one whose queue broke has nothing to go on with. */
    REQUIRE(!rng_has_work(rng) || (rng->queue.breach == NULL && (status & 4) != 0));
    check_reference(machine, status);
    /* The longest operations are 32 spells and a refill, whose length is the caller's own. */
    REQUIRE(machine->asked - asked_before <= (uint64_t)UINT16_MAX * ENTROPY_TRIES);
}

/* Everything to the state after power-on, with the start-up test, which takes long, behind it. */
static void start(struct machine *machine, uint8_t *ram)
{
    static struct entropy_core tested;
    const struct entropy_source source = {.read = source_read, .context = machine};
    const struct rng_setup setup = {
        .entropy = &machine->core,
        .memory = &machine->memory,
        .irq = {.set = line_set, .controller = machine, .pin = 0},
        .page = machine->page,
        .features = RNG_FEATURES,
    };

    *machine = (struct machine){.ram = ram};
    memset(ram, 0, RAM_SIZE);
    if (tested.state != ENTROPY_READY) {
        entropy_init(&tested, &source);
        entropy_refill(&tested, ENTROPY_STARTUP_WORDS);
    }
    machine->asked = ENTROPY_STARTUP_WORDS;
    machine->core = tested;
    REQUIRE(guest_memory_add(&machine->memory, RAM_BASE, RAM_SIZE, ram));
    rng_init(&machine->rng, &setup);
    REQUIRE(bus_add(&machine->bus, REGISTERS, VIRTIO_MMIO_PAGE_SIZE, &virtio_mmio_bus_operations,
                    &machine->rng.transport));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine machine;
    static uint8_t *ram;
    struct input input = {.data = data, .left = size};

    if (ram == NULL) {
        ram = malloc(RAM_SIZE);
        REQUIRE(ram != NULL);
    }
    start(&machine, ram);
    while (input.left > 0) {
        uint64_t asked = machine.asked;

        uint64_t operation = next(&input, 1) % (sizeof(operations) / sizeof(operations[0]));

        machine.reference.honest &= operation >= DISHONEST;
        operations[operation](&machine, &input);
        check(&machine, asked);
    }
    return 0;
}
