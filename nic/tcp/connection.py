# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection: RFC 9293's state machine, with RFC 7323's options and RFC 5961's defences. No clock and no wire in it.

Tell it what happened (`open`, `receive`, `write`, `read`, `close`, `abort`, `on_time` when its deadline has come), then take the
segments that `flush` returns and send them in that order. Times are the caller's, in picoseconds, and never run backwards.
Nothing a peer sends raises: what is against the rules is counted, and answered as the RFCs say.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum

from emu.units import PS_PER_MS
from nic.tcp.config import DEFAULT_MSS, MIN_MSS, TcpConfig
from nic.tcp.receiver import NEVER_PS, Receiver
from nic.tcp.segment import ACK, FIN, NO_OPTIONS, PSH, RST, SYN, TIMES_BYTES, Options, Segment
from nic.tcp.sender import Sender
from nic.tcp.sequence import MASK, unwrap

_MAX_SCALE = 14
_ANSWER_EVERY_PS = (
    500 * PS_PER_MS
)  # at most one answer to empty segments out of the window: no storms of acknowledgements


class State(Enum):
    """RFC 9293's states; LISTEN is the host's."""

    CLOSED = "CLOSED"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"


_RECEIVING = (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2)
_HANDSHAKE = (State.SYN_SENT, State.SYN_RECEIVED)


class Connection:
    """`error` is empty, or why it ended before its time, as the end of a sentence about the peer."""

    def __init__(self, src_port: int, dst_port: int, iss: int, config: TcpConfig, counters: Counter[str]) -> None:
        self.src_port, self.dst_port = src_port, dst_port
        self.state = State.CLOSED
        self.error = ""
        self.counters = counters
        self._config = config
        self._sender = Sender(iss, config, counters)
        self._receiver = Receiver(0, config, 0)
        self._settled = (DEFAULT_MSS, False)  # our largest payload; whether SACK is spoken
        self._scaled = False
        self._times = config.timestamps
        self._times_base = iss * 2654435761 & MASK  # where our timestamp clock starts
        self._recent = 0  # the peer's last timestamp in order
        self._last_ack = 0  # the acknowledgement sent last
        self._shift = 0  # the peer's window scale
        self._window_at = (0, 0)  # the segment (seq, ack) that the window was last taken from
        self._out: list[Segment] = []
        self._answered_ps = -_ANSWER_EVERY_PS
        self._time_wait_ps = NEVER_PS
        self._tokens: deque[tuple[int, int]] = deque()

    # what the user does

    def open(self, now_ps: int) -> None:
        """Send a SYN."""
        self.state = State.SYN_SENT
        self._sender.start(now_ps)
        self._syn(SYN, now_ps)

    def accept(self, syn: Segment, now_ps: int) -> None:
        """Answer a SYN: the passive open."""
        self._learn(syn)
        self.state = State.SYN_RECEIVED
        self._sender.start(now_ps)
        self._syn(SYN | ACK, now_ps)

    def write(self, data: bytes, token: int = 0) -> bool:
        """Queue bytes; `token` names the request that segments with them belong to. False if the time for that is over."""
        if self.state not in (*_HANDSHAKE, State.ESTABLISHED, State.CLOSE_WAIT):
            return False
        self._sender.write(data)
        self._tokens.append((self._sender.queue_end, token))
        return True

    def read(self, most: int = 1 << 30) -> bytes:
        """Up to `most` bytes that have come in order."""
        return self._receiver.read(most)

    def close(self) -> None:
        """Nothing more will be written; what the peer still sends is received."""
        if self.state is State.SYN_SENT:
            self._end("")
        elif self.state in (State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT):
            self._sender.finish()
            self.state = State.LAST_ACK if self.state is State.CLOSE_WAIT else State.FIN_WAIT_1

    def abort(self, now_ps: int, error: str = "") -> None:
        """Send a reset, and forget everything."""
        if self.state not in (State.CLOSED, State.SYN_SENT, State.TIME_WAIT):
            self._send(RST | ACK, self._sender.nxt, now_ps)
        self._end(error)

    @property
    def ended(self) -> bool:
        """The peer has closed its half, and everything before that can be read."""
        return self._receiver.ended

    @property
    def unread(self) -> int:
        return len(self._receiver.ready)

    @property
    def deadline_ps(self) -> int:
        """When to call `on_time`; far away if never."""
        if self.state is State.CLOSED:
            return NEVER_PS
        return min(self._sender.deadline_ps, self._receiver.ack_deadline_ps, self._time_wait_ps)

    def tokens_of(self, segment: Segment) -> list[int]:
        """The requests whose bytes are in a segment just sent, in order."""
        if not segment.payload:
            return []
        start = begin = unwrap(segment.seq, self._sender.una)
        found = []
        for end, token in self._tokens:
            if end > start and begin < start + len(segment.payload):
                found.append(token)
            begin = end
        return [token for token in found if token]

    def sent_before(self, segment: Segment) -> bool:
        """Whether a segment just sent was one sent again."""
        return self._sender.sent_before(unwrap(segment.seq, self._sender.una))

    # what happens

    def on_time(self, now_ps: int) -> None:
        """A deadline has come."""
        if self.state is State.CLOSED:
            return
        if now_ps >= self._time_wait_ps:
            self._end("")
            return
        if now_ps >= self._receiver.ack_deadline_ps:
            self._receiver.ack_now = True
        if now_ps >= self._sender.deadline_ps:
            probe = self._sender.on_time(now_ps)
            if self._sender.dead:
                doing = "the handshake" if self.state in _HANDSHAKE else "a segment"
                self.counters["gave_up"] += 1
                if self.state is State.SYN_SENT:
                    self._end(f"did not answer {doing}")
                else:
                    self.abort(now_ps, f"did not answer {doing}")
            elif probe is not None:
                self._emit(*probe, now_ps)

    def flush(self, now_ps: int) -> list[Segment]:
        """The segments to send now, in order; each once."""
        if self.state is not State.CLOSED:
            for start, end in self._sender.transmit(now_ps):
                self._emit(start, end, now_ps)
            if self.state is not State.SYN_SENT and self._receiver.ack_now:
                self._send(ACK, self._sender.nxt, now_ps)
        out, self._out = self._out, []
        return out

    def receive(self, segment: Segment, now_ps: int) -> None:
        """A segment for this connection, its checksum right."""
        if self.state is State.CLOSED:
            return
        if self.state is State.SYN_SENT:
            self._in_syn_sent(segment, now_ps)
            return
        start = unwrap(segment.seq, self._receiver.next)
        if self._unanswered and segment.flags & SYN and start == self._receiver.next - 1:
            if not segment.flags & ACK:  # ours was lost
                self._syn(SYN | ACK, now_ps)
                return
            segment, start = segment._replace(flags=segment.flags & ~SYN), start + 1  # both opened at once
            self._receiver.ack_now = True
        if not self._in_order(segment, start, now_ps):
            return
        if segment.flags & RST:
            self._reset(start, now_ps)
        elif segment.flags & SYN:
            self._challenge("syn_in_connection", now_ps)
        elif segment.flags & ACK:
            self._note_time(segment, start)
            if self._acknowledge(segment, start, now_ps):
                self._text(segment, start, now_ps)
        else:
            self.counters["no_ack_bit"] += 1

    # the handshake

    @property
    def _unanswered(self) -> bool:
        """The peer has not acknowledged our SYN."""
        return self._sender.una == self._sender.iss

    def _in_syn_sent(self, segment: Segment, now_ps: int) -> None:
        ack = unwrap(segment.ack, self._sender.nxt)
        if segment.flags & ACK and not self._sender.una < ack <= self._sender.nxt:
            self.counters["bad_ack"] += 1
            if not segment.flags & RST:
                self._out.append(Segment(self.src_port, self.dst_port, segment.ack, 0, RST, 0))
            return
        if segment.flags & RST:
            if segment.flags & ACK:
                self.counters["refused"] += 1
                self._end("refused the connection")
            return
        if not segment.flags & SYN:
            self.counters["no_syn"] += 1
            return
        self._learn(segment)
        if not segment.flags & ACK:
            self.state = State.SYN_RECEIVED
            self._syn(SYN | ACK, now_ps)
            return
        self._establish(ack, segment, now_ps)
        self._receiver.ack_now = True

    def _learn(self, syn: Segment) -> None:
        """What the peer's SYN says: its numbers and options."""
        config, options = self._config, syn.options
        self._scaled = config.window_scale and options.scale is not None
        self._shift = min(options.scale or 0, _MAX_SCALE) if self._scaled else 0
        self._times = config.timestamps and options.times is not None
        self._recent = options.times[0] if options.times is not None else 0
        self._receiver = Receiver(syn.seq, config, config.scale if self._scaled else 0)
        self._last_ack = syn.seq
        theirs = max(MIN_MSS, options.mss if options.mss is not None else DEFAULT_MSS)
        mss = min(theirs, config.mss) - (TIMES_BYTES if self._times else 0)
        self._settled = (mss, config.sack and options.sack_ok)

    def _establish(self, ack: int, segment: Segment, now_ps: int) -> None:
        self._sender.established(*self._settled)
        shift = 0 if segment.flags & SYN else self._shift
        self._sender.acknowledge(ack, ack + (segment.window << shift), (), False, now_ps)
        self._window_at = (unwrap(segment.seq, self._receiver.next), ack)
        if self.state in _HANDSHAKE:
            self.state = State.ESTABLISHED
        self.counters["established"] += 1

    # receiving, in the RFC's order

    def _in_order(self, segment: Segment, start: int, now_ps: int) -> bool:
        """Whether it is acceptable: by its timestamp (PAWS) and by its place in the window."""
        times = segment.options.times
        if self._times and not segment.flags & RST:
            if times is None:
                self.counters["no_timestamp"] += 1
                return False
            if unwrap(times[0], self._recent) < self._recent:
                self.counters["old_timestamp"] += 1
                self._answer(segment, now_ps)
                return False
        if self._receiver.acceptable(start, segment.length):
            return True
        if self.state is State.TIME_WAIT and segment.flags & FIN:  # our last acknowledgement was lost
            self._time_wait_ps = now_ps + self._config.time_wait_ps
        if not segment.flags & RST:
            self.counters["out_of_window"] += 1
            self._answer(segment, now_ps)
        return False

    def _answer(self, segment: Segment, now_ps: int) -> None:
        """Acknowledge what cannot be accepted; empty segments not too often."""
        if segment.length and not segment.flags & SYN:
            self._receiver.ack_now = True
        elif now_ps - self._answered_ps >= _ANSWER_EVERY_PS:
            self._answered_ps = now_ps
            self._receiver.ack_now = True

    def _challenge(self, why: str, now_ps: int) -> None:
        """RFC 5961: a segment that would end the connection, or lies, gets an acknowledgement that a true peer understands."""
        self.counters[why] += 1
        if now_ps - self._answered_ps >= _ANSWER_EVERY_PS:
            self._answered_ps = now_ps
            self._receiver.ack_now = True

    def _reset(self, start: int, now_ps: int) -> None:
        if start != self._receiver.next:
            self._challenge("reset_elsewhere", now_ps)
            return
        self.counters["resets"] += 1
        over = self.state in (State.TIME_WAIT, State.LAST_ACK, State.CLOSING)
        self._end("" if over else "reset the connection")

    def _note_time(self, segment: Segment, start: int) -> None:
        times = segment.options.times
        if self._times and times is not None and start <= unwrap(self._last_ack, start):
            self._recent = times[0]

    def _acknowledge(self, segment: Segment, start: int, now_ps: int) -> bool:
        """Its acknowledgement and window. False: drop the rest of it."""
        sender = self._sender
        ack = unwrap(segment.ack, sender.una)
        if self._unanswered:
            if not sender.una < ack <= sender.nxt:
                self.counters["bad_ack"] += 1
                self._out.append(Segment(self.src_port, self.dst_port, segment.ack, 0, RST, 0))
                return False
            self._establish(ack, segment, now_ps)
        elif ack > sender.limit or sender.far_behind(ack):
            self._challenge("bad_ack", now_ps)
            return False
        elif ack >= sender.una:
            edge = sender.edge
            if (start, ack) >= self._window_at:
                edge = ack + (segment.window << self._shift)
                self._window_at = (start, ack)
            duplicate = ack == sender.una and not segment.length and edge == sender.edge
            sacks = tuple((unwrap(left, ack), unwrap(right, ack)) for left, right in segment.options.sacks)
            sender.acknowledge(ack, edge, sacks, duplicate, now_ps)
        while self._tokens and self._tokens[0][0] <= sender.una:
            self._tokens.popleft()
        if sender.fin_acknowledged:
            if self.state is State.FIN_WAIT_1:
                self.state = State.FIN_WAIT_2
            elif self.state is State.CLOSING:
                self._wait(now_ps)
            elif self.state is State.LAST_ACK:
                self._end("")
                return False
        return True

    def _text(self, segment: Segment, start: int, now_ps: int) -> None:
        if not segment.payload and not segment.flags & FIN:
            return
        if self.state not in _RECEIVING:
            self.counters["after_fin"] += 1
            self._receiver.ack_now = True
            if self.state is State.TIME_WAIT:
                self._time_wait_ps = now_ps + self._config.time_wait_ps
            return
        self._receiver.take(start, segment.payload, bool(segment.flags & FIN), now_ps)
        if self._receiver.ended:
            if self.state is State.ESTABLISHED:
                self.state = State.CLOSE_WAIT
            elif self.state is State.FIN_WAIT_1:
                self.state = State.CLOSING
            else:
                self._wait(now_ps)

    def _wait(self, now_ps: int) -> None:
        self.state = State.TIME_WAIT
        self._sender.stop()
        self._time_wait_ps = now_ps + self._config.time_wait_ps

    def _end(self, error: str) -> None:
        self.state = State.CLOSED
        self.error = error
        self._sender.stop()

    # sending

    def _emit(self, start: int, end: int, now_ps: int) -> None:
        """The segment of [start, end)."""
        sender = self._sender
        if start == sender.iss:
            self._syn(SYN if self.state is State.SYN_SENT else SYN | ACK, now_ps)
            return
        payload = sender.bytes_of(start, end)
        fin = sender.holds_fin(end)
        last = end >= sender.data_end
        self._send(ACK | (PSH if payload and last else 0) | (FIN if fin else 0), start, now_ps, payload)

    def _stamp(self, now_ps: int) -> tuple[int, int] | None:
        if not self._times:
            return None
        return (self._times_base + now_ps // PS_PER_MS) & MASK, self._recent

    def _syn(self, flags: int, now_ps: int) -> None:
        config, first = self._config, not flags & ACK
        settled = None if first else self._settled
        options = Options(
            config.mss,
            config.scale if config.window_scale and (first or self._scaled) else None,
            config.sack if settled is None else settled[1],
            self._stamp(now_ps),
        )
        ack = 0 if first else self._receiver.next
        window = Receiver.first_window(config)
        self._last_ack = ack
        self._out.append(
            Segment(self.src_port, self.dst_port, self._sender.iss & MASK, ack & MASK, flags, window, b"", options)
        )

    def _send(self, flags: int, start: int, now_ps: int, payload: bytes = b"") -> None:
        receiver, stamp = self._receiver, self._stamp(now_ps)
        sacks: tuple[tuple[int, int], ...] = ()
        if self._settled[1]:
            sacks = tuple((left & MASK, right & MASK) for left, right in receiver.sacks())
            if payload:  # never past the segment size
                room = self._settled[0] - len(payload)
                sacks = sacks[: max(0, (room - 4) // 8)]
        options = Options(times=stamp, sacks=sacks) if stamp or sacks else NO_OPTIONS
        window = receiver.window()
        receiver.acknowledged()
        self._last_ack = receiver.next
        self._out.append(
            Segment(self.src_port, self.dst_port, start & MASK, receiver.next & MASK, flags, window, payload, options)
        )
