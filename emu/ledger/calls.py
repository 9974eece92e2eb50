# SPDX-License-Identifier: GPL-2.0-or-later
"""The core's functions for symbols, accounts, probes, requests and the raw trace, as Python (emu/core/core.h is their contract)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emu.errors import EmuBug
from emu.ledger.components import MAX_COMPONENTS, MAX_PARTS

NCAUSES = 16
DROPPED = ("threads", "levels", "tags", "unmapped keys", "notes", "returns")

ACCOUNT = np.dtype([("cycles", "<u8", NCAUSES), ("instructions", "<u8"), ("blocks", "<u8")])
SYMBOL = np.dtype([("start", "<u8"), ("end", "<u8"), ("symbol", "<u4"), ("component", "<u2"), ("flags", "<u2")])
EVENT = np.dtype(
    [
        ("kind", "u1"), ("machine", "u1"), ("vcpu", "u1"), ("user", "u1"), ("id", "<u4"),
        ("start_ps", "<i8"), ("end_ps", "<i8"), ("a", "<u8"), ("b", "<u8"),
    ]
)  # fmt: skip
NOTE = np.dtype([("probe", "<u4"), ("pad", "<u4"), ("value", "<u8"), ("count", "<u8")])
PATH = np.dtype([("parent", "<u4"), ("symbol", "<u4"), ("cycles16", "<u8"), ("instructions", "<u8"), ("calls", "<u8")])
PART = np.dtype([("place", "<u4"), ("part", "<u4"), ("ps", "<i8")])
REQUEST_COST = np.dtype([("token", "<u8"), ("cycles16", "<u8"), ("symbol", "<u4"), ("instructions", "<u4")])
LOST = ("paths", "frames", "stacks")
_ARG = np.dtype([("load", "u1"), ("source", "u1"), ("pad", "<i2"), ("offset", "<i4")])
PROBE = np.dtype(
    [
        ("address", "<u8"), ("user", "u1"), ("at_return", "u1"), ("action", "u1"), ("reason", "u1"), ("id", "<u4"),
        ("key", _ARG), ("to", _ARG), ("when", _ARG),
    ]
)  # fmt: skip

Array = NDArray[np.void]

_W, _I, _U32, _U64, _I64, _P = (
    ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int64, ctypes.c_void_p,
)  # fmt: skip
_SIGNATURES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "cs_error": (ctypes.c_char_p, (_W,)),
    "cs_symbols": (_I, (_W, _I, _I, _P, _I, _U32, ctypes.c_uint16)),
    "cs_ledger_components": (_I, (_W, _I, _I, _P)),
    "cs_ledger_symbols": (_I, (_W, _I, _I, _P, _U32)),
    "cs_profile": (_I, (_W, _I, _I)),
    "cs_profile_read": (_I, (_W, _I, _P, _U32, _P, _P)),
    "cs_profile_requests": (_I, (_W, _I)),
    "cs_profile_requests_read": (_I, (_W, _I, _P, _U32, _P)),
    "cs_probes": (_I, (_W, _I, _P, _I)),
    "cs_notes": (_I, (_W, _I, _P, _I)),
    "cs_request_open": (_I, (_W, _U64, _I64)),
    "cs_request_mark": (_I, (_W, _U64, _U32, _U32, _I64)),
    "cs_request_wait": (_I, (_W, _U64, _U32, _U32, _I64)),
    "cs_request_join": (_I, (_W, _U64, _U64, _I64)),
    "cs_request_close": (_I, (_W, _U64, _I64, _P, _P, _U32, _P, _P)),
    "cs_token_tag": (_I, (_W, _I, _U64, _U64)),
    "cs_token_take": (_U64, (_W, _I, _U64)),
    "cs_dropped": (_I, (_W, _P)),
    "cs_trace": (_I, (_W, _U64)),
    "cs_trace_read": (_U64, (_W, _P, _U64, _P)),
}


class Trace(NamedTuple):
    """Raw events, oldest first, and how many older ones were overwritten."""

    events: Array
    dropped: int


class Paths(NamedTuple):
    """A machine's call tree: PATH rows, all vCPUs' time that was not halted [1/16 cycle], and what found no room, by LOST."""

    rows: Array
    total16: int
    lost: dict[str, int]


class LedgerCalls:
    """One World's ledger. `library` is the loaded core, `world` the cs_world pointer. A refusal by the core raises EmuBug."""

    def __init__(self, library: ctypes.CDLL, world: int) -> None:
        self._world = world
        functions: dict[str, Callable[..., int]] = {}
        for name, (result, arguments) in _SIGNATURES.items():
            # prototypes of our own, since the library's attributes are the binding's; these calls are short, so they keep the GIL
            prototype = ctypes.PYFUNCTYPE(result, *arguments)
            functions[name] = prototype((name, library))
        self._f = functions
        # called several times a packet, so bound as they are: -1 for a request that is not open
        self.request_mark: Callable[[int, int, int, int], int] = partial(functions["cs_request_mark"], world)
        self.request_wait: Callable[[int, int, int, int], int] = partial(functions["cs_request_wait"], world)
        self.request_join: Callable[[int, int, int], int] = partial(functions["cs_request_join"], world)
        self.token_take: Callable[[int, int], int] = partial(functions["cs_token_take"], world)
        self._start = ctypes.c_int64()
        self._start_at = ctypes.addressof(self._start)
        self._count = ctypes.c_uint32()
        self._count_at = ctypes.addressof(self._count)

    def _need(self, result: int) -> int:
        if result < 0:
            text: object = self._f["cs_error"](self._world)
            raise EmuBug(text.decode() if isinstance(text, bytes) else "the core refused without a word")
        return result

    # ---- requests

    def request_open(self, token: int, start_ps: int) -> None:
        self._need(self._f["cs_request_open"](self._world, token, start_ps))

    def request_close(self, token: int, end_ps: int, parts_at: int, room: int, cycles_at: int) -> tuple[int, int]:
        """Ends a request and writes its parts (PART rows; there is room for so many) and NCAUSES uint64 to those host addresses.

        Its start, and how many parts there are.
        """
        close = self._f["cs_request_close"]
        self._need(close(self._world, token, end_ps, self._start_at, parts_at, room, self._count_at, cycles_at))
        return self._start.value, self._count.value

    def token_tag(self, machine: int, gpa: int, token: int) -> None:
        self._need(self._f["cs_token_tag"](self._world, machine, gpa, token))

    def dropped(self) -> dict[str, int]:
        """What was forgotten for lack of room, or because a probe's key was not mapped; only what occurred."""
        out = np.zeros(8, np.uint64)
        self._need(self._f["cs_dropped"](self._world, out.ctypes.data))
        return {name: int(n) for name, n in zip(DROPPED, out, strict=False) if n}

    # ---- symbols, probes, accounts

    def symbols(self, machine: int, user: bool, rows: Array, unknown_symbol: int, unknown_component: int) -> None:
        rows = np.ascontiguousarray(rows, SYMBOL)
        self._need(
            self._f["cs_symbols"](
                self._world, machine, user, rows.ctypes.data, len(rows), unknown_symbol, unknown_component
            )
        )

    def probes(self, machine: int, rows: Array) -> None:
        rows = np.ascontiguousarray(rows, PROBE)
        self._need(self._f["cs_probes"](self._world, machine, rows.ctypes.data, len(rows)))

    def components(self, machine: int, vcpu: int) -> Array:
        """ACCOUNT[MAX_COMPONENTS] of one vCPU, since its start."""
        out = np.zeros(MAX_COMPONENTS, ACCOUNT)
        self._need(self._f["cs_ledger_components"](self._world, machine, vcpu, out.ctypes.data))
        return out

    def symbol_accounts(self, machine: int, vcpu: int, count: int) -> Array:
        """ACCOUNT[count] by symbol number of one vCPU, since its start."""
        out = np.zeros(count, ACCOUNT)
        self._need(self._f["cs_ledger_symbols"](self._world, machine, vcpu, out.ctypes.data, count))
        return out

    def notes(self, machine: int) -> Array:
        """NOTE rows, by probe and value."""
        n = self._need(self._f["cs_notes"](self._world, machine, None, 0))
        out = np.zeros(n, NOTE)
        self._need(self._f["cs_notes"](self._world, machine, out.ctypes.data, n))
        return out

    # ---- the inclusive profile

    def profile(self, machine: int, *, on: bool) -> None:
        """Follow call stacks from now on, beginning with an empty tree; or no more."""
        self._need(self._f["cs_profile"](self._world, machine, on))

    def profile_read(self, machine: int) -> Paths:
        """The tree since then; between runs."""
        total16, lost, n = ctypes.c_uint64(), np.zeros(4, np.uint64), 0
        while True:
            out = np.zeros(n, PATH)
            n = self._need(
                self._f["cs_profile_read"](
                    self._world, machine, out.ctypes.data, len(out), ctypes.addressof(total16), lost.ctypes.data
                )
            )
            if n == len(out):
                return Paths(out, total16.value, {name: int(count) for name, count in zip(LOST, lost, strict=False) if count})

    def profile_requests(self, machine: int) -> None:
        """Tell requests' functions apart from now on, beginning with none; there is a profile."""
        self._need(self._f["cs_profile_requests"](self._world, machine))

    def profile_requests_read(self, machine: int) -> tuple[Array, int]:
        """REQUEST_COST rows since then, by token and symbol, and the token from which on requests are not whole: no room."""
        first_lost, n = ctypes.c_uint64(), 0
        while True:
            out = np.zeros(n, REQUEST_COST)
            n = self._need(
                self._f["cs_profile_requests_read"](
                    self._world, machine, out.ctypes.data, len(out), ctypes.addressof(first_lost)
                )
            )
            if n == len(out):
                return np.sort(out, order=("token", "symbol")), first_lost.value

    # ---- the raw trace

    def trace(self, capacity: int) -> None:
        """Keep the last `capacity` events from now on; 0 stops."""
        self._need(self._f["cs_trace"](self._world, capacity))

    def trace_read(self, limit: int) -> Trace:
        """The oldest events kept, at most `limit`, and forget them."""
        out = np.zeros(limit, EVENT)
        dropped = ctypes.c_uint64()
        n = self._f["cs_trace_read"](self._world, out.ctypes.data, limit, ctypes.addressof(dropped))
        return Trace(out[:n], dropped.value)


def empty_rows(dtype: np.dtype[np.void], rows: Sequence[object]) -> Array:
    """Rows as a structured array, also when there are none."""
    return np.array(list(rows), dtype) if rows else np.zeros(0, dtype)


assert SYMBOL.itemsize == 24 and EVENT.itemsize == 40 and NOTE.itemsize == 24 and PROBE.itemsize == 40  # noqa: PT018
assert PATH.itemsize == 32
assert ACCOUNT.itemsize == 144 and MAX_PARTS == 96  # noqa: PT018
