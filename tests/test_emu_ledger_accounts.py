# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbols of real ELF files, manifests put on a machine, and accounts whose sums come out."""

import subprocess
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ConfigError, EmuBug
from emu.ledger.accounts import Accounts, notes, snapshot
from emu.ledger.calls import SYMBOL
from emu.ledger.flame import collapsed
from emu.ledger.install import install, read_code, taxonomy_of
from emu.ledger.manifest import load_manifest
from emu.ledger.symbols import _Candidate, _disjoint, plain_name, read_functions
from tests import follow_harness as harness

SOURCE = """
.text
.globl ip_input, alias_of_ip
.type ip_input, @function
.type alias_of_ip, @function
ip_input:
alias_of_ip:
    nop; nop; nop; nop
.size ip_input, 4
.size alias_of_ip, 4
.type memcpy, @function
memcpy:              # no size: to the next function
    nop; nop
.type strange, @function
strange:
    nop
.type strange_inner, @function
strange_inner:
    nop
.size strange_inner, 1
    nop
.size strange, 3
.type idle_halt.constprop.0, @function
idle_halt.constprop.0:
    nop
.size idle_halt.constprop.0, 1
a_label:
    nop
"""
MANIFEST = """
[components]
ip = ["ip_*"]
copy = ["memcpy"]
idle = ["idle_*"]
[symbols]
idle = ["idle_*"]
[[probe]]
symbol = "idle_halt"
do = "note"
key = "arg0"
name = "naps"
"""


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image"
    (tmp_path / "image.s").write_text(SOURCE)
    command = [
        "cc",
        "-nostdlib",
        "-static",
        "-Wl,-Ttext=0x100000,-e,0x100000,--build-id=none",
        "-o",
        path,
        tmp_path / "image.s",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "manifest.toml").write_text(MANIFEST)
    return load_manifest(tmp_path / "manifest.toml")


def test_functions_are_disjoint_and_the_inner_one_wins(image):
    assert [(f.start - 0x100000, f.end - 0x100000, f.name) for f in read_functions(image)] == [
        (0, 4, "alias_of_ip"), (4, 6, "memcpy"), (6, 7, "strange"), (7, 8, "strange_inner"), (8, 9, "strange"),
        (9, 10, "idle_halt.constprop.0"),
    ]  # fmt: skip


def test_gcc_suffixes_are_not_part_of_a_name():
    names = ("f", "f.isra.0", "f.constprop.0.isra.1", "f.part.3.cold", "f.lto_priv.0", "f.other", ".Lx")
    assert [plain_name(name) for name in names] == ["f", "f", "f", "f", "f", "f.other", ".Lx"]


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 12), st.integers(0, 2), st.sampled_from("abcdef")), max_size=12
    )
)
def test_any_functions_are_made_disjoint_and_cover_the_same_bytes(found):
    functions = list(_disjoint([_Candidate(start, start + size, rank, name) for start, size, rank, name in found]))
    assert all(a.end <= b.start for a, b in pairwise(functions))
    covered = [at for f in functions for at in range(f.start, f.end)]
    assert sorted(covered) == sorted({at for start, size, *_ in found for at in range(start, start + size)})


def test_a_stripped_or_strange_image_is_refused(tmp_path, image):
    subprocess.run(["strip", "-s", image], check=True)
    with pytest.raises(ConfigError, match="has no function symbols"):
        read_functions(image)
    image.write_bytes(b"\x7fELF" + bytes(20))
    with pytest.raises(ConfigError, match="is not an ELF file"):
        read_functions(image)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_functions(tmp_path / "nothing")


@given(data=st.data())
def test_a_damaged_image_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "damaged"
    if not folder.exists():
        folder.mkdir()
        (folder / "image.s").write_text(SOURCE)
        subprocess.run(
            ["cc", "-nostdlib", "-static", "-o", folder / "image", folder / "image.s"], check=True, capture_output=True
        )
    damaged = bytearray((folder / "image").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with suppress(ConfigError):
        read_functions(path)


def test_cycles_sum_to_the_clocks_by_component_and_by_symbol(image, manifest):
    with harness.World() as world:
        m, taxonomy = world.machines[0], taxonomy_of([manifest])
        names = install(world.calls, 0, manifest, read_code(image, [], manifest), taxonomy)
        for va, cycles in ((0x100000, 10), (0x100003, 1), (0x100004, 7), (0x100007, 5), (0x100009, 30), (0x300000, 2)):
            m.call(0, va, cycles, 4711)
        m.call(1, 0x100000, 3)
        m.call(1, 0x400000, 4, user=True)
        first = snapshot(world.calls, 0, [m.clock(0), m.clock(1)], len(names))
        m.call(1, 0x100000, 8)
        m.call(0, 0x100009, 6, 4712)
        m.call(0, 0x100009, 1, 4712)
        m.idle(0, 100)
        later = snapshot(world.calls, 0, [m.clock(0), m.clock(1)], len(names))
        since = Accounts.between(first, later, taxonomy, names)
        whole = Accounts.between(None, first, taxonomy, names)
        assert whole.vcpu_components() == (
            {"ip": 11, "copy": 7, "idle": 30, "unknown": 7},
            {"ip": 3, "app": 4},
        )
        assert whole.unmapped() == (("strange_inner", 5), ("[unknown]", 2))
        assert since.cycles() == {"ip": {"retiring": 8}, "idle": {"idle": 107}}
        assert since.vcpu_cycles == (107, 8)
        assert since.by_symbol() == (
            ("idle", "[halted]", 100, 0),
            ("ip", "alias_of_ip", 8, 3),
            ("idle", "idle_halt.constprop.0", 7, 6),
        )
        assert since.instructions_of(manifest) == {"spin": 0, "idle": 6, "poll": 0}
        assert notes(world.calls, 0, manifest) == {"naps": {4711: 1, 4712: 2}}
        assert collapsed("to y", since) == (
            "to_y;vcpu0;idle;idle_halt.constprop.0 7\nto_y;vcpu0;idle;[halted] 100\nto_y;vcpu1;ip;alias_of_ip 8\n"
        )
        with pytest.raises(EmuBug, match="its components' cycles sum to 162, its clock says 163"):
            snapshot(world.calls, 0, [m.clock(0) + 1, m.clock(1)], len(names))


def test_a_probe_at_a_symbol_that_is_not_there_is_refused(image, manifest, tmp_path):
    (tmp_path / "manifest.toml").write_text(MANIFEST.replace('"idle_halt"', '"idle_half"'))
    code = read_code(image, [], manifest)
    with harness.World() as world, pytest.raises(ConfigError, match=r"probe 1 \(idle_half\): .* has no such function"):
        install(world.calls, 0, load_manifest(tmp_path / "manifest.toml"), code, taxonomy_of([manifest]))


def test_tables_out_of_order_are_refused():
    with harness.World() as world, pytest.raises(EmuBug, match="Symbols must be sorted and disjoint"):
        world.calls.symbols(0, False, np.array([(8, 9, 0, 0, 0), (4, 6, 1, 0, 0)], SYMBOL), 2, 0)
