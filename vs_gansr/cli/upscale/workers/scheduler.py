"""Run a whole `gansr upscale`: have the film planned, hand out its chunks, keep the ledger, have the chunks joined.

Everything is decided in one loop over events. A film of one chunk goes straight into its file.
"""

from __future__ import annotations

import contextlib
import queue
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ...common import CommandError, Interrupted, say
from ..chunks import messages
from ..chunks.ledger import MANY_DAYS, Ledger, busy, folder_of, locked, old_folders, stamp_of
from ..chunks.messages import CheckPlan, Command, Concatenate, MakePlan, OpenPlan, RenderChunk, RenderWhole
from ..chunks.plan import NAME, Fingerprint, Plan, changes
from ..job import UpscaleJob
from ..output_file import NotRenamed, commit, discard, reserve
from ..progress import Progress, State, WorkerProgress
from .pool import WorkerPool, WorkerState, frame_threads
from .process import Ended, Event, Events, Signal, Told, let_leave, pause, signals_as

__all__ = ["Outcome", "RunOptions", "UpscaleRun"]

MOST_TRIES = 3
LOOK = 1.0  # seconds between looks at workers that may have stopped


@dataclass(frozen=True)
class RunOptions:
    """How a job is to be run, which changes nothing in its result.

    `workers` processes at a time, 0 for one or what the cluster has · `cluster` address of a Ray cluster, or None ·
    `overwrite` the output · `resume` only what is begun, `restart` from nothing · `verbose` shows what the workers
    print · `patience` seconds that a worker may go without a frame, at least
    """

    workers: int = 0
    cluster: str | None = None
    overwrite: bool = False
    resume: bool = False
    restart: bool = False
    verbose: bool = False
    patience: float = 60.0


@dataclass(frozen=True)
class Outcome:
    """A finished film: its plan, what computed it, how many chunks were `found` finished, and the ledger, if any."""

    plan: Plan
    engine: str
    found: int = 0
    ledger: Ledger | None = None


class UpscaleRun:
    """One job under way."""

    def __init__(self, job: UpscaleJob, progress: Progress, options: RunOptions) -> None:
        self.job = job
        self.progress = progress
        self.options = options
        self.output = Path(job.output)
        self.folder = folder_of(self.output)
        self.events: Events = queue.SimpleQueue()
        self.pool = WorkerPool(self.events, options.workers, options.cluster, options.patience)
        self.plan: Plan | None = None
        self.ledger: Ledger | None = None
        self.found = 0  # chunks that were finished before this run
        self.speaker: WorkerState | None = None  # the first worker that has opened the film in this run
        self.done: messages.Done | None = None  # the answer to what was ordered last, if that was no chunk
        self.look_at = 0.0  # when workers are next looked at
        self.failures = 0  # of workers that had no chunk, since the last chunk was finished
        self.tries: dict[int, int] = {}  # that failed in this run, by chunk

    def run(self) -> Outcome:
        """Does the job. Nothing is left under its output's name unless it succeeds, and no process.

        Raises CommandError with the cause, or Interrupted where a signal ended it; both say what is kept.
        """
        self.pool.connect(self.job)  # before the signals are ours: Ray takes some
        with signals_as(self.events):
            try:
                return self._whole_or_chunks()
            except (CommandError, Interrupted) as error:
                self.end()
                self._say_what_is_kept(error)
                raise
            finally:
                self.end()

    def end(self) -> None:
        """Ends all workers."""
        self.progress.clear()
        self.pool.end()

    def _whole_or_chunks(self) -> Outcome:
        begun = Ledger.load(self.folder) if not self.options.restart else None
        if self.options.resume and not begun:
            raise CommandError(f"there is nothing to resume in {self.folder}; leave --resume out to begin")
        if busy(self.folder):
            raise CommandError(f"another gansr works in {self.folder}; wait for it, or end it")
        left = {folder: size for folder, size in old_folders(self.output.parent).items() if folder != self.folder}
        if left:
            self.progress.note(
                f"{self.output.parent} has chunks of {len(left)} films that have not been resumed for "
                f"{MANY_DAYS:g} days, {sum(left.values()) / 1e9:.1f} GB; gansr status --clear-chunks deletes them"
            )
        temporary = reserve(self.output)
        draft = temporary.with_name(f"{temporary.name}.plan")
        finished = False
        try:
            plan = Plan.load(self.folder / NAME) if begun else self.planned(draft, temporary)
            if len(plan.spans) == 1 and not begun:
                self.plan = plan
                if self.options.restart:
                    with locked(self.folder):
                        Ledger(self.folder).remove()
                outcome = self._whole(plan, draft, temporary)
            else:
                temporary.unlink()
                with locked(self.folder):
                    outcome = self._in_chunks(plan, begun)
            self.let_leave()
            return outcome
        except CommandError as error:
            finished = isinstance(error, NotRenamed)
            self.let_leave()
            raise
        finally:
            self.end()  # a worker might write again what is deleted here
            discard(temporary, finished)

    def let_leave(self, shown: bool = True) -> None:
        """Lets a script's functions for its end run in workers that render nothing; what they print is `shown` once."""
        if self.job.is_script:
            idle = [state for state in self.pool.workers if state.chunk is None and not state.worker.elsewhere]
            teller = self.speaker if self.speaker in idle else next(iter(idle), None)
            for event in let_leave([state.worker for state in idle], self.events):
                match event:
                    case Told(worker, messages.Printed(text)) if shown and teller and worker is teller.worker:
                        self.progress.printed(text)

    def planned(self, draft: Path, scratch: Path) -> Plan:
        """Has a worker write the plan to `draft`."""
        job = replace(self.job, frame_threads=frame_threads(self.job.encoder))
        planner = self.pool.start_here(job)
        self.do(planner, MakePlan(job, str(draft), str(scratch)))
        self.speaker = planner
        plan = Plan.load(draft)
        self.progress.total = plan.frames
        return plan

    def _whole(self, plan: Plan, draft: Path, temporary: Path) -> Outcome:
        """Has the film rendered in one piece, by one worker with all cores."""
        if self.pool.size > 1 and not self.pool.cluster:  # the worker sits on a part of the cores
            self.let_leave(shown=False)
            self.pool.end()
            self.pool.size = 1
            plan = self.planned(draft, temporary)
        state = self.pool.workers[0]
        state.begin(0, temporary)
        self.do(state, RenderWhole(str(temporary)))
        self._check_signals()
        commit(temporary, self.output, self.options.overwrite)
        return Outcome(plan, "; ".join(map(str, plan.engine)))

    def _in_chunks(self, plan: Plan, begun: Ledger | None) -> Outcome:
        plan, ledger = self._kept(plan, begun)
        while True:
            self._render_missing(plan, ledger)
            self.progress.stage("reading the chunks back …")
            damaged = []
            for number in sorted(ledger.chunks):
                self._check_signals()
                if not ledger.sound(number):
                    damaged.append(number)
            if not damaged:
                break
            self.progress.note(f"chunks {damaged} are no longer what was written, and are rendered again")
            ledger.forget(damaged)
        self.pool.leave_cluster()
        joined = self.folder / f"joined-{secrets.token_hex(4)}{self.output.suffix}"
        self._join(plan, joined)  # where it fails, or what follows, `sweep` deletes the file
        self._check_signals()
        ledger.joined = stamp_of(joined)
        ledger.save()
        commit(joined, self.output, self.options.overwrite)
        ledger.remove()
        return Outcome(plan, ledger.fingerprint.get("engine", ""), self.found, ledger)

    def _kept(self, plan: Plan, begun: Ledger | None) -> tuple[Plan, Ledger]:
        """Plan and ledger of what was `begun`, if it is the same film made the same way, or new ones."""
        if begun:
            ledger = Ledger.load(self.folder) or begun
            now = self.do(self.pool.start_here(self.job), CheckPlan(plan.of(self.job).job)).fingerprint
            refuse(plan, ledger, changes(plan.fingerprint, now or {}))
            self.plan, self.ledger = plan, ledger
            if plan.of(self.job) != plan:
                plan = plan.of(self.job)
                plan.save(self.folder / NAME)
            lost = self.ledger.sweep()
            if lost:
                self.progress.note(f"chunks {lost} are gone or of another size, and are rendered again")
            self.found = len(self.ledger.chunks)
            if self.found:
                frames, _ = self.ledger.done()
                self.progress.note(f"{self.found} of {len(plan.spans)} chunks ({frames} frames) are there already")
        else:
            self.plan, self.ledger = plan, Ledger(self.folder)
            self.ledger.clear()
            plan.save(self.folder / NAME)
            self.ledger.save()
        if self.pool.cluster:
            self.pool.dismiss(self.pool.workers[0])
        self.plan = plan
        self.progress.total = plan.frames
        return plan, self.ledger

    def _render_missing(self, plan: Plan, ledger: Ledger) -> None:
        """Has every missing chunk rendered, by as many workers as are wished and useful."""
        path = self.folder / NAME
        while missing := ledger.missing(len(plan.spans)):
            renderers = self.pool.renderers()
            dealt = {state.chunk for state in renderers}
            waiting = [n for n in missing if n not in dealt]
            for state in renderers:
                if waiting and state.opened and state.chunk is None:
                    number = waiting.pop(0)
                    state.begin(number)
                    state.worker.order(RenderChunk(str(path), plan.spans[number], str(ledger.path(number))))
            opening = sum(not state.opened for state in renderers)
            for _ in range(min(self.pool.size - len(renderers), len(waiting) - opening)):
                self.pool.start_renderer(self.job, path)
            for state in self.pool.renderers():
                if not state.opened and not state.opening:
                    state.opening = True
                    state.worker.order(OpenPlan(str(path)))
            self._step()
            if ledger.missing(len(plan.spans)):
                self._show(plan, ledger)
        self._show(plan, ledger)

    def _join(self, plan: Plan, path: Path) -> None:
        """Has a worker on this machine join all chunks into `path`."""
        while True:
            self.progress.stage("joining")
            worker = self.pool.workers[0] if self.pool.workers else self.pool.start_here(self.job)
            worker.begin(None, path)
            with contextlib.suppress(WorkerLost):
                self.do(worker, Concatenate(str(self.folder), str(path)))
                return

    def do(self, state: WorkerState, command: Command) -> messages.Done:
        """Gives a command that is no chunk, and waits until it is done. Raises WorkerLost if the worker ends before."""
        self.done = None
        state.worker.order(command)
        while not self.done:
            self._step()
            if state not in self.pool.workers:
                raise WorkerLost
        return self.done

    def _step(self) -> None:
        """Waits for the next event and acts on it."""
        event = self._next()
        if isinstance(event, Signal):
            if not event.is_pause:
                raise Interrupted(event.number)
            pause([state.worker for state in self.pool.workers])
        elif event and (state := self.pool.of(event)):  # else the last words of one who is gone
            if isinstance(event, Told):
                self._hear(state, event.answer)
            elif isinstance(event, Ended):
                self._replace(state, f"the renderer ended early ({event.how})")

    def _print(self, state: WorkerState, text: str) -> None:
        """Shows what a script prints; when it is opened it prints the same in each worker."""
        if state.opened or self.speaker in (None, state):
            self.progress.printed(text)

    def _say(self, state: WorkerState, text: str) -> None:
        """Shows what a worker's libraries and ffmpeg say, with --verbose."""
        if self.options.verbose:
            self.progress.clear()
            say(text if self.pool.size == 1 else f"{state.worker.name}: {text}")

    def _next(self) -> Event | None:
        """The next event; none comes while a worker is ended that has stopped. Python runs signal handlers only between
        waits on Windows."""
        while True:
            if (now := time.monotonic()) >= self.look_at:  # by the clock: a stuck worker's ffmpeg goes on reporting
                self.look_at = now + LOOK
                for state in self.pool.workers:
                    if stuck := state.stuck(now):
                        self._replace(state, stuck)
                        return None
            with contextlib.suppress(queue.Empty):
                return self.events.get(timeout=LOOK)

    def _hear(self, state: WorkerState, answer: messages.Answer) -> None:
        """Acts on what a worker answers."""
        name, now = state.worker.name, time.monotonic()
        if state.joins:
            state.watchdog.alive(now)
        match answer:
            case messages.Failed(error=error, retry=retry, host=host):
                state.error = error
                if not retry or self.ledger is None:
                    where = f"{name} on {host}: " if state.worker.elsewhere else ""
                    raise CommandError(f"{where}{error}")
            case messages.Printed(text=text, by_ffmpeg=by_ffmpeg):
                (self._print if self.job.is_script and not by_ffmpeg else self._say)(state, text)
            case messages.Stage(text=text):
                if self.speaker is None or state.joins:  # else another worker opens the film, too
                    self.progress.stage(f"{text} …")
            case messages.Noted(text=text, about=about):
                self.progress.note(text, about or None)
            case messages.Opened(fingerprint=fingerprint, host=host):
                self._welcome(state, fingerprint, host)
            case messages.Rendered(frames=frames):
                state.frames = frames
                state.watchdog.frame(frames, now)
                if state.joins:
                    self.progress.stage(f"joining, {100 * frames // max(self.progress.total, 1)} %")
                elif state.film:
                    self.progress.show(State(frames, bytes=state.bytes))
            case messages.Encoded(bytes=size):
                if size > state.bytes:  # ffmpeg says it twice a second, even if it gets no frame
                    state.watchdog.alive(now)
                state.bytes = size
            case messages.Done(facts=facts, seconds=seconds):
                if self.ledger and facts and state.chunk is not None:
                    self.ledger.record(state.chunk, facts, seconds)
                    self.failures = 0
                else:
                    self.done = answer
                state.chunk, state.film, state.frames, state.bytes = None, None, 0, 0

    def _welcome(self, state: WorkerState, fingerprint: Fingerprint, host: str) -> None:
        """Notes that a worker has opened the film. Raises CommandError for one that would not make the same chunks."""
        assert self.plan and self.ledger
        known = self.ledger.fingerprint
        if not known:
            self.ledger.fingerprint = fingerprint
            self.ledger.save()
        elif changed := changes(known, fingerprint):
            if self.speaker is None and not state.worker.elsewhere:
                refuse(self.plan, self.ledger, changed)
            anew = "" if state.worker.elsewhere else "; add --restart to render the whole film with that"
            raise Refused(f"{state.worker.name} on {host} would not make the same picture: {changed}{anew}")
        state.opened, self.speaker = True, self.speaker or state

    def _replace(self, state: WorkerState, how: str) -> None:
        """A worker is gone or to be ended. Its chunk is dealt out again, unless that was tried often enough."""
        self.pool.dismiss(state)
        reason = state.error or how
        if self.ledger is None:
            raise CommandError(f"{reason}{self._without_gpu('')}")
        tries, most = self.failures + 1, MOST_TRIES
        if state.chunk is None:
            self.failures = tries
            most *= 1 if state.joins else self.pool.size  # a node that is lost takes several at once
        else:
            tries = self.tries[state.chunk] = self.tries.get(state.chunk, 0) + 1
            self.ledger.retries[state.chunk] = self.ledger.retries.get(state.chunk, 0) + 1
        if tries >= most:
            raise CommandError(f"{reason}, {tries} times in a row{self._without_gpu(' --restart')}")
        self.progress.note(f"{state.worker.name}: {reason}; another worker continues")

    def _without_gpu(self, more: str) -> str:
        """What to do without the GPU that computes the film, if one does: it may be what ends the workers."""
        gpus = sorted({each.provider for each in self.plan.engine if not each.on_processors}) if self.plan else []
        return (
            f"; {gpus[0]} computes this film: to compute all of it on the CPU add --provider CPU{more}" if gpus else ""
        )

    def _show(self, plan: Plan, ledger: Ledger) -> None:
        frames, size = ledger.done()
        workers = []
        for state in self.pool.renderers():
            start, end = plan.spans[state.chunk] if state.chunk is not None else (0, 0)
            workers.append(WorkerProgress(state.worker.name, state.chunk, state.frames, end - start))
            frames, size = frames + state.frames, size + state.bytes
        self.progress.show(State(frames, len(ledger.chunks), len(plan.spans), size, tuple(workers)))

    def _check_signals(self) -> None:
        """Raises Interrupted if a signal has come that was not acted on."""
        with contextlib.suppress(queue.Empty):
            while True:
                event = self.events.get_nowait()
                if isinstance(event, Signal) and not event.is_pause:
                    raise Interrupted(event.number)
                if isinstance(event, Ended) and (gone := self.pool.of(event)):
                    self.pool.dismiss(gone)

    def _say_what_is_kept(self, error: CommandError | Interrupted) -> None:
        """Says in `error` what is kept; a folder without any finished chunk is not."""
        ledger = self.ledger
        if ledger is None or self.plan is None:
            return
        if not ledger.chunks:
            ledger.remove()
            return
        if isinstance(error, Refused):
            return
        if not isinstance(error, NotRenamed):  # the finished film may lie among the chunks
            ledger.sweep()
        kept = (
            f"{len(ledger.chunks)} of {len(self.plan.spans)} chunks are kept: to continue with them repeat the command"
        )
        if isinstance(error, Interrupted):
            error.kept = kept
        else:
            error.args = (f"{error}; {kept}",)


class WorkerLost(Exception):
    """The worker ended before it had done what it was told; its end is dealt with."""


class Refused(CommandError):
    """The chunks that are finished and those to come would not be one film; the same command fails again."""


def refuse(plan: Plan, ledger: Ledger, changed: str) -> None:
    """Raises Refused where something is no longer as it was when the film was begun."""
    if changed:
        raise Refused(
            f"{len(ledger.chunks)} of {len(plan.spans)} chunks in {ledger.folder} were made differently: {changed}; "
            "restore what they were made with, or delete them with --restart"
        )
