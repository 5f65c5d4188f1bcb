# Two sets of figures side by side: what changed, and what became worse.
from bench import names
from bench.table import align, number


def change(key, old, new):
    """By how much of a hundred the figure is worse; negative: better; 0: within its slack."""
    name = names.find(key)
    if abs(new - old) <= name.slack:
        return 0.0
    if old == 0:
        return float("inf") if new > 0 else float("-inf")
    percent = 100 * (new - old) / abs(old)
    return -percent if name.more_is_better else percent


def excused(old, new):
    """What figures may be shared with and still become worse: the words of Name.shared."""
    return {"files"} | ({"kernel"} if old.get("kernel") != new.get("kernel") else set())


def compare(old, new, limit):
    """Compares two results, as tools/bench writes them.

    limit: percent that a figure may be worse by; those that are not ours alone may be worse by any,
    see excused().
    Returns the table of what changed, and the list of what is worse by more than the limit: text,
    one for each figure.
    """
    rows, worse = [["", "old", "new", "change"]], []
    for machine, figures in new["machines"].items():
        before = old["machines"].get(machine, {})
        for key in names.order(set(figures) | set(before)):
            text = f"{machine}: {names.find(key).told(key)}"
            values = before.get(key), figures.get(key)
            if values[0] == values[1]:
                continue
            by = 0.0 if None in values else change(key, *values)
            rows.append([text, number(values[0]), number(values[1]), told(values, by)])
            if by > limit and names.find(key).shared not in excused(old, new):
                worse.append(f"{text}: {number(values[0])} -> {number(values[1])}")
    return align(rows) if len(rows) > 1 else "nothing changed\n", worse


def told(values, by):
    old, new = values
    if by == 0 or old == 0:
        return ""
    word = "worse" if by > 0 else "better"
    return f"{100 * (new - old) / abs(old):+.1f} % ({word})"
