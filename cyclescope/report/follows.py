# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps of a followed cluster: as text, as JSON, and as a picture with a bar for each role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from rich.console import Console

from cyclescope.cluster.follow import Followed, Step
from cyclescope.cluster.spec import Cluster
from cyclescope.report.svg import COLOURS, GRID, INK
from emu.units import PS_PER_US

SCHEMA = 1
_SHOWN = 6  # components with a colour of their own
_OTHER = "#bbbbbb"
_WIDE, _BAR, _LEFT, _RIGHT = 900, 13, 90, 190


def by_role(followed: Followed, step: Step) -> dict[str, dict[str, int]]:
    """Busy cycles of a step by role and component, most first."""
    found: dict[str, dict[str, int]] = {}
    for node, cycles in step.cycles.items():
        mine = found.setdefault(followed.roles[node], {})
        for component, count in cycles.items():
            mine[component] = mine.get(component, 0) + count
    return {role: dict(sorted(cycles.items(), key=lambda each: (-each[1], each[0]))) for role, cycles in found.items()}


def print_follow(console: Console, cluster: Cluster, followed: Followed, *, lines: bool) -> None:
    """A step a paragraph: its line, simulated time since the step before, machines with power; then each role's busy cycles."""
    if lines:
        for time_ps, node, line in followed.console:
            console.print(f"{time_ps / PS_PER_US:14,.1f} us  {node}: {line}", highlight=False, markup=False, soft_wrap=True)
        console.print()
    console.print(
        f"{cluster.name}: {len(followed.steps)} steps, {cluster.timing}; simulated time by lines, busy cycles by component",
        highlight=False, markup=False,
    )  # fmt: skip
    for number, step in enumerate(followed.steps, 1):
        time_us = (step.end_ps - step.start_ps) / PS_PER_US
        head = f"{number:3} {time_us:12,.1f} us  {_machines(step)}  {step.line}"
        console.print(head, highlight=False, markup=False, soft_wrap=True)
        for role, cycles in by_role(followed, step).items():
            parts = [f"{name} {count:,}" for name, count in list(cycles.items())[:8]]
            parts += [f"{len(cycles) - 8} more"] if len(cycles) > 8 else []
            text = f"      {role:8} {sum(cycles.values()):12,}  {', '.join(parts)}"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
    if not followed.ended:
        console.print("The line that ends the run did not come.", highlight=False)


def follow_document(cluster: Cluster, followed: Followed) -> dict[str, Any]:
    """For JSON."""
    return {
        "schema": SCHEMA,
        "cluster": cluster.name,
        "timing": cluster.timing,
        "ended": followed.ended,
        "roles": followed.roles,
        "steps": [
            {
                "line": step.line,
                "start_ns": step.start_ps / 1000,
                "end_ns": step.end_ps / 1000,
                "machines": step.machines,
                "busy_cycles": step.cycles,
            }
            for step in followed.steps
        ],
        "console": [{"ns": time_ps / 1000, "node": node, "line": line} for time_ps, node, line in followed.console],
    }


def follow_picture(cluster: Cluster, followed: Followed) -> str:
    """A group of bars a step: each role's busy cycles, as shares by component; what they sum to stands beside."""
    total: dict[str, int] = {}
    for step in followed.steps:
        for cycles in by_role(followed, step).values():
            for component, count in cycles.items():
                total[component] = total.get(component, 0) + max(1, 1000 * count // sum(cycles.values()))
    named = sorted(total, key=lambda name: (-total[name], name))[:_SHOWN]
    colours = dict(zip(named, COLOURS, strict=False))
    y = 66
    body: list[str] = []
    for step in followed.steps:
        groups = by_role(followed, step)
        time_us = (step.end_ps - step.start_ps) / PS_PER_US
        name = escape(step.line.partition(":")[0])
        body.append(f'<text x="{_LEFT}" y="{y}">{name}: {time_us:,.0f} us, {_machines(step)}</text>')
        y += 6
        for role, cycles in groups.items():
            body += _bar(y, role, cycles, colours)
            y += _BAR + 3
        y += 16
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{y}" viewBox="0 0 {_WIDE} {y}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{_WIDE}" height="{y}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{escape(cluster.name)}: busy cycles of each step, by role and component '
        f"({escape(cluster.timing)})</text>",
    ]
    x = _LEFT
    for component in (*named, "others"):
        out.append(f'<rect x="{x}" y="31" width="12" height="12" fill="{colours.get(component, _OTHER)}"/>')
        out.append(f'<text x="{x + 17}" y="42">{escape(component)}</text>')
        x += 34 + 7 * len(component)
    return "\n".join((*out, *body, "</svg>")) + "\n"


def _bar(y: int, role: str, cycles: Mapping[str, int], colours: Mapping[str, str]) -> list[str]:
    wide, total = _WIDE - _LEFT - _RIGHT, sum(cycles.values())
    out = [f'<text x="{_LEFT - 6}" y="{y + 11}" text-anchor="end">{escape(role)}</text>']
    parts = [(colours[name], cycles[name]) for name in colours if name in cycles]
    parts.append((_OTHER, total - sum(count for _, count in parts)))
    x = float(_LEFT)
    for colour, count in parts:
        if count:
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{wide * count / total:.1f}" height="{_BAR}" fill="{colour}"/>')
            x += wide * count / total
    out.append(f'<rect x="{_LEFT}" y="{y}" width="{wide}" height="{_BAR}" fill="none" stroke="{GRID}"/>')
    out.append(f'<text x="{_LEFT + wide + 8}" y="{y + 11}">{total:,} cycles</text>')
    return out


def _machines(step: Step) -> str:
    return f"{step.machines} machine{'s' if step.machines > 1 else ''}"
