# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate`: the guests' figures are sane, their parts sum, and a missed bound is told."""

import json
import subprocess

import pytest

from cyclescope.cli import run_cli, validate
from cyclescope.config import Hardware
from cyclescope.experiments.validate.figures import Bound, Figure, row_bound
from cyclescope.experiments.validate.guest import GuestRun, run_micro
from emu.errors import GuestError
from emu.uarch.table import load
from personalities.base import get_personality
from personalities.linux_like.personality import PERSONALITY as LINUX_LIKE

TABLE = load("skylake_sp")


def micro(program: str, *arguments: str, personality: str = "libos", cpus: int = 1, timing: str = "fast") -> GuestRun:
    return run_micro(get_personality(personality), program, arguments, Hardware(cpus=cpus), timing)


def test_a_chase_is_as_slow_as_the_level_that_answers() -> None:
    chase = micro("micro_chase", "16K", "1M", "32M").of("chase")
    assert 4.0 <= chase[16 << 10] <= 6.0
    assert chase[16 << 10] < chase[1 << 20] < 0.5 * chase[32 << 20]
    assert chase[32 << 20] == pytest.approx(TABLE["dram_latency"].value, rel=0.15)


def test_random_branches_cost_the_penalty_and_periodic_ones_nothing() -> None:
    run = micro("micro_branch")
    assert 15.0 <= run.figures["branch_penalty", 0] <= 20.0
    calm = max(run.of("branch_constant").values())
    assert max(run.of("branch_periodic").values()) < calm + 0.5


def test_a_line_changes_hands_at_the_stated_cost() -> None:
    run = micro("micro_lines", cpus=2)
    assert run.figures["pingpong_exchange", 2] == pytest.approx(TABLE["transfer_latency"].value, rel=0.05)
    assert run.figures["sharing_same", 2] > 1.5 * run.figures["sharing_apart", 2]


def test_one_vcpu_has_no_line_to_exchange() -> None:
    with pytest.raises(GuestError, match="two vCPUs are needed"):
        micro("micro_lines")


@pytest.mark.parametrize(
    ("program", "personality", "operation", "figure"),
    [
        ("micro_null_call", "linux_like", "null_call", ("null_call", 0)),
        ("micro_fault", "linux_like", "fault_protection", ("fault_protection", 4096)),
        ("micro_switch", "linux_like", "pipe_pair", ("pipe_pair", 1)),
    ],
)
def test_the_ledgers_parts_come_to_what_the_guest_measured(
    program: str, personality: str, operation: str, figure: tuple[str, int]
) -> None:
    run = micro(program, personality=personality)
    assert run.operations[operation].total() == pytest.approx(run.figures[figure], rel=0.03)
    assert run.operations[operation].cycles["syscall"]["serialising"] > TABLE["sysret"].value


def test_interrupts_cost_their_rows_and_a_handler() -> None:
    run = micro("micro_interrupt", cpus=2)
    rows = TABLE["interrupt_entry"].value + TABLE["iret"].value
    assert rows < run.figures["timer", 0] < 2 * rows
    assert run.figures["ipi_halted", 2] > run.figures["ipi_busy", 2] + 0.9 * TABLE["hlt_exit"].value
    assert run.operations["timer"].cycles["irq"]["event"] == TABLE["interrupt_entry"].value


@pytest.mark.parametrize("program", ["micro_forward", "micro_null_call", "micro_fault", "micro_switch"])
def test_linux_builds_are_linux_programs(program: str) -> None:
    path = LINUX_LIKE.find(program, "programs")
    told = subprocess.run([str(path)], capture_output=True, text=True, timeout=60, check=True).stdout
    guest = micro(program, personality="linux_like").console
    names = [line.split()[:2] for line in told.splitlines()]
    assert names == [line.split()[:2] for line in guest.splitlines()][-len(names) :]


def test_a_bound_holds_up_to_its_tolerance() -> None:
    bound = Bound(low=54.0, high=56.0, source="s", grade="published")
    assert (bound.holds(52.0), bound.holds(51.0), bound.holds(58.7), bound.holds(59.0)) == (True, False, True, False)
    assert bound.deviation(55.0) == 0.0
    assert bound.deviation(57.4) == pytest.approx(0.025)
    assert bound.text() == "54-56"


def test_references_are_the_tables_published_ranges() -> None:
    llc, dram = row_bound(TABLE, "llc_latency"), row_bound(TABLE, "dram_latency")
    assert (llc.low, llc.high, llc.grade) == (54.0, 56.0, "published")
    assert (dram.low, dram.high) == (222.5, 227.5)  # 89-91 ns at 2.5 GHz


def test_validate_prints_json_and_tells_a_missed_bound(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cli(["validate", "micro", "--timing", "fast", "--only", "branch", "--json", "-"]) == 0
    told = json.loads(capsysbinary.readouterr().out)
    penalty = next(f for f in told["figures"] if f["name"] == "mispredict penalty")
    assert penalty["reference"]["low"] == 15.0
    assert told["missed"] == 0
    bound = Bound(low=1.0, high=2.0, source="s", grade="assumed")
    wrong = Figure(group="g", name="n", value=3.0, unit="cycles", bound=bound)
    monkeypatch.setattr(validate, "run_experiments", lambda *_: [wrong])
    assert run_cli(["validate", "micro"]) == 1
    assert b"MISSED" in capsysbinary.readouterr().out


def test_an_unknown_experiment_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["validate", "micro", "--only", "nothing"]) == 2
    assert "there is no 'nothing'" in capsys.readouterr().err
