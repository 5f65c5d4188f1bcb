# What each figure is called, in which order they stand, and which way is better.
import dataclasses


@dataclasses.dataclass(frozen=True)
class Name:
    """A figure, or with * in its key a group of them, each named for what stands there."""

    key: str
    text: str
    more_is_better: bool = False
    # Whose it is as well: "kernel", the guest's, or "files", the firmware's time for reading them.
    shared: str = ""
    # What a figure may change by without any cause of ours; a change below is none.
    slack: float = 0

    def matches(self, key):
        head, star, tail = self.key.partition("*")
        if not star:
            return key == self.key
        return len(key) > len(head + tail) and key.startswith(head) and key.endswith(tail)

    def told(self, key):
        """The words for one figure."""
        head, star, tail = self.key.partition("*")
        return self.text.replace("*", key[len(head):len(key) - len(tail)]) if star else self.text


NAMES = (
    Name("request.exits.all", "exits per 64-byte request, all", slack=0.05),
    Name("request.exits.*", "exits per 64-byte request, *", slack=0.05),
    Name("request.ticks.min", "ticks per 64-byte read, least", shared="kernel"),
    Name("request.ticks.median", "ticks per 64-byte read, median", shared="kernel"),
    Name("request.ticks.p99", "ticks per 64-byte read, p99", shared="kernel"),
    Name("request.ticks.mean", "ticks per 64-byte read, mean of 99 %", shared="kernel"),
    Name("request.ticks.guest", "of the mean, in the guest, leaving and entering it",
         shared="kernel"),
    Name("request.ticks.hypervisor", "of the mean, in the hypervisor", slack=20),
    Name("request.hypervisor.*", "in the hypervisor, after exits of kind *", slack=20),
    Name("request.ticks.median.vcpus-*",
         "ticks per 64-byte read, median, * vCPUs, interrupt elsewhere", shared="kernel"),
    Name("trip.cpuid", "CPUID, ticks"),
    Name("trip.port-read", "port read (UART), ticks"),
    Name("trip.port-write", "port write (UART), ticks"),
    Name("trip.io-apic-read", "MMIO read (I/O APIC), ticks"),
    Name("trip.device-read", "MMIO read (entropy device), ticks", slack=5),
    Name("trip.device-write", "MMIO write (entropy device), ticks"),
    Name("trip.hypercall", "hypercall, ticks", slack=20),
    Name("trip.hypercall-refused", "hypercall, refused by #UD: ticks more than UD2's", slack=20),
    Name("trip.bare-cpuid", "in ring 0 without Linux: CPUID, ticks"),
    Name("trip.bare-port-read", "likewise: port read (UART), ticks"),
    Name("trip.bare-msr-read", "likewise: RDMSR (IA32_APIC_BASE), ticks"),
    Name("trip.bare-interrupt", "likewise: a pending interrupt, taken and ended, ticks"),
    Name("trip.bare-halt", "likewise: HLT that an interrupt ends at once, ticks"),
    Name("boot.to-leaving-firmware", "hypervisor's start to leaving the firmware, reading files",
         shared="files"),
    Name("boot.to-entry", "leaving the firmware to guest entry, ticks"),
    Name("boot.to-entry.own", "the same without zeroing the guest's memory"),
    Name("boot.to-pid1", "guest entry to PID 1, ticks", shared="kernel"),
    Name("boot.to-pid1.vcpus-*", "guest entry to PID 1, ticks, * vCPUs", shared="kernel"),
    Name("boot.to-pid1.guests-*", "guest entry to the last PID 1, ticks, * guests",
         shared="kernel"),
    Name("boot.to-pid1.sharing-*", "guest entry to the last PID 1, ticks, * guests on one CPU",
         shared="kernel"),
    Name("rate.guests-*", "bytes per million ticks, guests reading: *", more_is_better=True,
         shared="kernel"),
    Name("rate.sharing-*", "bytes per million ticks, guests reading on one CPU: *",
         more_is_better=True, shared="kernel"),
    Name("size.efi", "seedvisor.efi, bytes"),
    Name("size.image", "the same, loaded, bytes"),
    Name("size.memory", "all other hypervisor memory, one guest, bytes"),
    Name("size.guests-*", "for each further guest of * in all, with its own CPU, bytes"),
    Name("size.sharing-*", "for each further guest of * in all, on one CPU, bytes"),
)


def find(key):
    """The Name of a figure; exact ones go before groups."""
    found = [name for name in NAMES if name.matches(key)]
    if not found:
        raise KeyError(f"no figure is called {key}")
    return min(found, key=lambda name: "*" in name.key)


def order(keys):
    """The keys in the order of the table."""
    return sorted(keys, key=lambda key: (NAMES.index(find(key)), key))
