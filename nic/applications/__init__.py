# SPDX-License-Identifier: GPL-2.0-or-later
"""The protocols over UDP that a recording can be replayed of, in a table. A new one is a row here and, as a rule, a small file.

`raw` is any other protocol of one datagram a request and one an answer: no identifier, everything has to be equal.
"""

from __future__ import annotations

from emu.errors import ConfigError
from nic.applications.datagrams import Datagrams
from nic.applications.dns import DNS
from nic.applications.memcached import Memcached
from nic.applications.snmp import SNMP
from nic.exchanges import Application

MEMCACHED = Memcached()
RAW = Datagrams("raw")
APPLICATIONS: tuple[Application, ...] = (MEMCACHED, DNS, SNMP, RAW)


def parse_protocol(text: str) -> tuple[Application, int]:
    """`dns`, `dns:5353`, `raw:7` -> the protocol and the server's port. Raises ConfigError."""
    name, colon, number = text.partition(":")
    found = next((each for each in APPLICATIONS if each.name == name), None)
    port = int(number) if number.isascii() and number.isdecimal() and len(number) < 6 else 0
    if found is None or (colon and not 0 < port < 1 << 16) or not (port or found.port):
        usual = ", ".join(f"{each.name} ({each.port})" for each in APPLICATIONS if each.port)
        raise ConfigError(
            f"--protocol is {text!r}: give one of {usual}, with :PORT behind it for a server elsewhere, or raw:PORT"
        )
    return found, port or found.port
