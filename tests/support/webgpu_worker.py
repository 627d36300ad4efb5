"""What the tests of WebGPU do inside a process that has a GPU; prints what came of it as JSON, the last line.

Called with a folder for its networks. All that is made for one network is used again by the next case: on a software
GPU its first picture takes ten seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import clips
import networks
import onnx
import vapoursynth as vs

from vs_gansr.engine.auto import proof, registry
from vs_gansr.engine.engines import engines
from vs_gansr.engine.onnxruntime.engine import Stream
from vs_gansr.model.rewrite import float16

FORMATS = [
    *(vs.GRAY8, vs.GRAY16, vs.GRAYH, vs.GRAYS, vs.YUV420P8, vs.YUV420P10, vs.YUV422P16, vs.YUV410P8, vs.YUV444P8),
    *(vs.YUV444PH, vs.YUV444PS, vs.RGB24, vs.RGB30, vs.RGB48, vs.RGBH, vs.RGBS),
]


def clip_in(fmt: int, width: int = 32, height: int = 24, length: int = 1) -> vs.VideoNode:
    family = vs.core.get_video_format(fmt).color_family
    return clips.noise(fmt, width, height, length, props={} if family == vs.RGB else {"_Matrix": 1})


def upscaled(clip: vs.VideoNode, model: Path, provider: str = "WebGPU", **more: Any) -> vs.VideoNode:
    return clip.gansr.Upscale(str(model), provider=provider, **{"precision": "fp32", **more})


def differences(models: dict[str, Path]) -> dict[str, float]:
    """By format and network, how far WebGPU is from the CPU: in codes, or in 255ths of white for floats."""
    found = {}
    for fmt in FORMATS:
        clip = clip_in(fmt)
        unit = 255 if clip.format.sample_type == vs.FLOAT else 1
        for name, path in models.items():
            pair = upscaled(clip, path), upscaled(clip, path, "CPU")
            found[f"{clip.format.name} {name}"] = unit * clips.largest_difference(*pair)
    return found


def neighbours(model: Path) -> dict[str, float]:
    """By format, how far WebGPU is from the CPU with a network of three frames, where those are not alike."""
    found = {}
    for fmt in (vs.YUV420P8, vs.GRAYS):
        clip = clips.panning(fmt, 3, 32, 24)
        unit = 255 if fmt == vs.GRAYS else 1
        found[clip.format.name] = unit * clips.largest_difference(
            upscaled(clip, model), upscaled(clip, model, "CPU"), 1
        )
    return found


def mixed(folder: Path) -> dict[str, Any]:
    """By the float types of input and output, how far WebGPU is from the CPU in 255ths of white, with colours beyond
    white; or why it refuses them."""
    kinds = {"float16": onnx.TensorProto.FLOAT16, "float32": onnx.TensorProto.FLOAT, "float64": onnx.TensorProto.DOUBLE}
    clip, found = clip_in(vs.RGBS).std.Expr("x 3 * 0.5 -"), {}
    for given, made in (("float32", "float16"), ("float16", "float32"), ("float32", "float64")):
        path = folder / f"{given} {made}.onnx"
        casts = [("input", "wide", "float32"), ("large", "output", made)]
        nodes = [onnx.helper.make_node("Cast", [a], [b], to=kinds[kind]) for a, b, kind in casts]
        nodes.insert(1, onnx.helper.make_node("Concat", ["wide", "wide"], ["twice"], axis=1))
        nodes.insert(2, onnx.helper.make_node("Concat", ["twice", "twice"], ["four"], axis=1))
        nodes.insert(3, onnx.helper.make_node("DepthToSpace", ["four"], ["large"], blocksize=2))
        networks.save(path, nodes, [])
        proto = onnx.load(str(path))
        proto.graph.input[0].type.tensor_type.elem_type = kinds[given]
        proto.graph.output[0].type.tensor_type.elem_type = kinds[made]
        onnx.save(proto, str(path))
        if "float16" in path.stem:  # a GPU without half floats
            found[path.stem] = refused(partial(upscaled, clip, path))
            continue
        for clamp in (0, 1):
            pair = (upscaled(clip, path, provider, clamp=clamp) for provider in ("WebGPU", "CPU"))
            found[f"{path.stem} clamp {clamp}"] = 255 * clips.largest_difference(*pair)
    return found


def tiles(model: Path) -> float:
    clip = clip_in(vs.RGBS, 40, 32)
    return clips.largest_difference(upscaled(clip, model), upscaled(clip, model, tilesize=[24, 20]))


def failing(fails: Callable[[int], str | None], model: Path) -> dict[str, Any]:
    """Frames of a clip whose n-th run on the GPU fails with what `fails` says, and what the log says."""
    for key in engines:
        engines.forget(key)
    said: list[str] = []
    handle = vs.core.add_log_handler(lambda kind, text: said.append(text))
    real, count = Stream.run, iter(range(1 << 30))

    def run(self: Stream) -> None:
        if self._feeds and (message := fails(next(count))):
            raise_as_runtime(message)
        real(self)

    clip = clip_in(vs.RGBS, length=4)
    want = upscaled(clip, model, "CPU")
    Stream.run = run  # type: ignore[method-assign]
    try:
        got = upscaled(clip, model)
        worst = max(clips.largest_difference(got, want, n) for n in range(4))
    except vs.Error as error:
        return {"error": str(error), "said": said}
    finally:
        Stream.run = real  # type: ignore[method-assign]
        vs.core.remove_log_handler(handle)
    return {"worst": worst, "said": said}


def raise_as_runtime(message: str) -> None:
    """As a run does in which ONNX Runtime fails with this message."""
    from vs_gansr.engine.onnxruntime.engine import failure

    raise failure(RuntimeError(message))


def refused(action: Callable[[], vs.VideoNode]) -> str:
    try:
        action().get_frame(0).close()
    except vs.Error as error:
        return str(error)
    return ""


def automatic(model: Path) -> dict[str, Any]:
    """What `auto` says, and how long it takes when it knows already."""
    said: list[str] = []
    handle = vs.core.add_log_handler(lambda kind, text: said.append(text))
    clip = clip_in(vs.YUV420P8)
    clip.gansr.Upscale(str(model)).get_frame(0).close()
    begin = time.perf_counter()
    clip.gansr.Upscale(str(model)).get_frame(0).close()
    took = time.perf_counter() - begin
    vs.core.remove_log_handler(handle)
    verdicts = [fact for fact in proof.remembered.all() if "on WebGPU" in fact["what"]]
    return {"said": [line for line in said if " on " in line], "again": took, "verdicts": verdicts}


def main(folder: Path) -> None:
    type(registry.find("WebGPU")).patience = 900.0  # a GPU in software on a machine that does something else, too
    rgb = networks.compact(folder / "rgb.onnx", features=8, convs=3)
    luma = networks.point(folder / "luma.onnx", channels=1)
    half = folder / "half.onnx"
    onnx.save(float16.convert(onnx.load(str(rgb))), str(half))
    clip = clip_in(vs.RGBS)
    found = {
        "providers": vs.core.gansr.Version()["providers"],
        "built in": registry.find("WebGPU").builtin(),
        "differences": differences({"rgb": rgb, "luma": luma}),
        "neighbours": neighbours(networks.mix_of_three(folder / "three.onnx", (0.25, 0.5, 0.25))),
        "mixed": mixed(folder),
        "tiles": tiles(rgb),
        "lost once": failing(lambda n: "WebGPU device lost (2): gone" if n == 1 else None, rgb),
        "lost for good": failing(lambda n: "WebGPU device lost (2): gone", rgb),
        "short once": failing(lambda n: "Too many storage buffers in shader. Current: 19" if n < 4 else None, rgb),
        "half": refused(lambda: upscaled(clip, rgb, precision="fp16")),
        "half file": refused(lambda: upscaled(clip, half)),
        "int8": refused(lambda: upscaled(clip, rgb, precision="int8")),
        "device 1": refused(lambda: upscaled(clip, rgb, device_id=1)),
        "auto": automatic(rgb),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
