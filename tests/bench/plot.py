# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Bars in an SVG file, grouped by case; their length is logarithmic where the numbers are far apart."""

import html
import math
import pathlib

BAR = 14
LEFT = 170
WIDTH = 560
COLOURS = {"epoll": "#888888", "millrace": "#d62728", "millrace_unmeasured": "#e07b6a"}
OTHERS = "#7fa8d1"


def write(path: pathlib.Path, title: str, rows: list[tuple[str, dict]], to_limit: dict[str, dict]) -> None:
    """Of each row its label and each loop's value, which is followed by its ratio to the limit, if that is given."""
    values = [value for _, row in rows for value in row.values() if value is not None and value > 0]
    if not values:
        return
    logarithmic = max(values) > 20 * min(values)
    least = 10 ** math.floor(math.log10(min(values))) if logarithmic else 0.0

    def length(value: float) -> float:
        if logarithmic:
            return WIDTH * math.log(max(value, least) / least) / math.log(max(values) / least) if least else 0
        return WIDTH * value / max(values)

    parts = [text(8, 20, title + (" (logarithmic)" if logarithmic else ""), 14, "bold")]
    y = 36
    for label, row in rows:
        parts.append(text(8, y + BAR, label, 12, "bold"))
        y += BAR + 6
        for loop, value in row.items():
            if value is None:
                parts.append(text(LEFT, y + BAR - 3, f"{loop} –", 11, anchor="end"))
            else:
                colour = COLOURS.get(loop, OTHERS)
                parts.append(text(LEFT - 6, y + BAR - 3, loop, 11, anchor="end"))
                parts.append(f'<rect x="{LEFT}" y="{y}" width="{length(value):.1f}" height="{BAR - 2}" '
                             f'fill="{colour}"/>')
                ratio = f" ({to_limit[label][loop]:.2f})" if loop in to_limit.get(label, {}) else ""
                parts.append(text(LEFT + length(value) + 4, y + BAR - 3, number(value) + ratio, 11))
            y += BAR
        y += 10
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 140}" height="{y}" '
                    f'font-family="sans-serif">\n<rect width="100%" height="100%" fill="white"/>\n'
                    + "\n".join(parts) + "\n</svg>\n", encoding="utf-8")


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def text(x: float, y: float, content: str, size: int, weight: str = "normal", anchor: str = "start") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">'
            f"{html.escape(content)}</text>")
