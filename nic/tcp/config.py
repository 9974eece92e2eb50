# SPDX-License-Identifier: GPL-2.0-or-later
"""What a TCP end may be told."""

from __future__ import annotations

from dataclasses import dataclass

from emu.errors import ConfigError
from emu.units import PS_PER_MS, PS_PER_S

MIN_MSS = 48
"""The smallest segment a peer may talk us down to (Linux's bound): below it, headers would be all that travels."""
DEFAULT_MSS = 536
"""What a peer that names no maximum segment size takes (RFC 9293, published)."""


@dataclass(frozen=True, slots=True)
class TcpConfig:
    """Times in picoseconds. The defaults are Linux's, but for the congestion control (NewReno, not CUBIC).

    Attributes:
        mss: the largest segment we take [bytes]; 1460 fills an Ethernet frame.
        receive_buffer: bytes we keep for a reader; the window announces it.
        window_scale, timestamps, sack: whether each option is offered, and accepted.
        delayed_ack_ps: how long an acknowledgement may wait for company (RFC 9293: under 500 ms).
        min_rto_ps: the least retransmission timeout (RFC 6298 says 1 s, Linux has 200 ms).
        retries: retransmissions of one segment before the connection is given up; syn_retries: of a SYN.
        time_wait_ps: twice the maximum segment lifetime.
        seed: what initial sequence numbers and timestamps come from.
        iss: the initial sequence number of every connection, for tests; None: by seed and ports.
    """

    mss: int = 1460
    receive_buffer: int = 128 * 1024
    window_scale: bool = True
    timestamps: bool = True
    sack: bool = True
    delayed_ack_ps: int = 40 * PS_PER_MS
    min_rto_ps: int = 200 * PS_PER_MS
    retries: int = 15
    syn_retries: int = 6
    time_wait_ps: int = 60 * PS_PER_S
    seed: int = 1
    iss: int | None = None

    def __post_init__(self) -> None:
        if not MIN_MSS <= self.mss <= 1460:
            raise ConfigError(f"TCP's maximum segment size is {self.mss}: give {MIN_MSS} to 1460 bytes")
        if not 1 <= self.receive_buffer <= 1 << 29:
            raise ConfigError(f"TCP's receive buffer is {self.receive_buffer}: give 1 to {1 << 29} bytes")
        if not 0 <= self.delayed_ack_ps < PS_PER_S // 2:
            raise ConfigError("TCP's delayed acknowledgement waits from 0 to under 500 ms")
        if not PS_PER_MS <= self.min_rto_ps <= 60 * PS_PER_S or self.time_wait_ps < 0:
            raise ConfigError("TCP's least retransmission timeout is from 1 ms to 60 s, its TIME_WAIT at least 0")
        if self.retries < 1 or self.syn_retries < 1:
            raise ConfigError("TCP retransmits at least once before it gives up")

    @property
    def scale(self) -> int:
        """The shift with which the receive buffer fits the window field."""
        return max(0, (self.receive_buffer >> 16).bit_length()) if self.window_scale else 0
