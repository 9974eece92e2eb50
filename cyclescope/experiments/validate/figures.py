# SPDX-License-Identifier: GPL-2.0-or-later
"""A figure beside its reference: what every validation returns."""

from __future__ import annotations

import re

import msgspec

from emu.uarch.table import Row, UarchTable

_RANGE = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?) ?(ns)?")


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure should be: from `low` to `high`, and `tolerance` of them beyond. None: no bound on that side."""

    low: float | None
    high: float | None
    source: str
    grade: str
    tolerance: float = 0.05
    slack: float = 0.0
    """In the figure's unit, besides the tolerance: for references near 0."""

    def deviation(self, value: float) -> float:
        """How far `value` is outside `low`..`high`, as a share of the end it passed; 0 inside."""
        if self.low is not None and value < self.low:
            return (value - self.low) / self.low
        if self.high is not None and value > self.high:
            return (value - self.high) / self.high if self.high else float("inf")
        return 0.0

    def holds(self, value: float) -> bool:
        """Whether `value` is within the bound and its tolerance."""
        low_enough = self.high is None or value <= self.high * (1 + self.tolerance) + self.slack
        return low_enough and (self.low is None or value >= self.low * (1 - self.tolerance) - self.slack)

    def text(self) -> str:
        """`54-56`, `>= 3`, `14`."""
        if self.low is None or self.high is None:
            return f"<= {self.high:,.8g}" if self.low is None else f">= {self.low:,.8g}"
        return f"{self.low:,.8g}" if self.low == self.high else f"{self.low:,.8g}-{self.high:,.8g}"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number.

    Attributes:
        param: what was varied, for points of a series (bytes, pages); None for a figure that stands alone.
        span: from the least to the greatest parameter of the points it sums up.
        parts: component -> cause -> cycles an operation, from the ledger, where the guest marked operations.
    """

    group: str
    name: str
    value: float
    unit: str
    bound: Bound | None = None
    param: int | None = None
    span: tuple[int, int] | None = None
    parts: dict[str, dict[str, float]] = {}

    @property
    def ok(self) -> bool:
        """False when a bound is missed."""
        return self.bound is None or self.bound.holds(self.value)

    def document(self) -> dict[str, object]:
        """For JSON."""
        reference = None
        if self.bound is not None:
            reference = msgspec.to_builtins(self.bound) | {"deviation": self.bound.deviation(self.value)}
        return {
            "group": self.group, "name": self.name, "value": self.value, "unit": self.unit, "ok": self.ok,
            "param": self.param, "reference": reference, "parts": self.parts,
        }  # fmt: skip


def row_bound(table: UarchTable, name: str, *, tolerance: float = 0.05, slack: float = 0.0) -> Bound:
    """What the processor table says: the range its source gives when the row's value lies in it, else the value. In cycles."""
    row = table[name]
    low, high = _range(row, table.hz) or (float(row.value), float(row.value))
    return Bound(
        low=low, high=high, source=f"{name}: {row.source}", grade=row.grade.value, tolerance=tolerance, slack=slack
    )


def _range(row: Row, hz: int) -> tuple[float, float] | None:
    """The first `A-B` (cycles, or ns) of the source that holds the value, within a cycle."""
    for low, high, nanoseconds in _RANGE.findall(row.source):
        scale = hz / 1e9 if nanoseconds else 1.0
        found = (round(float(low) * scale, 2), round(float(high) * scale, 2))
        if found[0] - 1 <= row.value <= found[1] + 1:
            return found
    return None
