# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-net: a network device of N queue pairs and a control queue, event-driven in simulated time.

Source: virtio 1.2 section 5.1 (published). Offered: VERSION_1, MAC, STATUS, MRG_RXBUF, CSUM, GUEST_CSUM, CTRL_VQ, MQ and RSS (with
more than one pair), RING_INDIRECT_DESC, RING_EVENT_IDX. Left out: segmentation offloads, VLAN and MAC filtering by the control
queue, hash reports, packed rings.

Events of this device: `rx` (a frame has crossed PCIe); and, with the reset count first, `kick` (a doorbell has arrived), `used`
(used entries show), `hold` (a moderated interrupt is due).
"""

from __future__ import annotations

import struct
from collections import Counter

from emu.pci.function import PciFunction
from emu.pci.msix import Interrupts, MsixTable
from emu.state import Count, Data, State, checked, need, plain
from nic.control import Control
from nic.costs import NicConfig
from nic.frames import parse_mac
from nic.parts import DEVICE_TYPE, F_CSUM, F_CTRL_VQ, F_GUEST_CSUM, F_MAC, F_MQ, F_MRG_RXBUF, F_RSS, F_STATUS, Parts
from nic.ports import Clock, Frame, GuestMemory, Payload, Requests, Sender, shaped
from nic.receive import Receive
from nic.steering import HASH_TYPES, MAX_KEY_BYTES, TABLE_ENTRIES, Steering
from nic.transmit import Transmit
from nic.virtio_pci import (
    BAR_MSIX,
    DEVICE_ID_BASE,
    F_RING_EVENT_IDX,
    F_RING_INDIRECT_DESC,
    F_VERSION_1,
    REVISION,
    VENDOR_ID,
    VirtioPci,
)  # fmt: skip

CLASS_ETHERNET = 0x020000
STATUS_LINK_UP = 1


class VirtioNetState(State):
    """The device's parts, but for its configuration space, which is its bus's."""

    epoch: Count
    control_index: Count
    counters: dict[str, Count]
    transport: Data
    msix: Data
    steering: Data
    receive: Data


class VirtioNet:
    """The device, with its PCI function (`function`, to be added to a machine's bus) and its link (`sender`).

    Args:
        name: the device's in the event queue, unique in its world.
        dma: the machine's RAM, as devices reach it.
    """

    #: Frames may be announced when they are sent (see `nic.ports.Receiver`): nothing is done before they have crossed PCIe.
    early = True

    def __init__(
        self,
        name: str,
        config: NicConfig,
        *,
        clock: Clock,
        dma: GuestMemory,
        interrupts: Interrupts,
        requests: Requests,
        sender: Sender,
    ) -> None:
        self.config = config
        self.mac = parse_mac(config.mac)
        pairs = config.pairs
        bits = [F_CSUM, F_GUEST_CSUM, F_MAC, F_MRG_RXBUF, F_STATUS, F_CTRL_VQ]
        bits += [F_RING_INDIRECT_DESC, F_RING_EVENT_IDX, F_VERSION_1]
        if pairs > 1:
            bits += [F_MQ, F_RSS]
        self.features = sum(1 << bit for bit in bits)
        self._config_space = struct.pack(
            "<6sHHHIBBHI",
            self.mac, STATUS_LINK_UP, pairs, 1500, 0xFFFFFFFF, 0xFF, MAX_KEY_BYTES, TABLE_ENTRIES, HASH_TYPES,
        )  # fmt: skip
        self._parts = parts = Parts(name, config, clock, requests)
        self.function = PciFunction(
            VENDOR_ID, DEVICE_ID_BASE + DEVICE_TYPE, CLASS_ETHERNET,
            revision=REVISION, subsystem_vendor_id=VENDOR_ID, subsystem_id=DEVICE_ID_BASE + DEVICE_TYPE, name=name,
        )  # fmt: skip
        self._control_index = 2
        self.msix = MsixTable(self.function, BAR_MSIX, 0, 0x800, self.queue_count() + 1, interrupts)
        self.steering = Steering(pairs)
        self._receive = Receive(parts, self.steering, self.mac)
        self._transmit = Transmit(parts, sender)
        self._control = Control(parts, self.steering)
        self.transport = VirtioPci(self.function, self.msix, dma, self, config.queue_size, parts.counters)
        parts.transport = self.transport
        clock.register(name, self._event, self._event_fits)
        sender.attach(self)

    @property
    def counters(self) -> Counter[str]:
        """Frames, drops, and the guest's mistakes, by kind."""
        return self._parts.counters

    # what the link calls

    def receive(self, frame: Frame, time_ps: int) -> None:
        """A frame's last bit has arrived."""
        self._receive.arrived(frame, time_ps)

    # what the machine calls

    def reset(self) -> None:
        """Power-on state. Called by the transport too, when the driver writes status 0."""
        self._parts.epoch += 1
        self.steering.reset()
        self._receive.reset()
        self._control_index = 2

    def power_on(self) -> None:
        """The machine's reset: device, transport, MSI-X and configuration space."""
        self.transport.reset()
        self.msix.reset()
        self.function.reset()

    def save(self) -> Data:
        """The device's parts."""
        state = VirtioNetState(
            self._parts.epoch, self._control_index, dict(sorted(self.counters.items())), self.transport.save(),
            self.msix.save(), self.steering.save(), self._receive.save(),
        )  # fmt: skip
        return plain(state)

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        name = self._parts.name
        state = checked(VirtioNetState, data, name)
        need(state.control_index in (2, 2 * self.config.pairs), name, f"a control queue {state.control_index}")
        self._parts.epoch, self._control_index = state.epoch, state.control_index
        self.counters.clear()
        self.counters.update(state.counters)
        self.transport.restore(state.transport)
        self.msix.restore(state.msix)
        self.steering.restore(state.steering)
        self._receive.restore(state.receive)

    def _event_fits(self, tag: str, payload: Payload) -> bool:
        match tag:
            case "rx":
                return shaped(payload, int, bytes)
            case "kick":
                return shaped(payload, int, int) and payload[1] < self.queue_count()
            case "used":
                return shaped(payload, int, int, int) and payload[1] < self.queue_count() and payload[2] <= 0xFFFF
            case "hold":
                return shaped(payload, int, int, int) and payload[1] < self.config.pairs
        return False

    # what the transport calls

    def config_space(self) -> bytes:
        """struct virtio_net_config."""
        return self._config_space

    def queue_count(self) -> int:
        """Pairs and the control queue."""
        return 2 * self.config.pairs + 1

    def accepts(self, features: int) -> bool:
        """Whether these features go together (virtio 1.2 section 5.1.3.1)."""
        needs_control = features & (1 << F_MQ | 1 << F_RSS)
        return not needs_control or bool(features & 1 << F_CTRL_VQ)

    def driver_ok(self, features: int) -> None:
        """Go. Without several pairs agreed, the control queue is the third (virtio 1.2 section 5.1.2)."""
        self._control_index = 2 * self.config.pairs if features & (1 << F_MQ | 1 << F_RSS) else 2
        self._receive.start()

    def notify(self, queue: int, time_ps: int) -> None:
        """The driver rang a doorbell."""
        parts = self._parts
        parts.counters["notifications"] += 1
        parts.clock.schedule(time_ps + self.config.costs.doorbell_ps, parts.name, "kick", (parts.epoch, queue))

    def _event(self, time_ps: int, tag: str, payload: Payload) -> None:
        parts = self._parts
        if tag == "rx":
            token, data = payload
            self._receive.written(token, data, time_ps)
        elif payload[0] != parts.epoch:
            parts.counters["void_after_reset"] += 1
        elif tag == "kick":
            self._kicked(payload[1], time_ps)
        elif tag == "used":
            _, index, used = payload
            self._show_used(index, used, time_ps)
        else:
            _, pair, hold = payload
            self._receive.hold_over(pair, hold, time_ps)

    def _kicked(self, index: int, time_ps: int) -> None:
        transport = self.transport
        queue = transport.queues[index]
        if not queue.usable or not transport.running or index > self._control_index:
            self.counters["notify_unusable_queue"] += 1
        elif index == self._control_index:
            self._control.kicked(queue, time_ps)
        elif index & 1:
            self._transmit.kicked(queue, time_ps)
        else:
            self._receive.kicked(queue, time_ps)

    def _show_used(self, index: int, used: int, time_ps: int) -> None:
        """Publish a TX or control queue's used entries."""
        queue = self.transport.queues[index]
        since = queue.published
        queue.publish(used)
        if queue.wanted_interrupt(since) >= 0:
            self.transport.interrupt_queue(queue, time_ps, 0)
        if queue.broken:
            self.transport.needs_reset(time_ps)
