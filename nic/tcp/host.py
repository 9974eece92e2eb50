# SPDX-License-Identifier: GPL-2.0-or-later
"""A host that speaks TCP at the end of a link: addresses, ports, connections, and their timers in the world's event queue.

What a user of connections hears: `Service.ready(number)` when a connection is open, `arrived(number, data)` for bytes in order,
each once, `half_closed(number)` when the peer has closed its half, `ended(number, error)` when it is over (error "" after an
orderly close). A user may write and close in any of them.

Events of this device: `timer` (a connection's deadline may have come), `ask` (ARP).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Protocol

from emu.errors import ConfigError
from nic.arp import Neighbours
from nic.checksum import header_checksum_ok, transport_checksum_ok
from nic.frames import parse_ip, parse_mac
from nic.ports import Clock, Frame, NullRequests, Payload, Requests, Sender
from nic.tcp.config import TcpConfig
from nic.tcp.connection import Connection, State
from nic.tcp.receiver import NEVER_PS
from nic.tcp.segment import ACK, RST, SYN, Segment, parse_tcp, tcp_frame
from nic.tcp.sequence import MASK

FIRST_PORT = 20_000
_PORTS = 40_000


class Service(Protocol):
    """Who uses a host's connections."""

    def ready(self, number: int, time_ps: int) -> None: ...
    def arrived(self, number: int, data: bytes, time_ps: int) -> None: ...
    def half_closed(self, number: int, time_ps: int) -> None: ...
    def ended(self, number: int, error: str, time_ps: int) -> None: ...


class _Entry:
    """A connection and where it leads."""

    __slots__ = ("connection", "half_closed", "ip", "key", "number", "reading", "ready", "timer_ps")

    def __init__(self, number: int, connection: Connection, ip: bytes) -> None:
        self.number, self.connection, self.ip = number, connection, ip
        self.key = (ip, connection.dst_port, connection.src_port)
        self.ready = self.half_closed = False
        self.reading = True
        self.timer_ps = NEVER_PS  # of the earliest event queued for it


class TcpHost:
    """Connections are numbered from 0, in the order in which they were opened or accepted.

    Only `peer_ip` is spoken to, at `peer_mac` or where ARP finds it; ARP requests for our address are answered.
    """

    def __init__(
        self,
        name: str,
        mac: str,
        ip: str,
        peer_ip: str,
        peer_mac: str | None,
        *,
        service: Service,
        clock: Clock,
        sender: Sender,
        requests: Requests | None = None,
        config: TcpConfig | None = None,
    ) -> None:
        self.name = name
        self.counters: Counter[str] = Counter()
        self.config = config or TcpConfig()
        self._service, self._clock, self._sender = service, clock, sender
        self._requests: Requests = requests or NullRequests()
        self._mac, self._ip, self._peer_ip = parse_mac(mac), parse_ip(ip), parse_ip(peer_ip)
        known = parse_mac(peer_mac) if peer_mac else b""
        self._neighbours = Neighbours(
            name, self._mac, self._ip, self._peer_ip, known, clock, sender, self._found, self.counters
        )
        self._entries: dict[int, _Entry] = {}
        self._by_key: dict[tuple[bytes, int, int], _Entry] = {}
        self._listening: set[int] = set()
        self._count = 0
        self._ident = 0
        self._waiting: list[Frame] = []  # for ARP
        clock.register(name, self._event)
        sender.attach(self)

    # what a user does

    def connect(self, port: int, time_ps: int) -> int:
        """Open a connection to the peer's `port`, from a port of its own; its number. Raises ConfigError when all are in use."""
        if len(self._by_key) >= _PORTS:
            raise ConfigError(f"{self.name}: its {_PORTS} ports are all in use: open fewer connections")
        source = FIRST_PORT + self._count % _PORTS
        while (self._peer_ip, port, source) in self._by_key:
            source = FIRST_PORT + (source + 1 - FIRST_PORT) % _PORTS
        entry = self._add(source, port, self._peer_ip)
        entry.connection.open(time_ps)
        self._settle(entry, time_ps)
        return entry.number

    def listen(self, port: int) -> None:
        """Accept connections to `port`."""
        self._listening.add(port)

    def write(self, number: int, data: bytes, time_ps: int, token: int = 0) -> bool:
        """Queue bytes for the peer; False if the connection takes no more."""
        entry = self._entries.get(number)
        if entry is None or not entry.connection.write(data, token):
            return False
        self._settle(entry, time_ps)
        return True

    def close(self, number: int, time_ps: int) -> None:
        """No more will be written. The connection lives on until the peer has closed too."""
        entry = self._entries.get(number)
        if entry is not None:
            entry.connection.close()
            self._settle(entry, time_ps)

    def abort(self, number: int, error: str, time_ps: int) -> None:
        """Reset it."""
        entry = self._entries.get(number)
        if entry is not None:
            entry.connection.abort(time_ps, error)
            self._settle(entry, time_ps)

    def read_on(self, number: int, reading: bool, time_ps: int) -> None:
        """Stop taking what comes in (the window closes as the buffer fills), or go on."""
        entry = self._entries.get(number)
        if entry is not None:
            entry.reading = reading
            self._settle(entry, time_ps)

    def state(self, number: int) -> State:
        """Its state; CLOSED once it is over."""
        entry = self._entries.get(number)
        return entry.connection.state if entry is not None else State.CLOSED

    # what happens

    def receive(self, frame: Frame, time_ps: int) -> None:
        """A frame's last bit has arrived."""
        data = frame.data
        packet = parse_tcp(data)
        if packet is None:
            if not self._neighbours.receive(data, time_ps):
                self.counters["ignored"] += 1
            return
        if data[:6] != self._mac or packet.dst_ip != self._ip:
            self.counters["not_for_us"] += 1
            return
        if not header_checksum_ok(data) or not transport_checksum_ok(data):
            self.counters["bad_checksum"] += 1
            return
        segment = packet.segment
        self.counters["segments_in"] += 1
        entry = self._by_key.get((packet.src_ip, segment.src_port, segment.dst_port))
        if entry is None:
            entry = self._accepted(packet.src_ip, segment, time_ps)
        else:
            entry.connection.receive(segment, time_ps)
        if entry is not None:
            self._settle(entry, time_ps)

    def _accepted(self, ip: bytes, segment: Segment, time_ps: int) -> _Entry | None:
        """A segment without a connection: a SYN to a port that listens makes one; others are reset (RFC 9293 3.10.7.1)."""
        if segment.flags & RST:
            self.counters["stray"] += 1
            return None
        opens = segment.flags & (SYN | ACK) == SYN and segment.dst_port in self._listening and ip == self._peer_ip
        if opens:
            entry = self._add(segment.dst_port, segment.src_port, ip)
            entry.connection.accept(segment, time_ps)
            return entry
        self.counters["stray"] += 1
        if ip == self._peer_ip:
            ports = (segment.dst_port, segment.src_port)
            if segment.flags & ACK:
                answer = Segment(*ports, segment.ack, 0, RST, 0)
            else:
                answer = Segment(*ports, 0, (segment.seq + segment.length) & MASK, RST | ACK, 0)
            self._send(answer, 0, time_ps)
        return None

    def _event(self, time_ps: int, tag: str, payload: Payload) -> None:
        if tag == "ask":
            self._neighbours.ask(time_ps)
            return
        entry = self._entries.get(payload[0])
        if entry is None or time_ps != entry.timer_ps:
            return
        entry.timer_ps = NEVER_PS
        if entry.connection.deadline_ps <= time_ps:
            entry.connection.on_time(time_ps)
        self._settle(entry, time_ps)

    # the rest

    def _add(self, src_port: int, dst_port: int, ip: bytes) -> _Entry:
        number = self._count
        self._count += 1
        iss = self.config.iss
        if iss is None:
            text = f"{self.config.seed} {number} {src_port} {dst_port}".encode()
            iss = int.from_bytes(hashlib.blake2s(text, digest_size=4).digest(), "big")
        entry = _Entry(number, Connection(src_port, dst_port, iss & MASK, self.config, self.counters), ip)
        self._entries[number] = self._by_key[entry.key] = entry
        return entry

    def _settle(self, entry: _Entry, time_ps: int) -> None:
        """Tell the user what is new, send what is due, and see to the timer."""
        connection, number = entry.connection, entry.number
        if not entry.ready and connection.state not in (State.CLOSED, State.SYN_SENT, State.SYN_RECEIVED):
            entry.ready = True
            self._service.ready(number, time_ps)
        while entry.reading and connection.unread:
            self._service.arrived(number, connection.read(), time_ps)
        over = connection.state is State.CLOSED
        if connection.ended and not connection.unread and not entry.half_closed and not over:
            entry.half_closed = True
            self._service.half_closed(number, time_ps)
        for segment in connection.flush(time_ps):
            tokens = connection.tokens_of(segment)
            why = "wait.retransmission" if tokens and connection.sent_before(segment) else "wait.link"
            for token in tokens:  # they have waited for this: for a window, or to be said again
                self._requests.mark(token, why, time_ps)
            for token in tokens[1:]:
                self._requests.join(token, tokens[0], time_ps)
            self._send(segment, tokens[0] if tokens else 0, time_ps)
        if connection.state is State.CLOSED:
            if self._entries.pop(number, None) is not None:
                del self._by_key[entry.key]
                self._service.ended(number, connection.error, time_ps)
            return
        deadline = connection.deadline_ps
        if deadline < entry.timer_ps:
            entry.timer_ps = max(deadline, time_ps)
            self._clock.schedule(entry.timer_ps, self.name, "timer", (number,))

    def _send(self, segment: Segment, token: int, time_ps: int) -> None:
        self._ident = (self._ident + 1) & 0xFFFF
        self.counters["segments_out"] += 1
        mac = self._neighbours.mac
        frame = Frame(tcp_frame(mac or bytes(6), self._mac, self._ip, self._peer_ip, segment, self._ident), token)
        if mac:
            self._sender.send(frame, time_ps)
        else:
            self._waiting.append(frame)
            self._neighbours.start(time_ps)

    def _found(self, time_ps: int) -> None:
        waiting, self._waiting = self._waiting, []
        for data, token in waiting:
            if token:
                self._requests.mark(token, "wait.link", time_ps)
            self._sender.send(Frame(self._neighbours.mac + data[6:], token), time_ps)
