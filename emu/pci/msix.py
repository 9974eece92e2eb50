# SPDX-License-Identifier: GPL-2.0-or-later
"""MSI-X: a function's table of message-signalled interrupts, with masks and the pending bit array.

Layout (PCI Local Bus Specification 3.0, section 6.8.2): per vector 16 bytes: address low, address high, data, control
(bit 0: masked). A vector fired while it, or the function, is masked sets its pending bit and goes out when unmasked.
While MSI-X is disabled, or the guest has not made the function a bus master, nothing is sent.
"""

from typing import Protocol

from emu.device import PAGE_BYTES
from emu.errors import EmuBug
from emu.pci.function import PciFunction
from emu.state import Count, Data, State, Token, checked, need, plain

CAP_ID_MSIX = 0x11
CONTROL_ENABLE, CONTROL_FUNCTION_MASK = 1 << 15, 1 << 14
ENTRY_BYTES = 16
ENTRY_MASKED = 1


class Interrupts(Protocol):
    """Where messages go."""

    def msi(self, address: int, data: int, time_ps: int, token: int) -> None:
        """Send one; `token` is the request that raised it (0 = none)."""


class MsixState(State):
    """The table, and pending vectors with the requests that raised them."""

    table: bytes
    pending: dict[int, Token]
    suppressed: Count


class MsixTable:
    """A function's vectors. Adds the capability, and the BAR if the function has no such BAR yet."""

    def __init__(
        self,
        function: PciFunction,
        bar: int,
        table_offset: int,
        pba_offset: int,
        vectors: int,
        interrupts: Interrupts,
    ) -> None:
        """Args:
        table_offset, pba_offset: in the BAR, multiples of 8.
        vectors: 1..2048.
        """
        if not 1 <= vectors <= 2048 or table_offset % 8 or pba_offset % 8:
            raise EmuBug(f"{function.name}: bad MSI-X layout")
        self.vectors = vectors
        self.suppressed = 0  # fired while disabled or not bus master
        self._function = function
        self._interrupts = interrupts
        self._table = bytearray(ENTRY_BYTES * vectors)
        self._pending: dict[int, int] = {}  # vector -> token
        pba_bytes = (vectors + 63) // 64 * 8
        if bar not in function.bars:
            size = PAGE_BYTES
            while size < max(table_offset + len(self._table), pba_offset + pba_bytes):
                size *= 2
            function.add_bar(bar, size, lambda offset, size, time_ps: 0, lambda offset, size, value, time_ps: None)
        function.add_window(bar, table_offset, len(self._table), self._read_table, self._write_table)
        function.add_window(bar, pba_offset, pba_bytes, self._read_pba, lambda offset, size, value, time_ps: None)
        body = (vectors - 1).to_bytes(2, "little") + (table_offset | bar).to_bytes(4, "little")
        self._control = function.add_capability(CAP_ID_MSIX, body + (pba_offset | bar).to_bytes(4, "little")) + 2
        function.make_writable(self._control + 1, b"\xc0")
        function.watch(self._control, 2, written=self._control_written)
        self.reset()

    def reset(self) -> None:
        """Every vector masked, nothing pending, MSI-X disabled."""
        self._table[:] = bytes(len(self._table))
        for vector in range(self.vectors):
            self._table[ENTRY_BYTES * vector + 12] = ENTRY_MASKED
        self._pending.clear()
        self._function.config[self._control + 1] &= 0x3F

    def save(self) -> Data:
        """Table and pending vectors; the control word is in configuration space."""
        return plain(MsixState(bytes(self._table), dict(sorted(self._pending.items())), self.suppressed))

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        where = f"{self._function.name}'s MSI-X"
        state = checked(MsixState, data, where)
        need(len(state.table) == len(self._table), where, f"a table of {len(state.table)} bytes")
        need(all(0 <= vector < self.vectors for vector in state.pending), where, "a pending vector beyond the table")
        self._table[:] = state.table
        self._pending, self.suppressed = state.pending, state.suppressed

    @property
    def enabled(self) -> bool:
        """Whether the guest has switched MSI-X on."""
        return bool(self._function.config[self._control + 1] & CONTROL_ENABLE >> 8)

    def fire(self, vector: int, time_ps: int, token: int = 0) -> None:
        """Send vector's message, or remember it while masked. A vector out of range is ignored (guests choose it)."""
        if not 0 <= vector < self.vectors:
            return
        control = self._function.config[self._control + 1]
        if not control & CONTROL_ENABLE >> 8 or not self._function.bus_master:
            self.suppressed += 1
            return
        at = ENTRY_BYTES * vector
        if control & CONTROL_FUNCTION_MASK >> 8 or self._table[at + 12] & ENTRY_MASKED:
            self._pending.setdefault(vector, token)
            return
        entry = self._table
        address = int.from_bytes(entry[at : at + 8], "little")
        self._interrupts.msi(address, int.from_bytes(entry[at + 8 : at + 12], "little"), time_ps, token)

    def _release(self, vector: int, time_ps: int) -> None:
        token = self._pending.pop(vector, None)
        if token is not None:
            self.fire(vector, time_ps, token)  # pends again if still masked

    def _control_written(self, offset: int, size: int, value: int, time_ps: int) -> None:
        for vector in sorted(self._pending):
            self._release(vector, time_ps)

    def _read_table(self, offset: int, size: int, time_ps: int) -> int:
        return int.from_bytes(self._table[offset : offset + size], "little")

    def _write_table(self, offset: int, size: int, value: int, time_ps: int) -> None:
        if offset + size > len(self._table):
            return
        self._table[offset : offset + size] = value.to_bytes(size, "little")
        vector = offset // ENTRY_BYTES
        if not self._table[ENTRY_BYTES * vector + 12] & ENTRY_MASKED:
            self._release(vector, time_ps)

    def _read_pba(self, offset: int, size: int, time_ps: int) -> int:
        bits = 0
        for vector in self._pending:
            bits |= 1 << vector
        return bits >> (8 * offset)
