# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of docs/results.md about unmodified Linux, made again.

    python -m bench.linux_results [--only scale,chronos,variants] [--jobs N] [--write docs/results.md] [--svg FILE]

`scale`: every personality on 1 to 8 vCPUs (`cyclescope scale`): capacity, locks, components, functions, the picture. `chronos`:
memcached on 4 vCPUs over seeds, one at a time and near capacity, beside the published table. `variants`: what might explain the
difference, tried one by one. With `--write`, each table replaces the one between its marks in the file; else all are printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.markdown import deliver, number, table, us
from cyclescope.config import DEFAULT_TIMING, Hardware, Load
from cyclescope.experiments.scale import Scaled, scale
from cyclescope.experiments.seeds import Comparison, compare_seeds, run_comparison
from cyclescope.experiments.workers import host_processors, run_all
from cyclescope.report.chronos import chronos_rows, percentile_ns, row_of
from cyclescope.report.figures import by_component, figures
from cyclescope.report.functions import busy_functions
from cyclescope.report.intervals import interval
from cyclescope.report.scales import scale_picture
from cyclescope.result import Run
from personalities.base import get_personality

NAMES = ("linux_like", "libos", "linux", "linux:memcached")
MEMCACHED = "linux:memcached"
CPUS = (1, 2, 4, 8)
SHARE = 0.9
SEEDS = (1, 2, 3)
TOP = 20
PLAIN, NEAR = Hardware(), Load(load=SHARE, warmup=200, keys=200, flows=256)
PUBLISHED = {  # Kapoor et al., Chronos, SoCC 2012: mean us, 99 %ile us, share
    "Propagation delay": ("< 1", "-", "-"),
    "Switch, forwarding": ("1-4", "40-60", "1 %"),
    "Network path, queueing": ("6", "150", "7 %"),
    "Net serialization": ("1.3", "1.3", "1.4 %"),
    "DMA": ("2.6", "2.6", "3 %"),
    "Kernel": ("76", "1200-2500", "86-95 %"),
    "Application": ("2", "3", "2 %"),
    "Total": ("88", "1356-2656", "100 %"),
}


def scale_tables(jobs: int, requests: int) -> tuple[dict[str, str], str]:
    """The tables by name, and the picture."""
    hardware, load = Hardware(link_bps=100_000_000_000), msgspec.structs.replace(NEAR, requests=requests)
    _, found = scale([get_personality(name) for name in NAMES], hardware, load, CPUS, jobs=jobs)
    return scale_texts(found)


def scale_texts(found: Sequence[Scaled]) -> tuple[dict[str, str], str]:
    """Those of what was found."""
    four = {each.personality: each for each in found if each.cpus == 4}
    tables = {
        "scale": _scaling(found),
        "locks": _locks(found),
        "components": _components(four[MEMCACHED]),
        "three-way": _three_way(four),
        "functions": _functions(four[MEMCACHED]),
    }
    return tables, scale_picture(found, "kvd, and memcached on Linux", SHARE)


def _scaling(found: Sequence[Scaled]) -> str:
    head = (
        "", "vCPUs", "capacity (requests/s)", "a vCPU, of one's", "alone: mean (us)", "p99", "at 90 %: mean (us)", "p99",
        "instructions", "busy cycles", "IPC", "system calls",
    )  # fmt: skip
    rows, first = [], {}
    for each in found:
        one, full, near = (figures(run) for run in (each.one, each.full, each.near))
        base = first.setdefault(each.personality, each.capacity_rps / each.cpus)
        rows.append(
            [
                f"`{each.personality}`", str(each.cpus), number(each.capacity_rps),
                f"{each.capacity_rps / each.cpus / base * 100:.0f} %",
                *(us(x) for x in (one["mean_ns"], one["p99_ns"], near["mean_ns"], near["p99_ns"])),
                number(full["instructions"]), number(full["cycles"]), f"{full['ipc']:.2f}", f"{full['syscalls']:.2f}",
            ]
        )  # fmt: skip
    return table(head, rows)


def _locks(found: Sequence[Scaled]) -> str:
    head = (
        "", "vCPUs", "`lock`, of busy cycles", "spinning", "fetching lock lines", "`wait.lock` a request (us)",
        "coherence, all components", "interrupts a request", "IPIs", "lost",
    )  # fmt: skip
    rows = []
    for each in found:
        full = figures(each.full)
        shares = ("lock_share", "lock_spin_share", "lock_coherence_share")
        rows.append(
            [
                f"`{each.personality}`", str(each.cpus), *(f"{full[key] * 100:.1f} %" for key in shares),
                us(full["lock_wait_ns"]), f"{full['coherence_share'] * 100:.1f} %", f"{sum(full['interrupts']):.2f}",
                f"{full['ipis']:.2f}", str(sum(run.lost for run in (each.one, each.full, each.near))),
            ]
        )  # fmt: skip
    return table(head, rows)


def _components(machine: Scaled) -> str:
    one, full = by_component([machine.one]), by_component([machine.full])
    totals = [sum(value[i] for value in column.values()) for column in (one, full) for i in (0, 1)]
    rows = []
    for name in dict.fromkeys((*full, *one)):
        alone, busy = one.get(name, (0.0, 0.0)), full.get(name, (0.0, 0.0))
        rows.append([name, *map(number, (*alone, *busy)), f"{100 * busy[1] / totals[3]:.1f} %"])
    rows.append(["**all**", *map(number, totals), "100 %"])
    return table(("component", "alone: instructions", "cycles", "at capacity: instructions", "cycles", "share"), rows)


def _three_way(machines: dict[str, Scaled]) -> str:
    """Busy cycles by component near capacity; latencies below."""
    columns = {name: by_component([machine.near]) for name, machine in machines.items()}
    order = sorted({part for column in columns.values() for part in column})
    dearest = {part: max(column.get(part, (0.0, 0.0))[1] for column in columns.values()) for part in order}
    rows = []
    for part in sorted(order, key=lambda part: (-dearest[part], part)):
        rows.append([part, *(number(column.get(part, (0.0, 0.0))[1]) for column in columns.values())])
    near = {name: figures(machine.near) for name, machine in machines.items()}
    lines: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("**busy cycles**", lambda name: number(near[name]["cycles"])),
        ("instructions", lambda name: number(near[name]["instructions"])),
        ("instructions a cycle", lambda name: f"{near[name]['ipc']:.2f}"),
        ("offered (requests/s)", lambda name: number(machines[name].near.rate_rps)),
        ("mean (us)", lambda name: us(near[name]["mean_ns"])),
        ("p99 (us)", lambda name: us(near[name]["p99_ns"])),
        ("kernel, running (us)", lambda name: us(_kernel(machines[name].near, "Running"))),
        ("kernel, waiting and locks (us)", lambda name: us(_kernel(machines[name].near, "Waiting", "Lock contention"))),
        ("application (us)", lambda name: us(_kernel(machines[name].near, "Application"))),
    )
    rows += [[title, *(value(name) for name in machines)] for title, value in lines]
    return table(("", *(f"`{name}`" for name in machines)), rows)


def _kernel(run: Run, *names: str) -> float:
    return sum(row.mean_ns for row in chronos_rows(run) if row.name in names)


def _functions(machine: Scaled) -> str:
    full, one = busy_functions(machine.full), busy_functions(machine.one)
    served, alone = machine.full.latency_ps.size, machine.one.latency_ps.size
    before = {(name, component): cycles for name, component, cycles, _ in one}
    busy, total = machine.full.busy_cycles, 0
    rows = []
    for name, component, cycles, instructions in full[:TOP]:
        total += cycles
        rows.append(
            [
                f"`{name}`", component, number(before.get((name, component), 0) / alone), number(cycles / served),
                number(instructions / served), f"{100 * cycles / busy:.1f} %", f"{100 * total / busy:.1f} %",
            ]
        )  # fmt: skip
    return table(("function", "component", "alone: cycles", "at capacity: cycles", "instructions", "share", "sum"), rows)


# ---- beside Chronos


def chronos_tables(jobs: int, requests: int) -> dict[str, str]:
    """memcached on four vCPUs beside the published rows, means and 99th percentiles over seeds."""
    memcached, base = get_personality(MEMCACHED), msgspec.structs.replace(NEAR, requests=requests)
    light, near = (
        [each.outcomes[0].run for each in compare_seeds([memcached], Hardware(), load, SEEDS, jobs=jobs)]
        for load in (msgspec.structs.replace(base, closed=1), base)
    )
    rows = []
    for title, names in (
        *((name, (name,)) for name in list(PUBLISHED)[:4]),
        ("NIC", ("NIC",)), ("DMA", ("DMA",)), ("Interrupt delivery", ("Interrupt delivery",)),
        ("Processor wake-up", ("Processor wake-up",)), ("Kernel", ("Running", "Lock contention", "Waiting")),
        ("&nbsp;&nbsp;running", ("Running",)), ("&nbsp;&nbsp;lock contention", ("Lock contention",)),
        ("&nbsp;&nbsp;waiting", ("Waiting",)), ("Application", ("Application",)), ("Total", ()),
    ):  # fmt: skip
        rows.append([title, *PUBLISHED.get(title, ("-", "-", "-")), *_seeded(light, names), *_seeded(near, names)])
    head = ["", "Chronos: mean (us)", "p99", "share", "alone: mean (us)", "p99", "share", "at 90 %: mean (us)", "p99", "share"]
    capacity = interval([run.capacity_rps for run in near])
    served = sum(int(run.latency_ps.size) for run in near)
    note = (
        f"\n\n{served:,} requests in {len(near)} seeds each; capacity {capacity.mean:,.0f} ± {capacity.half_width:,.0f} "
        f"requests/s; lost: {sum(run.lost for run in (*light, *near))}."
    )
    return {"chronos": table(head, rows) + note}



def _seeded(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """Mean, 99th percentile and share of the sum of some rows; of the latency where none are named."""
    means, tails, shares = [], [], []
    for run in runs:
        columns = [i for i, part in enumerate(run.part_names) if not names or row_of(part)[1] in names]
        values = run.parts_ps[:, columns].sum(axis=1)
        means.append(float(values.mean()) / 1000)
        tails.append(percentile_ns(values, 99.0))
        shares.append(means[-1] / (float(run.latency_ps.mean()) / 1000))
    mean, tail = interval(means), interval(tails)
    return [
        f"{us(mean.mean)} ± {us(mean.half_width)}", f"{us(tail.mean)} ± {us(tail.half_width)}",
        f"{100 * sum(shares) / len(shares):.1f} %",
    ]  # fmt: skip


# ---- what might explain the difference


@dataclass(frozen=True)
class Variant:
    """A run of its own beside the plain one."""

    title: str
    name: str = MEMCACHED
    hardware: Hardware = PLAIN
    load: Load = NEAR


def _near(**changes: Any) -> Load:
    return msgspec.structs.replace(NEAR, **changes)


VARIANTS = (
    Variant("as above, at 90 % of capacity"),
    Variant("at 50 %", load=_near(load=0.5)),
    Variant("at 99 %", load=_near(load=0.99)),
    Variant("at 120 %: overload", load=_near(load=1.2)),
    Variant("interrupt moderation of 50 us", hardware=Hardware(moderation_us=50)),
    Variant("other hosts' traffic, half of the port's rate", hardware=Hardware(cross_traffic=0.5)),
    Variant("2,000 clients' ports", load=_near(flows=2_000)),
    Variant("over TCP, 200 connections", name="linux", load=_near(connections=200)),
    Variant("kvd, its locks striped", name="linux"),
    Variant("kvd, one global lock", name="linux", load=_near(locks="global")),
    Variant("kvd, a socket and a vCPU a thread", name="linux+pin"),
    Variant("no mitigations", name=f"{MEMCACHED}+unmitigated"),
    Variant("Haswell", hardware=Hardware(uarch="haswell")),
)


def variant_tables(jobs: int, requests: int) -> dict[str, str]:
    """One line a variant."""
    wanted = [
        Comparison(
            (get_personality(each.name),), each.hardware,
            msgspec.structs.replace(each.load, requests=requests), DEFAULT_TIMING,
        )
        for each in VARIANTS
    ]  # fmt: skip
    runs = [outcomes[0].run for _, outcomes in run_all(run_comparison, wanted, "variants", jobs)]
    rows = []
    for variant, run in zip(VARIANTS, runs, strict=True):
        found = figures(run)
        kernel = [_kernel(run, name) for name in ("Running", "Lock contention", "Waiting")]
        rows.append(
            [
                variant.title, number(run.capacity_rps), us(found["mean_ns"]), us(found["p99_ns"]), *map(us, kernel),
                f"{100 * sum(kernel) / found['mean_ns']:.0f} %", number(found["cycles"]), f"{100 * found['lock_share']:.1f} %",
                str(run.lost),
            ]
        )  # fmt: skip
    head = (
        "", "capacity (requests/s)", "mean (us)", "p99 (us)", "kernel: running", "locks", "waiting", "kernel's share",
        "busy cycles", "`lock`", "lost",
    )  # fmt: skip
    return {"variants": table(head, rows)}


def main() -> None:
    """Makes the tables asked for."""
    parser = argparse.ArgumentParser(description="The tables of docs/results.md about unmodified Linux.")
    parser.add_argument("--only", default="scale,chronos,variants", help="which, joined by commas")
    parser.add_argument("--requests", type=int, default=2_000, help="measured requests a run")
    parser.add_argument("--jobs", type=int, default=host_processors())
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the tables of this page")
    parser.add_argument("--svg", type=Path, default=None, help="the picture of scale")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if "scale" in wanted:
        tables, picture = scale_tables(options.jobs, options.requests)
        deliver(tables, options.write)
        if options.svg:
            options.svg.write_text(picture)
    if "chronos" in wanted:
        deliver(chronos_tables(options.jobs, options.requests), options.write)
    if "variants" in wanted:
        deliver(variant_tables(options.jobs, options.requests), options.write)


if __name__ == "__main__":
    main()
