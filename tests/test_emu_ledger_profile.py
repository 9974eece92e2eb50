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
from emu.ledger.calls import REQUEST_COST, empty_rows
from emu.ledger.profile import ROOTS, Profile
from emu.ledger.slow import slow_profile
from emu.ledger.tables import SymbolNames
from tests.snapshots import kvd_testbed, requests

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


NAMED = SymbolNames(("read", "wait", "read", "[unknown]", "[halted]"), ("ip", "lock", "ip", "unknown", "idle"), 5)


def test_slow_requests_are_held_against_median_ones():
    """200 requests, as slow as their number; the two slowest wait, and all read under two symbols of one name."""
    tokens = np.arange(1, 201, dtype=np.uint64)
    rows = [(token, 160, 0, 10) for token in range(1, 201)] + [(token, 32, 2, 1) for token in range(1, 201)]
    rows += [(token, 16 * token, 1, 5) for token in (199, 200)]
    found = slow_profile(
        empty_rows(REQUEST_COST, sorted(rows)), (1 << 64) - 1, NAMED, tokens, tokens.astype(np.int64) * 1000
    )
    assert found is not None
    assert (found.slow, found.median, found.slow_ps, found.median_ps, found.missing) == (2, 20, 199500, 100500, 0)
    assert found.functions == (("wait", "lock", 199.5, 0, 5, 0), ("read", "ip", 12, 12, 11, 11))


def test_requests_that_are_not_whole_are_left_out():
    tokens = np.arange(1, 11, dtype=np.uint64)
    rows = empty_rows(REQUEST_COST, [(token, 16, 0, 1) for token in range(1, 6)])
    found = slow_profile(rows, 6, NAMED, tokens, tokens.astype(np.int64))
    assert found is not None
    assert (found.slow, found.slow_ps, found.missing) == (1, 5, 5)
    assert slow_profile(rows, 0, NAMED, tokens, tokens.astype(np.int64)) is None


@pytest.mark.parametrize("name", ["linux_like", "libos"])
def test_a_request_s_functions_sum_to_the_cycles_that_ran_for_it(name: str):
    with kvd_testbed(name, 2, "detailed", []) as bed:
        bed.boot()
        bed.follow_calls()
        bed.follow_requests()
        bed.closed_loop(4, requests(60), "serving")
        rows, first_lost = bed.calls.profile_requests_read(0)
        table = bed.requests.table()
    assert first_lost == (1 << 64) - 1
    sums = [int(rows["cycles16"][rows["token"] == token].sum()) / 16 for token in table.token]
    assert sums == table.cycles.sum(axis=1).tolist()
    assert min(sums) > 500
