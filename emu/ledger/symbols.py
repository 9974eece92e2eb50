# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions of an ELF image, by address: sorted, disjoint, one name an address."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from emu.errors import ConfigError

_SHF_EXECINSTR = 4
STT_NOTYPE, STT_FUNC = 0, 2
_RANKS = {1: 0, 2: 1, 0: 2}  # STB_GLOBAL, STB_WEAK, STB_LOCAL
# what GCC appends to the names of functions that it split, specialised or made local
_SUFFIX = re.compile(r"(\.(isra|constprop|part|cold|lto_priv|localalias)(\.\d+)?)+$")


class Function(NamedTuple):
    """Code at [start, end) of the function that is entered at `entry`; `names` as in the symbol table, the best first."""

    start: int
    end: int
    entry: int
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.names[0]


class _Candidate(NamedTuple):
    start: int
    end: int
    rank: int  # of two names for the same bytes the lower wins: global before weak before local
    name: str


class ElfSymbol(NamedTuple):
    """A row of a symbol table; `section` is its number, or one of ELF's reserved ones."""

    name: str
    value: int
    size: int
    kind: int
    bind: int
    section: int


def plain_name(name: str) -> str:
    """The name in the source: without GCC's suffixes."""
    return _SUFFIX.sub("", name) if "." in name else name


def elf_symbols(elf: ELFFile) -> Iterator[ElfSymbol]:
    """All symbol tables' rows, read in one go: programs have thousands. Raises ELFError or ValueError when they are damaged."""
    order = "<" if elf.little_endian else ">"
    row = struct.Struct(order + ("IBBHQQ" if elf.elfclass == 64 else "IIIBBH"))
    for table in elf.iter_sections():
        if not isinstance(table, SymbolTableSection):
            continue
        data, strings = table.data(), elf.get_section(table["sh_link"]).data()
        for fields in row.iter_unpack(data[: len(data) // row.size * row.size]):
            if elf.elfclass == 64:
                at, info, _, section, value, size = fields
            else:
                at, value, size, info, _, section = fields
            name = strings[at : max(at, strings.find(b"\0", at))].decode("utf-8", "replace")
            yield ElfSymbol(name, value, size, info & 15, info >> 4, section)


def read_functions(path: Path) -> tuple[Function, ...]:
    """The functions of the image's symbol table. Raises ConfigError when it cannot be read, is no ELF or has no symbols.

    A symbol without a size reaches to the next one or the end of its section. Where functions overlap, the inner one wins.
    """
    try:
        with path.open("rb") as stream:
            candidates = list(_candidates(ELFFile(stream)))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
    except (ELFError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not an ELF file whose symbols can be read: {error}.") from error
    if not candidates:
        raise ConfigError(
            f"{path}: has no function symbols; build it without -s, or give the image that was not stripped."
        )
    return tuple(_disjoint(candidates))


def _candidates(elf: ELFFile) -> Iterator[_Candidate]:
    code = {
        index: section["sh_addr"] + section["sh_size"]
        for index, section in enumerate(elf.iter_sections())
        if section["sh_flags"] & _SHF_EXECINSTR
    }
    found = [
        symbol
        for symbol in elf_symbols(elf)
        if symbol.section in code and symbol.name and (symbol.kind == STT_FUNC or (symbol.kind == STT_NOTYPE and symbol.size))
    ]
    after = dict(pairwise(sorted({symbol.value for symbol in found})))
    for symbol in found:
        start, section_end = symbol.value, code[symbol.section]
        end = start + symbol.size if symbol.size else min(after.get(start, section_end), section_end)
        if start < end:
            yield _Candidate(start, end, _RANKS.get(symbol.bind, 3), symbol.name)


def _disjoint(candidates: Iterable[_Candidate]) -> Iterator[Function]:
    names: dict[tuple[int, int], dict[str, None]] = {}
    for candidate in sorted(candidates, key=lambda c: (c.start, -c.end, c.rank, c.name)):
        names.setdefault((candidate.start, candidate.end), {})[candidate.name] = None
    functions = [Function(start, end, start, tuple(found)) for (start, end), found in names.items()]
    open_functions: list[Function] = []  # nested, the innermost last
    at = 0
    ends: tuple[Function | None, ...] = (*functions, None)
    for following in ends:
        while open_functions and (following is None or open_functions[-1].end <= following.start):
            inner = open_functions.pop()
            if at < inner.end:
                yield inner._replace(start=at)
                at = inner.end
        if following is None:
            return
        if open_functions and at < following.start:
            yield open_functions[-1]._replace(start=at, end=following.start)
        at = max(at, following.start)
        open_functions.append(following)
