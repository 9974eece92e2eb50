# SPDX-License-Identifier: GPL-2.0-or-later
"""Comparisons over several seeds: the samples are those of single runs, the causes sum, the number of processes changes nothing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from cyclescope.cli import run_cli
from cyclescope.experiments.phases import Progress
from cyclescope.experiments.workers import run_all
from cyclescope.report.causes import CauseStack, print_causes
from emu.errors import ConfigError, EmuBug
from tests.determinism.compared import arguments, compare_json, contents

LIBOS = ("libos", "--cpus", "1")


def seeds_json(file: Path, *options: str) -> dict[str, Any]:
    assert run_cli([*arguments(*LIBOS, *options), "--json", str(file)]) == 0
    return dict(msgspec.json.decode(file.read_bytes()))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return seeds_json(tmp_path_factory.mktemp("seeds") / "a.json", "--seeds", "1..3", "--jobs", "1")


def test_samples_are_those_of_single_runs(document: dict[str, Any], tmp_path: Path) -> None:
    (found,) = document["personalities"]
    for place, seed in enumerate(document["seeds"]):
        alone = compare_json(tmp_path / "run.json", *LIBOS, "--seed", str(seed), requests=300)
        del alone["mips"]
        assert alone == document["comparisons"][place]["runs"][0]
        assert found["mean_ns"]["samples"][place] == alone["latency_ns"]["mean"]
        assert found["p99_ns"]["samples"][place] == alone["latency_ns"]["p99"]


def test_rows_sum_to_the_mean(document: dict[str, Any]) -> None:
    (found,) = document["personalities"]
    assert sum(row["mean_ns"]["mean"] for row in found["rows"]) == pytest.approx(found["mean_ns"]["mean"], rel=1e-9)
    assert found["mean_ns"]["half_width"] > 0


def test_causes_sum_to_busy_cycles(document: dict[str, Any]) -> None:
    (found,) = document["personalities"]
    runs = [comparison["runs"][0] for comparison in document["comparisons"]]
    busy = sum(run["cycles_total"] - run["cycles"].get("idle", 0) for run in runs)
    assert sum(sum(causes.values()) for causes in found["causes"].values()) == busy
    assert found["requests"] == sum(run["requests"] for run in runs)


def test_processes_change_nothing(document: dict[str, Any], tmp_path: Path) -> None:
    assert seeds_json(tmp_path / "b.json", "--seeds", "1..3", "--jobs", "2") == document


def test_run_directory_of_seeds(tmp_path: Path) -> None:
    for name, jobs in (("one", "1"), ("two", "2")):
        options = ("--seeds", "2", "--jobs", jobs, "--out", str(tmp_path / name))
        assert run_cli(arguments(*LIBOS, *options)) == 0
    files = {name: path.read_bytes() for name, path in _files(tmp_path / "one").items()}
    assert "summary.json" in files
    assert "seed-2/libos/requests.npz" in files
    assert files == {name: path.read_bytes() for name, path in _files(tmp_path / "two").items()}
    single = tmp_path / "single"
    assert run_cli(arguments(*LIBOS, "--seed", "2", "--out", str(single))) == 0
    for name, data in contents(single).items():
        assert name == "summary.json" or files[f"seed-2/{name}"] == data


def _files(folder: Path) -> dict[str, Path]:
    return {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "host.json"}


def test_narrow_page_keeps_every_cycle() -> None:
    stack = CauseStack("x", {"app": {"retiring": 700, "l2": 20, "dram": 30, "device": 5}, "ip": {"retiring": 45}}, 1, {})
    for width in (40, 160):
        console = Console(width=width, record=True, file=io.StringIO())
        print_causes(console, [stack])
        last = [line for line in console.export_text().splitlines() if line.strip()][-1].split()
        cells = [0 if cell == "-" else float(cell) for cell in last[1:]]
        assert sum(cells[:-1]) == cells[-1] == stack.total == 800


def test_one_seed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(arguments(*LIBOS, "--seeds", "1")) == 2
    assert "with one there is no interval" in capsys.readouterr().err


# ---- the runner


def double(number: int, progress: Progress) -> int:
    if number < 0:
        raise ConfigError(f"{number} is below 0")
    return 2 * number


def vanish(number: int, progress: Progress) -> int:
    raise SystemExit(3)


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_results_in_the_tasks_order(jobs: int) -> None:
    assert run_all(double, [3, 1, 2], "doubling", jobs) == [6, 2, 4]


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_failure_is_told(jobs: int) -> None:
    with pytest.raises(ConfigError, match="-1 is below 0"):
        run_all(double, [3, -1, -2, 4], "doubling", jobs)


def test_a_process_that_vanishes_is_told() -> None:
    with pytest.raises(EmuBug, match="doubling: a process ended with status 3"):
        run_all(vanish, [1, 2], "doubling", 2)


def test_progress_counts_tasks() -> None:
    seen: list[tuple[int, int]] = []
    run_all(double, [1, 2], "doubling", 1, lambda what, done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2)]
