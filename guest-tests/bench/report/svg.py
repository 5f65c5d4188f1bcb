# Plots as SVG text that takes its colours from the page's style sheet (page.py).
import dataclasses
import html
import math

WIDTH = 860
ROW = 34  # of bars, from one to the next
BAR = 20
LABELS = 220  # to the left of bars
RIGHT = 130  # to the right of bars, for a figure
LETTER = 6.6  # a letter's width in the text of 12 pixels, near enough to keep texts apart


def text(x, y, content, anchor="start", kind=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">'
            f'{html.escape(content)}</text>')


def drawing(height, parts, title):
    return (f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{html.escape(title)}">'
            + "".join(parts) + "</svg>")


def short(number):
    """A figure in few letters: 1,234, 56.3 k, 2.1 M, 1.05 G."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= factor:
            scale = 1e3 if letter == "k" else factor
            return f"{number / scale:.3g} {letter}"
    return f"{number:,.2f}".rstrip("0").rstrip(".") if number % 1 else f"{number:,.0f}"


def steps(top, count=5):
    """Round values from 0 to at least top, for an axis."""
    if top <= 0:
        return [0, 1]
    raw = top / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    return [step * i for i in range(math.ceil(top / step) + 1)]


def legend(names, y, left):
    parts, x = [], left
    for i, name in enumerate(names):
        wide = 22 + len(name) * LETTER + 16
        if x + wide > WIDTH and x > left:
            x, y = left, y + 20
        parts.append(f'<rect x="{x:.1f}" y="{y - 10}" width="12" height="12" rx="2"'
                     f' class="series{i}"/>')
        parts.append(text(x + 18, y, name))
        x += wide
    return parts, y


@dataclasses.dataclass(frozen=True)
class Bar:
    """A row of a bar chart: its parts stand one after the other, and the figure behind them."""

    label: str
    values: tuple
    figure: str = ""
    strong: bool = False


def bars(rows, series, title, unit, axis=short, top=None):
    """Horizontal bars of stacked parts; series: what the parts are called."""
    parts, y = legend(series, 16, LABELS) if len(series) > 1 else ([], -6)
    first = y + 22
    ticks = steps(top or max(sum(row.values) for row in rows))
    scale = (WIDTH - LABELS - RIGHT) / ticks[-1]
    bottom = first + ROW * len(rows)
    for tick in ticks:
        x = LABELS + tick * scale
        parts.append(f'<line x1="{x:.1f}" y1="{first - 4}" x2="{x:.1f}" y2="{bottom}"'
                     ' class="grid"/>')
        parts.append(text(x, bottom + 16, axis(tick), "middle", "axis"))
    parts.append(text(WIDTH - RIGHT + 48, bottom + 16, unit, "start", "axis"))
    for i, row in enumerate(rows):
        parts += bar(row, series, first + ROW * i, scale)
    return drawing(bottom + 26, parts, title)


def bar(row, series, y, scale):
    x = LABELS
    parts = [text(LABELS - 10, y + 18, row.label, "end", "strong" if row.strong else "")]
    for i, value in enumerate(row.values):
        if value > 0:
            tip = f"{row.label}: {series[i]}: {value:,.0f}" if series else row.label
            parts.append(f'<rect x="{x:.1f}" y="{y + 4}" width="{max(value * scale, 0.8):.1f}"'
                         f' height="{BAR}" class="series{i}"><title>{html.escape(tip)}</title>'
                         '</rect>')
        x += value * scale
    parts.append(text(x + 6, y + 18, row.figure, "start", "strong" if row.strong else ""))
    return parts


def decades(low, high):
    """1, 2 and 5 times the powers of ten that lie between the two, and one on each side."""
    found = [factor * 10 ** power for power in range(0, 13) for factor in (1, 2, 5)]
    below = [value for value in found if value <= low] or [1]
    above = [value for value in found if value >= high]
    return [value for value in found if below[-1] <= value <= above[0]]


def curves(lines, title, x_axis, y_axis, height=330):
    """Lines over the numbers from 0 up with a logarithmic scale; lines: name to 100 values."""
    left, right = 90, WIDTH - 30
    parts, y = legend(list(lines), 16, left)
    top = y + 24
    bottom = top + height
    ticks = decades(min(map(min, lines.values())), max(map(max, lines.values())))
    low, high = math.log(ticks[0]), math.log(ticks[-1])

    def place(number, value):
        return (left + number * (right - left) / 100,
                bottom - (math.log(value) - low) * height / (high - low))

    for tick in ticks:
        y = place(0, tick)[1]
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" class="grid"/>')
        parts.append(text(left - 8, y + 4, short(tick), "end", "axis"))
    for number in range(0, 101, 10):
        x = place(number, ticks[0])[0]
        parts.append(text(x, bottom + 18, str(number), "middle", "axis"))
    for i, (name, values) in enumerate(lines.items()):
        points = " ".join("{:.1f},{:.1f}".format(*place(number, value))
                          for number, value in enumerate(values))
        parts.append(f'<polyline points="{points}" class="line{i}"><title>{html.escape(name)}'
                     '</title></polyline>')
    parts.append(text((left + right) / 2, bottom + 38, x_axis, "middle", "axis"))
    parts.append(f'<text transform="translate(16 {(top + bottom) / 2:.1f}) rotate(-90)"'
                 f' text-anchor="middle" class="axis">{html.escape(y_axis)}</text>')
    return drawing(bottom + 46, parts, title)


def columns(bins, series, title, x_axis, y_axis, height=220):
    """Stacked columns side by side, such as counts over time; bins: tuples, a number a series."""
    left, right = 60, WIDTH - 20
    parts, y = legend(series, 16, left)
    top = y + 22
    bottom = top + height
    ticks = steps(max(map(sum, bins)), 4)
    scale = height / ticks[-1]
    for tick in ticks:
        y = bottom - tick * scale
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" class="grid"/>')
        parts.append(text(left - 8, y + 4, short(tick), "end", "axis"))
    wide = (right - left) / len(bins)
    for number, values in enumerate(bins):
        y = bottom
        for i, value in enumerate(values):
            if value > 0:
                y -= value * scale
                parts.append(f'<rect x="{left + number * wide:.2f}" y="{y:.1f}"'
                             f' width="{max(wide - 0.6, 0.6):.2f}" height="{value * scale:.1f}"'
                             f' class="series{i}"/>')
    parts.append(text((left + right) / 2, bottom + 22, x_axis, "middle", "axis"))
    parts.append(f'<text transform="translate(14 {(top + bottom) / 2:.1f}) rotate(-90)"'
                 f' text-anchor="middle" class="axis">{html.escape(y_axis)}</text>')
    return drawing(bottom + 30, parts, title)
