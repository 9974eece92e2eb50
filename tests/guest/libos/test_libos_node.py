# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes and gpos, hosted on this host: joining, versions both ways, ids, proxies that Linux's own tools list and end."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE_S = 30


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """A hosted program whose lines are waited for."""

    def __init__(self, *command: object) -> None:
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.text = ""

    def look(self) -> str:
        assert self.process.stdout is not None
        self.text += (self.process.stdout.read() or b"").decode()
        return self.text

    def say(self, pattern: str) -> "re.Match[str]":
        """The first line like this, which has come or comes."""
        end = time.monotonic() + PATIENCE_S
        while (found := re.search(pattern, self.look())) is None:
            assert time.monotonic() < end, f"no {pattern!r} in: {self.text}"
            time.sleep(0.005)
        return found


class Application:
    """One gpos and its nodes."""

    def __init__(self, images: Path, words: tuple[str, ...]) -> None:
        self.images, self.port, self.programs = images, free_port(), []
        self.gpos = self._start("gpos", f"port={self.port}", *words)

    def _start(self, *command: object) -> Program:
        self.programs.append(Program(self.images / str(command[0]), *command[1:]))
        return self.programs[-1]

    def node(self, number: int, *words: object, arguments: tuple[object, ...] = (), program: str = "hosted_test_node") -> Program:
        own = (f"node={number}", "gpos=127.0.0.1", f"gpos_port={self.port}", f"port={free_port()}", "cpus=1")
        return self._start(program, *own, *words, "--", "node", *arguments)

    def proxies(self) -> dict[str, int]:
        """gpos's children, as this host's ps lists them."""
        command = ["ps", "--ppid", str(self.gpos.process.pid), "-o", "comm=,pid="]
        said = subprocess.run(command, capture_output=True, text=True)
        return {line.split()[0]: int(line.split()[1]) for line in said.stdout.splitlines()}


@contextmanager
def application(images: Path, *words: str) -> Iterator[Application]:
    made = Application(images, words or ("beat_us=500000",))
    try:
        yield made
    finally:
        for program in made.programs:
            program.process.kill()
            program.process.wait()
            assert program.process.stdout is not None
            program.process.stdout.close()


def test_nodes_join_with_prefixes_of_their_own(images: Path) -> None:
    """An id published by one is found by another, which calls it by a local slot."""
    with application(images) as app:
        first = app.node(1, "name=back1", arguments=("publish", "tiles"))
        assert first.say(r"joined as back1, node 1, prefix (\d+), map (\d+)").groups() == ("2", "1")
        first.say("published")
        other = app.node(2, arguments=("attach", (2 << 20) + 1))
        other.say(r"joined as node2, node 2, prefix 3,")
        other.say(rf"attached id {(2 << 20) + 1} of node 1: tiles")
        app.node(3, arguments=("attach", 12345)).say("attach failed: 101")
        app.node(4, arguments=("greet", 2)).say("greeting answered")
        other.say("greeted by node 4: hello")
        app.node(5, arguments=("greet", 99)).say("greet failed: 101")


def test_a_node_waits_for_a_gpos_that_starts_later(images: Path) -> None:
    with application(images) as app:
        app.gpos.say("gpos: ready")
        app.gpos.process.kill()
        app.gpos.process.wait()
        early = app.node(1)
        early.say("node: ready")
        time.sleep(0.2)
        assert "joined" not in early.look()
        app._start("gpos", f"port={app.port}", "session=2")
        early.say("joined as node1")


def test_a_node_joins_again_when_gpos_has_started_anew(images: Path) -> None:
    with application(images, "beat_us=20000") as app:
        node = app.node(1)
        node.say("joined as node1")
        app.gpos.process.kill()
        app.gpos.process.wait()
        second = app._start("gpos", f"port={app.port}", "session=2")
        second.say("node1 has joined as node 1")


def test_library_oses_are_processes(images: Path) -> None:
    """This host's ps lists them and its kill ends them; a node that is killed ends its proxy; when gpos dies, proxies do."""
    with application(images, "beat_us=100000") as app:
        nodes = [app.node(number, f"name=back{number}") for number in (1, 2, 3)]
        for number in (1, 2, 3):
            app.gpos.say(rf"back{number} has joined as node {number}")
        proxies = app.proxies()
        assert sorted(proxies) == ["back1", "back2", "back3"]
        os.kill(proxies["back1"], signal.SIGTERM)
        nodes[0].say("node back1: stopped")
        assert nodes[0].process.wait(PATIENCE_S) == 0
        nodes[1].process.kill()
        app.gpos.say("back2 is silent: counted as dead")
        assert sorted(app.proxies()) == ["back3"]
        app.gpos.process.kill()
        app.gpos.process.wait()
        end = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{proxies['back3']}").exists():
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_name_is_had_once(images: Path) -> None:
    with application(images) as app:
        app.node(1, "name=same").say("joined as same")
        second = app.node(2, "name=same")
        second.say("not joined: there is a node same already; give each its own name=")
        assert second.process.wait(PATIENCE_S) == 3
        app.node(3, "name=a/b").say("not joined: a name has up to 23 letters, digits, - _ and .")


SENTENCE = (
    r"not joined: (gpos|the node) needs a common version of (\w+): "
    r"the node has (\d+) to (\d+), gpos (\d+) to (\d+); use images of one release"
)


@pytest.mark.parametrize("old", ["node", "gpos"])
def test_what_one_side_does_not_have_is_not_used(images: Path, old: str) -> None:
    """Without the map on one side, old or new, the two work together, and nothing of it is said to be there."""
    words = {"node": (), "gpos": (), old: ("speaks=map:0",)}
    with application(images, "beat_us=500000", *words["gpos"]) as app:
        app.node(1, *words["node"]).say(r"joined as node1, node 1, prefix 2, map 0")


@pytest.mark.parametrize("old", ["node", "gpos"])
def test_what_is_needed_is_refused_in_a_sentence(images: Path, old: str) -> None:
    words = {"node": (), "gpos": (), old: ("speaks=control:0",)}
    with application(images, "beat_us=500000", *words["gpos"]) as app:
        said = app.node(1, *words["node"]).say(SENTENCE).groups()
        assert said == (("gpos", "control", "0", "0", "1", "1") if old == "node" else ("the node", "control", "1", "1", "0", "0"))
        app.gpos.say("gpos: node 1 is refused: ")
