# SPDX-License-Identifier: GPL-2.0-or-later
"""The same image files under QEMU and under Cyclescope: both answer recorded requests as the recorded memcached did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cyclescope.config import Hardware
from cyclescope.experiments.recording import Recording, load_recording
from cyclescope.experiments.replay import replay
from nic.exchanges import Exchange
from nic.frames import parse_udp
from nic.memcached_udp import DEFAULT_PORT, FRAME, FRAME_BYTES
from personalities.base import get_personality
from tests.crosscheck.qemu import QemuServer, needs_qemu

CAPTURE = Path(__file__).parents[1] / "captures" / "memcached-udp-300.pcap"
REQUESTS = 300
SERVERS = [
    ("libos", 1), ("libos", 4), ("linux_like", 1), ("linux_like", 4), ("libos:linux_kvd", 4), ("libos:ported_kvd", 4),
]  # fmt: skip

pytestmark = [pytest.mark.crosscheck, needs_qemu]


@pytest.fixture(scope="module")
def recording() -> Recording:
    found = load_recording(CAPTURE).first(REQUESTS)
    assert len(found.exchanges) == REQUESTS
    assert all(exchange.answer for exchange in found.exchanges)
    return found


@pytest.mark.parametrize(("name", "cpus"), SERVERS)
def test_qemu_answers_as_recorded(name: str, cpus: int, recording: Recording, tmp_path: Path) -> None:
    personality = get_personality(name)
    spec = personality.prepare(personality.server, personality.arguments_for(personality.server, cpus, DEFAULT_PORT))
    answers = []
    with QemuServer(spec, cpus, tmp_path, DEFAULT_PORT) as server, server.client() as sock:
        for number, exchange in enumerate(recording.exchanges, 1):
            payload = payload_of(exchange)
            sock.send(payload)
            try:
                answers.append(answer_to(payload, sock.recv))
            except TimeoutError:
                pytest.fail(f"request {number}, {payload[FRAME_BYTES:]!r}, was not answered: {server.console}")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            pytest.fail(f"an answer too many: {sock.recv(65_536)!r}")
    different = [
        (number, payload_of(exchange)[FRAME_BYTES:], exchange.answer, answer)
        for number, (exchange, answer) in enumerate(zip(recording.exchanges, answers, strict=True), 1)
        if answer != exchange.answer
    ]
    assert not different


@pytest.mark.parametrize(("name", "cpus"), SERVERS)
def test_cyclescope_answers_as_recorded(name: str, cpus: int, recording: Recording) -> None:
    result = replay(recording, get_personality(name), Hardware(cpus=cpus), check=True)
    assert (result.different, result.lost, result.equal) == ((), 0, REQUESTS)


def payload_of(exchange: Exchange) -> bytes:
    """The request's UDP payload, memcached's frame header included."""
    udp = parse_udp(exchange.frame)
    assert udp is not None
    return udp.payload


def answer_to(request: bytes, receive: Callable[[int], bytes]) -> bytes:
    """The answer's text, put together here and not by the code under test; bare headers are no answer."""
    parts: dict[int, bytes] = {}
    while True:
        data = receive(65_536)
        if len(data) == FRAME_BYTES:
            continue
        ident, sequence, total, reserved = FRAME.unpack_from(data)
        assert data[:2] == request[:2], f"an answer to request {ident:#x}, which is not outstanding: {data!r}"
        assert (reserved, sequence < total, sequence in parts) == (0, True, False), data
        parts[sequence] = data[FRAME_BYTES:]
        if len(parts) == total:
            return b"".join(parts[place] for place in range(total))
