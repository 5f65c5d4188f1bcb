/* QEMU's firmware configuration device, as far as x86 test suites read it (QEMU, specs/fw_cfg). */
#ifndef DEVICES_FW_CFG_FW_CFG_H
#define DEVICES_FW_CFG_FW_CFG_H

#include <stdint.h>

#include "vmm/bus.h"

/* A selector of 2 bytes and, at the second port, its data byte by byte. */
#define FW_CFG_PORTS 2

struct fw_cfg {
    uint64_t ram_size; /* bytes */
    uint16_t cpus;
    uint16_t selector;
    uint32_t position; /* of the next byte */
};

/* A device in its power-on state. */
void fw_cfg_init(struct fw_cfg *fw_cfg, uint64_t ram_size, uint16_t cpus);

/*
 * For a bus range of FW_CFG_PORTS ports whose device is a struct fw_cfg. Known are the signature,
 * the interface's version (1: no DMA), the size of RAM, the number of CPUs and its maximum, and a
 * directory without files. All else, and what lies behind an item's end, reads as zeroes.
 */
extern const struct bus_operations fw_cfg_operations;

#endif
