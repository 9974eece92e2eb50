# SPDX-License-Identifier: GPL-2.0-or-later
"""What bench.linux_results found, as Markdown tables by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.markdown import number, table, us
from cyclescope.experiments.scale import PHASES, Scaled
from cyclescope.report.chronos import chronos_rows, percentile_ns, row_of
from cyclescope.report.figures import figures
from cyclescope.report.functions import busy_functions
from cyclescope.report.intervals import interval
from cyclescope.report.scales import point
from cyclescope.result import Run

MEMCACHED = "linux:memcached"
TOP = 20
NOTHING = {"instructions": 0.0, "cycles": 0.0}
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


def measured(each: Scaled) -> dict[str, Any]:
    """What the tables need of a machine: plain, so that it can be kept in a file."""
    found = point(each)
    dearest = {(row.function, row.component) for row in busy_functions(each.full)[:TOP]}
    for phase in PHASES:
        run = getattr(each, phase)
        served = int(run.latency_ps.size)
        found[phase]["rows_ns"] = {row.name: row.mean_ns for row in chronos_rows(run)}
        found[phase]["functions"] = [
            [row.function, row.component, row.cycles / served, row.instructions / served]
            for row in busy_functions(run)
            if (row.function, row.component) in dearest
        ]
    found["lost"] = sum(getattr(each, phase).lost for phase in PHASES)
    return found


def scale_texts(points: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Machines of every personality, memcached's on Linux and four vCPUs among them."""
    four = {each["personality"]: each for each in points if each["cpus"] == 4}
    return {
        "scale": _scaling(points),
        "locks": lock_text(points),
        "components": _components(four[MEMCACHED]),
        "three-way": _three_way(four),
        "functions": _functions(four[MEMCACHED]),
    }


def _scaling(points: Sequence[dict[str, Any]]) -> str:
    head = (
        "", "vCPUs", "capacity (requests/s)", "a vCPU, of one's", "alone: mean (us)", "p99", "at 90 %: mean (us)", "p99",
        "instructions", "busy cycles", "IPC", "system calls",
    )  # fmt: skip
    rows: list[list[str]] = []
    first: dict[str, float] = {}
    for each in points:
        one, full, near = (each[phase] for phase in PHASES)
        base = first.setdefault(each["personality"], each["capacity_rps"] / each["cpus"])
        rows.append(
            [
                f"`{each['personality']}`", str(each["cpus"]), number(each["capacity_rps"]),
                f"{each['capacity_rps'] / each['cpus'] / base * 100:.0f} %",
                *(us(x) for x in (one["mean_ns"], one["p99_ns"], near["mean_ns"], near["p99_ns"])),
                number(full["instructions"]), number(full["cycles"]), f"{full['ipc']:.2f}", f"{full['syscalls']:.2f}",
            ]
        )  # fmt: skip
    return table(head, rows)


def lock_text(points: Sequence[dict[str, Any]]) -> str:
    """What locks cost at capacity, a line a machine."""
    head = (
        "", "vCPUs", "capacity (requests/s)", "`lock`, of busy cycles", "spinning", "LOCKed instructions",
        "`wait.lock` a request (us)", "coherence, all components", "interrupts a request", "IPIs", "lost",
    )  # fmt: skip
    shares = ("lock_share", "lock_spin_share", "lock_atomic_share")
    rows = [
        [
            f"`{each['personality']}`", str(each["cpus"]), number(each["capacity_rps"]),
            *(f"{full[key] * 100:.1f} %" for key in shares), us(full["lock_wait_ns"]), f"{full['coherence_share'] * 100:.1f} %",
            f"{sum(full['interrupts']):.2f}", f"{full['ipis']:.2f}", str(each["lost"]),
        ]
        for each in points
        for full in (each["full"],)
    ]  # fmt: skip
    return table(head, rows)


def _components(machine: dict[str, Any]) -> str:
    one, full = machine["one"]["components"], machine["full"]["components"]
    kinds = ("instructions", "cycles")
    totals = [sum(value[kind] for value in column.values()) for column in (one, full) for kind in kinds]
    rows = []
    for name in sorted({*full, *one}, key=lambda name: -full.get(name, NOTHING)["cycles"]):
        values = [column.get(name, NOTHING)[kind] for column in (one, full) for kind in kinds]
        rows.append([name, *map(number, values), f"{100 * values[3] / totals[3]:.1f} %"])
    rows.append(["**all**", *map(number, totals), "100 %"])
    return table(("component", "alone: instructions", "cycles", "at capacity: instructions", "cycles", "share"), rows)


def _three_way(machines: dict[str, dict[str, Any]]) -> str:
    """Busy cycles by component near capacity; latencies below."""
    near = {name: machine["near"] for name, machine in machines.items()}
    cycles = {
        part: [each["components"].get(part, NOTHING)["cycles"] for each in near.values()]
        for part in sorted({part for each in near.values() for part in each["components"]})
    }
    rows = [[part, *map(number, cycles[part])] for part in sorted(cycles, key=lambda part: -max(cycles[part]))]
    lines: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
        ("**busy cycles**", lambda each: number(each["cycles"])),
        ("instructions", lambda each: number(each["instructions"])),
        ("instructions a cycle", lambda each: f"{each['ipc']:.2f}"),
        ("offered (requests/s)", lambda each: number(each["rate_rps"])),
        ("mean (us)", lambda each: us(each["mean_ns"])),
        ("p99 (us)", lambda each: us(each["p99_ns"])),
        ("kernel, running (us)", lambda each: us(each["rows_ns"]["Running"])),
        ("kernel, waiting and locks (us)", lambda each: us(each["rows_ns"]["Waiting"] + each["rows_ns"]["Lock contention"])),
        ("application (us)", lambda each: us(each["rows_ns"]["Application"])),
    )
    rows += [[title, *(value(each) for each in near.values())] for title, value in lines]
    return table(("", *(f"`{name}`" for name in machines)), rows)


def _functions(machine: dict[str, Any]) -> str:
    before = {(name, component): cycles for name, component, cycles, _ in machine["one"]["functions"]}
    busy, total = machine["full"]["cycles"], 0.0
    rows = []
    for name, component, cycles, instructions in machine["full"]["functions"]:
        total += cycles
        rows.append(
            [
                f"`{name}`", component, number(before.get((name, component), 0.0)), number(cycles), number(instructions),
                f"{100 * cycles / busy:.1f} %", f"{100 * total / busy:.1f} %",
            ]
        )  # fmt: skip
    return table(("function", "component", "alone: cycles", "at capacity: cycles", "instructions", "share", "sum"), rows)


def kernel_ns(run: Run, *names: str) -> float:
    return sum(row.mean_ns for row in chronos_rows(run) if row.name in names)


def chronos_texts(light: Sequence[Run], near: Sequence[Run]) -> dict[str, str]:
    """The tables of what was found, a run a seed."""
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
    served = [sum(int(run.latency_ps.size) for run in runs) for runs in (light, near)]
    note = (
        f"\n\n{served[0]:,} requests alone and {served[1]:,} at 90 %; capacity {capacity.mean:,.0f} ± {capacity.half_width:,.0f} "
        f"requests/s; lost: {sum(run.lost for run in (*light, *near))}."
    )
    return {"chronos": table(head, rows) + note, "seeds": _seed_by_seed(near)}


def _seed_by_seed(runs: Sequence[Run]) -> str:
    rows = [
        [
            f"{seed}", number(run.rate_rps), us(float(run.latency_ps.mean()) / 1000), us(percentile_ns(run.latency_ps, 50.0)),
            us(percentile_ns(run.latency_ps, 99.0)), us(kernel_ns(run, "Waiting")),
            f"{100 * kernel_ns(run, 'Running', 'Lock contention', 'Waiting') / (float(run.latency_ps.mean()) / 1000):.0f} %",
            _each_busy(run),
        ]
        for seed, run in enumerate(runs, 1)
    ]  # fmt: skip
    head = ("seed", "offered (requests/s)", "mean (us)", "median", "p99", "kernel, waiting", "kernel's share", "each vCPU busy")
    return table(head, rows)


def _each_busy(run: Run) -> str:
    """Each vCPU's busy share; with losses the end of the run is a wait for timeouts, which says nothing."""
    if run.lost:
        return "-"
    idle = [parts.get("idle", 0) / cycles for parts, cycles in zip(run.vcpu_components, run.vcpu_cycles, strict=True)]
    return ", ".join(f"{100 * (1 - share):.0f}" for share in idle) + " %"



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


def variant_texts(titles: Sequence[str], runs: Sequence[Run]) -> dict[str, str]:
    """A line a run."""
    rows = []
    for title, run in zip(titles, runs, strict=True):
        found = figures(run)
        kernel = [kernel_ns(run, name) for name in ("Running", "Lock contention", "Waiting")]
        rows.append(
            [
                title, number(run.capacity_rps), us(found["mean_ns"]), us(found["p99_ns"]), *map(us, kernel),
                f"{100 * sum(kernel) / found['mean_ns']:.0f} %", number(found["cycles"]), f"{100 * found['lock_share']:.1f} %",
                _each_busy(run), str(run.lost),
            ]
        )  # fmt: skip
    head = (
        "", "capacity (requests/s)", "mean (us)", "p99 (us)", "kernel: running", "locks", "waiting", "kernel's share",
        "busy cycles", "`lock`", "each vCPU busy", "lost",
    )  # fmt: skip
    return {"variants": table(head, rows)}
