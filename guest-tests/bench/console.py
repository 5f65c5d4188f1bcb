# What a measured run says on its console, as numbers.
import dataclasses
import re


class Incomplete(Exception):
    """The console lacks a line that is needed; the text says which."""


STARTED = re.compile(r"Seedvisor (\S+), started by the firmware at tsc (\d+)")
LEAVING = re.compile(r"leaving the firmware at tsc (\d+)")
MEMORY = re.compile(r"hypervisor memory: (\d+) KiB, image (\d+) KiB")
ENTERING = re.compile(r"entering the guests at tsc (\d+)")
GUEST = re.compile(r'seedvisor: guest "([^"]+)": (\d+) MiB of memory, (\d+) vCPU')
STATISTICS = re.compile(r'seedvisor: guest "([^"]+)" statistics:')
VCPU = re.compile(r"seedvisor: +vCPU (\d+): exits (\d+), ticks guest (\d+), hypervisor (\d+),"
                  r" idle (\d+)")
KIND = re.compile(r"seedvisor: +([a-z][a-z-]+) +(\d+), hypervisor ticks each (\d+)")
REQUESTS = re.compile(r"seedvisor: +rng: requests (\d+), bytes (\d+), short fills (\d+),"
                      r" parked (\d+)")
ENTROPY = re.compile(r"seedvisor: entropy: .*?tries (\d+), failures (\d+), longest failure run"
                     r" (\d+), health test hits (\d+)")
# A guest's line; with several guests the hypervisor puts each one's name before it.
SAID = re.compile(r"(?:\[([^\]\s]+)\] )?seedvisor-guest: (.*)")
PID1 = re.compile(r"pid1 tsc (\d+)")
READS = re.compile(r"rng-bench reads (\d+) bytes (\d+) min (\d+) median (\d+) p99 (\d+) max (\d+)"
                   r" mean (\d+) ticks")
PERCENTILES = re.compile(r"rng-bench percentiles (\d+)((?: \d+)+)$")
WINDOW = re.compile(r"rng-bench window begin (\d+) ticks (\d+) reads (\d+) bytes (\d+)")
EXIT = re.compile(r"exit-bench ([a-z-]+) min (\d+) median (\d+) p99 (\d+) ticks")


@dataclasses.dataclass
class Guest:
    """What one guest said of itself, and the hypervisor of it."""

    memory: int = 0  # MiB
    vcpus: int = 0
    pid1: int = None  # time stamp counter when PID 1 began
    reads: dict = None  # count, bytes, min, median, p99, max, mean
    percentiles: list = dataclasses.field(default_factory=list)
    window: dict = None  # begin, ticks, reads, bytes
    instructions: dict = dataclasses.field(default_factory=dict)  # name: min, median, p99
    # The hypervisor's statistics, of all vCPUs together.
    exits: dict = dataclasses.field(default_factory=dict)  # kind: how many
    ticks: dict = dataclasses.field(default_factory=dict)  # kind: in the hypervisor, rounded
    ticks_guest: int = 0
    ticks_hypervisor: int = 0
    ticks_idle: int = 0
    rng: dict = None  # requests, bytes, short_fills, parked


@dataclasses.dataclass
class Record:
    """A whole run. Times are values of the time stamp counter, sizes are KiB."""

    build: str = None  # which sources the hypervisor was built from
    started: int = None
    leaving: int = None
    entering: int = None
    memory: int = None
    image: int = None
    entropy: dict = None  # tries, failures, longest_failure_run, health_hits
    guests: dict = dataclasses.field(default_factory=dict)
    over_time: dict = None  # of a run with trace = on, see over_time.py


def integers(names, groups):
    return dict(zip(names, map(int, groups), strict=True))


def take_guest_line(guest, text):
    """Adds to the guest what its own line tells, if it tells something."""
    if found := PID1.match(text):
        guest.pid1 = int(found[1])
    elif found := READS.match(text):
        guest.reads = integers(("count", "bytes", "min", "median", "p99", "max", "mean"),
                               found.groups())
    elif found := PERCENTILES.match(text):
        if int(found[1]) != len(guest.percentiles):
            raise Incomplete(f"percentiles from {len(guest.percentiles)} to {found[1]} are missing")
        guest.percentiles += map(int, found[2].split())
    elif found := WINDOW.match(text):
        guest.window = integers(("begin", "ticks", "reads", "bytes"), found.groups())
    elif found := EXIT.match(text):
        guest.instructions[found[1]] = integers(("min", "median", "p99"), found.groups()[1:])


def take_statistics_line(guest, line):
    """Adds to the guest what a line of the hypervisor's statistics tells, if it does."""
    if found := VCPU.match(line):
        guest.ticks_guest += int(found[3])
        guest.ticks_hypervisor += int(found[4])
        guest.ticks_idle += int(found[5])
    elif found := KIND.match(line):
        kind, exits, each = found[1], int(found[2]), int(found[3])
        guest.exits[kind] = guest.exits.get(kind, 0) + exits
        guest.ticks[kind] = guest.ticks.get(kind, 0) + exits * each
    elif found := REQUESTS.match(line):
        guest.rng = integers(("requests", "bytes", "short_fills", "parked"), found.groups())


def take_host_line(record, line):
    if found := STARTED.search(line):
        record.build, record.started = found[1], int(found[2])
    for name, pattern in (("leaving", LEAVING), ("entering", ENTERING)):
        if found := pattern.search(line):
            setattr(record, name, int(found[1]))
    if found := MEMORY.search(line):
        record.memory, record.image = int(found[1]), int(found[2])
    if found := ENTROPY.match(line):
        record.entropy = integers(("tries", "failures", "longest_failure_run", "health_hits"),
                                  found.groups())


def parse(text, linux=True):
    """The Record of a console's text; linux: its guests have a PID 1 and an entropy device."""
    record = Record()
    counted = None  # whose statistics the lines belong to
    for line in text.replace("\r", "").splitlines():
        if found := SAID.search(line):
            name = found[1] or next(iter(record.guests), None)
            if name in record.guests:
                take_guest_line(record.guests[name], found[2])
        elif found := GUEST.match(line):
            record.guests[found[1]] = Guest(memory=int(found[2]), vcpus=int(found[3]))
        elif found := STATISTICS.match(line):
            counted = record.guests.get(found[1])
        elif line.startswith("seedvisor:"):
            take_host_line(record, line)
            if counted is not None:
                take_statistics_line(counted, line)
    require(record, linux)
    return record


def require(record, linux):
    """Raises Incomplete if a line is missing that every measured run has."""
    for name in ("started", "leaving", "entering", "memory", "entropy"):
        if getattr(record, name) is None:
            raise Incomplete(f"the console does not tell: {name}")
    if not record.guests:
        raise Incomplete("the console does not tell of any guest")
    for name, guest in record.guests.items():
        if linux and guest.pid1 is None:
            raise Incomplete(f'guest "{name}" did not get to PID 1')
        if not guest.exits or (linux and guest.rng is None):
            raise Incomplete(f'guest "{name}" has no statistics')
