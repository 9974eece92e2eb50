# SPDX-License-Identifier: GPL-2.0-or-later
"""What one measured run of one personality found.

Invariants, checked by `Run.check`: each request's parts sum to its latency; the components' cycles sum to the vCPUs' time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emu.errors import EmuBug
from emu.ledger.events import EventCost
from emu.ledger.profile import Profile
from emu.ledger.slow import SlowProfile
from nic.ports import Frame

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """One personality's figures; everything here is a function of the run's inputs (host figures live in `Host`).

    Attributes:
        tokens: [requests], the requests' numbers, in the order in which they ended.
        latency_ps: [requests], scheduled arrival to last bit of the answer at the client.
        part_names: `run.COMPONENT` or `wait.REASON`, one a column of parts_ps.
        parts_ps: [requests, parts].
        request_cycles: [requests, causes], cycles that vCPUs ran for each at the detailed level; all 0 at others.
        cycles: component -> cause -> cycles, all vCPUs, of the measured interval.
        component_instructions: component -> instructions, likewise; spinning and idling included.
        vcpu_cycles: each vCPU's time over the same interval.
        symbols: (component, symbol, cycles, instructions), largest first.
        flame: collapsed stacks, `personality;vcpuN;component;symbol cycles`.
        profile: what each call stack cost, if call stacks were followed.
        slow: what slow requests execute that median ones do not, likewise.
    """

    personality: str
    title: str
    kind: str
    config_hash: str
    tokens: NDArray[np.uint64]
    latency_ps: Int64
    start_ps: Int64
    part_names: tuple[str, ...]
    parts_ps: Int64
    request_cycles: Int64
    cycles: dict[str, dict[str, int]]
    vcpu_cycles: tuple[int, ...]
    vcpu_components: tuple[dict[str, int], ...]
    instructions: int
    busy_instructions: int
    sent: int
    lost: int
    capacity_rps: float
    rate_rps: float
    counters: tuple[dict[str, int], ...]
    symbols: tuple[tuple[str, str, int, int], ...]
    unmapped: tuple[tuple[str, int], ...]
    flame: str
    component_instructions: dict[str, int] = field(default_factory=dict)
    profile: Profile | None = None
    slow: SlowProfile | None = None
    events: tuple[EventCost, ...] = ()
    notes: dict[str, dict[int, int]] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    @property
    def cycles_total(self) -> int:
        return sum(self.vcpu_cycles)

    @property
    def busy_cycles(self) -> int:
        """All but component `idle`."""
        return self.cycles_total - sum(self.cycles.get("idle", {}).values())

    def component_cycles(self) -> dict[str, int]:
        """Component -> cycles over all causes and vCPUs, largest first."""
        totals = {name: sum(causes.values()) for name, causes in self.cycles.items()}
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))

    def check(self) -> None:
        """Raises EmuBug when a sum does not come out, naming the first request or vCPU where it does not."""
        if sum(self.component_cycles().values()) != self.cycles_total:
            raise EmuBug(f"{self.personality}: the causes' cycles do not sum to the vCPUs' time")
        off = np.flatnonzero(self.parts_ps.sum(axis=1) != self.latency_ps)
        if off.size:
            raise EmuBug(f"{self.personality}: the parts of request {int(off[0])} do not sum to its latency")
        if (self.parts_ps < 0).any():
            raise EmuBug(f"{self.personality}: a part of a request is negative")
        if int(self.request_cycles.sum()) > self.busy_cycles:
            raise EmuBug(f"{self.personality}: more cycles ran for requests than were busy")
        if self.profile is not None:
            self.profile.check(self.busy_cycles)
        for number, (components, cycles) in enumerate(zip(self.vcpu_components, self.vcpu_cycles, strict=True)):
            if sum(components.values()) != cycles:
                raise EmuBug(f"{self.personality}: the ledger of vCPU {number} does not sum to its time")


@dataclass(frozen=True)
class Host:
    """What the run cost the host; never part of what must be reproducible."""

    wall_s: float
    cpu_s: float
    mips: float
    events: int
    peak_mib: float


@dataclass(frozen=True)
class Outcome:
    """One personality's run, what it cost the host, and the frames at the client (when they were asked for)."""

    run: Run
    host: Host
    wire: list[tuple[int, str, Frame]]
