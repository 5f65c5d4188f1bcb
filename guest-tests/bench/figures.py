# From the records of the runs to the figures that are shown and compared.
import dataclasses

from bench.console import Incomplete

MIB = 1 << 20
# Bytes that `rep stosq` clears in one tick of an emulator that counts instructions.
ZEROED_PER_TICK = 8


def only_guest(record):
    guest, = record.guests.values()
    return guest


def read_figures(guest):
    """What its reads cost the guest. The mean is that of all but the hundredth that took longest:
    in one of those the guest slept for milliseconds."""
    if len(guest.percentiles) != 101:
        raise Incomplete("the guest did not tell how its reads are distributed")
    figures = {f"request.ticks.{name}": guest.reads[name] for name in ("min", "median", "p99")}
    return figures | {"request.ticks.mean": round(sum(guest.percentiles[:100]) / 100)}


def request_figures(one, few):
    """Of one guest that reads: what a request costs, as the difference to one that hardly does."""
    busy, rest = only_guest(one), only_guest(few)
    if busy.reads is None:
        raise Incomplete("the guest did not tell what its reads cost")
    requests = busy.rng["requests"] - rest.rng["requests"]
    if requests <= 0:
        raise Incomplete("the guest that reads made no more requests than the one that hardly does")
    figures = read_figures(busy)
    hypervisor = (busy.ticks_hypervisor - rest.ticks_hypervisor) / requests
    figures["request.ticks.hypervisor"] = round(hypervisor)
    figures["request.ticks.guest"] = figures["request.ticks.mean"] - round(hypervisor)
    total = 0
    for kind in sorted(busy.exits):
        each = (busy.exits[kind] - rest.exits.get(kind, 0)) / requests
        ticks = (busy.ticks[kind] - rest.ticks.get(kind, 0)) / requests
        total += each
        # What differs by a few exits in thousands of requests is no part of a request.
        if round(each, 2) > 0:
            figures[f"request.exits.{kind}"] = round(each, 2)
            figures[f"request.hypervisor.{kind}"] = round(ticks)
    figures["request.exits.all"] = round(total, 2)
    return figures


def instruction_figures(guest):
    """Round trips of single instructions, as the guest sees them."""
    figures = {f"trip.{name}": values["median"] for name, values in guest.instructions.items()
               if not name.endswith("-refused")}
    if "hypercall-refused" in guest.instructions:
        # The fault's and the signal's cost in the guest's kernel is UD2's.
        figures["trip.hypercall-refused"] = (guest.instructions["hypercall-refused"]["median"]
                                             - guest.instructions["undefined-refused"]["median"])
    return figures


def bare_figures(guest):
    """Round trips in ring 0, without an operating system. HLT was measured with an interrupt that
    ends it at once; the same without HLT is the interrupt's."""
    medians = {name: values["median"] for name, values in guest.instructions.items()}
    return {"trip.bare-cpuid": medians["bare-cpuid"],
            "trip.bare-port-read": medians["bare-port-read"],
            "trip.bare-msr-read": medians["bare-msr-read"],
            "trip.bare-interrupt": medians["bare-interrupt"],
            "trip.bare-halt": medians["bare-halt"] - medians["bare-interrupt"]}


def boot_figures(record):
    guest = only_guest(record)
    entry = record.entering - record.leaving
    return {
        "boot.to-leaving-firmware": record.leaving - record.started,
        "boot.to-entry": entry,
        "boot.to-entry.own": entry - guest.memory * MIB // ZEROED_PER_TICK,
        "boot.to-pid1": guest.pid1 - record.entering,
    }


def by_count(records, kind):
    """The records of the runs whose names are the kind and a number of guests, by that number."""
    return {int(name.removeprefix(kind)): record for name, record in sorted(records.items())
            if name.startswith(kind)}


def window_figures(records, word):
    """How rate and boot go with the number of guests; word: how these have their CPUs."""
    figures = {}
    for count, record in records.items():
        windows = [guest.window for guest in record.guests.values()]
        if None in windows or len(windows) != count:
            raise Incomplete(f"not all of {count} guests told what they read")
        if len({window["begin"] for window in windows}) != 1:
            raise Incomplete("the guests did not read at the same time: raise runs.ALIGN")
        rate = sum(window["reads"] * window["bytes"] / window["ticks"] for window in windows)
        figures[f"rate.{word}-{count}"] = round(rate * 1e6)
        figures[f"boot.to-pid1.{word}-{count}"] = max(
            guest.pid1 for guest in record.guests.values()) - record.entering
    return figures


def growth_figures(one, records, word):
    """The memory for each guest after the first; one: the run of the first alone."""
    return {f"size.{word}-{count}": ((record.memory - one.memory) << 10) // (count - 1)
            for count, record in records.items() if count > 1}


def size_figures(record, efi_bytes):
    return {"size.efi": efi_bytes, "size.image": record.image << 10,
            "size.memory": record.memory << 10}


class NotRepeated(Exception):
    """Two runs that must be the same are not; the text tells where."""


def must_repeat(first, second):
    """Raises NotRepeated unless two records agree in every number."""
    pairs = [("", dataclasses.asdict(first), dataclasses.asdict(second))]
    found = []
    while pairs:
        name, one, other = pairs.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            pairs += [(f"{name} {key}", one.get(key), other.get(key))
                      for key in sorted(set(one) | set(other), reverse=True)]
        elif one != other:
            found.append(f" {name}: {one} and {other}")
    if found:
        raise NotRepeated("a run did not repeat itself:\n" + "\n".join(found))


def of_machine(records, efi_bytes):
    """The figures of one machine: name to number.

    records: the Record of each run by the run's name (see runs.py); what a run that is not there
    would have told is left out.
    """
    one = records["one"]
    if "again" in records:
        must_repeat(records["few"], records["again"])
    figures = request_figures(one, records["few"])
    figures |= instruction_figures(only_guest(one))
    if "bare" in records:
        figures |= bare_figures(only_guest(records["bare"]))
    figures |= boot_figures(one)
    if "smp" in records:
        figures["request.ticks.median.vcpus-2"] = only_guest(records["smp"]).reads["median"]
        figures["boot.to-pid1.vcpus-2"] = (only_guest(records["smp"]).pid1
                                           - records["smp"].entering)
    figures |= size_figures(one, efi_bytes)
    for kind, word in (("window", "guests"), ("share", "sharing")):
        several = by_count(records, kind)
        figures |= window_figures(several, word)
        if several:
            figures |= growth_figures(records["window1"], several, word)
    return figures
