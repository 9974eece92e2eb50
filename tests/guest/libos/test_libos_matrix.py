# SPDX-License-Identifier: GPL-2.0-or-later
"""The distributed matrix, its front end and nodes on this host: against NumPy, at its full size, and against what is hostile."""

import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.guest.libos.matrix_nodes import (
    Matrices,
    RefusedError,
    bits_of,
    depth,
    free_ports,
    randomized,
    sum_bound,
    value_of,
)

SIZES = [(1, 1, 32), (31, 33, 32), (100, 130, 32), (200, 90, 64)]


@pytest.fixture(scope="module")
def three(images: Path) -> Iterator[Matrices]:
    with Matrices(images, 3) as matrices:
        yield matrices


@pytest.mark.parametrize(("rows", "columns", "tile"), SIZES)
def test_random_elements_are_numpys(three: Matrices, rows: int, columns: int, tile: int) -> None:
    """Also after some have been written over, and read in pieces; the sum is within the bound of two summations."""
    matrix = three.make(rows, columns, tile, tile)
    three.ask(f"randomize {matrix} 12345678901")
    expected = randomized(12345678901, rows, columns)
    assert (three.read(matrix, 0, 0, rows, columns) == expected).all()
    assert abs(three.sum(matrix) - expected.sum()) <= sum_bound(expected, depth(rows, columns, tile))
    patch = np.linspace(-3, 4, rows * ((columns + 1) // 2)).reshape(rows, -1)
    three.write(matrix, 0, columns // 2, patch)
    expected[:, columns // 2 : columns // 2 + patch.shape[1]] = patch
    assert (three.read(matrix, 0, 0, rows, columns) == expected).all()
    assert abs(three.sum(matrix) - expected.sum()) <= sum_bound(expected, depth(rows, columns, tile))


def test_rows_columns_and_elements(three: Matrices) -> None:
    matrix = three.make(70, 45, 32, 32)
    values = np.arange(70 * 45, dtype=float).reshape(70, 45)
    three.write(matrix, 0, 0, values)
    for line, expected in [
        ("row {} 33", values[33]), ("row {} 69 30 10", values[69, 30:40]), ("column {} 44", values[:, 44]),
        ("column {} 2 31 3", values[31:34, 2]), ("get {} 69 44", values[69:, 44]), ("read {} 30 30 5 4", values[30:35, 30:34]),
    ]:  # fmt: skip
        assert list(map(float, three.ask(line.format(matrix)))) == expected.ravel().tolist()
    assert three.sum(matrix) == values.sum()  # whole numbers: exactly
    three.ask(f"fill {matrix} 0.5")
    three.ask(f"set {matrix} 3 4 -7")
    assert three.sum(matrix) == (70 * 45 - 1) * 0.5 - 7


@pytest.mark.parametrize(("rows", "inner", "columns", "tile"), [(5, 4, 3, 32), (64, 100, 33, 32), (130, 70, 90, 64)])
def test_products(three: Matrices, rows: int, inner: int, columns: int, tile: int) -> None:
    """Whole numbers exactly; others within the bound of two orders of summation, element by element."""
    chance = np.random.default_rng(rows)
    a, b = chance.integers(-99, 99, (rows, inner)).astype(float), chance.integers(-99, 99, (inner, columns)).astype(float)
    first, second = three.make(rows, inner, tile, tile), three.make(inner, columns, tile, tile)
    three.write(first, 0, 0, a)
    three.write(second, 0, 0, b)
    product = int(three.ask(f"multiply {first} {second}")[0])
    assert (three.read(product, 0, 0, rows, columns) == a @ b).all()
    three.ask(f"randomize {second} 9")
    b = randomized(9, inner, columns)
    product = int(three.ask(f"multiply {first} {second}")[0])
    unit = 2.0**-53 * inner
    bound = 2 * unit / (1 - unit) * (np.abs(a) @ np.abs(b)) * (1 + 1e-9)
    assert (np.abs(three.read(product, 0, 0, rows, columns) - a @ b) <= bound).all()


def test_the_order_of_a_sum_is_not_that_of_writing(images: Path) -> None:
    """Bit by bit the same sum, whatever the order of writing and the number of nodes."""
    chance = random.Random(3)
    values = np.random.default_rng(4).standard_normal((200, 160)) * 10.0 ** np.random.default_rng(5).integers(-8, 8, (200, 160))
    sums = set()
    for nodes in (1, 3):
        with Matrices(images, nodes) as matrices:
            for _ in range(2):
                matrix = matrices.make(200, 160, 64, 96)
                for piece in chance.sample(range(20), 20):
                    matrices.write(matrix, piece * 10, 0, values[piece * 10 : piece * 10 + 10])
                sums.add(matrices.sum(matrix))
    assert len(sums) == 1
    assert abs(sums.pop() - values.sum()) <= sum_bound(values, depth(200, 160, 64))


def test_a_million_by_a_million(images: Path) -> None:
    """8 TB that nobody has: a node for each touched tile, memory for each touched block, lazy or refused beyond."""
    with Matrices(images, 4) as matrices:
        matrix = matrices.make(1_000_000, 1_000_000)
        assert matrices.sum(matrix) == 0.0
        assert matrices.stat(matrix)["placed"] == 0
        matrices.ask(f"set {matrix} 5 7 1.0")
        assert (matrices.sum(matrix), matrices.stat(matrix)["nodes"]) == (1.0, 1)
        matrices.ask(f"set {matrix} 99999 99999 2.5")  # the same tile
        assert matrices.stat(matrix)["nodes"] == 1
        for number, at in enumerate([500_000, 999_999, 250_000, 750_000, 350_000]):
            matrices.ask(f"set {matrix} {at} {at} 1e3")
            assert matrices.stat(matrix)["nodes"] == min(number + 2, 4)  # then tiles share nodes
        assert matrices.sum(matrix) == 5003.5
        stat = matrices.stat(matrix)
        assert (stat["placed"], stat["tiles"], stat["blocks"], stat["dense"]) == (6, 100, 7, 8 * 10**12)
        assert stat["resident"] < 100_000
        assert sum(resident_bytes(process) for process in [matrices.front, *matrices.nodes]) < 64 << 20
        matrices.ask(f"randomize {matrix} 77")
        assert matrices.stat(matrix)["blocks"] == 0
        stream = np.random.Generator(np.random.Philox(key=77, counter=[249_999, 999_999, 0, 0]))
        assert value_of(matrices.ask(f"x get {matrix} 999999 999996")[0]) == stream.random()
        with pytest.raises(RefusedError, match="up to 1000000000000 random elements must be made, on up to 100 nodes; the limit"):
            matrices.sum(matrix)
        with pytest.raises(RefusedError, match="1000000 x 1000000 x 1000000 multiplications, and a product of up to 8000000000000"):
            matrices.ask(f"multiply {matrix} {matrix}")
        assert len(matrices.read(matrix, 123_456, 0, 1, 1_000_000)[0]) == 1_000_000
        with pytest.raises(RefusedError, match="2 x 1000000 elements are 16000000 bytes"):
            matrices.read(matrix, 0, 0, 2, 1_000_000)
        matrices.ask(f"fill {matrix} 2")
        assert matrices.sum(matrix) == 2e12


def resident_bytes(process: "subprocess.Popen[bytes]") -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


def test_numbers_as_text(three: Matrices) -> None:
    """Python's own reading is the referee, both ways; what cannot be read exactly is refused."""
    matrix = three.make(1, 1)
    chance = random.Random(8)
    odd = [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1, 1e23, 123456789012345680.0, 9007199254740992.0]
    values = odd + [-0.0, 1e-5, 0.3] + [value_of(f"x{chance.getrandbits(64):016x}") for _ in range(300)]
    for value in values:
        if value != value:
            continue
        three.ask(f"set {matrix} 0 0 {bits_of(value)}")
        word = three.ask(f"get {matrix} 0 0")[0]
        assert float(word) == value, word
    for text in ("1.5", "-0.001", "1e22", "123456.789e-3", "0", "-0", "9007199254740992", "inf", "-inf", "0.000000000000000000001"):
        three.ask(f"set {matrix} 0 0 {text}")
        assert value_of(three.ask(f"x get {matrix} 0 0")[0]) == float(text)
    for text in ("0.30000000000000004441", "1e23", "1e-400", "x12", "1.2.3", "e5", "--1", "0x10", "1e", "infinity", ""):
        with pytest.raises(RefusedError, match=r"a value is|takes"):
            three.ask(f"set {matrix} 0 0 {text}")


def test_nan_and_infinity(three: Matrices) -> None:
    matrix = three.make(40, 40)
    three.ask(f"set {matrix} 39 39 inf")
    assert three.ask(f"sum {matrix}") == ["inf"]
    three.ask(f"set {matrix} 0 0 -inf")
    assert three.ask(f"sum {matrix}") == ["nan"]
    three.ask(f"fill {matrix} nan")
    assert three.ask(f"sum {matrix}") == ["nan"]
    three.ask(f"fill {matrix} 0")
    assert three.ask(f"sum {matrix}") == ["0"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("create 0 5", "1 to 1000000000 rows and columns, not 0 and 5"),
        ("create 99999999999999999999 5", "create takes"),
        ("create 9223372036854775807 9223372036854775807", "1 to 1000000000"),
        ("create 1000000000 1000000000 32 32", "at most 4096 tiles"),
        ("create 100 100 31 32", "multiples of 32"),
        ("create -5 5", "create takes: ROWS COLUMNS"),
        ("get 77 0 0", "no matrix 77"),
        ("get 1 1 0", "has 1 rows and 1 columns, from 0"),
        ("get 1 0 9223372036854775807", "are not in it"),
        ("row 1 0 0 2", "are not in it"),
        ("write 1 0 0 1 1", "number 1 of them is missing"),
        ("write 1 0 0 1 1 2 3", "more are there"),
        ("multiply 1", "multiply takes"),
        ("limit 0", "limit takes"),
        ("sum 1 2", "sum takes"),
        ("frobnicate", "there is no such command; there are: create, get"),
    ],
)
def test_nonsense_gets_a_sentence(images: Path, line: str, sentence: str, three: Matrices) -> None:
    if three.raw(b"stat 1").startswith("error"):
        three.make(1, 1)
    with pytest.raises(RefusedError, match=sentence):
        three.ask(line)


def test_a_hundred_thousand_lines_of_nonsense(images: Path) -> None:
    """Words that are nearly right in any order, and bytes of any kind: one line answers each, and the front end goes on."""
    chance = random.Random(6)
    commands = "create get set row column read write fill randomize sum multiply stat nodes time drop x"
    operands = "1 2 0 31 33 -1 1e9 nan 18446744073709551615 9223372036854775807 x7ff8000000000000 \x00 \xff ;"
    words = f"{commands} {operands}".split(" ")
    lines = []
    for _ in range(100_000):
        if chance.random() < 0.1:
            lines.append(bytes(chance.choices([*range(10), *range(11, 256)], k=chance.randrange(1, 80))))
        else:
            lines.append(" ".join(chance.choices(words, k=chance.randrange(1, 9))).encode("latin-1"))
    with Matrices(images, 2) as matrices:
        assert matrices.front.stdin is not None
        matrices.make(64, 64, 32, 32)
        said, _ = matrices.front.communicate(b"\n".join(lines) + b"\ncreate 3 3\n", timeout=120)
        answers = said.splitlines()
        assert matrices.front.returncode == 1
        assert len(answers) == 100_001
        assert all(answer == b"ok" or answer.startswith((b"ok ", b"error ")) for answer in answers)
        assert answers[-1].startswith(b"ok ")
        assert all(node.poll() is None for node in matrices.nodes)


def test_a_node_that_dies(images: Path) -> None:
    """What it had is lost, and every operation that needs it says so; the others go on, and filling starts anew without it."""
    with Matrices(images, 3, patience_ms=3000) as matrices:
        matrix = matrices.make(96, 32, 32, 32)
        values = np.ones((96, 32))
        matrices.write(matrix, 0, 0, values)
        matrices.nodes[1].kill()
        with pytest.raises(RefusedError, match=r"node 2 does not answer \(unreachable\): what it had of the matrix is lost"):
            matrices.sum(matrix)
        with pytest.raises(RefusedError, match="node 2 is lost"):
            matrices.ask(f"get {matrix} 32 0")
        with pytest.raises(RefusedError, match="node 2 is lost"):
            matrices.ask(f"multiply {matrix} {matrices.make(32, 5)}")
        assert matrices.read(matrix, 0, 0, 32, 32).sum() == 1024
        matrices.ask(f"fill {matrix} 3")
        assert matrices.sum(matrix) == 3 * 96 * 32
        matrices.ask(f"set {matrix} 40 0 4")
        assert matrices.sum(matrix) == 3 * 96 * 32 + 1
        assert (matrices.stat(matrix)["nodes"], matrices.stat(matrix)["lost"]) == (2, 1)


def test_a_node_that_dies_while_it_works(images: Path) -> None:
    """It has taken the question, so only patience ends it; a factor's node that dies ends a product."""
    with Matrices(images, 2, patience_ms=1500) as matrices:
        matrix = matrices.make(4000, 4000, 2016, 4000)
        matrices.ask(f"randomize {matrix} 1")
        assert matrices.front.stdin is not None
        assert matrices.front.stdout is not None
        matrices.front.stdin.write(f"sum {matrix}\n".encode())
        matrices.front.stdin.flush()
        matrices.nodes[0].kill()
        assert b"error node 1 does not answer" in matrices.front.stdout.readline()
        assert matrices.ask(f"get {matrix} 3999 0") == matrices.ask(f"get {matrix} 3999 0")


def test_no_node_at_all(images: Path) -> None:
    with Matrices(images, 0) as matrices:
        matrix = matrices.make(10, 10)
        assert matrices.sum(matrix) == 0
        with pytest.raises(RefusedError, match="there is no node for another tile"):
            matrices.ask(f"set {matrix} 0 0 1")
    with Matrices(images, 1, there=0) as matrices:
        matrix = matrices.make(10, 10)
        with pytest.raises(RefusedError, match="node 1 does not answer"):
            matrices.ask(f"set {matrix} 0 0 1")


def test_a_node_without_memory(images: Path) -> None:
    """Writes are refused whole; what is there stays."""
    with Matrices(images, 1, memory=4) as matrices:
        matrix = matrices.make(20_000, 32, 20_000 // 32 * 32 + 32, 32)
        answers = [matrices.raw(b"set %d %d 0 1" % (matrix, row)) for row in range(0, 20_000, 32)]
        assert "error node 1 has no memory for more blocks of 8 KiB" in answers[-1]
        blocks = matrices.stat(matrix)["blocks"]
        assert 200 < blocks < 512
        assert matrices.sum(matrix) == blocks
        matrices.ask(f"fill {matrix} 0")
        matrices.ask(f"set {matrix} 19999 0 1")
        assert matrices.sum(matrix) == 1


def test_what_an_id_is_stands_in_the_map_of_gpos(images: Path) -> None:
    """While it lives; without it, what nodes know already goes on, and another matrix is refused in a sentence."""
    with Matrices(images, 3, gpos=True) as matrices:
        matrix = matrices.make(96, 32, 32, 32)
        values = np.arange(96 * 32, dtype=float).reshape(96, 32)
        matrices.write(matrix, 0, 0, values)
        square = matrices.make(32, 96, 32, 32)
        matrices.write(square, 0, 0, values.T)
        product = int(matrices.ask(f"multiply {matrix} {square}")[0])
        assert (matrices.read(product, 0, 0, 96, 96) == values @ values.T).all()
        assert matrices.gpos is not None
        matrices.gpos.kill()
        assert matrices.sum(matrix) == values.sum()
        matrices.write(matrix, 0, 0, 2 * values)
        assert (matrices.read(matrix, 0, 0, 96, 32) == 2 * values).all()
        with pytest.raises(RefusedError, match=r"gpos does not answer: "):
            matrices.make(10, 10)
        assert matrices.sum(matrix) == 2 * values.sum()


@pytest.mark.parametrize("datagram", [b"", b"\n", b"sum 1\n", b"read 1 0 0 5 5\r\n", b"\xff" * 1472, b"read 2 0 0 40 40"])
def test_datagrams(images: Path, datagram: bytes) -> None:
    """For interpreters that have sockets alone: a line, and what answers it or says that it would be too long."""
    port, own = free_ports(2)
    command = [images / "hosted_matrix", "cpus=1", f"port={own}", f"listen={port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as front:
        assert front.stdout is not None
        assert front.stdout.readline() == b"matrix: ready\n"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(20)
            asker.connect(("127.0.0.1", port))
            for line in (b"create 5 5", b"create 400 400", datagram):
                asker.send(line)
                answer = asker.recv(2000)
            assert answer.endswith(b"\n")
            assert answer.startswith((b"ok", b"error"))
            assert (b"too long for a datagram" in answer) == datagram.startswith(b"read 2")
        front.kill()


def test_malformed_messages(images: Path) -> None:
    """100,000 of them: each is answered, none leaks; then a well-formed one finds all as it should be (matrix.c)."""
    command = [images / "hosted_test_matrix", "cpus=1", "--", "matrix", "100000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "SUCCESS"), done.stdout
