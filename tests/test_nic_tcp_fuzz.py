# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzzing: Scapy as the referee of what a segment says; and conversations whose frames are changed on the way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from emu.units import PS_PER_S
from nic.frames import mend_checksums
from nic.ports import Frame
from nic.tcp.config import TcpConfig
from nic.tcp.connection import State
from nic.tcp.segment import ACK, Segment, parse_tcp, tcp_frame
from tests.tcp_pair import PORT, Pair, User
from tests.test_nic_tcp_hostile import ADDRESSES, HOSTILE
from tests.test_nic_tcp_pair import pattern

NAMES = {"MSS": "mss", "WScale": "scale", "Timestamp": "times"}


def theirs(frame: bytes) -> tuple[object, ...]:
    """What Scapy reads in it."""
    tcp = Ether(frame)[TCP]
    found: dict[str, object] = {"mss": None, "scale": None, "times": None}
    sacks: tuple[tuple[int, int], ...] = ()
    permitted = False
    for name, value in tcp.options:
        if name in NAMES:
            found[NAMES[name]] = value
        elif name == "SAckOK":
            permitted = True
        elif name == "SAck":
            sacks = tuple(zip(value[::2], value[1::2], strict=True))
    return tcp.seq, tcp.ack, int(tcp.flags) & 63, tcp.window, found["mss"], found["scale"], found["times"], permitted, sacks


@settings(max_examples=100, deadline=None)
@given(HOSTILE)
def test_scapy_reads_in_a_segment_what_we_wrote_and_so_do_we(segment):
    frame = tcp_frame(*ADDRESSES, segment)
    packet = parse_tcp(frame)
    assert packet is not None
    assert packet.segment == segment
    o = segment.options
    assert theirs(frame) == (
        segment.seq, segment.ack, segment.flags, segment.window, o.mss, o.scale, o.times, o.sack_ok, o.sacks
    )  # fmt: skip
    again = Ether(frame)
    sums = again[IP].chksum, again[TCP].chksum
    del again[IP].chksum, again[TCP].chksum
    again = Ether(bytes(again))
    assert sums == (again[IP].chksum, again[TCP].chksum)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_any_option_bytes_are_read_up_to_where_they_break(options):
    padded = options + bytes(-len(options) % 4)
    bare = bytearray(tcp_frame(*ADDRESSES, Segment(PORT, 20_000, 1, 2, ACK, 3, b"payload")))
    frame = bare[:54] + padded + bare[54:]
    frame[46] = (5 + len(padded) // 4) << 4
    frame[16:18] = (len(frame) - 14).to_bytes(2, "big")
    mend_checksums(frame)
    packet = parse_tcp(bytes(frame))
    assert packet is not None
    assert packet.segment.payload == b"payload"
    assert all(0 <= edge < 1 << 32 for pair in packet.segment.options.sacks for edge in pair)


class Meddler:
    """Hangs between a host and its link: changes bytes of every so many frames that arrive, checksums mended or not."""

    def __init__(self, host, script) -> None:
        self.host, self.script = host, script

    def receive(self, frame: Frame, time_ps: int) -> None:
        """Pass it on, changed if its turn has come."""
        data = bytearray(frame.data)
        change = self.script.pop(0) if self.script else None
        if change is not None:
            at, mask, mend = change
            data[14 + at % (len(data) - 14)] ^= mask
            if mend:
                mend_checksums(data)
        self.host.receive(Frame(bytes(data), frame.token), time_ps)


CHANGES = st.none() | st.tuples(st.integers(0, 1500), st.integers(1, 255), st.booleans())


@settings(max_examples=30, deadline=None)
@given(st.lists(CHANGES, max_size=25), st.lists(CHANGES, max_size=25), st.booleans())
def test_conversations_that_are_meddled_with_end_or_are_whole(to_a, to_b, sack):
    """Mended changes may be of the data; anything else is refused by its checksum, and said again."""
    honest = not any(change and change[2] for change in to_a + to_b)
    pair = Pair(a=TcpConfig(sack=sack), b=TcpConfig(sack=sack), user=User(), server=User(echo=True))
    pair.link.a.attach(Meddler(pair.a, to_a))
    pair.link.b.attach(Meddler(pair.b, to_b))
    number = pair.a.connect(PORT, 0)
    pair.a.write(number, pattern(6_000), 0)
    pair.clock.run(1000 * PS_PER_S, 20_000)
    if honest and pair.a.state(number) is not State.CLOSED:
        assert bytes(pair.user.got[number]) == pattern(6_000)
    assert pair.a.counters["segments_out"] < 5_000
    assert pair.b.counters["segments_out"] < 5_000
