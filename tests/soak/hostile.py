"""Damaged models and random arguments: no signal, no hang, every refusal of ours begins `Upscale:`.

Each case runs in a process of its own with a limit on memory and on time. Models: at least half are damaged in
their structure, the others in their bytes.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from soak import worker
from soak.mutate import Rng, mutated, pick

MODELS = 2000
ARGUMENTS = 500
SECONDS = 20.0
BYTES = 2 << 30  # of address space beyond what the process has when a case begins

SURPRISE = re.compile(r"Upscale: (frame \d+: )?\w+Error: ")  # an exception that nobody foresaw

type Case = Callable[[], str]


def try_out(clip: Any, arguments: dict[str, Any], frames: int = 1) -> str:
    """`fine`, or the refusal; anything else is raised. A picture must have the size that was promised."""
    import vapoursynth as vs

    try:
        out = clip.gansr.Upscale(**arguments)
        for n in range(frames):
            with out.get_frame(n) as frame:
                if (frame.width, frame.height) != (out.width, out.height):
                    raise ValueError(f"a frame of {frame.width}x{frame.height} in a clip of {out.width}x{out.height}")
                if frame.format.sample_type == vs.FLOAT and not np.isfinite(np.asarray(frame[0])).all():
                    raise ValueError("a frame with values that are not finite")
        return "fine"
    except vs.Error as error:
        if not str(error).startswith("Upscale: ") or "\n" in str(error) or SURPRISE.match(str(error)):
            raise
        return str(error)


def small_clip(format: int, width: int, height: int) -> Any:
    import vapoursynth as vs

    core = vs.core
    core.num_threads = 2
    clip = core.std.BlankClip(format=format, width=width, height=height, length=2)
    return clip.std.SetFrameProps(_Matrix=1) if clip.format.color_family == vs.YUV else clip


def models(folder: Path, originals: list[bytes], seed: int, provider: str = "CPU") -> Iterator[tuple[str, Case]]:
    """Case after case of a damaged file; `folder` has a file beside it that must not be read."""
    number = 0
    while True:
        rng = np.random.default_rng([seed, number])
        what, data = mutated(pick(rng, originals), rng, structural=number % 3 > 0)
        path = folder / ("mödel nr 7.onnx" if number % 2 else "model.onnx")
        path.write_bytes(data)
        tile = [None, None, [24, 20], 16][number % 4]

        half = {"precision": "fp16"} if number % 5 == 0 else {}

        def case(path: Path = path, tile: Any = tile, half: dict[str, str] = half) -> str:
            import vapoursynth as vs

            arguments = {"model": str(path), "provider": provider, **({"tilesize": tile} if tile else {}), **half}
            return try_out(small_clip(vs.RGBS, 40, 24), arguments)

        yield f"model {number} ({what})", case
        number += 1


def arguments(folder: Path, originals: list[bytes], seed: int) -> Iterator[tuple[str, Case]]:
    """Yields cases of arguments: likely, odd and absurd ones."""
    good = folder / "good.onnx"
    good.write_bytes(originals[0])
    odd = (-(1 << 63), -(1 << 31), -1, 0, 1, 2, 3, 7, 16, 33, 64, 200, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 63) - 1)
    texts = (
        "",
        "auto",
        "CPU",
        "cpu",
        "CUDA",
        "fp32",
        "fp16",
        "int8",
        "ö",
        "\x00",
        "../x",
        "a" * 4000,
        "fast-2x",
        b"\xff",
    )
    number = 0
    while True:
        rng = np.random.default_rng([seed, 1, number])

        def several(rng: Rng) -> Any:
            likely = (*[8, 9, 12, 20, 30, 44] * 4, *odd)
            listed = [int(pick(rng, likely)) for _ in range(int(pick(rng, (0, 1, 2, 2, 2, 3))))]
            return listed if rng.random() < 0.7 else int(pick(rng, likely))

        draw: dict[str, Callable[[Rng], Any]] = {
            "provider": lambda rng: pick(rng, (*["CPU", "OpenVINO", "auto"] * 4, *texts)),
            "device_id": lambda rng: int(pick(rng, (*[0] * 9, *odd))),
            "precision": lambda rng: pick(rng, (*["auto", "fp32", "fp16"] * 4, *texts)),
            "num_streams": lambda rng: int(pick(rng, (*[1, 2, 3, 4] * 3, *odd))),
            "tilesize": several,
            "overlap": several,
            "memory": lambda rng: int(pick(rng, (30, 50, 100, 1000, *odd))),
            "strength": lambda rng: float(pick(rng, (*[0, 0.3, 0.9, 1] * 3, -1, 1.0001, np.nan, np.inf, 1e-300))),
            "reuse": lambda rng: int(pick(rng, (*[0, 1] * 9, *odd))),
            "format": lambda rng: int(pick(rng, (*FORMATS * 3, *odd))),
        }
        given = {name: draw[name](rng) for name in draw if rng.random() < 0.12}
        given["model"] = pick(rng, (*[str(good)] * 20, *texts, str(folder)))
        size = [int(v) for v in rng.integers(1, 70, 2)]
        format = int(pick(rng, FORMATS))

        def case(given: dict[str, Any] = given, size: list[int] = size, format: int = format) -> str:
            import vapoursynth as vs

            fmt = vs.core.get_video_format(format)
            width, height = (
                max(1, s >> d) << d for s, d in zip(size, (fmt.subsampling_w, fmt.subsampling_h), strict=True)
            )
            return try_out(small_clip(format, width, height), given, frames=2)

        yield f"arguments {number} {given}"[:2000], case
        number += 1


def formats() -> list[int]:
    import vapoursynth as vs

    return [
        *(vs.GRAY8, vs.GRAY16, vs.GRAYH, vs.GRAYS, vs.GRAY32, vs.RGB24, vs.RGB48, vs.RGBH, vs.RGBS),
        *(vs.YUV420P8, vs.YUV420P10, vs.YUV422P16, vs.YUV444P8, vs.YUV410P8, vs.YUV444PS, vs.YUV444PH),
    ]


FORMATS = formats()


def attempt(case: Case, seconds: float = SECONDS) -> tuple[str, str]:
    """Runs a case in a fork of this process: (`fine`, `refused`, or what went wrong; the words said)."""
    with tempfile.TemporaryFile() as words, tempfile.TemporaryFile() as printed:
        child = os.fork()
        if not child:
            code = 1
            try:
                faulthandler.disable()  # the signal says enough; pytest's handler would write on its terminal
                os.dup2(printed.fileno(), 1)
                os.dup2(words.fileno(), 2)
                used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
                answer = case()
                os.write(2, f"\n{answer}".encode(errors="replace"))
                code = 0 if answer == "fine" else 2
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(code)
        status = wait(child, seconds)
        words.seek(0)
        printed.seek(0, os.SEEK_END)
        said = words.read().decode(errors="replace").strip()
        if status is None:
            return "hang", said
        if os.WIFSIGNALED(status):
            return signal.Signals(os.WTERMSIG(status)).name, said
        if printed.tell():
            return "printed to stdout", said
        return {0: "fine", 2: "refused"}.get(os.WEXITSTATUS(status), "another error"), said


def wait(child: int, seconds: float) -> int | None:
    """The child's status; None, and its end, if it takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def batter(name: str, cases: Iterator[tuple[str, Case]], count: int, seconds: float | None) -> bool:
    """Tries `count` cases, or as many as fit in `seconds`, and says what became of them."""
    begin, outcomes, kinds = time.monotonic(), Counter[str](), Counter[str]()
    for label, case in cases:
        done = sum(outcomes.values())
        if done >= count if seconds is None else time.monotonic() - begin >= seconds:
            break
        outcome, said = attempt(case)
        outcomes[outcome] += 1
        if outcome == "refused":
            kinds[re.sub(r'"[^"]*"|\d+', "", said.splitlines()[-1])[:80]] += 1
        elif outcome != "fine":
            print(f"{name}: {label}: {outcome}\n{said[-1500:]}", flush=True)
    bad = sum(outcomes.values()) - outcomes["fine"] - outcomes["refused"]
    print(
        f"{name}: {sum(outcomes.values()):,} cases in {time.monotonic() - begin:.0f} s: {outcomes['fine']} ran, "
        f"{outcomes['refused']} refused in {len(kinds)} ways, {bad} with a signal, a hang or an error not ours",
        flush=True,
    )
    return not bad


def originals(folder: Path) -> list[bytes]:
    """Sound networks of many kinds to start from."""
    import known_graphs
    import networks
    from graphs import Graph

    made = [networks.compact(folder / "o.onnx", 16, 4).read_bytes(), networks.point(folder / "o.onnx").read_bytes()]
    for make, *_ in known_graphs.CASES:
        graph = Graph()
        made.append(graph.proto(make(graph), {"scale": "2"} if len(made) % 2 else None).SerializeToString())
    return made


def main(minutes: float | None = None, models: int = MODELS, arguments: int = ARGUMENTS, provider: str = "CPU") -> bool:
    more = ["--provider", provider, *(["--seconds", 60 * minutes] if minutes else [])]
    return worker.run("hostile", "--models", models, "--arguments", arguments, *more)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=MODELS)
    parser.add_argument("--arguments", type=int, default=ARGUMENTS)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--provider", default="CPU")
    given = parser.parse_args()
    import onnxruntime  # noqa: F401  # in the children it is there already

    import vs_gansr.filter.graph  # noqa: F401

    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name  # what is found of damaged networks is not to be remembered
        room = Path(name) / "models"
        room.mkdir()
        (room.parent / "secret.bin").write_bytes(bytes(64))
        sound = originals(room)
        half = given.seconds / 2 if given.seconds else None
        held = [
            batter("models", models(room, sound, given.seed, given.provider), given.models, half),
            batter("arguments", arguments(room, sound, given.seed), given.arguments, half),
        ]
        sys.exit(not all(held))
