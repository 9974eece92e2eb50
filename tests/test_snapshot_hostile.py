# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshot files from anybody: damaged ones are refused at once, forged ones before they do harm: no crash, no hang."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emu.errors import BadSnapshot, CyclescopeError
from emu.ram_image import PAGE, RamImage
from emu.snapshot import SavedWorld, pack, unpack
from tests.snapshots import kvd_testbed, requests

SHAPE = ("libos", 2, "detailed")
EXAMPLES = settings(
    max_examples=30, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
PIECES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), min_size=1, max_size=3)
BOUNDED_PS = 2 * 10**9


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot in the middle of load."""
    path = tmp_path_factory.mktemp("snapshots") / "saved"
    answers: list[tuple[int, bytes, int]] = []
    with kvd_testbed(*SHAPE, answers) as bed:
        bed.boot()
        bed.client._on_answer = lambda index, answer, time_ps: bed.world.stop() if index == 70 else None
        bed.closed_loop(4, requests(100), "serving")
        bed.save({}).write(path)
    return path


def changed(data: bytes, pieces: list[tuple[float, bytes]]) -> bytes:
    out = bytearray(data)
    for where, piece in pieces:
        at = int(where * len(out))
        out[at : at + len(piece)] = piece[: len(out) - at]
    return bytes(out)


@EXAMPLES
@given(pieces=PIECES, end=st.floats(0, 1))
def test_a_damaged_file_is_refused(saved: Path, pieces: list[tuple[float, bytes]], end: float) -> None:
    whole = saved.read_bytes()
    for raw in (changed(whole, pieces), whole[: int(end * len(whole))], whole + pieces[0][1]):
        if raw != whole:
            with pytest.raises(BadSnapshot, match=str(saved)):
                SavedWorld.parse(memoryview(raw), saved)


@EXAMPLES
@given(
    name=st.sampled_from(["core"] * 4 + ["world", "nic", "network", "client", "requests", "ram0"]),
    pieces=PIECES, end=st.none() | st.floats(0, 1),
)  # fmt: skip
def test_a_forged_section_is_refused_or_harmless(
    saved: Path, name: str, pieces: list[tuple[float, bytes]], end: float | None
) -> None:
    whole = SavedWorld.read(saved)
    section = memoryview(whole.sections[name])
    data = bytes(section) if name == "ram0" else unpack(section, name)
    data = changed(data, pieces) if end is None else data[: int(end * len(data))]
    forged = SavedWorld({}, {**whole.sections, name: data if name == "ram0" else pack(data)})
    with kvd_testbed(*SHAPE, []) as bed:
        try:
            bed.restore(forged)
        except BadSnapshot:
            return
        if bed.client.unfinished:
            bed.client.resume(requests(100))
        try:  # a guest that was tampered with may do anything, within the machine
            bed.world.run(bed.world.now_ps + BOUNDED_PS)
            bed.snapshot()
        except CyclescopeError:
            pass


def test_a_missing_section_is_named(saved: Path) -> None:
    whole = SavedWorld.read(saved)
    for name in whole.sections:
        rest = {key: part for key, part in whole.sections.items() if key != name}
        with kvd_testbed(*SHAPE, []) as bed, pytest.raises(BadSnapshot, match=f"no section '{name}'"):
            bed.restore(SavedWorld({}, rest))


@pytest.mark.parametrize(("name", "cpus", "timing"), [("linux_like", 2, "detailed"), ("libos", 1, "detailed")])
def test_a_snapshot_of_another_machine_is_refused(saved: Path, name: str, cpus: int, timing: str) -> None:
    with kvd_testbed(name, cpus, timing, []) as bed, pytest.raises(BadSnapshot):
        bed.restore(SavedWorld.read(saved))


def test_a_chunk_that_would_fill_the_host_is_refused() -> None:
    bomb = pack(bytes(1 << 20))
    lying = bytearray(bomb)
    lying[4:8] = (16).to_bytes(4, "little")
    with pytest.raises(BadSnapshot, match="decompress"):
        unpack(memoryview(bytes(lying)), "a section")


class FakeRam:
    """A core's RAM calls."""

    def __init__(self, pages: int) -> None:
        self.bytes = bytearray(pages * PAGE)

    def ram(self, machine: int, nbytes: int) -> memoryview:
        return memoryview(self.bytes)[:nbytes]

    def ram_used(self, machine: int) -> Iterator[tuple[int, int]]:
        yield 0, len(self.bytes)


@EXAMPLES
@given(st.dictionaries(st.integers(0, 599), st.binary(min_size=1, max_size=4), max_size=40), PIECES)
def test_ram_comes_back_and_forged_ram_is_refused(pages: dict[int, bytes], pieces: list[tuple[float, bytes]]) -> None:
    full, empty, other = FakeRam(600), FakeRam(600), FakeRam(600)
    for number, text in pages.items():
        full.bytes[number * PAGE : number * PAGE + len(text)] = text
    packed = RamImage.of(full, 0, len(full.bytes)).packed()
    RamImage.unpacked(memoryview(packed), len(empty.bytes), "ram").into(empty, 0)
    assert empty.bytes == full.bytes
    try:
        RamImage.unpacked(memoryview(changed(packed, pieces)), len(other.bytes), "ram").into(other, 0)
    except BadSnapshot:
        assert not np.frombuffer(other.bytes, np.uint8).any()
