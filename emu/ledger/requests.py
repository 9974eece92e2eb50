# SPDX-License-Identifier: GPL-2.0-or-later
"""The request log: one row a finished request, its latency split into parts that sum to it exactly.

The core follows requests while guest code runs; devices and the workload speak here. Times are integer picoseconds.

Each part is had at a place: on a machine, or between machines (links and switches). With one machine nobody asks where.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from emu.errors import EmuBug
from emu.ledger.calls import NCAUSES, PART, LedgerCalls
from emu.ledger.components import MAX_PARTS, Taxonomy
from emu.state import Count, Data, State, checked, need, plain

_CHUNK = 1024
_PARTS = 32  # of a request, where there is one machine: room for so many
Int64 = NDArray[np.int64]


BETWEEN = -1
"""The place of what happens between machines, where a machine's index stands otherwise."""


class RequestTable(NamedTuple):
    """Finished requests, in the order in which they ended. parts_ps[i].sum() == end_ps[i] - start_ps[i].

    With one machine a part is one column; with several (or `by_place`) it is one for each place (a machine's index, or BETWEEN)
    where some request has it, and `places` says which.
    cycles[i, cause] are those that vCPUs ran for it at the detailed level; they sum, exactly, to all that ran for it there.
    """

    token: NDArray[np.uint64]
    start_ps: Int64
    end_ps: Int64
    excluded: NDArray[np.bool_]
    part_names: tuple[str, ...]  # only parts that some request has; place by place, each in the taxonomy's order
    places: tuple[int, ...]
    parts_ps: Int64
    cycles: Int64


class RequestLogState(State):
    """Finished requests, as arrays' bytes, and counts."""

    open_requests: Count
    late: Count
    token: bytes
    times_ps: bytes
    excluded: bytes
    columns: list[Count]
    parts_ps: bytes
    cycles: bytes


class _Chunk(NamedTuple):
    token: NDArray[np.uint64]
    start_ps: Int64
    end_ps: Int64
    excluded: NDArray[np.bool_]
    columns: NDArray[np.intp]
    parts_ps: Int64  # only `columns`
    cycles: Int64


class RequestLog:
    """All requests of a World. A device on a machine uses `machine(index)`, which has the NIC's `Requests` protocol."""

    def __init__(
        self, calls: LedgerCalls, taxonomy: Taxonomy | None = None, machines: int = 1, *, by_place: bool | None = None
    ) -> None:
        self.machines = machines
        self._by_place = machines > 1 if by_place is None else by_place
        self.taxonomy = taxonomy or Taxonomy()
        self.late = 0  # marks and waits for requests that had ended, or never began
        self._calls = calls
        self._mark, self._wait, self._join = calls.request_mark, calls.request_wait, calls.request_join
        self._part = dict(self.taxonomy.part_index)
        self._reason = dict(self.taxonomy.reason_index)
        self._reason |= {f"wait.{name}": index for name, index in self._reason.items()}
        self.open_requests = 0  # begun and not ended
        self._done: list[_Chunk] = []
        # A request has few of all machines' parts: they lie side by side, without those that are 0.
        self._most = (1 + machines) * MAX_PARTS
        self._parts = np.zeros(_CHUNK * _PARTS + self._most, PART)
        self._parts_at, self._used = self._parts.ctypes.data, 0
        self._cycles = np.zeros((_CHUNK, NCAUSES), np.int64)
        self._cycles_at = self._cycles.ctypes.data
        self._rows: list[tuple[int, int, int, bool, int]] = []

    def __len__(self) -> int:
        return sum(len(chunk.token) for chunk in self._done) + len(self._rows)

    def open(self, token: int, start_ps: int) -> None:
        """A request begins; `token` > 0 is new."""
        self._calls.request_open(token, start_ps)
        self.open_requests += 1

    def mark(self, token: int, part: str, until_ps: int, place: int = BETWEEN) -> None:
        """Its life from the last charge up to `until_ps` goes to `part` (`run.X`, `wait.Y`), had at `place`."""
        index = self._part.get(part)
        if index is None:
            raise EmuBug(f"there is no part {part!r} to charge a request's time to")
        if self._mark(token, place + 1, index, until_ps):
            self.late += token != 0

    def wait(self, token: int, reason: str, now_ps: int, place: int = BETWEEN) -> None:
        """From now on it waits for `reason` at `place`; nobody runs for it."""
        index = self._reason.get(reason)
        if index is None:
            raise EmuBug(f"there is no reason {reason!r} for a request to wait")
        if self._wait(token, place + 1, index, now_ps):
            self.late += token != 0

    def join(self, token: int, lead: int, now_ps: int) -> None:
        """From now on it goes along with `lead`: they share a segment, so what is charged to that is charged to it, too.

        Until something is charged to it by its own token. A lead that ends leaves the first that joined in its place.
        """
        if self._join(token, lead, now_ps):
            self.late += 1

    def tag(self, machine: int, gpa: int, token: int) -> None:
        """Lay a token on a buffer; 0 wipes it."""
        self._calls.token_tag(machine, gpa, token)

    def take(self, machine: int, gpa: int) -> int:
        """Take the token off a buffer; 0 if there is none."""
        return self._calls.token_take(machine, gpa)

    def close(self, token: int, end_ps: int, excluded: bool = False) -> None:
        """A request ends. `excluded`: it was warm-up. Raises EmuBug when its parts do not sum to its latency (the core looks)."""
        start_ps, parts = self._close(token, end_ps)
        self._used += parts
        self._rows.append((token, start_ps, end_ps, excluded, parts))
        if len(self._rows) == _CHUNK or self._used + self._most > len(self._parts):
            self._flush()

    def abandon(self, token: int, now_ps: int) -> None:
        """A request will never end (its sender gave up): nothing of it is kept, and what follows it counts as `late`."""
        self._close(token, now_ps)

    def _close(self, token: int, end_ps: int) -> tuple[int, int]:
        """Its start, and how many parts were written behind those of the rows so far."""
        parts_at, cycles_at = self._parts_at + self._used * PART.itemsize, self._cycles_at + len(self._rows) * NCAUSES * 8
        found = self._calls.request_close(token, end_ps, parts_at, self._most, cycles_at)
        self.open_requests -= 1
        return found

    def machine(self, index: int) -> MachineRequests:
        """The log as a device on machine `index` sees it."""
        return MachineRequests(self, index)

    def table(self) -> RequestTable:
        """All finished requests."""
        self._flush()
        columns = self._columns()
        parts = np.zeros((len(self), len(columns)), np.int64)
        at = 0
        for chunk in self._done:
            parts[at : at + len(chunk.token), np.searchsorted(columns, chunk.columns)] = chunk.parts_ps
            at += len(chunk.token)
        names = self.taxonomy.part_names
        places = (tuple(column // MAX_PARTS - 1 for column in columns) if self._by_place else (0,) * len(columns))
        return RequestTable(
            token=_joined([c.token for c in self._done], np.dtype(np.uint64)),
            start_ps=_joined([c.start_ps for c in self._done], np.dtype(np.int64)),
            end_ps=_joined([c.end_ps for c in self._done], np.dtype(np.int64)),
            excluded=_joined([c.excluded for c in self._done], np.dtype(np.bool_)),
            part_names=tuple(names[column % MAX_PARTS] for column in columns),
            places=places,
            parts_ps=parts,
            cycles=np.concatenate([c.cycles for c in self._done]) if self._done else np.zeros((0, NCAUSES), np.int64),
        )

    def _columns(self) -> list[int]:
        """Columns of all chunks: part numbers, each place's MAX_PARTS behind the one before."""
        return sorted({int(column) for chunk in self._done for column in chunk.columns})

    def save(self) -> Data:
        """Finished requests, and counts; open ones are the core's."""
        table = self.table()
        columns = self._columns()
        state = RequestLogState(
            self.open_requests, self.late, table.token.tobytes(), np.stack([table.start_ps, table.end_ps]).tobytes(),
            table.excluded.tobytes(), columns, table.parts_ps.tobytes(), table.cycles.tobytes(),
        )  # fmt: skip
        return plain(state)

    def restore(self, data: Data) -> None:
        """Take them, into a log that is empty. Raises BadSnapshot."""
        state = checked(RequestLogState, data, "the request log")
        n, width = len(state.token) // 8, len(state.columns)
        sizes = [len(part) for part in (state.token, state.times_ps, state.excluded, state.parts_ps, state.cycles)]
        need(sizes == [8 * n, 16 * n, n, 8 * n * width, 8 * n * NCAUSES], "the request log", "arrays of such sizes")
        need(state.columns == sorted(set(state.columns)), "the request log", "parts in that order")
        need(max(state.columns, default=0) < self._most, "the request log", "a part at another place")
        times = np.frombuffer(state.times_ps, np.int64).reshape(2, n).copy()
        parts = np.frombuffer(state.parts_ps, np.int64).reshape(n, width).copy()
        need(bool((parts.sum(axis=1) == times[1] - times[0]).all()), "the request log", "a latency that is no sum of its parts")
        need(max(state.excluded, default=0) <= 1, "the request log", "a flag that is neither 0 nor 1")
        self.open_requests, self.late = state.open_requests, state.late
        if n:
            columns = np.array(state.columns, np.intp)
            cycles = np.frombuffer(state.cycles, np.int64).reshape(n, NCAUSES).copy()
            excluded = np.frombuffer(state.excluded, np.bool_).copy()
            token = np.frombuffer(state.token, np.uint64).copy()
            self._done = [_Chunk(token, times[0], times[1], excluded, columns, parts, cycles)]

    def _flush(self) -> None:
        """Finished rows become a chunk, with a column for each part that one of them has."""
        n = len(self._rows)
        if not n:
            return
        token, start_ps, end_ps, excluded, counts = zip(*self._rows, strict=True)
        found = self._parts[: self._used]
        place = found["place"].astype(np.intp) if self._by_place else 0  # else one column a part, wherever it was had
        columns, column = np.unique(place * MAX_PARTS + found["part"], return_inverse=True)
        parts_ps = np.zeros((n, len(columns)), np.int64)
        np.add.at(parts_ps, (np.repeat(np.arange(n), counts), column), found["ps"])
        if (parts_ps.sum(axis=1) != np.subtract(end_ps, start_ps)).any():
            raise EmuBug("the parts of a request do not sum to its latency")
        self._done.append(
            _Chunk(
                np.array(token, np.uint64),
                np.array(start_ps, np.int64),
                np.array(end_ps, np.int64),
                np.array(excluded, np.bool_),
                columns.astype(np.intp),
                parts_ps,
                self._cycles[:n].copy(),
            )
        )
        self._rows.clear()
        self._used = 0


_T = TypeVar("_T", bound=np.generic)


def _joined(arrays: list[NDArray[_T]], dtype: np.dtype[_T]) -> NDArray[_T]:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype)


class MachineRequests:
    """A request log seen from one machine: its buffers are that machine's, and what happens happens there."""

    def __init__(self, log: RequestLog, machine: int) -> None:
        self._machine, self._tag, self._take = machine, log.tag, log.take
        self.open, self.close, self.abandon = log.open, log.close, log.abandon
        self.mark, self.wait = partial(log.mark, place=machine), partial(log.wait, place=machine)
        self.join = log.join

    def tag(self, machine_gpa: int, token: int) -> None:
        """Lay a token on a buffer of this machine; 0 wipes it."""
        self._tag(self._machine, machine_gpa, token)

    def take(self, machine_gpa: int) -> int:
        """Take the token off a buffer of this machine; 0 if there is none."""
        return self._take(self._machine, machine_gpa)
