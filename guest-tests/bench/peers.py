# The same guest without a hypervisor and under KVM with QEMU, nested in the same emulators.
import dataclasses
import re
import subprocess

from bench import console, figures, runs

GUEST_FILES = runs.FILES
PEER_FILES = (runs.FILES[0], runs.BUILD / "bench/peer.cpio")
HOST_MEMORY = "1024"
# The host's kernel; in tuned without what it does against side channels of hardware.
HOST_CMDLINE = ("console=ttyS0,115200 panic=-1 quiet cryptomgr.notests"
                " seedvisor.test=peer={argument} initrd=\\peer.cpio{more}")
KINDS = {"stock": "", "tuned": " mitigations=off"}
# What the last line of a whole console says.
BARE_END = "seedvisor-guest: bench done"
PEERS_END = "peers done"

RUN = re.compile(r"seedvisor-peer: run ([a-z-]+)")
STARTING = re.compile(r"seedvisor-peer: starting at tsc (\d+)")
PID1 = re.compile(r"seedvisor-peer: pid1 seen at tsc (\d+)")
MEMORY = re.compile(r"seedvisor-peer: memory (\d+) KiB, own (\d+) KiB")
EXITS = re.compile(r"seedvisor-peer: exits (\d+) (\d+)")
# The hardware's numbers by our names (SDM Vol. 3, appendix C; APM Vol. 2, appendix C). KVM has
# device registers answered with an EPT misconfiguration. The preemption timer stands for an
# interrupt of the host, as does an interrupt.
REASONS = {
    "vmx-bochs": {1: "host-interrupt", 7: "interrupt-window", 10: "cpuid", 12: "halt", 30: "port",
                  31: "msr-read", 32: "msr-write", 40: "pause", 48: "memory", 49: "memory",
                  52: "host-interrupt"},
    "svm-tcg": {0x60: "host-interrupt", 0x64: "interrupt-window", 0x72: "cpuid", 0x77: "pause",
                0x78: "halt", 0x7b: "port", 0x7c: "msr", 0x400: "memory"},
}


@dataclasses.dataclass
class Peer:
    """One guest of the peer: what it said, and what its host saw."""

    guest: console.Guest = dataclasses.field(default_factory=console.Guest)
    starting: int = None  # time stamp counter of the host when QEMU was started
    pid1: int = None  # likewise when the guest had got to PID 1
    memory: int = None  # KiB that QEMU occupied, the guest's RAM included
    own: int = None  # without it
    exits: dict = dataclasses.field(default_factory=dict)  # the hardware's number: how many


def parse(text):
    """The peers of a host's console: run's name to Peer."""
    peers, peer = {}, None
    for line in text.replace("\r", "").splitlines():
        if found := RUN.search(line):
            peer = peers[found[1]] = Peer()
        elif peer is None:
            continue
        elif found := console.SAID.search(line):
            console.take_guest_line(peer.guest, found[2])
        elif found := STARTING.search(line):
            peer.starting = int(found[1])
        elif found := PID1.search(line):
            peer.pid1 = int(found[1])
        elif found := MEMORY.search(line):
            peer.memory, peer.own = int(found[1]), int(found[2])
        elif found := EXITS.search(line):
            peer.exits[int(found[1])] = int(found[2])
    return peers


def exit_figures(one, few, reasons):
    """Exits of a request, as the difference of two runs in which KVM's exits were counted."""
    requests = one.guest.reads["count"] - few.guest.reads["count"]
    found, total = {}, 0
    for number in one.exits:
        each = (one.exits[number] - few.exits.get(number, 0)) / requests
        total += each
        kind = reasons.get(number, f"reason-{number}")
        found[kind] = found.get(kind, 0) + each
    found = {f"request.exits.{kind}": round(each, 2) for kind, each in found.items()
             if round(each, 2) > 0}
    return found | {"request.exits.all": round(total, 2)}


def of_peer(peers, emulator, bare):
    """The figures of a peer; bare: the Guest that ran without a hypervisor, or None."""
    for name in ("one", "counted-one", "counted-few"):
        if name not in peers or peers[name].guest.reads is None or peers[name].pid1 is None:
            raise console.Incomplete(f"the peer's run {name} did not come to its end")
    peer = peers["one"]
    found = figures.read_figures(peer.guest)
    if bare is not None:
        own = figures.read_figures(bare)["request.ticks.mean"]
        found["request.ticks.guest"] = own
        found["request.ticks.hypervisor"] = found["request.ticks.mean"] - own
    found |= exit_figures(peers["counted-one"], peers["counted-few"], REASONS[emulator])
    found |= figures.instruction_figures(peer.guest)
    found["boot.to-pid1"] = peer.pid1 - peer.starting
    found["size.memory"] = peer.own << 10
    return found


def of_bare(guest):
    """The figures of the guest without a hypervisor; its counter starts with its machine."""
    if guest.reads is None or guest.pid1 is None:
        raise console.Incomplete("the run without a hypervisor did not come to its end")
    found = figures.read_figures(guest)
    found["request.ticks.guest"] = found["request.ticks.mean"]
    return found | figures.instruction_figures(guest) | {"boot.to-pid1": guest.pid1}


def run(command, log):
    """Runs a command with its output into a file; returns the text."""
    with open(log, "wb") as file:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file,
                       stderr=subprocess.STDOUT, timeout=runs.TIMEOUT, check=False)
    return log.read_text(encoding="utf-8", errors="replace")


def kept(log, end, keep):
    """The text that an earlier call left, if it is wanted and came to its end; or None."""
    if keep and log.exists():
        text = log.read_text(encoding="utf-8", errors="replace")
        return text if end in text else None
    return None


def measure_bare(folder, keep=False):
    """Runs the guest on QEMU's emulation itself, where a tick is an instruction; its Guest.

    keep: the console of an earlier call will do.
    """
    log = folder / "peer-bare.console"
    kernel, initramfs = GUEST_FILES
    text = kept(log, BARE_END, keep) or run(
        ["qemu-system-x86_64", "-machine", "microvm,acpi=on", "-accel", "tcg", "-cpu", "max",
         "-icount", "shift=0,sleep=off", "-seed", "1", "-m", "256", "-nodefaults",
         "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
         "-device", "virtio-rng-device", "-kernel", kernel, "-initrd", initramfs,
         "-append", f"{runs.CMDLINE} seedvisor.test=bench={runs.READS}"], log)
    if BARE_END not in text:
        raise runs.Failed(f"no hypervisor: the guest did not come to its end, see {log}")
    guest = console.Guest()
    for line in text.replace("\r", "").splitlines():
        if found := console.SAID.search(line):
            console.take_guest_line(guest, found[2])
    return guest


def measure(folder, emulator, kind, keep=False):
    """Runs KVM and QEMU in an emulator; returns the peers, see parse().

    keep: the console of an earlier call will do.
    """
    base = folder / f"peer-{emulator}-{kind}"
    image, log, configuration = (base.with_suffix(f".{end}") for end in ("img", "console", "conf"))
    if text := kept(log, PEERS_END, keep):
        return parse(text)
    configuration.write_text(HOST_CMDLINE.format(argument=f"{runs.READS},{kind}",
                                                 more=KINDS[kind]) + "\n", encoding="ascii")
    try:
        subprocess.run([runs.ROOT / "tools/mkimage", "-o", image, "-e",
                        runs.BUILD / "guest/plain-boot.efi", "-c", configuration, *PEER_FILES],
                       check=True)
        text = run([runs.ROOT / "tools/launch", "--no-input", "--timeout", str(runs.TIMEOUT),
                    *runs.MACHINES[emulator], "--memory", HOST_MEMORY, image], log)
    finally:
        image.unlink(missing_ok=True)
    if PEERS_END not in text:
        raise runs.Failed(f"{emulator}, {kind}: KVM's guests did not come to their end, see {log}")
    return parse(text)
