# SPDX-License-Identifier: GPL-2.0-or-later
"""The control queue: the class VIRTIO_NET_CTRL_MQ. Any other class or command is answered with VIRTIO_NET_ERR.

Source: virtio 1.2 section 5.1.6.5 (published). A command is fetched a doorbell after the notification and answered after its
reads (avail ring, descriptors, command) and one write.
"""

from __future__ import annotations

from nic.parts import F_MQ, F_RSS, Parts
from nic.steering import Steering
from nic.virtqueue import Virtqueue

CLASS_MQ = 4
MQ_VQ_PAIRS_SET, MQ_RSS_CONFIG = 0, 1
OK, ERR = 0, 1


class Control:
    """Executes what the driver puts on the control queue."""

    def __init__(self, parts: Parts, steering: Steering) -> None:
        self._parts = parts
        self._steering = steering

    def kicked(self, queue: Virtqueue, time_ps: int) -> None:
        """The doorbell has arrived: take all commands; their answers show when they have been fetched and written."""
        parts, costs = self._parts, self._parts.config.costs
        done = 0
        while done < queue.size and (chain := queue.pop()) is not None:
            command = queue.gather(chain)
            ack = self._execute(command) if command is not None else ERR
            if chain.writable:
                queue.push(chain.head, max(0, queue.scatter(chain, bytes([ack]))))
            else:
                queue.fail("control_without_answer")
            done += 1
        if queue.broken:
            parts.transport.needs_reset(time_ps)
            return
        queue.ask_kick()
        if done:
            at = time_ps + 3 * costs.read_ps + costs.write_ps
            parts.clock.schedule(at, parts.name, "used", (parts.epoch, queue.index, queue.used_index))

    def _execute(self, command: bytes) -> int:
        parts = self._parts
        parts.counters["control_commands"] += 1
        if len(command) >= 4 and command[:2] == bytes((CLASS_MQ, MQ_VQ_PAIRS_SET)) and parts.transport.negotiated(F_MQ):
            done = self._steering.set_pairs(int.from_bytes(command[2:4], "little"))
        elif command[:2] == bytes((CLASS_MQ, MQ_RSS_CONFIG)) and parts.transport.negotiated(F_RSS):
            done = self._steering.set_rss(command[2:])
        else:
            done = False
        if not done:
            parts.counters["control_refused"] += 1
        return OK if done else ERR
