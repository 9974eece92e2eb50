# SPDX-License-Identifier: GPL-2.0-or-later
"""The distributed matrix's front end and nodes as processes of this host, spoken to in lines."""

import math
import socket
import struct
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def free_ports(count: int) -> list[int]:
    """UDP ports of the loopback interface that nobody has."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class RefusedError(Exception):
    """What a line's answer said behind `error`."""


class Matrices:
    """A front end and its nodes; `ask` says a line and returns the words of its answer."""

    def __init__(
        self, images: Path, nodes: int, *, there: int | None = None, memory: int = 64, patience_ms: int = 10000, gpos: bool = False
    ) -> None:
        *self.ports, gpos_port = free_ports(nodes + 2)
        self.joins = ["gpos=127.0.0.1", f"gpos_port={gpos_port}"] if gpos else []
        self.gpos = subprocess.Popen([images / "gpos", f"port={gpos_port}"], stdout=subprocess.PIPE) if gpos else None
        if self.gpos is not None:
            assert self.gpos.stdout is not None
            assert self.gpos.stdout.readline() == b"gpos: ready\n"
        self.nodes = [self.node(images, i + 1, memory) for i in range(nodes if there is None else there)]
        for node in self.nodes:
            assert node.stdout is not None
            assert node.stdout.readline().endswith(b": ready\n")
        listed = ",".join(f"{i + 1}@127.0.0.1:{port}" for i, port in enumerate(self.ports[1:]))
        words = ["cpus=1", f"port={self.ports[0]}", f"patience_ms={patience_ms}", *([f"nodes={listed}"] if listed else [])]
        words += ["node=50", "name=matrix", *self.joins] if gpos else []
        self.front = subprocess.Popen([images / "hosted_matrix", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.front.stdout is not None
        assert self.front.stdout.readline() == b"matrix: ready\n"

    def node(self, images: Path, number: int, memory: int) -> "subprocess.Popen[bytes]":
        there = self.joins or [f"front=127.0.0.1:{self.ports[0]}"]
        words = ["cpus=1", f"memory={memory}", f"node={number}", f"port={self.ports[number]}", *there]
        return subprocess.Popen([images / "hosted_matrix_node", *words], stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in [self.front, *self.nodes, *([self.gpos] if self.gpos else [])]:
            process.kill()
            process.communicate()

    def raw(self, line: bytes) -> str:
        assert self.front.stdin is not None
        assert self.front.stdout is not None
        self.front.stdin.write(line + b"\n")
        self.front.stdin.flush()
        return self.front.stdout.readline().decode()

    def ask(self, line: str) -> list[str]:
        kind, *words = self.raw(line.encode()).split()
        if kind == "error":
            raise RefusedError(" ".join(words))
        assert kind == "ok"
        return words

    def make(self, rows: int, columns: int, *tile: int) -> int:
        return int(self.ask(" ".join(map(str, ("create", rows, columns, *tile))))[0])

    def write(self, matrix: int, row: int, column: int, values: Doubles) -> None:
        words = " ".join(bits_of(value) for value in values.ravel().tolist())
        self.ask(f"write {matrix} {row} {column} {values.shape[0]} {values.shape[1]} {words}")

    def read(self, matrix: int, row: int, column: int, rows: int, columns: int) -> Doubles:
        words = self.ask(f"x read {matrix} {row} {column} {rows} {columns}")
        return np.array([value_of(word) for word in words]).reshape(rows, columns)

    def sum(self, matrix: int) -> float:
        return value_of(self.ask(f"x sum {matrix}")[0])

    def stat(self, matrix: int) -> dict[str, int]:
        words = self.ask(f"stat {matrix}")
        return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def bits_of(value: float) -> str:
    return f"x{struct.unpack('<Q', struct.pack('<d', value))[0]:016x}"


def value_of(word: str) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", int(word[1:], 16)))[0])


def randomized(seed: int, rows: int, columns: int) -> Doubles:
    """What `randomize` says the elements are: NumPy's own Philox, a stream for each row."""
    streams = [np.random.Generator(np.random.Philox(key=seed, counter=row << 64)) for row in range(rows)]
    return np.stack([stream.random(columns) for stream in streams])


def sum_bound(values: Doubles, steps: int) -> float:
    """How far two sums may be apart if no element of either goes through more than `steps` additions: twice gamma_n of all.

    Higham, Accuracy and Stability of Numerical Algorithms, section 4.2.
    """
    unit = 2.0**-53
    return 2 * steps * unit / (1 - steps * unit) * float(np.abs(values).sum()) * (1 + 1e-9)


def depth(rows: int, columns: int, tile: int, block: int = 32) -> int:
    """Additions on an element's way into the sum: pairs in a block, in a tile, over tiles; two more for untouched ones."""

    def tiles(side: int) -> int:
        return -(-side // tile)

    blocks = (-(-min(tile, rows) // block)) * (-(-min(tile, columns) // block))
    return 2 * int(math.log2(block)) + math.ceil(math.log2(blocks)) + math.ceil(math.log2(tiles(rows) * tiles(columns))) + 2
