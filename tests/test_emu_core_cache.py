# SPDX-License-Identifier: GPL-2.0-or-later
"""Caches, coherence, TLBs, branches: the core against a plain Python referee, and the rules one by one."""

import ctypes
import random

import pytest

from emu.uarch.table import load
from tests.cache_referee import LINE, PAGE, Referee
from tests.tlb_referee import HUGE, LARGE, SMALL, Walk
from tests.uarch_harness import (
    CALL,
    COND,
    CR3,
    DETAILED,
    DMA,
    DMA_READ,
    FETCH,
    JUMP,
    LOCKED,
    NO_GVA,
    REP,
    RET,
    SAME_BLOCK,
    WRITE,
    TimingWorld,
)  # fmt: skip

ROWS = dict(load("skylake_sp").core_rows())
SMALL_CACHES = {"l2_kib": 64, "l2_ways": 8, "llc_kib_per_vcpu": 44, "llc_ways": 11}  # so that random streams fill them
INCLUSIVE = {
    "l1d_kib": 16, "l1d_ways": 4, "l1i_kib": 8, "l1i_ways": 2, "l2_kib": 32, "l2_ways": 4,
    "llc_inclusive": 1, "llc_kib_per_vcpu": 80, "llc_ways": 20, "dtlb_entries": 32, "dtlb_2m_entries": 8, "dtlb_2m_ways": 2,
    "itlb_entries": 16, "itlb_ways": 4, "stlb_entries": 256, "stlb_ways": 2, "stlb_1g_entries": 0,
    "pde_cache": 4, "pdpte_cache": 2, "pml4e_cache": 0, "dram_channels": 1, "dram_banks": 8, "prefetches": 4, "streams": 8,
}  # fmt: skip
"""Another geometry: inclusive, small, few of everything."""
EMPTY_BANK = ROWS["dram_latency"] - ROWS["dram_precharge"]
PLAIN = {"l1_next_line": 0, "l2_adjacent": 0, "streams": 0}
"""No prefetchers."""
TWO_MIB, ONE_GIB, GLOBAL, UNPAGED = 1 << 40, 1 << 41, 1 << 42, 1 << 43


def gpa_of(gva: int) -> int:
    """The harness's mapping: 256 pages of RAM under many names."""
    return ((gva >> 12) * 7 & 255) << 12 | gva & (PAGE - 1)


def gva_of(gpa: int, name: int) -> int:
    """An address that maps there; bits above 20 of `name` tell the names apart."""
    return ((gpa >> 12) * 183 & 255) << 12 | gpa & (PAGE - 1) | name


def walk(gva: int) -> Walk:
    """The harness's page tables."""
    if gva & UNPAGED:
        return Walk((), SMALL, False)
    last = 2 if gva & ONE_GIB else 3 if gva & TWO_MIB else 4
    entries = tuple(0x200000 + i * 0x100000 + (gva >> 39 - 9 * i & 0x1FFFF) * 8 for i in range(last))
    return Walk(entries, {2: HUGE, 3: LARGE, 4: SMALL}[last], bool(gva & GLOBAL))


def stream(rng: random.Random, cpus: int, steps: int):
    """Random accesses: hot lines fought over, wide sweeps, conflicts in a set, code, devices, TLB flushes; clocks drift apart."""
    hot = [rng.randrange(1 << 20) // LINE * LINE for _ in range(8)]
    names = [rng.choice((0, 0, TWO_MIB, ONE_GIB)) | rng.choice((0, GLOBAL)) | rng.randrange(1 << 12) << 20 for _ in range(6)]
    names.append(UNPAGED)
    sweep = [rng.randrange(1 << 20) for _ in range(cpus)]
    for _ in range(steps):
        kind, vcpu = rng.random(), rng.randrange(cpus)
        if kind < 0.3:
            gpa = rng.choice(hot) + rng.randrange(0, 56, 8)
        elif kind < 0.65:
            sweep[vcpu] = (sweep[vcpu] + rng.choice((LINE, LINE, LINE, LINE, -LINE, PAGE))) % (1 << 20)
            gpa = sweep[vcpu]
        elif kind < 0.8:
            gpa = rng.randrange(40) * 64 * LINE + rng.choice((0, 8, 60))
        else:
            gpa = rng.randrange(1 << 20)
        gva = gva_of(gpa, rng.choice(names) if rng.random() < 0.5 else names[vcpu % 6])
        yield vcpu, gpa, gva, rng.choice((1, 4, 8, 8, 16, 64)), rng.random(), rng.randrange(300) * (vcpu + 1)


@pytest.mark.parametrize("geometry", [SMALL_CACHES, INCLUSIVE, SMALL_CACHES | PLAIN], ids=["skylake", "inclusive", "plain"])
@pytest.mark.parametrize("detailed", [False, True], ids=["fast", "detailed"])
@pytest.mark.parametrize("cpus", [1, 2, 5, 16])
@pytest.mark.parametrize("seed", range(2))
def test_the_core_agrees_with_the_referee(cpus: int, seed: int, detailed: bool, geometry: dict[str, int]) -> None:
    rng = random.Random(seed)
    level = DETAILED if detailed else 0
    with TimingWorld(cpus=cpus, **geometry) as world:
        referee = Referee(ROWS | geometry, cpus, walk)
        for step, (vcpu, gpa, gva, size, what, advance) in enumerate(stream(rng, cpus, 3000)):
            if what < 0.004:
                everything = rng.random() < 0.3
                world.lib.u_flush(world.handle, vcpu, everything)
                referee.vcpus[vcpu].tlb.flush(everything)
            elif what < 0.01:
                world.lib.u_drop(world.handle, vcpu, ctypes.c_uint64(gva))
                referee.vcpus[vcpu].tlb.drop(gva)
            write, locked, fetch, dma = what < 0.4, what > 0.9 or what < 0.05, 0.4 <= what < 0.5, 0.5 <= what < 0.54
            dma_read, known = 0.54 <= what < 0.56, rng.random() < 0.97
            size = min(size, 4096) if not (dma or dma_read) else size * 24
            locked = locked and not fetch and not dma and not dma_read
            flags = WRITE * (write and not fetch) | LOCKED * locked | FETCH * fetch | DMA * dma | DMA_READ * dma_read | level
            flags |= NO_GVA * (not known)
            known = known or fetch
            got = world.access(vcpu, gpa, size, flags, advance, gva)
            want = referee.access(
                vcpu, gpa, gva if known else None, size, write=write, locked=locked, fetch=fetch, dma=dma, dma_read=dma_read,
                detailed=detailed, advance=advance, gpa_of=gpa_of,
            )  # fmt: skip
            assert got == want, (step, vcpu, hex(gpa), hex(gva), size, flags)
            if locked and not write and known and rng.random() < 0.7:
                got = world.access(vcpu, gpa, size, WRITE | LOCKED | SAME_BLOCK | level, 0, gva)
                want = referee.access(
                    vcpu, gpa, gva, size, write=True, locked=True, same_block=True, detailed=detailed, gpa_of=gpa_of
                )
                assert got == want, (step, "the store half")
        assert world.lib.u_writebacks(world.handle) == referee.writebacks > 0
        assert world.counters(0)["tlb_walks"] == referee.vcpus[0].tlb.walks > 0


def warm(world: TimingWorld, vcpu: int, gpa: int, flags: int = 0) -> None:
    world.access(vcpu, gpa, 8, flags)


def test_a_hit_costs_nothing_beyond_the_static_cost() -> None:
    with TimingWorld() as world:
        warm(world, 0, 0x1000)
        assert world.access(0, 0x1008) == {}
        assert world.access(0, 0x1008, 8, WRITE) == {}


def test_each_level_costs_its_latency_less_what_is_hidden() -> None:
    with TimingWorld(load_hidden=10, **PLAIN) as world:
        assert world.access(0, 0x40000, 8, NO_GVA) == {"dram": EMPTY_BANK - 10}
        for i in range(1, 9):
            world.access(0, 0x40000 + i * 64 * LINE, 8, NO_GVA)  # the same L1 set, eight more lines
        assert world.access(0, 0x40000, 8, NO_GVA, advance=100) == {"l2": ROWS["l2_latency"] - 10}


def test_the_detailed_level_logs_what_lies_beyond_an_l1_hit() -> None:
    with TimingWorld(**PLAIN) as world:
        assert world.access(0, 0x40000, 8, NO_GVA | DETAILED) == {"dram": EMPTY_BANK - ROWS["load_latency"]}
        assert world.access(0, 0x40008, 8, NO_GVA | DETAILED) == {}
        for i in range(1, 9):
            world.access(0, 0x40000 + i * 64 * LINE, 8, NO_GVA | DETAILED)
        assert world.access(0, 0x40000, 8, NO_GVA | DETAILED) == {"l2": ROWS["l2_latency"] - ROWS["load_latency"]}
        assert world.access(0, 0x40400, 16, FETCH | NO_GVA | DETAILED)["frontend"] > EMPTY_BANK


def test_an_open_row_saves_what_a_closed_one_costs() -> None:
    with TimingWorld(**PLAIN) as world:
        row = ROWS["dram_row_bytes"] * ROWS["dram_channels"]
        same_bank = next(n for n in range(1, 2000) if (n ^ n // 32 ^ n // 1024) % 32 == 0)

        def load(gpa: int) -> int:
            return world.access(0, gpa, 8, NO_GVA | DETAILED, advance=1000)["dram"] + ROWS["load_latency"]

        assert load(0) == EMPTY_BANK
        assert load(LINE) == ROWS["dram_latency"] - ROWS["dram_precharge"] - ROWS["dram_activate"]
        assert load(same_bank * row) == ROWS["dram_latency"]
        assert load(2 * LINE) == ROWS["dram_latency"]


def test_memory_gives_no_more_than_its_bandwidth() -> None:
    with TimingWorld(cpus=16, dram_channels=1, **PLAIN) as world:
        lines = [(vcpu, 0x100000 * vcpu + i * LINE) for i in range(64) for vcpu in range(16)]
        for vcpu, gpa in lines:
            world.access(vcpu, gpa, 8, NO_GVA | DETAILED)
        slowest = max(world.clock(vcpu) for vcpu in range(16))
        assert slowest >= (len(lines) - 1) * ROWS["dram_line16"] // 16


def test_lines_that_leave_the_llc_dirty_take_bandwidth() -> None:
    def cycles(flags: int) -> int:
        with TimingWorld(dram_channels=1, dram_line16=2400, store_hidden=0, load_hidden=0, **SMALL_CACHES, **PLAIN) as world:
            for i in range(8000):
                world.access(0, i * LINE, 8, flags | NO_GVA | LOCKED)
            return world.clock(0)

    assert cycles(WRITE) > 1.2 * cycles(0)


def test_what_the_llc_gives_up_an_inclusive_one_takes_from_everybody() -> None:
    def again(inclusive: int) -> dict[str, int]:
        with TimingWorld(llc_inclusive=inclusive, l2_kib=1024, llc_kib_per_vcpu=1024, llc_ways=2, **PLAIN) as world:
            world.access(0, 0, 8, NO_GVA)
            for i in range(1, 4):
                world.access(0, i * 1024 * 1024 // 2, 8, NO_GVA)  # its set of two in the LLC, not its way of sixteen in the L2
            return world.access(0, 0, 8, NO_GVA, advance=1000)

    assert set(again(1)) == {"dram"}
    assert again(0) == {}


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
    with TimingWorld(cpus=2, **SMALL_CACHES) as world:
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
    with TimingWorld(llc_kib_per_vcpu=44, llc_ways=11, **PLAIN) as world:
        lines = [0x100000 + i * 64 * LINE for i in range(6)]  # one LLC set of 64
        for gpa in lines:
            world.access(0, gpa, 64, DMA)
        found = [set(world.access(0, gpa, 8, NO_GVA | DETAILED)) for gpa in lines]
        assert found == [{"dram"}] * 4 + [{"llc"}] * 2


def test_independent_misses_run_side_by_side_as_far_as_there_are_fill_buffers() -> None:
    with TimingWorld(load_hidden=20, fill_buffers=4, dram_line16=1, dram_precharge=0, dram_activate=0, **PLAIN) as world:
        far = [0x100000 + 5 * PAGE * i for i in range(40)]
        assert [world.access(0, gpa, 8, NO_GVA).get("dram", 0) for gpa in far[:9]] == [205, 0, 0, 0] * 2 + [205]
        assert [world.access(0, gpa, 8, NO_GVA, advance=21).get("dram", 0) for gpa in far[9:13]] == [205] * 4
        assert [world.access(0, gpa, 8, NO_GVA | LOCKED).get("dram", 0) for gpa in far[13:17]] == [225] * 4


def test_a_sweep_streams_and_random_misses_do_not() -> None:
    def per_line(addresses: list[int], **rows: int) -> float:
        with TimingWorld(ram=1 << 28, **rows) as world:
            for gpa in addresses:
                world.access(0, gpa, 8, NO_GVA | DETAILED, advance=2)
            return world.clock(0) / len(addresses)

    sweep = [i * LINE for i in range(20000)]
    backwards, scattered = sweep[::-1], random.Random(3).sample(range(0, 1 << 28, 2 * LINE), 5000)
    open_row = ROWS["dram_latency"] - ROWS["dram_precharge"] - ROWS["dram_activate"]
    for addresses in (sweep, backwards):
        assert per_line(addresses, **PLAIN) > open_row - ROWS["load_latency"]
        assert open_row / ROWS["prefetches"] - 1 < per_line(addresses) < open_row / 4
        assert per_line(addresses, prefetches=4) == pytest.approx(open_row / 4, rel=0.5)
    assert per_line(scattered) > 0.95 * (ROWS["dram_latency"] - ROWS["load_latency"])


def test_a_prefetched_line_is_waited_for_until_it_is_there() -> None:
    with TimingWorld(l1_next_line=0, l2_adjacent=1, streams=0) as world:
        first = world.access(0, 0x10000, 8, NO_GVA | DETAILED)["dram"]
        beside = world.access(0, 0x10040, 8, NO_GVA | DETAILED)  # its pair came while the clock moved by its wait
        assert beside == {"l2": ROWS["l2_latency"] - ROWS["load_latency"]}
        assert first == EMPTY_BANK - ROWS["load_latency"]
        world.access(0, 0x20000, 8, NO_GVA | WRITE)  # a store that nobody waits for: the clock stands
        late = world.access(0, 0x20040, 8, NO_GVA | DETAILED)
        behind_it = ROWS["dram_line16"] // 16 + EMPTY_BANK - ROWS["dram_activate"]
        assert late == {"dram": behind_it - ROWS["load_latency"]}


def test_the_next_line_comes_into_the_l1_ahead_of_a_sweep() -> None:
    def misses(l1_next_line: int) -> int:
        with TimingWorld(l1_next_line=l1_next_line, l2_adjacent=0, streams=0) as world:
            for i in range(64):
                world.access(0, 0x10000 + i * LINE, 8, FETCH)  # into the L2
            for i in range(64):
                world.access(0, 0x10000 + i * LINE, 8, NO_GVA, advance=100)
            return world.counters(0)["l1d_miss"]

    assert misses(0) - misses(1) == 62


def test_a_walk_costs_a_load_for_each_level_it_has_to_read() -> None:
    look_up, in_l1 = ROWS["stlb_latency"] + ROWS["walk_start"], ROWS["load_latency"]
    with TimingWorld(**PLAIN) as world:

        def walk_of(gva: int) -> int:
            return world.access(0, 0x1000, 8, 0, 0, gva).get("tlb", 0)

        walk_of(0)
        world.lib.u_flush(world.handle, 0, True)  # tables now lie in the L1, and nothing is known
        assert walk_of(0) == look_up + 4 * in_l1
        assert walk_of(PAGE) == look_up + in_l1  # the page directory's entry is known
        walk_of(512 * PAGE)
        assert walk_of(0) == walk_of(PAGE) == 0
        walk_of(TWO_MIB)
        world.lib.u_drop(world.handle, 0, ctypes.c_uint64(TWO_MIB))
        assert walk_of(TWO_MIB) == look_up + 3 * in_l1
        assert walk_of(TWO_MIB + 511 * PAGE) == 0  # one entry for all of it


def test_tlbs_reach_as_far_as_the_table_says_and_large_pages_further() -> None:
    def walks(pages: int, name: int, stride: int) -> tuple[int, int]:
        """Look-ups that cost, and walks, in a second round."""
        with TimingWorld() as world:
            for i in range(pages):
                world.access(0, 0x1000, 8, 0, 0, name + i * stride)
            before, paid = world.counters(0)["tlb_walks"], 0
            for i in range(pages):
                paid += "tlb" in world.access(0, 0x1000, 8, 0, 0, name + i * stride)
            return paid, world.counters(0)["tlb_walks"] - before

    assert walks(ROWS["dtlb_entries"], 0, PAGE) == (0, 0)
    assert walks(ROWS["stlb_entries"], 0, PAGE) == (ROWS["stlb_entries"], 0)
    assert walks(2 * ROWS["stlb_entries"], 0, PAGE) == (2 * ROWS["stlb_entries"],) * 2
    assert walks(ROWS["dtlb_2m_entries"], TWO_MIB, 512 * PAGE) == (0, 0)
    assert walks(2 * ROWS["dtlb_2m_entries"], TWO_MIB, 512 * PAGE) == (2 * ROWS["dtlb_2m_entries"], 0)


def test_two_names_of_a_page_are_two_pages_and_global_ones_survive_a_cr3_write() -> None:
    with TimingWorld() as world:
        for name in (0, 1 << 20, GLOBAL):
            assert "tlb" in world.access(0, 0x1000, 8, 0, 0, name)
            assert "tlb" not in world.access(0, 0x1000, 8, 0, 0, name)
        world.lib.u_flush(world.handle, 0, False)
        assert "tlb" in world.access(0, 0x1000, 8, 0, 0, 0)
        assert "tlb" not in world.access(0, 0x1000, 8, 0, 0, GLOBAL)
        world.lib.u_flush(world.handle, 0, True)
        assert "tlb" in world.access(0, 0x1000, 8, 0, 0, GLOBAL)


def test_a_cr3_write_empties_the_tlb() -> None:
    with TimingWorld() as world:
        code = [(0x1000, 16, 0, 0), (0x1010, 16, 0, 0)]
        plain = world.run(code * 10)
        flushed = world.run([(0x1000, 16, CR3, 0), (0x1010, 16, 0, 0)] * 10)
        each = ROWS["stlb_latency"] + ROWS["walk_start"] + 4 * ROWS["load_latency"]
        assert flushed["tlb"] == plain["tlb"] + 10 * each


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
        (
            {"l1d_kib": 48},
            "processor table: the first-level caches must have up to 32 ways of 4 KiB or less, and a power of two of sets",
        ),
        (
            {"stlb_ways": 8},
            "processor table: the second-level TLB must have a power of two of sets, 128 or more, and up to 32 ways",
        ),
        ({"l2_kib": 1000}, "processor table: the L2 must have 2 to 32 ways and a power of two of sets"),
        (
            {"llc_inclusive": 1, "llc_kib_per_vcpu": 704},
            "processor table: an inclusive LLC must be no smaller than the L2",
        ),
        (
            {"ddio_ways": 12},
            "processor table: the LLC must have 2 to 32 ways that divide its size, and 1 or more of them for DDIO",
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
        with TimingWorld(cpus=3, **SMALL_CACHES) as world:
            return [
                world.access(v, gpa, size, WRITE * (what < 0.5), adv, gva)
                for v, gpa, gva, size, what, adv in stream(rng, 3, 2000)
            ]

    assert history() == history()
