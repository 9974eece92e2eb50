# SPDX-License-Identifier: GPL-2.0-or-later
"""What a testbed's ledger, counters and request log say of one interval, as a Run."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sequence

from cyclescope.experiments.inputs import digests, input_files
from cyclescope.experiments.machines import processor_table
from cyclescope.experiments.phases import Phase
from cyclescope.experiments.testbed import Testbed
from cyclescope.result import Host, Run
from emu.ledger.accounts import notes
from emu.ledger.events import event_costs
from emu.ledger.flame import collapsed
from emu.ledger.profile import profile_between


class Meter:
    """Looks at a testbed when it is made, and again when it is read."""

    def __init__(self, bed: Testbed) -> None:
        self._bed = bed
        self._before, self._counted, self._happened = bed.snapshot(), bed.counters(), bed.events()
        self._paths = bed.paths()
        bed.follow_requests()
        self._begun, self._cpu, self._host_s, self._events = (
            time.perf_counter(), time.process_time(), bed.host_s, bed.world.events,
        )  # fmt: skip

    def read(
        self,
        phase: Phase,
        *,
        rate_rps: float,
        config_hash: str = "",
        capacity_rps: float = 0.0,
        inputs: Mapping[str, str] | None = None,
    ) -> tuple[Run, Host]:
        """What happened since; the requests are the phase's. The run's sums are checked: EmuBug when one does not come out."""
        wall_s, cpu_s = time.perf_counter() - self._begun, time.process_time() - self._cpu
        bed = self._bed
        accounts, paths = bed.accounts(self._before, bed.snapshot()), bed.paths()
        table = bed.requests.table()
        first_token = bed.client.config.first_token + phase.first
        mine = (table.token >= first_token) & (table.token < first_token + phase.count)
        wasted = sum(accounts.instructions_of(bed.manifest).values())
        busy = accounts.instructions - wasted
        run = Run(
            personality=bed.personality.name,
            title=bed.personality.title,
            kind=bed.personality.kind,
            config_hash=config_hash,
            tokens=table.token[mine],
            latency_ps=(table.end_ps - table.start_ps)[mine],
            start_ps=table.start_ps[mine],
            part_names=table.part_names,
            parts_ps=table.parts_ps[mine],
            request_cycles=table.cycles[mine],
            cycles=accounts.cycles(),
            vcpu_cycles=accounts.vcpu_cycles,
            vcpu_components=accounts.vcpu_components(),
            component_instructions=accounts.component_instructions(),
            instructions=accounts.instructions,
            busy_instructions=busy,
            sent=phase.count,
            lost=phase.lost,
            capacity_rps=capacity_rps,
            rate_rps=rate_rps,
            counters=_minus(bed.counters(), self._counted),
            symbols=accounts.by_symbol(),
            unmapped=accounts.unmapped(),
            events=event_costs(
                {row: count - self._happened[row] for row, count in bed.events().items()}, processor_table(bed.hardware)
            ),
            flame=collapsed(bed.personality.name, accounts),
            slow=bed.slow(table.token[mine], (table.end_ps - table.start_ps)[mine]),
            profile=None if self._paths is None or paths is None else profile_between(self._paths, paths, accounts),
            notes=notes(bed.calls, bed.machine.index, bed.manifest),
            inputs=dict(inputs or {}),
        )
        run.check()
        host = Host(
            wall_s=wall_s,
            cpu_s=cpu_s,
            mips=busy / max(bed.host_s - self._host_s, 1e-9) / 1e6,
            events=bed.world.events - self._events,
            peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )
        return run, host


def inputs_of(bed: Testbed) -> dict[str, str]:
    """SHA-256 of every file that a booted guest is a function of, by name."""
    return digests(input_files(bed.spec, bed.manifest.path, bed.hardware.uarch))


def _minus(later: Sequence[dict[str, int]], earlier: Sequence[dict[str, int]]) -> tuple[dict[str, int], ...]:
    return tuple(
        {name: value - before[name] for name, value in after.items()}
        for after, before in zip(later, earlier, strict=True)
    )
