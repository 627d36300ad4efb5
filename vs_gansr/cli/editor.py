"""The command `gansr editor`: start a script editor that previews with this VapourSynth.

VSEdit looks for `vapoursynth-script` on the loader's path and does not read VSSCRIPT_PATH. `prepare` creates a folder
with a link of that name to the wheel's library. VapourSynth's configuration names a Python for each path from which the
library is loaded, so the link gets an entry too. On Windows VSEdit looks for `vsscript`, which is in the wheel, on the
path, and then in the registry.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from ..common import files
from ..errors import one_line
from ..model.user_folders import cache_folder
from .common import CommandError

__all__ = ["HELP", "add_arguments", "run"]

HELP = "start VSEdit, or another editor that needs vapoursynth-script, with this VapourSynth"
NAMES = {"darwin": "libvapoursynth-script.dylib"}
LOADER_PATHS = {"win32": "PATH", "darwin": "DYLD_LIBRARY_PATH"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `gansr editor`; docs/cli.md explains them."""
    parser.usage = "gansr editor [-h] editor [script] [-- options for the editor]"
    parser.add_argument("editor", help="vsedit, or the path of an editor")
    parser.add_argument("script", nargs="?", type=Path, help="the .vpy script to open")


def run(args: argparse.Namespace) -> int:
    """Start the editor and return its exit code."""
    program = shutil.which(args.editor)
    if program is None:
        raise CommandError(f'"{args.editor}" is not on the path; install it, or give the path of the editor')
    if args.script is not None and not args.script.is_file():
        raise CommandError(f"{args.script} does not exist")
    words = [program, *([str(args.script.absolute())] if args.script else []), *args.rest]
    return subprocess.run(words, env=environment(prepare())).returncode


def prepare() -> Path:
    """Return the folder to put on the loader's path; create the link and the configuration as needed.

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
            with files.replacement(link) as fresh:
                fresh.symlink_to(library)
        enter(configuration(), str(library), str(link))
    except OSError as error:
        raise CommandError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return folder


def configure() -> None:
    """Run `vapoursynth config`, which adds this Python under the library's path to the configuration."""
    words = [sys.executable, "-m", "vapoursynth", "config"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    # Python for Windows outside a virtual environment is found without configuration.
    if done.returncode or not re.search("successfully|No configuration needed", done.stdout):
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise CommandError(f"`vapoursynth config` failed: {reason[0]}")


def configuration() -> Path:
    """Return the path of VapourSynth's configuration file."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "vapoursynth" / "vapoursynth.toml"


def enter(file: Path, library: str, link: str) -> None:
    """Copy the entry of `library` to `link` in the configuration. Raises CommandError where `library` has none."""
    try:
        known = tomllib.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(
            f"{file} cannot be read ({one_line(error)}); delete it, and it will be created again"
        ) from error
    keys = [path.replace("/lib64/", "/lib/") for path in (library, link)]  # as VapourSynth writes them
    if keys[0] not in known:
        raise CommandError(f"{file} has no entry for {library}; run: vapoursynth config")
    if known.get(keys[1]) == known[keys[0]]:
        return
    known[keys[1]] = known[keys[0]]
    # JSON strings are valid TOML strings.
    lines = [f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in known.items()]
    files.write(file, "".join(lines))


def environment(folder: Path) -> dict[str, str]:
    """Return the process's environment with `folder` first on the loader's path."""
    variable = LOADER_PATHS.get(sys.platform, "LD_LIBRARY_PATH")
    paths = [str(folder), *filter(None, [os.environ.get(variable)])]
    return os.environ | {variable: os.pathsep.join(paths)}
