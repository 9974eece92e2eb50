# SPDX-License-Identifier: GPL-2.0-or-later
"""One vCPU on the bare core: exceptions, system calls, clocks, identity, halting, and how runs end."""

from collections.abc import Iterator

import pytest

from emu.core.binding import Core, Counter, Level, Stop
from emu.errors import ConfigError, DmaFault, NotModelled
from emu.ledger.components import CAUSES
from emu.uarch.table import load as load_uarch
from tests.core_guest import HZ, LAPIC, MAIN, MIB, USER, Guest, Recorder, assemble, interrupt_stack

EXIT = "out 0xf4, al; hlt"
HANDLER = 0x104000
TO_RING_3 = (
    f"mov rax, 0x1b; push rax; mov rax, {USER + 0x8000}; push rax; pushfq;"
    f"mov rax, 0x23; push rax; mov rax, {USER}; push rax; iretq"
)


@pytest.fixture(params=[Level.FUNCTIONAL, Level.FAST], ids=["functional", "fast"])
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    g = Guest()
    if request.param == Level.FAST:
        use_fast(g)
    yield g
    g.close()


def load_table(g: Guest) -> None:
    table = load_uarch("skylake_sp")
    g.core.uarch(g.machine, table.core_rows())
    g.core.insn_table(
        g.machine, [(f.mnemonic, f.uops16, f.latency, f.ports, f.recip16, f.flags) for f in table.core_forms()]
    )


def use_fast(g: Guest) -> None:
    load_table(g)
    g.core.set_level(g.machine, Level.FAST)


def record(vector: int, error: bool) -> str:
    """A handler that stores vector, error code, RIP, CS, RSP, CR2 at 0x300000 and leaves."""
    take = "pop rax; mov [0x300008], rax;" if error else "mov qword ptr [0x300008], 0;"
    return (
        f"mov qword ptr [0x300000], {vector}; mov rbp, rsp;" + take + "mov rax, [rsp]; mov [0x300010], rax;"
        "mov rax, [rsp+8]; mov [0x300018], rax; mov rax, rbp; mov [0x300020], rax; mov rax, cr2;"
        "mov [0x300028], rax;" + EXIT
    )


@pytest.mark.parametrize(
    ("source", "vector", "code", "cr2"),
    [
        ("mov rax, [0x600000]", 14, 4, 0x600000),
        ("mov [0x600008], rax", 14, 6, 0x600008),
        ("mov rax, 0x600000; jmp rax", 14, 0x14, 0x600000),
        ("ud2", 6, None, None),
        ("hlt", 13, 0, None),
        ("mov rax, cr3", 13, 0, None),
        ("lidt [rsp]", 13, 0, None),
        ("in al, 0x60", 13, 0, None),
        ("out 0x70, eax", 13, 0, None),
        ("cli", 13, 0, None),
        ("xor edx, edx; xor ecx, ecx; div ecx", 0, None, None),
        ("mov rax, 0x8000000000000000; mov rax, [rax]", 13, 0, None),
        ("int 0x80", 13, 0x802, None),
    ],
)
def test_ring_3_exceptions_reach_the_kernel(
    guest: Guest, source: str, vector: int, code: int | None, cr2: int | None
) -> None:
    guest.page(0x600000, 0)
    guest.code(MAIN, TO_RING_3)
    guest.code(USER, "nop; nop;" + source + "; hlt")
    guest.code(HANDLER, record(vector, code is not None))
    for other in range(32):
        guest.vector(other, HANDLER)
    guest.vector(0x80, HANDLER)  # DPL 0: a program may not call it
    assert guest.run().stop == Stop.EXIT
    assert guest.u64(0x300000) == vector
    assert guest.u64(0x300008) == (code or 0)
    if source.endswith("jmp rax"):
        assert guest.u64(0x300010) == 0x600000
    else:
        before = "nop; nop;" + "".join(part + ";" for part in source.split(";")[:-1])
        assert guest.u64(0x300010) == USER + len(assemble(before, USER))
    assert guest.u64(0x300018) == 0x23
    assert guest.u64(0x300020) == interrupt_stack(0) - (48 if code is not None else 40)
    if cr2 is not None:
        assert guest.u64(0x300028) == cr2
    assert guest.counters()[Counter.PAGE_FAULT if vector == 14 else Counter.EXCEPTION] == 1


@pytest.mark.parametrize(("source", "vector"), [("int3", 3), ("int 0x80", 0x80)])
def test_software_interrupts_return_behind_themselves(guest: Guest, source: str, vector: int) -> None:
    guest.code(MAIN, TO_RING_3)
    guest.code(USER, f"nop; {source}; mov rbx, 77; mov ecx, 5; l: dec ecx; jnz l; ud2")
    guest.code(HANDLER, "mov rax, [rsp]; mov [0x300000], rax; iretq")
    guest.code(HANDLER + 0x100, EXIT)
    guest.vector(vector, HANDLER, dpl=3)
    guest.vector(6, HANDLER + 0x100)
    assert guest.run().stop == Stop.EXIT
    assert guest.u64(0x300000) == USER + len(assemble(f"nop; {source}", USER))
    assert guest.regs()[3] == 77


def test_a_page_fault_is_mended_and_the_instruction_runs_again(guest: Guest) -> None:
    guest.page(0x600000, 0)
    guest.code(MAIN, f"mov rdi, 0x600000; mov ecx, 7; mov [rdi], rcx; add rcx, [rdi]; mov al, cl; {EXIT}")
    guest.code(
        HANDLER, f"add rsp, 8; push rax; mov rax, {0x600000 | 3}; mov [{guest.pte(0x600000)}], rax; pop rax;iretq"
    )
    guest.vector(14, HANDLER)
    assert guest.run()[:4] == (Stop.EXIT, 0, 0, 14)
    assert guest.counters()[Counter.PAGE_FAULT] == 1


def test_double_fault_uses_its_own_stack(guest: Guest) -> None:
    guest.code(MAIN, "mov rsp, 0x7fff00000000; mov rax, [0x600000]; hlt")
    guest.page(0x600000, 0)
    guest.vector(14, 0x7FFF00000000)  # pushing the frame faults
    guest.code(HANDLER, "mov rbx, rsp;" + EXIT)
    guest.vector(8, HANDLER, ist=1)
    assert guest.run().stop == Stop.EXIT
    assert guest.regs()[3] == interrupt_stack(0) - 0x2000 - 48


def test_triple_fault_ends_the_run(guest: Guest) -> None:
    guest.code(MAIN, "lidt [0x300000]; ud2")
    stop = guest.run()
    assert stop.stop == Stop.TRIPLE_FAULT
    assert stop.rip == MAIN + len(assemble("lidt [0x300000]", MAIN))


def test_syscall_and_sysret(guest: Guest) -> None:
    """STAR, LSTAR and FMASK do what they should, both ways, a thousand times."""
    guest.code(
        MAIN,
        "mov ecx, 0xc0000081; xor eax, eax; mov edx, 0x00100008; wrmsr;"
        f"mov ecx, 0xc0000082; mov eax, {HANDLER}; xor edx, edx; wrmsr; mov ecx, 0xc0000084; mov eax, 0x200; wrmsr;"
        + TO_RING_3,
    )
    guest.code(
        USER,
        "mov r12d, 1000; again: mov r11, 0; mov rax, 5; syscall; add r13, rax; dec r12d; jnz again;"
        "mov rax, r13; mov rdi, 1; syscall",
    )
    guest.code(
        HANDLER,
        "cmp rdi, 1; je done; inc rax; mov r14, cs; mov [0x300000], r14; mov r14, ss; mov [0x300008], r14;"
        "mov [0x300010], r11; .byte 0x48, 0x0f, 0x07;"
        "done:" + EXIT,
    )
    guest.page(USER + 0x10000, 7)
    assert guest.run()[:4] == (Stop.EXIT, 0, 0, 6000 & 0xFF)
    assert guest.u64(0x300000) == 8
    assert guest.u64(0x300008) == 0x10
    assert guest.u64(0x300010) & 2
    assert guest.counters()[Counter.SYSCALL] == 1001


def test_sysenter_is_refused_loudly() -> None:
    g = Guest()
    g.code(MAIN, "nop; sysenter; hlt")
    with pytest.raises(NotModelled, match="SYSENTER at 0x100001"):
        g.run()
    g.close()


def test_rdtsc_advances_within_one_block() -> None:
    g = Guest()
    g.code(
        MAIN,
        "rdtsc; mov ebx, eax; nop; nop; nop; nop; rdtsc; sub eax, ebx; mov esi, eax; rdtscp; sub eax, ebx;"
        "mov edi, eax;" + EXIT,
    )
    g.run()
    regs = g.regs()
    assert regs[6] == 6  # mov, four nops, rdtsc: one cycle each
    assert regs[7] == 9
    g.close()


def test_rdtscp_gives_tsc_aux(guest: Guest) -> None:
    guest.code(MAIN, "mov ecx, 0xc0000103;mov eax, 77; xor edx, edx; wrmsr; xor ecx, ecx; rdtscp; mov ebx, ecx;" + EXIT)
    guest.run()
    assert guest.regs()[3] == 77


def test_ports_see_exact_times_inside_a_block() -> None:
    io = Recorder(answers={0x61: 0x1234})
    g = Guest(callbacks=io)
    g.code(MAIN, "nop;in al, 0x61; nop; nop; out 0x70, al; nop; mov dx, 0x1f0; in ax, dx; nop; out 0x71, eax;" + EXIT)
    g.run()
    first = io.accesses[0][5]
    assert isinstance(first, int)
    assert [(a[0], a[3], a[4], (a[5] - first) // 400) for a in io.accesses if isinstance(a[5], int)] == [  # 400 ps a cycle
        ("in", 0x61, 1, 0), ("out", 0x70, 1, 3), ("in", 0x1F0, 2, 6), ("out", 0x71, 4, 8),
    ]  # fmt: skip
    assert io.accesses[1][6] == 0x34
    assert io.accesses[3][6] == 0xFFFF
    assert g.counters()[Counter.PIO] == 5
    g.close()


def test_mmio_sees_exact_times_and_sizes_inside_a_block() -> None:
    io = Recorder(answers={0xE0000010: 0x55, 0xE0000014: 0x66})
    g = Guest(callbacks=io)
    g.core.mmio_add(g.machine, 0xE0000000, 0x1000)
    g.code(
        MAIN,
        "mov edi, 0xe0000000; nop; mov eax, [rdi+0x10]; nop; nop; mov [rdi+0x20], ax; nop;"
        "mov byte ptr [rdi+0x21], 7; mov rbx, [rdi+0x10];"
        "mov ecx, [rdi+0x1000];" + EXIT,
    )
    g.run()
    first = io.accesses[0][5]
    assert isinstance(first, int)
    assert [(a[0], a[3], a[4], (a[5] - first) // 400) for a in io.accesses if isinstance(a[5], int)] == [
        ("read", 0xE0000010, 4, 0), ("write", 0xE0000020, 2, 3), ("write", 0xE0000021, 1, 5),
        ("read", 0xE0000010, 4, 6), ("read", 0xE0000014, 4, 6),
    ]  # fmt: skip
    assert g.regs()[3] == 0x6600000055
    assert g.regs()[1] == 0xFFFFFFFF  # nobody there
    g.core.mmio_del(g.machine, 0xE0000000, 0x1000)
    g.close()


def test_cpuid_shows_what_is_modelled(guest: Guest) -> None:
    leaves = [(0, 0), (1, 0), (7, 0), (0xB, 1), (0x15, 0), (0x16, 0), (0x80000001, 0), (0x80000007, 0), (0x40000000, 0)]
    source = "mov rdi, 0x300000;"
    for leaf, subleaf in leaves:
        source += f"mov eax, {leaf}; mov ecx, {subleaf}; cpuid; mov [rdi], eax; mov [rdi+4], ebx; mov [rdi+8], ecx;"
        source += "mov [rdi+12], edx; add rdi, 16;"
    guest.code(MAIN, source + EXIT)
    guest.run()
    out = {leaf: [guest.u32(0x300000 + 16 * i + 4 * j) for j in range(4)] for i, leaf in enumerate(leaves)}
    _, b, c, d = out[0, 0]
    assert b.to_bytes(4, "little") + d.to_bytes(4, "little") + c.to_bytes(4, "little") == b"GenuineIntel"
    hidden = 1 << 3 | 1 << 17 | 1 << 21 | 1 << 24 | 1 << 26 | 1 << 27 | 1 << 28 | 1 << 30 | 1 << 31
    assert out[1, 0][2] & hidden == 0
    assert out[1, 0][3] & 1 << 11 == 0  # SYSENTER
    assert out[7, 0][1] & (1 << 18 | 1 << 5 | 1 << 10) == 0
    den, num, crystal, _ = out[0x15, 0]
    assert crystal * num // den == HZ
    assert out[0x16, 0][0] == HZ // 1_000_000
    assert out[0x80000001, 0][3] == 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 | 1 << 29
    assert out[0x80000007, 0][3] & 1 << 8
    assert out[0x40000000, 0] == [0, 0, 0, 0]


def test_hidden_instructions_are_undefined(guest: Guest) -> None:
    guest.code(MAIN, "rdrand eax; hlt")
    guest.code(HANDLER, "mov rbx, [rsp];" + EXIT)
    guest.vector(6, HANDLER)
    guest.run()
    assert guest.regs()[3] == MAIN


def test_halting_skips_time_and_is_charged_to_idle(guest: Guest) -> None:
    guest.code(HANDLER, f"mov ebp, {LAPIC}; mov dword ptr [rbp+0xb0], 0; iretq")
    guest.vector(0x40, HANDLER)
    ticks = 25_000  # of 40 ns: a millisecond
    guest.code(
        MAIN,
        f"mov edi, {LAPIC}; mov dword ptr [rdi+0xf0], 0x1ff; mov dword ptr [rdi+0x3e0], 0xb;"
        f"mov dword ptr [rdi+0x320], 0x40;"
        f"rdtsc;"
        f"mov ebx, eax; mov dword ptr [rdi+0x380], {ticks}; sti; hlt; rdtsc; sub eax, ebx; mov esi, eax;" + EXIT,
    )
    guest.run()
    assert HZ // 1000 <= guest.regs()[6] < HZ // 1000 + 10_000
    components = guest.core.ledger_calls().components(guest.machine, 0)
    assert components["cycles"].sum() == guest.core.cycles(guest.machine, 0)
    assert components["cycles"][:, CAUSES.index("idle")].sum() > HZ // 1000 - 10_000
    assert guest.counters()[Counter.HLT] == 2  # and the one behind the exit


def test_sti_shadow_holds_for_one_instruction(guest: Guest) -> None:
    guest.code(HANDLER, "mov rbx, [rsp];" + EXIT)
    guest.vector(0x40, HANDLER)
    guest.code(
        MAIN,
        f"mov edi, {LAPIC}; mov dword ptr [rdi+0xf0], 0x1ff; mov dword ptr [rdi+0x300], 0x40040; mov ecx, 1000;"
        f"w: dec ecx; jnz w; sti; nop; shadowed: nop; nop;" + "nop;" * 50 + "mov rbx, 0;" + EXIT,
    )
    guest.run()
    code = guest.core.dma_read(guest.machine, MAIN, 64, 0)
    assert guest.regs()[3] == MAIN + code.index(b"\xfb") + 2  # not behind STI itself, but one further


def test_interrupts_wait_while_disabled(guest: Guest) -> None:
    guest.code(HANDLER, "inc qword ptr [0x300000]; iretq")
    guest.vector(0x40, HANDLER)
    guest.code(
        MAIN,
        f"mov edi, {LAPIC}; mov dword ptr [rdi+0xf0], 0x1ff; mov dword ptr [rdi+0x300], 0x40040;"
        f"mov ecx, 5000; w: dec ecx; jnz w; mov rbx, [0x300000];" + EXIT,
    )
    guest.run()
    assert guest.regs()[3] == 0
    assert guest.counters()[Counter.INTERRUPT] == 0


def test_an_interrupt_without_a_stack_stops_loudly() -> None:
    g = Guest()
    g.vector(0x40, HANDLER)
    g.code(
        MAIN,
        f"mov edi, {LAPIC}; mov dword ptr [rdi+0xf0], 0x1ff; mov rsp, 0x7fff00000000; sti;"
        f"mov dword ptr [rdi+0x300], 0x40040; w: jmp w",
    )
    with pytest.raises(NotModelled, match="Interrupt 64 on vCPU 0 finds no gate or no writable stack"):
        g.run()
    g.close()


@pytest.mark.parametrize("source", ["hlt", "cli; hlt", "sti; hlt"])
def test_nothing_to_wait_for(guest: Guest, source: str) -> None:
    guest.code(MAIN, source)
    assert guest.run().stop == Stop.NO_PROGRESS


def test_cycle_limit(guest: Guest) -> None:
    guest.close()
    g = Guest(cycle_limit=100_000)
    g.code(MAIN, "w: jmp w")
    stop = g.run()
    assert stop.stop == Stop.CYCLE_LIMIT
    assert 100_000 <= g.core.cycles(0, 0) < 101_000
    g.close()


def test_horizon_is_reached_and_the_run_resumed(guest: Guest) -> None:
    guest.code(MAIN, "w: inc rbx; jmp w")
    for step in range(1, 4):
        assert guest.run(step * 1_000_000).stop == Stop.HORIZON
        assert step * 1_000_000 <= guest.core.now_ps(0, 0) < step * 1_000_000 + 100_000


def test_a_halted_vcpu_reaches_the_horizon_too(guest: Guest) -> None:
    guest.code(MAIN, "hlt")
    assert guest.run(1_000_000).stop == Stop.HORIZON
    assert guest.core.cycles(0, 0) == 2500


def test_pulling_the_horizon_in_from_a_callback() -> None:
    class Puller(Recorder):
        def pio_write(self, machine: int, vcpu: int, port: int, size: int, time_ps: int, value: int) -> None:
            super().pio_write(machine, vcpu, port, size, time_ps, value)
            g.core.pull_horizon(time_ps + 1_000_000)

    g = Guest(callbacks=Puller())
    g.code(MAIN, "out 0x70, al; w: jmp w")
    stop = g.run(10**12)
    assert stop.stop == Stop.HORIZON
    assert 1_000_000 <= g.core.now_ps(0, 0) < 1_200_000
    assert stop.time_ps < 1_200_000
    g.close()


def test_an_exception_in_a_callback_comes_out_of_run() -> None:
    class Broken(Recorder):
        def pio_read(self, machine: int, vcpu: int, port: int, size: int, time_ps: int) -> int:
            raise ZeroDivisionError("in the device")

    g = Guest(callbacks=Broken())
    g.code(MAIN, "in al, 0x60; w: jmp w")
    with pytest.raises(ZeroDivisionError, match="in the device"):
        g.run()
    g.close()


def test_interrupt_stops_a_spinning_guest() -> None:
    g = Guest()
    g.code(MAIN, "w: jmp w")
    g.core.interrupt()
    assert g.run().stop == Stop.INTERRUPTED
    g.close()


def test_serial_output_arrives_by_line_and_at_the_end() -> None:
    g = Guest()
    g.code(
        MAIN,
        "mov dx, 0x3f8; lea rsi, [rip+text]; mov ecx, 6; n: lodsb; out dx, al; loop n; mov dx, 0x3fd;"
        "in al, dx; mov bl, al;" + EXIT + '; text: .ascii "hi\\nyou"',
    )
    g.run()
    assert bytes(g.io.printed) == b"hi\nyou"
    assert g.regs()[3] & 0x60 == 0x60
    g.close()


def test_ram_on_both_sides_of_the_hole() -> None:
    g = Guest(ram=4096 * MIB)
    assert g.core.ram_offset(0, 0xC0000000 - 8, 8) == 0xC0000000 - 8
    assert g.core.ram_offset(0, 0xC0000000 - 4, 8) == -1
    assert g.core.ram_offset(0, 1 << 32, 0x40000000) == 0xC0000000
    assert g.core.ram_offset(0, (1 << 32) + 0x40000000, 1) == -1
    g.put(1 << 32, b"above")
    g.code(
        MAIN, f"mov rax, {0x1_0000_0083};mov [{0x12000 + 8 * 100}], rax; mov edi, {100 << 21}; mov rbx, [rdi];" + EXIT
    )  # 2 MiB page at 200 MiB
    g.run()
    assert g.regs()[3].to_bytes(8, "little")[:5] == b"above"
    with pytest.raises(DmaFault, match="which is not RAM"):
        g.core.dma_read(0, 0xC0000000, 1, 0)
    g.close()


@pytest.mark.parametrize(
    ("ncpus", "ram"), [(0, 64 * MIB), (17, 64 * MIB), (1, 63 * MIB), (1, 8193 * MIB), (1, 64 * MIB + 4096)]
)
def test_impossible_machines_are_refused(ncpus: int, ram: int) -> None:
    core = Core(Recorder())
    with pytest.raises(ConfigError, match="A machine has"):
        core.machine_add(HZ, ncpus, ram)
    core.close()


def test_ledger_sums_to_the_clock_at_every_level(guest: Guest) -> None:
    guest.code(
        MAIN,
        "mov ecx, 20000; mov rdi, 0x500000; w: mov [rdi], rcx; add rdi, 72; imul rax, rcx; dec ecx;"
        "jnz w; in al, 0x60; cpuid;" + EXIT,
    )
    guest.run()
    components = guest.core.ledger_calls().components(guest.machine, 0)
    assert components["cycles"].sum() == guest.core.cycles(guest.machine, 0)
    assert components["instructions"].sum() >= 100_000


def test_level_changes_between_runs() -> None:
    g = Guest()
    g.code(MAIN, "w: mov rax, [0x500000]; inc rbx; jmp w")
    load_table(g)
    g.run(1_000_000)
    at_functional = g.regs()[3] - 0x1234
    g.core.set_level(g.machine, Level.FAST)
    g.run(2_000_000)
    at_fast = g.regs()[3] - 0x1234 - at_functional
    g.core.set_level(g.machine, Level.FUNCTIONAL)
    g.run(3_000_000)
    again = g.regs()[3] - 0x1234 - at_functional - at_fast
    assert abs(again - at_functional) < 100
    assert at_fast not in range(again - 10, again + 10)  # the model has another opinion than one cycle each
    g.close()
