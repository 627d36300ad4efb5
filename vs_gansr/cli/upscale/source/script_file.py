"""Run a VapourSynth script in its own folder, as vspipe does; hear what VapourSynth logs and what scripts print."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import runpy
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import vapoursynth as vs

from ....errors import one_line
from ...common import CommandError, note

__all__ = ["failure", "is_noise", "listen", "note_log", "printer", "raised_by_script", "run_script", "variables"]

PLACE = re.compile(r'File "(.+?)", line (\d+)')  # in a traceback that VapourSynth hands on as text


def listen(handler: Callable[[Any, str], None]) -> None:
    """Has `handler` told of VapourSynth's log, which otherwise goes to stderr by Python's logging."""
    logger = logging.getLogger("vapoursynth")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    vs.core.core.add_log_handler(handler)


def is_noise(message: str) -> bool:
    """The core's remark on BestSource returning timestamps that its signature does not declare."""
    return "no return value" in message


def note_log(kind: Any, message: str) -> None:
    """Shows VapourSynth's warnings as notes."""
    if kind >= vs.MESSAGE_TYPE_WARNING and not is_noise(message):
        note(message)


class Lines(io.RawIOBase):
    """A stream of bytes that hands each full line of text to `show`."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self._show = show
        self._begun = b""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2  # for what a script starts

    def write(self, data: Any) -> int:
        *lines, self._begun = (self._begun + bytes(data)).replace(b"\r", b"\n").split(b"\n")
        for line in filter(None, lines):
            self._show(line.decode("utf-8", "replace"))
        return len(data)


def printer(show: Callable[[str], None]) -> TextIO:
    """A text stream like sys.stdout that hands each line to `show`."""
    return io.TextIOWrapper(io.BufferedWriter(Lines(show)), "utf-8", "replace", line_buffering=True)


def variables(words: Sequence[str]) -> dict[str, str]:
    """The variables that `NAME=VALUE` words set in a script. Raises CommandError for a word of another form."""
    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name.isidentifier():
            raise CommandError(f'--arg "{word}" sets no variable; write --arg NAME=VALUE, with NAME as Python has it')
        found[name] = value
    return found


def run_script(path: str, given: Sequence[str] = ()) -> vs.VideoOutputTuple:
    """The video output 0 of the script at `path`; `given` are `NAME=VALUE` words that it finds as variables, in text.

    What it prints goes to stderr. A script that ends itself with exit code 0 counts as finished. Raises CommandError
    where it fails, ends itself with another code, or sets no video output 0; KeyboardInterrupt where it raises that.
    """
    vs.clear_outputs()
    here = Path.cwd()
    started = variables(given)
    try:
        os.chdir(Path(path).parent)
        with contextlib.redirect_stdout(sys.stderr):
            runpy.run_path(path, init_globals=started, run_name="__vapoursynth__")
    except SystemExit as error:
        if error.code not in (None, 0):
            raise CommandError(failure(path, error)) from error
    except SyntaxError as error:
        raise CommandError(f"{error.filename or path}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        raise CommandError(failure(path, error)) from error
    finally:
        os.chdir(here)
        for stream in (sys.stdout, sys.stderr):
            if stream and not stream.closed:
                stream.flush()
    output = vs.get_outputs().get(0)
    if not isinstance(output, vs.VideoOutputTuple):
        raise CommandError(f"{path} sets no video output 0; end it with: clip.set_output()")
    return output


def raised_by_script(error: BaseException) -> bool:
    """Whether a script ended itself, or one of its functions failed for a frame."""
    return isinstance(error, (SystemExit, KeyboardInterrupt)) or one_line(error, 1000).startswith("Traceback")


def failure(path: str, error: BaseException) -> str:
    """How the script at `path` failed, in one line: where, and by what. Of an error that a function of the script's
    raised for a frame VapourSynth hands on the traceback alone, as text."""
    frames, text = traceback.extract_tb(error.__traceback__), str(error).strip()
    line = next((frame.lineno for frame in reversed(frames) if frame.filename == path), 0)
    if isinstance(error, vs.Error) and text.startswith("Traceback"):
        lines = [int(match[2]) for match in PLACE.finditer(text) if match[1] == path]
        line, reason = (lines or [0])[-1], text.splitlines()[-1]
    elif isinstance(error, SystemExit):
        reason = f"the script ends itself: exit({error.code!r})"
    else:
        reason = ": ".join(filter(None, (type(error).__name__, text and one_line(error, 1000))))
    return f"{path}, line {line}: {reason}"
