"""Owns a run: the training step, the schedules, the clock, saving and resuming; it must not know any loss's formula."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from . import balance, checkpoint, export, losses, metrics
from .adversary import Adversary
from .codec import Frames
from .generator import Generator, Plain
from .grow import grow
from .pool import Pool
from .recipe import Recipe, RecipeError

CHECKPOINT = "checkpoint.pt"
PIXEL = "pixel.pt"
LOG = "log.jsonl"


class Trainer:
    """One run of one recipe in one folder; made anew or resumed from the folder's checkpoint.

    A recipe with `steps` depends on nothing but its seed: random numbers are functions of (seed, step), so a resumed
    run repeats an unbroken one number for number on a CPU. With `minutes` the schedule follows the time spent training.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        pool: Pool,
        held_out: Pool,
        device: str = "cpu",
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.recipe, self.folder, self.pool, self.held_out = recipe, folder, pool, held_out
        self.device = torch.device(device)
        self.say = say
        torch.manual_seed(recipe.run.seed)
        self.generator = Generator(recipe.generator).to(self.device).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(self.generator.parameters(), lr=recipe.run.rate, betas=(0.9, 0.99))
        self.adversary = Adversary(recipe.discriminator, recipe.adversary, self.device, recipe.run.bf16)
        self.balancer, self.guard = balance.Balancer(), balance.Guard(recipe.guard)
        self.step, self.elapsed, self.adversarial_from = 0, 0.0, -1
        self.stopping = False
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).is_file():
            self._restore(checkpoint.load(folder / CHECKPOINT, self.device))
        else:
            self.origin = self._start_from(Path(recipe.run.init)) if recipe.run.init else ""
            self.mean = copy.deepcopy(self.generator)
            (folder / LOG).unlink(missing_ok=True)

    # --- schedules: pure functions of (step, elapsed) -------------------------------------------------------------

    def progress(self) -> float:
        """How much of the run is done, 0 to 1."""
        run = self.recipe.run
        return min(1.0, self.step / run.steps if run.steps else self.elapsed / (60 * run.minutes))

    def rates(self, progress: float) -> tuple[float, float]:
        """Learning rates (generator, discriminator): a cosine in each stage, ending near zero."""
        run = self.recipe.run
        if self.adversarial_from < 0:
            inside = progress / run.pixel_part
            last = 0.02 if run.pixel_part >= 1 else 0.2
            rate = run.rate * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, inside))))
            return rate * min(1.0, (self.step + 1) / run.warmup), 0.0
        inside = max(0.0, progress - run.pixel_part) / max(1e-9, 1 - run.pixel_part)
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * inside))
        return run.adversarial_rate * fall, self.recipe.adversary.rate * max(fall, 0.1)

    def slope(self, progress: float) -> float:
        """LeakyReLU's slope: falls to its end value over most of the pixel-loss stage."""
        config = self.recipe.generator
        part = min(1.0, progress / (0.8 * max(self.recipe.run.pixel_part, 0.02)))
        return config.slope + (config.start_slope - config.slope) * (1 - part)

    # --- the step ---------------------------------------------------------------------------------------------------

    def train_step(self, low: Tensor, high: Tensor) -> dict[str, float]:
        """One step of both networks on (N, 3, h, w) and (N, 3, S * h, S * w) uint8; returns the step's numbers."""
        run, progress = self.recipe.run, self.progress()
        if self.adversarial_from < 0 and progress >= run.pixel_part and run.pixel_part < 1:
            self.save(PIXEL)  # the pixel-loss twin as it is now: what the adversary's work is measured against
            self.adversarial_from = self.step
            self.balancer = balance.Balancer()
        rate, adversary_rate = self.rates(progress)
        self.generator.slope = self.mean.slope = self.slope(progress)
        small, real = self._tensor(low), losses.luma(self._tensor(high))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=run.bf16):
            made, hidden, added = self.generator.parts(small)
        numbers: dict[str, float] = {}
        ramp = 0.0
        if self.adversarial_from >= 0:
            # the discriminator has a head start, then its say grows: a new one's judgement is noise
            ramp = min(1.0, max(0.0, (self.step - self.adversarial_from - run.warmup) / (2 * run.warmup)))
            numbers |= self.adversary.learn(real, made, self.step, adversary_rate, run.seed)
        shares = balance.shares(self.recipe.adversarial if self.adversarial_from >= 0 else self.recipe.pixel, ramp)
        table = self._losses(shares, made, real)
        logging = self.step % run.log_every == 0
        if logging or self.step % 8 == 0 or set(table) - set(self.balancer.norms):
            self.balancer.measure(table, made)
        total = self.balancer.total(table, shares)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.generator.parameters(), 100.0)
        self.optimiser.step()
        self._average()
        if logging:
            numbers |= {f"loss_{name}": float(loss.detach()) for name, loss in table.items()}
            numbers |= {f"gradient_{name}": self.balancer.norms[name] for name in table}
            whole = sum(shares.values())
            numbers |= {f"share_{name}": shares[name] / whole for name in table}
            alive = float((hidden.detach() > 0).float().mean())
            numbers |= {
                "rate": rate,
                "slope": self.generator.slope,
                "generator_gradient": float(norm),
                "alive": alive,
                "residual": float(added.detach().float().std()),
            }
        return numbers

    def _losses(self, shares: dict[str, float], made: Tensor, real: Tensor) -> dict[str, Tensor]:
        table: dict[str, Tensor] = {}
        if "pixel" in shares:
            table["pixel"] = losses.charbonnier(made, real)
        if "structure" in shares:
            table["structure"] = losses.structure(made, real)
        if "gradient" in shares:
            table["gradient"] = losses.gradient(made, real)
        if "frequency" in shares:
            table["frequency"] = losses.frequency(made, real)
        if "temporal" in shares:
            clips = (-1, self.recipe.run.clip, *made.shape[1:])
            table["temporal"] = losses.temporal(made.reshape(clips), real.reshape(clips))
        if "adversarial" in shares or "feature" in shares:
            judged = self.adversary.judge(made, real)
            table |= {name: loss for name, loss in judged.items() if name in shares}
        return table

    def _tensor(self, pictures: Tensor) -> Tensor:
        moved = pictures.to(self.device, non_blocking=True)
        return moved.to(torch.float32, memory_format=torch.channels_last).div_(255)

    def _average(self) -> None:
        decay = min(self.recipe.run.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            targets: list[Tensor] = list(self.mean.parameters())
            values: list[Tensor] = list(self.generator.parameters())
            torch._foreach_lerp_(targets, values, 1 - decay)

    # --- the run ----------------------------------------------------------------------------------------------------

    def fetch(self, step: int) -> tuple[Tensor, Tensor]:
        """Batch number `step` as uint8 tensors (low, high)."""
        run = self.recipe.run
        low, high = self.pool.batch(run.seed, step, run.batch, run.crop, run.clip)
        return torch.from_numpy(low), torch.from_numpy(high)

    def train(self, minutes: float = math.inf, stop_at: int | None = None) -> bool:
        """Train until the recipe is done (True), or until `minutes` of this call or step `stop_at` are over or
        somebody set `stopping` (False). Either way the checkpoint is up to date on return.

        Raises:
            BalanceError: the game is lost; the last checkpoint and the log stay.
            CheckpointError: a checkpoint could not be written.
        """
        run = self.recipe.run
        writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.step)
        began, last, spent = time.monotonic(), time.monotonic(), self.elapsed
        sums: dict[str, list[float]] = {}
        first, mark, marked = self.step, time.monotonic(), self.step
        try:
            with ThreadPoolExecutor(1) as reader, (self.folder / LOG).open("a", encoding="utf-8") as log:
                ahead: Future[tuple[Tensor, Tensor]] = reader.submit(self.fetch, self.step)
                while self.progress() < 1 and not self.stopping and (stop_at is None or self.step < stop_at):
                    low, high = ahead.result()
                    ahead = reader.submit(self.fetch, self.step + 1)
                    numbers = self.train_step(low, high)
                    for key, value in numbers.items():
                        sums.setdefault(key, []).append(value)
                    now = time.monotonic()
                    self.elapsed = spent + now - began
                    if self.step % run.log_every == 0:
                        record = {key: float(np.mean(values)) for key, values in sums.items()}
                        if self.step > marked:
                            record["seconds_per_step"], mark, marked = (
                                (now - mark) / (self.step - marked),
                                now,
                                self.step,
                            )
                        sums = {}
                        self._log(record, log, writer)
                        if now - last > 10 or self.step == first:
                            last = now
                            self.say(self._line(record, now - began, first, minutes))
                        self._watch(record)
                    self.step += 1
                    if run.sample_every and self.step % run.sample_every == 0:
                        self._measure(log, writer)
                    if self.step % run.checkpoint_every == 0:
                        self.save()
                    if time.monotonic() - began > 60 * minutes:
                        break
                ahead.result()
                done = self.progress() >= 1
                if done:
                    self._measure(log, writer)
                self.save()
        finally:
            writer.close()
        return done

    def _watch(self, record: dict[str, float]) -> None:
        self.guard.losses(record, self.step)
        warm = self.recipe.run.warmup
        if self.step > 2 * warm:
            self.guard.collapse(record["alive"], record["residual"], self.step)
        if self.adversarial_from >= 0 and self.step - self.adversarial_from > 3 * warm:
            self.guard.accuracy(record["accuracy"], self.step)

    def _log(self, record: dict[str, float], log: Any, writer: SummaryWriter) -> None:
        row = {"step": self.step, "elapsed": round(self.elapsed, 2), **record}
        log.write(json.dumps(row) + "\n")
        log.flush()
        for key, value in record.items():
            writer.add_scalar(key.replace("_", "/", 1), value, self.step)

    def _line(self, record: dict[str, float], spent: float, first: int, minutes: float) -> str:
        done = self.progress()
        run = self.recipe.run
        if run.minutes:
            left = 60 * run.minutes - self.elapsed
        else:
            left = spent / max(1, self.step - first) * (run.steps - self.step)
        left = max(0, round(min(left, 60 * minutes - spent)))
        bar = ("#" * round(20 * done)).ljust(20, ".")
        seen = " ".join(
            f"{key.removeprefix('loss_')} {record[key]:.4f}"
            for key in ("loss_pixel", "loss_adversarial", "discriminator", "accuracy")
            if key in record
        )
        rate = record.get("seconds_per_step", 0)
        return f"[{bar}] {done:4.0%} step {self.step} {left // 60}:{left % 60:02d} left, {rate * 1000:.0f} ms, {seen}"

    # --- measuring, saving, resuming -------------------------------------------------------------------------------

    def enlarge(self, low: Frames) -> Frames:
        """The averaged generator on (n, h, w, 3) uint8, in float32."""
        made = []
        with torch.no_grad():
            for frame in low:
                tensor = torch.from_numpy(frame.transpose(2, 0, 1).copy())[None]
                made.append(self.mean(self._tensor(tensor)).cpu().numpy())
        return metrics.to_uint8(np.concatenate(made))

    def _measure(self, log: Any, writer: SummaryWriter) -> None:
        frame = self.held_out.high.shape[1] // 2
        low, high = np.asarray(self.held_out.low[:, frame]), np.asarray(self.held_out.high[:, frame])
        made = self.enlarge(low)
        plain = metrics.lanczos(low, self.recipe.generator.scale)
        scores = metrics.score(made, high)
        base = metrics.score(plain, high)
        self._log(
            {f"held_{key}": value for key, value in scores.items()}
            | {f"lanczos_{key}": value for key, value in base.items()},
            log,
            writer,
        )
        self.say(
            f"step {self.step}: held-out crops "
            + ", ".join(f"{key} {value:.2f} (Lanczos {base[key]:.2f})" for key, value in scores.items())
        )
        folder = self.folder / "samples"
        folder.mkdir(exist_ok=True)
        chosen = self.held_out.telling(6)
        metrics.sheet([low[chosen], plain[chosen], made[chosen], high[chosen]]).save(folder / f"{self.step:07d}.png")

    def save(self, name: str = CHECKPOINT) -> None:
        """Write the checkpoint; raises CheckpointError if that fails."""
        checkpoint.save(
            self.folder / name,
            {
                "recipe": json.loads(json.dumps(dataclasses.asdict(self.recipe))),
                "step": self.step,
                "elapsed": self.elapsed,
                "adversarial_from": self.adversarial_from,
                "generator": self.generator.state_dict(),
                "mean": self.mean.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "adversary": self.adversary.state(),
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
        mine = json.loads(json.dumps(dataclasses.asdict(self.recipe)))
        changed = sorted(
            room for room in mine if room not in ("run", "guard", "summary") and mine[room] != state["recipe"][room]
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
        self.balancer.norms = {key: float(value) for key, value in state["norms"].items()}
        self.guard.restore(state["guard"])
        self.origin = str(state.get("origin", ""))
        torch.set_rng_state(state["torch_random"].cpu())
        self._trim_log()

    def _trim_log(self) -> None:
        """Drop what a killed run logged after its last checkpoint: those steps are about to be done again."""
        path = self.folder / LOG
        if path.is_file():
            kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _logged_step(line) < self.step]
            path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def _start_from(self, path: Path) -> str:
        """Begin with another run's averaged generator or with an exported one; returns what it was, for the record."""
        digest = sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        if path.suffix == ".onnx":
            plain, properties = export.from_onnx(path)
            self._become(plain, path)
            return f"{path.name} ({properties.get('gansr.training', 'no record')}), file SHA-256 {digest}"
        start, settings, state = export.load_generator(path)
        mine, theirs = (dataclasses.replace(g, start_slope=0.0) for g in (self.recipe.generator, settings.generator))
        if mine == theirs:
            self.generator.load_state_dict(state["mean"])
            self.generator.slope = float(state["slope"])
        else:
            self._become(start.plain(), path)
        return f"{settings.name} at step {state['step']}, file SHA-256 {digest}"

    def _become(self, plain: Plain, path: Path) -> None:
        """Take over a folded generator, grown to this recipe's width and depth where it is smaller."""
        run, config = self.recipe.run, self.recipe.generator
        try:
            if (int(plain.convolutions[0][0].shape[0]), len(plain.convolutions)) != (config.width, config.convolutions):
                plain = grow(plain, config.width, config.convolutions, run.seed)
            self.generator.adopt(plain)
        except ValueError as error:
            raise RecipeError(f"run.init {path}: {error}") from error


def _logged_step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return math.inf  # the line that was being written when the run was killed
