# SPDX-License-Identifier: GPL-2.0-or-later
"""Distributed shared memory between processes of this host: histories that a referee judges, bad networks, nodes that die."""

import itertools
import os
import random
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.history_referee import Operation, Referee, Wrong
from tests.relay import Faults, Relay, free_port, relay

BAD = Faults(lost=0.03, doubled=0.05, late=0.1, forged=0.05)


class Node:
    """A process whose lines are kept as they come, in one list with those of the others."""

    def __init__(self, number: int, command: list[str], said: list[tuple[int, str]], changed: threading.Condition) -> None:
        self.number, self.said, self.changed, self.ended = number, said, changed, False
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self.changed:
                    self.said.append((self.number, line.rstrip()))
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.thread.join()


class Nodes:
    """Node 0 is home to all pages."""

    def __init__(self, images: Path, stack: ExitStack, count: int, faults: Faults | None = None, lease_ms: int = 5000) -> None:
        self.program, self.stack, self.count, self.lease_ms = images / "hosted_test_dsm", stack, count, lease_ms
        self.ports = [free_port() for _ in range(count)]
        self.between: dict[tuple[int, int], Relay] = {}
        self.said: list[tuple[int, str]] = []
        self.changed = threading.Condition()
        for number, (a, b) in enumerate(itertools.combinations(range(count), 2)):
            if faults is not None:
                self.between[a, b] = stack.enter_context(relay(faults, number, (self.ports[a], self.ports[b])))

    def start(self, own: int, what: str, operations: int = 0, *, seed: int = 1, cpus: int = 1, life: int = 1) -> Node:
        addresses = []
        for other in range(self.count):
            a, b = min(own, other), max(own, other)
            there = self.between.get((a, b))
            addresses.append(f"127.0.0.1:{there.ports[0 if own == a else 1] if there else self.ports[other]}")
        words = [str(own), str(life), str(self.lease_ms), what, str(seed), str(operations)]
        command = [str(self.program), f"cpus={cpus}", "memory=64", "--", "dsm", *words, *addresses]
        node = Node(own, command, self.said, self.changed)
        self.stack.callback(node.kill)
        return node

    def until(self, node: Node, words: str, since: int = 0) -> int:
        """The place of the node's first line that begins so, from place `since` on."""

        def found() -> int | None:
            places = range(since, len(self.said))
            return next((i for i in places if self.said[i][0] == node.number and self.said[i][1].startswith(words)), None)

        with self.changed:
            self.changed.wait_for(lambda: found() is not None or node.ended, timeout=60)
            place = found()
        assert place is not None, f"node {node.number} never said {words!r}: {self.said[-20:]}"
        return place


def one_cpu() -> bool:
    """Of this host, for this process."""
    return len(os.sched_getaffinity(0)) < 2


@pytest.mark.parametrize(
    ("seed", "nodes", "cpus", "faults", "operations"),
    [(1, 3, 1, None, 2000), (2, 4, 1, None, 500), (3, 3, 1, BAD, 100), (4, 3, 2, None, 500), (5, 2, 2, BAD, 100)],
)
def test_histories(images: Path, seed: int, nodes: int, cpus: int, faults: Faults | None, operations: int) -> None:
    """Nodes of one vCPU are sequentially consistent; the vCPUs of a node see each other's stores as x86 lets them."""
    if cpus == 2 and one_cpu():
        pytest.skip("this process may use one CPU only")
    with ExitStack() as stack:
        all_of_them = Nodes(images, stack, nodes, faults)
        started = [all_of_them.start(own, "history", operations, seed=seed, cpus=cpus) for own in range(nodes)]
        for node in started:
            all_of_them.until(node, "SUCCESS")
    lines = [line.split() for _, line in all_of_them.said]
    history = [Operation(int(w[0]), int(w[1]), w[2], int(w[3]), int(w[4]), int(w[5])) for w in lines if len(w) == 6]
    assert len(history) == operations * nodes * cpus
    Referee(history).check(tso=cpus > 1)


@pytest.mark.parametrize(("what", "nodes", "cpus", "rounds"), [("litmus", 4, 1, 60), ("locks", 3, 1, 40), ("locks", 2, 2, 20)])
def test_judges_of_their_own(images: Path, what: str, nodes: int, cpus: int, rounds: int) -> None:
    if cpus == 2 and one_cpu():
        pytest.skip("this process may use one CPU only")
    with ExitStack() as stack:
        all_of_them = Nodes(images, stack, nodes)
        started = [all_of_them.start(own, what, rounds, cpus=cpus) for own in range(nodes)]
        for node in started:
            all_of_them.until(node, "SUCCESS")


def test_a_writer_that_dies(images: Path) -> None:
    """What it was writing is lost, and said to be; what it was reading is not."""
    with ExitStack() as stack:
        nodes = Nodes(images, stack, 3, lease_ms=2000)
        home, writer = nodes.start(0, "wait_here"), nodes.start(1, "write", 1)
        nodes.until(writer, "looked")
        writer.kill()
        reader = nodes.start(2, "read", 1)
        for page, fate in [(1, "failed: it was being written on a node that died"), (2, "failed: it was"), (3, "is 0")]:
            nodes.until(reader, f"page {page} {fate}")
        nodes.until(home, "dsm: node 1 is dead: 2 pages that it was writing are lost, the first is page 1")


def test_a_writer_that_starts_anew(images: Path) -> None:
    """Its new life says that the old one is over: nobody waits for a lease."""
    with ExitStack() as stack:
        nodes = Nodes(images, stack, 2, lease_ms=60_000)
        nodes.start(0, "wait_here")
        writer = nodes.start(1, "write", 1)
        nodes.until(writer, "looked")
        writer.kill()
        again = nodes.start(1, "read", 1, life=2)
        nodes.until(again, "page 1 failed: it was being written on a node that died")
        nodes.until(again, "page 3 is 0")


def test_a_home_that_dies(images: Path) -> None:
    """What came from it goes when the lease ends, and its next life is not taken for it."""
    with ExitStack() as stack:
        nodes = Nodes(images, stack, 3, lease_ms=2000)
        home, reader = nodes.start(0, "wait_here"), nodes.start(1, "read", 100_000)
        nodes.until(reader, "page 3 is 0")
        home.kill()
        gone = nodes.until(reader, "dsm: node 0 is out of reach")
        failed = nodes.until(reader, "page 1 failed: its home does not answer or lives anew", gone)
        nodes.start(0, "wait_here", life=2)
        other = nodes.start(2, "read", 1)
        there = nodes.until(other, "page 3 is 0", failed)
        last = nodes.until(reader, "page 3 failed: its home does not answer or lives anew", there)
        nodes.until(reader, "page 3 failed", last + 6)
        assert not any(number == 1 and " is " in line for number, line in nodes.said[gone + 1 :])


def test_a_reader_that_is_cut_off(images: Path) -> None:
    """It has dropped its copies before others may write, and gets the new contents when it comes back."""
    with ExitStack() as stack:
        nodes = Nodes(images, stack, 3, Faults(), lease_ms=2000)
        nodes.start(0, "wait_here")
        reader = nodes.start(1, "read", 100_000)
        seen = nodes.until(reader, "page 1 is 0")
        nodes.between[0, 1].cut.set()
        writer = nodes.start(2, "write", 1)
        written = nodes.until(writer, "page 1 written", seen)
        gone = nodes.until(reader, "dsm: node 0 is out of reach: 0 pages")
        assert gone < written
        assert not any(number == 1 and line == "page 1 is 0" for number, line in nodes.said[gone:])
        nodes.between[0, 1].cut.clear()
        nodes.until(reader, "page 1 is 2001", written)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_node_killed_at_a_random_time(images: Path, seed: int) -> None:
    """Those that live come to their end; what was lost stays lost for each of them, and no word goes back."""
    chance = random.Random(seed)
    with ExitStack() as stack:
        nodes = Nodes(images, stack, 4, Faults(lost=0.01), lease_ms=2000)
        started = [nodes.start(own, "mortal", 300, seed=seed) for own in range(4)]
        victim = started[chance.randrange(1, 4)]
        last = 0
        for _ in range(chance.randrange(5, 60)):
            last = nodes.until(victim, f"{victim.number} ", last) + 1
        victim.kill()
        living = [node for node in started if node is not victim]
        for node in living:
            nodes.until(node, "SUCCESS")
    lost: set[tuple[int, int]] = set()
    seen: dict[tuple[int, int], int] = {}
    for number, line in nodes.said:
        words = line.split()
        if len(words) == 4 and words[2] == "lost":
            lost.add((number, int(words[3])))
        elif len(words) == 5:
            word, value = int(words[3]), int(words[4])
            assert (number, 1 + word % 3) not in lost, line
            assert value >= seen.get((number, word), 0), line
            seen[number, word] = value
    assert {number for number, _ in seen} >= {node.number for node in living}


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("outside", "panic: fault: shared memory at 200000005000 is not here, and an event outside a context cannot wait for it"),
        ("absent", "page 64 failed: its home has no such page"),
    ],
)
def test_what_cannot_be_had(images: Path, what: str, sentence: str) -> None:
    with ExitStack() as stack:
        nodes = Nodes(images, stack, 1)
        nodes.until(nodes.start(0, what), sentence)


# ---- the referee ----


def history(*threads: str) -> list[Operation]:
    """`w0=1` writes 1 into word 0, `r0=1` reads it, `x0=2/1` puts 2 there and finds 1."""
    found = []
    for thread, text in enumerate(threads):
        for number, word in enumerate(text.split()):
            where, _, values = word[1:].partition("=")
            value, _, old = values.partition("/")
            found.append(Operation(thread, number, word[0], int(where), int(value), int(old or 0)))
    return found


@pytest.mark.parametrize(
    ("threads", "sc", "tso"),
    [
        (("w0=1 r1=0", "w1=2 r0=0"), False, True),  # store buffering
        (("x0=1/0 r1=0", "x1=2/0 r0=0"), False, False),
        (("w0=1 r1=0", "w1=2 r0=1"), True, True),
        (("w0=1 w1=2", "r1=2 r0=0"), False, False),  # message passing
        (("w0=1", "w1=2", "r0=1 r1=0", "r1=2 r0=0"), False, False),  # independent reads of independent writes
        (("w0=1", "r0=1 r0=0"), False, False),  # coherence
        (("w0=1 w0=2", "r0=2 r0=1"), False, False),
        (("x0=1/0", "x0=2/0"), False, False),  # a lost update
        (("x0=1/0 x0=3/2", "x0=2/1 r0=3"), True, True),
        (("r0=7",), False, False),
        (("w0=1 r0=1 r1=0", "w1=2 r1=2 r0=0"), False, True),  # own stores are seen early
    ],
)
def test_the_referee(threads: tuple[str, ...], sc: bool, tso: bool) -> None:
    for weaker, expected in ((False, sc), (True, tso)):
        try:
            Referee(history(*threads)).check(tso=weaker)
            found = True
        except Wrong:
            found = False
        assert found == expected, f"tso={weaker}"
