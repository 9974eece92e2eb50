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
