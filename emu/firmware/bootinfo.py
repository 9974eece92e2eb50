# SPDX-License-Identifier: GPL-2.0-or-later
"""What the boot loader tells the kernel: hvm_start_info (PVH) or the Multiboot 1 information structure, in one block of RAM.

Sources: Xen public header arch-x86/hvm/start_info.h (layout version 1); Multiboot specification 0.6.96, section 3.3.
"""

import struct
from dataclasses import dataclass

HVM_START_MAGIC = 0x336E_C578
MULTIBOOT_BOOTLOADER_MAGIC = 0x2BAD_B002
RAM, RESERVED = 1, 2  # memory map types, the same numbers in both protocols


@dataclass(frozen=True, slots=True)
class MapEntry:
    """A stretch of the physical address space."""

    gpa: int
    size: int
    kind: int


@dataclass(frozen=True, slots=True)
class Module:
    """A boot module already in RAM."""

    gpa: int
    size: int
    cmdline: str = ""


class _Block:
    """Bytes at a known address, to which structures are appended."""

    def __init__(self, base_gpa: int, skip: int) -> None:
        self.base_gpa = base_gpa
        self.data = bytearray(skip)

    def add(self, content: bytes) -> int:
        self.data += bytes(-len(self.data) % 8)
        gpa = self.base_gpa + len(self.data)
        self.data += content
        return gpa


def text(value: str) -> bytes:
    """A string as C wants it."""
    return value.encode("utf-8", "surrogateescape") + b"\0"


def pvh(base_gpa: int, cmdline: str, memory: list[MapEntry], modules: list[Module], rsdp_gpa: int) -> bytes:
    """hvm_start_info at `base_gpa`, with what it points to behind it."""
    block = _Block(base_gpa, 56)
    cmdline_gpa = block.add(text(cmdline))
    entries = [struct.pack("<QQQQ", m.gpa, m.size, block.add(text(m.cmdline)) if m.cmdline else 0, 0) for m in modules]
    modules_gpa = block.add(b"".join(entries)) if entries else 0
    map_gpa = block.add(b"".join(struct.pack("<QQII", entry.gpa, entry.size, entry.kind, 0) for entry in memory))
    struct.pack_into(
        "<IIIIQQQQII", block.data, 0,
        HVM_START_MAGIC, 1, 0, len(modules), modules_gpa, cmdline_gpa, rsdp_gpa, map_gpa, len(memory), 0,
    )  # fmt: skip
    return bytes(block.data)


def multiboot(base_gpa: int, cmdline: str, memory: list[MapEntry], modules: list[Module]) -> bytes:
    """The Multiboot information structure at `base_gpa`, with what it points to behind it."""
    block = _Block(base_gpa, 120)
    cmdline_gpa = block.add(text(cmdline))
    loader_gpa = block.add(text("cyclescope"))
    entries = [struct.pack("<IIII", m.gpa, m.gpa + m.size, block.add(text(m.cmdline)), 0) for m in modules]
    modules_gpa = block.add(b"".join(entries)) if entries else 0
    map_bytes = b"".join(struct.pack("<IQQI", 20, entry.gpa, entry.size, entry.kind) for entry in memory)
    map_gpa = block.add(map_bytes)
    low = next((entry.size for entry in memory if entry.kind == RAM and entry.gpa == 0), 0) >> 10
    high = next((entry.size for entry in memory if entry.kind == RAM and entry.gpa == 0x10_0000), 0) >> 10
    flags = 1 << 0 | 1 << 2 | (1 << 3 if entries else 0) | 1 << 6 | 1 << 9
    struct.pack_into("<IIIIIII", block.data, 0, flags, low, high, 0, cmdline_gpa, len(modules), modules_gpa)
    struct.pack_into("<II", block.data, 44, len(map_bytes), map_gpa)
    struct.pack_into("<I", block.data, 64, loader_gpa)
    return bytes(block.data)
