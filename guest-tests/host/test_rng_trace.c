/* Tests of what the entropy device records of its work: which events, in which order, when. */
#include "devices/rng/rng.h"
#include "guest-tests/host/scripted_host.h"
#include "guest-tests/host/scripted_source.h"
#include "guest-tests/host/virtio_driver.h"
#include "vmm/device_trace.h"

struct machine {
    struct driver driver;
    struct script script;
    struct entropy_core core;
    struct rng rng;
    struct device_trace trace;
    uint64_t checked; /* events that the test has looked at */
};

static int set_up(void **state)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    struct entropy_source source = script_source(&machine->script);

    scripted_host_reset();
    driver_init(&machine->driver);
    entropy_init(&machine->core, &source);
    const struct rng_setup setup = {.entropy = &machine->core,
                                    .memory = &machine->driver.memory,
                                    .irq = machine->driver.irq,
                                    .trace = &machine->trace};

    rng_init(&machine->rng, &setup);
    assert_true(bus_add(&machine->driver.bus, REGISTERS, VIRTIO_MMIO_PAGE_SIZE,
                        &virtio_mmio_bus_operations, &machine->rng.transport));
    entropy_refill(&machine->core, ENTROPY_STARTUP_WORDS);
    *state = machine;
    return 0;
}

static int tear_down(void **state)
{
    struct machine *machine = *state;

    driver_free(&machine->driver);
    free(machine);
    return 0;
}

/* The next event; the clock stood still while it was recorded. */
static void expect_event(struct machine *machine, enum device_event_kind kind, uint32_t value)
{
    struct device_event event;

    assert_true(machine->checked < machine->trace.count);
    assert_true(device_trace_read(&machine->trace, machine->checked++, &event));
    assert_string_equal(device_event_name((enum device_event_kind)event.kind),
                        device_event_name(kind));
    assert_int_equal(event.value, value);
    assert_int_equal(event.ticks, scripted_host.ticks);
}

static void expect_no_more(struct machine *machine)
{
    assert_int_equal(machine->checked, machine->trace.count);
}

static void test_requests(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    scripted_host.ticks = 5000;
    bring_up(driver, F_VERSION_1, 8);
    expect_event(machine, DEVICE_RESET, 0);
    expect_no_more(machine);
    scripted_host.ticks = 6000;
    add_buffer(driver, 0, BUFFER_AREA, 64);
    add_buffer(driver, 1, BUFFER_AREA + 64, 10);
    kick(driver);
    expect_event(machine, DEVICE_KICK, 0);
    expect_event(machine, DEVICE_COMPLETION, 64);
    expect_event(machine, DEVICE_COMPLETION, 10);
    expect_event(machine, DEVICE_INTERRUPT, 1);
    expect_no_more(machine);
    scripted_host.ticks = 7000;
    set_reg(driver, 0x070, 0);
    expect_event(machine, DEVICE_RESET, 15);
    expect_no_more(machine);
}

/* A buffer that waits is told once, however often it is tried, and then its completion. */
static void test_parked_buffer(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1, 8);
    expect_event(machine, DEVICE_RESET, 0);
    /* The pool is empty, and the source fails three times for each of three tries. */
    machine->script.mode = SCRIPT_DRY;
    machine->script.from = machine->script.played;
    machine->script.tries = 3ULL * ENTROPY_TRIES;
    add_buffer(driver, 0, BUFFER_AREA, 8);
    kick(driver);
    rng_poll(&machine->rng);
    rng_poll(&machine->rng);
    expect_event(machine, DEVICE_KICK, 0);
    expect_event(machine, DEVICE_PARKED, 1);
    expect_no_more(machine);
    rng_poll(&machine->rng);
    expect_event(machine, DEVICE_COMPLETION, 8);
    expect_event(machine, DEVICE_INTERRUPT, 1);
    expect_no_more(machine);
}

static void test_permanent_fault(void **state)
{
    struct machine *machine = *state;
    struct driver *driver = &machine->driver;

    bring_up(driver, F_VERSION_1, 8);
    expect_event(machine, DEVICE_RESET, 0);
    machine->script.mode = SCRIPT_STUCK;
    machine->script.from = machine->script.played;
    machine->script.tries = UINT64_MAX;
    add_buffer(driver, 0, BUFFER_AREA, 64);
    kick(driver);
    for (unsigned i = 0; i < 100; i++) {
        rng_poll(&machine->rng);
    }
    expect_event(machine, DEVICE_KICK, 0);
    expect_event(machine, DEVICE_PARKED, 1);
    expect_event(machine, DEVICE_NEEDS_RESET, 15 | 64);
    expect_event(machine, DEVICE_INTERRUPT, 2);
    expect_no_more(machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parked_buffer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_permanent_fault, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
