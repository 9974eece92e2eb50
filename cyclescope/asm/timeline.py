# SPDX-License-Identifier: GPL-2.0-or-later
"""The first iterations, cycle by cycle, in llvm-mca's letters.

D issued to the window, = waiting for operands or a port, e executing, E its last cycle, - waiting to retire, R retired. Where
several fall on one cycle the later stage shows. An instruction's row shows all its micro-ops; the second half of a macro-fused
pair has none.
"""

from __future__ import annotations

from dataclasses import dataclass

from cyclescope.asm.analysis import Analysis
from emu.core.prediction import Uop, Views


@dataclass(frozen=True)
class Lane:
    """One line. `cells` begins at cycle 0, that of the first issue; `uop` is -1 for the whole instruction."""

    iteration: int
    row: int
    uop: int
    port: int
    cells: str


def lanes(analysis: Analysis, iterations: int, *, by_uop: bool = False) -> list[Lane]:
    """Of the first iterations, in program order."""
    views = analysis.views[analysis.views["iteration"] < iterations]
    if not len(views):
        return []
    start = int(views["issued"].min())
    groups: dict[tuple[int, int, int], list[int]] = {}
    for i, view in enumerate(views):
        uop = int(view["index"]) if by_uop and not view["flags"] & Uop.SYNC else -1
        groups.setdefault((int(view["iteration"]), int(view["instruction"]), uop), []).append(i)
    found = []
    for (iteration, row, uop), members in groups.items():
        mine = views[members]
        port = int(mine[0]["port"]) if by_uop and len(mine) == 1 else -1
        found.append(Lane(iteration, row, uop, port, _cells(mine, start)))
    return found


def _cells(views: Views, start: int) -> str:
    issued, retired = int(views["issued"].min()) - start, int(views["retired"].max()) - start
    cells = [" "] * (retired + 1)
    busy = [(int(v["dispatched"]) - start, int(v["done"]) - start) for v in views if v["done"] > v["dispatched"]]
    finished = max((done for _, done in busy), default=issued)
    for cycle in range(issued, retired):
        cells[cycle] = "=" if cycle < finished else "-"
    for begin, end in busy:
        for cycle in range(begin, end):
            cells[cycle] = "E" if cycle + 1 == finished else "e"
    cells[issued] = "D"
    cells[retired] = "R"
    return "".join(cells)
