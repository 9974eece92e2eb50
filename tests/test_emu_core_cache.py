# SPDX-License-Identifier: GPL-2.0-or-later
"""Caches, coherence, TLBs, branches: the core against a plain Python referee, and the rules one by one."""

import random

import pytest

from emu.uarch.table import load
from tests.cache_referee import LINE, PAGE, Referee
from tests.uarch_harness import CALL, COND, CR3, DMA, FETCH, JUMP, LOCKED, REP, RET, SAME_BLOCK, WRITE, TimingWorld

ROWS = dict(load("skylake_sp").core_rows())
SMALL = {"l2_kib": 64, "l2_ways": 8, "llc_kib_per_vcpu": 44, "llc_ways": 11}  # so that random streams fill them


def stream(rng: random.Random, cpus: int, steps: int):
    """Random accesses: hot lines fought over, wide sweeps, conflicts in a set, code, devices, TLB flushes; clocks drift apart."""
    hot = [rng.randrange(1 << 20) // LINE * LINE for _ in range(8)]
    sweep = 0
    for _ in range(steps):
        kind, vcpu = rng.random(), rng.randrange(cpus)
        if kind < 0.35:
            gpa = rng.choice(hot) + rng.randrange(0, 56, 8)
        elif kind < 0.6:
            sweep = (sweep + rng.choice((LINE, LINE, -LINE, PAGE))) % (1 << 20)
            gpa = sweep
        elif kind < 0.8:
            gpa = rng.randrange(40) * 64 * LINE + rng.choice((0, 8, 60))
        else:
            gpa = rng.randrange(1 << 20)
        yield vcpu, gpa, rng.choice((1, 4, 8, 8, 16, 64)), rng.random(), rng.randrange(300) * (vcpu + 1)


@pytest.mark.parametrize("cpus", [1, 2, 5, 16])
@pytest.mark.parametrize("seed", range(4))
def test_the_core_agrees_with_the_referee(cpus: int, seed: int) -> None:
    rng = random.Random(seed)
    with TimingWorld(cpus=cpus, **SMALL) as world:
        referee = Referee(ROWS | SMALL, cpus)
        for step, (vcpu, gpa, size, what, advance) in enumerate(stream(rng, cpus, 6000)):
            if what < 0.005:
                world.lib.u_flush(world.handle, vcpu)
                referee.flush(vcpu)
            write, locked, fetch, dma = what < 0.4, what > 0.9 or what < 0.05, 0.4 <= what < 0.5, 0.5 <= what < 0.54
            size = min(size, 4096) if not dma else size * 24
            locked = locked and not fetch and not dma
            flags = WRITE * (write and not fetch) | LOCKED * locked | FETCH * fetch | DMA * dma
            got = world.access(vcpu, gpa, size, flags, advance)
            want = referee.access(vcpu, gpa, size, write=write, locked=locked, fetch=fetch, dma=dma, advance=advance)
            assert got == want, (step, vcpu, hex(gpa), size, flags)
            if locked and not write and rng.random() < 0.7:
                got = world.access(vcpu, gpa, size, WRITE | LOCKED | SAME_BLOCK)
                want = referee.access(vcpu, gpa, size, write=True, locked=True, same_block=True)
                assert got == want, (step, "the store half")
        assert world.lib.u_writebacks(world.handle) == referee.writebacks > 0


def warm(world: TimingWorld, vcpu: int, gpa: int, flags: int = 0) -> None:
    world.access(vcpu, gpa, 8, flags)


def test_a_hit_costs_nothing_beyond_the_static_cost() -> None:
    with TimingWorld() as world:
        warm(world, 0, 0x1000)
        assert world.access(0, 0x1008) == {}
        assert world.access(0, 0x1008, 8, WRITE) == {}


def test_each_level_costs_its_latency_less_what_is_hidden() -> None:
    with TimingWorld(load_hidden=10) as world:
        assert world.access(0, 0x40000) == {"tlb": ROWS["walk_latency"], "dram": ROWS["dram_latency"] - 10}
        for i in range(1, 9):
            warm(world, 0, 0x40000 + i * 64 * LINE)  # the same L1 set, eight more lines
        assert world.access(0, 0x40000, advance=100) == {"l2": ROWS["l2_latency"] - 10}


def test_a_line_another_vcpu_wrote_comes_no_earlier_than_it_was_written() -> None:
    with TimingWorld(cpus=2) as world:
        warm(world, 0, 0x2000)
        warm(world, 1, 0x2000)
        ahead = 100_000
        world.access(0, 0x2000, 8, WRITE, advance=ahead)
        waited = world.access(1, 0x2000)["coherence"]
        assert waited >= ahead + ROWS["transfer_latency"] - 1000  # vCPU 1's clock has hardly moved
        assert world.access(1, 0x2000) == {}


@pytest.mark.parametrize(("others", "where"), [(0, "L1"), (8, "L2"), (40, "LLC")])
def test_that_holds_wherever_the_line_has_sunk_to(others: int, where: str) -> None:
    with TimingWorld(cpus=2, **SMALL) as world:
        warm(world, 1, 0x2000)
        world.access(0, 0x2000, 8, WRITE, advance=100_000)
        for i in range(1, others + 1):
            warm(world, 0, 0x2000 + i * 64 * LINE)
        before = world.counters(1)["transfers"]
        assert world.access(1, 0x2000)["coherence"] > 99_000
        assert world.counters(1)["transfers"] - before == (where != "LLC")


def test_false_sharing_costs_a_transfer_each_time_and_private_lines_do_not() -> None:
    with TimingWorld(cpus=2) as world:
        for vcpu in (0, 1):
            warm(world, vcpu, 0x3000 + 8 * vcpu, WRITE)
            warm(world, vcpu, 0x8000 + LINE * vcpu, WRITE)
        shared = [world.access(i % 2, 0x3000 + 8 * (i % 2), 8, LOCKED | WRITE, 500) for i in range(10)]
        private = [world.access(i % 2, 0x8000 + LINE * (i % 2), 8, LOCKED | WRITE, 500) for i in range(10)]
        assert all(s["coherence"] >= ROWS["transfer_latency"] for s in shared[1:])
        assert private == [{}] * 10


def test_a_locked_instruction_pays_its_line_once() -> None:
    with TimingWorld(cpus=2) as world:
        warm(world, 0, 0x3000, WRITE)
        warm(world, 1, 0x3008)  # its TLB too; both hold it shared now
        warm(world, 0, 0x3000, WRITE)
        load_half = world.access(1, 0x3000, 8, LOCKED, 10_000)
        assert load_half == {"coherence": ROWS["transfer_latency"]}
        assert world.access(1, 0x3000, 8, LOCKED | WRITE | SAME_BLOCK) == {}


def test_what_a_device_writes_is_in_the_llc_and_nowhere_else() -> None:
    with TimingWorld(cpus=2) as world:
        warm(world, 0, 0x5000, WRITE)
        warm(world, 1, 0x5040)
        world.access(0, 0x5000, 128, DMA)
        assert set(world.access(0, 0x5000, advance=500)) == {"llc"}
        assert set(world.access(1, 0x5040, advance=500)) == {"llc"}


def test_devices_keep_to_their_ways_of_the_llc() -> None:
    with TimingWorld(llc_kib_per_vcpu=44, llc_ways=11) as world:
        lines = [0x100000 + i * 64 * LINE for i in range(6)]  # one LLC set of 64
        for gpa in lines:
            world.access(0, gpa, 64, DMA)
        found = [set(world.access(0, gpa)) - {"tlb"} for gpa in lines]
        assert found == [{"dram"}] * 4 + [{"llc"}] * 2


def test_independent_misses_run_side_by_side_as_far_as_there_are_fill_buffers() -> None:
    with TimingWorld(load_hidden=20, fill_buffers=4, walk_latency=0) as world:
        far = [0x100000 + 5 * PAGE * i for i in range(40)]
        assert [world.access(0, gpa).get("dram", 0) for gpa in far[:9]] == [205, 0, 0, 0] * 2 + [205]
        assert [world.access(0, gpa, advance=21).get("dram", 0) for gpa in far[9:13]] == [205] * 4
        assert [world.access(0, gpa, 8, LOCKED).get("dram", 0) for gpa in far[13:17]] == [225] * 4


def test_a_sweep_streams_and_random_misses_do_not() -> None:
    with TimingWorld() as world:
        sweep = [world.access(0, 0x10000 + i * LINE).get("dram", 0) for i in range(64)]
        assert sweep[0] == ROWS["dram_latency"] - ROWS["load_hidden"]
        assert set(sweep[1:]) == {ROWS["stream_line"]}


def test_a_cr3_write_empties_the_tlb() -> None:
    with TimingWorld() as world:
        warm(world, 0, 0x1000)
        world.lib.u_flush(world.handle, 0)
        assert world.access(0, 0x1000) == {"tlb": ROWS["walk_latency"]}
    with TimingWorld() as world:
        code = [(0x1000, 16, 0, 0), (0x1010, 16, 0, 0)]
        plain = world.run(code * 10)
        flushed = world.run([(0x1000, 16, CR3, 0), (0x1010, 16, 0, 0)] * 10)
        assert flushed["tlb"] == plain["tlb"] + 10 * ROWS["walk_latency"]


def test_a_mispredicted_branch_costs_its_row() -> None:
    def mispredicted(outcomes: list[bool]) -> float:
        with TimingWorld() as world:
            blocks = []
            for taken in outcomes:
                blocks += [(0x1000, 8, COND, 0), (0x2000 if taken else 0x1008, 8, JUMP, 0)]
            return world.run(blocks).get("badspec", 0) / ROWS["mispredict"]

    rng = random.Random(1)
    assert mispredicted([True] * 500) == 1
    assert mispredicted([i % 4 != 0 for i in range(2000)]) < 40
    assert 350 < mispredicted([rng.random() < 0.5 for _ in range(1000)]) < 650


def test_returns_come_from_the_return_stack() -> None:
    with TimingWorld() as world:
        calls = []
        for site in (0x1000, 0x3000, 0x5000) * 50:
            calls += [(site, 5, CALL, 0), (0x8000, 4, RET, 0), (site + 5, 3, 0, 0)]
        assert "badspec" not in world.run(calls)
        astray = [(0x1000, 5, CALL, 0), (0x8000, 4, RET, 0), (0x9000, 3, 0, 0)]
        assert world.run(astray)["badspec"] == ROWS["mispredict"]


def test_rep_is_charged_by_line_not_by_iteration() -> None:
    with TimingWorld() as world:
        cold = world.run([(0x1000, 2, 0, 0)])
        bytewise = world.run([(0x1000, 2, REP, 1)] * 4096)["core"]
        by_eight = world.run([(0x1000, 3, REP, 8)] * 512)["core"]
        assert bytewise == by_eight == ROWS["rep_startup"] + 64 * ROWS["rep_line16"] // 16
        assert "core" not in cold


def test_addresses_that_are_not_ram_are_left_alone() -> None:
    with TimingWorld(ram=1 << 24) as world:
        assert world.access(0, 0xFEE00000, 4) == {}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"l1d_kib": 48}, "processor table: the first-level caches must be 32 KiB with 8 ways"),
        ({"stlb_ways": 8}, "processor table: the TLBs must be 64/4 (data), 128/8 (code) and 1536/12 (second level)"),
        ({"l2_kib": 1000}, "processor table: the L2 must have 2 to 16 ways and a power of two of sets, 64 or more"),
        (
            {"ddio_ways": 12},
            "processor table: the LLC must have 2 to 16 ways that divide its size, and 1 or more of them for DDIO",
        ),
    ],
)
def test_geometries_the_core_cannot_model_are_refused(change: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        TimingWorld(**change)
    assert str(caught.value) == sentence


def test_a_table_with_a_row_missing_or_unknown_is_refused() -> None:
    with TimingWorld() as world:
        rows = load("skylake_sp").core_rows()
        with pytest.raises(ValueError, match="row issue_width is missing"):
            world.load_rows([r for r in rows if r[0] != "issue_width"])
        with pytest.raises(ValueError, match="no row is called warp_speed"):
            world.load_rows([*rows, ("warp_speed", 9)])
        with pytest.raises(ValueError, match="row mispredict is given twice"):
            world.load_rows([*rows, ("mispredict", 9)])


def test_runs_repeat() -> None:
    def history() -> list[dict[str, int]]:
        rng = random.Random(7)
        with TimingWorld(cpus=3, **SMALL) as world:
            return [
                world.access(v, gpa, size, WRITE * (what < 0.5), adv)
                for v, gpa, size, what, adv in stream(rng, 3, 2000)
            ]

    assert history() == history()
