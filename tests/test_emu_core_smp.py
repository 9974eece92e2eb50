# SPDX-License-Identifier: GPL-2.0-or-later
"""Several vCPUs on the bare core: starting them, IPIs, code that another vCPU or a device changes, slices, determinism."""

from collections.abc import Callable, Iterator

import pytest

from emu.core.binding import Counter, Level, Stop
from tests.core_guest import AP_MAIN, GDT, HZ, LAPIC, MAIN, MIB, TRAMPOLINE, Guest, Recorder
from tests.test_emu_core_vcpu import EXIT, HANDLER, use_fast

START_APS = (
    f"mov ebx, {LAPIC}; mov dword ptr [rbx+0xf0], 0x1ff; mov dword ptr [rbx+0x300], 0xc4500;"
    f"mov dword ptr [rbx+0x300], {0xC4600 + (TRAMPOLINE >> 12)};"
)
ARRIVE = f"mov ebx, {LAPIC}; mov dword ptr [rbx+0xf0], 0x1ff; lock inc dword ptr [0x300000];"
EOI = f"push rbx; mov ebx, {LAPIC}; mov dword ptr [rbx+0xb0], 0; pop rbx; iretq"
MakeGuest = Callable[..., Guest]


def wait_for(label: str, address: int, value: int) -> str:
    return f"{label}: pause; cmp dword ptr [{address}], {value}; jb {label};"


@pytest.fixture(params=[Level.FUNCTIONAL, Level.FAST], ids=["functional", "fast"])
def make(request: pytest.FixtureRequest) -> Iterator[MakeGuest]:
    made: list[Guest] = []

    def make_guest(ncpus: int, **options: object) -> Guest:
        g = Guest(ncpus, **options)  # type: ignore[arg-type]
        if request.param == Level.FAST:
            use_fast(g)
        made.append(g)
        return g

    yield make_guest
    for g in made:
        g.close()


@pytest.mark.parametrize("ncpus", [2, 4, 16])
def test_init_and_sipi_start_every_vcpu(make: MakeGuest, ncpus: int) -> None:
    g = make(ncpus)
    g.code(
        AP_MAIN,
        ARRIVE + f"mov eax, [{LAPIC & 0x7FFFFFFF} + rbx - {LAPIC & 0x7FFFFFFF} + 0x20]; shr eax, 24;"
        f"mov byte ptr [rax+0x300100], 1; cli; hlt",
    )
    g.code(MAIN, START_APS + wait_for("w", 0x300000, ncpus - 1) + EXIT)
    assert g.run(10**10).stop == Stop.EXIT
    assert g.core.dma_read(0, 0x300100, 16, 0) == b"\0" + b"\1" * (ncpus - 1) + b"\0" * (16 - ncpus)


def test_init_takes_a_running_vcpu_back(make: MakeGuest) -> None:
    g = make(2)
    g.code(AP_MAIN, ARRIVE + "w: inc qword ptr [0x300010]; jmp w")
    busy = f"and byte ptr [{GDT + 0x28 + 16 + 5}], 0xfd;"  # the TSS descriptor, for the second LTR
    again = busy + START_APS.replace("mov dword ptr [rbx+0xf0], 0x1ff;", "")
    g.code(MAIN, START_APS + wait_for("w", 0x300000, 1) + again + wait_for("x", 0x300000, 2) + EXIT)
    assert g.run(10**10).stop == Stop.EXIT


@pytest.mark.parametrize(
    ("icr_high", "icr_low", "expected"),
    [
        (0, 0xC4040, [0, 1, 1, 1]),  # all but self
        (0, 0x84040, [1, 1, 1, 1]),  # all
        (0, 0x44040, [1, 0, 0, 0]),  # self
        (2 << 24, 0x4040, [0, 0, 1, 0]),  # physical
        (0xFF << 24, 0x4040, [1, 1, 1, 1]),  # physical broadcast
        (0x0A << 24, 0x4840, [0, 1, 0, 1]),  # logical, flat
        (0x0C << 24, 0x4940, [0, 0, 1, 0]),  # logical, lowest priority: one of them
    ],
)
def test_ipi_destinations(make: MakeGuest, icr_high: int, icr_low: int, expected: list[int]) -> None:
    g = make(4)
    logical = (
        "mov ecx, [rbx+0x20]; shr ecx, 24; mov eax, 1; shl eax, cl; shl eax, 24; mov [rbx+0xd0], eax;"
        "mov dword ptr [rbx+0xe0], -1;"
    )
    g.code(AP_MAIN, ARRIVE.replace("lock", logical + "lock") + "sti; h: hlt; jmp h")
    g.code(
        HANDLER,
        f"push rax; push rbx; mov ebx, {LAPIC}; mov eax, [rbx+0x20]; shr eax, 24;"
        f"inc byte ptr [rax+0x300100]; pop rbx; pop rax;" + EOI,
    )
    g.vector(0x40, HANDLER)
    g.code(
        MAIN,
        START_APS
        + logical
        + wait_for("w", 0x300000, 3)
        + f"sti; mov dword ptr [rbx+0x310], {icr_high}; mov dword ptr [rbx+0x300], {icr_low}; mov ecx, 20000;"
        f"d: dec ecx; jnz d;" + EXIT,
    )
    assert g.run(10**10).stop == Stop.EXIT
    assert list(g.core.dma_read(0, 0x300100, 4, 0)) == expected
    assert g.counters(0)[Counter.IPI] == 3
    assert sum(g.counters(v)[Counter.INTERRUPT] for v in range(4)) == sum(expected)


def test_ping_pong_between_halted_vcpus(make: MakeGuest) -> None:
    """A thousand wake-ups either way: none is lost between the check and the halt."""
    g = make(2)
    g.vector(0x40, HANDLER)
    g.code(HANDLER, EOI)
    loop = (
        "l{n}: cli; cmp dword ptr [0x300010], {me}; je mine{n}; sti; hlt; jmp l{n};"
        "mine{n}: sti; mov dword ptr [0x300010], {other}; mov dword ptr [rbx+0x300], 0xc4040; dec r12d; jnz l{n};"
    )
    g.code(AP_MAIN, ARRIVE + "mov r12d, 1000;" + loop.format(n=1, me=1, other=0) + "h: cli; hlt; jmp h")
    g.code(MAIN, START_APS + wait_for("w", 0x300000, 1) + "mov r12d, 1000;" + loop.format(n=0, me=0, other=1) + EXIT)
    assert g.run(10**11).stop == Stop.EXIT
    assert g.counters(0)[Counter.HLT] > 900


def test_nmi_reaches_a_vcpu_with_interrupts_off(make: MakeGuest) -> None:
    g = make(2)
    g.vector(2, HANDLER)
    g.code(HANDLER, "mov dword ptr [0x300010], 1; iretq")
    g.code(AP_MAIN, ARRIVE + "cli; h: hlt; jmp h")
    g.code(
        MAIN,
        START_APS
        + wait_for("w", 0x300000, 1)
        + "mov dword ptr [rbx+0x300], 0xc4400;"
        + wait_for("x", 0x300010, 1)
        + EXIT,
    )
    assert g.run(10**10).stop == Stop.EXIT


def test_code_changed_by_another_vcpu_is_seen(make: MakeGuest) -> None:
    """vCPU 1 calls a function again and again;"
    "vCPU 0 rewrites it, a hundred times. After each handshake the new code runs."""
    g = make(2)
    function = 0x180000
    g.code(function, "mov eax, 0; ret")
    g.code(
        AP_MAIN,
        ARRIVE + f"mov r13d, {function}; l: call r13; mov ecx, [0x300010]; cmp ecx, r12d; je l; mov r12d, ecx;"
        f"call r13; mov [0x300014], eax; mov [0x300018], ecx; jmp l",
    )
    g.code(
        MAIN,
        START_APS
        + wait_for("w", 0x300000, 1)
        + f"mov r12d, 1; n: mov [{function + 1}], r12d; mov [0x300010], r12d; x: pause; cmp [0x300018], r12d;"
        f"jne x; cmp [0x300014], r12d; jne bad;"
        "mov ecx, 3000;"
        "d: dec ecx; jnz d; inc r12d; cmp r12d, 100; jbe n; mov al, 1;" + EXIT + "; bad: mov al, 2;" + EXIT,
    )
    assert g.run(10**11)[:4] == (Stop.EXIT, 0, 0, 1)


def test_every_function_of_a_page_may_be_changed_by_another_vcpu(make: MakeGuest) -> None:
    """vCPU 1 calls two functions of one page; vCPU 0, which has data there too, rewrites one and then the other, fifty times.
    It knows the page by another address, where nothing can be executed, as kernels do."""
    g = make(2)
    page = 0x180000
    g.put(0x12000 + 8 * 100, (1 << 63 | 0x83).to_bytes(8, "little"))
    alias = (100 << 21) + page
    g.code(page, "mov eax, 0; ret")
    g.code(page + 0x100, "mov eax, 0; ret")
    g.code(
        AP_MAIN,
        ARRIVE + f"mov r13d, {page}; mov r14d, {page + 0x100}; l: call r13; mov [0x300014], eax;"
        "call r14; mov [0x300018], eax; pause; jmp l",
    )
    data = f"mov edi, {alias}; mov [rdi+0x800], r12d;"
    g.code(
        MAIN,
        data + START_APS + data + wait_for("w", 0x300000, 1) + "mov r12d, 1; n:" + data + "mov [rdi+1], r12d;"
        "x: pause; cmp [0x300014], r12d; jne x; mov [rdi+0x101], r12d;"
        "y: pause; cmp [0x300018], r12d; jne y; inc r12d; cmp r12d, 50; jbe n; mov al, 1;" + EXIT,
    )
    assert g.run(10**11)[:4] == (Stop.EXIT, 0, 0, 1)


def test_code_changed_by_dma_is_seen(make: MakeGuest) -> None:
    class Device(Recorder):
        def pio_write(self, machine: int, vcpu: int, port: int, size: int, time_ps: int, value: int) -> None:
            g.core.dma_write(machine, 0x180001, bytes([value & 0xFF]), time_ps)

    g = make(1, callbacks=Device())
    g.code(0x180000, "mov eax, 0; ret")
    g.code(
        MAIN,
        "mov r13d, 0x180000; mov r12d, 1; n: mov eax, r12d; out 0x70, al; mov ecx, 3; s: call r13; dec ecx; jnz s;"
        "cmp eax, r12d; jne bad;"
        "inc r12d; cmp r12d, 100; jbe n; mov al, 1;" + EXIT + "; bad: mov al, 2;" + EXIT,
    )
    assert g.run()[:4] == (Stop.EXIT, 0, 0, 1)


def test_code_above_4_gib_changed_by_another_vcpu_is_seen() -> None:
    g = Guest(2, ram=4096 * MIB)
    g.put(0x12000 + 8 * 100, (0x1_0000_0083).to_bytes(8, "little"))
    function = 100 << 21
    g.put(1 << 32, b"\xb8\0\0\0\0\xc3")
    g.code(AP_MAIN, ARRIVE + f"mov r13d, {function}; l: call r13; mov [0x300014], eax; jmp l")
    g.code(
        MAIN,
        START_APS + wait_for("w", 0x300000, 1) + f"mov ecx, 9000; d: dec ecx; jnz d; mov edi, {function};"
        f"mov dword ptr [rdi+1], 7;" + wait_for("x", 0x300014, 7) + EXIT,
    )
    assert g.run(10**10).stop == Stop.EXIT
    g.close()


def test_slices_keep_spinning_vcpus_together(make: MakeGuest) -> None:
    g = make(4)
    g.core.quantum(1000, 400)
    g.code(AP_MAIN, ARRIVE + "l: inc rax; jmp l")
    g.code(MAIN, START_APS + wait_for("w", 0x300000, 3) + "mov ecx, 100000; d: dec ecx; jnz d;" + EXIT)
    assert g.run(10**10).stop == Stop.EXIT
    clocks = [g.core.cycles(0, v) for v in range(4)]
    assert max(clocks) - min(clocks) <= 2 * 1000 + 2500  # writing the exit port itself takes 2000 at the fast level
    assert all(g.counters(v)[Counter.SLICES] > 50 for v in range(4))


def test_machines_of_different_speed_share_world_time() -> None:
    slow = Guest(hz=1_000_000_000)
    fast = Guest(hz=3_000_000_000, core=slow.core, callbacks=slow.io)
    for g in (slow, fast):
        g.code(MAIN, "w: inc rbx; jmp w")
        g.start()
    assert slow.core.run(10_000_000).stop == Stop.HORIZON
    a, b = slow.core.cycles(0, 0), slow.core.cycles(1, 0)
    assert 10_000 <= a < 10_010
    assert 30_000 <= b < 30_010
    slow.close()


def test_a_posted_interrupt_arrives_at_its_time(make: MakeGuest) -> None:
    g = make(1)
    g.vector(0x41, HANDLER)
    g.code(HANDLER, "rdtsc; mov [0x300000], eax; mov al, 0;" + EXIT)
    g.code(MAIN, f"mov ebx, {LAPIC}; mov dword ptr [rbx+0xf0], 0x1ff; sti; h: hlt; jmp h")
    assert g.run(5_000_000).stop == Stop.HORIZON
    g.core.msi(0, 0xFEE00000, 0x41, 9_000_000, 0)
    assert g.core.run().stop == Stop.EXIT
    assert 9_000_000 * HZ // 10**12 <= g.u32(0x300000) < 9_000_000 * HZ // 10**12 + 10_000


def test_level_triggered_vectors_report_their_end(make: MakeGuest) -> None:
    g = make(1)
    g.vector(0x41, HANDLER)
    g.code(HANDLER, f"mov ebx, {LAPIC}; mov dword ptr [rbx+0xb0], 0;" + EXIT)
    g.code(MAIN, f"mov ebx, {LAPIC}; mov dword ptr [rbx+0xf0], 0x1ff; sti; h: hlt; jmp h")
    g.run(1_000_000)
    g.core.lapic_post(0, 0, False, 0, 0x41, True, 1_000_000)
    assert g.core.run().stop == Stop.EXIT
    assert g.io.eois == [(0, 0x41)]


def test_task_priority_holds_vectors_back(make: MakeGuest) -> None:
    g = make(1)
    g.vector(0x41, HANDLER)
    g.code(HANDLER, "mov al, bl;" + EXIT)
    g.code(
        MAIN,
        f"mov edi, {LAPIC}; mov dword ptr [rdi+0xf0], 0x1ff; mov dword ptr [rdi+0x80], 0x40; mov bl, 1; sti;"
        f"mov dword ptr [rdi+0x300], 0x40041;"
        "mov ecx, 5000; d: dec ecx; jnz d; mov bl, 2; mov dword ptr [rdi+0x80], 0x30; mov ecx, 5000; e: dec ecx;"
        "jnz e; mov bl, 3; h: jmp h",
    )
    assert g.run(10**9)[:4] == (Stop.EXIT, 0, 0, 2)


def test_periodic_timer_does_not_drift(make: MakeGuest) -> None:
    g = make(1)
    g.vector(0x40, HANDLER)
    g.code(HANDLER, "inc r12d;" + EOI)
    g.code(
        MAIN,
        f"xor r12d, r12d; mov ebx, {LAPIC}; mov dword ptr [rbx+0xf0], 0x1ff; mov dword ptr [rbx+0x3e0], 0xb;"
        f"mov dword ptr [rbx+0x320], 0x20040;"
        "mov dword ptr [rbx+0x380], 2500; rdtsc; mov esi, eax; sti; h: hlt; cmp r12d, 1000; jb h; rdtsc;"
        "sub eax, esi; mov esi, eax;" + EXIT,
    )
    g.run(10**12)
    assert abs(g.regs()[6] - 1000 * HZ // 10_000) < 10_000  # 100 us each


def history(level: Level) -> tuple[object, ...]:
    g = Guest(4)
    if level == Level.FAST:
        use_fast(g)
    lock = (
        "a{n}: mov al, 1; xchg [0x300020], al; test al, al; jz got{n}; pause; jmp a{n};"
        "got{n}: inc dword ptr [0x300024]; imul r8, r8, 77; mov byte ptr [0x300020], 0;"
    )
    g.code(
        AP_MAIN,
        ARRIVE + "mov r12d, 500; l:" + lock.format(n=1) + "dec r12d; jnz l;lock inc dword ptr [0x300008]; cli; hlt",
    )
    g.code(
        MAIN,
        START_APS + "mov r12d, 500; l:" + lock.format(n=0) + "dec r12d; jnz l;" + wait_for("w", 0x300008, 3) + EXIT,
    )
    stop = g.run(10**12)
    each = [(g.regs(v), g.counters(v)[:9], g.core.cycles(0, v)) for v in range(4)]
    out = (stop, each, g.u32(0x300024))
    g.close()
    return out


@pytest.mark.parametrize("level", [Level.FUNCTIONAL, Level.FAST])
def test_two_runs_are_alike(level: Level) -> None:
    first = history(level)
    assert first[-1] == 2000
    assert first == history(level)
