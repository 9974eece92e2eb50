# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of one virtio-net device share, and the numbers of its interface.

Source: virtio 1.2 section 5.1 (published).
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field

from nic.costs import NicConfig
from nic.ports import Clock, Requests
from nic.virtio_pci import VirtioPci

DEVICE_TYPE = 1

F_CSUM, F_GUEST_CSUM, F_MAC = 0, 1, 5
F_MRG_RXBUF, F_STATUS, F_CTRL_VQ, F_MQ, F_RSS = 15, 16, 17, 22, 60

#: struct virtio_net_hdr_v1: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers.
NET_HDR = struct.Struct("<BBHHHHH")
HDR_BYTES = NET_HDR.size
HDR_F_NEEDS_CSUM, HDR_F_DATA_VALID = 1, 2

MIN_FRAME, MAX_FRAME = 14, 1518  # Ethernet header; 1500 bytes of payload and a VLAN tag

RX, TX = 0, 1


@dataclass
class Parts:
    """`epoch` counts resets: what was under way before a reset is dropped when its event comes."""

    name: str
    config: NicConfig
    clock: Clock
    requests: Requests
    counters: Counter[str] = field(default_factory=Counter)
    epoch: int = 0
    transport: VirtioPci = field(init=False)
