# SPDX-License-Identifier: GPL-2.0-or-later
"""Elastic clusters from end to end: guests ask for machines, use them, and give them back; and what a run says of it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from cyclescope.cli import run_cli
from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.follow import follow_cluster
from cyclescope.cluster.result import ClusterRun
from cyclescope.cluster.timeline import PARTS
from emu.units import PS_PER_MS

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "elastic"

FILE = """
[cluster]
timing = "fast"
[[node]]
name = "front"
personality = "libos"
role = "front"
vcpus = 2
mem = "64M"
arguments = ["--pool", "kvd", "--target", "3", "--calm", "500"]
[[pool]]
name = "kvd"
max = 2
control_us = 100
firmware_us = 300
[load]
keys = 40
warmup = 20
steps = [[0, 50_000], [1000, 600_000], [4000, 50_000], [7000, 0]]
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one file, by the command line: directories `one` and `two`."""
    folder = tmp_path_factory.mktemp("elastic")
    (folder / "small.toml").write_text(FILE)
    for name in ("one", "two"):
        assert run_cli(["cluster", "run", str(folder / "small.toml"), "--out", str(folder / name), "--timeline"]) == 0
    return folder


def test_the_same_file_gives_the_same_bytes(ran: Path):
    files = sorted(path.relative_to(ran / "one") for path in (ran / "one").rglob("*") if path.is_file())
    names = {path.name for path in files}
    assert {"timeline.json", "timeline.svg", "kvd-1.pcapng", "kvd-2.pcapng", "provisioner.pcapng"} <= names
    for path in files:
        if path.name != "host.json":
            assert (ran / "one" / path).read_bytes() == (ran / "two" / path).read_bytes(), path


def test_new_machines_stand_in_the_tables_and_their_requests_are_followed(ran: Path):
    document = json.loads((ran / "one" / "summary.json").read_text())["clusters"][0]
    assert [node["name"] for node in document["nodes"]] == ["front", "kvd-1", "kvd-2"]
    assert document["lost"] == 0
    with np.load(ran / "one" / "small" / "requests.npz") as columns:
        parts = {name: columns[name] for name in columns.files if "." in name}
        assert (sum(parts.values()) == columns["latency_ps"]).all()
        there = [sum(v for name, v in parts.items() if name.startswith(f"kvd-{k}.")) > 0 for k in (1, 2)]
    assert (there[0] ^ there[1]).all()
    assert there[1].sum() > 20
    for node in document["nodes"]:
        assert sum(node["vcpu_cycles"]) == sum(sum(causes.values()) for causes in node["causes"].values())


def test_the_timeline_says_what_each_start_took_and_sums_up(ran: Path):
    document = json.loads((ran / "one" / "summary.json").read_text())["clusters"][0]
    timeline = json.loads((ran / "one" / "small" / "timeline.json").read_text())
    assert sum(each["sent"] for each in timeline["bins"]) == document["sent"]
    assert sum(each["answered"] for each in timeline["bins"]) == document["requests"]
    first, cold = timeline["starts"]
    assert (first["warm"], cold["warm"]) == (False, False)
    assert first["asked_ps"] < 0 < cold["asked_ps"]
    assert set(cold["parts_ps"]) == set(PARTS)
    assert cold["parts_ps"]["ask"] == PS_PER_MS // 10
    assert cold["parts_ps"]["firmware"] == 3 * PS_PER_MS // 10
    assert cold["parts_ps"]["image"] > cold["image_bytes"] * 800  # 10 Gbit/s
    assert cold["why"] == "freed"
    assert sum(cold["parts_ps"].values()) == cold["request_ps"] - cold["asked_ps"]
    assert max(each["serving"] for each in timeline["bins"]) == 3
    assert timeline["bins"][-1]["serving"] == 2
    picture = ElementTree.parse(ran / "one" / "small" / "timeline.svg")
    texts = {element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"kvd-1", "kvd-2", "firmware", "sent", "answered", "powered", "serving"} <= texts


def shortened(name: str, steps: tuple[tuple[float, float], ...], arguments: str = "") -> ClusterRun:
    """An example with less load, and untimed."""
    cluster = read_cluster(EXAMPLES / f"{name}.toml")
    load = msgspec.structs.replace(cluster.load, steps=steps, keys=40, warmup=10)
    front = cluster.nodes[0]
    if arguments:
        front = msgspec.structs.replace(front, arguments=tuple(arguments.split()))
    return run_cluster(msgspec.structs.replace(cluster, nodes=(front,), load=load, timing="functional")).run


@pytest.mark.parametrize("name", ["cold", "warm"])
def test_a_load_that_grows_gets_back_ends(name: str):
    run = shortened(name, ((0.0, 20_000.0), (1000.0, 500_000.0), (2500.0, 20_000.0), (16_000.0, 0.0)))
    assert run.answers.get("wrong", 0) == 0
    grown = [start for start in run.timeline.starts if start.asked_ps is not None and start.asked_ps > 0]
    assert grown
    took = [sum(start.parts_ps.values()) for start in grown if "first request" in start.parts_ps]
    assert all(time < 2 * PS_PER_MS if name == "warm" else 10 * PS_PER_MS < time < 13 * PS_PER_MS for time in took)
    assert took
    if name == "warm":
        assert all(start.warm and sum(start.parts_ps[part] for part in PARTS[:4]) == 0 for start in grown)


def test_a_back_end_that_dies_is_replaced_from_the_warm_pool():
    run = shortened("linux_front", ((0.0, 40_000.0), (20_000.0, 0.0)), "-t 2 --pool kvd --min 2 --max 2 --health 1000")
    assert list(run.killed) == ["kvd-1"]
    assert run.answers.get("refused", 0) + run.lost > 0
    assert run.answers.get("wrong", 0) == 0
    replaced = [start for start in run.timeline.starts if start.asked_ps is not None and start.asked_ps > run.killed["kvd-1"]]
    assert len(replaced) == 1
    assert replaced[0].warm
    last = run.timeline.bins[-5:]
    assert sum(each.sent for each in last) == sum(each.answered for each in last) > 0
    assert sum(each.refused for each in last) == 0


def test_64_machines_in_one_world():
    """As many as there can be, the last of them asked for while the run goes on: fewer requests than the example's."""
    run = shortened("sixty_four", ((0.0, 30_000.0), (5_000.0, 0.0)), "-t 2 --pool kvd --min 63")
    assert len(run.nodes) == 64
    assert len({start.number for start in run.timeline.starts}) == 63
    assert run.lost == 0
    assert sum(name.startswith("kvd-") for name in {node.name for node in run.nodes}) == 63


def test_an_application_allocates_nodes_by_futures_and_frees_them():
    """Of four wishes three are granted, warm or cold, each when its node has joined gpos; then all are given back."""
    cluster = msgspec.structs.replace(read_cluster(EXAMPLES / "allocate.toml"), timing="functional")
    followed = follow_cluster(cluster, "grow", "grow: ", "grow: done", limit_ms=200.0)
    assert followed.ended
    lines = [step.line for step in followed.steps]
    joined = [line for line in lines if "has joined after" in line]
    assert sorted(line.split()[1] for line in joined) == ["2", "3", "4"]
    assert [line.split()[-1] for line in joined] == ["warm", "cold", "cold"]
    assert next(line for line in lines if "no machine" in line).endswith("us: all 3 machines of kind kvd are on")
    assert sum("is freed after" in line for line in lines) == 3
    waits_us = [int(line.split()[5]) for line in joined]
    assert waits_us[0] < 1000 < 9000 < waits_us[1] <= waits_us[2] < 15_000
    on_gpos = [line for _, node, line in followed.console if node == "gpos"]
    assert [line for line in on_gpos if "was freed" in line] == [f"gpos: kvd-{k} was freed" for k in (1, 2, 3)]
    assert followed.steps[-1].machines == 2
