"""Runs methods over cases and remembers what came out; joins `methods`, `metrics` and the store."""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.quality import media, methods, metrics
from benchmarks.quality.methods import Method, Unsharp
from benchmarks.quality.metrics import Values
from benchmarks.quality.prepare import KINDS, Case
from benchmarks.quality.store import Store, content, source, stored
from benchmarks.quality.suites import FIDELITY, TEXTURE, Suite

AMOUNTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
SIGMAS = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 1.8, 2.2)
SEARCH_START = (7, 3)
SEARCH_STEP = 8
"""The search for the unsharp mask looks at every eighth frame, from the fifth on."""


@dataclass(frozen=True)
class Row:
    """What one method reached on one case."""

    method: str
    """Its name."""
    clip: str
    """Its name."""
    condition: str
    """How the input was encoded, as in Preparation.conditions."""
    values: Values
    """By measure; None where undefined."""

    @property
    def kind(self) -> str:
        """What the clip shows, as in prepare.KINDS."""
        return KINDS.get(self.clip, "other")


def say(text: str) -> None:
    """Progress goes to stderr: stdout is the table."""
    print(text, file=sys.stderr, flush=True)


def score(
    store: Store, case: Case, method: Method, suites: Sequence[Suite] = (FIDELITY, TEXTURE), fresh: bool = False
) -> Row:
    """The measures of `method` on `case`, taken from the store unless `fresh` or not there."""
    paths = {suite: store.path(suite.name, ".json", method.identity, case.key, suite.depends()) for suite in suites}
    missing = [suite for suite, path in paths.items() if fresh or not path.exists()]
    if missing:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "output.mkv"
            if method.keep:
                output = store.path("outputs", ".mkv", method.identity, content(case.source), case.factor, case.frames)
            if fresh or not output.exists():
                with store.writing(output) as scratch:
                    media.encode(method.upscale(case.load_source(), case.factor), scratch)
            for suite in missing:
                store.keep(paths[suite], suite.measure(case.reference, output, case.frames))
        say(f"{method.name}, {case.clip} {case.condition}: {time.monotonic() - began:.0f} s")
    values = [json.loads(paths[suite].read_text()) for suite in suites]
    return Row(method.name, case.clip, case.condition, {name: value for each in values for name, value in each.items()})


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
                      source(methods), FIDELITY.depends())  # fmt: skip
    return Unsharp(**stored(store, path, climb))
