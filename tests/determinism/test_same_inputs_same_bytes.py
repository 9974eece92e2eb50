# SPDX-License-Identifier: GPL-2.0-or-later
"""Same inputs, same bytes; other inputs, other bytes; and a quantum that is only a matter of speed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.determinism.compared import PERSONALITIES, RUNS, arguments, compare_into, compare_json, contents

CONSOLE_SCRIPT = "from cyclescope.cli import main; main()"
NEAR_SATURATION = 0.9
SEEDS = (1, 2)
QUANTUM_MOVES = 0.05  # of mean latency, at most


First = tuple[str, str, dict[str, bytes]]


@pytest.fixture(scope="module", params=RUNS, ids="-".join)
def first(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> First:
    """A personality's name, a timing level and the files of one run."""
    name, level = request.param
    folder = tmp_path_factory.mktemp("first") / "run"
    return name, level, contents(compare_into(folder, name, "--timing", level))


def test_again_in_this_process(first: First, tmp_path: Path) -> None:
    name, level, files = first
    again = contents(compare_into(tmp_path / "again", name, "--timing", level))
    assert sorted(files) == sorted(again)
    assert "summary.json" in files
    assert [file for file in files if files[file] != again[file]] == []


def test_again_in_a_process_with_other_hashes(first: First, tmp_path: Path) -> None:
    """Another process lays out memory anew, and orders sets of strings differently."""
    name, level, files = first
    options = arguments(name, "--timing", level, "--out", str(tmp_path / "again"))
    command = [sys.executable, "-c", CONSOLE_SCRIPT, *options]
    done = subprocess.run(command, capture_output=True, timeout=120, env={**os.environ, "PYTHONHASHSEED": "12345"})
    assert (done.returncode, done.stderr) == (0, b"")
    again = contents(tmp_path / "again")
    assert sorted(files) == sorted(again)
    assert [file for file in files if files[file] != again[file]] == []


def test_another_seed_differs(first: First, tmp_path: Path) -> None:
    name, level, files = first
    other = contents(compare_into(tmp_path / "other", name, "--timing", level, "--seed", "2"))
    for file in ("summary.json", f"{name}/requests.npz", f"{name}/wire.pcapng", f"{name}/flame.collapsed"):
        assert files[file] != other[file], file


@pytest.mark.slow
@pytest.mark.parametrize("name", PERSONALITIES)
def test_quantum_is_a_matter_of_speed(name: str, tmp_path: Path) -> None:
    """Near saturation, where a small error in capacity is a large one in latency; at one rate: only the quantum differs.

    50 is shorter than what vCPUs that exchange lines are held to, so it differs from the others everywhere.
    """
    file = tmp_path / "run.json"
    rate = compare_json(file, name, "--load", str(NEAR_SATURATION), requests=2_000)["rate_rps"]

    def mean_latency(quantum: int) -> float:
        options = ("--rate", str(rate), "--quantum", str(quantum), "--seed")
        runs = [compare_json(file, name, *options, str(seed), requests=5_000) for seed in SEEDS]
        return sum(run["latency_ns"]["mean"] for run in runs) / len(runs)

    mean = {quantum: mean_latency(quantum) for quantum in (50, 200, 1_000)}
    assert mean[50] != mean[1_000], "the option does nothing"
    assert mean[1_000] == pytest.approx(mean[200], rel=QUANTUM_MOVES)
    assert mean[1_000] == pytest.approx(mean[50], rel=QUANTUM_MOVES)
