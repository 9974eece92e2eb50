# SPDX-License-Identifier: GPL-2.0-or-later
"""A library OS is to stay small: not building a new OS is held in lines of code (docs/challenges.md; `sources.py` has the rule)."""

from pathlib import Path

import pytest

from cyclescope.experiments.sources import SUFFIXES, count

LIBOS = Path(__file__).parents[2] / "personalities" / "libos"

# Raising one is a decision: say in docs/challenges.md what the lines are for, and why a general-purpose node cannot do it.
BUDGET = {
    "kernel": 4_000,  # what every image has
    "include": 800,
    "runtime": 5_500,  # what is linked where it is called: messages, shared objects, nodes
    "compat": 2_400,  # Linux's system calls
    "hosted": 1_100,  # the same library on Linux
}


@pytest.mark.parametrize("part", BUDGET)
def test_libos_stays_within_its_lines(part: str) -> None:
    lines = count(path for path in sorted((LIBOS / part).rglob("*")) if path.suffix in SUFFIXES)
    assert lines <= BUDGET[part], f"{part}: {lines} lines of code; its budget is {BUDGET[part]}"
    assert lines > BUDGET[part] / 2, f"{part}: {lines} lines; its budget of {BUDGET[part]} holds nothing any more"


def test_every_part_has_a_budget() -> None:
    parts = {path.relative_to(LIBOS).parts[0] for path in LIBOS.rglob("*") if path.suffix in SUFFIXES}
    assert parts == set(BUDGET)
