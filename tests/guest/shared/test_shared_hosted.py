# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared objects on this host: one suite for every integration, on three processes, with a relay between each two of them."""

import itertools
import re
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.relay import Faults, Relay, free_port, relay

INTEGRATIONS = ["messages", "ninep", "memory"]
HOME, LEADER, HELPER = 0, 1, 2


class Nodes:
    """Processes and what lies between them."""

    def __init__(self, images: Path, root: Path, stack: ExitStack, integration: str, faults: Faults, seed: int) -> None:
        self.program, self.stack, self.integration = images / "hosted_test_shared", stack, integration
        self.root = root  # of the home's files, where an integration has such
        self.ports = [free_port() for _ in range(3)]
        self.between: dict[tuple[int, int], Relay] = {}
        for number, (a, b) in enumerate(itertools.combinations(range(3), 2)):
            self.between[a, b] = stack.enter_context(relay(faults, seed + number, (self.ports[a], self.ports[b])))

    def start(self, own: int, what: str = "all", session: int = 1, cpus: int = 1) -> "subprocess.Popen[str]":
        """Returns when it has said that it is ready, but for the leader."""
        addresses = []
        for other in range(3):
            a, b = min(own, other), max(own, other)
            port = self.ports[own] if own == other else self.between[a, b].ports[0 if own == a else 1]
            addresses.append(f"127.0.0.1:{port}")
        command = [
            self.program,
            f"cpus={cpus}",
            "memory=64",
            f"integration={self.integration}",
            f"ninep_root={self.root}",
        ]
        process = subprocess.Popen(
            [*command, "--", "shared", str(own), str(session), what, *addresses], stdout=subprocess.PIPE, text=True
        )
        self.stack.callback(ended, process)
        if own != LEADER:
            until(process, "ready")
        return process


def ended(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def until(process: "subprocess.Popen[str]", words: str) -> None:
    """Its output is read on to a line that ends so."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.rstrip().endswith(words):
            return
    raise AssertionError(f"it never said {words!r}, but {said}")


@pytest.mark.parametrize("integration", INTEGRATIONS)
@pytest.mark.parametrize(
    ("faults", "cpus"),
    [(Faults(), 1), (Faults(), 2), (Faults(lost=0.03, doubled=0.05, late=0.1, forged=0.1), 1)],
)
def test_the_suite(images: Path, tmp_path: Path, integration: str, faults: Faults, cpus: int) -> None:
    with ExitStack() as stack:
        nodes = Nodes(images, tmp_path, stack, integration, faults, 1)
        home, helper, leader = (nodes.start(own, cpus=cpus) for own in (HOME, HELPER, LEADER))
        said, _ = leader.communicate(timeout=120)
        assert said.splitlines() == [
            "leader: ready",
            "table: 68 operations",
            "random: 150 operations",
            "at once: 3 times 24 operations",
            "seen: 40 rounds",
            "race: 60 writes each",
            "SUCCESS",
        ]
        assert (leader.returncode, helper.wait(60), home.wait(60)) == (0, 0, 0)


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_a_home_that_dies_and_lives_anew(images: Path, tmp_path: Path, integration: str) -> None:
    with ExitStack() as stack:
        nodes = Nodes(images, tmp_path, stack, integration, Faults(lost=0.01), 4)
        home = nodes.start(HOME)
        leader = nodes.start(LEADER, "death")
        until(leader, "under way")
        home.kill()
        until(leader, "failed: 6 of 6")
        time.sleep(0.2)
        nodes.start(HOME, session=2)
        said, _ = leader.communicate(timeout=60)
        assert said.splitlines()[-1] == "SUCCESS", said
        assert leader.returncode == 0


@pytest.mark.parametrize(
    ("what", "least"), [("replies", 10_000), ("ninep", 5_000), ("questions", 1_000), ("frames", 5_000)]
)
def test_100000_cases_of_nonsense(images: Path, tmp_path: Path, what: str, least: int) -> None:
    """Of a home's answers, of a 9P server's, of questions to a home, of frames to its 9P server: many of them nearly right.

    Every operation ends, nothing outside its buffer or of another object is written, no memory is lost; and enough made sense to
    get past the first check.
    """
    command = [images / "hosted_test_shared_fuzz", "cpus=1", "memory=64", f"ninep_root={tmp_path}"]
    done = subprocess.run(
        [*command, "--", "fuzz", what, "100000", str(free_port())], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.rstrip().endswith("SUCCESS"), done.stdout
    pattern = r"(\d+) of them made sense" if what in ("questions", "frames") else r"fulfilled (\d+) "
    found = re.search(pattern, done.stdout)
    assert found, done.stdout
    assert int(found[1]) >= least
