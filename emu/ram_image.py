# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine's RAM in a snapshot: the pages that are not zero, compressed a MiB at a time.

    pages 4, chunks 4; the pages' numbers, ascending, 4 each; the chunks' lengths, 4 each; the chunks
"""

import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emu.errors import BadSnapshot

PAGE, CHUNK_PAGES = 4096, 256
_COUNTS = struct.Struct("<II")
THREADS = 2  # zlib gives up the interpreter's lock
LEVEL = 1


class Ram(Protocol):
    """The core's RAM calls."""

    def ram(self, machine: int, nbytes: int) -> memoryview: ...
    def ram_used(self, machine: int) -> Iterator[tuple[int, int]]: ...


class RamImage:
    """Pages that hold something: their numbers, and their contents one behind the other."""

    def __init__(self, numbers: NDArray[np.uint32], pages: NDArray[np.uint8]) -> None:
        self.numbers = numbers
        self.pages = pages  # [numbers, PAGE]

    @classmethod
    def of(cls, core: Ram, machine: int, ram_bytes: int) -> "RamImage":
        """What a machine's RAM holds."""
        whole = np.frombuffer(core.ram(machine, ram_bytes), np.uint64).reshape(-1, PAGE // 8)
        found = [np.zeros(0, np.uint32)]
        for start, end in core.ram_used(machine):
            first, last = start // PAGE, -(-end // PAGE)
            for at in range(first, last, 16 * CHUNK_PAGES):
                some = whole[at : min(at + 16 * CHUNK_PAGES, last)].any(axis=1)
                found.append((np.flatnonzero(some) + at).astype(np.uint32))
        numbers = np.concatenate(found)
        return cls(numbers, whole[numbers].view(np.uint8))

    def into(self, core: Ram, machine: int) -> None:
        """Fill RAM that is zero."""
        if len(self.numbers):
            size = (int(self.numbers[-1]) + 1) * PAGE
            np.frombuffer(core.ram(machine, size), np.uint8).reshape(-1, PAGE)[self.numbers] = self.pages

    def packed(self) -> bytes:
        """As a section."""
        pieces = [self.pages[at : at + CHUNK_PAGES].tobytes() for at in range(0, len(self.numbers), CHUNK_PAGES)]
        with ThreadPoolExecutor(THREADS) as pool:
            chunks = list(pool.map(lambda piece: zlib.compress(piece, LEVEL), pieces))
        lengths = np.array([len(chunk) for chunk in chunks], np.uint32)
        return b"".join([_COUNTS.pack(len(self.numbers), len(chunks)), self.numbers.tobytes(), lengths.tobytes(), *chunks])

    @classmethod
    def unpacked(cls, section: memoryview, ram_bytes: int, where: str) -> "RamImage":
        """The opposite. Raises BadSnapshot."""
        limit = ram_bytes // PAGE
        n, nchunks = _COUNTS.unpack_from(section) if len(section) >= _COUNTS.size else (0, 1)
        at = _COUNTS.size + 4 * n + 4 * nchunks
        if n > limit or nchunks != -(-n // CHUNK_PAGES) or at > len(section):
            raise BadSnapshot(f"{where}: the number of pages cannot be")
        numbers = np.frombuffer(section, np.uint32, n, _COUNTS.size)
        lengths = np.frombuffer(section, np.uint32, nchunks, _COUNTS.size + 4 * n).astype(np.int64)
        if n and (int(numbers[-1]) >= limit or not (np.diff(numbers.astype(np.int64)) > 0).all()):
            raise BadSnapshot(f"{where}: a page's number cannot be")
        ends = at + np.cumsum(lengths)
        if (int(ends[-1]) if nchunks else at) != len(section):
            raise BadSnapshot(f"{where}: its chunks are not as long as it says")
        pages = np.empty((n, PAGE), np.uint8)

        def fill(number: int) -> None:
            stream = zlib.decompressobj()
            begin, end = int(ends[number] - lengths[number]), int(ends[number])
            into = pages[number * CHUNK_PAGES : (number + 1) * CHUNK_PAGES]
            try:
                data = stream.decompress(section[begin:end], into.size + 1)
            except zlib.error:
                data = b""
            if len(data) != into.size or not stream.eof or stream.unused_data:
                raise BadSnapshot(f"{where}: a chunk does not decompress to what it should")
            into[:] = np.frombuffer(data, np.uint8).reshape(-1, PAGE)

        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(fill, range(nchunks)):
                pass
        return cls(numbers, pages)
