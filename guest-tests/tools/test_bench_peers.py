# The peers' console, recorded on a KVM host that did 100 reads and then one, as figures.
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "guest-tests"))

from bench import console, names, peers  # noqa: E402  pylint: disable=wrong-import-position

CONSOLE = pathlib.Path(__file__).parent / "recorded/peer.console"


@pytest.fixture
def found():
    return peers.parse(CONSOLE.read_text(encoding="utf-8"))


def test_each_run_is_read(found):
    assert list(found) == ["one", "counted-one", "counted-few"]
    one = found["one"]
    assert (one.starting, one.pid1) == (98101155044, 440418109506)
    assert (one.memory, one.own) == (182348, 57420)
    assert one.guest.reads["count"] == 100
    assert len(one.guest.percentiles) == 101
    assert one.exits == {}
    assert found["counted-one"].exits[0x400] == 2773
    assert found["counted-few"].exits[0x400] == 2477


def test_exits_of_a_request(found):
    each = peers.exit_figures(found["counted-one"], found["counted-few"], peers.REASONS["svm-tcg"])
    assert each["request.exits.memory"] == round((2773 - 2477) / 99, 2) == 2.99
    assert each["request.exits.halt"] == 0.05
    assert each["request.exits.host-interrupt"] == 0.41
    assert "request.exits.cpuid" not in each


def test_reasons_without_a_name_keep_their_number(found):
    each = peers.exit_figures(found["counted-one"], found["counted-few"], {})
    assert each["request.exits.reason-1024"] == 2.99


def test_figures_of_a_peer(found):
    bare = console.Guest(reads={"min": 1496, "median": 2229, "p99": 8049},
                         percentiles=[2229] * 101)
    figures = peers.of_peer(found, "svm-tcg", bare)
    median = found["one"].guest.reads["median"]
    assert figures["request.ticks.median"] == median
    assert figures["request.ticks.guest"] == 2229
    mean = round(sum(found["one"].guest.percentiles[:100]) / 100)
    assert figures["request.ticks.mean"] == mean
    assert figures["request.ticks.hypervisor"] == mean - 2229
    assert figures["boot.to-pid1"] == 440418109506 - 98101155044
    assert figures["size.memory"] == 57420 * 1024
    # KVM answers a hypercall; nothing is refused.
    assert figures["trip.hypercall"] == found["one"].guest.instructions["hypercall"]["median"]
    assert all(names.find(key) for key in figures)


def test_a_run_that_did_not_end_is_refused(found):
    del found["counted-few"]
    with pytest.raises(console.Incomplete, match="counted-few"):
        peers.of_peer(found, "svm-tcg", None)


def test_consoles_are_kept_if_whole(tmp_path):
    log = tmp_path / "log"
    assert peers.kept(log, peers.PEERS_END, True) is None
    text = CONSOLE.read_text(encoding="utf-8")
    log.write_text(text, encoding="utf-8")
    assert peers.kept(log, peers.PEERS_END, True) == text
    assert peers.kept(log, peers.PEERS_END, False) is None
    log.write_text(text.replace("peers done", "peers d"), encoding="utf-8")
    assert peers.kept(log, peers.PEERS_END, True) is None


def test_no_hypervisor():
    guest = console.Guest(pid1=700, reads={"min": 1, "median": 2, "p99": 3},
                          percentiles=[2] * 50 + [4] * 50 + [1000])
    assert peers.of_bare(guest) == {
        "request.ticks.min": 1, "request.ticks.median": 2, "request.ticks.p99": 3,
        "request.ticks.mean": 3, "request.ticks.guest": 3, "boot.to-pid1": 700}
    with pytest.raises(console.Incomplete):
        peers.of_bare(console.Guest())
