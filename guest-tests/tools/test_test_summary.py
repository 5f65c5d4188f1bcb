# tools/test-summary: counts, commands side by side, output in order, an end that leaves nothing.
import os
import pathlib
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUMMARY = ROOT / "tools/test-summary"


@pytest.fixture(name="script")
def fixture_script(tmp_path):
    """Makes a shell script; the argument is a name and its text."""
    def make(name, text):
        path = tmp_path / f"{name}.sh"
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
        path.chmod(0o755)
        return str(path)
    return make


def summary(*arguments):
    """Exit status and lines."""
    done = subprocess.run([SUMMARY, *arguments], stdout=subprocess.PIPE, text=True, check=False,
                          timeout=60)
    return done.returncode, done.stdout.splitlines()


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_counts(tmp_path, script):
    """cmocka's counts, pytest's, any other program's exit status, and a crash."""
    cmocka = script("cmocka", "echo '[  PASSED  ] 5 test(s).'\n"
                    "echo '[  FAILED  ] 2 test(s), listed below:'\nexit 2")
    crash = script("crash", "echo '[  PASSED  ] 1 test(s).'\nexit 1")
    inner = tmp_path / "test_inner.py"
    inner.write_text("import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip('why')\n",
                     encoding="ascii")
    for jobs in ("1", "3"):
        status, lines = summary("--jobs", jobs, cmocka, crash, "true", "/nowhere",
                                f"/usr/bin/python3 -m pytest -p no:cacheprovider {inner}")
        assert status == 1
        assert lines[-1] == "8 passed, 4 failed, 1 skipped"
        assert [line for line in lines if "FAILED (" in line] == [
            f"-- FAILED (exit status 2): {cmocka}", f"-- FAILED (exit status 1): {crash}",
            "-- FAILED (exit status 127): /nowhere"]


def test_nothing_failed():
    assert summary("true", "true") == (0, ["", "-- true", "", "-- true", "", "2 passed, 0 failed"])


@pytest.mark.parametrize("arguments", (["--jobs"], ["--jobs", "0", "true"], ["--jobs", "x", "true"],
                                       ["--nonsense", "true"], ["--timeout", "3"], ["--alone"]))
def test_usage_errors(arguments):
    assert summary(*arguments) == (3, [])


def test_side_by_side_each_output_whole(script):
    """The first one waits for what the second one does, and the second for the third; what they say
    is shown in their order."""
    names = ["one", "two", "three"]
    one, two, three = (script(name, f"echo {name} begins\n{{}}echo {name} ends") for name in names)
    wait = "while ! [ -e {0}.done ]; do sleep 0.02; done\n"
    for path, text in ((one, wait.format(two)), (two, wait.format(three) + f"touch {two}.done\n"),
                       (three, f"touch {three}.done\n")):
        script(pathlib.Path(path).stem, pathlib.Path(path).read_text("ascii").split("\n", 1)[1]
               .format(text))
    status, lines = summary("--jobs", "3", one, two, three)
    assert status == 0
    assert lines == [line for name, path in zip(names, (one, two, three))
                     for line in ("", f"-- {path}", f"{name} begins", f"{name} ends")] + \
        ["", "3 passed, 0 failed"]


@pytest.mark.parametrize("jobs", (1, 2))
def test_no_more_than_the_jobs_at_a_time(script, tmp_path, jobs):
    running = tmp_path / "running"
    running.mkdir()
    text = f"touch {running}/$$; sleep 0.2; ls {running} | wc -l; sleep 0.2; rm {running}/$$"
    status, lines = summary("--jobs", str(jobs), *(script(f"s{i}", text) for i in range(4)))
    assert status == 0
    assert max(int(line) for line in lines if line.isdigit()) == jobs


def test_alone_means_alone(script, tmp_path):
    """Neither what comes before it nor what comes after it runs beside it."""
    running = tmp_path / "running"
    running.mkdir()
    text = f"touch {running}/$$; {{}}; sleep 0.3; rm {running}/$$"
    other = script("other", text.format("true"))
    single = script("single", text.format(f"sleep 0.2; ls {running} | wc -l"))
    status, lines = summary("--jobs", "3", other, other, "--alone", single, other)
    assert status == 0
    assert [line for line in lines if line.isdigit()] == ["1"]


def test_output_of_the_first_comes_at_once(script, tmp_path):
    path = script("slow", f"echo here\nwhile ! [ -e {tmp_path}/go ]; do sleep 0.02; done")
    with subprocess.Popen([SUMMARY, "--jobs", "2", path, "true"],
                          stdout=subprocess.PIPE) as process:
        assert [process.stdout.readline() for _ in range(3)] == \
            [b"\n", f"-- {path}\n".encode(), b"here\n"]
        (tmp_path / "go").touch()
        process.stdout.read()
    assert process.returncode == 0


def test_too_long_is_killed_with_what_it_started(script, tmp_path):
    path = script("long", f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    status, lines = summary("--timeout", "0.5", "--jobs", "2", path, "true")
    assert status == 1
    assert "test-summary: still running after 0.5 s, killed" in lines
    assert f"-- FAILED (exit status -9): {path}" in lines
    assert lines[-1] == "1 passed, 1 failed"
    wait_for(lambda: not exists((tmp_path / "pid").read_text("ascii")))


def exists(pid):
    """Whether the process still runs; a zombie does not."""
    try:
        return " Z " not in pathlib.Path(f"/proc/{int(pid)}/stat").read_text("ascii")
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number, first", (
    (signal.SIGINT, ""), (signal.SIGTERM, ""), (signal.SIGINT, "trap '' TERM; ")))
def test_interrupt_ends_all_of_it(script, tmp_path, number, first):
    """Side by side, with what they started, even if it does not listen; a program that begins
    afterwards would leave its file."""
    text = first + f"sleep 600 & echo $! > {tmp_path}/{{}}.pid; wait"
    commands = [script(name, text.format(name)) for name in ("a", "b")]
    later = script("later", f"touch {tmp_path}/later")
    with subprocess.Popen([SUMMARY, "--jobs", "2", *commands, later],
                          stdout=subprocess.PIPE) as process:
        pids = [tmp_path / f"{name}.pid" for name in ("a", "b")]
        wait_for(lambda: all(path.exists() and path.read_text("ascii") for path in pids))
        os.kill(process.pid, number)
        output = process.stdout.read()
    assert process.returncode == 128 + number
    assert b"passed" not in output
    wait_for(lambda: not any(exists(path.read_text("ascii")) for path in pids))
    assert not (tmp_path / "later").exists()
