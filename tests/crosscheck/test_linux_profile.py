# SPDX-License-Identifier: GPL-2.0-or-later
"""The inclusive profile of a program on unmodified Linux, 4 vCPUs, detailed level: valgrind counts the same, and looking
changes nothing.

Needs what test_unmodified_linux.py needs, and a C compiler; the comparison needs valgrind.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from cyclescope.config import Hardware
from cyclescope.experiments.testbed import Testbed
from cyclescope.experiments.workload import frames
from emu.ledger.calls import PROBE, SYMBOL, empty_rows
from emu.ledger.profile import ROOTS, Profile, profile_between
from emu.snapshot import SavedWorld
from nic.memcached_udp import datagram
from nic.ports import Frame
from personalities.linux.personality import Linux, Options
from tests.snapshots import outcome, same

SOURCE = Path(__file__).with_name("callgraph.c")
COMPILER = shutil.which("cc") or shutil.which("gcc")
FOLDER = os.environ.get("CYCLESCOPE_LINUX", "")
CPUS, N, WARMUP, REQUESTS = 4, 10, 20, 60
RECURSIVE = {"fib", "even", "odd", "thrower"}

pytestmark = [
    pytest.mark.crosscheck,
    pytest.mark.slow,
    pytest.mark.skipif(
        not FOLDER or not COMPILER, reason="needs CYCLESCOPE_LINUX (an unpacked kernel package) and a C compiler"
    ),
]


@dataclass
class Served:
    """What a run showed: to the guest's and the client's eyes (`seen`), and to the profile's."""

    seen: dict[str, Any]
    answers: list[tuple[int, bytes, int]] = field(default_factory=list)
    wire: list[tuple[int, str, bytes]] = field(default_factory=list)
    profile: Profile | None = None
    arcs: Counter[tuple[str, str]] = field(default_factory=Counter)
    inclusive: Counter[tuple[str, str]] = field(default_factory=Counter)
    own: Counter[str] = field(default_factory=Counter)
    requests: tuple[dict[int, float], dict[int, int]] = ({}, {})


class Looks:
    """Two runs from one boot: one that is looked at in every way there is, and one that is not."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.hardware, self.linux = Hardware(cpus=CPUS), Linux(Options(ready="udp 11211"))
        self.spec = self.linux.prepare(program, [str(N), "11211", str(CPUS)])
        with self.bed(Served({})) as bed:
            bed.boot(timed=False)
            bed.save({}).write(folder / "saved")
        self.saved = folder / "saved"
        self.program = program
        self.all, self.none = self.run(True), self.run(False)

    def bed(self, served: Served) -> Testbed:
        def sink(time_ps: int, direction: str, frame: Frame) -> None:
            served.wire.append((time_ps, direction, bytes(frame.data)))

        keep = served.answers
        return Testbed(
            self.hardware,
            self.linux,
            self.spec,
            sink=sink,
            on_answer=lambda index, data, at: keep.append((index, data, at)),
        )

    def run(self, looking: bool) -> Served:
        served = Served({})
        with self.bed(served) as bed:
            bed.restore(SavedWorld.read(self.saved))
            if looking:
                bed.follow_calls()
                bed.follow_requests()
                bed.calls.trace(1 << 12)
            else:
                for user in (False, True):
                    bed.calls.symbols(0, user, empty_rows(SYMBOL, []), 0, 27)
                bed.calls.probes(0, empty_rows(PROBE, []))
            bed.set_timing()
            sent = list(frames([datagram(i, b"?") for i in range(WARMUP + REQUESTS)], 16))
            bed.closed_loop(2 * CPUS, sent[:WARMUP], "warming up")
            before, paths = (bed.snapshot(), bed.paths()) if looking else (None, None)
            bed.closed_loop(2 * CPUS, sent[WARMUP:], "serving")
            if before is not None and paths is not None:
                later, accounts = bed.paths(), bed.accounts(before, bed.snapshot())
                assert later is not None
                served.profile = profile_between(paths, later, accounts)
                self._program(served, bed, paths.rows, later.rows)
                rows, table = bed.calls.profile_requests_read(0)[0], bed.requests.table()
                sums = {int(token): int(rows["cycles16"][rows["token"] == token].sum()) / 16 for token in table.token}
                served.requests = sums, dict(zip(table.token.tolist(), table.cycles.sum(axis=1).tolist(), strict=True))
            shown = outcome(bed)
            served.seen = {
                name: shown[name]
                for name in ("now", "clocks", "regs", "counters", "happened", "ram", "console", "nic", "ends")
            }
        return served

    def _program(self, served: Served, bed: Testbed, before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> None:
        """Of the paths through work, what the program's own functions executed."""
        names = bed.node.names
        instructions, calls = (after[name].astype(np.int64) for name in ("instructions", "calls"))
        instructions[: len(before)] -= before["instructions"].astype(np.int64)
        calls[: len(before)] -= before["calls"].astype(np.int64)
        parent, symbol = after["parent"].tolist(), after["symbol"].tolist()
        within = [False] * len(after)
        theirs = [path < len(ROOTS) or number < names.program_from for path, number in enumerate(symbol)]
        total = np.where(theirs, 0, instructions).tolist()
        for path in range(len(ROOTS), len(after)):
            within[path] = within[parent[path]] or names.names[symbol[path]] == "work"
            if within[path] and not theirs[path]:
                served.own[names.names[symbol[path]]] += total[path]
        for path in range(len(after) - 1, len(ROOTS) - 1, -1):
            total[parent[path]] += total[path]
            if within[parent[path]] and not theirs[path]:
                arc = names.names[symbol[parent[path]]], names.names[symbol[path]]
                served.arcs[arc] += int(calls[path])
                served.inclusive[arc] += total[path]


@pytest.fixture(scope="module")
def looks() -> Iterator[Looks]:
    with TemporaryDirectory(dir="/var/tmp") as folder:  # the guest has a tmpfs of its own on /tmp
        program = Path(folder) / "callgraph"
        subprocess.run([str(COMPILER), "-O2", "-g0", "-o", program, SOURCE], check=True)
        yield Looks(program, Path(folder))


def test_probes_profile_and_trace_cost_the_guest_nothing(looks: Looks) -> None:
    """Clocks to the last cycle, registers, RAM, counters, answers with their times, and the bytes on the wire."""
    assert len(looks.all.answers) == WARMUP + REQUESTS
    assert looks.all.answers == looks.none.answers
    assert looks.all.wire == looks.none.wire
    same(looks.all.seen, looks.none.seen)


def test_stacks_on_linux_are_whole(looks: Looks) -> None:
    profile = looks.all.profile
    assert profile is not None
    profile.check(int(profile.cycles.sum()))
    assert not profile.lost
    assert profile.rounding == 0
    stacks = [line.rsplit(" ", 1)[0].split(";") for line in profile.folded().splitlines()]
    assert {stack[0] for stack in stacks} <= {"[thread]", "[resumed]", "[interrupt]"}
    for below, above in (
        ("serve", "work"), ("recvfrom", "entry_SYSCALL_64"), ("entry_SYSCALL_64", "do_syscall_64"),
        ("do_syscall_64", "udp_recvmsg"), ("udp_sendmsg", "ip_output"), ("__dev_queue_xmit", "start_xmit"),
        ("[interrupt]", "virtnet_poll"), ("do_idle", "schedule_idle"), ("schedule", "__switch_to_asm"),
    ):  # fmt: skip
        assert any(below in stack and above in stack[stack.index(below) :] for stack in stacks), (below, above)
    for stack in stacks:
        assert not {"do_idle", "serve"} <= set(stack), stack
        assert not ({"do_idle", "serve"} & set(stack) and stack[0] == "[interrupt]"), stack
        assert not (
            any(name.startswith("asm_sysvec") or name == "asm_common_interrupt" for name in stack)
            and stack[0] != "[interrupt]"
        ), stack


def test_a_request_s_functions_sum_to_the_cycles_that_ran_for_it(looks: Looks) -> None:
    by_function, in_all = looks.all.requests
    assert len(in_all) == WARMUP + REQUESTS
    assert by_function == in_all


def callgrind(program: Path, folder: Path) -> tuple[Counter[str], Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """Of one work(N): instructions of each function; calls and inclusive instructions of each caller and callee."""
    words = [
        "valgrind",
        "--tool=callgrind",
        f"--callgrind-out-file={folder}/callgrind",
        "--toggle-collect=work",
        program,
        str(N),
    ]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    names: dict[str, str] = {}
    own: Counter[str] = Counter()
    arcs: Counter[tuple[str, str]] = Counter()
    inclusive: Counter[tuple[str, str]] = Counter()
    function = callee = ""
    for line in (folder / "callgrind").read_text().splitlines():
        if match := re.fullmatch(r"(c?)fn=(\(\d+\))(?: (.*))?", line):
            name = names.setdefault(match[2], re.sub(r"'\d+$", "", match[3] or ""))
            function, callee = (function, name) if match[1] else (name, "")
        elif match := re.fullmatch(r"calls=(\d+) .*", line):
            arcs[function, callee] += int(match[1])
        elif match := re.fullmatch(r"(?:[+-]?\d+|\*) (\d+)", line):
            if callee:
                inclusive[function, callee] += int(match[1])
                callee = ""
            else:
                own[function] += int(match[1])
    for arc in [arc for arc in arcs if arc[0] not in own]:  # what called work
        del arcs[arc], inclusive[arc]
    return own, arcs, inclusive


@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind")
def test_the_profile_counts_what_callgrind_counts(looks: Looks, tmp_path: Path) -> None:
    """To the instruction and the call, by function and by caller; on 4 threads, with interrupts and page faults in between."""
    own, arcs, inclusive = callgrind(looks.program, tmp_path)
    mine = looks.all
    assert len(own) > 10
    assert mine.own == {name: REQUESTS * n for name, n in own.items()}
    assert mine.arcs == {arc: REQUESTS * n for arc, n in arcs.items()}
    plain = {
        arc: n for arc, n in inclusive.items() if not RECURSIVE & set(arc)
    }  # it adds up recursive calls' differently
    assert len(plain) > 8
    assert {arc: mine.inclusive[arc] for arc in plain} == {arc: REQUESTS * n for arc, n in plain.items()}
