# SPDX-License-Identifier: GPL-2.0-or-later
"""The device as a whole, through its PCI registers, on a link, with a guest in Python."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from emu.units import ns, us
from nic.costs import Moderation, NicConfig, NicCosts
from nic.frames import parse_udp, udp_frame
from nic.link import Link, LinkConfig
from nic.mock_driver import FlatMemory
from nic.mock_guest import MockGuest
from nic.mock_world import MockClock, MockRequests
from nic.parts import F_CSUM, F_GUEST_CSUM, F_MQ, F_MRG_RXBUF, F_RSS
from nic.ports import Frame
from nic.toeplitz import MICROSOFT_KEY, Toeplitz
from nic.virtio_net import VirtioNet
from nic.virtio_pci import F_RING_EVENT_IDX, F_RING_INDIRECT_DESC, F_VERSION_1

GUEST_MAC = bytes.fromhex("525400123456")
CLIENT_MAC = bytes.fromhex("525400000002")
GUEST_IP, CLIENT_IP = bytes((10, 0, 2, 15)), bytes((10, 0, 2, 2))
BASIC = 1 << F_VERSION_1


class Bench:
    """NIC on end a of a link; what it sends is collected at end b."""

    def __init__(self, config: NicConfig | None = None, answer=None) -> None:
        self.clock, self.requests = MockClock(), MockRequests()
        self.link = Link(self.clock, self.requests, "link", LinkConfig(10_000_000_000, 10_000))
        self.guest = MockGuest(self.clock, self.requests, FlatMemory(0x400000, 0x100000), answer)
        self.nic = VirtioNet(
            "nic",
            config or NicConfig(pairs=1),
            clock=self.clock,
            dma=self.guest.memory,
            interrupts=self.guest,
            requests=self.requests,
            sender=self.link.a,
        )
        self.guest.plug(self.nic.function)
        self.sent: list[tuple[int, Frame]] = []
        self.link.b.attach(self)

    def receive(self, frame: Frame, time_ps: int) -> None:
        self.sent.append((time_ps, frame))


def request(port: int = 40000, body: bytes = b"get key\r\n") -> bytes:
    return udp_frame(GUEST_MAC, CLIENT_MAC, CLIENT_IP, GUEST_IP, port, 11211, body)


def test_probe_shows_a_modern_network_device_with_what_the_contract_lists():
    bench = Bench(NicConfig(pairs=4))
    function = bench.nic.function
    assert function.config_read(0, 4, 0) == 0x1041_1AF4
    assert function.config_read(8, 4, 0) >> 8 == 0x020000
    assert function.config_read(8, 1, 0) >= 1
    bits = {bit for bit in range(64) if bench.guest.offered() >> bit & 1}
    assert bits == {0, 1, 5, 15, 16, 17, 22, 28, 29, 32, 60}
    assert bytes(bench.guest.read(4, place, 1) for place in range(6)) == GUEST_MAC
    assert bench.guest.read(4, 8, 2) == 4
    assert bench.guest.read(4, 17, 1) == 40
    assert bench.guest.read(4, 18, 2) == 128
    assert bench.guest.read(4, 20, 4) == 7
    assert bench.guest.read(1, 18, 2) == 9
    assert bench.guest.vectors == 10


@pytest.mark.parametrize(
    "features", [BASIC, BASIC | 1 << F_RING_EVENT_IDX, BASIC | 1 << F_MRG_RXBUF | 1 << F_RING_EVENT_IDX]
)
def test_received_frame_reaches_a_buffer_with_an_interrupt_at_the_computed_time(features):
    bench = Bench()
    bench.guest.start(features)
    bench.clock.run()
    start, frame = bench.clock.now_ps, request()
    bench.requests.open(7, start)
    bench.link.b.send(Frame(frame, 7), start)
    bench.clock.run()
    assert [(queue, data) for queue, _, data in bench.guest.received] == [(0, frame)]
    assert bench.guest.received[0][1] == bytes(10) + b"\x01\x00"
    costs = bench.nic.config.costs
    on_wire = 84 * 8 * 100 + 10_000
    arrival = start + on_wire + ns(264) + len(frame) * costs.byte_ps
    assert bench.guest.interrupts == [(0, arrival, 7)]
    parts = {
        "run.serialization": 67_200,
        "run.wire": 10_000,
        "run.dma": ns(264) + len(frame) * costs.byte_ps,
        "wait.ring": 0,
    }
    assert bench.requests.parts[7] == parts


def test_transmitted_frame_leaves_after_doorbell_and_three_reads_and_the_used_ring_shows_it_later():
    bench = Bench()
    bench.guest.start(BASIC)
    bench.clock.run()
    start, frame = bench.clock.now_ps, request()
    bench.requests.open(9, start)
    bench.guest.transmit(1, frame, token=9)
    assert bench.guest.queues[1].used() == []
    bench.clock.run()
    costs = bench.nic.config.costs
    ready = start + ns(147) + 3 * ns(205) + len(frame) * costs.byte_ps
    assert bench.sent == [(ready + 67_200 + 10_000, Frame(frame, 9))]
    assert bench.requests.parts[9]["run.nic"] == ns(147)
    assert bench.requests.parts[9]["run.dma"] == 3 * ns(205) + len(frame) * costs.byte_ps
    assert len(bench.guest.queues[1].used()) == 1
    assert bench.clock.now_ps == ready + 67_200 + ns(264)
    assert [vector for vector, _, _ in bench.guest.interrupts] == [1]


@pytest.mark.parametrize("body", [b"", b"x", b"odd", b"even", bytes(1472), b"\xff" * 999])
def test_checksum_offload_finishes_a_partial_udp_checksum(body):
    frame = bytearray(request(body=body))
    right = bytes(frame)
    bench = Bench()
    bench.guest.start(BASIC | 1 << F_CSUM)
    length = len(body) + 8
    pseudo = sum(struct.unpack(">4H", frame[26:34])) + 17 + length
    while pseudo >> 16:
        pseudo = (pseudo & 0xFFFF) + (pseudo >> 16)
    frame[40:42] = pseudo.to_bytes(2, "big")
    bench.guest.transmit(1, bytes(frame), struct.pack("<BBHHHHH", 1, 0, 0, 0, 34, 6, 0))
    bench.clock.run()
    assert bench.sent[0][1].data == right


@pytest.mark.parametrize(
    ("header", "frame", "counter"),
    [
        (struct.pack("<BBHHHHH", 1, 0, 0, 0, 34, 60000, 0), request(), "tx_checksum_outside_frame"),
        (struct.pack("<BBHHHHH", 1, 0, 0, 0, 65535, 65535, 0), request(), "tx_checksum_outside_frame"),
        (struct.pack("<BBHHHHH", 0, 1, 54, 1448, 0, 0, 0), request(), "tx_segmentation_not_offered"),
        (bytes(12), bytes(13), "tx_runt"),
        (bytes(12), bytes(1519), "tx_oversize"),
    ],
)
def test_what_cannot_be_sent_is_dropped_counted_and_given_back(header, frame, counter):
    bench = Bench()
    bench.guest.start(BASIC | 1 << F_CSUM)
    bench.guest.transmit(1, frame, header)
    bench.clock.run()
    assert bench.sent == []
    assert bench.nic.counters[counter] == 1
    assert len(bench.guest.queues[1].used()) == 1
    assert bench.nic.transport.running


def test_guest_csum_marks_only_frames_whose_checksum_is_right():
    bench = Bench()
    bench.guest.start(BASIC | 1 << F_GUEST_CSUM)
    good, bad = request(), bytearray(request())
    bad[-1] ^= 1
    for frame in (good, bytes(bad)):
        bench.link.b.send(Frame(frame), bench.clock.now_ps)
    bench.clock.run()
    assert [header[0] for _, header, _ in bench.guest.received] == [2, 0]


def test_mergeable_buffers_spread_a_long_frame_and_say_so():
    bench = Bench()
    bench.guest.start(BASIC | 1 << F_MRG_RXBUF, buffers=0)
    for number in range(8):
        bench.guest.give(0, [(0x300000 + 256 * number, 256)])
    frame = request(body=bytes(range(256)) * 4)
    bench.requests.open(3, bench.clock.now_ps)
    bench.link.b.send(Frame(frame, 3), bench.clock.now_ps)
    bench.clock.run()
    ((_, header, data),) = bench.guest.received
    assert data == frame
    assert struct.unpack_from("<H", header, 10) == (5,)
    assert bench.guest.interrupts[-1][2] == 3


def test_frame_larger_than_an_unmergeable_buffer_is_dropped_and_the_buffer_kept():
    bench = Bench()
    bench.guest.start(BASIC, buffers=0)
    bench.guest.give(0, [(0x300000, 128)])
    bench.link.b.send(Frame(request(body=bytes(500))), 0)
    bench.link.b.send(Frame(request()), 0)
    bench.clock.run()
    assert bench.nic.counters["rx_buffer_too_small"] == 1
    assert [data for _, _, data in bench.guest.received] == [request()]


def test_without_buffers_frames_wait_in_the_fifo_then_drop_and_come_in_order():
    bench = Bench(NicConfig(pairs=1, fifo_frames=3))
    bench.guest.start(BASIC | 1 << F_RING_EVENT_IDX, buffers=0)
    frames = [request(port=40000 + number) for number in range(5)]
    for token, frame in enumerate(frames, 1):
        bench.requests.open(token, 0)
        bench.link.b.send(Frame(frame, token), 0)
    bench.clock.run()
    assert bench.nic.counters["rx_dropped"] == 2
    later = us(50)
    bench.clock.now_ps = later
    for number in range(4):
        bench.guest.give(0, [(0x300000 + 2048 * number, 2048)])
        bench.guest.kick(0)
    bench.clock.run()
    assert [data for _, _, data in bench.guest.received] == frames[:3]
    assert bench.requests.parts[1]["wait.nic"] == later + ns(147) - bench.requests.trail[1][2][1]


@pytest.mark.parametrize("pairs", [2, 4, 16])
def test_steering_follows_toeplitz_and_the_default_table_once_pairs_are_set(pairs):
    bench = Bench(NicConfig(pairs=pairs))
    bench.guest.start(bench.guest.offered(), pairs=pairs, buffers=8)
    frames = [request(port=port) for port in range(40000, 40040)]
    bench.link.b.send(Frame(frames[0]), 0)
    bench.clock.run()
    assert bench.guest.received[0][0] == 0
    ack = bench.guest.command(b"\x04\x00" + struct.pack("<H", pairs))
    bench.clock.run()
    assert bench.guest.memory.read(ack, 1) == b"\0"
    del bench.guest.received[:]
    for frame in frames:
        bench.link.b.send(Frame(frame), bench.clock.now_ps)
        bench.clock.run()
    toeplitz = Toeplitz()
    for queue, _, frame in bench.guest.received:
        assert queue == 2 * ((toeplitz.hash(frame[26:38]) & 127) % pairs)
    assert len({queue for queue, _, _ in bench.guest.received}) > 1


def rss(table: list[int], types: int = 7, pairs: int = 4, key: bytes = MICROSOFT_KEY, unclassified: int = 0) -> bytes:
    head = struct.pack("<IHH", types, len(table) - 1, unclassified) + struct.pack(f"<{len(table)}H", *table)
    return b"\x04\x01" + head + struct.pack("<HB", pairs, len(key)) + key


def test_rss_configuration_moves_flows_to_the_table_s_queues():
    bench = Bench(NicConfig(pairs=4))
    bench.guest.start(BASIC | 1 << 17 | 1 << F_RSS | 1 << F_MQ, pairs=4, buffers=8)
    ack = bench.guest.command(rss([3, 2]))
    bench.clock.run()
    assert bench.guest.memory.read(ack, 1) == b"\0"
    for port in range(40000, 40016):
        bench.link.b.send(Frame(request(port)), bench.clock.now_ps)
    bench.clock.run()
    assert {queue for queue, _, _ in bench.guest.received} == {4, 6}


@pytest.mark.parametrize(
    "command",
    [
        rss([4]), rss([0] * 256), rss([0], types=8), rss([0], pairs=0), rss([0], pairs=5), rss([0], key=bytes(41)),
        rss([0], key=b""), rss([0], unclassified=4), rss([0, 1, 2]), rss([0])[:-1], b"\x04\x01", b"\x04\x00\x05\x00",
        b"\x04\x00\x00\x00", b"\x04\x02", b"\x00\x00\x01", b"\x04", b"\xff" * 300,
    ],
)  # fmt: skip
def test_wrong_control_commands_are_refused_and_change_nothing(command):
    bench = Bench(NicConfig(pairs=4))
    bench.guest.start(bench.guest.offered(), pairs=4, buffers=8)
    bench.guest.command(b"\x04\x00\x04\x00")
    bench.clock.run()
    before = vars(bench.nic.steering).copy()
    ack = bench.guest.command(command)
    bench.clock.run()
    assert bench.guest.memory.read(ack, 1) == b"\x01"
    assert vars(bench.nic.steering) == before
    assert bench.nic.transport.running


@pytest.mark.parametrize("event_idx", [False, True])
def test_moderation_holds_the_interrupt_for_its_time_or_its_frames(event_idx):
    features = BASIC | event_idx << F_RING_EVENT_IDX
    bench = Bench(NicConfig(pairs=1, moderation=Moderation(usecs=10, frames=3)))
    bench.guest.start(features)
    bench.clock.run()
    base = bench.clock.now_ps
    for token in (1, 2):
        bench.requests.open(token, base)
        bench.link.b.send(Frame(request(40000 + token), token), base)
    bench.clock.run()
    first = base + 77_200 + ns(264) + len(request()) * bench.nic.config.costs.byte_ps
    assert bench.guest.interrupts == [(0, first + us(10), 1)]
    assert bench.requests.parts[1]["wait.moderation"] == us(10)
    assert bench.requests.parts[2]["wait.moderation"] == us(10) - 67_200
    base = bench.clock.now_ps
    for _ in range(3):
        bench.link.b.send(Frame(request()), base)
    bench.clock.run()
    assert (
        bench.guest.interrupts[1][1]
        == base + 77_200 + 2 * 67_200 + ns(264) + len(request()) * bench.nic.config.costs.byte_ps
    )
    assert len(bench.guest.received) == 5


def test_reset_voids_what_is_under_way_and_the_device_starts_again():
    bench = Bench()
    bench.guest.start(BASIC)
    bench.clock.run()
    bench.link.b.send(Frame(request()), bench.clock.now_ps)
    bench.clock.run(bench.clock.now_ps + 77_200)
    bench.guest.write(1, 20, 1, 0)
    assert bench.guest.read(1, 20, 1) == 0
    bench.clock.run()
    assert bench.nic.counters["rx_not_running"] == 1
    bench.guest.start(BASIC)
    bench.link.b.send(Frame(request(40001)), bench.clock.now_ps)
    bench.clock.run()
    assert [data for _, _, data in bench.guest.received] == [request(40001)]


def test_frames_for_others_are_filtered_and_broadcast_is_not():
    bench = Bench()
    bench.guest.start(BASIC)
    for dst in (b"\x52\x54\x00\x99\x99\x99", b"\xff" * 6, b"\x01\x00\x5e\x00\x00\x01"):
        bench.link.b.send(Frame(dst + request()[6:]), 0)
    bench.clock.run()
    assert len(bench.guest.received) == 2
    assert bench.nic.counters["rx_not_for_us"] == 1


def test_broken_queue_sets_needs_reset_interrupts_and_recovers_by_reset():
    bench = Bench()
    bench.guest.start(BASIC)
    bench.clock.run()
    bench.guest.queues[1].set_avail(bench.guest.queues[1].avail_index, 999)
    bench.guest.queues[1].set_avail_index(1)
    bench.guest.kick(1)
    bench.clock.run()
    assert bench.guest.read(1, 20, 1) & 0x40
    assert bench.nic.counters["head_index"] == 1
    assert bench.guest.interrupts[-1][0] == len(bench.guest.queues)
    bench.guest.start(BASIC)
    bench.guest.transmit(1, request())
    bench.clock.run()
    assert len(bench.sent) == 1


@pytest.mark.parametrize(
    ("features", "status"),
    [
        (0, 3),
        (BASIC | 1 << 7, 3),
        (BASIC | 1 << F_MQ, 3),
        (BASIC | 1 << F_RSS, 3),
        (BASIC, 11),
        (BASIC | 1 << F_RING_INDIRECT_DESC, 11),
    ],
)
def test_features_ok_is_refused_without_version_1_or_with_what_does_not_go_together(features, status):
    bench = Bench(NicConfig(pairs=2))
    guest = bench.guest
    guest.write(1, 20, 1, 3)
    for half in (0, 1):
        guest.write(1, 8, 4, half)
        guest.write(1, 12, 4, features >> 32 * half & 0xFFFFFFFF)
    guest.write(1, 20, 1, 11)
    assert guest.read(1, 20, 1) == status


def test_answers_travel_back_with_their_requests_tokens_and_parts_sum():
    def echo(frame: bytes) -> bytes:
        udp = parse_udp(frame)
        assert udp is not None
        return udp_frame(udp.src_mac, GUEST_MAC, udp.dst_ip, udp.src_ip, udp.dst_port, udp.src_port, udp.payload)

    bench = Bench(replace(NicConfig(pairs=1), costs=NicCosts()), echo)
    bench.guest.start(BASIC | 1 << F_RING_EVENT_IDX)
    bench.clock.run()
    for token in range(1, 200):
        bench.requests.open(token, bench.clock.now_ps)
        bench.link.b.send(Frame(request(), token), bench.clock.now_ps)
        bench.clock.run()
        time_ps, frame = bench.sent[-1]
        assert frame.token == token
        bench.requests.close(token, time_ps)
    assert bench.requests.late_marks == 0
    assert bench.requests.uneven == 0
