# SPDX-License-Identifier: GPL-2.0-or-later
"""Publishing received frames, and when to interrupt for them.

Without moderation each delivery is published and interrupts at once, if the driver wants it. With moderation the interrupt is held
from the first delivery the driver wants one for, until its time is up or enough frames wait; frames are visible meanwhile.

An interrupt carries the token of the oldest frame the driver has not looked at (by its used_event).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from emu.state import U16, Count, Data, State, Token, checked, plain
from emu.units import us
from nic.parts import Parts
from nic.virtqueue import Virtqueue


class QueueInterruptState(State):
    """Tokens by used index, and what is held."""

    tokens: Annotated[list[Token], Meta(min_length=256, max_length=256)]
    hold: Count
    holding: bool
    since: U16


class QueueInterrupt:
    """Interrupts of one pair's RX queue."""

    def __init__(self, parts: Parts, pair: int) -> None:
        self._parts = parts
        self._pair = pair
        self._moderation = parts.config.moderation
        self._tokens = [0] * 256  # by used index, as far back as a ring is long
        self._hold = 0  # number of the current hold; its event is void once this has moved on
        self._holding = False
        self._since = 0

    def reset(self) -> None:
        """Hold nothing."""
        self._hold += 1
        self._holding = False

    def save(self) -> Data:
        """Tokens, and what is held."""
        return plain(QueueInterruptState(self._tokens, self._hold, self._holding, self._since))

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(QueueInterruptState, data, f"interrupts of queue pair {self._pair}")
        self._tokens, self._hold, self._holding, self._since = state.tokens, state.hold, state.holding, state.since

    def push(self, queue: Virtqueue, since: int, token: int, time_ps: int) -> None:
        """Publish the used entries from `since` (one frame's; its token belongs to the first)."""
        parts, moderation = self._parts, self._moderation
        self._tokens[since & 255] = token
        queue.publish(queue.used_index)
        index = (since + 1) & 0xFFFF
        while index != queue.used_index:  # further buffers of a merged frame
            self._tokens[index & 255] = token
            index = (index + 1) & 0xFFFF
        if not moderation.on:
            if token:
                parts.requests.wait(token, "ring", time_ps)
            head = queue.wanted_interrupt(since)
            if head >= 0:
                parts.transport.interrupt_queue(queue, time_ps, self._tokens[head & 255])
            return
        if not self._holding and queue.wanted_interrupt(since) >= 0:
            self._holding, self._since = True, since
            self._hold += 1
            at = time_ps + us(moderation.usecs)
            parts.clock.schedule(at, parts.name, "hold", (parts.epoch, self._pair, self._hold))
        if token:
            parts.requests.wait(token, "moderation" if self._holding else "ring", time_ps)
        if self._holding and moderation.frames and (queue.used_index - self._since) & 0xFFFF >= moderation.frames:
            self._release(queue, time_ps)

    def expired(self, hold: int, time_ps: int) -> None:
        """Time is up for the hold with this number."""
        if self._holding and hold == self._hold:
            self._release(self._parts.transport.queues[2 * self._pair], time_ps)

    def _release(self, queue: Virtqueue, time_ps: int) -> None:
        """Interrupt, unless the driver has looked at everything meanwhile."""
        self._holding = False
        head = queue.wanted_interrupt(self._since)
        if head < 0:
            return
        index = head
        while index != queue.used_index:
            token = self._tokens[index & 255]
            if token:
                self._parts.requests.mark(token, "wait.moderation", time_ps)
                self._parts.requests.wait(token, "ring", time_ps)
            index = (index + 1) & 0xFFFF
        self._parts.transport.interrupt_queue(queue, time_ps, self._tokens[head & 255])
