# SPDX-License-Identifier: GPL-2.0-or-later
"""Processor tables: every number has a source and a grade, and files that are not sound are refused with one sentence."""

import re
from pathlib import Path

import pytest

from emu.errors import ConfigError
from emu.uarch import table
from emu.uarch.table import Grade, load, names

CORE_H = Path(table.__file__).parents[1] / "core" / "uarch.h"


@pytest.mark.parametrize("name", names())
def test_the_rows_are_those_of_the_core(name: str) -> None:
    text = CORE_H.read_text(encoding="utf-8")
    wanted = re.findall(r"R\((\w+)\)", text[text.index("#define UARCH_ROWS(R)") : text.index("enum uarch_row")])
    assert sorted(wanted) == sorted(name for name, _ in load(name).core_rows())


@pytest.mark.parametrize("name", names())
def test_every_row_says_where_it_comes_from(name: str) -> None:
    for row in load(name).rows:
        assert len(row.source) > 5, row
        if row.grade is Grade.PUBLISHED:
            assert re.search(r"\d|Intel|DDIO", row.source), row


def test_primitives_are_the_published_ones() -> None:
    sky = load("skylake_sp")
    assert sky.hz == 2_500_000_000
    published = {"lock": 18, "pause": 140, "wrmsr": 138, "rdmsr": 89, "mfence": 33, "rdtsc": 25, "l2_latency": 14}
    assert {name: sky[name].value for name in published} == published
    assert all(sky[name].grade is Grade.PUBLISHED for name in published)
    assert sky["dram_latency"].value == round(90e-9 * sky.hz)
    assert abs(sky["transfer_latency"].value - 47.5e-9 * sky.hz) < 1
    assert {sky[name].grade for name in ("interrupt_entry", "ipi_delivery", "interrupt_delivery")} == {
        Grade.ASSUMED
    }


def test_forms_carry_ports_and_become_core_rows() -> None:
    forms = {f.name: f for f in load("skylake_sp").forms}
    add = forms["add m64,r64"]
    assert (add.uops, add.ports) == (2, ((1, 0x63), (1, 0x0C), (1, 0x8C), (1, 0x10)))
    assert forms["imul r64,r64"].latency == 3
    assert forms["mulsd x,m64"].latency == 4
    assert forms["div r32"].own_unit
    rows = load("skylake_sp").core_forms()
    at = next(i for i, r in enumerate(rows) if r.mnemonic == "add m64,r64")
    assert [(r.uops16, r.ports, r.flags) for r in rows[at : at + 3]] == [
        (32, 0, 0),
        (16, 0x63, 0x8000),
        (16, 0x0C, 0x8000),
    ]


def test_rows_can_be_varied_but_not_invented() -> None:
    sky = load("skylake_sp")
    assert sky.varied({"swapgs": 60})["swapgs"].value == 60 != sky["swapgs"].value
    with pytest.raises(ConfigError, match="has no row 'swapgz'"):
        sky.varied({"swapgz": 1})


def test_an_unknown_table_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no processor table 'z80'; there are: .*skylake_sp"):
        load("z80")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[core]\nx = 5\n", "bad.toml: row core.x needs value, unit, source and grade, and nothing else."),
        (
            '[core]\nx = { value = -1, unit = "a", source = "b", grade = "assumed" }\n',
            "bad.toml: row core.x: value must be an integer, 0 or more.",
        ),
        (
            '[core]\nx = { value = 1, unit = "a", source = "", grade = "assumed" }\n',
            "bad.toml: row core.x: unit and source must say something.",
        ),
        (
            '[core]\nx = { value = 1, unit = "a", source = "b", grade = "sure" }\n',
            "bad.toml: row core.x: 'sure' is no grade; there are published, measured, modelled, assumed.",
        ),
        ("hz = 0\n", "bad.toml: hz must be a positive integer, with hz_source."),
        ("hz = = 0\n", "bad.toml: Invalid value"),
    ],
)
def test_unsound_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, sentence: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    monkeypatch.setattr(table, "HERE", tmp_path)
    load.cache_clear()
    with pytest.raises(ConfigError) as caught:
        load("bad")
    assert str(caught.value).startswith(sentence)
