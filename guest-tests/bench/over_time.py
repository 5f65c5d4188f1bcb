# Exits over time: the dump of a trace (port 0xE9, with trace = on) as counts by kind.
import re

from bench.console import Incomplete

BINS = 160
BEGIN = re.compile(r"seedvisor-trace: begin (\d+) ")
EXIT = re.compile(r"x \d+ \d+ \d+ (\d+) [0-9a-f]+ ([-a-z]+)(?: .*)?")


def parse(text):
    """What a trace tells: the frequency of the time stamp counter in Hz, the ticks from its first
    exit to its last, and for each kind of exit how many fell into each of BINS parts of that time.
    """
    frequency, exits = None, []
    for line in text.splitlines():
        if found := BEGIN.match(line):
            frequency = int(found[1])
        elif found := EXIT.fullmatch(line.strip()):
            exits.append((int(found[1]), found[2]))
    if frequency is None or not exits:
        raise Incomplete("there is no trace")
    first, last = min(exits)[0], max(exits)[0]
    kinds = {kind: [0] * BINS for kind in sorted({kind for _, kind in exits})}
    for ticks, kind in exits:
        kinds[kind][(ticks - first) * BINS // (last - first + 1)] += 1
    return {"frequency": frequency, "ticks": last - first, "kinds": kinds}
