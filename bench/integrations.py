# SPDX-License-Identifier: GPL-2.0-or-later
"""What a shared object costs by each integration, side by side and by component: tables and picture of docs/integrations.md.

    python -m bench.integrations [--timing detailed] [--write docs/integrations.md] [--picture docs/integrations.svg]

Runs examples/integrations/*.toml. Latencies are the client program's own, by its clock; cycles are all that a node's vCPUs were
busy with meanwhile, by component, but for the console that says when it begins and ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.followed import cycles_each, follow_to_end, page_arguments
from bench.markdown import deliver, number, table, us
from cyclescope.cluster.file import read_cluster
from cyclescope.report.bars import stacked_bars
from emu.uarch.table import load

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "integrations"
CLIENT, HOME = "back", "home"
HOMES = {"general": "linux_like", "library": "libos"}  # an example's name -> its home's personality
LINE = re.compile(r"(\w+) ([\w-]+) (\d+) times (\d+) mean_ns (\d+) median_ns (\d+) most_ns (\d+)")
PROGRAM = {"linux_like": ("app",), "libos": ("app", "message", "shared", "dsm", "event", "ebb")}
PARTS = (
    "client: program",
    "client: rest of libos",
    "home: kernel, or rest of libos",
    "home: program",
    "wire, NICs, waking up",
)
BULK = 1 << 20


@dataclass(frozen=True)
class Kind:
    """Operations of one kind by one integration, at that home; times in nanoseconds, cycles an operation by node and component."""

    home: str
    integration: str
    name: str
    length: int
    mean_ns: float
    median_ns: float
    most_ns: float
    cycles: Mapping[str, Mapping[str, float]]

    @property
    def operation(self) -> str:
        """As tables name it."""
        length = "1 MiB" if self.length == BULK else f"{self.length:,} bytes"
        return f"{self.name.replace('-', ' ')}, {length}"

    def busy(self, node: str, program: bool, personality: str) -> float:
        """Cycles of a node in the program or out of it."""
        own = PROGRAM[personality]
        return sum(cycles for name, cycles in self.cycles[node].items() if (name in own) == program)


def measure(path: Path, timing: str) -> list[Kind]:
    """All that an example measures. Raises GuestError where it does not come to its end."""
    cluster = msgspec.structs.replace(read_cluster(path), timing=timing)
    found, cycles = [], {}
    for step in follow_to_end(cluster, CLIENT, "bench: ", "integrations: over").steps:
        if step.line == "end":
            cycles = step.cycles
        elif said := LINE.fullmatch(step.line):
            integration, name, length, times, mean, median, most = said.groups()
            each, home = cycles_each(cycles, int(times)), HOMES[path.stem]
            found.append(Kind(home, integration, name, int(length), int(mean), int(median), int(most), each))
    return found


def latency(kinds: Sequence[Kind]) -> str:
    """A line an operation: mean, median and the largest by integration and home."""
    columns = list(dict.fromkeys((kind.integration, kind.home) for kind in kinds))
    head = ["us", *(f"{integration}, {home}: mean" for integration, home in columns)]
    head = [head[0], *(cell for name in head[1:] for cell in (name, "median", "largest"))]
    rows = []
    for operation in dict.fromkeys(kind.operation for kind in kinds if kind.length != BULK):
        row = [operation]
        for column in columns:
            kind = next(k for k in kinds if k.operation == operation and (k.integration, k.home) == column)
            row += [us(kind.mean_ns), us(kind.median_ns), us(kind.most_ns)]
        rows.append(row)
    return table(head, rows)


def throughput(kinds: Sequence[Kind], hz: int) -> str:
    """Of a MiB in one operation: MiB/s, and how busy both were."""
    rows = [
        [
            f"{kind.integration}, {kind.home}", kind.name, f"{1e9 / kind.mean_ns:,.0f}",
            *(f"{sum(kind.cycles[node].values()) / (kind.mean_ns * hz / 1e9) * 100:.0f} %" for node in (CLIENT, HOME)),
            *(number(sum(kind.cycles[node].values()) / BULK * 1024) for node in (CLIENT, HOME)),
        ]
        for kind in kinds if kind.length == BULK
    ]  # fmt: skip
    head = ("", "1 MiB in one", "MiB/s", "client busy", "home busy", "client: cycles a KiB", "home: cycles a KiB")
    return table(head, rows)


def components(kinds: Sequence[Kind], name: str, length: int) -> str:
    """Busy cycles an operation, a line a node and component, a column an integration and home."""
    chosen = [kind for kind in kinds if (kind.name, kind.length) == (name, length)]
    rows = []
    for node in (CLIENT, HOME):
        order = dict.fromkeys(part for kind in chosen for part in kind.cycles[node])
        dearest = sorted(order, key=lambda part: -max(kind.cycles[node].get(part, 0) for kind in chosen))
        for part in dearest:
            cells = [kind.cycles[node].get(part, 0) for kind in chosen]
            if max(cells) >= 20:
                rows.append([f"{'client' if node == CLIENT else 'home'}: {part}", *map(number, cells)])
        sums = [sum(kind.cycles[node].values()) for kind in chosen]
        rows.append([f"{'client' if node == CLIENT else 'home'}, all", *map(number, sums)])
    return table(["cycles", *(f"{kind.integration}, {kind.home}" for kind in chosen)], rows)


def picture(kinds: Sequence[Kind], hz: int) -> str:
    """Mean latencies as bars: what of them the two nodes are busy for."""
    groups = []
    for operation in dict.fromkeys(kind.operation for kind in kinds if kind.length != BULK):
        bars = []
        for kind in (k for k in kinds if k.operation == operation):
            busy = [
                kind.busy(CLIENT, True, "libos"), kind.busy(CLIENT, False, "libos"),
                kind.busy(HOME, False, kind.home), kind.busy(HOME, True, kind.home),
            ]  # fmt: skip
            parts = [cycles / hz * 1e6 for cycles in busy]
            bars.append((f"{kind.integration}, {kind.home}", [*parts, max(0.0, kind.mean_ns / 1000 - sum(parts))]))
        groups.append((operation, bars))
    return stacked_bars("A shared object's operation, by integration and home", "us", PARTS, groups)


def main() -> None:
    """Makes all of it."""
    options = page_arguments(__doc__).parse_args()
    kinds = [kind for name in HOMES for kind in measure(EXAMPLES / f"{name}.toml", options.timing)]
    hz = load("skylake_sp").hz
    tables = {
        "latency": latency(kinds),
        "throughput": throughput(kinds, hz),
        "read-64": components(kinds, "read", 64),
        "write-4096": components(kinds, "write", 4096),
    }
    deliver(tables, options.write)
    if options.picture:
        options.picture.write_text(picture(kinds, hz))


if __name__ == "__main__":
    main()
