# SPDX-License-Identifier: GPL-2.0-or-later
"""The tool that makes instruction tables, on raw rows of each awkward kind; and what of its output is committed."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from emu.uarch import table

TOOL = Path(__file__).parents[1] / "tools" / "make_uarch_tables.py"
RAW = """\
"instruction","family","latency","throughput","uops","ports"
"ADD_01 (R64, R64)","BASE","1","0.25 / 0.25","1 / 1","1*p0156"
"ADD (R64, 0)","BASE","9","0.25 / 9.00","1 / 1","1*p5"
"ADD (R64, I32)","BASE","1","0.25 / 0.25","1 / 1","1*p0156"
"ADD (M64, R64)","BASE","[1;≤10]","1.00 / 1.00","2 / 4","1*p0156+1*p23+1*p237+1*p4"
"ADD_LOCK (M64, R64)","BASE","[12;≤29]","1.50 / 18.00","8 / 7","4*p0156+2*p06+2*p23+1*p4"
"MOV (R64, M64)","BASE","[≤2;5]","0.50 / 0.50","1 / 1","1*p23"
"MOV (R64, I64)","BASE","1","0.25 / 0.30","1 / 1","1*p0156"
"IMUL (R64, R64)","BASE","3","1.00 / 1.00","1 / 1","1*p1"
"IMUL (R64, M64)","BASE","[≤5;8]","1.00 / 1.00","1 / 2","1*p1+1*p23"
"DIV (R32)","BASE","[23.0;28]","4.00 / 6.00","10 / 10","2*p0+2*p0156+1*p06+1*p15+4*p5"
"JNBE (Rel8)","BASE","","0.50 / 1.00","1 / 1","1*p06"
"SETNZ (R8l)","BASE","1","0.50 / 0.50","1 / 1","1*p06"
"MOVSD_XMM (XMM, M64)","SSE2","≤5","0.50 / 0.50","1 / 1","1*p23"
"MOVSD","BASE","≤6","1.00 / 4.00","5 / 5","2*p0156+2*p23+1*p4"
"STOSB_REPE","BASE","","15.00 / 26.00","76 / 73","10*p23"
"SHL (R64, CL)","BASE","[0;2]","1.50 / 1.50","3 / 3","3*p06"
"LEA_B_I_D8 (R64)","BASE","3","1.00 / 1.00","1 / 1","1*p1"
"VADDPS (ZMM, ZMM, ZMM)","AVX512EVEX","4","1.00 / 1.00","1 / 1","1*p05"
"""


def load_tool(name: str) -> ModuleType:
    """A script of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(name, TOOL.with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOOL.parent))
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_tool("make_uarch_tables")


@pytest.fixture
def forms(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, table.Form]:
    raw, out = tmp_path / "raw.csv", tmp_path / "out.csv"
    raw.write_text(RAW, encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["make_uarch_tables.py", str(raw), str(out)])
    assert tool.main() == 0
    return {f.name: f for f in table._forms(out)}


def test_it_says_what_changed(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw.csv", tmp_path / "out.csv"
    raw.write_text(RAW, encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["make_uarch_tables.py", str(raw), str(out)])
    assert tool.main() == 0
    assert "new: add r64,r64" in capsys.readouterr().out
    made = out.read_text(encoding="ascii")
    changed = made.replace('"imul r64,r64",1,3,', '"imul r64,r64",1,4,').replace('"ja i"', '"jb i"')
    out.write_text(changed, encoding="ascii")
    monkeypatch.setattr("sys.argv", ["make_uarch_tables.py", str(raw), str(out), "--check"])
    assert tool.main() == 1
    told = capsys.readouterr().out.splitlines()
    assert told[:-1] == ["gone: jb i", "new: ja i", "changed: imul r64,r64: latency 4 -> 3"]
    assert told[-1].endswith("1 new, 1 gone, 1 changed")
    assert out.read_text(encoding="ascii") == changed
    out.write_text(made, encoding="ascii")
    assert tool.main() == 0


def test_conditional_moves_and_sets_need_the_first_decoder(forms: dict[str, table.Form]) -> None:
    assert [name for name, form in forms.items() if form.complex and " " in name] == ["setne r8"]


def test_names_are_capstones(forms: dict[str, table.Form]) -> None:
    made = {name for name in forms if " " in name} - {"mov o,r16", "mov o,r32"}
    assert made == {
        "add r64,r64", "add r64,i", "add m64,r64", "mov r64,m64", "movabs r64,i", "imul r64,r64", "imul r64,m64", "div r32",
        "ja i", "setne r8", "movsd x,m64", "shl r64,cl", "lea r64,3",
    }  # fmt: skip
    assert "movsd_string" in forms
    assert "stosb" not in forms  # REP and LOCK are rows


def test_typical_operands_win_over_special_ones(forms: dict[str, table.Form]) -> None:
    assert forms["add r64,i"].latency == 1


def test_latency_is_from_register_to_result(forms: dict[str, table.Form]) -> None:
    wanted = {"mov r64,m64": 0, "add m64,r64": 1, "imul r64,m64": 3, "shl r64,cl": 2, "div r32": 26, "lea r64,3": 3}
    assert {name: forms[name].latency for name in wanted} == wanted


def test_units_and_ports(forms: dict[str, table.Form]) -> None:
    assert [name for name, f in forms.items() if f.own_unit and " " in name] == ["div r32", "mov o,r16", "mov o,r32"]
    assert forms["add m64,r64"].ports == ((1, 0x63), (1, 0x0C), (1, 0x8C), (1, 0x10))


def test_a_bare_mnemonic_is_its_usual_form(forms: dict[str, table.Form]) -> None:
    assert (forms["imul"].latency, forms["imul"].ports) == (3, ((1, 0x02),))


def test_grades_tell_measured_rows_from_ours(forms: dict[str, table.Form]) -> None:
    assert forms["add r64,r64"].grade is table.Grade.PUBLISHED
    assert forms["ret"].grade is table.Grade.MODELLED
    assert forms["wrfsbase"].grade is table.Grade.ASSUMED


def test_what_is_committed_is_small_and_sorted() -> None:
    path = table.HERE / "skylake_sp.csv"
    assert path.stat().st_size < 600_000
    names = [f.name for f in table.load("skylake_sp").forms]
    assert names == sorted(names)
    assert not [name for name in names if "zmm" in name or "{" in name]


def test_upper_bounds_hold_the_way_back(tool: ModuleType) -> None:
    assert tool.form_latency("movd", 1, "≤3", "1*p0", False) == 2
    assert tool.form_latency("cvtsd2ss", 2, "[1;5]", "1*p01+1*p5", False) == 5


def test_forms_are_spelled_for_llvm(tool: ModuleType) -> None:
    assert tool.assembly("add r64,m64") == "add rax, qword ptr [rsi]"
    assert tool.assembly("lea r32,3") == "lea eax, [rbx + rcx + 8]"
    assert tool.assembly("mov o,r16") is None


def test_llvms_even_spread_becomes_port_sets(tool: ModuleType) -> None:
    alu = {f"Zn4ALU{n}": 0.25 for n in range(4)}
    assert tool.port_sets(alu | {"Zn4AGU0": 0.33, "Zn4Load.\0": 0.33}) == "1*p0123"
    assert tool.port_sets(alu | {"Zn4ALU1": 1.25}) == "1*p0123+1*p1"
    assert tool.port_sets({"Zn4ALU0": 0.5, "Zn4ALU3": 0.5}) == "1*p03"
