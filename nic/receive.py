# SPDX-License-Identifier: GPL-2.0-or-later
"""The receive path: filter, steer, write into the driver's buffers, used ring, interrupt.

A frame for our MAC address or a group address is steered to a queue pair, and is in memory after one write's latency and its
bytes' time on PCIe. (The device knows the available buffers beforehand, as NICs that prefetch descriptors do.) With no
buffer it waits in a small FIFO of that pair for the driver's notification; a full FIFO drops, counted.

Charged to the frame's request: `run.dma` until it is in memory, `wait.nic` in the FIFO; then it waits for `ring`, or for
`moderation` while an interrupt is held back. Its token lies on the chain's first buffer.
"""

from __future__ import annotations

from collections import deque
from typing import Annotated

from msgspec import Meta

from emu.state import Data, State, Time, Token, checked, need, plain
from nic.checksum import transport_checksum_ok
from nic.moderation import QueueInterrupt
from nic.parts import F_GUEST_CSUM, F_MRG_RXBUF, HDR_BYTES, HDR_F_DATA_VALID, MAX_FRAME, MIN_FRAME, NET_HDR, Parts
from nic.ports import Frame
from nic.steering import Steering
from nic.virtqueue import Chain, Virtqueue


class ReceiveState(State):
    """Frames that wait for buffers, interrupts, whether a driver started us, and when the last frame will be in memory."""

    started: bool
    mergeable: bool
    checks: bool
    fifos: list[list[tuple[Token, Annotated[bytes, Meta(min_length=MIN_FRAME, max_length=MAX_FRAME)]]]]
    interrupts: list[Data]
    last_ps: Time


class Receive:
    """Receives from the link into the RX queues."""

    def __init__(self, parts: Parts, steering: Steering, mac: bytes) -> None:
        self._parts = parts
        self._steering = steering
        self._mac = mac
        self._interrupts = [QueueInterrupt(parts, pair) for pair in range(parts.config.pairs)]
        self._fifos: list[deque[tuple[int, bytes]]] = [deque() for _ in range(parts.config.pairs)]
        self._mergeable = self._checks = False
        self._headers = (b"", b"")
        self._last_ps = 0  # when the last frame so far will be in memory
        self._write_ps, self._byte_ps = parts.config.costs.write_ps, parts.config.costs.byte_ps

    def reset(self) -> None:
        """Drop what is in the FIFOs."""
        for fifo, interrupt in zip(self._fifos, self._interrupts, strict=True):
            if fifo:
                self._parts.counters["rx_dropped_reset"] += len(fifo)
            fifo.clear()
            interrupt.reset()

    def save(self) -> Data:
        """FIFOs and interrupts."""
        state = ReceiveState(
            bool(self._headers[0]), self._mergeable, self._checks, [list(fifo) for fifo in self._fifos],
            [interrupt.save() for interrupt in self._interrupts], self._last_ps,
        )  # fmt: skip
        return plain(state)

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(ReceiveState, data, "the receive path")
        pairs = len(self._fifos)
        need(len(state.fifos) == len(state.interrupts) == pairs, "the receive path", f"{len(state.fifos)} queue pairs")
        need(
            all(len(fifo) <= self._parts.config.fifo_frames for fifo in state.fifos),
            "the receive path",
            "so many frames",
        )
        if state.started:
            self.start()
        self._mergeable, self._checks, self._last_ps = state.mergeable, state.checks, state.last_ps
        for number, saved in enumerate(state.interrupts):
            self._fifos[number] = deque(state.fifos[number])
            self._interrupts[number].restore(saved)

    def start(self) -> None:
        """The features are agreed."""
        self._mergeable = self._parts.transport.negotiated(F_MRG_RXBUF)
        self._checks = self._parts.transport.negotiated(F_GUEST_CSUM)
        self._headers = (NET_HDR.pack(0, 0, 0, 0, 0, 0, 1), NET_HDR.pack(HDR_F_DATA_VALID, 0, 0, 0, 0, 0, 1))

    def arrived(self, frame: Frame, time_ps: int) -> None:
        """A frame's last bit arrives on the link at `time_ps`, now or later."""
        data, token = frame
        parts = self._parts
        # Posted writes keep their order on PCIe (published, PCI Express Base 2.4.1): a short frame never passes a long one.
        at = self._last_ps = max(self._last_ps, time_ps + self._write_ps + len(data) * self._byte_ps)
        parts.clock.schedule(at, parts.name, "rx", (token, data))

    def written(self, token: int, data: bytes, time_ps: int) -> None:
        """The frame has crossed PCIe: put it into a buffer, or the FIFO, unless it is not for us."""
        parts = self._parts
        if token:
            parts.requests.mark(token, "run.dma", time_ps)
        if not parts.transport.running:
            parts.counters["rx_not_running"] += 1
            return
        if not MIN_FRAME <= len(data) <= MAX_FRAME:
            parts.counters["rx_bad_size"] += 1
            return
        if data[:6] != self._mac and not data[0] & 1:
            parts.counters["rx_not_for_us"] += 1
            return
        pair = self._steering.pair_of(data)
        fifo = self._fifos[pair]
        if not fifo and self._deliver(pair, token, data, time_ps):
            return
        if not parts.transport.queues[2 * pair].usable:
            parts.counters["rx_queue_not_ready"] += 1
        elif len(fifo) >= parts.config.fifo_frames:
            parts.counters["rx_dropped"] += 1
        else:
            fifo.append((token, data))

    def kicked(self, queue: Virtqueue, time_ps: int) -> None:
        """The driver added buffers: empty the FIFO into them."""
        pair = queue.index // 2
        fifo = self._fifos[pair]
        while fifo:
            token, data = fifo[0]
            if token:
                self._parts.requests.mark(token, "wait.nic", time_ps)
            if not self._deliver(pair, token, data, time_ps):
                return
            fifo.popleft()
        queue.stop_kicks()

    def hold_over(self, pair: int, hold: int, time_ps: int) -> None:
        """A held interrupt's time is up."""
        self._interrupts[pair].expired(hold, time_ps)

    def _deliver(self, pair: int, token: int, data: bytes, time_ps: int) -> bool:
        """Deliver (or drop, counted) a frame; False if there is no buffer for it now."""
        parts = self._parts
        queue = parts.transport.queues[2 * pair]
        chain = queue.pop()
        if chain is None:
            queue.ask_kick()  # then look again: the driver may have added some before it could see that we ask
            chain = queue.pop()
        if chain is None:
            if queue.broken:
                parts.transport.needs_reset(time_ps)
            return False
        since = queue.used_index
        header = self._headers[1 if self._checks and transport_checksum_ok(data) else 0]
        writable = chain.writable
        if writable and writable[0][1] >= HDR_BYTES + len(data):
            self._tag(writable[0][0], token)
            written = queue.scatter(chain, header + data)
            if written > 0:
                queue.push(chain.head, written)
        elif not self._deliver_pieces(queue, chain, header, data, token):
            return False
        if queue.used_index != since:
            self._interrupts[pair].push(queue, since, token, time_ps)
            parts.counters["rx_frames"] += 1
        if queue.broken:
            parts.transport.needs_reset(time_ps)
        return True

    def _deliver_pieces(self, queue: Virtqueue, chain: Chain, header: bytes, data: bytes, token: int) -> bool:
        """Deliver over several buffers: of one chain, or of several if mergeable buffers were agreed."""
        need = HDR_BYTES + len(data)
        chains = [chain]
        room = sum(size for _, size in chain.writable)
        if room < HDR_BYTES:
            queue.fail("rx_buffer_without_header_room")
            return True
        while room < need and self._mergeable:
            more = queue.pop()
            if more is None:
                for unused in reversed(chains):
                    queue.unpop(unused.head)
                queue.ask_kick()
                return False
            chains.append(more)
            room += sum(size for _, size in more.writable)
        if room < need:
            queue.unpop(chain.head)
            self._parts.counters["rx_buffer_too_small"] += 1
            return True
        self._tag(chain.writable[0][0], token)
        content = header[:-2] + len(chains).to_bytes(2, "little") + data
        done = 0
        for each in chains:
            written = queue.scatter(each, content[done:])
            if written < 0:
                break
            queue.push(each.head, written)
            done += written
        return True

    def _tag(self, gpa: int, token: int) -> None:
        if token:
            self._parts.requests.tag(gpa, token)
        else:
            self._parts.requests.take(gpa)  # what an earlier frame left there is not this one's
