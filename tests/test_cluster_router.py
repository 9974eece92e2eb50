# SPDX-License-Identifier: GPL-2.0-or-later
"""kvd_router's core looks after its back ends: by a simulated time, against back ends and a provisioner of this file's."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from random import Random
from socket import htons

import pytest

from nic.memcached_udp import datagram

ROUTER = Path(__file__).resolve().parents[1] / "apps" / "kvd_router"
DROP, SEND, REFUSE, NOBODY = range(4)
TICK_NS = 200_000
KVD, PROVISIONER = htons(11211), htons(5641)
PLACE = """
#include "internal.h"
size_t size(void) { return sizeof(struct kvd_router); }
void set_port(struct kvd_router *router, uint16_t port) { router->port = port; }
int owner(struct kvd_router *router, int place) { return router->table[place]; }
int state(struct kvd_router *router, int backend) { return router->backend[backend].state; }
unsigned under_way(struct kvd_router *router, int backend) { return kvd_router_under_way(&router->backend[backend]); }
"""


class Peer(ctypes.Structure):
    _fields_ = [("address", ctypes.c_uint32), ("port", ctypes.c_uint16)]


SENDER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, Peer, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("router")
    (folder / "place.c").write_text(PLACE)
    command = ["cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fsanitize=undefined"]
    command += ["-fsanitize-undefined-trap-on-error", f"-I{ROUTER}", "-o", str(folder / "core.so"), str(folder / "place.c")]
    command += [str(path) for path in sorted(ROUTER.glob("*.c")) if not path.name.startswith("port_")]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(folder / "core.so"))
    library.size.restype = library.kvd_router_backends.restype = ctypes.c_size_t
    library.kvd_router_serves.restype = ctypes.c_bool
    library.kvd_router_route.argtypes = [ctypes.c_void_p, Peer, ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(Peer)]
    library.kvd_router_tick.argtypes = [ctypes.c_void_p, ctypes.c_uint64, SENDER, ctypes.c_void_p]
    return library


def address(last: int) -> int:
    return last << 24 | 0x0002000A


class Town:
    """A router, back ends that answer what they are sent (those in `alive`), and a provisioner that hands out machines."""

    def __init__(self, core: ctypes.CDLL, *options: str, listed: str = "") -> None:
        self.core = core
        self._memory = ctypes.create_string_buffer(core.size() + 64)
        base = ctypes.addressof(self._memory)
        self.at = ctypes.c_void_p(base + -base % 64)
        core.set_port(self.at, ctypes.c_uint16(KVD))
        self._kept = [text.encode() for text in options]
        for name, value in zip(self._kept[::2], self._kept[1::2], strict=True):
            assert core.kvd_router_option(self.at, name, value) == 1
        if listed:
            assert core.kvd_router_backends(self.at, listed.encode(), ctypes.c_uint16(KVD)) == 0
        self.now_ns, self.number = 0, 0
        self.alive: set[int] = set()
        self.asked: list[str] = []
        self.to_client: list[bytes] = []
        self.most = 8
        self.machines: dict[int, int] = {}  # number: last byte of its address
        self.takes_ticks = 5
        self.ready: dict[int, int] = {}
        self.deaf = False
        self._send = SENDER(self._sent)

    def _sent(self, ctx: object, to: Peer, data: object, length: int) -> None:
        payload = data[:length]  # type: ignore[index]
        if to.port == PROVISIONER:
            text = payload.decode()
            self.asked.append(text)
            if not self.deaf:
                self.into(Peer(address(3), PROVISIONER), self._provision(text).encode())
        elif to.port == KVD:
            if to.address >> 24 in self.alive:
                self.into(to, payload[:8] + b"VERSION 1\r\n")
        else:
            self.to_client.append(payload)

    def _provision(self, text: str) -> str:
        verb, tag, what = text.split()
        if verb == "allocate":
            if len(self.machines) == self.most:
                return f"refused {tag} all {self.most} machines of kind kvd are on"
            self.number += 1
            self.machines[self.number] = 15 + self.number
            self.ready[self.number] = self.now_ns + self.takes_ticks * TICK_NS
            return f"machine {tag} {self.number} 10.0.2.{15 + self.number} cold"
        number = int(what)
        if verb == "free":
            self.alive.discard(self.machines.pop(number, 0))
            return f"freed {tag} {number}"
        stage = "ended" if number not in self.machines else "on" if self.now_ns >= self.ready[number] else "kernel"
        if stage == "on" and number in self.machines:
            self.alive.add(self.machines[number])
        return f"status {tag} {number} kvd {stage} 10.0.2.{15 + number}"

    def into(self, sender: Peer, payload: bytes) -> tuple[int, bytes, Peer]:
        buffer, to = ctypes.create_string_buffer(payload, max(1, len(payload))), Peer()
        verdict = self.core.kvd_router_route(self.at, sender, buffer, len(payload), ctypes.byref(to))
        return verdict, buffer.raw[: len(payload)], to

    def request(self, ident: int, key: bytes) -> tuple[int, int]:
        """(verdict, last byte of where it went)"""
        verdict, _, to = self.into(Peer(address(2), 0x1234), datagram(ident, b"get %b\r\n" % key))
        return verdict, to.address >> 24

    def ask_and_answer(self, ident: int, key: bytes) -> bool:
        verdict, out, to = self.into(Peer(address(2), 0x1234), datagram(ident, b"get %b\r\n" % key))
        if verdict != SEND or to.address >> 24 not in self.alive:
            return False
        verdict, out, back = self.into(to, out[:2] + b"\0\0\0\1\0\0END\r\n")
        return (verdict, back.address >> 24, out[:2]) == (SEND, 2, ident.to_bytes(2, "big"))

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.now_ns += TICK_NS
            self.core.kvd_router_tick(self.at, self.now_ns, self._send, None)

    def owners(self) -> list[int]:
        return [self.core.owner(self.at, place) for place in range(1024)]


LIST = "10.0.2.16,10.0.2.17,10.0.2.18,10.0.2.19"


def test_a_back_end_that_dies_is_noticed_its_requests_refused_and_its_keys_move(core: ctypes.CDLL):
    town = Town(core, "--health", "1000", listed=LIST)
    town.alive = {16, 17, 18, 19}
    assert town.request(1, b"key")[0] == NOBODY  # the first tick is yet to come
    town.tick(20)
    assert core.kvd_router_serves(town.at)
    before = town.owners()
    town.alive.remove(17)
    keys = [b"key%d" % i for i in range(200)]
    lost = [ident for ident, key in enumerate(keys) if not town.ask_and_answer(ident, key)]
    assert 20 < len(lost) < 90
    town.tick(40)
    assert [payload[:2] for payload in town.to_client] == [ident.to_bytes(2, "big") for ident in lost]
    assert all(payload[8:] == b"SERVER_ERROR back end lost\r\n" for payload in town.to_client)
    after = town.owners()
    assert all(b == a or a == 2 for a, b in zip(before, after, strict=True))
    assert 2 not in after
    assert all(town.ask_and_answer(ident, key) for ident, key in enumerate(keys))
    town.alive.add(17)
    town.tick(40)
    assert town.owners() == before
    assert len(town.to_client) == len(lost)


def test_when_all_are_dead_requests_are_refused_at_once(core: ctypes.CDLL):
    town = Town(core, "--health", "1000", listed="10.0.2.16")
    town.tick(60)
    assert town.request(5, b"a") == (NOBODY, 0)
    assert not core.kvd_router_serves(town.at)
    refusal = ctypes.create_string_buffer(64)
    n = core.kvd_router_refusal(NOBODY, ctypes.c_char_p(datagram(5, b"get a\r\n")), refusal)
    assert refusal.raw[:n] == b"\0\5\0\0\0\1\0\0SERVER_ERROR no back end\r\n"


def test_keys_are_spread_evenly_and_move_only_to_who_comes(core: ctypes.CDLL):
    town = Town(core, "--pool", "kvd", "--min", "4")
    town.tick(30)
    assert len(town.machines) == 4
    four = town.owners()
    assert all(200 < four.count(owner) < 320 for owner in (1, 2, 3, 4))
    loaded(town, 40, ticks=30)
    assert len(town.machines) > 4
    assert all(b == a or b > 4 for a, b in zip(four, town.owners(), strict=True))


def loaded(town: Town, outstanding: int, ticks: int) -> None:
    """So many requests stay under way: all are answered a tick later."""
    for number in range(ticks):
        under_way = []
        for ident in range(outstanding):
            verdict, out, to = town.into(Peer(address(2), 0x1234), datagram(ident, b"get k%d-%d\r\n" % (number, ident)))
            if verdict == SEND:
                under_way.append((out, to))
        town.tick()
        for out, to in under_way:
            if to.address >> 24 in town.alive:
                town.into(to, out[:2] + b"\0\0\0\1\0\0END\r\n")


def test_more_are_asked_for_as_load_grows_and_given_back_when_it_falls(core: ctypes.CDLL):
    town = Town(core, "--pool", "kvd", "--target", "4", "--calm", "2000", "--max", "6")
    town.tick(20)
    assert (len(town.machines), core.kvd_router_serves(town.at)) == (1, True)
    loaded(town, 12, ticks=60)
    assert len(town.machines) in (3, 4)
    loaded(town, 100, ticks=60)
    assert len(town.machines) == 6
    loaded(town, 1, ticks=90)
    assert len(town.machines) == 1
    assert sum(text.startswith("free ") for text in town.asked) == 5
    assert all(town.ask_and_answer(ident, b"k%d" % ident) for ident in range(100))


def test_requests_that_are_never_answered_do_not_count_for_ever(core: ctypes.CDLL):
    town = Town(core, "--pool", "kvd", "--max", "1")
    town.tick(20)
    for ident in range(9000):  # more than are remembered
        town.request(ident, b"k%d" % ident)
        if ident % 300 == 0:
            town.tick()
    assert core.under_way(town.at, 0) > 1000
    for _ in range(40):
        assert town.ask_and_answer(1, b"x")
        town.tick()
    assert core.under_way(town.at, 0) == 0


def test_what_the_provisioner_refuses_is_not_asked_every_tick(core: ctypes.CDLL):
    town = Town(core, "--pool", "kvd", "--min", "3")
    town.most = 2
    town.tick(300)
    assert len(town.machines) == 2
    allocations = [text for text in town.asked if text.startswith("allocate")]
    assert 4 < len(allocations) < 12
    assert not core.kvd_router_serves(town.at)


def test_sixty_three_may_start_at_once(core: ctypes.CDLL):
    town = Town(core, "--pool", "kvd", "--min", "63")
    town.most = 63
    for _ in range(25):
        before = len(town.asked)
        town.tick()
        assert sum(text.startswith("status") for text in town.asked[before:]) <= 8
    assert core.kvd_router_serves(town.at)
    assert set(town.owners()) == set(range(1, 64))


def test_a_question_without_an_answer_is_asked_again_with_its_tag(core: ctypes.CDLL):
    town = Town(core, "--pool", "kvd")
    town.deaf = True
    town.tick(100)
    assert 3 <= len(town.asked) <= 5
    assert set(town.asked) == {"allocate r1 kvd"}
    town.deaf = False
    town.tick(60)
    assert core.kvd_router_serves(town.at)
    assert town.number == 1


def test_a_machine_that_dies_while_it_boots_or_serves_is_replaced(core: ctypes.CDLL):
    town = Town(core, "--pool", "kvd", "--min", "2")
    town.tick(3)
    assert len(town.machines) == 2
    del town.machines[2]
    town.tick(30)
    assert (sorted(town.machines), core.kvd_router_serves(town.at)) == ([1, 3], True)
    town.alive.discard(16)
    town.tick(60)
    assert sorted(town.machines) == [3, 4]
    assert core.kvd_router_serves(town.at)


def test_100_000_answers_of_nonsense_are_harmless(core: ctypes.CDLL):
    town, random = Town(core, "--pool", "kvd", "--min", "2"), Random(1)
    town.tick(30)
    words = ["machine", "freed", "refused", "status", "r1", "r2", "r3", "r0", "r99999999999", "1", "2", "-1", "kvd", "on", "ended"]
    words += ["10.0.2.16", "10.0.2", "10.0.2.1600", "warm", "cold", "", "\0", "x" * 200]
    for number in range(100_000):
        if number % 2:
            text = " ".join(random.choice(words) for _ in range(random.randrange(8))).encode()
        else:
            text = random.randbytes(random.randrange(120))
        anybody = Peer(address(random.randrange(256)), random.choice([KVD, PROVISIONER]))
        sender = Peer(address(3), PROVISIONER) if number % 3 else anybody
        town.into(sender, text)
        if number % 8 == 0:
            town.tick()
    town.tick(200)
    assert core.kvd_router_serves(town.at)
    assert len(town.machines) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("--min", "0"), ("--max", "65"), ("--target", "x"), ("--tick", "10"), ("--health", ""), ("--pool", ""), ("--pool", "a b"),
     ("--provisioner", "10.0.2"), ("--calm", "99999999999")],
)  # fmt: skip
def test_options_that_do_not_fit_are_refused(core: ctypes.CDLL, name: str, value: str):
    town = Town(core)
    assert core.kvd_router_option(town.at, name.encode(), value.encode()) == -1
    assert core.kvd_router_option(town.at, b"--colour", b"red") == 0
