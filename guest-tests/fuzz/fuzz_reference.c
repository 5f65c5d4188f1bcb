/*
 * A libFuzzer target: an arbitrary driver, and the transport and rings of virtio/ held against the
 * reference model after every step: each register, all of guest memory, the interrupts.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-tests/fuzz/input.h"
#include "guest-tests/fuzz/model.h"
#include "guest-tests/fuzz/reference_machine.h"
#include "virtio/mmio.h"

/* The corpora count on the order. */
static step *const steps[] = {
    driver_write_register, driver_write_small,     driver_access_odd,     driver_poke,
    driver_describe,       driver_describe_packed, driver_describe_table, driver_make_available,
    driver_set_event,      driver_bring_up,        driver_kick,           device_set_policy,
    device_use_held,       device_change_config,   device_fail,           driver_post,
    driver_move_area,
};

static void compare(const struct machine *machine)
{
    for (uint32_t offset = 0; offset < 0x110; offset += 4) {
        uint32_t word = model_read(machine->model, offset);

        if (machine->page[offset / 4] != word) {
            fprintf(stderr, "register %#x: page %#x, model %#x\n", offset,
                    machine->page[offset / 4], word);
            abort();
        }
        REQUIRE(offset >= 0x100 || virtio_mmio_register(&machine->transport, offset) == word);
    }
    if (memcmp(machine->ram, machine->model->ram, MODEL_RAM_SIZE) != 0) {
        for (unsigned i = 0; i < MODEL_RAM_SIZE; i++) {
            if (machine->ram[i] != machine->model->ram[i]) {
                fprintf(stderr, "RAM at %#x: %#x, model %#x\n", i, machine->ram[i],
                        machine->model->ram[i]);
                break;
            }
        }
        abort();
    }
    REQUIRE(machine->line == (machine->model->interrupt_status != 0));
    REQUIRE(machine->edges == machine->model->edges);
    REQUIRE(machine->held_count == machine->model->held_count);
    REQUIRE(machine->pattern == machine->model->pattern);
}

/* What lies behind the registers and the configuration space stays 0. */
static void compare_rest(const struct machine *machine)
{
    for (uint32_t offset = 0x110; offset < VIRTIO_MMIO_PAGE_SIZE; offset += 4) {
        REQUIRE(machine->page[offset / 4] == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine machine;
    static struct model model;
    static uint8_t *ram;
    struct input input = {.data = data, .left = size};

    if (ram == NULL) {
        ram = malloc(MODEL_RAM_SIZE);
        REQUIRE(ram != NULL);
    }
    device_start(&machine, ram, &model, next(&input, 1));
    compare(&machine);
    while (input.left > 0) {
        steps[next(&input, 1) % (sizeof(steps) / sizeof(steps[0]))](&machine, &input);
        compare(&machine);
    }
    compare_rest(&machine);
    model_free(&model);
    return 0;
}
