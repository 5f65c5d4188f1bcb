# The report: whole, well-formed, self-contained, and with the figures it was given.
import json
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORDED = pathlib.Path(__file__).parent / "recorded"
sys.path.insert(0, str(ROOT / "guest-tests"))

from bench import console, figures, over_time, peers, result  # noqa: E402  pylint: disable=C0413
from bench.report import inputs, sections, svg  # noqa: E402  pylint: disable=C0413

TRACE = """\
seedvisor-trace: begin 1000000 1 g0
x 0 1 90 100 ffff memory gpa 0xd0000050
x 0 2 110 120 ffff memory gpa 0xd0000064
x 0 3 290 300 ffff msr-write
d 4 310 interrupt 1
seedvisor-trace: end 4
"""
COVERAGE = """\
SF:{root}/virtio/mmio.c
BRF:10
BRH:9
LF:100
LH:99
end_of_record
SF:{root}/virtio/queue.c
BRF:10
BRH:10
LF:100
LH:100
end_of_record
"""


@pytest.fixture(scope="module")
def bench():
    records = {name: console.parse((RECORDED / f"{name}.console").read_text(encoding="utf-8"))
               for name in ("one", "few")}
    made = result.start("abc1234")
    result.add(made, "svm-tcg", figures.of_machine(records, 169025), records["one"])
    made["over_time"]["svm-tcg"] = over_time.parse(TRACE)
    return made


@pytest.fixture(scope="module")
def beside():
    found = peers.parse((RECORDED / "peer.console").read_text(encoding="utf-8"))
    bare = console.Guest(pid1=500, reads={"min": 1500, "median": 2229, "p99": 8000},
                         percentiles=[2229] * 101)
    made = result.start("abc1234")
    result.add_guest(made, "none", peers.of_bare(bare), bare)
    result.add_guest(made, "svm-tcg KVM stock", peers.of_peer(found, "svm-tcg", bare),
                     found["one"].guest)
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory, bench, beside):
    """Runs tools/report with files of the given contents; None leaves one out."""
    folder = tmp_path_factory.mktemp("report")

    def call(**replaced):
        contents = {"bench": json.dumps(bench), "peers": json.dumps(beside),
                    "coverage": COVERAGE.format(root=ROOT)} | replaced
        options = []
        for name, content in contents.items():
            (folder / name).write_text(content, encoding="utf-8")
            options += [f"--{name}", folder / name]
        done = subprocess.run([ROOT / "tools/report", *options, "--output", folder / "out.html"],
                              capture_output=True, text=True, check=False)
        return done, folder / "out.html"
    return call


@pytest.fixture(scope="module")
def page(run):
    done, output = run()
    assert done.returncode == 0, done.stderr
    return output.read_text(encoding="utf-8")


def test_page_needs_nothing_beside_it(page):
    assert not re.findall(r"https?:|\bsrc=|<link|<script|@import|url\(", page)


def test_contents_lead_somewhere(page):
    wanted = re.findall(r'<a href="#([^"]+)">', page)
    assert len(wanted) == 11
    assert wanted == re.findall(r'<section id="([^"]+)">', page)


def test_plots_are_well_formed(page):
    plots = [ElementTree.fromstring(plot)
             for plot in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(plots) == 6
    for plot in plots:
        width, height = map(float, plot.get("viewBox").split()[2:])
        for node in plot.iter("rect"):
            assert 0 <= float(node.get("x")) <= width
            assert float(node.get("x")) + float(node.get("width")) <= width + 1
            assert 0 <= float(node.get("y")) <= height
        for node in plot.iter("text"):
            if node.get("x"):
                assert 0 <= float(node.get("x")) <= width


def test_figures_are_shown(page, bench, beside):
    for text in ("10,941", "2,229", "abc1234", "99.5 % / 95.0 %"):
        assert text in page
    assert f"{beside['machines']['svm-tcg KVM stock']['request.ticks.median']:,}" in page
    assert f"{bench['health']['svm-tcg']['tries']:,}" in page


def test_bars_are_as_long_as_their_figures():
    plot = ElementTree.fromstring(svg.bars(
        [svg.Bar("a", (10, 30)), svg.Bar("b", (20, 0))], ("one", "two"), "t", "u"))
    lengths = [float(node.get("width")) for node in plot.iter("rect")][2:]  # after the legend's
    assert lengths[1] == pytest.approx(3 * lengths[0], abs=0.2)
    assert lengths[2] == pytest.approx(2 * lengths[0], abs=0.2)
    assert len(lengths) == 3


def test_axis_steps_are_round():
    assert svg.steps(78000) == [0, 20000, 40000, 60000, 80000]
    assert svg.steps(1) == [0, 0.2, 0.4, pytest.approx(0.6), 0.8, 1.0]
    assert svg.steps(0) == [0, 1]


@pytest.mark.parametrize("value, text", (
    (0, "0"), (1234, "1,234"), (56338, "56.3 k"), (2100000, "2.1 M"), (1.05e9, "1.05 G"),
    (3.25, "3.25"), (2.0, "2"),
))
def test_short_numbers(value, text):
    assert svg.short(value) == text


def test_exits_are_counted_over_time():
    found = over_time.parse(TRACE)
    assert (found["frequency"], found["ticks"]) == (1000000, 200)
    memory, write = [0] * over_time.BINS, [0] * over_time.BINS
    memory[0] = memory[20 * over_time.BINS // 201] = write[-1] = 1
    assert found["kinds"] == {"memory": memory, "msr-write": write}
    text = sections.exits_over_time({"over_time": {"svm-tcg": found}})
    plot = ElementTree.fromstring(re.search(r"<svg.*</svg>", text)[0])
    columns = [node for node in plot.iter("rect")][2:]  # after the legend's
    assert [node.get("class") for node in columns] == ["series0", "series0", "series1"]


def test_text_without_a_trace_is_refused():
    with pytest.raises(console.Incomplete):
        over_time.parse("seedvisor-result: 0\n")


def test_measurement_is_written_and_read_again(tmp_path, bench):
    text = result.text(bench)
    (tmp_path / "bench.json").write_text(text, encoding="ascii")
    assert inputs.measurement(tmp_path / "bench.json") == bench
    assert len(text.splitlines()) < 150


def test_conformance_counts_its_rows():
    found = inputs.conformance(ROOT / "virtio/CONFORMANCE.md")
    text = (ROOT / "virtio/CONFORMANCE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [A-Z]+-[0-9]+ \|", text, re.MULTILINE)
    assert sum(sum(counts.values()) for _, counts, _ in found) == len(rows) > 60
    assert all(tests for _, _, tests in found)


def test_coverage_adds_up_by_folder(tmp_path):
    (tmp_path / "info").write_text(COVERAGE.format(root=ROOT), encoding="ascii")
    assert inputs.coverage(tmp_path / "info", ROOT) == {"virtio": (199, 200, 19, 20)}


@pytest.mark.parametrize("name, content", (
    ("bench", "{}"), ("bench", ""), ("peers", '{"machines": {"x": {}}}'),
    ("coverage", "SF:/elsewhere/a.c\nLF:1\n"),
))
def test_unusable_input_is_named(run, name, content):
    done, _ = run(**{name: content})
    assert done.returncode == 1
    assert done.stderr.startswith("report: ")
    assert f"/{name}: " in done.stderr
    assert "Traceback" not in done.stderr
