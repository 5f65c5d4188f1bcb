# The usage of tools that have no other tests: what they do with arguments, before they do anything.
import os
import pathlib
import subprocess

import pytest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(name="packages")
def packages_fixture(tmp_path):
    """install-packages, on a machine that lacks all packages and has no apt-get to get them."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in (("dpkg-query", "exit 1"), ("apt-get", 'echo "apt-get $*"')):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
        (programs / name).chmod(0o755)

    def call(*arguments):
        return subprocess.run([TOOLS / "install-packages", *arguments], capture_output=True,
                              text=True, check=False, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, PATH=f"{programs}:/usr/bin:/bin"))
    return call


def test_help_installs_nothing(packages):
    for option in ("-h", "--help"):
        done = packages(option)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: tools/install-packages [--proofs] [--check]\n")
        assert "apt-get" not in done.stdout


@pytest.mark.parametrize("arguments", (("--chekc",), ("--check", "nasm"), ("--proofs", "--prove")))
def test_unknown_arguments_install_nothing(packages, arguments):
    done = packages(*arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"install-packages: {arguments[-1]}: unknown\n" in done.stderr


def test_options_in_any_order(packages):
    plain = packages("--check").stdout
    assert "nasm" in plain and "frama-c" not in plain
    for order in (("--check", "--proofs"), ("--proofs", "--check")):
        done = packages(*order)
        assert done.returncode == 1
        assert done.stdout.startswith("install-packages: missing:") and "frama-c" in done.stdout


def test_usage_is_said_once():
    done = subprocess.run([TOOLS / "prove", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: tools/prove [--contradictions]")
