# SPDX-License-Identifier: GPL-2.0-or-later
"""A body's steady state on a processor: cycles, bounds, what each instruction does, the critical chain, micro-ops one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cyclescope.asm.body import Body, Instruction
from cyclescope.asm.bounds import Bottleneck, Bound, Counted, bottleneck_of, bounds_of, port_bound, port_names
from cyclescope.asm.chain import Chain, Edge, longest_chain
from cyclescope.config import Hardware
from cyclescope.experiments.machines import add_machine
from emu.core.binding import BLOCK_FILL
from emu.core.prediction import Insn, Lift, Mode, Prediction, Predictor, Uop, Views
from emu.uarch.table import UarchTable
from emu.uarch.table import load as load_table
from emu.world import World

MAX_VIEWS = 1 << 16
NO_PORT = -1

_Key = tuple[int, int, bool]  # instruction, its micro-op, the stack engine's

_NOTES = (
    (Insn.FUSED, "macro-fused with next"), (Insn.JOINED, "macro-fused"), (Insn.MICRO_FUSED, "micro-fused"),
    (Insn.UNLAMINATED, "unlaminated"), (Insn.MOVE, "eliminated"), (Insn.ZERO, "zero idiom"), (Insn.NOP, "no-op"),
    (Insn.LOCKED, "locked"), (Insn.SERIAL, "serialises"), (Insn.REP, "REP: not counted"), (Insn.MICROCODED, "microcoded"),
    (Insn.COMPLEX, "complex decoder"), (Insn.LCP, "length-changing prefix"), (Insn.UNCOSTED, "not in the table: default row"),
    (Insn.UNPIPELINED, "holds its unit"),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One instruction. `decoded` and `issued` are fused micro-ops; `uops` take a port: `pressure`, by port, an iteration."""

    instruction: Instruction
    decoded: int
    issued: int
    uops: int
    ports: str
    pressure: dict[int, float]
    latency: int | None
    throughput: float | None
    notes: tuple[str, ...]
    critical: bool


@dataclass(frozen=True)
class Analysis:
    """Figures are per iteration, in steady state, of `mode`; `cycles` has both modes'."""

    uarch: str
    body: Body
    mode: Mode
    cycles: dict[Mode, float]
    iterations: int
    slots: float
    uops: float
    bounds: list[Bound]
    bottleneck: Bottleneck
    rows: list[Row]
    ports: tuple[int, ...]
    chain: Chain[_Key] | None
    lost: dict[str, float]
    notes: tuple[str, ...]
    views: Views = field(repr=False)

    @property
    def per_iteration(self) -> float:
        """Cycles an iteration in the chosen mode."""
        return self.cycles[self.mode]

    @property
    def ipc(self) -> float:
        """Instructions a cycle."""
        return len(self.rows) / self.per_iteration if self.per_iteration else 0.0

    @property
    def chain_instructions(self) -> list[int]:
        """Numbers of the instructions around the chain, each waiting for the one before; the smallest first."""
        numbers: list[int] = []
        for edge in self.chain.edges if self.chain is not None else ():
            number = self.rows[edge.to[0]].instruction.number
            if not numbers or numbers[-1] != number:
                numbers.append(number)
        if len(numbers) > 1 and numbers[0] == numbers[-1]:
            numbers.pop()
        first = numbers.index(min(numbers)) if numbers else 0
        return numbers[first:] + numbers[:first]


def analyse(body: Body, uarch: str, mode: Mode, *, iterations: int = 0, fill: int = BLOCK_FILL) -> Analysis:
    """Both modes are run; the rest is of `mode`. `iterations` 0: as many as a steady state takes."""
    table = load_table(uarch)
    with World() as world:
        machine = add_machine(world, Hardware(cpus=1, uarch=uarch))
        predictor = Predictor(world.core, machine.index)

        def run(lift: Lift = Lift(0), how: Mode = mode, views: int = 0) -> Prediction:
            return predictor.predict(body.code, how, copies=iterations, lift=lift, fill=fill, views=views)

        cycles = {how: run(how=how).per_iteration for how in Mode}
        told = run(views=MAX_VIEWS)
        steady = _steady(told)
        chain = longest_chain(_edges(told, table))
        by_mask = _by_mask(steady.views)
        ports, mask = port_bound({m: n / steady.iterations for m, n in by_mask.items()})
        width = table["issue_width"].value
        slots = sum(1 for flags in steady.views["flags"] if not flags & Uop.FUSED) / steady.iterations
        counted = Counted(
            slots / width,
            width,
            ports,
            mask,
            float(chain.cycles) if chain else 0.0,
            bool(chain and any(e.memory for e in chain.edges)),
        )
        bounds = bounds_of(lambda lift: run(lift).per_iteration, cycles[mode], counted)
        bottleneck = bottleneck_of(bounds, cycles[mode])
    rows = _rows(body, told, steady, table, chain)
    retire = table["retire_width"].value * told.copies
    return Analysis(
        uarch, body, mode, cycles, told.copies, slots, sum(by_mask.values()) / steady.iterations, bounds, bottleneck, rows,
        _all_ports(table), chain, {cause: n / retire for cause, n in told.slots.items() if n}, _notes(body, rows), told.uops,
    )  # fmt: skip


@dataclass(frozen=True)
class _Steady:
    """The recorded micro-ops of whole iterations, the first half left out."""

    views: Views
    iterations: int
    last: int


def _steady(told: Prediction) -> _Steady:
    numbers = told.uops["iteration"]
    last = int(numbers[-1]) if len(numbers) else 0
    whole = last + 1 if len(numbers) < MAX_VIEWS else max(last, 1)
    first = whole // 2
    return _Steady(told.uops[(numbers >= first) & (numbers < whole)], whole - first, whole - 1)


def _key(view: Views) -> _Key:
    return int(view["instruction"]), int(view["index"]), bool(view["flags"] & Uop.SYNC)


def _own_latency(view: Views) -> int:
    if view["flags"] & Uop.MOVE or (view["port"] < 0 and not view["flags"] & Uop.SERIAL):
        return 0
    took = int(view["done"] - view["dispatched"])
    return min(took, int(view["latency"])) if view["store"] >= 0 else took


def _edges(told: Prediction, table: UarchTable) -> list[Edge[_Key]]:
    """Who waits for whom, in the last whole iteration."""
    views, last = told.uops, _steady(told).last
    edges = []
    for view in views[views["iteration"] == last]:
        for source in (int(s) for s in view["from"] if s >= 0):
            of = views[source]
            edges.append(Edge(_key(of), _key(view), _own_latency(view), last - int(of["iteration"])))
        if view["store"] >= 0:
            of = views[int(view["store"])]
            row = "store_blocked" if view["flags"] & Uop.BLOCKED else "store_forward"
            edges.append(Edge(_key(of), _key(view), table[row].value, last - int(of["iteration"]), memory=True))
    return edges


def _by_mask(views: Views) -> Counter[int]:
    return Counter(int(ports) for ports in views["ports"] if ports)


def _rows(body: Body, told: Prediction, steady: _Steady, table: UarchTable, chain: Chain[_Key] | None) -> list[Row]:
    throughput = {form.name: form.throughput for form in table.forms}
    critical = {edge.to[0] for edge in chain.edges} if chain else set()
    rows = []
    for number, (instruction, view) in enumerate(zip(body.instructions, told.insns, strict=True)):
        mine = steady.views[steady.views["instruction"] == number]
        flags = Insn(int(view["flags"]))
        pressure = Counter(int(port) for port in mine["port"] if port >= 0)
        one = mine[(mine["iteration"] == steady.last) & (mine["flags"] & Uop.SYNC == 0)]
        notes = [text for flag, text in _NOTES if flag in flags]
        if any(mine["flags"] & Uop.SYNC):
            notes.append("stack pointer synchronised")
        if any(mine["flags"] & Uop.BLOCKED):
            notes.append("store forwarding fails")
        rows.append(
            Row(
                instruction, int(view["decoded"]), int(view["issued"]), int(view["uops"]),
                "+".join(f"{n}*{port_names(mask)}" for mask, n in sorted(_by_mask(one).items())),
                {port: n / steady.iterations for port, n in sorted(pressure.items())},
                _latency(one, told.uops) if not flags & Insn.JOINED else None, throughput.get(view["form"].decode()),
                tuple(notes), number in critical,
            )
        )  # fmt: skip
    return rows


def _latency(one: Views, views: Views) -> int | None:
    """The longest way through its own micro-ops, stores apart: None if it only stores."""
    computing = one[one["flags"] & (Uop.STORE_ADDRESS | Uop.STORE_DATA) == 0]
    if not len(computing):
        return None if len(one) else 0
    done: dict[_Key, int] = {}
    for view in computing:
        before = [
            done.get(_key(views[int(s)]), 0)
            for s in view["from"]
            if s >= 0 and views[int(s)]["iteration"] == view["iteration"]
        ]
        done[_key(view)] = max(before, default=0) + _own_latency(view)
    return max(done.values())


def _all_ports(table: UarchTable) -> tuple[int, ...]:
    mask = 0
    for form in table.forms:
        for _, ports in form.ports:
            mask |= ports
    return tuple(port for port in range(16) if mask >> port & 1)


def _notes(body: Body, rows: list[Row]) -> tuple[str, ...]:
    notes = list(body.notes)
    for flag, sentence in (
        ("not in the table: default row", "The table lacks {}: the default row's figures are used."),
        ("REP: not counted", "How often {} repeats depends on RCX: its iterations are not counted."),
    ):
        those = [f"{row.instruction.number} ({row.instruction.text})" for row in rows if flag in row.notes]
        if those:
            notes.append(sentence.format(", ".join(those)))
    return tuple(notes)
