# SPDX-License-Identifier: GPL-2.0-or-later
"""Latencies and bandwidths of the memory system as guests see them, against the processor table's rows."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from cyclescope.experiments.validate.figures import Bound, Figure, row_bound
from cyclescope.experiments.validate.guest import GuestRun
from emu.uarch.table import UarchTable

KIB = 1024
CHASE = "pointer chase"
PLATEAUS = ("L1, a load", "L2, a load", "LLC, a load", "DRAM, a load")
PORTS_OF = ("skylake_sp", "haswell")
"""Tables whose load and store ports the bandwidths' bounds speak of."""
NOTHING_CYCLES = 1.0
"""Of a load, that counts as no cost."""


def vcpus_for(table: UarchTable) -> int:
    """So many vCPUs' slices make an LLC several times the L2, whose plateau is one; all but one of them sleep."""
    l2, llc = table["l2_kib"].value, table["llc_kib_per_vcpu"].value
    return next((cpus for cpus in (1, 2, 4, 8) if llc * cpus * 5 // 8 >= 4 * l2), 16)


def judge_chase(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """One figure a plateau, the median of the sizes that lie well inside the level, then every size."""
    l1, l2 = table["l1d_kib"].value * KIB, table["l2_kib"].value * KIB
    llc = table["llc_kib_per_vcpu"].value * KIB * cpus
    plain = run.of("chase")
    levels = (
        ("load_latency_chased", 0, l1 * 3 // 4),
        ("l2_latency", 2 * l1, l2 // 2),
        ("llc_latency", 2 * l2, llc * 5 // 8),
        ("dram_latency", 4 * llc, 1 << 62),
    )
    found = []
    for name, (row, least, most) in zip(PLATEAUS, levels, strict=True):
        inside = {size: value for size, value in plain.items() if least <= size <= most}
        if inside:
            found.append(
                Figure(
                    group=CHASE, name=name, value=round(median(inside.values()), 2), unit="cycles",
                    bound=row_bound(table, row), span=(min(inside), max(inside)),
                )
            )  # fmt: skip
    if indexed := [value for size, value in run.of("chase_indexed").items() if size <= levels[0][2]]:
        bound = row_bound(table, "load_latency")
        found.append(_figure(CHASE, "L1, a load with an index register", median(indexed), bound))
    return [*found, *_points(CHASE, plain, "cycles/load")]


def sizes_of(figures: Sequence[Figure]) -> dict[int, float]:
    """Size -> cycles a load of the chase's points."""
    return {figure.param: figure.value for figure in figures if figure.group == CHASE and figure.param is not None}


def judge_reach(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """What 4 KiB pages cost more than 2 MiB ones, and up to how many pages they do not."""
    small, large = run.of("reach_small"), run.of("reach_large")
    extra = {pages: round(small[pages] - large[pages], 2) for pages in sorted(small.keys() & large.keys())}
    first, second = table["dtlb_entries"].value, table["stlb_entries"].value
    between = [cycles for pages, cycles in extra.items() if 2 * first <= pages <= second * 5 // 6]
    beyond = [cycles for pages, cycles in extra.items() if pages >= second * 4 // 3]
    found = []
    if between:
        free = max((pages for pages, cycles in extra.items() if cycles < NOTHING_CYCLES), default=0)
        found.append(_figure("TLB", "pages before the first step", free, _reach(table, "dtlb_entries"), "pages"))
        stlb = row_bound(table, "stlb_latency", tolerance=0.1, slack=0.5)
        found.append(_figure("TLB", "a load that hits the STLB, more", median(between), stlb))
    if between and beyond:
        half = (median(between) + median(beyond)) / 2
        held = max((pages for pages, cycles in extra.items() if cycles < half), default=0)
        found.append(_figure("TLB", "pages before the second step", held, _reach(table, "stlb_entries"), "pages"))
        least = Bound(
            low=table["stlb_latency"].value + 1.0, high=None, tolerance=0.0, grade="modelled",
            source="a walk costs more than the STLB it missed",
        )  # fmt: skip
        found.append(_figure("TLB", "a load that walks, more", median(beyond), least))
    return [*found, *_points("TLB", extra, "cycles/load")]


def judge_bandwidth(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """Bytes a cycle; bounded by what the load and store ports move from the L1, which nothing may exceed."""
    ports = "two 16-byte loads and one store a cycle (uops.info, MOVDQA: 0.50 and 1.00 cycles)"
    limits = {"read": 32.0, "write": 16.0, "copy": 32.0} if table.name in PORTS_OF else {}
    found = []
    for name in ("read", "write", "copy", "rep_copy"):
        sizes = run.of(name)
        for size, value in sizes.items():
            bound = None
            if name == "read" and size > 4 * table["llc_kib_per_vcpu"].value * KIB * cpus:
                bound = _little(table)
            elif name in limits:
                low = 0.75 * limits[name] if size <= table["l1d_kib"].value * KIB // 2 else None
                bound = Bound(low=low, high=limits[name], source=ports, grade="published", tolerance=0.01)
            found.append(_figure("bandwidth", f"{name.replace('_', ' ')}, {size_text(size)}", value, bound, "bytes/cycle"))
        ordered = [sizes[size] for size in sorted(sizes)]
        if len(ordered) > 1:
            why = "what the L1 holds moves faster than what only DRAM holds"
            falls = Bound(low=2.0, high=None, source=why, grade="modelled", tolerance=0.0)
            ratio = round(ordered[0] / max(ordered[-1], 0.01), 2)
            found.append(
                _figure("bandwidth", f"{name.replace('_', ' ')}, smallest over largest", ratio, falls, "ratio")
            )
    return found


def _little(table: UarchTable) -> Bound:
    """Reading memory in order: lines under way over their latency, by the shorter queue, to the longer one in open rows."""
    slow = table["dram_latency"].value
    fast = slow - table["dram_precharge"].value - table["dram_activate"].value
    short, long = sorted((table["fill_buffers"].value, table["prefetches"].value))
    return Bound(
        low=round(64 * short / slow, 2), high=round(64 * long / fast, 2), grade="modelled",
        source="lines under way (fill_buffers, prefetches) over dram_latency, or over it less dram_precharge and dram_activate",
    )  # fmt: skip


def size_text(size: int) -> str:
    """`64 KiB`."""
    for unit, text in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:g} {text}"
    return f"{size} B"


def _reach(table: UarchTable, row: str) -> Bound:
    """The last size tried that fits is the reach itself or, with other pages in the TLB, the one before."""
    return row_bound(table, row, tolerance=0.02)


def _figure(group: str, name: str, value: float, bound: Bound | None, unit: str = "cycles") -> Figure:
    return Figure(group=group, name=name, value=round(value, 2), unit=unit, bound=bound)


def _points(group: str, values: dict[int, float], unit: str) -> list[Figure]:
    return [
        Figure(group=group, name=size_text(param) if group == CHASE else f"{param} pages", value=y, unit=unit, param=param)
        for param, y in values.items()
    ]
