# The trace of exits and device events: told on the debug port, and shown by tools/trace.
import json
import re
import subprocess

import pytest

from conftest import ROOT

HISTORY = 4096  # exits a vCPU, and device events, that the hypervisor keeps


def show(record, *options):
    return subprocess.run([ROOT / "tools/trace", *options, record], capture_output=True, text=True,
                          check=True).stdout


def dump_of(outcome, folder):
    path = folder / "dump"
    path.write_text(outcome.debug, encoding="utf-8")
    return path


@pytest.mark.scenario("trace")
def test_trace_of_a_whole_guest(outcome, tmp_path):
    outcome.must_end(0)
    dump = dump_of(outcome, tmp_path)
    events = json.loads(show(dump, "--perfetto"))["traceEvents"]
    for vcpu in (0, 1):
        exits = [event for event in events if event.get("cat") == "exit" and event["tid"] == vcpu]
        told = int(outcome.must_say(rf"vCPU {vcpu}: exits (\d+)")[1])
        assert exits[-1]["args"]["number"] == told - 1
        assert len(exits) == min(told, HISTORY - 1)
        # One after the other, each with the guest's turn before it.
        guests = [event for event in events
                  if event.get("cat") == "guest" and event["tid"] == vcpu]
        for turn, leaving, following in zip(guests, exits, guests[1:]):
            assert turn["ts"] + turn["dur"] == pytest.approx(leaving["ts"], abs=0.001)
            assert leaving["ts"] + leaving["dur"] == pytest.approx(following["ts"], abs=0.001)
    # The driver's: kicked, filled with 64 bytes and interrupted, as often as the counters say.
    kinds = [event["name"] for event in events if event.get("cat") == "device"]
    kicks, interrupts, resets = map(int, outcome.must_say(
        r"kicks (\d+), interrupts (\d+), resets (\d+)").groups())
    assert kicks > 0
    assert [kinds.count(kind) for kind in ("kick", "completion", "interrupt", "reset")] == \
        [kicks, kicks, interrupts, resets]
    text = show(dump)
    assert re.search(r"^ +[0-9.]+ linux vCPU 0 #\d+: memory write to GPA 0x[0-9a-f]+ at RIP"
                     r" 0x[0-9a-f]+; guest [0-9.]+, hypervisor [0-9.]+$", text, re.MULTILINE)
    assert re.search(r"^ +[0-9.]+ linux device #\d+: completion 64$", text, re.MULTILINE)


@pytest.mark.scenario("panic")
def test_trace_of_a_panic(outcome, tmp_path):
    text = show(dump_of(outcome, tmp_path))
    assert len(re.findall(r"^ +[0-9.]+ linux vCPU 0 #", text, re.MULTILINE)) == 2000
    assert " vCPU 0 #1999: " in text.splitlines()[-1]


@pytest.mark.scenario("check")
def test_no_trace_unless_asked_for(outcome):
    assert "seedvisor-trace" not in outcome.debug
