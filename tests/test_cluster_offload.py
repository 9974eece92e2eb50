# SPDX-License-Identifier: GPL-2.0-or-later
"""A general-purpose node beside library OSes in one World: they join it, and it is off no request's way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cyclescope.cluster.bed import ClusterBed
from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.spec import Cluster, NodeSpec
from emu.errors import ConfigError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "offload"
BACKS = tuple(NodeSpec(name=f"back{i}", personality="libos", role="back", vcpus=1, memory_mib=64) for i in (1, 2))
FRONT = NodeSpec(name="front", role="front", program="gpos", vcpus=2, memory_mib=64)
CLUSTER = Cluster(nodes=(FRONT, *BACKS), timing="functional", name="small")
MS = 10**9


@pytest.fixture
def bed() -> Iterator[ClusterBed]:
    with ClusterBed(CLUSTER) as made:
        made.boot()
        made.run(made.world.now_ps + 100 * MS)
        yield made


def test_library_oses_join_the_front_end(bed: ClusterBed):
    said = bed.nodes[0].machine.console.tail
    assert "kvd_router: ready" in said
    assert "gpos: back1 has joined as node 1" in said
    assert "gpos: back2 has joined as node 2" in said


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_run(path: Path):
    cluster = read_cluster(path)
    load = msgspec.structs.replace(cluster.load, requests=60, warmup=10, keys=30)
    run = run_cluster(msgspec.structs.replace(cluster, load=load, timing="functional")).run
    assert (run.sent, run.lost) == (60, 0)


def build(cluster: Cluster) -> None:
    cluster.check()
    ClusterBed(cluster).close()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"personality": "libos"}, "gpos runs on a general-purpose system"),
        ({"program": "kvd", "runs": "kvd_router"}, "only gpos starts another program"),
        ({"words": ("beat",)}, "is no word like key=value"),
        ({"runs": "none"}, "programs/none is not there"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, object], sentence: str):
    nodes = (msgspec.structs.replace(FRONT, **changes), *BACKS)
    cluster = msgspec.structs.replace(CLUSTER, nodes=nodes)
    with pytest.raises(ConfigError, match=sentence):
        build(cluster)


def test_there_is_one_gpos():
    cluster = msgspec.structs.replace(CLUSTER, nodes=(FRONT, msgspec.structs.replace(FRONT, name="other"), *BACKS))
    with pytest.raises(ConfigError, match="a cluster has one"):
        cluster.check()
