# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job: the same hardware, the same requests at the same times, several personalities, one table.

Each personality is booted, given the keys, warmed up, and its capacity is measured in a closed loop. Then all of them get
one open-loop Poisson schedule at a share of the slowest one's capacity (or a given rate, or a closed loop); only that is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cyclescope.config import DEFAULT_LOCKS, DEFAULT_TIMING, Hardware, Load, config_hash
from cyclescope.experiments.meter import Meter, inputs_of
from cyclescope.experiments.phases import Phase, Progress, no_progress
from cyclescope.experiments.saved import Start
from cyclescope.experiments.testbed import TcpLoad, Testbed
from cyclescope.experiments.workload import frames
from cyclescope.result import Outcome
from emu.errors import ConfigError, GuestError
from emu.loader.boot import BootSpec
from nic.memcached_text import commands
from nic.memcached_udp import DEFAULT_PORT
from nic.ports import Frame
from nic.sources.arrivals import poisson
from nic.sources.etc import EtcLoad
from personalities.base import Personality

CAPACITY_REQUESTS = 2_000
OUTSTANDING_PER_CPU = 8
PRELOAD_OUTSTANDING = 4
PROGRAM = "kvd"  # ours
PROGRAMS = (PROGRAM, "linux_kvd", "ported_kvd")  # and its other ports: their locks an experiment may choose
TCP_PROGRAM = "memcached"  # kvd speaks UDP alone


@dataclass
class Wire:
    """The client's frames while `on`: (time_ps, direction, frame)."""

    on: bool = False
    frames: list[tuple[int, str, Frame]] = field(default_factory=list)

    def __call__(self, time_ps: int, direction: str, frame: Frame) -> None:
        if self.on:
            self.frames.append((time_ps, direction, frame))


def server_arguments(personality: Personality, hardware: Hardware) -> list[str]:
    """Its server's words: a worker a vCPU; a quarter of the memory for items, 64 MiB at most, as memcached has by default."""
    megabytes = min(64, hardware.memory_mib // 4)
    return [*personality.arguments_for(personality.server, hardware.cpus, DEFAULT_PORT), "-m", str(megabytes)]


def server(personality: Personality, hardware: Hardware, load: Load) -> BootSpec:
    """What serves the load: the personality's server over UDP, memcached over TCP.

    Raises ConfigError where a personality has no TCP, or locks are asked of a program that is not kvd.
    """
    if not load.connections:
        words = server_arguments(personality, hardware)
        if personality.server in PROGRAMS:
            words += ["--locks", load.locks]
        elif load.locks != DEFAULT_LOCKS:
            raise ConfigError(f"--locks is kvd's; {personality.name} serves with {personality.server}")
        return personality.prepare(personality.server, words)
    words = personality.arguments_for(TCP_PROGRAM, hardware.cpus, DEFAULT_PORT)
    if not words:
        raise ConfigError(f"--tcp: {personality.name} has no TCP; --personality linux has")
    return personality.prepare(TCP_PROGRAM, words)


class Contender:
    """One personality on its testbed, through the phases of a comparison."""

    def __init__(
        self, personality: Personality, hardware: Hardware, load: Load, timing: str, keep_wire: bool, start: Start | None = None,
        profiled: bool = False,
    ) -> None:  # fmt: skip
        self.start, self.profiled = start, profiled
        spec = start.spec if start is not None else server(personality, hardware, load)
        tcp = TcpLoad(load.connections, load.loss, load.seed) if load.connections else None
        self.personality, self.hardware, self.load = personality, hardware, load
        self.traffic = EtcLoad(load.seed, load.keys)
        self.wire = Wire() if keep_wire else None
        self.bed = Testbed(hardware, personality, spec, timing=timing, sink=self.wire, tcp=tcp)
        self.capacity_rps = 0.0

    def prepare(self, progress: Progress) -> None:
        """Boot, or go on from a snapshot, and store the keys."""
        self.bed.begin(self.start.saved if self.start is not None else None, progress)
        if self.profiled:
            self.bed.follow_calls()  # from here, so that most stacks are whole when it counts
        preload = list(self._framed(self.traffic.preload()))
        phase = self.bed.closed_loop(PRELOAD_OUTSTANDING, preload, "storing the keys", progress)
        if phase.lost:
            raise GuestError(f"{self.personality.name}: {phase.lost} of {phase.count} keys could not be stored")

    def measure_capacity(self, progress: Progress) -> None:
        """Answers a second with OUTSTANDING_PER_CPU requests under way for each vCPU; also the first warm-up."""
        count = min(CAPACITY_REQUESTS, max(self.load.requests, 200))
        sent = list(self._framed(self.traffic.requests(count)))
        phase = self.bed.closed_loop(OUTSTANDING_PER_CPU * self.hardware.cpus, sent, "measuring capacity", progress)
        if not phase.answered:
            raise GuestError(f"{self.personality.name}: none of {phase.count} requests was answered")
        self.capacity_rps = phase.rate_rps

    def measure(self, rate_rps: float, digest: str, progress: Progress) -> Outcome:
        """Warm up, then the measured requests; `rate_rps` is for the open loop."""
        load, bed = self.load, self.bed
        if load.warmup:
            self._send(load.warmup, rate_rps, load.seed + 1, "warming up", progress)
        meter = Meter(bed)
        if self.wire is not None:
            self.wire.on = True
        phase = self._send(load.requests, rate_rps, load.seed, "measuring", progress)
        if self.wire is not None:
            self.wire.on = False
        if not phase.answered:
            raise GuestError(f"{self.personality.name}: none of {phase.count} requests was answered")
        run, host = meter.read(
            phase,
            config_hash=digest,
            capacity_rps=self.capacity_rps,
            rate_rps=rate_rps if load.closed is None else phase.rate_rps,
            inputs=self.start.inputs if self.start is not None else inputs_of(bed),
        )
        return Outcome(run, host, self.wire.frames if self.wire else [])

    def _framed(self, datagrams: Iterable[bytes]) -> Iterator[bytes]:
        """What the client is given: frames over UDP, commands over TCP."""
        return commands(datagrams) if self.load.connections else frames(datagrams, self.load.flows)

    def _send(self, count: int, rate_rps: float, seed: int, label: str, progress: Progress) -> Phase:
        sent = self._framed(self.traffic.requests(count))
        if self.load.closed is not None:
            return self.bed.closed_loop(self.load.closed, list(sent), label, progress)
        times = poisson(count, rate_rps, seed, self.bed.world.now_ps)
        return self.bed.open_loop(times.tolist(), sent, label, progress)


def compare(
    personalities: Sequence[Personality],
    hardware: Hardware,
    load: Load,
    *,
    timing: str = DEFAULT_TIMING,
    keep_wire: bool = False,
    profiled: bool = False,
    progress: Progress = no_progress,
    starts: Sequence[Start] = (),
) -> tuple[str, list[Outcome]]:
    """Runs the comparison; the configuration's hash and an outcome a personality, in the order given.

    `profiled`: with call stacks followed, which changes no figure.
    With `starts`, a snapshot of each personality on that hardware, nothing is booted.

    Raises:
        ConfigError: a value out of range, a personality named twice, an image missing.
        GuestError: a guest crashed, hung, or answered nothing.
    """
    hardware.check()
    load.check()
    if len({p.name for p in personalities}) != len(personalities) or not personalities:
        raise ConfigError("--personality: name each personality once")
    digest = config_hash(hardware, load, timing)
    contenders: list[Contender] = []
    try:
        for number, personality in enumerate(personalities):
            start = starts[number] if starts else None
            contenders.append(Contender(personality, hardware, load, timing, keep_wire, start, profiled))
        for contender in contenders:
            contender.prepare(progress)
        if load.closed is None and load.rate is None:
            for contender in contenders:
                contender.measure_capacity(progress)
            rate = load.load * min(contender.capacity_rps for contender in contenders)
        else:
            rate = load.rate or 0.0
        return digest, [contender.measure(rate, digest, progress) for contender in contenders]
    finally:
        for contender in contenders:
            contender.bed.close()
