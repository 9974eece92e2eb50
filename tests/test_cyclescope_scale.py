# SPDX-License-Identifier: GPL-2.0-or-later
"""Scaling over vCPUs: its three loads, its sums, its picture; and the names of personalities with another server."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from cyclescope.cli import run_cli
from cyclescope.config import Hardware, Load
from cyclescope.experiments.compare import compare, server
from cyclescope.report.svg import Line, line_chart, panels
from emu.errors import ConfigError
from personalities.base import get_personality

LOAD = ["--requests", "300", "--warmup", "50", "--keys", "100"]
SCALE = ["scale", "--personality", "linux_like", *LOAD, "--timing", "fast", "--quiet"]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("scale") / "run"
    assert run_cli([*SCALE, "--cpus", "1,4", "--locks", "global", "--jobs", "2", "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"summary.json", "scale.svg"}
    ElementTree.fromstring((out / "scale.svg").read_text())
    return dict(msgspec.json.decode((out / "summary.json").read_bytes()))


def test_one_machine_a_personality_and_count(document: dict[str, Any]) -> None:
    assert [(each["personality"], each["cpus"]) for each in document["machines"]] == [("linux_like", 1), ("linux_like", 4)]
    for machine in document["machines"]:
        assert [machine[phase]["run"]["requests"] for phase in ("one", "full", "near")] == [300] * 3
        assert len(machine["full"]["run"]["vcpus"]) == machine["cpus"]


def test_the_sole_vcpu_never_waits_for_a_lock_and_four_do(document: dict[str, Any]) -> None:
    alone, four = (machine["full"]["figures"] for machine in document["machines"])
    assert alone["lock_wait_ns"] == alone["lock_spin_share"] == alone["coherence_share"] == 0
    assert four["lock_wait_ns"] > 0
    assert four["lock_share"] > four["lock_spin_share"] > 0
    assert four["coherence_share"] > 0


def test_full_is_busy_and_one_is_not(document: dict[str, Any]) -> None:
    for machine in document["machines"]:
        one, full, near = (machine[phase]["figures"] for phase in ("one", "full", "near"))
        assert one["busy"] < 0.85 * full["busy"]
        assert full["busy"] > 0.8
        assert near["busy"] < full["busy"]
        assert full["rate_rps"] == machine["capacity_rps"] > 1.3 * one["rate_rps"]
        assert near["rate_rps"] == pytest.approx(0.9 * machine["capacity_rps"])


def test_components_and_causes_sum_to_the_busy_cycles(document: dict[str, Any]) -> None:
    for machine in document["machines"]:
        for phase in ("one", "full", "near"):
            figures = machine[phase]["figures"]
            assert sum(each["cycles"] for each in figures["components"].values()) == pytest.approx(figures["cycles"])
            assert sum(figures["causes"].values()) == pytest.approx(figures["cycles"])
            assert sum(each["instructions"] for each in figures["components"].values()) > figures["instructions"] - 1e-6


def test_one_is_what_compare_measures(document: dict[str, Any]) -> None:
    hardware = Hardware(cpus=1, link_bps=100_000_000_000)
    load = Load(requests=300, warmup=50, keys=100, flows=256, locks="global", closed=1)
    _, (outcome,) = compare([get_personality("linux_like")], hardware, load, timing="fast")
    one = document["machines"][0]["one"]["figures"]
    assert one["mean_ns"] == float(outcome.run.latency_ps.mean()) / 1000
    assert one["cycles"] == outcome.run.busy_cycles / 300


def test_processes_change_nothing(document: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    assert run_cli([*SCALE, "--cpus", "1,4", "--locks", "global", "--jobs", "1", "--json", str(file)]) == 0
    assert {**msgspec.json.decode(file.read_bytes()), "versions": document["versions"]} == document


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--cpus", "2,2"], "rising"),
        (["--cpus", "a"], "--cpus is 'a'"),
        (["--cpus", "1,99"], "give 1 to 16 vCPUs"),
        (["--load", "0"], "--load is 0.0"),
        (["--svg", "/nowhere/a.svg"], "cannot be written"),
    ],
)
def test_nonsense(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([*SCALE, *words]) == 2
    assert reason in capsys.readouterr().err


def test_a_server_of_one_s_own_is_part_of_the_name() -> None:
    linux = get_personality("linux:memcached+unmitigated")
    assert (linux.name, linux.server) == ("linux:memcached+unmitigated", "memcached")
    assert linux.arguments_for("memcached", 3, 11211) == ["-u", "root", "-t", "3", "-U", "11211"]
    for name, reason in (
        ("libos:memcached", "not known to serve with 'memcached'"), ("linux:", "not known"),
        ("linux:memcached+pin", "does not know"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=reason):
            get_personality(name)
    with pytest.raises(ConfigError, match="--locks is kvd's"):
        server(linux, Hardware(), Load(locks="global"))


def test_a_linear_scale_begins_at_nought_and_holds_everything() -> None:
    chart = line_chart("t", "x", "y", [Line("a", "#000000", [(1.0, 0.0), (8.0, 7.0)])], [(1.0, "1"), (8.0, "8")], linear=True)
    drawn = ElementTree.fromstring(panels([chart, chart, chart], 2))
    assert [(each.get("x"), each.get("y")) for each in drawn] == [("0", "0"), ("760", "0"), ("0", "420")]
    first = next(iter(drawn.iter("{http://www.w3.org/2000/svg}polyline"))).get("points") or ""
    heights = [float(point.split(",")[1]) for point in first.split()]
    assert heights[0] == 360.0  # the bottom
    assert 46.0 < heights[1] < 360.0
