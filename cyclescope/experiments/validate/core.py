# SPDX-License-Identifier: GPL-2.0-or-later
"""Branches and store forwarding as guests see them."""

from __future__ import annotations

from cyclescope.experiments.validate.figures import Bound, Figure, row_bound
from cyclescope.experiments.validate.guest import GuestRun
from emu.uarch.table import UarchTable

MEASURED = ("skylake_sp", "haswell")
_FORWARDING = "T. Downs, uarch-bench, studies/forwarding (gist.github.com/travisdowns/bc9af3a0aaca5399824cf182f85b9e9c)"


def judge_branch(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """The penalty on random directions; none on periodic ones."""
    constant = run.of("branch_constant")
    calm = sum(constant.values()) / len(constant)
    penalty = run.figures["branch_penalty", 0]
    none = Bound(
        low=None, high=0.5, tolerance=0.0, grade="published",
        source="a predictor with history learns periods up to 13 (cycles a branch more than constant ones)",
    )  # fmt: skip
    found = [Figure(group="branches", name="mispredict penalty", value=penalty, unit="cycles", bound=_penalty(table))]
    found += [
        Figure(
            group="branches", name=f"period {period}, more than constant", value=round(value - calm, 2), unit="cycles",
            bound=none,
        )
        for period, value in run.of("branch_periodic").items()
    ]  # fmt: skip
    return found


def _penalty(table: UarchTable) -> Bound:
    """The published range or, when there is one number, what the branch takes to issue and execute besides."""
    bound = row_bound(table, "mispredict")
    if bound.low is None or bound.low != bound.high:
        return bound
    return Bound(low=bound.low, high=bound.low + 3, source=f"{bound.source}; and 3 for the branch itself", grade=bound.grade)


def judge_forward(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """Same size and narrower loads are forwarded; a load of two stores' bytes waits for the cache."""
    link = table["store_forward"].value + 1.0
    forwarded = Bound(low=link, high=link, source=f"1 for the store's data, store_forward: {table['store_forward'].source}",
                      grade=table["store_forward"].grade.value, tolerance=0.1)  # fmt: skip
    if table.name in MEASURED:
        blocked = Bound(low=11.0, high=19.2, source=f"{_FORWARDING}: Skylake 14.0 to 19.2, Haswell 14.9 to 18.2",
                        grade="published")  # fmt: skip
    else:
        blocked = Bound(low=link + 5, high=None, source="a load that two stores feed waits for the cache", grade="modelled")
    names = (
        ("forward_same", 8, "8 bytes stored, 8 loaded", forwarded),
        ("forward_narrower", 4, "8 bytes stored, the lower 4 loaded", forwarded),
        ("forward_upper", 4, "8 bytes stored, the upper 4 loaded", forwarded),
        ("forward_wider", 8, "4 and 4 bytes stored, 8 loaded", blocked),
    )
    return [
        Figure(group="store forwarding", name=text, value=run.figures[name, param], unit="cycles", bound=bound)
        for name, param, text, bound in names
    ]
