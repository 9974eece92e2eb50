# SPDX-License-Identifier: GPL-2.0-or-later
"""A World with a client that sends requests in phases, and waits for the answers: one machine behind it, or many."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from emu.errors import GuestError
from emu.world import Reason, StopInfo, World
from nic.endpoint import Endpoint

Progress = Callable[[str, int, int], None]
"""(what is going on, done, of how many; 0: unknown)."""


def no_progress(what: str, done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Phase:
    """Requests that were sent together: `[first, first + count)` of the client's."""

    first: int
    count: int
    start_ps: int
    end_ps: int
    lost: int

    @property
    def answered(self) -> int:
        return self.count - self.lost

    @property
    def rate_rps(self) -> float:
        """Answers a second of simulated time."""
        return self.answered * 1e12 / max(1, self.end_ps - self.start_ps)


class Served(ABC):
    """Use `with`; single use. Subclasses make `client`, with `_answered` to call for each answer and `world.stop` at the end."""

    client: Endpoint

    def __init__(self, name: str, world: World, on_answer: Callable[[int, bytes, int], None] | None = None) -> None:
        self.name = name
        self.world = world
        self.host_s = 0.0
        self._on_answer = on_answer
        self._progress: Progress = no_progress
        self._goal = ("", 0, 0)
        self._shown = 0

    @abstractmethod
    def explain(self, stop: StopInfo, when: str) -> str:
        """A sentence on a run that ended otherwise than hoped for; `when`: "before ..." or "while ..."."""

    def open_loop(
        self, times_ps: Sequence[int], frames: Iterable[bytes], label: str, progress: Progress = no_progress
    ) -> Phase:
        """Send frame i at times_ps[i] and run until the last answer, or its timeout."""
        return self._phase(label, len(times_ps), progress, lambda: self.client.open_loop(times_ps, frames))

    def closed_loop(
        self, outstanding: int, frames: Sequence[bytes], label: str, progress: Progress = no_progress
    ) -> Phase:
        """Keep `outstanding` requests under way until all frames are answered, or timed out."""
        start = self.world.now_ps
        return self._phase(label, len(frames), progress, lambda: self.client.closed_loop(outstanding, frames, start))

    def _phase(self, label: str, total: int, progress: Progress, begin: Callable[[], None]) -> Phase:
        first, start_ps, lost = len(self.client.starts_ps), self.world.now_ps, self.client.lost
        self._progress, self._goal, self._shown = progress, (f"{self.name}: {label}", first, total), 0
        begin()
        stop = self.run(None)
        if stop.reason is not Reason.REQUESTED:
            raise GuestError(self.explain(stop, "while serving"))
        ends = self.client.ends_ps[first:]
        return Phase(first, len(ends), start_ps, max(ends, default=start_ps), self.client.lost - lost)

    def run(self, until_ps: int | None) -> StopInfo:
        """The World's, its host time added up."""
        begun = time.perf_counter()
        try:
            stop = self.world.run(until_ps)
        finally:
            self.host_s += time.perf_counter() - begun
        if stop.reason is Reason.INTERRUPTED:
            raise KeyboardInterrupt
        return stop

    def _answered(self, index: int, answer: bytes, time_ps: int) -> None:
        label, first, total = self._goal
        done = index + 1 - first
        if done >= self._shown + max(1, total // 50):
            self._shown = done
            self._progress(label, done, total)
        if self._on_answer is not None:
            self._on_answer(index, answer, time_ps)

    def close(self) -> None:
        """Free the World."""
        self.world.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def describe(stop: StopInfo) -> str:
    """How a run ended, as the middle of a sentence."""
    where = f" (vCPU {stop.vcpu}, RIP {stop.rip:#x})" if stop.vcpu >= 0 else ""
    texts = {
        Reason.EXIT: f"the guest ended its run with {stop.value}",
        Reason.TRIPLE_FAULT: f"the guest triple-faulted{where}",
        Reason.NO_PROGRESS: "every vCPU halted with nothing left to wake it",
        Reason.CYCLE_LIMIT: "the cycle limit was reached",
        Reason.RESET: "the guest reset its machine",
        Reason.POWER_OFF: "the guest switched its machine off",
    }
    return texts.get(stop.reason, str(stop.reason))
