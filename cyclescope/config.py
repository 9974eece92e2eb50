# SPDX-License-Identifier: GPL-2.0-or-later
"""What an experiment is run on and with: frozen, checked once, hashed.

The hash names everything that must be the same for two results to be comparable: the hardware (vCPUs, memory, processor
table, NIC, links, switch), the load and the timing level. It leaves the personality out, so that two columns of one table
carry the same hash.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

import msgspec

from emu.errors import ConfigError

_RATE = re.compile(r"(\d+(?:\.\d+)?)([MG])(?:bit)?(?:/s)?", re.IGNORECASE)
Locks = Literal["striped", "global"]
DEFAULT_LOCKS: Locks = "striped"  # kvd's own
DEFAULT_TIMING = "detailed"  # the level whose errors are known (docs/validation.md); `fast` is for a quick look


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """One guest machine and the fabric between it and the client.

    Attributes:
        cpus: vCPUs of the guest, 1..16; the NIC has as many queue pairs.
        memory_mib: guest RAM [MiB], 64..8192.
        uarch: processor table's name (`emu/uarch/NAME.toml`).
        link_bps: rate of every link [bit/s].
        propagation_ns: one way, of each of the two links [ns]; 10 m of fibre is 50 ns (published: 5 ns/m).
        switch_ns: forwarding latency of the switch [ns] (published range, Chronos: 1 to 4 us).
        moderation_us: interrupt moderation of the NIC [us]; 0 is off.
        cross_traffic: load that other hosts put on the switch's port to the guest, share of its rate, 0..0.9.
        quantum_cycles: how far a vCPU may run ahead of the slowest at the timed levels [cycles]; 100 while it exchanges lines.
        rows: rows of the processor table with another value than the table's (`--set`), by name.
    """

    cpus: int = 4
    memory_mib: int = 256
    uarch: str = "skylake_sp"
    link_bps: int = 10_000_000_000
    propagation_ns: int = 50
    switch_ns: int = 1_000
    moderation_us: int = 0
    cross_traffic: float = 0.0
    quantum_cycles: int = 400
    rows: dict[str, int] = {}

    def check(self) -> None:
        """Raises ConfigError for the first value out of range."""
        _within("--cpus", self.cpus, 1, 16, "vCPUs")
        _within("--mem", self.memory_mib, 64, 8192, "MiB")
        _within("--net", self.link_bps, 1_000_000, 400_000_000_000, "bit/s")
        _within("propagation_ns", self.propagation_ns, 0, 1_000_000_000, "ns")
        _within("switch_ns", self.switch_ns, 0, 1_000_000_000, "ns")
        _within("--moderation", self.moderation_us, 0, 100_000, "us")
        _within("--quantum", self.quantum_cycles, 50, 100_000, "cycles")
        if not 0.0 <= self.cross_traffic <= 0.9:
            raise ConfigError(f"--cross-traffic is {self.cross_traffic}: give a share of the link's rate from 0 to 0.9")


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The requests: ETC-like memcached traffic, one schedule for every personality.

    Attributes:
        requests: measured requests; warm-up comes on top and is left out of every figure.
        warmup: requests served before measuring.
        load: offered load as a share of the slowest personality's measured capacity, when neither rate nor closed is given.
        rate: offered load [requests/s], or None.
        closed: requests kept outstanding in a closed loop, or None for the open loop.
        keys: distinct keys, all stored before the warm-up.
        flows: client UDP ports the requests are spread over (RSS needs several).
        connections: TCP connections the requests are spread over; 0: they go over UDP.
        loss: share of frames lost on the link, each way (TCP alone: UDP would lose the requests).
    """

    requests: int = 10_000
    warmup: int = 1_000
    load: float = 0.7
    rate: float | None = None
    closed: int | None = None
    seed: int = 1
    keys: int = 1_000
    flows: int = 64
    connections: int = 0
    loss: float = 0.0
    locks: Locks = DEFAULT_LOCKS

    def check(self) -> None:
        """Raises ConfigError for the first value out of range."""
        _within("--requests", self.requests, 1, 100_000_000, "requests")
        _within("--warmup", self.warmup, 0, 100_000_000, "requests")
        _within("--seed", self.seed, 0, 2**63 - 1, "")
        _within("--keys", self.keys, 1, 1_000_000, "keys")
        _within("--flows", self.flows, 1, 10_000, "client ports")
        _within("--connections", self.connections, 0, 1_000, "TCP connections (0: UDP)")
        if not 0.0 <= self.loss <= 0.5:
            raise ConfigError(f"--loss is {self.loss}: give a share of the frames from 0 to 0.5")
        if self.loss and not self.connections:
            raise ConfigError("--loss needs --tcp: over UDP a lost frame is a lost request")
        if not 0.0 < self.load <= 2.0:
            raise ConfigError(f"--load is {self.load}: give a share of capacity above 0 and at most 2")
        if self.rate is not None and not 1.0 <= self.rate <= 1e8:
            raise ConfigError(f"--rate is {self.rate}: give requests per second from 1 to 100000000")
        if self.closed is not None:
            _within("--closed", self.closed, 1, 10_000, "requests outstanding")
        if self.rate is not None and self.closed is not None:
            raise ConfigError("--rate and --closed exclude each other: give one of them")


def parse_rate(text: str) -> int:
    """`10G` or `2.5G` -> bit/s. Raises ConfigError."""
    match = _RATE.fullmatch(text)
    if not match:
        raise ConfigError(f"{text!r}: give a link rate such as 1G, 10G or 100G")
    return int(float(match[1]) * (1e9 if match[2].upper() == "G" else 1e6))


def config_hash(*parts: msgspec.Struct | str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the parts as canonical JSON."""
    digest = hashlib.sha256(msgspec.json.encode(parts, order="sorted"))
    return digest.hexdigest()[:16]


def _within(option: str, value: int, low: int, high: int, unit: str) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{option} is {value}: give {low} to {high}{' ' + unit if unit else ''}")
