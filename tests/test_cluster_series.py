# SPDX-License-Identifier: GPL-2.0-or-later
"""Many runs of one cluster: under faults that seeds draw, and with more and more nodes; and pictures of clusters."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from cyclescope.cli import run_cli
from cyclescope.cluster.check import check_cluster
from cyclescope.cluster.faultruns import drawn, fault_run
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.operator import Command
from cyclescope.cluster.records import judge
from cyclescope.cluster.truth import Truth
from cyclescope.report.faultruns import totals

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FAULTS = EXAMPLES / "faults" / "faults.toml"
ONE = '[[node]]\nname = "n"\npersonality = "libos"\nvcpus = 1\nmem = "64M"\n'
LOAD = "[load]\nrequests = 40\nwarmup = 10\nkeys = 20\nclosed = 1\n"


def test_a_seed_draws_faults_and_whom_it_kills():
    cluster = read_cluster(FAULTS)
    draws = [drawn(cluster, seed) for seed in range(1, 60)]
    assert draws == [drawn(cluster, seed) for seed in range(1, 60)]
    victims = {kill.node for draw in draws for kill in draw.kills}
    assert victims == {node.name for node in cluster.nodes}
    assert any(link.loss and link.duplicate and link.reorder for link in draws[0].links + draws[1].links)
    assert all(len(draw.kills) <= 2 for draw in draws)
    for draw in draws:
        check_cluster(draw)


def first_seed(kinds: set[str]) -> int:
    """The first that kills a node of each of those kinds, and nobody else, while requests are under way."""
    cluster = read_cluster(FAULTS)
    for seed in range(1, 200):
        kills = drawn(cluster, seed).kills
        if {kill.node.rstrip("0123456789") for kill in kills} == kinds and all(1_500 < kill.at_us < 5_000 for kill in kills):
            return seed
    raise AssertionError(kinds)


@pytest.mark.parametrize("kinds", [{"gpos", "back"}, {"recorder"}])
def test_under_faults_answers_are_true_and_the_living_serve_on(kinds: set[str]):
    found = fault_run(read_cluster(FAULTS), first_seed(kinds))
    assert found.complaints == []
    assert found.answers["hit"] > 100
    assert found.faults["lost"] or found.faults["down"]
    assert sum(found.afterwards.values()) - found.afterwards["lost"] > 10
    assert totals([found])["killed"] == dict.fromkeys(found.kills, 1)
    records = found.records
    assert records.acknowledged > 2
    if kinds == {"recorder"}:
        assert records.logged >= records.acknowledged
        assert set(records.lost) == set(found.kills)
        assert records.keys > 5
    else:
        assert set(records.lost) == {"recorder1", "recorder2"}


def asked(text: str, answer: str) -> Command:
    """A command and its answer."""
    return Command(1, text, 0, parts={0: answer.encode()}, answered_ps=1)


LOGS = "[    0.001000] recorder: ready\n[    0.002000] recorder: line 1\n"
CONSOLE = "net\nrecorder: ready\nrecorder: line 1\nrecorder: stored 2\nrecorder: kept 1\nrecorder: li"


@pytest.mark.parametrize(
    ("logs", "config", "complaint"),
    [
        (LOGS, "r.1=value 1 of r", ""),
        ("[gpos] r has joined\n" + LOGS, "a=b\nr.1=value 1 of r", ""),
        (LOGS.splitlines()[0], "r.1=value 1 of r", "r was told that 2 lines are stored, and its log has 1"),
        (LOGS.replace("line 1", "line 2"), "r.1=value 1 of r", "line 2 of r's log is 'recorder: line 2', and it printed"),
        (LOGS + LOGS, "r.1=value 1 of r", "line 3 of r's log is 'recorder: ready'"),
        (LOGS, "r.1=value 2 of r", "r.1=value 1 of r was acknowledged, and is not in the configuration"),
    ],
)
def test_records_are_held_against_what_was_acknowledged(logs: str, config: str, complaint: str):
    found, wrong = judge({"r": CONSOLE}, [asked("logs r", logs), asked("config", config)], {"r"}, True)
    assert found.acknowledged == 2
    assert [said.startswith(complaint) for said in wrong] == [True] * bool(complaint)


def test_a_gpos_that_lives_answers():
    silent = Command(1, "config", 0, given_up=True)
    assert judge({}, [silent], set(), True)[1] == ["gpos lives and did not answer: config"]
    assert judge({}, [silent], set(), False)[1] == []


def test_fault_runs_again_do_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    cluster = FAULTS.read_text().replace("requests = 300", "requests = 60")
    (tmp_path / "f.toml").write_text(cluster)
    where = tmp_path / "f.json"
    arguments = ["cluster", "faults", str(tmp_path / "f.toml"), "--seed", "7", "--runs", "1", "--again", "1", "--jobs", "1"]
    assert run_cli([*arguments, "--json", str(where), "--quiet"]) == 0
    assert "1 runs, all held: 60 requests sent" in capsys.readouterr().out
    assert json.loads(where.read_text())["runs"][0]["digest"]


def test_fault_runs_without_a_rate_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "f.toml").write_text(ONE + LOAD)
    assert run_cli(["cluster", "faults", str(tmp_path / "f.toml")]) == 2
    assert "fault runs need a rate, to know when requests are under way" in capsys.readouterr().err


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_of_fault_runs_are_those_that_a_cluster_may_have(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "f.toml").write_text(ONE + "[load]\nrate = 1e5\n")
    assert run_cli(["cluster", "faults", str(tmp_path / "f.toml"), "--runs", "1", "--seed", str(seed)]) == 2
    assert f"--seed is {seed}: give 0 or more" in capsys.readouterr().err


def test_a_value_that_nobody_stored_is_a_complaint(monkeypatch: pytest.MonkeyPatch):
    """A liar between the nodes: one letter of each answer's value is another."""
    cluster = msgspec.structs.replace(read_cluster(FAULTS), links=())
    small = msgspec.structs.replace(cluster, load=msgspec.structs.replace(cluster.load, requests=40))
    honest = Truth.answer

    def lied_to(self: Truth, index: int, answer: bytes, time_ps: int) -> None:
        honest(self, index, answer.replace(b"\r\nEND", b"?\r\nEND"), time_ps)

    monkeypatch.setattr(Truth, "answer", lied_to)
    assert any(complaint.startswith("a wrong answer: request") for complaint in fault_run(small, 5).complaints)


def test_nodes_grow_in_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "n.toml").write_text('[cluster]\ntiming = "fast"\n' + ONE + LOAD)
    where, picture = tmp_path / "n.json", tmp_path / "n.svg"
    options = ["--nodes", "1,2", "--jobs", "1", "--json", str(where), "--svg", str(picture), "--quiet"]
    assert run_cli(["cluster", "scale", str(tmp_path / "n.toml"), *options]) == 0
    one, two = json.loads(where.read_text())["sizes"]
    assert (one["nodes"], two["nodes"]) == (1, 2)
    assert 1.5 * one["full"]["rate_rps"] < two["full"]["rate_rps"] < 2.5 * one["full"]["rate_rps"]
    assert one["one"]["mean_ns"] > 1_000
    assert [size[phase]["lost"] for size in (one, two) for phase in ("one", "full", "near")] == [0] * 6
    ElementTree.fromstring(picture.read_text())
    assert "capacity" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        (ONE + LOAD, ["--nodes", "2,1"], "--nodes: give rising numbers of nodes"),
        (ONE + LOAD, ["--nodes", "1,99999999"], "--nodes: give rising numbers of nodes up to 64"),
        (ONE + LOAD, ["--nodes", "one"], "--nodes is 'one': give rising numbers"),
        (ONE + LOAD, ["--load", "1.5"], "--load is 1.5: give a share of the capacity"),
        (ONE + ONE.replace('"n"', '"m"') + LOAD, [], "2 nodes might grow in number; give one [[node]] of role back"),
        (ONE + 'ip = "10.0.2.20"\n' + LOAD, [], "n stands for many: give it no address"),
    ],
)
def test_what_cannot_grow_is_said(tmp_path: Path, text: str, options: list[str], sentence: str, capsys):
    (tmp_path / "n.toml").write_text(text)
    assert run_cli(["cluster", "scale", str(tmp_path / "n.toml"), *options]) == 2
    assert sentence in capsys.readouterr().err


def test_a_run_has_a_picture_and_the_example_in_python_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runpy.run_path(str(EXAMPLES / "clusters" / "cluster.py"))
    said = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in said[1:]] == ["between", "front", "back"]
    assert sum(float(line.split()[-2]) for line in said[1:]) == pytest.approx(float(said[0].split()[0]), abs=0.2)
    (tmp_path / "n.toml").write_text('[cluster]\ntiming = "functional"\n' + ONE + LOAD)
    assert run_cli(["cluster", "run", str(tmp_path / "n.toml"), "--svg", str(tmp_path / "n.svg"), "--quiet"]) == 0
    assert "between nodes" in (tmp_path / "n.svg").read_text()
