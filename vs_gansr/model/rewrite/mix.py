"""Join two networks in one graph that mixes their results.

    input ─┬─ faithful network ─┬─ faithful + texture * (shipped - faithful) ── output
           └─ shipped network ──┘

If the faithful network takes luma and the shipped one 4:2:0, the faithful one reads the picture that the four luma
samples of each place make, and its result is cut into such samples again. Chroma is the shipped network's then.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx.compose
from onnx import TensorProto, helper

from ...errors import ModelError
from .. import metadata
from ..spec import CHANNELS_420, Model, ModelSpec
from .cpu_layout import modern
from .depth_to_space import Shuffle, take_out
from .ends import OperatorChain, luma_channels
from .graph_view import GraphView, inputs, opset, output_type, put_nodes

__all__ = ["mixed"]

INPUT, OUTPUT, CHROMA = "gansr.input", "gansr.output", "gansr.chroma"  # names of values
FLOAT = TensorProto.FLOAT


def mixed(faithful: Model, shipped: Model, texture: float) -> onnx.ModelProto:
    """Return a network whose result is (1 - `texture`) of the faithful network's and `texture` of the shipped one's.

    Input and output have the shipped network's shapes, in float32, black at 0 and white at 1. Raises ModelError where
    the results differ in size or kind, or where the files' opsets cannot be made equal.
    """
    first, second = specs = faithful.spec, shipped.spec
    words = [form(spec) for spec in specs]
    luma = words[0] != words[1]
    alike = words[1] in (words[0], words[0].replace("luma", "4:2:0"))
    protos = [modern(onnx.load_model_from_string(model.data)) for model in (faithful, shipped)]
    protos = [modern(proto, max(map(opset, protos))) for proto in protos]
    a, b = ({entry.domain.removeprefix("ai.onnx"): entry for entry in proto.opset_import} for proto in protos)
    if alike and any(a[domain].version != b[domain].version for domain in a.keys() & b.keys()):
        alike, words = False, [f"of opset {opset(proto)}" for proto in protos]
    if not alike:
        raise ModelError(
            f'model "{second.name}" is {words[1]}, its softer model "{first.name}" {words[0]}; '
            "texture cannot mix their results: use texture=0 or 1"
        )
    # The last depth-to-space is done once, after mixing: engines do it while they write the frame.
    shuffles = [take_out(proto) for proto in protos]
    last = shuffles[0] if shuffles[0] == shuffles[1] else None
    for proto, spec, shuffle, prefix in zip(protos, specs, shuffles, ("faithful.", "shipped."), strict=True):
        unify(proto, spec, shuffle, shuffle != last, luma and spec is first)
        onnx.compose.add_prefix(proto, prefix, rename_inputs=False, inplace=True)

    beside, proto = protos
    put_nodes(proto.graph, [*beside.graph.node, *proto.graph.node])
    for field in ("initializer", "sparse_initializer"):
        getattr(proto.graph, field).extend(getattr(beside.graph, field))
    proto.functions.extend(beside.functions)
    proto.opset_import.extend(a[domain] for domain in a.keys() - b.keys())
    proto.ir_version = max(beside.ir_version, proto.ir_version)
    result, base = proto.graph.output[0].name, beside.graph.output[0].name
    view = GraphView(proto)
    chroma, mix = OperatorChain(view, FLOAT), OperatorChain(view, FLOAT)
    if luma:
        cut(mix, 0, luma_channels(second.outputs))
        cut(chroma, luma_channels(second.outputs), second.outputs)
    mix.op("Sub", base)
    mix.op("Mul", view.constant(texture))
    mix.op("Add", base)
    if luma:
        mix.op("Concat", CHROMA, axis=1)
    if last:
        mix.op("DepthToSpace", blocksize=last.block, mode=last.mode)
    proto.graph.node.extend([*(chroma.nodes(result, CHROMA) if luma else []), *mix.nodes(result, OUTPUT)])
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info(OUTPUT, FLOAT, [None] * 4))
    said = replace(
        metadata.read(proto), name=f"{second.name} at texture {texture:g}", scale=second.scale, range=1.0,
        radius=None, multiple=None, minimum=None,  # read off the graph, or found
        precision=second.precision if second.precision == first.precision else "fp32",
    )  # fmt: skip
    del proto.metadata_props[:]
    metadata.write(proto, said)
    return proto


def form(spec: ModelSpec) -> str:
    """Return scale and kind of a network, and its picture size if it takes only one, in words."""
    fixed = spec.size_rule.fixed
    return f"{spec.scale}x {spec.kind}" + (f" of {fixed[0]}x{fixed[1]} pixels" if fixed else "")


def unify(proto: onnx.ModelProto, spec: ModelSpec, shuffle: Shuffle | None, whole: bool, luma: bool) -> None:
    """Change the network in place: it reads INPUT, and input and output are float32, black at 0 and white at 1.

    `shuffle` was taken out of its end; with `whole` it is done again. With `luma` a network of luma reads the input of
    a network of 4:2:0 and gives the luma of such a network's output.
    """
    [entry], end = inputs(proto.graph), proto.graph.output[0]
    view = GraphView(proto)
    before, after = OperatorChain(view, FLOAT), OperatorChain(view, output_type(proto))
    if luma:
        cut(before, 0, luma_channels(CHANNELS_420))
        before.op("DepthToSpace", blocksize=2)
    takes, gives = spec.input_range, spec.output_range
    before.linear(takes.white - takes.black, takes.black)
    before.cast(entry.type.tensor_type.elem_type)
    after.cast(FLOAT)
    after.linear(1 / (gives.white - gives.black), -gives.black / (gives.white - gives.black))
    if shuffle:
        cut(after, 0, shuffle.channels)
    if shuffle and whole:
        after.op("DepthToSpace", blocksize=shuffle.block, mode=shuffle.mode)
    if luma:
        after.op("SpaceToDepth", blocksize=2 * spec.scale)
    for chain in (before, after):
        if not chain.steps:
            chain.op("Identity")
    result = view.name("unified")
    put_nodes(proto.graph, [*before.nodes(INPUT, entry.name), *proto.graph.node, *after.nodes(end.name, result)])
    end.name, entry.name = result, INPUT
    shape = [1, spec.inputs, *(spec.size_rule.fixed or (None, None))[::-1]]
    entry.type.CopyFrom(helper.make_tensor_type_proto(FLOAT, shape))
    del proto.graph.value_info[:]


def cut(chain: OperatorChain, begin: int, end: int) -> None:
    """Append a Slice of the channels from `begin` to before `end`."""
    chain.op("Slice", *(chain.view.constant([number], np.int64) for number in (begin, end, 1)))
