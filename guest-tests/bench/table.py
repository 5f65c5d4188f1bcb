# Figures as a table of text.
from bench import names


def number(value):
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def align(rows):
    """Rows of texts as lines; the first column is left-aligned."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(text.ljust(width) if i == 0 else text.rjust(width)
                               for i, (text, width) in enumerate(zip(row, widths)))
                     for row in rows) + "\n"


def render(machines):
    """The table of all figures; machines: name to figures."""
    keys = names.order({key for figures in machines.values() for key in figures})
    rows = [["", *machines]]
    rows += [[names.find(key).told(key), *(number(figures.get(key))
                                           for figures in machines.values())] for key in keys]
    return align(rows)
