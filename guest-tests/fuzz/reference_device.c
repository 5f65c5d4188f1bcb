/*
 * The device under test: a small type on top of the transport and one queue, which takes any
 * buffer, fills it with a count, and may hold it back.
 */
#include "guest-tests/fuzz/reference_machine.h"

#include <stddef.h>
#include <string.h>

#include "vmm/guest_memory.h"

/* All that a device may offer but VERSION_1, for which see virtio/mmio.h. */
static const uint64_t optional[] = {
    VIRTIO_FEATURE_INDIRECT_DESC,     VIRTIO_FEATURE_EVENT_IDX,  VIRTIO_FEATURE_RING_PACKED,
    VIRTIO_FEATURE_IN_ORDER,          VIRTIO_FEATURE_RING_RESET, VIRTIO_FEATURE_SUSPEND,
    VIRTIO_FEATURE_NOTIFICATION_DATA,
};
_Static_assert(sizeof(optional) / sizeof(optional[0]) == OPTIONAL, "as its users count");

/* The optional features that are named by the bits of `choice`. */
uint64_t features_of(uint64_t choice)
{
    uint64_t features = 0;

    for (unsigned i = 0; i < OPTIONAL; i++) {
        features |= (choice >> i & 1) != 0 ? optional[i] : 0;
    }
    return features;
}

static void use(struct machine *machine, const struct virtqueue_chain *chain)
{
    uint32_t written = 0;
    uint32_t room = 0;

    while (written < machine->limit) {
        uint8_t *buffer = virtqueue_writable(chain, written, &room);

        if (buffer == NULL) {
            break;
        }
        for (uint32_t i = 0; i < room && written < machine->limit; i++, written++) {
            buffer[i] = machine->pattern++;
        }
    }
    virtqueue_complete(&machine->queue, chain, written);
}

/* In order, nothing is used before what is held. */
static void queue_notified(void *device, unsigned index)
{
    struct machine *machine = device;
    struct virtqueue_chain chain;
    bool in_order = (machine->queue.features & VIRTIO_FEATURE_IN_ORDER) != 0;

    REQUIRE(index == 0);
    for (unsigned i = 0; i < MODEL_CHAINS_PER_KICK && machine->held_count < MODEL_HELD_MAX &&
                         virtqueue_take(&machine->queue, &chain);
         i++) {
        if (machine->hold || (in_order && machine->held_count > 0)) {
            machine->held[machine->held_count++] = chain;
        } else {
            use(machine, &chain);
        }
    }
    virtio_mmio_queue_done(&machine->transport, &machine->queue);
}

static void queue_stopped(void *device, unsigned index)
{
    struct machine *machine = device;

    REQUIRE(index == 0);
    machine->held_count = 0;
}

static void device_reset(void *device)
{
    struct machine *machine = device;

    machine->held_count = 0;
}

static uint32_t config_read(void *device, uint32_t offset)
{
    const struct machine *machine = device;
    uint32_t value = 0;

    if (offset < MODEL_CONFIG_SIZE) {
        memcpy(&value, machine->config + offset, sizeof(value));
    }
    return value;
}

static void config_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct machine *machine = device;

    for (unsigned i = 0; i < size && offset + i < MODEL_CONFIG_SIZE; i++) {
        machine->config[offset + i] = (uint8_t)(value >> 8 * i);
    }
}

static void line_set(void *controller, unsigned pin, bool asserted)
{
    struct machine *machine = controller;

    (void)pin;
    if (asserted && !machine->line) {
        machine->edges++;
        /* The driver that is now interrupted reads the page, maybe on another vCPU. */
        for (uint32_t offset = 0; offset < VIRTIO_MMIO_CONFIG; offset += 4) {
            REQUIRE(machine->page[offset / 4] == virtio_mmio_register(&machine->transport, offset));
        }
    }
    machine->line = asserted;
}

void device_start(struct machine *machine, uint8_t *ram, struct model *model, uint64_t choice)
{
    static const struct virtio_device_operations type = {
        .queue_notified = queue_notified,
        .queue_stopped = queue_stopped,
        .reset = device_reset,
        .config_read = config_read,
        .config_write = config_write,
    };
    const struct virtio_mmio_setup setup = {
        .device_id = VIRTIO_DEVICE_ENTROPY,
        .features = features_of(~choice),
        .legacy = choice >> OPTIONAL != 0,
        .operations = &type,
        .device = machine,
        .queues = &machine->queue,
        .queue_count = 1,
        .irq = {.set = line_set, .controller = machine, .pin = 0},
        .page = machine->page,
    };

    memset(machine, 0, offsetof(struct machine, held));
    machine->ram = ram;
    machine->model = model;
    machine->limit = 64;
    memset(ram, 0, MODEL_RAM_SIZE);
    model_init(model, setup.legacy, setup.features);
    model->limit = 64;
    REQUIRE(guest_memory_add(&machine->memory, MODEL_RAM_BASE, MODEL_RAM_SIZE, ram));
    virtqueue_init(&machine->queue, &machine->memory, MODEL_QUEUE_MAX);
    virtio_mmio_init(&machine->transport, &setup);
    REQUIRE(bus_add(&machine->bus, REGISTERS, VIRTIO_MMIO_PAGE_SIZE, &virtio_mmio_bus_operations,
                    &machine->transport));
}

void device_set_policy(struct machine *machine, struct input *input)
{
    uint64_t choice = next(input, 1);

    machine->hold = (choice & 1) != 0;
    machine->limit = (uint32_t)(choice >> 1);
    machine->model->hold = machine->hold;
    machine->model->limit = machine->limit;
}

void device_use_held(struct machine *machine, struct input *input)
{
    uint64_t choice = next(input, 1);

    REQUIRE(machine->held_count == machine->model->held_count);
    REQUIRE(virtio_mmio_running(&machine->transport) == model_running(machine->model));
    if (machine->held_count == 0 || !model_running(machine->model)) {
        return;
    }
    bool in_order = (machine->queue.features & VIRTIO_FEATURE_IN_ORDER) != 0;
    unsigned index = in_order ? 0 : (unsigned)(choice % machine->held_count);
    struct virtqueue_chain chain = machine->held[index];

    machine->held_count--;
    memmove(&machine->held[index], &machine->held[index + 1],
            (machine->held_count - index) * sizeof(chain));
    use(machine, &chain);
    virtio_mmio_queue_done(&machine->transport, &machine->queue);
    model_use_held(machine->model, index);
}

void device_change_config(struct machine *machine, struct input *input)
{
    (void)input;
    machine->config[0]++;
    virtio_mmio_config_changed(&machine->transport);
    model_change_config(machine->model);
}

void device_fail(struct machine *machine, struct input *input)
{
    (void)input;
    virtio_mmio_needs_reset(&machine->transport);
    model_fail(machine->model);
}
