# The system tests' scenarios: which configuration, files and machine each run has.
import dataclasses
import time

KERNEL = "guest/vmlinuz"
INITRAMFS = "guest/initramfs.cpio"
LINUX = (KERNEL, INITRAMFS)
ALL = ("bochs", "tcg", "kvm")
FAULTS = "faults/seedvisor.efi"  # make FAULTS=1

# quiet and cryptomgr.notests: an emulator's time goes into console output and into the kernel's
# tests of its cryptography otherwise. The demonstration runs without them.
CMDLINE = "console=ttyS0 panic=-1 quiet cryptomgr.notests"


def linux(test, words="", host="", **keys):
    """A configuration with one Linux guest that runs a test of its initramfs."""
    values = {"kernel": "/vmlinuz", "initrd": "/initramfs.cpio", "memory": "256M", "vcpus": "1",
              "cmdline": f"{CMDLINE} seedvisor.test={test} {words}".strip()}
    values.update({key: str(value) for key, value in keys.items()})
    section = f"[host]\n{host}\n\n" if host else ""
    return section + "[guest linux]\n" + "".join(
        f"{key} = {value}\n" for key, value in values.items())


def two_guests(first, second, words, **keys):
    """A configuration with two such guests, a and b."""
    return "".join(linux(test, words, **keys).replace("[guest linux]", f"[guest {name}]") + "\n"
                   for name, test in (("a", first), ("b", second)))


def faulty(test, script, **keys):
    """A configuration for the build whose source of entropy fails by a script."""
    return linux(test, host=f"debug.rng_fault = {script}", **keys)


ALL_FEATURES = "indirect, event_idx, packed, in_order, notification_data, ring_reset, suspend"
BARE = ("guest/bare/bare.elf", "guest/bare/module.txt")


def bare(kernel="/bare.elf", **keys):
    """A configuration with the bare guest; keys that are None are left out."""
    values = {"kernel": kernel, "modules": "/module.txt", "cmdline": "one two=3  four",
              "memory": "128M", "debug_exit": "0xf4", "fw_cfg": "on"}
    values.update({key.replace("_", "."): value for key, value in keys.items()})
    return "[guest bare]\n" + "".join(
        f"{key} = {value}\n" for key, value in values.items() if value is not None)


def beside(role, victim, more=""):
    """Linux as `victim` with one vCPU, beside the bare guest in a role (guest-tests/bare/roles.c)."""
    hostile = bare(memory="16M", modules=None, cmdline=f"role={role}") + more
    return (linux(victim, memory="128M").replace("[guest linux]", "[guest victim]") + "\n" +
            hostile.replace("[guest bare]", "[guest hostile]"))


def hellos(count):
    """A configuration with so many bare guests that each show 64 bytes of their entropy devices."""
    return "\n".join(bare(memory="64M", modules=None, cmdline="role=hello")
                     .replace("[guest bare]", f"[guest g{i}]") for i in range(count))


WRONG = tuple(f"guest/wrong/{name}" for name in
              ("packed", "shorter", "short", "cut", "cut.elf", "large"))


def wrong_files():
    """A configuration with guests that each have one file that does not boot there."""
    return "\n".join(
        f"[guest {name}]\n" + "".join(f"{key} = {value}\n" for key, value in
                                    {"memory": "80M", **keys}.items())
        for name, keys in {
            "packed": {"kernel": "/packed"},
            "text": {"kernel": "/module.txt"},
            "shorter": {"kernel": "/shorter"},
            "short": {"kernel": "/short"},
            "cut": {"kernel": "/cut"},
            "elf": {"kernel": "/cut.elf"},
            "multiboot": {"kernel": "/vmlinuz", "boot": "multiboot"},
            "pvh": {"kernel": "/vmlinuz", "boot": "pvh"},
            "small": {"kernel": "/vmlinuz", "memory": "16M"},
            "initrd": {"kernel": "/vmlinuz", "initrd": "/initramfs.cpio", "memory": "70M"},
            "flat": {"kernel": "/large", "boot": "flat", "memory": "16M"},
            "modules": {"kernel": "/vmlinuz", "modules": "/module.txt"},
            "good": {"kernel": "/vmlinuz", "memory": "70M"},
        }.items())


# One guest and several mistakes, of all kinds.
MANY = (linux("poweroff", cpus="0,5", memory="2G", initrd="/nowhere") + "\n" +
        bare(kernel="/../bare.elf", modules="/EFI, /empty", cpus="7"))

# The hostile guest is stopped when the other has ended.
ENDED = (('guest "victim" ended: ', "\x011\x01k"),)
BESIDE = (*LINUX, "guest/bare/bare.elf")


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One run: configuration is a text, a function that makes it, or None for no file at all."""

    configuration: object
    files: tuple = LINUX  # below build/
    accels: tuple = ALL
    cpu: dict = dataclasses.field(default_factory=dict)  # emulator: CPU model
    memory: int = 512  # MiB of the machine
    cpus: int = 1
    replies: tuple = ()  # each (texts that the console shows..., what is then typed)
    egd: str = None  # what a daemon at the second serial port does, see egd.py
    launch: tuple = ()  # more options of tools/launch; {record} is a path for its files
    # In TCG, processors that take turns. Side by side they are not safe where CPUs change guests
    # often: in QEMU (7.2 and later) XRSTOR on any CPU changes flags of the first one without a lock,
    # which may then lose that it uses nested paging, or keep it in the hypervisor; the guest there
    # crashes. Too slow for most that runs Linux on several CPUs.
    one_thread: bool = False
    # Where no other run may be beside it, as it compares times; Bochs's own do not depend on that.
    alone: tuple = ()
    efi: str = None  # the hypervisor, below build/; None: the build that is tested

    def text(self):
        return self.configuration() if callable(self.configuration) else self.configuration


# Two guests that say back what they hear. Ctrl-A is \x01.
BOTH_TALK = ("[a] seedvisor-guest: talk to me", "[b] seedvisor-guest: talk to me")
CONSOLE_TALK = (
    (*BOTH_TALK, "to the first\r"),
    ("[a] seedvisor-guest: heard: to the first", "\x011to the second\r"),
    ("[b] seedvisor-guest: heard: to the second", "\x01v"),
    ('console of guest 1, "b"', "\x01l"),
    ("* 1 b ", "\x01s"),
    ("virtio: kicks", "\x01t"),
    ("last exits", "\x01e"),
    ("pool low-water", "\x010"),
    ('console of guest 0, "a"', "keys\r"),
    # An arrow, Ctrl-C, Ctrl-A, Ctrl-D, Ctrl-Z.
    ("press 8 keys", "\x1b[A\x03\x01\x01\x04\x1a!"),
    ("04 1a 21", "end\r\x01nend\r"),
)
# The second one is paused, goes on, is restarted, stopped and started.
LIVES = (
    (*BOTH_TALK, "\x011\x01z"),
    ('guest "b": pause it', "\x01l"),
    ("* 1 b            paused", "while paused\r\x010as ever\r"),
    ("[a] seedvisor-guest: heard: as ever", "\x011\x01c"),
    ("[b] seedvisor-guest: heard: while paused", "\x01r"),
    (BOTH_TALK[1], "again\r"),
    ("[b] seedvisor-guest: heard: again", "\x01k"),
    ('guest "b" ended: stopped by request', "\x01l"),
    ("* 1 b            ", "\x01o"),
    (BOTH_TALK[1], "\x01xy"),
)


def demo():
    with open("guest-tests/linux/demo.conf", encoding="utf-8") as file:
        return file.read()


SCENARIOS = {
    # Guests that end well.
    "check": Scenario(lambda: linux("check", f"seedvisor.date={int(time.time())}")),
    "reboot": Scenario(linux("reboot")),
    "input": Scenario(linux("input"), replies=(("type a line", "hello guest\r"),)),
    "demo": Scenario(demo),
    # The device as older and newer drivers know it.
    "legacy": Scenario(lambda: linux("check", f"seedvisor.date={int(time.time())}",
                                     virtio="legacy")),
    "all-features": Scenario(lambda: linux(
        "check", f"seedvisor.date={int(time.time())}", **{
            "rng.page": "trapped",
            "virtio.features": ALL_FEATURES})),
    # The sources of entropy to choose from.
    "rdrand": Scenario(linux("read=64", rng="rdrand")),
    "mix": Scenario(linux("read=64", rng="mix")),
    "egd": Scenario(linux("read=16", rng="egd"), egd="good"),
    "egd-stuck": Scenario(linux("poweroff", rng="egd"), egd="stuck"),
    "egd-faulty": Scenario(linux("read=16", rng="egd"), egd="faulty", accels=("tcg", "kvm")),
    "egd-mixed": Scenario(linux("read=16", rng="mix", host="rng.mix = rdseed, egd"), egd="late"),
    "firmware-rng": Scenario(linux("read=16"), accels=("tcg", "kvm"), launch=("--firmware-rng",)),
    "sha256": Scenario(linux("read=256", host="rng.conditioner = sha256")),
    "rate": Scenario(linux("limit=20", **{"rng.rate": "4096/1000ms"})),
    "tap": Scenario(linux("idle=5", rng="none", host="rng.tap = on"),
                    launch=("--com2", "{record}.com2")),
    "no-second-port": Scenario(linux("poweroff", rng="egd"), accels=("tcg", "kvm")),
    # The bare guest: see test_bare.py.
    "bare-trapped": Scenario(bare(vcpus=2, rng_page="trapped", virtio_features=ALL_FEATURES),
                             files=BARE, cpus=2),
    "bare-mapped": Scenario(bare(vcpus=2, boot="pvh", virtio_features=ALL_FEATURES),
                            files=BARE, cpus=2),
    "bare-legacy": Scenario(bare(boot="multiboot", virtio="legacy"), files=BARE),
    "bare-flat": Scenario(bare("/bare.bin", boot="flat", modules=None, cmdline="other"),
                          files=("guest/bare/bare.bin",)),
    # A distribution's kernel without its own loader: only Linux's protocol hands on a seed.
    "pvh": Scenario(linux("check", kernel="/vmlinux"),
                    files=("guest/vmlinux", INITRAMFS)),
    # RAM below 3 GiB and above 4 GiB. Bochs has at most 2 GiB.
    "big": Scenario(linux("check", memory="3136M"), accels=("tcg", "kvm"), memory=6144),
    # Several CPUs. Bochs interleaves them instruction by instruction, which takes its time.
    "smp": Scenario(lambda: linux("check", f"seedvisor.date={int(time.time())}", vcpus=2), cpus=2),
    # Every exit and device event recorded and told.
    "trace": Scenario(linux("poweroff", host="trace = on", vcpus=2), cpus=2),
    "two-guests": Scenario(
        lambda: two_guests("check", "crash=triple", f"seedvisor.date={int(time.time())} reboot=t"),
        memory=768, cpus=2),
    # More vCPUs than CPUs: they share.
    "stress": Scenario(linux("stress=2", vcpus=4), cpus=2, one_thread=True),
    "share": Scenario(two_guests("share=5,10", "share=5,10", "", cpus=1, memory="128M"), cpus=2,
                      memory=768, alone=("tcg",)),
    # Lives: after a reset, and after a delay.
    "restart": Scenario(linux("reboot", **{"on_reboot": "restart", "restart.limit": "1",
                                           "start.delay": "2s"})),
    # A hostile guest on the same CPU, and on the other one: see test_isolation.py.
    "beside-spin": Scenario(beside("spin", "share=2,1"), files=BESIDE, replies=ENDED),
    "beside-exit": Scenario(beside("exit", "share=2,1"), files=BESIDE, replies=ENDED),
    "beside-flood": Scenario(beside("flood", "share=2,1"), files=BESIDE, replies=ENDED),
    "beside-kick": Scenario(beside("kick", "read=256"), files=BESIDE, replies=ENDED),
    "beside-timer": Scenario(beside("timer", "share=2,1", "vcpus = 2\n"), files=BESIDE,
                             replies=ENDED),
    "beside-reset": Scenario(
        beside("reset", "share=2,1", "on_reboot = restart\nrestart.limit = 1000000\n"),
        files=BESIDE, replies=ENDED),
    "apart-kick": Scenario(beside("kick", "read=256"), files=BESIDE, replies=ENDED, cpus=2),
    "eight": Scenario(hellos(8), files=("guest/bare/bare.elf",), memory=1024, cpus=2,
                      one_thread=True),
    # Zen 2 without the hypervisor bit: TCG takes what is written to MSRs that it does not know.
    "errata": Scenario(hellos(2).replace("memory", "rng = rdrand\nmemory"), accels=("tcg",),
                       files=("guest/bare/bare.elf",),
                       cpu={"tcg": "EPYC-Rome,+svm,+npt,-hypervisor"}),
    "no-such-cpu": Scenario(linux("poweroff", cpus="0,5"), files=(), cpus=2),
    # The console: what is typed, Ctrl-A and what it does, a guest that writes without end.
    "console": Scenario(two_guests("talk", "talk", ""), memory=768, cpus=2, replies=CONSOLE_TALK),
    "switched": Scenario("[host]\nconsole = switched\n\n" + two_guests("talk", "talk", ""),
                         memory=768, cpus=2, replies=(
        # With the line's end: the echo of what is typed must not come before it.
        ("seedvisor-guest: talk to me\r\n", "\x01n"),
        ('console of guest 1, "b"', "seedvisor-guest: talk to me\r\n", "to the second\r"),
        ("seedvisor-guest: heard: to the second", "\x01xy"))),
    "lives": Scenario(two_guests("talk", "talk", ""), memory=768, cpus=2, replies=LIVES),
    "flood": Scenario(two_guests("pace", "talk", ""), memory=768, cpus=2, alone=("tcg",), replies=(
        ("[a] seedvisor-guest: ready", BOTH_TALK[1], "\x011busy\r"),
        ("[b] seedvisor-guest: busy", "\x010quiet\r"),
        ("[a] seedvisor-guest: pace quiet", "\x011flood\r"),
        ("flood 99 ", "\x010flooded\r"),
        ("[a] seedvisor-guest: pace flooded", "\x01xy"))),
    # RDRAND and RDSEED: VMX traps them, SVM has no way to.
    "trap": Scenario(linux("random=850", **{"rng.trap": "on"}), accels=("bochs",)),
    "trap-on-svm": Scenario(linux("random=850", **{"rng.trap": "on"}), files=(), accels=("tcg",)),
    # Sources that fail.
    "fault-recover": Scenario(
        faulty("faults=recover", "good 4000, dry 3000ms, good 20000, stuck 3, good 20000, "
               "repeat 8, good 20000, zero 40, good 20000, ones 40, good 20000, fail 20000"),
        efi=FAULTS),
    "fault-boot": Scenario(faulty("faults=boot", "dry 3000ms"), efi=FAULTS),
    "fault-permanent": Scenario(faulty(
        "faults=permanent", "good 4000, stuck 15000ms, good 160000, stuck 15000ms"), efi=FAULTS),
    "fault-empty": Scenario(faulty("faults=empty", "good 3000, empty 1"), efi=FAULTS),
    "fault-refused": Scenario(faulty("poweroff", "dry"), files=()),
    # Guests that fail.
    "triple-fault": Scenario(linux("crash=triple", "reboot=t")),
    "unmapped": Scenario(linux("crash=unmapped")),
    # The hypervisor fails.
    "panic": Scenario(linux("poweroff", host="debug.panic_after_exits = 2000\ntrace = on")),
    "panic-hard": Scenario(linux("poweroff", host="debug.panic_after_exits = 2000", vcpus=2), cpus=2,
                           accels=("tcg",), efi=FAULTS),
    # Refusals: nothing of Linux is needed, or only its name.
    "no-virtualization": Scenario(
        linux("poweroff"), accels=("bochs", "tcg"),
        cpu={"bochs": "p4_prescott_celeron_336", "tcg": "max,-svm"}),
    "no-nested-paging": Scenario(linux("poweroff"), accels=("tcg",), cpu={"tcg": "max,-npt"}),
    "no-nx": Scenario(linux("poweroff"), files=(), accels=("tcg",), cpu={"tcg": "max,-nx"}),
    "no-rdseed": Scenario(linux("poweroff"), accels=("bochs",),
                          cpu={"bochs": "corei7_haswell_4770"}),
    "no-random": Scenario(linux("poweroff", rng="rdrand"), files=(), accels=("tcg",),
                          cpu={"tcg": "max,-rdseed,-rdrand"}),
    "bad-rdseed": Scenario(linux("poweroff"), files=(), accels=("tcg",),
                           cpu={"tcg": "max,family=23,model=71,stepping=0"}),
    "old-microcode": Scenario(
        linux("poweroff"), files=(), accels=("tcg",),
        cpu={"tcg": "max,family=26,model=68,stepping=0,ucode-rev=0x0b404034"}),
    "no-configuration": Scenario(None, files=()),
    "empty-configuration": Scenario("", files=()),
    "wrong-path": Scenario(linux("poweroff", kernel="/boot/nowhere"), files=()),
    "folder": Scenario(linux("poweroff", kernel="/EFI"), files=()),
    "no-bzimage": Scenario(linux("poweroff", kernel="/initramfs.cpio"), files=(INITRAMFS,)),
    "wrong-files": Scenario(wrong_files(), files=(*LINUX, "guest/bare/module.txt", *WRONG),
                            memory=2048),
    "many-mistakes": Scenario(MANY, files=(KERNEL, "guest/wrong/empty"), cpus=2),
    "no-memory": Scenario(linux("poweroff", memory="2G")),
    # The machine has enough in all, 2 GiB of it below its own hole.
    "no-free-piece": Scenario(linux("poweroff", memory="2560M"), accels=("tcg",), memory=4096),
    "mistakes": Scenario("[guest linux]\nkernal = /vmlinuz\nmemory = lots\n", files=()),
}

# These run in TCG only.
NOT_IN_BOCHS = {
    # Too long for Bochs, or for a machine that Bochs has not.
    "stress", "switched", "flood", "fault-recover", "fault-permanent", "sha256", "rate", "tap",
    "firmware-rng", "bare-mapped", "bare-legacy", "pvh", "big", "beside-exit", "beside-flood",
    "beside-reset", "beside-timer", "apart-kick", "old-microcode", "bad-rdseed",
    "empty-configuration", "folder", "no-free-piece",
    # VMX has no part in them, and Bochs takes half a minute to start the same firmware.
    "no-configuration", "wrong-path", "no-bzimage", "wrong-files", "many-mistakes", "no-memory", "no-such-cpu", "mistakes",
    "fault-refused",
    # Nor has it in these, but for what "rdrand", "egd" and "fault-boot" show.
    "mix", "egd-stuck", "egd-mixed", "fault-empty",
    # Others show the same of VMX: "two-guests", "bare-trapped" and "console".
    "triple-fault", "unmapped", "input",
}

for _name in NOT_IN_BOCHS:
    SCENARIOS[_name] = dataclasses.replace(SCENARIOS[_name], accels=tuple(
        accel for accel in SCENARIOS[_name].accels if accel != "bochs"))

# What `make coverage` runs in the build that counts: in TCG nearly everything, in Bochs, which takes
# several times as long, what TCG cannot show.
COVERAGE = {
    "tcg": {name for name, scenario in SCENARIOS.items() if scenario.efi is None}
           - {"demo", "big"},
    "bochs": {"check", "trace", "share", "panic", "no-virtualization", "no-rdseed", "bare-trapped",
              "bare-mapped", "bare-legacy"},
    "kvm": set(),
}
