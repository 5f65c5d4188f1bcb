# tools/seedvisor-check: verdicts, exit statuses, the full configuration, files on the volume.
"""Runs the checker that make built (build/seedvisor-check)."""

import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
CHECKER = TOP / "build" / "seedvisor-check"
ALL_KEYS = TOP / "guest-tests" / "fuzz" / "corpus-config" / "all-keys"


def check(*arguments):
    return subprocess.run([CHECKER, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(name="write")
def write_fixture(tmp_path):
    def write(text):
        path = tmp_path / "seedvisor.conf"
        path.write_text(text, encoding="utf-8")
        return path
    return write


def test_good_file_is_silent(write):
    result = check(write("[guest g]\nkernel = k\n"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_every_mistake_is_told(write):
    path = write("[guest g]\nkernal = k\nmemory = 5M\nkernel = k\n")
    result = check(path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"{path}:2: kernal: no such key in [guest g]; did you mean kernel?\n"
        f'{path}:3: memory = "5M": expected a size from 16M to 512G\n')


def test_contradictions_are_told(write):
    path = write("[host]\nrng.tap = on\n[guest g]\nkernel = k\nrng = egd\n")
    result = check(path)
    assert result.returncode == 1
    assert result.stderr == (f"{path}:5: [guest g]: expected rng = none, because of rng.tap = on "
                             "at line 2\n")


@pytest.mark.parametrize("arguments", [
    [], ["a", "b"], ["--reference", "a"], ["--reference", "--show"], ["--unknown", "a"],
    ["--root"]])
def test_wrong_usage(arguments):
    result = check(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "usage: seedvisor-check" in result.stderr


def test_help():
    result = check("--help")
    assert result.returncode == 0
    assert result.stdout.startswith("usage: seedvisor-check")


def test_unreadable_files(tmp_path):
    result = check(tmp_path / "none.conf")
    assert (result.returncode, result.stderr) == (
        2, f"{tmp_path}/none.conf: No such file or directory\n")
    result = check(tmp_path)
    assert (result.returncode, result.stderr) == (2, f"{tmp_path}: Is a directory\n")
    huge = tmp_path / "huge.conf"
    with open(huge, "wb") as file:
        file.truncate(16 << 20)
    assert (check(huge).returncode, check(huge).stderr) == (2, f"{huge}: too large\n")


def test_show_fills_in_the_defaults(write):
    result = check("--show", write("[guest g]\nkernel = /k\nvirtio.features =\ncpus = 0,1,2,63\n"
                                   'cmdline = " a "\n'))
    assert result.returncode == 0
    assert result.stdout == """\
[host]
console = auto
on_idle = poweroff
rng.conditioner = none
rng.mix = rdseed, rdrand
rng.tap = off
trace = off
debug.panic_after_exits = 0

[guest g]
kernel = \\k
cmdline = " a "
boot = auto
memory = 256M
vcpus = 1
cpus = 0-2,63
rng = rdseed
rng.page = mapped
rng.trap = off
rng.seed = on
virtio = modern
virtio.features = 
fw_cfg = off
on_poweroff = stop
on_reboot = stop
on_crash = fail
restart.limit = 3
start = on
start.delay = 0ms
"""


def test_what_is_shown_means_the_same(write):
    """The shown text, read again, shows itself; and each key of the table is in it."""
    first = check("--show", ALL_KEYS)
    assert first.returncode == 0
    second = check("--show", write(first.stdout))
    assert (second.returncode, second.stdout) == (0, first.stdout)
    keys = re.findall(r"^\| \w+ \| `([^`]*)` ", check("--reference").stdout, re.MULTILINE)
    assert len(keys) == len(set(keys)) == 31
    for key in keys:
        assert re.search(rf"^{re.escape(key)} = ", first.stdout, re.MULTILINE), key


@pytest.mark.parametrize("value, shown", [
    ('"\\" a', None),
    ('"', None),
    ('""quoted""', '""quoted""'),
    ("a\tb # c", "a\tb # c"),
    ('"a "', '"a "'),
])
def test_texts_are_shown_as_they_can_be_read(write, value, shown):
    result = check("--show", write(f"[guest g]\nkernel = k\ncmdline = {value}\n"))
    if shown is None:
        assert (result.returncode, result.stdout) == (1, "")
    else:
        assert f"\ncmdline = {shown}\n" in result.stdout
        again = check("--show", write(result.stdout))
        assert again.stdout == result.stdout


def test_files_under_a_root(write, tmp_path):
    root = tmp_path / "volume"
    (root / "Boot").mkdir(parents=True)
    (root / "Boot" / "VMLINUZ").write_bytes(b"k")
    (root / "empty").write_bytes(b"")
    path = write("[guest g]\nkernel = /boot\\vmlinuz\n")
    assert check("--root", root, path).returncode == 0
    path = write("[guest g]\nkernel = boot/\ninitrd = /empty\nmodules = boot//vmlinuz, /x/y\n"
                 "[guest h]\nkernel = boot/vmlinuz/x\n")
    result = check("--root", root, path)
    assert result.returncode == 1
    assert result.stderr == (
        f"{path}: [guest g]: kernel = boot\\: this is no file under {root}\n"
        f"{path}: [guest g]: initrd = \\empty: the file is empty under {root}\n"
        f"{path}: [guest g]: modules = \\x\\y: there is no such file under {root}\n"
        f"{path}: [guest h]: kernel = boot\\vmlinuz\\x: there is no such file under {root}\n")
    # Mistakes come first: what is named by a wrong file is not looked for.
    assert "no such file" not in check("--root", root, write("[guest g]\nkernel =\n")).stderr


def test_reference_is_the_readmes():
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^<!-- keys -->\n(.*?)^<!-- end of keys -->$", readme,
                        re.MULTILINE | re.DOTALL)
    assert section[1] == check("--reference").stdout


def test_shipped_configurations_are_good():
    found = sorted(TOP.glob("guest-tests/**/*.conf"))
    assert found
    for path in found:
        result = check(path)
        assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("option", (("--show", ALL_KEYS), ("--reference",), ("--help",)))
def test_output_that_cannot_be_written(option):
    with open("/dev/full", "wb") as full:
        result = subprocess.run([CHECKER, *option], stdout=full, stderr=subprocess.PIPE, text=True,
                                check=False)
    assert (result.returncode, result.stderr) == (
        2, "seedvisor-check: stdout cannot be written\n")
