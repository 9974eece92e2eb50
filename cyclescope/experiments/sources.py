# SPDX-License-Identifier: GPL-2.0-or-later
"""Counting what was written: lines of source and bytes of image.

The rule: a line counts if something is left of it without comments and blanks. A file that a program and its base both compile is
*reused*; one that only the program compiles is *written*, whole; one that only the base compiles is *left out*.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from capstone import CS_ARCH_X86, CS_MODE_64, Cs
from elftools.common.exceptions import ELFError
from elftools.elf.constants import P_FLAGS, SH_FLAGS
from elftools.elf.elffile import ELFFile

from emu.errors import ConfigError
from emu.ledger.symbols import read_functions

SUFFIXES = (".c", ".h", ".S", ".lds", ".ld")
_NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
_ADDRESS = re.compile(r"0x[0-9a-f]{5,}")  # images lie at 2 MiB and above
_HASH_COMMENT = re.compile(r"(?m)(^|\s)#(?!\s*(?:include|define|undef|if|ifdef|ifndef|else|elif|endif|error|pragma)\b)[^\n]*")


def code_lines(text: str, *, assembly: bool = False) -> int:
    """Lines of C (or GNU assembly) with code on them."""

    def kept(match: re.Match[str]) -> str:
        found = match.group()
        return found if found[0] in "\"'" else "\n" * found.count("\n") or " "

    text = _NOT_CODE.sub(kept, text)
    if assembly:
        text = _HASH_COMMENT.sub("", text)
    return sum(bool(line.strip()) for line in text.splitlines())


@dataclass(frozen=True)
class Lines:
    """What a program takes over from its base, leaves out of it, and adds."""

    reused: int
    left_out: int
    written: int


def expand(folder: Path, patterns: Iterable[str], what: str) -> tuple[Path, ...]:
    """The source files that patterns name, in order, each once. Raises ConfigError for a pattern that names none."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        try:
            there = sorted(path for path in folder.glob(pattern) if path.suffix in SUFFIXES and path.is_file())
        except (ValueError, NotImplementedError):  # an empty one, an absolute one
            raise ConfigError(f"{what}: {pattern!r} is no pattern of files; write it from {folder}, such as ../main.c") from None
        if not there:
            ends = ", ".join(SUFFIXES)
            raise ConfigError(f"{what}: {pattern!r} names no source file ({ends}) in {folder}, where paths start.")
        found.update((path.resolve(), None) for path in there)
    return tuple(found)


def count(files: Iterable[Path]) -> int:
    """Lines of code in files. Raises ConfigError for one that cannot be read."""
    total = 0
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as source: {error}.") from error
        total += code_lines(text, assembly=path.suffix == ".S")
    return total


def compare_sources(base: Sequence[Path], port: Sequence[Path]) -> Lines:
    """By the rule above."""
    return Lines(
        count(path for path in port if path in base),
        count(path for path in base if path not in port),
        count(path for path in port if path not in base),
    )


@dataclass(frozen=True)
class Kept:
    """Functions of a base's image that are in a port's, too, with the same instructions but for addresses; and their bytes."""

    functions: int
    of: int
    bytes: int
    of_bytes: int


def kept_functions(base: Iterable[Path], port: Iterable[Path]) -> Kept:
    """By name and instructions. Raises ConfigError for a file without symbols."""
    had, has = _functions(base), _functions(port)
    same = [body for name, body in had.items() if name in has and has[name].text == body.text]
    return Kept(len(same), len(had), sum(body.bytes for body in same), sum(body.bytes for body in had.values()))


@dataclass(frozen=True)
class _Body:
    text: tuple[str, ...]
    bytes: int


def _functions(files: Iterable[Path]) -> dict[str, _Body]:
    """Functions by name (those of one name in two places are told apart by a number), without addresses."""
    disassembler = Cs(CS_ARCH_X86, CS_MODE_64)
    found: dict[str, _Body] = {}
    for path in files:
        segments = [segment for segment in _segments(path) if segment[2]]
        for function in read_functions(path):
            holding = [(at, data) for at, data, _ in segments if at <= function.start < at + len(data)]
            code = holding[0][1][function.start - holding[0][0] : function.end - holding[0][0]] if holding else b""
            decoded = disassembler.disasm_lite(code, function.start)
            text = tuple(f"{name} {_ADDRESS.sub('address', operands)}" for _, _, name, operands in decoded)
            key, number = function.name, 1
            while key in found:
                number += 1
                key = f"{function.name} {number}"
            found[key] = _Body(text, len(code))
    return found


def _segments(path: Path) -> list[tuple[int, bytes, bool]]:
    """(address, bytes, executable) of an ELF file's loaded segments."""
    try:
        with path.open("rb") as stream:
            loaded = [segment for segment in ELFFile(stream).iter_segments() if segment["p_type"] == "PT_LOAD"]
            return [(segment["p_vaddr"], segment.data(), bool(segment["p_flags"] & P_FLAGS.PF_X)) for segment in loaded]
    except (OSError, ELFError) as error:
        raise ConfigError(f"{path}: its code cannot be read: {error}.") from error


@dataclass(frozen=True)
class Size:
    """Bytes of ELF files' sections that are loaded: code, constants, data, and what is only reserved."""

    text: int
    constants: int
    data: int
    zero: int

    @property
    def loaded(self) -> int:
        """What has to reach memory."""
        return self.text + self.constants + self.data


def image_size(files: Iterable[Path]) -> Size:
    """Of several files together. Raises ConfigError for one that is no ELF file."""
    text = constants = data = zero = 0
    for path in files:
        try:
            with path.open("rb") as stream:
                for section in ELFFile(stream).iter_sections():
                    flags, size = section["sh_flags"], section["sh_size"]
                    if not flags & SH_FLAGS.SHF_ALLOC:
                        continue
                    if section["sh_type"] == "SHT_NOBITS":
                        zero += size
                    elif flags & SH_FLAGS.SHF_EXECINSTR:
                        text += size
                    elif flags & SH_FLAGS.SHF_WRITE:
                        data += size
                    else:
                        constants += size
        except (OSError, ELFError) as error:
            raise ConfigError(f"{path}: its size cannot be told: {error}.") from error
    return Size(text, constants, data, zero)
