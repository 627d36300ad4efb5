"""The process that renders: it reads commands on stdin, one a line, and answers on stderr.

Each answer is led by a record separator (RFC 7464); what other code prints comes through as it is. The process keeps
the film open from one chunk to the next, and ends at once when stdin closes, so it never outlives its scheduler.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import platform
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn, TextIO

from ....errors import GansrError, one_line
from ..chunks import messages
from ..chunks.concat import concatenate
from ..chunks.ledger import Ledger
from ..chunks.messages import RECORD, Answer, Command, Done, Placement, Tell, read, write
from ..chunks.plan import NAME, Plan
from ..ffmpeg.process import TryAgain
from ..job import UpscaleJob
from ..job.plain_data import restored

if TYPE_CHECKING:
    from ..chunks.render import OpenFilm

__all__ = ["Renderer", "main"]


def main() -> NoReturn:
    """Obeys until stdin closes, a command fails or says to leave."""
    os.dup2(2, 1)
    lines = commands_only()
    renderer = Renderer(restored(Placement, json.loads(lines.readline())), tell, output)
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(lines, commands), daemon=True).start()
    while renderer.obey(commands.get()):
        pass
    leave()


def leave() -> NoReturn:
    """Runs what a script has registered for its end, and ends this process: whatever is left in it, such as threads of
    the script's, would keep Python from ending."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr, sys.__stdout__):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a script may close it
            stream.flush()  # type: ignore[union-attr]
    os._exit(0)


def output() -> TextIO:
    """Where a script prints: what answers go to, but by a number of its own, which it may close."""
    return os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")


def tell(answer: Answer) -> None:
    """Sends one answer to the scheduler, whole even where several threads do."""
    answers = sys.__stderr__  # sys.stderr may be a script's
    assert answers
    answers.write(f"{RECORD}{write(answer)}\n")
    answers.flush()


def commands_only() -> BinaryIO:
    """What the scheduler writes to this process, taken away from stdin: a script may read or close that.

    Without a buffer, whose lock the listening thread would still hold while Python ends.
    """
    lines = os.fdopen(os.dup(0), "rb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    sys.stdin = os.fdopen(nothing)
    return lines


def listen(lines: BinaryIO, commands: queue.SimpleQueue[Command]) -> None:
    """Queues what the scheduler commands; ends this process when the scheduler is gone."""
    for line in lines:
        commands.put(read(line.decode()))
    os._exit(1)


class Renderer:
    """Does what commands say and tells how far it is; the film of the last plan stays open.

    `placement` says where this process computes, `output` makes the stream that a script prints to.
    """

    def __init__(self, placement: Placement, tell: Tell, output: Callable[[], TextIO]) -> None:
        self.placement = placement
        self.tell = tell
        self._output = output
        self._script = ""  # the source, if it is one
        self._film: OpenFilm | None = None
        self._path = ""
        self._prepared = False
        if placement.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, placement.cores)

    def obey(self, command: Command) -> bool:
        """Does what `command` says. Where that fails it tells why and returns False, as for Leave; it is of no more use
        then."""
        if isinstance(command, messages.Leave):
            return False
        try:
            self._do(command)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # a script raises what it likes
            text = explained(error, self._script)
            self.tell(messages.Failed(text, isinstance(error, TryAgain), platform.node()))
            return False
        return True

    def _do(self, command: Command) -> None:
        begun = time.monotonic()
        match command:
            case messages.MakePlan(job=job, path=path):
                from ..chunks.planner import make_plan

                self._prepare(job)
                self._film, self._path = make_plan(command, self.placement, self.tell), path
                self.tell(Done())
            case messages.CheckPlan(job=job):
                from ..chunks.planner import of_job

                self.tell(messages.Stage("reading the source's content"))
                self.tell(Done(fingerprint=of_job(job)))
            case messages.OpenPlan(path=path):
                from ..chunks.planner import of_machine

                film = self._open(path)
                self.tell(messages.Opened(of_machine(film.plan, film.engine, film.tool), platform.node()))
            case messages.RenderChunk(plan=plan, span=span, path=path):
                from ..chunks.render import render_chunk

                facts = render_chunk(self._open(plan), span, Path(path), self.tell)
                self.tell(Done(facts, time.monotonic() - begun))
            case messages.RenderWhole(path=path):
                from ..chunks.render import render_whole

                assert self._film, "the film of MakePlan"
                render_whole(self._film, path, self.tell)
                self.tell(Done())
            case messages.Concatenate(folder=folder, path=path):
                ledger = Ledger.load(Path(folder)) or Ledger(Path(folder))
                parts = [(ledger.path(number), facts) for number, facts in sorted(ledger.chunks.items())]
                concatenate(Plan.load(Path(folder) / NAME), parts, path, self.tell)
                self.tell(Done())

    def _open(self, path: str) -> OpenFilm:
        """The film of the plan at `path`; if that is the plan of the film that is open, then that film."""
        from ..chunks.render import open_film

        if self._film is None or path != self._path:
            plan = Plan.load(Path(path))
            self._prepare(plan.job)
            if self._film is None or plan != self._film.plan:
                self._film = open_film(plan, self.placement)
            self._path = path
        return self._film

    def _prepare(self, job: UpscaleJob) -> None:
        """Tells what VapourSynth logs and what a script prints, from now on."""
        from ..chunks.render import relay
        from ..source.script_file import listen as listen_to_log

        if not self._prepared:
            self._prepared = True
            listen_to_log(relay(self.tell))
            if job.is_script:
                self._script = job.source
                sys.stdout = sys.stderr = self._output()


def explained(error: BaseException, script: str) -> str:
    """An error in one line. Errors of VapourSynth's are meant for users, others say which they are; those of functions
    of the `script`, if the source is one, say its line."""
    import vapoursynth as vs

    from ..source.script_file import failure, raised_by_script

    if script and raised_by_script(error):
        return failure(script, error)
    text = one_line(error, 1000)
    return text if isinstance(error, (GansrError, vs.Error)) else f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    main()
