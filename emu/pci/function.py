# SPDX-License-Identifier: GPL-2.0-or-later
"""One PCI function: its 256 bytes of configuration space, capabilities, and base address registers.

Header type 0. Memory BARs alone (no I/O BARs, no expansion ROM, no INTx). A BAR answers where the guest put it while the command
register's memory bit is set; sizing (write all ones, read back) and moving work as on hardware.
Source: PCI Local Bus Specification 3.0, section 6.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from emu.device import PAGE_BYTES, Read, Region, Write
from emu.errors import EmuBug
from emu.state import U64, Data, State, checked, need, plain

VENDOR_ID, DEVICE_ID, COMMAND, STATUS, REVISION_ID, CLASS_CODE = 0x00, 0x02, 0x04, 0x06, 0x08, 0x09
CACHE_LINE_SIZE, LATENCY_TIMER, HEADER_TYPE, BAR0 = 0x0C, 0x0D, 0x0E, 0x10
SUBSYSTEM_VENDOR_ID, SUBSYSTEM_ID, CAPABILITIES_POINTER, INTERRUPT_LINE = 0x2C, 0x2E, 0x34, 0x3C

COMMAND_MEMORY, COMMAND_MASTER = 1 << 1, 1 << 2
COMMAND_WRITABLE = 0x0407 | 1 << 6 | 1 << 8  # memory, master, INTx disable and the error bits; I/O stays as written
STATUS_CAPABILITIES = 1 << 4

ConfigRead = Callable[[int, int, int], int]  # (offset in the watched bytes, size, time_ps) -> value
ConfigWritten = Callable[[int, int, int, int], None]  # (offset in the watched bytes, size, value, time_ps)


@dataclass(slots=True)
class Bar:
    """A memory base address register; `windows` are parts of it with accessors of their own."""

    size: int
    read: Read
    write: Write
    wide: bool  # 64-bit: takes the next register too
    address: int = 0
    mapped: Region | None = None
    windows: list[Region] = field(default_factory=list)

    def load(self, offset: int, size: int, time_ps: int) -> int:
        for window in self.windows:
            if window.base <= offset < window.base + window.size:
                return window.read(offset - window.base, size, time_ps)
        return self.read(offset, size, time_ps)

    def store(self, offset: int, size: int, value: int, time_ps: int) -> None:
        for window in self.windows:
            if window.base <= offset < window.base + window.size:
                window.write(offset - window.base, size, value, time_ps)
                return
        self.write(offset, size, value, time_ps)


class PciFunctionState(State):
    """Configuration space, and where the BARs are."""

    config: Annotated[bytes, Meta(min_length=256, max_length=256)]
    bars: dict[int, U64]


class PciFunction:
    """Configuration space of one function, to which a device adds capabilities and BARs."""

    def __init__(
        self,
        vendor_id: int,
        device_id: int,
        class_code: int,
        *,
        revision: int = 0,
        subsystem_vendor_id: int = 0,
        subsystem_id: int = 0,
        name: str = "pci",
    ) -> None:
        """Args:
        class_code: 24 bits: class, subclass, programming interface (0x020000: Ethernet controller).
        name: for messages.
        """
        self.name = name
        self.config = bytearray(256)
        self._mask = bytearray(256)  # which bits the guest may write
        self._put(VENDOR_ID, 2, vendor_id)
        self._put(DEVICE_ID, 2, device_id)
        self._put(REVISION_ID, 1, revision)
        self._put(CLASS_CODE, 3, class_code)
        self._put(SUBSYSTEM_VENDOR_ID, 2, subsystem_vendor_id)
        self._put(SUBSYSTEM_ID, 2, subsystem_id)
        self._mask[COMMAND : COMMAND + 2] = COMMAND_WRITABLE.to_bytes(2, "little")
        self._mask[CACHE_LINE_SIZE] = self._mask[LATENCY_TIMER] = self._mask[INTERRUPT_LINE] = 0xFF
        self.bars: dict[int, Bar] = {}
        self._next_capability = 0x40
        self._last_pointer = CAPABILITIES_POINTER
        self._watches: list[tuple[int, int, ConfigRead | None, ConfigWritten | None]] = []
        self._map: Callable[[Region], None] | None = None
        self._unmap: Callable[[Region], None] | None = None

    # ---- what the device calls

    def add_capability(self, cap_id: int, body: bytes) -> int:
        """Append a capability: its identifier, the link, then `body`. Returns its offset in configuration space."""
        offset = self._next_capability
        end = offset + 2 + len(body)
        if end > 256:
            raise EmuBug(f"{self.name}: capabilities do not fit configuration space")
        self.config[offset] = cap_id
        self.config[offset + 2 : end] = body
        self.config[self._last_pointer] = offset
        self._put(STATUS, 2, STATUS_CAPABILITIES)
        self._last_pointer = offset + 1
        self._next_capability = (end + 3) & ~3
        return offset

    def add_bar(self, index: int, size: int, read: Read, write: Write, *, wide: bool = False) -> None:
        """Add a memory BAR. `size`: a power of two, a page or more. `wide`: 64-bit, takes register `index` + 1 too."""
        if size & (size - 1) or size < PAGE_BYTES or not 0 <= index <= (4 if wide else 5) or index in self.bars:
            raise EmuBug(f"{self.name}: bad BAR {index} of {size} bytes")
        self.bars[index] = Bar(size, read, write, wide)
        self._put(BAR0 + 4 * index, 4, 4 if wide else 0)

    def add_window(self, index: int, offset: int, size: int, read: Read, write: Write) -> None:
        """Give bytes [offset, offset + size) of a BAR accessors of their own."""
        bar = self.bars[index]
        if offset < 0 or offset + size > bar.size:
            raise EmuBug(f"{self.name}: window outside BAR {index}")
        bar.windows.append(Region(offset, size, read, write))

    def make_writable(self, offset: int, mask: bytes) -> None:
        """Let the guest write the bits of `mask` from `offset`."""
        self._mask[offset : offset + len(mask)] = mask

    def watch(
        self, offset: int, size: int, read: ConfigRead | None = None, written: ConfigWritten | None = None
    ) -> None:
        """Call `read` for the value of config bytes in [offset, offset + size), `written` after the guest wrote there."""
        self._watches.append((offset, size, read, written))

    @property
    def bus_master(self) -> bool:
        """Whether the guest lets the function send memory transactions (DMA, MSI)."""
        return bool(self.config[COMMAND] & COMMAND_MASTER)

    # ---- what the bus calls

    def connect(self, map_region: Callable[[Region], None], unmap_region: Callable[[Region], None]) -> None:
        """Plug into a machine: how to make a BAR answer, and how to stop it."""
        self._map, self._unmap = map_region, unmap_region

    def place_bar(self, index: int, address: int) -> None:
        """Firmware's assignment of a BAR."""
        self.bars[index].address = address
        self._update_mapping()

    def config_read(self, offset: int, size: int, time_ps: int) -> int:
        """The value of a configuration read; `offset` + `size` within 256."""
        for start, length, read, _ in self._watches:
            if read is not None and start <= offset < start + length:
                return read(offset - start, size, time_ps)
        if BAR0 <= offset < BAR0 + 24:
            word = self._bar_register((offset - BAR0) // 4) >> (8 * (offset & 3))
            return word & ((1 << (8 * size)) - 1)
        return int.from_bytes(self.config[offset : offset + size], "little")

    def config_write(self, offset: int, size: int, value: int, time_ps: int) -> None:
        """A configuration write by the guest."""
        if BAR0 <= offset < BAR0 + 24:
            self._write_bar((offset - BAR0) // 4, offset & 3, size, value)
            self._update_mapping()
            return
        for at, byte in enumerate(value.to_bytes(size, "little"), offset):
            mask = self._mask[at]
            self.config[at] = self.config[at] & ~mask | byte & mask
        if offset <= COMMAND < offset + size:
            self._update_mapping()
        for start, length, _, written in self._watches:
            if written is not None and start < offset + size and offset < start + length:
                written(offset - start, size, value, time_ps)

    def reset(self) -> None:
        """Power-on state of what the guest may write: command cleared, BARs unassigned."""
        self._put(COMMAND, 2, 0)
        for bar in self.bars.values():
            bar.address = 0
        self._update_mapping()

    def save(self) -> Data:
        """Configuration space and the BARs' addresses."""
        return plain(PciFunctionState(bytes(self.config), {index: bar.address for index, bar in self.bars.items()}))

    def restore(self, data: Data) -> None:
        """Take them: only what a guest may write can differ. Raises BadSnapshot."""
        state = checked(PciFunctionState, data, self.name)
        fixed = all(not (new ^ old) & ~mask for new, old, mask in zip(state.config, self.config, self._mask, strict=True))
        need(fixed, self.name, "other read-only bits in configuration space")
        need(state.bars.keys() == self.bars.keys(), self.name, "other base address registers")
        for index, address in state.bars.items():
            bar = self.bars[index]
            need(not address % bar.size and (bar.wide or address < 1 << 32), self.name, f"BAR {index} at {address:#x}")
        self.config[:] = state.config
        for index, address in state.bars.items():
            self.bars[index].address = address
        self._update_mapping()

    # ---- inside

    def _put(self, offset: int, size: int, value: int) -> None:
        self.config[offset : offset + size] = value.to_bytes(size, "little")

    def _bar_register(self, register: int) -> int:
        bar = self.bars.get(register)
        if bar is not None:
            return bar.address & 0xFFFF_FFF0 | (4 if bar.wide else 0)
        below = self.bars.get(register - 1)
        if below is not None and below.wide:
            return below.address >> 32
        return 0

    def _write_bar(self, register: int, byte: int, size: int, value: int) -> None:
        shift = 8 * byte
        mask = ((1 << (8 * size)) - 1) << shift
        bar = self.bars.get(register)
        if bar is not None:
            low = bar.address & 0xFFFF_FFFF & ~mask | value << shift & mask
            bar.address = bar.address & ~0xFFFF_FFFF | low & ~(bar.size - 1) & 0xFFFF_FFFF
            return
        below = self.bars.get(register - 1)
        if below is not None and below.wide:
            high = below.address >> 32 & ~mask | value << shift & mask
            high &= ~((below.size - 1) >> 32)
            below.address = below.address & 0xFFFF_FFFF | high << 32

    def _update_mapping(self) -> None:
        if self._map is None or self._unmap is None:
            return
        enabled = bool(self.config[COMMAND] & COMMAND_MEMORY)
        for bar in self.bars.values():
            # All ones is a size probe, not a place; zero is unassigned.
            probe = bar.address & 0xFFFF_FFFF == 0xFFFF_FFFF & ~(bar.size - 1)
            wanted = bar.address if enabled and bar.address and not probe else None
            if bar.mapped is not None and bar.mapped.base != wanted:
                self._unmap(bar.mapped)
                bar.mapped = None
            if bar.mapped is None and wanted is not None:
                bar.mapped = Region(wanted, bar.size, bar.load, bar.store)
                self._map(bar.mapped)
