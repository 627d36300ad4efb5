"""The `gansr` command: finds the command asked for, runs it, and turns what goes wrong into one line.

A command is a module that has `HELP` (one line), `add_arguments(parser)` and `run(args) -> int`; COMMANDS names it.
Heavy imports belong inside `run`.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import re
import signal
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path

from ..errors import GansrError, one_line
from .common import FAILED, CommandError, Interrupted, say

__all__ = ["COMMANDS", "main", "parser"]

COMMANDS = {
    "upscale": ".upscale.command",
    "status": ".status",
    "models": ".models",
    "convert": ".convert",
    "doctor": ".doctor",
    "editor": ".editor",
}


def parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line's grammar, as far as the commands `names` go."""
    top = argparse.ArgumentParser(
        prog="gansr", description="Upscales video and removes compression artefacts, through VapourSynth."
    )
    top.add_argument("--version", action=PrintVersion, nargs=0, help="show program's version number and exit")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for name in names:
        module = import_module(COMMANDS[name], __package__)
        sub = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return top


class PrintVersion(argparse.Action):
    """Prints the version and exits. Only then is the package's metadata read, whose import takes a third of a start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"gansr {version('vs-gansr')}")
        parser.exit()


def open_standard_streams() -> None:
    """Opens the streams that are closed to nothing, so that no file of ours takes their numbers; letters that a stream
    cannot encode are written as escapes."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - it lives as long as we do
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else redirected_encoding(), errors="backslashreplace")


def redirected_encoding() -> str | None:
    """The encoding of streams that are redirected on Windows: the console's, which its shell reads them by, or UTF-8
    where there is no console. None, for Python's own choice, on other systems and where the user has set it."""
    if sys.platform != "win32" or sys.flags.utf8_mode or "PYTHONIOENCODING" in os.environ:
        return None
    import ctypes

    page = ctypes.windll.kernel32.GetConsoleOutputCP()
    return f"cp{page}" if page else "utf-8"


def refuse_dashes(words: Sequence[str]) -> None:
    """Raises CommandError for a file whose name would be taken for an option."""
    for word in words:
        if word.startswith("-") and (Path(word).is_file() or re.fullmatch(r"-[^=]*\.[a-z]\w+", word.lower())):
            raise CommandError(f"{word} begins with a dash and would be taken for an option; write ./{word}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `gansr` with `argv` (default: the process's own) and returns its exit code."""
    open_standard_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    try:
        refuse_dashes(words[:cut])
        # A command starts without the others' imports: until it catches signals itself, they are answered worse.
        args = parser(words[:1] if words and words[0] in COMMANDS else COMMANDS).parse_args(words[:cut])
        args.rest = words[cut + 1 :]  # for other programs, as they are
        args.words = words[1:cut]
        code: int = args.run(args)
        return code
    except GansrError as error:
        say(f"gansr: {one_line(error, 1000)}")
        return FAILED
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        say(f"gansr: the path {str(error.filename)[:80]}... is longer than this system allows; use a shorter one")
        return FAILED
    except Interrupted as stop:
        say(f"gansr: interrupted by {signal.Signals(stop.signum).name}; {stop.kept}")
        return 128 + stop.signum
    except KeyboardInterrupt:
        say("gansr: interrupted")
        return 128 + signal.SIGINT
