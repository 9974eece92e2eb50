# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes and gpos, hosted on this host: joining, versions both ways, ids, proxies that Linux's own tools list and end."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cyclescope.cluster.operator import Command, question

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
        self.folder = Path(tempfile.mkdtemp(prefix="gpos"))
        self.operator_port, self.asked = free_port(), 0
        self.gpos = self.start_gpos(*words)

    def start_gpos(self, *words: str) -> Program:
        places = (f"log={self.folder}/log", f"config={self.folder}/config")
        return self._start("gpos", f"port={self.port}", f"operator_port={self.operator_port}", *places, *words)

    def log(self, name: str) -> str:
        path = self.folder / "log" / name
        return path.read_text() if path.exists() else ""

    def ask(self, text: str) -> Command:
        """As the operator does."""
        self.asked += 1
        command = Command(self.asked, text, 0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.connect(("127.0.0.1", self.operator_port))
            own.settimeout(0.5)
            for _ in range(40):
                own.send(question(command.number, text))
                try:
                    while not command.over:
                        command.take(own.recv(2048), 1)
                    return command
                except OSError:
                    time.sleep(0.05)  # nobody is there (yet)
        raise AssertionError(f"no answer to {text!r}: {[program.look() for program in self.programs]}")

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
        shutil.rmtree(made.folder)


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
        app.start_gpos("session=2")
        early.say("joined as node1")


def test_a_node_joins_again_when_gpos_has_started_anew(images: Path) -> None:
    with application(images, "beat_us=20000") as app:
        node = app.node(1)
        node.say("joined as node1")
        app.gpos.process.kill()
        app.gpos.process.wait()
        second = app.start_gpos("session=2")
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


def lines_of(log: str) -> list[str]:
    """What the node said, without gpos's notes and the times."""
    return [line.partition("] ")[2] for line in log.splitlines() if not line.startswith(("[gpos]", "[a new gpos"))]


def test_console_lines_are_in_the_nodes_log_in_order(images: Path) -> None:
    with application(images, "beat_us=500000") as app:
        node = app.node(1, "name=back1", arguments=("say", 200))
        node.say("line 199\n")
        wait_until(lambda: "line 199\n" in app.log("back1"))
        said = [line for line in lines_of(app.log("back1")) if line.startswith("line")]
        assert said == [f"line {i}" for i in range(200)]
        times = [float(line[1:].partition("]")[0]) for line in app.log("back1").splitlines()]
        assert times == sorted(times)
        assert "log_lost 0\n" in app.ask("stat back1").answer


def test_what_finds_no_room_is_counted_and_said(images: Path) -> None:
    """3,000 lines at once are more than 16 KiB: the first ones come, the gap is noted when something follows."""
    with application(images, "beat_us=500000") as app:
        node = app.node(1, arguments=("say", 3000))
        node.say("line 2999\n")
        wait_until(lambda: all_stored(app.ask("stat node1").answer))
        stat = numbers(app.ask("stat node1").answer)
        assert stat["log_lost"] > 0
        assert stat["log_stored"] + stat["log_lost"] == stat["log_lines"]
        assert app.ask("config set colour=red").done
        wait_until(lambda: "colour is red" in app.log("node1"))
        log = app.log("node1")
        assert f"[{stat['log_lost']} lines were lost on the node]\n" in log
        said = [line for line in lines_of(log) if line.startswith("line ")]
        assert said == [f"line {i}" for i in range(len(said))]


def test_lines_wait_while_gpos_cannot_write_them(images: Path) -> None:
    """Nothing is said to be stored that is not; once there is room, all of it is there."""
    with application(images, "beat_us=500000") as app:
        app.gpos.say("gpos: ready")
        (app.folder / "log").rename(app.folder / "away")
        app.node(1, arguments=("say", 20)).say("line 19\n")
        time.sleep(0.3)
        assert numbers(app.ask("stat node1").answer)["log_stored"] == 0
        (app.folder / "away").rename(app.folder / "log")
        wait_until(lambda: "line 19\n" in app.log("node1"))
        said = [line for line in lines_of(app.log("node1")) if line.startswith("line ")]
        assert said == [f"line {i}" for i in range(20)]
        wait_until(lambda: all_stored(app.ask("stat node1").answer))


def test_lines_wait_for_a_gpos_that_was_away(images: Path) -> None:
    """Stored once, whether acknowledged before or not; the node has its lines once, in order, in the two lives' one file."""
    with application(images, "beat_us=20000") as app:
        node = app.node(1, arguments=("say", 20))
        node.say("line 19\n")
        wait_until(lambda: "line 19\n" in app.log("node1"))
        app.gpos.process.kill()
        app.gpos.process.wait()
        app.start_gpos("session=2", "beat_us=20000", "set=colour:green")
        wait_until(lambda: "colour is green" in app.log("node1"))
        said = lines_of(app.log("node1"))
        assert [line for line in said if line.startswith("line ")] == [f"line {i}" for i in range(20)]
        assert said.count("colour is green") == 1


@pytest.mark.parametrize("old", ["node", "gpos"])
def test_an_old_log_works_with_a_new_one(images: Path, old: str) -> None:
    """Version 1 has no times, and no numbers by which lost lines would be known."""
    words = {"node": (), "gpos": (), old: ("speaks=log:1-1",)}
    with application(images, "beat_us=500000", *words["gpos"]) as app:
        app.node(1, *words["node"], arguments=("say", 3))
        wait_until(lambda: "line 2\n" in app.log("node1"))
        assert app.log("node1").endswith("line 0\nline 1\nline 2\n")
        assert "version.log 1\n" in app.ask("stat node1").answer


def test_configuration_is_read_changed_and_kept(images: Path) -> None:
    with application(images, "beat_us=20000", "set=colour:blue,size:7") as app:
        first = app.node(1)
        first.say("colour is blue")
        second = app.node(2, arguments=("set", "colour", "red"))
        second.say("stored")
        first.say("colour is red")
        assert app.ask("config").answer == "colour=red\nsize=7\n"
        assert app.ask("config get colour").answer == "colour=red\n"
        assert app.ask("config set colour=light blue").done
        first.say("colour is light blue")
        app.node(3, arguments=("set", "bad=key", "x")).say("set failed: 100")
        for bad in ("config set =x", "config set a b=c", "config set " + "k" * 64 + "=x", "config get none", "config put"):
            assert not app.ask(bad).done, bad
        app.gpos.process.kill()
        app.gpos.process.wait()
        with (app.folder / "config").open("a") as file:
            file.write("half a li")
        app.start_gpos("session=2", "set=colour:blue")
        assert app.ask("config get colour").answer == "colour=light blue\n"
        assert app.ask("config set size=8").done
        assert (app.folder / "config").read_text().endswith("half a li\nsize=8\n")


def test_the_operator_lists_and_ends_nodes(images: Path) -> None:
    with application(images, "beat_us=100000") as app:
        node = app.node(1, "name=back1")
        node.say("joined")
        listed = [line for line in app.ask("ps").answer.splitlines() if " node 1: test, 1 vCPUs" in line]
        assert len(listed) == 1
        pid, parent, state, name = listed[0].split()[:4]
        assert (int(pid), int(parent), name) == (app.proxies()["back1"], app.gpos.process.pid, "back1")
        assert state in "SR"
        assert app.ask("kill back9").answer == "there is no node back9"
        killed = app.ask("kill back1")
        assert (killed.done, killed.answer) == (True, f"back1, process {pid}, is ended\n")
        assert node.process.wait(PATIENCE_S) == 0
        wait_until(lambda: "[gpos] is told to stop" in app.log("back1"))
        assert "is told to stop" in app.ask("logs back1").answer
        for bad in ("logs ../config", "logs none", "stat none", "kill", "", "sudo ps", "ps " * 100):
            if bad:
                assert not app.ask(bad).done, bad


def all_stored(stat: str) -> bool:
    counts = numbers(stat)
    return counts["log_stored"] + counts["log_lost"] == counts["log_lines"]


def numbers(stat: str) -> dict[str, int]:
    pairs = [line.split(" ", 1) for line in stat.splitlines()]
    return {key: int(value) for key, value in pairs if value.isdigit()}


def wait_until(so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not so():
        assert time.monotonic() < end
        time.sleep(0.01)
