/* The driver of the cases. */
#include "guest-tests/bare/driver.h"

#include "guest-tests/bare/machine.h"

struct descriptor descriptors[256] __attribute__((aligned(4096)));
volatile uint16_t driver_area[2048] __attribute__((aligned(4096)));
volatile uint16_t device_area[2048] __attribute__((aligned(4096)));
struct descriptor tables[256] __attribute__((aligned(4096)));
uint8_t buffers[BUFFERS][BUFFER_SIZE] __attribute__((aligned(4096)));

void *memset(void *target, int value, size_t size);

static struct {
    uint16_t size;
    uint16_t avail_idx;
    uint16_t last_used;
    uint64_t features;
} ring;

uint32_t register_read(uint32_t offset)
{
    return (uint32_t)mmio_read(VIRTIO_BASE + offset, 4);
}

void register_write(uint32_t offset, uint32_t value)
{
    mmio_write(VIRTIO_BASE + offset, 4, value);
}

uint64_t device_features(void)
{
    register_write(REG_DEVICE_FEATURES_SEL, 1);
    uint64_t high = register_read(REG_DEVICE_FEATURES);

    register_write(REG_DEVICE_FEATURES_SEL, 0);
    return high << 32 | register_read(REG_DEVICE_FEATURES);
}

bool needs_reset(void)
{
    return (register_read(REG_STATUS) & STATUS_NEEDS_RESET) != 0;
}

bool negotiate(uint64_t features)
{
    register_write(REG_STATUS, 0);
    register_write(REG_STATUS, STATUS_ACKNOWLEDGE);
    register_write(REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    for (uint32_t i = 0; i < 2; i++) {
        register_write(REG_DRIVER_FEATURES_SEL, i);
        register_write(REG_DRIVER_FEATURES, (uint32_t)(features >> 32 * i));
    }
    register_write(REG_STATUS, STATUS_NEGOTIATED);
    ring.features = features;
    return register_read(REG_STATUS) == STATUS_NEGOTIATED;
}

static void write_address(uint32_t offset, uint64_t gpa)
{
    register_write(offset, (uint32_t)gpa);
    register_write(offset + 4, (uint32_t)(gpa >> 32));
}

void configure_queue(uint32_t size, uint64_t descriptor_gpa, uint64_t driver_gpa,
                     uint64_t device_gpa)
{
    register_write(REG_QUEUE_SEL, 0);
    register_write(REG_QUEUE_SIZE, size);
    write_address(REG_QUEUE_DESC, descriptor_gpa);
    write_address(REG_QUEUE_DRIVER, driver_gpa);
    write_address(REG_QUEUE_DEVICE, device_gpa);
}

void set_up_split(uint16_t size)
{
    memset(descriptors, 0, sizeof(descriptors));
    memset((void *)driver_area, 0, sizeof(driver_area));
    memset((void *)device_area, 0, sizeof(device_area));
    ring.size = size;
    ring.avail_idx = 0;
    ring.last_used = 0;
    configure_queue(size, gpa_of(descriptors), gpa_of(driver_area), gpa_of(device_area));
    register_write(REG_QUEUE_READY, 1);
}

bool start_split(uint64_t features, uint16_t size)
{
    if (!negotiate(features | F_VERSION_1)) {
        return false;
    }
    set_up_split(size);
    register_write(REG_STATUS, STATUS_RUNNING);
    return register_read(REG_STATUS) == STATUS_RUNNING;
}

uint64_t gpa_of(const volatile void *pointer)
{
    return (uint64_t)pointer;
}

void describe(struct descriptor *descriptor, uint64_t gpa, uint32_t length, uint16_t flags,
              uint16_t next)
{
    *descriptor = (struct descriptor){gpa, length, flags, next};
}

void make_available(uint16_t head)
{
    driver_area[2 + ring.avail_idx % ring.size] = head;
    ring.avail_idx++;
    __atomic_store_n(&driver_area[1], ring.avail_idx, __ATOMIC_RELEASE);
}

void kick(void)
{
    register_write(REG_NOTIFY,
                   (ring.features & F_NOTIFICATION) != 0 ? (uint32_t)ring.avail_idx << 16 : 0);
}

uint16_t split_used_idx(void)
{
    return __atomic_load_n(&device_area[1], __ATOMIC_ACQUIRE);
}

uint16_t split_avail_idx(void)
{
    return ring.avail_idx;
}

bool await_used(uint32_t *id, uint32_t *length)
{
    uint64_t start = ticks();

    while (split_used_idx() == ring.last_used) {
        if (too_long_since(start)) {
            return false;
        }
    }
    const volatile uint16_t *element = &device_area[2 + 4 * (ring.last_used % ring.size)];

    *id = element[0] | (uint32_t)element[1] << 16;
    *length = element[2] | (uint32_t)element[3] << 16;
    ring.last_used++;
    return true;
}

void set_used_event(uint16_t event)
{
    driver_area[2 + ring.size] = event;
}

uint16_t avail_event(void)
{
    return device_area[2 + 4 * ring.size];
}

void prepare_buffer(unsigned index)
{
    memset(buffers[index], UNTOUCHED, BUFFER_SIZE);
}

/* Of good random bytes fewer than one in eight equal a given one, but for one in 2^40 of these. */
bool buffer_filled(unsigned index, uint32_t length)
{
    unsigned same = 0;

    for (uint32_t i = 0; i < BUFFER_SIZE; i++) {
        bool equal = buffers[index][i] == UNTOUCHED;

        if (i < length) {
            same += equal;
        } else if (!equal) {
            return false;
        }
    }
    return length < 64 ? length > 0 : same < length / 8;
}

bool buffer_untouched(unsigned index)
{
    for (uint32_t i = 0; i < BUFFER_SIZE; i++) {
        if (buffers[index][i] != UNTOUCHED) {
            return false;
        }
    }
    return true;
}

bool split_request(uint32_t length)
{
    uint32_t id = 1;
    uint32_t filled = 0;

    prepare_buffer(0);
    describe(&descriptors[0], gpa_of(buffers[0]), length, D_WRITE, 0);
    make_available(0);
    kick();
    return await_used(&id, &filled) && id == 0 && filled > 0 && filled <= length &&
           buffer_filled(0, filled);
}

bool device_recovers(void)
{
    register_write(REG_STATUS, 0);
    if (register_read(REG_STATUS) != 0 || register_read(REG_INTERRUPT_STATUS) != 0) {
        return false;
    }
    return start_split(0, 16) && split_request(64) && !needs_reset();
}
