# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope asm --json`: everything that is known, as plain data. Cycles of micro-ops count from the first issue."""

from __future__ import annotations

from cyclescope.asm.analysis import Analysis, Row
from cyclescope.asm.runner import Ran
from emu.core.prediction import Mode, Uop

MAX_TIMELINE = 4096
_STAGES = ("delivered", "issued", "ready", "dispatched", "done", "retired")


def document(analysis: Analysis, ran: Ran | None) -> dict[str, object]:
    """At most MAX_TIMELINE micro-ops of the first iterations are in `timeline`."""
    chain = analysis.chain
    return {
        "uarch": analysis.uarch,
        "mode": analysis.mode.name.lower(),
        "loop": analysis.body.loop,
        "cycles_per_iteration": analysis.per_iteration,
        "cycles_per_iteration_loop": analysis.cycles[Mode.LOOP],
        "cycles_per_iteration_unrolled": analysis.cycles[Mode.UNROLLED],
        "iterations": analysis.iterations,
        "instructions_per_cycle": analysis.ipc,
        "fused_uops_per_iteration": analysis.slots,
        "uops_per_iteration": analysis.uops,
        "bottleneck": {"bounds": list(analysis.bottleneck.keys), "text": analysis.bottleneck.text},
        "bounds": [{"key": b.key, "name": b.name, "alone": b.alone, "without": b.without} for b in analysis.bounds],
        "lost_cycles": analysis.lost,
        "critical_chain": None
        if chain is None
        else {
            "cycles_per_iteration": float(chain.cycles),
            "iterations": sum(edge.distance for edge in chain.edges),
            "instructions": analysis.chain_instructions,
            "through_memory": any(edge.memory for edge in chain.edges),
        },
        "left_out": [{"number": i.number, "hex": i.code.hex(), "text": i.text} for i in analysis.body.left_out],
        "instructions": [_row(row) for row in analysis.rows],
        "ports": [f"p{port}" for port in analysis.ports],
        "notes": list(analysis.notes),
        "timeline": _timeline(analysis),
        "run": None
        if ran is None
        else {
            "exit_code": ran.exit_code,
            "message": ran.message,
            "cycles": ran.cycles,
            "instructions": ran.instructions,
            "registers": ran.registers,
        },
    }


def _row(row: Row) -> dict[str, object]:
    return {
        "number": row.instruction.number,
        "offset": row.instruction.offset,
        "hex": row.instruction.code.hex(),
        "text": row.instruction.text,
        "decoded_uops": row.decoded,
        "issued_uops": row.issued,
        "uops": row.uops,
        "ports": row.ports,
        "pressure": {f"p{port}": load for port, load in row.pressure.items()},
        "latency": row.latency,
        "throughput": row.throughput,
        "notes": list(row.notes),
        "critical": row.critical,
    }


def _timeline(analysis: Analysis) -> list[dict[str, object]]:
    views = analysis.views[:MAX_TIMELINE]
    start = int(views["issued"].min()) if len(views) else 0
    return [
        {
            "iteration": int(view["iteration"]),
            "instruction": analysis.rows[int(view["instruction"])].instruction.number,
            "uop": int(view["index"]),
            "port": f"p{int(view['port'])}" if view["port"] >= 0 else None,
            "kinds": [flag.name.lower() for flag in Uop(int(view["flags"])) if flag.name],
            **{stage: int(view[stage]) - start for stage in _STAGES},
        }
        for view in views
    ]
