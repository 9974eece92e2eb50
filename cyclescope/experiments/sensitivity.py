# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of our statements survive what we do not know: every *assumed* row of the processor table at half and at double.

Each variation is the whole set of scenarios once more, as `compare --set ROW=x0.5` would run them, capacity and offered load
included. The same scenarios with other seeds are the yardstick: a row that moves a figure less than seeds do moves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from cyclescope.config import DEFAULT_TIMING, Hardware, Load
from cyclescope.experiments.phases import Progress, no_progress
from cyclescope.experiments.seeds import Comparison, run_comparison
from cyclescope.experiments.statements import FIGURES, SCENARIOS, STATEMENTS, Figure, Scenario, Statement
from cyclescope.experiments.workers import run_all
from cyclescope.report.document import run_document
from emu.uarch.changes import scale
from emu.uarch.table import Grade, Row
from emu.uarch.table import load as load_table
from personalities.base import get_personality

FACTORS = (Fraction(1, 2), Fraction(2))
FURTHER_SEEDS = 4


@dataclass(frozen=True)
class Variation:
    """One set of inputs: a row at a factor, or another seed, or (neither) the baseline."""

    row: str | None = None
    factor: Fraction | None = None
    value: int | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        if self.row is not None and self.factor is not None:
            return f"{self.row}=x{float(self.factor):g}"
        return "baseline" if self.seed is None else f"seed {self.seed}"


@dataclass(frozen=True)
class Found:
    """What a variation gave: its figures, and a digest of everything its runs found."""

    variation: Variation
    figures: dict[Figure, float]
    digest: str


@dataclass(frozen=True)
class Verdict:
    """A statement over the baseline and all rows' variations: its value there, its extremes and who caused them."""

    statement: Statement
    value: float
    low: tuple[float, str]
    high: tuple[float, str]
    holds: bool
    broken_by: tuple[str, ...]
    """Variations under which its truth is another than at the baseline."""
    seeds: tuple[float, float]
    """Its extremes over the further seeds."""

    @property
    def survives(self) -> bool:
        return not self.broken_by


@dataclass(frozen=True)
class Sensitivity:
    """The whole experiment. `unchanged` rows have no half or double that differs from their value (0)."""

    rows: tuple[Row, ...]
    baseline: Found
    varied: tuple[Found, ...]
    seeds: tuple[Found, ...]
    unchanged: tuple[str, ...]

    def verdicts(self, statements: Sequence[Statement] = STATEMENTS) -> list[Verdict]:
        return [self._verdict(statement) for statement in statements]

    def _verdict(self, statement: Statement) -> Verdict:
        all_found = (self.baseline, *self.varied)
        values = [(statement.value(found.figures), found.variation.name) for found in all_found]
        holds = statement.holds(self.baseline.figures)
        seeds = [statement.value(found.figures) for found in self.seeds] or [values[0][0]]
        return Verdict(
            statement,
            values[0][0],
            min(values, key=lambda v: v[0]),
            max(values, key=lambda v: v[0]),
            holds,
            tuple(f.variation.name for f in self.varied if statement.holds(f.figures) != holds),
            (min(seeds), max(seeds)),
        )

    def untouched(self) -> list[str]:
        """Rows whose half and double gave, to the last digit, what the table's value gives: no run touches them."""
        touched = {found.variation.row for found in self.varied if found.digest != self.baseline.digest}
        return [row.name for row in self.rows if row.name not in touched and row.name not in self.unchanged]

    def change(self, found: Found, figure: Figure) -> float:
        """Relative to the baseline."""
        base = self.baseline.figures[figure]
        return found.figures[figure] / base - 1.0 if base else 0.0

    def seed_spread(self, figure: Figure) -> float:
        """The largest change by another seed, whatever its sign."""
        return max((abs(self.change(found, figure)) for found in self.seeds), default=0.0)


def sensitivity(
    hardware: Hardware,
    load: Load,
    *,
    rows: Sequence[str] | None = None,
    timing: str = DEFAULT_TIMING,
    seeds: int = FURTHER_SEEDS,
    scenarios: Mapping[str, Scenario] = SCENARIOS,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> Sensitivity:
    """Varies the assumed rows of `hardware.uarch`, or those named; `hardware.rows` hold throughout.

    Raises:
        ConfigError, GuestError: as `compare`.
    """
    hardware.check()
    load.check()
    table = load_table(hardware.uarch).varied(hardware.rows)
    chosen = [row for row in table.rows if row.grade is Grade.ASSUMED] if rows is None else [table[name] for name in rows]
    variations = [Variation()]
    for row in chosen:
        variations += [Variation(row.name, f, v) for f in FACTORS if (v := scale(row.value, f)) != row.value]
    variations += [Variation(seed=load.seed + 1 + n) for n in range(seeds)]
    wanted = [_wanted(v, name, scenario, hardware, load, timing) for v in variations for name, scenario in scenarios.items()]
    pieces = iter(run_all(_figures, wanted, "sensitivity", jobs, progress))
    found = [_joined(variation, [next(pieces) for _ in scenarios]) for variation in variations]
    moved = {variation.row for variation in variations}
    return Sensitivity(
        rows=tuple(chosen),
        baseline=found[0],
        varied=tuple(f for f in found if f.variation.row is not None),
        seeds=tuple(f for f in found if f.variation.seed is not None),
        unchanged=tuple(row.name for row in chosen if row.name not in moved),
    )


Piece = tuple[dict[Figure, float], str]


@dataclass(frozen=True)
class _Wanted:
    scenario: str
    comparison: Comparison


def _wanted(v: Variation, name: str, scenario: Scenario, hardware: Hardware, load: Load, timing: str) -> _Wanted:
    if v.row is not None and v.value is not None:
        rows = dict(sorted({**hardware.rows, v.row: v.value}.items()))
        hardware = msgspec.structs.replace(hardware, rows=rows)
    if v.seed is not None:
        load = msgspec.structs.replace(load, seed=v.seed)
    hardware, load = scenario.applied(hardware, load)
    personalities = tuple(get_personality(each) for each in scenario.personalities)
    return _Wanted(name, Comparison(personalities, hardware, load, timing))


def _figures(wanted: _Wanted, progress: Progress) -> Piece:
    _, outcomes = run_comparison(wanted.comparison, progress)
    runs = [outcome.run for outcome in outcomes]
    figures = {Figure(wanted.scenario, run.personality, name): figure(run) for run in runs for name, figure in FIGURES.items()}
    return figures, hashlib.sha256(msgspec.json.encode([run_document(run) for run in runs], order="sorted")).hexdigest()


def _joined(variation: Variation, pieces: Sequence[Piece]) -> Found:
    figures: dict[Figure, float] = {}
    for some, _ in pieces:
        figures.update(some)
    return Found(variation, figures, " ".join(digest for _, digest in pieces))


def headline_figures(personalities: Sequence[str] = ("linux_like", "libos")) -> Mapping[str, Figure]:
    """The figures by which rows are ranked: label -> figure."""
    return {f"{p} {label}": Figure("loaded", p, name) for p in personalities for label, name in RANKED.items()}


RANKED = {"mean": "mean_ns", "busy": "busy_cycles"}
