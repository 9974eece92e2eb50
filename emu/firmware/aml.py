# SPDX-License-Identifier: GPL-2.0-or-later
"""Just enough ACPI machine language to describe one PCI root bridge and the soft-off state.

Source: ACPI specification 6.4, chapter 20 (AML encoding) and section 6.4 (resource descriptors).
"""

import struct


def package_length(body: bytes) -> bytes:
    """PkgLength of `body`, counting its own bytes."""
    for extra in range(4):
        total = len(body) + 1 + extra
        if extra == 0 and total < 0x40:
            return bytes([total])
        if extra and total < 1 << (4 + 8 * extra):
            return bytes([extra << 6 | total & 0x0F]) + (total >> 4).to_bytes(extra, "little")
    raise ValueError("AML package too long")


def integer(value: int) -> bytes:
    """An integer constant."""
    if value in (0, 1):
        return bytes([value])
    for prefix, size in ((0x0A, 1), (0x0B, 2), (0x0C, 4)):
        if value < 1 << (8 * size):
            return bytes([prefix]) + value.to_bytes(size, "little")
    return b"\x0e" + value.to_bytes(8, "little")


def name(identifier: str, value: bytes) -> bytes:
    """Name (identifier, value)."""
    return b"\x08" + identifier.encode() + value


def scope(identifier: str, body: bytes) -> bytes:
    """Scope (identifier) {body}."""
    inner = identifier.encode() + body
    return b"\x10" + package_length(inner) + inner


def device(identifier: str, body: bytes) -> bytes:
    """Device (identifier) {body}."""
    inner = identifier.encode() + body
    return b"\x5b\x82" + package_length(inner) + inner


def package(*elements: bytes) -> bytes:
    """Package () {elements}."""
    inner = bytes([len(elements)]) + b"".join(elements)
    return b"\x12" + package_length(inner) + inner


def eisa_id(text: str) -> bytes:
    """EisaId ("PNP0A03"): three letters of five bits, then four hexadecimal digits, bytes swapped."""
    letters = 0
    for letter in text[:3]:
        letters = letters << 5 | ord(letter) - 0x40
    return b"\x0c" + struct.pack(">HH", letters, int(text[3:], 16))


def resources(*descriptors: bytes) -> bytes:
    """ResourceTemplate () {descriptors}."""
    body = b"".join(descriptors) + b"\x79\x00"
    inner = integer(len(body)) + body
    return b"\x11" + package_length(inner) + inner


def io_ports(start: int, length: int) -> bytes:
    """IO (Decode16, start, start, 1, length)."""
    return struct.pack("<BBHHBB", 0x47, 1, start, start, 1, length)


def word_space(kind: int, flags: int, first: int, last: int) -> bytes:
    """Word address space descriptor; kind 1 I/O, 2 bus numbers. Fixed at both ends, produced by the bridge."""
    return struct.pack("<BHBBBHHHHH", 0x88, 13, kind, 0x0C, flags, 0, first, last, 0, last - first + 1)


def dword_memory(first: int, last: int) -> bytes:
    """DWord memory descriptor: read-write, not cacheable."""
    return struct.pack("<BHBBBIIIII", 0x87, 23, 0, 0x0C, 1, 0, first, last, 0, last - first + 1)


def pc_definitions(memory_window: tuple[int, int]) -> bytes:
    """The body of our DSDT: \\_SB.PCI0 with its windows, \\_S5_."""
    root = device(
        "PCI0",
        name("_HID", eisa_id("PNP0A03"))
        + name("_ADR", integer(0))
        + name("_BBN", integer(0))
        + name("_UID", integer(0))
        + name("_PRT", package())
        + name(
            "_CRS",
            resources(
                word_space(2, 0, 0, 0xFF),
                io_ports(0xCF8, 8),
                word_space(1, 3, 0x0000, 0x0CF7),
                word_space(1, 3, 0x0D00, 0xFFFF),
                dword_memory(*memory_window),
            ),
        ),
    )
    sleep = name("_S5_", package(integer(0), integer(0), integer(0), integer(0)))
    return scope("\\_SB_", root) + sleep
