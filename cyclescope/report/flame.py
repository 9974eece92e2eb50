# SPDX-License-Identifier: GPL-2.0-or-later
"""A flame graph of call stacks as SVG text: callers below callees, as wide as their inclusive cycles, coloured by component."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from cyclescope.report.svg import INK
from emu.ledger.profile import ROOTS, Profile

WIDTH, MARGIN, TOP, ROW = 1600, 10, 56, 17
LEAST_PX, CHARACTER_PX = 0.3, 6.6
PALETTE = (
    "#e8c16b", "#c98b6b", "#8fb3d9", "#9fc98f", "#d9a3b8", "#b5a3d9", "#8fc9bf", "#d9c98f", "#c9a08f", "#a3b8d9", "#b8c97a",
    "#d98f8f", "#8fd0e0", "#c9b5a0", "#a8a8c0", "#d0b0e0",
)  # fmt: skip


class Box(NamedTuple):
    """A stack, as long as it spends cycles: where it starts, and how many it has, both in cycles."""

    function: str
    component: str
    depth: int
    start: int
    cycles: int


def boxes(profile: Profile) -> Iterator[Box]:
    """Every stack that cost something; those above the same one in their names' order, roots in their own."""
    total = profile.inclusive(profile.cycles).tolist()
    children: list[list[int]] = [[] for _ in total]
    for path in range(len(ROOTS), len(total)):
        if total[path]:
            children[profile.parent[path]].append(path)
    start = 0
    for root in range(len(ROOTS)):
        yield from _above(profile, total, children, [root], 0, start)
        start += total[root]


def _above(
    profile: Profile, total: list[int], children: list[list[int]], first: list[int], depth: int, start: int
) -> Iterator[Box]:
    waiting = [(first, depth, start)]
    while waiting:
        merged, depth, start = waiting.pop()
        cycles = sum(total[path] for path in merged)
        if not cycles:
            continue
        yield Box(profile.function[merged[0]], profile.component[merged[0]], depth, start, cycles)
        above: dict[tuple[str, str], list[int]] = {}
        for path in merged:  # of functions that share a name, one box
            for child in children[path]:
                above.setdefault((profile.function[child], profile.component[child]), []).append(child)
        for name in sorted(above):
            waiting.append((above[name], depth + 1, start))
            start += sum(total[path] for path in above[name])


def flame_graph(profile: Profile, title: str, requests: int) -> str:
    """The picture; each box says on hovering what it is, its cycles a request, and its share."""
    found = sorted(boxes(profile), key=lambda box: (box.depth, box.start))
    whole = max(1, int(profile.cycles.sum()))
    scale = (WIDTH - 2 * MARGIN) / whole
    shown = [box for box in found if box.cycles * scale >= LEAST_PX]
    height = TOP + ROW * (max((box.depth for box in shown), default=0) + 1) + MARGIN
    dearest: dict[str, int] = {}
    for name, cycles in zip(profile.component, profile.cycles.tolist(), strict=True):
        dearest[name] = dearest.get(name, 0) + cycles
    order = sorted((name for name in dearest if name not in ROOTS), key=lambda name: (-dearest[name], name))
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(order)}
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="monospace" font-size="11" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="18" font-family="sans-serif" font-size="14">{escape(title)}</text>',
    ]
    x = float(MARGIN)
    for name in [name for name in order if dearest[name]][: len(PALETTE)]:
        out.append(f'<rect x="{x:.0f}" y="28" width="11" height="11" fill="{colours[name]}"/>')
        out.append(f'<text x="{x + 15:.0f}" y="38">{escape(name)}</text>')
        x += 30 + CHARACTER_PX * len(name)
    for box in shown:
        left, wide = MARGIN + box.start * scale, box.cycles * scale
        y = height - MARGIN - ROW * (box.depth + 1)
        share = f"{box.cycles / max(1, requests):,.1f} cycles a request, {100 * box.cycles / whole:.2f} %"
        words = f"{box.function} ({box.component}): {share}"
        out.append(
            f'<g><title>{escape(words)}</title><rect x="{left:.1f}" y="{y}" width="{max(wide - 0.3, 0.2):.1f}" '
            f'height="{ROW - 1}" fill={quoteattr(colours.get(box.component, "#dddddd"))}/>'
        )
        room = int((wide - 6) / CHARACTER_PX)
        if room >= 3:
            text = box.function if len(box.function) <= room else box.function[: room - 1] + "…"
            out.append(f'<text x="{left + 3:.1f}" y="{y + 12}">{escape(text)}</text>')
        out.append("</g>")
    return "\n".join((*out, "</svg>")) + "\n"
