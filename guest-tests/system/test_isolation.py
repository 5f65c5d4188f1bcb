# What a guest does with all its might does not take from another one more than its share.
import re

import pytest


def statistics(outcome, name):
    """Of a guest's last life: ticks in the guest, in the hypervisor for it, idle, waiting."""
    outcome.must_say(f'guest "{name}" statistics:$')
    # A line of another guest's may come in between.
    rows = re.findall(rf'guest "{name}" statistics:\n(?:\[.*\n)*seedvisor:   vCPU 0: exits \d+,'
                      r" ticks guest (\d+), hypervisor (\d+), idle (\d+), waiting (\d+)$",
                      outcome.console, re.MULTILINE)
    return [int(ticks) for ticks in rows[-1]]


def must_have_had(outcome, least):
    """Of the time in which it wanted the CPU, the victim had at least this part."""
    guest, hypervisor, _, waiting = statistics(outcome, "victim")
    had = (guest + hypervisor) / (guest + hypervisor + waiting)
    assert had >= least, f"the victim had {had:.1%} of the CPU\n{outcome}"


def must_have_read(outcome):
    """The victim had all of its 256 requests of 64 bytes, and none of them was anything but noise."""
    read = outcome.must_say(
        r"^\[victim\] seedvisor-guest: read 16384 bytes of 16384, compressed to (\d+)$")
    assert int(read[1]) >= 16384


def must_be_well(outcome):
    """The victim found nothing wrong and ended by itself, before the hostile guest."""
    outcome.must_say('guest "victim" ended: powered off$')
    outcome.must_not_say("^.*not ok - .*|kernel complains|did not keep its value")
    outcome.must_end(0)


@pytest.mark.scenario("beside-spin")
def test_guest_that_spins_with_interrupts_off(outcome):
    must_have_had(outcome, 0.45)
    guest, hypervisor, _, waiting = statistics(outcome, "hostile")
    # It never sleeps: what it had is what the victim left it.
    assert guest + hypervisor > 0.3 * waiting
    outcome.must_say(r"^\[victim\] seedvisor-guest: share: the kernel has no complaints$")
    outcome.must_say(r"^\[victim\] seedvisor-guest: share: 1 CPUs online, hwrng 1024 bytes$")
    must_be_well(outcome)


@pytest.mark.scenario("beside-exit")
def test_guest_that_exits_with_interrupts_off(outcome):
    """Its exits change nothing, so that it is entered again at once: but not without end."""
    must_have_had(outcome, 0.45)
    text = outcome.must_say(r'guest "hostile" statistics:\n(?:.*\n)*?'
                            r"seedvisor:     memory +(\d+),(?:.*\n)*?"
                            r"seedvisor:     cpuid +(\d+),")
    assert min(int(text[1]), int(text[2])) > 10000
    outcome.must_say(r"^\[victim\] seedvisor-guest: share: 1 CPUs online, hwrng 1024 bytes$")
    must_be_well(outcome)


@pytest.mark.scenario("beside-flood")
def test_guest_that_floods_its_console(outcome):
    must_have_had(outcome, 0.45)
    assert len(re.findall(r"^\[hostile\] flood \d+$", outcome.console, re.MULTILINE)) > 1000
    outcome.must_say(r"^\[victim\] seedvisor-guest: share: 1 CPUs online, hwrng 1024 bytes$")
    must_be_well(outcome)


@pytest.mark.scenario("beside-timer")
def test_guest_whose_timers_go_off_without_end(outcome):
    """One of its CPUs is woken by each, the other by none."""
    must_have_had(outcome, 0.45)
    guest, hypervisor, _, waiting = statistics(outcome, "victim")
    # Nor is its time spent on exits for them: it was 30 % once.
    assert guest >= 0.38 * (guest + hypervisor + waiting)
    outcome.must_say(r"^\[victim\] seedvisor-guest: share: 1 CPUs online, hwrng 1024 bytes$")
    must_be_well(outcome)


@pytest.mark.scenario("beside-kick")
def test_guest_that_kicks_without_end(outcome):
    """Both draw from one source of entropy: what the victim reads comes, and does not compress."""
    must_have_had(outcome, 0.45)
    assert int(outcome.must_say(r'guest "hostile" statistics:\n(?:.*\n)*?'
                                r"seedvisor:   virtio: kicks (\d+)")[1]) > 10000
    must_have_read(outcome)
    must_be_well(outcome)


@pytest.mark.scenario("apart-kick")
def test_guest_that_kicks_without_end_on_another_cpu(outcome):
    must_have_had(outcome, 0.99)
    must_have_read(outcome)
    must_be_well(outcome)


@pytest.mark.scenario("beside-reset")
def test_guest_that_resets_without_end(outcome):
    """Its memory is wiped and loaded at once each time, and the log tells its statistics."""
    must_have_had(outcome, 0.45)
    assert outcome.console.count('guest "hostile" ended: reset') > 20
    outcome.must_say(r"^\[victim\] seedvisor-guest: share: 1 CPUs online, hwrng 1024 bytes$")
    must_be_well(outcome)


@pytest.mark.scenario("errata")
def test_errata_of_the_processor_are_mended(outcome):
    told = re.findall(r"processor: MSR 0x(\w+) bits 0x(\w+) are set: ", outcome.console)
    assert told == [("c0011029", "2"), ("c0011029", "200"), ("c001102e", "200000000"),
                    ("c00110e3", "2")]
    outcome.must_say(r"^\[g0\] bare: hello")
    outcome.must_say(r"^\[g1\] bare: hello")
    outcome.must_end(0)


@pytest.mark.scenario("eight")
def test_eight_guests_on_two_cpus(outcome):
    # A line that another guest's came in between of goes on behind the name again.
    said = {f"g{i}": "".join(re.findall(rf"^\[g{i}\] (.*)$", outcome.console, re.MULTILINE))
            for i in range(8)}
    told = [re.fullmatch(r"bare: hello((?: 0x[0-9a-f]{1,2}){64})", text) for text in said.values()]
    assert all(told), said
    assert len({match[1] for match in told}) == 8
    for i in range(8):
        outcome.must_say(f'guest "g{i}": on CPU {i % 2}$')
        outcome.must_say(f'guest "g{i}" ended: debug exit 0x0$')
    outcome.must_end(0)
