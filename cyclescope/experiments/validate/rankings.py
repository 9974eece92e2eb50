# SPDX-License-Identifier: GPL-2.0-or-later
"""How close two series are: percentage errors, and Kendall's tau."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Accuracy:
    """A predictor's figures: errors as shares of the measured value; tau is None where one side has no order at all."""

    mape: float
    median: float
    tau: float | None


def accuracy(predicted: Sequence[float], measured: Sequence[float]) -> Accuracy:
    """Measured values must be above 0; 0 predicted is an error of 100 %."""
    errors = [abs(p - m) / m for p, m in zip(predicted, measured, strict=True)]
    return Accuracy(statistics.fmean(errors), statistics.median(errors), kendall_tau(predicted, measured))


def kendall_tau(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Tau-b: agreement of two rankings, ties allowed. Knight's method: discordant pairs are a merge sort's exchanges."""
    pairs = len(a) * (len(a) - 1) // 2
    order = sorted(range(len(a)), key=lambda i: (a[i], b[i]))
    tied_a, tied_b, tied_both = _tied(a), _tied(b), _tied(zip(a, b, strict=True))
    exchanges = _exchanges([b[i] for i in order])
    free_a, free_b = pairs - tied_a, pairs - tied_b
    if not free_a or not free_b:
        return None
    return (pairs - tied_a - tied_b + tied_both - 2 * exchanges) / math.sqrt(free_a * free_b)


def _tied(values: Iterable[object]) -> int:
    return sum(n * (n - 1) // 2 for n in Counter(values).values())


def _exchanges(values: list[float]) -> int:
    total, width = 0, 1
    while width < len(values):
        merged: list[float] = []
        for begin in range(0, len(values), 2 * width):
            left, right = values[begin : begin + width], values[begin + width : begin + 2 * width]
            i = 0
            for value in right:
                while i < len(left) and left[i] <= value:
                    merged.append(left[i])
                    i += 1
                total += len(left) - i
                merged.append(value)
            merged += left[i:]
        values, width = merged, 2 * width
    return total
