# SPDX-License-Identifier: GPL-2.0-or-later
"""Replaying a capture's requests into a guest, and checking its answers against the recorded ones.

Frames go in as captured but for MAC and IP addresses, rewritten to the client's and the guest's, and checksums, mended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cyclescope.config import DEFAULT_TIMING, Hardware
from cyclescope.experiments.compare import server_arguments
from cyclescope.experiments.meter import Meter
from cyclescope.experiments.phases import Phase, Progress, no_progress
from cyclescope.experiments.recording import Recording
from cyclescope.experiments.testbed import Testbed
from cyclescope.result import Run
from emu.errors import ConfigError, GuestError
from emu.loader.boot import BootSpec
from emu.snapshot import SavedWorld
from nic.applications import MEMCACHED
from nic.frames import parse_ip, parse_udp
from nic.matching import EndpointConfig
from nic.sources.arrivals import as_captured
from nic.sources.capture import rewrite
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
    """What came of a replay. `compared` requests have a recorded answer; `equal + len(different) + lost == compared`.

    Equal means byte for byte, but for what the protocol says may differ. `run`: where the requests' time went.
    """

    requests: int
    compared: int
    equal: int
    different: tuple[Difference, ...]
    lost: int
    phase: Phase
    latency_ps: tuple[int, ...]
    run: Run


def replay(
    recording: Recording,
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
    """Boots the personality's `spec`, or its server for memcached's requests, and sends them: one at a time when `check`ing, else
    as captured or with `closed` outstanding. With `saved`, a snapshot of just that booted machine, nothing is booted.

    Raises:
        ConfigError: a value out of range, a missing image, nothing to check against.
        GuestError: the guest crashed or hung.
    """
    exchanges, application = recording.exchanges, recording.application
    if check and not any(exchange.answer is not None for exchange in exchanges):
        raise ConfigError("--check: the capture holds no answers; record both directions, or replay without --check")
    if spec is None:
        if application is not MEMCACHED:
            raise ConfigError(
                f"{personality.server} speaks memcached's protocol, not {application.name}: "
                "`cyclescope linux --replay` serves others"
            )
        spec = personality.prepare(personality.server, server_arguments(personality, hardware))
    answers: dict[int, bytes] = {}

    def keep(index: int, answer: bytes, time_ps: int) -> None:
        answers[index] = answer

    matcher = application.matcher(exchanges)
    with Testbed(hardware, personality, spec, timing=timing, matcher=matcher, on_answer=keep) as bed:
        bed.begin(saved, progress)
        started()
        addresses = EndpointConfig()
        client, guest = parse_ip(addresses.ip), parse_ip(addresses.guest_ip)
        frames = [rewrite(e.frame, src_mac=bytes(6), dst_mac=bytes(6), src_ip=client, dst_ip=guest) for e in exchanges]
        meter = Meter(bed)
        if check or closed is not None:
            phase = bed.closed_loop(1 if check else closed or 1, frames, "replaying", progress)
        else:
            times = as_captured([e.time_ns for e in exchanges], multiplier, bed.world.now_ps)
            phase = bed.open_loop(times.tolist(), frames, "replaying", progress)
        if not phase.answered:
            raise GuestError(f"{personality.name}: none of {phase.count} requests was answered")
        run, _ = meter.read(phase, rate_rps=phase.rate_rps)
        ends, starts = bed.client.ends_ps[phase.first :], bed.client.starts_ps[phase.first :]
    return _compared(recording, answers, phase, tuple(e - s for s, e in zip(starts, ends, strict=True) if e), run)


def _compared(
    recording: Recording, answers: dict[int, bytes], phase: Phase, latency_ps: tuple[int, ...], run: Run
) -> Replayed:
    application = recording.application
    different: list[Difference] = []
    equal = lost = compared = 0
    for number, exchange in enumerate(recording.exchanges):
        if exchange.answer is None:
            continue
        compared += 1
        answer = answers.get(phase.first + number)
        if answer is None:
            lost += 1
        elif answer == exchange.answer or application.comparable(answer) == application.comparable(exchange.answer):
            equal += 1
        else:
            udp = parse_udp(exchange.frame)
            request = application.text(udp.payload if udp is not None else b"")
            different.append(Difference(number + 1, request, exchange.answer, answer))
    return Replayed(len(recording.exchanges), compared, equal, tuple(different), lost, phase, latency_ps, run)
