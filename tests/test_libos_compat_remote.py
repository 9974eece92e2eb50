# SPDX-License-Identifier: GPL-2.0-or-later
"""What the layer lacks and a general-purpose node has: an unmodified Linux program's files, log and place among processes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.follow import follow_cluster
from cyclescope.cluster.operator import CommandSpec
from cyclescope.cluster.spec import Cluster, ClusterLoad, NodeSpec

SOURCE = Path(__file__).parent / "guest" / "compat" / "files.c"


def test_files_are_the_general_purpose_nodes(tmp_path: Path) -> None:
    program = tmp_path / "files"
    command = ["cc", "-O1", "-march=x86-64", "-no-pie", "-static", "-pthread", "-o", str(program), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True)
    home = NodeSpec(name="home", program="gpos", words=("ninep_root=/tmp",), vcpus=1, memory_mib=128)
    library = NodeSpec(name="library", personality="libos", program=str(program), arguments=(), vcpus=2, memory_mib=256)
    cluster = Cluster(nodes=(home, library), timing="functional", name="files")
    found = follow_cluster(cluster, "library", "SUCCESS", "SUCCESS", 5_000.0)
    assert found.ended, [line for _, _, line in found.console]


def test_an_unmodified_program_is_a_process_there_and_its_lines_are_logged() -> None:
    front = NodeSpec(name="front", role="front", program="gpos", vcpus=2, memory_mib=64)
    words = ("-t", "1", "-p", "11211", "-m", "16")
    back = NodeSpec(name="back", personality="libos", role="back", program="linux_kvd", arguments=words, vcpus=1, memory_mib=128)
    load = ClusterLoad(requests=100, warmup=0, keys=40, rate=100_000.0)
    commands = (CommandSpec(command="ps"), CommandSpec(command="logs back"))
    run = run_cluster(Cluster(nodes=(front, back), timing="functional", name="unmodified", load=load, commands=commands)).run
    assert (run.lost, run.answers.get("wrong", 0)) == (0, 0)
    listed, logged = (command.answer for command in run.commands)
    assert " back " in listed
    assert "kvd," in listed
    assert "kvd: ready" in logged
