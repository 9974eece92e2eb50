# SPDX-License-Identifier: GPL-2.0-or-later
"""Several machines in one World: a request crosses them, its parts say where, and the same file gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scapy.utils import RawPcapNgReader

from cyclescope.cli import run_cli
from cyclescope.cluster.bed import ClusterBed
from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.spec import Cluster, ClusterLoad, KillSpec, LinkSpec, NodeSpec, SwitchSpec
from cyclescope.cluster.truth import request_of
from emu.errors import GuestError
from emu.ledger.requests import BETWEEN
from nic.frames import parse_udp
from nic.sharding import fnv1a

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "clusters"
BACKS = tuple(NodeSpec(name=f"back{i}", personality="libos", role="back", vcpus=1, memory_mib=64) for i in (1, 2))
FRONT = NodeSpec(name="front", role="front", vcpus=2, memory_mib=64)
LOAD = ClusterLoad(requests=120, warmup=20, keys=40, rate=150_000.0, timeout_us=2_000.0)
CLUSTER = Cluster(nodes=(FRONT, *BACKS), load=LOAD, timing="fast", name="small")

FILE = """
[cluster]
timing = "fast"
[[node]]
name = "front"
role = "front"
mem = "64M"
[[node]]
name = "back1"
personality = "libos"
role = "back"
vcpus = 1
mem = "64M"
[[node]]
name = "back2"
personality = "libos"
role = "back"
vcpus = 1
mem = "64M"
[load]
requests = 120
warmup = 20
keys = 40
rate = 150_000
timeout_us = 2000
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one file, by the command line: directories `one` and `two`."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "small.toml").write_text(FILE)
    for name in ("one", "two"):
        assert run_cli(["cluster", "run", str(folder / "small.toml"), "--out", str(folder / name)]) == 0
    return folder


def test_the_same_file_gives_the_same_bytes(ran: Path):
    files = sorted(path.relative_to(ran / "one") for path in (ran / "one").rglob("*") if path.is_file())
    assert [path.name for path in files if path.suffix == ".pcapng"] == [
        f"{name}.pcapng" for name in ("back1", "back2", "client", "front")
    ]
    for path in files:
        if path.name != "host.json":
            assert (ran / "one" / path).read_bytes() == (ran / "two" / path).read_bytes(), path


def test_parts_name_the_node_and_sum_to_the_latency(ran: Path):
    with np.load(ran / "one" / "small" / "requests.npz") as columns:
        latency = columns["latency_ps"]
        parts = {name: columns[name] for name in columns.files if name not in ("token", "start_ps", "latency_ps")}
    assert latency.size == 120
    assert (sum(parts.values()) == latency).all()
    there = {
        node: sum(values for name, values in parts.items() if name.startswith(f"{node}."))
        for node in ("front", "back1", "back2", "between_nodes")
    }
    assert (there["front"] > 0).all()
    assert ((there["back1"] > 0) ^ (there["back2"] > 0)).all()
    assert (parts["front.run.app"] > 0).all()
    assert (parts["back1.run.app"] + parts["back2.run.app"] > 0).all()
    document = json.loads((ran / "one" / "summary.json").read_text())["clusters"][0]
    assert {part["part"] for part in document["parts"] if part["place"] == "between nodes"} <= {
        "run.wire", "run.switch", "run.serialization", "wait.link", "wait.switch"
    }  # fmt: skip
    total = sum(part["mean_ns"] for part in document["parts"])
    assert total == pytest.approx(document["latency_ns"]["mean"])
    unattributed = sum(values.sum() for name, values in parts.items() if name.endswith(("wait.unattributed", "run.unknown")))
    assert unattributed <= latency.sum() // 100


def test_every_key_goes_to_the_back_end_of_its_hash(ran: Path):
    """By the captures: what the front end sends on, and no request is at both back ends."""
    for place, name in enumerate(("back1", "back2")):
        found = 0
        with RawPcapNgReader(str(ran / "one" / "small" / f"{name}.pcapng")) as reader:
            for data, _ in reader:
                udp = parse_udp(data)
                if udp is not None and udp.dst_ip[3] == 16 + place:
                    found += 1
                    assert fnv1a(request_of(udp.payload).key) % 2 == place
        assert found > 10


def test_a_switch_port_sees_what_hangs_there(ran: Path):
    seen = {}
    for name in ("client", "front", "back1", "back2"):
        with RawPcapNgReader(str(ran / "one" / "small" / f"{name}.pcapng")) as reader:
            packets = list(reader)
        seen[name] = sum(parse_udp(data) is not None for data, _ in packets)
        stamps = [meta.tshigh << 32 | meta.tslow for _, meta in packets]
        assert stamps == sorted(stamps)
    assert seen["client"] >= 240  # some answers take two datagrams
    assert seen["front"] == 2 * seen["client"]
    assert seen["back1"] + seen["back2"] == seen["client"]


def test_one_client_spreads_keys_over_nodes_of_two_kinds():
    """No front end: both personalities serve one client, and a World of two machines is one of one machine twice."""
    nodes = (NodeSpec(name="a", personality="libos", vcpus=1, memory_mib=64), NodeSpec(name="b", vcpus=1, memory_mib=64))
    load = msgspec.structs.replace(LOAD, rate=None, closed=4, spread="consistent")
    run = run_cluster(Cluster(nodes=nodes, load=load, timing="fast")).run
    there = np.array([run.parts_ps[:, run.of_places({place})].sum(axis=1) > 0 for place in (0, 1)])
    assert (there.sum(axis=0) == 1).all()
    assert there.any(axis=1).all()
    assert run.lost == 0
    assert set(run.answers) == {"hit", "stored"}


FAULTY = msgspec.structs.replace(
    CLUSTER,
    links=(
        LinkSpec(ends=("back1", "switch"), loss=0.05, duplicate=0.1, reorder=0.1, jitter_us=5.0),
        LinkSpec(ends=("client", "switch"), loss=0.02, down_us=((300.0, 350.0),)),
    ),
    kills=(KillSpec(node="back2", at_us=500.0),),
)


def test_faults_lose_requests_and_never_make_answers_wrong():
    outcomes = [run_cluster(FAULTY) for _ in range(2)]
    run = outcomes[0].run
    assert run.answers.get("wrong", 0) == 0
    assert 0 < run.lost < run.sent
    assert sum(run.answers.values()) == run.sent - run.lost == run.latency_ps.size
    assert run.killed == {"back2": 500_000_000}
    counts = {name: count for counters in run.faults.values() for name, count in counters.items()}
    assert {"lost", "duplicated", "reordered", "down"} <= set(counts)
    assert set(run.faults) == {"back1-switch", "client-switch", "back2-switch"}
    again = outcomes[1].run
    assert (run.tokens == again.tokens).all()
    assert (run.latency_ps == again.latency_ps).all()
    assert (run.faults, run.answers) == (again.faults, again.answers)
    dead = run.nodes[2]
    served = run.start_ps + run.latency_ps
    late = served > served.min() + 600_000_000
    assert late.any()
    assert not run.parts_ps[late][:, run.of_places({2})].any()
    assert dead.cycles["idle"]


def test_nothing_may_be_answered_when_the_front_end_dies_at_once(tmp_path: Path):
    path = tmp_path / "dead.toml"
    path.write_text(FILE + '[[kill]]\nnode = "front"\nat_us = 0\n')
    assert run_cli(["cluster", "run", str(path), "--timing", "functional", "--out", str(tmp_path / "out")]) == 0
    document = json.loads((tmp_path / "out" / "summary.json").read_text())["clusters"][0]
    assert (document["lost"], document["requests"], document["answers"]) == (120, 0, {})


def test_a_node_that_dies_before_it_is_ready_is_named():
    broken = msgspec.structs.replace(BACKS[0], arguments=("-p", "0"))
    with pytest.raises(GuestError, match=r"the cluster: node back1: .* before all programs were ready; .*-p takes"):
        run_cluster(msgspec.structs.replace(CLUSTER, nodes=(FRONT, broken, BACKS[1])))


def test_switches_may_hang_in_a_tree():
    """Two racks: a request to the far one crosses both switches."""
    links = tuple(LinkSpec(ends=ends) for ends in (("client", "s"), ("a", "t"), ("s", "t")))
    nodes = (NodeSpec(name="a", personality="libos", vcpus=1, memory_mib=64),)
    far = Cluster(nodes=nodes, links=links, switches=(SwitchSpec(name="s"), SwitchSpec(name="t")), load=LOAD, timing="fast")
    run = run_cluster(far).run
    between = {run.part_names[i]: run.parts_ps[:, i] for i in run.of_places({BETWEEN})}
    short = run.latency_ps <= np.median(run.latency_ps)  # an answer of two datagrams has two frames on its way
    assert (between["run.switch"][short] == 4 * 1_000_000).all()
    assert (between["run.wire"][short] == 6 * 50_000).all()


def test_a_machine_without_power_stays_so():
    with ClusterBed(msgspec.structs.replace(CLUSTER, nodes=(BACKS[0],), load=LOAD)) as bed:
        bed.boot()
        machine = bed.nodes[0].machine
        machine.off()
        machine.msi(0xFEE00000, 0x40, bed.world.now_ps)
        before = bed.world.core.counters(0, 0)
        bed.world.run(bed.world.now_ps + 10**9)
        after = bed.world.core.counters(0, 0)
        assert before == after


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_run(path: Path):
    """With less load than the file's, and untimed: that they boot, serve and add up."""
    cluster = read_cluster(path)
    load = msgspec.structs.replace(cluster.load, requests=60, warmup=10, keys=30)
    run = run_cluster(msgspec.structs.replace(cluster, load=load, timing="functional")).run
    assert (run.sent, run.lost) == (60, 0)
    assert set(run.answers) <= {"hit", "stored"}
