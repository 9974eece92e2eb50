# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts a manifest on a machine: the image's and the program's symbols with their components, and the probes at their addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

from emu.errors import ConfigError
from emu.ledger.calls import PROBE, SYMBOL, LedgerCalls, empty_rows
from emu.ledger.components import Taxonomy
from emu.ledger.manifest import ACTIONS, Argument, Manifest, Probe
from emu.ledger.symbols import Function, plain_name, read_functions
from emu.ledger.tables import SymbolNames, SymbolTable, Tables

_SPIN, _IDLE, _POLL = 1, 2, 4  # CS_SYM_*
_NOWHERE = Argument(0, False, 0)
_ALWAYS = Argument(7, False, 0)  # CS_ALWAYS


@dataclass(frozen=True)
class Code:
    """Functions by address: the kernel's, and those of programs at CPL 3 (or 0); `image` is for messages.

    `offset_of` knows where members lie in the kernel's structures, for probes that name them; it raises ConfigError.
    """

    kernel: tuple[Function, ...]
    program: tuple[Function, ...]
    image: Path
    offset_of: Callable[[str], int] | None = None


def taxonomy_of(manifests: Sequence[Manifest]) -> Taxonomy:
    """The names that a World of these personalities needs."""
    taxonomy = Taxonomy()
    for manifest in manifests:
        taxonomy = taxonomy.extended(manifest.extra_components, manifest.extra_reasons)
    return taxonomy


def read_code(image: Path, programs: Sequence[Path], manifest: Manifest) -> Code:
    """What the symbol tables of an image and of its programs say; of one that lies where an earlier one does, nothing.

    Raises ConfigError when an image has no readable symbols, or a program has none where a probe needs one.
    """
    functions = read_functions(image)
    program_functions: tuple[Function, ...] = ()
    for program in programs:
        try:
            more = read_functions(program)
            if not program_functions or not more or _apart(program_functions, more):
                program_functions = tuple(sorted((*program_functions, *more)))
        except ConfigError:
            if any(probe.program and not probe.optional for probe in manifest.probes):
                raise
    return Code(functions, program_functions, image)


def _apart(some: Sequence[Function], others: Sequence[Function]) -> bool:
    return max(f.end for f in some) <= min(f.start for f in others) or max(f.end for f in others) <= min(f.start for f in some)


def install(
    calls: LedgerCalls,
    machine: int,
    manifest: Manifest,
    code: Code,
    taxonomy: Taxonomy,
    program_cpl: int = 3,
) -> SymbolNames:
    """Give the core the symbols and probes of `manifest` for `code`: see `resolve`."""
    tables = resolve(manifest, code, taxonomy, program_cpl)
    tables.apply(calls, machine)
    return tables.names


def resolve(manifest: Manifest, code: Code, taxonomy: Taxonomy, program_cpl: int = 3) -> Tables:
    """The symbols and probes of `manifest` for `code`, whose programs run at CPL 3 or 0.

    Raises ConfigError when the code lacks a function that a probe needs. A program without functions is all
    of the manifest's default component; at CPL 0 it is the kernel's.
    """
    names: list[str] = []
    components: list[str] = []
    probes: list[tuple[object, ...]] = []
    program_from = 0
    symbols: list[SymbolTable] = []
    waits = [
        (flag, re.compile("|".join(translate(pattern) for pattern in patterns)))
        for flag, patterns in ((_SPIN, manifest.spin), (_IDLE, manifest.idle), (_POLL, manifest.poll))
        if patterns
    ]
    kernel_rows: list[tuple[int, int, int, int, int]] = []
    kernel_unknown = (0, 0)
    for user, patterns, found in ((False, manifest.kernel, code.kernel), (True, manifest.program, code.program)):
        program_from = len(names)
        of = [patterns.component(*f.names) for f in found]
        rows = [
            (f.start, f.end, len(names) + i, taxonomy.component_index[of[i]], _flags(waits, f.names))
            for i, f in enumerate(found)
        ]
        names += [f.name for f in found]
        components += of
        if not user:
            kernel_rows, kernel_unknown = rows, (len(names), taxonomy.component_index[patterns.default])
        symbols.append(SymbolTable(user, empty_rows(SYMBOL, rows), len(names), taxonomy.component_index[patterns.default]))
        if user and program_cpl == 0:  # one table for both: addresses tell them apart
            symbols.append(SymbolTable(False, empty_rows(SYMBOL, sorted(kernel_rows + rows)), *kernel_unknown))
        names += ["[program]"] if user else ["[unknown]", "[halted]"]
        components += [patterns.default] if user else [patterns.default, "idle"]
        entries: dict[str, list[int]] = {}
        for f in found:
            for name in f.names:
                entries.setdefault(name, []).append(f.entry)
        for probe in manifest.probes:
            if probe.program == user:
                where = None if user and not code.program else code.image
                at_user = user and program_cpl == 3
                addresses = _addresses(probe, entries, where, manifest)
                probes += [_row(probe, address, at_user, taxonomy, manifest, code) for address in addresses]
    return Tables(
        SymbolNames(tuple(names), tuple(components), program_from), tuple(symbols), empty_rows(PROBE, probes)
    )


def _flags(waits: Sequence[tuple[int, re.Pattern[str]]], symbols: Sequence[str]) -> int:
    names = [plain_name(symbol) for symbol in symbols]
    return sum(flag for flag, matcher in waits if any(matcher.match(name) for name in names))


def _addresses(probe: Probe, entries: Mapping[str, list[int]], image: Path | None, manifest: Manifest) -> list[int]:
    """Where the function starts: of its own name or, when GCC renamed it, of each part that is an entry. No image: not known."""
    found = entries.get(probe.symbol) or [
        entry
        for name, at in entries.items()
        if name.startswith(probe.symbol) and plain_name(name) == probe.symbol and ".cold" not in name and ".part" not in name
        for entry in at
    ]
    if not found and not probe.optional and image is not None:
        raise ConfigError(
            f"{manifest.path}: probe {probe.id + 1} ({probe.symbol}): {image} has no such function; was it inlined or renamed?"
        )
    return sorted(set(found))


def _row(
    probe: Probe, address: int, user: bool, taxonomy: Taxonomy, manifest: Manifest, code: Code
) -> tuple[object, ...]:
    def value(a: Argument) -> tuple[object, ...]:
        offset = a.offset
        if a.member:
            if code.offset_of is None:
                place = f"{manifest.path}: probe {probe.id + 1} ({probe.symbol})"
                raise ConfigError(f"{place}: where {a.member} lies is not known of {code.image}.")
            offset = code.offset_of(a.member)
        return a.load, a.source, 0, offset

    key, to, when = value(probe.key or _NOWHERE), value(probe.to or _NOWHERE), value(probe.when or _ALWAYS)
    reason = taxonomy.reason_index[probe.reason] if probe.reason else 0
    return address, user, probe.at_return, list(ACTIONS).index(probe.do), reason, probe.id, key, to, when
