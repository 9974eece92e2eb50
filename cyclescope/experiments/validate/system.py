# SPDX-License-Identifier: GPL-2.0-or-later
"""What vCPUs cost each other and what the system costs a program, each operation with its parts."""

from __future__ import annotations

import re

from cyclescope.experiments.validate.figures import Bound, Figure, row_bound
from cyclescope.experiments.validate.guest import GuestRun, Operations, Parts
from emu.errors import GuestError
from emu.uarch.table import UarchTable

_LOCK = re.compile(r"(\w+)=(\d+)")
LINUX_TICK_HZ = 250
UNIKRAFT = "Unikraft's artefacts at 3.6 GHz: a Linux system call 154 cycles, 222 with mitigations (another processor)"


def judge_lines(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """A modified line's way to the other vCPU, and what sharing one costs."""
    transfer = row_bound(table, "transfer_latency")
    at = {name: value for (name, _), value in run.figures.items()}
    more = table["upgrade_latency"].value + table["mispredict"].value
    hop = Bound(
        low=transfer.low, high=(transfer.high or 0.0) + more, grade=transfer.grade,
        source=f"{transfer.source}; upgrade_latency, for the store to a line just read; mispredict, to leave the waiting loop",
    )  # fmt: skip
    found = [
        _figure("lines", "load of a modified line", at["transfer"], transfer),
        _figure("lines", "ping-pong by compare-and-exchange, one way", at["pingpong_exchange"], transfer),
        _figure("lines", "ping-pong by load and store, one way", at["pingpong_store"], hop),
    ]
    for kind, text in (("sharing", "increment"), ("sharing_locked", "locked increment")):
        same, apart = at[f"{kind}_same"], at[f"{kind}_apart"]
        found.append(_figure("lines", f"{text}, a line of one's own", apart, None))
        worse = Bound(low=apart, high=None, source="false sharing costs", grade="modelled", tolerance=0.0)
        found.append(_figure("lines", f"{text}, a line falsely shared", same, worse))
    return found


def judge_lock(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """lockbench: a ticket lock serves in turn, so a wait is what the others hold and hand over."""
    told = {name: int(value) for name, value in _LOCK.findall(run.console)}
    if "wait_mean" not in told:
        raise GuestError("lockbench printed no figures")
    wait, expected = float(told["wait_mean"]), float(told["expected_wait"])
    turn = Bound(
        low=expected, high=expected, tolerance=0.1, slack=5.0, grade="modelled",
        source="(vCPUs - 1) x (hold + hand-off), both measured by the guest",
    )  # fmt: skip
    found = [_figure("lock", f"{cpus} vCPUs, wait", wait, turn)]
    if cpus > 1:
        found.append(_figure("lock", f"{cpus} vCPUs, hand-off", float(told["handoff_mean"]), None))
    return found


def judge_interrupt(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """Interrupts in ring 0. Parts are those of the handlers and LAPIC accesses; the waiting loops are left out."""
    least = {"timer": ("interrupt_entry", "iret"), "ipi_busy": ("ipi_delivery", "interrupt_entry"),
             "ipi_halted": ("ipi_delivery", "interrupt_entry", "hlt_exit"),
             "ipi_round": ("ipi_delivery", "interrupt_entry", "ipi_delivery", "interrupt_entry")}  # fmt: skip
    names = {"timer": "timer interrupt", "ipi_busy": "IPI to a busy vCPU, seen by the sender",
             "ipi_halted": "IPI to a halted vCPU, seen by the sender", "ipi_round": "IPI there and back"}  # fmt: skip
    found = []
    for (name, _), value in run.figures.items():
        rows = sum(table[row].value for row in least[name])
        bound = Bound(low=rows, high=rows * 2.0, source=f"rows {' + '.join(least[name])} and up to as much again for the handler",
                      grade="assumed", tolerance=0.0)  # fmt: skip
        parts = run.operations[name].cycles
        kept = {component: causes for component, causes in parts.items() if component in ("irq", "timer", "sched")}
        found.append(_figure("interrupts", names[name], value, bound, kept))
    return found


def judge_null_call(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """getpid: the ring crossing and the table look-up."""
    value = run.figures["null_call", 0]
    other = Bound(low=154.0, high=222.0, source=UNIKRAFT, grade="published", tolerance=0.5)
    return [_figure("system", "null system call", value, other, run.operations["null_call"].cycles),
            _sum("null system call", run.operations["null_call"], value)]  # fmt: skip


def judge_fault(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """Fresh pages (the parts hold their mapping and unmapping too) and a handled protection fault."""
    least = Bound(low=table["exception_entry"].value + table["iret"].value, high=None, grade="assumed", tolerance=0.0,
                  source="rows exception_entry + iret, at least")  # fmt: skip
    value = run.figures["fault_protection", 4096]
    return [
        _figure("system", "page fault, fresh page", run.figures["fault_fresh", 4096], least,
                run.operations["fault_fresh"].cycles),
        _figure("system", "protection fault, handler and back", value, least,
                run.operations["fault_protection"].cycles),
        _sum("protection fault", run.operations["fault_protection"], value),
    ]  # fmt: skip


def judge_switch(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """Switches by pipe; the parts are those of a round trip: two switches, two writes, two reads."""
    threads, processes = run.figures["switch_threads", 2], run.figures["switch_processes", 2]
    dearer = Bound(low=threads + table["cr3_write"].value, high=None, grade="assumed", tolerance=0.0,
                   source="a switch between threads, and row cr3_write at least")  # fmt: skip
    return [
        _figure("system", "write and read of a pipe", run.figures["pipe_pair", 1], None,
                run.operations["pipe_pair"].cycles),
        _figure("system", "context switch, threads", threads, None, run.operations["round_threads"].cycles),
        _figure("system", "context switch, processes", processes, dearer, run.operations["round_processes"].cycles),
    ]  # fmt: skip


def judge_tick(run: GuestRun, table: UarchTable, cpus: int) -> list[Figure]:
    """linux_like's tick in a computing program."""
    period = Bound(low=table.hz / LINUX_TICK_HZ, high=table.hz / LINUX_TICK_HZ, tolerance=0.01, grade="published",
                   source=f"personalities/linux_like/kernel/param.h: {LINUX_TICK_HZ} ticks a second")  # fmt: skip
    one = Bound(low=1.0, high=1.0, tolerance=0.0, grade="modelled", source="a timer that never fires early")
    return [
        _figure("system", "tick, time taken", run.figures["tick", 1], None),
        _figure("system", "tick, period", run.figures["tick_period", 1], period),
        Figure(group="system", name="tick, interrupts", value=run.figures["tick_interrupts", 1], unit="interrupts", bound=one),
    ]


def _sum(name: str, operations: Operations, value: float) -> Figure:
    """The ledger's parts must come to what the guest read off its TSC."""
    bound = Bound(low=value, high=value, tolerance=0.03, source="what the guest's own TSC said", grade="measured")
    return _figure("system", f"{name}, sum of its parts", operations.total(), bound)


def _figure(group: str, name: str, value: float, bound: Bound | None, parts: Parts | None = None) -> Figure:
    return Figure(group=group, name=name, value=round(value, 2), unit="cycles", bound=bound, parts=parts or {})
