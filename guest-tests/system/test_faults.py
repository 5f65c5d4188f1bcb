# What a stock Linux guest sees of a source that fails, by the scripts of a build with FAULTS=1.
import pytest

READ = (r"^seedvisor-guest: {}: read (\d+) of (\d+) bytes, longest wait (\d+) ms, repeats (\d+), "
        r"error (\w+)$")


def must_have_read(outcome, name):
    """The longest wait, in ms, of a reader that got all its bytes, each word once."""
    read, wanted, longest, repeats, error = outcome.must_say(READ.format(name)).groups()
    assert (read, repeats, error) == (wanted, "0", "none")
    return int(longest)


@pytest.mark.scenario("fault-recover")
def test_reader_comes_through_every_passing_fault(outcome):
    """Dry for 3 s in mid-read, stuck, repeating, zeros, all ones, one try in ten failing."""
    longest = must_have_read(outcome, "recover")
    assert 2000 < longest < 20000
    parked = int(outcome.must_say(r"short fills \d+, parked (\d+)$")[1])
    assert parked >= 1
    failures, run, hits = map(int, outcome.must_say(
        r"failures (\d+), longest failure run (\d+), health test hits (\d+)").groups())
    # 40 zeros and 40 all-ones, a tenth of 20,000, and what the dry seconds came to.
    assert failures - run >= 2000
    assert hits >= 2
    outcome.must_end(0)


@pytest.mark.scenario("fault-boot")
def test_dry_source_at_boot_delays_the_guest_only(outcome):
    outcome.must_say("entropy: RDSEED FAILED: 65536 tries in a row without a word")
    outcome.must_say("entropy: RDSEED passed the test of 1024 words")
    must_have_read(outcome, "rebound")
    outcome.must_end(0)


@pytest.mark.scenario("fault-permanent")
def test_permanent_fault_is_told_and_readers_come_back(outcome):
    status = int(outcome.must_say(
        r"^seedvisor-guest: the device needs a reset, status (0x[0-9a-f]+)$")[1], 16)
    assert status & 0x47 == 0x47  # with ACKNOWLEDGE, DRIVER and DRIVER_OK
    outcome.must_say("^seedvisor-guest: the reader waits$")
    # Without a reset, as the stock driver knows of no such wish ...
    assert must_have_read(outcome, "first") > 5000
    status = int(outcome.must_say(r"^seedvisor-guest: rebound, status (0x[0-9a-f]+)$")[1], 16)
    assert status & 0x40 == 0
    # ... and with one: the driver's removal ends the wait.
    outcome.must_say("^seedvisor-guest: the device needs a reset again$")
    assert outcome.must_say(READ.format("second"))[5] == "ENODEV"
    must_have_read(outcome, "rebound")
    outcome.must_end(0)


@pytest.mark.scenario("fault-empty")
def test_empty_completion_hangs_the_stock_driver(outcome):
    """What this device never does, and others do: the source is good, and nobody can read."""
    outcome.must_say("^seedvisor-guest: the reader waits, device status 0x0*[7f]$")
    outcome.must_say("^seedvisor-guest: another reader waits too$")
    outcome.must_say("^seedvisor-guest: so does one after the first was killed$")
    outcome.must_say(r"entropy: RDSEED tries \d+, failures 0,")
    # Only a new driver's own buffer ends it.
    must_have_read(outcome, "rebound")
    outcome.must_end(0)


@pytest.mark.scenario("fault-refused")
def test_the_product_has_no_faults_to_show(outcome):
    outcome.must_say("debug.rng_fault: this build has no faults to show")
    outcome.must_not_say("entering the guests")
    outcome.must_end(2)
