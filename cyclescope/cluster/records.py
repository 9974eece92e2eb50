# SPDX-License-Identifier: GPL-2.0-or-later
"""What recorders (apps/recorder) were promised by gpos, held against what gpos has: log lines and keys of the configuration.

A recorder's console, which no network lies before, says what it logged and what it was told is stored. gpos's answers to the
operator say what it has. While gpos lives: its log of a node is a run of that node's console lines, in order, without a gap, and
no shorter than what was acknowledged; keys whose storing was acknowledged are there. What a node that lost its power had not yet
got there is lost, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from cyclescope.cluster.operator import Command, CommandSpec
from cyclescope.cluster.spec import Cluster

RECORDER = "recorder"
_STORED = re.compile(r"recorder: stored (\d+)")
_KEPT = re.compile(r"recorder: kept (\d+)")
_STAMP = re.compile(r"\[ *\d+\.\d{6}\] (.*)")


@dataclass
class Records:
    """Of all recorders, and the operator's keys. `lost`: lines that a node printed and gpos never got, by node."""

    logged: int = 0
    acknowledged: int = 0
    keys: int = 0
    lost: dict[str, int] = field(default_factory=dict)


def recorders(cluster: Cluster) -> list[str]:
    """Names of nodes that record."""
    return [node.name for node in cluster.nodes if node.program == RECORDER]


def commands(cluster: Cluster, times_us: Sequence[float]) -> tuple[CommandSpec, ...]:
    """The operator's: recorders begin, keys of its own at those times, and afterwards the logs and the configuration."""
    names = recorders(cluster)
    if not names:
        return ()
    sets = [CommandSpec(command="config set record=now", at_us=0.0)]
    sets += [CommandSpec(command=f"config set operator.{n}=value {n}", at_us=at) for n, at in enumerate(times_us)]
    return (*sets, *(CommandSpec(command=f"logs {name}") for name in names), CommandSpec(command="config"))


def judge(
    consoles: Mapping[str, str], asked: Sequence[Command], dead: Container[str], gpos_lives: bool
) -> tuple[Records, list[str]]:
    """What there is of records, and what is wrong with them. `consoles`: recorders' by name; `asked`: what became of `commands`.

    `dead`: nodes without power. Lines of the living that are not there yet are under way, and not lost.
    """
    found, wrong = Records(), []
    answers = {command.text: command for command in asked}
    silent = [command.text for command in asked if command.answered_ps is None]
    if gpos_lives and silent:
        return found, [f"gpos lives and did not answer: {', '.join(silent)}"]
    config = answers["config"].answer.splitlines() if answers["config"].done else []
    promised = [text.removeprefix("config set ") for text, command in answers.items() if "set operator." in text and command.done]
    for name, console in consoles.items():
        lines = console.replace("\r", "").split("\n")[:-1]  # the last may be half of one
        logs = answers[f"logs {name}"]
        logged = [match[1] for line in logs.answer.splitlines() if (match := _STAMP.fullmatch(line))] if logs.done else []
        stored = max((int(match[1]) for line in lines if (match := _STORED.fullmatch(line))), default=0)
        promised += [f"{name}.{match[1]}=value {match[1]} of {name}" for line in lines if (match := _KEPT.fullmatch(line))]
        said = lines[lines.index("recorder: ready") :] if "recorder: ready" in lines else []
        found.logged += len(logged)
        found.acknowledged += stored
        if name in dead or not gpos_lives:
            found.lost[name] = len(said) - len(logged)
        if not gpos_lives:
            continue
        if logged != said[: len(logged)]:
            at = next(n for n, (a, b) in enumerate(zip(logged, [*said, ""], strict=False)) if a != b)
            wrong.append(f"line {at + 1} of {name}'s log is {logged[at]!r}, and it printed {[*said, ''][at]!r}")
        if len(logged) < stored:
            wrong.append(f"{name} was told that {stored} lines are stored, and its log has {len(logged)}")
    found.keys = len(promised)
    wrong += [f"{key} was acknowledged, and is not in the configuration" for key in promised if gpos_lives and key not in config]
    return found, wrong
