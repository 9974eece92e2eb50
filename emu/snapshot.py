# SPDX-License-Identifier: GPL-2.0-or-later
"""A snapshot as a file, and a World in it. docs/snapshot.md has the format.

    magic 8, format 4, header's length 4, header's SHA-256 32; the header, JSON; sections, one behind the other

The header says what was saved (`about`, the owner's), which build of the core wrote it, and each section's name, length and
SHA-256. A section is plain data as msgpack, or bytes, both in compressed chunks, or a machine's RAM. Anything may be in a file:
all of it is checked, and hashes only tell damage early.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from emu.core.binding import core_build
from emu.errors import BadSnapshot, ConfigError
from emu.ram_image import RamImage
from emu.state import Count, Data, State
from emu.world import World

MAGIC = b"CYCSNAP\n"
FORMAT = 3
_PREFIX = struct.Struct("<8sII32s")
_CHUNK = struct.Struct("<II")  # bytes in the file, bytes of data
CHUNK_BYTES = 1 << 20
MAX_HEADER, MAX_DATA = 1 << 20, 1 << 31
LEVEL = 1  # of zlib: the time to start counts, not the size

_Digest = Annotated[str, Meta(min_length=64, max_length=64)]
_T = TypeVar("_T", bound=State)


class _Section(State):
    name: str
    bytes: Count
    sha256: _Digest


class _Header(State):
    core: _Digest
    about: Data
    sections: Annotated[list[_Section], Meta(max_length=256)]


def pack(data: bytes | memoryview) -> bytes:
    """Compressed, a chunk at a time."""
    parts: list[bytes] = []
    for at in range(0, len(data), CHUNK_BYTES):
        chunk = data[at : at + CHUNK_BYTES]
        squeezed = zlib.compress(chunk, LEVEL)
        parts += [_CHUNK.pack(len(squeezed), len(chunk)), squeezed]
    return b"".join(parts)


def unpack(packed: memoryview, where: str) -> bytes:
    """The opposite; never more than MAX_DATA bytes, and no chunk larger than CHUNK_BYTES. Raises BadSnapshot."""
    parts: list[bytes] = []
    at = total = 0
    while at < len(packed):
        if at + _CHUNK.size > len(packed):
            raise BadSnapshot(f"{where}: it ends within a chunk")
        inside, size = _CHUNK.unpack_from(packed, at)
        at += _CHUNK.size
        total += size
        if inside > len(packed) - at or size > CHUNK_BYTES or total > MAX_DATA:
            raise BadSnapshot(f"{where}: a chunk's length cannot be")
        parts.append(inflate(packed[at : at + inside], size, where))
        at += inside
    return b"".join(parts)


def inflate(packed: memoryview, size: int, where: str) -> bytes:
    """`size` bytes and no more. Raises BadSnapshot."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, size + 1)
    except zlib.error:
        data = b""
    if len(data) != size or not stream.eof or stream.unused_data:
        raise BadSnapshot(f"{where}: a chunk does not decompress to what it should")
    return data


class SavedWorld:
    """Named sections, and what they are of (`about`, plain data); `where` is the file's name, if it came from one."""

    def __init__(self, about: Data, sections: Mapping[str, bytes | memoryview], where: str = "a snapshot") -> None:
        self.about = about
        self.where = where
        self.sections = dict(sections)

    # ---- a World

    @classmethod
    def of_world(cls, world: World, about: Data, parts: Mapping[str, Data]) -> "SavedWorld":
        """Everything of a World, between runs, and `parts` of its owner's; nothing changes."""
        sections: dict[str, bytes | memoryview] = {
            "world": pack(msgspec.msgpack.encode(world.save())),
            "core": pack(world.core.save()),
            **{name: pack(msgspec.msgpack.encode(data)) for name, data in parts.items()},
        }
        for machine in world.machines:
            sections[f"ram{machine.index}"] = RamImage.of(world.core, machine.index, machine.config.ram_bytes).packed()
        return cls(about, sections)

    def data(self, name: str) -> Data:
        """A section of plain data. Raises BadSnapshot."""
        try:
            data = msgspec.msgpack.decode(unpack(self._section(name), f"section {name!r}"))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, TypeError) as error:
            raise BadSnapshot(f"section {name!r}: {error}") from None
        if not isinstance(data, dict):
            raise BadSnapshot(f"section {name!r}: it is no table")
        return data

    def boards_into(self, world: World) -> None:
        """The first step: clock, events and boards, into a World built alike that has not run. Raises BadSnapshot.

        What registers events comes before, and symbols and probes behind, since the core's state is held against them.
        """
        world.restore(self.data("world"))

    def core_into(self, world: World) -> None:
        """The second: RAM, and all that the core holds. Raises BadSnapshot; the World is of no use then."""
        for machine in world.machines:
            where = f"ram{machine.index}"
            RamImage.unpacked(self._section(where), machine.config.ram_bytes, where).into(world.core, machine.index)
        world.core.restore(unpack(self._section("core"), "section 'core'"))

    def _section(self, name: str) -> memoryview:
        if name not in self.sections:
            raise BadSnapshot(f"it has no section {name!r}")
        return memoryview(self.sections[name])

    # ---- a file

    def write(self, path: Path) -> int:
        """Write the file, whole or not at all; its size. Raises ConfigError."""
        listed = [_Section(name, len(part), hashlib.sha256(part).hexdigest()) for name, part in self.sections.items()]
        header = msgspec.json.encode(_Header(core_build(), self.about, listed), order="sorted")
        prefix = _PREFIX.pack(MAGIC, FORMAT, len(header), hashlib.sha256(header).digest())
        beside = path.with_name(f"{path.name}.part")
        try:
            with beside.open("wb") as file:
                for part in (prefix, header, *self.sections.values()):
                    file.write(part)
                size = file.tell()
            os.replace(beside, path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise ConfigError(f"{path}: the snapshot cannot be written ({error.strerror}); give another file") from error
        return size

    @classmethod
    def read(cls, path: Path) -> "SavedWorld":
        """A file's snapshot. Raises ConfigError when it cannot be read, BadSnapshot for what is in it."""
        try:
            raw = np.fromfile(path, np.uint8).data.cast("B")
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: the snapshot cannot be read ({getattr(error, 'strerror', error)})") from None
        return cls.parse(raw, path)

    @classmethod
    def parse(cls, raw: memoryview, path: Path) -> "SavedWorld":
        """The same, of a file's bytes."""
        if len(raw) < _PREFIX.size or raw[: len(MAGIC)] != MAGIC:
            raise BadSnapshot(f"{path}: this is no snapshot; take one with `cyclescope snapshot`")
        _, version, length, digest = _PREFIX.unpack_from(raw)
        if version != FORMAT:
            raise BadSnapshot(f"{path}: a snapshot of format {version}, and this version reads {FORMAT}; take it again")
        text = raw[_PREFIX.size : _PREFIX.size + length]
        if length > MAX_HEADER or len(text) != length or hashlib.sha256(text).digest() != digest:
            raise BadSnapshot(f"{path}: its header is damaged; take the snapshot again")
        try:
            header = msgspec.json.decode(text, type=_Header)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadSnapshot(f"{path}: its header: {error}") from None
        if header.core != core_build():
            raise BadSnapshot(f"{path}: it was taken by another build of the core library; take the snapshot again")
        sections: dict[str, bytes | memoryview] = {}
        at = _PREFIX.size + length
        for section in header.sections:
            part = raw[at : at + section.bytes]
            if len(part) != section.bytes or hashlib.sha256(part).hexdigest() != section.sha256 or section.name in sections:
                raise BadSnapshot(f"{path}: section {section.name!r} is damaged or incomplete; take the snapshot again")
            sections[section.name] = part
            at += section.bytes
        if at != len(raw):
            raise BadSnapshot(f"{path}: something lies behind its end; take the snapshot again")
        return cls(header.about, sections, str(path))


def about_as(kind: type[_T], about: Any) -> _T:
    """`about`, checked against its owner's description. Raises BadSnapshot."""
    try:
        return msgspec.convert(about, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadSnapshot(f"its header: {error}") from None
