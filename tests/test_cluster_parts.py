# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster's small parts: who has a key, what goes wrong on a link, whether an answer is true, where kvd_router sends."""

from __future__ import annotations

import ctypes
import subprocess
from collections import Counter
from pathlib import Path
from random import Random
from socket import htons

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclescope.cluster.truth import Request, Truth, request_of
from emu.errors import ConfigError
from nic.fabric import Star
from nic.faults import Fates, LinkFaults
from nic.link import Link
from nic.memcached_udp import datagram
from nic.mock_world import MockClock, MockRequests
from nic.ports import Frame, NullRequests
from nic.sharding import fnv1a, sharding
from nic.sources.etc import EtcLoad

ROUTER = Path(__file__).resolve().parents[1] / "apps" / "kvd_router"
US = 1_000_000


def test_fnv1a_is_the_published_function():
    assert [fnv1a(text) for text in (b"", b"a", b"foobar")] == [0x811C9DC5, 0xE40C292C, 0xBF9CF968]


def test_consistent_hashing_moves_only_the_new_servers_share():
    keys = [b"key%d" % i for i in range(4000)]
    of_four, of_five = (sharding("consistent", [f"n{i}" for i in range(n)]) for n in (4, 5))
    four, five = [of_four(key) for key in keys], [of_five(key) for key in keys]
    assert all(a == b or b == 4 for a, b in zip(four, five, strict=True))
    shares = Counter(five)
    assert all(0.5 < shares[i] * 5 / len(keys) < 1.6 for i in range(5))
    with pytest.raises(ConfigError, match="give modulo or consistent"):
        sharding("random", ["a"])


class Sink:
    def __init__(self) -> None:
        self.got: list[tuple[int, bytes]] = []

    def receive(self, frame: Frame, time_ps: int) -> None:
        self.got.append((time_ps, frame.data[12:]))


def sent(faults: LinkFaults, n: int = 2000, gap_ps: int = US):
    clock = MockClock()
    link, sink = Link(clock, NullRequests(), "link"), Sink()
    link.b.attach(sink)
    link.a.fates = Fates(faults, (7,))
    for i in range(n):
        link.a.send(Frame(bytes(12) + i.to_bytes(4, "big")), i * gap_ps)
    clock.run()
    return [int.from_bytes(data, "big") for _, data in sink.got], sink.got, link.a.fates.counters


def test_a_link_loses_and_duplicates_the_shares_it_was_given():
    numbers, _, counters = sent(LinkFaults(loss=0.1, duplicate=0.05))
    assert len(set(numbers)) == 2000 - counters["lost"]
    assert len(numbers) == 2000 - counters["lost"] + counters["duplicated"]
    assert 150 < counters["lost"] < 250
    assert 60 < counters["duplicated"] < 130


def test_jitter_keeps_order_and_reordering_does_not():
    numbers, got, _ = sent(LinkFaults(jitter_ps=10 * US))
    assert numbers == list(range(2000))
    assert max(time - number * US for (time, _), number in zip(got, numbers, strict=True)) > 9 * US
    numbers, _, counters = sent(LinkFaults(reorder=0.1, reorder_ps=5 * US))
    assert sorted(numbers) == list(range(2000))
    overtaken = sum(any(later < number for later in numbers[i + 1 : i + 7]) for i, number in enumerate(numbers))
    assert overtaken > 0
    assert counters["reordered"] > 150


def test_a_link_that_is_down_passes_nothing():
    numbers, _, counters = sent(LinkFaults(down_ps=((100 * US, 200 * US),)))
    assert counters["down"] == 2000 - len(numbers) == 100


def test_a_late_frame_is_charged_as_waiting_for_the_link():
    clock, requests = MockClock(), MockRequests()
    link, sink = Link(clock, requests, "link"), Sink()
    link.b.attach(sink)
    link.a.fates = Fates(LinkFaults(reorder=1.0, reorder_ps=3 * US), (1,))
    requests.open(1, 0)
    link.a.send(Frame(bytes(60), 1), 0)
    clock.run()
    assert requests.parts[1]["wait.link"] == 3 * US


def test_what_a_switch_floods_is_nobodys_request():
    clock, requests, sinks = MockClock(), MockRequests(), [Sink() for _ in range(3)]
    star = Star(clock, requests)
    tokens: list[int] = []
    ports = [star.join(str(i)) for i in range(3)]
    for port, sink in zip(ports, sinks, strict=True):
        port.attach(sink)
        sink.receive = lambda frame, time_ps: tokens.append(frame.token)  # type: ignore[method-assign]
    requests.open(5, 0)
    ports[0].send(Frame(b"\xff" * 6 + bytes(54), 5), 0)
    clock.run()
    assert tokens == [0, 0]


def test_truth_knows_a_lie():
    truth = Truth()
    for request in (Request(b"k", b"abc"), Request(b"k", None), Request(b"other", None)):
        truth.ask(request)
    good = [(0, b"STORED\r\n", "stored"), (1, b"VALUE k 0 3\r\nabc\r\nEND\r\n", "hit"), (1, b"END\r\n", "miss")]
    good += [(1, b"SERVER_ERROR out of memory\r\n", "refused")]
    bad = [(0, b"END\r\n"), (1, b"VALUE k 0 3\r\nabd\r\nEND\r\n"), (1, b"VALUE k 0 4\r\nabc\r\nEND\r\n"), (1, b"STORED\r\n")]
    bad += [(1, b"VALUE other 0 3\r\nabc\r\nEND\r\n"), (2, b"VALUE other 0 3\r\nabc\r\nEND\r\n"), (1, b"")]
    for index, answer, kind in good:
        before = truth.counts[kind]
        truth.answer(index, answer, 0)
        assert truth.counts[kind] == before + 1
    for number, (index, answer) in enumerate(bad, 1):
        truth.answer(index, answer, 0)
        assert truth.counts["wrong"] == number
    assert truth.first_wrong.startswith("request 1 (k): ")


def test_truth_understands_the_whole_load():
    load = EtcLoad(3, 50)
    assert all(request_of(each).key in load.keys for each in (*load.preload(), *load.requests(500)))
    with pytest.raises(ValueError, match="not a request of the load"):
        request_of(datagram(1, b"version\r\n"))


# ---- kvd_router's core, compiled for this host with sanitizers that work inside Python


class Peer(ctypes.Structure):
    _fields_ = [("address", ctypes.c_uint32), ("port", ctypes.c_uint16)]


@pytest.fixture(scope="module")
def route(tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("router") / "route.so"
    command = ["cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fsanitize=undefined"]
    command += ["-fsanitize-undefined-trap-on-error", "-o", str(out)]
    command += [str(path) for path in sorted(ROUTER.glob("*.c")) if not path.name.startswith("port_")]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(out))
    library.kvd_router_backends.restype = ctypes.c_size_t
    library.kvd_router_refusal.restype = ctypes.c_size_t
    library.kvd_router_route.argtypes = [ctypes.c_void_p, Peer, ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(Peer)]
    return library


def router(library: ctypes.CDLL, backends: bytes = b"10.0.2.16,10.0.2.17,10.0.2.18"):
    memory = ctypes.create_string_buffer(5 << 20)
    base = ctypes.addressof(memory)
    at = ctypes.c_void_p(base + -base % 64)
    bad = library.kvd_router_backends(at, ctypes.c_char_p(backends), ctypes.c_uint16(11211))
    return memory, at, bad


CLIENT = Peer(0x0202000A, 0x1234)


def routed(library: ctypes.CDLL, at: ctypes.c_void_p, sender: Peer, payload: bytes):
    """(verdict, payload as sent on, destination)"""
    buffer, to = ctypes.create_string_buffer(payload, len(payload)), Peer()
    verdict = library.kvd_router_route(at, sender, buffer, len(payload), ctypes.byref(to))
    return verdict, buffer.raw, to


DROP, SEND, REFUSE = range(3)


@pytest.fixture(scope="module")
def one_router(route):
    """One for many examples: what it remembers of one is as good as any other to the next."""
    memory, at, _ = router(route)
    yield at
    del memory


def test_requests_go_to_their_keys_back_end_and_answers_to_who_asked(route):
    _memory, at, bad = router(route)
    assert bad == 0
    random = Random(1)
    under_way = []
    for number in range(3000):
        key = b"key%d" % random.randrange(500)
        payload = datagram(random.randrange(65536), random.choice([b"get %b\r\n" % key, b"set %b 0 0 3\r\nabc\r\n" % key]))
        client = Peer(0x0202000A, random.randrange(1, 65536))
        verdict, out, to = routed(route, at, client, payload)
        assert verdict == SEND
        assert to.address >> 24 == 16 + fnv1a(key) % 3
        assert out[2:] == payload[2:]
        under_way.append((client, payload[:2], to, out[:2]))
        if number % 3 == 0:
            asked, ident, backend, ours = under_way.pop(random.randrange(len(under_way)))
            verdict, out, to = routed(route, at, backend, ours + payload[2:])
            assert (verdict, to.address, to.port, out[:2]) == (SEND, asked.address, asked.port, ident)


def test_an_answer_whose_request_is_forgotten_goes_nowhere(route):
    _memory, at, _ = router(route, b"10.0.2.16")
    first = routed(route, at, CLIENT, datagram(7, b"get a\r\n"))
    for _ in range(4096):
        routed(route, at, CLIENT, datagram(8, b"get a\r\n"))
    assert routed(route, at, first[2], first[1])[0] == DROP
    assert routed(route, at, first[2], b"\xff\xff" + first[1][2:])[0] == DROP


@pytest.mark.parametrize(
    ("payload", "verdict"),
    [
        (b"", DROP), (bytes(8), DROP), (bytes(4) + b"\0\2\0\0get a\r\n", DROP),
        (datagram(1, b"get a b\r\n"), REFUSE), (datagram(1, b"get a\r\nget b\r\n"), REFUSE), (datagram(1, b"get a"), REFUSE),
        (datagram(1, b"version\r\n"), REFUSE), (datagram(1, b"get \r\n"), REFUSE), (datagram(1, b"\r\n"), REFUSE),
        (datagram(1, b"get " + b"k" * 251 + b"\r\n"), REFUSE), (datagram(1, b"set k 0 0 5\r\nabc\r\n"), REFUSE),
        (datagram(1, b"set k 0 0 18446744073709551619\r\nabc\r\n"), REFUSE), (datagram(1, b"incr n 5\r\n"), SEND),
        (datagram(1, b"cas k 0 0 3 9\r\nabc\r\n"), SEND),
    ],
)  # fmt: skip
def test_what_is_not_one_command_on_one_key_is_refused(route, payload: bytes, verdict: int):
    _memory, at, _ = router(route)
    assert routed(route, at, CLIENT, payload)[0] == verdict
    if verdict == REFUSE:
        refusal = ctypes.create_string_buffer(64)
        n = route.kvd_router_refusal(verdict, ctypes.c_char_p(payload), refusal)
        assert refusal.raw[:n].startswith(payload[:2] + b"\0\0\0\1\0\0SERVER_ERROR ")


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"get a\r\n", b"set a 0 0 1\r\nb\r\n"]), max_size=6))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_sent_to_a_known_place_or_nowhere(route, one_router, bodies):
    at = one_router
    for number, body in enumerate(bodies):
        sender = CLIENT if number % 2 else Peer(0x1002000A, htons(11211))
        verdict, _, to = routed(route, at, sender, datagram(number, body))
        assert verdict in (DROP, SEND, REFUSE)
        if verdict == SEND:
            assert to.address >> 24 in (2, 16, 17, 18)


@pytest.mark.parametrize(
    ("text", "place"), [("", 1), ("10.0.2", 1), ("10.0.2.16,", 11), ("10.0.2.16,10.0.2.256", 11), ("1.2.3.4;", 1)]
)
def test_a_list_of_back_ends_that_is_none(route, text: str, place: int):
    assert router(route, text.encode())[2] == place
