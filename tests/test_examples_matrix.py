# SPDX-License-Identifier: GPL-2.0-or-later
"""The million by million example in a cluster of emulated machines: its figures, and a tile's machine that dies at any point."""

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.follow import Followed, follow_cluster
from cyclescope.cluster.spec import Cluster, KillSpec
from emu.errors import ConfigError

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "matrix" / "million.toml"


AFTERWARDS = ("fill:1:1", "set:1:0:0:7", "sum:1")


def cluster(*lines: str, kills: tuple[KillSpec, ...] = (), words: tuple[str, ...] = ()) -> Cluster:
    """The example with other lines for the front end, or with its own; at the functional level."""
    example = read_cluster(EXAMPLE)
    front = example.nodes[0]
    arguments = front.arguments or ()
    if lines:
        arguments = (*words, *arguments[: arguments.index("-c") + 1], *lines)
    front = msgspec.structs.replace(front, arguments=arguments)
    return msgspec.structs.replace(example, nodes=(front,), kills=kills, timing="functional")


def follow(followed: Cluster, limit_ms: float = 3_000) -> Followed:
    return follow_cluster(followed, "front", "matrix: ", "hosted_matrix ended", limit_ms)


@dataclass(frozen=True)
class Said:
    """Answers, and steps' figures by name."""

    answers: list[str]
    steps: list[dict[str, int]]


def said(followed: Followed) -> Said:
    answers = [line for _, _, line in followed.console if line == "ok" or line.startswith(("ok ", "error "))]
    steps = [{name: int(value) for name, value in re.findall(r"(\w+) (\d+)(?:,|$)", step.line)} for step in followed.steps]
    return Said(answers, steps)


def test_the_example() -> None:
    """A touched tile powers a machine on, and one that is there is answered by; whatever is untouched costs no message."""
    followed = follow(cluster())
    assert followed.ended
    found = said(followed)
    assert found.answers[:-1] == ["ok 1", "ok", "ok 1", "ok 0", "ok 1", "ok", "ok 3.5"]
    assert "placed 2 nodes 2 lost 0 blocks 2 resident 16544 dense 8000000000000" in found.answers[-1]
    assert [step["provisioned"] for step in found.steps] == [1, 0, 0, 0, 1, 0]
    assert [step["messages"] for step in found.steps] == [2, 2, 0, 2, 6, 4]
    assert [step.machines for step in followed.steps] == [2, 2, 2, 2, 3, 3]
    for step, powered in zip(followed.steps, (True, False, False, False, True, False), strict=True):
        assert (step.end_ps - step.start_ps > 9_000_000_000) == powered  # its firmware alone takes 8 ms
    assert set(followed.steps[-1].cycles) == {"front", "tiles-1", "tiles-2"}
    assert set(followed.steps[2].cycles) == {"front", "tiles-1"}  # it beats


def test_a_tile_machine_that_dies() -> None:
    """While it boots, or under a question: that operation fails in a sentence, nothing hangs, and filling starts anew."""
    lines = ("create:1000:1000", "set:1:0:0:1", "set:1:999:999:2", "sum:1", "get:1:999:999", "get:1:0:0", *AFTERWARDS)
    whole = follow(cluster(*lines))
    assert said(whole).answers == ["ok 1", "ok", "ok", "ok 3", "ok 2", "ok 1", "ok", "ok", "ok 1000006"]
    summing = (whole.steps[2].start_ps - whole.steps[0].start_ps) / 1e6
    for at_us, expected in (
        (5_000, ["error node 1 was powered on, and does not say that it is up", "ok", "ok 2", "ok 2", "ok 0"]),
        (summing + 1, ["ok", "ok", "error node 1 does not answer", "ok 2", "error node 1 is lost"]),
    ):
        killed = cluster(*lines, kills=(KillSpec(node="tiles-1", at_us=at_us),), words=("patience_ms=200",))
        followed = follow(killed, 10_000)
        assert followed.ended, followed.console
        answers = said(followed).answers[1:]
        expected += ["ok", "ok", "ok 1000006"]
        assert all(answer.startswith(begin) for answer, begin in zip(answers, expected, strict=True)), answers


def test_what_cannot_be_followed() -> None:
    with pytest.raises(ConfigError, match="there is no node 'back'; there are: front"):
        follow_cluster(cluster(), "back", "", "", 1)
    front = msgspec.structs.replace(cluster().nodes[0], ready="asleep")
    unfit = msgspec.structs.replace(cluster(), nodes=(front,))
    with pytest.raises(ConfigError, match="files and ready are for linux without knobs, not linux_like"):
        follow(unfit)
