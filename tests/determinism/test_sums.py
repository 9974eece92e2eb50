# SPDX-License-Identifier: GPL-2.0-or-later
"""The sums that must come out, recomputed from what a run directory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.determinism.compared import PERSONALITIES, RUNS, compare_into

UNATTRIBUTED = 0.01  # of cycles and of latency, at most
WAKE_UP_CYCLES = 5400  # hlt_exit and a quantum: at either end of the interval a vCPU may be on its way out of HLT
NOT_PARTS = {"token", "start_ps", "latency_ps"}


@pytest.fixture(scope="module", params=RUNS, ids="-".join)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory, of each personality at each timing level."""
    name, level = request.param
    return compare_into(tmp_path_factory.mktemp("sums") / "run", name, "--timing", level)


@pytest.fixture(scope="module")
def run(folder: Path) -> tuple[dict[str, Any], Any]:
    """The summary's run and the requests' columns."""
    (summary,) = msgspec.json.decode((folder / "summary.json").read_bytes())["runs"]
    with np.load(folder / summary["personality"] / "requests.npz", allow_pickle=False) as columns:
        return summary, dict(columns)


def test_parts_sum_to_each_requests_latency(run: tuple[dict[str, Any], Any]) -> None:
    summary, columns = run
    parts = {name: values for name, values in columns.items() if name not in NOT_PARTS and not name.startswith("cycles.")}
    assert parts
    assert all(name.startswith(("run.", "wait.")) for name in parts)
    assert all((values >= 0).all() for values in parts.values())
    assert columns["latency_ps"].size == summary["requests"] == 300
    assert np.array_equal(sum(parts.values()), columns["latency_ps"])


def test_requests_are_distinct_and_plausible(run: tuple[dict[str, Any], Any], request: pytest.FixtureRequest) -> None:
    summary, columns = run
    assert np.unique(columns["token"]).size == summary["requests"]
    assert (columns["latency_ps"] > 2_000_000).all(), "less than two passes through a 1 us switch"
    if "functional" not in request.node.name:  # where a guest may see an event 20 us late, and a neighbour claims the time
        assert (columns["run.app"] > 0).all(), "answered without the application"
    assert (summary["sent"], summary["lost"]) == (300, 0)


def test_mean_parts_sum_to_the_mean_latency(run: tuple[dict[str, Any], Any]) -> None:
    summary, columns = run
    total = sum(part["mean"] for part in summary["parts_ns"].values())
    assert total == pytest.approx(summary["latency_ns"]["mean"], rel=1e-9)
    assert summary["latency_ns"]["mean"] == pytest.approx(columns["latency_ps"].mean() / 1000, rel=1e-12)


def test_cycles_sum_to_the_vcpus_time(run: tuple[dict[str, Any], Any]) -> None:
    summary, _ = run
    assert sum(summary["cycles"].values()) == summary["cycles_total"]
    assert sum(vcpu["cycles"] for vcpu in summary["vcpus"]) == summary["cycles_total"]
    for vcpu in summary["vcpus"]:
        assert sum(vcpu["components"].values()) == vcpu["cycles"]
    for component, causes in summary["causes"].items():
        assert sum(causes.values()) == summary["cycles"][component]
    clocks = [vcpu["cycles"] for vcpu in summary["vcpus"]]
    assert max(clocks) - min(clocks) <= 2 * WAKE_UP_CYCLES, "vCPUs of one clock, over the same interval"


def test_flame_stacks_sum_to_the_cycles(run: tuple[dict[str, Any], Any], folder: Path) -> None:
    summary, _ = run
    totals: dict[str, int] = {}
    for line in (folder / summary["personality"] / "flame.collapsed").read_text().splitlines():
        stack, _, cycles = line.rpartition(" ")
        component = stack.split(";")[-2]
        totals[component] = totals.get(component, 0) + int(cycles)
    assert totals == {component: cycles for component, cycles in summary["cycles"].items() if cycles}


def test_next_to_nothing_is_unattributed(run: tuple[dict[str, Any], Any]) -> None:
    summary, columns = run
    assert summary["cycles"].get("unknown", 0) <= UNATTRIBUTED * summary["cycles_total"]
    nothing = np.zeros(1, np.int64)
    unattributed = sum(int(columns.get(part, nothing).sum()) for part in ("wait.unattributed", "run.unknown"))
    assert unattributed <= UNATTRIBUTED * columns["latency_ps"].sum()
    assert "other" not in {name.rpartition(".")[2] for name in summary["parts_ns"]} | set(summary["cycles"])


@pytest.mark.parametrize("name", PERSONALITIES)
def test_a_requests_cycles_by_cause_are_those_of_its_parts(name: str, tmp_path: Path) -> None:
    """At the detailed level: a request's causes sum to the cycles that ran for it, and those are its guest's `run` parts."""
    run = compare_into(tmp_path / "run", name, "--timing", "detailed", "--closed", "1", "--cpus", "1")
    requests = np.load(run / name / "requests.npz")
    devices = ("wire", "switch", "serialization", "nic", "dma", "irq_delivery")
    ran_ps = sum(requests[part] for part in requests if part.startswith("run.") and part[4:] not in devices)
    cycles = sum(requests[column] for column in requests if column.startswith("cycles."))
    assert (cycles > 0).all()
    assert abs(cycles * 400 - ran_ps).max() <= 400 * 100, "but for what a vCPU did after the answer had left, and rounding"
