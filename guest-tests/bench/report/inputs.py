# What the report is made from: measurements, coverage and the conformance table.
import collections
import json
import pathlib
import re

# Where the sources are that the build copies.
GENERATED = "build/coverage/generated/"
CONFORMANCE_ROW = re.compile(r"^\| ([A-Z]+-[0-9]+) \|([A-Z ]*)\|(.*)\|$")


class Unusable(Exception):
    """A file cannot be used; the text says which and why."""


def measurement(path):
    """A result of tools/bench or tools/bench-peers."""
    try:
        found = json.loads(path.read_text(encoding="ascii"))
        if not found["machines"]:
            raise ValueError("no machine in it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unusable(f"{path}: {error}") from error
    return found


def coverage(path, root):
    """Lines and branches of an lcov trace file by folder: folder to (hit, found) of both."""
    folders = collections.defaultdict(lambda: [0, 0, 0, 0])
    places = {"LH": 0, "LF": 1, "BRH": 2, "BRF": 3}
    folder = None
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                name, _, value = line.rstrip().partition(":")
                if name == "SF":
                    source = pathlib.Path(value)
                    folder = str((source.relative_to(root) if source.is_absolute()
                                  else source).parent).removeprefix(GENERATED)
                elif name in places:
                    folders[folder][places[name]] += int(value)
    except (OSError, ValueError) as error:
        raise Unusable(f"{path}: {error}") from error
    return {name: tuple(folders[name]) for name in sorted(folders)}


def conformance(path):
    """Statements of the conformance table by section: (title, word to count, tests); the word is
    empty where the specification just says how it is."""
    sections = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            sections.append((line[3:], collections.Counter(), set()))
        elif row := CONFORMANCE_ROW.match(line):
            sections[-1][1][row[2].strip()] += 1
            sections[-1][2].update(re.findall(r"`([a-z_]+:test_\w+)`", row[3].split("|")[-1]))
    return [section for section in sections if section[1]]
