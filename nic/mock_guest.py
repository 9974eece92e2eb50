# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest in Python: brings the device up through its PCI registers (virtio 1.2 sections 3.1 and 4.1), and answers frames.

It is event-driven by its interrupts: takes what was received, gives the buffers back, and sends what its handler answers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from emu.pci.function import CAPABILITIES_POINTER, COMMAND, COMMAND_MASTER, COMMAND_MEMORY, PciFunction
from nic.mock_driver import FlatMemory, MockDriver
from nic.mock_world import MockRequests
from nic.parts import HDR_BYTES
from nic.ports import Clock
from nic.virtio_pci import F_RING_EVENT_IDX

Answer = Callable[[bytes], bytes | None]
BUFFER_BYTES = 2048
_QUEUE_AREA = 0x4000


class MockGuest:
    """The machine's side of one virtio-net function. Also its interrupt controller (`nic.ports.Interrupts`).

    Args:
        answer: what to send for a received frame; None for nothing.
    """

    def __init__(self, clock: Clock, requests: MockRequests, memory: FlatMemory, answer: Answer | None = None) -> None:
        self._clock = clock
        self._requests = requests
        self.memory = memory
        self._answer = answer or (lambda frame: None)
        self.queues: list[MockDriver] = []
        self.interrupts: list[tuple[int, int, int]] = []  # (vector, time_ps, token)
        self.received: list[tuple[int, bytes, bytes]] = []  # (queue, header, frame)
        self.keep = True
        self._regions: dict[int, tuple[int, int]] = {}
        self._rx_buffers: dict[tuple[int, int], list[tuple[int, int]]] = {}

    # registers

    def plug(self, function: PciFunction) -> None:
        """Find the capabilities and switch memory and bus mastering on."""
        self._function = function
        function.config_write(COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER, 0)
        at = function.config_read(CAPABILITIES_POINTER, 1, 0)
        while at:
            if function.config_read(at, 1, 0) == 0x09:
                kind, bar = (function.config_read(at + place, 1, 0) for place in (3, 4))
                self._regions[kind] = (bar, function.config_read(at + 8, 4, 0))
            elif function.config_read(at, 1, 0) == 0x11:
                function.config_write(at + 2, 2, 0x8000, 0)
                self._msix_bar = function.config_read(at + 4, 4, 0) & 7
                self.vectors = (function.config_read(at + 2, 2, 0) & 0x7FF) + 1
            at = function.config_read(at + 1, 1, 0)
        for vector in range(self.vectors):
            for offset, value in ((0, 0xFEE00000), (4, 0), (8, vector), (12, 0)):
                function.bars[self._msix_bar].store(16 * vector + offset, 4, value, 0)

    def read(self, kind: int, offset: int, size: int) -> int:
        """Load from one of the structures (1 common, 3 ISR, 4 device)."""
        bar, base = self._regions[kind]
        return self._function.bars[bar].load(base + offset, size, self._clock.now_ps)

    def write(self, kind: int, offset: int, size: int, value: int) -> None:
        """Store to one of the structures (1 common, 2 notify)."""
        bar, base = self._regions[kind]
        self._function.bars[bar].store(base + offset, size, value, self._clock.now_ps)

    def offered(self) -> int:
        """The device's features."""
        low, high = (self._select(0, 4, half) for half in (0, 1))
        return low | high << 32

    def _select(self, selector: int, register: int, half: int) -> int:
        self.write(1, selector, 4, half)
        return self.read(1, register, 4)

    def start(self, features: int, *, queue_size: int = 64, pairs: int = 1, buffers: int = 32) -> None:
        """Reset, negotiate, set up the queues of `pairs` pairs and the control queue, fill RX, go."""
        self.write(1, 20, 1, 0)
        assert self.read(1, 20, 1) == 0
        self.write(1, 20, 1, 1)
        self.write(1, 20, 1, 3)
        for half in (0, 1):
            self.write(1, 8, 4, half)
            self.write(1, 12, 4, features >> 32 * half & 0xFFFFFFFF)
        self.write(1, 20, 1, 11)
        assert self.read(1, 20, 1) & 8, "features refused"
        self.event_idx = bool(features >> F_RING_EVENT_IDX & 1)
        count = self.read(1, 18, 2)
        self.queues = [
            MockDriver(self.memory, self.memory.base + _QUEUE_AREA * index, queue_size) for index in range(count)
        ]
        self.write(1, 16, 2, count)  # the configuration vector is the last
        for index, queue in enumerate(self.queues):
            if index < 2 * pairs or index == count - 1:
                self._set_up(index, queue)
        self._buffers = self.memory.base + _QUEUE_AREA * count
        self.write(1, 20, 1, 15)
        self._tx_buffer = self._buffers + 2 * pairs * buffers * BUFFER_BYTES
        for pair in range(pairs):
            for number in range(buffers):
                self.give(2 * pair, [(self._buffers + (pair * buffers + number) * BUFFER_BYTES, BUFFER_BYTES)])
            self.kick(2 * pair)

    def _set_up(self, index: int, queue: MockDriver) -> None:
        self.write(1, 22, 2, index)
        self.write(1, 24, 2, queue.size)
        self.write(1, 26, 2, index)
        for offset, gpa in ((32, queue.desc_gpa), (40, queue.avail_gpa), (48, queue.used_gpa)):
            self.write(1, offset, 4, gpa & 0xFFFFFFFF)
            self.write(1, offset + 4, 4, gpa >> 32)
        self.write(1, 28, 2, 1)

    # queues

    def give(self, index: int, writable: list[tuple[int, int]]) -> None:
        """Make a receive buffer available."""
        head = self.queues[index].offer([], writable)
        self._rx_buffers[index, head] = writable

    def kick(self, index: int) -> None:
        """Notify, if the device asks for it."""
        if self.queues[index].kick_wanted(self.event_idx):
            self.write(2, 4 * index, 2, index)

    def transmit(self, index: int, frame: bytes, header: bytes = bytes(HDR_BYTES), token: int = 0) -> None:
        """Send a frame as one buffer, with its token on it."""
        self.queues[index].used()
        slot = self.queues[index].avail_index % 32
        gpa = self._tx_buffer + (index * 32 + slot) * BUFFER_BYTES
        self.memory.write(gpa, header + frame)
        if token:
            self._requests.tag(gpa, token)
            self._requests.wait(token, "ring", self._clock.now_ps)
        self.queues[index].offer([(gpa, HDR_BYTES + len(frame))], [])
        self.kick(index)

    def command(self, data: bytes) -> int:
        """Run a control command to its end; needs the event loop run before `ack`. Returns the ack byte's address."""
        gpa = self.memory.base + len(self.memory.ram) - 2048
        self.memory.write(gpa, data)
        self.memory.write(gpa + 2000, b"\xff")
        self.queues[-1].used()
        self.queues[-1].offer([(gpa, len(data))], [(gpa + 2000, 1)])
        self.kick(len(self.queues) - 1)
        return gpa + 2000

    def msi(self, address: int, data: int, time_ps: int, token: int) -> None:
        """An interrupt: poll the receive queue it is for."""
        self.interrupts.append((data, time_ps, token))
        if data < len(self.queues) - 1 and not data & 1:
            self.poll(data, time_ps)

    def poll(self, index: int, time_ps: int) -> None:
        """Take everything received, answer it, give the buffers back, ask for the next interrupt."""
        queue = self.queues[index]
        entries = queue.used()
        while entries:
            head, written = entries.pop(0)
            data, first, count = self._take(index, head, written), self._rx_buffers[index, head][0][0], 0
            (count,) = struct.unpack_from("<H", data, 10)
            heads = [head]
            for _ in range(count - 1):
                more, written = entries.pop(0)
                data += self._take(index, more, written)
                heads.append(more)
            token = self._requests.take(first)
            if token:
                self._requests.bind(token, time_ps)
            if self.keep:
                self.received.append((index, data[:HDR_BYTES], data[HDR_BYTES:]))
            answer = self._answer(data[HDR_BYTES:])
            for each in heads:
                self.give(index, self._rx_buffers.pop((index, each)))
            if answer is not None:
                self.transmit(index + 1, answer, token=token)
        self.kick(index)
        queue.want_interrupt_at(queue.used_seen)

    def _take(self, index: int, head: int, written: int) -> bytes:
        data = b""
        for gpa, size in self._rx_buffers[index, head]:
            data += self.memory.read(gpa, min(size, written - len(data)))
        return data
