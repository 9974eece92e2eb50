# SPDX-License-Identifier: GPL-2.0-or-later
"""The core's window model alone, a block at a time (`cs_test_window_place` in emu/core/core.h), in the referee's words."""

import ctypes
from typing import Any, NamedTuple

from emu.core.binding import Core
from tests.core_guest import Recorder
from tests.window_referee import Access, Block, Insn, Uop

NCAUSES, SINK, MANY = 16, 60, 4096
_U8, _U16, _U32, _U64, _P = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
_FLAGS = ("complex", "microcoded", "lcp", "joined", "fusible", "branch")


class _Uop(ctypes.Structure):
    _fields_ = (
        ("src", _U8 * 4), ("dst", _U8 * 4), ("ports", _U16), ("cost", _U16), ("flags", _U32), ("hold", _U8), ("entries", _U8),
        ("pad", _U16),
    )  # fmt: skip


class _Insn(ctypes.Structure):
    _fields_ = (
        ("end", _U16), ("length", _U8), ("slots", _U8), ("opcode", _U8), *((name, _U8) for name in _FLAGS), ("pad", _U8),
    )  # fmt: skip


class _Log(ctypes.Structure):
    _fields_ = (("gpa", _U64), ("latency", _U32), ("walk", _U16), ("size", _U8), ("cause", _U8))


class _Block(ctypes.Structure):
    _fields_ = (
        ("uop", _P), ("insn", _P), ("window", _P), ("load", _P), ("store", _P), ("va", _U64), ("idle_until", _U64),
        ("nuop", _U32), ("ninsn", _U32), ("nwindows", _U32), ("nload", _U32), ("nstore", _U32), ("first", _U32), ("last", _U32),
        ("refetch", _U32), ("late", _U32), ("pad", _U32),
    )  # fmt: skip


class _Placed(ctypes.Structure):
    _fields_ = (("retire", _U64), ("lost", ctypes.c_int64 * NCAUSES), ("touched", _U32), ("legacy", _U32))


class Placed(NamedTuple):
    """The retire clock; retirement slots lost so far, by cause; causes that the accounts will look at; by the decoders."""

    retire: int
    lost: list[int]
    touched: set[int]
    legacy: bool


class WindowCore:
    """One machine with a processor's table, and one window."""

    def __init__(self, table: Any) -> None:
        self.core = Core(Recorder())
        self.machine = self.core.machine_add(table.hz, 1, 64 << 20)
        self.core.uarch(self.machine, table.core_rows())
        self.core.insn_table(
            self.machine, [(f.mnemonic, f.uops16, f.latency, f.ports, f.recip16, f.flags) for f in table.core_forms()]
        )
        library = self.core.library
        self._uops, self._place = library.cs_test_uops, library.cs_test_window_place
        self._error = ctypes.PYFUNCTYPE(ctypes.c_char_p, _P)(("cs_error", library))
        new = ctypes.PYFUNCTYPE(_P, _P, ctypes.c_int)(("cs_test_window_new", library))
        self._free = ctypes.PYFUNCTYPE(None, _P)(("cs_test_window_free", library))
        self._new = lambda: new(self.core.handle, self.machine)
        self._window = self._new()

    def fresh(self) -> None:
        """A new window."""
        self._free(self._window)
        self._window = self._new()

    def close(self) -> None:
        self._free(self._window)
        self.core.close()

    def block(self, code: bytes, va: int) -> Block:
        """A block's micro-ops."""
        uops, insns, windows = (_Uop * MANY)(), (_Insn * MANY)(), (_U8 * 256)()
        n = [_U32(MANY), _U32(MANY), _U32(256)]
        self._check(
            self._uops(
                _P(self.core.handle), self.machine, code, _U32(len(code)), _U64(va), uops, ctypes.byref(n[0]), insns,
                ctypes.byref(n[1]), windows, ctypes.byref(n[2]),
            )
        )  # fmt: skip
        return Block(
            [
                Uop(tuple(r for r in u.src if r), tuple(r for r in u.dst if r != SINK), u.ports, u.cost, u.flags, u.hold, u.entries)
                for u in uops[: n[0].value]
            ],
            [Insn(x.end, x.length, x.slots, x.opcode, *(bool(getattr(x, f)) for f in _FLAGS)) for x in insns[: n[1].value]],
            list(windows[: n[2].value]),
            va,
        )

    def place(self, block: Block) -> Placed:
        """One block, or a part of it."""
        uops = (_Uop * max(1, len(block.uops)))()
        for to, u in zip(uops, block.uops, strict=False):
            to.src[:] = [*u.src, 0, 0, 0, 0][:4]
            to.dst[:] = [*u.dst, SINK, SINK, SINK, SINK][:4]
            to.ports, to.cost, to.flags, to.hold, to.entries = u.ports, u.cost, u.flags, u.hold, u.entries
        insns = (_Insn * len(block.insns))()
        for to, x in zip(insns, block.insns, strict=True):
            to.end, to.length, to.slots, to.opcode = x.end, x.length, x.slots, x.opcode
            for name in _FLAGS:
                setattr(to, name, getattr(x, name))
        loads, stores = self._log(block.loads), self._log(block.stores)
        window = (_U8 * len(block.window))(*block.window)
        last = len(block.insns) if block.last is None else block.last
        given = _Block(
            ctypes.addressof(uops), ctypes.addressof(insns), ctypes.addressof(window), ctypes.addressof(loads),
            ctypes.addressof(stores), block.va, block.idle_until, len(block.uops), len(block.insns), len(block.window),
            len(block.loads), len(block.stores), block.first, last, block.refetch, block.late, 0,
        )  # fmt: skip
        out = _Placed()
        self._check(self._place(_P(self.core.handle), _P(self._window), ctypes.byref(given), ctypes.byref(out)))
        touched = {cause for cause in range(NCAUSES) if out.touched >> cause & 1}
        return Placed(out.retire, list(out.lost), touched, bool(out.legacy))

    @staticmethod
    def _log(accesses: list[Access]) -> Any:
        log = (_Log * max(1, len(accesses)))()
        for to, x in zip(log, accesses, strict=False):
            to.gpa, to.latency, to.walk, to.size, to.cause = x.gpa, x.latency, x.walk, x.size, x.cause
        return log

    def _check(self, result: int) -> None:
        if result:
            raise AssertionError(self._error(self.core.handle).decode())
