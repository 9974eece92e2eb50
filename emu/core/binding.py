# SPDX-License-Identifier: GPL-2.0-or-later
"""The core library as Python sees it: `emu/core/core.h`, typed, with its errors as exceptions.

The library is not linked to anything: it is handed the addresses of the functions it needs from the libunicorn and libcapstone of
the installed packages, and refuses (EmuBug) when Unicorn's private layout is not the one it knows.

An exception in a callback is kept, the run is ended, and it is raised again from `Core.run`. Until then the guest gets all ones.
"""

import ctypes
import enum
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from emu.errors import BadSnapshot, ConfigError, DmaFault, EmuBug, NotModelled
from emu.ledger.calls import NCAUSES, LedgerCalls

ABI_VERSION = 4
NEVER_PS = (1 << 63) - 1
BLOCK_FILL = 0x12345600
"""What BHive's blocks find in every general register and in memory: a predicted block, and one run as a guest."""
N_COUNTERS = 32
N_REGS = 24
ALL_ONES = (1 << 64) - 1


class Level(enum.IntEnum):
    """Timing levels."""

    FUNCTIONAL = 0  # one cycle an instruction
    FAST = 1  # block costs, caches, TLBs
    DETAILED = 2  # every micro-op placed in the window, predictors, prefetchers, DRAM


class Stop(enum.IntEnum):
    """Why a run ended."""

    HORIZON = 0  # every vCPU reached the time asked for
    EXIT = 1  # the guest wrote the debug-exit port: value
    TRIPLE_FAULT = 2
    CYCLE_LIMIT = 3
    NO_PROGRESS = 4  # all vCPUs halted, nothing due, no horizon
    INTERRUPTED = 5  # `interrupt` was called
    CALLBACK = 6
    NOT_MODELLED = 7
    FAULT = 8


class Counter(enum.IntEnum):
    """Index into `Core.counters`."""

    SYSCALL = 0
    INTERRUPT = 1
    IPI = 2
    PAGE_FAULT = 3
    EXCEPTION = 4
    CR3_WRITE = 5
    HLT = 6
    MMIO = 7
    PIO = 8
    SLICES = 9
    TRANSLATIONS = 10
    L1D_MISS = 11
    L1I_MISS = 12
    L2_MISS = 13
    LLC_MISS = 14
    TRANSFERS = 15
    UPGRADES = 16
    TLB_WALKS = 17
    MISPREDICTS = 18
    UNCOSTED = 19
    RESTEERS = 20


class SerialAnswer(enum.IntFlag):
    """What came of a byte for the serial port."""

    RISES = 1  # the interrupt line
    FULL = 2  # no room: nothing was done


class SerialLook(NamedTuple):
    """The serial port's receiver."""

    received: int  # bytes in its FIFO
    listens: bool  # its interrupt is enabled
    bits: int  # of a character
    divisor: int  # of 115,200 baud


class CoreStop(NamedTuple):
    """How a run ended. `machine` and `vcpu` are -1 when it was nobody's doing."""

    stop: Stop
    machine: int
    vcpu: int
    value: int
    rip: int
    time_ps: int


class Prediction(NamedTuple):
    """A block's steady state: `cycles` for `copies` runs of it. Slots and the retire slots lost are of all those runs."""

    cycles: int
    copies: int
    instructions: int  # of one run
    slots: int  # fused micro-ops, of one run
    uncosted: int  # instructions of one run that the table lacks
    slots_lost: tuple[int, ...]  # by cause, in the order of emu.ledger.components.CAUSES


class Callbacks(Protocol):
    """What the core asks of Python. `time_ps` is exact: the vCPU's clock at the accessing instruction."""

    def pio_read(self, machine: int, vcpu: int, port: int, size: int, time_ps: int) -> int:
        """IN from a port the core does not model (all but 0x3F8-0x3FF).

        From 0x3F8: a received byte was taken; the answer counts for nothing.
        """

    def pio_write(self, machine: int, vcpu: int, port: int, size: int, time_ps: int, value: int) -> None:
        """OUT to a port the core does not model (nor 0xF4).

        To 0x3F8: the serial port's interrupt line rises; to 0x3FA: its receiver was emptied.
        """

    def mmio_read(self, machine: int, vcpu: int, gpa: int, size: int, time_ps: int) -> int:
        """A load from a region added with `mmio_add`; 1, 2 or 4 bytes (8 come as two of 4)."""

    def mmio_write(self, machine: int, vcpu: int, gpa: int, size: int, time_ps: int, value: int) -> None:
        """A store to such a region."""

    def console(self, machine: int, data: bytes, time_ps: int) -> None:
        """Bytes from the serial transmitter: a line, 256 bytes, or what is left at the end of a run."""

    def eoi(self, machine: int, vcpu: int, vector: int, time_ps: int) -> None:
        """A level-triggered vector was acknowledged."""


class _StopInfo(ctypes.Structure):
    _fields_ = (
        ("stop", ctypes.c_int32), ("machine", ctypes.c_int32), ("vcpu", ctypes.c_int32), ("pad", ctypes.c_int32),
        ("value", ctypes.c_uint64), ("rip", ctypes.c_uint64), ("time_ps", ctypes.c_int64),
    )  # fmt: skip


class _MachineConfig(ctypes.Structure):
    _fields_ = (
        ("hz", ctypes.c_uint64), ("ncpus", ctypes.c_uint32), ("pad", ctypes.c_uint32),
        ("ram_bytes", ctypes.c_uint64), ("cycle_limit", ctypes.c_uint64),
    )  # fmt: skip


class _Row(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_int64))


class _InsnCost(ctypes.Structure):
    _fields_ = (
        ("mnemonic", ctypes.c_char_p), ("uops16", ctypes.c_uint16), ("latency", ctypes.c_uint16),
        ("ports", ctypes.c_uint32), ("recip16", ctypes.c_uint16), ("flags", ctypes.c_uint16),
    )  # fmt: skip


class _Prediction(ctypes.Structure):
    _fields_ = (
        ("cycles", ctypes.c_uint64), ("copies", ctypes.c_uint32), ("instructions", ctypes.c_uint32),
        ("slots", ctypes.c_uint32), ("uncosted", ctypes.c_uint32), ("slots_lost", ctypes.c_uint64 * NCAUSES),
    )  # fmt: skip


_I, _U32, _U64, _I64, _P = ctypes.c_int, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int64, ctypes.c_void_p
_READ = ctypes.CFUNCTYPE(_I, _I, _I, _U64, _U32, _I64, ctypes.POINTER(_U64))
_WRITE = ctypes.CFUNCTYPE(_I, _I, _I, _U64, _U32, _I64, _U64)
_PORT_READ = ctypes.CFUNCTYPE(_I, _I, _I, _U32, _U32, _I64, ctypes.POINTER(_U64))
_PORT_WRITE = ctypes.CFUNCTYPE(_I, _I, _I, _U32, _U32, _I64, _U64)
_CONSOLE = ctypes.CFUNCTYPE(_I, _I, _P, _U32, _I64)
_EOI = ctypes.CFUNCTYPE(_I, _I, _I, _U32, _I64)


class _CallbackTable(ctypes.Structure):
    _fields_ = (
        ("pio_read", _PORT_READ), ("pio_write", _PORT_WRITE), ("mmio_read", _READ), ("mmio_write", _WRITE),
        ("console", _CONSOLE), ("eoi", _EOI),
    )  # fmt: skip


_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cs_abi_version": (_I,),
    "cs_needed_symbol": (ctypes.c_char_p, _I, _I),
    "cs_open": (_I, _P, _P),
    "cs_error": (ctypes.c_char_p, _P),
    "cs_world_new": (_P, _P),
    "cs_world_free": (None, _P),
    "cs_machine_add": (_I, _P, _P),
    "cs_ram": (_P, _P, _I),
    "cs_ram_offset": (_I64, _P, _I, _U64, _U64),
    "cs_mmio_add": (_I, _P, _I, _U64, _U64),
    "cs_mmio_del": (_I, _P, _I, _U64, _U64),
    "cs_quantum": (_I, _P, _U32, _U32),
    "cs_set_level": (_I, _P, _I, _I),
    "cs_machine_off": (_I, _P, _I),
    "cs_start_pvh": (_I, _P, _I, _U32, _U32, _U32),
    "cs_pull_horizon": (None, _P, _I64),
    "cs_interrupt": (None, _P),
    "cs_now_ps": (_I64, _P, _I, _I),
    "cs_cycles": (_U64, _P, _I, _I),
    "cs_cycles_to_ps": (_I64, _P, _I, _U64),
    "cs_regs": (_I, _P, _I, _I, _P),
    "cs_lapic_post": (_I, _P, _I, _U32, _U32, _U32, _U32, _U32, _I64, _U64),
    "cs_msi": (_I, _P, _I, _U64, _U32, _I64, _U64),
    "cs_serial_receive": (_I, _P, _I, _I),
    "cs_serial_look": (_I, _P, _I, _P),
    "cs_dma_read": (_I, _P, _I, _U64, _P, _U64, _I64),
    "cs_dma_write": (_I, _P, _I, _U64, ctypes.c_char_p, _U64, _I64),
    "cs_uarch": (_I, _P, _I, _P, _I),
    "cs_insn_table": (_I, _P, _I, _P, _I),
    "cs_block_cost": (_I, _P, _I, ctypes.c_char_p, _U32, _P, _P, _P),
    "cs_predict": (_I, _P, _I, ctypes.c_char_p, _U32, _I, _U64, _P),
    "cs_counters": (_I, _P, _I, _I, _P),
    "cs_state_save": (_I, _P, _P, _P),
    "cs_state_free": (None, _P),
    "cs_state_restore": (_I, _P, ctypes.c_char_p, _U64),
    "cs_ram_used": (_I, _P, _I, _U64, _P, _P),
    "cs_event_row": (ctypes.c_char_p, _I),
    "cs_events": (_I, _P, _I, _I, _P, _I),
}

_HERE = Path(__file__).parent


def _addresses(f: dict[str, Any], which: int, library: ctypes.CDLL, name: str) -> ctypes.Array[ctypes.c_void_p]:
    found: list[int] = []
    while True:
        symbol: bytes | None = f["cs_needed_symbol"](which, len(found))
        if symbol is None:
            return (_P * len(found))(*found)
        try:
            address = ctypes.cast(getattr(library, symbol.decode()), _P).value
        except AttributeError:
            raise EmuBug(f"{name} has no {symbol.decode()}; install the versions pinned in pyproject.toml.") from None
        found.append(address or 0)


def _load() -> tuple[ctypes.CDLL, dict[str, Any], Any]:
    path = Path(os.environ.get("CYCLESCOPE_CORE_LIBRARY") or _HERE / "libcyclescope_core.so")  # set by `make sanitize`
    if not path.exists():
        raise ConfigError(f"{path} is missing: run `make build` (or install the package) first.")
    import capstone  # both load their own libraries
    import unicorn.unicorn_py3.unicorn as unicorn_binding

    library = ctypes.CDLL(str(path))
    f: dict[str, Any] = {}
    for name, (result, *arguments) in _SIGNATURES.items():
        f[name] = ctypes.PYFUNCTYPE(result, *arguments)((name, library))  # short calls: keep the GIL
    run = ctypes.CFUNCTYPE(_I, _P, _I64, _P)(("cs_run", library))  # gives it up
    if f["cs_abi_version"]() != ABI_VERSION:
        raise EmuBug(f"{path} is of another version: run `make build` again.")
    uc = _addresses(f, 0, unicorn_binding.uclib, "libunicorn")
    cs = _addresses(f, 1, capstone._cs, "libcapstone")
    if f["cs_open"](uc, cs):
        raise EmuBug(f["cs_error"](None).decode())
    return library, f, run


_loaded: tuple[ctypes.CDLL, dict[str, Any], Any] | None = None


def library() -> tuple[ctypes.CDLL, dict[str, Any], Any]:
    """The library, opened and proven on first use; its functions that keep the GIL; cs_run."""
    global _loaded
    if _loaded is None:
        _loaded = _load()
    return _loaded


def core_build() -> str:
    """SHA-256 of the library's file: snapshots are for the build that took them."""
    global _build
    if not _build:
        _build = hashlib.sha256(Path(library()[0]._name).read_bytes()).hexdigest()
    return _build


_build = ""


class Core:
    """One cs_world. Close it to free it. Refusals raise EmuBug unless another error is named."""

    def __init__(self, callbacks: Callbacks) -> None:
        self.library, self._f, self._run = library()
        self._raised: BaseException | None = None
        self._table = self._make_table(callbacks)
        self.handle: int = self._f["cs_world_new"](ctypes.addressof(self._table)) or 0
        if not self.handle:
            raise EmuBug(self._f["cs_error"](None).decode())
        self._info = _StopInfo()
        self._info_at = ctypes.addressof(self._info)
        self._buffer = ctypes.create_string_buffer(1 << 16)
        self._buffer_at = ctypes.addressof(self._buffer)
        self._dma_read, self._dma_write = self._f["cs_dma_read"], self._f["cs_dma_write"]

    def close(self) -> None:
        """Free everything; twice does no harm."""
        handle, self.handle = self.handle, 0
        if handle:
            self._f["cs_world_free"](handle)

    # ---- callbacks

    def _keep(self, error: BaseException) -> int:
        if self._raised is None:
            self._raised = error
        return 1

    def _make_table(self, to: Callbacks) -> _CallbackTable:
        keep = self._keep

        def reader(answer: Callable[[int, int, int, int, int], int]) -> Callable[..., int]:
            def read(machine: int, vcpu: int, where: int, size: int, time_ps: int, value: Any) -> int:
                try:
                    value[0] = answer(machine, vcpu, where, size, time_ps) & ALL_ONES
                except BaseException as error:
                    return keep(error)
                return 0

            return read

        def writer(take: Callable[[int, int, int, int, int, int], None]) -> Callable[..., int]:
            def write(machine: int, vcpu: int, where: int, size: int, time_ps: int, value: int) -> int:
                try:
                    take(machine, vcpu, where, size, time_ps, value)
                except BaseException as error:
                    return keep(error)
                return 0

            return write

        def console(machine: int, data: int, n: int, time_ps: int) -> int:
            try:
                to.console(machine, ctypes.string_at(data, n), time_ps)
            except BaseException as error:
                return keep(error)
            return 0

        def eoi(machine: int, vcpu: int, vector: int, time_ps: int) -> int:
            try:
                to.eoi(machine, vcpu, vector, time_ps)
            except BaseException as error:
                return keep(error)
            return 0

        return _CallbackTable(
            _PORT_READ(reader(to.pio_read)), _PORT_WRITE(writer(to.pio_write)),
            _READ(reader(to.mmio_read)), _WRITE(writer(to.mmio_write)), _CONSOLE(console), _EOI(eoi),
        )  # fmt: skip

    def _error(self) -> str:
        text: bytes = self._f["cs_error"](self.handle)
        return text.decode("utf-8", "replace") or "the core refused without a word"

    def _need(self, name: str, *arguments: object) -> int:
        result: int = self._f[name](self.handle, *arguments)
        if result < 0:
            raise EmuBug(self._error())
        return result

    # ---- machines

    def machine_add(self, hz: int, ncpus: int, ram_bytes: int, cycle_limit: int = 0) -> int:
        """The new machine's number. Raises ConfigError."""
        config = _MachineConfig(hz, ncpus, 0, ram_bytes, cycle_limit)
        index: int = self._f["cs_machine_add"](self.handle, ctypes.addressof(config))
        if index < 0:
            raise ConfigError(self._error())
        return index

    def ram(self, machine: int, nbytes: int) -> memoryview:
        """The first `nbytes` of RAM, contiguous (see `ram_offset`). Dead after `close`.

        Not for devices: code and caches do not notice.
        """
        address: int = self._f["cs_ram"](self.handle, machine)
        return memoryview((ctypes.c_uint8 * nbytes).from_address(address)).cast("B")

    def ram_offset(self, machine: int, gpa: int, n: int) -> int:
        """Offset of [gpa, gpa + n) in `ram`, or -1."""
        offset: int = self._f["cs_ram_offset"](self.handle, machine, gpa, n)
        return offset

    def load(self, machine: int, gpa: int, data: bytes) -> None:
        """Put an image's bytes into RAM, as a loader does: no time passes. Raises DmaFault."""
        self.dma_write(machine, gpa, data, 0)

    def mmio_add(self, machine: int, gpa: int, size: int) -> None:
        """Forward a region of whole pages to the callbacks."""
        self._need("cs_mmio_add", machine, gpa, size)

    def mmio_del(self, machine: int, gpa: int, size: int) -> None:
        """Take a region back."""
        self._need("cs_mmio_del", machine, gpa, size)

    def quantum(self, functional: int, timed: int) -> None:
        """How far vCPUs may drift apart, in cycles, by timing level."""
        self._need("cs_quantum", functional, timed)

    def set_level(self, machine: int, level: Level) -> None:
        """Timing level, between runs."""
        self._need("cs_set_level", machine, int(level))

    def machine_off(self, machine: int) -> None:
        """Between runs, for good: its vCPUs run no more."""
        self._need("cs_machine_off", machine)

    def start_pvh(self, machine: int, entry: int, ebx: int, eax: int = 0) -> None:
        """Point the first vCPU at a kernel: 32-bit protected mode, flat, paging off."""
        self._need("cs_start_pvh", machine, entry, ebx, eax)

    # ---- snapshots

    def save(self) -> bytes:
        """All that the core holds but for RAM, between runs; nothing changes. Raises NotModelled for what no snapshot can hold."""
        at, n = _P(), _U64()
        if self._f["cs_state_save"](self.handle, ctypes.addressof(at), ctypes.addressof(n)):
            raise NotModelled(self._error())
        try:
            return ctypes.string_at(at.value or 0, n.value)
        finally:
            self._f["cs_state_free"](at)

    def restore(self, data: bytes) -> None:
        """Take what `save` gave, in a World made alike that has not run. Raises BadSnapshot; the World is spoilt then."""
        if self._f["cs_state_restore"](self.handle, data, len(data)):
            raise BadSnapshot(f"the core: {self._error()}")

    def ram_used(self, machine: int) -> Iterator[tuple[int, int]]:
        """Parts of RAM, as (start, end) in `ram`, that may hold something; all else is zero."""
        start, end = _U64(), _U64()
        at = 0
        while True:
            self._need("cs_ram_used", machine, at, ctypes.addressof(start), ctypes.addressof(end))
            if start.value >= end.value:
                return
            yield start.value, end.value
            at = end.value

    # ---- processor tables

    def uarch(self, machine: int, rows: Iterable[tuple[str, int]]) -> None:
        """The processor's rows. Raises ConfigError for a missing or unknown one."""
        table = [_Row(name.encode(), value) for name, value in rows]
        if self._f["cs_uarch"](self.handle, machine, (_Row * len(table))(*table), len(table)) < 0:
            raise ConfigError(self._error())

    def insn_table(self, machine: int, forms: Iterable[tuple[str, int, int, int, int, int]]) -> None:
        """(mnemonic, uops16, latency, ports, recip16, flags) of each instruction form. Raises ConfigError."""
        table = [_InsnCost(name.encode(), *rest) for name, *rest in forms]
        if self._f["cs_insn_table"](self.handle, machine, (_InsnCost * len(table))(*table), len(table)) < 0:
            raise ConfigError(self._error())

    def block_cost(self, machine: int, code: bytes) -> tuple[int, int, int]:
        """Static cost of a block in 1/16 cycles, its instructions, and how many of them the table lacks."""
        cost, instructions, uncosted = _U32(), _U32(), _U32()
        self._need(
            "cs_block_cost", machine, code, len(code),
            ctypes.addressof(cost), ctypes.addressof(instructions), ctypes.addressof(uncosted),
        )  # fmt: skip
        return cost.value, instructions.value, uncosted.value

    def predict(self, machine: int, code: bytes, *, looped: bool = False, fill: int = BLOCK_FILL) -> Prediction:
        """A block's steady state under the detailed level's window model, without a guest.

        Unrolled, copy behind copy, decoded each time; or `looped`, from the micro-op cache. General registers and memory hold
        `fill` at first, all memory is one page, every access hits the L1. Raises EmuBug for more bytes than a block can hold.
        """
        out = _Prediction()
        self._need("cs_predict", machine, code, len(code), int(looped), fill, ctypes.addressof(out))
        return Prediction(out.cycles, out.copies, out.instructions, out.slots, out.uncosted, tuple(out.slots_lost))

    # ---- running

    def run(self, until_ps: int = NEVER_PS) -> CoreStop:
        """Run all vCPUs up to a time.

        Raises:
            NotModelled: the guest did something that is not modelled.
            EmuBug: our fault, or Unicorn's.
            Whatever a callback raised.
        """
        self._raised = None
        self._run(self.handle, until_ps, self._info_at)
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        info = self._info
        if info.stop == Stop.NOT_MODELLED:
            raise NotModelled(self._error())
        if info.stop == Stop.FAULT:
            raise EmuBug(self._error())
        return CoreStop(Stop(info.stop), info.machine, info.vcpu, info.value, info.rip, info.time_ps)

    def pull_horizon(self, time_ps: int) -> None:
        """From within a callback: something earlier than the time given to `run` was scheduled."""
        self._f["cs_pull_horizon"](self.handle, time_ps)

    def interrupt(self) -> None:
        """End the run soon; from a signal handler or another thread."""
        self._f["cs_interrupt"](self.handle)

    # ---- interrupts and DMA

    def lapic_post(
        self, machine: int, destination: int, logical: bool, mode: int, vector: int, level: bool, time_ps: int,
        token: int = 0,
    ) -> None:  # fmt: skip
        """An interrupt to local APICs: mode 0 fixed, 1 lowest priority, 4 NMI."""
        self._need("cs_lapic_post", machine, destination, logical, mode, vector, level, time_ps, token)

    def msi(self, machine: int, address: int, data: int, time_ps: int, token: int = 0) -> None:
        """A message-signalled interrupt; `token` is the request that raised it."""
        self._need("cs_msi", machine, address, data, time_ps, token)

    def serial_receive(self, machine: int, byte: int) -> SerialAnswer:
        """A byte for the serial port, or -1: four characters' time went by since one came or was taken."""
        return SerialAnswer(self._need("cs_serial_receive", machine, byte))

    def serial_look(self, machine: int) -> SerialLook:
        """The serial port's receiver."""
        out = (_U32 * 4)()
        self._need("cs_serial_look", machine, ctypes.addressof(out))
        return SerialLook(out[0], bool(out[1]), out[2], out[3])

    def dma_read(self, machine: int, gpa: int, n: int, time_ps: int) -> bytes:
        """Bytes of RAM, as a device reads them. Raises DmaFault."""
        if n > len(self._buffer):
            self._buffer = ctypes.create_string_buffer(n)
            self._buffer_at = ctypes.addressof(self._buffer)
        if self._dma_read(self.handle, machine, gpa, self._buffer_at, n, time_ps):
            raise DmaFault(self._error())
        return ctypes.string_at(self._buffer_at, n)

    def dma_write(self, machine: int, gpa: int, data: bytes, time_ps: int) -> None:
        """Bytes to RAM, as a device writes them. Raises DmaFault."""
        if self._dma_write(self.handle, machine, gpa, bytes(data), len(data), time_ps):
            raise DmaFault(self._error())

    # ---- looking

    def ledger_calls(self) -> LedgerCalls:
        """Symbols, accounts, probes, requests and the raw trace of this World."""
        return LedgerCalls(self.library, self.handle)

    def now_ps(self, machine: int, vcpu: int) -> int:
        """A vCPU's clock; exact inside callbacks."""
        return self._need("cs_now_ps", machine, vcpu)

    def cycles(self, machine: int, vcpu: int) -> int:
        """A vCPU's clock in cycles."""
        cycles: int = self._f["cs_cycles"](self.handle, machine, vcpu)
        return cycles

    def cycles_to_ps(self, machine: int, cycles: int) -> int:
        """Cycles of this machine as picoseconds."""
        return self._need("cs_cycles_to_ps", machine, cycles)

    def counters(self, machine: int, vcpu: int) -> list[int]:
        """Event counts by `Counter`."""
        out = (_U64 * N_COUNTERS)()
        self._need("cs_counters", machine, vcpu, ctypes.addressof(out))
        return list(out)

    def events(self, machine: int, vcpu: int) -> dict[str, int]:
        """How often everything that has a row of its own happened, by the name of its row in the processor table."""
        names: list[str] = []
        while (name := self._f["cs_event_row"](len(names))) is not None:
            names.append(name.decode())
        out = (_U64 * len(names))()
        self._need("cs_events", machine, vcpu, ctypes.addressof(out), len(names))
        return dict(zip(names, out, strict=True))

    def regs(self, machine: int, vcpu: int) -> list[int]:
        """RAX RCX RDX RBX RSP RBP RSI RDI R8..R15, RIP, RFLAGS, CR0, CR2, CR3, CR4, CPL, halted."""
        out = (_U64 * N_REGS)()
        self._need("cs_regs", machine, vcpu, ctypes.addressof(out))
        return list(out)
