# SPDX-License-Identifier: GPL-2.0-or-later
"""Bars as SVG text: stacked, what sums consist of, one bar a line; and plain, of the size of svg.py's charts, for `panels`."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from cyclescope.report.svg import COLOURS, GRID, HEIGHT, INK, RIGHT, WIDTH, round_up

LEFT, BAR, GAP, GROUP, LINE = 170, 16, 5, 30, 18  # a group's name has GROUP; a line of the legend LINE


def stacked_bars(
    title: str,
    x_label: str,
    parts: Sequence[str],
    groups: Sequence[tuple[str, Sequence[tuple[str, Sequence[float]]]]],
    colours: Sequence[str] = COLOURS,
) -> str:
    """Groups of bars with their names; a bar has a value, 0 or more, for each of `parts`, and its sum is written behind it.

    Parts have as many `colours`, or more.
    """
    bars = [values for _, rows in groups for _, values in rows]
    most = round_up(max(sum(values) for values in bars) * 1.08)
    wide = WIDTH - LEFT - RIGHT
    keys, top = _legend(parts, colours)
    tall = len(bars) * (BAR + GAP) + len(groups) * GROUP
    height = top + tall + 46
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="22" font-size="14">{escape(title)}</text>',
        *keys,
    ]
    for tick in range(6):
        at = LEFT + wide * tick / 5
        out.append(f'<path d="M{at:.1f} {top}v{tall}" stroke="{GRID}"/>')
        out.append(f'<text x="{at:.1f}" y="{top + tall + 16}" text-anchor="middle">{most * tick / 5:g}</text>')
    y = float(top)
    for group, rows in groups:
        y += GROUP
        out.append(f'<text x="10" y="{y - 6:.1f}" font-weight="bold">{escape(group)}</text>')
        for name, values in rows:
            out.append(f'<text x="{LEFT - 6}" y="{y + BAR - 4:.1f}" text-anchor="end">{escape(name)}</text>')
            start = float(LEFT)
            for value, colour in zip(values, colours, strict=False):
                length = wide * value / most
                out.append(f'<rect x="{start:.1f}" y="{y:.1f}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
                start += length
            out.append(f'<text x="{start + 5:.1f}" y="{y + BAR - 4:.1f}">{sum(values):.1f}</text>')
            y += BAR + GAP
    out.append(f'<text x="{LEFT + wide / 2:.1f}" y="{height - 8}" text-anchor="middle">{escape(x_label)}</text>')
    return "\n".join((*out, "</svg>")) + "\n"


def _legend(parts: Sequence[str], colours: Sequence[str]) -> tuple[list[str], int]:
    """Its text, and where it ends."""
    out, x, y = [], 10.0, 46
    for name, colour in zip(parts, colours, strict=False):
        length = 40 + 7 * len(name)
        if x + length > WIDTH:
            x, y = 10.0, y + LINE
        out.append(f'<rect x="{x:.0f}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        out.append(f'<text x="{x + 17:.0f}" y="{y}">{escape(name)}</text>')
        x += length
    return out, y + 10


CHART_TOP, CHART_BOTTOM, CHART_RIGHT = 50, 16, 110


def bar_chart(title: str, bars: Sequence[tuple[str, float]], form: str = ",.0f") -> str:
    """A horizontal bar for each (name, value), values from 0 written at their ends in `form`; one colour a place."""
    left = 20 + 7 * max(len(name) for name, _ in bars)
    most = max(max(value for _, value in bars), 1e-9)
    wide, step = WIDTH - left - CHART_RIGHT, (HEIGHT - CHART_TOP - CHART_BOTTOM) / len(bars)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="20" y="26" font-size="14">{escape(title)}</text>',
        f'<path d="M{left} {CHART_TOP}V{HEIGHT - CHART_BOTTOM}" stroke="{GRID}"/>',
    ]
    for number, (name, value) in enumerate(bars):
        y = CHART_TOP + step * number
        length = wide * value / most
        out.append(f'<text x="{left - 8}" y="{y + step / 2 + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        out.append(
            f'<rect x="{left}" y="{y + step * 0.18:.1f}" width="{length:.1f}" height="{step * 0.64:.1f}" '
            f'fill="{COLOURS[number % len(COLOURS)]}"/>'
        )
        out.append(f'<text x="{left + length + 6:.1f}" y="{y + step / 2 + 4:.1f}">{format(value, form)}</text>')
    return "\n".join((*out, "</svg>")) + "\n"
