# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's side of a split virtqueue, and guest memory to put it in: for tests of the device without a guest.

It obeys the rules by default; its raw parts (`write_desc`, `set_avail`) let a test break any of them.
"""

from __future__ import annotations

import struct

from emu.errors import DmaFault
from nic.virtqueue import DESC_F_INDIRECT, DESC_F_NEXT, DESC_F_WRITE, Virtqueue


class FlatMemory:
    """RAM from address `base`, `size` bytes. Counts nothing, checks everything; implements `nic.ports.GuestMemory`."""

    def __init__(self, size: int, base: int = 0) -> None:
        self.base = base
        self.ram = bytearray(size)

    def _offset(self, gpa: int, n: int) -> int:
        offset = gpa - self.base
        if offset < 0 or n < 0 or offset + n > len(self.ram):
            raise DmaFault(f"device access of {n} bytes at {gpa:#x} is outside RAM")
        return offset

    def read(self, gpa: int, n: int) -> bytes:
        """`n` bytes at `gpa`. Raises DmaFault outside RAM."""
        offset = self._offset(gpa, n)
        return bytes(self.ram[offset : offset + n])

    def write(self, gpa: int, data: bytes) -> None:
        """Store `data` at `gpa`. Raises DmaFault outside RAM, with nothing stored."""
        offset = self._offset(gpa, len(data))
        self.ram[offset : offset + len(data)] = data


class MockDriver:
    """Drives one queue whose three areas start at `at`; its buffers are the caller's business."""

    def __init__(self, memory: FlatMemory, at: int, size: int) -> None:
        self.memory = memory
        self.size = size
        self.desc_gpa = at
        self.avail_gpa = at + 16 * size
        self.used_gpa = (self.avail_gpa + 6 + 2 * size + 3) & ~3
        self.end_gpa = self.used_gpa + 6 + 8 * size
        memory.write(at, bytes(self.end_gpa - at))
        self._free = list(range(size))
        self._chains: dict[int, list[int]] = {}
        self.avail_index = 0
        self.used_seen = 0

    def configure(self, queue: Virtqueue, *, event_idx: bool = False, indirect: bool = False) -> None:
        """Tell a bare queue (one without a transport) where it lies, and start it."""
        queue.size = self.size
        queue.desc_gpa, queue.avail_gpa, queue.used_gpa = self.desc_gpa, self.avail_gpa, self.used_gpa
        queue.start(event_idx=event_idx, indirect=indirect)

    def write_desc(self, index: int, gpa: int, size: int, flags: int, following: int, table: int | None = None) -> None:
        """Store one descriptor, in the queue's table or the one at `table`."""
        self.memory.write((table or self.desc_gpa) + 16 * index, struct.pack("<QIHH", gpa, size, flags, following))

    def set_avail(self, slot: int, head: int) -> None:
        """Store one entry of the avail ring."""
        self.memory.write(self.avail_gpa + 4 + 2 * (slot % self.size), struct.pack("<H", head & 0xFFFF))

    def set_avail_index(self, index: int) -> None:
        """Store the avail index."""
        self.avail_index = index & 0xFFFF
        self.memory.write(self.avail_gpa + 2, struct.pack("<H", self.avail_index))

    def offer(
        self, readable: list[tuple[int, int]], writable: list[tuple[int, int]], indirect_at: int | None = None
    ) -> int:
        """Make a chain of (gpa, size) buffers available. Returns its head. Raises IndexError when descriptors run out."""
        buffers = [(gpa, size, 0) for gpa, size in readable] + [(gpa, size, DESC_F_WRITE) for gpa, size in writable]
        own = [self._free.pop(0) for _ in range(1 if indirect_at is not None else len(buffers))]
        slots = list(range(len(buffers))) if indirect_at is not None else own
        for place, (gpa, size, flags) in enumerate(buffers):
            last = place == len(buffers) - 1
            following = 0 if last else slots[place + 1]
            self.write_desc(slots[place], gpa, size, flags | (0 if last else DESC_F_NEXT), following, indirect_at)
        if indirect_at is not None:
            self.write_desc(own[0], indirect_at, 16 * len(buffers), DESC_F_INDIRECT, 0)
        self._chains[own[0]] = own
        self.set_avail(self.avail_index, own[0])
        self.set_avail_index(self.avail_index + 1)
        return own[0]

    def used(self) -> list[tuple[int, int]]:
        """New (head, bytes written) entries of the used ring; their descriptors are free again."""
        index = struct.unpack("<H", self.memory.read(self.used_gpa + 2, 2))[0]
        entries = []
        while self.used_seen != index:
            slot = self.used_seen % self.size
            head, written = struct.unpack("<II", self.memory.read(self.used_gpa + 4 + 8 * slot, 8))
            entries.append((head, written))
            self._free.extend(self._chains.pop(head, []))
            self.used_seen = (self.used_seen + 1) & 0xFFFF
        return entries

    def want_interrupt_at(self, used_index: int) -> None:
        """Store used_event: interrupt when the entry of this used index is published."""
        self.memory.write(self.avail_gpa + 4 + 2 * self.size, struct.pack("<H", used_index & 0xFFFF))

    def set_flags(self, flags: int) -> None:
        """Store the avail ring's flags."""
        self.memory.write(self.avail_gpa, struct.pack("<H", flags))

    def kick_wanted(self, event_idx: bool) -> bool:
        """Whether the device asks to be notified of the chain made available last."""
        if not event_idx:
            flags: int = struct.unpack("<H", self.memory.read(self.used_gpa, 2))[0]
            return not flags & 1
        event: int = struct.unpack("<H", self.memory.read(self.used_gpa + 4 + 8 * self.size, 2))[0]
        return (self.avail_index - event - 1) & 0xFFFF < 1
