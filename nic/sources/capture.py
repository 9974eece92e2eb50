# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames out of pcap and pcapng files, by Scapy's raw readers, after a walk over the file's records.

The walk finds what the readers pass over in silence: a file cut short, lengths that cannot be. Whatever is wrong with
a file ends in one ConfigError that names the file, the place and the remedy.

Link types: Ethernet; BSD loopback (NULL) and Linux cooked (SLL), whose IPv4 packets get an Ethernet header. Others are refused.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from scapy.error import Scapy_Exception
from scapy.utils import RawPcapNgReader

from emu.errors import ConfigError
from nic.frames import mend_checksums

_ETHERNET, _NULL, _SLL = 1, 0, 113
_NAMES = {101: "raw IP", 105: "802.11", 127: "802.11 radiotap", 228: "raw IPv4", 276: "Linux cooked v2", 147: "user 0"}
_ETHERNET_HEADER = bytes(12)
_MAX_FRAME = 65_535
_SECTION = 0x0A0D0D0A
_PACKET_BLOCKS = (2, 3, 6)
_PCAP_ENDIAN = {
    b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\x3c\x4d": ">",
}  # fmt: skip


class Captured(NamedTuple):
    """One frame: time since 1970 [ns], Ethernet frame without FCS."""

    time_ns: int
    data: bytes


def read_capture(path: str | Path) -> Iterator[Captured]:
    """The frames of a pcap or pcapng file, in its order. The whole file's structure is checked before the first is given.

    Raises ConfigError, here or while iterating; nothing else, whatever the file holds.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            records = _walk(name, file)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror or error}") from None
    if not records:
        raise ConfigError(f"{name}: the capture holds no packets: record again, or choose another file")
    return _frames(name, records)


def rewrite(frame: bytes, *, src_mac: bytes, dst_mac: bytes, src_ip: bytes, dst_ip: bytes) -> bytes:
    """The frame with these addresses and right checksums (loopback captures have wrong ones). Non-IPv4 gets MAC addresses only."""
    mutable = bytearray(frame)
    mutable[:12] = dst_mac + src_mac
    if len(mutable) >= 34 and mutable[12:14] == b"\x08\x00":
        mutable[26:34] = src_ip + dst_ip
        mend_checksums(mutable)
    return bytes(mutable)


def _walk(name: str, file: BinaryIO) -> int:
    """Check every record's lengths. Returns the number of packets."""
    size = os.fstat(file.fileno()).st_size
    magic = file.read(4)
    if not magic:
        raise ConfigError(f"{name}: the file is empty: record again, or choose another file")
    if magic[:2] == b"\x1f\x8b":
        raise ConfigError(f"{name}: the file is compressed: unpack it with gunzip first")
    if magic == b"\x0a\x0d\x0d\x0a":
        return _walk_pcapng(name, file, size)
    endian = _PCAP_ENDIAN.get(magic)
    if endian is None:
        raise ConfigError(
            f"{name}: not a pcap or pcapng file (it starts with {magic.hex()}): give a capture of either format"
        )
    return _walk_pcap(name, file, size, endian)


def _cut(name: str, place: str, offset: int) -> ConfigError:
    return ConfigError(f"{name}: cut short in {place}, at byte {offset}: record or copy the file again")


def _walk_pcap(name: str, file: BinaryIO, size: int, endian: str) -> int:
    if size < 24:
        raise _cut(name, "the file header", size)
    record = struct.Struct(endian + "IIII")
    count, offset = 0, 24
    while offset < size:
        file.seek(offset)
        head = file.read(16)
        if len(head) < 16:
            raise _cut(name, f"the header of packet {count + 1}", offset)
        _, _, captured, wire = record.unpack(head)
        if captured > _MAX_FRAME or captured > wire:
            raise ConfigError(
                f"{name}: packet {count + 1}, at byte {offset}, claims {captured} bytes of {wire}: "
                "the file is damaged, record it again"
            )
        if offset + 16 + captured > size:
            raise _cut(name, f"packet {count + 1}", offset)
        if captured < wire:
            raise _snapped(name, count + 1, captured, wire)
        count, offset = count + 1, offset + 16 + captured
    return count


def _snapped(name: str, number: int, captured: int, wire: int) -> ConfigError:
    return ConfigError(
        f"{name}: packet {number} has only {captured} of its {wire} bytes: record with whole packets (tcpdump -s 0)"
    )


def _walk_pcapng(name: str, file: BinaryIO, size: int) -> int:
    count, offset, number, endian = 0, 0, 1, "<"
    while offset < size:
        file.seek(offset)
        head = file.read(12)
        if len(head) < 12:
            raise _cut(name, f"block {number}", offset)
        if head[:4] == b"\x0a\x0d\x0d\x0a":
            endian = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(head[8:12], "")
            if not endian:
                raise ConfigError(
                    f"{name}: section header at byte {offset} has no byte-order mark: the file is damaged"
                )
        kind, length = struct.unpack_from(endian + "II", head)
        if length < 12 or length % 4:
            raise ConfigError(
                f"{name}: block {number}, at byte {offset}, claims {length} bytes: the file is damaged, record it again"
            )
        if offset + length > size:
            raise _cut(name, f"block {number}", offset)
        file.seek(offset + length - 4)
        if struct.unpack(endian + "I", file.read(4))[0] != length:
            raise ConfigError(
                f"{name}: block {number}, at byte {offset}, has two different lengths: the file is damaged"
            )
        if kind in _PACKET_BLOCKS:
            count += 1
        offset, number = offset + length, number + 1
    return count


def _frames(name: str, records: int) -> Iterator[Captured]:
    runtime = logging.getLogger("scapy.runtime")
    level, given = runtime.level, 0
    runtime.setLevel(logging.CRITICAL)  # what the readers would warn of, we refuse below
    try:
        # We open the file: the reader would leave it open where its header is bad.
        with open(name, "rb") as file, RawPcapNgReader(file) as reader:
            for given, (data, meta) in enumerate(reader, 1):
                yield _frame(name, given, data, meta, reader)
    except ConfigError:
        raise
    except (
        Scapy_Exception,
        EOFError,
        OSError,
        struct.error,
        ValueError,
        ArithmeticError,
        LookupError,
        TypeError,
    ) as error:
        raise ConfigError(f"{name}: damaged after packet {given} ({error}): record it again") from None
    finally:
        runtime.setLevel(level)
    if given != records:
        raise ConfigError(f"{name}: damaged after packet {given} of {records}: record it again")


def _frame(name: str, number: int, data: bytes, meta: object, reader: object) -> Captured:
    resolution = getattr(meta, "tsresol", None)
    if resolution is None:  # pcap
        linktype = reader.linktype  # type: ignore[attr-defined]
        scale = 1 if reader.nano else 1000  # type: ignore[attr-defined]
        time_ns = meta.sec * 1_000_000_000 + meta.usec * scale  # type: ignore[attr-defined]
    else:
        linktype = meta.linktype  # type: ignore[attr-defined]
        ticks = (meta.tshigh or 0) << 32 | (meta.tslow or 0)  # type: ignore[attr-defined]
        time_ns = ticks * 1_000_000_000 // resolution
        if len(data) < meta.wirelen:  # type: ignore[attr-defined]
            raise _snapped(name, number, len(data), meta.wirelen)  # type: ignore[attr-defined]
    if linktype == _ETHERNET:
        if len(data) < 14:
            raise ConfigError(
                f"{name}: packet {number} has {len(data)} bytes, less than an Ethernet header: record it again"
            )
        return Captured(time_ns, data)
    if linktype == _NULL and len(data) >= 4 and 2 in (data[0], data[3]):
        return Captured(time_ns, _ETHERNET_HEADER + b"\x08\x00" + data[4:])
    if linktype == _SLL and len(data) >= 16:
        return Captured(time_ns, _ETHERNET_HEADER + data[14:16] + data[16:])
    kind = (
        _NAMES.get(linktype, f"link type {linktype}") if linktype not in (_NULL, _SLL) else "a packet that is not IPv4"
    )
    raise ConfigError(f"{name}: packet {number} is {kind}, not Ethernet: record on an Ethernet or loopback interface")
