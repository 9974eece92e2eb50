# SPDX-License-Identifier: GPL-2.0-or-later
"""Following requests: the sum invariant, and the C core against the plain Python referee, on random histories."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import EmuBug
from emu.ledger.calls import PROBE, SYMBOL
from emu.ledger.components import COMPONENTS, REASONS, Taxonomy
from emu.ledger.manifest import ACTIONS
from emu.ledger.requests import RequestLog
from tests import follow_harness as harness
from tests.referee import Referee, Rules

# the world of the random histories: functions of 0x10 bytes, and one probe at the entry of each of the verbs' functions
FUNCTIONS = (("app", ""), ("ip", ""), ("udp", ""), ("lock", "spin"), ("idle", "idle"), ("driver", ""))
CODE, VERBS, BUFFERS, THREADS = 0x1000, 0x2000, 0x20000, 0x77000
PROBE_RULES = [
    {"do": "bind"}, {"do": "tag"}, {"do": "move"}, {"do": "release", "reason": "socket"}, {"do": "release", "reason": "thread"},
    {"do": "release", "reason": "lock"}, {"do": "handoff", "reason": "nic"}, {"do": "wait", "reason": "socket"},
    {"do": "wait", "reason": "lock"}, {"do": "wake"}, {"do": "switch"}, {"do": "clear"}, {"do": "note"}, {"do": "enter"},
    {"do": "leave"}, {"do": "gather"}, {"do": "merge"}, {"do": "resume"},
    {"do": "part"}, {"do": "sent", "reason": "nic"}, {"do": "share"}, {"do": "waited", "reason": "retransmission"},
]  # fmt: skip
ALWAYS = (0, 7, 0, 0)
VERB = {f"{rule['do']} {rule.get('reason', '')}".strip(): VERBS + 0x10 * i for i, rule in enumerate(PROBE_RULES)}


def prepare(world):
    """Symbols and probes on each machine, and what the referee needs to know of them."""
    flags = {"": 0, "spin": 1, "idle": 2}
    table = [(CODE + 0x10 * i, CODE + 0x10 * i + 0x10, c, k) for i, (c, k) in enumerate(FUNCTIONS)]
    table += [(address, address + 0x10, "sched", "") for address in VERB.values()]
    rows = [(s, e, i, COMPONENTS.index(c), flags[k]) for i, (s, e, c, k) in enumerate(table)]
    arg = [(0, i, 0, 0) for i in range(2)]
    probes = [
        (address, 0, 0, list(ACTIONS).index(rule["do"]), REASONS.index(rule.get("reason", "link")), i, *arg, ALWAYS)
        for i, (rule, address) in enumerate(zip(PROBE_RULES, VERB.values(), strict=True))
    ]
    for machine in world.machines:
        world.calls.symbols(machine.index, False, np.array(rows, SYMBOL), len(rows), COMPONENTS.index("unknown"))
        world.calls.symbols(machine.index, True, np.zeros(0, SYMBOL), len(rows) + 2, COMPONENTS.index("app"))
        world.calls.probes(machine.index, np.array(probes, PROBE))
    return [Rules((table, []), PROBE_RULES) for _ in world.machines]


def do(machine, vcpu, verb, *arguments, cycles=0):
    machine.call(vcpu, VERB[verb], cycles, *arguments)


def parts_of(log, token):
    table = log.table()
    row = int(np.flatnonzero(table.token == token)[0])
    return {name: int(n) for name, n in zip(table.part_names, table.parts_ps[row], strict=True) if n}


@pytest.fixture
def world():
    with harness.World() as prepared:
        prepare(prepared)
        yield prepared


@pytest.fixture
def m(world):
    return world.machines[0]


@pytest.fixture
def log(world):
    return RequestLog(world.calls)


def test_a_request_from_ring_to_ring(m, log):
    view = log.machine(0)
    log.open(7, 0)
    log.mark(7, "wait.link", 100)
    log.mark(7, "run.wire", 1_000)
    log.wait(7, "ring", 1_000)
    view.tag(BUFFERS, 7)
    m.call(0, CODE + 0x10, 9)  # 3 ns in ip, for nobody
    m.interrupt(0, 7)  # found in the ring at 3 ns
    m.call(0, CODE + 0x50, 3)  # driver, 1 ns, already for it
    do(m, 0, "bind", BUFFERS)
    m.call(0, CODE + 0x20, 6)  # udp, 2 ns
    do(m, 0, "handoff nic", BUFFERS + 64)
    m.iret(0, 0)
    m.call(0, CODE, 300)  # nobody's
    assert view.take(BUFFERS + 64) == 7
    assert view.take(BUFFERS + 64) == 0
    log.mark(7, "run.nic", 8_000)
    log.close(7, 8_500)
    assert parts_of(log, 7) == {
        "wait.link": 100, "run.wire": 900, "wait.ring": 2_000, "run.driver": 1_000, "run.udp": 2_000, "run.nic": 2_000,
        "wait.nic": 500,
    }  # fmt: skip


def test_the_work_of_a_woken_thread_is_its_requests(m, log):
    """Softirq on vCPU 0 queues a datagram and wakes T; T runs on vCPU 1, takes it, and answers."""
    t, idle = THREADS, THREADS + 1
    log.open(1, 0)
    log.tag(0, BUFFERS, 1)
    do(m, 1, "switch", t, idle)
    do(m, 0, "bind", BUFFERS)
    m.call(0, CODE + 0x10, 3)
    do(m, 0, "wake", t, cycles=3)
    do(m, 0, "release socket")
    m.call(1, CODE + 0x40, 30)  # idle until 10 ns
    do(m, 1, "switch", idle, t, cycles=3)  # 10..11 ns: the end of the switch is the request's already
    do(m, 1, "clear")  # done with the one before
    m.call(1, CODE + 0x10, 3)
    do(m, 1, "bind", BUFFERS)
    m.call(1, CODE, 3)
    do(m, 1, "handoff nic", BUFFERS + 8)
    do(m, 1, "tag", BUFFERS + 16)  # a second datagram of the same answer
    do(m, 1, "clear")
    do(m, 1, "tag", BUFFERS + 24)  # done: nobody's
    assert [log.take(0, BUFFERS + n) for n in (8, 16, 24)] == [1, 1, 0]
    log.close(1, 20_000)
    assert parts_of(log, 1) == {
        "run.ip": 2_000, "run.sched": 2_000, "wait.runqueue": 8_000, "run.app": 1_000, "wait.nic": 7_000,
    }  # fmt: skip


def test_a_batch_s_answers_go_to_their_requests(m, log):
    """A server takes two datagrams, finds no third, and answers both from where it took them to."""
    for token in (1, 2):
        log.open(token, 0)
        log.wait(token, "socket", 0)
        log.tag(0, BUFFERS + token, token)
        do(m, 0, "resume", BUFFERS + token)
        do(m, 0, "tag", BUFFERS + 16 * token, cycles=3)
    for nothing in (0, harness.LIMIT, BUFFERS + 3):
        do(m, 0, "resume", nothing)
    m.call(0, CODE, 3)
    for token in (1, 2):
        do(m, 0, "resume", BUFFERS + 16 * token)
        do(m, 0, "tag", BUFFERS + 64 * token, cycles=3)
        do(m, 0, "release lock")
    log.close(1, m.now(0))
    do(m, 0, "resume", BUFFERS + 16)  # closed: not under way any more
    assert m.current(0) == 0
    assert [log.take(0, BUFFERS + 64 * token) for token in (1, 2)] == [0, 2]
    log.close(2, m.now(0))
    assert parts_of(log, 1) == {"run.sched": 2_000, "wait.socket": 2_000, "wait.lock": 1_000}
    assert parts_of(log, 2) == {"run.sched": 2_000, "run.app": 1_000, "wait.socket": 2_000}


def test_an_interrupted_request_is_preempted_and_resumes(m, log):
    log.open(1, 0)
    log.tag(0, BUFFERS, 1)
    do(m, 0, "bind", BUFFERS)
    m.call(0, CODE, 3)
    m.interrupt(0, 0)
    m.call(0, CODE + 0x50, 6)
    m.exception(0)
    m.call(0, CODE + 0x50, 6)
    m.iret(0, 0)
    m.iret(0, 1)
    m.call(0, CODE, 3)
    m.call(0, CODE + 0x30, 3)  # busy-waiting for a lock
    log.close(1, m.now(0))
    assert parts_of(log, 1) == {"run.app": 2_000, "wait.preempted": 4_000, "wait.lock": 1_000}


def test_a_thread_that_takes_another_request_leaves_the_one_it_was_woken_for_in_the_socket(m, log):
    t, idle = THREADS, THREADS + 1
    for token in (1, 2):
        log.open(token, 0)
        log.tag(0, BUFFERS + token, token)
    do(m, 1, "switch", t, idle)
    do(m, 0, "bind", BUFFERS + 1)
    do(m, 0, "release socket")
    do(m, 0, "wake", t)  # the wake may follow the release
    do(m, 1, "switch", idle, t)
    do(m, 1, "bind", BUFFERS + 2, cycles=3)
    log.close(1, 5_000)
    log.close(2, 5_000)
    assert parts_of(log, 1) == {"wait.socket": 5_000}
    assert parts_of(log, 2) == {"run.sched": 1_000, "wait.unattributed": 4_000}


def test_a_blocked_thread_says_why_and_its_request_goes_with_it(m, log):
    t, idle = THREADS, THREADS + 1
    log.open(1, 0)
    log.tag(0, BUFFERS, 1)
    do(m, 0, "switch", idle, t)
    do(m, 0, "bind", BUFFERS)
    do(m, 0, "wait lock")
    do(m, 0, "switch", t, idle)
    m.idle(0, 6)
    m.call(1, CODE, 3)
    do(m, 1, "wake", t)  # at 1 ns
    m.call(1, CODE, 3)
    do(m, 1, "switch", idle, t)
    m.call(1, CODE, 3)
    assert m.current(1) == 1
    log.close(1, m.now(1))
    assert parts_of(log, 1) == {"wait.lock": 1_000, "wait.runqueue": 1_000, "run.app": 1_000}


def test_softirqs_within_a_thread_are_not_its_requests_work(m, log):
    for token in (1, 2):
        log.open(token, 0)
        log.wait(token, "ring", 0)
        log.tag(0, BUFFERS + token, token)
    do(m, 0, "bind", BUFFERS + 1)
    m.call(0, CODE, 3)
    do(m, 0, "enter")  # the thread lets softirqs run
    m.call(0, CODE + 0x50, 3)
    do(m, 0, "bind", BUFFERS + 2)
    m.call(0, CODE + 0x10, 3)
    do(m, 0, "release socket")
    do(m, 0, "leave")
    m.call(0, CODE, 3)
    do(m, 0, "tag", BUFFERS)
    assert log.take(0, BUFFERS) == 1
    log.close(1, m.now(0))
    log.close(2, m.now(0))
    assert parts_of(log, 1) == {"run.app": 2_000, "wait.preempted": 2_000}
    assert parts_of(log, 2) == {"wait.ring": 2_000, "run.ip": 1_000, "wait.socket": 1_000}


def test_softirqs_after_an_interrupt_go_on_for_the_request_that_raised_it(m, log):
    log.open(1, 0)
    log.wait(1, "ring", 0)
    log.tag(0, BUFFERS, 1)
    m.interrupt(0, 1)
    m.call(0, CODE + 0x50, 3)
    do(m, 0, "enter")
    m.call(0, CODE + 0x50, 3)
    do(m, 0, "leave")  # the poll's budget was spent before its turn
    m.call(0, CODE, 3)
    m.iret(0, 0)
    log.close(1, m.now(0))
    assert parts_of(log, 1) == {"run.driver": 2_000, "wait.ring": 1_000}


def test_idle_belongs_to_nobody(m, log):
    log.open(1, 0)
    log.tag(0, BUFFERS, 1)
    do(m, 0, "bind", BUFFERS)
    m.idle(0, 30)
    assert m.current(0) == 0
    log.close(1, m.now(0))
    assert parts_of(log, 1) == {"wait.unattributed": 10_000}


def test_what_ran_past_the_end_is_taken_back(m, log):
    log.open(1, 0)
    log.tag(0, BUFFERS, 1)
    do(m, 0, "bind", BUFFERS)
    m.call(0, CODE, 3)
    m.call(0, CODE + 0x10, 300)
    log.close(1, 1_500)
    assert parts_of(log, 1) == {"run.app": 1_000, "run.ip": 500}


def test_more_charges_than_are_remembered_can_still_be_taken_back(log):
    log.open(1, 0)
    for until in range(1, 1000):
        log.mark(1, ("run.app", "run.ip")[until % 2], until)
    log.close(1, 5)
    assert sum(parts_of(log, 1).values()) == 5


def test_a_return_probe_fires_when_its_own_frame_returns():
    with harness.World() as world:
        prepare(world)
        m, log = world.machines[0], RequestLog(world.calls)
        rows = np.array(
            [
                (0x3000, 0, 1, 0, 0, 0, (0, 1, 0, 0), (0, 0, 0, 0), ALWAYS),
                (0x3100, 0, 1, 9, 0, 1, (1, 6, 0, 8), (0, 0, 0, 0), ALWAYS),
            ],
            PROBE,
        )
        world.calls.probes(0, rows)
        log.open(1, 0)
        log.tag(0, BUFFERS, 1)
        m.call(0, 0x3300)  # seen before anybody awaits it
        m.reg(0, harness.RSP, harness.PAGE_AT)
        m.word(0, 0x3300)
        m.call(0, 0x3000, 1, 0, BUFFERS)
        m.reg(0, harness.ARGUMENTS[1], 0)  # clobbered: the argument on entry counts
        m.reg(0, harness.RSP, harness.PAGE_AT + 800)
        m.call(0, 0x3300)  # the same code, in a deeper call
        assert m.current(0) == 0
        m.reg(0, harness.RSP, harness.PAGE_AT + 8)
        m.call(0, 0x3300)
        assert m.current(0) == 1
        m.reg(0, harness.RSP, harness.PAGE_AT)
        m.call(0, 0x3100)
        m.reg(0, harness.RSP, harness.PAGE_AT + 8)
        m.reg(0, harness.RAX, harness.PAGE_AT + 16)
        m.word(3, 4711)  # [ret+8]
        m.call(0, 0x3300)
        assert [tuple(row)[0:1] + tuple(row)[2:] for row in world.calls.notes(0).tolist()] == [(1, 4711, 1)]
        m.call(0, 0x3300)
        assert int(world.calls.notes(0)["count"][0]) == 1


def test_unmapped_and_unreadable_keys_are_counted_and_ignored(world, m):
    do(m, 0, "bind", harness.LIMIT)
    do(m, 0, "tag", 2**64 - 1)
    assert world.calls.dropped() == {"unmapped keys": 2}


def test_a_hostile_guest_cannot_make_the_tables_grow(world, m, log):
    log.open(1, 0)
    log.tag(0, BUFFERS, 1)
    do(m, 0, "bind", BUFFERS)
    for i in range(20_000):
        do(m, 0, "switch", i, i + 1)
    for _ in range(100):
        m.interrupt(0, 0)
    for i in range(5_000):
        do(m, 0, "note", i)
    dropped = world.calls.dropped()
    assert dropped["threads"] >= 20_000 - (1 << 14)
    assert dropped["levels"] == 100 - 15
    assert dropped["notes"] == 5_000 - 4096


def test_mistakes_of_ours_are_refused(log):
    log.open(1, 100)
    with pytest.raises(EmuBug, match="Request 1 is open already"):
        log.open(1, 0)
    with pytest.raises(EmuBug, match="ends before it starts"):
        log.close(1, 99)
    with pytest.raises(EmuBug, match="not open"):
        log.close(2, 99)
    with pytest.raises(EmuBug, match="no part"):
        log.mark(1, "run.nothing", 200)
    log.mark(9, "run.app", 200)
    assert log.late == 1


def test_an_abandoned_request_leaves_nothing_behind(m, log):
    log.open(1, 0)
    log.tag(0, BUFFERS, 1)
    do(m, 0, "bind", BUFFERS)
    m.call(0, CODE, 3)
    log.abandon(1, 10_000)
    assert (m.current(0), log.take(0, BUFFERS), len(log), log.open_requests) == (0, 0, 0, 0)
    log.mark(1, "run.nic", 20_000)
    assert log.late == 1


def test_a_thread_switched_out_before_it_took_its_request_leaves_it_in_the_socket(m, log):
    """T was woken while vCPU 0 still had the request, found nothing and slept again; then vCPU 0 let go."""
    t, idle = THREADS, THREADS + 1
    log.open(1, 0)
    log.tag(0, BUFFERS, 1)
    do(m, 1, "switch", t, idle)
    do(m, 0, "bind", BUFFERS)
    do(m, 0, "wake", t)
    do(m, 1, "switch", idle, t)
    do(m, 1, "switch", t, idle)
    do(m, 0, "release socket")
    log.close(1, 5_000)
    assert parts_of(log, 1) == {"wait.socket": 5_000}


def test_a_closed_request_is_nobodys_wake(m, log):
    t, idle = THREADS, THREADS + 1
    for token in (1, 2):
        log.open(token, 0)
        log.tag(0, BUFFERS + token, token)
    do(m, 1, "switch", t, idle)
    do(m, 0, "bind", BUFFERS + 1)
    do(m, 0, "wake", t)
    log.close(1, 0)
    do(m, 1, "switch", idle, t)
    do(m, 1, "switch", t, idle)
    do(m, 0, "bind", BUFFERS + 2)
    do(m, 0, "wake", t)
    do(m, 0, "release socket")
    do(m, 1, "switch", idle, t)
    assert m.current(1) == 2


def test_the_log_keeps_every_row(log):
    for token in range(1, 3001):
        log.open(token, token)
        log.mark(token, f"run.{COMPONENTS[token % 7]}", token + token % 5)
        log.close(token, token + 10, excluded=token <= 100)
    table = log.table()
    assert len(log) == len(table.token) == 3000
    assert (table.parts_ps.sum(axis=1) == 10).all()
    assert int(table.excluded.sum()) == 100
    assert table.part_names == tuple(sorted(table.part_names, key=lambda n: Taxonomy().part_index[n]))


# ---- requests that go together


def together(m, log):
    """Requests 1, 2, 3 were read in one go by vCPU 0's thread; 1 leads."""
    for token in (1, 2, 3):
        log.open(token, 0)
        log.wait(token, "socket", 0)
        log.tag(0, BUFFERS + token, token)
    for token in (1, 2, 3):
        do(m, 0, "gather", BUFFERS + token)
    m.call(0, CODE, 3)


def test_what_was_read_in_one_go_is_worked_on_together(m, log):
    together(m, log)
    assert m.current(0) == 1
    for token in (1, 2, 3):
        log.close(token, m.now(0))
        assert parts_of(log, token) == {"run.app": 1_000}


def test_a_lead_that_ends_while_its_vcpu_works_is_followed_by_the_first_that_joined(m, log):
    together(m, log)
    log.tag(0, BUFFERS, 1)
    log.close(1, m.now(0))
    assert m.current(0) == 2
    m.call(0, CODE + 0x10, 3)
    assert log.take(0, BUFFERS) == 2
    log.mark(1, "run.nic", m.now(0) + 500)  # a frame of its is still on the way: it holds the others' answers, too
    log.close(2, m.now(0) + 500)
    log.close(3, m.now(0) + 500)
    assert parts_of(log, 2) == parts_of(log, 3) == {"run.app": 1_000, "run.ip": 1_000, "run.nic": 500}
    log.mark(1, "run.nic", m.now(0) + 900)
    assert log.late == 1
    with pytest.raises(EmuBug, match="not open"):
        log.close(1, m.now(0))


def test_a_lead_that_ends_leaves_the_thread_that_was_woken_for_it_to_its_heir(m, log):
    log.open(1, 0)
    log.open(2, 0)
    log.tag(0, BUFFERS, 1)
    do(m, 1, "switch", THREADS, THREADS + 1)
    do(m, 0, "bind", BUFFERS)
    log.join(2, 1, 0)
    do(m, 0, "wake", THREADS)
    do(m, 0, "release socket")
    m.call(0, CODE, 3)
    log.close(1, m.now(0))
    m.call(1, CODE + 0x40, 6)
    do(m, 1, "switch", THREADS + 1, THREADS)
    assert m.current(1) == 2
    log.close(2, m.now(1))
    assert parts_of(log, 2) == {"wait.runqueue": 2_000}


def test_one_that_is_charged_by_its_own_token_goes_its_own_way(m, log):
    together(m, log)
    log.wait(2, "ring", m.now(0))
    m.call(0, CODE, 3)
    for token in (1, 2, 3):
        log.close(token, m.now(0))
    assert parts_of(log, 1) == parts_of(log, 3) == {"run.app": 2_000}
    assert parts_of(log, 2) == {"run.app": 1_000, "wait.ring": 1_000}


def test_an_answer_leaves_and_the_others_stay_with_the_thread(m, log):
    together(m, log)
    do(m, 0, "tag", BUFFERS)
    do(m, 0, "enter")
    do(m, 0, "part", BUFFERS)
    m.call(0, CODE + 0x10, 3)
    do(m, 0, "handoff nic", BUFFERS + 9)
    do(m, 0, "leave")
    assert m.current(0) == 2
    m.call(0, CODE, 3)
    for token in (1, 2, 3):
        log.close(token, m.now(0))
    assert parts_of(log, 1) == {"run.app": 1_000, "run.ip": 1_000, "wait.nic": 1_000}
    assert parts_of(log, 2) == parts_of(log, 3) == {"run.app": 2_000, "wait.preempted": 1_000}


def test_those_that_stay_stay_when_the_thread_looks_for_more(m, log):
    together(m, log)
    do(m, 0, "tag", BUFFERS)
    do(m, 0, "enter")
    do(m, 0, "part", BUFFERS)
    do(m, 0, "handoff nic", BUFFERS + 9)
    do(m, 0, "leave")
    do(m, 0, "clear")
    assert m.current(0) == 2
    do(m, 0, "switch", THREADS, THREADS + 1)
    m.call(0, CODE, 3)
    do(m, 0, "switch", THREADS + 1, THREADS)
    m.call(0, CODE, 3)
    for token in (1, 2, 3):
        log.close(token, m.now(0))
    assert parts_of(log, 1) == {"run.app": 1_000, "wait.nic": 2_000}
    assert parts_of(log, 2) == {"run.app": 2_000, "wait.socket": 1_000}


def test_what_lies_behind_anothers_answer_leaves_with_it(m, log):
    together(m, log)
    log.open(4, 0)
    log.wait(4, "nic", 0)
    log.tag(0, BUFFERS, 4)
    do(m, 0, "sent nic", BUFFERS)
    assert m.current(0) == 2
    m.call(0, CODE, 3)
    log.mark(4, "run.nic", m.now(0))
    log.close(1, m.now(0))
    assert parts_of(log, 1) == {"run.app": 1_000, "run.nic": 1_000}


def test_a_merged_buffer_goes_with_what_it_became_part_of(m, log):
    for token in (1, 2):
        log.open(token, 0)
        log.tag(0, BUFFERS + token, token)
    do(m, 0, "merge", BUFFERS + 2, BUFFERS + 1)
    do(m, 0, "merge", BUFFERS + 1, BUFFERS + 3)  # which carries nothing
    assert log.take(0, BUFFERS + 1) == log.take(0, BUFFERS + 2) == 0
    do(m, 0, "bind", BUFFERS + 3)
    m.call(0, CODE, 3)
    log.close(2, m.now(0))
    assert m.current(0) == 1
    assert parts_of(log, 2) == {"run.app": 1_000}


def test_it_turns_out_what_was_waited_for(m, log):
    log.open(1, 0)
    log.wait(1, "nic", 0)
    log.tag(0, BUFFERS, 1)
    do(m, 0, "share", BUFFERS, BUFFERS + 1)
    m.call(0, CODE, 3)
    do(m, 0, "waited retransmission", BUFFERS + 1)
    log.close(1, m.now(0))
    assert parts_of(log, 1) == {"wait.retransmission": 1_000}


@pytest.mark.parametrize(("value", "fires"), [(1, True), (0, False), (0x100, False), (0xFF, True)])
def test_a_probe_with_a_condition_fires_where_its_low_byte_is_not_zero(world, m, log, value, fires):
    rows = np.array([(0x3000, 0, 0, 0, 0, 0, (0, 0, 0, 0), (0, 0, 0, 0), (0, 2, 0, 0))], PROBE)
    world.calls.probes(0, rows)
    log.open(1, 0)
    log.tag(0, BUFFERS, 1)
    m.call(0, 0x3000, 1, BUFFERS, 0, value)
    assert m.current(0) == int(fires)


# ---- random histories

small = st.integers(0, 5)
cpus = st.integers(0, 1)
steps = st.one_of(
    st.tuples(st.just("block"), cpus, st.integers(0, len(FUNCTIONS)), st.integers(0, 50)),
    st.tuples(st.just("verb"), cpus, st.sampled_from(sorted(VERB)), small, small),
    st.tuples(st.just("interrupt"), cpus, small),
    st.tuples(st.sampled_from(["exception", "kernel iret", "user iret"]), cpus),
    st.tuples(st.just("idle"), cpus, st.integers(0, 30)),
    st.tuples(st.just("open"), small, st.integers(0, 3000)),
    st.tuples(st.just("mark"), small, st.sampled_from(["run.nic", "wait.link"]), st.integers(0, 20_000)),
    st.tuples(st.just("wait"), small, st.sampled_from(["ring", "nic", "irq", "socket"]), st.integers(0, 20_000)),
    st.tuples(st.just("tag"), small, small),
    st.tuples(st.just("join"), small, small, st.integers(0, 20_000)),
    st.tuples(st.just("take"), small),
    st.tuples(st.just("close"), small, st.integers(0, 20_000)),
)
BEGINNING = [("open", n, 0) for n in range(6)] + [("tag", n, n) for n in range(6)]


def likely_step(random):
    """A step of a long history: mostly what moves requests about, in keys that meet often."""
    cpu, a, b, thread = random.randrange(2), random.randrange(4), random.randrange(4), random.randrange(3)
    kind = random.choices(
        ["block", "bind", "verb", "threads", "interrupt", "exception", "iret", "close", "open", "wait", "idle", "mark", "company"],
        [20, 12, 15, 14, 5, 4, 8, 3, 3, 3, 1, 1, 6],
    )[0]
    return {
        "block": (
            "block",
            cpu,
            random.randrange(len(FUNCTIONS) + 1) if random.random() < 0.3 else a,
            1 + random.randrange(9),
        ),
        "bind": ("verb", cpu, "bind", a, b),
        "verb": ("verb", cpu, random.choice(sorted(VERB)), a, b),
        "threads": ("verb", cpu, random.choice(["switch", "wake", "switch next", "release socket"]), thread, b % 3),
        "interrupt": ("interrupt", cpu, a),
        "exception": ("exception", cpu),
        "iret": (random.choice(["kernel iret", "kernel iret", "user iret"]), cpu),
        "close": ("close", a, random.randrange(1_000_000)),
        "open": ("open", a, random.randrange(1_000)),
        "wait": ("wait", a, random.choice(["ring", "ring", "nic"]), 0),
        "idle": ("idle", cpu, 3),
        "mark": ("mark", a, "run.nic", random.randrange(100_000)),
        "company": random.choice(
            [("join", a, b, 0), ("verb", cpu, random.choice(["gather", "part", "sent nic", "merge", "tag"]), a, b)]
        ),
    }[kind]


def play(world, log, history, machines):
    """Runs a history on the core. A token that is opened again gets a new number."""
    live, running, serial = {}, {0: THREADS, 1: THREADS + 1}, 0
    for kind, who, *rest in history:
        machine = world.machines[who % len(world.machines)]
        if kind == "block":
            machine.call(who, CODE + 0x10 * rest[0], rest[1])
        elif kind == "verb" and rest[0] == "switch next":  # as a kernel does it: from the thread that runs
            following = THREADS + rest[1]
            do(machine, who, "switch", running[who], following, cycles=2)
            running[who] = following
        elif kind == "verb":
            base, step = (THREADS, 1) if rest[0] in ("switch", "wake", "note") else (BUFFERS, 64)
            do(machine, who, rest[0], base + step * rest[1], base + step * rest[2], cycles=2)
        elif kind == "interrupt":
            machine.interrupt(who, live.get(rest[0], 0))
        elif kind in ("exception", "idle"):
            getattr(machine, kind)(who, *rest)
        elif kind in ("kernel iret", "user iret"):
            machine.iret(who, kind == "user iret")
        elif kind == "open" and who not in live:
            serial += 1
            live[who] = serial
            log.open(serial, rest[0])
            log.tag(0, BUFFERS + 64 * who, serial)
        elif kind == "tag":
            log.tag(0, BUFFERS + 64 * who, live.get(rest[0], 0))
        elif kind == "take":
            log.take(0, BUFFERS + 64 * who)
        elif kind in ("mark", "wait") and who in live:
            getattr(log.machine(live[who] % (machines + 1) - 1), kind)(live[who], *rest)
        elif kind == "join" and who in live and rest[0] in live:
            log.join(live[who], live[rest[0]], rest[1])
        elif kind == "close" and who in live:
            log.close(live.pop(who), rest[0] + 3000)
    for token in live.values():
        log.close(token, 10_000_000)


def compare(history, shape):
    """The core and the referee on one history: RequestLog checks sum and sign, this every part."""
    with harness.World(*shape) as world:
        rules = prepare(world)
        log = RequestLog(world.calls, machines=shape[0])
        world.calls.trace(100_000)
        play(world, log, history, shape[0])
        referee = Referee(rules)
        trace = world.calls.trace_read(100_000)
        assert trace.dropped == 0
        referee.feed(trace.events)
        table = log.table()
        assert len(referee.closed) == len(table.token)
        for i, token in enumerate(table.token.tolist()):
            start, end, parts = referee.closed[token]
            assert (start, end) == (int(table.start_ps[i]), int(table.end_ps[i]))
            where = zip(table.places, table.part_names, table.parts_ps[i], strict=True)
            found = {(place, name): int(n) for place, name, n in where if n}
            if shape[0] == 1:  # nobody asks where
                parts = {(0, name): sum(n for (_, part), n in parts.items() if part == name) for _, name in parts}
            assert parts == found
        for machine in world.machines:
            found = {
                (machine.index, int(n["probe"]), int(n["value"])): int(n["count"])
                for n in world.calls.notes(machine.index)
            }
            assert found == {key: count for key, count in referee.notes.items() if key[0] == machine.index}


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=80), st.sampled_from([(1, 2), (2, 2)]))
def test_random_histories_agree_with_the_referee(history, shape):
    compare([*BEGINNING, *history], shape)


@pytest.mark.parametrize("seed", range(60))
def test_long_histories_agree_with_the_referee(seed):
    random = Random(seed)
    compare([*BEGINNING, *(likely_step(random) for _ in range(600))], (1 + seed % 2, 2))
