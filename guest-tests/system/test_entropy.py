# The entropy sources to choose from, and what the core makes of them, with a stock Linux guest.
import pathlib
import struct
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


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
    read_all(outcome, 16)
    empty, timeouts, wrong = map(int, outcome.must_say(
        r"EGD: .*, empty answers (\d+), time-outs (\d+), wrong answers (\d+)").groups())
    assert empty >= 1 and timeouts >= 2 and wrong >= 2
    outcome.must_end(0)


@pytest.mark.scenario("egd-stuck")
def test_daemon_that_repeats_itself_is_found_out(outcome):
    outcome.must_say("entropy: EGD FAILED the health test \"[a-z ]+\"")
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


@pytest.mark.scenario("firmware-rng")
def test_firmware_randomness_is_stirred_in(outcome):
    outcome.must_say("entropy: 256 bytes of the firmware's randomness stirred in, for no credit")
    read_all(outcome, 16)
    outcome.must_end(0)


@pytest.mark.scenario("sha256")
def test_conditioner_serves_the_guest(outcome):
    read_all(outcome, 256)
    words, delivered = (int(outcome.must_say(pattern)[1]) for pattern in (
        r"^seedvisor:   words (\d+),", r"entropy: bytes delivered (\d+)"))
    # Two words of the source for each that is delivered, besides those of the start-up test.
    assert delivered >= 64 * 256
    assert words - 1024 >= 2 * delivered // 8
    outcome.must_end(0)


@pytest.mark.scenario("rate")
def test_rate_limit_holds_in_the_guest(outcome):
    total, milliseconds, most = map(int, outcome.must_say(
        r"rng-limit bytes (\d+) in (\d+) ms, \d+ ticks; at most (\d+) in a second").groups())
    # Linux asks for 64 bytes ahead, and notices when it does.
    assert most <= 4096 + 128
    assert total <= 4096 * (milliseconds / 1000 + 1) + 64
    # How far it stays below is the time the emulator took for requests whose time had come.
    assert total >= 4096 * (milliseconds // 1000) / 2
    assert int(outcome.must_say(r"rng: throttled (\d+), ")[1]) > 0
    outcome.must_end(0)


@pytest.mark.scenario("tap")
def test_tap_sends_raw_words(outcome, tmp_path):
    outcome.must_say("entropy: TAP ON .*raw words of RDSEED")
    sent = int(outcome.must_say("entropy: TAP: ([0-9]+) frames of 64 raw words")[1])
    stream = outcome.record.with_suffix(".com2")
    collected = tmp_path / "words"
    assert subprocess.run([ROOT / "tools/rng-tap", stream, "-o", collected],
                          check=False).returncode == 0
    data = collected.read_bytes()
    # The last frame may be cut off where the machine was switched off.
    assert sent > 0 and len(data) // 512 in (sent - 1, sent)
    assert len(set(struct.unpack(f"<{len(data) // 8}Q", data))) == len(data) // 8
    outcome.must_end(0)
