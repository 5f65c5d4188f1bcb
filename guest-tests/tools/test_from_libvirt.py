# tools/from-libvirt: sections from recorded domains, and what is told of the rest.
"""Each section that is written must pass build/seedvisor-check, which make built."""

import os
import pathlib
import signal
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
CHECKER = TOP / "build" / "seedvisor-check"
DOMAINS = pathlib.Path(__file__).parent / "domains"
MINIMAL = ("<domain type='kvm'><name>g</name><memory unit='MiB'>64</memory>"
           "<os><type>hvm</type><kernel>/k</kernel></os>%s</domain>")


def convert(*arguments, stdin=None):
    return subprocess.run([TOP / "tools" / "from-libvirt", *arguments], input=stdin,
                          capture_output=True, text=True, check=False)


def convert_text(xml, *arguments):
    return convert(*arguments, "-", stdin=xml)


def settings(result):
    """The section's settings, after the checker has accepted it."""
    assert result.returncode == 0, result.stderr
    verdict = subprocess.run([CHECKER, "/dev/stdin"], input=result.stdout, capture_output=True,
                             text=True, check=False)
    assert (verdict.returncode, verdict.stderr) == (0, "")
    lines = [line for line in result.stdout.splitlines() if not line.startswith(("#", "["))]
    return dict(line.split(" = ", 1) for line in lines)


def minimal(inside, *arguments):
    return convert_text(MINIMAL % inside, *arguments)


def rng(inside):
    return f"<devices><rng model='virtio'>{inside}</rng></devices>"


def test_all_of_a_small_domain():
    result = convert("--strict", DOMAINS / "ci.xml")
    assert result.stderr == ""
    assert result.stdout == """\
# These files of the host must be on the boot volume:
#   /srv/ci/bzImage as /bzImage
#   /srv/ci/tests.cpio as /tests.cpio
# libvirt restarts without end; here restart.limit bounds it.
[guest ci]
kernel = /bzImage
initrd = /tests.cpio
cmdline = console=ttyS0 panic=-1
memory = 512M
vcpus = 1
rng = rdseed
on_poweroff = stop
on_reboot = restart
on_crash = fail
"""
    settings(result)


def test_a_domain_with_much_more():
    result = convert(DOMAINS / "server.xml")
    assert "\n[guest web-server--1]\n" in result.stdout
    assert settings(result) == {
        "kernel": "/vmlinuz-6.1.0-13-amd64",
        "initrd": "/initrd.img-6.1.0-13-amd64",
        "cmdline": 'root=/dev/vda1 ro console=ttyS0,115200 init="/bin/sh -c true" &x=<1>',
        "memory": "1432M",
        "vcpus": "2",
        "cpus": "2-3,5",
        "rng": "rdseed",
        "rng.rate": "1024/1000ms",
        "virtio.features": "indirect, event_idx, packed",
        "on_poweroff": "stop",
        "on_reboot": "restart",
    }
    assert result.stderr == (DOMAINS / "server.left-out").read_text(encoding="utf-8")
    strict = convert("--strict", DOMAINS / "server.xml")
    assert (strict.returncode, strict.stdout) == (1, "")
    assert strict.stderr == (result.stderr + "from-libvirt: --strict: the section would not be all "
                             "of the domain\n")


def test_egd():
    result = convert(DOMAINS / "egd.xml")
    assert settings(result) == {
        "kernel": "/vmlinuz", "memory": "2G", "vcpus": "2", "cpus": "1-2", "rng": "egd",
        "rng.rate": "4096/250ms", "on_poweroff": "restart", "on_reboot": "stop",
        "on_crash": "restart"}
    assert result.stderr == (
        'left out: domain/devices/rng/backend/@type = "tcp"\n'
        'left out: domain/devices/rng/backend/source/@mode = "connect"\n'
        'left out: domain/devices/rng/backend/source/@host = "192.0.2.7"\n'
        'left out: domain/devices/rng/backend/source/@service = "2023"\n')


def test_a_domain_without_a_kernel_is_refused():
    result = convert(DOMAINS / "disk-image.xml")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == ("from-libvirt: domain/os/kernel: expected a kernel; Seedvisor starts a "
                             "guest's kernel directly, not by a firmware or from a disk\n")


@pytest.mark.parametrize("unit, size, expected", [
    ("", "65536", "64M"),
    ("unit='b'", "67108864", "64M"), ("unit='bytes'", "67108864", "64M"),
    ("unit='KB'", "67109", "66M"), ("unit='k'", "65536", "64M"), ("unit='KiB'", "65536", "64M"),
    ("unit='MB'", "1000", "954M"), ("unit='M'", "64", "64M"), ("unit='mib'", "64", "64M"),
    ("unit='GB'", "2", "1908M"), ("unit='G'", "3", "3G"), ("unit='GiB'", "512", "512G"),
    ("unit='TB'", "0", None), ("unit='T'", "1", None), ("unit='TiB'", "1", None),
    ("unit='PB'", "1", None), ("unit='EiB'", "16", None), ("unit='MiB'", "15", "16M"),
    ("unit='MiB'", "14", None), ("unit='pages'", "5", None), ("unit='iB'", "67108864", None),
    ("", "", None), ("", "-5", None), ("", "1e6", None),
])
def test_memory(unit, size, expected):
    xml = (f"<domain><name>g</name><memory {unit}>{size}</memory><os><kernel>/k</kernel></os>"
           "</domain>")
    result = convert_text(xml)
    if expected is None:
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("from-libvirt: domain/memory")
    else:
        assert settings(result)["memory"] == expected


def test_current_memory():
    same = MINIMAL.replace("<os>", "<currentMemory>65536</currentMemory><os>") % ""
    assert convert_text(same, "--strict").stderr == ""
    less = MINIMAL.replace("<os>", "<currentMemory>32768</currentMemory><os>") % ""
    result = convert_text(less)
    assert settings(result)["memory"] == "64M"
    assert result.stderr == 'left out: domain/currentMemory = "32768" (memory is fixed)\n'


@pytest.mark.parametrize("vcpu, vcpus, cpus", [
    ("", "1", None),
    ("<vcpu>3</vcpu>", "3", None),
    ("<vcpu cpuset='0-3,^1,7'>3</vcpu>", "3", "0,2-3,7"),
    ("<vcpu cpuset='1'>2</vcpu><cputune><vcpupin vcpu='0' cpuset='2'/></cputune>", "2", "1-2"),
    ("<vcpu>2</vcpu><cputune><vcpupin vcpu='0' cpuset='2'/></cputune>", "2", None),
    ("<vcpu>2</vcpu><cputune><vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='2'/>"
     "</cputune>", "2", "2"),
])
def test_vcpus(vcpu, vcpus, cpus):
    found = settings(minimal(vcpu))
    assert (found["vcpus"], found.get("cpus")) == (vcpus, cpus)


@pytest.mark.parametrize("inside, told", [
    # Pinning that is the same for all is all said by cpus =.
    ("<vcpu>2</vcpu><cputune><vcpupin vcpu='0' cpuset='5'/><vcpupin vcpu='1' cpuset='5'/>"
     "</cputune>", ""),
    ("<vcpu>1</vcpu><cputune><vcpupin vcpu='0' cpuset='5'/><emulatorpin cpuset='1'/></cputune>",
     'left out: domain/cputune/emulatorpin/@cpuset = "1"\n'),
    ("<vcpu placement='auto'>1</vcpu>",
     'left out: domain/vcpu/@placement = "auto" (CPUs are not placed by NUMA)\n'),
    ("<unknown/>", "left out: domain/unknown\n"),
    ("<unknown>\n  some\n  text </unknown>", 'left out: domain/unknown = "some\\x0a  text"\n'),
    ("<unknown a='\x85'/>", 'left out: domain/unknown/@a = "\\x85"\n'),
    ("<a><b x='1'/><b/></a>", 'left out: domain/a/b[1]/@x = "1"\nleft out: domain/a/b[2]\n'),
    ("<features><acpi/><apic eoi='on'/></features>",
     'left out: domain/features/apic/@eoi = "on"\n'),
    ("<on_reboot>preserve</on_reboot>", 'left out: domain/on_reboot = "preserve"\n'),
    ("<devices><rng model='virtio-transitional'><backend model='builtin'/></rng></devices>",
     'left out: domain/devices/rng/@model = "virtio-transitional"\n'),
])
def test_leftovers_are_named(inside, told):
    result = minimal(inside)
    settings(result)
    assert result.stderr == told


@pytest.mark.parametrize("inside, rng_key, rate, features", [
    ("", "none", None, None),
    (rng("<backend model='random'/>"), "rdseed", None, None),
    (rng("<backend model='random'>/dev/random</backend>"), "rdseed", None, None),
    (rng("<backend model='random'>/dev/hwrng</backend>"), "rdseed", None, None),
    (rng("<backend model='builtin'/><rate bytes='1' period='2000'/>"), "rdseed", "1/2000ms", None),
    (rng("<backend model='egd'/><rate bytes='64'/>"), "egd", "64/1000ms", None),
    (rng("<backend model='random'/><driver packed='on' event_idx='off'/>"), "rdseed", None,
     "indirect, packed"),
])
def test_rng(inside, rng_key, rate, features):
    result = minimal(inside, "--strict")
    found = settings(result)
    assert (found["rng"], found.get("rng.rate"), found.get("virtio.features")) == (
        rng_key, rate, features)
    assert result.stderr == ""


@pytest.mark.parametrize("inside, told", [
    ("<vcpu>65</vcpu>", 'domain/vcpu = "65": expected a number from 1 to 64'),
    ("<vcpu>0</vcpu>", 'domain/vcpu = "0": expected a number from 1 to 64'),
    ("<vcpu current='3'>2</vcpu>", 'domain/vcpu/@current = "3": expected a number from 1 to 2'),
    ("<vcpu cpuset='64'>1</vcpu>", 'domain/vcpu/@cpuset = "64": expected CPUs from 0 to 63'),
    ("<vcpu cpuset='1,^1'>1</vcpu>", 'domain/vcpu/@cpuset = "1,^1": expected at least one CPU'),
    ("<vcpu cpuset='x'>1</vcpu>",
     'domain/vcpu/@cpuset = "x": expected CPUs such as 0-3,^1,8'),
    ("<cputune><vcpupin cpuset='1'/></cputune>",
     'domain/cputune/vcpupin/@vcpu = "": expected a number from 0 to 63'),
    (rng(""), 'domain/devices/rng/backend/@model = "": expected random, builtin or egd'),
    (rng("<backend model='random'/><rate bytes='0'/>"),
     'domain/devices/rng/rate/@bytes = "0": expected a number from 1 to 1073741824'),
    (rng("<backend model='random'/><rate bytes='1' period='3600001'/>"),
     'domain/devices/rng/rate/@period = "3600001": expected a number from 1 to 3600000'),
])
def test_what_cannot_be_run_is_refused(inside, told):
    result = minimal(inside)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"from-libvirt: {told}\n"


@pytest.mark.parametrize("system, told", [
    ("<type arch='aarch64'>hvm</type><kernel>/k</kernel>",
     'domain/os/type/@arch = "aarch64": expected x86_64'),
    ("<kernel>/k</kernel><cmdline>a&#10;[host]</cmdline>",
     "domain/os/cmdline: expected a single line of plain text"),
    (f"<kernel>/k</kernel><cmdline>{'x' * 2048}</cmdline>",
     "domain/os/cmdline: expected at most 2047 characters"),
    ("<kernel>/boot/k\xe4</kernel>", 'domain/os/kernel = "/boot/k\xe4": expected a file name of '
     "ASCII characters that FAT can have"),
    ("<kernel>/boot/</kernel>", 'domain/os/kernel = "/boot/": expected a file name of '
     "ASCII characters that FAT can have"),
    (f"<kernel>/{'x' * 255}</kernel>",
     "domain/os/kernel: expected a path of at most 255 characters"),
])
def test_systems_that_are_refused(system, told):
    result = convert_text(f"<domain><name>g</name><memory unit='M'>64</memory><os>{system}</os>"
                          "</domain>")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"from-libvirt: {told}\n"


def test_names_cannot_break_out_of_the_section():
    xml = MINIMAL.replace("<name>g<", "<name>g]&#10;[host]\xe4<") % ""
    result = convert_text(xml)
    settings(result)
    assert "\n[guest g---host--]\n" in result.stdout
    assert result.stderr == ('changed: domain/name = "g]\\x0a[host]\xe4" is [guest g---host--]\n')
    xml = MINIMAL.replace("/k<", "/a&#10;[host]/k<") % ""
    result = convert_text(xml)
    settings(result)
    assert "#   /a\\x0a[host]/k as /k\n" in result.stdout


@pytest.mark.parametrize("xml, told", [
    ("<!DOCTYPE d [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]><domain>&b;</domain>",
     "has a document type, which no domain needs: refused"),
    ("<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>",
     "has a document type, which no domain needs: refused"),
    ("<domain>&lol;</domain>", "undefined entity: line 1, column 8"),
    ("<network/>", "expected <domain>, not <network>"),
    ("", "no element found: line 1, column 0"),
    ("<domain>", "no element found: line 1, column 8"),
    ("<a>" * 65 + "</a>" * 65, "elements are nested more than 64 deep: refused"),
])
def test_hostile_or_broken_xml_is_refused(xml, told):
    result = convert_text(xml)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"from-libvirt: -: {told}\n"


def test_huge_and_unreadable_files(tmp_path):
    huge = tmp_path / "huge.xml"
    with open(huge, "wb") as file:
        file.truncate((16 << 20) + 1)
    result = convert(huge)
    assert (result.returncode, result.stderr) == (
        2, f"from-libvirt: {huge}: larger than 16 MiB: refused\n")
    result = convert(tmp_path / "none.xml")
    assert (result.returncode, result.stderr) == (
        2, f"from-libvirt: {tmp_path}/none.xml: No such file or directory\n")


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--bad", "a"], ["--prefix"]])
def test_wrong_usage(arguments):
    result = convert(*arguments)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("from-libvirt: ")


def domain_of_files(kernel, initrd):
    return (f"<domain><name>g</name><memory unit='M'>64</memory><os><kernel>{kernel}</kernel>"
            f"<initrd>{initrd}</initrd></os></domain>")


def test_files_are_copied_to_where_the_section_has_them(tmp_path):
    host, volume = tmp_path / "host", tmp_path / "volume"
    for folder, content in (("a", b"kernel"), ("b", b"initrd")):
        (host / folder).mkdir(parents=True)
        (host / folder / "Image").write_bytes(content)
    # One name for two files: FAT could not have both.
    (host / "b" / "Image").rename(host / "b" / "image")
    xml = domain_of_files(host / "a" / "Image", host / "b" / "image")
    for _ in range(2):  # the second time the same files are there already
        result = convert_text(xml, "--prefix", "vm\\g/", "--copy-to", str(volume))
        found = settings(result)
        assert (found["kernel"], found["initrd"]) == ("/vm/g/Image", "/vm/g/initrd-image")
        assert (volume / "vm/g/Image").read_bytes() == b"kernel"
        assert (volume / "vm/g/initrd-image").read_bytes() == b"initrd"
    conf = tmp_path / "seedvisor.conf"
    conf.write_text(result.stdout, encoding="utf-8")
    assert subprocess.run([CHECKER, "--root", volume, conf], check=False).returncode == 0

    (volume / "vm/g/Image").write_bytes(b"another")
    result = convert_text(xml, "--prefix", "/vm/g", "--copy-to", str(volume))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (f"from-libvirt: {volume}/vm/g/Image: there is another file of that "
                             "name already\n")
    assert (volume / "vm/g/Image").read_bytes() == b"another"


def test_missing_files_are_told(tmp_path):
    result = convert_text(domain_of_files(tmp_path / "none", tmp_path / "none2"), "--copy-to",
                          str(tmp_path / "volume"))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (f"from-libvirt: {tmp_path}/none to {tmp_path}/volume/none: No such "
                             "file or directory\n")


def test_a_prefix_that_fat_cannot_have():
    result = minimal("", "--prefix", "/a:b")
    assert (result.returncode, result.stdout) == (3, "")


def test_a_file_that_is_in_its_place_already(tmp_path):
    """The volume's folder is where the domain has its files: nothing is to be copied."""
    for name in ("kernel", "initrd"):
        (tmp_path / name).write_text(name, encoding="ascii")
    xml = domain_of_files(tmp_path / "kernel", tmp_path / "initrd")
    result = convert_text(xml, "--copy-to", str(tmp_path))
    assert settings(result)["kernel"] == "/kernel"
    assert (tmp_path / "kernel").read_text(encoding="ascii") == "kernel"


def test_names_of_devices_are_refused():
    xml = MINIMAL.replace("/k<", "/boot/aux<") % ""
    result = convert_text(xml)
    assert (result.returncode, result.stdout) == (1, "")


# A locale of plain ASCII, which Python is not to make UTF-8 of by itself.
ASCII = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_names_outside_ascii_in_any_locale(tmp_path):
    folder = tmp_path / "\xe4"
    folder.mkdir()
    (folder / "k").write_text("kernel", encoding="ascii")
    xml = MINIMAL.replace("/k<", f"{folder}/k<") % ""
    done = subprocess.run([TOP / "tools/from-libvirt", "--copy-to", tmp_path / "volume", "-"],
                          input=xml.encode(), capture_output=True, env=ASCII, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"#   {folder}/k as /k\n" in done.stdout.decode()
    assert (tmp_path / "volume/k").read_text(encoding="ascii") == "kernel"


def test_output_that_cannot_be_written():
    command = [TOP / "tools/from-libvirt", DOMAINS / "ci.xml"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1, "from-libvirt: [Errno 28] No space left on device\n")
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False,
                          preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (
        1, "from-libvirt: [Errno 28] No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_a_signal_ends_it_without_a_traceback(tmp_path, number):
    os.mkfifo(tmp_path / "domain.xml")
    with subprocess.Popen([TOP / "tools/from-libvirt", tmp_path / "domain.xml"],
                          stderr=subprocess.PIPE, text=True) as process:
        # It opens when the tool does, which then waits for the first byte.
        with open(tmp_path / "domain.xml", "wb"):
            process.send_signal(number)
            errors = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + number
    assert errors == f"from-libvirt: interrupted by {number.name}\n"
