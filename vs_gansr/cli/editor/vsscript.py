"""Owns what an editor needs to find this environment's VapourSynth by the old name of its scripting library.

VSEdit looks for `vapoursynth-script` on the loader's path and does not read VSSCRIPT_PATH. A folder of ours holds a
link of that name to the wheel's library, and VapourSynth's own configuration, which names a Python for every path
that the library is loaded from, gets a line for the link. On Windows VSEdit looks for `vsscript`, which the wheel has,
on the path, and only then in the registry.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from ...common import files
from ...errors import one_line
from ...model.user_folders import cache_folder
from ..common import CommandError

__all__ = ["environment", "prepare"]

NAMES = {"darwin": "libvapoursynth-script.dylib"}
LOADER_PATHS = {"win32": "PATH", "darwin": "DYLD_LIBRARY_PATH"}


def prepare() -> Path:
    """The folder that has to be on the loader's path; links and configuration are made as far as they are needed.

    Raises CommandError where VapourSynth cannot be configured or a file cannot be written.
    """
    import vapoursynth as vs

    library = Path(vs.get_vsscript())
    configure()
    if sys.platform == "win32":
        return library.parent
    folder = cache_folder() / "editor"
    link = folder / NAMES.get(sys.platform, "libvapoursynth-script.so")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (link.is_symlink() and link.readlink() == library):
            with files.replaced(link) as fresh:
                fresh.symlink_to(library)
        enter(configuration(), str(library), str(link))
    except OSError as error:
        raise CommandError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return folder


def configure() -> None:
    """Runs `vapoursynth config`, which enters this Python under the library's own path."""
    words = [sys.executable, "-m", "vapoursynth", "config"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    # A Python for Windows that is no virtual environment's is found without configuration.
    if done.returncode or not re.search("successfully|No configuration needed", done.stdout):
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise CommandError(f"`vapoursynth config` fails: {reason[0]}")


def configuration() -> Path:
    """VapourSynth's configuration file."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "vapoursynth" / "vapoursynth.toml"


def enter(file: Path, library: str, link: str) -> None:
    """Gives `link` the line that `library` has. Raises CommandError where that has none."""
    try:
        known = tomllib.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{file} cannot be read ({one_line(error)}); delete it, it is made again") from error
    keys = [path.replace("/lib64/", "/lib/") for path in (library, link)]  # as VapourSynth writes them
    if keys[0] not in known:
        raise CommandError(f"{file} says nothing of {library}; run: vapoursynth config")
    if known.get(keys[1]) == known[keys[0]]:
        return
    known[keys[1]] = known[keys[0]]
    # Strings of JSON are strings of TOML.
    lines = [f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in known.items()]
    files.write(file, "".join(lines))


def environment(folder: Path) -> dict[str, str]:
    """The process's environment with `folder` first on the loader's path."""
    variable = LOADER_PATHS.get(sys.platform, "LD_LIBRARY_PATH")
    paths = [str(folder), *filter(None, [os.environ.get(variable)])]
    return os.environ | {variable: os.pathsep.join(paths)}
