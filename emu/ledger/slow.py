# SPDX-License-Identifier: GPL-2.0-or-later
"""What slow requests execute that median ones do not: functions' own cycles and instructions while a request was current,
of the slowest hundredth of the requests against the tenth in the middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emu.ledger.calls import Array
from emu.ledger.tables import SymbolNames

SLOW_SHARE, MEDIAN_SHARE = 100, 10


class SlowFunction(NamedTuple):
    """A request's mean cycles and instructions in a function."""

    function: str
    component: str
    slow_cycles: float
    median_cycles: float
    slow_instructions: float
    median_instructions: float


@dataclass(frozen=True)
class SlowProfile:
    """Two groups of requests, and their functions: those in which the slow ones spend most beyond the median ones first."""

    slow: int
    median: int
    slow_ps: float  # mean latencies
    median_ps: float
    functions: tuple[SlowFunction, ...]
    missing: int  # requests left out: there was no room to tell their functions apart


def slow_profile(
    rows: Array, first_lost: int, names: SymbolNames, token: NDArray[np.uint64], latency_ps: NDArray[np.int64]
) -> SlowProfile | None:
    """From REQUEST_COST rows and finished requests; None where none is whole."""
    whole = token < np.uint64(first_lost)
    token, latency, missing = token[whole], latency_ps[whole], int((~whole).sum())
    if not len(token):
        return None
    order = np.lexsort((token, latency))
    few, some = max(1, len(order) // SLOW_SHARE), max(1, len(order) // MEDIAN_SHARE)
    start = (len(order) - some) // 2
    groups = order[-few:], order[start : start + some]
    costs = [_costs(rows, names, token[group]) for group in groups]
    found = [
        SlowFunction(
            *name, *(value for pair in zip(*(c.get(name, (0.0, 0.0)) for c in costs), strict=True) for value in pair)
        )
        for name in sorted({*costs[0], *costs[1]})
    ]
    found.sort(key=lambda row: (row.median_cycles - row.slow_cycles, row.function, row.component))
    slow_ps, median_ps = (float(latency[group].mean()) for group in groups)
    return SlowProfile(few, some, slow_ps, median_ps, tuple(found), missing)


def _costs(rows: Array, names: SymbolNames, tokens: NDArray[np.uint64]) -> dict[tuple[str, str], tuple[float, float]]:
    """Function and component -> mean cycles and instructions."""
    mine = rows[np.isin(rows["token"], tokens) & (rows["symbol"] < len(names))]
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for symbol, cycles16, instructions in zip(
        mine["symbol"].tolist(), mine["cycles16"].tolist(), mine["instructions"].tolist(), strict=True
    ):
        name = names.names[symbol], names.components[symbol]
        had = sums.get(name, (0, 0))
        sums[name] = had[0] + cycles16, had[1] + instructions
    return {name: (cycles16 / 16 / len(tokens), executed / len(tokens)) for name, (cycles16, executed) in sums.items()}
