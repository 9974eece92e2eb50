# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster's run over its time: tables of starts and of intervals, JSON, and a picture."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from xml.sax.saxutils import escape

from rich.console import Console
from rich.table import Table

from cyclescope.cluster.result import ClusterRun
from cyclescope.cluster.timeline import PARTS, Bin, Start, Timeline
from cyclescope.report.svg import COLOURS, GRID, HEIGHT, INK, LEFT, RIGHT, TOP, WIDTH, Line, line_chart, round_up
from cyclescope.report.tables import compact_table

SHOWN = 20  # intervals of the table
PART_COLOURS = ("#b2babb", "#2471a3", "#7d3c98", "#b9770e", "#c0392b", "#e59866")
_ROW, _BAR = 18, 12
_SERVES, _PARKED = "#1e8449", "#d5dbdb"


def print_timeline(console: Console, run: ClusterRun) -> None:
    """What each start took, and requests, latency and nodes over time."""
    if run.timeline.starts:
        console.print(starts_table(run))
        console.print()
    console.print(bins_table(run))


def starts_table(run: ClusterRun) -> Table:
    """A line a machine of a pool."""
    title = f"{run.cluster.name}: machines of pools; times since measuring began, and what each start's time went to [ms]"
    table = compact_table(title)
    for name in ("Machine", "Start"):
        table.add_column(name, no_wrap=True)
    for name in ("asked", *PARTS, "sum", "ended"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Why", no_wrap=True)
    for start in run.timeline.starts:
        parts = [_ms(start.parts_ps.get(part)) for part in PARTS]
        total = _ms(sum(start.parts_ps.values())) if start.parts_ps else "-"
        table.add_row(start.name, _kind(start), _ms(start.asked_ps), *parts, total, _ms(start.ended_ps), start.why[:40])
    return table


def _kind(start: Start) -> str:
    return "warm" if start.warm else "cold" if start.asked_ps is not None else "parked"


def bins_table(run: ClusterRun) -> Table:
    """Requests by when they were sent: some intervals together, so that it fits a page."""
    timeline = run.timeline
    table = compact_table(f"{run.cluster.name}: requests by when they were sent, and nodes at the interval's end")
    names = ("from ms", "requests/s", "answered", "lost", "refused", "missed", "mean us", "p99 us", "powered", "serving")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    step = max(1, len(timeline.bins) // SHOWN)
    for first in range(0, len(timeline.bins), step):
        some = timeline.bins[first : first + step]
        answered = sum(each.answered for each in some)
        mean_ps = sum(each.mean_ps * each.answered for each in some) / max(1, answered)
        table.add_row(
            f"{some[0].start_ps / 1e9:,.1f}", f"{sum(each.sent for each in some) * 1e12 / (timeline.bin_ps * len(some)):,.0f}",
            *(f"{n:,}" for n in (answered, *(sum(getattr(each, name) for each in some) for name in ("lost", "refused", "missed")))),
            f"{mean_ps / 1e6:,.1f}" if answered else "-", f"{max(each.p99_ps for each in some) / 1e6:,.1f}" if answered else "-",
            str(some[-1].powered), str(some[-1].serving),
        )  # fmt: skip
    return table


def _ms(time_ps: int | None) -> str:
    return "-" if time_ps is None else f"{time_ps / 1e9:,.3f}"


def timeline_document(timeline: Timeline) -> dict[str, Any]:
    """As JSON: picoseconds since measuring began."""
    return asdict(timeline)


def timeline_svg(run: ClusterRun) -> str:
    """Requests and what became of them, latency, nodes, and a bar a machine, over one time."""
    timeline = run.timeline
    charts = [_requests(run.cluster.name, timeline), _latency(timeline), _nodes(timeline)]
    bars = _bars(timeline, _span_ms(timeline)) if timeline.starts else ""
    tall = 3 * HEIGHT + (_bars_height(timeline) if timeline.starts else 0)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{tall}" viewBox="0 0 {WIDTH} {tall}">']
    for number, chart in enumerate(charts):
        out.append(chart.replace("<svg ", f'<svg x="0" y="{HEIGHT * number}" ', 1).rstrip())
    out.append(bars.replace("<svg ", f'<svg x="0" y="{HEIGHT * 3}" ', 1).rstrip())
    return "\n".join((*out, "</svg>")) + "\n"


def _middle_ms(timeline: Timeline, each: Bin) -> float:
    return (each.start_ps + timeline.bin_ps / 2) / 1e9


def _requests(name: str, timeline: Timeline) -> str:
    def rate(each: Bin, count: int) -> tuple[float, float]:
        return _middle_ms(timeline, each), count * 1e9 / timeline.bin_ps

    lines = [
        Line("sent", COLOURS[5], [rate(each, each.sent) for each in timeline.bins]),
        Line("answered", COLOURS[2], [rate(each, each.answered) for each in timeline.bins]),
        Line("lost or refused", COLOURS[0], [rate(each, each.lost + each.refused) for each in timeline.bins]),
        Line("missed", COLOURS[4], [rate(each, each.missed) for each in timeline.bins], dashed=True),
    ]
    return line_chart(f"{name}: requests, by when they were sent", "time [ms]", "requests/ms", lines, linear=True)


def _latency(timeline: Timeline) -> str:
    answered = [each for each in timeline.bins if each.answered]
    lines = [
        Line("mean", COLOURS[1], [(_middle_ms(timeline, each), each.mean_ps / 1e6) for each in answered]),
        Line("99 %ile", COLOURS[0], [(_middle_ms(timeline, each), each.p99_ps / 1e6) for each in answered]),
    ]
    if not answered:
        lines = [Line("nothing was answered", COLOURS[0], [(_span_ms(timeline), 1.0)])]
    return line_chart("Latency of those answered", "time [ms]", "latency [us]", lines)


def _nodes(timeline: Timeline) -> str:
    def steps(values: list[int]) -> list[tuple[float, float]]:
        return [(_middle_ms(timeline, each), float(value)) for each, value in zip(timeline.bins, values, strict=True)]

    lines = [
        Line("powered", COLOURS[5], steps([each.powered for each in timeline.bins]), dashed=True),
        Line("serving", COLOURS[2], steps([each.serving for each in timeline.bins])),
    ]
    most = max(each.powered for each in timeline.bins)
    top = next(top for top in (5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100) if top >= most * 1.2)  # five whole steps
    lines.append(Line("", "none", [(0.0, top / 1.2)]))
    return line_chart("Nodes", "time [ms]", "nodes", lines, linear=True)


def _span_ms(timeline: Timeline) -> float:
    """Where the time's axis ends, as line_chart has it."""
    return round_up(max(_middle_ms(timeline, each) for each in timeline.bins))


def _bars_height(timeline: Timeline) -> int:
    return TOP + _ROW * (len(timeline.starts) + 2) + 24


def _bars(timeline: Timeline, span_ms: float) -> str:
    """A bar a machine: what its start's time went to, then serving, up to its end."""
    wide, tall = WIDTH - LEFT - RIGHT, _bars_height(timeline)
    longest = max(wide / max(span_ms, 1e-9), 1e-9)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{tall}" viewBox="0 0 {WIDTH} {tall}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{tall}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="14">Machines of pools: what their starts went to</text>',
    ]

    def bar(row: int, start_ms: float, end_ms: float, colour: str) -> None:
        left, right = (LEFT + min(max(at, 0.0), span_ms) * longest for at in (start_ms, end_ms))
        if right > left:
            y = TOP + _ROW * row + (_ROW - _BAR) / 2
            out.append(f'<rect x="{left:.1f}" y="{y:.1f}" width="{max(right - left, 0.8):.1f}" height="{_BAR}" fill="{colour}"/>')

    for row, start in enumerate(timeline.starts):
        y = TOP + _ROW * (row + 1)
        out.append(f'<path d="M{LEFT} {y}h{wide}" stroke="{GRID}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y - 4}" text-anchor="end">{escape(start.name)}</text>')
        until = (timeline.end_ps if start.ended_ps is None else start.ended_ps) / 1e9
        at = (start.asked_ps if start.asked_ps is not None else start.started_ps) / 1e9
        if start.warm:
            bar(row, (start.ready_ps or 0) / 1e9, at, _PARKED)
        for part, colour in zip(PARTS, PART_COLOURS, strict=True):
            if part in start.parts_ps:
                bar(row, at, at + start.parts_ps[part] / 1e9, colour)
                at += start.parts_ps[part] / 1e9
        bar(row, at, until, _PARKED if start.asked_ps is None else _SERVES if "first request" in start.parts_ps else GRID)
    named = (*zip(PARTS, PART_COLOURS, strict=True), ("serves", _SERVES), ("parked", _PARKED))
    y, x = TOP + _ROW * (len(timeline.starts) + 1) + 6, float(LEFT)
    for name, colour in named:
        out.append(f'<rect x="{x:.1f}" y="{y}" width="{_BAR}" height="{_BAR}" fill="{colour}"/>')
        out.append(f'<text x="{x + _BAR + 4:.1f}" y="{y + 10}">{name}</text>')
        x += _BAR + 16 + 7 * len(name)
    return "\n".join((*out, "</svg>")) + "\n"
