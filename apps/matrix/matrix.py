# SPDX-License-Identifier: GPL-2.0-or-later
"""Matrices on other nodes, for a Python interpreter on the general-purpose node: needs `os` and `struct` alone.

    front = Front("pool=tiles")
    m = Matrix(front, 1000000, 1000000)
    m[5, 7] = 1.0
    print(m.sum(), m[5, 0:10])
"""

import os
import struct

PROGRAM = "/bin/hosted_matrix"


class MatrixError(Exception):
    """What the front end said it cannot do."""


class Front:
    """The front end, started beside us with these words, and spoken to through two pipes. Its log goes to our standard error.

    Args:
        words: `key=value`, as hosted_matrix takes them.
    """

    def __init__(self, *words, program=PROGRAM):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.dup2(theirs_in, 0)
                os.dup2(theirs_out, 1)
                os.closerange(3, 64)
                os.execv(program, [program, *words, "--", "matrix"])
            finally:
                os._exit(127)
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out, self._have = ours_in, ours_out, b""
        self._line()  # matrix: ready

    def _line(self):
        pieces = [self._have]
        while b"\n" not in pieces[-1]:
            piece = os.read(self._in, 65536)
            if not piece:
                raise MatrixError("the front end has ended")
            pieces.append(piece)
        line, _, self._have = b"".join(pieces).partition(b"\n")
        return line.decode()

    def ask(self, line):
        """The words of the answer. Raises MatrixError."""
        data = line.encode() + b"\n"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            kind, *words = self._line().split()
            if kind == "error":
                raise MatrixError(" ".join(words))
            if kind == "ok":
                return words

    def figures(self):
        """Of the last operation: nanoseconds of this node's clock (ns), of nodes at work (node_ns), messages, bytes, ..."""
        words = self.ask("time")
        return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}

    def close(self):
        """Ends it."""
        os.close(self._out)
        os.waitpid(self.pid, 0)
        os.close(self._in)


class Matrix:
    """`rows` x `columns` doubles, all 0, that take no memory until they are written."""

    def __init__(self, front, rows, columns, *tile, number=None):
        self.front, self.shape = front, (rows, columns)
        self.number = number if number is not None else int(front.ask(" ".join(map(str, ("create", rows, columns, *tile))))[0])

    def _rect(self, key):
        if not isinstance(key, tuple) or len(key) != 2:
            raise MatrixError("give a row and a column, each a number or a slice")
        rect = []
        for at, size in zip(key, self.shape, strict=True):
            if isinstance(at, slice):
                first, last, step = at.indices(size)
                if step != 1 or first >= last:
                    raise MatrixError("slices go forward by one, and are not empty")
                rect.append((first, last - first))
            else:
                rect.append((at + size if -size <= at < 0 else at, 1))
        return rect

    def __getitem__(self, key):
        (row, rows), (column, columns) = self._rect(key)
        if row < 0 or column < 0:
            raise MatrixError("an index is below 0")
        words = self.front.ask(f"x read {self.number} {row} {column} {rows} {columns}")
        values = [_value(word) for word in words]
        if not isinstance(key[0], slice):
            return values if isinstance(key[1], slice) else values[0]
        if not isinstance(key[1], slice):
            return values
        return [values[i * columns : (i + 1) * columns] for i in range(rows)]

    def __setitem__(self, key, value):
        (row, rows), (column, columns) = self._rect(key)
        if row < 0 or column < 0:
            raise MatrixError("an index is below 0")
        values = [value] if not isinstance(value, (list, tuple)) else list(value)
        if values and isinstance(values[0], (list, tuple)):
            values = [each for line in values for each in line]
        words = " ".join(_bits(each) for each in values)
        self.front.ask(f"write {self.number} {row} {column} {rows} {columns} {words}")

    def fill(self, value):
        """All elements become `value`; nothing is kept any more."""
        self.front.ask(f"fill {self.number} {_bits(value)}")

    def randomize(self, seed):
        """Row r becomes numpy.random.Generator(Philox(key=seed, counter=r << 64)).random(columns), of which nothing is kept."""
        self.front.ask(f"randomize {self.number} {seed}")

    def sum(self):
        """Added in pairs, tile by tile. Raises MatrixError where that would cost more than the limit."""
        return _value(self.front.ask(f"x sum {self.number}")[0])

    def __matmul__(self, other):
        number = int(self.front.ask(f"multiply {self.number} {other.number}")[0])
        return Matrix(self.front, self.shape[0], other.shape[1], number=number)

    def stat(self):
        """Tiles, nodes, blocks, bytes, by name."""
        words = self.front.ask(f"stat {self.number}")
        return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def _bits(value):
    return f"x{struct.unpack('<Q', struct.pack('<d', value))[0]:016x}"


def _value(word):
    return struct.unpack("<d", struct.pack("<Q", int(word[1:], 16)))[0]
