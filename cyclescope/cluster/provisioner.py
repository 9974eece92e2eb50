# SPDX-License-Identifier: GPL-2.0-or-later
"""The provisioner: the cloud's control plane as guests see it, an endpoint on the switch that powers machines on and off.

It speaks only when a guest asks, by UDP, one line of ASCII a datagram (docs/elasticity.md):

    allocate TAG KIND          machine TAG NUMBER ADDRESS cold|warm
    free TAG NUMBER            freed TAG NUMBER
    status TAG NUMBER          status TAG NUMBER KIND STATE ADDRESS
    anything else              refused TAG WHY...    (TAG is - where there is none)

TAG is the asker's: 1 to 16 letters and digits. A question that comes again from the same address and port with the same tag is
the same question, and gets the same answer; that is how one asks over UDP. The last ANSWERS_KEPT are remembered.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nic.frames import Arp, Udp, arp_frame, parse_arp, parse_ip, parse_mac, parse_udp, udp_frame
from nic.netboot import IMAGE_PORT, Station
from nic.ports import Frame, Sender

PROVISIONER = "provisioner"
"""Its name, as links and captures have it."""
PROVISIONER_IP = "10.0.2.3"
PROVISIONER_MAC = "52:54:00:12:35:03"
PROVISIONER_PORT = 5641
ANSWERS_KEPT = 4_096
LONGEST = 128  # bytes of a question
LONGEST_ANSWER = 256
_TAG = re.compile(r"[A-Za-z0-9]{1,16}")
_NUMBER = re.compile(r"[0-9]{1,5}")


class Refused(Exception):
    """Why a machine is not had, or not freed: a few words for the guest."""


@dataclass(frozen=True)
class Allocated:
    """A machine that is on, or will be."""

    number: int
    ip: str
    warm: bool


class Machines(Protocol):
    """What can be asked for. Methods raise Refused."""

    def allocate(self, kind: str, time_ps: int) -> Allocated: ...
    def free(self, number: int, time_ps: int) -> None: ...
    def status(self, number: int) -> tuple[str, str, str]: ...  # kind, state, address


class ControlPlane:
    """Questions and answers, without a network. What a guest sends never raises."""

    def __init__(self, machines: Machines) -> None:
        self.counts: Counter[str] = Counter()
        self._machines = machines
        self._answers: OrderedDict[tuple[bytes, int, str], tuple[str, str]] = OrderedDict()

    def answer(self, address: bytes, port: int, payload: bytes, time_ps: int) -> str:
        """The answer to a datagram of that sender's."""
        words = self._words(payload)
        if len(words) < 2 or not _TAG.fullmatch(words[1]):
            self.counts["nonsense"] += 1
            return "refused - give: allocate TAG KIND, free TAG NUMBER or status TAG NUMBER; a tag has 1 to 16 letters and digits"
        tag, question = words[1], " ".join(words)
        known = self._answers.get((address, port, tag))
        if known is not None and words[0] != "status":
            if known[0] == question:
                self.counts["repeated"] += 1
                return known[1]
            self.counts["nonsense"] += 1
            return f"refused {tag} this tag was used for another question; take a new one"
        answer = self._decide(words, tag, time_ps)
        if words[0] != "status":
            self._answers[address, port, tag] = (question, answer)
            if len(self._answers) > ANSWERS_KEPT:
                self._answers.popitem(last=False)
        return answer

    def _words(self, payload: bytes) -> list[str]:
        if len(payload) > LONGEST or not payload.isascii():
            return []
        text = payload.decode("ascii").rstrip("\r\n\0")
        return text.split() if text.isprintable() else []

    def _decide(self, words: list[str], tag: str, time_ps: int) -> str:
        try:
            match words:
                case ["allocate", _, kind]:
                    got = self._machines.allocate(kind, time_ps)
                    self.counts["allocated"] += 1
                    return f"machine {tag} {got.number} {got.ip} {'warm' if got.warm else 'cold'}"
                case ["free", _, number] if _NUMBER.fullmatch(number):
                    self._machines.free(int(number), time_ps)
                    self.counts["freed"] += 1
                    return f"freed {tag} {int(number)}"
                case ["status", _, number] if _NUMBER.fullmatch(number):
                    kind, state, address = self._machines.status(int(number))
                    return f"status {tag} {int(number)} {kind} {state} {address}"
        except Refused as refusal:
            self.counts["refused"] += 1
            return f"refused {tag} {refusal}"
        self.counts["nonsense"] += 1
        return f"refused {tag} give: allocate TAG KIND, free TAG NUMBER or status TAG NUMBER"


class Provisioner:
    """The endpoint: ARP, questions, and the acknowledgements of the images that go out here. Attach it to its port."""

    def __init__(self, plane: ControlPlane, sender: Sender) -> None:
        self.plane = plane
        self.sender = sender
        self.station = Station(parse_mac(PROVISIONER_MAC), parse_ip(PROVISIONER_IP))
        #: Who hears of datagrams to IMAGE_PORT, by the machine's address.
        self.loading: dict[bytes, Callable[[Udp, int], None]] = {}
        sender.attach(self)

    def receive(self, frame: Frame, time_ps: int) -> None:
        """A frame's last bit has arrived."""
        own = self.station
        arp = parse_arp(frame.data)
        if arp is not None:
            if arp.request and arp.target_ip == own.ip:
                self.sender.send(Frame(arp_frame(Arp(False, own.mac, own.ip, arp.sender_mac, arp.sender_ip))), time_ps)
            return
        udp = parse_udp(frame.data)
        if udp is None or udp.dst_ip != own.ip or frame.data[:6] != own.mac:
            return
        if udp.dst_port == IMAGE_PORT:
            waits = self.loading.get(udp.src_ip)
            if waits is not None:
                waits(udp, time_ps)
        elif udp.dst_port == PROVISIONER_PORT:
            answer = self.plane.answer(udp.src_ip, udp.src_port, udp.payload, time_ps).encode("ascii")[:LONGEST_ANSWER]
            data = udp_frame(udp.src_mac, own.mac, own.ip, udp.src_ip, PROVISIONER_PORT, udp.src_port, answer)
            self.sender.send(Frame(data), time_ps)
