# SPDX-License-Identifier: GPL-2.0-or-later
"""What bench.linux_results found, as Markdown tables by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.markdown import number, table, us
from cyclescope.experiments.scale import Scaled
from cyclescope.report.chronos import chronos_rows, percentile_ns, row_of
from cyclescope.report.figures import by_component, figures
from cyclescope.report.functions import busy_functions
from cyclescope.report.intervals import interval
from cyclescope.result import Run

MEMCACHED = "linux:memcached"
TOP = 20
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


def scale_texts(found: Sequence[Scaled]) -> dict[str, str]:
    """Machines of every personality, memcached's on Linux and four vCPUs among them."""
    four = {each.personality: each for each in found if each.cpus == 4}
    return {
        "scale": _scaling(found),
        "locks": lock_text(found),
        "components": _components(four[MEMCACHED]),
        "three-way": _three_way(four),
        "functions": _functions(four[MEMCACHED]),
    }


def _scaling(found: Sequence[Scaled]) -> str:
    head = (
        "", "vCPUs", "capacity (requests/s)", "a vCPU, of one's", "alone: mean (us)", "p99", "at 90 %: mean (us)", "p99",
        "instructions", "busy cycles", "IPC", "system calls",
    )  # fmt: skip
    rows: list[list[str]] = []
    first: dict[str, float] = {}
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


def lock_text(found: Sequence[Scaled]) -> str:
    """What locks cost at capacity, a line a machine."""
    head = (
        "", "vCPUs", "capacity (requests/s)", "`lock`, of busy cycles", "spinning", "LOCKed instructions",
        "`wait.lock` a request (us)", "coherence, all components", "interrupts a request", "IPIs", "lost",
    )  # fmt: skip
    rows = []
    for each in found:
        full = figures(each.full)
        shares = ("lock_share", "lock_spin_share", "lock_atomic_share")
        rows.append(
            [
                f"`{each.personality}`", str(each.cpus), number(each.capacity_rps), *(f"{full[key] * 100:.1f} %" for key in shares),
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
    before = {(each.function, each.component): each.cycles for each in one}
    busy, total = machine.full.busy_cycles, 0
    rows = []
    for each in full[:TOP]:
        total += each.cycles
        rows.append(
            [
                f"`{each.function}`", each.component, number(before.get((each.function, each.component), 0) / alone),
                number(each.cycles / served), number(each.instructions / served), f"{100 * each.cycles / busy:.1f} %",
                f"{100 * total / busy:.1f} %",
            ]
        )  # fmt: skip
    return table(("function", "component", "alone: cycles", "at capacity: cycles", "instructions", "share", "sum"), rows)


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
            us(percentile_ns(run.latency_ps, 99.0)), us(_kernel(run, "Waiting")),
            f"{100 * _kernel(run, 'Running', 'Lock contention', 'Waiting') / (float(run.latency_ps.mean()) / 1000):.0f} %",
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
        kernel = [_kernel(run, name) for name in ("Running", "Lock contention", "Waiting")]
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
