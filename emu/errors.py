# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors, by whose fault they are. Every message is one sentence that names the place and, where there is one, the remedy.

`exit_code` is what the command line ends with when the error reaches it.
"""


class CyclescopeError(Exception):
    """Base of all our errors; catch it to catch any of them."""

    exit_code = 1


class ConfigError(CyclescopeError):
    """Our user asked for something that makes no sense: a bad file, option or value."""

    exit_code = 2


class BadSnapshot(ConfigError):
    """A snapshot that is damaged, forged, or of another machine. What it says of itself may be anything: shown if printable."""

    def __init__(self, sentence: str) -> None:
        super().__init__("".join(c if c.isprintable() else "?" for c in sentence)[:500])


class GuestError(CyclescopeError):
    """The guest broke a rule. Device models catch it, do what hardware does, and count it."""

    exit_code = 3


class NotModelled(CyclescopeError):
    """The guest did something legal that the machine lacks; the message names it."""

    exit_code = 4


class EmuBug(CyclescopeError):
    """An invariant of ours broke."""

    exit_code = 70


class DmaFault(GuestError):
    """A device was told to read or write outside guest RAM; nothing was transferred."""
