# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a member lies in one of the kernel's structures, by the type information in its image (CONFIG_DEBUG_INFO_BTF).

Source: Linux Documentation/bpf/btf.rst. The image is hostile: what does not fit ends in a ConfigError.
"""

from __future__ import annotations

import struct
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from emu.errors import ConfigError

MAGIC = 0xEB9F
STRUCT, UNION = 4, 5
#: bytes behind the common 12 of a type: fixed, and for each of its vlen entries (Documentation/bpf/btf.rst, 2.2)
EXTRA = {
    1: (4, 0),
    3: (12, 0),
    4: (0, 12),
    5: (0, 12),
    6: (0, 8),
    13: (0, 8),
    14: (4, 0),
    15: (0, 12),
    17: (4, 0),
    19: (0, 12),
}
MAX_DEPTH = 8

Member = tuple[int, int, int]  # name's offset, type, bit offset


class Btf:
    """A kernel's types."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as stream:
                section = ELFFile(stream).get_section_by_name(".BTF")
                data = section.data() if section is not None else b""
            self._read(data)
        except (ELFError, ValueError, struct.error) as error:
            raise ConfigError(f"{path}: its type information (BTF) is damaged: {error}.") from error

    def offset(self, dotted: str) -> int:
        """Bytes from the start of `structure` to `member`, for "structure.member". Raises ConfigError."""
        name, _, member = dotted.partition(".")
        for number in self._named.get(name, ()):
            bits = self._find(number, member, 0)
            if bits is not None and bits % 8 == 0:
                return bits // 8
        raise ConfigError(f"{self.path}: its type information (BTF) has no {dotted}.")

    def _read(self, data: bytes) -> None:
        self._members: dict[int, list[Member]] = {}
        self._named: dict[str, list[int]] = {}
        self._strings = b""
        if not data:
            return
        magic, _, _, header, types_at, types_bytes, strings_at, strings_bytes = struct.unpack_from("<HBBIIIII", data)
        if magic != MAGIC:
            raise ValueError(f"it starts with {magic:#x}")
        self._strings = data[header + strings_at :][:strings_bytes]
        at, end, number = header + types_at, min(header + types_at + types_bytes, len(data)), 0
        while at < end:
            number += 1
            name, info, _ = struct.unpack_from("<III", data, at)
            kind, count, bitfields = info >> 24 & 31, info & 0xFFFF, info >> 31
            at += 12
            if kind in (STRUCT, UNION):
                self._members[number] = [
                    (m, kind_of, where & 0xFF_FFFF if bitfields else where)
                    for m, kind_of, where in (struct.unpack_from("<III", data, at + 12 * i) for i in range(count))
                ]
                if name:
                    self._named.setdefault(self._text(name), []).append(number)
            fixed, each = EXTRA.get(kind, (0, 0))
            at += fixed + each * count

    def _text(self, at: int) -> str:
        return self._strings[at : self._strings.find(b"\0", at)].decode("ascii", "replace")

    def _find(self, number: int, member: str, depth: int) -> int | None:
        """The member's bit offset, also within structures without a name."""
        for name, kind, bits in self._members.get(number, ()):
            if name and self._text(name) == member:
                return bits
            if not name and depth < MAX_DEPTH:
                inner = self._find(kind, member, depth + 1)
                if inner is not None:
                    return bits + inner
        return None
