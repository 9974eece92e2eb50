# SPDX-License-Identifier: GPL-2.0-or-later
"""Line charts as SVG text: no dependency, the same bytes for the same points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 420
LEFT, TOP, RIGHT, BOTTOM = 70, 46, 20, 60
COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#7d3c98", "#b9770e", "#566573")
INK, GRID = "#333333", "#dddddd"


@dataclass(frozen=True)
class Line:
    """One curve: points as (x, y), those to ring, and whether it is dashed."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    ringed: Sequence[tuple[float, float]] = ()


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    lines: Sequence[Line],
    x_ticks: Sequence[tuple[float, str]] = (),
    *,
    linear: bool = False,
) -> str:
    """x from 0 or, with ticks of one's own, logarithmic from the first to the last; y logarithmic between powers of ten, or
    `linear` from 0.

    Values are above 0, but for y where it is linear. A line without a name is not in the legend.
    """
    most_x = round_up(max(x for line in lines for x, _ in line.points))
    ticks = x_ticks or [(most_x * tick / 5, f"{most_x * tick / 5:g}") for tick in range(6)]
    first, last = ticks[0][0], ticks[-1][0]
    ys = [y for line in lines for _, y in line.points]
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    if linear:
        most_y = round_up(max(*ys, 1e-9) * 1.2)  # room for the legend
        marks = [most_y * step / 5 for step in range(6)]
    else:
        low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
        high = max(high, low + 1)
        marks = [digit * 10.0**power for power in range(low, high) for digit in (1, 2, 5)] + [10.0**high]

    def place(x: float, y: float) -> tuple[float, float]:
        share = (math.log(x / first) / math.log(last / first) if last > first else 0.0) if x_ticks else x / most_x
        down = 1 - y / most_y if linear else (high - math.log10(y)) / (high - low)
        return LEFT + wide * share, TOP + tall * down

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="14">{escape(title)}</text>',
    ]
    for mark in marks:
        y = place(first, mark)[1]
        out.append(f'<path d="M{LEFT} {y:.1f}h{wide}" stroke="{GRID}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{mark:g}</text>')
    for value, text in ticks:
        x = place(value, marks[-1])[0]
        out.append(f'<path d="M{x:.1f} {TOP}v{tall}" stroke="{GRID}"/>')
        out.append(f'<text x="{x:.1f}" y="{TOP + tall + 18}" text-anchor="middle">{escape(text)}</text>')
    out.append(f'<path d="M{LEFT} {TOP}v{tall}h{wide}" fill="none" stroke="{INK}"/>')
    out.append(f'<text x="{LEFT + wide / 2:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>')
    middle = TOP + tall / 2
    turned = f'transform="rotate(-90 16 {middle:.1f})"'
    out.append(f'<text x="16" y="{middle:.1f}" text-anchor="middle" {turned}>{escape(y_label)}</text>')
    for line in lines:
        out += _curve(line, [place(x, y) for x, y in line.points], [place(x, y) for x, y in line.ringed])
    named = [line for line in lines if line.name]
    step = max(150, 38 + 7 * max((len(line.name) for line in named), default=0))
    beside = max(1, wide // step)
    for number, line in enumerate(named):
        x = LEFT + 10 + step * (number % beside)
        y = TOP + 16 + 18 * (number // beside)
        out.append(f'<path d="M{x} {y - 4}h22" {_stroke(line)}/>')
        out.append(f'<text x="{x + 28}" y="{y}">{escape(line.name)}</text>')
    return "\n".join((*out, "</svg>")) + "\n"


def panels(charts: Sequence[str], columns: int) -> str:
    """Charts of line_chart side by side, as one picture."""
    rows = -(-len(charts) // columns)
    size = f'width="{WIDTH * columns}" height="{HEIGHT * rows}"'
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH * columns} {HEIGHT * rows}">']
    for number, chart in enumerate(charts):
        where = f'x="{WIDTH * (number % columns)}" y="{HEIGHT * (number // columns)}"'
        out.append(chart.replace("<svg ", f"<svg {where} ", 1).rstrip())
    return "\n".join((*out, "</svg>")) + "\n"


def _curve(line: Line, points: list[tuple[float, float]], ringed: list[tuple[float, float]]) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    out = [f'<polyline points="{path}" {_stroke(line)}/>']
    out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{line.colour}"/>' for x, y in points]
    out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" fill="none" stroke="{line.colour}"/>' for x, y in ringed]
    return out


def _stroke(line: Line) -> str:
    dash = ' stroke-dasharray="6 4"' if line.dashed else ""
    return f'fill="none" stroke="{line.colour}" stroke-width="2"{dash}'


def round_up(value: float) -> float:
    """To 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if value <= power * step * (1 + 1e-9))
