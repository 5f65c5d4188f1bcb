# A measurement as it is kept in JSON: what was measured, and the figures of each machine.
import json
import re
import time

from bench import runs


def kernel_version():
    folder = runs.BUILD / "guest/packages"
    found = [path.name for path in folder.glob("linux-image-*/boot/vmlinuz-*")]
    return found[0].removeprefix("vmlinuz-") if found else "unknown"


def start(commit):
    """An empty result of today, of what was built from the commit."""
    return {"commit": commit, "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "kernel": kernel_version(), "machines": {}, "percentiles": {}, "timelines": {},
            "exits": {}, "health": {}, "over_time": {}}


def add_guest(result, machine, figures, guest):
    """Adds what is known of a guest under any hypervisor, or none."""
    result["machines"][machine] = figures
    result["percentiles"][machine] = guest.percentiles


def add(result, machine, figures, record):
    """Adds one of our machines: its figures, and the Record of the run with one guest that reads:
    when what happened in its boot, its exits, the counters of the entropy source."""
    guest, = record.guests.values()
    add_guest(result, machine, figures, guest)
    result["timelines"][machine] = {"started": record.started, "leaving": record.leaving,
                                    "entering": record.entering, "pid1": guest.pid1}
    result["exits"][machine] = guest.exits
    result["health"][machine] = guest.rng | record.entropy


def text(result):
    """The JSON, with each list of numbers on a line of its own."""
    return re.sub(r"\[\s+([-\d,\s]+?)\s+\]",
                  lambda found: "[" + " ".join(found[1].split()) + "]",
                  json.dumps(result, indent=1)) + "\n"


def title(result):
    return f"Seedvisor {result['commit']}, {result['date']}, Linux {result['kernel']}"
