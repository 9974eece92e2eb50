# SPDX-License-Identifier: GPL-2.0-or-later
"""The World: machines, devices' events, and one clock.

`run` alternates between the core, which runs all vCPUs up to the next event, and the handlers of the events that are then due.
Inside a guest's device access the clock is the access's own time; inside a handler it is the event's.
"""

from dataclasses import dataclass
from enum import StrEnum

from emu.clock import NEVER_PS, EventQueue, Handler, Payload
from emu.core.binding import Core
from emu.errors import EmuBug
from emu.machine import Machine, MachineConfig


class Reason(StrEnum):
    """Why a run ended."""

    UNTIL = "until"  # the time asked for was reached
    EXIT = "exit"  # the guest wrote the debug-exit port: value
    RESET = "reset"
    POWER_OFF = "power-off"
    TRIPLE_FAULT = "triple-fault"
    CYCLE_LIMIT = "cycle-limit"
    NO_PROGRESS = "no-progress"  # every vCPU halted and nothing will ever wake one
    INTERRUPTED = "interrupted"  # by our user
    REQUESTED = "requested"  # a handler called World.stop


@dataclass(frozen=True, slots=True)
class StopInfo:
    """How a run ended. `machine` and `vcpu` are -1 when it was nobody's doing."""

    reason: Reason
    time_ps: int
    machine: int = -1
    vcpu: int = -1
    value: int = 0
    rip: int = 0


class World:
    """Machines and devices under one clock. Close it (or use `with`) to free the core's memory."""

    def __init__(self) -> None:
        self.now_ps = 0
        self.machines: list[Machine] = []
        self.queue = EventQueue()
        self.events = 0
        self._handlers: dict[str, Handler] = {}
        self._core: Core | None = None
        self._horizon_ps = 0  # the core runs up to here; 0 while it does not run
        self._stop: StopInfo | None = None
        self._raised: BaseException | None = None

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

    def register(self, device: str, handler: Handler) -> None:
        """Give events of `device` to `handler(time_ps, tag, payload)`."""
        if device in self._handlers:
            raise EmuBug(f"two devices are called {device!r}")
        self._handlers[device] = handler

    def schedule(self, time_ps: int, device: str, tag: str, payload: Payload = ()) -> int:
        """Queue an event at or after now; its sequence number. From within a device access it ends the vCPUs' slice in time."""
        if time_ps < self.now_ps:
            raise EmuBug(f"{device} scheduled {tag!r} {self.now_ps - time_ps} ps in the past")
        if time_ps < self._horizon_ps:
            self._horizon_ps = time_ps
            assert self._core is not None
            self._core.pull_horizon(time_ps)
        return self.queue.push(time_ps, device, tag, payload)

    # ---- running

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
        queue, handlers = self.queue, self._handlers
        while True:
            horizon = min(queue.next_ps, limit)
            if self.machines:
                stop = self._run_core(horizon)
                if stop is not None:
                    return stop
                horizon = min(queue.next_ps, limit)  # a device access may have pulled it in
            elif horizon == NEVER_PS:
                return StopInfo(Reason.NO_PROGRESS, self.now_ps)
            self.now_ps = max(self.now_ps, horizon)
            while queue.next_ps <= horizon:
                time_ps, _, device, tag, payload = queue.pop()
                self.events += 1
                handler = handlers.get(device)
                if handler is None:
                    raise EmuBug(f"event {tag!r} for {device!r}, which nobody registered")
                handler(time_ps, tag, payload)
                if self._stop is not None:
                    return self._take_stop()
            if horizon == limit:
                return StopInfo(Reason.UNTIL, self.now_ps)

    def _take_stop(self) -> StopInfo:
        stop, self._stop = self._stop, None
        assert stop is not None
        return stop
