# SPDX-License-Identifier: GPL-2.0-or-later
"""How a machine that is powered on gets its image over its link: numbered blocks in UDP datagrams, go-back-N, then its SHA-256.

The frames are real: they queue, take the wires' time, are lost where a link loses frames, and stand in captures. The shape is
TFTP's with windows (RFC 7440, published); window and block size are ours (assumed). The boot loader costs no time: it is no guest.

    block: "IMG" 0x01, number, blocks in all, data        acknowledgement: "IMG" 0x02, next number awaited, blocks in all

Numbers have 32 bits, big-endian. A block that comes out of order is dropped and the awaited one named. Nothing new acknowledged
for a while: everything from there again, and twice the patience; given up after TRIES.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import NamedTuple

from emu.units import PS_PER_MS
from nic.frames import Udp, parse_udp, udp_frame
from nic.ports import Clock, Frame, Payload, Sender

IMAGE_PORT = 69
BLOCK_BYTES = 1_408
WINDOW = 32
ACK_EVERY = 8
PATIENCE_PS = 20 * PS_PER_MS
TRIES = 8
_HEAD = struct.Struct(">4sII")
_BLOCK, _ACK = b"IMG\x01", b"IMG\x02"


class Station(NamedTuple):
    """Addresses of one end."""

    mac: bytes
    ip: bytes


class ImageSource:
    """Sends one image to one machine. `on_end(time_ps, arrived)` once: all was acknowledged, or nobody answers.

    Its event is `again`, of device `name`, which must be unique in the world.
    """

    def __init__(
        self, name: str, image: bytes, own: Station, machine: Station, *,
        clock: Clock, sender: Sender, on_end: Callable[[int, bool], None],
    ) -> None:  # fmt: skip
        self.blocks = max(1, -(-len(image) // BLOCK_BYTES))
        self.sent = self.repeated = 0
        self._name, self._image, self._own, self._machine = name, image, own, machine
        self._clock, self._sender, self._on_end = clock, sender, on_end
        self._base = self._next = self._tries = 0
        self._patience_ps = PATIENCE_PS
        self._over = False
        clock.register(name, self._again)

    def start(self, time_ps: int) -> None:
        """Begin."""
        self._send_window(time_ps)
        self._clock.schedule(time_ps + self._patience_ps, self._name, "again", (self._base,))

    def stop(self) -> None:
        """The machine has lost its power: nothing more is sent, and nobody told."""
        self._over = True

    def receive(self, datagram: Udp, time_ps: int) -> None:
        """A datagram from that machine to IMAGE_PORT."""
        if self._over or len(datagram.payload) != _HEAD.size or datagram.src_mac != self._machine.mac:
            return
        kind, number, blocks = _HEAD.unpack(datagram.payload)
        if kind != _ACK or blocks != self.blocks or not self._base < number <= self._next:
            return
        self._base, self._tries = number, 0
        if number == self.blocks:
            self._over = True
            self._on_end(time_ps, True)
        else:
            self._send_window(time_ps)

    def _send_window(self, time_ps: int) -> None:
        while self._next < min(self.blocks, self._base + WINDOW):
            at = self._next * BLOCK_BYTES
            payload = _HEAD.pack(_BLOCK, self._next, self.blocks) + self._image[at : at + BLOCK_BYTES]
            own, machine = self._own, self._machine
            frame = udp_frame(machine.mac, own.mac, own.ip, machine.ip, IMAGE_PORT, IMAGE_PORT, payload)
            self._sender.send(Frame(frame), time_ps)
            self._next += 1
            self.sent += 1

    def _again(self, time_ps: int, tag: str, payload: Payload) -> None:
        if self._over:
            return
        if payload[0] == self._base:
            self._tries += 1
            if self._tries == TRIES:
                self._over = True
                self._on_end(time_ps, False)
                return
            self._patience_ps *= 2
            self.repeated += self._next - self._base
            self._next = self._base
            self._send_window(time_ps)
        self._clock.schedule(time_ps + self._patience_ps, self._name, "again", (self._base,))


class BootLoader:
    """The machine's end, until its NIC is the guest's: attach it to the machine's port.

    An image that is not the one with that SHA-256 (some other machine sent blocks in the source's name) is not acknowledged to its
    end, and so never starts.
    """

    def __init__(self, own: Station, source: Station, sender: Sender, sha256: bytes) -> None:
        self._own, self._source, self._sender, self._sha256 = own, source, sender, sha256
        self._hash = hashlib.sha256()
        self._awaited = 0
        self._unacknowledged = 0

    def receive(self, frame: Frame, time_ps: int) -> None:
        """A frame came; what is no block of ours is dropped."""
        udp = parse_udp(frame.data)
        if udp is None or (udp.src_mac, udp.src_ip) != self._source or udp.dst_ip != self._own.ip:
            return
        if udp.dst_port != IMAGE_PORT or len(udp.payload) < _HEAD.size:
            return
        kind, number, blocks = _HEAD.unpack_from(udp.payload)
        if kind != _BLOCK:
            return
        if number == self._awaited < blocks:
            self._hash.update(udp.payload[_HEAD.size :])
            self._awaited += 1
            self._unacknowledged += 1
            if self._awaited < blocks and self._unacknowledged < ACK_EVERY:
                return
        if self._awaited >= blocks and self._hash.digest() != self._sha256:
            return
        self._unacknowledged = 0
        answer = _HEAD.pack(_ACK, self._awaited, blocks)
        data = udp_frame(udp.src_mac, self._own.mac, self._own.ip, udp.src_ip, IMAGE_PORT, udp.src_port, answer)
        self._sender.send(Frame(data), time_ps)
