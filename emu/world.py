# SPDX-License-Identifier: GPL-2.0-or-later
"""The World: machines, devices' events, and one clock.

`run` alternates between the core, which runs all vCPUs up to the next event, and the handlers of the events that are then due.
Inside a guest's device access the clock is the access's own time; inside a handler it is the event's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from emu.clock import NEVER_PS, Event, EventQueue, Handler, Payload
from emu.core.binding import Core, CoreStop, Level, Stop
from emu.errors import EmuBug
from emu.hang import HALTED, stuck
from emu.machine import Machine, MachineConfig
from emu.sigint import StopOnSignal
from emu.state import Count, Data, State, Time, checked, need, plain
from emu.units import PS_PER_MS, PS_PER_US

FUNCTIONAL_SLACK_PS = 20 * PS_PER_US  # how late guests may see an event at the functional level
HANG_CHECK_PS = 100 * PS_PER_MS  # guest time between looks for a hang


class Reason(StrEnum):
    """Why a run ended."""

    UNTIL = "until"  # the time asked for was reached
    EXIT = "exit"  # the guest wrote the debug-exit port: value
    RESET = "reset"
    POWER_OFF = "power-off"
    TRIPLE_FAULT = "triple-fault"
    CYCLE_LIMIT = "cycle-limit"
    NO_PROGRESS = "no-progress"  # every vCPU is halted, or jumps to itself with interrupts off, for good
    INTERRUPTED = "interrupted"  # by our user
    REQUESTED = "requested"  # a handler called World.stop


_REASONS = {
    Stop.EXIT: Reason.EXIT,
    Stop.TRIPLE_FAULT: Reason.TRIPLE_FAULT,
    Stop.CYCLE_LIMIT: Reason.CYCLE_LIMIT,
    Stop.NO_PROGRESS: Reason.NO_PROGRESS,
    Stop.INTERRUPTED: Reason.INTERRUPTED,
}


_STOPPED = CoreStop(Stop.CALLBACK, -1, -1, 0, 0, 0)


class _StopRun(Exception):
    """Raised through the core to end its run; `World._stop` says why. Never leaves this file."""


@dataclass(frozen=True, slots=True)
class StopInfo:
    """How a run ended. `machine` and `vcpu` are -1 when it was nobody's doing."""

    reason: Reason
    time_ps: int
    machine: int = -1
    vcpu: int = -1
    value: int = 0
    rip: int = 0


Fits = Callable[[str, Payload], bool]  # (tag, payload): whether a device's handler can take such an event


class WorldState(State):
    """The clock, its events in order, and the machines."""

    now_ps: Time
    slack_ps: Time
    events: Count
    sequence: Count
    pending: list[tuple[Time, Count, str, str, list[Any]]]  # what an event carries its device looks at
    machines: list[Data]


class World:
    """Machines and devices under one clock. Close it (or use `with`) to free the core's memory."""

    def __init__(self) -> None:
        self.now_ps = 0
        self.machines: list[Machine] = []
        self.queue = EventQueue()
        self.events = 0
        self._handlers: dict[str, Handler] = {}
        self._fits: dict[str, Fits] = {}
        self._core: Core | None = None
        self._horizon_ps = 0  # the core runs up to here; 0 while it does not run
        self._slack_ps = 0  # how late an event may be seen by the guests
        self._stop: StopInfo | None = None

    # ---- building

    @property
    def core(self) -> Core:
        """The core, opened on first use: a World without machines needs none."""
        if self._core is None:
            self._core = Core(self)
        return self._core

    def add_machine(self, config: MachineConfig | None = None) -> Machine:
        """Add a machine, switched off until `boot`."""
        config = config or MachineConfig()
        index = self.core.machine_add(config.hz, config.cpus, config.ram_bytes, config.cycle_limit)
        if index != len(self.machines):
            raise EmuBug(f"the core numbered machine {len(self.machines)} {index}")
        machine = Machine(self, index, config)
        self.machines.append(machine)
        return machine

    def close(self) -> None:
        """Free the core. The World is of no use afterwards."""
        if self._core is not None:
            self._core.close()
            self._core = None

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ---- the clock

    def register(self, device: str, handler: Handler, fits: Fits | None = None) -> None:
        """Give events of `device` to `handler(time_ps, tag, payload)`; without `fits` its events cannot be restored."""
        if device in self._handlers:
            raise EmuBug(f"two devices are called {device!r}")
        self._handlers[device] = handler
        if fits is not None:
            self._fits[device] = fits

    def schedule(self, time_ps: int, device: str, tag: str, payload: Payload = ()) -> int:
        """Queue an event at or after now; its sequence number. From within a device access it ends the vCPUs' slice in time."""
        if time_ps < self.now_ps:
            raise EmuBug(f"{device} scheduled {tag!r} {self.now_ps - time_ps} ps in the past")
        if time_ps + self._slack_ps < self._horizon_ps:
            self._horizon_ps = time_ps + self._slack_ps
            assert self._core is not None
            self._core.pull_horizon(self._horizon_ps)
        return self.queue.push(time_ps, device, tag, payload)

    # ---- snapshots

    def save(self) -> Data:
        """The clock, events and boards, between runs; nothing changes. The core's own state is `Core.save`."""
        pending = [(time, number, device, tag, list(payload)) for time, number, device, tag, payload in self.queue.pending()]
        machines = [machine.save() for machine in self.machines]
        return plain(WorldState(self.now_ps, self._slack_ps, self.events, self.queue.sequence, pending, machines))

    def restore(self, data: Data) -> None:
        """Take it, into a World built alike that has not run, whose core is restored apart. Raises BadSnapshot."""
        state = checked(WorldState, data, "the World")
        need(len(state.machines) == len(self.machines), "the World", f"{len(state.machines)} machines")
        numbers: set[int] = set()
        events: list[Event] = []
        for time_ps, number, device, tag, payload in state.pending:
            fits = self._fits.get(device)
            need(fits is not None and fits(tag, tuple(payload)), "the World", f"an event {tag!r} for {device!r}")
            need(number <= state.sequence and number not in numbers, "the World", f"event number {number}")
            numbers.add(number)
            events.append((time_ps, number, device, tag, tuple(payload)))
        self.now_ps, self._slack_ps, self.events = state.now_ps, state.slack_ps, state.events
        self.queue.restore(events, state.sequence)
        for machine, saved in zip(self.machines, state.machines, strict=True):
            machine.restore(saved)

    # ---- running

    def set_level(self, level: Level) -> None:
        """All machines' timing level, between runs.

        At the functional level, whose clocks mean little, vCPUs see events up to FUNCTIONAL_SLACK_PS late, so that neighbouring
        events share one trip out of the core.
        """
        for machine in self.machines:
            self.core.set_level(machine.index, level)
        self._slack_ps = FUNCTIONAL_SLACK_PS if level is Level.FUNCTIONAL else 0

    def stop(self, reason: Reason = Reason.REQUESTED) -> None:
        """End the run: after the current handler, or at the end of the current guest instruction's block."""
        if self._stop is None:
            self._stop = StopInfo(reason, self.now_ps)

    def guest_ended(self, machine: int, how: str, time_ps: int) -> None:
        """A guest reset or switched off its machine."""
        if self._stop is None:
            self._stop = StopInfo(Reason(how), time_ps, machine)

    def run(self, until_ps: int | None = None) -> StopInfo:
        """Run until something ends the run, or world time `until_ps`.

        Raises:
            GuestError: a guest flooded its console.
            NotModelled: a guest did something legal that the machine lacks.
            EmuBug: an event for a device nobody registered, or the core's own fault.
        """
        limit = NEVER_PS if until_ps is None else until_ps
        if not self.machines:
            return self._run(limit)
        with StopOnSignal(self.core.interrupt):
            return self._run(limit)

    def _run(self, limit: int) -> StopInfo:
        queue, handlers, core = self.queue, self._handlers, self._core
        look_ps = self.now_ps + HANG_CHECK_PS if core is not None else NEVER_PS
        last_look: list[list[int]] | None = None
        quiet = False
        while True:
            # When nothing moved between two looks the core is given its head: it knows if anything is still due.
            horizon = min(queue.next_ps + self._slack_ps, limit, NEVER_PS if quiet else look_ps)
            if core is not None:
                self._horizon_ps = horizon
                try:
                    ended = core.run(horizon)
                except _StopRun:
                    ended = _STOPPED
                finally:
                    horizon, self._horizon_ps = self._horizon_ps, 0  # a device access may have pulled it in
                if self._stop is not None:
                    return self._take_stop()
                if ended.stop != Stop.HORIZON:
                    self.now_ps = max(self.now_ps, ended.time_ps)
                    return StopInfo(
                        _REASONS[ended.stop], ended.time_ps, ended.machine, ended.vcpu, ended.value, ended.rip
                    )
            elif horizon == NEVER_PS:
                return StopInfo(Reason.NO_PROGRESS, self.now_ps)
            while queue.next_ps <= horizon:
                time_ps, _, device, tag, payload = queue.pop()
                self.now_ps = time_ps
                self.events += 1
                handler = handlers.get(device)
                if handler is None:
                    raise EmuBug(f"event {tag!r} for {device!r}, which nobody registered")
                handler(time_ps, tag, payload)
                if self._stop is not None:
                    return self._take_stop()
            self.now_ps = horizon
            if horizon == limit:
                return StopInfo(Reason.UNTIL, limit)
            if horizon >= look_ps:
                look_ps = horizon + HANG_CHECK_PS
                look = [core.regs(m.index, vcpu) for m in self.machines for vcpu in range(m.config.cpus)] if core else []
                if self._hangs(look):
                    return StopInfo(Reason.NO_PROGRESS, horizon)
                quiet = look == last_look and all(regs[HALTED] for regs in look)
                last_look = look

    def _hangs(self, look: list[list[int]]) -> bool:
        """Whether no vCPU, of those with these registers, will ever do anything again."""
        each = iter(look)
        return all(stuck(next(each), machine.ram_bytes_at) for machine in self.machines for _ in range(machine.config.cpus))

    def _take_stop(self) -> StopInfo:
        stop, self._stop = self._stop, None
        assert stop is not None
        return stop

    # ---- what the core calls (emu.core.binding.Callbacks); a stop is asked for by raising

    def pio_read(self, machine: int, vcpu: int, port: int, size: int, time_ps: int) -> int:
        """A guest's IN."""
        self.now_ps = time_ps
        value = self.machines[machine].ports.read(port, size, time_ps)
        if self._stop is not None:
            raise _StopRun
        return value

    def pio_write(self, machine: int, vcpu: int, port: int, size: int, time_ps: int, value: int) -> None:
        """A guest's OUT."""
        self.now_ps = time_ps
        self.machines[machine].ports.write(port, size, value, time_ps)
        if self._stop is not None:
            raise _StopRun

    def mmio_read(self, machine: int, vcpu: int, gpa: int, size: int, time_ps: int) -> int:
        """A guest's load from a device."""
        self.now_ps = time_ps
        value = self.machines[machine].mmio.read(gpa, size, time_ps)
        if self._stop is not None:
            raise _StopRun
        return value

    def mmio_write(self, machine: int, vcpu: int, gpa: int, size: int, time_ps: int, value: int) -> None:
        """A guest's store to a device."""
        self.now_ps = time_ps
        self.machines[machine].mmio.write(gpa, size, value, time_ps)
        if self._stop is not None:
            raise _StopRun

    def console(self, machine: int, data: bytes, time_ps: int) -> None:
        """Bytes from a serial transmitter."""
        self.now_ps = time_ps
        self.machines[machine].console.put(data, time_ps)
        if self._stop is not None:
            raise _StopRun

    def eoi(self, machine: int, vcpu: int, vector: int, time_ps: int) -> None:
        """A LAPIC finished a level-triggered vector."""
        self.now_ps = time_ps
        self.machines[machine].ioapic.eoi(vector, time_ps)
