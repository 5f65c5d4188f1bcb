# Guests that share CPUs, and guests that live more than once.
import re

import pytest


@pytest.mark.scenario("stress")
def test_four_vcpus_on_two_cpus_under_load(outcome):
    outcome.must_say(r'guest "linux": on CPUs 0 1 0 1$')
    outcome.must_say("^seedvisor-guest: stress: 8 of 8 workers done, [1-9]")
    # Under load neither clock may lose or win against the other.
    assert abs(int(outcome.must_say(r"clocks apart by (-?\d+) s")[1])) <= 1
    for cpu in range(4):
        assert int(outcome.must_say(rf"cpu{cpu} timer interrupts (\d+)")[1]) > 50
    outcome.must_not_say("kernel complains")
    outcome.must_say("^seedvisor-guest: stress: end$")
    outcome.must_end(0)


@pytest.mark.scenario("share")
def test_two_spinning_guests_share_a_cpu_equally(outcome):
    """Both count the rounds of a loop for the same five seconds; their registers stay theirs."""
    rounds = []
    for name in "ab":
        outcome.must_say(f'guest "{name}": on CPU 1$')
        begin, count = outcome.must_say(
            rf"^\[{name}\] .*share: from (\d+) for 5 s: rounds (\d+)").groups()
        rounds.append((begin, int(count)))
    assert rounds[0][0] == rounds[1][0], "they did not measure at the same time"
    # The emulators' own hiccups are a few slices of the 5,000.
    assert abs(rounds[0][1] - rounds[1][1]) <= 0.05 * (rounds[0][1] + rounds[1][1])
    outcome.must_not_say("did not keep its value|kernel complains")
    outcome.must_end(0)


@pytest.mark.scenario("restart")
def test_a_restarted_guest_starts_from_scratch(outcome):
    """It was reset twice and started twice; no byte of randomness is the same."""
    assert len(re.findall('guest "linux" ended: reset', outcome.console)) == 2
    outcome.must_say('guest "linux": restart 1 of at most 1')
    outcome.must_say('guest "linux": stays down after 1 restarts')
    for source, digits in (("urandom", 128), ("hwrng", 128), ("boot_id", 36)):
        lives = re.findall(f"^seedvisor-guest: {source} ([-0-9a-f]{{{digits}}})$", outcome.console,
                           re.MULTILINE)
        assert len(lives) == 2 and lives[0] != lives[1]
    outcome.must_end(0)


@pytest.mark.scenario("restart")
def test_a_start_can_be_delayed(outcome):
    frequency = 1000 * int(outcome.must_say(r"TSC: (\d+) kHz")[1])
    entering = int(outcome.must_say(r"entering the guests at tsc (\d+)")[1])
    starts = int(outcome.must_say(r'guest "linux" starts at tsc (\d+)')[1])
    assert 2 * frequency <= starts - entering + frequency // 100
    assert starts - entering < 4 * frequency
