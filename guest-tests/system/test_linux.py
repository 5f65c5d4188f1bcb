# A stock Linux guest, from UEFI to its end, and the ways it can end.
import pytest


@pytest.mark.scenario("check")
def test_guest_finds_nothing_amiss(outcome):
    outcome.must_not_say("^not ok.*")
    outcome.must_say("^seedvisor-guest: check: [1-9][0-9]* ok, 0 not ok$")


@pytest.mark.scenario("check")
def test_poweroff_ends_the_run_well(outcome):
    outcome.must_say('guest "linux" ended: powered off')
    outcome.must_end(0)


@pytest.mark.scenario("check")
def test_counters_are_told_at_the_end(outcome):
    requests, delivered = map(int, outcome.must_say(r"rng: requests (\d+), bytes (\d+)").groups())
    # The guest read 1 MiB and a little, 64 bytes a request.
    assert requests > 16384
    assert 1 << 20 < delivered <= 64 * requests
    outcome.must_say(r"exits [1-9]\d*, ticks guest [1-9]\d*, hypervisor [1-9]\d*")
    outcome.must_say(r"tries [1-9]\d*, failures \d+")


@pytest.mark.scenario("check")
def test_what_is_known_of_the_processor_is_told(outcome, accel):
    cpu = {"bochs": "Intel family 0x6 model 0x3d stepping 4, microcode 0x0",
           "tcg": "AMD family 0xf model 0x6b stepping 1, microcode 0x1000065"}.get(accel, "")
    outcome.must_say(f"entropy: RDSEED of {cpu}.*: nothing is known against it")


@pytest.mark.scenario("check", "reboot")
def test_two_boots_deliver_different_bytes(outcomes):
    for source, digits in (("urandom", 128), ("hwrng", 128), ("boot_id", 36)):
        pattern = f"^seedvisor-guest: {source} ([-0-9a-f]{{{digits}}})$"
        first, second = (outcome.must_say(pattern)[1] for outcome in outcomes)
        assert first != second


@pytest.mark.scenario("reboot")
def test_reboot_ends_the_guest_by_reset(outcome):
    outcome.must_say("seedvisor-guest: rebooting")
    outcome.must_say('guest "linux" ended: reset')
    outcome.must_end(0)


@pytest.mark.scenario("input")
def test_guest_reads_the_console(outcome):
    outcome.must_say("seedvisor-guest: got: hello guest$")
    outcome.must_end(0)


@pytest.mark.scenario("demo")
def test_demonstration(outcome):
    outcome.must_say("random: crng init done")
    outcome.must_say("rng_current: virtio_rng.0")
    successes = int(outcome.must_say(r"FIPS 140-2 successes: (\d+)")[1])
    failures = int(outcome.must_say(r"FIPS 140-2 failures: (\d+)")[1])
    # Of good blocks one in 1,250 fails: more than 3 in 100 is no bad luck.
    assert successes + failures == 100
    assert failures <= 3
    outcome.must_say("[1-9][0-9]* KiB/s")
    outcome.must_say(r"^  [1-9][0-9]* TSC ticks a request \(median of 1000\)$")
    outcome.must_end(0)


@pytest.mark.scenario("legacy")
def test_legacy_device_serves_the_stock_driver(outcome):
    outcome.must_say(r"^seedvisor-guest: check: \d+ ok, 0 not ok$")
    outcome.must_end(0)


@pytest.mark.scenario("all-features")
def test_packed_ring_and_all_features_serve_the_stock_driver(outcome):
    outcome.must_say(r"^seedvisor-guest: check: \d+ ok, 0 not ok$")
    outcome.must_end(0)


@pytest.mark.scenario("big")
def test_guest_with_memory_above_4_gib_finds_nothing_amiss(outcome):
    outcome.must_say(r"^seedvisor-guest: check: \d+ ok, 0 not ok$")
    outcome.must_end(0)


@pytest.mark.scenario("smp")
def test_guest_with_two_vcpus_finds_nothing_amiss(outcome):
    outcome.must_say(r"^seedvisor-guest: check: \d+ ok, 0 not ok$")
    outcome.must_say(r"^seedvisor: +vCPU 1: exits [1-9]\d*, ticks guest [1-9]")
    outcome.must_end(0)


@pytest.mark.scenario("two-guests")
def test_a_guest_goes_on_when_another_crashes(outcome):
    outcome.must_say(r'^seedvisor: guest "b" crashed: triple fault')
    outcome.must_say(r"^\[a\] seedvisor-guest: check: \d+ ok, 0 not ok$")
    outcome.must_say(r'^seedvisor: guest "a" ended: powered off')
    outcome.must_end(1)


@pytest.mark.scenario("triple-fault")
def test_triple_fault_fails_the_guest_only(outcome):
    outcome.must_say('guest "linux" ended: triple fault at RIP')
    outcome.must_not_say("PANIC")
    outcome.must_end(1)


@pytest.mark.scenario("unmapped")
def test_access_to_nothing_is_harmless_and_counted(outcome):
    """A bus without a device there: reads are all ones, writes go nowhere."""
    outcome.must_say("seedvisor-guest: read 0xFFFFFFFF")
    outcome.must_say("seedvisor-guest: survived")
    outcome.must_say("unknown GPA 0xe0000000: 2")
    outcome.must_end(0)


@pytest.mark.scenario("panic")
def test_panic_prints_registers_and_last_exits(outcome):
    outcome.must_say("PANIC: provoked by the configuration: debug.panic_after_exits = 2000")
    outcome.must_say("build [0-9a-f]{7}")
    outcome.must_say("RAX [0-9a-f]{16} RBX [0-9a-f]{16}")
    outcome.must_say("RIP [0-9a-f]{16} RSP [0-9a-f]{16}")
    outcome.must_say("CR0 [0-9a-f]{16}")
    outcome.must_say(r"last exits \(2000 in all\):")
    outcome.must_say(r"1999: tsc \d+ rip 0x[0-9a-f]+ [a-z]")
    outcome.must_end(2)


@pytest.mark.scenario("panic-hard")
def test_machine_check_of_all_cpus_amid_console_output_is_reported(outcome):
    """The build for tests raises it on both CPUs, one of which holds the console's locks."""
    outcome.must_say(r"^seedvisor: PANIC: exception 18, error code 0x0, .* in the hypervisor at 0x")
    outcome.must_say(r"^seedvisor: PANIC as well, on CPU [01]: exception 18, error code 0x0,")
    outcome.must_say(r"^seedvisor: MCG_STATUS 0x0, machine check banks: 10$")
    outcome.must_say(r"^seedvisor: bank 1: STATUS 0xf{16}, ADDR 0xbad000, MISC 0x0$")
    outcome.must_say(r"^seedvisor: CPU [01], APIC ID [01], RSP [0-9a-f]{16}, NMIs 0$")
    outcome.must_end(2)
