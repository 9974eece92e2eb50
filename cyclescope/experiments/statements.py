# SPDX-License-Identifier: GPL-2.0-or-later
"""Our headline statements, as data: each is one number of a few runs, and the side of a bound on which it lies.

A statement is made of figures: FIGURES of a personality's run in a scenario. A scenario is the comparison under another load. So
whether a statement holds is computed, never remembered, and can be asked of any table of a processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from cyclescope.config import Hardware, Load
from cyclescope.report.chronos import KERNEL, chronos_rows, percentile_ns
from cyclescope.result import Run


def _kernel_ns(run: Run) -> float:
    return sum(row.mean_ns for row in chronos_rows(run) if row.group == KERNEL)


def _row_ns(name: str) -> Callable[[Run], float]:
    return lambda run: next(row.mean_ns for row in chronos_rows(run) if row.name == name)


def _share(*components: str) -> Callable[[Run], float]:
    return lambda run: sum(sum(run.cycles.get(name, {}).values()) for name in components) / run.busy_cycles


FIGURES: Mapping[str, Callable[[Run], float]] = MappingProxyType(
    {
        "mean_ns": lambda run: float(run.latency_ps.mean()) / 1000.0,
        "p99_ns": lambda run: percentile_ns(run.latency_ps, 99.0),
        "busy_cycles": lambda run: run.busy_cycles / run.latency_ps.size,
        "capacity_rps": lambda run: run.capacity_rps,
        "kernel_ns": _kernel_ns,
        "running_ns": _row_ns("Running"),
        "application_ns": _row_ns("Application"),
        "wakeup_ns": _row_ns("Processor wake-up"),
        "lock_share": _share("lock"),
        "crossing_share": _share("syscall", "copy"),
    }
)
"""Of one run; shares are of its busy cycles."""


@dataclass(frozen=True)
class Scenario:
    """A load, as changes to the comparison's, and the personalities that its statements need."""

    text: str
    personalities: tuple[str, ...] = ("linux_like", "libos")
    cpus: int | None = None
    closed: int | None = None
    load: float | None = None
    locks: str | None = None

    def applied(self, hardware: Hardware, load: Load) -> tuple[Hardware, Load]:
        """The comparison's hardware and load, changed."""
        changes = {name: value for name in ("closed", "load", "locks") if (value := getattr(self, name)) is not None}
        if self.cpus is not None:
            hardware = msgspec.structs.replace(hardware, cpus=self.cpus)
        return hardware, msgspec.structs.replace(load, **changes)


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        "loaded": Scenario("the comparison as it is"),
        "idle": Scenario("one request at a time", closed=1),
        "locks1": Scenario("one global lock, 1 vCPU, at 90 % of capacity", ("linux_like",), 1, load=0.9, locks="global"),
        "locks4": Scenario("one global lock, 4 vCPUs, at 90 % of capacity", ("linux_like",), 4, load=0.9, locks="global"),
    }
)


@dataclass(frozen=True)
class Figure:
    """FIGURES[name] of that personality's run in that scenario."""

    scenario: str
    personality: str
    name: str


@dataclass(frozen=True)
class Statement:
    """`text` holds when top / bottom (or top alone) lies on the `side` of `bound`."""

    text: str
    top: Figure
    bottom: Figure | None
    side: str
    bound: float

    def value(self, figures: Mapping[Figure, float]) -> float:
        """The number it is about; infinite when the bottom is 0."""
        top = figures[self.top]
        if self.bottom is None:
            return top
        bottom = figures[self.bottom]
        return top / bottom if bottom else float("inf")

    def holds(self, figures: Mapping[Figure, float]) -> bool:
        """Whether it is true of them."""
        value = self.value(figures)
        return value < self.bound if self.side == "below" else value > self.bound


def _ratio(scenario: str, name: str) -> tuple[Figure, Figure]:
    return Figure(scenario, "libos", name), Figure(scenario, "linux_like", name)


def _within(scenario: str, personality: str, top: str, bottom: str) -> tuple[Figure, Figure]:
    return Figure(scenario, personality, top), Figure(scenario, personality, bottom)


STATEMENTS: tuple[Statement, ...] = (
    Statement("libos's mean latency is below linux_like's", *_ratio("loaded", "mean_ns"), "below", 1.0),
    Statement("libos's 99th percentile is below linux_like's", *_ratio("loaded", "p99_ns"), "below", 1.0),
    Statement("so is its mean with one request at a time", *_ratio("idle", "mean_ns"), "below", 1.0),
    Statement("libos takes less than half of linux_like's busy cycles", *_ratio("loaded", "busy_cycles"), "below", 0.5),
    Statement("libos's capacity is more than twice linux_like's", *_ratio("loaded", "capacity_rps"), "above", 2.0),
    Statement(
        "linux_like's kernel takes over five times the application's time",
        *_within("loaded", "linux_like", "kernel_ns", "application_ns"), "above", 5.0,
    ),
    Statement(
        "ring crossings and copies are under a quarter of linux_like's busy cycles",
        Figure("loaded", "linux_like", "crossing_share"), None, "below", 0.25,
    ),
    Statement(
        "linux_like's lock share of busy cycles grows from 1 to 4 vCPUs",
        Figure("locks4", "linux_like", "lock_share"), Figure("locks1", "linux_like", "lock_share"), "above", 1.0,
    ),
    Statement(
        "idle, waking the processor costs libos more than running its kernel",
        *_within("idle", "libos", "wakeup_ns", "running_ns"), "above", 1.0,
    ),
    Statement(
        "idle, waking the processor costs linux_like more than running its kernel",
        *_within("idle", "linux_like", "wakeup_ns", "running_ns"), "above", 1.0,
    ),
)  # fmt: skip
