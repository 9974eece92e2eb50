# SPDX-License-Identifier: GPL-2.0-or-later
"""Small guests on the whole machine: how they boot, what devices they meet, and every way a run can end."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from emu.clock import Payload
from emu.errors import ConfigError, EmuBug, GuestError
from emu.loader.boot import BootModule, BootSpec
from emu.machine import Machine, MachineConfig, parse_size
from emu.outcome import Outcome, outcome
from emu.pci.function import PciFunction
from emu.units import GIB, MIB, PS_PER_MS, PS_PER_S
from emu.world import Reason, StopInfo, World
from tests.images import assemble32, multiboot_elf, pvh_elf

EXIT = "out 0xf4, al\nhlt\n"


class Run:
    """A finished run of one small guest."""

    def __init__(self, machine: Machine, stop: StopInfo, ended: Outcome) -> None:
        self.machine, self.stop, self.ended = machine, stop, ended


Boot = Callable[..., Run]


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    def run(
        source: str,
        config: MachineConfig | None = None,
        *,
        cmdline: str = "",
        modules: tuple[bytes, ...] = (),
        multiboot: bool = False,
        prepare: Callable[[World, Machine], None] | None = None,
        until_ps: int | None = None,
    ) -> Run:
        at = 0x100010 if multiboot else 0x100000
        code = assemble32(source, at)
        image = tmp_path / "image.elf"
        image.write_bytes(multiboot_elf(code) if multiboot else pvh_elf(code, memory=0x8000))
        files = []
        for number, data in enumerate(modules):
            file = tmp_path / f"module{number}"
            file.write_bytes(data)
            files.append(BootModule(file, f"module{number}"))
        with World() as world:
            machine = world.add_machine(config or MachineConfig(ram_bytes=64 * MIB))
            if prepare:
                prepare(world, machine)
            machine.boot(BootSpec(image, cmdline, tuple(files)))
            stop = world.run(until_ps)
            return Run(machine, stop, outcome(world, stop))

    return run


PRINT_ESI = """
next:
    mov al, [esi]
    test al, al
    jz done
    mov dx, 0x3f8
    out dx, al
    inc esi
    jmp next
done:
    mov al, 7
    out 0xf4, al
    hlt
"""


def test_pvh_guest_prints_its_command_line_and_exits(boot: Boot) -> None:
    run = boot("mov esi, [ebx + 0x18]" + PRINT_ESI, cmdline="a=b -- c")
    assert run.machine.console.tail == "a=b -- c"
    assert (run.stop.reason, run.stop.value, run.ended) == (Reason.EXIT, 7, Outcome(7, ""))


def test_modules_are_where_start_info_says(boot: Boot) -> None:
    run = boot("mov esi, [ebx + 0x10]\nmov esi, [esi + 32]" + PRINT_ESI, modules=(b"first\0", b"second module\0"))
    assert run.machine.console.tail == "second module"


def test_multiboot_guest_gets_its_magic_and_modules(boot: Boot) -> None:
    source = "cmp eax, 0x2badb002\njne done\nmov esi, [ebx + 24]\nmov esi, [esi]" + PRINT_ESI
    run = boot(source, modules=(b"module\0",), multiboot=True)
    assert run.machine.console.tail == "module"
    assert run.stop.value == 7


def test_memory_size_reaches_the_guest(boot: Boot) -> None:
    store_high = "mov dword ptr [0xbffff000], 5\nmov eax, [0xbffff000]\n" + EXIT
    assert boot(store_high, MachineConfig(ram_bytes=4 * GIB)).stop.value == 5


def test_guest_finds_the_host_bridge(boot: Boot) -> None:
    run = boot("mov dx, 0xcf8\nmov eax, 0x80000000\nout dx, eax\nmov dx, 0xcfc\nin ax, dx\nshr eax, 8\n" + EXIT)
    assert run.stop.value & 0xFF == 0x80


def test_ioapic_answers_at_its_address(boot: Boot) -> None:
    run = boot("mov dword ptr [0xfec00000], 1\nmov eax, [0xfec00010]\nshr eax, 16\n" + EXIT)
    assert run.stop.value == 23


def test_port_nobody_claims_reads_all_ones(boot: Boot) -> None:
    assert boot("mov dx, 0x1234\nin al, dx\n" + EXIT).stop.value == 0xFF


def test_tsc_against_pit_gives_the_configured_frequency(boot: Boot) -> None:
    """10 ms of PIT channel 2, as kernels calibrate; the guest exits with TSC ticks / 2^18."""
    count = 11932
    source = f"""
        mov al, 0
        out 0x61, al
        mov al, 0xb0
        out 0x43, al
        mov al, {count & 0xFF}
        out 0x42, al
        mov al, {count >> 8}
        out 0x42, al
        mov al, 1
        out 0x61, al
        rdtsc
        mov ecx, eax
    wait:
        in al, 0x61
        test al, 0x20
        jz wait
        rdtsc
        sub eax, ecx
        shr eax, 18
    """
    run = boot(source + EXIT, MachineConfig(ram_bytes=64 * MIB, hz=2_000_000_000))
    assert run.stop.value == 20_000_000 >> 18


@pytest.mark.parametrize(
    ("source", "reason", "code", "says"),
    [
        ("mov al, 0xfe\nout 0x64, al\nhlt\n", Reason.RESET, 3, "reset its machine"),
        ("mov dx, 0xcf9\nmov al, 6\nout dx, al\nhlt\n", Reason.RESET, 3, "reset its machine"),
        ("mov dx, 0x604\nmov ax, 0x2000\nout dx, ax\nhlt\n", Reason.POWER_OFF, 0, ""),
        ("cli\nhlt\n", Reason.NO_PROGRESS, 3, "every vCPU is halted or jumps to itself for good"),
        ("lidt [0x107000]\nint3\n", Reason.TRIPLE_FAULT, 3, "triple-faulted on vCPU 0"),
    ],
)
def test_each_end_has_its_reason_and_sentence(boot: Boot, source: str, reason: Reason, code: int, says: str) -> None:
    run = boot(source)
    assert run.stop.reason == reason
    assert run.ended.exit_code == code
    assert says in run.ended.message
    assert run.ended.message.count("\n") == 0


def test_spinning_guest_meets_its_cycle_limit(boot: Boot) -> None:
    run = boot("spin: jmp spin\n", MachineConfig(ram_bytes=64 * MIB, cycle_limit=10_000_000))
    assert run.stop.reason == Reason.CYCLE_LIMIT
    assert "did not end within its cycle limit" in run.ended.message


def test_spinning_guest_ends_at_the_time_asked_for(boot: Boot) -> None:
    run = boot("spin: jmp spin\n", until_ps=2 * PS_PER_MS)
    assert (run.stop.reason, run.stop.time_ps) == (Reason.UNTIL, 2 * PS_PER_MS)
    assert run.ended.message == "The guest did not end within 0.002 s of guest time."


def test_flooding_guest_is_stopped(boot: Boot) -> None:
    with pytest.raises(GuestError, match="flooded its console: more than 100000 bytes"):
        boot(
            "mov dx, 0x3f8\nmov al, 65\nflood: out dx, al\njmp flood\n",
            MachineConfig(ram_bytes=64 * MIB, console_limit_bytes=100_000),
        )


def test_last_line_is_in_the_sentence(boot: Boot) -> None:
    run = boot("mov esi, [ebx + 0x18]" + PRINT_ESI.replace("mov al, 7\n    out 0xf4, al\n", "cli\n"), cmdline="panic:oops")
    assert run.ended.message.endswith('; its last line was "panic:oops".')


def test_events_happen_between_guest_instructions_and_in_time(boot: Boot) -> None:
    """A store to a device schedules an event 1 us later; its handler changes what the device answers."""
    seen: list[int] = []

    def prepare(world: World, machine: Machine) -> None:
        function = PciFunction(1, 2, 0)
        state = [0]

        def write(offset: int, size: int, value: int, time_ps: int) -> None:
            world.schedule(time_ps + 1_000_000, "lamp", "on", ())

        def handler(time_ps: int, tag: str, payload: Payload) -> None:
            seen.append(time_ps)
            assert world.now_ps == time_ps
            state[0] = 9

        function.add_bar(0, 0x1000, lambda offset, size, time_ps: state[0], write)
        world.register("lamp", handler)
        machine.add_pci(function)

    source = """
        mov dword ptr [0xe0000000], 1
        rdtsc
        mov ecx, eax
    wait:
        cmp dword ptr [0xe0000000], 9
        jne wait
        rdtsc
        sub eax, ecx
        shr eax, 6
    """
    run = boot(source + EXIT, MachineConfig(ram_bytes=64 * MIB, hz=1_000_000_000), prepare=prepare, until_ps=PS_PER_S)
    assert run.stop.reason == Reason.EXIT
    assert len(seen) == 1
    assert run.stop.value in (15, 16, 17, 18)  # 1,000 cycles / 64


def test_a_raising_device_stops_the_run_with_its_error(boot: Boot) -> None:
    def prepare(world: World, machine: Machine) -> None:
        def read(offset: int, size: int, time_ps: int) -> int:
            raise EmuBug("the lamp broke")

        function = PciFunction(1, 2, 0)
        function.add_bar(0, 0x1000, read, lambda offset, size, value, time_ps: None)
        machine.add_pci(function)

    with pytest.raises(EmuBug, match="the lamp broke"):
        boot("mov eax, [0xe0000000]\nspin: jmp spin\n", prepare=prepare, until_ps=PS_PER_S)


def test_device_dma_is_seen_by_the_guest_and_bounded(boot: Boot) -> None:
    def prepare(world: World, machine: Machine) -> None:
        machine.dma.write(0x200000, struct.pack("<I", 33))
        assert machine.dma.read(0x200000, 4) == struct.pack("<I", 33)
        for gpa, size in ((64 * MIB - 1, 2), (3 * GIB, 1), (2**64 - 1, 1), (0, 2**40)):
            with pytest.raises(GuestError):
                machine.dma.read(gpa, size)

    assert boot("mov eax, [0x200000]\n" + EXIT, prepare=prepare).stop.value == 33


def test_image_or_module_larger_than_memory_is_refused(boot: Boot, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="do not fit beside the image in 64 MiB"):
        boot(EXIT, modules=(bytes(65 * MIB),))
    image = tmp_path / "big.elf"
    image.write_bytes(pvh_elf(assemble32(EXIT), memory=64 * MIB))
    with World() as world, pytest.raises(ConfigError, match="more than 64 MiB of memory hold"):
        world.add_machine(MachineConfig(ram_bytes=64 * MIB)).boot(BootSpec(image))


@pytest.mark.parametrize("cpus", [0, 17, -1])
def test_vcpu_counts_out_of_range_are_refused(cpus: int) -> None:
    with pytest.raises(ConfigError, match="a machine has 1 to 16"):
        MachineConfig(cpus=cpus)


def test_memory_sizes_are_read_as_people_write_them() -> None:
    assert [parse_size(text) for text in ("64", "512M", "2G", "1GiB", "100mb")] == [
        64 * MIB, 512 * MIB, 2 * GIB, GIB, 100 * MIB,
    ]  # fmt: skip
    for text in ("", "lots", "1T", "-5M", "1.5G"):
        with pytest.raises(ConfigError, match="is no memory size"):
            parse_size(text)


def test_scheduling_in_the_past_is_our_bug() -> None:
    world = World()
    world.register("device", lambda time_ps, tag, payload: world.schedule(time_ps - 1, "device", "late", ()))
    world.schedule(10, "device", "now", ())
    with pytest.raises(EmuBug, match="scheduled 'late' 1 ps in the past"):
        world.run()


def test_a_world_without_machines_runs_its_events() -> None:
    world = World()
    seen: list[tuple[int, str]] = []
    world.register("device", lambda time_ps, tag, payload: seen.append((time_ps, tag)))
    world.schedule(20, "device", "b", ())
    world.schedule(10, "device", "a", ())
    world.schedule(30, "device", "c", ())
    assert world.run(25).reason == Reason.UNTIL
    assert seen == [(10, "a"), (20, "b")]
    assert world.run().reason == Reason.NO_PROGRESS
    assert seen[-1] == (30, "c")
