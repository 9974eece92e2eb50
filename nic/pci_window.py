# SPDX-License-Identifier: GPL-2.0-or-later
"""VIRTIO_PCI_CAP_PCI_CFG: a window in configuration space through which firmware reaches the BAR without mapping it.

Source: virtio 1.2 section 4.1.4.9 (published). The driver writes BAR number, offset and length (1, 2 or 4) into the capability;
accesses to its data field are then accesses of that length there. Anything else reads as zero and writes nowhere.
"""

from __future__ import annotations

import struct
from typing import Protocol

from nic.ports import BarRead, BarWrite, PciFunction

_CAP_VENDOR, _CAP_PCI_CFG = 0x09, 5
_BAR, _OFFSET, _LENGTH, _DATA, _BYTES = 4, 8, 12, 16, 20


class WatchedFunction(PciFunction, Protocol):
    """A PCI function whose configuration space lets a device keep fields of its own."""

    config: bytearray

    def make_writable(self, offset: int, mask: bytes) -> None: ...
    def watch(self, offset: int, size: int, read: BarRead | None = None, written: BarWrite | None = None) -> None: ...


class PciWindow:
    """Adds the capability for BAR `bar` of `size` bytes, whose accessors it calls."""

    def __init__(self, function: WatchedFunction, bar: int, size: int, read: BarRead, write: BarWrite) -> None:
        self._config = function.config
        self._bar, self._size, self._bar_read, self._bar_write = bar, size, read, write
        body = struct.pack("<BBBB2xII4x", _BYTES, _CAP_PCI_CFG, bar, 0, 0, 0)
        self._at = at = function.add_capability(_CAP_VENDOR, body)
        function.make_writable(at + _BAR, b"\xff")
        function.make_writable(at + _OFFSET, b"\xff" * 8)
        function.watch(at + _DATA, 4, self._read, self._written)

    def _target(self) -> tuple[int, int] | None:
        """Offset and length now asked for, if they make sense."""
        offset, length = struct.unpack_from("<II", self._config, self._at + _OFFSET)
        if self._config[self._at + _BAR] != self._bar or length not in (1, 2, 4) or offset % length:
            return None
        return (offset, length) if offset + length <= self._size else None

    def _read(self, offset: int, size: int, time_ps: int) -> int:
        target = self._target()
        return 0 if target is None or offset else self._bar_read(*target, time_ps) & ((1 << 8 * size) - 1)

    def _written(self, offset: int, size: int, value: int, time_ps: int) -> None:
        target = self._target()
        if target is not None and not offset:
            self._bar_write(*target, value & ((1 << 8 * target[1]) - 1), time_ps)
