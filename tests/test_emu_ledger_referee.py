# SPDX-License-Identifier: GPL-2.0-or-later
"""Real guests under load: the referee recomputes each request from the raw trace; sums come out; nothing goes unattributed."""

from pathlib import Path

import numpy as np
import pytest

from cyclescope.config import Hardware
from cyclescope.experiments.testbed import Testbed
from cyclescope.experiments.workload import frames
from personalities.base import get_personality
from tests.referee import Referee, rules_of

CPUS, REQUESTS, EVENTS, PORT = 2, 150, 2_000_000, 11211


def payloads():
    """Sets and gets in turn, in memcached's UDP framing."""
    for i in range(REQUESTS):
        command = b"set k%d 0 0 3\r\nabc\r\n" % i if i % 2 == 0 else b"get k%d\r\n" % (i - 1)
        yield i.to_bytes(2, "big") + b"\0\0\0\1\0\0" + command


def drained(calls):
    """All events so far."""
    pieces = []
    while len(piece := calls.trace_read(1 << 19).events):
        pieces.append(piece)
    assert calls.trace_read(1).dropped == 0
    return np.concatenate(pieces)


@pytest.mark.parametrize("name", ["libos", "linux_like"])
def test_the_referee_agrees_on_every_request(name):
    personality = get_personality(name)
    spec = personality.prepare("kvd", personality.arguments_for("kvd", CPUS, PORT))
    with Testbed(Hardware(cpus=CPUS), personality, spec) as bed:
        bed.calls.trace(EVENTS)  # from power-on: which thread sleeps where, matters later
        bed.boot()
        before = bed.snapshot()  # and there the cycles summed to the clocks, by component and by symbol
        phase = bed.closed_loop(8, list(frames(payloads(), 64)), "")
        events = drained(bed.calls)
        assert phase.lost == 0
        accounts = bed.accounts(before, bed.snapshot())
        table = bed.requests.table()
        manifest = Path(bed.manifest.path)

    program = next((p for p in spec.programs if p.read_bytes()[:4] == b"\x7fELF"), None)
    referee = Referee([rules_of(manifest, Path(spec.image), program)])
    referee.feed(events)
    assert len(table.token) == len(referee.closed) == REQUESTS
    for i, token in enumerate(table.token.tolist()):
        start, end, parts = referee.closed[token]
        assert (start, end) == (int(table.start_ps[i]), int(table.end_ps[i]))
        found = {part: int(n) for part, n in zip(table.part_names, table.parts_ps[i], strict=True) if n}
        anywhere = {part: sum(n for (_, name), n in parts.items() if name == part) for _, part in parts}
        assert found == anywhere, f"request {token}"
        assert sum(parts.values()) == end - start

    total = int(table.parts_ps.sum())
    for part in ("wait.unattributed", "run.unknown"):
        if part in table.part_names:
            assert int(table.parts_ps[:, table.part_names.index(part)].sum()) <= total // 100, part
    assert {"run.app", "run.driver", "run.ip", "run.udp"} <= set(table.part_names)
    assert sum(cycles for _, cycles in accounts.unmapped()) <= sum(accounts.vcpu_cycles) // 100
