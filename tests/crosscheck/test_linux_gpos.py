# SPDX-License-Identifier: GPL-2.0-or-later
"""An unmodified Linux as the general-purpose node: the same binary, and Linux's own processes, signals and files."""

from __future__ import annotations

import pytest

from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.operator import CommandSpec
from cyclescope.cluster.spec import Cluster, ClusterLoad, NodeSpec
from tests.crosscheck.linux import needs_linux

pytestmark = [pytest.mark.crosscheck, *needs_linux()]

BACKS = tuple(NodeSpec(name=f"back{i}", personality="libos", role="back", vcpus=1, memory_mib=64) for i in (1, 2))
LOAD = ClusterLoad(requests=40, warmup=0, keys=20, rate=100_000.0, to=("back1", "back2"))


def test_library_oses_are_processes_of_an_unmodified_linux():
    timed = ((400e3, "ps"), (410e3, "config set colour=red"), (420e3, "stat back1"), (430e3, "kill back2"))
    commands = [CommandSpec(command=text, at_us=at) for at, text in timed]
    commands += [CommandSpec(command=text) for text in ("ps", "logs back1", "config get colour")]
    gpos = NodeSpec(name="gpos", personality="linux", program="gpos", vcpus=1)
    run = run_cluster(Cluster(nodes=(gpos, *BACKS), load=LOAD, commands=tuple(commands), timing="functional")).run
    ps, _, stat, kill, after, logs, config = run.commands
    lines = {line.split()[3]: line for line in ps.answer.splitlines()[1:]}
    assert {"init", "kthreadd", "gpos", "back1", "back2"} <= set(lines)
    assert {lines[name].split()[1] for name in ("back1", "back2")} == {lines["gpos"].split()[0]}
    assert "  node 1: kvd, 1 vCPUs, " in lines["back1"]
    assert "image kvd\n" in stat.answer
    assert kill.answer == f"back2, process {lines['back2'].split()[0]}, is ended\n"
    assert set(run.ended) == {"back2"}
    assert " back2" not in after.answer
    assert logs.answer.endswith("] kvd: ready\n")
    assert config.answer == "colour=red\n"
    assert run.lost == 0
