"""Owns a whole `gansr upscale`: hires workers, deals out chunks, keeps the ledger, has the chunks joined.

Everything is decided in one loop over events. A film of one chunk goes straight into its file; a longer one is
rendered chunk by chunk into a folder beside the output, so that whatever ends this process, the same command goes on.
"""

from __future__ import annotations

import contextlib
import queue
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...common import CommandError, Interrupted, say
from ..chunks.file import ChunkFacts
from ..chunks.fingerprint import CONTENT, of_place
from ..chunks.ledger import Identity, Ledger, folder_of, locked, stamp_of
from ..chunks.outcome import Outcome
from ..job.job import UpscaleJob
from ..job.run_options import RunOptions
from ..output_file import commit, discard, reserve
from ..progress import Progress, State, WorkerProgress
from .pool import WorkerPool, WorkerState, frame_threads
from .process import POSIX, Event, Events, Signals, pause

__all__ = ["UpscaleRun", "run"]

MOST_TRIES = 3


def run(job: UpscaleJob, progress: Progress, wish: RunOptions) -> Outcome:
    """Does the job. Nothing is left under its output's name unless it succeeds, and no process.

    Raises CommandError with the cause, or Interrupted where a signal ended it; both say what is kept.
    """
    return UpscaleRun(job, progress, wish).run()


class UpscaleRun:
    """One job under way."""

    def __init__(self, job: UpscaleJob, progress: Progress, wish: RunOptions) -> None:
        self.job = job
        self.progress = progress
        self.wish = wish
        self.output = Path(job.output)
        self.folder = folder_of(self.output)
        self.events: Events = queue.SimpleQueue()
        self.crew = WorkerPool(self.events, wish.workers, wish.cluster, wish.storage)
        self.ledger: Ledger | None = None
        self.holding = False  # the job's folder is ours
        self.ready: dict[str, Any] = {}
        self.identity: Identity = {}
        self.agreed = False  # is the identity that of who renders
        self.finished: dict[str, Any] | None = None  # the answer to an order that is no chunk
        self.failures = 0  # of workers that had no chunk, since the last chunk was finished
        self.tries: dict[int, int] = {}  # that failed in this run, by chunk

    def run(self) -> Outcome:
        """See the function `run`."""
        self.crew.connect(self.job)  # before the signals are ours: Ray takes some
        with Signals(self.events):
            try:
                return self._whole_or_chunks()
            except (CommandError, Interrupted) as error:
                self._end()
                self._leave(error)
                raise
            finally:
                self._end()

    def _end(self) -> None:
        self.progress.clear()
        self.crew.end()

    def _whole_or_chunks(self) -> Outcome:
        begun = Ledger.load(self.folder) if not self.wish.restart else None
        if self.wish.resume and not begun:
            raise CommandError(f"there is nothing to resume in {self.folder}; leave --resume out to begin")
        threads = begun.frame_threads if begun else frame_threads(self.job.encoder)
        temporary = reserve(self.output)
        try:
            self.job = replace(self.job, temporary=str(temporary), frame_threads=threads)
            first = self.crew.hire(self.job, first=True, resuming=self.folder.exists())
            self._until(lambda: first.ready)
            if self.wish.restart:
                with locked(self.folder):
                    Ledger(self.folder, {}, (), 0).remove()
            if begun or len(self.ready["spans"]) > 1:
                temporary.unlink()
                return self._in_chunks()
            if self.crew.size > 1 and not self.crew.cluster:  # it sits on a part of the cores
                self.crew.dismiss(first)
                self.crew.size = 1
                first = self.crew.hire(self.job, first=True)
                self._until(lambda: first.ready)
            first.worker.order(do="whole", path=str(temporary))
            self._until(lambda: self.finished is not None)
            self._check_signals()
            commit(temporary, self.output, self.wish.overwrite)
            return self._outcome()
        finally:
            discard(temporary)

    def _in_chunks(self) -> Outcome:
        with locked(self.folder):
            self.holding = True
            self.ledger = self._open_ledger()
            found = len(self.ledger.chunks)
            if found:
                frames, _ = self.ledger.done()
                self.progress.note(f"{found} of {len(self.ledger.spans)} chunks ({frames} frames) are there already")
            while True:
                self._render_missing(self.ledger)
                self.progress.stage("reading the chunks back …")
                damaged = [n for n in sorted(self.ledger.chunks) if not self._is_sound(self.ledger, n)]
                if not damaged:
                    break
                self.progress.note(f"chunks {damaged} are no longer what was written, and are rendered again")
                self.ledger.forget(damaged)
            self.crew.leave_cluster()
            joined = self.folder / f"joined-{secrets.token_hex(4)}{self.output.suffix}"
            try:
                self._join(self.ledger, joined)
                self._check_signals()
                self.ledger.joined = stamp_of(joined)
                self.ledger.save()
                commit(joined, self.output, self.wish.overwrite)
            finally:
                discard(joined)
            self.ledger.remove()
        return replace(self._outcome(), chunks=len(self.ledger.spans), found=found, ledger=self.ledger)

    def _outcome(self) -> Outcome:
        said = self.ready
        engine = (self.identity["engine"],) if self.identity else tuple(said["engine"])
        return Outcome(said["frames"], tuple(said["size"]), said["seconds"], engine, said["ffmpeg"], said["origin"])

    def _open_ledger(self) -> Ledger:
        """The ledger of what was begun, if it is the same film made the same way, or a new one."""
        if not self.agreed:
            for _ in range(min(self.crew.size, len(self.ready["spans"]))):
                self.crew.hire(self.job, resuming=True)
            self._until(lambda: self.agreed)
        ledger = Ledger.load(self.folder)
        if ledger:
            ledger.refuse_change(self.identity)
            lost = ledger.sweep()
            if lost:
                self.progress.note(f"chunks {lost} are gone or of another size, and are rendered again")
            return ledger
        spans = tuple((a, b) for a, b in self.ready["spans"])
        ledger = Ledger(self.folder, self.identity, spans, self.job.frame_threads)
        ledger.sweep()
        ledger.save()
        return ledger

    def _is_sound(self, ledger: Ledger, number: int) -> bool:
        self._check_signals()
        return ledger.sound(number)

    def _render_missing(self, ledger: Ledger) -> None:
        """Has every missing chunk rendered, by as many workers as are wished and useful."""
        while missing := ledger.missing():
            renderers = self.crew.renderers()
            dealt = {hand.chunk for hand in renderers}
            waiting = [n for n in missing if n not in dealt]
            for hand in renderers:
                if waiting and hand.ready and hand.chunk is None:
                    self._deal(ledger, hand, waiting.pop(0))
            opening = sum(not hand.ready for hand in renderers)
            for _ in range(min(self.crew.size - len(renderers), len(waiting) - opening)):
                self.crew.hire(self.job, resuming=True)
            self._step()
            if ledger.missing():
                self._show(ledger)
        self._show(ledger)

    def _deal(self, ledger: Ledger, hand: WorkerState, number: int) -> None:
        start, end = ledger.spans[number]
        hand.chunk, hand.frame, hand.bytes = number, 0, 0
        hand.worker.order(do="chunk", start=start, end=end, path=str(ledger.path(number)))

    def _join(self, ledger: Ledger, path: Path) -> None:
        """Has a worker join all chunks into `path`."""
        parts = [
            {"path": str(ledger.path(number)), "frames": facts.frames, "header": facts.header, "delay": facts.delay}
            for number, facts in sorted(ledger.chunks.items())
        ]
        self.finished = None
        while self.finished is None:
            self.progress.stage("joining")
            here = [hand for hand in self.crew.hands if hand.plans or not self.crew.cluster]
            joiner = here[0] if here else self.crew.hire(self.job, first=True, resuming=True)
            self._until_from(joiner, lambda hand: hand.ready)
            if joiner in self.crew.hands:
                joiner.worker.order(do="join", path=str(path), parts=parts)
                self._until_from(joiner, lambda _: self.finished is not None)

    def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._step()

    def _until_from(self, hand: WorkerState, reached: Callable[[WorkerState], bool]) -> None:
        """Until a worker has got that far, or is gone."""
        self._until(lambda: reached(hand) or hand not in self.crew.hands)

    def _step(self) -> None:
        """Waits for the next event and acts on it."""
        event = self._next()
        if event.kind == "signal":
            raise Interrupted(event.value)
        if event.kind == "pause":
            pause([hand.worker for hand in self.crew.hands])
            return
        hand = self.crew.of(event)
        if hand is None:
            return  # the last words of one who is gone
        if event.kind == "message":
            self._hear(hand, event.value)
        elif event.kind == "ended":
            self._bury(hand, event.value)
        elif self.wish.verbose:
            self.progress.clear()
            say(event.value if self.crew.size == 1 else f"{hand.worker.name}: {event.value}")

    def _next(self) -> Event:
        """Python runs signal handlers only between waits on Windows."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self.events.get(timeout=None if POSIX else 0.5)

    def _hear(self, hand: WorkerState, message: dict[str, Any]) -> None:
        """Acts on what a worker answers."""
        if "error" in message:
            hand.error = message["error"]
            if not message["retry"] or self.ledger is None:
                where = f"{hand.worker.name} on {message['host']}: " if self.crew.is_elsewhere(hand) else ""
                raise CommandError(f"{where}{hand.error}")
        if "printed" in message and (hand.ready or not self.ready):  # a script says the same to each that opens it
            self.progress.printed(message["printed"])
        if not self.ready:  # the first one speaks for all
            if "stage" in message:
                self.progress.stage(f"{message['stage']} …")
            if "indexing" in message:
                self.progress.stage(f"indexing {message['indexing']}")
        if "note" in message:
            self.progress.note(message["note"], message.get("about"))
        if "ready" in message:
            self._welcome(hand, message["ready"])
        if "frame" in message:
            hand.frame = message["frame"]
            if self.ledger is None:
                self.progress.show(State(hand.frame, bytes=hand.bytes))
        if "bytes" in message:
            hand.bytes = message["bytes"]
        if "joined" in message:
            self.progress.stage(f"joining, {100 * message['joined'] // self.ready['frames']} %")
        if "done" in message:
            self._finish(hand, message["done"])

    def _welcome(self, hand: WorkerState, ready: dict[str, Any]) -> None:
        """Notes that a worker is ready. Raises CommandError for one that would not make the same chunks.

        On a cluster the first of its workers says what the network is computed with, not the driver's machine.
        """
        if not self.ready:
            self.ready = ready
            self.identity = ready.get("identity", {})
            self.agreed = not self.crew.cluster
            self.progress.total = ready["frames"]
        elif "identity" in ready and not (self.crew.cluster and hand.plans):
            other = {**ready["identity"], CONTENT: self.identity.get(CONTENT, "")}
            names = sorted(self.identity.keys() | other.keys())
            differs = [n for n in names if self.identity.get(n) != other.get(n) and (self.agreed or not of_place(n))]
            if differs:
                said = "; ".join(
                    f"{n} is {other.get(n, 'unset')}, not {self.identity.get(n, 'unset')}" for n in differs
                )
                raise CommandError(f"{hand.worker.name} on {ready['host']} would not make the same picture: {said}")
            self.identity, self.agreed = other, True
        hand.ready = True

    def _finish(self, hand: WorkerState, done: dict[str, Any]) -> None:
        """Notes what a worker has finished."""
        if hand.chunk is None or self.ledger is None:
            self.finished = done
            return
        self.ledger.record(hand.chunk, ChunkFacts(**done["facts"]), done["seconds"])
        hand.chunk, hand.frame, hand.bytes = None, 0, 0
        self.failures = 0

    def _bury(self, hand: WorkerState, how: str) -> None:
        """A worker is gone. Its chunk is dealt out again, unless that has been tried often enough."""
        self.crew.dismiss(hand)
        reason = hand.error or f"the renderer ended early ({how})"
        if self.ledger is None:
            raise CommandError(reason)
        tries, most = self.failures + 1, MOST_TRIES
        if hand.chunk is None:
            self.failures, most = tries, MOST_TRIES * self.crew.size  # a node that is lost takes several at once
        else:
            tries = self.tries[hand.chunk] = self.tries.get(hand.chunk, 0) + 1
            self.ledger.retries[hand.chunk] = self.ledger.retries.get(hand.chunk, 0) + 1
        if tries >= most:
            raise CommandError(f"{reason}, {tries} times in a row")
        self.progress.note(f"{hand.worker.name}: {reason}; another one goes on")

    def _show(self, ledger: Ledger) -> None:
        frames, size = ledger.done()
        workers = []
        for hand in self.crew.renderers():
            start, end = ledger.spans[hand.chunk] if hand.chunk is not None else (0, 0)
            workers.append(WorkerProgress(hand.worker.name, hand.chunk, hand.frame, end - start))
            frames, size = frames + hand.frame, size + hand.bytes
        self.progress.show(State(frames, len(ledger.chunks), len(ledger.spans), size, tuple(workers)))

    def _check_signals(self) -> None:
        """Raises Interrupted if a signal has come that was not acted on."""
        with contextlib.suppress(queue.Empty):
            while True:
                event = self.events.get_nowait()
                if event.kind == "signal":
                    raise Interrupted(event.value)
                if event.kind == "ended" and (gone := self.crew.of(event)):
                    self.crew.dismiss(gone)

    def _leave(self, error: CommandError | Interrupted) -> None:
        """Says in `error` what is kept; a folder without any finished chunk is not."""
        ledger = self.ledger
        if ledger is None:
            if self.holding and not Ledger.load(self.folder):
                Ledger(self.folder, {}, (), 0).remove()
            return
        if not ledger.chunks:
            ledger.remove()
            return
        ledger.sweep()
        kept = f"{len(ledger.chunks)} of {len(ledger.spans)} chunks are kept, the same command goes on"
        if isinstance(error, Interrupted):
            error.kept = kept
        else:
            error.args = (f"{error}; {kept}",)
