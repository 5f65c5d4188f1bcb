# The entropy sources to choose from, and what the core makes of them, with a stock Linux guest.
import pytest


def read_all(outcome, count):
    """The guest read so many times 64 bytes, and they do not compress."""
    size, packed = map(int, outcome.must_say(
        rf"^seedvisor-guest: read (\d+) bytes of {64 * count}, compressed to (\d+)$").groups())
    assert size == 64 * count
    assert packed > size


def counters_of(outcome, source):
    """Tries and failures of a source, from what is told at the end."""
    return map(int, outcome.must_say(
        rf"^seedvisor: entropy: {source} tries (\d+), failures (\d+)").groups())


@pytest.mark.scenario("rdrand")
def test_rdrand_serves_the_guest(outcome):
    read_all(outcome, 64)
    outcome.must_say("entropy: RDRAND passed the test of 1024 words")
    tries, failures = counters_of(outcome, "RDRAND")
    assert tries - failures >= 1024 + 64 * 8
    outcome.must_end(0)


@pytest.mark.scenario("mix")
def test_mix_serves_the_guest(outcome):
    read_all(outcome, 64)
    tries, failures = counters_of(outcome, "mix")
    assert tries - failures >= 1024 + 64 * 8
    outcome.must_end(0)


@pytest.mark.scenario("egd")
def test_daemon_at_the_second_serial_port_serves_the_guest(outcome):
    read_all(outcome, 16)
    outcome.must_say("entropy: EGD passed the test of 1024 words")
    requests, received = map(int, outcome.must_say(
        r"EGD: requests (\d+), bytes (\d+), empty answers 0").groups())
    assert 8192 + 1024 <= received <= 15 * requests
    outcome.must_end(0)


@pytest.mark.scenario("egd-faulty")
def test_daemon_that_misbehaves_costs_time_only(outcome):
    read_all(outcome, 128)
    empty, timeouts, wrong = map(int, outcome.must_say(
        r"EGD: .*, empty answers (\d+), time-outs (\d+), wrong answers (\d+)").groups())
    assert empty >= 1 and timeouts >= 2 and wrong >= 2
    outcome.must_end(0)


@pytest.mark.scenario("egd-stuck")
def test_daemon_that_repeats_itself_is_found_out(outcome):
    outcome.must_say("entropy: EGD FAILED the health test \"repetition count on words\"")
    outcome.must_say("entropy: EGD .*it is given up until a start-up test passes")
    outcome.must_end(0)


@pytest.mark.scenario("egd-mixed")
def test_mix_waits_for_its_slow_member(outcome):
    read_all(outcome, 16)
    outcome.must_say(r"EGD: requests \d+, bytes [1-9]\d*, empty answers 0, time-outs [1-9]")
    outcome.must_end(0)


@pytest.mark.scenario("no-second-port")
def test_no_second_serial_port_is_named(outcome):
    outcome.must_say(r"missing: a second serial port \(0x2f8\), for egd")
    outcome.must_end(2)
