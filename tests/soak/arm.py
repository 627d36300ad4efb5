"""Compare frames made on 64-bit Arm, which qemu-user emulates, with those of this machine: scripts/soak --arm.

Python for Arm comes from Debian and the packages from PyPI, all kept in .cache/arm of the checkout. The wheel of the
checkout is cross-compiled each time. The tests of the native code are run on Arm, too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from cross_wheels import build_wheel, pip
from paths import ROOT

HOME = ROOT / ".cache" / "arm"
SYSTEM = HOME / "root"
SITE = HOME / "site"
PLATFORM = "linux_aarch64"
PROGRAMS = {
    "qemu-aarch64-static": "qemu-user-static",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    "apt-get": "apt",
    "unshare": "util-linux",
}
DEBIAN = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main"
PYTHON = "python3.13"
# An apt of its own: another architecture and release, nothing installed.
APT = """
Dir "{0}";
Dir::State::status "{0}/status";
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
"""
CPU = "neoverse-n1"
SECONDS = 3600  # for one test; a real processor needs a twentieth of the time
GLIBC = ("2_17", "2_26", "2_27", "2_28", "2_31", "2_34", "2_35", "2_39")  # of the wheels that trixie's glibc can run
# Results are compared with those of the versions here; onnxruntime-gpu has no wheel for Arm.
SAME = ("vapoursynth", "numpy", "onnx", "openvino")
OTHERS = ("psutil", "platformdirs", "pytest", "pytest-timeout", "pillow")
# ONNX Runtime takes the machine's description of its caches for an Arm machine's and crashes, so it gets none.
INSIDE = 'for folder in /sys/devices/system/cpu/cpu*/cache; do mount -t tmpfs none "$folder" || exit; done; exec "$@"'
# How far a network's samples may be from this machine's, in codes of 8 bits; gansr.Grain must give the same bits.
CODES = 1
DECIBELS = 60.0


def main() -> bool:
    """True if all frames are as near to this machine's as the bounds above say."""
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if missing:
        sys.exit(f"soak: --arm needs apt-get install {' '.join(missing)}")
    HOME.mkdir(parents=True, exist_ok=True)
    if not (SYSTEM / "usr" / "bin" / PYTHON).is_file():
        make_system()
    install()
    tests: list[str | Path] = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        ROOT / "pyproject.toml",
        "-o",
        f"timeout={SECONDS}",
    ]
    well = run(*tests, ROOT / "tests" / "native")
    frames = {"here": HOME / "here.npz", "arm": HOME / "arm.npz"}
    subprocess.run([sys.executable, "-m", "soak.arm_frames", frames["here"]], check=True)
    if not run("-m", "soak.arm_frames", frames["arm"]):
        return False
    return compare(np.load(frames["here"]), np.load(frames["arm"])) and well


def make_system() -> None:
    """Unpacks Debian's Python for Arm, and what it needs, into a folder of its own."""
    shutil.rmtree(HOME / "apt", ignore_errors=True)
    settings, state, cache = "etc/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"
    for folder in (f"{settings}/apt.conf.d", f"{settings}/preferences.d", state, cache):
        (HOME / "apt" / folder).mkdir(parents=True)
    (HOME / "apt" / "status").touch()
    (HOME / "apt" / "etc" / "apt" / "sources.list").write_text(DEBIAN + "\n")
    options = HOME / "apt" / "apt.conf"
    options.write_text(APT.format(HOME / "apt"))
    for words in (["update"], ["install", "--yes", "--download-only", PYTHON, "libstdc++6"]):
        subprocess.run(["apt-get", "-qq", *words], env=os.environ | {"APT_CONFIG": str(options)}, check=True)
    new = HOME / "new"
    shutil.rmtree(new, ignore_errors=True)
    for package in (HOME / "apt" / "var" / "cache" / "apt" / "archives").glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, new], check=True)
    (new / "lib").symlink_to("usr/lib")  # the loader's name is /lib/ld-linux-aarch64.so.1
    shutil.rmtree(SYSTEM, ignore_errors=True)
    new.rename(SYSTEM)


def install() -> None:
    """Installs the checkout's wheel and what it needs into the folder `site`."""
    wheel = build_wheel(HOME / "wheel", PLATFORM)
    what = [f"{name}=={version(name)}" for name in SAME] + [f"onnxruntime=={version('onnxruntime-gpu')}", *OTHERS]
    tags = ["--only-binary=:all:", "--python-version", "3.13", "--abi", "cp313", "--abi", "abi3", "--abi", "none"]
    tags += [word for glibc in GLIBC for word in ("--platform", f"manylinux_{glibc}_aarch64")]
    tags += ["--platform", "manylinux2014_aarch64", "--platform", PLATFORM]
    pip("download", *tags, "--dest", str(HOME / "downloads"), *what)
    shutil.rmtree(SITE, ignore_errors=True)  # pip adds nothing to packages that lie in a target folder already
    names = [str(path) for path in (HOME / "downloads").glob("*.whl")]
    pip("install", "--no-deps", "--no-index", *tags, "--target", str(SITE), *names, str(wheel))


def run(*words: str | Path) -> bool:
    """Runs Arm's Python and shows what it says; True if it ends well."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    tests = [ROOT / "tests", ROOT / "tests" / "support"]
    own |= {
        "PYTHONPATH": os.pathsep.join(map(str, [SITE, *tests])),
        "PYTHONPYCACHEPREFIX": str(HOME / "pycache"),
        "QEMU_CPU": CPU,
        "QEMU_LD_PREFIX": str(SYSTEM),
    }
    python = ["qemu-aarch64-static", str(SYSTEM / "usr" / "bin" / PYTHON)]
    space = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-m"]
    return subprocess.run([*space, "sh", "-c", INSIDE, "sh", *python, *words], env=own, cwd=HOME).returncode == 0


def compare(here: np.lib.npyio.NpzFile, arm: np.lib.npyio.NpzFile) -> bool:
    """Prints how far each array of `arm` is from that of `here`; True if all are near enough."""
    well = sorted(here) == sorted(arm) and len(list(here)) > 0
    for name in here:
        near, text = distance(name, here[name], arm[name])
        print(f"arm: {name}: {text}{'' if near else ', which is too far'}")
        well = well and near
    return well


def distance(name: str, here: np.ndarray, arm: np.ndarray) -> tuple[bool, str]:
    """Whether the arrays are near enough for what `name` says, and how far they are from each other, in words."""
    if here.shape != arm.shape or here.dtype != arm.dtype:
        return False, f"{arm.shape} {arm.dtype}, not {here.shape} {here.dtype}"
    if here.tobytes() == arm.tobytes():
        return True, "the same bits"
    scale = 1.0 if here.dtype.kind == "f" else 255 / np.iinfo(here.dtype).max  # to codes of 8 bits
    apart = np.abs(here.astype(float) - arm.astype(float)) * scale
    decibels = 10 * np.log10(255**2 / np.mean(apart**2))
    near = "Grain" not in name and apart.max() <= CODES and decibels >= DECIBELS
    return bool(near), f"at most {apart.max():.3g} codes of 8 bits apart, {decibels:.1f} dB"


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
