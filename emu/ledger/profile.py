# SPDX-License-Identifier: GPL-2.0-or-later
"""The inclusive profile of a machine over an interval: what each call stack cost, and each function with what it called.

A path's cycles are those of the function that it ends in, as it was called along the path. Each path begins at one of ROOTS.
Idle functions' own cycles are left out, so all paths' cycles sum to the busy cycles, and the roots' inclusive cycles do, too;
a function that is on a path several times has that path's cycles once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emu.errors import EmuBug
from emu.ledger.accounts import Accounts
from emu.ledger.calls import Paths
from emu.ledger.tables import SymbolNames

ROOTS = ("[thread]", "[resumed]", "[interrupt]", "[lost]")
"""CS_R_*: where paths begin. A thread's first function; a stack older than the profile, or whose callers were lost; an
interrupt's handler, which nobody called; no room for the path."""

Int64 = NDArray[np.int64]

_RECORDS = 4096
"""Block records that a function has at most, by our reckoning: the ledger rounds to whole cycles once for each."""


class FunctionCost(NamedTuple):
    """Cycles and instructions of the function itself, and with what it called; how often it was entered."""

    function: str
    component: str
    cycles: int
    inclusive_cycles: int
    instructions: int
    inclusive_instructions: int
    calls: int


@dataclass(frozen=True)
class Profile:
    """Paths by number, a parent's below its children's; the first ones are ROOTS, each its own parent."""

    parent: NDArray[np.int64]
    function: tuple[str, ...]  # of each path
    component: tuple[str, ...]
    cycles: Int64  # its own
    instructions: Int64
    calls: Int64
    rounding: int  # cycles by which the ledger's busy cycles may differ: 0 at the detailed level, whose blocks cost whole cycles
    lost: dict[str, int]

    def inclusive(self, own: Int64) -> Int64:
        """Of each path: its own, and those of all that continue it."""
        total = own.copy()
        for path in range(len(total) - 1, len(ROOTS) - 1, -1):
            total[self.parent[path]] += total[path]
        return total

    def functions(self) -> list[FunctionCost]:
        """Of each function and component, dearest by its own cycles first; what cost nothing is left out."""
        names = sorted(set(zip(self.function, self.component, strict=True)))
        number = {name: i for i, name in enumerate(names)}
        key = np.array([number[name] for name in zip(self.function, self.component, strict=True)], np.int64)
        outermost = self._outermost(key)

        def summed(values: Int64, rows: NDArray[np.bool_] | slice = slice(len(ROOTS), None)) -> Int64:
            out = np.zeros(len(names), np.int64)
            np.add.at(out, key[rows], values[rows])
            return out

        cycles, instructions, calls = summed(self.cycles), summed(self.instructions), summed(self.calls)
        all_cycles = summed(self.inclusive(self.cycles), outermost)
        all_instructions = summed(self.inclusive(self.instructions), outermost)
        rows = [
            FunctionCost(
                *name, int(cycles[i]), int(all_cycles[i]), int(instructions[i]), int(all_instructions[i]), int(calls[i])
            )
            for i, name in enumerate(names)
            if all_cycles[i] or all_instructions[i]
        ]
        return sorted(rows, key=lambda row: (-row.cycles, -row.inclusive_cycles, row.function, row.component))

    def _outermost(self, key: Int64) -> NDArray[np.bool_]:
        """Which paths have no path to the same function above them."""
        nested = np.zeros(len(key), np.bool_)
        above = self.parent.copy()
        inner = above >= len(ROOTS)
        while inner.any():
            nested |= inner & (key[above] == key)
            above = self.parent[above]
            inner = above >= len(ROOTS)
        nested[: len(ROOTS)] = True
        return ~nested

    def check(self, busy_cycles: int) -> None:
        """Raises EmuBug when the paths' own cycles, or the roots' inclusive ones, are not the busy cycles."""
        own, roots = int(self.cycles.sum()), int(self.inclusive(self.cycles)[: len(ROOTS)].sum())
        if own != roots or abs(own - busy_cycles) > self.rounding:
            raise EmuBug(
                f"the profile's paths sum to {own} cycles and its roots to {roots}, and {busy_cycles} were busy"
            )

    def folded(self) -> str:
        """Lines that flame graph tools read, `[root];caller;function cycles`, in the order of their text."""
        stacks = list(ROOTS)
        for path in range(len(ROOTS), len(self.parent)):
            stacks.append(f"{stacks[self.parent[path]]};{_frame(self.function[path])}")
        found: dict[str, int] = {}
        for stack, cycles in zip(stacks, self.cycles.tolist(), strict=True):
            if cycles:
                found[stack] = found.get(stack, 0) + cycles
        return "".join(f"{stack} {cycles}\n" for stack, cycles in sorted(found.items()))


def profile_between(earlier: Paths, later: Paths, accounts: Accounts) -> Profile:
    """What happened between two readings, taken with the snapshots that `accounts` is the difference of.

    Raises:
        EmuBug: the paths' cycles do not sum to the vCPUs' time, or a function's do not agree with the ledger's: to the
            instruction, and to the cycle but for fractions that the ledger rounds block by block.
    """
    rows = later.rows.copy()
    for name in ("cycles16", "instructions", "calls"):
        rows[name][: len(earlier.rows)] -= earlier.rows[name]
    cycles16, instructions, calls = (rows[name].astype(np.int64) for name in ("cycles16", "instructions", "calls"))
    if int(cycles16.sum()) != later.total16 - earlier.total16:
        raise EmuBug(
            f"the profile's cycles sum to {int(cycles16.sum())} sixteenths of {later.total16 - earlier.total16}"
        )
    lost = {
        name: count - earlier.lost.get(name, 0)
        for name, count in later.lost.items()
        if count > earlier.lost.get(name, 0)
    }
    names, symbol = accounts.names, rows["symbol"][len(ROOTS) :].astype(np.int64)
    records = (
        np.minimum(accounts.symbols["blocks"].sum(axis=0).astype(np.int64), _RECORDS) if (cycles16 % 16).any() else 0
    )
    if not rows["cycles16"][ROOTS.index("[lost]")]:
        ledger = accounts.symbols["cycles"].sum(axis=(0, 2)).astype(np.int64) * 16
        ledger[list(names.names).index("[halted]")] = 0
        _agree("cycles", cycles16, symbol, ledger, 16 * records, names)
        ledger = accounts.symbols["instructions"].sum(axis=0).astype(np.int64)
        _agree("instructions", instructions, symbol, ledger, 0, names)
    idle = np.array([component == "idle" for component in names.components])
    kept = np.concatenate([np.ones(len(ROOTS), np.int64), np.where(idle, 0, 1)[symbol]])
    ends = np.cumsum(cycles16 * kept) >> 4  # what is cut off one path is the next one's
    return Profile(
        parent=rows["parent"].astype(np.int64),
        function=(*ROOTS, *(names.names[i] for i in symbol)),
        component=(*ROOTS, *(names.components[i] for i in symbol)),
        cycles=np.diff(ends, prepend=0),
        instructions=instructions * kept,
        calls=calls,
        rounding=int(np.sum(records * idle)) + len(accounts.vcpu_cycles) if np.any(records) else 0,
        lost=lost,
    )


def _agree(what: str, mine: Int64, symbol: Int64, ledger: Int64, slack: Int64 | int, names: SymbolNames) -> None:
    sums = np.zeros(len(names), np.int64)
    np.add.at(sums, symbol, mine[len(ROOTS) :])
    for i in np.flatnonzero(np.abs(sums - ledger) > slack)[:1].tolist():
        raise EmuBug(f"the profile has {int(sums[i])} {what} of {names.names[i]}, the ledger {int(ledger[i])}")


def _frame(name: str) -> str:
    """A name with what separates frames and counts replaced."""
    return name.replace(";", ":").replace(" ", "_").replace("\n", "_")
