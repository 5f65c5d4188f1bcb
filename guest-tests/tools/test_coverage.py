# tools/coverage-import on a small image whose counters are set by hand, and tools/coverage-report.
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = """\
int twice(int a);
int choose(int a);
int choose(int a)
{
    if (a > 0) {
        return 1;
    }
    return 2;
}

int twice(int a)
{
    return 2 * a;
}
"""


def run(*command, folder=ROOT):
    return subprocess.run([str(word) for word in command], cwd=folder, capture_output=True,
                          text=True, check=False)


@pytest.fixture(name="image", scope="module")
def fixture_image(tmp_path_factory):
    """An image built as the Makefile builds the hypervisor, of one source."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "small.c").write_text(SOURCE, encoding="ascii")
    done = run("gcc", "-O0", "-ffreestanding", "-fpic", "-fvisibility=hidden", "-fdata-sections",
               "-fprofile-arcs", "-ftest-coverage", "-fprofile-abs-path",
               "-fprofile-update=atomic", "-fprofile-info-section", "-c", "small.c", "-o",
               "small.c.o", folder=folder)
    assert done.returncode == 0, done.stderr
    done = run("ld", "-nostdlib", "-znocombreloc", "-shared", "-Bsymbolic", "-T",
               ROOT / "arch/x86/boot/seedvisor.lds", "--defsym=__gcov_merge_add=0",
               "--entry=choose", "-o", "small.so", "small.c.o", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "small.so"


def counters_of(image):
    """How many counters an image has, and where each function's begin."""
    symbols = {}
    for line in run("nm", image).stdout.splitlines():
        found = re.fullmatch(r"([0-9a-f]+) \w (\S+)", line)
        symbols[found[2]] = int(found[1], 16)
    first = symbols["coverage_counters"]
    places = {name: (symbols[f"__gcov0.{name}"] - first) // 8 for name in ("choose", "twice")}
    return (symbols["coverage_counters_end"] - first) // 8, places


def dump(path, count, values, lines=None, total=None):
    body = "".join(f"{number:x}={value:x}\n" for number, value in values.items())
    lines = len(values) if lines is None else lines
    total = sum(values.values()) if total is None else total
    path.write_text(f"firmware says something\nseedvisor-coverage: begin 1234abc {count:x}\n{body}"
                    f"seedvisor-coverage: end {lines:x} {total:x}\nseedvisor-result: 0\n",
                    encoding="ascii")
    return path


def lines_of(image):
    """gcov's count of each line of the source; None for one without code."""
    done = run("gcov", "--stdout", "small.c.gcda", folder=image.parent)
    counts = {}
    for line in done.stdout.splitlines():
        count, number, _ = line.split(":", 2)
        if int(number) > 0:
            count = count.strip().rstrip("*")
            counts[int(number)] = {"-": None, "#####": 0}.get(count) if not count.isdigit() \
                else int(count)
    return counts


def test_import_adds_runs(image, tmp_path):
    count, places = counters_of(image)
    choose, twice = places["choose"], places["twice"]
    # GCC 12 counts each call, and how often choose() returns 1; the rest follows.
    runs = [dump(tmp_path / "one", count, {choose: 5, choose + 1: 2}),
            dump(tmp_path / "two", count, {choose: 3, choose + 1: 1, twice: 1 << 40})]
    done = run(ROOT / "tools/coverage-import", image, *runs)
    assert (done.returncode, done.stderr) == (0, "")
    lines = lines_of(image)
    assert lines[3] == lines[5] == 8
    assert (lines[6], lines[8]) == (3, 5)
    assert lines[11] == lines[13] == 1 << 40
    # Again with the first run alone: what was there is replaced.
    assert run(ROOT / "tools/coverage-import", image, runs[0]).returncode == 0
    lines = lines_of(image)
    assert (lines[5], lines[6], lines[8]) == (5, 2, 3)
    assert lines[13] == 0


def test_damaged_dumps_are_refused(image, tmp_path):
    count, _ = counters_of(image)
    for path, complaint in (
            (dump(tmp_path / "sum", count, {0: 5}, total=6), "the counters are damaged"),
            (dump(tmp_path / "lines", count, {0: 5}, lines=2), "the counters are damaged"),
            (dump(tmp_path / "other", count + 1, {0: 5}), "build 1234abc is another"),
            (dump(tmp_path / "beyond", count, {count: 5}), "build 1234abc is another")):
        done = run(ROOT / "tools/coverage-import", image, path)
        assert done.returncode == 1
        assert f"{path.name}: {complaint}" in done.stderr
    cut = tmp_path / "cut"
    cut.write_text(dump(tmp_path / "whole", count, {0: 5}).read_text(encoding="ascii")
                   .split("seedvisor-coverage: end")[0], encoding="ascii")
    done = run(ROOT / "tools/coverage-import", image, tmp_path / "whole", cut)
    assert done.returncode == 1
    assert "cut: no counters, or not to their end" in done.stderr


def test_other_images_are_refused(tmp_path):
    text = tmp_path / "text"
    text.write_text("no image", encoding="ascii")
    assert "no 64-bit ELF file" in run(ROOT / "tools/coverage-import", text, text).stderr
    assert run(ROOT / "tools/coverage-import").returncode == 3


def trace_file(path, source, hit):
    path.write_text(f"TN:\nSF:{source}\nFNF:2\nFNH:1\nBRF:8\nBRH:6\nLF:100\nLH:{hit}\n"
                    "end_of_record\n", encoding="ascii")
    return path


@pytest.mark.parametrize("hit, status", ((95, 0), (94, 1)))
def test_report_holds_to_the_floors(tmp_path, hit, status):
    floors = tmp_path / "floors"
    floors.write_text("# a comment\nvirtio lines 95 # another\n", encoding="ascii")
    done = run(ROOT / "tools/coverage-report", "--floors", floors,
               trace_file(tmp_path / "info", ROOT / "virtio/mmio.c", hit))
    assert done.returncode == status
    assert re.search(rf"^virtio +{hit}\.0 % +{hit} of +100 +50\.0 % +1 of +2 +75\.0 % +6 of +8$",
                     done.stdout, re.MULTILINE)
    assert ("below the floor: virtio: 94.0 % of its lines, at least 95 % is wanted" in done.stdout) \
        == (status == 1)


def test_report_refuses_floors_of_nothing(tmp_path):
    floors = tmp_path / "floors"
    info = trace_file(tmp_path / "info", ROOT / "virtio/mmio.c", 100)
    floors.write_text("virtoi lines 0\n", encoding="ascii")
    done = run(ROOT / "tools/coverage-report", "--floors", floors, info)
    assert done.returncode == 1
    assert "below the floor: virtoi" in done.stdout
    floors.write_text("virtio lins 0\n", encoding="ascii")
    done = run(ROOT / "tools/coverage-report", "--floors", floors, info)
    assert done.returncode == 1
    assert f"{floors}:1: expected FOLDER lines|functions|branches PERCENT" in done.stderr


def test_floors_that_need_the_system_tests(tmp_path):
    floors = tmp_path / "floors"
    floors.write_text("virtio lines 95 system\nvirtio branches 75\n", encoding="ascii")
    info = trace_file(tmp_path / "info", ROOT / "virtio/mmio.c", 50)
    assert run(ROOT / "tools/coverage-report", "--floors", floors, info).returncode == 1
    assert run(ROOT / "tools/coverage-report", "--floors", floors, "--host-only",
               info).returncode == 0
    floors.write_text("virtio branches 76\n", encoding="ascii")
    assert run(ROOT / "tools/coverage-report", "--floors", floors, "--host-only",
               info).returncode == 1
    floors.write_text("virtio lines 50 host\n", encoding="ascii")
    done = run(ROOT / "tools/coverage-report", "--floors", floors, info)
    assert f"{floors}:1: expected" in done.stderr
