# SPDX-License-Identifier: GPL-2.0-or-later
"""kvd answers as memcached 1.6.18 does: the same commands to both, the same bytes back.

Left out, because kvd does not do it (CAVEATS): meta commands, binary protocol, `stats`, administration, and values that go
on in later datagrams (on which memcached stops serving its UDP socket).
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.kvd_host import Answer, Client, memcached_program, serving_kvd, serving_memcached

TAIL = b"x" * 64 + b"\r\n"  # enough for any value length below to be there, so that memcached never waits for more


def memcached_version() -> str:
    program = memcached_program()
    if program is None:
        return ""
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.\d+\.\d+", text)
    return found[0] if found else ""


pytestmark = [
    pytest.mark.crosscheck,
    pytest.mark.skipif(memcached_version() == "", reason="memcached is not installed: kvd is NOT compared with it"),
]


class Pair:
    """memcached and kvd, started together, so that both number their items from 1 up, in step.

    memcached leaks something on datagrams of several commands, and falls silent after some 130 of them: so it is renewed.
    """

    LIFE = 60

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._asked = self.LIFE
        self.compared = 0

    def clients(self) -> tuple[Client, Client]:
        if self._asked >= self.LIFE:
            self.close()
            memcached = self._stack.enter_context(serving_memcached("-t", "1"))
            self._pair = memcached, self._stack.enter_context(serving_kvd("-t", "1"))
            self._asked = 0
        return self._pair

    def ask(self, datagram: bytes) -> tuple[Answer, Answer]:
        memcached, kvd = self.clients()
        self._asked += 1
        self.compared += 1
        return memcached.ask(datagram), kvd.ask(datagram)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    if memcached_version() != "1.6.18":
        pytest.skip(f"kvd reproduces memcached 1.6.18, this is {memcached_version()}: NOT compared")
    pair = Pair()
    yield pair
    pair.close()
    print(f"\n{pair.compared} datagrams answered alike by memcached and kvd")


@pytest.fixture
def servers(pair: Pair) -> tuple[Client, Client]:
    return pair.clients()


KEYS = st.sampled_from(
    [b"a", b"b", b"c", b"n", b"n", b"a\tb", b"\x80\xff", b"noreply", b"0", b"k" * 250, b"k" * 251, b"a\0b", b"x" * 63]
)
GOOD_NUMBERS = [b"0", b"1", b"7", b"10", b"99", b"100", b"+3", b"007"]
ODD_NUMBERS = [
    b"-1", b"-0", b"-7", b"x", b"5x", b"5\tx", b"\t5", b"1.5", b"0x10", b"+", b"-", b"\xb2", b"9\0",
    b"2147483647", b"2147483648", b"-2147483648", b"-2147483649", b"4294967295", b"4294967296", b"4294967303",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809",
    b"18446744073709551615", b"18446744073709551616", b"-18446744073709551615", b"99999999999999999999999",
]  # fmt: skip
NUMBERS = st.one_of(st.sampled_from(GOOD_NUMBERS), st.sampled_from(ODD_NUMBERS))
# No time that passes while the test runs, nor one that is near: 100 s, a month, a month and a second, 2033.
TIMES = st.sampled_from(
    [b"0", b"0", b"0", b"100", b"2592000", b"2592001", b"-1", b"-100", b"2000000000", b"x", b"4294967295"]
)
LENGTHS = st.sampled_from(
    [b"0", b"1", b"2", b"5", b"9", b"20", b"-1", b"x", b"4294967297", b"+4", b"5\t", b"99999999999999999999"]
)
ANY_VALUES = st.one_of(
    st.sampled_from([b"", b"0", b"1", b"9", b"10", b"42 ", b" 42", b"-1", b"-0", b"+5", b"99x", b"12 34"]),
    st.sampled_from([b"18446744073709551615", b"18446744073709551616", b"0000000000000000000000009", b"a\r\nb", b"\0"]),
    st.binary(max_size=40),
    st.integers(0, 12000).map(lambda n: b"v" * n),
)
# memcached looks for a number in a blank value beyond its end, in whatever lay there before.
VALUES = ANY_VALUES.filter(lambda value: value == b"" or value.strip() != b"")
SPACE = st.sampled_from([b" ", b" ", b" ", b" ", b"  "])
NOREPLY = st.sampled_from([b"", b"", b"", b"", b" noreply", b" foo", b" noreply ", b" foo noreply"])
END = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b" \r\n", b"\r\r\n"])


@st.composite
def storage(draw: st.DrawFn) -> bytes:
    """A storage command that says its value's length truly."""
    value = draw(VALUES)
    verb = draw(st.sampled_from([b"set", b"set", b"set", b"add", b"replace", b"append", b"prepend"]))
    space = draw(SPACE)
    words = [verb, draw(KEYS), draw(NUMBERS), draw(TIMES), b"%d" % len(value)]
    return space.join(words) + draw(NOREPLY) + b"\r\n" + value + b"\r\n"


@st.composite
def wrong_storage(draw: st.DrawFn) -> bytes:
    """A storage command whose length is not its value's, or no length."""
    verb = draw(st.sampled_from([b"set", b"add", b"append", b"cas"]))
    words = [verb, draw(KEYS), draw(NUMBERS), draw(TIMES), draw(LENGTHS)]
    if verb == b"cas":
        words.append(draw(NUMBERS))
    return b" ".join(words) + draw(NOREPLY) + draw(END) + draw(st.binary(max_size=12)) + b"\r\n" + TAIL


@st.composite
def retrieval(draw: st.DrawFn) -> bytes:
    verb = draw(st.sampled_from([b"get", b"get", b"gets", b"gat", b"gats", b"bget"]))
    words = [verb]
    if verb.startswith(b"gat"):
        words.append(draw(TIMES))
    words += draw(st.lists(KEYS, max_size=30))
    return draw(SPACE).join(words) + draw(NOREPLY) + draw(END)


@st.composite
def one_key(draw: st.DrawFn) -> bytes:
    verb = draw(st.sampled_from([b"incr", b"decr", b"touch", b"delete", b"delete"]))
    words = [verb, draw(KEYS)]
    if verb in (b"incr", b"decr"):
        words.append(draw(NUMBERS))
    elif verb == b"touch" or draw(st.booleans()):
        words.append(draw(TIMES))
    return draw(SPACE).join(words) + draw(NOREPLY) + draw(END)


@st.composite
def counting(draw: st.DrawFn) -> bytes:
    """A number stored, then changed: the forms it takes in between are what is looked at."""
    value = draw(VALUES.filter(lambda value: len(value) <= 60))
    verb = draw(st.sampled_from([b"incr", b"decr"]))
    delta = draw(NUMBERS)
    return b"set n 3 0 %d\r\n%b\r\n%b n %b\r\ngets n\r\n" % (len(value), value, verb, delta)


@st.composite
def other(draw: st.DrawFn) -> bytes:
    verb = draw(
        st.sampled_from(
            [b"version", b"verbosity", b"flush_all", b"flush_all", b"shutdown", b"g", b"", b"VERSION", b"seT"]
        )
    )
    words = [verb, *draw(st.lists(st.one_of(NUMBERS, st.just(b"noreply")), max_size=3))]
    if verb == b"flush_all":  # without a delay: in memcached a delayed one brings back what was flushed before
        at_once = st.sampled_from([b"0", b"-1", b"x", b"-2147483648", b"99999999999999999999"])
        words = [
            verb,
            *draw(st.lists(at_once, max_size=1)),
            *draw(st.lists(st.sampled_from([b"noreply", b"foo"]), max_size=2)),
        ]
    return b" ".join(words) + draw(END)


@st.composite
def nonsense(draw: st.DrawFn) -> bytes:
    """Any words; but no value length that memcached would wait for, and no command that kvd leaves out."""
    text = draw(st.binary(max_size=60)) + draw(END)
    left_out = rb"(m[a-z]|stats|quit|watch|lru|lru_crawler|slabs|cache_memlimit|(set|add|cas|append|prepend|replace) )"
    return b"x" + text if re.search(rb"(^|\n) *" + left_out, text) else text


COMMANDS = st.one_of(
    storage(), storage(), retrieval(), retrieval(), one_key(), counting(), wrong_storage(), other(), nonsense()
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(datagrams=st.lists(st.lists(COMMANDS, min_size=1, max_size=4).map(b"".join), min_size=1, max_size=8))
def test_any_commands_are_answered_alike(pair: Pair, datagrams: list[bytes]) -> None:
    for datagram in [b"flush_all\r\n", *datagrams]:
        if datagram[0] == 0x80:
            datagram = b" " + datagram  # the binary protocol's magic number
        expected, answer = pair.ask(datagram)
        assert answer.payload == expected.payload, datagram
        total = len(answer.frames)
        assert [frame[:3] for frame in answer.frames] == [(i, total, 0) for i in range(total)]
        assert all(length == 1400 for *_, length in answer.frames[:-1])
        assert all(length <= 1400 for *_, length in answer.frames)
        event("answered" if answer.payload else "silent")


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    header=st.tuples(
        st.sampled_from([0, 1, 2, 255, 256, 257]), st.sampled_from([0, 1, 2, 256, 257]), st.integers(0, 65535)
    )
)
def test_frame_headers_are_judged_alike(servers: tuple[Client, Client], header: tuple[int, int, int]) -> None:
    memcached, kvd = servers
    sequence, total, reserved = header
    datagram = b"".join(n.to_bytes(2, "big") for n in (77, sequence, total, reserved)) + b"version 1\r\n"
    assert kvd.ask_raw(datagram, 77) == memcached.ask_raw(datagram, 77)


@pytest.mark.parametrize("length", range(9))
def test_short_datagrams_are_dropped_alike(servers: tuple[Client, Client], length: int) -> None:
    memcached, kvd = servers
    datagram = b"\0\x4d\0\0\0\1\0\0\n"[:length]
    assert kvd.ask_raw(datagram, 77) == memcached.ask_raw(datagram, 77)


def test_cas_with_the_number_given(servers: tuple[Client, Client]) -> None:
    for client in servers:
        client.ask(b"set a 1 0 1\r\nA\r\n")
        shown = re.fullmatch(rb"VALUE a 1 1 (\d+)\r\nA\r\nEND\r\n", client.ask(b"gets a\r\n").payload)
        assert shown
        number = int(shown[1])
        assert client.ask(b"cas a 2 0 1 %d\r\nB\r\n" % (number + 1)).payload == b"EXISTS\r\n"
        assert client.ask(b"cas a 2 0 1 %d\r\nB\r\n" % number).payload == b"STORED\r\n"
        assert client.ask(b"cas a 3 0 1 %d\r\nC\r\n" % number).payload == b"EXISTS\r\n"
        assert client.ask(b"get a\r\n").payload == b"VALUE a 2 1\r\nB\r\nEND\r\n"
        assert client.ask(b"cas nosuch 3 0 1 %d\r\nC\r\n" % number).payload == b"NOT_FOUND\r\n"


@pytest.mark.parametrize("size", [1300, 1373, 1374, 1375, 1391, 1392, 1393, 2784, 2785, 20000, 65000])
def test_large_values_come_in_as_many_datagrams(servers: tuple[Client, Client], size: int) -> None:
    """A single value's datagrams are framed byte for byte as memcached frames them."""
    value = bytes(i * 31 & 0xFF for i in range(size))
    answers = []
    for client in servers:
        assert client.ask(b"set big 0 0 %d\r\n%b\r\n" % (size, value)).payload == b"STORED\r\n"
        answers.append(client.ask(b"get big\r\n"))
    assert answers[0] == answers[1]
    assert answers[1].payload == b"VALUE big 0 %d\r\n%b\r\nEND\r\n" % (size, value)


def test_a_value_shown_is_the_one_that_was_there(pair: Pair) -> None:
    """An answer is laid down after the whole datagram was served: what later commands in it change must not show."""
    for change in (b"incr n 1", b"append n 0 0 1\r\n5", b"set n 0 0 2\r\n99", b"delete n", b"touch n -1", b"flush_all"):
        datagram = b"set n 7 0 2\r\n10\r\ngets n\r\n%b\r\ngets n\r\n" % change
        expected, answer = pair.ask(datagram)
        assert answer.payload == expected.payload
        assert answer.payload.startswith(b"STORED\r\nVALUE n 7 2 ")
        assert b"\r\n10\r\nEND\r\n" in answer.payload
