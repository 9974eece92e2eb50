# SPDX-License-Identifier: GPL-2.0-or-later
"""A run of two of our TCP hosts, as tshark's analysis sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nic.faults import LinkFaults
from tests.tcp_pair import PORT, Pair, User
from tests.test_nic_tcp_pair import pattern
from tests.tshark import HAVE_TSHARK, judge

ORDINARY = (
    "Connection establish request (SYN)", "Connection establish acknowledge (SYN+ACK)", "Connection finish (FIN)",
    "This frame initiates the connection closing", "This frame undergoes the connection closing",
)  # fmt: skip
OF_LOSS = (
    "This frame is a (suspected) retransmission", "This frame is a (suspected) fast retransmission", "Duplicate ACK (#",
    "This frame is a (suspected) spurious retransmission", "This frame is a (suspected) out-of-order segment",
    "Previous segment(s) not captured", "D-SACK Sequence", "ACKed segment that wasn't captured",
)  # fmt: skip

pytestmark = [pytest.mark.crosscheck, pytest.mark.skipif(not HAVE_TSHARK, reason="tshark is not installed")]


def streams(faults: tuple[LinkFaults, LinkFaults] | None = None) -> Pair:
    pair = Pair(faults=faults, user=User(brief=True))
    for number in range(10):
        pair.a.connect(PORT, 0)
        pair.a.write(number, pattern(50_000, number), 0)
    pair.run()
    assert all(pair.user.got[number] == pattern(50_000, number) for number in range(10))
    return pair


def test_a_clean_run_has_nothing_to_remark(tmp_path: Path) -> None:
    said, wrong = judge(tmp_path, streams().frames)
    assert not wrong
    assert [message for message in said if not message.startswith(ORDINARY)] == []


def test_with_loss_only_what_loss_explains_is_remarked(tmp_path: Path) -> None:
    said, wrong = judge(tmp_path, streams((LinkFaults(loss=0.01),) * 2).frames)
    assert not wrong
    assert [message for message in said if not message.startswith(ORDINARY + OF_LOSS)] == []
    assert said["This frame is a (suspected) fast retransmission"] > 0
