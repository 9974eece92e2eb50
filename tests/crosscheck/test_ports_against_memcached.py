# SPDX-License-Identifier: GPL-2.0-or-later
"""kvd's ports on libos under QEMU, and the real memcached beside them: the same commands to both, the same bytes back.

What is asked is drawn as for kvd as a process (tests/test_kvd_against_memcached.py), but for datagrams that would be fragmented.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nic.memcached_udp import DEFAULT_PORT
from personalities.base import get_personality
from tests.crosscheck.qemu import QemuServer, needs_qemu
from tests.kvd_host import Client, serving_memcached
from tests.test_kvd_against_memcached import COMMANDS, memcached_version

MOST_BYTES = 1400
ASKED = 50  # memcached falls silent after some 130 datagrams of several commands, fences included

pytestmark = [
    pytest.mark.crosscheck,
    needs_qemu,
    pytest.mark.skipif(memcached_version() != "1.6.18", reason="no memcached 1.6.18: the ports are NOT compared with it"),
]
# A guest of libos does not know the date, and its clock begins at 0: times in the past are not yet.
DATED = (b"2592001", b" -1")


def can_be_asked(each: bytes) -> bool:
    """One frame, no binary protocol, no date."""
    return len(each) <= MOST_BYTES and each[0] != 0x80 and not any(time in each for time in DATED)


DATAGRAMS = st.lists(COMMANDS, min_size=1, max_size=4).map(b"".join).filter(can_be_asked)


@pytest.mark.parametrize("name", ["libos", "libos:linux_kvd", "libos:ported_kvd"])
@settings(
    max_examples=2, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(datagrams=st.lists(DATAGRAMS, min_size=ASKED, max_size=ASKED))
def test_any_commands_are_answered_alike(name: str, tmp_path_factory: pytest.TempPathFactory, datagrams: list[bytes]) -> None:
    personality = get_personality(name)
    spec = personality.prepare(personality.server, personality.arguments_for(personality.server, 1, DEFAULT_PORT))
    folder: Path = tmp_path_factory.mktemp("qemu")
    with QemuServer(spec, 1, folder, DEFAULT_PORT) as server, serving_memcached("-t", "1") as memcached:
        port = Client(server.port)
        answers = [(memcached.ask(datagram), port.ask(datagram)) for datagram in datagrams]
        port.close()
    for datagram, (expected, answer) in zip(datagrams, answers, strict=True):
        assert answer.payload == expected.payload, datagram
    assert sum(bool(expected.payload) for expected, _ in answers) > ASKED / 2
