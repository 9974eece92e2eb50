# SPDX-License-Identifier: GPL-2.0-or-later
"""Confidence intervals over seeds, by Student's t.

Each seed is one independent sample of a figure: its mean latency, its 99th percentile. The interval is that of the mean of those
samples, with n - 1 degrees of freedom. It takes the samples for roughly normal: fair for means of thousands of requests, less so
for a high percentile; and with two or three seeds it is honest and wide (the factor is 12.7 for two, 4.3 for three, 2.8 for five).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95
METHOD = "95 % Student t interval over seeds, each seed's figure being one sample"


@dataclass(frozen=True)
class Interval:
    """`mean` of the samples; the true mean lies within `half_width` of it with probability LEVEL."""

    mean: float
    half_width: float
    samples: tuple[float, ...]

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width


def interval(samples: Sequence[float]) -> Interval:
    """The interval of the mean of two samples or more."""
    n = len(samples)
    if n < 2:
        raise ValueError("an interval needs two samples or more")
    mean = math.fsum(samples) / n
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in samples) / (n - 1))
    return Interval(mean, t_quantile(0.5 + LEVEL / 2, n - 1) * deviation / math.sqrt(n), tuple(samples))


def t_quantile(probability: float, degrees: int) -> float:
    """Student's t: the value that a variable with so many degrees of freedom stays below with that probability (0.5 and up)."""
    low, high = 0.0, 1.0
    while _t_below(high, degrees) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if _t_below(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return high


def _t_below(t: float, degrees: int) -> float:
    """P(T < t), t >= 0. Source: Abramowitz and Stegun 26.7.3 and 26.7.4, finite sums for whole degrees of freedom."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    if degrees % 2:
        term, total = cosine, 0.0
        for k in range(1, degrees, 2):
            total += term
            term *= cosine * cosine * (k + 1) / (k + 2)
        inside = 2 / math.pi * (angle + sine * total)
    else:
        term, total = 1.0, 0.0
        for k in range(0, degrees, 2):
            total += term
            term *= cosine * cosine * (k + 1) / (k + 2)
        inside = sine * total
    return 0.5 + inside / 2
