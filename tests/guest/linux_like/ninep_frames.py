# SPDX-License-Identifier: GPL-2.0-or-later
"""A fixed conversation in 9P2000 (the Plan 9 manual, section 5), and what of the answers is the same on any host."""

from __future__ import annotations

import struct

ANY = b"\xff"


def text(words: str) -> bytes:
    return struct.pack("<H", len(words)) + words.encode()


def frame(kind: int, body: bytes, tag: int) -> bytes:
    return struct.pack("<IBH", 7 + len(body), kind, tag) + body


def walk(fid: int, new: int, *names: str) -> tuple[int, bytes]:
    return 110, struct.pack("<IIH", fid, new, len(names)) + b"".join(map(text, names))


def conversation() -> bytes:
    """Reads, makes, writes, renames and removes files, lists a directory, and asks for what is not there."""
    rename = ANY * 39 + text("renamed") + text("") * 3
    stat = struct.pack("<H", len(rename)) + rename
    steps = [
        (100, struct.pack("<I", 8192) + text("9P2000")),
        (104, struct.pack("<II", 0, 0xFFFFFFFF) + text("me") + text("")),
        walk(0, 1, "sub", "file"),
        (112, struct.pack("<IB", 1, 0)),
        (116, struct.pack("<IQI", 1, 0, 100)),
        (116, struct.pack("<IQI", 1, 3, 100)),
        (124, struct.pack("<I", 1)),
        walk(0, 2),
        (114, struct.pack("<I", 2) + text("new") + struct.pack("<IB", 0o604, 1)),
        (118, struct.pack("<IQI", 2, 0, 14) + b"written by 9P\n"),
        (118, struct.pack("<IQI", 2, 20, 4) + b"far\n"),
        (120, struct.pack("<I", 2)),
        walk(0, 3, "nowhere"),
        walk(0, 4, ".."),
        (112, struct.pack("<IB", 4, 0)),
        (116, struct.pack("<IQI", 4, 0, 4096)),
        (126, struct.pack("<IH", 1, len(stat)) + stat),
        walk(0, 5, "sub"),
        (122, struct.pack("<I", 5)),  # not empty
        walk(0, 6),
        (114, struct.pack("<I", 6) + text("made") + struct.pack("<IB", 0x80000000 | 0o755, 0)),
        (122, struct.pack("<I", 6)),
        (112, struct.pack("<IB", 99, 0)),
        (77, b""),
    ]
    return b"".join(frame(kind, body, 0xFFFF if kind == 100 else tag) for tag, (kind, body) in enumerate(steps))


def stats(data: bytes) -> list[tuple[int, int, str]]:
    """Mode, length (of files) and name of each entry: owners, times and numbers differ."""
    found = []
    while data:
        (size,) = struct.unpack_from("<H", data)
        mode, _, _, length, name = struct.unpack_from("<IIIQH", data, 21)
        found.append((mode, length if mode < 1 << 31 else 0, data[43 : 43 + name].decode()))
        data = data[2 + size :]
    return sorted(found)


def answers(data: bytes) -> list[str]:
    said, directories = [], 0
    while data:
        size, kind, tag = struct.unpack_from("<IBH", data)
        body = data[7:size]
        if kind == 125:
            said.append(f"{tag} {kind} {stats(body[2:])}")
        elif kind == 117 and len(body) > 60:
            directories += 1
            said.append(f"{tag} {kind} {stats(body[4:])}")
        elif kind in (105, 113, 115):
            said.append(f"{tag} {kind} {body[0]}")
        elif kind == 111:
            said.append(f"{tag} {kind} {[body[2 + 13 * k] for k in range(body[0])]}")
        else:
            said.append(f"{tag} {kind} {body!r}")
        data = data[size:]
    assert directories == 1
    return said
