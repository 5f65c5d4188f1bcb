# The launcher itself, with the probe in the hypervisor's place, and the other tools.
import filecmp
import os
import pathlib
import signal
import subprocess
import termios
import time

import pexpect
import pytest

from conftest import BUILD, ROOT, make_image, run_launch, start_launch

PROBE = BUILD / "guest/probe.efi"
# The quicker emulator serves for what is the launcher's own; Bochs has tests of its own.
QUICK = ("--accel", "tcg", "--timeout", "120")
BOCHS = ("--accel", "bochs", "--timeout", "300")
HELLO = b"probe: hello on COM1"


def probe_image(folder, words):
    return make_image(folder / "probe.img", words, efi=PROBE)


def read_until(process, text):
    """What the console shows until the text appears, or to its end."""
    console = b""
    while text not in console:
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            break
        console += data
    return console


def children_of(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text(encoding="ascii").split()]


def wait_until_gone(pid):
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}"):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("result", (0, 1, 2))
def test_status_is_the_result(tmp_path, result):
    outcome = run_launch(probe_image(tmp_path, f"result-{result}"), *QUICK)
    outcome.must_say("^probe: the last line$")
    outcome.must_end(result)
    assert outcome.debug == f"probe: hello on port 0xE9\nseedvisor-result: {result}\n"


def test_end_without_result_is_explained(tmp_path):
    outcome = run_launch(probe_image(tmp_path, "nothing"), *QUICK)
    assert outcome.status == 2
    assert "without telling a result" in outcome.errors


def test_time_out_keeps_the_console(tmp_path):
    outcome = run_launch(probe_image(tmp_path, "hang"), "--accel", "tcg", "--timeout", "20")
    assert outcome.status == 124
    outcome.must_say("^probe: hello on COM1$")
    assert "time-out" in outcome.errors


def test_input_and_much_output_arrive_whole(tmp_path):
    outcome = run_launch(probe_image(tmp_path, "echo flood result-0"), *QUICK,
                         replies=(("waiting for input", "typed here."),))
    outcome.must_say("^TYPED HERE.$")
    assert outcome.console.count("probe: a line that must not be lost, as long as lines tend to be"
                                 "\n") == 400
    outcome.must_end(0)


def test_input_from_a_file_and_from_nowhere(tmp_path):
    """Of a file the firmware takes the beginning; its end, and /dev/null's, is the end of typing."""
    image = probe_image(tmp_path, "echo result-0")
    text = tmp_path / "typed"
    text.write_bytes(b"typed here " * 20000 + b"the end.")
    with open(text, "rb") as stdin:
        done = subprocess.run([ROOT / "tools/launch", *QUICK, "--input", image], stdin=stdin,
                              capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "TYPED HERE TYPED HERE THE END." in done.stdout
    image = probe_image(tmp_path, "result-1")
    done = subprocess.run([ROOT / "tools/launch", *QUICK, "--input", image],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_volume_without_partitions(tmp_path):
    """What the firmware can start from need not be tools/mkimage's."""
    with open(probe_image(tmp_path, "result-0"), "rb") as disk:
        disk.seek(1 << 20)
        (tmp_path / "volume").write_bytes(disk.read())
    run_launch(tmp_path / "volume", *QUICK).must_end(0)


def test_firmware_does_not_clear_the_terminal(tmp_path):
    outcome = run_launch(probe_image(tmp_path, "result-0"), *QUICK)
    assert "\x1b" not in outcome.console


def test_logs(tmp_path):
    console, messages = tmp_path / "log", tmp_path / "messages"
    outcome = run_launch(probe_image(tmp_path, "result-0"), *QUICK, "--log", console,
                         "--emulator-log", messages)
    assert console.read_text(encoding="utf-8").replace("\r", "") == outcome.console
    assert messages.exists()


@pytest.mark.parametrize("number, status", ((signal.SIGINT, 130), (signal.SIGTERM, 143)))
def test_signal_ends_the_emulator_too(tmp_path, number, status):
    image = probe_image(tmp_path, "hang")
    with start_launch(image, *QUICK, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                      env=dict(os.environ, TMPDIR=str(tmp_path))) as process:
        assert HELLO in read_until(process, HELLO)
        emulator, = children_of(process.pid)
        process.send_signal(number)
        assert process.wait(30) == status
    assert wait_until_gone(emulator)
    assert not list(tmp_path.glob("seedvisor-launch-*"))


def test_emulator_does_not_outlive_a_killed_launch(tmp_path):
    image = probe_image(tmp_path, "hang")
    with start_launch(image, *QUICK, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                      env=dict(os.environ, TMPDIR=str(tmp_path))) as process:
        assert HELLO in read_until(process, HELLO)
        emulator, = children_of(process.pid)
        process.kill()
        process.wait(30)
    assert wait_until_gone(emulator)


def test_two_bochs_share_an_image(tmp_path):
    """Side by side, one with input: neither ports nor lock files get in the way."""
    image = probe_image(tmp_path, "echo flood result-0")
    before = image.read_bytes()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [start_launch(image, *BOCHS, "--input", **pipes) for _ in range(2)]
    for process in processes:
        assert b"waiting for input" in read_until(process, b"waiting for input")
        process.stdin.write(b"side by side.")
        process.stdin.flush()
    for process in processes:
        console = read_until(process, b"probe: the last line")
        process.stdout.read()
        process.stdin.close()
        assert process.wait(30) == 0
        assert b"SIDE BY SIDE." in console
        assert console.count(b"a line that must not be lost, as long as lines tend to be\r\n") == 400
    assert image.read_bytes() == before
    assert not list(tmp_path.glob("*.lock"))


def test_bochs_in_a_folder_of_any_name(tmp_path):
    """Its RDSEED is this machine's randomness there too, which launch sees to."""
    folder = tmp_path / "a folder: of mine"
    folder.mkdir()
    outcome = run_launch(probe_image(folder, "result-0"), *BOCHS, "--emulator-log",
                         folder / "messages", env=dict(os.environ, TMPDIR=str(folder)))
    outcome.must_end(0)
    assert "LD_PRELOAD" not in (folder / "messages").read_text(errors="replace")


def test_bochs_without_its_randomness(tmp_path):
    """A gcc that makes a library for no machine here: the dynamic linker only warns of that."""
    gcc = tmp_path / "bin" / "gcc"
    gcc.parent.mkdir()
    gcc.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done; echo no library > "$2"\n',
                   encoding="ascii")
    gcc.chmod(0o755)
    outcome = run_launch(probe_image(tmp_path, "result-0"), *BOCHS,
                         env=dict(os.environ, PATH=f"{gcc.parent}:{os.environ['PATH']}"))
    assert outcome.status == 3
    assert "its RDSEED would be guessable" in outcome.errors


def test_bochs_without_result(tmp_path):
    outcome = run_launch(probe_image(tmp_path, "nothing"), *BOCHS)
    assert outcome.status == 2
    assert "shutdown requested" in outcome.errors


@pytest.mark.parametrize("arguments, text", (
    ((), "DISK.IMG"),
    (("--accel", "vmware", "disk.img"), "vmware"),
    (("--cpus", "0", "disk.img"), "--cpus"),
    (("--accel", "tcg", "nowhere.img"), "nowhere.img: no such file"),
    (("--accel", "bochs", "short.img"), "not whole cylinders"),
    (("README.md",), "README.md: no disk image"),
    (("empty",), "empty: no disk image"),
    (("vmlinuz",), "vmlinuz: no disk image"),
    ((".",), ".: not a regular file"),
    (("/dev/null",), "/dev/null: not a regular file"),
    (("--accel", "tcg", "--seed", "1", "short.img"), "--seed with --accel tcg needs --icount"),
    (("--accel", "tcg", "--emulator-log", "nowhere/log", "short.img"), "nowhere/log"),
    (("--accel", "tcg", "--log", "nowhere/log", "short.img"), "nowhere/log"),
    (("--accel", "bochs", "--icount", "README.md"), "--icount"),
    (("--accel", "bochs", "--one-thread", "README.md"), "--one-thread"),
    (("--input", "--no-input", "disk.img"), "exclude each other"),
))
def test_usage(tmp_path, arguments, text):
    (tmp_path / "README.md").write_text("no image\n", encoding="ascii")
    (tmp_path / "empty").touch()
    # The beginning of a bzImage, with the boot sector's signature that a disk's has too.
    (tmp_path / "vmlinuz").write_bytes(bytes(510) + b"\x55\xaa\xeb\x66HdrS" + bytes(1000))
    (tmp_path / "short.img").write_bytes(bytes(512) + b"EFI PART" + bytes(1000))
    done = subprocess.run([ROOT / "tools/launch", *arguments], cwd=tmp_path, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 3
    assert text in done.stderr


def mkimage(folder, *arguments):
    return subprocess.run([ROOT / "tools/mkimage", *arguments], cwd=folder, capture_output=True,
                          text=True, check=False)


def test_image_holds_the_files(tmp_path):
    for name in ("app.efi", "a.conf", "A kernel with a long name"):
        (tmp_path / name).write_text(f"this is {name}", encoding="ascii")
    done = mkimage(tmp_path, "-o", "disk.img", "-e", "app.efi", "-c", "a.conf",
                   "A kernel with a long name", "app.efi=deep/er/renamed.bin")
    assert done.returncode == 0, done.stderr
    for name, content in (("EFI/BOOT/BOOTX64.EFI", "app.efi"),
                          ("EFI/seedvisor/seedvisor.conf", "a.conf"),
                          ("A kernel with a long name", "A kernel with a long name"),
                          ("deep/er/renamed.bin", "app.efi")):
        read = subprocess.run(["mtype", "-i", "disk.img@@1M", f"::/{name}"], cwd=tmp_path,
                              capture_output=True, text=True, check=True)
        assert read.stdout == f"this is {content}"
    verdict = subprocess.run(["/sbin/sgdisk", "--verify", "disk.img"], cwd=tmp_path,
                             capture_output=True, text=True, check=True).stdout
    assert "No problems found" in verdict
    assert (tmp_path / "disk.img").stat().st_size % (16 * 63 * 512) == 0


def test_image_is_reproducible(tmp_path):
    (tmp_path / "app.efi").write_text("x", encoding="ascii")
    for name in ("one.img", "two.img"):
        assert mkimage(tmp_path, "-o", name, "-e", "app.efi", "--no-config").returncode == 0
        time.sleep(2.1)  # FAT's clock has steps of two seconds
    assert filecmp.cmp(tmp_path / "one.img", tmp_path / "two.img", shallow=False)


@pytest.mark.parametrize("arguments, status, text", (
    (("-o", "d.img", "-e", "app.efi"), 3, "no configuration"),
    (("-e", "app.efi", "--no-config"), 3, "--output"),
    (("-o", "d.img", "-e", "app.efi", "-c", "none.conf"), 1, "none.conf: no such file"),
    (("-o", "d.img", "-e", "none.efi", "--no-config"), 1, "none.efi: no such file"),
    (("-o", "d.img", "-e", "app.efi", "--no-config", "app.efi", "app.efi=APP.EFI"), 1,
     "is to be APP.EFI on the partition already"),
    (("-o", "none/d.img", "-e", "app.efi", "--no-config"), 1, "no such folder"),
))
def test_image_errors_name_the_file(tmp_path, arguments, status, text):
    (tmp_path / "app.efi").write_text("x", encoding="ascii")
    done = mkimage(tmp_path, *arguments)
    assert done.returncode == status
    assert text in done.stderr
    assert not (tmp_path / "d.img").exists()


def test_terminal_is_raw_and_given_back(tmp_path):
    """On a terminal keys go to the machine, Ctrl-C too; Ctrl-] ends the run."""
    child = pexpect.spawn(str(ROOT / "tools/launch"), [*QUICK, str(probe_image(tmp_path, "echo"))],
                          timeout=120)
    child.expect("waiting for input")
    assert not termios.tcgetattr(child.child_fd)[3] & (termios.ECHO | termios.ISIG)
    child.send("key\x03s ")
    child.expect("KEY\x03S ")
    child.send("\x1d")
    child.expect("ended by Ctrl-]")
    child.expect(pexpect.EOF)
    assert termios.tcgetattr(child.child_fd)[3] & termios.ECHO
    child.close()
    assert child.exitstatus == 130
