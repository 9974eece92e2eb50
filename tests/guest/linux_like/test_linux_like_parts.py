# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of linux_like's kernel on the host, beside plain Python: the routing trie, the run queue's tree, load averages."""

from __future__ import annotations

import ctypes
import ipaddress
import random
import subprocess
from pathlib import Path

import pytest

from personalities.linux_like.personality import LinuxLike

HERE = Path(__file__).parent
KERNEL = LinuxLike.folder / "kernel"
SOURCES = [HERE / "parts/harness.c", KERNEL / "rbtree.c", KERNEL / "fib.c", KERNEL / "sched_load.c"]
UNICAST, LOCAL, EEXIST, ESRCH, EINVAL = 0, 1, 17, 3, 22


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("parts") / "parts.so"
    flags = ["-O1", "-fPIC", "-shared", "-std=gnu11", "-ffreestanding", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]
    subprocess.run(["cc", *flags, f"-I{KERNEL}", *map(str, SOURCES), "-o", str(library)], check=True, timeout=120)
    loaded = ctypes.CDLL(str(library))
    loaded.part_route.restype = ctypes.c_long
    loaded.fib_add.restype = loaded.fib_delete.restype = ctypes.c_long
    return loaded


def raw(address: ipaddress.IPv4Address) -> int:
    return int.from_bytes(address.packed, "little")  # network order, as a little-endian processor loads it


def test_the_longest_prefix_wins_whatever_the_order(parts: ctypes.CDLL) -> None:
    draw = random.Random(4)
    table: dict[ipaddress.IPv4Network, int] = {}
    for step in range(3000):
        bits = draw.choice([0, 8, 9, 15, 16, 22, 23, 24, 25, 30, 31, 32])
        near = ipaddress.IPv4Address(draw.choice([0x0A000000, 0x0A000200, 0xC0A80000]) | draw.getrandbits(10))
        net = ipaddress.IPv4Network((near, bits), strict=False)
        if draw.random() < 0.6:
            added = parts.fib_add(raw(net.network_address), bits, UNICAST, step + 1, 0, None)
            assert added == (-EEXIST if net in table else 0)
            table.setdefault(net, step + 1)
        else:
            assert parts.fib_delete(raw(net.network_address), bits, 0) == (0 if net in table else -ESRCH)
            table.pop(net, None)
        for _ in range(3):
            address = ipaddress.IPv4Address(int(near) ^ draw.getrandbits(draw.choice([2, 8, 11, 32])))
            over = [known for known in table if address in known]
            best = table[max(over, key=lambda known: known.prefixlen)] if over else -1
            assert parts.part_route(raw(address)) == best, (step, address)
    assert parts.fib_add(raw(ipaddress.IPv4Address("10.0.0.1")), 24, UNICAST, 1, 0, None) == -EINVAL, "bits beyond the prefix"
    assert parts.fib_delete(0, 33, 0) == -EINVAL


def test_the_tree_stays_in_order_and_balanced(parts: ctypes.CDLL) -> None:
    draw = random.Random(7)
    held: dict[int, int] = {}
    keys = (ctypes.c_uint64 * 4096)()
    for _ in range(4000):
        if held and draw.random() < 0.45:
            gone = draw.choice(list(held))
            parts.part_erase(gone)
            del held[gone]
        elif len(held) < 300:
            fresh = draw.choice([i for i in range(400) if i not in held])
            held[fresh] = draw.randrange(100)
            parts.part_insert(fresh, ctypes.c_uint64(held[fresh]))
        assert parts.part_black_height() >= 0
        assert list(keys[: parts.part_walk(keys)]) == sorted(held.values())


def test_load_is_the_geometric_mean_of_the_past(parts: ctypes.CDLL) -> None:
    """Half the weight on the last 32 periods: beside the sum in floating point, to one part in a hundred."""
    draw = random.Random(9)
    now, running, history = 10**9, ctypes.c_uint32(), []
    parts.part_load_start(ctypes.c_uint64(now))
    for _ in range(400):
        spent, busy = draw.choice([30_000, 400_000, 3_000_000, 40_000_000]), draw.random() < 0.4
        now += spent
        history.append((now - spent, now, busy))
        parts.part_load(ctypes.c_uint64(now), int(busy), busy, ctypes.byref(running))
        half = 32 * 1024 * 1024
        expected = 1024 * sum(2 ** ((e - now) / half) - 2 ** ((s - now) / half) for s, e, busy in history if busy)
        assert abs(running.value - expected) <= 1024 * 0.04, (running.value, expected)
