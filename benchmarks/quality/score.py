"""Runs methods over cases and remembers what came out; joins `methods`, `metrics` and the store."""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.quality import media, methods, metrics
from benchmarks.quality.methods import Method, Unsharp
from benchmarks.quality.prepare import Case
from benchmarks.quality.store import Store, content, source, stored

AMOUNTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
SIGMAS = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 1.8, 2.2)
SEARCH_START = (7, 3)
SEARCH_STEP = 8
"""The search for the unsharp mask looks at every eighth frame, from the fifth on."""


@dataclass(frozen=True)
class Row:
    """What one method reached on one case; `values` has the keys of metrics.NAMES, None where undefined."""

    method: str
    clip: str
    condition: str
    values: dict[str, float | None]


def say(text: str) -> None:
    """Progress goes to stderr: stdout is the table."""
    print(text, file=sys.stderr, flush=True)


def _tools() -> tuple[str, ...]:
    return source(metrics, media), version("vapoursynth-vszip"), version("imageio-ffmpeg")


def score(store: Store, case: Case, method: Method, fresh: bool = False) -> Row:
    """The measures of `method` on `case`, taken from the store unless `fresh` or not there."""

    def compute() -> dict[str, float | None]:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "output.mkv"
            if method.keep:
                output = store.path("outputs", ".mkv", method.identity, content(case.source), case.factor, case.frames)
            if fresh or not output.exists():
                with store.writing(output) as scratch:
                    media.encode(method.upscale(case.load_source(), case.factor), scratch)
            values = metrics.measure(case.reference, output, case.frames)
        say(f"{method.name}, {case.clip} {case.condition}: {time.monotonic() - began:.0f} s")
        return values

    path = store.path("results", ".json", method.identity, case.key, _tools())
    return Row(method.name, case.clip, case.condition, stored(store, path, compute, fresh))


def best_unsharp(store: Store, cases: Sequence[Case]) -> Unsharp:
    """The unsharp mask after Lanczos with the highest mean SSIMULACRA2 over all `cases`.

    One setting for the whole set, found by climbing a grid of amounts and radii from its middle: of the eight
    neighbours the best is taken until none is better.
    """

    def climb() -> dict[str, float]:
        pairs = []
        for case in cases:
            start = min(SEARCH_STEP // 2, case.frames - 1)
            pairs.append((case.load_source()[start::SEARCH_STEP], case.load_reference()[start::SEARCH_STEP]))
        seen: dict[tuple[int, int], float] = {}

        def at(place: tuple[int, int]) -> float:
            if place not in seen:
                upscale = methods.sharpened(Unsharp(AMOUNTS[place[0]], SIGMAS[place[1]]))
                scores = [metrics.ssimulacra2(ref, upscale(low, cases[0].factor)) for low, ref in pairs]
                seen[place] = float(np.mean(scores))
            return seen[place]

        here = SEARCH_START
        while True:
            steps = product((-1, 0, 1), repeat=2)
            near = [(here[0] + step[0], here[1] + step[1]) for step in steps]
            near = [place for place in near if 0 <= place[0] < len(AMOUNTS) and 0 <= place[1] < len(SIGMAS)]
            best = max(near, key=at)
            if at(best) <= at(here):
                found = Unsharp(AMOUNTS[here[0]], SIGMAS[here[1]])
                say(f"unsharp mask for {cases[0].preparation}: {found} of {len(seen)} tried")
                return asdict(found)
            here = best

    path = store.path("unsharp", ".json", [case.key for case in cases], AMOUNTS, SIGMAS, SEARCH_STEP,
                      source(methods), _tools())  # fmt: skip
    return Unsharp(**stored(store, path, climb))
