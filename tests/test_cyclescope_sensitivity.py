# SPDX-License-Identifier: GPL-2.0-or-later
"""Sensitivity: what a verdict is, by hand; and that varying a row is what `--set` does, on a machine."""

from __future__ import annotations

import io
from fractions import Fraction

import pytest
from rich.console import Console

from cyclescope.cli import run_cli
from cyclescope.config import Hardware, Load
from cyclescope.experiments.phases import no_progress
from cyclescope.experiments.seeds import Comparison, run_comparison
from cyclescope.experiments.sensitivity import Found, Sensitivity, Variation, sensitivity
from cyclescope.experiments.statements import FIGURES, SCENARIOS, STATEMENTS, Figure, Scenario, Statement
from cyclescope.report.sensitivities import print_sensitivity
from emu.uarch.table import load as load_table
from personalities.base import get_personality

A, B = Figure("s", "p", "a"), Figure("s", "p", "b")
RATIO = Statement("a is below b", A, B, "below", 1.0)
TABLE = load_table("skylake_sp")
ROWS = (TABLE["iret"], TABLE["far_transfer"])


def found(a: float, b: float, digest: str, row: str | None = None, factor: int = 2, seed: int | None = None) -> Found:
    value = None if row is None else 1
    return Found(Variation(row, Fraction(factor) if row else None, value, seed), {A: a, B: b}, digest)


def result(*varied: Found, seeds: tuple[Found, ...] = ()) -> Sensitivity:
    return Sensitivity(ROWS, found(1, 2, "base"), varied, seeds, ())


def test_extremes_name_who_caused_them_and_truth_that_changes_is_told() -> None:
    tried = result(found(1, 4, "x", "iret"), found(3, 2, "y", "far_transfer"))
    (verdict,) = tried.verdicts([RATIO])
    assert (verdict.value, verdict.low, verdict.high) == (0.5, (0.25, "iret=x2"), (1.5, "far_transfer=x2"))
    assert verdict.holds
    assert verdict.broken_by == ("far_transfer=x2",)
    assert not verdict.survives


def test_what_is_false_throughout_survives_as_false() -> None:
    (verdict,) = result(found(1, 4, "x", "iret")).verdicts([Statement("a is above b", A, B, "above", 1.0)])
    assert (verdict.holds, verdict.survives) == (False, True)


def test_a_row_that_changes_no_digit_is_untouched() -> None:
    assert result(found(1, 2, "x", "iret"), found(1, 2, "base", "far_transfer")).untouched() == ["far_transfer"]


def test_seeds_are_the_yardstick_and_no_variation() -> None:
    tried = result(seeds=(found(1.5, 2, "s", seed=2), found(0.9, 2, "t", seed=3)))
    assert tried.seed_spread(A) == pytest.approx(0.5)
    (verdict,) = tried.verdicts([RATIO])
    assert verdict.seeds == (0.45, 0.75)
    assert verdict.high == (0.5, "baseline")


def test_every_statement_is_about_figures_that_its_scenario_has() -> None:
    for statement in STATEMENTS:
        for figure in (statement.top, statement.bottom):
            if figure is not None:
                assert figure.personality in SCENARIOS[figure.scenario].personalities
                assert figure.name in FIGURES
        assert statement.side in ("below", "above")


HARDWARE, LOAD = Hardware(cpus=1), Load(requests=150, warmup=20, keys=100, closed=1)
ONLY = {"loaded": Scenario("one at a time", ("libos",), closed=1)}


@pytest.fixture(scope="module")
def small() -> Sensitivity:
    return sensitivity(HARDWARE, LOAD, rows=["iret", "far_transfer"], seeds=1, timing="fast", scenarios=ONLY)


def test_a_variation_is_what_set_gives(small: Sensitivity) -> None:
    dearer = Hardware(cpus=1, rows={"iret": 2 * TABLE["iret"].value})
    _, (outcome,) = run_comparison(Comparison((get_personality("libos"),), dearer, LOAD, "fast"), no_progress)
    (mine,) = [f for f in small.varied if f.variation.name == "iret=x2"]
    assert mine.figures[Figure("loaded", "libos", "busy_cycles")] == outcome.run.busy_cycles / outcome.run.latency_ps.size
    assert mine.figures != small.baseline.figures


def test_rows_that_no_run_reaches_are_said_so(small: Sensitivity) -> None:
    assert small.untouched() == ["far_transfer"]


def test_processes_change_nothing(small: Sensitivity) -> None:
    assert sensitivity(HARDWARE, LOAD, rows=["iret", "far_transfer"], seeds=1, timing="fast", scenarios=ONLY, jobs=2) == small


def test_printed(small: Sensitivity) -> None:
    base = {
        figure: 1.0 + number / 10
        for number, figure in enumerate(
            Figure(s, p, n) for s, scenario in SCENARIOS.items() for p in scenario.personalities for n in FIGURES
        )
    }
    made = Found(Variation("iret", Fraction(2), 500), {f: 2 * v for f, v in base.items()}, "x")
    console = Console(width=80, file=io.StringIO(), record=True)
    print_sensitivity(console, Sensitivity(ROWS, Found(Variation(), base, "b"), (made,), (), ()), "heading")
    text = console.export_text()
    assert "No run touches: far_transfer" in text
    assert "+100.0" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--row", "nosuch"], "--row nosuch: processor table skylake_sp has no such row"),
        (["--seeds", "-1"], "--seeds is -1"),
        (["--jobs", "-2"], "--jobs is -2"),
        (["--load", "9"], "--load is 9"),
    ],
)
def test_nonsense(options: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["sensitivity", "--quiet", *options]) == 2
    assert reason in capsys.readouterr().err
