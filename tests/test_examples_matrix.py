# SPDX-License-Identifier: GPL-2.0-or-later
"""The million by million example in a cluster of emulated machines: its figures, and a tile's machine that dies at any point."""

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cyclescope.cli import run_cli
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.follow import Followed, follow_cluster
from cyclescope.cluster.spec import Cluster, KillSpec
from emu.errors import ConfigError

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "matrix" / "million.toml"


STEPS = "create set get get sum set sum row randomize get sum create randomize sum sum multiply drop drop"
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
    return follow_cluster(followed, "front", "# ", "hosted_matrix ended", limit_ms)


def answers_of(followed: Followed) -> list[str]:
    return [line for _, _, line in followed.console if line == "ok" or line.startswith(("ok ", "error "))]


def figures_of(followed: Followed, name: str) -> list[int]:
    """One of an operation's figures, of all in turn."""
    lines = [line for _, _, line in followed.console if re.match(r"matrix: \w+ (done|failed): ", line)]
    return [int(re.findall(rf"\b{name} (\d+)", line)[0]) for line in lines]


def test_the_example() -> None:
    """A touched tile powers a machine on, and one that is there is answered by; whatever is untouched costs no message."""
    followed = follow(cluster())
    assert followed.ended
    answers = answers_of(followed)
    assert answers[:7] == ["ok 1", "ok", "ok 1", "ok 0", "ok 1", "ok", "ok 3.5"]
    assert "placed 2 nodes 2 lost 0 blocks 2 resident 16544 dense 8000000000000" in answers[7]
    assert answers[8] == "ok " + " ".join("1" if column == 7 else "0" for column in range(100))
    row = np.random.Generator(np.random.Philox(key=2026, counter=5 << 64)).random(8)
    assert (answers[9], float(answers[10].split()[1])) == ("ok", row[7])
    assert answers[11].startswith("error to add it up, up to 1000000000000 random elements must be made, on up to 100 nodes")
    values = np.stack([np.random.Generator(np.random.Philox(key=1, counter=i << 64)).random(64) for i in range(64)])
    assert answers[12:14] == ["ok 2", "ok"]
    assert answers[14] == answers[15]
    assert abs(float(answers[14].split()[1]) - values.sum()) <= 1e-9
    assert answers[16:] == ["ok 3", "ok 1:1 2:1 3:1 4:1", "ok", "ok"]
    assert figures_of(followed, "freed")[-2:] == [0, 2]  # machines that keep nothing of the first matrix
    assert [step.line for step in followed.steps] == STEPS.split()
    assert figures_of(followed, "provisioned") == [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]
    assert figures_of(followed, "messages") == [0, 2, 2, 0, 2, 6, 4, 2, 4, 2, 0, 0, 0, 28, 8, 8, 8, 8]
    assert [step.machines for step in followed.steps] == [1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 5, 3]
    for step, powered in zip(followed.steps, figures_of(followed, "provisioned"), strict=True):
        assert (step.end_ps - step.start_ps > 9_000_000_000) == (powered > 0)  # its firmware alone takes 8 ms
    assert set(followed.steps[-1].cycles) == {"front", "tiles-1", "tiles-2", "tiles-3", "tiles-4"}  # up to their ends


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table, a picture and a document; a run without its end is exit code 1, and nonsense is refused."""
    short = tmp_path / "short.toml"
    text = EXAMPLE.read_text()
    begin = text.index('"create:')
    short.write_text(text[:begin] + '"create:64:64", "set:1:0:0:1", "sum:1",' + text[text.index("]", begin) :])
    picture, document = tmp_path / "steps.svg", tmp_path / "steps.json"
    words = ["cluster", "follow", str(short), "--timing", "functional", "--quiet", "--console"]
    assert run_cli([*words, "--svg", str(picture), "--json", str(document)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"  2 +10,\d{3}\.\d us  2 machines  set\n +front +[\d,]+  \w+ [\d,]+, .*\n +tiles +[\d,]+  ", said), said
    assert "front: ok 1\n" in said
    found = json.loads(document.read_text())
    assert [step["line"] for step in found["steps"]] == ["create", "set", "sum"]
    assert found["roles"] == {"front": "front", "tiles-1": "tiles"}
    assert picture.read_text().count("cycles</text>") == 5
    assert run_cli([*words, "--limit-ms", "1"]) == 1
    assert "The line that ends the run did not come." in capsys.readouterr().out
    assert run_cli([*words, "--limit-ms", "0"]) == 2
    assert run_cli([*words, "--node", "nobody"]) == 2
    assert "there is no node 'nobody'; there are: front" in capsys.readouterr().err


def test_a_tile_machine_that_dies() -> None:
    """While it boots, or under a question: that operation fails in a sentence, nothing hangs, and filling starts anew."""
    lines = ("create:1000:1000", "set:1:0:0:1", "set:1:999:999:2", "sum:1", "get:1:999:999", "get:1:0:0", *AFTERWARDS)
    whole = follow(cluster(*lines))
    assert answers_of(whole) == ["ok 1", "ok", "ok", "ok 3", "ok 2", "ok 1", "ok", "ok", "ok 1000006"]
    summing = (whole.steps[3].start_ps - whole.steps[0].start_ps) / 1e6
    for at_us, expected in (
        (5_000, ["error no node for another tile: the machine was powered on, and does not", "ok", "ok 2", "ok 2", "ok 0"]),
        (summing + 1, ["ok", "ok", "error node 1 does not answer", "ok 2", "error node 1 is lost"]),
    ):
        killed = cluster(*lines, kills=(KillSpec(node="tiles-1", at_us=at_us),), words=("patience_ms=200",))
        followed = follow(killed, 10_000)
        assert followed.ended, followed.console
        answers = answers_of(followed)[1:]
        expected += ["ok", "ok", "ok 1000006"]
        assert all(answer.startswith(begin) for answer, begin in zip(answers, expected, strict=True)), answers


def test_what_cannot_be_followed() -> None:
    with pytest.raises(ConfigError, match="there is no node 'back'; there are: front"):
        follow_cluster(cluster(), "back", "", "", 1)
    front = msgspec.structs.replace(cluster().nodes[0], ready="asleep")
    unfit = msgspec.structs.replace(cluster(), nodes=(front,))
    with pytest.raises(ConfigError, match="files and ready are for linux without knobs, not linux_like"):
        follow(unfit)
