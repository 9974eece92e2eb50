# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever the file, the loader answers with a checked image or with one sentence."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import ConfigError
from emu.loader.image import LOWEST_GPA, load_image, parse_image
from tests.images import LOAD_GPA, multiboot_elf, pvh_elf

HERE = Path("image.elf")
GOOD = {"pvh": pvh_elf(bytes(range(64)), memory=4096), "multiboot": multiboot_elf(bytes(range(64)))}


def patched(data: bytes, offset: int, layout: str, *values: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<" + layout, changed, offset, *values)
    return bytes(changed)


def check(data: bytes) -> None:
    """Parse; what comes out must be in bounds."""
    try:
        image = parse_image(HERE, data)
    except ConfigError as error:
        message = str(error)
        assert message.startswith("image.elf: ")
        assert message.endswith(".")
        assert "\n" not in message
        return
    for segment in image.segments:
        assert 0 <= segment.offset <= segment.offset + segment.file_bytes <= len(data)
        assert segment.file_bytes <= segment.memory_bytes
        assert segment.gpa >= LOWEST_GPA
    assert any(s.gpa <= image.entry_gpa < s.gpa + s.memory_bytes for s in image.segments)


def test_pvh_image_is_described() -> None:
    image = parse_image(HERE, GOOD["pvh"])
    assert (image.protocol, image.entry_gpa, image.end_gpa) == ("pvh", LOAD_GPA, LOAD_GPA + 4096)


def test_multiboot_image_is_described() -> None:
    image = parse_image(HERE, GOOD["multiboot"])
    assert (image.protocol, image.entry_gpa) == ("multiboot", LOAD_GPA + 16)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"#!/bin/sh\n", "is not an ELF file"),
        (bytes(0x202) + b"HdrS", "bzImage"),
        (GOOD["pvh"][:40], "cut short"),
        (GOOD["pvh"][:100], "program header table ends behind"),
        (GOOD["pvh"][:-30], "ends behind the end of the file"),
        (patched(GOOD["pvh"], 4, "B", 7), "ELF class 7"),
        (patched(GOOD["pvh"], 5, "B", 2), "little-endian"),
        (patched(GOOD["pvh"], 6, "B", 0), "ELF version 0"),
        (patched(GOOD["pvh"], 18, "H", 183), "machine 183"),
        (patched(GOOD["pvh"], 16, "H", 1), "object file"),
        (patched(GOOD["pvh"], 16, "H", 3), "position-independent"),
        (patched(GOOD["pvh"], 54, "H", 12), "program headers of 12 bytes"),
        (patched(GOOD["pvh"], 56, "H", 0), "no program headers"),
        (patched(GOOD["pvh"], 56, "H", 0xFFFF), "65535 program headers"),
        (patched(GOOD["pvh"], 64, "I", 3), "dynamically linked"),
        (patched(GOOD["pvh"], 64, "I", 0), "no loadable segment"),
        (patched(GOOD["pvh"], 64 + 24, "Q", 0x1000), "below 1 MiB"),
        (patched(GOOD["pvh"], 64 + 24, "Q", 2**63), "beyond what a processor can address"),
        (patched(GOOD["pvh"], 64 + 40, "Q", 8), "more bytes in the file"),
        (patched(GOOD["pvh"], 64 + 8, "Q", 2**64 - 8), "ends behind the end of the file"),
        (patched(GOOD["pvh"], 64 + 56, "I", 0), "no PVH note"),
        (patched(GOOD["pvh"], len(GOOD["pvh"]) - 4, "I", 0x5000), "entry point 0x5000 outside"),
        (patched(GOOD["multiboot"], 96, "I", 0), "no Multiboot header"),
        (multiboot_elf(b"\xf4", flags=1 << 16), "address fields"),
        (multiboot_elf(b"\xf4", flags=1 << 5), "requires features 0x20"),
    ],
)
def test_a_bad_image_is_refused_in_one_sentence(data: bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_image(HERE, data)
    check(data)


def test_overlapping_segments_are_refused() -> None:
    twice = bytearray(pvh_elf(bytes(64)))
    twice[64 + 56 : 64 + 112] = twice[64 : 64 + 56]
    with pytest.raises(ConfigError, match="overlap at 0x100000"):
        parse_image(HERE, bytes(twice))


def test_missing_file_and_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.elf: cannot read the guest image: No such file"):
        load_image(tmp_path / "no.elf")
    with pytest.raises(ConfigError, match="is a directory"):
        load_image(tmp_path)
    with pytest.raises(ConfigError, match="is not a regular file"):
        load_image("/dev/zero")


BYTE_CHANGES = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=8)
FIELD_CHANGES = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 0x100000, 64, 4096])),
    max_size=4,
)


@settings(max_examples=4000, deadline=None)
@given(st.sampled_from(sorted(GOOD)), BYTE_CHANGES, FIELD_CHANGES, st.integers(0, 600))
def test_mutated_images_give_an_image_or_a_sentence(
    kind: str, bytes_changed: list[tuple[int, int]], fields: list[tuple[int, int]], keep: int
) -> None:
    data = bytearray(GOOD[kind])
    for field, value in fields:
        at = min(16 + 4 * field, len(data) - 8)
        data[at : at + 8] = value.to_bytes(8, "little")
    for at, value in bytes_changed:
        data[at % len(data)] = value
    check(bytes(data[: keep if keep < 300 else len(data)]))


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_behind_an_elf_header_give_a_sentence(tail: bytes) -> None:
    check(GOOD["pvh"][:32] + tail)
