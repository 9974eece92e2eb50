# SPDX-License-Identifier: GPL-2.0-or-later
"""Branches and store forwarding as guests see them."""

from __future__ import annotations

from cyclescope.experiments.validate.figures import Bound, Figure, row_bound
from cyclescope.experiments.validate.guest import GuestRun
from emu.uarch.table import UarchTable

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
    found = [
        Figure(
            group="branches", name="mispredict penalty", value=penalty, unit="cycles", bound=row_bound(table, "mispredict")
        )
    ]
    found += [
        Figure(
            group="branches", name=f"period {period}, more than constant", value=round(value - calm, 2), unit="cycles",
            bound=none,
        )
        for period, value in run.of("branch_periodic").items()
    ]  # fmt: skip
    return found


def judge_forward(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """Same size and narrower loads are forwarded; a load of two stores' bytes waits for the cache."""
    forwarded = Bound(low=4.0, high=5.0, source=f"{_FORWARDING}: Skylake 4.4, 5.0; Haswell 5.3, 6.0", grade="published",
                      tolerance=0.2)  # fmt: skip
    blocked = Bound(low=11.0, high=19.2, source=f"{_FORWARDING}: Skylake 14.0 to 19.2, Haswell 14.9 to 18.2",
                    grade="published")  # fmt: skip
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
