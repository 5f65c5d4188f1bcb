# The sections of the report: each is a heading, a sentence, a plot or a table, as HTML.
import collections
import html

from bench import names, over_time
from bench.report import svg
from bench.table import number


def section(identity, title, sentence, *parts):
    return (f'<section id="{identity}"><h2>{html.escape(title)}</h2><p>{sentence}</p>'
            + "".join(parts) + "</section>")


def figure(drawing):
    return f"<figure>{drawing}</figure>"


def table(head, rows):
    """A table; the first column is text, the others are figures."""
    def line(cells, tag):
        return "<tr>" + "".join(
            f'<{tag}{"" if i == 0 else " class=number"}>{html.escape(cell)}</{tag}>'
            for i, cell in enumerate(cells)) + "</tr>"
    return ('<div class="wide"><table><thead>' + line(head, "th") + "</thead><tbody>"
            + "".join(line(row, "td") for row in rows) + "</tbody></table></div>")


def call(machine):
    """A machine's name in the measurements, in words."""
    if machine == "none":
        return "no hypervisor"
    base, _, peer = machine.partition(" KVM ")
    side = {"vmx-bochs": "VMX", "svm-tcg": "SVM"}.get(base, base)
    return f"KVM + QEMU, {peer} ({side})" if peer else f"Seedvisor ({side})"


def together(bench, peers):
    """All machines of both measurements, each of ours beside its peers, the newer ones of ours."""
    found = dict(peers["machines"]) | bench["machines"]
    return {machine: found[machine] for machine in sorted(
        found, key=lambda name: (name == "none", name.partition(" ")[0] != "vmx-bochs", name))}


def cost(bench, peers):
    rows = []
    for machine, figures in together(bench, peers).items():
        median = figures["request.ticks.median"]
        own = peers["machines"]["none"]["request.ticks.median"]
        rows.append(svg.Bar(call(machine), (min(own, median), max(0, median - own)),
                            f"{median:,}", machine in bench["machines"]))
    drawing = svg.bars(rows, ("the guest's own, without a hypervisor", "added by what is below it"),
                       "Ticks per request", "ticks")
    return section(
        "cost", "What 64 random bytes cost",
        "Ticks of one 64-byte read of <code>/dev/hwrng</code> in a Debian guest, from call to"
        " return, median. A tick is an emulated instruction of guest, hypervisor and host together."
        " Peers: KVM with QEMU\u2019s microvm and virtio-rng, nested in the same emulators; stock"
        " as Debian has them, tuned without mitigations and with KVM\u2019s own interrupt"
        f" controllers ({html.escape(peers['date'])}).", figure(drawing))


def parts_of_request(bench, peers):
    kinds = sorted({key.removeprefix("request.hypervisor.")
                    for figures in bench["machines"].values() for key in figures
                    if key.startswith("request.hypervisor.")})
    own = peers["machines"]["none"]["request.ticks.guest"]
    rows = []
    for machine, figures in bench["machines"].items():
        outside = figures["request.ticks.guest"]
        handlers = [figures.get(f"request.hypervisor.{kind}", 0) for kind in kinds]
        rows.append(svg.Bar(call(machine), (min(own, outside), max(0, outside - own), *handlers),
                            f"{figures['request.exits.all']:.2f} exits"))
    return section(
        "parts", "Where a request\u2019s ticks go",
        "The mean of 99 % of the requests, for in one of the others the guest slept as well: the"
        " guest\u2019s own as without a hypervisor, and the time in the hypervisor by the kind of"
        " exit that led there, as the difference between a run with 2,000 reads and one with a"
        " single read. Between the two: leaving the guest, reading why, and entering it again.",
        figure(svg.bars(rows, ("guest\u2019s own", "exit and entry", *kinds), "Parts of a request",
                        "ticks")))


def distribution(bench, peers):
    curves = {call(machine): (bench["percentiles"].get(machine) or peers["percentiles"][machine])
              for machine in together(bench, peers)}
    # The hundredth, the longest of all, is some sleep of the guest's.
    curves = {name: values[:100] for name, values in curves.items() if len(values) == 101}
    return section(
        "distribution", "How the ticks of a request are distributed",
        "So many of a hundred reads took at most so many ticks. The last ones are those that a"
        " timer interrupt fell into.",
        figure(svg.curves(curves, "Distribution of ticks per request", "percentile of reads",
                          "ticks, logarithmic")))


def boot(bench):
    series = ("firmware", "configuration and files", "machine and guest set up",
              "guest\u2019s kernel to PID 1")
    rows = []
    for machine, times in bench["timelines"].items():
        marks = [0, times["started"], times["leaving"], times["entering"], times["pid1"]]
        rows.append(svg.Bar(call(machine), tuple(b - a for a, b in zip(marks, marks[1:])),
                            svg.short(marks[-1])))
    return section(
        "boot", "From power-on to the guest\u2019s PID 1",
        "The firmware is OVMF in both emulators; in TCG it waits for a TPM that is not there.",
        figure(svg.bars(rows, series, "Boot timeline", "ticks")))


def trips(bench, peers):
    machines = together(bench, peers)
    keys = names.order({key for figures in machines.values() for key in figures
                        if key.startswith("trip.")})
    rows = [[names.find(key).told(key), *(number(figures.get(key))
                                          for figures in machines.values())] for key in keys]
    return section(
        "trips", "Single instructions",
        "Ticks of one instruction that goes to the hypervisor, as the guest sees it: median of"
        " 300.",
        table(["", *map(call, machines)], rows))


def rates(bench):
    rows = []
    for machine, figures in bench["machines"].items():
        for key, words in (("guests-1", "1 guest"), ("guests-2", "2 guests"),
                           ("guests-4", "4 guests"), ("sharing-2", "2 on one CPU"),
                           ("sharing-4", "4 on one CPU")):
            if value := figures.get(f"rate.{key}"):
                rows.append(svg.Bar(f"{call(machine)}, {words}", (value,), f"{value:,}"))
    if not rows:
        return ""
    return section(
        "rates", "Guests that read at the same time",
        "Bytes per million ticks, all guests together, each with a CPU of its own or all on one."
        " Bochs\u2019s counter goes on once for all its CPUs; TCG\u2019s goes on once for each"
        " instruction of any of them, so that several CPUs would tell nothing there.",
        figure(svg.bars(rows, ("bytes",), "Rates", "bytes / M ticks")))


def exits_in_bench(bench):
    """Without a trace: all exits of a run by kind."""
    machines = bench.get("exits", {})
    kinds = sorted({kind for exits in machines.values() for kind in exits},
                   key=lambda kind: -max(exits.get(kind, 0) for exits in machines.values()))
    rows = [[kind, *(number(exits.get(kind)) for exits in machines.values())] for kind in kinds]
    return section("exits", "Exits of a whole run",
                   "From the first entry to power-off: boot, 300 of each instruction above, 2,000"
                   " reads.", table(["", *map(call, machines)], rows)) if rows else ""


MOST_KINDS = 6


def exits_over_time(bench):
    machines = bench.get("over_time", {})
    total = collections.Counter()
    for found in machines.values():
        total.update({kind: sum(counts) for kind, counts in found["kinds"].items()})
    # The same colours everywhere: the most frequent kinds of all machines together.
    shown = [kind for kind, _ in total.most_common(MOST_KINDS)]
    words = shown + ["others"] if len(total) > MOST_KINDS else shown
    drawings = []
    for machine, found in machines.items():
        empty = [0] * over_time.BINS
        series = [found["kinds"].get(kind, empty) for kind in shown]
        if len(words) > len(shown):
            series.append([sum(each) for each in zip(empty, *(
                counts for kind, counts in found["kinds"].items() if kind not in shown))])
        count = sum(map(sum, series))
        drawings.append(figure(svg.columns(
            list(zip(*series)), words, "Exits over time",
            f"{call(machine)}: the last {count:,} exits, {svg.short(found['ticks'])} ticks,"
            f" {found['ticks'] / found['frequency']:.3g} s of the guest", "exits")))
    return section(
        "over-time", "Exits over time",
        "The last exits of a guest, from its trace: a few hundred of each single instruction, then"
        " 200 reads, their figures printed through the UART, and the end.",
        *drawings) if drawings else ""


def health(bench):
    rows = [("requests", "requests served"), ("bytes", "bytes delivered to the guest"),
            ("short_fills", "short fills"), ("parked", "requests that had to wait"),
            ("tries", "RDSEED executed"), ("failures", "RDSEED without a result"),
            ("longest_failure_run", "longest run without a result"),
            ("health_hits", "health tests failed (SP 800-90B repetition, proportion)")]
    machines = bench.get("health", {})
    cells = [[words, *(number(values.get(key)) for values in machines.values())]
             for key, words in rows]
    return section("health", "Health of the entropy source",
                   "Counters of the measured run. An emulator\u2019s RDSEED never fails: failures"
                   " are provoked in the unit tests and by fault injection.",
                   table(["", *map(call, machines)], cells)) if machines else ""


def covered(folders):
    rows = [svg.Bar(f"{name}  ({found:,} lines)", (100 * hit / found,),
                    f"{100 * hit / found:.1f} % / {100 * branches_hit / branches:.1f} %"
                    if branches else f"{100 * hit / found:.1f} %")
            for name, (hit, found, branches_hit, branches) in folders.items() if found]
    return section("coverage", "What the tests execute",
                   "By folder, from <code>make coverage</code>: the bars are lines; the figures are"
                   " lines and branches.",
                   figure(svg.bars(rows, ("lines",), "Coverage by folder", "%", top=100)))


def conforming(sections):
    words = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", ""]
    words = [word for word in words if any(counts[word] for _, counts, _ in sections)]
    rows = [[title, *(str(counts[word] or "-") for word in words), str(sum(counts.values())),
             str(len(tests))] for title, counts, tests in sections]
    total = [["in all", *(str(sum(counts[word] for _, counts, _ in sections)) for word in words),
              str(sum(sum(counts.values()) for _, counts, _ in sections)),
              str(len(set().union(*(tests for _, _, tests in sections))))]]
    return section("conformance", "Conformance to virtio",
                   "Statements of the specification that concern the device, and the unit tests"
                   " that show them kept; <code>virtio/CONFORMANCE.md</code> names both, and a"
                   " check fails when one is missing.",
                   table(["", *(word or "how it is" for word in words), "statements", "tests"],
                         rows + total))


def everything(bench, peers):
    machines = together(bench, peers)
    keys = names.order({key for figures in machines.values() for key in figures})
    rows = [[names.find(key).told(key), *(number(figures.get(key))
                                          for figures in machines.values())] for key in keys]
    return section("all", "All figures", "The same in <code>build/bench/bench.txt</code>; memory"
                   " of the peer is QEMU\u2019s own, resident, without the guest\u2019s RAM and"
                   " without the host\u2019s kernel.", table(["", *map(call, machines)], rows))
