# SPDX-License-Identifier: GPL-2.0-or-later
"""Replaying a capture's memcached requests into a guest, and checking its answers against the recorded ones.

Frames go in as captured but for MAC and IP addresses, rewritten to the client's and the guest's, and checksums, mended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclescope.config import DEFAULT_TIMING, Hardware
from cyclescope.experiments.compare import PROGRAM, server_arguments
from cyclescope.experiments.testbed import Phase, Progress, Testbed, no_progress
from emu.errors import ConfigError, GuestError
from emu.loader.boot import BootSpec
from emu.snapshot import SavedWorld
from nic.frames import parse_ip
from nic.matching import EndpointConfig
from nic.memcached_udp import DEFAULT_PORT, FRAME_BYTES, Exchange, Recorded, pair_exchanges
from nic.sources.arrivals import as_captured
from nic.sources.capture import read_capture, rewrite
from personalities.base import Personality


@dataclass(frozen=True)
class Difference:
    """Request number (from 1, in the capture's order), what was asked, recorded, and answered (None: nothing)."""

    number: int
    request: bytes
    recorded: bytes
    answered: bytes | None


@dataclass(frozen=True)
class Replayed:
    """What came of a replay. `compared` requests have a recorded answer; `equal + len(different) + lost == compared`."""

    requests: int
    compared: int
    equal: int
    different: tuple[Difference, ...]
    lost: int
    phase: Phase
    latency_ps: tuple[int, ...]


def load_exchanges(path: Path, port: int = DEFAULT_PORT) -> list[Exchange]:
    """The capture's requests to UDP `port` with their answers. Raises ConfigError when it has none."""
    exchanges = list(pair_exchanges(((frame.time_ns, frame.data) for frame in read_capture(path)), port))
    if not exchanges:
        raise ConfigError(f"{path}: holds no request to UDP port {port}; give another capture")
    return exchanges


def replay(
    exchanges: Sequence[Exchange],
    personality: Personality,
    hardware: Hardware,
    *,
    check: bool,
    spec: BootSpec | None = None,
    saved: SavedWorld | None = None,
    multiplier: float = 1.0,
    closed: int | None = None,
    timing: str = DEFAULT_TIMING,
    progress: Progress = no_progress,
    started: Callable[[], None] = lambda: None,
) -> Replayed:
    """Boots kvd, or the personality's `spec`, and sends the requests: one at a time when `check`ing, else as captured or with
    `closed` outstanding. With `saved`, a snapshot of just that booted machine, nothing is booted.

    Raises:
        ConfigError: a value out of range, a missing image, nothing to check against.
        GuestError: the guest crashed or hung.
    """
    if check and not any(exchange.answer is not None for exchange in exchanges):
        raise ConfigError("--check: the capture holds no answers; record both directions, or replay without --check")
    spec = spec or personality.prepare(PROGRAM, server_arguments(personality, hardware))
    answers: dict[int, bytes] = {}

    def keep(index: int, answer: bytes, time_ps: int) -> None:
        answers[index] = answer

    matcher = Recorded((exchange.key, exchange.answer) for exchange in exchanges)
    with Testbed(hardware, personality, spec, timing=timing, matcher=matcher, on_answer=keep) as bed:
        bed.begin(saved, progress)
        started()
        addresses = EndpointConfig()
        client, guest = parse_ip(addresses.ip), parse_ip(addresses.guest_ip)
        frames = [rewrite(e.frame, src_mac=bytes(6), dst_mac=bytes(6), src_ip=client, dst_ip=guest) for e in exchanges]
        if check or closed is not None:
            phase = bed.closed_loop(1 if check else closed or 1, frames, "replaying", progress)
        else:
            times = as_captured([e.time_ns for e in exchanges], multiplier, bed.world.now_ps)
            phase = bed.open_loop(times.tolist(), frames, "replaying", progress)
        if not phase.answered:
            raise GuestError(f"{personality.name}: none of {phase.count} requests was answered")
        ends, starts = bed.client.ends_ps[phase.first :], bed.client.starts_ps[phase.first :]
    return _compared(exchanges, answers, phase, tuple(e - s for s, e in zip(starts, ends, strict=True) if e))


def _compared(
    exchanges: Sequence[Exchange], answers: dict[int, bytes], phase: Phase, latency_ps: tuple[int, ...]
) -> Replayed:
    different: list[Difference] = []
    equal = lost = compared = 0
    for number, exchange in enumerate(exchanges):
        if exchange.answer is None:
            continue
        compared += 1
        answer = answers.get(phase.first + number)
        if answer == exchange.answer:
            equal += 1
        elif answer is None:
            lost += 1
        else:
            different.append(Difference(number + 1, _text(exchange.frame), exchange.answer, answer))
    return Replayed(len(exchanges), compared, equal, tuple(different), lost, phase, latency_ps)


def _text(frame: bytes) -> bytes:
    header = 14 + (frame[14] & 15) * 4 + 8 + FRAME_BYTES
    return frame[header:]
