# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs for a guest kernel to run: static Linux ELF64 files, or newc cpio archives. Checked, so that a wrong file is named here.

What a kernel makes of the program is its own affair; this refuses only what cannot work.
"""

import struct
from pathlib import Path

from emu.errors import ConfigError
from emu.loader.image import EM_X86_64, ET_DYN, ET_EXEC, PT_INTERP, read_file

CPIO_MAGIC = b"070701"


def check_program(path: Path | str) -> Path:
    """Refuse, with one ConfigError, what is neither a static x86-64 Linux program nor a newc cpio archive."""
    path = Path(path)
    data = read_file(path, "program")

    def refuse(reason: str) -> ConfigError:
        return ConfigError(f"{path}: {reason}.")

    if not data:
        raise refuse("is empty, not a program")
    if data[:6] == CPIO_MAGIC:
        return path
    if data[:2] == b"#!":
        raise refuse("is a script; a guest runs static ELF programs")
    if data[:4] != b"\x7fELF":
        raise refuse("is neither an ELF program nor a newc cpio archive")
    if len(data) < 64:
        raise refuse(f"is cut short: {len(data)} bytes are less than an ELF64 header")
    if data[4] != 2 or data[5] != 1:
        raise refuse("is not a 64-bit little-endian ELF program")
    kind, machine = struct.unpack_from("<HH", data, 16)
    (table,) = struct.unpack_from("<Q", data, 32)
    entry_bytes, count = struct.unpack_from("<HH", data, 54)
    if machine != EM_X86_64:
        raise refuse(f"is for ELF machine {machine}, not for x86-64 ({EM_X86_64})")
    if kind not in (ET_EXEC, ET_DYN):
        raise refuse(f"is of ELF type {kind}, not a program")
    if count == 0 or entry_bytes != 56:
        raise refuse("has no proper program headers")
    if table + count * entry_bytes > len(data):
        raise refuse("is cut short: its program header table ends behind the end of the file")
    for index in range(count):
        if struct.unpack_from("<I", data, table + index * entry_bytes)[0] == PT_INTERP:
            raise refuse("is dynamically linked; link it with -static")
    if kind == ET_DYN:
        raise refuse("is position-independent; link it with -static -no-pie")
    return path
