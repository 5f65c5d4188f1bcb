# The measuring tools on small recorded consoles: what they read, compute, show and refuse.
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORDED = pathlib.Path(__file__).parent / "recorded"
sys.path.insert(0, str(ROOT / "guest-tests"))

from bench import compare, console, figures, names, runs, table  # noqa: E402  pylint: disable=C0413


def record(name):
    return console.parse((RECORDED / f"{name}.console").read_text(encoding="utf-8"))


@pytest.fixture
def one():
    return record("one")


@pytest.fixture
def few():
    return record("few")


def test_console_is_read_whole(one):
    assert (one.started, one.leaving, one.entering) == (2331909339, 2382863909, 2421280833)
    assert one.build == "240a84a"
    assert (one.memory, one.image) == (192, 168)
    assert one.entropy == {"tries": 17460, "failures": 0, "longest_failure_run": 0,
                           "health_hits": 0}
    guest = one.guests["g0"]
    assert (guest.memory, guest.vcpus, guest.pid1) == (256, 1, 2964182077)
    assert guest.reads == {"count": 2000, "bytes": 64, "min": 9769, "median": 10941,
                           "p99": 13575, "max": 8026551, "mean": 15022}
    assert len(guest.percentiles) == 101
    assert (guest.percentiles[0], guest.percentiles[50], guest.percentiles[100]) == (
        9769, 10941, 8026551)
    assert guest.instructions["cpuid"] == {"min": 1541, "median": 1541, "p99": 1541}
    assert guest.exits["memory"] == 5221
    assert guest.ticks["memory"] == 5221 * 2914
    assert (guest.ticks_guest, guest.ticks_hypervisor, guest.ticks_idle) == (
        609725013, 21530088, 7984893)
    assert guest.rng == {"requests": 2004, "bytes": 128256, "short_fills": 0, "parked": 0}


def test_guests_are_told_apart_by_their_prefix():
    text = (RECORDED / "one.console").read_text(encoding="utf-8")
    first = text.replace("seedvisor-guest:", "[g0] seedvisor-guest:")
    second = text.replace('"g0"', '"b"').replace("seedvisor-guest:", "[b] seedvisor-guest:")
    second = second.replace("pid1 tsc 2964182077", "pid1 tsc 3000000000")
    both = console.parse(first + second)
    assert [guest.pid1 for guest in both.guests.values()] == [2964182077, 3000000000]
    assert both.guests["g0"].exits == both.guests["b"].exits


def test_vcpus_of_a_guest_are_added_up():
    text = (RECORDED / "one.console").read_text(encoding="utf-8")
    line = "seedvisor:   vCPU 0: exits 12961"
    more = "\n".join((
        "seedvisor:   vCPU 1: exits 12, ticks guest 1000, hypervisor 500, idle 70",
        "seedvisor:     memory                   10, hypervisor ticks each 40",
        "seedvisor:     eoi                       2, hypervisor ticks each 50", line))
    guest = figures.only_guest(console.parse(text.replace(line, more)))
    assert guest.exits["memory"] == 5231
    assert guest.exits["eoi"] == 2
    assert guest.ticks["memory"] == 5221 * 2914 + 400
    assert guest.ticks_idle == 7984893 + 70


@pytest.mark.parametrize("lacking, text", (
    ("entering the guests", "entering"),
    ("hypervisor memory", "memory"),
    ("pid1 tsc", 'guest "g0" did not get to PID 1'),
    ("hypervisor ticks each", 'guest "g0" has no statistics'),
    ("rng: requests", 'guest "g0" has no statistics'),
    ("256 MiB of memory", "any guest"),
    ("percentiles 40", "percentiles from 40 to 50 are missing"),
))
def test_incomplete_console_is_refused(lacking, text):
    lines = (RECORDED / "one.console").read_text(encoding="utf-8").splitlines()
    with pytest.raises(console.Incomplete, match=text):
        console.parse("\n".join(line for line in lines if lacking not in line))


def test_a_request_is_the_difference_of_two_runs(one, few):
    found = figures.request_figures(one, few)
    requests = 2004 - few.guests["g0"].rng["requests"]
    memory = 5221 - few.guests["g0"].exits["memory"]
    assert found["request.exits.memory"] == round(memory / requests, 2) == 2.0
    assert found["request.ticks.median"] == 10941
    assert found["request.ticks.mean"] == 10976
    assert found["request.ticks.guest"] + found["request.ticks.hypervisor"] == 10976
    assert found["request.ticks.hypervisor"] == round(
        (21530088 - few.guests["g0"].ticks_hypervisor) / requests)
    assert "request.exits.instruction" not in found
    assert 3.0 < found["request.exits.all"] < 3.3


def test_all_figures_of_a_machine(one, few):
    found = figures.of_machine({"one": one, "few": few}, 169025)
    assert found["trip.cpuid"] == 1541
    assert found["trip.hypercall-refused"] == 4249 - 3528
    assert "trip.undefined-refused" not in found
    assert not [key for key in found if key.startswith("trip.bare-")]
    assert found["boot.to-leaving-firmware"] == 2382863909 - 2331909339
    assert found["boot.to-entry"] == 2421280833 - 2382863909
    assert found["boot.to-entry.own"] == found["boot.to-entry"] - 33554432
    assert found["boot.to-pid1"] == 2964182077 - 2421280833
    assert found["size.efi"] == 169025
    assert found["size.memory"] == 192 * 1024
    assert set(found) == {key for key in found if names.find(key)}


def test_halt_is_measured_against_the_interrupt_that_ends_it():
    guest = console.Guest()
    for name, median in (("bare-cpuid", 600), ("bare-port-read", 700), ("bare-msr-read", 650),
                         ("bare-interrupt", 1500), ("bare-halt", 2300)):
        console.take_guest_line(guest, f"exit-bench {name} min 1 median {median} p99 9 ticks")
    found = figures.bare_figures(guest)
    assert (found["trip.bare-cpuid"], found["trip.bare-halt"]) == (600, 800)


def test_a_run_must_repeat_itself(one, few):
    figures.must_repeat(few, record("few"))
    figures.of_machine({"one": one, "few": few, "again": record("few")}, 1)
    other = record("few")
    other.entering += 1
    other.guests["g0"].exits["memory"] += 2
    with pytest.raises(figures.NotRepeated) as error:
        figures.of_machine({"one": one, "few": few, "again": other}, 1)
    assert str(error.value).splitlines()[1:] == [
        f"  entering: {few.entering} and {few.entering + 1}",
        "  guests g0 exits memory: 1223 and 1225"]


def windows(*readings):
    """A record of guests that read in a window: (begin, reads) for each."""
    made = console.Record(entering=1000, memory=100 * len(readings))
    for i, (begin, reads) in enumerate(readings):
        made.guests[f"g{i}"] = console.Guest(pid1=5000 + i, window={
            "begin": begin, "ticks": 1000000, "reads": reads, "bytes": 64})
    return made


def test_runs_of_the_same_build_are_kept(tmp_path, monkeypatch, few):
    text = (RECORDED / "few.console").read_text(encoding="utf-8")
    path = tmp_path / "svm-tcg-few.console"
    path.write_text(text, encoding="utf-8")
    assert runs.kept(tmp_path, "svm-tcg", "few") is None  # its debug port's log is missing
    path.with_suffix(".debug").write_text("", encoding="ascii")
    monkeypatch.setattr(runs, "BUILD", tmp_path)
    (tmp_path / "generated").mkdir()
    for told, is_kept in ((few.build, True), ("0123456", False), (few.build + "-dirty", False),
                          ("unknown", False)):
        (tmp_path / "generated/build_id.h").write_text(f'#define BUILD_ID "{told}"\n',
                                                       encoding="ascii")
        assert runs.kept(tmp_path, "svm-tcg", "few") == (few if is_kept else None)
    (tmp_path / "generated/build_id.h").write_text(f'#define BUILD_ID "{few.build}"\n',
                                                   encoding="ascii")
    path.write_text(text[:len(text) // 2], encoding="utf-8")
    assert runs.kept(tmp_path, "svm-tcg", "few") is None


def test_rates_are_added_up():
    found = figures.window_figures({1: windows((7, 100)), 2: windows((7, 90), (7, 80))}, "guests")
    assert found["rate.guests-1"] == 6400
    assert found["rate.guests-2"] == 170 * 64
    assert found["boot.to-pid1.guests-2"] == 4001


@pytest.mark.parametrize("count, record_of, text", (
    (2, windows((7, 90), (8, 80)), "same time"),
    (2, windows((7, 90)), "not all of 2 guests"),
))
def test_windows_that_do_not_fit_are_refused(count, record_of, text):
    with pytest.raises(console.Incomplete, match=text):
        figures.window_figures({count: record_of}, "guests")


def test_growth_with_guests(one, few):
    found = figures.of_machine({
        "one": one, "few": few, "window1": windows((7, 100)), "window2": windows((7, 90), (7, 80)),
        "share2": windows((7, 50), (7, 40)), "share4": windows((7, 9), (7, 9), (7, 9), (7, 7))}, 1)
    assert found["rate.guests-1"] == 6400
    assert found["rate.sharing-2"] == 90 * 64
    assert found["rate.sharing-4"] == 34 * 64
    assert found["boot.to-pid1.sharing-4"] == 4003
    assert (found["size.guests-2"], found["size.sharing-4"]) == (100 * 1024, 100 * 1024)
    assert "size.guests-1" not in found
    assert all(names.find(key) for key in found)


def test_runs_go_to_the_machines_that_they_are_for(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(runs, "measure", lambda folder, *which: made.append(which))
    runs.measure_all(tmp_path, runs.MACHINES, ("few", "window2", "share2"), 1, str)
    assert sorted(made) == [("svm-tcg", "few"), ("svm-tcg", "share2"), ("vmx-bochs", "few"),
                            ("vmx-bochs", "share2"), ("vmx-bochs", "window2")]


def test_guests_share_a_cpu_or_have_their_own():
    assert runs.RUNS["window4"].options()[:2] == ("--cpus", "4")
    assert runs.RUNS["share4"].options() == ("--cpus", "1", "--memory", "768")


def test_table_is_in_order_and_aligned():
    text = table.render({"a": {"size.efi": 169025, "request.exits.all": 3.2},
                         "b": {"request.exits.all": 2.2}})
    assert text.splitlines() == ["                                      a     b",
                                 "exits per 64-byte request, all     3.20  2.20",
                                 "seedvisor.efi, bytes            169,025     -"]


def result(**changes):
    values = {"request.exits.all": 3.2, "request.ticks.median": 10000, "rate.guests-1": 500,
              "trip.device-read": 9}
    return {"kernel": "6.1", "machines": {"m": values | changes}}


@pytest.mark.parametrize("changes, worse", (
    ({}, []),
    ({"request.ticks.median": 10500}, []),
    ({"request.ticks.median": 10501}, ["m: ticks per 64-byte read, median: 10,000 -> 10,501"]),
    ({"request.ticks.median": 5000}, []),
    ({"rate.guests-1": 470}, ["m: bytes per million ticks, guests reading: 1: 500 -> 470"]),
    ({"rate.guests-1": 900}, []),
    ({"trip.device-read": 14}, []),  # within its slack
    ({"trip.device-read": 900}, ["m: MMIO read (entropy device), ticks: 9 -> 900"]),
    ({"request.exits.all": 4.2}, ["m: exits per 64-byte request, all: 3.20 -> 4.20"]),
))
def test_comparison_finds_what_is_worse(changes, worse):
    assert compare.compare(result(), result(**changes), 5)[1] == worse


def test_another_kernel_excuses_the_kernels_ticks_only():
    old, new = result(), result(**{"request.ticks.median": 20000, "request.exits.all": 4.2})
    assert len(compare.compare(old, new, 5)[1]) == 2
    new["kernel"] = "6.2"
    assert compare.compare(old, new, 5)[1] == [
        "m: exits per 64-byte request, all: 3.20 -> 4.20"]


def test_reading_files_is_the_firmwares_own():
    old, new = (result(**{"boot.to-leaving-firmware": ticks}) for ticks in (100, 900))
    text, worse = compare.compare(old, new, 5)
    assert "+800.0 % (worse)" in text
    assert worse == []


def test_comparison_tells_what_changed():
    text, _ = compare.compare(result(), result(**{"request.ticks.median": 9000, "size.efi": 7}), 5)
    assert text.splitlines()[1:] == [
        "m: ticks per 64-byte read, median  10,000  9,000  -10.0 % (better)",
        "m: seedvisor.efi, bytes                 -      7                  "]
    assert compare.compare(result(), result(), 5)[0] == "nothing changed\n"


def run_compare(folder, old, new):
    for name, content in (("old.json", old), ("new.json", new)):
        (folder / name).write_text(content, encoding="ascii")
    return subprocess.run([ROOT / "tools/bench-compare", "old.json", "new.json"], cwd=folder,
                          capture_output=True, text=True, check=False)


def test_compare_tool_fails_on_a_regression(tmp_path):
    done = run_compare(tmp_path, json.dumps(result()), json.dumps(result()))
    assert (done.returncode, done.stdout) == (0, "nothing changed\n")
    done = run_compare(tmp_path, json.dumps(result()),
                       json.dumps(result(**{"request.ticks.median": 11000})))
    assert done.returncode == 1
    assert "worse by more than 5 %:\n  m: ticks per 64-byte read, median" in done.stdout


@pytest.mark.parametrize("content", ("", "[]", "{}", '{"machines": 1}'))
def test_compare_tool_names_a_file_it_cannot_use(tmp_path, content):
    done = run_compare(tmp_path, json.dumps(result()), content)
    assert done.returncode == 3
    assert "new.json: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("runs_asked, text", [
    ("slow", "no run is called slow"),
    ("few,one,window9", "no run is called window9"),
    ("bare,one", "--runs needs few and one"),
])
def test_bench_tool_names_runs_it_does_not_have(runs_asked, text):
    done = subprocess.run([ROOT / "tools/bench", "--runs", runs_asked], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 3
    assert text in done.stderr
