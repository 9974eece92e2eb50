# SPDX-License-Identifier: GPL-2.0-or-later
"""Saved state of a part: plain data out, checked data in.

A part with state describes it as a `State`; `save` gives it as a dict of plain data (`plain`), `restore` reads such a dict back
(`checked`), whoever wrote it: types, ranges and lengths are the description's, what depends on the part is checked by it (`need`).
"""

from typing import Annotated, Any, Protocol, TypeVar

import msgspec
from msgspec import Meta

from emu.errors import BadSnapshot

Data = dict[str, Any]
"""Integers, bytes, strings, lists and dicts: what a file can hold."""

Bit = Annotated[int, Meta(ge=0, le=1)]
U8 = Annotated[int, Meta(ge=0, le=0xFF)]
U16 = Annotated[int, Meta(ge=0, le=0xFFFF)]
U32 = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
U64 = Annotated[int, Meta(ge=0)]  # msgpack has no more than 64 bits
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Time = Annotated[int, Meta(ge=0, le=1 << 62)]  # picoseconds
Token = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
FrameBytes = Annotated[bytes, Meta(max_length=1 << 16)]


class State(msgspec.Struct, forbid_unknown_fields=True):
    """Base of descriptions."""


class Stateful(Protocol):
    """A part that can be saved."""

    def save(self) -> Data:
        """Its state, for a `restore` in another World; nothing changes."""

    def restore(self, data: Data) -> None:
        """Take that state, from anybody. Raises BadSnapshot; the part is of no use afterwards."""


_S = TypeVar("_S", bound=State)


def plain(state: State) -> Data:
    """As plain data."""
    data: Data = msgspec.to_builtins(state, builtin_types=(bytes,))
    return data


def checked(kind: type[_S], data: object, where: str) -> _S:
    """Checked against the description. Raises BadSnapshot, naming `where`."""
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadSnapshot(f"{where}: {error}") from None


def need(fits: bool, where: str, what: str) -> None:
    """Raises BadSnapshot unless it fits."""
    if not fits:
        raise BadSnapshot(f"{where}: {what} cannot be")
