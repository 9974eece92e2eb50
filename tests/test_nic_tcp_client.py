# SPDX-License-Identifier: GPL-2.0-or-later
"""The client over TCP against a small memcached behind the other TCP host: loads, pipelining, losses, servers that err."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import ConfigError
from emu.units import PS_PER_MS, PS_PER_S, us
from nic.faults import Fates, LinkFaults
from nic.link import Link, LinkConfig
from nic.matching import EndpointConfig
from nic.memcached_text import Answers, StreamError, commands
from nic.mock_world import MockClock, MockRequests
from nic.sources.etc import EtcLoad
from nic.tcp.client import TIMEOUT_PS, TcpClient
from nic.tcp.config import TcpConfig
from nic.tcp.host import TcpHost


class Memcached:
    """get and set over a TcpHost; `mangle(answer)` may change what is sent."""

    def __init__(self) -> None:
        self.host: TcpHost
        self.items: dict[bytes, bytes] = {}
        self.buffers: dict[int, bytearray] = {}
        self.mangle = lambda number, answer: answer
        self.deepest = 0

    def ready(self, number: int, time_ps: int) -> None:
        self.buffers[number] = bytearray()

    def arrived(self, number: int, data: bytes, time_ps: int) -> None:
        buffer = self.buffers[number]
        buffer += data
        answers = []
        while (end := buffer.find(b"\r\n")) >= 0:
            words = bytes(buffer[:end]).split()
            if words[0] == b"set":
                size = int(words[4])
                if len(buffer) < end + 4 + size:
                    break
                self.items[words[1]] = bytes(buffer[end + 2 : end + 2 + size])
                del buffer[: end + 4 + size]
                answers.append(b"STORED\r\n")
            else:
                del buffer[: end + 2]
                value = self.items.get(words[1])
                item = b"" if value is None else b"VALUE %b 0 %d\r\n%b\r\n" % (words[1], len(value), value)
                answers.append(item + b"END\r\n")
        self.deepest = max(self.deepest, len(answers))
        for answer in answers:
            self.host.write(number, self.mangle(number, answer), time_ps)

    def half_closed(self, number: int, time_ps: int) -> None:
        self.host.close(number, time_ps)

    def ended(self, number: int, error: str, time_ps: int) -> None:
        pass


class Bench:
    def __init__(self, connections: int = 1, faults=None, server_tcp=None, timeout_ps: int = TIMEOUT_PS) -> None:
        self.clock, self.requests, self.server = MockClock(), MockRequests(), Memcached()
        link = Link(self.clock, self.requests, "link", LinkConfig())
        ends = [link.a, link.b]
        if faults is not None:
            for number, (end, fault) in enumerate(zip(ends, faults, strict=True)):
                end.far.fates = Fates(fault, (number,))
        self.answers: dict[int, bytes] = {}
        self.done: list[int] = []
        self.client = TcpClient(
            "client", EndpointConfig(timeout_ps=timeout_ps), clock=self.clock, requests=self.requests, sender=ends[0],
            connections=connections,
            on_answer=lambda index, answer, time_ps: self.answers.__setitem__(index, answer), on_done=self.done.append,
        )  # fmt: skip
        self.server.host = TcpHost(
            "server", "52:54:00:12:34:56", "10.0.2.15", "10.0.2.2", None,
            service=self.server, clock=self.clock, sender=ends[1], config=server_tcp,
        )  # fmt: skip
        self.server.host.listen(11211)

    def store(self, load: EtcLoad) -> None:
        self.client.closed_loop(4, commands(load.preload()), self.clock.now_ps)
        self.clock.run()

    def expected(self, sent: list[bytes]) -> list[bytes]:
        return [
            b"STORED\r\n" if each.startswith(b"set")
            else b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (key, len(self.server.items[key]), self.server.items[key])
            for each in sent for key in [each.split()[1]]
        ]  # fmt: skip


@pytest.mark.parametrize(("connections", "outstanding"), [(1, 1), (1, 16), (7, 3), (200, 200)])
def test_closed_loop_answers_right_and_in_order_on_any_number_of_connections(connections, outstanding):
    bench, load = Bench(connections), EtcLoad(1, 100, get_ratio=1.0)
    bench.store(load)
    sent = list(commands(load.requests(1000)))
    bench.client.closed_loop(outstanding, sent, bench.clock.now_ps)
    bench.clock.run()
    assert bench.client.answered == 1100
    assert bench.client.lost == 0
    assert [bench.answers[100 + i] for i in range(1000)] == bench.expected(sent)
    assert not bench.client.counters
    assert len(bench.done) == 2
    # Once the connections are open each request leaves in a segment of its own, and its frame is charged to it.
    assert all(parts["run.serialization"] for token, parts in bench.requests.parts.items() if token > 100)
    assert bench.client.host.counters["established"] == connections


def test_open_loop_pipelines_and_matches_answers_split_and_merged():
    bench = Bench(2, server_tcp=TcpConfig(mss=48, receive_buffer=2000))
    load = EtcLoad(1, 50, get_ratio=1.0)
    bench.store(load)
    sent = list(commands(load.requests(400)))
    now = bench.clock.now_ps
    bench.client.open_loop([now + us(i // 40) for i in range(400)], sent)
    bench.clock.run()
    assert bench.server.deepest > 1
    assert [bench.answers[50 + i] for i in range(400)] == bench.expected(sent)


@pytest.mark.parametrize("connections", [1, 50])
def test_one_per_cent_of_loss_either_way_loses_no_request_and_repeats_by_seed(connections):
    def run():
        bench = Bench(connections, (LinkFaults(loss=0.01),) * 2)
        load = EtcLoad(1, 100, get_ratio=1.0)
        bench.store(load)
        sent = list(commands(load.requests(2000)))
        bench.client.closed_loop(connections, sent, bench.clock.now_ps)
        bench.clock.run()
        assert bench.client.lost == 0
        assert [bench.answers[100 + i] for i in range(2000)] == bench.expected(sent)
        assert bench.client.host.counters["retransmitted"] > 0
        return list(bench.client.ends_ps)

    assert run() == run()


def gets(count: int) -> list[bytes]:
    return [b"get k%d\r\n" % i for i in range(count)]


def test_a_server_that_closes_early_cuts_off_what_is_pending_and_is_called_again():
    bench = Bench()
    counted = 0

    def mangle(number: int, answer: bytes) -> bytes:
        nonlocal counted
        counted += 1
        if counted == 3:
            bench.server.host.close(number, bench.clock.now_ps)
            return b""
        return answer

    bench.server.mangle = mangle
    bench.client.closed_loop(1, gets(6), 0)
    bench.clock.run()
    assert (bench.client.answered, bench.client.lost) == (5, 1)
    assert bench.client.counters["cut_off"] == bench.client.counters["reconnects"] == 1
    assert bench.client.failure == "10.0.2.15, port 11211, closed a connection with requests unanswered"


@pytest.mark.parametrize(
    ("answer", "counter"),
    [
        (b"\r\n", "malformed"),
        (b"VALUE k 0 many\r\nx\r\nEND\r\n", "malformed"),
        (b"VALUE k 0 1\r\nxyz\r\nEND\r\n", "malformed"),
        (b"x" * 3000, "malformed"),
        (b"END\r\nEND\r\n", "unexpected"),
    ],
)
def test_bytes_that_are_no_answer_end_the_connection_not_the_run(answer, counter):
    bench = Bench()
    bench.server.mangle = lambda number, right: answer if bench.client.answered == 1 else right
    bench.client.closed_loop(1, gets(4), 0)
    bench.clock.run()
    assert bench.client.done
    assert bench.client.counters[counter] >= 1
    assert bench.client.answered + bench.client.lost == 4
    assert bench.client.failure.startswith("10.0.2.15, port 11211, ")
    assert "\n" not in bench.client.failure


def test_nobody_there_is_said_once_and_every_request_is_lost():
    bench = Bench()
    bench.server.host._listening.clear()
    bench.client.closed_loop(2, gets(5), 0)
    bench.clock.run()
    assert (bench.client.answered, bench.client.lost, bench.client.done) == (0, 5, True)
    assert bench.client.failure == "10.0.2.15, port 11211, refused the connection"


def test_silence_is_lost_after_the_timeout_and_late_answers_do_not_shift_the_others():
    bench = Bench(timeout_ps=100 * PS_PER_MS)
    held: list[tuple[int, bytes]] = []

    def mangle(number: int, answer: bytes) -> bytes:
        if bench.clock.now_ps < 50 * PS_PER_MS:
            held.append((number, answer))
            return b""
        early = b"".join(each for _, each in held)
        held.clear()
        return early + answer

    bench.server.mangle = mangle
    bench.server.items[b"k1"] = b"one"
    bench.client.open_loop([0, 200 * PS_PER_MS], gets(2))
    bench.clock.run()
    assert bench.client.counters["late"] == 1
    assert bench.answers == {1: b"VALUE k1 0 3\r\none\r\nEND\r\n"}


def test_close_ends_every_connection_both_ways():
    bench = Bench(5)
    bench.client.closed_loop(5, gets(10), 0)
    bench.clock.run()
    bench.client.close(bench.clock.now_ps)
    bench.clock.run(bench.clock.now_ps + PS_PER_S)
    assert bench.client.failure == ""
    assert not bench.client._by_number
    bench.clock.run()
    assert not bench.client.host._entries
    assert not bench.server.host._entries


ANSWER = st.one_of(
    st.sampled_from([b"STORED\r\n", b"END\r\n", b"ERROR\r\n", b"7\r\n", b"STAT pid 1\r\nSTAT uptime 2\r\nEND\r\n"]),
    st.lists(
        st.tuples(st.sampled_from([b"a", b"END"]), st.binary(max_size=30) | st.just(b"END\r\n")), min_size=1, max_size=3
    ).map(
        lambda items: b"".join(b"VALUE %b 0 %d\r\n%b\r\n" % (key, len(data), data) for key, data in items) + b"END\r\n"
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ANSWER, max_size=8), st.data())
def test_answers_are_cut_right_however_the_stream_is_split(answers, data):
    stream, whole, got = Answers(), b"".join(answers), []
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        got += stream.feed(whole[start:end])
    assert got == answers


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"VALUE ", b"\r\n", b" 0 5\r\n", b"END"]), max_size=20))
def test_arbitrary_bytes_are_answers_or_a_stream_error(pieces):
    stream = Answers()
    try:
        for piece in pieces:
            for answer in stream.feed(piece):
                assert answer.endswith(b"\r\n")
    except StreamError:
        pass


@pytest.mark.parametrize("given_", [{"connections": 0}, {"connections": 10_001}, {"port": 0}])
def test_nonsense_is_refused(given_):
    clock = MockClock()
    link = Link(clock, MockRequests(), "link")
    with pytest.raises(ConfigError):
        TcpClient("c", EndpointConfig(), clock=clock, requests=MockRequests(), sender=link.a, **given_)
