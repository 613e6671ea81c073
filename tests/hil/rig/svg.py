# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Plots as SVG, on light and dark ground, that say in words as well what they show."""

import html
import math

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 704, 56, 252  # of the plot within that
BINS = 48
HEADROOM = 1.3  # above the highest bar, for what the marks are called
LOGARITHMIC_FROM = 100  # times the smallest value: two decades

STYLE = """
.plot text { font: 12px system-ui, sans-serif; fill: #1c1e21 }
.plot .title { font-size: 14px; font-weight: 600 }
.plot .ground { fill: #ffffff }
.plot .grid { stroke: #d5d9de }
.plot .bar { fill: #2f6fb2 }
.plot .mark { stroke: #a3211a; stroke-width: 1.5 }
.plot .series { fill: none; stroke-width: 1.5 }
.plot .s0 { stroke: #2f6fb2 } .plot .s1 { stroke: #a3211a; stroke-dasharray: 6 2 }
.plot .s2 { stroke: #22703a; stroke-dasharray: 2 2 } .plot .s3 { stroke: #6b3fa0; stroke-dasharray: 8 2 2 2 }
@media (prefers-color-scheme: dark) {
  .plot text { fill: #e6e8eb }
  .plot .ground { fill: #16181b }
  .plot .grid { stroke: #3a3f45 }
  .plot .bar { fill: #6aa9e9 }
  .plot .mark { stroke: #ff9a8f }
  .plot .s0 { stroke: #6aa9e9 } .plot .s1 { stroke: #ff9a8f }
  .plot .s2 { stroke: #7fd099 } .plot .s3 { stroke: #c3a2f2 }
}
"""
STYLES = 4  # of series


def clean(text):
    """Text without what neither XML nor HTML may have, which is shown in other characters' stead."""
    def character(each):
        code = ord(each)
        if code < 32 and each not in "\t\n":
            return chr(0x2400 + code)
        if code == 127:
            return "\u2421"
        return "\ufffd" if 0x80 <= code < 0xa0 or 0xd800 <= code < 0xe000 or code & 0xfffe == 0xfffe else each

    return "".join(map(character, str(text).replace("\r\n", "\n")))


def escape(text):
    return html.escape(clean(text))


def number(value):
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percentile(values, percent):
    """The smallest of the values that at least that share of them does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def finite(values):
    return [value for value in values if math.isfinite(value)]


def ticks(low, high, about=5):
    """Round numbers from low to high."""
    if high <= low:
        return [low]
    step = 10 ** math.floor(math.log10((high - low) / about))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= about)
    return [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def decades(low, high):
    """Round numbers on a logarithmic scale: 1, 2, 5, 10 …, or only powers of ten where that is enough."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]


class Axes:
    """From values to places in the plot."""

    def __init__(self, x, y, logarithmic=False):
        (self.low, self.high), (self.bottom, self.top) = x, y
        self.logarithmic = logarithmic

    @staticmethod
    def share(value, low, high):
        return (value - low) / (high - low) if high > low else 0.5

    def x(self, value):
        if self.logarithmic:
            share = self.share(math.log(value), math.log(self.low), math.log(self.high))
        else:
            share = self.share(value, self.low, self.high)
        return LEFT + share * (RIGHT - LEFT)

    def y(self, value):
        return BOTTOM - self.share(value, self.bottom, self.top) * (BOTTOM - TOP)

    def draw(self, x_label, y_label):
        for tick in ticks(self.bottom, self.top):
            y = self.y(tick)
            yield (f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                   f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
        for tick in (decades if self.logarithmic else ticks)(self.low, self.high):
            x = self.x(tick)
            yield (f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{BOTTOM}" y2="{BOTTOM + 5}"/>'
                   f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{number(tick)}</text>')
        yield f'<text x="{RIGHT}" y="{BOTTOM + 38}" text-anchor="end">{escape(x_label)}</text>'
        yield f'<text x="4" y="{TOP - 10}">{escape(y_label)}</text>'


def plot(title, description, note, parts):
    """`note` is below the plot, wherever it is shown."""
    body = "\n".join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" aria-label="{escape(f"{title}: {description}")}">\n'
            f'<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>\n<style>{STYLE}</style>\n'
            f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>\n'
            f'<text class="title" x="4" y="20">{escape(title)}</text>\n'
            f'<text x="4" y="{BOTTOM + 38}">{escape(note)}</text>\n{body}\n</svg>\n')


def nothing(title, note):
    return plot(title, "nothing was measured", note,
                [f'<text x="{WIDTH / 2:g}" y="{HEIGHT / 2:g}" text-anchor="middle">nothing was measured</text>'])


def histogram(title, values, unit, note=""):
    """How often values occurred. Its scale is logarithmic where they spread over more than two decades."""
    values = finite(values)
    if not values:
        return nothing(title, note)
    low, high = min(values), max(values)
    logarithmic = low > 0 and high > LOGARITHMIC_FROM * low
    transform = math.log if logarithmic else float
    start, width = transform(low), (transform(high) - transform(low)) / BINS
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int((transform(value) - start) / width)) if width > 0 else BINS // 2] += 1
    axes = Axes((low, high), (0, HEADROOM * max(counts)), logarithmic)
    marks = {"p50": percentile(values, 50), "p99": percentile(values, 99), "max": high}
    parts = list(axes.draw(f"{unit}{', logarithmic' if logarithmic else ''}", "count"))
    bar = (RIGHT - LEFT) / BINS
    for n, count in enumerate(counts):
        if count:
            height = max(1.5, axes.y(0) - axes.y(count))  # a single one among many is to be seen, too
            parts.append(f'<rect class="bar" x="{LEFT + n * bar:.1f}" y="{BOTTOM - height:.1f}" '
                         f'width="{bar - 0.5:.1f}" height="{height:.1f}"/>')
    for n, (name, value) in enumerate(marks.items()):
        x, y = axes.x(value), TOP + 12 + 15 * n
        left = x > (LEFT + RIGHT) / 2
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}"/>'
                     f'<text x="{x + (-5 if left else 5):.1f}" y="{y}" text-anchor="{"end" if left else "start"}">'
                     f'{name} {number(value)} {escape(unit)}</text>')
    description = ", ".join([f"{number(len(values))} values", f"min {number(low)} {unit}",
                             *(f"{name} {number(value)} {unit}" for name, value in marks.items())])
    return plot(title, description, note, parts)


def thinned(points, axes):
    """As many points as can be told apart: of each pixel's width the first, the lowest, the highest and the last."""
    columns = {}
    for point in points:
        columns.setdefault(int(axes.x(point[0])), []).append(point)
    for _, column in sorted(columns.items()):
        if len(column) <= 4:
            yield from column
        else:
            ordered = sorted(range(len(column)), key=lambda n: column[n][1])
            yield from (column[n] for n in sorted({0, ordered[0], ordered[-1], len(column) - 1}))


def timeline(title, series, note="", x_label="", y_label=""):
    """Lines through points (t, value), for each name. The scale begins at 0, unless something is below."""
    series = {name: sorted((t, value) for t, value in points if math.isfinite(t) and math.isfinite(value))
              for name, points in series.items()}
    everything = [point for points in series.values() for point in points]
    if not everything:
        return nothing(title, note)
    times, values = zip(*everything)
    bottom, top = min(0, *values), max(0, *values)
    axes = Axes((min(times), max(times)), (bottom, top if top > bottom else bottom + 1))
    parts = list(axes.draw(x_label, y_label))
    at = RIGHT
    for n, (name, points) in reversed(list(enumerate(series.items()))):
        style = f'class="series s{n % STYLES}"'
        places = " ".join(f"{axes.x(t):.1f},{axes.y(value):.1f}" for t, value in thinned(points, axes))
        parts.append(f'<polyline {style} points="{places}"/>')
        if len(points) == 1:
            x, y = axes.x(points[0][0]), axes.y(points[0][1])
            parts.append(f'<circle {style} cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        at -= 7 * len(str(name)) + 44  # about as wide as its name
        parts.append(f'<line {style} x1="{at + 8}" x2="{at + 36}" y1="{TOP - 14}" y2="{TOP - 14}"/>'
                     f'<text x="{at + 40}" y="{TOP - 10}">{escape(name)}</text>')
    described = [f"{name}: {number(len(points))} points, from {number(min(v for _, v in points))} to "
                 f"{number(max(v for _, v in points))}" if points else f"{name}: no points"
                 for name, points in series.items()]
    return plot(title, "; ".join(described), note, parts)
