# SPDX-License-Identifier: GPL-2.0-or-later
"""Small guest images for tests: hand-made ELF files round a few bytes of machine code."""

import struct

from keystone import KS_ARCH_X86, KS_MODE_32, KS_MODE_64, Ks

from cyclescope.asm.assembler import in_hexadecimal

LOAD_GPA = 0x10_0000


def assemble32(source: str, at: int = LOAD_GPA) -> bytes:
    """Machine code for 32-bit protected mode."""
    return bytes(Ks(KS_ARCH_X86, KS_MODE_32).asm(in_hexadecimal(source), at)[0])


def assemble64(source: str, at: int = LOAD_GPA) -> bytes:
    """Machine code for long mode."""
    return bytes(Ks(KS_ARCH_X86, KS_MODE_64).asm(in_hexadecimal(source), at)[0])


def pvh_elf(code: bytes, *, load: int = LOAD_GPA, entry: int | None = None, memory: int = 0) -> bytes:
    """An ELF64 with one segment at `load` and a PVH note."""
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", load if entry is None else entry)
    code_at, note_at = 64 + 2 * 56, 64 + 2 * 56 + len(code)
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, load, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 7, code_at, load, load, len(code), max(len(code), memory), 16)
    notes = struct.pack("<IIQQQQQQ", 4, 4, note_at, 0, 0, len(note), len(note), 4)
    return header + segment + notes + code + note


def multiboot_elf(code: bytes, *, load: int = LOAD_GPA, flags: int = 3) -> bytes:
    """An ELF32 whose segment begins with a Multiboot 1 header, then `code`."""
    magic = 0x1BADB002
    body = struct.pack("<III", magic, flags, -(magic + flags) & 0xFFFF_FFFF) + bytes(4) + code
    header = b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, load + 16, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    at = 52 + 32 + 12  # keeps the header 4-byte aligned in the file
    segment = struct.pack("<IIIIIIII", 1, at, load, load, len(body), len(body), 7, 16)
    return header + segment + bytes(12) + body
