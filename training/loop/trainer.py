"""Train a generator: the step, the loop, saving and resuming."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from vs_gansr.common import files

from ..export import export
from ..losses import formulas, objective
from ..losses.aim import crisp
from ..losses.regions import directionless
from ..material.luma import luma
from ..material.pool import Pool
from ..networks.generator import FoldedGenerator, LumaGenerator, half_sample, of_luma, with_colour
from ..networks.grow import carry_chroma, grow
from ..recipe import Recipe, RecipeError, from_dict
from ..recipe.config import LOOKS
from ..records import checkpoint, metrics
from ..records.enlarge import enlarge
from ..records.run_log import Row, RunLog, progress_line
from . import balance
from .adversary import Adversary
from .pace import Pace
from .projected import ProjectedAdversary
from .schedule import Schedule

CHECKPOINT = "checkpoint.pt"
"""A run's file to go on from, in its folder."""
PIXEL = "pixel.pt"
"""The same as it was when the adversary joined."""


class Trainer:
    """One run of one recipe in one folder; made anew or resumed from the folder's checkpoint.

    A recipe with `steps` depends on nothing but its seed: random numbers are functions of (seed, step), so a resumed
    run repeats an unbroken one number for number on a CPU. With `minutes` the schedule follows the time spent training.
    """

    recipe: Recipe
    """What is trained, and how."""
    folder: Path
    """Where checkpoints, log, curves and samples go."""
    pool: Pool
    """Pairs that are trained on."""
    held_out: Pool
    """Pairs that only measure."""
    device: torch.device
    """Where the networks are."""
    generator: LumaGenerator
    """As trained so far."""
    mean: LumaGenerator
    """The moving average of its weights: what is measured and exported."""
    optimiser: torch.optim.Adam
    """The generator's."""
    adversary: Adversary
    """The discriminator's side; idle in the pixel-loss stage."""
    projected: ProjectedAdversary | None
    """The pretrained network and its heads, where a loss wants them."""
    balancer: balance.Balancer
    """Weighs the losses."""
    guard: balance.Guard
    """Stops a run that is lost."""
    schedule: Schedule
    """Rates by progress."""
    step: int
    """Steps done."""
    elapsed: float
    """Seconds of training, pauses between calls not among them."""
    adversarial_from: int
    """The step with which the adversary joined; -1: not yet."""
    origin: str
    """What the run began with, for the record; empty: nothing."""
    stopping: bool
    """Set it, from any thread or signal handler, to end `train` after the step in hand."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        pool: Pool,
        held_out: Pool,
        device: str = "cpu",
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`say` takes lines for a person to read; the other arguments become the attributes of those names.

        Raises:
            RecipeError: the folder's run was begun with another recipe, or `run.init` does not fit.
            CheckpointError: a checkpoint could not be read.
        """
        self.recipe, self.folder, self.pool, self.held_out = recipe, folder, pool, held_out
        self.device = torch.device(device)
        self._say = say
        torch.manual_seed(recipe.run.seed)
        self.generator = LumaGenerator(recipe.generator).to(self.device).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(self.generator.parameters(), lr=recipe.run.rate, betas=(0.9, 0.99))
        self.adversary = Adversary(recipe.discriminator, recipe.adversary, self.device, recipe.run.bf16)
        wanted = recipe.pixel.looks or recipe.adversarial.looks
        self.projected = ProjectedAdversary(recipe.projected, self.device, recipe.run.bf16) if wanted else None
        self.balancer, self.guard = balance.Balancer(), balance.Guard(recipe.guard)
        self.schedule = Schedule(recipe)
        self.step, self.elapsed, self.adversarial_from = 0, 0.0, -1
        self.stopping = False
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).is_file():
            self._restore(checkpoint.load(folder / CHECKPOINT, self.device))
        else:
            self.origin = self._start_from(Path(recipe.run.init)) if recipe.run.init else ""
            self.mean = copy.deepcopy(self.generator)
        for name in (CHECKPOINT, PIXEL):
            files.remove_leftovers(folder / name)

    def progress(self) -> float:
        """How much of the run is done, 0 to 1."""
        return self.schedule.progress(self.step, self.elapsed)

    # --- the step ---------------------------------------------------------------------------------------------------

    def train_step(self, low: Tensor, high: Tensor, *chroma: Tensor) -> Row:
        """One step of both networks on (N, 3, h, w) and (N, 3, S * h, S * w) in code values; returns the step's
        numbers. A generator with `colour` wants the chroma of both, (N, 2, h / 2, w / 2) and so on, too."""
        run, progress = self.recipe.run, self.progress()
        if self.adversarial_from < 0 and self.schedule.plays(progress):
            self.save(PIXEL)  # the pixel-loss twin as it is now: what the adversary's work is measured against
            self.adversarial_from = self.step
            self.balancer = balance.Balancer()
        playing = self.adversarial_from >= 0
        rate, adversary_rate = self.schedule.rates(progress, self.step, playing)
        self.generator.slope = self.mean.slope = self.schedule.slope(progress)
        small = self._tensor(low)
        small_luma = luma(small)
        real = crisp(luma(self._tensor(high)), small_luma, self.recipe.aim.crisp)
        colours = [self._chroma(planes) for planes in chroma]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=run.bf16):
            made, hidden, added = self.generator.parts(small, *colours[:1])
        numbers: Row = {}
        ramp = 0.0
        if playing:
            ramp = self.schedule.ramp(self.step - self.adversarial_from)
            if self.recipe.adversarial.adversarial or self.recipe.adversarial.feature:
                numbers |= self.adversary.learn(real, made, self.step, adversary_rate, run.seed)
        shares = balance.shares(self.recipe.adversarial if playing else self.recipe.pixel, ramp)
        table = objective.terms(shares, small_luma, made, real, self.recipe, self.step)
        if "chroma" in shares:
            table["chroma"] = formulas.charbonnier(self.generator.chroma(colours[0], added), colours[1])
        if "shift" in shares:
            table["shift"] = self._shift(made, small, colours[:1])
        if "artifact" in shares:
            with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=run.bf16):
                steady = self.mean.parts(small, *colours[:1])[0]
            table["artifact"] = formulas.artifact(made, real, steady)
        if self.projected is not None and LOOKS & set(shares):
            numbers |= self._look(table, shares, small_luma, made, real, playing)
        if "adversarial" in shares or "feature" in shares:
            judged = self.adversary.judge(objective.heard(made, real, self.recipe.adversary), real)
            table |= {name: loss for name, loss in judged.items() if name in shares}
        logging = self.step % run.log_every == 0
        if self.step % run.balance_every == 0 or set(table) - set(self.balancer.norms):
            self.balancer.measure(table, list(self.generator.body[:-1].parameters()))
        norm = self._learn(self.balancer.total(table, shares), rate)
        self._average()
        if logging:
            numbers |= {f"loss_{name}": float(loss.detach()) for name, loss in table.items()}
            numbers |= {f"gradient_{name}": self.balancer.norms[name] for name in table}
            whole = sum(shares.values())
            numbers |= {f"share_{name}": shares[name] / whole for name in table}
            numbers |= {
                "rate": rate,
                "slope": self.generator.slope,
                "generator_gradient": norm,
                "alive": float((hidden.detach() > 0).float().mean()),
                "residual": float(added.detach().float().std()),
            }
        return numbers

    def _shift(self, made: Tensor, small: Tensor, chroma: list[Tensor]) -> Tensor:
        """The loss `shift` of `made`, the luma of `small` and of its chroma, if the generator takes it.

        The moved input carries no gradient; a sixth of the picture at each side, where its edges matter, is left out.
        """
        down, along = ((0, 1), (1, 0), (1, 1))[self.step % 3]
        height, width = (side - 2 for side in small.shape[2:])
        moved = small[..., down : down + height, along : along + width]
        colours = [half_sample(each, down, along) for each in chroma]
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.run.bf16):
            there = self.generator.parts(moved, *colours)[0]
        scale = self.recipe.generator.scale
        here = made[..., scale * down :, scale * along :][..., : scale * height, : scale * width]
        rows, columns = (slice(scale * side // 6, scale * side - scale * side // 6) for side in (height, width))
        return formulas.charbonnier(here[..., rows, columns], there[..., rows, columns])

    def _look(
        self, table: dict[str, Tensor], shares: dict[str, float], small: Tensor, made: Tensor, real: Tensor, plays: bool
    ) -> Row:
        """Add the losses of the pretrained network to `table`; its heads learn once the game `plays`."""
        assert self.projected is not None
        numbers: Row = {}
        seen, truth, beside = self.projected.look(made, real, small, self.step, self.recipe.run.seed)
        if "perceptual" in shares:
            table["perceptual"] = formulas.feature_matching(seen, truth)
        if "distribution" in shares:
            table["distribution"] = formulas.distribution(seen, truth)
        if plays and self.recipe.adversarial.projected:
            numbers |= self.projected.learn(seen, truth, beside, 1.0)
            if "projected" in shares:
                loss = self.projected.judge(seen, truth, beside)
                numbers["projected"] = float(loss.detach())
                if self.recipe.projected.where == "texture":
                    (slope,) = torch.autograd.grad(loss, made, retain_graph=True)
                    loss = (made * (slope * directionless(real))).sum()
                table["projected"] = loss
        return numbers

    def _learn(self, total: Tensor, rate: float) -> float:
        """One step of the generator down `total`; returns the gradient's norm."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.generator.parameters(), 100.0)
        self.optimiser.step()
        return float(norm)

    def _tensor(self, pictures: Tensor) -> Tensor:
        moved = pictures.to(self.device, non_blocking=True)
        return moved.to(torch.float32, memory_format=torch.channels_last).div_(255)

    def _chroma(self, planes: Tensor) -> Tensor:
        """Limited-range chroma as numbers of [0, 1], 0.5 being no colour."""
        moved = planes.to(self.device, non_blocking=True).to(torch.float32, memory_format=torch.channels_last)
        return (moved - 16) / 224

    def _average(self) -> None:
        decay = min(self.recipe.run.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            targets: list[Tensor] = list(self.mean.parameters())
            values: list[Tensor] = list(self.generator.parameters())
            torch._foreach_lerp_(targets, values, 1 - decay)

    # --- the run ----------------------------------------------------------------------------------------------------

    def fetch(self, step: int) -> list[Tensor]:
        """Batch number `step` as tensors of code values, in the order of `train_step`'s arguments."""
        run, colour = self.recipe.run, self.recipe.generator.colour
        drawn = self.pool.batch(run.seed, step, run.batch, run.crop, run.clip, colour, run.worn, run.flat, run.letters)
        return [torch.from_numpy(each) for each in drawn]

    def train(self, minutes: float = math.inf, stop_at: int | None = None) -> bool:
        """Train until the recipe is done (True), or until `minutes` of this call or step `stop_at` are over or
        somebody set `stopping` (False). Either way the checkpoint is up to date on return.

        Raises:
            BalanceError: the game is lost; the last checkpoint and the log stay.
            CheckpointError: a checkpoint could not be written.
        """
        run = self.recipe.run
        began, spent = time.monotonic(), self.elapsed
        pace = Pace(self.recipe.run, self.step, minutes)
        with RunLog(self.folder, self.step) as log, ThreadPoolExecutor(1) as reader:
            ahead: Future[list[Tensor]] = reader.submit(self.fetch, self.step)
            while self.progress() < 1 and not self.stopping and (stop_at is None or self.step < stop_at):
                batch = ahead.result()
                ahead = reader.submit(self.fetch, self.step + 1)
                pace.add(self.train_step(*batch))
                self.elapsed = spent + time.monotonic() - began
                if self.step % run.log_every == 0:
                    row = pace.row(self.step)
                    log.add(self.step, self.elapsed, row)
                    if pace.due():
                        self._say(progress_line(row, self.progress(), self.step, pace.left(self.step, self.elapsed)))
                    self._watch(row)
                self.step += 1
                if run.sample_every and self.step % run.sample_every == 0:
                    self._measure(log)
                if self.step % run.checkpoint_every == 0:
                    self.save()
                if time.monotonic() - began > 60 * minutes:
                    break
            ahead.result()
            done = self.progress() >= 1
            if done and not (run.sample_every and self.step % run.sample_every == 0):
                self._measure(log)
            self.save()
        return done

    def _watch(self, row: Row) -> None:
        self.guard.losses(row, self.step)
        warm = self.recipe.run.warmup
        if self.step > 2 * warm:
            self.guard.collapse(row["alive"], row["residual"], self.step)
        if self.adversarial_from >= 0 and self.step - self.adversarial_from > 3 * warm:
            self.guard.accuracy(row.get("accuracy", row.get("heads_accuracy", 0.7)), self.step)

    # --- measuring, saving, resuming -------------------------------------------------------------------------------

    def _measure(self, log: RunLog) -> None:
        frame = self.held_out.high.shape[1] // 2
        low, high = np.asarray(self.held_out.low[:, frame]), np.asarray(self.held_out.high[:, frame])
        made = enlarge(self.mean, low, np.asarray(self.held_out.low_chroma[:, frame]))
        plain = metrics.lanczos(low, self.recipe.generator.scale)
        scores, base = metrics.score(made, high), metrics.score(plain, high)
        held = {f"held_{key}": value for key, value in scores.items()}
        log.add(self.step, self.elapsed, held | {f"lanczos_{key}": value for key, value in base.items()})
        self._say(
            f"step {self.step}: held-out crops "
            + ", ".join(f"{key} {value:.2f} (Lanczos {base[key]:.2f})" for key, value in scores.items())
        )
        chosen = self.held_out.telling(6)
        sheet = metrics.sheet([low[chosen], plain[chosen], made[chosen], high[chosen]])
        metrics.save_sheet(sheet, self.folder / "samples" / f"{self.step:07d}.png")

    def save(self, name: str = CHECKPOINT) -> None:
        """Write the checkpoint as `name` in the run's folder; raises CheckpointError if that fails."""
        checkpoint.save(
            self.folder / name,
            {
                "recipe": self.recipe.builtins(),
                "step": self.step,
                "elapsed": self.elapsed,
                "adversarial_from": self.adversarial_from,
                "generator": self.generator.state_dict(),
                "mean": self.mean.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "adversary": self.adversary.state(),
                "projected": self.projected.state() if self.projected is not None else {},
                "slope": self.generator.slope,
                "norms": self.balancer.norms,
                "guard": self.guard.state(),
                "versions": checkpoint.versions(),
                "data_sha256": self.pool.facts["data_sha256"],
                "torch_random": torch.get_rng_state(),
                "origin": self.origin,
            },
        )

    def _restore(self, state: dict[str, Any]) -> None:
        mine, theirs = self.recipe.builtins(), from_dict(state["recipe"]).builtins()
        changed = sorted(
            room for room in mine if room not in ("run", "guard", "summary", "ship") and mine[room] != theirs[room]
        )
        if changed:
            raise RecipeError(
                f"{self.folder} was begun with another recipe ({', '.join(changed)} differ); "
                "give the run another folder or put the recipe back"
            )
        self.step, self.elapsed = int(state["step"]), float(state["elapsed"])
        self.adversarial_from = int(state["adversarial_from"])
        self.generator.load_state_dict(state["generator"])
        self.generator.slope = float(state["slope"])
        self.mean = copy.deepcopy(self.generator)
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.adversary.restore(state["adversary"])
        if self.projected is not None:
            self.projected.restore(state["projected"])
        self.balancer.norms = {key: float(value) for key, value in state["norms"].items()}
        self.guard.restore(state["guard"])
        self.origin = str(state.get("origin", ""))
        torch.set_rng_state(state["torch_random"].cpu())

    def _start_from(self, path: Path) -> str:
        """Begin with another run's averaged generator or with an exported one; returns what it was, for the record."""
        digest = sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        if path.suffix == ".onnx":
            plain, said = export.from_onnx(path)
            self._become(plain, path)
            return f"{path.name} ({said.training or 'no record'}), file SHA-256 {digest}"
        start, settings, state = export.load_generator(path)
        mine, theirs = (replace(g, start_slope=0.0) for g in (self.recipe.generator, settings.generator))
        if mine == theirs:
            self.generator.load_state_dict(state["mean"])
            self.generator.slope = float(state["slope"])
        else:
            self._become(start.plain(), path)
        return f"{settings.name} at step {state['step']}, file SHA-256 {digest}"

    def _become(self, plain: FoldedGenerator, path: Path) -> None:
        """Take over a folded generator, grown to this recipe's width, depth and colour where it is smaller."""
        run, config = self.recipe.run, self.recipe.generator
        try:
            if config.colour and not plain.colour:
                plain = carry_chroma(with_colour(of_luma(plain)))
            if (int(plain.convolutions[0][0].shape[0]), len(plain.convolutions)) != (config.width, config.convolutions):
                plain = grow(plain, config.width, config.convolutions, run.seed)
            self.generator.adopt(plain)
        except ValueError as error:
            raise RecipeError(f"run.init {path}: {error}") from error
