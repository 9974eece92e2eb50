# SPDX-License-Identifier: GPL-2.0-or-later
"""A newc cpio archive, as the kernel unpacks it for its root (Linux Documentation/driver-api/early-userspace/buffer-format.rst).

The same entries give the same bytes: sorted by name, owned by root, as old as the machine's clock; folders are added as needed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from emu.errors import ConfigError
from emu.platform.cmos import EPOCH

ALIGNMENT = 4
MODIFIED_S = int(EPOCH.timestamp())
"""1970 would not do: servers take a zone or a database of that time for one that they never had."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its content, or where a symbolic link leads, or a device's numbers."""

    data: bytes = b""
    mode: int = stat.S_IFREG | 0o644
    device: tuple[int, int] = (0, 0)

    @classmethod
    def program(cls, data: bytes) -> Entry:
        return cls(data, stat.S_IFREG | 0o755)

    @classmethod
    def folder(cls, permissions: int = 0o755) -> Entry:
        return cls(b"", stat.S_IFDIR | permissions)

    @classmethod
    def link(cls, to: str) -> Entry:
        return cls(os.fsencode(to), stat.S_IFLNK | 0o777)

    @classmethod
    def character_device(cls, major: int, minor: int) -> Entry:
        return cls(b"", stat.S_IFCHR | 0o600, (major, minor))


def archive(entries: Mapping[str, Entry]) -> bytes:
    """The archive of entries by path (`/bin/sh` or `bin/sh`). Raises ConfigError for one that is below a file."""
    named = {name.strip("/"): entry for name, entry in entries.items()}
    for name in list(named):
        for parent in PurePosixPath(name).parents:
            if str(parent) != "." and not stat.S_ISDIR(named.setdefault(str(parent), Entry.folder()).mode):
                raise ConfigError(f"/{name}: cannot be in the guest, where /{parent} is no folder.")
    out = bytearray()
    for number, name in enumerate(sorted(named), 1):
        _append(out, number, name, named[name])
    _append(out, 0, "TRAILER!!!", Entry(mode=0))
    out += bytes(-len(out) % 512)
    return bytes(out)


def _append(out: bytearray, number: int, name: str, entry: Entry) -> None:
    word = os.fsencode(name) + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (number, entry.mode, 0, 0, links, MODIFIED_S, len(entry.data), 0, 0, *entry.device, len(word), 0)
    out += b"070701" + b"".join(b"%08X" % field for field in fields) + word
    out += bytes(-len(out) % ALIGNMENT) + entry.data
    out += bytes(-len(out) % ALIGNMENT)
