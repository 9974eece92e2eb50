# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-net as the device sees it, the wire it hangs on, and what sends and records frames there."""

from nic.costs import Moderation, NicConfig, NicCosts
from nic.endpoint import Endpoint
from nic.exchanges import Exchange
from nic.fabric import Star
from nic.faults import Fates, LinkFaults
from nic.frames import Udp, parse_ip, parse_mac, parse_udp, udp_frame
from nic.link import Link, LinkConfig
from nic.matching import EndpointConfig, Matcher, PortMatcher
from nic.memcached_udp import Reassembler, datagram, pair_exchanges
from nic.ports import Clock, Frame, GuestMemory, Interrupts, NullRequests, Requests
from nic.sinks.pcapng import PcapngWriter
from nic.sources.arrivals import as_captured, bursts, constant, poisson
from nic.sources.capture import Captured, read_capture, rewrite
from nic.sources.scapy_source import frames_of
from nic.switch import CrossTraffic, Switch, SwitchConfig
from nic.tap import Tap, Tracer
from nic.tcp.client import TcpClient
from nic.tcp.config import TcpConfig
from nic.tcp.host import TcpHost
from nic.toeplitz import MICROSOFT_KEY, Toeplitz
from nic.virtio_net import VirtioNet

__all__ = [
    "MICROSOFT_KEY", "Captured", "Clock", "CrossTraffic", "Endpoint", "EndpointConfig", "Exchange", "Fates",
    "Frame", "GuestMemory", "Interrupts", "Link", "LinkConfig", "LinkFaults", "Matcher", "Moderation", "NicConfig", "NicCosts",
    "NullRequests", "PcapngWriter", "PortMatcher", "Reassembler", "Requests", "Star", "Switch", "SwitchConfig", "Tap",
    "TcpClient", "TcpConfig", "TcpHost", "Toeplitz", "Tracer", "Udp", "VirtioNet", "as_captured", "bursts", "constant",
    "datagram", "frames_of", "pair_exchanges", "parse_ip", "parse_mac", "parse_udp", "poisson", "read_capture", "rewrite",
    "udp_frame",
]  # fmt: skip
