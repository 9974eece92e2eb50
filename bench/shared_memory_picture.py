# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture of bench.shared_memory: busy cycles of an access by what they went to, and what readers cost a writer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from cyclescope.report.bars import stacked_bars
from cyclescope.report.svg import COLOURS, Line, line_chart, panels

GROUPS = {
    "network": ("irq", "driver", "netdev", "ip", "udp", "skb"),
    "messages": ("message",),
    "shared memory": ("dsm",),
    "events, timers": ("event", "timer", "lock", "mm"),
    "copying": ("copy",),
}
"""Components by what they are for; the console's are the measurement's own."""
KINDS = (
    "read by the home, zeros", "read, zeros", "read, at home", "read, written elsewhere", "write, written elsewhere",
    "in turn, with the home",
)  # fmt: skip
READERS = re.compile(r"write, read here and by (\d+) others")


class Access(Protocol):
    """As bench.shared_memory measures them."""

    @property
    def name(self) -> str: ...
    @property
    def hz(self) -> int: ...
    @property
    def mean_us(self) -> float: ...
    @property
    def busy_cycles(self) -> Mapping[str, Mapping[str, float]]: ...


def picture(found: Sequence[Access]) -> str:
    """Two panels, one above the other."""
    named = {each.name: each for each in found}
    shown = [named[kind] for kind in KINDS if kind in named]
    groups = [(f"{each.name}: takes {each.mean_us:.1f} us", [("", list(_groups(each).values()))]) for each in shown]
    bars = stacked_bars("What all nodes are busy with for an access", "cycles", list(GROUPS), groups)
    by_readers = sorted((int(match[1]), each) for each in found if (match := READERS.fullmatch(each.name)))
    lines = [
        Line("until it may write", COLOURS[0], [(count, each.mean_us) for count, each in by_readers]),
        Line("busy at the home", COLOURS[1], [(count, _us(each, "home")) for count, each in by_readers]),
        Line("busy at the readers", COLOURS[2], [(count, _us(each, "reader")) for count, each in by_readers]),
    ]
    return panels([bars, line_chart("A write fault with copies elsewhere", "other nodes with a copy", "us", lines, linear=True)], 1)


def _us(each: Access, names: str) -> float:
    """Busy time of nodes whose names begin so."""
    return sum(_groups(each, names).values()) / each.hz * 1e6


def _groups(each: Access, names: str = "") -> dict[str, float]:
    """Group -> busy cycles of the nodes whose names begin so."""
    total = dict.fromkeys(GROUPS, 0.0)
    for node, parts in each.busy_cycles.items():
        for group, components in GROUPS.items():
            total[group] += sum(parts.get(part, 0.0) for part in components) if node.startswith(names) else 0.0
    return total
