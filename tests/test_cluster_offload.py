# SPDX-License-Identifier: GPL-2.0-or-later
"""A general-purpose node beside library OSes in one World: they join it, and it is off no request's way."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.offload import OWN, costs, measure, picture
from cyclescope.cli import run_cli
from cyclescope.cluster.bed import ClusterBed
from cyclescope.cluster.check import check_cluster
from cyclescope.cluster.commands import Commands
from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.operator import CommandSpec
from cyclescope.cluster.profile import by_function
from cyclescope.cluster.result import ClusterRun
from cyclescope.cluster.spec import Cluster, ClusterLoad, KillSpec, LinkSpec, NodeSpec
from emu.errors import ConfigError, EmuBug, GuestError
from emu.ledger.accounts import Accounts
from emu.ledger.manifest import load_manifest
from emu.world import Reason, StopInfo, World
from personalities.base import get_personality

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "offload"
BACKS = tuple(NodeSpec(name=f"back{i}", personality="libos", role="back", vcpus=1, memory_mib=64) for i in (1, 2))
FRONT = NodeSpec(name="front", role="front", program="gpos", vcpus=2, memory_mib=64)
CLUSTER = Cluster(nodes=(FRONT, *BACKS), timing="functional", name="small")
LOAD = ClusterLoad(requests=200, warmup=0, keys=40, rate=150_000.0, timeout_us=3_000.0)




@pytest.fixture(scope="module")
def ran() -> ClusterRun:
    """A load, what the operator does meanwhile, and afterwards; back2 is ended while it serves."""
    timed = ((100, "ps"), (150, "config set colour=light red"), (400, "kill back2"))
    commands = [CommandSpec(command=text, at_us=at) for at, text in timed]
    commands += [CommandSpec(command=text) for text in ("ps", "stat back1", "logs back2", "config", "kill back2", "sing")]
    return run_cluster(msgspec.structs.replace(CLUSTER, load=LOAD, commands=tuple(commands))).run


def answers(run: ClusterRun) -> list[tuple[bool, str]]:
    return [(command.done, command.answer) for command in run.commands]


def listed(text: str) -> dict[str, list[str]]:
    """Names, and the words of their lines."""
    return {line.split()[3]: line.split() for line in text.splitlines()[1:]}


def test_library_oses_are_processes_of_the_front_end(ran: ClusterRun):
    processes = listed(answers(ran)[0][1])
    assert set(processes) == {"gpos", "kvd_router", "back1", "back2"}
    assert processes["back1"][4:9] == ["node", "1:", "kvd,", "1", "vCPUs,"]
    assert {processes[name][1] for name in ("kvd_router", "back1", "back2")} == {processes["gpos"][0]} == {"1"}


def test_ending_the_process_ends_the_node_and_nothing_else(ran: ClusterRun):
    done, text = answers(ran)[2]
    assert done
    assert text == f"back2, process {listed(answers(ran)[0][1])['back2'][0]}, is ended\n"
    assert set(ran.ended) == {"back2"}
    assert 400e6 < ran.ended["back2"] < 1000e6
    assert "back2" not in listed(answers(ran)[3][1])
    assert answers(ran)[7] == (False, "there is no node back2")
    late = ran.start_ps > ran.start_ps[0] + 700_000_000
    assert ran.parts_ps[late][:, ran.of_places({1})].any()
    assert not ran.parts_ps[late][:, ran.of_places({2})].any()
    assert 0 < ran.lost < ran.sent
    assert ran.answers.get("wrong", 0) == 0


def test_the_nodes_tell_the_front_end(ran: ClusterRun):
    stat = dict(line.split(" ", 1) for line in answers(ran)[4][1].splitlines())
    assert (stat["name"], stat["image"], stat["vcpus"], stat["version.log"]) == ("back1", "kvd", "1", "2")
    assert int(stat["events.0"]) > 30
    assert stat["log_lines"] == stat["log_stored"]
    first, *others = answers(ran)[5][1].splitlines()
    assert first.endswith("] kvd: ready")
    assert others == ["[gpos] is told to stop"]
    assert answers(ran)[6] == (True, "colour=light red\n")
    assert answers(ran)[8][0] is False


GPOS_APART = Cluster(
    nodes=(NodeSpec(name="gpos", program="gpos", vcpus=1, memory_mib=64), *BACKS),
    load=msgspec.structs.replace(LOAD, to=("back1", "back2")),
    timing="functional",
    name="apart",
)


@pytest.mark.parametrize("what", ["killed", "away"])
def test_the_data_path_goes_on_without_the_general_purpose_node(what: str):
    """It is dead, or silent for longer than nodes may be: no request is lost, and in the end they join again."""
    away = {"links": (LinkSpec(ends=("gpos", "switch"), down_us=((100.0, 60_000.0),)),)}
    gone = {"kills": (KillSpec(node="gpos", at_us=100.0),)} if what == "killed" else away
    commands = (CommandSpec(command="ps", at_us=200.0), CommandSpec(command="ps", at_us=400_000.0))
    run = run_cluster(msgspec.structs.replace(GPOS_APART, **gone, commands=commands)).run
    assert (run.lost, run.answers.get("wrong", 0)) == (0, 0)
    first, second = run.commands
    if what == "killed":
        assert (first.done, first.answer) == (second.done, second.answer) == (False, "gpos does not answer")
        return
    assert first.done
    assert first.answered_ps is not None
    assert first.answered_ps > 60_000e6  # asked again and again
    assert "back1" in second.answer
    assert "back2" in second.answer


def test_a_node_samples_itself_as_the_ledger_sees_it():
    """The guest's samples against the emulator's accounts: shares of busy components, as near as two hundred samples are.

    A vCPU that wakes up is found at its interrupt's first instruction, and is idle by the accounts: neither counts, nor does
    the sampling itself, which is not sampled.
    """
    back = NodeSpec(name="back", personality="libos", vcpus=2, memory_mib=64)
    gpos = NodeSpec(name="gpos", program="gpos", vcpus=1, memory_mib=64, words=("set=profile_us:5",))
    load = msgspec.structs.replace(LOAD, requests=3_000, rate=1_500_000.0, to=("back",))
    cluster = Cluster(nodes=(gpos, back), load=load, timing="fast", commands=(CommandSpec(command="profile back"),))
    run = run_cluster(cluster).run
    samples = by_function(cluster, back, run.commands[0].answer)
    manifest = load_manifest(get_personality("libos").manifest_path)
    by_component: Counter[str] = Counter()
    for function, count in samples.items():
        by_component[manifest.kernel.component(function)] += count
    assert by_component.total() > 250
    assert by_component["unknown"] == 0
    cycles = {name: sum(causes.values()) for name, causes in run.nodes[1].cycles.items()}
    for component in ("idle", "irq", "offload"):
        del cycles[component], by_component[component]
    for component in ("app", "driver", "udp", "ip", "copy"):
        sampled, truth = by_component[component] / by_component.total(), cycles.get(component, 0) / sum(cycles.values())
        assert abs(sampled - truth) < 0.12, (component, sampled, truth)


BUSYBOX = Path("/bin/busybox")
SCRIPT = (
    "echo x ready; sleep 1; B=/bin/busybox; $B ps -o pid,comm; echo; $B cat /log/back1; $B kill $($B pidof back1); sleep 1; "
    "$B ps -o pid,comm; echo; $B cat /log/back1; echo over"
)


@pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox, whose ps, cat, pidof and kill are the referee")
def test_an_unmodified_busybox_lists_and_ends_library_oses():
    said: list[bytes] = []
    front = msgspec.structs.replace(FRONT, runs=str(BUSYBOX), arguments=("sh", "-c", SCRIPT))
    with ClusterBed(msgspec.structs.replace(CLUSTER, nodes=(front, *BACKS))) as bed:
        bed.boot()
        bed.nodes[0].machine.console.sink = lambda data, time_ps: said.append(data)
        bed.run(bed.world.now_ps + 2_500 * 10**9)
        lines = b"".join(said).decode().replace("\r", "").splitlines()
        assert set(bed.ended) == {"back1"}
    lines = [line for line in lines if not line.startswith("gpos:")]
    assert lines[-1] == "over"
    first, log, second, more = (part.split("\n") for part in "\n".join(lines[:-1]).replace("PID", "\nPID").strip().split("\n\n"))
    assert {"gpos", "busybox", "back1", "back2"} <= {line.split()[1] for line in first[1:]}
    assert log[-1].endswith("] kvd: ready")
    assert "back1" not in {line.split()[1] for line in second[1:]}
    assert more == [*log, "[gpos] is told to stop"]


def test_verbs_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "small.toml"
    text = (EXAMPLES / "offload.toml").read_text().replace("requests = 1000", "requests = 20").replace("keys = 500", "keys = 20")
    path.write_text(text.replace("warmup = 200", "warmup = 0"))
    assert run_cli(["cluster", "stat", str(path), "back1", "--quiet"]) == 0
    assert "image kvd\n" in capsys.readouterr().out
    assert run_cli(["cluster", "kill", str(path), "back9", "--at-us", "10", "--quiet"]) == 1
    assert capsys.readouterr().err == "there is no node back9\n"
    assert run_cli(["cluster", "ps", str(EXAMPLES.parent / "clusters" / "symmetric.toml")]) == 2
    assert "nobody is there to ask" in capsys.readouterr().err


def test_what_asking_costs_is_measured():
    """At the functional level, where cycles are not the page's: that each operation comes, and both sides are busy for it."""
    operations = measure("functional")
    names = [each.name for each in operations]
    assert f"| {names[0]} |" in (EXAMPLES.parents[1] / "docs" / "offload.md").read_text()
    assert len(names) == 6
    for each in operations:
        asking, answering = sum(each.busy("back", OWN)), sum(each.busy("gpos", ("app",)))
        assert asking > 20
        assert (answering > 100) == (each.name != "a key read")
    assert picture(operations).count("<rect") > 10
    assert costs(operations).count("\n") == 7


def test_the_example_runs():
    cluster = read_cluster(EXAMPLES / "offload.toml")
    load = msgspec.structs.replace(cluster.load, requests=60, warmup=10, keys=30)
    run = run_cluster(msgspec.structs.replace(cluster, load=load, timing="functional")).run
    assert (run.sent, run.lost) == (60, 0)


def build(cluster: Cluster) -> None:
    check_cluster(cluster)
    ClusterBed(cluster).close()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"personality": "libos"}, "gpos runs on a general-purpose system"),
        ({"program": "kvd", "runs": "kvd_router"}, "only gpos starts another program"),
        ({"words": ("beat",)}, "is no word like key=value"),
        ({"runs": "none"}, "programs/none is not there"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, object], sentence: str):
    nodes = (msgspec.structs.replace(FRONT, **changes), *BACKS)
    cluster = msgspec.structs.replace(CLUSTER, nodes=nodes)
    with pytest.raises(ConfigError, match=sentence):
        build(cluster)


def test_there_is_one_gpos():
    cluster = msgspec.structs.replace(CLUSTER, nodes=(FRONT, msgspec.structs.replace(FRONT, name="other"), *BACKS))
    with pytest.raises(ConfigError, match="a cluster has one"):
        check_cluster(cluster)


def test_a_guest_that_breaks_down_while_gpos_is_asked_ends_the_run(monkeypatch: pytest.MonkeyPatch):
    """When the load is over, too: not as if nothing had been, and not never."""
    end, run = Commands.end, World.run

    def breaks_down(commands: Commands) -> None:
        broken = StopInfo(Reason.TRIPLE_FAULT, 0, machine=1, vcpu=0)
        monkeypatch.setattr(World, "run", lambda world, until_ps=None: broken)
        try:
            end(commands)
        finally:
            monkeypatch.setattr(World, "run", run)

    monkeypatch.setattr(Commands, "end", breaks_down)
    load = msgspec.structs.replace(LOAD, requests=20)
    with pytest.raises(GuestError, match=r"node back1: .*triple.* while gpos was asked"):
        run_cluster(msgspec.structs.replace(CLUSTER, load=load, commands=(CommandSpec(command="ps"),)))


def test_a_ledger_that_does_not_sum_to_the_vcpus_time_is_a_bug_of_ours(monkeypatch: pytest.MonkeyPatch):
    """Wherever accounts are taken; `follow`, `scale` and `faults` take them as `run` does."""
    between = Accounts.between

    def short(*snapshots: Any) -> Accounts:
        found = between(*snapshots)
        return replace(found, vcpu_cycles=(found.vcpu_cycles[0] + 1, *found.vcpu_cycles[1:]))

    monkeypatch.setattr(Accounts, "between", staticmethod(short))
    with pytest.raises(EmuBug, match="are not the vCPUs' time"):
        run_cluster(msgspec.structs.replace(CLUSTER, load=msgspec.structs.replace(LOAD, requests=20)))
