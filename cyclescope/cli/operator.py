# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope cluster ps|kill|logs|config|stat`: a cluster with its load, and its general-purpose node's answer to one question."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cyclescope.cli.options import Quiet
from cyclescope.cli.progress import shown
from cyclescope.cluster.check import check_cluster
from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.operator import CommandSpec
from cyclescope.cluster.profile import by_function
from cyclescope.experiments.machines import level_of
from emu.errors import ConfigError

File = Annotated[Path, typer.Argument(help="The cluster's TOML file.", metavar="FILE")]
Node = Annotated[str, typer.Argument(help="A node's name, or number.", metavar="NODE")]
AtUs = Annotated[
    float | None,
    typer.Option("--at-us", metavar="T", help="Ask so many microseconds after measuring began; by default when the load is over."),
]
Timing = Annotated[str, typer.Option("--timing", help="Timing level while measuring: detailed, fast or functional.")]


def add_verbs_to(app: typer.Typer) -> None:
    """The verbs, which end with status 1 when gpos refuses or does not answer."""

    @app.command("ps", help="Processes of the general-purpose node; library OSes that joined it are among them.")
    def ps(file: File, at_us: AtUs = None, timing: Timing = "functional", quiet: Quiet = False) -> None:
        """By /proc, as the guest has it."""
        _ask(file, "ps", at_us, timing, quiet)

    @app.command("kill", help="End a node's process, and thereby the node.")
    def kill(file: File, node: Node, at_us: AtUs = None, timing: Timing = "functional", quiet: Quiet = False) -> None:
        """By a signal to its proxy."""
        _ask(file, f"kill {node}", at_us, timing, quiet)

    @app.command("logs", help="The end of a node's log file, at most 32 KiB.")
    def logs(file: File, node: Node, at_us: AtUs = None, timing: Timing = "functional", quiet: Quiet = False) -> None:
        """Out of gpos's files."""
        _ask(file, f"logs {node}", at_us, timing, quiet)

    @app.command("stat", help="What a node counts, asked by gpos.")
    def stat(file: File, node: Node, at_us: AtUs = None, timing: Timing = "functional", quiet: Quiet = False) -> None:
        """Lines KEY VALUE."""
        _ask(file, f"stat {node}", at_us, timing, quiet)

    @app.command("profile", help="Where a libos node's vCPUs are while the load runs, sampled by themselves, by function.")
    def profile(
        file: File,
        node: Node,
        period_us: Annotated[int, typer.Option("--period-us", help="Between two samples of a vCPU, 5 to 1,000,000.")] = 20,
        timing: Timing = "functional",
        quiet: Quiet = False,
    ) -> None:
        """By the key profile_us; names are the image's."""
        _profile(file, node, period_us, timing, quiet)

    @app.command("config", help="The configuration: all of it, `get KEY`, or `set KEY=VALUE`.")
    def config(
        file: File,
        words: Annotated[
            list[str] | None, typer.Argument(help="Nothing, get KEY, or set KEY=VALUE.", metavar="[get|set ...]")
        ] = None,
        at_us: AtUs = None,
        timing: Timing = "functional",
        quiet: Quiet = False,
    ) -> None:
        """Read or changed while the application runs."""
        _ask(file, " ".join(["config", *(words or [])]), at_us, timing, quiet)


def _profile(file: Path, name: str, period_us: int, timing: str, quiet: bool) -> None:
    if not 5 <= period_us <= 1_000_000:
        raise ConfigError(f"--period-us is {period_us}: give 5 to 1000000")
    cluster = read_cluster(file)
    node = next((each for each in cluster.nodes if each.name == name), None)
    if node is None or node.personality != "libos":
        there = ", ".join(each.name for each in cluster.nodes if each.personality == "libos")
        raise ConfigError(f"{file}: {name} is no libos node; there are: {there}")
    begin = CommandSpec(command=f"config set profile_us={period_us}", at_us=0)
    answer = _answer(file, f"profile {name}", None, timing, quiet, begin)
    samples = by_function(cluster, node, answer)
    for function, count in samples.most_common():
        print(f"{100 * count / samples.total():5.1f} % {count:6,}  {function}")


def _ask(file: Path, command: str, at_us: float | None, timing: str, quiet: bool) -> None:
    print(_answer(file, command, at_us, timing, quiet).rstrip("\n"))


def _answer(file: Path, command: str, at_us: float | None, timing: str, quiet: bool, *before: CommandSpec) -> str:
    """What gpos says; where it refuses, that is the run's end, with status 1."""
    cluster = read_cluster(file)
    commands = (*cluster.commands, *before, CommandSpec(command=command, at_us=at_us))
    cluster = msgspec.structs.replace(cluster, commands=commands, timing=timing)
    level_of(timing)
    check_cluster(cluster)
    with shown(quiet) as progress:
        run = run_cluster(cluster, progress=progress).run
    asked = [each for each in run.commands if each.command == command][-1]
    if not asked.done:
        print(asked.answer.rstrip("\n"), file=sys.stderr)
        raise typer.Exit(1)
    return asked.answer
