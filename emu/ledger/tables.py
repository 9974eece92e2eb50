# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine's symbols and probes as the core takes them, with the symbols' names; and the same in a snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from emu.errors import BadSnapshot, EmuBug
from emu.ledger.calls import PROBE, SYMBOL, Array, LedgerCalls
from emu.ledger.components import Taxonomy
from emu.state import U16, Count, Data, State, checked, need, plain


@dataclass(frozen=True)
class SymbolNames:
    """Symbol numbers of a machine: the image's, `[unknown]`, `[halted]`, the program's, `[program]`."""

    names: tuple[str, ...]
    components: tuple[str, ...]  # of each
    program_from: int  # symbols from here on are the program's

    def __len__(self) -> int:
        return len(self.names)


class SymbolTable(NamedTuple):
    """One `LedgerCalls.symbols`: SYMBOL rows, and what code outside them is."""

    user: bool
    rows: Array
    unknown_symbol: int
    unknown_component: int


class _SavedTable(State):
    user: bool
    rows: bytes
    unknown_symbol: Count
    unknown_component: U16


class TablesState(State):
    """Each symbol's component is its place in `components`."""

    names: list[str]
    components: list[str]
    component_of: bytes
    program_from: Count
    symbols: list[_SavedTable]
    probes: bytes


@dataclass(frozen=True)
class Tables:
    """All of it, for `apply` in this order."""

    names: SymbolNames
    symbols: tuple[SymbolTable, ...]
    probes: Array

    def apply(self, calls: LedgerCalls, machine: int) -> None:
        """Give it to the core. Raises EmuBug when that refuses."""
        for table in self.symbols:
            calls.symbols(machine, table.user, table.rows, table.unknown_symbol, table.unknown_component)
        calls.probes(machine, self.probes)

    def save(self) -> Data:
        """As plain data."""
        components = sorted(set(self.names.components))
        place = {name: index for index, name in enumerate(components)}
        component_of = np.array([place[name] for name in self.names.components], np.uint8).tobytes()
        tables = [
            _SavedTable(t.user, t.rows.tobytes(), t.unknown_symbol, t.unknown_component) for t in self.symbols
        ]
        state = TablesState(
            list(self.names.names), components, component_of, self.names.program_from, tables, self.probes.tobytes()
        )
        return plain(state)

    @classmethod
    def restored(cls, data: Data, taxonomy: Taxonomy, nprobes: int) -> Tables:
        """From that, under a taxonomy and a manifest of `nprobes` probes. Raises BadSnapshot."""
        where = "symbols"
        state = checked(TablesState, data, where)
        names = state.names
        need(0 < len(state.component_of) == len(names) >= state.program_from, where, f"components of {len(names)} names")
        need(max(state.component_of) < len(state.components), where, "a symbol's component")
        need(all(name in taxonomy.component_index for name in state.components), where, "a component of another manifest")
        symbols: list[SymbolTable] = []
        for table in state.symbols:
            rows = _rows(table.rows, SYMBOL)
            fits = (rows["symbol"] < len(names)).all() and table.unknown_symbol + 1 < len(names) + table.user
            need(bool(fits), where, "a symbol's number")
            symbols.append(SymbolTable(table.user, rows, table.unknown_symbol, table.unknown_component))
        probes = _rows(state.probes, PROBE)
        need(bool((probes["id"] < nprobes).all()), where, "a probe of another manifest")
        components = tuple(state.components[place] for place in state.component_of)
        return cls(SymbolNames(tuple(names), components, state.program_from), tuple(symbols), probes)

    def apply_restored(self, calls: LedgerCalls, machine: int) -> None:
        """As `apply`. Raises BadSnapshot when the core refuses."""
        try:
            self.apply(calls, machine)
        except EmuBug as error:
            raise BadSnapshot(f"symbols: {error}") from None


def _rows(data: bytes, kind: np.dtype[np.void]) -> Array:
    need(not len(data) % kind.itemsize, "symbols", f"rows of {len(data)} bytes")
    return np.frombuffer(data, kind).copy()
