"""Build hook: compiles the shim with meson and puts it where VapourSynth loads plugins by itself."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST = (3, 12)  # as pyproject.toml has it, and VapourSynth's wheels
TARGET = "vapoursynth/plugins/gansr"
MANIFEST = "[VapourSynth Manifest V1]\n{stem}\n"


class ShimBuildHook(BuildHookInterface[Any]):
    """Adds the compiled library and its manifest to the wheel, which is then tagged for this platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        if sys.version_info < OLDEST:  # pip builds before it compares versions, and its own words would be a riddle
            here = ".".join(map(str, sys.version_info[:3]))
            raise SystemExit(f"vs-gansr needs Python {'.'.join(map(str, OLDEST))} or later; this is {here}")
        root = Path(self.root)
        # A folder of this build's own, because another pip may build from the same checkout.
        build = Path(tempfile.mkdtemp(prefix="gansr-shim-"))
        atexit.register(shutil.rmtree, build, ignore_errors=True)
        meson = [sys.executable, "-m", "mesonbuild.mesonmain"]
        # A cross file is named after the platform that it builds for: scripts/cross/win_amd64.ini.
        cross = Path(os.environ["GANSR_CROSS_FILE"]).resolve() if "GANSR_CROSS_FILE" in os.environ else None
        options = ["--cross-file", str(cross)] if cross else []
        subprocess.run([*meson, "setup", *options, str(build), str(root)], check=True)
        subprocess.run([*meson, "compile", "-C", str(build)], check=True)
        library = next(p for p in build.iterdir() if p.suffix in {".so", ".dylib", ".dll"})
        manifest = build / "manifest.vs"
        manifest.write_text(MANIFEST.format(stem=library.stem), encoding="utf-8")

        include = {
            str(library): f"{TARGET}/{library.name}",
            str(manifest): f"{TARGET}/manifest.vs",
        }
        # An editable install takes the Python side from the checkout, models included.
        key = "force_include_editable" if version == "editable" else "force_include"
        build_data.setdefault(key, {}).update(include)
        build_data["pure_python"] = False
        platform = cross.stem if cross else sysconfig.get_platform()
        build_data["tag"] = f"py3-none-{platform.replace('-', '_').replace('.', '_')}"
