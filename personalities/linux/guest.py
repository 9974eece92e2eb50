# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs where in a guest that is ready: init's report on the console (init/report.c), joined to the files it speaks of.

The console is the guest's: what does not parse is passed over, and what is contradictory counts for nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from emu.errors import ConfigError
from emu.ledger.symbols import Function, read_functions

READY_LINE = "init: ready"
_SECTION = re.compile(r"init: section (\S+) (\S+) 0x([0-9a-f]{1,16})")
_MAP = re.compile(r"init: map ([0-9a-f]{1,16})-([0-9a-f]{1,16}) ..x. ([0-9a-f]{1,16}) \S+ \d+\s*(.*)")


@dataclass(frozen=True, slots=True)
class Mapped:
    """Code of a file at [start, end) of the program's addresses, from `offset` of the file on."""

    start: int
    end: int
    offset: int
    name: str


@dataclass(frozen=True)
class Report:
    """Modules' sections by module and name, and the program's executable mappings."""

    sections: Mapping[str, Mapping[str, int]]
    mappings: tuple[Mapped, ...]


def parse_report(console: str) -> Report:
    """The last report on a console."""
    sections: dict[str, dict[str, int]] = {}
    mappings: dict[int, Mapped] = {}
    for line in console.replace("\r", "").splitlines():
        if match := _SECTION.fullmatch(line):
            sections.setdefault(match[1], {})[match[2]] = int(match[3], 16)
        elif match := _MAP.fullmatch(line.rstrip()):
            start, end, offset = (int(match[i], 16) for i in (1, 2, 3))
            mappings[start] = Mapped(start, end, offset, match[4])
    return Report(sections, tuple(mappings[start] for start in sorted(mappings)))


def module_functions(data: bytes, sections: Mapping[str, int]) -> list[Function]:
    """A module's functions where they lie: its symbol table, section by section; code of its start is gone by then."""
    elf = ELFFile(io.BytesIO(data))
    names: dict[tuple[int, int], list[str]] = {}
    for table in elf.iter_sections():
        if not isinstance(table, SymbolTableSection):
            continue
        for symbol in table.iter_symbols():
            index = symbol["st_shndx"]
            if symbol["st_info"]["type"] != "STT_FUNC" or not isinstance(index, int) or not symbol["st_size"]:
                continue
            section = elf.get_section(index)
            base = sections.get(section.name)
            if base is None or section.name.startswith((".init", ".exit")):
                continue
            start = base + symbol["st_value"]
            names.setdefault((start, start + symbol["st_size"]), []).append(symbol.name)
    return [Function(start, end, start, tuple(found)) for (start, end), found in sorted(names.items())]


def program_functions(mappings: Iterable[Mapped], files: Mapping[str, Path]) -> list[Function]:
    """Functions of the mapped files, by file name; code without a symbol is a function `[FILE]`."""
    found: list[Function] = []
    for mapping in mappings:
        name = Path(mapping.name).name.strip("[]") or "anonymous"
        path = files.get(name)
        inside = _moved(path, mapping) if path is not None else []
        at = mapping.start
        for function in [*inside, None]:
            start = function.start if function else mapping.end
            if at < start:
                found.append(Function(at, start, at, (f"[{name}]",)))
            if function:
                found.append(function)
                at = function.end
    return found


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
