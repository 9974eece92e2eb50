# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions of a call tree, exclusive and inclusive, against a plain reckoning; folded stacks; the flame graph."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclescope.report.flame import boxes, flame_graph
from emu.errors import EmuBug
from emu.ledger.profile import ROOTS, Profile

NAMES = (("a", "ip"), ("b", "ip"), ("b", "udp"), ("c;d e", "app"))


def profile(parents: list[int], which: list[int], cycles: list[int]) -> Profile:
    """Paths behind the roots, each the child of one before it."""
    n = len(parents)
    return Profile(
        parent=np.array([*range(len(ROOTS)), *parents], np.int64),
        function=(*ROOTS, *(NAMES[i][0] for i in which)),
        component=(*ROOTS, *(NAMES[i][1] for i in which)),
        cycles=np.array([0] * len(ROOTS) + cycles, np.int64),
        instructions=np.array([0] * len(ROOTS) + [2 * c for c in cycles], np.int64),
        calls=np.array([0] * len(ROOTS) + [1] * n, np.int64),
        rounding=0,
        lost={},
    )


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    n = draw(st.integers(0, 12))
    parents = [draw(st.integers(0, len(ROOTS) + i - 1)) for i in range(n)]
    which = draw(st.lists(st.integers(0, len(NAMES) - 1), min_size=n, max_size=n))
    return profile(parents, which, draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)))


def stack(tree: Profile, path: int) -> list[int]:
    """From the root to the path, both included."""
    found = [path]
    while found[-1] >= len(ROOTS):
        found.append(int(tree.parent[found[-1]]))
    return found[::-1]


@given(profiles())
def test_a_function_has_each_stack_that_it_is_on_once(tree: Profile):
    own: Counter[tuple[str, str]] = Counter()
    inclusive: Counter[tuple[str, str]] = Counter()
    for path in range(len(ROOTS), len(tree.parent)):
        own[tree.function[path], tree.component[path]] += int(tree.cycles[path])
        for name in {(tree.function[i], tree.component[i]) for i in stack(tree, path)[1:]}:
            inclusive[name] += int(tree.cycles[path])
    found = {(row.function, row.component): (row.cycles, row.inclusive_cycles) for row in tree.functions()}
    assert found == {name: (own[name], inclusive[name]) for name in inclusive if inclusive[name]}
    assert all(
        row.instructions == 2 * row.cycles and row.inclusive_instructions == 2 * row.inclusive_cycles
        for row in tree.functions()
    )


@given(profiles())
def test_folded_stacks_and_the_flame_graphs_boxes_hold_all_cycles(tree: Profile):
    total = int(tree.cycles.sum())
    tree.check(total)
    lines = [re.fullmatch(r"(\S+) (\d+)", line) for line in tree.folded().splitlines()]
    assert sum(int(line[2]) for line in lines if line) == total
    assert all(line and line[1].split(";")[0] in ROOTS for line in lines)
    at_depth: Counter[int] = Counter()
    for box in boxes(tree):
        at_depth[box.depth] += box.cycles
    assert at_depth[0] == total
    assert list(at_depth.values()) == sorted(at_depth.values(), reverse=True)
    assert ET.fromstring(flame_graph(tree, "a < b", 3)).tag.endswith("svg")


def test_a_sum_that_is_off_is_our_bug():
    tree = profile([0], [0], [7])
    tree.check(7)
    with pytest.raises(EmuBug, match=r"sum to 7 cycles and its roots to 7, and 8 were busy"):
        tree.check(8)
