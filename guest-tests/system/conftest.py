# Runs the system tests' scenarios in the emulators, several at a time, each once for all its tests.
"""Options: --accel bochs,tcg names the emulators, --jobs N how many run at a time; --coverage runs
the build that counts what is executed, in the scenarios that scenarios.py names for it.

What a machine said is kept in build/system/EMULATOR-SCENARIO.{console,debug,stderr}, with
--coverage in build/coverage/system.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from egd import EgdServer  # noqa: E402  pylint: disable=wrong-import-position
from scenarios import COVERAGE, SCENARIOS  # noqa: E402  pylint: disable=wrong-import-position

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
# Seconds; generous, as CI runners are slow and several emulators run at a time.
TIMEOUTS = {"bochs": 900, "tcg": 300, "kvm": 120}
# Of an emulated second in Bochs. It runs about as many in one of ours, and emulates those that pass
# while everything waits as well: the fewer they are, the sooner a run ends that waits for time. Far
# below, what timers interrupt takes more than that saves. The build with counters needs several times
# the instructions for an exit, which must stay few beside a slice of a shared CPU: it has launch's own.
BOCHS_IPS = 25000000


class Outcome:
    """How a run ended and what was said: status, console, errors (launch's stderr), debug; record:
    where its files are, without their endings."""

    def __init__(self, record, status, console, errors, debug, seconds):
        self.record = record
        self.status = status
        self.console = console
        self.errors = errors
        self.debug = debug
        self.seconds = seconds

    def must_say(self, pattern):
        """The match of a regular expression on the console; fails if there is none."""
        found = re.search(pattern, self.console, re.MULTILINE)
        if found is None:
            pytest.fail(f"the console lacks: {pattern}\n{self}", pytrace=False)
        return found

    def must_not_say(self, pattern):
        found = re.search(pattern, self.console, re.MULTILINE)
        if found is not None:
            pytest.fail(f"the console has: {found[0]}\n{self}", pytrace=False)

    def must_end(self, status):
        """Fails unless the run had the exit status, and told it on the debug port."""
        told = re.findall(r"^seedvisor-result: (\d)\r?$", self.debug, re.MULTILINE)
        if self.status != status or told != [str(status)]:
            pytest.fail(f"expected the exit status {status}, got {self.status}; on the debug port"
                        f" {told}\n{self}", pytrace=False)

    def tail(self):
        """The end of it all, for a failed test's report."""
        return "\n".join(self.console.splitlines()[-40:]) + "\n" + self.errors

    def __repr__(self):
        return f"<status {self.status} after {self.seconds:.0f} s>\n{self.tail()}"


def make_image(path, configuration=None, files=(), efi=None):
    """Makes a disk image; the configuration is a text, or None for none."""
    command = [ROOT / "tools/mkimage", "-o", path, "-e", efi or BUILD / "seedvisor.efi"]
    if configuration is None:
        command.append("--no-config")
    else:
        text = path.with_suffix(".conf")
        text.write_text(configuration, encoding="utf-8")
        command += ["-c", text]
    subprocess.run(command + list(files), check=True)
    return path


def start_launch(image, *options, **streams):
    """Starts tools/launch on an image; streams are subprocess.Popen's."""
    return subprocess.Popen([ROOT / "tools/launch", *options, image], **streams)


def talk(process, replies):
    """Reads the console to its end; answers each (texts..., keys) when all its texts have appeared
    since the last answer."""
    console = b""
    answered = 0
    replies = list(replies)
    while data := os.read(process.stdout.fileno(), 65536):
        console += data
        while replies and all(text.encode() in console[answered:] for text in replies[0][:-1]):
            answered = len(console)
            process.stdin.write(replies.pop(0)[-1].encode())
            process.stdin.flush()
    return console


def run_launch(image, *options, record=None, replies=(), env=None):
    """Runs an image to its end and returns its Outcome."""
    record = record or image.with_suffix("")
    debug = record.with_suffix(".debug")
    begin = time.monotonic()
    if replies:
        options += ("--input",)
    with open(record.with_suffix(".stderr"), "w+b") as errors:
        with start_launch(image, "--debug-log", debug, *options, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=errors, env=env) as process:
            console = talk(process, replies)
        errors.seek(0)
        error_text = errors.read()
    record.with_suffix(".console").write_bytes(console)
    return Outcome(record, process.returncode,
                   console.decode(errors="replace").replace("\r", ""),
                   error_text.decode(errors="replace"),
                   debug.read_text(errors="replace") if debug.exists() else "",
                   time.monotonic() - begin)


def run_scenario(name, accel, build):
    """Makes the scenario's image with the hypervisor of a build folder, and runs it."""
    scenario = SCENARIOS[name]
    record = build / "system" / f"{accel}-{name}"
    image = record.with_suffix(".img")
    try:
        make_image(image, scenario.text(), [BUILD / file for file in scenario.files],
                   BUILD / scenario.efi if scenario.efi else build / "seedvisor.efi")
        options = ["--accel", accel, "--timeout", str(TIMEOUTS[accel]), "--memory",
                   str(scenario.memory), "--cpus", str(scenario.cpus)]
        if accel in scenario.cpu:
            options += ["--cpu", scenario.cpu[accel]]
        if scenario.one_thread and accel == "tcg":
            options.append("--one-thread")
        if accel == "bochs" and build == BUILD:
            options += ["--ips", str(BOCHS_IPS)]
        options += [option.format(record=record) for option in scenario.launch]
        if scenario.egd is None:
            return run_launch(image, *options, record=record, replies=scenario.replies)
        with EgdServer(scenario.egd) as server:
            options += ["--com2", server.address]
            return run_launch(image, *options, record=record, replies=scenario.replies)
    finally:
        image.unlink(missing_ok=True)


class Farm:
    """Runs scenarios in the background, in the order they were asked for, each once."""

    def __init__(self, jobs, build):
        self.build = build
        self.jobs = jobs
        self.busy = 0  # jobs; a scenario that wants to be alone takes all
        self.lent = 0  # of them
        self.change = threading.Condition()
        (build / "system").mkdir(parents=True, exist_ok=True)
        self.pool = concurrent.futures.ThreadPoolExecutor(jobs)
        self.futures = {}

    def submit(self, name, accel):
        key = (name, accel)
        if key not in self.futures:
            self.futures[key] = self.pool.submit(self.run, name, accel)
        return self.futures[key]

    def run(self, name, accel):
        jobs = self.jobs if accel in SCENARIOS[name].alone else 1
        with self.change:
            self.change.wait_for(lambda: self.busy + jobs <= self.jobs)
            self.busy += jobs
        try:
            return run_scenario(name, accel, self.build)
        finally:
            self.give_back(jobs)

    def give_back(self, jobs):
        with self.change:
            self.busy -= jobs
            self.change.notify_all()

    def lend(self):
        """Takes one job away, for tests that start emulators themselves."""
        with self.change:
            self.busy += 1
            self.lent = 1

    def recover(self):
        """Has the job back, if it is lent."""
        self.give_back(self.lent)
        self.lent = 0

    def longest(self, count):
        """(seconds, emulator, scenario) of the runs that took longest, the longest first."""
        ended = [(future.result().seconds, accel, name)
                 for (name, accel), future in self.futures.items()
                 if future.done() and not future.cancelled() and future.exception() is None]
        return sorted(ended, reverse=True)[:count]

    def close(self):
        self.recover()
        self.pool.shutdown(wait=True, cancel_futures=True)


def pytest_addoption(parser):
    parser.addoption("--accel", default="bochs,tcg", help="emulators, separated by commas")
    parser.addoption("--jobs", type=int, default=os.cpu_count(), help="emulators at a time")
    parser.addoption("--coverage", action="store_true", help="run the build with counters")


def pytest_configure(config):
    config.addinivalue_line("markers", "scenario(*names): the scenarios that the test looks at")
    build = BUILD / "coverage" if config.getoption("--coverage") else BUILD
    config.farm = Farm(config.getoption("--jobs"), build)


def pytest_unconfigure(config):
    config.farm.close()


def pytest_terminal_summary(terminalreporter, config):
    longest = config.farm.longest(10)
    if longest:
        terminalreporter.section("longest runs")
    for seconds, accel, name in longest:
        terminalreporter.write_line(f"{seconds:5.0f} s {accel} {name}")


def accels_of(config, names):
    """The emulators, of those asked for, that can run all the scenarios named."""
    wanted = config.getoption("--accel").split(",")
    counted = config.getoption("--coverage")
    return [accel for accel in wanted
            if all(accel in SCENARIOS[name].accels
                   and (not counted or name in COVERAGE[accel]) for name in names)]


def pytest_generate_tests(metafunc):
    marker = metafunc.definition.get_closest_marker("scenario")
    if marker:
        metafunc.parametrize("accel", accels_of(metafunc.config, marker.args))


def has_scenario(item):
    return item.get_closest_marker("scenario") is not None


def pytest_collection_modifyitems(config, items):
    """Drops the tests that none of the emulators asked for can run, or that have no counters."""
    def possible(item):
        if has_scenario(item):
            return isinstance(item.callspec.params["accel"], str)
        return not config.getoption("--coverage")

    impossible = [item for item in items if not possible(item)]
    # First what has no scenario: while it runs, one after the other, the first scenarios do.
    items[:] = sorted((item for item in items if item not in impossible), key=has_scenario)
    config.hook.pytest_deselected(items=impossible)


def pytest_collection_finish(session):
    """Asks for all runs, Bochs's first: they take longest, and the last ones should be short. Last
    of all those that nothing may run beside."""
    if session.config.getoption("collectonly"):
        return
    if not all(map(has_scenario, session.items)):
        session.config.farm.lend()
    keys = [(name, item.callspec.params["accel"]) for item in session.items
            for marker in item.iter_markers("scenario") for name in marker.args]
    for name, accel in sorted(keys, key=lambda key: (key[1] in SCENARIOS[key[0]].alone,
                                                     key[1] != "bochs")):
        session.config.farm.submit(name, accel)


def pytest_runtest_setup(item):
    if has_scenario(item):
        item.config.farm.recover()


@pytest.fixture
def outcomes(request, accel):
    """The Outcome of each scenario that the test's marker names, in that order."""
    names = request.node.get_closest_marker("scenario").args
    return [request.config.farm.submit(name, accel).result() for name in names]


@pytest.fixture
def outcome(outcomes):
    """The Outcome of the one scenario that the test's marker names."""
    return outcomes[0]
