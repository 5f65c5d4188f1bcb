/* QEMU's firmware configuration device: its selectors are those of specs/fw_cfg. */
#include "devices/fw_cfg/fw_cfg.h"

#define SELECTOR_PORT 0
#define DATA_PORT     1

#define ITEM_SIGNATURE 0x00
#define ITEM_ID        0x01
#define ITEM_RAM_SIZE  0x03
#define ITEM_NB_CPUS   0x05
#define ITEM_MAX_CPUS  0x0f

#define SIGNATURE      0x554d4551U /* "QEMU" */
#define ID_WITHOUT_DMA 1U
#define LONGEST_ITEM   8U /* bytes: every item fits one little-endian number */
#define BITS_IN_A_BYTE 8U

void fw_cfg_init(struct fw_cfg *fw_cfg, uint64_t ram_size, uint16_t cpus)
{
    *fw_cfg = (struct fw_cfg){.ram_size = ram_size, .cpus = cpus};
}

/* The selected item, with zeroes behind it. The directory of files is a count of 0. */
static uint64_t item(const struct fw_cfg *fw_cfg)
{
    switch (fw_cfg->selector) {
    case ITEM_SIGNATURE:
        return SIGNATURE;
    case ITEM_ID:
        return ID_WITHOUT_DMA;
    case ITEM_RAM_SIZE:
        return fw_cfg->ram_size;
    case ITEM_NB_CPUS:
    case ITEM_MAX_CPUS:
        return fw_cfg->cpus;
    default:
        return 0;
    }
}

static uint64_t read(void *device, uint64_t offset, unsigned size)
{
    struct fw_cfg *fw_cfg = device;

    if (offset != DATA_PORT || size != 1 || fw_cfg->position >= LONGEST_ITEM) {
        return 0;
    }
    return item(fw_cfg) >> fw_cfg->position++ * BITS_IN_A_BYTE & 0xff;
}

static void write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct fw_cfg *fw_cfg = device;

    if (offset == SELECTOR_PORT && size == 2) {
        fw_cfg->selector = (uint16_t)value;
        fw_cfg->position = 0;
    }
}

const struct bus_operations fw_cfg_operations = {read, write};
