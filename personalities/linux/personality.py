# SPDX-License-Identifier: GPL-2.0-or-later
"""linux: a distribution's kernel and a program, both as they come."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from elftools.elf.elffile import ELFFile

from emu.errors import ConfigError, GuestError
from emu.ledger.install import Code
from emu.loader.image import load_image, read_file
from emu.units import MIB
from personalities.base import BootModule, BootSpec, Knob, Personality, boot_words
from personalities.linux.btf import Btf
from personalities.linux.cache import kept
from personalities.linux.extras import extra_entries
from personalities.linux.guest import (
    READY_LINE,
    is_report_line,
    joined,
    module_functions,
    parse_report,
    program_functions,
)
from personalities.linux.initramfs import ADDRESS, GATEWAY, MOUNTED, SEED_BYTES, Root, initramfs
from personalities.linux.kallsyms import functions, read_kallsyms
from personalities.linux.kernel import Kernel
from personalities.linux.libraries import is_program, program_files

MODULES = ("virtio_pci", "virtio_net")
CMDLINE = "console=ttyS0 quiet panic=-1 tsc=reliable"
MAX_CMDLINE_BYTES = 2047  # COMMAND_LINE_SIZE on x86, less the zero byte behind it
PROGRAM_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True)
class Options:
    """What a user may say about the guest; the defaults are those of `compare`.

    Attributes:
        kernel: an image; None is the kernel of an unpacked package (kernel.py).
        modules: its lib/modules/VERSION.
        load: modules by name; what they need comes along.
        files: the user's files and folders, by path in the guest; programs among them bring their libraries.
        cmdline: further words for the kernel.
        ready: when the program serves: `udp PORT`, `tcp PORT`, `asleep`; `entry`: it is about to begin; `never`: nobody waits for
            it; None: asleep, and for a server we know, its port is open.
        boot: `pvh`, `linux64` (the 64-bit boot protocol), or None: PVH where the kernel can.
        seed: of the kernel's random numbers.
        network: whether the machine has a network device.
        window: rows and columns of the console, where somebody looks at it.
    """

    kernel: Path | None = None
    modules: Path | None = None
    load: tuple[str, ...] = MODULES
    files: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    cmdline: str = ""
    ready: str | None = None
    boot: str | None = None
    seed: int = 1
    network: bool = True
    window: tuple[int, int] | None = None


class Linux(Personality):
    """Boots a kernel with an initramfs made for one program."""

    name = "linux"
    title = "Linux (unmodified)"
    kind = "symmetric"
    folder = Path(__file__).resolve().parent
    knobs = MappingProxyType(
        {
            "unmitigated": Knob("no mitigations", {"mitigations": "off"}),
            "pin": Knob("pinned threads", words=("--pin", "on")),
        }
    )
    ready_line = READY_LINE
    boot_limit_ps = 60 * 10**12
    is_shipped = False
    code_is_early = False

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def with_options(self, **changes: object) -> Linux:
        """The same with other options."""
        return Linux(replace(self.options, **changes))  # type: ignore[arg-type]

    def prepare(
        self,
        program: str | Path = "kvd",
        arguments: Sequence[str] = (),
        *,
        keys: Mapping[str, str] | None = None,
        beside: Sequence[str | Path] = (),
    ) -> BootSpec:
        """As in Personality.prepare; a `program` without a slash is one of ours, or found where programs are.

        The keys `ip` and `gw` are init's, as they are other kernels'; the kernel gets the rest.
        """
        options, keys = self.options, dict(keys or {})
        address, gateway = keys.pop("ip", ADDRESS), keys.pop("gw", GATEWAY)
        kernel = Kernel.found(options.kernel, options.modules)
        image = kernel.elf
        modules = kernel.modules.closure(options.load) if kernel.modules is not None else []
        path, guest_path = self._find_program(program)
        found = program_files(path)
        files = {guest_path if name == str(path.absolute()) else name: data for name, data in found.files.items()}
        environment = dict(options.environment)
        if found.folders:
            environment.setdefault("LD_LIBRARY_PATH", ":".join(found.folders))
        more = {guest: at for at, guest in map(self._find_program, beside)} | dict(options.files)
        for at in more.values():  # further programs come with their libraries, too
            if at.is_file() and is_program(at):
                files |= {name: data for name, data in program_files(at).files.items() if name != str(at.absolute())}
        root = Root(
            init=self.find("init", "programs").read_bytes(),
            program=guest_path,
            arguments=arguments,
            files=files,
            modules=modules,
            ready=options.ready or _usual_sign(path.name, arguments),
            seed=options.seed.to_bytes(SEED_BYTES, "little"),
            network=options.network,
            address=address,
            gateway=gateway,
            window=options.window,
            environment=environment,
            extra=extra_entries(more),
        )
        initrd = kept("initramfs", initramfs(root))
        cmdline = " ".join(word for word in (CMDLINE, boot_words(keys, []), options.cmdline) if word)
        if len(cmdline.encode("utf-8", "surrogateescape")) > MAX_CMDLINE_BYTES:
            raise ConfigError(f"--append: the kernel's command line has more than the {MAX_CMDLINE_BYTES} bytes that Linux takes.")
        return BootSpec(
            image=image,
            cmdline=cmdline,
            modules=(BootModule(initrd),),
            manifest=self.manifest_path,
            linux64=_by_linux64(image, options.boot),
            memory_bytes=_memory_needed(image, initrd),
            programs=(
                path,
                *(self._find_program(each)[0] for each in beside),
                *(Path(name) for name in found.files if name != str(path.absolute())),
            ),
        )

    def code(self, spec: BootSpec, console: str = "") -> Code:
        """The kernel's functions by its own kallsyms, modules' and the program's where the running guest says they lie."""
        report = parse_report(console)
        if not report.mappings:
            raise GuestError(
                f"{spec.image.name}: the guest did not say where its program lies; init's report is missing on the console."
            )
        data = read_file(spec.image, "kernel")
        kernel = functions(read_kallsyms(spec.image, data), _code_ranges(spec.image))
        folder = Kernel.found(self.options.kernel, self.options.modules).modules
        loaded = folder.closure(self.options.load) if folder is not None else []
        modules = [module_functions(m.data, report.sections.get(m.name, {})) for m in loaded]
        files = {Path(to).name: at for to, at in self.options.files.items()} | {path.name: path for path in spec.programs}
        return Code(
            joined(kernel, *modules),
            joined(program_functions(report.mappings, files)),
            spec.image,
            Btf(spec.image).offset,
        )

    def is_report(self, line: str) -> bool:
        """What init tells of where code lies."""
        return is_report_line(line)

    def arguments_for(self, program: str, cpus: int, port: int) -> list[str]:
        """kvd and memcached: a thread for each vCPU."""
        match Path(program).name:
            case "kvd":
                return ["-t", str(cpus), "-U", str(port)]
            case "memcached":
                return ["-u", "root", "-t", str(cpus), "-U", str(port)]
            case _:
                return []

    def _find_program(self, program: str | Path) -> tuple[Path, str]:
        """Where it is here, and where it goes in the guest: ours to /bin, others to where they are."""
        if isinstance(program, Path) or "/" in program:
            path = Path(os.path.normpath(Path(program).absolute()))
            return path, str(path) if path.parts[1] not in MOUNTED else f"/bin/{path.name}"
        try:
            return self.find(program, "programs"), f"/bin/{program}"
        except ConfigError:
            found = next((p for p in (Path(folder) / program for folder in PROGRAM_FOLDERS) if os.path.isfile(p)), None)
        if found is None:
            raise ConfigError(f"There is no program {program!r} in {', '.join(PROGRAM_FOLDERS)}; give its path.")
        return found, str(found)


class LinuxProgram(Linux):
    """Linux for one program: experiments that would have their own get that one."""

    def __init__(self, options: Options, program: str, arguments: Sequence[str]) -> None:
        super().__init__(options)
        self.title = f"Linux (unmodified), {Path(program).name}"
        self._program, self._arguments = program, tuple(arguments)

    def prepare(
        self,
        program: str | Path = "",
        arguments: Sequence[str] = (),
        *,
        keys: Mapping[str, str] | None = None,
        beside: Sequence[str | Path] = (),
    ) -> BootSpec:
        """As Linux's, but for the program."""
        return super().prepare(self._program, self._arguments, keys=keys, beside=beside)


def _usual_sign(program: str, arguments: Sequence[str]) -> str:
    """By which a program is known to serve."""
    if program in ("kvd", "memcached") and "-U" in arguments[:-1]:
        return f"udp {arguments[list(arguments).index('-U') + 1]}"
    return "asleep"


def _memory_needed(image: Path, initrd: Path) -> int:
    """The kernel, what it makes for itself (12 MiB at least), and three of its archive: in a root that takes half of the rest."""
    with image.open("rb") as stream:
        loaded = sum(segment["p_memsz"] for segment in ELFFile(stream).iter_segments("PT_LOAD"))
    return int(loaded) + 12 * MIB + 3 * initrd.stat().st_size


def _by_linux64(image: Path, boot: str | None) -> bool:
    """Whether the kernel is entered by its 64-bit boot protocol. Raises ConfigError when it cannot be entered as asked."""
    if boot is not None:
        load_image(image, linux64=boot == "linux64")
        return boot == "linux64"
    try:
        load_image(image)
    except ConfigError:
        load_image(image, linux64=True)
        return True
    return False


def _code_ranges(image: Path) -> list[tuple[int, int]]:
    """The executable sections' addresses."""
    with image.open("rb") as stream:
        sections = ELFFile(stream).iter_sections()
        return [(s["sh_addr"], s["sh_addr"] + s["sh_size"]) for s in sections if s["sh_flags"] & 4]


PERSONALITY = Linux()
