# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing pcapng at nanosecond resolution, with a comment on any packet.

Source: the pcapng format (IETF draft-ietf-opsawg-pcapng, published). One section, one Ethernet interface with
if_tsresol 9; enhanced packet blocks with opt_comment.
Little-endian whatever the host; no dates, versions or host names, so equal runs give equal bytes.
"""

from __future__ import annotations

import struct
from types import TracebackType
from typing import BinaryIO

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_OPT_COMMENT, _IF_NAME, _IF_TSRESOL, _EPB_FLAGS = 1, 2, 9, 2
_LINKTYPE_ETHERNET = 1
_COMMENT_MAX = 0xFFFF
_DIRECTION = {"rx": 1, "tx": 2}


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


class PcapngWriter:
    """Writes frames to an open binary file; closing that is the caller's business."""

    def __init__(self, file: BinaryIO, interface: str = "client") -> None:
        self._file = file
        self.frames = 0
        file.write(_block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        options = _option(_IF_NAME, interface.encode()) + _option(_IF_TSRESOL, b"\x09") + bytes(4)
        file.write(_block(_INTERFACE, struct.pack("<HHI", _LINKTYPE_ETHERNET, 0, 0) + options))

    def write(self, time_ps: int, data: bytes, comment: str = "", direction: str = "") -> None:
        """Add a frame. `direction`: "rx" or "tx" from the capturing side. A comment past 65,535 bytes is cut."""
        time_ns = time_ps // 1000
        options = b""
        if comment:
            text = comment.encode()
            if len(text) > _COMMENT_MAX:
                text = text[:_COMMENT_MAX].decode(errors="ignore").encode()
            options += _option(_OPT_COMMENT, text)
        if direction:
            options += _option(_EPB_FLAGS, struct.pack("<I", _DIRECTION[direction]))
        if options:
            options += bytes(4)
        head = struct.pack("<IIIII", 0, time_ns >> 32, time_ns & 0xFFFFFFFF, len(data), len(data))
        self._file.write(_block(_PACKET, head + _padded(data) + options))
        self.frames += 1

    def __enter__(self) -> PcapngWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.flush()
