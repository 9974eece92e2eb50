# SPDX-License-Identifier: GPL-2.0-or-later
"""The block predictor as Python (`cs_predict_full` in emu/core/core.h is its contract)."""

from __future__ import annotations

import ctypes
import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emu.core.binding import BLOCK_FILL, Core
from emu.errors import EmuBug
from emu.ledger.components import CAUSES

MAX_BYTES = 4096
MAX_INSTRUCTIONS = 512


class Mode(enum.IntEnum):
    """Where a block's micro-ops come from: copies one behind the other, decoded each time; or a loop, from the micro-op cache."""

    UNROLLED = 0
    LOOP = 1


class Lift(enum.IntFlag):
    """Bounds that a what-if run takes away."""

    PREDECODE = 1
    LCP = 2
    DECODE = 4
    UOP_CACHE = 8
    ISSUE = 16
    PORTS = 32
    DIVIDER = 64
    REGISTERS = 128
    FORWARDING = 256
    WINDOW = 512
    SERIAL = 1024
    PAGES = 2048


class Insn(enum.IntFlag):
    """What was found out about an instruction."""

    FUSED = 1
    JOINED = 2
    MICRO_FUSED = 4
    UNLAMINATED = 8
    MOVE = 16
    ZERO = 32
    NOP = 64
    SERIAL = 128
    LOCKED = 256
    REP = 512
    MICROCODED = 1024
    COMPLEX = 2048
    LCP = 4096
    UNCOSTED = 8192
    BRANCH = 16384
    LOAD = 32768
    STORE = 65536
    UNPIPELINED = 1 << 17


class Uop(enum.IntFlag):
    """What a micro-op is."""

    LOAD = 1
    STORE_ADDRESS = 2
    STORE_DATA = 4
    FUSED = 8
    MOVE = 16
    SERIAL = 32
    BRANCH = 64
    SYNC = 128
    BLOCKED = 256
    UNPIPELINED = 512


INSN_VIEW = np.dtype(
    [("form", "S48"), ("flags", "<u4"), ("length", "<u2"), ("decoded", "<u2"), ("issued", "<u2"), ("uops", "<u2")]
)
UOP_VIEW = np.dtype(
    [
        ("delivered", "<u8"), ("issued", "<u8"), ("ready", "<u8"), ("dispatched", "<u8"), ("done", "<u8"), ("retired", "<u8"),
        ("from", "<i4", 4), ("store", "<i4"), ("iteration", "<u4"), ("instruction", "<u2"), ("index", "<u2"),
        ("ports", "<u2"), ("flags", "<u2"), ("latency", "<u2"), ("port", "<i2"), ("pad", "<u4"),
    ]
)  # fmt: skip

Views = NDArray[np.void]


class _How(ctypes.Structure):
    _fields_ = (
        ("mode", ctypes.c_int32), ("copies", ctypes.c_uint32), ("lift", ctypes.c_uint32), ("pad", ctypes.c_uint32),
        ("fill", ctypes.c_uint64), ("insn", ctypes.c_void_p), ("ninsn", ctypes.c_uint32), ("nuop", ctypes.c_uint32),
        ("uop", ctypes.c_void_p),
    )  # fmt: skip


class _Prediction(ctypes.Structure):
    _fields_ = (
        ("cycles", ctypes.c_uint64), ("copies", ctypes.c_uint32), ("instructions", ctypes.c_uint32),
        ("slots", ctypes.c_uint32), ("uncosted", ctypes.c_uint32), ("slots_lost", ctypes.c_uint64 * len(CAUSES)),
    )  # fmt: skip


@dataclass(frozen=True)
class Prediction:
    """A block's steady state: `cycles` for `copies` runs of it; retirement slots by cause; views if they were asked for."""

    cycles: int
    copies: int
    instructions: int
    uncosted: int
    slots: dict[str, int]
    insns: Views
    uops: Views

    @property
    def per_iteration(self) -> float:
        """Cycles a run of the block takes."""
        return self.cycles / self.copies


class Predictor:
    """The predictor of one machine; the machine's processor table must be loaded. A refusal by the core raises EmuBug."""

    def __init__(self, core: Core, machine: int) -> None:
        self._core, self._machine = core, machine
        prototype = ctypes.PYFUNCTYPE(
            ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p
        )
        self._predict = prototype(("cs_predict_full", core.library))
        self._error = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)(("cs_error", core.library))

    def predict(
        self, code: bytes, mode: Mode, *, copies: int = 0, lift: Lift = Lift(0), fill: int = BLOCK_FILL, views: int = 0
    ) -> Prediction:
        """At most MAX_BYTES of 64-bit code, MAX_INSTRUCTIONS of it are looked at.

        Args:
            copies: runs of the block, of which the second half counts; 0: enough.
            fill: what all general registers hold at first.
            views: keep that many micro-ops' ways through the window.
        """
        insns = np.zeros(min(len(code), MAX_INSTRUCTIONS), INSN_VIEW)
        uops = np.zeros(views, UOP_VIEW)
        how = _How(mode, copies, lift, 0, fill, insns.ctypes.data, len(insns), views, uops.ctypes.data)
        out = _Prediction()
        if self._predict(
            self._core.handle, self._machine, code, len(code), ctypes.addressof(how), ctypes.addressof(out)
        ):
            text: object = self._error(self._core.handle)
            raise EmuBug(text.decode() if isinstance(text, bytes) else "the core refused without a word")
        slots = {cause: int(n) for cause, n in zip(CAUSES, out.slots_lost, strict=True)}
        return Prediction(
            out.cycles, out.copies, out.instructions, out.uncosted, slots, insns[: how.ninsn], uops[: how.nuop]
        )
