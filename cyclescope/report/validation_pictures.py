# SPDX-License-Identifier: GPL-2.0-or-later
"""The curves of `cyclescope validate`: a pointer chase over memory sizes, kernels on host and model."""

from __future__ import annotations

from collections.abc import Sequence

from cyclescope.experiments.validate.figures import Figure
from cyclescope.experiments.validate.kernels import Comparison
from cyclescope.experiments.validate.memory import CHASE, PLATEAUS, sizes_of
from cyclescope.report.svg import COLOURS, Line, line_chart


def chase_picture(figures: Sequence[Figure], title: str) -> str | None:
    """The curve, and the reference of each plateau as a dashed line of the plateau's width; None if no chase was run."""
    points = sorted(sizes_of(figures).items())
    if len(points) < 2:
        return None
    lines = [Line("model", COLOURS[1], [(float(size), value) for size, value in points])]
    for figure in figures:
        if figure.group != CHASE or figure.bound is None or figure.name not in PLATEAUS or not figure.span:
            continue
        bound = figure.bound
        assert bound.low is not None
        assert bound.high is not None
        middle = (bound.low + bound.high) / 2
        span = [(float(edge), middle) for edge in figure.span]
        name = "" if any(line.dashed for line in lines) else "published"
        lines.append(Line(name, COLOURS[0], span, dashed=True))
    return line_chart(title, "memory visited", "cycles a load", lines, _ticks(points[0][0], points[-1][0], 4))


def kernels_picture(comparison: Comparison, title: str) -> str:
    """Host dashed, model solid, a colour a kernel."""
    lines = []
    kernels = list(dict.fromkeys(point.kernel for point in comparison.points))
    for number, kernel in enumerate(kernels):
        points = [point for point in comparison.points if point.kernel == kernel]
        colour = COLOURS[number % len(COLOURS)]
        lines.append(Line(kernel, colour, [(float(p.size), p.model) for p in points]))
        lines.append(Line("", colour, [(float(p.size), p.host) for p in points], dashed=True))
    sizes = [point.size for point in comparison.points]
    return line_chart(f"{title} (dashed: host)", "size (bytes)", "cycles a unit of work", lines, _ticks(min(sizes), max(sizes), 8))


def _ticks(least: int, most: int, step: int) -> list[tuple[float, str]]:
    """Powers of two that enclose the range, each `step` times the one before."""
    value, found = 1, []
    while value * 2 <= least:
        value *= 2
    while True:
        found.append((float(value), _text(value)))
        if value >= most:
            return found
        value *= step


def _text(size: int) -> str:
    for shift, unit in ((20, "M"), (10, "K")):
        if size >= 1 << shift:
            return f"{size >> shift}{unit}"
    return str(size)
