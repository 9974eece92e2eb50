# SPDX-License-Identifier: GPL-2.0-or-later
"""What the component runtime costs, native and hosted: the tables and the picture of docs/runtime.md.

    python -m bench.runtime [--timing detailed] [--write docs/runtime.md] [--picture docs/runtime.svg]

Runs examples/runtime/native.toml and hosted.toml, whose program reads the TSC before and after.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from bench.followed import follow_to_end, page_arguments
from bench.markdown import deliver, table
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.follow import Followed
from cyclescope.report.bars import stacked_bars
from emu.uarch.table import load

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "runtime"
KINDS = ("native", "hosted")
ASKS = "asks"
LINE = re.compile(r"(\d+\.\d\d) (\w+): (.+)")
MOST = 3.0  # cycles that the fast path of an Ebb call may cost more than a direct one
DIRECT = "direct"
EBBS = ("shared Ebb", "per-vCPU Ebb", "distributed Ebb")
WAYS = ("in a row", "alone", "chained")
GROUPS = {
    "first": "The first call of an Ebb",
    "later": "From where it is sent to where it runs",
    "many": "One of many",
    "node": "With other nodes",
}

Figures: TypeAlias = Mapping[tuple[str, str], float]  # by group and what it is: cycles


def run(kind: str, timing: str) -> Followed:
    """The example of that name. Raises GuestError where it does not come to its end."""
    cluster = read_cluster(EXAMPLES / f"{kind}.toml")
    return follow_to_end(msgspec.structs.replace(cluster, timing=timing), ASKS, "bench: ", "runtime: over")


def figures_of(followed: Followed) -> Figures:
    """All that it measured."""
    lines = filter(None, (LINE.fullmatch(step.line) for step in followed.steps))
    return {(said[2], said[3]): float(said[1]) for said in lines}


def most_added(figures: Figures, way: str) -> float:
    """Cycles that a call through an Ebb's id costs more than a direct one; of the kind of Ebb where it is most."""
    return max(figures["call", f"{kind}, {way}"] for kind in EBBS) - figures["call", f"{DIRECT}, {way}"]


def calls(kinds: Mapping[str, Figures]) -> str:
    """Cycles of a call: a line a kind of Ebb, a column a way to call."""
    rows = []
    for kind in (DIRECT, *EBBS):
        cycles = [figures["call", f"{kind}, {way}"] for figures in kinds.values() for way in WAYS]
        rows.append([f"{kind} call" if kind == DIRECT else kind, *(f"{n:.2f}" for n in cycles)])
    added = [most_added(figures, way) for figures in kinds.values() for way in WAYS]
    rows.append(["**an Ebb's more than a direct one, at most**", *(f"{n:+.2f}" for n in added)])
    rows.append([f"demand: {MOST:.0f} more", *("holds" if n <= MOST else "more" for n in added)])
    return table(["cycles", *(f"{kind}: {way}" for kind in kinds for way in WAYS)], rows)


def costs(kinds: Mapping[str, Figures], hz: int) -> str:
    """Everything else: a line a figure, by group."""
    rows = []
    for group, title in GROUPS.items():
        rows.append([f"**{title}**", *[""] * (2 * len(kinds))])
        for key in next(iter(kinds.values())):
            if key[0] == group:
                cycles = [figures[key] for figures in kinds.values()]
                rows.append([key[1], *(cell for n in cycles for cell in (f"{n:,.0f}", f"{n / hz * 1e9:,.0f}"))])
    return table(["", *(cell for kind in kinds for cell in (f"{kind}, cycles", "ns"))], rows)


def picture(kinds: Mapping[str, Figures]) -> str:
    """First calls, and what runs later: a group of bars a thing, a bar a place and kind."""
    groups: dict[str, list[tuple[str, list[float]]]] = {}
    for group, what in next(iter(kinds.values())):
        if group in ("first", "later"):
            thing, _, place = what.partition(", ")
            if group == "first":
                thing = f"first call: {thing}"
            bars = groups.setdefault(thing, [])
            for number, figures in enumerate(kinds.values()):
                parts = [figures[group, what] * (number == n) for n in range(len(kinds))]
                bars.append((place if not number else "", parts))
    title = "First calls, and from where something is sent to where it runs"
    return stacked_bars(title, "cycles", tuple(kinds), list(groups.items()))


def main() -> None:
    """Makes both."""
    options = page_arguments(__doc__).parse_args()
    kinds = {kind: figures_of(run(kind, options.timing)) for kind in KINDS}
    deliver({"calls": calls(kinds), "costs": costs(kinds, load("skylake_sp").hz)}, options.write)
    if options.picture:
        options.picture.write_text(picture(kinds))


if __name__ == "__main__":
    main()
