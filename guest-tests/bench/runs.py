# The measured runs: configurations, machines, and running them in the emulators.
import concurrent.futures
import dataclasses
import pathlib
import re
import subprocess

from bench import console, over_time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
FILES = (BUILD / "guest/vmlinuz", BUILD / "guest/initramfs.cpio")
BARE_FILES = (BUILD / "guest/bare/measure.elf",)
# Seconds. With --icount the firmware alone takes a minute or two.
TIMEOUT = 3600
READS = 2000
# Several guests start reading where the time stamp counter is a multiple of this, the next one when
# they have booted. They must not boot around such a point: they do at 1.9 (two in Bochs), 2.5, 3.5
# (two on one CPU in TCG), 4.3 and 4.7 G. Nor should they wait for long, for Bochs with several CPUs
# takes as long for a tick in which all of them sleep as for several instructions.
ALIGN = 750_000_000
# Turns on a shared CPU are of a millisecond, in TCG a million ticks: each guest has several.
WINDOW = 100_000_000
# quiet and cryptomgr.notests: what takes long and is the kernel's own. iomem: for exit-bench.
CMDLINE = "console=ttyS0 panic=-1 quiet cryptomgr.notests iomem=relaxed"
# Both count instructions as ticks and repeat themselves.
MACHINES = {
    "vmx-bochs": ("--accel", "bochs", "--seed", "1"),
    "svm-tcg": ("--accel", "tcg", "--icount", "--seed", "1"),
}


class Failed(Exception):
    """A run did not end well; the text tells which and how."""


@dataclasses.dataclass(frozen=True)
class Run:
    """So many guests of a kind on a machine with a CPU for each vCPU, or with one for all."""

    test: str  # what bench.sh is to do
    guests: int = 1
    vcpus: int = 1
    memory: int = 256  # MiB of each guest
    files: tuple = FILES
    trace: bool = False  # of the last exits, on port 0xE9
    shared: bool = False  # one CPU for all
    machines: tuple = tuple(MACHINES)  # that it is made on

    def configuration(self):
        return ("[host]\ntrace = on\n" if self.trace else "") + "\n".join(f"""\
[guest g{i}]
kernel = /vmlinuz
initrd = /initramfs.cpio
memory = {self.memory}M
vcpus = {self.vcpus}
cmdline = {CMDLINE} seedvisor.test=bench={self.test}
""" for i in range(self.guests))

    def options(self):
        memory = self.guests * self.memory + 256
        cpus = 1 if self.shared else self.guests * self.vcpus
        return "--cpus", str(cpus), "--memory", str(memory)


@dataclasses.dataclass(frozen=True)
class BareRun(Run):
    """The guest without an operating system, which measures instructions."""

    test: str = ""
    files: tuple = BARE_FILES

    def configuration(self):
        return f"""\
[guest bare]
kernel = /measure.elf
memory = {self.memory}M
debug_exit = 0xf4
fw_cfg = on
"""


def window(guests, **more):
    return Run(f"window,{ALIGN},{WINDOW}", guests=guests, memory=128, **more)


RUNS = {
    "bare": BareRun(),
    "few": Run("1"),
    "again": Run("1"),  # the same, to the tick
    "one": Run(str(READS)),
    "smp": Run(str(READS), vcpus=2),
    "trace": Run("200", trace=True),
    "window1": window(1),
    # Several CPUs at the same time are Bochs's only: its counter goes on once for all of them. In
    # TCG it goes on with each instruction of any, and with --icount one CPU runs until some timer
    # of the machine is due, for up to 100 M ticks, before the next one does.
    "window2": window(2, machines=("vmx-bochs",)),
    "window4": window(4, machines=("vmx-bochs",)),
    "share2": window(2, shared=True),
    "share4": window(4, shared=True),
}
# What CI has the time for.
QUICK = ("bare", "few", "again", "one")


def efi_bytes():
    return (BUILD / "seedvisor.efi").stat().st_size


def make_image(path, run):
    configuration = path.with_suffix(".conf")
    configuration.write_text(run.configuration(), encoding="ascii")
    subprocess.run([ROOT / "tools/mkimage", "-o", path, "-e", BUILD / "seedvisor.efi",
                    "-c", configuration, *run.files], check=True)


def build():
    """Which sources the hypervisor in the build folder is of; None if there may be several."""
    header = (BUILD / "generated/build_id.h").read_text(encoding="ascii")
    found = re.search(r'BUILD_ID "([^"]+)"', header)[1]
    return None if found == "unknown" or found.endswith("-dirty") else found


def read(folder, machine, name):
    """The Record of a run that was made; raises Incomplete."""
    base = folder / f"{machine}-{name}"
    log, debug = (base.with_suffix(f".{end}").read_text(encoding="utf-8", errors="replace")
                  for end in ("console", "debug"))
    record = console.parse(log, linux=not isinstance(RUNS[name], BareRun))
    if RUNS[name].trace:
        record.over_time = over_time.parse(debug)
    return record


def kept(folder, machine, name):
    """The Record of a run that an earlier call made of the same build, or None."""
    try:
        record = read(folder, machine, name)
    except (OSError, console.Incomplete):
        return None
    return record if record.build == build() else None


def measure(folder, machine, name):
    """Makes one run; keeps its console in the folder and returns the Record."""
    run = RUNS[name]
    base = folder / f"{machine}-{name}"
    image = base.with_suffix(".img")
    log, debug = base.with_suffix(".console"), base.with_suffix(".debug")
    try:
        make_image(image, run)
        done = subprocess.run(
            [ROOT / "tools/launch", "--no-input", "--timeout", str(TIMEOUT), "--log", log,
             "--debug-log", debug, *MACHINES[machine], *run.options(), image],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        image.unlink(missing_ok=True)
    if done.returncode != 0:
        raise Failed(f"{machine}, run {name}: status {done.returncode}, see {log}\n{done.stderr}")
    try:
        return read(folder, machine, name)
    except console.Incomplete as error:
        raise Failed(f"{machine}, run {name}: {error}, see {log}") from error


def measure_all(folder, machines, names, jobs, tell, keep=False):
    """Runs everything that is for these machines, `jobs` at a time; returns machine to run's name
    to Record. With keep, what kept() finds is not run again."""
    folder.mkdir(parents=True, exist_ok=True)

    def find(machine, name):
        return keep and kept(folder, machine, name) or measure(folder, machine, name)

    records = {machine: {} for machine in machines}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        # The long ones first.
        futures = {pool.submit(find, machine, name): (machine, name)
                   for name in reversed(names) for machine in machines
                   if machine in RUNS[name].machines}
        for future in concurrent.futures.as_completed(futures):
            machine, name = futures[future]
            records[machine][name] = future.result()
            tell(f"{machine}: {name} done")
    return records
