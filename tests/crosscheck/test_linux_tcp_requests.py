# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's memcached over TCP on an unmodified Linux with 4 vCPUs: right answers, none lost, every request followed all the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cyclescope.config import Hardware
from cyclescope.experiments.phases import Phase
from cyclescope.experiments.testbed import TcpLoad, Testbed
from emu.ledger.requests import RequestTable
from emu.snapshot import SavedWorld
from nic.memcached_text import commands
from nic.ports import Frame
from nic.sources.arrivals import poisson
from nic.sources.etc import EtcLoad
from personalities.linux.personality import Linux
from tests.crosscheck.linux import MEMCACHED, needs_linux
from tests.crosscheck.test_linux_tcp import OF_WINDOWS
from tests.test_nic_tcp_tshark import OF_LOSS, ORDINARY
from tests.tshark import HAVE_TSHARK, judge

pytestmark = needs_linux(HAVE_TSHARK, "and tshark")

KEYS, GETS = 100, 200
HARDWARE = Hardware(cpus=4)
US = 1_000_000  # picoseconds


@dataclass
class Served:
    """What came of KEYS sets and GETS gets."""

    answers: dict[int, bytes]
    ends_ps: list[int]
    frames: list[tuple[int, str, Frame]]
    table: RequestTable
    unmapped: float  # share of busy cycles
    dropped: dict[str, int]
    late: int

    def means_us(self) -> dict[str, float]:
        """Parts of the gets."""
        means = self.table.parts_ps[-GETS:].mean(axis=0) / US
        return dict(zip(self.table.part_names, means.tolist(), strict=True))


Serve = Callable[..., Served]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """One boot for all."""
    linux = Linux()
    spec = linux.prepare(MEMCACHED, ["-u", "root", "-U", "11211", "-t", "4"])
    file = tmp_path_factory.mktemp("booted") / "memcached"
    with Testbed(HARDWARE, linux, spec, timing="functional", tcp=TcpLoad()) as bed:
        bed.boot()
        bed.save({}).write(file)

    def run(connections: int, loss: float, closed: int | None = None) -> Served:
        load, answers = EtcLoad(1, KEYS, get_ratio=1.0), dict[int, bytes]()
        frames: list[tuple[int, str, Frame]] = []
        bed = Testbed(
            HARDWARE, linux, spec, timing="fast", on_answer=lambda index, answer, _: answers.update({index: answer}),
            sink=lambda *what: frames.append(what), tcp=TcpLoad(connections, loss),
        )  # fmt: skip
        with bed:
            bed.begin(SavedWorld.read(file))
            before = bed.snapshot()
            stored = bed.closed_loop(max(4, connections), list(commands(load.preload())), "storing")
            served = gets(bed, load, closed)
            assert (stored.lost, served.lost) == (0, 0)
            assert not bed.client.counters
            assert bed.requests.open_requests == 0
            accounts = bed.accounts(before, bed.snapshot())
            busy = sum(sum(causes.values()) for name, causes in accounts.cycles().items() if name != "idle")
            unmapped = sum(cycles for _, cycles in accounts.unmapped()) / busy
            return Served(
                answers, list(bed.client.ends_ps), frames, bed.requests.table(), unmapped, bed.calls.dropped(), bed.requests.late
            )

    return run


def gets(bed: Testbed, load: EtcLoad, closed: int | None) -> Phase:
    """GETS requests, with `closed` outstanding, or in an open loop of 100,000 a second."""
    asked = list(commands(load.requests(GETS)))
    if closed is not None:
        return bed.closed_loop(closed, asked, "serving")
    return bed.open_loop(poisson(GETS, 100_000, 1, bed.world.now_ps).tolist(), asked, "serving")


def expected() -> list[bytes]:
    load = EtcLoad(1, KEYS, get_ratio=1.0)
    values = {each.split()[1]: each.split(b"\r\n", 1)[1][:-2] for each in commands(load.preload())}
    keys = [each.split()[1] for each in commands(load.requests(GETS))]
    return [b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (key, len(values[key]), values[key]) for key in keys]


@pytest.mark.parametrize(("connections", "loss", "closed"), [(1, 0.0, 1), (8, 0.01, None), (64, 0.0, None), (200, 0.01, 200)])
def test_debian_s_memcached_answers_right_and_loses_nothing(
    serve: Serve, connections: int, loss: float, closed: int | None, tmp_path: Path
) -> None:
    served = serve(connections, loss, closed)
    assert [served.answers[i] for i in range(KEYS)] == [b"STORED\r\n"] * KEYS
    assert [served.answers[KEYS + i] for i in range(GETS)] == expected()
    said, wrong = judge(tmp_path, served.frames)
    assert not wrong
    allowed = ORDINARY + (OF_LOSS + OF_WINDOWS[:1] if loss else ())
    assert [message for message in said if not message.startswith(allowed)] == []
    means = served.means_us()
    for part in ("driver", "netdev", "ip", "tcp", "socket", "skb", "copy", "sched", "vfs", "syscall", "irq", "app"):
        assert means[f"run.{part}"] > 0, part
    assert means.get("wait.unattributed", 0) == 0
    assert served.unmapped < 0.01
    assert served.dropped == {}
    assert served.late == 0
    assert ("wait.retransmission" in means) == (loss > 0)
    # through the switch and back; a frame sent again goes there again
    assert 1.99 <= means["run.switch"] < (2.1 if loss else 2.001)


def test_one_connection_with_many_requests_shares_segments_and_reads(serve: Serve) -> None:
    served = serve(1, 0.0, 32)
    assert [served.answers[KEYS + i] for i in range(GETS)] == expected()
    means = served.means_us()
    assert means.get("wait.unattributed", 0) == 0
    assert means["wait.preempted"] > 10  # while the thread sends the answers to those read together with it
    assert 1.9 <= means["run.switch"] <= 2.001
    assert served.dropped == {}


def test_losses_are_the_same_from_the_same_seed(serve: Serve) -> None:
    one, other = serve(8, 0.02, 8), serve(8, 0.02, 8)
    assert one.answers == other.answers
    assert one.ends_ps == other.ends_ps
    assert np.array_equal(one.table.parts_ps, other.table.parts_ps)
    assert [frame for _, _, frame in one.frames] == [frame for _, _, frame in other.frames]
