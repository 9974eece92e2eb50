# SPDX-License-Identifier: GPL-2.0-or-later
"""Branch predictors: the core against a plain Python referee, and what must be learnt and what cannot be."""

import random
from collections.abc import Iterator

import pytest

from emu.uarch.table import load
from tests.branch_referee import COND, INDIRECT, JUMP, MISSED, RESTEER, RIGHT, Referee
from tests.uarch_harness import CALL, RET, TimingWorld

ROWS = dict(load("skylake_sp").core_rows())
SMALL = {"tage_entries": 64, "btb_entries": 64, "indirect_entries": 16, "bimodal_entries": 64}  # so that everything is fought over
Branch = tuple[int, int, int]
CALM = [(JUMP, 0x20008 + 64 * i, 0x20000 + 64 * (i + 1)) for i in range(12)]  # then the shortest history sees nothing older


def back_edge(end: int = 0x9006, to: int = 0x1000) -> Branch:
    """The taken jump that closes a loop."""
    return JUMP, end, to


def cond(taken: bool, end: int = 0x1008, to: int = 0x2000) -> Branch:
    return COND, end, to if taken else end


def loop(outcomes: list[bool]) -> list[Branch]:
    """One conditional branch an iteration."""
    return [b for taken in outcomes for b in (cond(taken), back_edge())]


def loop_of(turns: int) -> list[Branch]:
    """One conditional branch that goes round that often."""
    return [cond(i + 1 < turns, 0x5008, 0x5000) for i in range(turns)]


def misses(stream: list[Branch], warm: int = 0, only: int | None = None, **rows: int) -> int:
    """Wrong predictions behind the first `warm` branches, of the branch that ends at `only`."""
    with TimingWorld(**rows) as world:
        answers = world.branches(stream)
    return sum(a == MISSED for a, b in zip(answers[warm:], stream[warm:], strict=True) if only is None or b[1] == only)


def program(rng: random.Random, steps: int) -> Iterator[Branch]:
    """A random walk over random code: biased, patterned and data-dependent branches, calls, returns astray."""
    kinds = (COND, COND, COND, JUMP, CALL, INDIRECT, CALL | INDIRECT, RET)
    sites = [(rng.randrange(1 << 34), rng.choice(kinds)) for _ in range(120)]
    targets = [rng.randrange(1 << 34) for _ in range(40)]
    stack: list[int] = []
    where = 0
    for step in range(steps):
        end, kind = sites[where]
        to = targets[where % 40]
        if kind & COND:
            to = to if (where % 3 == 0, rng.random() < 0.1, step % (2 + where % 7) == 0, rng.random() < 0.5)[where % 4] else end
        elif kind & INDIRECT:
            to = targets[(step // (1 + where % 5)) % 40]
        elif kind & RET:
            to = stack.pop() if stack and rng.random() < 0.95 else to
        if kind & CALL:
            stack.append(end)
            to = end if rng.random() < 0.05 else to
        yield kind, end, to
        where = (where + 1 if rng.random() < 0.8 else rng.randrange(120)) % 120


def structured(rng: random.Random) -> list[Branch]:
    """What long histories are for: patterns of several periods, loops of many turns, correlation at a distance."""
    stream: list[Branch] = []
    for period in (40, 130, 300):
        stream += loop([rng.random() < 0.5 for _ in range(period)] * (2_400 // period))
    for turns in (30, 85, 100):
        stream += [b for _ in range(2_000 // turns) for b in (*loop_of(turns), back_edge(0x6006, 0x5000))]
    return stream


ONE_TABLE = SMALL | {"tage_history2": 0, "tage_history3": 0}
FOUR_TABLES = SMALL | {"tage_history4": 96, "branch_address_bit": 0}


@pytest.mark.parametrize("change", [{}, SMALL, ONE_TABLE, FOUR_TABLES], ids=["skylake_sp", "small", "one", "four"])
@pytest.mark.parametrize("seed", range(3))
def test_the_core_agrees_with_the_referee(change: dict[str, int], seed: int) -> None:
    rng = random.Random(seed)
    stream = [*program(rng, 10_000), *structured(rng), *program(rng, 2_000)]
    referee = Referee(ROWS | change)
    want = [referee.next(*b) for b in stream]
    with TimingWorld(**change) as world:
        got = world.branches(stream)
    assert got == want, next((i, b) for i, b in enumerate(stream) if got[i] != want[i])
    assert set(got) == {RIGHT, RESTEER, MISSED}


def test_they_agree_beyond_the_ageing_of_useful_entries() -> None:
    stream = [b for b in program(random.Random(9), 10_000) if b[0] == COND]
    stream *= (1 << 18) // len(stream) + 2
    referee = Referee(ROWS | ONE_TABLE)
    with TimingWorld(**ONE_TABLE) as world:
        assert world.branches(stream) == [referee.next(*b) for b in stream]


@pytest.mark.parametrize("period", [1, 2, 3, 7, 16, 61, 150, 300])
def test_periodic_patterns_are_learnt(period: int) -> None:
    rng = random.Random(period)
    pattern = [rng.random() < 0.5 for _ in range(period)]
    stream = loop(pattern * (60_000 // period))
    assert misses(stream, warm=len(stream) * 2 // 3) <= 20  # of 20,000


def test_coin_tosses_are_missed_half_the_time() -> None:
    rng = random.Random(1)
    assert misses(loop([rng.random() < 0.5 for _ in range(20_000)])) == pytest.approx(10_000, rel=0.05)


def test_a_biased_branch_is_missed_as_often_as_it_goes_the_other_way() -> None:
    rng = random.Random(2)
    assert misses(loop([rng.random() < 0.1 for _ in range(20_000)])) == pytest.approx(2_000, rel=0.35)


@pytest.mark.parametrize(("inner", "found"), [(20, True), (80, True), (94, True), (95, False), (200, False)])
def test_an_inner_loops_exit_is_foreseen_as_far_as_history_reaches(inner: int, found: bool) -> None:
    """The longest history holds 93 taken branches, so the exit of a loop of 95 turns looks like its last turns."""
    stream = [b for _ in range(400) for b in (*loop_of(inner), back_edge(0x6006, 0x5000))]
    late = misses(stream, warm=len(stream) // 2)
    assert late <= 4 if found else late == pytest.approx(200, abs=6)


def test_branches_that_agree_with_an_earlier_one_are_learnt() -> None:
    rng = random.Random(3)
    stream: list[Branch] = []
    for _ in range(8_000):
        a, b = rng.random() < 0.5, rng.random() < 0.5
        stream += [cond(a, 0x1008, 0x1100), cond(b, 0x1208, 0x1300), cond(a != b, 0x1408, 0x1500), *CALM]
    assert misses(stream, warm=60_000, only=0x1408) <= 40  # of 4,000
    assert misses(stream, warm=60_000, only=0x1208) == pytest.approx(2_000, rel=0.1)


@pytest.mark.parametrize(("between", "found"), [(60, True), (92, True), (93, False), (150, False)])
def test_history_is_taken_branches_alone_and_as_many_as_the_table_says(between: int, found: bool) -> None:
    """The experiment by which Half&Half found 93 on Skylake."""
    rng = random.Random(4)
    stream: list[Branch] = []
    for _ in range(2_000):
        a = rng.random() < 0.5
        stream.append(cond(a, 0x1008, 0x1100))
        stream += [cond(False, 0x20008 + 16 * i) for i in range(30)]  # these leave no trace
        stream += [(JUMP, 0x40008 + 64 * i, 0x40000 + 64 * (i + 1)) for i in range(between)]
        stream.append(cond(a, 0x5008, 0x1000))
    late = misses(stream, warm=len(stream) // 2, only=0x5008)
    assert late <= 20 if found else late > 300  # of 1,000


def test_returns_come_from_the_return_stack() -> None:
    calls = [b for site in (0x1005, 0x3005, 0x5005) * 50 for b in ((CALL, site, 0x8000), (RET, 0x8004, site))]
    assert misses(calls) == 0
    assert misses([*calls, (RET, 0x8004, 0x9000)]) == 1


@pytest.mark.parametrize("depth", [8, 16, 17, 20, 40])
def test_a_deep_chain_of_calls_overflows_the_return_stack_by_the_right_amount(depth: int) -> None:
    down = [(CALL, 0x1005 + 64 * i, 0x1000 + 64 * (i + 1)) for i in range(depth)]
    up = [(RET, 0x80004 + 64 * i, 0x1005 + 64 * i) for i in reversed(range(depth))]
    stream = (down + up) * 10
    assert misses(stream) == 10 * max(0, depth - ROWS["return_entries"])


def test_a_call_to_the_next_instruction_is_no_call() -> None:
    stream = [(CALL, 0x1005, 0x8000), (CALL, 0x8005, 0x8005), (RET, 0x8010, 0x1005)] * 20
    assert misses(stream) == 0


def test_indirect_targets_follow_the_path_that_led_there() -> None:
    rng = random.Random(5)
    ways = [0x2000, 0x3000, 0x4000, 0x5000]
    constant = [b for _ in range(500) for b in ((INDIRECT, 0x1102, 0x2000), back_edge())]
    assert misses(constant) <= 2
    rotating = [b for i in range(8_000) for b in ((INDIRECT, 0x1102, ways[i % 4]), back_edge(ways[i % 4] + 6))]
    assert misses(rotating, warm=4_000) <= 10
    told: list[Branch] = []
    tossed: list[Branch] = []
    for _ in range(8_000):
        i = rng.randrange(4)
        told += [cond(bool(i & 1), 0x1008, 0x1020), cond(bool(i & 2), 0x1028, 0x1040), (INDIRECT, 0x1102, ways[i]), *CALM]
        tossed += [(INDIRECT, 0x1102, ways[i]), back_edge()]
    assert misses(told, warm=len(told) // 2, only=0x1102) <= 40  # of 4,000
    assert misses(tossed, only=0x1102) == pytest.approx(6_000, rel=0.05)


def test_a_taken_branch_the_btb_does_not_hold_is_found_by_the_decoder() -> None:
    def resteers(n: int) -> int:
        ring = [(JUMP, 0x10010 + 16 * i, 0x10000 + 16 * ((i + 1) % n)) for i in range(n)]
        with TimingWorld() as world:
            world.branches(ring * 2)
            return world.branches(ring).count(RESTEER)

    assert resteers(1000) == resteers(4096) == 0
    assert resteers(8192) == 8192
    with TimingWorld() as world:
        assert world.branches([cond(False)] * 3 + [back_edge()] * 2) == [RIGHT] * 3 + [RESTEER, RIGHT]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tage_history2": 11}, "processor table: tage_history1 to 4 must grow from 8 or more to 96 or less, and then be 0"),
        ({"tage_history2": 0}, "processor table: tage_history1 to 4 must grow from 8 or more to 96 or less, and then be 0"),
        ({"tage_history3": 97}, "processor table: tage_history1 to 4 must grow from 8 or more to 96 or less, and then be 0"),
        ({"btb_entries": 4097}, "processor table: the sizes of the branch predictor's parts must be powers of two, within reason"),
        ({"btb_ways": 8}, "processor table: tage_ways and btb_ways must be 4"),
    ],
)
def test_predictors_the_core_cannot_model_are_refused(change: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        TimingWorld(**change)
    assert str(caught.value) == sentence
