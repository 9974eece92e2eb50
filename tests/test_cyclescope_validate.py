# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate`: the guests' figures are sane, their parts sum, and a missed bound is told."""

import json
import subprocess
from pathlib import Path

import pytest

from cyclescope.cli import run_cli
from cyclescope.config import Hardware
from cyclescope.experiments.validate.figures import Bound, row_bound
from cyclescope.experiments.validate.guest import GuestRun, run_micro
from cyclescope.experiments.validate.kernels import kendall, spearman
from cyclescope.experiments.validate.memory import judge_chase
from cyclescope.report.validation_pictures import chase_picture
from emu.errors import GuestError
from emu.uarch.table import load
from personalities.base import get_personality
from personalities.linux_like.personality import PERSONALITY as LINUX_LIKE

TABLE = load("skylake_sp")
both_levels = pytest.mark.parametrize("timing", ["fast", "detailed"])


def micro(program: str, *arguments: str, personality: str = "libos", cpus: int = 1, timing: str = "fast") -> GuestRun:
    return run_micro(get_personality(personality), program, arguments, Hardware(cpus=cpus), timing)


@both_levels
def test_a_chase_is_as_slow_as_the_level_that_answers(timing: str) -> None:
    chase = micro("micro_chase", "16K", "192K", "32M", timing=timing).of("chase")
    assert 4.0 <= chase[16 << 10] <= 6.0
    assert chase[16 << 10] < chase[192 << 10] <= 1.05 * TABLE["l2_latency"].value
    assert chase[32 << 20] == pytest.approx(TABLE["dram_latency"].value, rel=0.15)
    if timing == "detailed":
        assert chase[192 << 10] == pytest.approx(TABLE["l2_latency"].value, rel=0.05)


@both_levels
def test_random_branches_cost_the_penalty_and_periodic_ones_nothing(timing: str) -> None:
    run = micro("micro_branch", timing=timing)
    assert 15.0 <= run.figures["branch_penalty", 0] <= 20.0
    calm = max(run.of("branch_constant").values())
    assert max(run.of("branch_periodic").values()) < calm + 0.5


@both_levels
def test_a_line_changes_hands_at_the_stated_cost(timing: str) -> None:
    run = micro("micro_lines", cpus=2, timing=timing)
    transfer = TABLE["transfer_latency"].value
    assert run.figures["pingpong_exchange", 2] == pytest.approx(transfer, rel=0.05)
    assert run.figures["sharing_locked_same", 2] > 1.2 * run.figures["sharing_locked_apart", 2]
    if timing == "detailed":
        assert run.figures["transfer", 256] == pytest.approx(transfer, rel=0.05)
        assert run.figures["sharing_same", 2] > 1.5 * run.figures["sharing_apart", 2]


def test_bandwidth_is_what_ports_and_microcode_move() -> None:
    run = micro("micro_bandwidth", "16K", timing="detailed")
    at = {name: value for (name, _), value in run.figures.items()}
    assert 24.0 <= at["read"] <= 32.0
    assert 12.0 <= at["write"] <= 16.0
    assert 24.0 <= at["copy"] <= 32.0
    moved = 2 * 64 * 16 / TABLE["rep_line16"].value  # read and written, a line after the other
    assert 0.75 * moved <= at["rep_copy"] <= moved


def test_misses_of_a_string_instruction_overlap() -> None:
    alone = 2 * 64 / TABLE["dram_latency"].value
    assert micro("micro_bandwidth", "8M", timing="detailed").figures["rep_copy", 8 << 20] > 2 * alone


def test_a_load_of_two_stores_bytes_waits_for_the_cache() -> None:
    run = micro("micro_forward", timing="detailed")
    link = TABLE["store_forward"].value + 1  # and the store's own micro-op
    assert run.figures["forward_same", 8] == pytest.approx(link, rel=0.05)
    assert run.figures["forward_narrower", 4] == run.figures["forward_same", 8]
    assert run.figures["forward_wider", 8] > run.figures["forward_same", 8] + 5.0


def test_one_vcpu_has_no_line_to_exchange() -> None:
    with pytest.raises(GuestError, match="two vCPUs are needed"):
        micro("micro_lines")


@both_levels
@pytest.mark.parametrize(
    ("program", "personality", "operation", "figure"),
    [
        ("micro_null_call", "linux_like", "null_call", ("null_call", 0)),
        ("micro_fault", "linux_like", "fault_protection", ("fault_protection", 4096)),
        ("micro_switch", "linux_like", "pipe_pair", ("pipe_pair", 1)),
    ],
)
def test_the_ledgers_parts_come_to_what_the_guest_measured(
    program: str, personality: str, operation: str, figure: tuple[str, int], timing: str
) -> None:
    run = micro(program, personality=personality, timing=timing)
    assert run.operations[operation].total() == pytest.approx(run.figures[figure], rel=0.03)
    assert run.operations[operation].cycles["syscall"]["serialising"] > 0.9 * TABLE["sysret"].value


def test_lost_slots_have_their_causes() -> None:
    pair = micro("micro_switch", personality="linux_like", timing="detailed").operations["pipe_pair"]
    by_cause: dict[str, float] = {}
    for causes in pair.cycles.values():
        for cause, cycles in causes.items():
            by_cause[cause] = by_cause.get(cause, 0.0) + cycles
    assert by_cause["retiring"] < 0.5 * pair.instructions  # four slots a cycle; hardly two an instruction
    assert min(by_cause["dependency"], by_cause["l1"], by_cause["core"]) > 1.0


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
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    command = ["validate", "micro", "--timing", "fast", "--only", "branch"]
    assert run_cli([*command, "--json", "-"]) == 0
    told = json.loads(capsysbinary.readouterr().out)
    penalty = next(f for f in told["figures"] if f["name"] == "mispredict penalty")
    assert (penalty["reference"]["low"], told["missed"]) == (15.0, 0)
    assert run_cli([*command, "--set", "mispredict=x2"]) == 1
    assert b"MISSED" in capsysbinary.readouterr().out


def test_the_same_kernels_run_on_the_host_and_in_a_guest(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    picture = tmp_path / "kernels.svg"
    run_cli(["validate", "kernels", "--only", "checksum,hash", "--json", "-", "--svg", str(picture)])
    told = json.loads(capsysbinary.readouterr().out)
    points = {(p["kernel"], p["size"]): p for p in told["points"]}
    assert len(points) == 14
    assert all(p["host"] > 0 and p["model"] > 0 for p in points.values())
    # 4 cycles a byte: an XOR and a multiplication, each waiting for the one before; short keys overlap
    assert points["fnv", 120]["model"] - points["fnv", 48]["model"] > 0.7 * 4 * (120 - 48)
    assert told["timing"] == "detailed"
    assert picture.read_text().startswith("<svg")


def test_rank_correlations_are_the_textbooks() -> None:
    a, b = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 5.0]
    assert spearman(a, b) == pytest.approx(0.8)
    assert kendall(a, b) == pytest.approx(0.6)
    assert spearman(a, a) == pytest.approx(1.0)
    assert kendall(a, [1.0, 1.0, 2.0, 2.0, 2.0]) == pytest.approx(6 / (10 * 6) ** 0.5)  # ties


def test_a_chase_can_be_drawn_with_its_references(tmp_path: Path) -> None:
    picture = tmp_path / "chase.svg"
    table = load("skylake_sp")
    figures = judge_chase(micro("micro_chase", "16K", "192K"), table, 1)
    picture.write_text(chase_picture(figures, "title") or "")
    drawn = picture.read_text()
    assert drawn.count("<polyline") == 3  # the curve, L1's reference and L2's
    assert chase_picture([], "title") is None


def test_an_unknown_experiment_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["validate", "micro", "--only", "nothing"]) == 2
    assert "there is no 'nothing'" in capsys.readouterr().err
