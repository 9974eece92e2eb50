# SPDX-License-Identifier: GPL-2.0-or-later
"""Cycles of a machine by vCPU, component, cause and symbol, over an interval: the difference of two snapshots.

Take snapshots at sync points (between runs), where no block is half charged: there a vCPU's accounts sum to its clock exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from emu.errors import EmuBug
from emu.ledger.calls import ACCOUNT, Array, LedgerCalls
from emu.ledger.components import CAUSES, MAX_COMPONENTS, Taxonomy
from emu.ledger.manifest import Manifest
from emu.ledger.symbols import plain_name
from emu.ledger.tables import SymbolNames


@dataclass(frozen=True)
class Snapshot:
    """ACCOUNT[vcpu, component], ACCOUNT[vcpu, symbol] and the clocks they sum to."""

    clocks: tuple[int, ...]
    components: Array
    symbols: Array


def later_of(one: Snapshot, other: Snapshot) -> Snapshot:
    """Of two snapshots of one machine."""
    return other if other.clocks > one.clocks else one


def snapshot(calls: LedgerCalls, machine: int, clocks: Sequence[int], nsymbols: int) -> Snapshot:
    """All accounts of a machine whose vCPUs' clocks are `clocks` [cycles]. Raises EmuBug when they do not sum to them."""
    components = np.zeros((len(clocks), MAX_COMPONENTS), ACCOUNT)
    symbols = np.zeros((len(clocks), nsymbols), ACCOUNT)
    for vcpu, clock in enumerate(clocks):
        components[vcpu] = calls.components(machine, vcpu)
        symbols[vcpu] = calls.symbol_accounts(machine, vcpu, nsymbols)
        for what, accounts in (("components", components[vcpu]), ("symbols", symbols[vcpu])):
            total = int(accounts["cycles"].sum())
            if total != clock:
                raise EmuBug(
                    f"machine {machine}, vCPU {vcpu}: its {what}' cycles sum to {total}, its clock says {clock}"
                )
    return Snapshot(tuple(clocks), components, symbols)


@dataclass(frozen=True)
class Accounts:
    """What a machine did between two snapshots."""

    taxonomy: Taxonomy
    names: SymbolNames
    vcpu_cycles: tuple[int, ...]
    components: Array  # ACCOUNT[vcpu, component]
    symbols: Array  # ACCOUNT[vcpu, symbol]

    @staticmethod
    def between(earlier: Snapshot | None, later: Snapshot, taxonomy: Taxonomy, names: SymbolNames) -> Accounts:
        """From `earlier` (or the start) to `later`."""
        if earlier is None:
            return Accounts(taxonomy, names, later.clocks, later.components, later.symbols)
        clocks = tuple(b - a for a, b in zip(earlier.clocks, later.clocks, strict=True))
        return Accounts(
            taxonomy,
            names,
            clocks,
            _minus(later.components, earlier.components),
            _minus(later.symbols, earlier.symbols),
        )

    def check(self) -> None:
        """Raises EmuBug when a vCPU's components do not sum to its time."""
        totals = self.components["cycles"].sum(axis=(1, 2)).tolist()
        if totals != list(self.vcpu_cycles):
            raise EmuBug(f"the ledger's cycles, {totals} by vCPU, are not the vCPUs' time, {list(self.vcpu_cycles)}")

    def cycles(self) -> dict[str, dict[str, int]]:
        """Component -> cause -> cycles, over all vCPUs; only what is not 0."""
        total = self.components["cycles"].sum(axis=0)
        return {
            name: {cause: int(total[i, j]) for j, cause in enumerate(CAUSES) if total[i, j]}
            for i, name in enumerate(self.taxonomy.components)
            if total[i].any()
        }

    def vcpu_components(self) -> tuple[dict[str, int], ...]:
        """For each vCPU, component -> cycles; each sums to that vCPU's cycles."""
        totals = self.components["cycles"].sum(axis=2)
        return tuple({name: int(row[i]) for i, name in enumerate(self.taxonomy.components) if row[i]} for row in totals)

    @property
    def instructions(self) -> int:
        """Over all vCPUs and components."""
        return int(self.components["instructions"].sum())

    def component_instructions(self) -> dict[str, int]:
        """Component -> instructions over all vCPUs."""
        totals = self.components["instructions"].sum(axis=0)
        return {name: int(totals[i]) for i, name in enumerate(self.taxonomy.components) if totals[i]}

    def by_symbol(self) -> tuple[tuple[str, str, int, int], ...]:
        """(component, symbol, cycles, instructions) over all vCPUs, most cycles first, then by number."""
        cycles = self.symbols["cycles"].sum(axis=(0, 2))
        instructions = self.symbols["instructions"].sum(axis=0)
        order = sorted(np.flatnonzero(cycles).tolist(), key=lambda i: (-int(cycles[i]), i))
        return tuple(
            (self.names.components[i], self.names.names[i], int(cycles[i]), int(instructions[i])) for i in order
        )

    def instructions_of(self, manifest: Manifest) -> dict[str, int]:
        """Instructions in the manifest's `spin`, `idle` and `poll` symbols, which are no progress."""
        instructions = self.symbols["instructions"].sum(axis=0)
        found = dict.fromkeys(("spin", "idle", "poll"), 0)
        for i in np.flatnonzero(instructions).tolist():
            name = plain_name(self.names.names[i])
            for kind in found:
                if any(fnmatchcase(name, pattern) for pattern in getattr(manifest, kind)):
                    found[kind] += int(instructions[i])
                    break
        return found

    def unmapped(self) -> tuple[tuple[str, int], ...]:
        """(symbol, cycles) of what no pattern gave a component, most cycles first."""
        return tuple((symbol, cycles) for component, symbol, cycles, _ in self.by_symbol() if component == "unknown")

    def by_vcpu_symbol(self) -> tuple[tuple[int, str, str, int], ...]:
        """(vCPU, component, symbol, cycles), in that order of vCPU and symbol number."""
        cycles = self.symbols["cycles"].sum(axis=2)
        return tuple(
            (int(vcpu), self.names.components[i], self.names.names[i], int(cycles[vcpu, i]))
            for vcpu, i in np.argwhere(cycles)
        )


def notes(calls: LedgerCalls, machine: int, manifest: Manifest) -> dict[str, dict[int, int]]:
    """What `note` probes counted: the probe's name -> value -> times."""
    found: dict[str, dict[int, int]] = {}
    for row in calls.notes(machine):
        values = found.setdefault(manifest.probes[int(row["probe"])].name, {})
        values[int(row["value"])] = values.get(int(row["value"]), 0) + int(row["count"])
    return found


def _minus(later: Array, earlier: Array) -> Array:
    out = np.zeros(later.shape, ACCOUNT)
    for name in ("cycles", "instructions", "blocks"):
        out[name] = later[name] - earlier[name]
    return out
