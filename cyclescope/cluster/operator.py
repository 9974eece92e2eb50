# SPDX-License-Identifier: GPL-2.0-or-later
"""The operator: a person outside, an endpoint on the switch that asks the general-purpose node and gets the guest's own answers.

A question is a datagram to gpos's port 5642: a magic number and the question's own, 32 bits each, little-endian, then text. The
answer comes in parts of at most 1,400 bytes: magic, number, part, parts, status (0: done, 1: refused), 0, then text. A question
goes again, under its number, until all parts of its answer are here; gpos does not act on it twice.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from emu.errors import ConfigError
from emu.units import PS_PER_US
from nic.arp import Neighbours
from nic.frames import parse_ip, parse_mac, parse_udp, udp_frame
from nic.ports import Clock, Frame, Payload, Sender

OPERATOR = "operator"
"""Its name, as links and captures have it."""
OPERATOR_IP = "10.0.2.4"
OPERATOR_MAC = "52:54:00:12:35:04"
OPERATOR_PORT = 5642
LONGEST = 400  # characters of a question
FIRST_WAIT_US, MOST_WAIT_US, TRIES = 2_000, 64_000, 24  # 1.2 s in all
_MAGIC = 0x504F5343
_QUESTION = struct.Struct("<II")
_ANSWER = struct.Struct("<IIHHHH")
DONE, REFUSED = 0, 1


class CommandSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question of the operator's, so many microseconds after measuring began; None: once the load is over."""

    command: str
    at_us: float | None = None

    def check(self) -> None:
        """Raises ConfigError."""
        if not 0 < len(self.command) <= LONGEST or not self.command.isascii() or not self.command.isprintable():
            raise ConfigError(f"[[do]] command {self.command!r}: give 1 to {LONGEST} printable ASCII characters")
        if self.at_us is not None and not 0 <= self.at_us <= 1e9:
            raise ConfigError(f"[[do]] {self.command}: at_us is {self.at_us:g}: give 0 to 1e9")


def question(number: int, text: str) -> bytes:
    """The datagram that asks."""
    return _QUESTION.pack(_MAGIC, number) + text.encode("ascii")


@dataclass
class Command:
    """A question and, once it is here, its answer; times in ps."""

    number: int
    text: str
    asked_ps: int
    parts: dict[int, bytes] = field(default_factory=dict)
    tries: int = 0
    answered_ps: int | None = None
    given_up: bool = False
    status: int = DONE

    @property
    def over(self) -> bool:
        return self.given_up or self.answered_ps is not None

    @property
    def done(self) -> bool:
        """Whether gpos did what was asked."""
        return self.answered_ps is not None and self.status == DONE

    @property
    def answer(self) -> str:
        """The answer's text, or that there is none."""
        if self.answered_ps is None:
            return "gpos does not answer"
        return b"".join(self.parts[part] for part in sorted(self.parts)).decode("utf-8", "replace")

    def take(self, datagram: bytes, time_ps: int) -> None:
        """A part of its answer, if it is one; what guests send never raises."""
        if self.over or len(datagram) < _ANSWER.size:
            return
        magic, number, part, parts, status, _ = _ANSWER.unpack_from(datagram)
        if magic != _MAGIC or number != self.number or part >= parts:
            return
        self.parts[part] = datagram[_ANSWER.size :]
        self.status = status
        if len(self.parts) == parts:
            self.answered_ps = time_ps


class Operator:
    """The endpoint. Events of this device: `again` (a question may have been lost), `ask` (no ARP reply yet)."""

    def __init__(self, gpos_ip: str, clock: Clock, sender: Sender, on_over: Callable[[Command], None]) -> None:
        self.commands: list[Command] = []
        self._clock, self._sender, self._on_over = clock, sender, on_over
        self._mac, self._ip, self._gpos_ip = parse_mac(OPERATOR_MAC), parse_ip(OPERATOR_IP), parse_ip(gpos_ip)
        self._neighbours = Neighbours(OPERATOR, self._mac, self._ip, self._gpos_ip, b"", clock, sender, self._found, Counter())
        clock.register(OPERATOR, self._event)
        sender.attach(self)

    def ask(self, text: str, time_ps: int) -> Command:
        """Put a question now; `on_over` is called once it is answered or given up."""
        command = Command(len(self.commands) + 1, text, time_ps)
        self.commands.append(command)
        self._send(command, time_ps)
        return command

    def _send(self, command: Command, time_ps: int) -> None:
        if command.tries == TRIES:
            command.given_up = True
            self._on_over(command)
            return
        if self._neighbours.mac:
            payload = question(command.number, command.text)
            data = udp_frame(self._neighbours.mac, self._mac, self._ip, self._gpos_ip, OPERATOR_PORT, OPERATOR_PORT, payload)
            self._sender.send(Frame(data), time_ps)
        else:
            self._neighbours.start(time_ps)
        wait_us = min(FIRST_WAIT_US << command.tries, MOST_WAIT_US)
        command.tries += 1
        self._clock.schedule(time_ps + wait_us * PS_PER_US, OPERATOR, "again", (command.number,))

    def _found(self, time_ps: int) -> None:
        for command in self.commands:
            if not command.over:
                command.tries = 0
                self._send(command, time_ps)

    def _event(self, time_ps: int, tag: str, payload: Payload) -> None:
        if tag == "ask":
            self._neighbours.ask(time_ps)
            return
        command = self.commands[payload[0] - 1]
        if not command.over:
            self._send(command, time_ps)

    def receive(self, frame: Frame, time_ps: int) -> None:
        """A frame's last bit has arrived."""
        if self._neighbours.receive(frame.data, time_ps) is not None:
            return
        udp = parse_udp(frame.data)
        if udp is None or udp.dst_ip != self._ip or udp.src_ip != self._gpos_ip or udp.dst_port != OPERATOR_PORT:
            return
        for command in self.commands:
            if not command.over:
                command.take(udp.payload, time_ps)
                if command.over:
                    self._on_over(command)
