# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtio 1.x PCI transport ("modern", no legacy interface) for any virtio device.

Source: virtio 1.2 section 4.1 (published). One memory BAR of 16 KiB holds, a page each: common configuration, ISR status,
device configuration, notifications (4 bytes a queue). MSI-X has a BAR of its own. Left out: INTx (a driver that sets no vector
gets no interrupt; counted), queue reset.

Invariants: reset leaves the device as at power-up; queue fields change only while the queue is disabled; features only before
FEATURES_OK. What a driver writes out of turn or out of range is ignored and counted.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from emu.state import U8, U16, U32, U64, Data, State, checked, need, plain
from nic.pci_window import PciWindow, WatchedFunction
from nic.ports import GuestMemory, Msix
from nic.virtqueue import Virtqueue

VENDOR_ID = 0x1AF4
DEVICE_ID_BASE = 0x1040
REVISION = 1

STATUS_ACKNOWLEDGE, STATUS_DRIVER, STATUS_DRIVER_OK, STATUS_FEATURES_OK = 1, 2, 4, 8
STATUS_NEEDS_RESET, STATUS_FAILED = 0x40, 0x80

F_RING_INDIRECT_DESC = 28
F_RING_EVENT_IDX = 29
F_VERSION_1 = 32

NO_VECTOR = 0xFFFF
ISR_QUEUE, ISR_CONFIG = 1, 2

BAR_REGIONS, BAR_MSIX = 0, 1
BAR_SIZE = 0x4000
COMMON, ISR, DEVICE, NOTIFY = 0x0000, 0x1000, 0x2000, 0x3000
NOTIFY_MULTIPLIER = 4

_CAP_VENDOR = 0x09
_CAP_COMMON, _CAP_NOTIFY, _CAP_ISR, _CAP_DEVICE = 1, 2, 3, 4
_COMMON_BYTES = 56
_COMMON_LAYOUT = struct.Struct("<IIIIHHBBHHHHHQQQ")


class VirtioDevice(Protocol):
    """A device behind the transport. Its queues are the transport's; it hears of notifications."""

    features: int

    def config_space(self) -> bytes: ...
    def queue_count(self) -> int: ...
    def accepts(self, features: int) -> bool: ...
    def driver_ok(self, features: int) -> None: ...
    def notify(self, queue: int, time_ps: int) -> None: ...
    def reset(self) -> None: ...


class VirtioPciState(State):
    """The registers, and the queues."""

    status: U8
    driver_features: U64
    device_select: U32
    driver_select: U32
    queue_select: U16
    config_vector: U16
    isr: U8
    generation: U8
    queues: list[Data]


class VirtioPci:
    """Registers of one virtio function. `function` gets the capabilities and the BAR; `msix` has `queues + 1` vectors."""

    def __init__(
        self,
        function: WatchedFunction,
        msix: Msix,
        memory: GuestMemory,
        device: VirtioDevice,
        queue_size: int,
        counters: Counter[str],
    ) -> None:
        self._msix = msix
        self._device = device
        self.counters = counters
        self.queues = [Virtqueue(index, queue_size, memory, counters) for index in range(device.queue_count())]
        self._vectors = len(self.queues) + 1
        self._add_capabilities(function)
        self._writers: dict[tuple[int, int], Callable[[int, int], None]] = {
            (0, 4): self._set_device_select, (8, 4): self._set_driver_select, (12, 4): self._set_driver_features,
            (16, 2): self._set_config_vector, (20, 1): self._set_status, (22, 2): self._set_queue_select,
            (24, 2): self._set_queue_size, (26, 2): self._set_queue_vector, (28, 2): self._set_queue_enable,
        }  # fmt: skip
        self._isr = 0
        self._generation = 0
        self._clear()

    def _clear(self) -> None:
        self.status = 0
        self.driver_features = 0
        self._device_select = self._driver_select = 0
        self._queue_select = 0
        self._config_vector = NO_VECTOR
        self._isr = 0
        for queue in self.queues:
            queue.reset()

    @property
    def running(self) -> bool:
        """The driver said DRIVER_OK, and nothing is broken."""
        return self.status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET) == STATUS_DRIVER_OK

    def negotiated(self, bit: int) -> bool:
        """Whether this feature was agreed."""
        return bool(self.driver_features >> bit & 1)

    def reset(self) -> None:
        """Back to power-up, the device too."""
        self._clear()
        self._device.reset()

    def save(self) -> Data:
        """Registers and queues."""
        state = VirtioPciState(
            self.status, self.driver_features, self._device_select, self._driver_select, self._queue_select,
            self._config_vector, self._isr, self._generation, [queue.save() for queue in self.queues],
        )  # fmt: skip
        return plain(state)

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(VirtioPciState, data, "a virtio transport")
        need(len(state.queues) == len(self.queues), "a virtio transport", f"{len(state.queues)} queues")
        self.status, self.driver_features = state.status, state.driver_features
        self._device_select, self._driver_select, self._queue_select = state.device_select, state.driver_select, state.queue_select
        self._config_vector, self._isr, self._generation = state.config_vector, state.isr, state.generation
        for queue, saved in zip(self.queues, state.queues, strict=True):
            queue.restore(saved)

    def interrupt_queue(self, queue: Virtqueue, time_ps: int, token: int) -> None:
        """Interrupt for a queue's used ring, on behalf of a request (0 = none)."""
        if queue.vector == NO_VECTOR:
            self._isr |= ISR_QUEUE
            self.counters["interrupt_without_vector"] += 1
        else:
            self._msix.fire(queue.vector, time_ps, token)

    def config_changed(self, time_ps: int) -> None:
        """The device configuration or the status changed by itself: new generation, configuration interrupt."""
        self._generation = (self._generation + 1) & 0xFF
        self._isr |= ISR_CONFIG
        if self._config_vector != NO_VECTOR:
            self._msix.fire(self._config_vector, time_ps, 0)

    def needs_reset(self, time_ps: int) -> None:
        """The driver broke a rule: set DEVICE_NEEDS_RESET, once, and say so."""
        if not self.status & STATUS_NEEDS_RESET:
            self.status |= STATUS_NEEDS_RESET
            if self.status & STATUS_DRIVER_OK:
                self.config_changed(time_ps)

    # BAR accesses

    def bar_read(self, offset: int, size: int, time_ps: int) -> int:
        """A load from the BAR; zero where nothing is."""
        if offset >= NOTIFY:
            return 0
        if offset >= DEVICE:
            space, offset = self._device.config_space(), offset - DEVICE
        elif offset >= ISR:
            value, self._isr = (self._isr, 0) if offset == ISR else (0, self._isr)
            return value
        else:
            space = self._common()
        return int.from_bytes(space[offset : offset + size], "little")

    def bar_write(self, offset: int, size: int, value: int, time_ps: int) -> None:
        """A store to the BAR."""
        if offset >= NOTIFY:
            index = (offset - NOTIFY) // NOTIFY_MULTIPLIER
            if index >= len(self.queues):
                self.counters["notify_no_queue"] += 1
            elif not self.status & STATUS_DRIVER_OK:
                self.counters["notify_before_driver_ok"] += 1
            else:
                self._device.notify(index, time_ps)
        elif offset < _COMMON_BYTES:
            self._write_common(offset, size, value, time_ps)
        else:
            self.counters["write_read_only"] += 1

    def _write_common(self, offset: int, size: int, value: int, time_ps: int) -> None:
        if offset >= 32:
            if size == 8 and offset % 8 == 0:
                self._set_address(offset, value & 0xFFFFFFFF)
                self._set_address(offset + 4, value >> 32)
            elif size == 4 and offset % 4 == 0:
                self._set_address(offset, value)
            else:
                self.counters["odd_access"] += 1
            return
        writer = self._writers.get((offset, size))
        if writer is None:
            self.counters["odd_access"] += 1
        else:
            writer(value, time_ps)

    def _common(self) -> bytes:
        queue = self._selected()
        features = self._device.features
        select = self._device_select
        driver = self.driver_features
        return _COMMON_LAYOUT.pack(
            select, (features >> 32 * select) & 0xFFFFFFFF if select < 2 else 0,
            self._driver_select, (driver >> 32 * self._driver_select) & 0xFFFFFFFF if self._driver_select < 2 else 0,
            self._config_vector, len(self.queues), self.status, self._generation, self._queue_select,
            queue.size if queue else 0, queue.vector if queue else NO_VECTOR, int(queue.enabled) if queue else 0,
            self._queue_select if queue else 0,
            queue.desc_gpa if queue else 0, queue.avail_gpa if queue else 0, queue.used_gpa if queue else 0,
        )  # fmt: skip

    def _selected(self) -> Virtqueue | None:
        return self.queues[self._queue_select] if self._queue_select < len(self.queues) else None

    def _editable(self) -> Virtqueue | None:
        queue = self._selected()
        if queue is None or queue.enabled:
            self.counters["queue_not_configurable"] += 1
            return None
        return queue

    def _set_device_select(self, value: int, time_ps: int) -> None:
        self._device_select = value

    def _set_driver_select(self, value: int, time_ps: int) -> None:
        self._driver_select = value

    def _set_driver_features(self, value: int, time_ps: int) -> None:
        if self.status & STATUS_FEATURES_OK or self._driver_select > 1:
            self.counters["features_out_of_turn"] += 1
            return
        shift = 32 * self._driver_select
        self.driver_features = (self.driver_features & ~(0xFFFFFFFF << shift)) | (value << shift)

    def _set_config_vector(self, value: int, time_ps: int) -> None:
        self._config_vector = value if value < self._vectors else NO_VECTOR

    def _set_status(self, value: int, time_ps: int) -> None:
        if value == 0:
            self.reset()
            return
        if ~value & self.status & ~STATUS_NEEDS_RESET:
            self.counters["status_bits_cleared"] += 1  # virtio 1.2 section 2.1.1 forbids it; only writing 0 clears
        value |= self.status
        fresh = value & ~self.status
        if fresh & STATUS_FEATURES_OK and not self._features_fit():
            self.counters["features_refused"] += 1
            value &= ~STATUS_FEATURES_OK
        if fresh & STATUS_DRIVER_OK and not value & STATUS_FEATURES_OK:
            self.counters["driver_ok_out_of_turn"] += 1
            value &= ~STATUS_DRIVER_OK
        self.status = value
        if value & fresh & STATUS_DRIVER_OK:
            self._device.driver_ok(self.driver_features)

    def _features_fit(self) -> bool:
        agreed = self.driver_features
        return not agreed & ~self._device.features and bool(agreed >> F_VERSION_1 & 1) and self._device.accepts(agreed)

    def _set_queue_select(self, value: int, time_ps: int) -> None:
        self._queue_select = value

    def _set_queue_size(self, value: int, time_ps: int) -> None:
        queue = self._editable()
        if queue is None:
            return
        if not 0 < value <= queue.max_size or value & (value - 1):
            self.counters["queue_size_refused"] += 1
            return
        queue.size = value

    def _set_queue_vector(self, value: int, time_ps: int) -> None:
        queue = self._selected()
        if queue is not None:
            queue.vector = value if value < self._vectors else NO_VECTOR

    def _set_queue_enable(self, value: int, time_ps: int) -> None:
        queue = self._editable() if value == 1 else None
        if queue is None:
            return
        if queue.desc_gpa % 16 or queue.avail_gpa % 2 or queue.used_gpa % 4:
            self.counters["ring_misaligned"] += 1
            return
        queue.start(event_idx=self.negotiated(F_RING_EVENT_IDX), indirect=self.negotiated(F_RING_INDIRECT_DESC))

    def _set_address(self, offset: int, half: int) -> None:
        queue = self._editable()
        if queue is None:
            return
        name = ("desc_gpa", "avail_gpa", "used_gpa")[(offset - 32) // 8]
        old: int = getattr(queue, name)
        setattr(queue, name, (old & 0xFFFFFFFF) | half << 32 if offset % 8 else (old & ~0xFFFFFFFF) | half)

    def _add_capabilities(self, function: WatchedFunction) -> None:
        function.add_bar(BAR_REGIONS, BAR_SIZE, self.bar_read, self.bar_write)
        for kind, offset, length in (
            (_CAP_COMMON, COMMON, _COMMON_BYTES),
            (_CAP_ISR, ISR, 1),
            (_CAP_DEVICE, DEVICE, len(self._device.config_space())),
            (_CAP_NOTIFY, NOTIFY, NOTIFY_MULTIPLIER * len(self.queues)),
        ):
            extra = struct.pack("<I", NOTIFY_MULTIPLIER) if kind == _CAP_NOTIFY else b""
            body = struct.pack("<BBBB2xII", 16 + len(extra), kind, BAR_REGIONS, 0, offset, length) + extra
            function.add_capability(_CAP_VENDOR, body)
        PciWindow(function, BAR_REGIONS, BAR_SIZE, self.bar_read, self.bar_write)
