# The system tests' farm: how many emulators run at a time, and with which options.
import importlib.util
import pathlib
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(name="system")
def fixture_system():
    """guest-tests/system/conftest.py as a module."""
    path = ROOT / "guest-tests/system/conftest.py"
    spec = importlib.util.spec_from_file_location("system_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Gate:
    """In run_scenario's place: tells which runs have begun, and lets one end at a time."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.names = []
        self.end = threading.Semaphore(0)

    def run(self, name, _accel, _build):
        self.names.append(name)
        self.begun.release()
        assert self.end.acquire(timeout=30)
        return name

    def begins(self, timeout=30.0):
        return self.begun.acquire(timeout=timeout)


@pytest.fixture(name="farm")
def fixture_farm(system, monkeypatch, tmp_path):
    """A farm of two jobs that runs nothing, with its gate."""
    gate = Gate()
    monkeypatch.setattr(system, "run_scenario", gate.run)
    farm = system.Farm(2, tmp_path)
    farm.gate = gate
    yield farm
    gate.end.release(100)
    farm.close()


def test_two_jobs_run_two_and_each_scenario_once(farm):
    futures = [farm.submit(name, "bochs") for name in ("demo", "check", "smp", "demo")]
    assert farm.gate.begins() and farm.gate.begins() and not farm.gate.begins(0.2)
    farm.gate.end.release()
    assert farm.gate.begins()
    farm.gate.end.release(2)
    assert [future.result(30) for future in futures] == ["demo", "check", "smp", "demo"]
    assert sorted(farm.gate.names) == ["check", "demo", "smp"]


def test_lent_job_is_not_there_until_recovered(farm):
    farm.lend()
    for name in ("demo", "check"):
        farm.submit(name, "bochs")
    assert farm.gate.begins() and not farm.gate.begins(0.2)
    farm.recover()
    assert farm.gate.begins()
    farm.recover()
    farm.gate.end.release()
    farm.submit("share", "tcg")
    assert not farm.gate.begins(0.2), "recovered twice: it would not be alone"


def test_scenario_that_compares_times_is_alone(farm):
    for name in ("demo", "share"):
        farm.submit(name, "tcg")
    assert farm.gate.begins() and not farm.gate.begins(0.2)
    farm.gate.end.release()
    assert farm.gate.begins()
    farm.submit("check", "tcg")
    assert not farm.gate.begins(0.2)
    farm.gate.end.release()
    assert farm.gate.begins()
    assert farm.gate.names == ["demo", "share", "check"]


def test_close_ends_with_a_job_lent(system, monkeypatch, tmp_path):
    monkeypatch.setattr(system, "run_scenario", lambda name, accel, build: name)
    farm = system.Farm(1, tmp_path)
    farm.lend()
    future = farm.submit("demo", "bochs")
    closer = threading.Thread(target=farm.close, daemon=True)
    closer.start()
    closer.join(30)
    assert not closer.is_alive()
    assert future.result(30) == "demo"


@pytest.mark.parametrize("accel, counts, ips", (
    ("bochs", False, ["--ips", "25000000"]), ("bochs", True, []), ("tcg", False, [])))
def test_ips_are_fewer_in_bochs_without_counters(system, monkeypatch, tmp_path, accel, counts, ips):
    """A run with counters keeps the launcher's own number."""
    monkeypatch.setattr(system, "BUILD", tmp_path)
    monkeypatch.setattr(system, "make_image", lambda *_: None)
    monkeypatch.setattr(system, "run_launch", lambda image, *options, **_: list(options))
    build = tmp_path / "coverage" if counts else tmp_path
    options = system.run_scenario("demo", accel, build)
    given = options.index("--ips") if "--ips" in options else len(options)
    assert options[given:given + 2] == ips
