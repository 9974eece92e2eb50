# SPDX-License-Identifier: GPL-2.0-or-later
"""The core's timing files compiled by themselves (see uarch_harness.c): processor table, block costs, caches."""

import ctypes
import functools
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from emu.ledger.components import CAUSES
from emu.uarch.table import UarchTable, load

HERE = Path(__file__).parent
CORE = HERE.parent / "emu" / "core"
SOURCES = (
    "uarch.c", "limits.c", "blockcost.c", "decode.c", "uop.c", "uoptable.c", "cache.c", "fetch.c", "prefetch.c", "tlb.c", "llc.c",
    "dram.c", "geometry.c", "branch.c", "state.c",
)  # fmt: skip
COUNTERS = (
    "l1d_miss", "l1i_miss", "l2_miss", "llc_miss", "transfers", "upgrades", "tlb_walks", "mispredicts", "uncosted",
    "resteers",
)  # fmt: skip
FIRST_COUNTER = 11  # CS_N_L1D_MISS
WRITE, LOCKED, FETCH, DMA, SAME_BLOCK, DMA_READ, DETAILED, NO_GVA = 1, 2, 4, 8, 16, 32, 64, 128
IRET, REP, LOCK, CR3, COND, INDIRECT, CALL, RET = 32, 64, 128, 256, 1024, 2048, 4096, 8192
CODE32, JUMP = 32768, 65536


class _Row(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_int64))


class _Form(ctypes.Structure):
    _fields_ = (
        ("mnemonic", ctypes.c_char_p), ("uops16", ctypes.c_uint16), ("latency", ctypes.c_uint16),
        ("ports", ctypes.c_uint32), ("recip16", ctypes.c_uint16), ("flags", ctypes.c_uint16),
    )  # fmt: skip


class _Branch(ctypes.Structure):
    _fields_ = (("end", ctypes.c_uint64), ("next", ctypes.c_uint64), ("kind", ctypes.c_uint32), ("pad", ctypes.c_uint32))


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded block: costs in cycles, flags, and per instruction (offset, cost so far)."""

    cost: float
    serial: float
    retire: float
    flags: int
    uncosted: int
    rep_bytes: int
    load_hidden: int
    marks: tuple[tuple[int, float], ...]


def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@functools.cache
def library() -> ctypes.CDLL:
    """Compiles the sources once a run, with the undefined-behaviour checks that work inside Python."""
    command = ["cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"]
    command += ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    command += [f"-isystem{_package(name) / 'include'}" for name in ("unicorn", "capstone")]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "libuarch.so"
        command += ["-o", str(out), str(HERE / "uarch_harness.c"), *(str(CORE / name) for name in SOURCES)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        loaded = ctypes.CDLL(str(out))
    loaded.u_error.restype = loaded.u_symbol.restype = ctypes.c_char_p
    loaded.u_world.restype = ctypes.c_void_p
    loaded.u_world.argtypes = (ctypes.c_int, ctypes.c_uint64)
    loaded.u_counter.restype = loaded.u_writebacks.restype = loaded.u_clock.restype = ctypes.c_uint64
    capstone = ctypes.CDLL(str(_package("capstone") / "lib" / "libcapstone.so"))
    addresses = []
    while symbol := loaded.u_symbol(len(addresses)):
        addresses.append(ctypes.cast(getattr(capstone, symbol.decode()), ctypes.c_void_p).value)
    assert loaded.u_open((ctypes.c_void_p * len(addresses))(*addresses)) == 0
    return loaded


class TimingWorld:
    """One machine with a processor table; use as a context. A call the core refuses raises ValueError with its sentence."""

    def __init__(self, table: UarchTable | None = None, cpus: int = 1, ram: int = 1 << 26, **rows: int) -> None:
        self.lib = library()
        self.handle = ctypes.c_void_p(self.lib.u_world(cpus, ram))
        table = (table or load("skylake_sp")).varied(rows)
        self.load_rows(table.core_rows())
        forms = table.core_forms()
        raw = [_Form(f.mnemonic.encode(), f.uops16, f.latency, f.ports, f.recip16, f.flags) for f in forms]
        self._check(self.lib.cs_insn_table(self.handle, 0, (_Form * len(raw))(*raw), len(raw)))

    def __enter__(self) -> "TimingWorld":
        return self

    def __exit__(self, *_: object) -> None:
        self.lib.u_free(self.handle)

    def _check(self, result: int) -> None:
        if result < 0:
            raise ValueError(self.lib.u_error().decode())

    def load_rows(self, rows: Sequence[tuple[str, int]]) -> None:
        """cs_uarch with these rows."""
        raw = (_Row * len(rows))(*(_Row(name.encode(), value) for name, value in rows))
        self._check(self.lib.cs_uarch(self.handle, 0, raw, len(rows)))

    def decode(self, code: bytes, flags: int = 0) -> Decoded:
        """One block's static cost."""
        out, marks = (ctypes.c_uint32 * 7)(), (ctypes.c_uint16 * 1024)()
        n = self.lib.u_decode(self.handle, code, len(code), flags, out, marks, 512)
        self._check(n)
        steps = tuple((marks[2 * i], marks[2 * i + 1] / 16) for i in range(n))
        return Decoded(out[0] / 16, out[1] / 16, out[2] / 16, out[3], out[4], out[5], out[6], steps)

    def access(
        self, vcpu: int, gpa: int, size: int = 8, flags: int = 0, advance: int = 0, gva: int | None = None
    ) -> dict[str, int]:
        """One access (cs_test_access), at its own address unless `gva` says otherwise; the cycles it stalls, by cause."""
        stall = (ctypes.c_uint32 * len(CAUSES))()
        address = ctypes.c_uint64(gpa if gva is None else gva)
        gpa_ = ctypes.c_uint64(gpa)
        self._check(self.lib.cs_test_access(self.handle, 0, vcpu, gpa_, address, size, flags, advance, stall))
        return {name: stall[i] for i, name in enumerate(CAUSES) if stall[i]}

    def branches(self, stream: Sequence[tuple[int, int, int]], vcpu: int = 0) -> list[int]:
        """Branches (kind, address behind it, where control went) through a vCPU's predictors (cs_test_branch); its answers."""
        n = len(stream)
        raw = (_Branch * n)(*(_Branch(end, to, kind, 0) for kind, end, to in stream))
        answers = (ctypes.c_uint8 * n)()
        self._check(self.lib.cs_test_branch(self.handle, 0, vcpu, raw, n, answers))
        return list(answers)

    def run(self, blocks: Sequence[tuple[int, int, int, int]]) -> dict[str, int]:
        """Blocks (address, size, flags, rep_bytes) on vCPU 0, from cold caches; cycles by cause."""
        n = len(blocks)
        stall = (ctypes.c_uint32 * len(CAUSES))()
        self.lib.u_run(
            self.handle, (ctypes.c_uint64 * n)(*(b[0] for b in blocks)), (ctypes.c_uint32 * n)(*(b[1] for b in blocks)),
            (ctypes.c_uint32 * n)(*(b[2] for b in blocks)), (ctypes.c_uint8 * n)(*(b[3] for b in blocks)), n, stall,
        )  # fmt: skip
        return {name: stall[i] for i, name in enumerate(CAUSES) if stall[i]}

    def clock(self, vcpu: int) -> int:
        """Its cycles so far."""
        return int(self.lib.u_clock(self.handle, vcpu))

    def counters(self, vcpu: int) -> dict[str, int]:
        """Misses and the like, so far."""
        return {name: self.lib.u_counter(self.handle, vcpu, FIRST_COUNTER + i) for i, name in enumerate(COUNTERS)}
