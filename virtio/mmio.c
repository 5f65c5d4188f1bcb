/* The virtio-mmio transport: registers, negotiation, notifications (virtio 1.3 and 1.4, 4.2). */
#include "virtio/mmio.h"

#include <stddef.h>

#include "virtio/packed.h"
#include "virtio/split.h"
#include "virtio/virtio.h"

/* virtio 1.3, 4.2.2: the registers, and those of the legacy interface only (4.2.4). */
enum {
    MAGIC_VALUE = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    VENDOR_ID = 0x00c,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_SEL = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_SEL = 0x024,
    GUEST_PAGE_SIZE = 0x028, /* legacy */
    QUEUE_SEL = 0x030,
    QUEUE_SIZE_MAX = 0x034,
    QUEUE_SIZE = 0x038,
    QUEUE_ALIGN = 0x03c, /* legacy */
    QUEUE_PFN = 0x040,   /* legacy */
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_DESC_LOW = 0x080,
    QUEUE_DESC_HIGH = 0x084,
    QUEUE_DRIVER_LOW = 0x090,
    QUEUE_DRIVER_HIGH = 0x094,
    QUEUE_DEVICE_LOW = 0x0a0,
    QUEUE_DEVICE_HIGH = 0x0a4,
    SHM_LEN_LOW = 0x0b0,
    SHM_LEN_HIGH = 0x0b4,
    SHM_BASE_LOW = 0x0b8,
    SHM_BASE_HIGH = 0x0bc,
    QUEUE_RESET = 0x0c0,
    CONFIG_GENERATION = 0x0fc,
};

#define MAGIC         0x74726976U /* "virt" */
#define LAYOUT_LEGACY 1U
#define LAYOUT        2U
#define VENDOR        0x64656553U /* "Seed" */
#define NO_SHM_REGION 0xffffffffU

#define INTERRUPT_USED_BUFFER   1U
#define INTERRUPT_CONFIG_CHANGE 2U

/* Of the reserved features those that a legacy interface knows; below them are the device type's.
 */
#define LEGACY_FEATURES                                                                            \
    (VIRTIO_FEATURE_INDIRECT_DESC | VIRTIO_FEATURE_EVENT_IDX | ((UINT64_C(1) << 24) - 1))

/* DEVICE_NEEDS_RESET is the device's to set, SUSPEND is apart; the rest is not defined. */
#define DRIVER_STATUS                                                                              \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK |                  \
     VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_FAILED)

static struct virtqueue *selected(const struct virtio_mmio *mmio)
{
    return mmio->queue_sel < mmio->queue_count ? &mmio->queues[mmio->queue_sel] : NULL;
}

static uint64_t negotiated(const struct virtio_mmio *mmio)
{
    return mmio->driver_features & mmio->offered;
}

static uint32_t half(uint64_t value, uint32_t sel)
{
    return sel < 2 ? (uint32_t)(value >> (32 * sel)) : 0;
}

static void set_half(uint64_t *target, uint32_t sel, uint32_t value)
{
    unsigned shift = 32 * sel;

    *target = (*target & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
}

/* The registers that only one of the two layouts has. */
static uint32_t layout_register(const struct virtio_mmio *mmio, const struct virtqueue *queue,
                                uint32_t offset)
{
    if (mmio->legacy) {
        return offset == QUEUE_PFN && queue != NULL ? queue->legacy_page : 0;
    }
    switch (offset) {
    case QUEUE_READY:
        return queue != NULL && queue->ready ? 1 : 0;
    case SHM_LEN_LOW:
    case SHM_LEN_HIGH:
    case SHM_BASE_LOW:
    case SHM_BASE_HIGH:
        return NO_SHM_REGION;
    case CONFIG_GENERATION:
        return mmio->config_generation;
    default:
        /* Write-only and reserved ones, and QueueReset: a reset is over when its write is. */
        return 0;
    }
}

uint32_t virtio_mmio_register(const struct virtio_mmio *mmio, uint32_t offset)
{
    const struct virtqueue *queue = selected(mmio);

    switch (offset) {
    case MAGIC_VALUE:
        return MAGIC;
    case VERSION:
        return mmio->legacy ? LAYOUT_LEGACY : LAYOUT;
    case DEVICE_ID:
        return mmio->device_id;
    case VENDOR_ID:
        return VENDOR;
    case DEVICE_FEATURES:
        return half(mmio->offered, mmio->device_features_sel);
    case QUEUE_SIZE_MAX:
        return queue != NULL ? queue->size_max : 0;
    case INTERRUPT_STATUS:
        return mmio->interrupt_status;
    case STATUS:
        return mmio->status;
    default:
        return layout_register(mmio, queue, offset);
    }
}

/* The range as the words it is made of: what either way of reading it shows. */
static uint32_t word_at(const struct virtio_mmio *mmio, uint32_t offset)
{
    if (offset < VIRTIO_MMIO_CONFIG) {
        return virtio_mmio_register(mmio, offset);
    }
    if (offset < VIRTIO_MMIO_SIZE && mmio->operations->config_read != NULL) {
        return mmio->operations->config_read(mmio->device, offset - VIRTIO_MMIO_CONFIG);
    }
    return 0;
}

/*
 * Brings the register page up to date with [first, end). Another vCPU may be reading: each word is
 * one store, and the release makes all of them visible before what follows, such as an interrupt.
 */
static void publish(const struct virtio_mmio *mmio, uint32_t first, uint32_t end)
{
    if (mmio->page == NULL) {
        return;
    }
    for (uint32_t offset = first; offset < end; offset += 4) {
        mmio->page[offset / 4] = word_at(mmio, offset);
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* The same for the registers that change while a device lives. */
static void publish_registers(const struct virtio_mmio *mmio)
{
    static const uint8_t changing[] = {DEVICE_FEATURES,  QUEUE_SIZE_MAX, QUEUE_PFN,
                                       QUEUE_READY,      STATUS,         INTERRUPT_STATUS,
                                       CONFIG_GENERATION};

    for (unsigned i = 0; i < sizeof(changing); i++) {
        publish(mmio, changing[i], changing[i] + 4U);
    }
}

/* The two that a device in operation changes: once per request, so not with all the others. */
static void publish_events(const struct virtio_mmio *mmio)
{
    if (mmio->page != NULL) {
        mmio->page[INTERRUPT_STATUS / 4] = mmio->interrupt_status;
        mmio->page[STATUS / 4] = mmio->status;
        __atomic_thread_fence(__ATOMIC_RELEASE);
    }
}

/*
 * 4.2.2.1: InterruptStatus shows the event before the driver can be told, and the line is up while
 * any bit is. An event that comes while it is up drops it for a moment: an edge-triggered input
 * would not see it otherwise, and the driver may have read InterruptStatus already.
 */
static void signal_event(struct virtio_mmio *mmio, uint32_t event)
{
    bool up = mmio->interrupt_status != 0;

    mmio->interrupt_status |= event;
    publish_events(mmio);
    if (up) {
        irq_line_set(&mmio->irq, false);
    }
    irq_line_set(&mmio->irq, true);
    mmio->counters.interrupts++;
    device_trace_record(mmio->trace, DEVICE_INTERRUPT, mmio->interrupt_status);
}

static void clear_events(struct virtio_mmio *mmio, uint32_t events)
{
    uint32_t before = mmio->interrupt_status;

    mmio->interrupt_status &= ~events;
    if (before != 0 && mmio->interrupt_status == 0) {
        irq_line_set(&mmio->irq, false);
    }
}

/* A legacy driver may use its queues before DRIVER_OK (virtio 1.3, 3.1.2). */
bool virtio_mmio_running(const struct virtio_mmio *mmio)
{
    uint32_t wanted = mmio->legacy ? 0 : VIRTIO_STATUS_DRIVER_OK;

    return (mmio->status & (wanted | VIRTIO_STATUS_FAILED)) == wanted;
}

/* Before DRIVER_OK and while suspended the news must wait (virtio 1.4, 2.1 and 3.4). */
static void announce_config_change(struct virtio_mmio *mmio)
{
    mmio->config_changed = true;
    publish_registers(mmio);
    if ((mmio->status & VIRTIO_STATUS_DRIVER_OK) != 0) {
        mmio->config_changed = false;
        signal_event(mmio, INTERRUPT_CONFIG_CHANGE);
    }
}

void virtio_mmio_config_changed(struct virtio_mmio *mmio)
{
    mmio->config_generation++;
    publish(mmio, CONFIG_GENERATION, VIRTIO_MMIO_SIZE);
    announce_config_change(mmio);
}

void virtio_mmio_needs_reset(struct virtio_mmio *mmio)
{
    if ((mmio->status & VIRTIO_STATUS_NEEDS_RESET) == 0) {
        mmio->status |= VIRTIO_STATUS_NEEDS_RESET;
        device_trace_record(mmio->trace, DEVICE_NEEDS_RESET, mmio->status);
        announce_config_change(mmio);
    }
}

/*
 * virtio 1.4, 3.4: nothing more is taken since the driver asked for it, and the device shows itself
 * suspended when the buffers it had taken are used and the driver has been told.
 */
static void finish_suspend(struct virtio_mmio *mmio)
{
    if (!mmio->suspending) {
        return;
    }
    for (unsigned i = 0; i < mmio->queue_count; i++) {
        if (virtqueue_in_flight(&mmio->queues[i])) {
            return;
        }
    }
    mmio->suspending = false;
    mmio->status = (mmio->status & ~VIRTIO_STATUS_DRIVER_OK) | VIRTIO_STATUS_SUSPEND;
    publish_registers(mmio);
}

static void pause_queues(struct virtio_mmio *mmio, bool paused)
{
    for (unsigned i = 0; i < mmio->queue_count; i++) {
        mmio->queues[i].paused = paused;
    }
}

void virtio_mmio_queue_done(struct virtio_mmio *mmio, struct virtqueue *queue)
{
    if (virtqueue_must_notify(queue)) {
        signal_event(mmio, INTERRUPT_USED_BUFFER);
    }
    if (queue->breach != NULL && (mmio->status & VIRTIO_STATUS_NEEDS_RESET) == 0) {
        mmio->breach = queue->breach;
        mmio->counters.breaches++;
        virtio_mmio_needs_reset(mmio);
    }
    finish_suspend(mmio);
}

/* The ring format follows from the features, so a queue that was made ready early starts anew. */
static void start_queue(struct virtio_mmio *mmio, struct virtqueue *queue)
{
    bool packed = (negotiated(mmio) & VIRTIO_FEATURE_RING_PACKED) != 0;

    virtqueue_start(queue, packed ? &virtqueue_packed : &virtqueue_split, negotiated(mmio));
    virtio_mmio_queue_done(mmio, queue);
}

static void stop_queue(struct virtio_mmio *mmio, uint32_t index)
{
    if (mmio->queues[index].ready) {
        mmio->queues[index].ready = false;
        mmio->operations->queue_stopped(mmio->device, index);
    }
}

static void reset(struct virtio_mmio *mmio)
{
    for (unsigned i = 0; i < mmio->queue_count; i++) {
        virtqueue_reset(&mmio->queues[i]);
    }
    clear_events(mmio, UINT32_MAX);
    mmio->status = 0;
    mmio->device_features_sel = 0;
    mmio->driver_features_sel = 0;
    mmio->queue_sel = 0;
    mmio->driver_features = 0;
    mmio->features_beyond = false;
    mmio->config_changed = false;
    mmio->suspending = false;
    mmio->operations->reset(mmio->device);
    publish(mmio, 0, VIRTIO_MMIO_SIZE);
}

void virtio_mmio_init(struct virtio_mmio *mmio, const struct virtio_mmio_setup *setup)
{
    *mmio = (struct virtio_mmio){
        .device_id = setup->device_id,
        .legacy = setup->legacy,
        .offered = setup->legacy ? (setup->features & LEGACY_FEATURES) | VIRTIO_FEATURE_ANY_LAYOUT
                                 : setup->features | VIRTIO_FEATURE_VERSION_1,
        .operations = setup->operations,
        .device = setup->device,
        .queues = setup->queues,
        .queue_count = setup->queue_count,
        .irq = setup->irq,
        .page = setup->page,
        .trace = setup->trace,
    };
    publish(mmio, 0, VIRTIO_MMIO_PAGE_SIZE);
}

/* 2.2.2: any subset of what is offered, and not without VERSION_1 (6.1). */
static bool accept_features(struct virtio_mmio *mmio)
{
    if ((mmio->driver_features & ~mmio->offered) != 0 || mmio->features_beyond ||
        (mmio->driver_features & VIRTIO_FEATURE_VERSION_1) == 0) {
        return false;
    }
    for (unsigned i = 0; i < mmio->queue_count; i++) {
        if (mmio->queues[i].ready) {
            start_queue(mmio, &mmio->queues[i]);
        }
    }
    return true;
}

static void notify_queue(struct virtio_mmio *mmio, uint32_t index)
{
    if (virtio_mmio_running(mmio) && index < mmio->queue_count && mmio->queues[index].ready &&
        mmio->queues[index].breach == NULL) {
        mmio->operations->queue_notified(mmio->device, index);
    }
}

/*
 * 2.9: with NOTIFICATION_DATA the queue's index is the lower half. The rest says how far the driver
 * has come, which the ring itself says better.
 */
static void write_notify(struct virtio_mmio *mmio, uint32_t value)
{
    mmio->counters.notifies++;
    device_trace_record(mmio->trace, DEVICE_KICK, value);
    if ((negotiated(mmio) & VIRTIO_FEATURE_NOTIFICATION_DATA) != 0) {
        value &= 0xffff;
    }
    notify_queue(mmio, value);
}

/* A kick before DRIVER_OK is ignored (2.1.2); what it announced is looked for now instead. */
static void enter_operation(struct virtio_mmio *mmio)
{
    if (mmio->config_changed) {
        announce_config_change(mmio);
    }
    for (uint32_t i = 0; i < mmio->queue_count; i++) {
        notify_queue(mmio, i);
    }
}

/*
 * virtio 1.4, 3.4: a device that does not work, or not yet, cannot be suspended. Every write of a
 * register ends with a look at whether there is nothing in flight any more.
 */
static void suspend(struct virtio_mmio *mmio)
{
    if ((negotiated(mmio) & VIRTIO_FEATURE_SUSPEND) != 0 && virtio_mmio_running(mmio) &&
        (mmio->status & VIRTIO_STATUS_NEEDS_RESET) == 0) {
        mmio->suspending = true;
        pause_queues(mmio, true);
    }
}

/* Which of the bits that the driver adds may be set now. A legacy driver knows no FEATURES_OK. */
static uint32_t accept_status(struct virtio_mmio *mmio, uint32_t added)
{
    if (mmio->legacy) {
        return added & ~VIRTIO_STATUS_FEATURES_OK;
    }
    if ((added & VIRTIO_STATUS_FEATURES_OK) != 0 && !accept_features(mmio)) {
        added &= ~VIRTIO_STATUS_FEATURES_OK;
    }
    if (((mmio->status | added) & VIRTIO_STATUS_FEATURES_OK) == 0) {
        added &= ~VIRTIO_STATUS_DRIVER_OK;
    }
    return added;
}

/* 2.1.1: the driver only ever adds bits, or resets; a bit it leaves out therefore stays. */
static void write_status(struct virtio_mmio *mmio, uint32_t value)
{
    if (value == 0) {
        mmio->counters.resets++;
        device_trace_record(mmio->trace, DEVICE_RESET, mmio->status);
        reset(mmio);
        return;
    }
    uint32_t added = accept_status(mmio, value & DRIVER_STATUS & ~mmio->status);

    mmio->status |= added;
    if ((added & VIRTIO_STATUS_DRIVER_OK) != 0) {
        /* The first time, or again after a suspension. */
        mmio->status &= ~VIRTIO_STATUS_SUSPEND;
        pause_queues(mmio, false);
        enter_operation(mmio);
    } else if ((value & VIRTIO_STATUS_SUSPEND) != 0) {
        suspend(mmio);
    }
}

static void write_driver_features(struct virtio_mmio *mmio, uint32_t value)
{
    if ((mmio->status & VIRTIO_STATUS_FEATURES_OK) != 0) {
        return;
    }
    if (mmio->driver_features_sel < 2) {
        set_half(&mmio->driver_features, mmio->driver_features_sel, value);
    } else {
        mmio->features_beyond |= value != 0;
    }
}

/* The driver's request to forget a queue (2.6.1), or its QueuePFN of 0. */
static void reset_queue(struct virtio_mmio *mmio, struct virtqueue *queue)
{
    bool paused = queue->paused;

    stop_queue(mmio, mmio->queue_sel);
    virtqueue_reset(queue);
    queue->paused = paused;
}

/* 4.2.2.2: the driver configures a queue only while QueueReady is 0. */
static void configure_queue(struct virtqueue *queue, uint32_t offset, uint32_t value)
{
    uint32_t sel = offset >> 2 & 1;

    if (queue->ready) {
        return;
    }
    switch (offset) {
    case QUEUE_SIZE:
        queue->size = value;
        break;
    case QUEUE_DESC_LOW:
    case QUEUE_DESC_HIGH:
        set_half(&queue->descriptor_area, sel, value);
        break;
    case QUEUE_DRIVER_LOW:
    case QUEUE_DRIVER_HIGH:
        set_half(&queue->driver_area, sel, value);
        break;
    case QUEUE_DEVICE_LOW:
    case QUEUE_DEVICE_HIGH:
        set_half(&queue->device_area, sel, value);
        break;
    default:
        break;
    }
}

static void write_queue(struct virtio_mmio *mmio, struct virtqueue *queue, uint32_t offset,
                        uint32_t value)
{
    if (offset == QUEUE_READY && value == 0) {
        stop_queue(mmio, mmio->queue_sel);
    } else if (offset == QUEUE_READY && value == 1 && !queue->ready) {
        start_queue(mmio, queue);
    } else if (offset == QUEUE_RESET && value == 1 &&
               (negotiated(mmio) & VIRTIO_FEATURE_RING_RESET) != 0) {
        reset_queue(mmio, queue);
    } else {
        configure_queue(queue, offset, value);
    }
}

static bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* 2.7.2: the descriptors, the available ring and, from a multiple of QueueAlign on, the used one.
 */
static void start_legacy_queue(struct virtio_mmio *mmio, struct virtqueue *queue, uint32_t page)
{
    uint64_t alignment = queue->legacy_alignment;

    queue->legacy_page = page;
    if (!is_power_of_two(alignment) || !is_power_of_two(mmio->guest_page_size)) {
        virtqueue_break(queue, "queue alignment or page size no power of two");
        virtio_mmio_queue_done(mmio, queue);
        return;
    }
    queue->descriptor_area = (uint64_t)page * mmio->guest_page_size;
    queue->driver_area = queue->descriptor_area + 16ULL * queue->size;
    queue->device_area =
        (queue->driver_area + 6 + 2ULL * queue->size + alignment - 1) & ~(alignment - 1);
    start_queue(mmio, queue);
}

static void write_legacy_queue(struct virtio_mmio *mmio, struct virtqueue *queue, uint32_t offset,
                               uint32_t value)
{
    if (offset == QUEUE_PFN && value == 0) {
        reset_queue(mmio, queue);
    } else if (queue->ready) {
        return;
    } else if (offset == QUEUE_PFN) {
        start_legacy_queue(mmio, queue, value);
    } else if (offset == QUEUE_SIZE) {
        queue->size = value;
    } else if (offset == QUEUE_ALIGN) {
        queue->legacy_alignment = value;
    }
}

/* The registers of the selected queue; nothing happens to a queue while the device is suspended. */
static void write_queue_register(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
    struct virtqueue *queue = selected(mmio);

    if (queue == NULL || (mmio->status & VIRTIO_STATUS_SUSPEND) != 0) {
        return;
    }
    if (mmio->legacy) {
        write_legacy_queue(mmio, queue, offset, value);
    } else {
        write_queue(mmio, queue, offset, value);
    }
}

static void write_register(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case DEVICE_FEATURES_SEL:
        mmio->device_features_sel = value;
        break;
    case DRIVER_FEATURES_SEL:
        mmio->driver_features_sel = value;
        break;
    case DRIVER_FEATURES:
        write_driver_features(mmio, value);
        break;
    case QUEUE_SEL:
        mmio->queue_sel = value;
        break;
    case STATUS:
        write_status(mmio, value);
        break;
    case GUEST_PAGE_SIZE:
        mmio->guest_page_size = value;
        break;
    default:
        write_queue_register(mmio, offset, value);
        break;
    }
}

/* A read of any width at any place yields the bytes there, as the register page does. */
static uint64_t mmio_read(void *device, uint64_t offset, unsigned size)
{
    const struct virtio_mmio *mmio = device;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        uint32_t place = (uint32_t)offset + i;
        uint64_t byte = word_at(mmio, place & ~3U) >> 8 * (place & 3) & 0xff;

        value |= byte << 8 * i;
    }
    return value;
}

/* Apart from the next, for a driver does this but when it starts and ends. */
__attribute__((noinline)) static void write_seldom(struct virtio_mmio *mmio, uint64_t offset,
                                                   unsigned size, uint64_t value)
{
    if (offset < VIRTIO_MMIO_CONFIG) {
        if (size == 4 && offset % 4 == 0) {
            write_register(mmio, (uint32_t)offset, (uint32_t)value);
            finish_suspend(mmio);
            publish_registers(mmio);
        }
    } else if (offset + size <= VIRTIO_MMIO_SIZE && mmio->operations->config_write != NULL &&
               (mmio->status & VIRTIO_STATUS_SUSPEND) == 0) {
        mmio->operations->config_write(mmio->device, offset - VIRTIO_MMIO_CONFIG, size, value);
        publish(mmio, VIRTIO_MMIO_CONFIG, VIRTIO_MMIO_SIZE);
    }
}

/* 4.2.2.2: registers are written by aligned 32-bit accesses only; others change nothing. */
static void mmio_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_mmio *mmio = device;

    if (size == 4 && offset == QUEUE_NOTIFY) {
        write_notify(mmio, (uint32_t)value);
    } else if (size == 4 && offset == INTERRUPT_ACK) {
        clear_events(mmio, (uint32_t)value);
    } else {
        write_seldom(mmio, offset, size, value);
        return;
    }
    publish_events(mmio);
}

const struct bus_operations virtio_mmio_bus_operations = {
    .read = mmio_read,
    .write = mmio_write,
};
