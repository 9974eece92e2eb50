# SPDX-License-Identifier: GPL-2.0-or-later
"""When requests arrive: arrays of int64 picoseconds, ascending, from `start_ps` on.

Seeded by NumPy's PCG64, so the same seed gives the same schedule. Rates are in requests a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emu.errors import ConfigError
from emu.units import PS_PER_S

Times = NDArray[np.int64]
_LATEST_PS = 1 << 62


def _checked(times: NDArray[np.floating[Any]], start_ps: int) -> Times:
    if not len(times) or float(times[-1]) + start_ps >= _LATEST_PS:
        raise ConfigError("the load lasts more than 53 days of simulated time: give fewer requests or a higher rate")
    rounded: Times = np.rint(times).astype(np.int64) + start_ps
    return rounded


def _check(count: int, rate: float) -> None:
    if count < 1:
        raise ConfigError(f"a load has at least 1 request, not {count}")
    if not 0 < rate <= 1e12:
        raise ConfigError(f"a request rate is above 0 and at most 1e12 a second, not {rate}")


def constant(count: int, rate: float, start_ps: int = 0) -> Times:
    """Evenly spaced."""
    _check(count, rate)
    return _checked(np.arange(count) * (PS_PER_S / rate), start_ps)


def poisson(count: int, rate: float, seed: int, start_ps: int = 0) -> Times:
    """Exponential gaps; the first arrival is one gap after `start_ps`."""
    _check(count, rate)
    rng = np.random.Generator(np.random.PCG64(seed))
    return _checked(np.cumsum(rng.exponential(PS_PER_S / rate, count)), start_ps)


def steps(rates: Sequence[tuple[int, float]], end_ps: int, seed: int, start_ps: int = 0) -> Times:
    """Poisson at a rate that changes: `rates` are (time since `start_ps` [ps], requests/s from then on); none at or after `end_ps`.

    One stream of unit exponentials, stretched by the rate: so what a step draws does not depend on the steps behind it.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    bounds = [*(at for at, _ in rates[1:]), end_ps]
    offered = [0.0]  # requests expected by each bound
    for (at, rate), bound in zip(rates, bounds, strict=True):
        if not 0 < rate <= 1e12 or bound <= at:
            raise ConfigError(f"a load's steps have rates from 0 to 1e12 a second and times that ascend, not {rate} at {at} ps")
        offered.append(offered[-1] + (bound - at) * rate / PS_PER_S)
    found: list[float] = []
    reached = float(rng.exponential())
    for number, (at, rate) in enumerate(rates):
        while reached < offered[number + 1]:
            found.append(at + (reached - offered[number]) * PS_PER_S / rate)
            reached += float(rng.exponential())
    if not found:
        raise ConfigError("the load's steps come to no request: give higher rates, or longer steps")
    return _checked(np.array(found), start_ps)


def bursts(count: int, rate: float, size: int, seed: int, start_ps: int = 0) -> Times:
    """Bursts of `size` requests at the same instant, Poisson among themselves, so that the mean rate is `rate`."""
    _check(count, rate)
    if size < 1:
        raise ConfigError(f"a burst has at least 1 request, not {size}")
    heads = poisson(-(-count // size), rate / size, seed, start_ps)
    return np.repeat(heads, size)[:count]


def as_captured(times_ns: Sequence[int], multiplier: float = 1.0, start_ps: int = 0) -> Times:
    """A capture's times, `multiplier` times as fast; the first request arrives at `start_ps`.

    A capture may hold frames slightly out of order; a frame earlier than the one before it arrives together with that.
    """
    if not multiplier > 0:
        raise ConfigError(f"the multiplier must be above 0, not {multiplier}")
    if not len(times_ns):
        raise ConfigError("the capture has no requests")
    first = times_ns[0]
    spread = np.array([float(time - first) for time in times_ns]) * 1000.0
    return _checked(np.maximum.accumulate(np.maximum(spread, 0.0)) / multiplier, start_ps)
