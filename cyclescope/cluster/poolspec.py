# SPDX-License-Identifier: GPL-2.0-or-later
"""A kind of machine that guests may have powered on while a cluster runs: a [[pool]] table."""

from __future__ import annotations

import msgspec

from emu.errors import ConfigError

#: From the image's last byte to the kernel's first instruction: a small virtual machine monitor's start; its loader is PVH's.
#: Published: Firecracker, SPECIFICATION.md, its monitor starts within 8 ms of CPU.
FIRMWARE_US = 8_000.0
#: From a question's arrival to the image's first byte: finding a host for it. Public clouds take seconds; a local one need not.
#: Assumed.
CONTROL_US = 1_000.0
STARTS_PER_MACHINE = 2


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Machines of one kind; the first started is called `NAME-1`.

    Attributes:
        role, program, arguments: as of a node.
        max: how many may be on at once, parked ones among them.
        starts: how many may be started in a run; None: twice `max`. A freed machine is not started again: the next is a new one.
        warm: how many are kept booted and parked.
        rate_bps, propagation_ns, switch: their links; the image comes over it. None: the only switch.
        control_us: from the question to the image's first byte.
        firmware_us: from the image's last byte to the kernel's first instruction.
    """

    name: str
    personality: str = "libos"
    knobs: tuple[str, ...] = ()
    program: str = "kvd"
    arguments: tuple[str, ...] | None = None
    role: str = "back"
    vcpus: int = 1
    memory_mib: int = 64
    uarch: str = "skylake_sp"
    max: int = 4
    starts: int | None = None
    warm: int = 0
    rate_bps: int = 10_000_000_000
    propagation_ns: int = 50
    switch: str | None = None
    control_us: float = CONTROL_US
    firmware_us: float = FIRMWARE_US

    @property
    def most_starts(self) -> int:
        """`starts`, or what stands in its place."""
        return STARTS_PER_MACHINE * self.max if self.starts is None else self.starts

    def machine_name(self, serial: int) -> str:
        """Of the machine that is started as number `serial`, from 1."""
        return f"{self.name}-{serial}"

    @property
    def machine_names(self) -> tuple[str, ...]:
        """Of all that could ever be."""
        return tuple(self.machine_name(serial) for serial in range(1, self.most_starts + 1))

    def check(self) -> None:
        """Raises ConfigError."""
        where = f"[[pool]] {self.name}"
        within(f"{where}: vcpus", self.vcpus, 1, 16)
        within(f"{where}: mem", self.memory_mib, 64, 8192, " MiB")
        within(f"{where}: max", self.max, 1, 63)
        within(f"{where}: starts", self.most_starts, self.max, 63)
        within(f"{where}: warm", self.warm, 0, self.max)
        within(f"{where}: propagation_ns", self.propagation_ns, 0, 1e9)
        within(f"{where}: rate", self.rate_bps, 1_000_000, 400_000_000_000, " bit/s")
        within(f"{where}: control_us", self.control_us, 0, 1e8)
        within(f"{where}: firmware_us", self.firmware_us, 0, 1e8)


def within(what: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Raises ConfigError where it is not."""
    if not low <= value <= high:
        raise ConfigError(f"{what} is {value}: give {low:g} to {high:g}{unit}")
