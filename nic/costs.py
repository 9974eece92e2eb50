# SPDX-License-Identifier: GPL-2.0-or-later
"""What the NIC's way to memory costs. Every number has its source and grade; none is tuned.

The three latencies are RAMCloud's, measured on real hardware with an e1000-class NIC and minimum frames ("RPC Performance
Numbers", RAMCloud wiki): poking the NIC 147-150 ns, NIC reading a packet from memory 200-205 ns, NIC writing one 260-264 ns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from emu.errors import ConfigError
from emu.units import ns


@dataclass(frozen=True)
class NicCosts:
    """Latencies in nanoseconds, rate in bits a second.

    doorbell_ns: from the driver's write to the device acting on it. Published (RAMCloud: 147 and 150).
    read_ns: one dependent read of host memory. Published (RAMCloud: 205 and 200, for a whole minimum packet). That the avail ring,
        the descriptors and the payload are three dependent reads (four with an indirect table) is modelled.
    write_ns: a received frame's way into memory, used ring included. Published (RAMCloud: 264 and 260).
    pcie_bits_per_s: payload moves at this rate, on top. PCIe 3.0 x8: 8 GT/s, 8 lanes, 128b/130b
        (published); packet headers are left out.
    """

    doorbell_ns: int = 147
    read_ns: int = 205
    write_ns: int = 264
    pcie_bits_per_s: int = 63_015_384_615

    def __post_init__(self) -> None:
        if min(self.doorbell_ns, self.read_ns, self.write_ns) < 0 or self.pcie_bits_per_s < 1_000_000:
            raise ConfigError("NIC costs must not be negative, and PCIe must move at least 1 Mbit/s")

    @cached_property
    def doorbell_ps(self) -> int:
        """`doorbell_ns` in picoseconds."""
        return ns(self.doorbell_ns)

    @cached_property
    def read_ps(self) -> int:
        """`read_ns` in picoseconds."""
        return ns(self.read_ns)

    @cached_property
    def write_ps(self) -> int:
        """`write_ns` in picoseconds."""
        return ns(self.write_ns)

    @cached_property
    def byte_ps(self) -> int:
        """Time of one payload byte on PCIe [ps], rounded up."""
        return -(-8 * 1_000_000_000_000 // self.pcie_bits_per_s)


@dataclass(frozen=True, slots=True)
class Moderation:
    """Interrupt moderation of one vector: hold an interrupt until `usecs` have passed since the first frame it is for, or until
    `frames` frames are waiting. 0 and 0: off, each batch interrupts at once. (ethtool's rx-usecs and rx-frames.)"""

    usecs: int = 0
    frames: int = 0

    def __post_init__(self) -> None:
        if self.usecs < 0 or self.frames < 0 or (self.frames and not self.usecs):
            raise ConfigError("interrupt moderation needs usecs >= 0 and frames >= 0, and usecs where frames is set")

    @property
    def on(self) -> bool:
        """Whether interrupts are held at all."""
        return self.usecs > 0


@dataclass(frozen=True)
class NicConfig:
    """One virtio-net function. `mac` is text; pairs 1..16; queue_size a power of two up to 256; fifo_frames per queue pair."""

    mac: str = "52:54:00:12:34:56"
    pairs: int = 4
    queue_size: int = 256
    fifo_frames: int = 64
    moderation: Moderation = Moderation()
    costs: NicCosts = NicCosts()

    def __post_init__(self) -> None:
        if not 1 <= self.pairs <= 16:
            raise ConfigError(f"a NIC has 1 to 16 queue pairs, not {self.pairs}")
        if not 2 <= self.queue_size <= 256 or self.queue_size & (self.queue_size - 1):
            raise ConfigError(f"a queue's size is a power of two from 2 to 256, not {self.queue_size}")
        if self.fifo_frames < 0:
            raise ConfigError("a NIC's receive FIFO cannot hold fewer than 0 frames")
