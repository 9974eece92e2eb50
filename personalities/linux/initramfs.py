# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's root: our init and its instructions, kernel modules, the program with its libraries, and some of /etc.

The same inputs give the same bytes, wherever they lie on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emu.errors import ConfigError
from personalities.linux.cpio import Entry, archive
from personalities.linux.modules import KernelModule

ADDRESS, GATEWAY = "10.0.2.15/24", "10.0.2.2"  # as linux_like and libos have them
SEED_BYTES = 64
BUSYBOX = "busybox"
FOLDERS = ("bin", "dev", "proc", "sys", "run", "root", "var")
MOUNTED = ("dev", "proc", "sys")  # what the archive holds there, nobody sees
ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n10.0.2.15 guest\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "TERM": "linux"}
MOUNTS = {"/dev/pts": "devpts", "/dev/shm": "tmpfs"}  # for programs that serve nobody, and may be anything
SETTINGS = {
    "/proc/sys/kernel/randomize_va_space": "0",  # programs lie where they lay in the last run, whatever else changed
    "/proc/sys/kernel/kptr_restrict": "0",  # init tells where modules lie
}


@dataclass(frozen=True)
class Root:
    """What goes into the archive, and what init is to do with it.

    Attributes:
        program: path in the guest; `arguments` are its own, without its name.
        files: content by path in the guest, the program among them; all are executable.
        ready: `udp PORT`, `tcp PORT`, `asleep`, `entry` or `never` (init/init.c).
        seed: of the kernel's random numbers.
        network: whether there is a network device, which gets `address`.
        window: rows and columns of the console, where somebody looks at it.
    """

    init: bytes
    program: str
    arguments: Sequence[str]
    files: Mapping[str, bytes]
    modules: Sequence[KernelModule] = ()
    ready: str = "asleep"
    seed: bytes = bytes(SEED_BYTES)
    network: bool = True
    address: str = ADDRESS
    gateway: str = GATEWAY
    window: tuple[int, int] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Entry] = field(default_factory=dict)


def instructions(root: Root) -> bytes:
    """/init.conf: records ended by a zero byte. Raises ConfigError for words that hold one."""
    records = [f"write {path} {text}" for path, text in SETTINGS.items()]
    records.append(f"seed {root.seed[:SEED_BYTES].hex()}")
    records += [f"module /modules/{module.name}.ko" for module in root.modules]
    if root.ready in ("entry", "never"):
        records += [f"mount {kind} {path}" for path, kind in MOUNTS.items()]
    if root.program.rpartition("/")[2] == BUSYBOX:
        records += [f"applets {root.program}"]
    if root.window is not None:
        records += ["window {} {}".format(*root.window)]
    records += ["loopback up"]
    if root.network:
        records += [f"address {root.address}", f"gateway {root.gateway}"]
    records += [f"ready {root.ready}"]
    records += [f"env {name}={value}" for name, value in {**ENVIRONMENT, **root.environment}.items()]
    records += [f"argument {word}" for word in (root.program, *root.arguments)]
    for record in records:
        if "\0" in record:
            raise ConfigError(f"{record!r} holds a zero byte, which no argument and no variable can.")
    return b"".join(record.encode("utf-8", "surrogateescape") + b"\0" for record in records)


def initramfs(root: Root) -> bytes:
    """The archive. Raises ConfigError."""
    entries: dict[str, Entry] = {name: Entry.folder() for name in FOLDERS}
    entries["tmp"] = Entry.folder(0o1777)
    entries |= {"dev/console": Entry.character_device(5, 1), "dev/null": Entry.character_device(1, 3)}
    entries |= {name: Entry(text.encode()) for name, text in ETC.items()}
    entries |= {f"modules/{module.name}.ko": Entry(module.data) for module in root.modules}
    entries |= {path.strip("/"): Entry.program(data) for path, data in root.files.items()}
    entries |= {path.strip("/"): entry for path, entry in root.extra.items()}
    entries |= {"init": Entry.program(root.init), "init.conf": Entry(instructions(root))}
    return archive(entries)
