# SPDX-License-Identifier: GPL-2.0-or-later
"""The client endpoint: schedules, matching, ARP, losses; and a whole path client - switch - NIC - guest and back."""

from __future__ import annotations

import pytest

from emu.errors import ConfigError
from emu.units import us
from nic.costs import NicConfig
from nic.endpoint import Endpoint
from nic.fabric import Star
from nic.faults import Fates, LinkFaults
from nic.frames import Arp, arp_frame, parse_arp, parse_ip, parse_mac, parse_udp, udp_frame
from nic.link import Link, LinkConfig
from nic.matching import EndpointConfig, PortMatcher
from nic.memcached_udp import FRAME, datagram
from nic.mock_driver import FlatMemory
from nic.mock_guest import MockGuest
from nic.mock_world import MockClock, MockRequests
from nic.ports import Frame
from nic.tap import Tracer
from nic.virtio_net import VirtioNet

GUEST_MAC, CLIENT_MAC = parse_mac("52:54:00:12:34:56"), parse_mac("52:54:00:00:00:02")
GUEST_IP, CLIENT_IP = parse_ip("10.0.2.15"), parse_ip("10.0.2.2")


def requests_of(count: int, ports: int = 4) -> list[bytes]:
    return [
        udp_frame(bytes(6), bytes(6), CLIENT_IP, GUEST_IP, 40000 + i % ports, 11211, datagram(i, b"get k%d\r\n" % i))
        for i in range(count)
    ]


class Server:
    """Answers on the other end of a link by a function of the request's datagram; None for silence."""

    def __init__(self, answers=None, **config) -> None:
        self.clock, self.requests = MockClock(), MockRequests()
        self.link = Link(self.clock, self.requests, "link", LinkConfig(10_000_000_000, 1_000))
        self.link.b.attach(self)
        self.answers = answers or (lambda payload: [FRAME.pack(*FRAME.unpack_from(payload)[:2], 1, 0) + b"END\r\n"])
        self.got: list[tuple[int, bytes]] = []
        self.answered: list[tuple[int, bytes]] = []
        self.done: list[int] = []
        self.client = Endpoint(
            "client",
            EndpointConfig(**{"guest_mac": "52:54:00:12:34:56", **config}),
            clock=self.clock,
            requests=self.requests,
            sender=self.link.a,
            on_answer=lambda index, answer, time_ps: self.answered.append((index, answer)),
            on_done=self.done.append,
        )

    def receive(self, frame: Frame, time_ps: int) -> None:
        self.got.append((time_ps, frame.data))
        udp = parse_udp(frame.data)
        if udp is None:
            return
        for answer in self.answers(udp.payload):
            data = udp_frame(udp.src_mac, GUEST_MAC, udp.dst_ip, udp.src_ip, udp.dst_port, udp.src_port, answer)
            self.link.b.send(Frame(data, frame.token), time_ps)


def test_open_loop_sends_each_frame_at_its_time_and_matches_answers():
    server = Server()
    times = [0, 0, us(1), us(5)]
    server.client.open_loop(times, requests_of(4))
    server.clock.run()
    assert list(server.client.starts_ps) == times
    assert server.answered == [(index, b"END\r\n") for index in range(4)]
    assert server.client.done
    assert len(server.done) == 1
    assert server.requests.latency[3] == 2 * (67_200 + 1_000)
    assert server.requests.latency[2] == 2 * (67_200 + 1_000) + 67_200
    assert all(data[:12] == GUEST_MAC + CLIENT_MAC for _, data in server.got)


def test_closed_loop_keeps_n_outstanding_and_no_more():
    outstanding, most = 0, 0

    def answers(payload: bytes) -> list[bytes]:
        nonlocal outstanding, most
        started = len(server.client.starts_ps)
        most = max(most, started - server.client.answered)
        return [payload[:8] + b"END\r\n"]

    server = Server(answers)
    server.client.closed_loop(3, requests_of(50), 1_000)
    server.clock.run()
    assert server.client.answered == 50
    assert most == 3
    assert server.client.done


def test_closed_loop_thinks_and_may_end_before_it_is_full():
    server = Server()
    server.client.closed_loop(5, requests_of(2), 0, think_ps=us(10))
    server.clock.run()
    assert server.client.answered == 2
    assert len(server.done) == 1


def test_one_load_may_follow_another_and_nothing_of_the_first_leaks_into_it():
    server = Server()
    server.client.closed_loop(4, requests_of(6), 0, think_ps=us(10))
    server.clock.run(us(16))
    assert server.client.done
    with pytest.raises(ConfigError, match="at least 1"):
        server.client.closed_loop(0, [], 0)
    start = server.clock.now_ps + us(1)
    server.client.closed_loop(1, requests_of(3), start, think_ps=us(5))
    with pytest.raises(ConfigError, match="already"):
        server.client.open_loop([start], requests_of(1))
    server.clock.run()
    rtt = 2 * (67_200 + 1_000)
    assert list(server.client.starts_ps[6:]) == [start + number * (rtt + us(5)) for number in range(3)]
    assert len(server.done) == 2


def test_answers_of_several_datagrams_in_any_order_end_with_the_last():
    def answers(payload: bytes) -> list[bytes]:
        ident = FRAME.unpack_from(payload)[0]
        parts = [FRAME.pack(ident, place, 3, 0) + bytes([65 + place]) * 4 for place in (2, 0, 1)]
        return [FRAME.pack(ident, 0, 0, 0), *parts[:2], parts[0], parts[2]]

    server = Server(answers)
    server.client.open_loop([0], requests_of(1))
    server.clock.run()
    assert server.answered == [(0, b"AAAABBBBCCCC")]
    assert server.client.ends_ps[0] == server.requests.latency[1] == 67_200 + 1_000 + 5 * 67_200 + 1_000


@pytest.mark.parametrize("closed", [False, True])
def test_silence_is_lost_after_the_timeout_and_the_load_goes_on(closed):
    server = Server(
        lambda payload: [] if FRAME.unpack_from(payload)[0] % 3 == 0 else [payload[:8] + b"x"], timeout_ps=us(100)
    )
    if closed:
        server.client.closed_loop(2, requests_of(10), 0)
    else:
        server.client.open_loop([us(number) for number in range(10)], requests_of(10))
    server.clock.run()
    assert server.client.lost == 4
    assert server.client.answered == 6
    assert server.client.done
    assert len(server.done) == 1
    assert [index for index, end in enumerate(server.client.ends_ps) if not end] == [0, 3, 6, 9]


def test_malformed_requests_are_sent_and_count_as_lost():
    server = Server(timeout_ps=us(10))
    server.client.closed_loop(1, [bytes(14) + b"junk", requests_of(1)[0]], 0)
    server.clock.run()
    assert (server.client.lost, server.client.answered) == (1, 1)
    assert len(server.got) == 2


def test_wrong_checksums_strangers_and_late_answers_are_counted_not_matched():
    server = Server(lambda payload: [])
    server.client.open_loop([0], requests_of(1))
    good = udp_frame(CLIENT_MAC, GUEST_MAC, GUEST_IP, CLIENT_IP, 11211, 40000, FRAME.pack(0, 0, 1, 0) + b"END\r\n")
    broken = bytearray(good)
    broken[-1] ^= 1
    elsewhere = udp_frame(CLIENT_MAC, GUEST_MAC, GUEST_IP, GUEST_IP, 11211, 40000, bytes(9))
    unexpected = udp_frame(CLIENT_MAC, GUEST_MAC, GUEST_IP, CLIENT_IP, 11211, 40001, bytes(9))
    for data in (bytes(broken), elsewhere, unexpected, b"", bytes(60), good):
        server.link.b.send(Frame(data), us(1))
    server.clock.run()
    assert server.answered == [(0, b"END\r\n")]
    counters = {"bad_checksum": 1, "not_for_us": 1, "unexpected": 1, "ignored": 2, "token_missing": 1}
    assert server.client.counters == counters


def test_endpoint_answers_arp_and_asks_for_the_guest_s_address_before_it_sends():
    server = Server(guest_mac=None)
    server.client.open_loop([us(1), us(2)], requests_of(2))
    server.clock.run(us(50))
    assert [parse_arp(data) for _, data in server.got] == [Arp(True, CLIENT_MAC, CLIENT_IP, bytes(6), GUEST_IP)]
    server.clock.run(us(150_000))
    assert len(server.got) == 2  # asked again
    server.link.b.send(Frame(arp_frame(Arp(False, GUEST_MAC, GUEST_IP, CLIENT_MAC, CLIENT_IP))), server.clock.now_ps)
    server.link.b.send(Frame(arp_frame(Arp(True, GUEST_MAC, GUEST_IP, bytes(6), CLIENT_IP))), server.clock.now_ps)
    server.link.b.send(
        Frame(arp_frame(Arp(True, GUEST_MAC, GUEST_IP, bytes(6), parse_ip("10.0.2.99")))), server.clock.now_ps
    )
    server.clock.run()
    assert Arp(False, CLIENT_MAC, CLIENT_IP, GUEST_MAC, GUEST_IP) in [parse_arp(data) for _, data in server.got]
    assert server.client.counters["arp_answered"] == 1
    assert server.client.answered == 2
    assert server.requests.parts[1]["wait.link"] > us(100_000)


def test_port_matcher_serves_plain_udp():
    server = Server(lambda payload: [payload])
    server.client._matcher = PortMatcher()
    frames = [udp_frame(bytes(6), bytes(6), CLIENT_IP, GUEST_IP, 5000 + number, 7, b"") for number in range(3)]
    server.client.open_loop([0, 1, 2], frames)
    server.clock.run()
    assert server.answered == [(0, b""), (1, b""), (2, b"")]


@pytest.mark.parametrize(
    "config",
    [
        {"ip": "10.0.2"},
        {"ip": "10.0.2.256"},
        {"mac": "52:54"},
        {"guest_mac": "zz:0:0:0:0:0"},
        {"timeout_ps": 0},
        {"first_token": 0},
    ],
)
def test_wrong_addresses_are_refused(config):
    with pytest.raises(ConfigError):
        EndpointConfig(**config)


class Path:
    """Client - switch - NIC - guest that answers memcached requests; the whole path of one answer."""

    def __init__(self, pairs: int = 4, wrap_client=None) -> None:
        self.clock, self.requests = MockClock(), MockRequests()
        star = Star(self.clock, self.requests)
        self.guest = MockGuest(self.clock, self.requests, FlatMemory(0x400000, 0x100000), self.answer)
        nic_port, client_port = star.join("guest"), star.join("client")
        self.nic_port = nic_port
        self.nic = VirtioNet(
            "nic",
            NicConfig(pairs=pairs),
            clock=self.clock,
            dma=self.guest.memory,
            interrupts=self.guest,
            requests=self.requests,
            sender=nic_port,
        )
        self.guest.plug(self.nic.function)
        self.guest.start(self.nic.features, pairs=pairs, buffers=32)
        self.guest.command(b"\x04\x00" + pairs.to_bytes(2, "little"))
        self.clock.run()
        self.client = Endpoint(
            "client",
            EndpointConfig(guest_mac="52:54:00:12:34:56", timeout_ps=us(1000)),
            clock=self.clock,
            requests=self.requests,
            sender=wrap_client(client_port, self.clock) if wrap_client else client_port,
        )

    @staticmethod
    def answer(frame: bytes) -> bytes:
        udp = parse_udp(frame)
        assert udp is not None
        return udp_frame(
            udp.src_mac, GUEST_MAC, udp.dst_ip, udp.src_ip, udp.dst_port, udp.src_port, udp.payload[:8] + b"END\r\n"
        )


def test_whole_path_answers_every_request_on_every_queue_and_parts_sum():
    path = Path()
    path.client.open_loop([path.clock.now_ps + us(number) for number in range(500)], requests_of(500, ports=32))
    path.clock.run()
    assert path.client.answered == 500
    assert path.requests.late_marks == 0
    assert path.requests.uneven == 0
    assert path.client.counters == {}
    assert {queue for queue, _, _ in path.guest.received} == {0, 2, 4, 6}
    parts = path.requests.parts[1]
    expected = {"run.serialization", "run.wire", "run.switch", "run.dma", "run.nic"}
    assert {name for name, value in parts.items() if value} == expected
    assert parts["run.serialization"] == 4 * 67_200
    assert parts["run.switch"] == 2 * 300_000


def test_same_load_gives_the_same_events_to_the_picosecond():
    def run() -> list[int]:
        path = Path()
        path.client.open_loop([path.clock.now_ps + us(number) for number in range(100)], requests_of(100, ports=8))
        path.clock.run()
        return list(path.client.ends_ps)

    assert run() == run()


def test_faults_lose_reorder_and_duplicate_as_seeded_and_the_client_survives():
    fates = Fates(LinkFaults(loss=0.1, reorder=0.2, reorder_ps=us(20), duplicate=0.1), (3,))
    path = Path()
    path.nic_port.far.fates = fates
    path.client.open_loop([path.clock.now_ps + us(5 * number) for number in range(400)], requests_of(400))
    path.clock.run()
    counters = fates.counters
    assert path.client.lost == counters["lost"]
    assert path.client.answered == 400 - counters["lost"]
    assert 20 < counters["lost"] < 60
    assert 50 < counters["reordered"] < 110
    assert path.client.counters["unexpected"] == counters["duplicated"]


def test_tracer_shows_both_directions_in_order_of_time():
    seen: list[tuple[int, str, Frame]] = []
    path = Path(wrap_client=lambda port, clock: Tracer(port, lambda *what: seen.append(what)))
    path.client.open_loop([path.clock.now_ps + us(number) for number in range(50)], requests_of(50))
    path.clock.run()
    assert [way for _, way, _ in seen].count("tx") == [way for _, way, _ in seen].count("rx") == 50
    assert [time for time, _, _ in seen] == sorted(time for time, _, _ in seen)
    assert [frame.token for _, way, frame in seen if way == "tx"] == list(range(1, 51))


@pytest.mark.parametrize("faults", [{"loss": 1.5}, {"reorder": -0.1}, {"reorder_ps": -1}, {"down_ps": ((2, 1),)}])
def test_impossible_faults_are_refused(faults):
    with pytest.raises(ConfigError):
        LinkFaults(**faults)


def test_a_short_frame_right_behind_a_long_one_does_not_overtake_it_in_the_nic():
    path = Path(pairs=1)
    sizes = [1400, 10, 1400, 10]
    frames = [
        udp_frame(bytes(6), bytes(6), CLIENT_IP, GUEST_IP, 40_000 + number, 11211, datagram(number, bytes(size)))
        for number, size in enumerate(sizes)
    ]
    path.client.open_loop([path.clock.now_ps] * 4, frames)
    path.clock.run()
    received = [parse_udp(data) for _, _, data in path.guest.received]
    assert [len(udp.payload) - 8 for udp in received if udp is not None] == sizes
