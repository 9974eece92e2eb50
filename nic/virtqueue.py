# SPDX-License-Identifier: GPL-2.0-or-later
"""A split virtqueue as the device sees it.

Source: virtio 1.2 section 2.7 (published). The descriptor table, the driver area (avail ring) and the device area (used ring)
lie in guest memory, little-endian. Indirect descriptors and the event index are used when negotiated.

The guest is not trusted. Rules of this file:
1. Each index, descriptor and table is read from guest memory once; what was checked is what is used.
2. Every walk is bounded: a chain by its table's size, a round of the avail ring by the queue's size.
3. A broken rule never raises out of here: it is counted by kind, the queue is `broken`, and nothing more is taken from it
   until it is reset. The device then sets DEVICE_NEEDS_RESET (virtio 1.2 section 2.1.2).
4. Memory is touched through `GuestMemory` alone, which refuses what is outside RAM as a whole.
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from typing import NamedTuple

from emu.errors import DmaFault
from emu.state import U16, U64, Data, State, checked, need, plain
from nic.ports import GuestMemory

DESC_F_NEXT = 1
DESC_F_WRITE = 2
DESC_F_INDIRECT = 4
AVAIL_F_NO_INTERRUPT = 1
USED_F_NO_NOTIFY = 1

#: Longest indirect table we follow; the queue size is no bound for it (virtio 1.2 section 2.7.5.3.1 bounds the chain only).
MAX_INDIRECT = 1024
#: Most bytes we gather from one chain: far above any frame, far below a guest's lie about a length.
MAX_GATHER = 1 << 17

_DESC = struct.Struct("<QIHH")
_U16 = struct.Struct("<H")
_ELEM = struct.Struct("<II")


#: One buffer of a chain: guest-physical address and length in bytes (> 0).
Segment = tuple[int, int]


class Chain(NamedTuple):
    """A descriptor chain: buffers the device may read, then buffers it may write. `first_gpa` is the first buffer's address."""

    head: int
    readable: list[Segment]
    writable: list[Segment]
    first_gpa: int
    #: Dependent reads of host memory the device made to know the chain: 1, or 2 with an indirect table.
    fetches: int


class _Broken(Exception):
    """A rule was broken; carries the kind. Never leaves this file."""


class VirtqueueState(State):
    """What the driver said, and how far the device has come."""

    size: U16
    desc_gpa: U64
    avail_gpa: U64
    used_gpa: U64
    enabled: bool
    event_idx: bool
    indirect: bool
    vector: U16
    broken: str
    next_avail: U16
    heads: list[U16]
    used_index: U16
    published: U16
    kicks_off: bool


class Virtqueue:
    """One queue. The transport sets size, addresses and features, then `start`; `reset` returns to the state at power-up."""

    def __init__(self, index: int, max_size: int, memory: GuestMemory, counters: Counter[str]) -> None:
        self.index = index
        self.max_size = max_size
        self.memory = memory
        self.counters = counters
        self.reset()

    def reset(self) -> None:
        """Forget everything the driver said."""
        self.size = self.max_size
        self.desc_gpa = self.avail_gpa = self.used_gpa = 0
        self.enabled = False
        self.event_idx = self.indirect = False
        self.vector = 0xFFFF
        self.broken = ""
        self._next_avail = 0  # index of the next avail entry to take from guest memory
        self._heads: deque[int] = deque()  # taken from the avail ring, not yet popped
        self.used_index = 0  # next used entry to fill
        self.published = 0  # used index the driver can see
        self._kicks_off = False

    def save(self) -> Data:
        """Everything but the rings, which are the guest's."""
        state = VirtqueueState(
            self.size, self.desc_gpa, self.avail_gpa, self.used_gpa, self.enabled, self.event_idx, self.indirect,
            self.vector, self.broken, self._next_avail, list(self._heads), self.used_index, self.published, self._kicks_off,
        )  # fmt: skip
        return plain(state)

    def restore(self, data: Data) -> None:
        """Take it. Raises BadSnapshot."""
        state = checked(VirtqueueState, data, f"virtqueue {self.index}")
        fits = 0 < state.size <= self.max_size and not state.size & (state.size - 1) and len(state.heads) <= state.size
        need(fits, f"virtqueue {self.index}", f"{len(state.heads)} chains taken of a ring of {state.size}")
        self.size, self.desc_gpa, self.avail_gpa, self.used_gpa = state.size, state.desc_gpa, state.avail_gpa, state.used_gpa
        self.enabled, self.event_idx, self.indirect = state.enabled, state.event_idx, state.indirect
        self.vector, self.broken, self._next_avail = state.vector, state.broken, state.next_avail
        self._heads = deque(state.heads)
        self.used_index, self.published, self._kicks_off = state.used_index, state.published, state.kicks_off

    def start(self, *, event_idx: bool, indirect: bool) -> None:
        """Enable, under the features agreed."""
        self.event_idx = event_idx
        self.indirect = indirect
        self.enabled = True

    @property
    def usable(self) -> bool:
        """Enabled and not broken."""
        return self.enabled and not self.broken

    def pop(self) -> Chain | None:
        """The next available chain; None if there is none, or the queue is (now) broken or not enabled."""
        if self.broken or (not self._heads and not self._fetch()):
            return None
        head = self._heads.popleft()
        try:
            return self._walk(head)
        except (_Broken, DmaFault) as error:
            self.fail(str(error) if isinstance(error, _Broken) else "ring_address")
            return None

    def unpop(self, head: int) -> None:
        """Give back a chain just popped: it will be the next one popped again."""
        self._heads.appendleft(head)

    def gather(self, chain: Chain) -> bytes | None:
        """The chain's device-readable bytes. None if too many (the chain stays good) or outside RAM (the queue is broken)."""
        segments = chain.readable
        try:
            if len(segments) == 1 and segments[0][1] <= MAX_GATHER:
                return self.memory.read(*segments[0])
            if sum(size for _, size in segments) > MAX_GATHER:
                return None
            return b"".join([self.memory.read(gpa, size) for gpa, size in segments])
        except DmaFault:
            self.fail("bad_address")
            return None

    def scatter(self, chain: Chain, data: bytes) -> int:
        """Write `data` over the chain's device-writable buffers, as much as fits. Returns: bytes written; -1 if outside RAM."""
        done = 0
        if self.broken:
            return -1
        try:
            for gpa, size in chain.writable:
                if size >= len(data) - done:
                    self.memory.write(gpa, data[done:] if done else data)
                    return len(data)
                self.memory.write(gpa, data[done : done + size])
                done += size
        except DmaFault:
            self.fail("bad_address")
            return -1
        return done

    def push(self, head: int, written: int) -> None:
        """Fill the next used entry. The driver sees it after `publish`."""
        if self.broken:
            return
        try:
            slot = self.used_index & (self.size - 1)
            self.memory.write(self.used_gpa + 4 + 8 * slot, _ELEM.pack(head, written))
        except DmaFault:
            self.fail("ring_address")
            return
        self.used_index = (self.used_index + 1) & 0xFFFF

    def publish(self, index: int) -> None:
        """Show the driver the used entries before `index` (virtio 1.2 section 2.7.8.2)."""
        if self.broken:
            return
        try:
            self.memory.write(self.used_gpa + 2, _U16.pack(index))
        except DmaFault:
            self.fail("ring_address")
            return
        self.published = index

    def wanted_interrupt(self, since: int) -> int:
        """Whether the driver wants an interrupt for the entries published since the used index was `since`.

        Returns: -1 for no; else the used index of the oldest entry that the driver, by its own word, has not yet looked at
        (its used_event; without the event index, `since`).
        """
        new = (self.published - since) & 0xFFFF
        if not new or self.broken:
            return -1
        try:
            if not self.event_idx:
                flags: int = _U16.unpack(self.memory.read(self.avail_gpa, 2))[0]
                return -1 if flags & AVAIL_F_NO_INTERRUPT else since
            event: int = _U16.unpack(self.memory.read(self.avail_gpa + 4 + 2 * self.size, 2))[0]
        except DmaFault:
            self.fail("ring_address")
            return -1
        return event if (self.published - event - 1) & 0xFFFF < new else -1

    def ask_kick(self) -> None:
        """Ask for a notification of the next available chain; cheap when already asked."""
        if not self.usable:
            return
        try:
            if self.event_idx:
                self.memory.write(self.used_gpa + 4 + 8 * self.size, _U16.pack(self._next_avail))
            elif self._kicks_off:
                self.memory.write(self.used_gpa, b"\0\0")
                self._kicks_off = False
        except DmaFault:
            self.fail("ring_address")

    def stop_kicks(self) -> None:
        """Say that notifications are not needed for now. (With the event index, not moving avail_event says so.)"""
        if self.event_idx or self._kicks_off or not self.usable:
            return
        try:
            self.memory.write(self.used_gpa, _U16.pack(USED_F_NO_NOTIFY))
            self._kicks_off = True
        except DmaFault:
            self.fail("ring_address")

    def _fetch(self) -> bool:
        """Take all new heads from the avail ring. False if there are none."""
        if not self.enabled or self.broken:
            return False
        try:
            index = _U16.unpack(self.memory.read(self.avail_gpa + 2, 2))[0]
            fresh = (index - self._next_avail) & 0xFFFF
            if not fresh:
                return False
            if fresh > self.size:
                raise _Broken("avail_index")
            slot = self._next_avail & (self.size - 1)
            if fresh == 1:
                self._heads.append(_U16.unpack(self.memory.read(self.avail_gpa + 4 + 2 * slot, 2))[0])
                self._next_avail = index
                return True
            first = min(fresh, self.size - slot)
            raw = self.memory.read(self.avail_gpa + 4 + 2 * slot, 2 * first)
            if fresh > first:
                raw += self.memory.read(self.avail_gpa + 4, 2 * (fresh - first))
        except (_Broken, DmaFault) as error:
            self.fail(str(error) if isinstance(error, _Broken) else "ring_address")
            return False
        self._heads.extend(struct.unpack(f"<{fresh}H", raw))
        self._next_avail = index
        return True

    def _walk(self, head: int) -> Chain:
        size = self.size
        if head >= size:
            raise _Broken("head_index")
        gpa, length, flags, following = _DESC.unpack(self.memory.read(self.desc_gpa + 16 * head, 16))
        if flags & ~DESC_F_WRITE == 0 and length:  # the common case: one buffer
            only = [(gpa, length)]
            return Chain(head, [], only, gpa, 1) if flags else Chain(head, only, [], gpa, 1)
        readable: list[Segment] = []
        writable: list[Segment] = []
        table, entries, steps, fetches = None, size, 0, 1
        while True:
            if flags & DESC_F_INDIRECT:
                if table is not None:
                    raise _Broken("indirect_nested")
                table = self._indirect_table(gpa, length, flags)
                entries, steps, fetches = len(table) // 16, 0, 2
                gpa, length, flags, following = _DESC.unpack_from(table)
                continue
            if not length:
                raise _Broken("zero_length")
            if flags & DESC_F_WRITE:
                writable.append((gpa, length))
            elif writable:
                raise _Broken("readable_after_writable")
            else:
                readable.append((gpa, length))
            steps += 1
            if not flags & DESC_F_NEXT:
                return Chain(head, readable, writable, (readable or writable)[0][0], fetches)
            if following >= entries:
                raise _Broken("next_index")
            if steps >= entries:
                raise _Broken("chain_loop")
            raw = (
                table[16 * following : 16 * following + 16]
                if table
                else self.memory.read(self.desc_gpa + 16 * following, 16)
            )
            gpa, length, flags, following = _DESC.unpack(raw)

    def _indirect_table(self, gpa: int, length: int, flags: int) -> bytes:
        """The whole indirect table. The write-only flag of its descriptor is ignored (virtio 1.2 section 2.7.5.3.2)."""
        if not self.indirect:
            raise _Broken("indirect_not_negotiated")
        if flags & DESC_F_NEXT:
            raise _Broken("indirect_and_next")
        if not length or length % 16 or length > 16 * MAX_INDIRECT:
            raise _Broken("indirect_size")
        try:
            return self.memory.read(gpa, length)
        except DmaFault:
            raise _Broken("bad_address") from None

    def fail(self, kind: str) -> None:
        """The device found a rule of its own broken: count it, and take nothing more until reset."""
        if self.broken:
            return
        self.broken = kind
        self._heads.clear()
        self.counters[kind] += 1
