# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs where in a guest that is ready: init's report on the console (init/report.c), joined to the files it speaks of.

The console is the guest's: what does not parse is passed over, and what is contradictory counts for nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from emu.errors import ConfigError
from emu.ledger.symbols import STT_FUNC, Function, elf_symbols, read_functions

READY_LINE = "init: ready"
_SECTION = re.compile(r"init: section (\S+) (\S+) 0x([0-9a-f]{1,16})")
_MAP = re.compile(r"init: map ([0-9a-f]{1,16})-([0-9a-f]{1,16}) ..x. ([0-9a-f]{1,16}) \S+ \d+\s*(.*)")


_TOLD = re.compile(r"init: (section|map) .*|" + READY_LINE)


def is_report_line(line: str) -> bool:
    """Whether init wrote it for us."""
    return _TOLD.fullmatch(line) is not None


@dataclass(frozen=True, slots=True)
class Mapped:
    """Code of a file at [start, end) of the program's addresses, from `offset` of the file on."""

    start: int
    end: int
    offset: int
    name: str


@dataclass(frozen=True)
class Report:
    """Modules' sections by module and name, and the executable mappings of the program's processes."""

    sections: Mapping[str, Mapping[str, int]]
    mappings: tuple[Mapped, ...]


def parse_report(console: str) -> Report:
    """The last report on a console."""
    sections: dict[str, dict[str, int]] = {}
    mappings: set[Mapped] = set()
    for line in console.replace("\r", "").splitlines():
        if match := _SECTION.fullmatch(line):
            sections.setdefault(match[1], {})[match[2]] = int(match[3], 16)
        elif match := _MAP.fullmatch(line.rstrip()):
            start, end, offset = (int(match[i], 16) for i in (1, 2, 3))
            mappings.add(Mapped(start, end, offset, match[4]))
    return Report(sections, tuple(sorted(mappings, key=lambda m: (m.start, m.end, m.name, m.offset))))


def module_functions(data: bytes, sections: Mapping[str, int]) -> list[Function]:
    """A module's functions where they lie: its symbol table, section by section; code of its start is gone by then."""
    elf = ELFFile(io.BytesIO(data))
    bases = {
        index: sections[section.name]
        for index, section in enumerate(elf.iter_sections())
        if section.name in sections and not section.name.startswith((".init", ".exit"))
    }
    names: dict[tuple[int, int], list[str]] = {}
    for symbol in elf_symbols(elf):
        if symbol.kind == STT_FUNC and symbol.size and symbol.section in bases:
            start = bases[symbol.section] + symbol.value
            names.setdefault((start, start + symbol.size), []).append(symbol.name)
    return [Function(start, end, start, tuple(found)) for (start, end), found in sorted(names.items())]


def program_functions(mappings: Sequence[Mapped], files: Mapping[str, Path]) -> list[Function]:
    """Functions of the mapped files, by file name; code without a symbol is a function `[FILE]`.

    Where processes have different files at the same addresses, code there is a function `[FILE or FILE]`: a block's address
    does not tell whose it is.
    """
    whole = {mapping: list(_functions(mapping, files)) for mapping in mappings}
    found: list[Function] = []
    for start, end, over in _regions(mappings):
        if len({(mapping.name, mapping.start - mapping.offset) for mapping in over}) > 1:
            found.append(Function(start, end, start, (f"[{' or '.join(dict.fromkeys(map(_name, over)))}]",)))
            continue
        inside = (f for f in whole[over[0]] if f.start < end and start < f.end)
        found += [f._replace(start=max(start, f.start), end=min(end, f.end)) for f in inside]
    return found


def _regions(mappings: Sequence[Mapped]) -> Iterator[tuple[int, int, list[Mapped]]]:
    """Addresses in order, cut wherever a mapping begins or ends, with the mappings over them."""
    cuts = sorted({edge for mapping in mappings for edge in (mapping.start, mapping.end)})
    for start, end in pairwise(cuts):
        over = [mapping for mapping in mappings if mapping.start <= start and end <= mapping.end]
        if over:
            yield start, end, over


def _name(mapping: Mapped) -> str:
    return Path(mapping.name).name.strip("[]") or "anonymous"


def _functions(mapping: Mapped, files: Mapping[str, Path]) -> Iterator[Function]:
    """All of a mapping."""
    name = _name(mapping)
    path = files.get(name)
    at = mapping.start
    for function in [*(_moved(path, mapping) if path is not None else []), None]:
        start = function.start if function else mapping.end
        if at < start:
            yield Function(at, start, at, (f"[{name}]",))
        if function:
            yield function
            at = function.end


def _moved(path: Path, mapping: Mapped) -> list[Function]:
    """A file's functions within a mapping of it."""
    try:
        with path.open("rb") as stream:
            segments = [(s["p_vaddr"], s["p_offset"], s["p_filesz"]) for s in ELFFile(stream).iter_segments("PT_LOAD")]
        functions = read_functions(path)
    except (ConfigError, ELFError, OSError):  # stripped, or not ELF: a name for all of it
        return []
    address = next(
        (v + mapping.offset - o for v, o, n in segments if o - 0xFFF <= mapping.offset < o + max(n, 1)), None
    )
    if address is None:
        return []
    by = mapping.start - address
    moved = (f._replace(start=f.start + by, end=f.end + by, entry=f.entry + by) for f in functions)
    return [f for f in moved if mapping.start <= f.start and f.end <= mapping.end]


def joined(*groups: Iterable[Function]) -> tuple[Function, ...]:
    """Functions of several files, sorted; of two that overlap the later is left out."""
    out: list[Function] = []
    for function in sorted(f for group in groups for f in group):
        if not out or out[-1].end <= function.start:
            out.append(function)
    return tuple(out)
