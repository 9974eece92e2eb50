# SPDX-License-Identifier: GPL-2.0-or-later
"""The symbols that a kernel image carries for itself (CONFIG_KALLSYMS), read from the image: no System.map, no symbol table.

What is where (scripts/kallsyms.c, kernel/kallsyms.c): a count, compressed names, a marker for every 256th name, 256 tokens
that the names are spelt in, and an index of the tokens; offsets from a base lie before the count, or, from Linux 6.4 on, behind
the index. Nothing points to it; but an index can be computed from its tokens, so that what has the right index behind it
is the table, and the markers can be computed from the names. The file is hostile; every place is checked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emu.errors import ConfigError
from emu.ledger.symbols import Function

TOKENS = 256
MARKED = 256  # names a marker
DIGITS = b"".join(bytes((digit, 0)) for digit in b"0123456789")
LEAST_SYMBOLS, MOST_SYMBOLS = 1_000, 1 << 21
KERNEL_BASE = 0xFFFF_FFFF_8000_0000
MASK = (1 << 64) - 1


class Symbol(NamedTuple):
    """As /proc/kallsyms has it."""

    address: int
    kind: str
    name: str


def read_kallsyms(path: Path, image: bytes) -> list[Symbol]:
    """The symbols of a kernel's ELF image, in the order of their addresses. Raises ConfigError when there are none to be found."""
    for table_at, tokens, behind in _token_tables(image):
        for count_at, count, names_at in _names(image, table_at):
            addresses = _addresses(image, count_at, count, behind)
            if addresses is not None:
                spelt = _spell(image, names_at, count, tokens)
                return sorted(Symbol(a, name[:1], name[1:]) for a, name in zip(addresses, spelt, strict=True))
    raise ConfigError(
        f"{path}: carries no symbols that can be read (CONFIG_KALLSYMS, 64-bit, base-relative); give another kernel."
    )


def functions(symbols: list[Symbol], ends: list[tuple[int, int]]) -> tuple[Function, ...]:
    """Functions among the symbols: each reaches to the next symbol, at most to the end of its range [start, end) of code."""
    found: list[Function] = []
    starts, count = sorted(ends), len(symbols)
    at = low = limit = 0
    while at < count:
        address = symbols[at].address
        behind = at + 1
        while behind < count and symbols[behind].address == address:
            behind += 1
        if not low <= address < limit:
            low, limit = next((bounds for bounds in starts if bounds[0] <= address < bounds[1]), (0, 0))
        if address < limit:
            here = symbols[at:behind] if behind == at + 1 else sorted(symbols[at:behind], key=_rank)
            names = tuple(dict.fromkeys([s.name for s in here if s.kind in "tTwW"]))
            if names:
                end = min(symbols[behind].address, limit) if behind < count else limit
                found.append(Function(address, end, address, names))
        at = behind
    return tuple(found)


def _rank(symbol: Symbol) -> tuple[int, str]:
    """Of names for one address: global before weak before local, those of compilers and markers last."""
    odd = symbol.name.startswith(("__pfx_", "__cfi_", "_stext", "_text", "__irqentry", "__softirqentry"))
    return 10 * odd + "TWwt".find(symbol.kind), symbol.name


def _token_tables(image: bytes) -> Iterator[tuple[int, list[bytes], int]]:
    """Candidates: (where the tokens start, the tokens, what follows their index)."""
    at = image.find(DIGITS)
    while at >= 0:
        start = at
        for _ in range(ord("0")):  # tokens 0 to '/', each before the next
            start = image.rfind(b"\0", max(0, start - 64), start - 1) + 1
        for shift in (0, 1):  # an empty token before the first looks like its end
            first = start - shift
            tokens = image[first : first + TOKENS * 64].split(b"\0", TOKENS)[:TOKENS]
            offsets = np.cumsum([0, *(len(token) + 1 for token in tokens)])
            if len(tokens) == TOKENS and offsets[-2] < 1 << 16:
                index = struct.pack(f"<{TOKENS}H", *offsets[:-1].tolist())
                found = image.find(index, first, first + int(offsets[-1]) + 64 + len(index))
                if found >= 0:
                    yield first, tokens, found + len(index)
        at = image.find(DIGITS, at + 1)


def _names(image: bytes, table_at: int) -> Iterator[tuple[int, int, int]]:
    """Candidates: (where the count stands, the count, where the names start); the markers behind the names prove it."""
    start = max(0, table_at - (24 << 20)) & -8
    words = np.frombuffer(image[start : start + ((table_at - start) & -8)], "<u8")
    plausible = np.flatnonzero((words >= LEAST_SYMBOLS) & (words < MOST_SYMBOLS))[::-1]
    for word in plausible.tolist():
        count_at, count = start + 8 * word, int(words[word])
        first = _walk(image, count_at + 8, MARKED, table_at)
        second = _walk(image, first, MARKED, table_at) if first else 0
        if not second:
            continue
        names_at = count_at + 8
        proof = struct.pack("<III", 0, first - names_at, second - names_at)
        if image.find(proof, second, table_at) >= 0 and _walk(image, names_at, count, table_at):
            yield count_at, count, names_at


def _walk(image: bytes, at: int, count: int, limit: int) -> int:
    """Behind `count` names, or 0 when that is not what lies there."""
    for _ in range(count):
        if at + 1 >= limit:
            return 0
        length = image[at]
        at += 1
        if length & 0x80:  # longer names have two bytes (Linux 6.1)
            length = (length & 0x7F) | image[at] << 7
            at += 1
        if not length:
            return 0
        at += length
    return at if at <= limit else 0


def _spell(image: bytes, at: int, count: int, tokens: list[bytes]) -> Iterator[str]:
    for _ in range(count):
        length = image[at]
        at += 1
        if length & 0x80:
            length = (length & 0x7F) | image[at] << 7
            at += 1
        yield b"".join([tokens[token] for token in image[at : at + length]]).decode("ascii", "replace")
        at += length


def _addresses(image: bytes, count_at: int, count: int, behind_index: int) -> list[int] | None:
    """By base and offsets, before the count or behind the tokens' index; None when neither makes sense."""
    base_before = (count_at - 8) & -8
    offsets_before = (base_before - 4 * count) & -8
    offsets_behind = (behind_index + 7) & -8
    base_behind = (offsets_behind + 4 * count + 7) & -8
    for offsets_at, base_at in ((offsets_before, base_before), (offsets_behind, base_behind)):
        if offsets_at < 0 or base_at + 8 > len(image):
            continue
        (base,) = struct.unpack_from("<Q", image, base_at)
        if base < KERNEL_BASE:
            continue
        offsets = np.frombuffer(image, "<i4", count, offsets_at).astype(np.int64)
        if (
            offsets < 0
        ).mean() > 0.5:  # CONFIG_KALLSYMS_ABSOLUTE_PERCPU: per-CPU variables as they are, the rest as -1 - offset
            addresses = [base - 1 - o if o < 0 else o for o in offsets.tolist()]
        else:
            addresses = [base + (o & 0xFFFF_FFFF) for o in offsets.tolist()]
        return [address & MASK for address in addresses]
    return None
