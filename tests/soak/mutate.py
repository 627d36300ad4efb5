"""Damage ONNX files: their bytes at random, or their graphs in well-formed ways; functions of bytes and a seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

type Rng = np.random.Generator

ODD = (-(1 << 63), -(1 << 31), -7, -1, 0, 1, 2, 3, 5, 64, 1000, 1 << 16, 1 << 31, 1 << 40, (1 << 63) - 1)
OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""})
PATHS = ("../secret.bin", "../../etc/passwd", "/etc/passwd", "secret.bin", "..\\secret.bin", "")


def pick(rng: Rng, items: Any) -> Any:
    """One of `items`."""
    return items[int(rng.integers(len(items)))]


# ---- Bytes


def truncate(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(len(data)))]


def flip(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(len(data), size=int(rng.integers(1, 9))):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def flip_early(data: bytes, rng: Rng) -> bytes:
    """The first kilobyte holds more structure than weights."""
    return flip(data[:1024], rng) + data[1024:]


def splice(data: bytes, rng: Rng) -> bytes:
    """A part left out, repeated, or replaced by noise."""
    a, b = sorted(int(v) for v in rng.integers(len(data), size=2))
    middle = (b"", data[a:b] * 2, rng.bytes(b - a))[int(rng.integers(3))]
    return data[:a] + middle + data[b:]


BYTES = (truncate, flip, flip_early, splice)


# ---- Structure


def some_node(model: onnx.ModelProto, rng: Rng) -> onnx.NodeProto:
    node: onnx.NodeProto = pick(rng, model.graph.node)
    return node


def values(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    return [
        *(v.name for v in graph.input),
        *(t.name for t in graph.initializer),
        *(o for n in graph.node for o in n.output),
    ]


def operator(model: onnx.ModelProto, rng: Rng) -> None:
    some_node(model, rng).op_type = pick(rng, OPERATORS)


def attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = some_node(model, rng)
    if not node.attribute:
        node.attribute.append(helper.make_attribute("axis", int(pick(rng, ODD))))
        return
    a = pick(rng, node.attribute)
    if a.type == AttributeProto.INTS and a.ints:
        if rng.random() < 0.3:
            a.ints.append(int(pick(rng, ODD)))
        else:
            a.ints[int(rng.integers(len(a.ints)))] = int(pick(rng, ODD))
    elif a.type == AttributeProto.INT:
        a.i = int(pick(rng, ODD))
    elif a.type == AttributeProto.FLOAT:
        a.f = pick(rng, (math.nan, math.inf, -1e30, 0.0))
    else:
        a.s = pick(rng, (b"", b"\xff\xfe", b"linear", b"reflect", b"X" * 5000))


def attribute_gone(model: onnx.ModelProto, rng: Rng) -> None:
    node = some_node(model, rng)
    if node.attribute:
        del node.attribute[int(rng.integers(len(node.attribute)))]


def attribute_type(model: onnx.ModelProto, rng: Rng) -> None:
    node = some_node(model, rng)
    name = node.attribute[0].name if node.attribute else "axis"
    del node.attribute[:]
    node.attribute.append(helper.make_attribute(name, pick(rng, (1, 1.5, "text", [1, 2], [0.5], ["a"]))))


def rewire(model: onnx.ModelProto, rng: Rng) -> None:
    """May make cycles, and operands of the wrong kind."""
    node = some_node(model, rng)
    if node.input:
        node.input[int(rng.integers(len(node.input)))] = pick(rng, [*values(model), "nowhere", ""])


def extra_input(model: onnx.ModelProto, rng: Rng) -> None:
    some_node(model, rng).input.append(pick(rng, values(model)))


def duplicate_name(model: onnx.ModelProto, rng: Rng) -> None:
    kind = int(rng.integers(4))
    node = some_node(model, rng)
    if kind == 0:
        node.output[0] = pick(rng, values(model))
    elif kind == 1:
        model.graph.node.append(node)
    elif kind == 2 and model.graph.initializer:
        model.graph.initializer.append(pick(rng, model.graph.initializer))
    else:
        for other in model.graph.node:
            other.name = "same"


def node_gone(model: onnx.ModelProto, rng: Rng) -> None:
    del model.graph.node[int(rng.integers(len(model.graph.node)))]


def weight_shape(model: onnx.ModelProto, rng: Rng) -> None:
    if model.graph.initializer:
        tensor = pick(rng, model.graph.initializer)
        dims = list(tensor.dims) or [1]
        dims[int(rng.integers(len(dims)))] = int(pick(rng, ODD))
        del tensor.dims[:]
        tensor.dims.extend(pick(rng, (dims, dims[::-1], [*dims, 1], dims[1:])))


def weight_type(model: onnx.ModelProto, rng: Rng) -> None:
    if model.graph.initializer:
        pick(rng, model.graph.initializer).data_type = int(rng.integers(0, 30))


def weight_values(model: onnx.ModelProto, rng: Rng) -> None:
    if model.graph.initializer:
        tensor = pick(rng, model.graph.initializer)
        raw = tensor.raw_data
        tensor.raw_data = pick(rng, (b"", raw[:-1], raw * 2, rng.bytes(len(raw)), b"\xff" * len(raw), b"\xff" * 64))


def weight_bits(model: onnx.ModelProto, rng: Rng) -> None:
    """Weights of any size, infinite ones and NaN among them."""
    tensor = pick(rng, [t for t in model.graph.initializer if t.raw_data])
    tensor.raw_data = flip(tensor.raw_data, rng)


def external(model: onnx.ModelProto, rng: Rng) -> None:
    """Weights that are said to lie in another file, outside the model's folder, too."""
    tensor = pick(rng, model.graph.initializer) if model.graph.initializer else model.graph.initializer.add()
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", pick(rng, PATHS)), ("offset", "0"), ("length", "64")):
        tensor.external_data.add(key=key, value=value)
    if rng.random() < 0.5:  # hidden in a node
        node = model.graph.node.add(op_type="Constant", output=["hidden"])
        node.attribute.append(helper.make_attribute("value", tensor))
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def input_shape(model: onnx.ModelProto, rng: Rng) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    if dims:
        for _ in range(int(rng.integers(1, 3))):
            pick(rng, dims).dim_value = int(pick(rng, ODD))


def input_type(model: onnx.ModelProto, rng: Rng) -> None:
    model.graph.input[0].type.tensor_type.elem_type = int(rng.integers(0, 24))


def ends(model: onnx.ModelProto, rng: Rng) -> None:
    graph = model.graph
    kind = int(rng.integers(5))
    if kind == 0:
        graph.output[0].name = pick(rng, values(model))
    elif kind == 1:
        graph.output.append(graph.output[0])
    elif kind == 2:
        graph.input.append(graph.input[0])
    elif kind == 3:
        del graph.output[:]
    else:
        graph.output[0].type.tensor_type.elem_type = int(rng.integers(0, 24))


def metadata(model: onnx.ModelProto, rng: Rng) -> None:
    key = pick(rng, ("scale", "radius", "multiple", "range", "name", "precision", "summary"))
    value = str(pick(rng, (*ODD, "", "two", "nan", "1e400", "\x00", "X" * 100_000)))
    model.metadata_props.add(key=f"gansr.{key}", value=value)


def versions(model: onnx.ModelProto, rng: Rng) -> None:
    kind = int(rng.integers(4))
    if kind == 0:
        model.ir_version = int(pick(rng, ODD))
    elif kind == 1:
        model.opset_import[0].version = int(pick(rng, (*ODD, 1, 7, 9, 10, 11, 13, 21, 22, 23)))
    elif kind == 2:
        del model.opset_import[:]
    else:
        some_node(model, rng).domain = pick(rng, ("com.microsoft", "nowhere", "ai.onnx.ml"))


def after_input(model: onnx.ModelProto, rng: Rng, make: Callable[[str, str], list[onnx.NodeProto]]) -> None:
    """Puts the nodes that `make(source, result)` gives between the picture and whoever reads it."""
    source = model.graph.input[0].name
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == source:
                node.input[i] = "put_in"
    nodes = [*make(source, "put_in"), *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def enormous(model: onnx.ModelProto, rng: Rng) -> None:
    """Operators that ask for more memory than there is."""
    size = int(pick(rng, (1 << 12, 1 << 20, 1 << 34, (1 << 62) + 1)))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, size, 1]), "huge"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, size, 2], np.float32), "scales"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 0, size, 0, 0, 0, size, 0]), "pads"))
    kind = int(rng.integers(5))

    def make(source: str, result: str) -> list[onnx.NodeProto]:
        return [
            [helper.make_node("Tile", [source, "huge"], [result])],
            [helper.make_node("Expand", [source, "huge"], [result])],
            [helper.make_node("Resize", [source, "", "scales"], [result], mode="nearest")],
            [helper.make_node("Pad", [source, "pads"], [result])],
            [
                helper.make_node("ConstantOfShape", ["huge"], ["zeros"]),
                helper.make_node("Add", [source, "zeros"], [result]),
            ],
        ][kind]

    after_input(model, rng, make)


def control(model: onnx.ModelProto, rng: Rng) -> None:
    """Loop, If, Scan, and what may lie inside."""
    info = helper.make_tensor_value_info
    inner = helper.make_node("Identity", [model.graph.input[0].name], ["inside"])
    branch = helper.make_graph([inner], "branch", [], [info("inside", TensorProto.FLOAT, None)])
    kind = int(rng.integers(4))
    model.graph.initializer.append(numpy_helper.from_array(np.array(bool(rng.integers(2))), "condition"))
    model.graph.initializer.append(numpy_helper.from_array(np.array((1 << 62) - 1), "times"))
    if kind == 1:  # an If in an If in an If ...
        for i in range(int(pick(rng, (2, 20, 200)))):
            other = (
                branch if i < 4 else helper.make_graph([inner], "other", [], [info("inside", TensorProto.FLOAT, None)])
            )
            node = helper.make_node("If", ["condition"], [f"deep{i}"], then_branch=branch, else_branch=other)
            branch = helper.make_graph([node], f"level{i}", [], [info(f"deep{i}", TensorProto.FLOAT, None)])
    going, state = info("going", TensorProto.BOOL, []), info("state", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["still"]), helper.make_node("Sin", ["state"], ["next"])],
        "body",
        [info("count", TensorProto.INT64, []), going, state],
        [info("still", TensorProto.BOOL, []), info("next", TensorProto.FLOAT, None)],
    )

    def make(source: str, result: str) -> list[onnx.NodeProto]:
        if kind == 3:
            return [helper.make_node("Loop", ["times", "", source], [result], body=body)]
        if kind == 2:
            return [helper.make_node("Scan", [source, source], [result], body=body, num_scan_inputs=1)]
        return [helper.make_node("If", ["condition"], [result], then_branch=branch, else_branch=branch)]

    after_input(model, rng, make)


def function(model: onnx.ModelProto, rng: Rng) -> None:
    """A function of the model's own, that may call itself."""
    name = pick(rng, ("Mine", "Conv"))
    nodes = [helper.make_node(pick(rng, ("Relu", name)), ["a"], ["b"], domain=pick(rng, ("", "own")))]
    model.functions.append(helper.make_function("own", name, ["a"], ["b"], nodes, list(model.opset_import)))
    model.opset_import.append(helper.make_opsetid("own", 1))
    after_input(model, rng, lambda source, result: [helper.make_node(name, [source], [result], domain="own")])


STRUCTURE = (
    *(operator, attribute, attribute, attribute_gone, attribute_type, rewire, rewire, extra_input, duplicate_name),
    *(node_gone, weight_shape, weight_type, weight_values, weight_bits, weight_bits, external, input_shape, input_type),
    *(ends, metadata, versions, enormous, control, function),
)


def mutated(data: bytes, rng: Rng, structural: bool) -> tuple[str, bytes]:
    """A damaged copy of a model's file, and the names of what was done to it."""
    if not structural:
        damage = pick(rng, BYTES)
        return damage.__name__, damage(data, rng)
    model = onnx.load_model_from_string(data)
    done = []
    for _ in range(pick(rng, (1, 1, 1, 2, 3))):
        if not model.graph.node:
            break
        change = pick(rng, STRUCTURE)
        try:
            change(model, rng)
        except Exception:  # the change before it left nothing for this one to do, or no way to say it
            continue
        done.append(change.__name__)
    return " + ".join(done), model.SerializeToString()
