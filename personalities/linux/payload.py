# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel file's ELF image: the file itself (vmlinux), or what a bzImage carries compressed.

The file is hostile: every offset is checked, and an image may not grow beyond MAX_IMAGE_BYTES. Source: Linux
Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header" (payload_offset and payload_length, protocol 2.08); the
payload's last four bytes are its uncompressed size. What each compressor's output starts with: lib/decompress.c.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import lz4.block
import zstandard

from emu.errors import ConfigError
from emu.loader.image import MAX_IMAGE_BYTES

ELF_MAGIC = b"\x7fELF"
SETUP_SECTORS, BOOT_FLAG, HEADER_MAGIC, VERSION, PAYLOAD = 0x1F1, 0x1FE, 0x202, 0x206, 0x248
SECTOR_BYTES = 512
LZ4_BLOCK_BYTES = 8 << 20  # of the legacy frame format
CHUNK_BYTES = 1 << 20

Pieces = Iterator[bytes]


def _zlib(data: bytes) -> Pieces:
    decoder = zlib.decompressobj(31)
    while data and not decoder.eof:
        yield decoder.decompress(data, CHUNK_BYTES)
        data = decoder.unconsumed_tail


def _lzma(data: bytes) -> Pieces:
    decoder = lzma.LZMADecompressor()
    while not decoder.eof and not (decoder.needs_input and not data):
        yield decoder.decompress(data, CHUNK_BYTES)
        data = b""


def _bz2(data: bytes) -> Pieces:
    decoder = bz2.BZ2Decompressor()
    while not decoder.eof and not (decoder.needs_input and not data):
        yield decoder.decompress(data, CHUNK_BYTES)
        data = b""


def _zstd(data: bytes) -> Pieces:
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
    for at in range(0, len(data), 1 << 16):
        if decoder.eof:
            return
        yield decoder.decompress(data[at : at + (1 << 16)])


def _lz4(data: bytes) -> Pieces:
    """The legacy frame: a magic number, then blocks of at most 8 MiB, each behind its length."""
    at = 4
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if length > len(data) - at:
            raise ValueError("a block reaches behind the end")
        yield lz4.block.decompress(data[at : at + length], uncompressed_size=LZ4_BLOCK_BYTES)
        at += length


DECODERS: dict[bytes, tuple[str, Callable[[bytes], Pieces]]] = {
    b"\x1f\x8b": ("gzip", _zlib),
    b"\xfd7zXZ": ("xz", _lzma),
    b"\x5d\0\0": ("lzma", _lzma),
    b"BZh": ("bzip2", _bz2),
    b"\x02\x21\x4c\x18": ("lz4", _lz4),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
}


def decompress(data: bytes, what: str) -> bytes:
    """Whatever its first bytes say it is; `what` begins the sentence of a ConfigError."""
    found = next((entry for magic, entry in DECODERS.items() if data.startswith(magic)), None)
    if found is None:
        kinds = ", ".join(name for name, _ in DECODERS.values())
        raise ConfigError(f"{what}: has a compression that starts with {data[:6].hex(' ')}; known are {kinds}.")
    name, decoder = found
    out = bytearray()
    try:
        for piece in decoder(data):
            out += piece
            if len(out) > MAX_IMAGE_BYTES:
                raise ConfigError(f"{what}: its {name} data is more than {MAX_IMAGE_BYTES} bytes when decompressed.")
    except (
        zlib.error,
        lzma.LZMAError,
        OSError,
        EOFError,
        ValueError,
        lz4.block.LZ4BlockError,
        zstandard.ZstdError,
    ) as error:
        raise ConfigError(f"{what}: its {name} data is damaged: {error}.") from error
    return bytes(out)


def payload_of(path: Path, data: bytes) -> bytes:
    """What a bzImage carries, compressed or not. `path` is for messages. Raises ConfigError with one sentence."""
    if (
        len(data) < PAYLOAD + 8
        or data[BOOT_FLAG : BOOT_FLAG + 2] != b"\x55\xaa"
        or data[HEADER_MAGIC:VERSION] != b"HdrS"
    ):
        raise ConfigError(f"{path}: is not a Linux kernel for x86: neither a bzImage nor an ELF file.")
    (version,) = struct.unpack_from("<H", data, VERSION)
    if version < 0x208:
        raise ConfigError(
            f"{path}: is a kernel of boot protocol {version >> 8}.{version & 255:02}, older than 2.08 (Linux 2.6.26)."
        )
    offset, length = struct.unpack_from("<II", data, PAYLOAD)
    start = ((data[SETUP_SECTORS] or 4) + 1) * SECTOR_BYTES + offset
    if length <= 4 or start + length > len(data):
        raise ConfigError(f"{path}: is cut short: its compressed kernel ends behind the end of the file.")
    return data[start : start + length]


def compression(payload: bytes) -> str:
    """Its name; `none` where its first bytes are no compressor's."""
    return next((name for magic, (name, _) in DECODERS.items() if payload.startswith(magic)), "none")


def vmlinux(path: Path, data: bytes) -> bytes:
    """The kernel's ELF image. `path` is for messages. Raises ConfigError with one sentence."""
    if data.startswith(ELF_MAGIC):
        return data
    payload = payload_of(path, data)
    if payload.startswith(ELF_MAGIC):
        return payload
    image = decompress(payload[:-4], str(path))
    (size,) = struct.unpack("<I", payload[-4:])
    if size != len(image):
        raise ConfigError(f"{path}: its compressed kernel gives {len(image)} bytes where its header promises {size}.")
    if not image.startswith(ELF_MAGIC):
        raise ConfigError(f"{path}: its compressed kernel is not an ELF file.")
    return image
