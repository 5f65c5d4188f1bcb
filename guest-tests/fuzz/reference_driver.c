/* What an arbitrary driver does to the device under test and to its model: the same to both. */
#include "guest-tests/fuzz/reference_machine.h"

static void set_register(struct machine *machine, uint32_t offset, uint32_t value)
{
    REQUIRE(bus_write(&machine->bus, REGISTERS + offset, 4, value));
    model_write(machine->model, offset, value);
}

static void set_ram(struct machine *machine, uint64_t offset, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size && offset + i < MODEL_RAM_SIZE; i++) {
        machine->ram[offset + i] = (uint8_t)(value >> 8 * i);
        machine->model->ram[offset + i] = (uint8_t)(value >> 8 * i);
    }
}

static uint16_t ram16(const struct machine *machine, uint64_t offset)
{
    return (uint16_t)(machine->ram[offset] | machine->ram[offset + 1] << 8);
}

void driver_write_register(struct machine *machine, struct input *input)
{
    uint32_t offset = 4 * (uint32_t)(next(input, 1) % 64);

    set_register(machine, offset, (uint32_t)next(input, 4));
}

/* The same, with a value that is likely to mean something. */
void driver_write_small(struct machine *machine, struct input *input)
{
    uint32_t offset = 4 * (uint32_t)(next(input, 1) % 64);

    set_register(machine, offset, (uint32_t)next(input, 1));
}

/* Any width at any place: writes of registers count only as aligned words. */
void driver_access_odd(struct machine *machine, struct input *input)
{
    unsigned size = 1U << next(input, 1) % 4;
    uint32_t offset = (uint32_t)next(input, 2) % 0x210;
    uint64_t expected = 0;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        uint32_t place = offset + i;

        expected |= (uint64_t)(model_read(machine->model, place & ~3U) >> 8 * (place & 3) & 0xff)
                    << 8 * i;
    }
    REQUIRE(bus_read(&machine->bus, REGISTERS + offset, size, &value));
    REQUIRE(value == expected);
    value = next(input, 4) * 0x100000001;
    value = size == 8 ? value : value & ((1ULL << 8 * size) - 1);
    REQUIRE(bus_write(&machine->bus, REGISTERS + offset, size, value));
    if (offset >= 0x100 && offset + size <= 0x200) {
        model_write_config(machine->model, offset - 0x100, size, value);
    } else if (offset < 0x100 && size == 4 && offset % 4 == 0) {
        model_write(machine->model, offset, (uint32_t)value);
    }
}

void driver_poke(struct machine *machine, struct input *input)
{
    uint64_t offset = next(input, 2) % MODEL_RAM_SIZE;

    for (uint64_t count = next(input, 1) % 33; count > 0; count--) {
        set_ram(machine, offset++, next(input, 1), 1);
    }
}

/* Where driver_bring_up() puts the rings, and what may be described there. */
#define DRIVER_AREA 0x800U
#define DEVICE_AREA 0x900U
#define TABLE       0xc00U /* descriptors for indirect use */

/* A descriptor of the split ring in terms that are often valid. */
void driver_describe(struct machine *machine, struct input *input)
{
    uint64_t slot = next(input, 1);
    uint64_t at = slot < 128 ? 16 * (slot % 64) : TABLE + 16 * (slot % 64);
    uint64_t where = next(input, 2);

    set_ram(machine, at, MODEL_RAM_BASE + where % (MODEL_RAM_SIZE + 16), 8);
    set_ram(machine, at + 8, next(input, 1), 4);
    set_ram(machine, at + 12, next(input, 1) % 8, 2);
    set_ram(machine, at + 14, next(input, 1) % 66, 2);
}

/* The same for the packed ring, available now or in the next lap. */
void driver_describe_packed(struct machine *machine, struct input *input)
{
    uint64_t at = 16 * (next(input, 1) % 64);
    uint64_t where = next(input, 2);
    uint64_t choice = next(input, 2);

    set_ram(machine, at, MODEL_RAM_BASE + where % (MODEL_RAM_SIZE + 16), 8);
    set_ram(machine, at + 8, choice >> 8, 4);
    set_ram(machine, at + 12, choice >> 4, 2);
    set_ram(machine, at + 14, (choice & 7) | ((choice & 8) != 0 ? 0x80 : 0x8000), 2);
}

/* Points a descriptor at the table for indirect use. */
void driver_describe_table(struct machine *machine, struct input *input)
{
    uint64_t at = 16 * (next(input, 1) % 64);
    uint64_t choice = next(input, 1);

    set_ram(machine, at, MODEL_RAM_BASE + TABLE + 16 * (choice >> 4), 8);
    set_ram(machine, at + 8, 16 * (choice & 15), 4);
    set_ram(machine, at + 12, 4, 2);
    set_ram(machine, at + 14, next(input, 2), 2);
}

/* Puts heads into the available ring and moves its idx. */
void driver_make_available(struct machine *machine, struct input *input)
{
    uint16_t idx = ram16(machine, DRIVER_AREA + 2);
    uint64_t count = next(input, 1) % 68;
    uint64_t head = next(input, 1);
    uint64_t size = machine->queue.size != 0 ? machine->queue.size : 1;

    for (uint64_t i = 0; i < count; i++) {
        set_ram(machine, DRIVER_AREA + 4 + 2 * ((idx + i) % size), (head + i) % 65, 2);
    }
    set_ram(machine, DRIVER_AREA + 2, idx + count, 2);
}

static void set_descriptor(struct machine *machine, uint64_t at, uint64_t offset, uint64_t length,
                           uint64_t last)
{
    set_ram(machine, at, MODEL_RAM_BASE + offset, 8);
    set_ram(machine, at + 8, length, 4);
    set_ram(machine, at + 12, last, 4);
}

/* 2.8.1: the AVAIL and USED bits of a descriptor that the driver makes available. */
static uint64_t available_flag(bool wrap)
{
    return wrap ? 0x80 : 0x8000;
}

/* Where a driver of the packed ring goes on: behind all that is available and not yet taken. */
static struct model_place packed_end(const struct machine *machine)
{
    struct model_place place = machine->model->avail;

    for (unsigned i = 0; i < machine->queue.size; i++) {
        uint16_t flags = ram16(machine, 16ULL * place.slot + 14);

        if (((flags & 0x80) != 0) != place.wrap || ((flags & 0x8000) != 0) == place.wrap) {
            break;
        }
        place.slot = (place.slot + 1) % machine->queue.size;
        place.wrap ^= place.slot == 0;
    }
    return place;
}

/* What posted buffers are like: choices of driver_post(). */
enum {
    SHAPE_COUNT = 3,         /* elements, less one */
    SHAPE_READABLE = 3 << 2, /* so many of them first */
    SHAPE_TABLE = 1 << 4,    /* in a table */
    SHAPE_ODD = 1 << 5,      /* which is longer than its last descriptor */
    SHAPE_NEXT = 1 << 6,     /* and not the last one: the chain goes on without end */
    SHAPE_INDIRECT = 1 << 7  /* elements that claim to be tables */
};

/*
 * A buffer as an honest driver posts it, in a ring that driver_bring_up() has set up: a few
 * elements, in the ring or in a table. What is not so honest keeps to the place where it will be
 * looked at.
 */
void driver_post(struct machine *machine, struct input *input)
{
    uint64_t shape = next(input, 1);
    unsigned count = 1 + (unsigned)(shape & SHAPE_COUNT);
    bool table = (shape & SHAPE_TABLE) != 0;
    bool packed = (machine->queue.features & VIRTIO_FEATURE_RING_PACKED) != 0;
    uint16_t idx = ram16(machine, DRIVER_AREA + 2);
    uint32_t size = machine->queue.size % 65;

    if (size == 0) {
        return;
    }
    struct model_place place =
        packed ? packed_end(machine) : (struct model_place){idx % size, true};
    struct model_place head = place;
    uint64_t entries = TABLE + 64ULL * (head.slot % 16);

    for (unsigned i = 0; i < count; i++) {
        uint64_t at = table ? entries + 16ULL * i : 16ULL * place.slot;
        uint64_t offset = next(input, 2) % MODEL_RAM_SIZE;
        uint64_t length = next(input, 1);
        bool last = i == count - 1 && (shape & SHAPE_NEXT) == 0;
        uint64_t flags = (i < (shape & SHAPE_READABLE) >> 2 ? 0 : 2) |
                         (last || (packed && table) ? 0 : 1) |
                         ((shape & SHAPE_INDIRECT) != 0 ? 4 : 0);

        if (!table) {
            place.slot = (place.slot + 1) % size;
        }
        if (packed) {
            flags |= table ? 0 : available_flag(place.wrap);
            set_descriptor(machine, at, offset, length, (head.slot + 7) | flags << 16);
        } else {
            set_descriptor(machine, at, offset, length,
                           flags | (uint64_t)(table ? i + 1 : place.slot) << 16);
        }
        place.wrap ^= !table && place.slot == 0;
    }
    if (table) {
        uint64_t flags = 4 | ((shape & SHAPE_NEXT) != 0 ? 1 : 0);

        set_descriptor(machine, 16ULL * head.slot, entries,
                       16ULL * count + ((shape & SHAPE_ODD) != 0 ? 8 : 0),
                       packed ? head.slot | (flags | available_flag(head.wrap)) << 16 : flags);
    }
    if (!packed) {
        set_ram(machine, DRIVER_AREA + 4 + 2ULL * (idx % size), head.slot, 2);
        set_ram(machine, DRIVER_AREA + 2, idx + 1ULL, 2);
    }
}

/* What the driver wants to be told of: used_event of the split ring, or the packed ring's word. */
void driver_set_event(struct machine *machine, struct input *input)
{
    uint64_t choice = next(input, 1);
    uint64_t value = next(input, 2);

    if ((choice & 1) != 0) {
        set_ram(machine, DRIVER_AREA + 4 + 2 * machine->queue.size % 256, value, 2);
    } else {
        set_ram(machine, DRIVER_AREA, (value & 0x803f) | choice >> 1 << 16, 4);
    }
}

static void set_up_queue(struct machine *machine, uint32_t size)
{
    set_register(machine, 0x028, 0x100);
    set_register(machine, 0x03c, 4);
    set_register(machine, 0x038, size);
    set_register(machine, 0x040, MODEL_RAM_BASE / 0x100);
    set_register(machine, 0x080, MODEL_RAM_BASE);
    set_register(machine, 0x090, MODEL_RAM_BASE + DRIVER_AREA);
    set_register(machine, 0x0a0, MODEL_RAM_BASE + DEVICE_AREA);
    set_register(machine, 0x044, 1);
}

/* What a driver does first; not quite honest is one that is in a hurry with its queue. */
void driver_bring_up(struct machine *machine, struct input *input)
{
    uint64_t choice = next(input, 1);
    uint64_t wanted = features_of(choice) | VIRTIO_FEATURE_VERSION_1;
    uint64_t features = wanted & machine->transport.offered;
    uint64_t shape = next(input, 1);
    uint32_t size = 1 + (uint32_t)shape % 64;

    while ((features & VIRTIO_FEATURE_RING_PACKED) == 0 && (size & (size - 1)) != 0) {
        size &= size - 1;
    }
    for (unsigned i = 0; i < 0xc00; i += 4) {
        set_ram(machine, i, 0, 4);
    }
    set_register(machine, 0x070, 0);
    set_register(machine, 0x070, 3);
    set_register(machine, 0x024, 1);
    set_register(machine, 0x020, (uint32_t)(features >> 32));
    set_register(machine, 0x024, 0);
    set_register(machine, 0x020, (uint32_t)features);
    if (choice >> OPTIONAL != 0) {
        set_up_queue(machine, size);
        set_register(machine, 0x070, 11);
    } else {
        set_register(machine, 0x070, 11);
        set_up_queue(machine, size);
    }
    if ((shape & 64) == 0) {
        set_register(machine, 0x070, 15);
    }
}

/* Moves one of the queue's areas, maybe over another. */
void driver_move_area(struct machine *machine, struct input *input)
{
    uint64_t area = next(input, 1) % 3;
    uint64_t offset = next(input, 2) % (MODEL_RAM_SIZE + 16);

    set_register(machine, 0x044, 0);
    set_register(machine, 0x080 + 0x10 * (uint32_t)area, MODEL_RAM_BASE + (uint32_t)offset);
    set_register(machine, 0x044, 1);
}

void driver_kick(struct machine *machine, struct input *input)
{
    (void)input;
    set_register(machine, 0x050, 0);
}
