# SPDX-License-Identifier: GPL-2.0-or-later
"""The transmit path: doorbell, fetch, checksum offload, wire, used ring.

All chains available when the doorbell arrives are fetched as one pipelined batch: each frame is in the NIC after its dependent
reads (avail ring, descriptors, an indirect table, payload) and its bytes' time on PCIe. The batch's used entries show, by one
write, when its last bit has left. What cannot be sent is dropped and counted; its buffers are given back all the same.

Charged to the frame's request: waiting in the ring until the doorbell was rung (`wait.ring`), `run.nic` (the doorbell),
`run.dma` (the fetch), then the link's parts.
"""

from __future__ import annotations

from nic.checksum import complete
from nic.parts import F_CSUM, HDR_BYTES, HDR_F_NEEDS_CSUM, MAX_FRAME, MIN_FRAME, NET_HDR, Parts
from nic.ports import Frame, Sender
from nic.virtqueue import Virtqueue


class Transmit:
    """Sends what the driver makes available on the TX queues."""

    def __init__(self, parts: Parts, sender: Sender) -> None:
        self._parts = parts
        self._sender = sender

    def kicked(self, queue: Virtqueue, time_ps: int) -> None:
        """The doorbell has arrived: fetch and send everything available (at most a queue's worth)."""
        parts = self._parts
        requests, counters, costs = parts.requests, parts.counters, parts.config.costs
        last = done = 0
        while done < queue.size and (chain := queue.pop()) is not None:
            raw = queue.gather(chain)
            if queue.broken:
                break
            token = requests.take(chain.first_gpa)
            frame = self._frame(raw)
            if frame is not None:
                ready = time_ps + (2 + chain.fetches) * costs.read_ps + len(frame) * costs.byte_ps
                if token:
                    requests.mark(token, "wait.ring", time_ps - costs.doorbell_ps)
                    requests.mark(token, "run.nic", time_ps)
                    requests.mark(token, "run.dma", ready)
                last = self._sender.send(Frame(frame, token), ready)
                counters["tx_frames"] += 1
            queue.push(chain.head, 0)
            done += 1
        if queue.broken:
            parts.transport.needs_reset(time_ps)
            return
        if done:
            queue.ask_kick()
            at = max(last, time_ps + 3 * costs.read_ps) + costs.write_ps
            parts.clock.schedule(at, parts.name, "used", (parts.epoch, queue.index, queue.used_index))
            if done == queue.size:  # a driver that adds while we take: the rest is the next round's
                parts.clock.schedule(at, parts.name, "kick", (parts.epoch, queue.index))

    def _frame(self, raw: bytes | None) -> bytes | None:
        """The frame to send, its checksum finished if the driver asked for that; None if it cannot be sent (counted)."""
        counters = self._parts.counters
        if raw is None or len(raw) > HDR_BYTES + MAX_FRAME:
            counters["tx_oversize"] += 1
            return None
        if len(raw) < HDR_BYTES + MIN_FRAME:
            counters["tx_runt"] += 1
            return None
        flags, gso, _, _, start, offset, _ = NET_HDR.unpack_from(raw)
        if gso:
            counters["tx_segmentation_not_offered"] += 1
            return None
        frame = raw[HDR_BYTES:]
        if not flags & HDR_F_NEEDS_CSUM:
            return frame
        if not self._parts.transport.negotiated(F_CSUM):
            counters["tx_checksum_not_negotiated"] += 1
            return frame
        mutable = bytearray(frame)
        if start < MIN_FRAME or not complete(mutable, start, offset):
            counters["tx_checksum_outside_frame"] += 1
            return None
        return bytes(mutable)
