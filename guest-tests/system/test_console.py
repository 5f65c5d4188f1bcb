# The machine's console: several guests on one serial port, and the monitor behind Ctrl-A.
import re

import pytest


@pytest.mark.scenario("console")
def test_keyboard_goes_to_the_guest_that_was_chosen(outcome):
    outcome.must_say(r"^\[a\] seedvisor-guest: heard: to the first$")
    outcome.must_say(r'^seedvisor: the keyboard is guest 1\'s, "b"$')
    outcome.must_say(r"^\[b\] seedvisor-guest: heard: to the second$")
    outcome.must_end(0)


@pytest.mark.scenario("console")
def test_every_key_reaches_the_guest_as_it_is(outcome):
    outcome.must_say("^seedvisor-guest: pressed: 1b 5b 41 03 01 04 1a 21$")


@pytest.mark.scenario("console")
def test_output_out_of_view_is_shown_later(outcome):
    """What a guest wrote while lines were mixed is the context when it comes into view."""
    outcome.must_say(r'^seedvisor: console of guest 0, "a"\n(?:.*\n)*'
                     "seedvisor-guest: heard: to the first$")


@pytest.mark.scenario("console")
def test_guests_are_listed(outcome):
    outcome.must_say(r"^seedvisor:   0 a +running +vCPUs 1, memory 256 MiB, up \d+ s, exits \d+")
    outcome.must_say(r"^seedvisor: \* 1 b +running +vCPUs 1, memory 256 MiB, up \d+ s, exits \d+")


@pytest.mark.scenario("console")
def test_statistics_and_last_exits_are_told_while_the_guest_runs(outcome):
    told = outcome.must_say(
        r'^seedvisor: guest "b" statistics:\n(seedvisor: .*\n)+seedvisor:   virtio: kicks \d+')[0]
    assert re.search(r"vCPU 0: exits [1-9]\d*, ticks guest [1-9]", told)
    outcome.must_say(r'^seedvisor: guest "b", vCPU 0:\nseedvisor: last exits \(\d+ in all\):\n'
                     r"(seedvisor:   \d+: tsc \d+ rip 0x[0-9a-f]+ [a-z].*\n){16}")


@pytest.mark.scenario("console")
def test_health_of_the_entropy_source_is_told(outcome):
    outcome.must_say(r"^seedvisor: entropy: RDSEED ready, health test done, \d+ bytes in the pool$")


@pytest.mark.scenario("lives")
def test_paused_guest_hears_what_was_typed_when_it_goes_on(outcome):
    outcome.must_say(r"^seedvisor: \* 1 b +paused(?:.*\n)*"
                     r"\[a\] seedvisor-guest: heard: as ever\n(?:.*\n)*"
                     r'seedvisor: Ctrl-A c, guest "b": let it go on\n(?:.*\n)*'
                     r"\[b\] seedvisor-guest: heard: while paused$")


@pytest.mark.scenario("lives")
def test_guest_is_restarted_stopped_and_started(outcome):
    talk = r"(?:.*\n)*\[b\] seedvisor-guest: talk to me\n(?:.*\n)*"
    outcome.must_say(r'^seedvisor: guest "b" ended: restarted by request$' + talk +
                     r'seedvisor: guest "b" ended: stopped by request\n' + talk +
                     "seedvisor: end all guests and switch the machine off")
    outcome.must_say(r"^\[b\] seedvisor-guest: heard: again$")
    assert outcome.console.count("[a] seedvisor-guest: talk to me") == 1
    outcome.must_end(0)


@pytest.mark.scenario("switched")
def test_one_guest_is_in_view_at_a_time(outcome):
    """The second one's first words are kept, and shown once it is in view."""
    outcome.must_say(r'^seedvisor-guest: talk to me\n(?:.*\n)*'
                     r'seedvisor: console of guest 1, "b"\n(?:.*\n)*'
                     r"seedvisor-guest: pid1 tsc \d+\nseedvisor-guest: talk to me\n"
                     r"to the second\nseedvisor-guest: heard: to the second$")
    outcome.must_not_say(r"^\[[ab]\] ")


@pytest.mark.scenario("switched")
def test_power_off_ends_all_guests(outcome):
    outcome.must_say("^seedvisor: end all guests and switch the machine off")
    for name in ("a", "b"):
        outcome.must_say(f'^seedvisor: guest "{name}" ended: switched off with the machine$')
    outcome.must_end(0)


@pytest.mark.scenario("flood")
def test_flood_of_one_console_slows_nobody(outcome, accel):
    """The other guest's reads take as long as while this one was as busy, but wrote nothing; in TCG
    give or take what else the build machine does."""
    def seconds(when):
        begin, end = outcome.must_say(
            rf"^\[a\] seedvisor-guest: pace {when}: ([0-9.]+) to ([0-9.]+)$").groups()
        return float(end) - float(begin)

    assert outcome.console.count("[b] flood ") > 100
    assert seconds("flooded") < seconds("quiet") * {"bochs": 1.3}.get(accel, 2)
    outcome.must_end(0)
