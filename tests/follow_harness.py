# SPDX-License-Identifier: GPL-2.0-or-later
"""The core's ledger files compiled by themselves, with a stand-in for the emulator: see follow_harness.c."""

import ctypes
import functools
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from emu.ledger.calls import LedgerCalls

HERE = Path(__file__).parent
CORE = HERE.parent / "emu" / "core"
SOURCES = (
    "request.c", "company.c", "follow.c", "probe.c", "ledger.c", "trace.c", "state.c", "profile.c", "shadow.c", "tally.c",
)  # fmt: skip
RAX, RSP = 0, 4
ARGUMENTS = (7, 6, 2, 1, 8, 9)  # rdi rsi rdx rcx r8 r9
PAGE_AT = 0x10000  # readable guest memory: 512 words from here
LIMIT = 0x100000  # addresses from here on are not mapped
HZ = 3_000_000_000
_SIGNATURES = {
    "h_new": (ctypes.c_void_p, (ctypes.c_int, ctypes.c_int, ctypes.c_uint64)),
    "h_free": (None, (ctypes.c_void_p,)),
    "h_reg": (None, (ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_uint64)),
    "h_word": (None, (ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_uint64)),
    "h_now": (ctypes.c_int64, (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)),
    "h_clock": (ctypes.c_uint64, (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)),
    "h_current": (ctypes.c_uint64, (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)),
    "h_block": (
        None,
        (ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_uint64, ctypes.c_int, ctypes.c_uint64),
    ),
    "h_idle": (None, (ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_uint64)),
    "h_interrupt": (None, (ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_uint64)),
    "h_exception": (None, (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)),
    "h_iret": (None, (ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int)),
}


@functools.cache
def library() -> ctypes.CDLL:
    """Compiles the sources once a test run, with the address and undefined-behaviour checks that work inside Python."""
    unicorn = find_spec("unicorn")
    assert unicorn is not None and unicorn.origin is not None  # noqa: PT018
    include = Path(unicorn.origin).parent / "include"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "libfollow.so"
        command = ["cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"]
        command += ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", f"-I{CORE}", f"-isystem{include}"]
        command += ["-o", str(out), str(HERE / "follow_harness.c"), *(str(CORE / name) for name in SOURCES)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        loaded = ctypes.CDLL(str(out))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


class Machine:
    """One machine of the harness world; verbs act on its vCPUs."""

    def __init__(self, world: "World", index: int) -> None:
        self.world, self.index = world, index

    def __getattr__(self, name: str):
        function = getattr(library(), f"h_{name}")
        return lambda *arguments: function(self.world.handle, self.index, *arguments)

    def call(self, vcpu: int, va: int, cycles: int = 1, *arguments: int, user: bool = False) -> None:
        """A block at `va` runs with these argument registers."""
        for register, value in zip(ARGUMENTS, arguments, strict=False):
            self.reg(vcpu, register, value)
        self.block(vcpu, va, user, cycles)


class World:
    """Machines with `cpus` vCPUs each at `hz`; the ledger's calls; use as a context."""

    def __init__(self, machines: int = 1, cpus: int = 2, hz: int = HZ) -> None:
        self.handle = library().h_new(machines, cpus, hz)
        self.calls = LedgerCalls(library(), self.handle)
        self.machines = [Machine(self, i) for i in range(machines)]

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        library().h_free(self.handle)
