# SPDX-License-Identifier: GPL-2.0-or-later
"""Events: everything that has a row of its own in the processor table, how often it happened, and what that cost.

A row is what an event costs beside its memory accesses, which are simulated, and beside the instructions around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emu.uarch.table import UarchTable

CHARGED_TO = {
    "interrupt_entry": "event", "exception_entry": "event", "hlt_exit": "idle", "ipi_delivery": "delay",
    "interrupt_delivery": "delay", "lapic_access": "device", "mmio_read": "device", "mmio_write": "device",
    "pio_read": "device", "pio_write": "device",
}  # fmt: skip
"""The ledger's cause for what is no instruction (those are `serialising`); `delay`: nobody's cycles, an interrupt on its way."""


@dataclass(frozen=True, slots=True)
class EventCost:
    """One kind of event over an interval."""

    row: str
    count: int
    each_cycles: int
    charged_to: str
    grade: str

    @property
    def cycles(self) -> int:
        """Over all of them."""
        return self.count * self.each_cycles


def event_costs(counts: Mapping[str, int], table: UarchTable) -> tuple[EventCost, ...]:
    """Those that happened, dearest first."""
    costs = [
        EventCost(name, count, table[name].value, CHARGED_TO.get(name, "serialising"), table[name].grade.value)
        for name, count in counts.items()
        if count
    ]
    return tuple(sorted(costs, key=lambda cost: (-cost.cycles, cost.row)))
