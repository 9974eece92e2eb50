# SPDX-License-Identifier: GPL-2.0-or-later
"""The example measures what it says, cheaply: few accesses, functional."""

from pathlib import Path

import msgspec
import pytest

from bench.shared_memory import Measured, accesses, components, measure, of_size
from bench.shared_memory_picture import picture
from cyclescope.cluster.file import read_cluster

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "shared-memory"


@pytest.fixture(scope="module", params=sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def found(request: pytest.FixtureRequest) -> dict[str, Measured]:
    cluster = of_size(read_cluster(request.param), 4, 5)
    return {each.name: each for each in measure(msgspec.structs.replace(cluster, timing="functional"))}


def test_what_a_fault_costs(found: dict[str, Measured]) -> None:
    """One round trip, two when somebody else has it, none when it is here; a page is three datagrams."""
    assert found["read, here"].frames < 1 < found["read, zeros"].frames < 4
    once, twice = found["read, at home"], found["read, written elsewhere"]
    assert 1.5 < twice.mean_us / once.mean_us < 2.5
    assert 4096 < once.wire_bytes < 6000 < 2 * 4096 < twice.wire_bytes < 12_000
    assert found["write, read here and by 2 others"].wire_bytes < 4096
    assert once.busy_cycles["writer"]["dsm"] > 0
    assert once.busy_cycles["home"]["copy"] > 0


def test_tables_and_picture(found: dict[str, Measured]) -> None:
    measured = list(found.values())
    assert accesses(measured).count("\n") == len(measured) + 1  # up to two readers
    assert "| dsm |" in components(measured, ["read, zeros", "read, at home"])
    assert picture(measured).count("<svg") == 3
