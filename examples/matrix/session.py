# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody types: a matrix of a million by a million, in CPython on the general-purpose node."""

import sys

sys.path.append("/python")

from matrix import Front, Matrix, MatrixError

m = Matrix(Front(*sys.argv[1:]), 1_000_000, 1_000_000)
m[5, 7] = 1.0
print("m.sum() is", m.sum(), flush=True)
m[999_999, 0:4] = [0.5, 0.25, 0.125, 0.0625]
print("m[999_999, 0:4] is", m[999_999, 0:4], "and m.sum() is", m.sum(), flush=True)
m.randomize(2026)
print("m[5, 7:10] is", m[5, 7:10], flush=True)
try:
    m.sum()
except MatrixError as error:
    print("m.sum():", error, flush=True)
a, b = Matrix(m.front, 40, 30), Matrix(m.front, 30, 20)
a.randomize(1)
b.fill(2)
print("(a @ b).sum() is", (a @ b).sum(), flush=True)
print("nodes, blocks, bytes:", *(m.stat()[key] for key in ("nodes", "blocks", "resident", "dense")), flush=True)
m.front.close()
