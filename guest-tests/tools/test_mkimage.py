# tools/mkimage: what it refuses before it touches anything, and what a signal leaves behind.
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pexpect
import pytest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(name="folder")
def folder_fixture(tmp_path):
    for name in ("app.efi", "ci.conf", "vmlinuz"):
        (tmp_path / name).write_text(f"this is {name}", encoding="ascii")
    return tmp_path


def mkimage(folder, *arguments, output="d.img"):
    return subprocess.run([TOOLS / "mkimage", "-o", output, "-e", "app.efi", "-c", "ci.conf",
                           *arguments], cwd=folder, capture_output=True, text=True, check=False,
                          timeout=60)


def contents(image, name):
    return subprocess.run(["mtype", "-i", f"{image}@@1M", f"::/{name}"], capture_output=True,
                          text=True, check=True).stdout


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(folder, done, text):
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"mkimage: {text}\n")
    assert not list(folder.glob(".mkimage-*"))


@pytest.mark.parametrize("output, text", (
    ("ci.conf", "ci.conf: the image would take the place of its input ci.conf"),
    ("app.efi", "app.efi: the image would take the place of its input app.efi"),
    ("link", "link: the image would take the place of its input vmlinuz"),
    (".", ".: this is a folder; name the image too"),
    ("new/", "new/: this is a folder; name the image too"),
    ("none/d.img", "none/d.img: no such folder to write it to"),
    ("pipe", "pipe: not a regular file; make the image in one, and write that to a device with dd"),
    ("/dev/null", "/dev/null: not a regular file; make the image in one, and write that to a device"
     " with dd"),
))
def test_what_must_not_be_replaced(folder, output, text):
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("vmlinuz")
    before = left(folder)
    refused(folder, mkimage(folder, "vmlinuz", output=output), text)
    assert left(folder) == before
    assert (folder / "ci.conf").read_text(encoding="ascii") == "this is ci.conf"
    assert (folder / "pipe").is_fifo()


def test_an_image_is_replaced_also_through_a_link(folder):
    (folder / "images").mkdir()
    (folder / "images/old.img").write_text("old", encoding="ascii")
    (folder / "d.img").symlink_to("images/old.img")
    done = mkimage(folder, "vmlinuz")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / "d.img").is_symlink()
    assert contents(folder / "images/old.img", "vmlinuz") == "this is vmlinuz"


@pytest.mark.parametrize("name, part", (
    ("aux", "aux"), ("Nul.txt", "Nul.txt"), ("a/COM1", "COM1"), ("clock$", "clock$"),
    ("a?b", "a?b"), ("a:b", "a:b"), ("a*", "a*"), ('a"b', 'a"b'), ("a\nb", "a\nb"),
    ("trail.", "trail."), ("trail ", "trail "), (" lead", " lead"), (".", "."), ("..", ".."), ("a[b]/x", "a[b]"),
    ("x/../y", ".."), ("./x", "."), ("a//b", ""), ("", ""), ("x" * 256, "x" * 256),
))
def test_names_that_fat_cannot_have(folder, name, part):
    refused(folder, mkimage(folder, f"vmlinuz={name}"),
            f'vmlinuz={name}: a file on the partition cannot have the name "{part}"')


def test_a_name_outside_ascii(folder):
    done = mkimage(folder, "vmlinuz=\xe4")
    assert done.returncode == 1
    assert "a file on the partition cannot have the name" in done.stderr


@pytest.mark.parametrize("arguments, text", (
    (("vmlinuz=EFI",), "vmlinuz: EFI is a folder on the partition"),
    (("vmlinuz=efi/Boot",), "vmlinuz: EFI/BOOT is a folder on the partition"),
    (("vmlinuz=k", "ci.conf=K/x"), "vmlinuz: K is a folder on the partition"),
    (("ci.conf=k/x", "vmlinuz=k"), "vmlinuz: k is a folder on the partition"),
    (("vmlinuz", "ci.conf=VmLinuz"), "ci.conf: vmlinuz is to be VmLinuz on the partition already"),
    (("vmlinuz=efi/boot/bootx64.efi",),
     "vmlinuz: app.efi is to be efi/boot/bootx64.efi on the partition already"),
))
def test_names_that_are_taken(folder, arguments, text):
    refused(folder, mkimage(folder, *arguments), text)


def test_unusual_names_that_fat_can_have(folder):
    names = (".config", "a;b+c,d", "consul", "com", "vm~1", "Deep/er", "deep/A", "SEEDVISOR",
             "x" * 255)
    done = mkimage(folder, *(f"vmlinuz={name}" for name in names))
    assert (done.returncode, done.stderr) == (0, "")
    for name in names:
        assert contents(folder / "d.img", name) == "this is vmlinuz"


def test_nothing_is_asked_on_a_terminal(folder):
    """mtools would ask on /dev/tty; without one it fails instead, as this in its place does."""
    wrapper = folder / "bin" / "mcopy"
    wrapper.parent.mkdir()
    wrapper.write_text('#!/bin/sh\nexec </dev/tty && echo "a terminal" && sleep 600\n',
                       encoding="ascii")
    wrapper.chmod(0o755)
    child = pexpect.spawn(str(TOOLS / "mkimage"), ["-o", "d.img", "-e", "app.efi", "-c", "ci.conf"],
                          cwd=str(folder), timeout=60,
                          env=dict(os.environ, PATH=f"{wrapper.parent}:{os.environ['PATH']}"))
    child.expect("mkimage: mcopy .*/dev/tty")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
def test_a_signal_leaves_nothing_behind(folder, number):
    slow = folder / "bin" / "mcopy"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\necho $$ > pid; exec sleep 600\n", encoding="ascii")
    slow.chmod(0o755)
    before = left(folder)
    with subprocess.Popen([TOOLS / "mkimage", "-o", "d.img", "-e", "app.efi", "-c", "ci.conf"],
                          cwd=folder, stderr=subprocess.PIPE, text=True,
                          env=dict(os.environ, PATH=f"{slow.parent}:{os.environ['PATH']}")) as process:
        while not (folder / "pid").exists() or not (folder / "pid").stat().st_size:
            assert process.poll() is None
            time.sleep(0.02)
        assert list(folder.glob(".mkimage-*"))
        process.send_signal(number)
        errors = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + number
    assert errors == f"mkimage: interrupted by {number.name}\n"
    pid = (folder / "pid").read_text(encoding="ascii").strip()
    assert not os.path.exists(f"/proc/{pid}")
    assert left(folder) == sorted([*before, "pid"])


def test_the_application_is_looked_for_beside_the_tool(folder):
    shutil.copytree(TOOLS, folder / "top/tools", ignore=shutil.ignore_patterns("__pycache__"))
    command = [folder / "top/tools/mkimage", "-o", "d.img", "-c", "ci.conf"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    refused(folder, done, f"{folder}/top/build/seedvisor.efi: no such file (make build/seedvisor.efi"
            " builds it)")
    (folder / "top/build").mkdir()
    shutil.copy(folder / "app.efi", folder / "top/build/seedvisor.efi")
    assert subprocess.run(command, cwd=folder, check=False).returncode == 0
    assert contents(folder / "d.img", "EFI/BOOT/BOOTX64.EFI") == "this is app.efi"
