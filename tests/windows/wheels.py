"""Build dist/: the wheels of this system and of 64-bit Windows, checksums, and what the latter was tested with."""

from __future__ import annotations

import shutil
import sys

from cross_wheels import build_wheel, pip
from paths import ROOT

from .environment import COMPILER, PLATFORM, TESTED, digest

DIST = ROOT / "dist"


def main() -> int:
    """Returns 1 where the compiler for Windows is missing, which is said; dist/ is left as it was then."""
    if not shutil.which(COMPILER):
        print(f"{COMPILER} is not installed (apt-get install gcc-mingw-w64-x86-64)", file=sys.stderr)
        return 1
    shutil.rmtree(DIST, ignore_errors=True)
    pip("wheel", "--no-deps", str(ROOT), "-w", str(DIST))
    wheel = build_wheel(DIST, PLATFORM)
    found, *how = TESTED.read_text().splitlines() if TESTED.is_file() else [""]
    if found != digest(wheel):
        how = ["not tested as it is; scripts/test --windows does that, and scripts/wheels says it afterwards"]
    (DIST / "TESTED.txt").write_text("\n".join([f"{wheel.name}:", *how, ""]))
    files = [path for path in sorted(DIST.iterdir()) if path.suffix == ".whl"]
    (DIST / "SHA256SUMS").write_text("".join(f"{digest(path)}  {path.name}\n" for path in files))
    for path in sorted(DIST.iterdir()):
        print(f"dist/{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
